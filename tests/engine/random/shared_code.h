/* The shared functions' code: what shared.c writes into it. */
#ifndef WIRT_TESTS_SHARED_CODE_H
#define WIRT_TESTS_SHARED_CODE_H

#include "shared.h"

#define AT_SWAP    112 /* the last one; then the sum of those before */
#define AT_LOCK    128
#define AT_PUBLISH 152 /* two numbers of 8 bytes */
#define AT_NEXT    168 /* where a function goes on */
#define AT_PLAIN   176 /* a lock, and a sum */
#define AT_STORM   192

#define SITES 3u /* that are written anew */
#define NAMES 7u /* instructions that tell which copy of their page they are in */

/* What was found when the code was laid out: the same for all. */
struct shared_code {
    uint16_t entry[SHARED_FUNCTIONS], n, size;
    uint16_t base;      /* of the code in its pages */
    uint16_t number[2]; /* instructions that enum publish's numbers are in */
    uint16_t next;      /* where a function goes on */
    uint16_t drift;     /* where shared_drifts says so */
    struct site {
        uint16_t at;
        uint32_t as[2];
    } sites[SITES];
    struct name {
        uint16_t at;
        uint32_t as[2]; /* by copy */
    } names[NAMES];
    uint32_t code[512];
};

const struct shared_code *shared_code(void);

#endif
