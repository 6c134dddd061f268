/* What a program may know of the processor that it runs on. One list, so that the ways of asking
 * agree: AT_HWCAP, riscv_hwprobe, /proc/cpuinfo. */
#ifndef WIRT_PROCESS_FEATURES_H
#define WIRT_PROCESS_FEATURES_H

#include <stdint.h>

#define TIME_HZ 10000000 /* what the time register counts: as on the machine wall's board */

/* AT_HWCAP: a bit for each single-letter extension. */
uint64_t features_hwcap(void);

/* The value of RISCV_HWPROBE_KEY_IMA_EXT_0. */
uint64_t features_hwprobe(void);

/* The isa line of /proc/cpuinfo. */
const char *features_isa(void);

#endif
