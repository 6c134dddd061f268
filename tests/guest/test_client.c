/* A connection on the control socket: whoever takes what it is sent is heard of, however it takes
 * it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/loop.h"
#include "guest/client.h"

struct side {
    struct loop *loop;
    int far_end;
    size_t left;   /* to be sent, at the last call */
    unsigned told; /* how often */
};

static void request(struct client *c, const char *line, size_t len)
{
}

static bool full(struct client *c)
{
    return false;
}

static void closed(struct client *c)
{
}

static void read_all(int fd)
{
    char buf[65536];
    while (recv(fd, buf, sizeof buf, MSG_DONTWAIT) > 0)
        ;
}

/* As a reader on another processor: it makes room while its client is told of what it took before.
 */
static void took(struct client *c)
{
    struct side *s = c->arg;
    s->told++;
    s->left = c->out.len;
    read_all(s->far_end);
}

static const struct client_ops ops = {
    .request = request, .full = full, .took = took, .closed = closed};

static void give_up(void *arg)
{
    loop_quit(arg);
}

static void test_last_piece(void **state)
{
    struct side s = {.loop = loop_new(NULL)};
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    s.far_end = ends[1];
    struct client *c = client_new(s.loop, ends[0], &ops, &s);
    static char data[1 << 20];
    str_append(&c->out, data, sizeof data);
    client_send(c);
    assert_true(c->out.len > 0);
    read_all(s.far_end);
    for (int i = 0; i < 100 && (s.left || !s.told); i++) {
        loop_timer(s.loop, clock_ns() + 20000000, give_up, s.loop);
        assert_int_equal(loop_run(s.loop, NULL), 0);
    }
    assert_true(s.told > 1);
    assert_int_equal(c->out.len, 0);
    assert_int_equal(s.left, 0); /* it was told when the last was taken */
    client_close(c);
    loop_free(s.loop);
    close(s.far_end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_last_piece)};
    return cmocka_run_group_tests_name("guest/client", tests, NULL, NULL);
}
