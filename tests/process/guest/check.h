/* What the guest test programs share. Each is compiled for riscv64 and natively, and must pass as
 * both: so a wrong expectation shows. */
#ifndef CHECK_H
#define CHECK_H

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
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

/* Whether the kernel is at least as new: for calls that older ones do not have. */
static inline int kernel_at_least(int major, int minor)
{
    struct utsname u;
    int a = 0, b = 0;
    uname(&u);
    sscanf(u.release, "%d.%d", &a, &b);
    return a > major || (a == major && b >= minor);
}

#define CHECK(name, expression) check_(!!(expression), name, #expression, __LINE__)

#endif
