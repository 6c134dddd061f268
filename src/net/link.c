#include "net/link.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/str.h"

/* How long a frame waits for a guest that takes none; then it is lost, as on a wire. */
#define PATIENCE_MS 50

/* Frames of one round, so that the NAT's sockets get their turn. */
#define BURST 64

#define ROOM (4 << 20) /* bytes, as far as the host's net.core.wmem_max goes */

struct net_link {
    struct loop *loop;
    struct nat *nat;
    int fd;
    uint8_t frame[NAT_FRAME_MAX];
};

int net_link_pair(int ends[2], struct error **err)
{
    const int room = ROOM;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return error_set(err, errno, "socketpair");
    for (int i = 0; i < 2; i++)
        if (setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room) < 0) {
            error_set(err, errno, "SO_SNDBUF");
            close(ends[0]);
            close(ends[1]);
            return -1;
        }
    return 0;
}

static void deliver(void *arg, const void *frame, size_t len)
{
    const struct net_link *l = arg;
    while (send(l->fd, frame, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        struct pollfd p = {.fd = l->fd, .events = POLLOUT};
        if (errno != EINTR && (errno != EAGAIN || poll(&p, 1, PATIENCE_MS) <= 0))
            return;
    }
}

static void readable(void *arg, int fd, uint32_t events)
{
    struct net_link *l = arg;
    for (int i = 0; i < BURST; i++) {
        ssize_t n = recv(fd, l->frame, sizeof l->frame, MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && refused_for_now(errno))
            return;
        if (n <= 0) {
            loop_unwatch(l->loop, fd);
            loop_quit(l->loop);
            return;
        }
        if ((size_t)n <= sizeof l->frame)
            nat_input(l->nat, l->frame, (size_t)n);
    }
}

struct net_link *net_link_new(struct loop *loop, int fd, const struct nat_config *config,
                              struct error **err)
{
    struct net_link *l = xcalloc(1, sizeof *l);
    l->loop = loop;
    l->fd = fd;
    l->nat = nat_new(loop, config, deliver, l, err);
    if (!l->nat || loop_watch(loop, fd, EPOLLIN, readable, l, err) < 0) {
        net_link_free(l);
        return NULL;
    }
    return l;
}

void net_link_free(struct net_link *l)
{
    if (!l)
        return;
    loop_unwatch(l->loop, l->fd);
    nat_free(l->nat);
    free(l);
}
