/* A small stack machine's program, for two ways to interpret it. */
#ifndef INTERP_H
#define INTERP_H

#include "kernel.h"

enum {
    PUSH,
    ADD,
    SUB,
    MUL,
    XOR,
    DUP,
    SWAP,
    STORE,
    FETCH,
    LOOP,
    HALT
};

/* var1 = sum over var0 = COUNT..1 of ((var0 * 3) ^ var1) - var0 */
#define COUNT 60000
static const int32_t program[] = {PUSH,  COUNT, STORE, 0,     PUSH,  0,     STORE, 1, /* 0 */
                                  FETCH, 0,     PUSH,  3,     MUL,   FETCH, 1,     XOR,
                                  FETCH, 0,     SUB,   DUP,   STORE, 1, /* 8: the loop */
                                  PUSH,  5,     SWAP,  ADD,   STORE, 2,     LOOP,  0,
                                  8,     FETCH, 1,     FETCH, 2,     ADD,   HALT};

#endif
