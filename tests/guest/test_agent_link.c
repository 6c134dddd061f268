/* The monitor's end of the channel to a machine's agent, with this test as the agent: an honest
 * one, one that is cut short by a reboot, and a hostile one. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/protocol.h"
#include "base/str.h"
#include "guest/agent_link.h"

struct rig {
    struct loop *loop;
    struct agent_link *link;
    int guest; /* the agent's end */
    int hellos, status, input_rooms;
    bool ended;
    struct agent_session *typed_into; /* gets as much input as there is room for */
    bool typing;
    struct str output[2];
};

static void on_hello(void *arg)
{
    struct rig *r = arg;
    r->hellos++;
}

static void on_output(void *arg, int which, const char *data, size_t len)
{
    struct rig *r = arg;
    str_append(&r->output[which], data, len);
}

static void on_input_room(void *arg)
{
    static char much[AGENT_WINDOW];
    struct rig *r = arg;
    r->input_rooms++;
    r->typing = true;
    if (r->typed_into)
        agent_session_input(r->typed_into, much, sizeof much);
    r->typing = false;
}

static void on_ended(void *arg, int status)
{
    struct rig *r = arg;
    assert_false(r->typing); /* who sends is not told in the middle of it */
    r->typed_into = NULL;
    r->ended = true;
    r->status = status;
}

static const struct agent_session_ops ops = {
    .output = on_output, .input_room = on_input_room, .ended = on_ended};

static void quit(void *arg)
{
    struct rig *r = arg;
    loop_quit(r->loop);
}

/* Lets the loop take in what the agent has sent. */
static void settle(struct rig *r)
{
    loop_timer(r->loop, clock_ns() + 20000000, quit, r);
    assert_int_equal(loop_run(r->loop, NULL), 0);
}

static void say(struct rig *r, enum agent_type type, unsigned session, const void *data, size_t len)
{
    struct agent_frame f = {.length = (uint32_t)len,
                            .session = (uint16_t)session,
                            .type = (uint8_t)type,
                            .magic = AGENT_MAGIC};
    assert_int_equal(write(r->guest, &f, sizeof f), sizeof f);
    if (len)
        assert_int_equal(write(r->guest, data, len), len);
}

/* The next frame that the host sent: its type; payload of at most size bytes in data. */
static int hear(struct rig *r, struct agent_frame *f, void *data, size_t size)
{
    settle(r);
    if (recv(r->guest, f, sizeof *f, MSG_DONTWAIT) != (ssize_t)sizeof *f)
        return -1;
    assert_int_equal(f->magic, AGENT_MAGIC);
    assert_true(f->length <= size);
    if (f->length)
        assert_int_equal(recv(r->guest, data, f->length, MSG_WAITALL), f->length);
    return f->type;
}

static const char nonce[AGENT_NONCE] = "0123456789abcdef";

static void hello(struct rig *r)
{
    struct agent_frame f;
    char back[AGENT_NONCE];
    say(r, AGENT_HELLO, 0, nonce, sizeof nonce);
    assert_int_equal(hear(r, &f, back, sizeof back), AGENT_HELLO);
    assert_memory_equal(back, nonce, sizeof nonce);
}

static struct agent_session *run(struct rig *r, struct agent_frame *f, char *data, size_t size)
{
    char *command[] = {"echo", "a b", "", NULL}, *env[] = {"X=y", NULL};
    struct wall_exec x = {.command = command, .env = env, .user = "7:8", .tty = true};
    struct agent_session *s = agent_run(r->link, &x, 25, 80, &ops, r, NULL);
    assert_non_null(s);
    assert_int_equal(hear(r, f, data, size), AGENT_RUN);
    return s;
}

static int setup(void **state)
{
    struct rig *r = xcalloc(1, sizeof *r);
    int sv[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    r->loop = loop_new(NULL);
    r->guest = sv[1];
    r->link = agent_link_new(r->loop, sv[0], on_hello, r, NULL);
    assert_non_null(r->link);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    agent_link_free(r->link);
    loop_free(r->loop);
    for (int i = 0; i < 2; i++)
        str_free(&r->output[i]);
    close(r->guest);
    free(r);
    return 0;
}

static void a_command(void **state)
{
    struct rig *r = *state;
    struct agent_frame f;
    char data[4096];
    assert_false(agent_link_answers(r->link));
    assert_null(agent_run(r->link, &(struct wall_exec){0}, 0, 0, &ops, r, NULL));
    hello(r);
    assert_int_equal(r->hellos, 1);
    struct agent_session *s = run(r, &f, data, sizeof data);
    struct agent_run wanted = {.tty = 1, .size = {25, 80}, .n_args = 3, .n_env = 1};
    static const char strings[] = "7:8\0/\0echo\0a b\0\0X=y";
    assert_memory_equal(data, &wanted, sizeof wanted);
    assert_int_equal(f.length, sizeof wanted + sizeof strings);
    assert_memory_equal(data + sizeof wanted, strings, sizeof strings);

    assert_int_equal(agent_session_input(s, "typed", 5), 5);
    unsigned number = f.session;
    assert_int_equal(hear(r, &f, data, sizeof data), AGENT_INPUT);
    assert_int_equal(f.session, number);
    assert_memory_equal(data, "typed", 5);
    agent_session_input_end(s);
    assert_int_equal(hear(r, &f, data, sizeof data), AGENT_INPUT);
    assert_int_equal(f.length, 0);

    say(r, AGENT_OUTPUT, number, "out", 3);
    say(r, AGENT_ERROR, number, "err", 3);
    settle(r);
    assert_string_equal(r->output[0].data, "out");
    assert_string_equal(r->output[1].data, "err");
    agent_session_took(s, 1, 2);
    struct agent_room room;
    assert_int_equal(hear(r, &f, &room, sizeof room), AGENT_ROOM);
    assert_int_equal(room.bytes, 2);
    assert_int_equal(room.stream, AGENT_ERROR);

    say(r, AGENT_EXIT, number, "\x03", 1);
    settle(r);
    assert_true(r->ended);
    assert_int_equal(r->status, 3);
    agent_link_poweroff(r->link, 9);
    assert_int_equal(hear(r, &f, data, sizeof data), AGENT_POWEROFF);
    assert_int_equal(data[0], 9);
}

/* It was not answered at once, and said it again. */
static void a_repeated_hello(void **state)
{
    struct rig *r = *state;
    struct agent_frame f;
    char data[4096];
    hello(r);
    run(r, &f, data, sizeof data);
    say(r, AGENT_HELLO, 0, nonce, sizeof nonce);
    assert_int_equal(hear(r, &f, data, sizeof data), -1);
    assert_int_equal(r->hellos, 1);
    assert_false(r->ended);
}

static void input_has_a_window(void **state)
{
    struct rig *r = *state;
    struct agent_frame f;
    static char data[AGENT_PAYLOAD_MAX], much[2 * AGENT_WINDOW];
    hello(r);
    struct agent_session *s = run(r, &f, data, sizeof data);
    unsigned number = f.session;
    assert_int_equal(agent_session_input(s, much, sizeof much), AGENT_WINDOW);
    assert_int_equal(agent_session_input(s, much, 1), 0);
    size_t got = 0;
    while (got < AGENT_WINDOW) {
        assert_int_equal(hear(r, &f, data, sizeof data), AGENT_INPUT);
        got += f.length;
    }
    assert_int_equal(hear(r, &f, data, sizeof data), -1);
    struct agent_room room = {.bytes = 100, .stream = AGENT_INPUT};
    say(r, AGENT_ROOM, number, &room, sizeof room);
    settle(r);
    assert_int_equal(r->input_rooms, 1);
    assert_int_equal(agent_session_input(s, much, sizeof much), 100);
    /* More room than there can be is no room. */
    room.bytes = AGENT_WINDOW + 1;
    say(r, AGENT_ROOM, number, &room, sizeof room);
    settle(r);
    assert_int_equal(agent_session_input(s, much, 1), 0);
}

static void more_output_than_there_is_room_for(void **state)
{
    struct rig *r = *state;
    struct agent_frame f;
    static char data[AGENT_PAYLOAD_MAX];
    hello(r);
    run(r, &f, data, sizeof data);
    unsigned number = f.session;
    for (unsigned sent = 0; sent < AGENT_WINDOW; sent += sizeof data) {
        say(r, AGENT_OUTPUT, number, data, sizeof data);
        settle(r);
    }
    assert_false(r->ended);
    say(r, AGENT_OUTPUT, number, "x", 1);
    settle(r);
    assert_true(r->ended);
    assert_int_equal(r->status, -1);
    assert_int_equal(r->output[0].len, AGENT_WINDOW);
    assert_false(agent_link_answers(r->link));
}

/* The guest reboots in the middle of a frame. */
static void a_reboot(void **state)
{
    struct rig *r = *state;
    struct agent_frame f;
    char data[4096];
    hello(r);
    run(r, &f, data, sizeof data);
    struct agent_frame cut = {
        .length = 40, .session = f.session, .type = AGENT_OUTPUT, .magic = AGENT_MAGIC};
    assert_int_equal(write(r->guest, &cut, sizeof cut), sizeof cut);
    assert_int_equal(write(r->guest, "ten bytes.", 10), 10);
    /* The first hello is taken for the frame's rest, and what follows for no frame. */
    for (int i = 0; i < 3; i++)
        say(r, AGENT_HELLO, 0, "another agent...", AGENT_NONCE);
    settle(r);
    assert_int_equal(r->hellos, 2);
    assert_true(r->ended);
    assert_int_equal(r->status, -1);
    assert_true(agent_link_answers(r->link));
}

static void frames_that_are_none(void **state)
{
    struct rig *r = *state;
    static char noise[10000];
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)(i * 7919 >> 3);
    assert_int_equal(write(r->guest, noise, sizeof noise), sizeof noise);
    settle(r);
    hello(r);
    /* Frames of sessions that nobody began, of no type, with payloads of no such length. */
    say(r, AGENT_OUTPUT, 5, "x", 1);
    say(r, AGENT_EXIT, 65535, "x", 1);
    say(r, 99, 0, NULL, 0);
    struct agent_frame f;
    char data[4096];
    run(r, &f, data, sizeof data);
    say(r, AGENT_EXIT, f.session, "xy", 2);
    say(r, AGENT_ROOM, f.session, "xy", 2);
    say(r, AGENT_HELLO, 0, "short", 5);
    settle(r);
    assert_false(r->ended);
}

static void nobody_listens(void **state)
{
    struct rig *r = *state;
    struct agent_frame f;
    char data[4096];
    hello(r);
    struct agent_session *s = run(r, &f, data, sizeof data);
    unsigned number = f.session;
    say(r, AGENT_OUTPUT, number, "12345", 5);
    settle(r);
    agent_session_leave(s);
    struct agent_room room;
    assert_int_equal(hear(r, &f, &room, sizeof room), AGENT_ROOM);
    assert_int_equal(room.bytes, 5);
    say(r, AGENT_OUTPUT, number, "123", 3);
    assert_int_equal(hear(r, &f, &room, sizeof room), AGENT_ROOM);
    assert_int_equal(room.bytes, 3);
    say(r, AGENT_EXIT, number, "\0", 1);
    settle(r);
    assert_false(r->ended);
    run(r, &f, data, sizeof data);
    assert_int_equal(f.session, number);
}

/* It asks for input again and again and takes none. */
static void an_agent_that_never_reads(void **state)
{
    struct rig *r = *state;
    struct agent_frame f;
    char data[4096];
    struct agent_room room = {.bytes = AGENT_WINDOW, .stream = AGENT_INPUT};
    hello(r);
    r->typed_into = run(r, &f, data, sizeof data);
    on_input_room(r);
    for (int i = 0; i < 400 && !r->ended; i++) {
        say(r, AGENT_ROOM, f.session, &room, sizeof room);
        settle(r);
    }
    assert_true(r->ended);
    assert_int_equal(r->status, -1);
    assert_false(agent_link_answers(r->link));
    assert_in_range(r->input_rooms, 100, 200);
}

/* The same at the machine's end, when all that has arrived is taken in at once. */
static void an_agent_that_never_read(void **state)
{
    struct rig *r = *state;
    struct agent_frame f;
    char data[4096];
    struct agent_room room = {.bytes = AGENT_WINDOW, .stream = AGENT_INPUT};
    hello(r);
    r->typed_into = run(r, &f, data, sizeof data);
    on_input_room(r);
    struct agent_frame head = {
        .length = sizeof room, .session = f.session, .type = AGENT_ROOM, .magic = AGENT_MAGIC};
    STR_CLEANUP rooms = {0};
    for (int i = 0; i < 400; i++) {
        str_append(&rooms, &head, sizeof head);
        str_append(&rooms, &room, sizeof room);
    }
    assert_int_equal(send(r->guest, rooms.data, rooms.len, MSG_DONTWAIT), rooms.len);
    agent_link_finish(r->link);
    assert_true(r->ended);
}

static void the_machine_is_gone(void **state)
{
    struct rig *r = *state;
    struct agent_frame f;
    char data[4096];
    hello(r);
    run(r, &f, data, sizeof data);
    say(r, AGENT_OUTPUT, f.session, "last words", 10);
    shutdown(r->guest, SHUT_RDWR);
    agent_link_finish(r->link);
    assert_string_equal(r->output[0].data, "last words");
    assert_true(r->ended);
    assert_int_equal(r->status, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_command, setup, teardown),
        cmocka_unit_test_setup_teardown(a_repeated_hello, setup, teardown),
        cmocka_unit_test_setup_teardown(input_has_a_window, setup, teardown),
        cmocka_unit_test_setup_teardown(more_output_than_there_is_room_for, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reboot, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_that_are_none, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_listens, setup, teardown),
        cmocka_unit_test_setup_teardown(an_agent_that_never_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(an_agent_that_never_read, setup, teardown),
        cmocka_unit_test_setup_teardown(the_machine_is_gone, setup, teardown),
    };
    return cmocka_run_group_tests_name("agent link", tests, NULL, NULL);
}
