/* The vDSO of a guest process. */
#ifndef WIRT_PROCESS_VDSO_H
#define WIRT_PROCESS_VDSO_H

#include "process/state.h"

/* Fills the page at that address, which is mapped and writable. */
void vdso_write(uint64_t page);

/* Where handlers of signals return to. */
uint64_t vdso_signal_return(uint64_t page);

#endif
