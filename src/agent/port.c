#include "agent/port.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/io.h"

#define PORTS "/sys/class/virtio-ports"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "frames are little-endian, as we are");

static char *look_for(const char *name)
{
    AUTO_CLOSEDIR DIR *d = opendir(PORTS);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        AUTO_FREE char *file = xasprintf(PORTS "/%s/name", e->d_name);
        AUTO_FREE char *text = NULL;
        if (read_file_at(AT_FDCWD, file, 256, &text, NULL, NULL) < 0)
            continue;
        text[strcspn(text, "\n")] = '\0';
        if (!strcmp(text, name))
            return xasprintf("/dev/%s", e->d_name);
    }
    return NULL;
}

char *port_find(const char *name)
{
    char *path = NULL;
    /* Often at first, as commands wait for us: 2 ms, 4 ms ... 2 s; 4 s in all. */
    for (long ms = 2; !(path = look_for(name)) && ms <= 2048; ms *= 2) {
        struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
        nanosleep(&pause, NULL);
    }
    return path;
}

int port_open(struct port *p, const char *path, struct error **err)
{
    *p = (struct port){.fd = -1};
    if (str_starts(path, "/dev/fd/")) { /* a socket cannot be opened by a path */
        uint64_t fd;
        if (parse_u64(path + strlen("/dev/fd/"), "--port", &fd, err) < 0)
            return -1;
        p->fd = fcntl((int)fd, F_DUPFD_CLOEXEC, 0);
        int flags = p->fd < 0 ? -1 : fcntl(p->fd, F_GETFL);
        if (flags < 0 || fcntl(p->fd, F_SETFL, flags | O_NONBLOCK) < 0)
            return error_set(err, errno, "port %s", path);
    } else {
        p->fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (p->fd < 0)
            return error_set(err, errno, "port %s", path);
    }
    return port_distrust(p, err);
}

void port_close(struct port *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    str_free(&p->out);
}

void port_hello(struct port *p)
{
    if (!p->out.len)
        port_send(p, 0, AGENT_HELLO, p->hello.nonce, AGENT_NONCE);
}

int port_distrust(struct port *p, struct error **err)
{
    p->trusted = false;
    p->in_len = 0;
    p->hello.frame =
        (struct agent_frame){.length = AGENT_NONCE, .type = AGENT_HELLO, .magic = AGENT_MAGIC};
    if (getrandom(p->hello.nonce, AGENT_NONCE, 0) != AGENT_NONCE)
        return error_set(err, errno, "getrandom");
    /* A frame that has begun is ended, or the host would take our HELLO for its rest. */
    p->out.len = p->out_done + p->frame_left;
    return 0;
}

void port_send(struct port *p, unsigned session, enum agent_type type, const void *payload,
               size_t len)
{
    struct agent_frame f = {.length = (uint32_t)len,
                            .session = (uint16_t)session,
                            .type = (uint8_t)type,
                            .magic = AGENT_MAGIC};
    str_append(&p->out, &f, sizeof f);
    str_append(&p->out, payload, len);
}

int port_flush(struct port *p, struct error **err)
{
    while (p->out_done < p->out.len) {
        const char *at = p->out.data + p->out_done;
        if (!p->frame_left) {
            struct agent_frame f;
            memcpy(&f, at, sizeof f);
            p->frame_left = sizeof f + f.length;
        }
        ssize_t n = write(p->fd, at, p->frame_left);
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n < 0)
            return error_set(err, errno, "write to the port");
        p->out_done += (size_t)n;
        p->frame_left -= (size_t)n;
    }
    p->out.len = p->out_done = 0;
    return 0;
}

/* Drops what came before the host's answer, which is our HELLO; true when it is there. */
static bool answered(struct port *p)
{
    uint8_t *hello = memmem(p->in, p->in_len, &p->hello, sizeof p->hello);
    size_t rest = p->in_len < sizeof p->hello ? p->in_len : sizeof p->hello - 1;
    if (hello)
        rest = p->in_len - (size_t)(hello + sizeof p->hello - p->in);
    memmove(p->in, p->in + p->in_len - rest, rest);
    p->in_len = rest;
    return hello;
}

/* The frames that are complete; -1 when one is wrong. */
static int take_frames(struct port *p, port_frame_fn *fn, void *arg)
{
    size_t at = 0;
    struct agent_frame f;
    while (p->in_len - at >= sizeof f) {
        memcpy(&f, p->in + at, sizeof f);
        if (f.magic != AGENT_MAGIC || f.length > AGENT_PAYLOAD_MAX)
            return -1;
        if (p->in_len - at < sizeof f + f.length)
            break;
        if (fn(arg, &f, p->in + at + sizeof f) < 0)
            return -1;
        at += sizeof f + f.length;
    }
    memmove(p->in, p->in + at, p->in_len - at);
    p->in_len -= at;
    return 0;
}

enum port_state port_receive(struct port *p, port_frame_fn *fn, void *arg, struct error **err)
{
    ssize_t n = read(p->fd, p->in + p->in_len, sizeof p->in - p->in_len);
    if (n < 0 && errno == EAGAIN)
        return PORT_OK;
    if (n < 0)
        return error_set(err, errno, "read from the port");
    if (n == 0)
        return PORT_CLOSED;
    p->in_len += (size_t)n;
    if (!p->trusted)
        p->trusted = answered(p);
    return p->trusted && take_frames(p, fn, arg) < 0 ? PORT_NONSENSE : PORT_OK;
}
