#include "container/sync.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "container/state.h"

struct message {
    int32_t kind, value;
    char text[4096];
};
#define HEAD offsetof(struct message, text)

int sync_pair(int fds[2], struct error **err)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
        return error_set(err, errno, "socketpair");
    return 0;
}

int sync_send(int sock, enum sync_kind kind, int value, const char *text, struct error **err)
{
    struct message m;
    m.kind = kind;
    m.value = value;
    size_t n = 0;
    if (text) {
        n = strnlen(text, sizeof m.text - 1);
        memcpy(m.text, text, n);
        m.text[n++] = 0;
    }
    ssize_t r;
    do {
        r = send(sock, &m, HEAD + n, MSG_NOSIGNAL);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? error_set(err, errno, "talk to the container's process") : 0;
}

void sync_send_error(int sock, const struct error *e)
{
    sync_send(sock, SYNC_ERROR, error_code(e), error_text(e), NULL);
}

/* One message. 1, 0 at the end of the conversation, -1 with err. */
static int receive(int sock, int flags, struct message *m, struct error **err)
{
    ssize_t n;
    do {
        n = recv(sock, m, sizeof *m - 1, flags);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != ECONNRESET && !(errno == EAGAIN && flags & MSG_DONTWAIT))
        return error_set(err, errno, "hear from the container's process");
    if (n < (ssize_t)HEAD)
        return 0;
    ((char *)m)[n] = 0;
    return 1;
}

/* The other side's error, as it said it (the text holds strerror's part already). */
static int its_error(const struct message *m, struct error **err)
{
    error_set(err, 0, "%s", m->text);
    if (err && *err)
        (*err)->code = m->value;
    return -1;
}

static int take(int sock, int flags, enum sync_kind kind, struct error **err)
{
    struct message m;
    int r = receive(sock, flags, &m, err);
    if (r < 0)
        return -1;
    if (r == 0)
        return error_set(err, EPIPE, "the other side ended");
    if (m.kind == SYNC_ERROR)
        return its_error(&m, err);
    if (m.kind != (int32_t)kind)
        return error_set(err, EPROTO, "message %d instead of %d", m.kind, (int)kind);
    return m.value;
}

int sync_wait(int sock, enum sync_kind kind, struct error **err)
{
    return take(sock, 0, kind, err);
}

int sync_take(int sock, enum sync_kind kind, struct error **err)
{
    return take(sock, MSG_DONTWAIT, kind, err);
}

bool sync_pending_error(int sock, struct error **err)
{
    struct message m;
    while (receive(sock, MSG_DONTWAIT, &m, NULL) > 0)
        if (m.kind == SYNC_ERROR) {
            its_error(&m, err);
            return true;
        }
    return false;
}

int sync_wait_end(int sock, pid_t pid, struct error **err)
{
    struct message m;
    int r = receive(sock, 0, &m, err);
    bool executing = r > 0 && m.kind == SYNC_EXECUTING;
    if (executing)
        r = receive(sock, 0, &m, err);
    if (r < 0)
        return -1;
    if (r > 0)
        return m.kind == SYNC_ERROR ? its_error(&m, err)
                                    : error_set(err, EPROTO, "unexpected message %d", m.kind);
    /* The end of the conversation is the execution's, or the process's. */
    return executing && process_executed(pid)
               ? 0
               : error_set(err, EPIPE, "the container's process ended before the command");
}

/* A socket's address is short, and a folder's path may be long. */
static int named_socket(int dirfd, const char *name, struct sockaddr_un *a, struct error **err)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(a->sun_path, sizeof a->sun_path, "/proc/self/fd/%d/%s", dirfd, name);
    int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    return s < 0 ? error_set(err, errno, "socket") : s;
}

int sync_listen(int dirfd, const char *name, struct error **err)
{
    struct sockaddr_un a;
    AUTO_CLOSE int s = named_socket(dirfd, name, &a, err);
    if (s < 0)
        return -1;
    if (bind(s, (struct sockaddr *)&a, sizeof a) < 0 || listen(s, 1) < 0)
        return error_set(err, errno, "make socket %s", name);
    return STEAL_FD(s);
}

int sync_accept(int listener, struct error **err)
{
    int s;
    do {
        s = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    } while (s < 0 && errno == EINTR);
    return s < 0 ? error_set(err, errno, "accept") : s;
}

int sync_connect(int dirfd, const char *name, struct error **err)
{
    struct sockaddr_un a;
    AUTO_CLOSE int s = named_socket(dirfd, name, &a, err);
    if (s < 0)
        return -1;
    if (connect(s, (struct sockaddr *)&a, sizeof a) < 0)
        return error_set(err, errno, "connect to %s", name);
    return STEAL_FD(s);
}

union fd_control {
    struct cmsghdr align;
    char buf[CMSG_SPACE(sizeof(int))];
};

int send_fd(int sock, int fd, const void *data, size_t len, struct error **err)
{
    struct iovec iov = {(void *)data, len};
    union fd_control control = {0};
    struct msghdr hdr = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.buf,
                         .msg_controllen = sizeof control.buf};
    struct cmsghdr *c = CMSG_FIRSTHDR(&hdr);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    ssize_t n;
    do {
        n = sendmsg(sock, &hdr, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return error_set(err, errno, "send a descriptor");
    return n == (ssize_t)len ? 0 : error_set(err, EIO, "send a descriptor");
}

int receive_fd(int sock, struct error **err)
{
    char data[4096];
    struct iovec iov = {data, sizeof data};
    union fd_control control = {0};
    struct msghdr hdr = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.buf,
                         .msg_controllen = sizeof control.buf};
    ssize_t n;
    do {
        n = recvmsg(sock, &hdr, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&hdr) : NULL;
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
        return error_set(err, n < 0 ? errno : EPIPE, "receive a descriptor");
    int fd;
    memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}
