/* Guest memory for tests of devices: plain RAM behind the functions of machine/memory.h, which
 * notes what was discarded. */
#ifndef WIRT_TESTS_MACHINE_FAKE_SLAT_H
#define WIRT_TESTS_MACHINE_FAKE_SLAT_H

#include "machine/memory.h"

struct slat {
    uint64_t base, size;
    uint8_t *ram;
    uint64_t discarded, ballooned, deflated; /* bytes, summed up */
    unsigned discards;                       /* calls */
    uint64_t wrote;                          /* bytes that slat_wrote named */
};

struct slat *fake_slat_new(uint64_t base, uint64_t size);
void fake_slat_free(struct slat *s);

#endif
