/* Requests to a machine that answers, late, wrongly or not at all; the machine is this test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "guest/control.h"
#include "guest/machine_link.h"

struct rig {
    struct loop *loop;
    struct machine_link *link;
    int machine;
    bool asking; /* within machine_link_ask: nobody is told then */
    int answers, errors;
    int64_t value; /* of the last answer */
    char why[256];
};

static void on_answer(void *arg, json_object *answer, const struct error *err)
{
    struct rig *r = arg;
    assert_false(r->asking);
    assert_true(!answer != !err);
    r->answers += !err;
    r->errors += !!err;
    r->value = json_get_int(answer, "value", -1);
    snprintf(r->why, sizeof r->why, "%s", err ? error_text(err) : "");
}

static void ask(struct rig *r)
{
    r->asking = true;
    machine_link_ask(r->link, control_request("stats"), on_answer, r);
    r->asking = false;
}

static void quit(void *arg)
{
    struct rig *r = arg;
    loop_quit(r->loop);
}

static void settle(struct rig *r, unsigned ms)
{
    loop_timer(r->loop, clock_ns() + ms * UINT64_C(1000000), quit, r);
    assert_int_equal(loop_run(r->loop, NULL), 0);
}

static void say(struct rig *r, const char *text)
{
    assert_int_equal(send(r->machine, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    settle(r, 10);
}

static int setup(void **state)
{
    struct rig *r = xcalloc(1, sizeof *r);
    int sv[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    r->loop = loop_new(NULL);
    r->machine = sv[1];
    r->link = machine_link_new(r->loop, sv[0], NULL);
    assert_non_null(r->link);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    machine_link_free(r->link);
    loop_free(r->loop);
    close(r->machine);
    free(r);
    return 0;
}

static void answers_in_their_order(void **state)
{
    struct rig *r = *state;
    char buf[256] = {0};
    ask(r);
    ask(r);
    settle(r, 10);
    assert_int_equal(r->answers, 0);
    assert_int_equal(recv(r->machine, buf, sizeof buf - 1, MSG_DONTWAIT), 2 * 15);
    assert_string_equal(buf, "{\"op\":\"stats\"}\n{\"op\":\"stats\"}\n");
    say(r, "{\"ok\":true,\"val");
    assert_int_equal(r->answers, 0);
    say(r, "ue\":1}\n{\"ok\":false,\"error\":\"no\"}\n{\"ok\":true,\"value\":9}\n");
    assert_int_equal(r->answers, 1);
    assert_int_equal(r->errors, 1); /* and nobody asked for the third */
    assert_string_equal(r->why, "the machine: no");
    ask(r);
    say(r, "{\"ok\":true,\"value\":3}\n");
    assert_int_equal(r->value, 3);
    ask(r);
    say(r, "this is not JSON\n");
    assert_int_equal(r->errors, 2);
}

/* A late answer is nobody's, above all not the next one's. */
static void one_that_hangs(void **state)
{
    struct rig *r = *state;
    uint64_t start = clock_ns();
    ask(r);
    settle(r, MACHINE_ANSWER_NS / 1000000 + 200);
    assert_int_equal(r->errors, 1);
    assert_string_equal(r->why, "the machine does not answer");
    assert_true(clock_ns() - start >= MACHINE_ANSWER_NS);
    ask(r);
    say(r, "{\"ok\":true,\"value\":1}\n");
    assert_int_equal(r->answers, 0);
    say(r, "{\"ok\":true,\"value\":2}\n");
    assert_int_equal(r->answers, 1);
    assert_int_equal(r->value, 2);
}

static void asked_without_end(void **state)
{
    struct rig *r = *state;
    for (int i = 0; i < 100; i++)
        ask(r);
    settle(r, 50);
    assert_int_equal(r->errors, 36); /* refused at once */
    for (int i = 0; i < 64; i++)
        say(r, "{\"ok\":true}\n");
    assert_int_equal(r->answers, 64);
}

static void who_asked_is_gone(void **state)
{
    struct rig *r = *state;
    ask(r);
    machine_link_forget(r->link, r);
    say(r, "{\"ok\":true}\n");
    assert_int_equal(r->answers + r->errors, 0);
}

static void the_machine_ends(void **state)
{
    struct rig *r = *state;
    ask(r);
    ask(r);
    shutdown(r->machine, SHUT_RDWR);
    settle(r, 10);
    assert_int_equal(r->errors, 2);
    ask(r);
    settle(r, 10);
    assert_int_equal(r->errors, 3);
    assert_string_equal(r->why, "the machine is no more");
}

static void more_than_any_machine_says(void **state)
{
    struct rig *r = *state;
    static char much[64 << 10];
    memset(much, 'x', sizeof much);
    ask(r);
    for (unsigned sent = 0; sent <= CONTROL_LINE_MAX + sizeof much && !r->errors;
         sent += sizeof much) {
        assert_int_equal(send(r->machine, much, sizeof much, MSG_NOSIGNAL), sizeof much);
        settle(r, 10);
    }
    assert_int_equal(r->errors, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_in_their_order, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_hangs, setup, teardown),
        cmocka_unit_test_setup_teardown(asked_without_end, setup, teardown),
        cmocka_unit_test_setup_teardown(who_asked_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(the_machine_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(more_than_any_machine_says, setup, teardown),
    };
    return cmocka_run_group_tests_name("machine link", tests, NULL, NULL);
}
