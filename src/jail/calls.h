/* The system calls that each kind of thread makes, as data. */
#ifndef WIRT_JAIL_CALLS_H
#define WIRT_JAIL_CALLS_H

#include <stdint.h>

struct jail_call {
    int nr;
    uint32_t kinds;       /* a bit for each enum jail_thread */
    unsigned arg;         /* with a mask: only if (args[arg] & mask) == value, 32 bits */
    uint32_t mask, value; /* several lines for one call: any of them */
};

extern const struct jail_call jail_calls[];
extern const unsigned jail_n_calls;

#endif
