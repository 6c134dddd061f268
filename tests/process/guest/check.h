/* What the guest test programs share. Each is compiled for riscv64 and natively, and must pass as
 * both: so a wrong expectation shows. */
#ifndef CHECK_H
#define CHECK_H

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int check_failed;

static inline void check_(int ok, const char *name, const char *expression, int line)
{
    int e = errno;
    if (ok) {
        printf("ok - %s\n", name);
    } else {
        printf("not ok - %s: line %d: %s (errno %d)\n", name, line, expression, e);
        check_failed = 1;
    }
    fflush(stdout);
}

#define CHECK(name, expression) check_(!!(expression), name, #expression, __LINE__)

#endif
