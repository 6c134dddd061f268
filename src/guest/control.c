#include "guest/control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/loop.h"
#include "base/str.h"

void frame_append(struct str *s, enum frame_type type, const void *data, size_t len)
{
    unsigned char h[FRAME_HEADER] = {(unsigned char)type, (unsigned char)len,
                                     (unsigned char)(len >> 8), (unsigned char)(len >> 16),
                                     (unsigned char)(len >> 24)};
    str_append(s, h, sizeof h);
    str_append(s, data, len);
}

int64_t frame_parse(const char *data, size_t len, enum frame_type *type, const char **payload,
                    size_t *payload_len)
{
    const unsigned char *p = (const unsigned char *)data;
    if (len < FRAME_HEADER)
        return 0;
    size_t n = (size_t)p[1] | (size_t)p[2] << 8 | (size_t)p[3] << 16 | (size_t)p[4] << 24;
    if (n > FRAME_MAX || !strchr("iewsorx", p[0]) || !p[0])
        return -1;
    if (len < FRAME_HEADER + n)
        return 0;
    *type = (enum frame_type)p[0];
    *payload = data + FRAME_HEADER;
    *payload_len = n;
    return (int64_t)(FRAME_HEADER + n);
}

/* The socket's address by way of the open folder: the full path may be longer than sun_path. */
static struct sockaddr_un control_address(struct guest *g)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d/control", g->dirfd);
    return a;
}

int control_listen(struct guest *g, struct error **err)
{
    struct sockaddr_un a = control_address(g);
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return error_set(err, errno, "socket");
    if (unlinkat(g->dirfd, "control", 0) < 0 && errno != ENOENT)
        return error_set(err, errno, "remove %s/control", g->dir);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 64) < 0)
        return error_set(err, errno, "make the control socket %s/control", g->dir);
    return STEAL_FD(fd);
}

int control_connect(struct guest *g, struct error **err)
{
    struct sockaddr_un a = control_address(g);
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_set(err, errno, "socket");
    if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
        return error_set(err, errno, "the monitor of guest %.12s does not answer", g->id);
    return STEAL_FD(fd);
}

int control_read_line(int fd, struct str *line, int timeout_ms, struct error **err)
{
    uint64_t deadline = clock_ns() + (uint64_t)(timeout_ms < 0 ? 0 : timeout_ms) * 1000000u;
    for (;;) {
        int left = -1;
        if (timeout_ms >= 0) {
            uint64_t now = clock_ns();
            left = now >= deadline ? 0 : (int)((deadline - now) / 1000000u) + 1;
        }
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int r = left < 0 ? 1 : poll(&p, 1, left); /* without a deadline the read waits itself */
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return error_set(err, errno, "poll");
        if (r == 0)
            return error_set(err, ETIMEDOUT, "no answer within %d ms", timeout_ms);
        char c;
        ssize_t n = read(fd, &c, 1);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0)
            return error_set(err, n < 0 ? errno : ECONNRESET, "the connection ended");
        if (c == '\n')
            return 0;
        if (line->len >= CONTROL_LINE_MAX)
            return error_set(err, EMSGSIZE, "an answer longer than %u bytes", CONTROL_LINE_MAX);
        str_append(line, &c, 1);
    }
}

json_object *control_request(const char *op)
{
    json_object *o = json_object_new_object();
    json_put_str(o, "op", op);
    return o;
}

json_object *control_call_fd(int fd, json_object *request, int timeout_ms, struct error **err)
{
    AUTO_JSON *owned = request;
    STR_CLEANUP text = {0};
    str_printf(&text, "%s\n", json_object_to_json_string_ext(owned, JSON_C_TO_STRING_PLAIN));
    size_t sent = 0;
    while (sent < text.len) {
        ssize_t n = send(fd, text.data + sent, text.len - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            error_set(err, errno, "send a request");
            return NULL;
        }
        sent += (size_t)n;
    }
    STR_CLEANUP line = {0};
    if (control_read_line(fd, &line, timeout_ms, err) < 0)
        return NULL;
    json_object *answer = json_parse_object(line.data ? line.data : "", line.len, "answer", err);
    if (answer && !json_get_bool(answer, "ok", false)) {
        error_set(err, 0, "%s", json_get_str(answer, "error", "refused without a reason"));
        json_object_put(answer);
        return NULL;
    }
    return answer;
}

json_object *control_call(struct guest *g, json_object *request, int timeout_ms, struct error **err)
{
    AUTO_CLOSE int fd = control_connect(g, err);
    if (fd < 0) {
        json_object_put(request);
        return NULL;
    }
    return control_call_fd(fd, request, timeout_ms, err);
}
