/* What a machine says on its control socket, to questions that were asked and some that were not:
 * every byte is the fuzzer's. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "guest/control.h"
#include "guest/machine_link.h"

#define ASKED 5

struct state {
    struct machine_link *link;
    int asked, told;
};

static void answered(void *arg, json_object *answer, const struct error *err)
{
    struct state *s = arg;
    s->told++;
    if (!answer == !err)
        abort();
    if (answer && !json_get_bool(answer, "ok", false))
        abort();
    if (s->asked < ASKED) { /* one answer leads to the next question */
        s->asked++;
        machine_link_ask(s->link, control_request("stats"), answered, s);
    }
}

static void quit(void *arg)
{
    loop_quit(arg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct state s = {.asked = 2};
    int sv[2];
    struct loop *loop = loop_new(NULL);
    if (!loop || socketpair(AF_UNIX, SOCK_STREAM, 0, sv) < 0)
        abort();
    s.link = machine_link_new(loop, sv[0], NULL);
    if (!s.link)
        abort();
    for (int i = 0; i < 2; i++)
        machine_link_ask(s.link, control_request("stats"), answered, &s);
    if (send(sv[1], data, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        size = 0; /* more than a socket holds */
    shutdown(sv[1], SHUT_WR);
    for (int round = 0; round < 8 && s.told < s.asked; round++) {
        loop_timer(loop, clock_ns(), quit, loop);
        if (loop_run(loop, NULL) < 0)
            abort();
    }
    machine_link_finish(s.link);
    if (s.told > s.asked)
        abort(); /* each is told once */
    machine_link_free(s.link);
    loop_free(loop);
    close(sv[0]);
    close(sv[1]);
    return 0;
}
