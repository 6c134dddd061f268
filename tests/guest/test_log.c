/* Messages that a guest can cause without end are few, and those that are left out are counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
/* cmocka wants the above first. */
#include <cmocka.h>

#include "base/log.h"

#define MANY 2000

static unsigned lines(int fd, const char *with)
{
    static char text[1 << 20];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    unsigned count = 0;
    for (char *at = text; (at = strstr(at, with)); at++)
        count++;
    return count;
}

static void warnings_without_end(void **state)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    log_init("test", LOG_ERROR);
    log_to_fd(fd, 0);
    for (int i = 0; i < MANY; i++)
        log_warn("the driver is broken");
    assert_in_range(lines(fd, "the driver is broken"), LOG_BURST, LOG_BURST + 5);
    unsigned said = lines(fd, "the driver is broken");
    nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 100000000}, NULL);
    log_warn("the driver is well");
    assert_int_equal(lines(fd, "the driver is well"), 1);
    char count[64];
    snprintf(count, sizeof count, "%u messages were left out", MANY - said);
    assert_int_equal(lines(fd, count), 1);
    for (int i = 0; i < MANY; i++)
        log_error("what we cannot do is said each time");
    assert_int_equal(lines(fd, "what we cannot do"), MANY);
    log_to_fd(-1, 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(warnings_without_end)};
    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
