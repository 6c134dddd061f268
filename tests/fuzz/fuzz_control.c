/* What is said on a machine's control socket, and in the frames between a monitor and its clients.
 * Each line of the first gets one line of answer, or is refused for its length. */
#include <sys/socket.h>

#include "base/log.h"
#include "files.h"
#include "guest/control.h"
#include "machine/board-build.h"
#include "machine/control.h"

static void parse_frames(const struct input *in)
{
    const char *at = (const char *)in->data, *payload;
    size_t left = in->left, payload_len;
    enum frame_type type;
    for (int64_t n; (n = frame_parse(at, left, &type, &payload, &payload_len)) > 0; at += n) {
        if ((uint64_t)n > left || payload < at || payload + payload_len > at + n)
            abort();
        left -= (size_t)n;
    }
}

/* A board without harts, so that there is nobody to wait for. */
static struct machine *machine(void)
{
    static const struct machine_config c = {.kernel = {.path = "/dev/null"},
                                            .memory = 2u << 20,
                                            .harts = 1,
                                            .console_in = -1,
                                            .console_out = -1,
                                            .control = -1,
                                            .agent = -1};
    static struct machine m;
    if (!m.loop) {
        log_init("fuzz", LOG_ERROR);
        if (board_init(&m, &c, NULL) < 0)
            abort();
        m.n_harts = 0;
    }
    return &m;
}

static void quit(void *loop)
{
    loop_quit(loop);
}

/* Serves what has come, and answers how many lines were said. */
static unsigned answers(struct machine *m, int fd)
{
    char text[65536];
    unsigned n = 0;
    for (unsigned i = 0; i < 3; i++) {
        loop_timer(m->loop, 0, quit, m->loop); /* after one round */
        if (loop_run(m->loop, NULL) < 0)
            abort();
    }
    for (ssize_t len; (len = recv(fd, text, sizeof text, MSG_DONTWAIT)) > 0;)
        for (const char *at = text, *end = text + len; (at = memchr(at, '\n', (size_t)(end - at)));
             at++)
            n++;
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size < 20000 ? size : 20000};
    int sv[2];
    parse_frames(&in);
    struct machine *m = machine();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
        abort();
    struct control *c = control_new(m, sv[0], NULL);
    if (!c)
        abort();
    unsigned lines = 0, said = 0;
    while (in.left) { /* in pieces, each said by its first byte */
        size_t n = 1 + take(&in, 1) * 16;
        n = n < in.left ? n : in.left;
        for (size_t i = 0; i < n; i++)
            lines += in.data[i] == '\n';
        if (n && send(sv[1], in.data, n, MSG_NOSIGNAL) != (ssize_t)n)
            abort();
        said += answers(m, sv[1]);
        if (said > lines)
            abort();
        in.data += n;
        in.left -= n;
    }
    machine_resume(m);
    control_free(c);
    close(sv[0]);
    close(sv[1]);
    return 0;
}
