/* flush_socket: what a socket does not take stays, in its order; a broken one is told of. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"

enum {
    LEN = 3 << 20 /* more than a socket's buffer takes */
};

static void fill(struct str *s)
{
    for (uint32_t i = 0; i < LEN / sizeof i; i++)
        str_append(s, &i, sizeof i);
}

static void test_order(void **state)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    struct str out = {0}, in = {0};
    fill(&out);
    unsigned rounds = 0;
    while (in.len < LEN) {
        size_t before = out.len;
        char buf[100000];
        assert_int_equal(flush_socket(ends[0], &out), 0); /* on a blocking socket, too */
        assert_true(out.len <= before);
        assert_int_equal(out.data[out.len], 0);
        ssize_t n = recv(ends[1], buf, sizeof buf, MSG_DONTWAIT);
        assert_true(n > 0);
        str_append(&in, buf, (size_t)n);
        rounds++;
    }
    assert_true(rounds > 1);
    assert_int_equal(out.len, 0);
    for (uint32_t i = 0; i < LEN / sizeof i; i++)
        assert_memory_equal(in.data + i * sizeof i, &i, sizeof i);
    assert_int_equal(flush_socket(ends[0], &out), 0);
    str_free(&out);
    str_free(&in);
    close(ends[0]);
    close(ends[1]);
}

static void test_broken(void **state)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    struct str out = {0};
    str_append(&out, "word", 4);
    close(ends[1]);
    signal(SIGPIPE, SIG_DFL);
    assert_int_equal(flush_socket(ends[0], &out), -1);
    assert_int_equal(errno, EPIPE);
    assert_int_equal(out.len, 4);
    str_free(&out);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
