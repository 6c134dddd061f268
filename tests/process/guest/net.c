#include "check.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

static struct sockaddr_in address;

static void *client(void *arg)
{
    (void)arg;
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(s, (void *)&address, sizeof address))
        return NULL;
    char b[100000];
    memset(b, 'q', sizeof b);
    for (size_t done = 0; done < sizeof b;)
        done += (size_t)send(s, b + done, sizeof b - done, 0);
    shutdown(s, SHUT_WR);
    ssize_t n = recv(s, b, 5, MSG_WAITALL);
    close(s);
    return (void *)(long)(n == 5 && !memcmp(b, "reply", 5));
}

static void test_tcp(void)
{
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, value = 0;
    socklen_t len = sizeof address;
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK("setsockopt", setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
    CHECK("bind, listen", bind(s, (void *)&address, sizeof address) == 0 && listen(s, 5) == 0);
    CHECK("getsockname", getsockname(s, (void *)&address, &len) == 0 && address.sin_port);
    pthread_t t;
    pthread_create(&t, NULL, client, NULL);
    struct sockaddr_in peer;
    len = sizeof peer;
    int c = accept4(s, (void *)&peer, &len, SOCK_CLOEXEC);
    CHECK("accept4", c >= 0 && peer.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    len = sizeof value;
    CHECK("getsockopt",
          getsockopt(c, SOL_SOCKET, SO_TYPE, &value, &len) == 0 && value == SOCK_STREAM);
    size_t total = 0;
    char b[8192];
    for (ssize_t n; (n = read(c, b, sizeof b)) > 0;)
        total += (size_t)n;
    CHECK("100000 bytes arrive", total == 100000);
    send(c, "reply", 5, MSG_NOSIGNAL);
    void *r = NULL;
    pthread_join(t, &r);
    CHECK("and a reply", r == (void *)1);
    close(c);
    close(s);
    s = socket(AF_INET, SOCK_STREAM, 0);
    CHECK("connection refused",
          connect(s, (void *)&address, sizeof address) == -1 && errno == ECONNREFUSED);
    close(s);
}

static void test_unix(void)
{
    int sv[2], p[2], got = -1;
    CHECK("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == 0);
    pipe(p);
    char c = 'f', control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec v = {&c, 1};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(h), &p[1], sizeof(int));
    CHECK("sendmsg a descriptor", sendmsg(sv[0], &m, 0) == 1);
    memset(control, 0, sizeof control);
    m.msg_controllen = sizeof control;
    CHECK("recvmsg", recvmsg(sv[1], &m, 0) == 1);
    memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof got);
    char b = 0;
    CHECK("it works", got > 2 && write(got, "w", 1) == 1 && read(p[0], &b, 1) == 1 && b == 'w');
    struct ucred cred;
    socklen_t len = sizeof cred;
    CHECK("SO_PEERCRED",
          getsockopt(sv[0], SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.pid == getpid());
    struct pollfd f[2] = {{sv[0], POLLIN, 0}, {sv[1], POLLIN | POLLOUT, 0}};
    CHECK("poll", poll(f, 2, 0) == 1 && f[1].revents == POLLOUT && f[0].revents == 0);
    close(sv[1]);
    CHECK("hang-up", poll(f, 1, 0) == 1 && (f[0].revents & POLLHUP));
}

static void test_udp(void)
{
    int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof to;
    bind(a, (void *)&to, sizeof to);
    getsockname(a, (void *)&to, &len);
    CHECK("sendto", sendto(b, "datagram", 8, 0, (void *)&to, sizeof to) == 8);
    char buf[20];
    struct sockaddr_in from;
    len = sizeof from;
    CHECK("recvfrom", recvfrom(a, buf, sizeof buf, 0, (void *)&from, &len) == 8 &&
                          !memcmp(buf, "datagram", 8) && from.sin_port);
    struct iovec v[2] = {{"one", 3}, {"two", 3}};
    struct mmsghdr mm[2] = {
        {{.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &v[0], .msg_iovlen = 1}},
        {{.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &v[1], .msg_iovlen = 1}}};
    CHECK("sendmmsg", sendmmsg(b, mm, 2, 0) == 2 && mm[1].msg_len == 3);
    close(a);
    close(b);
}

int main(void)
{
    test_tcp();
    test_unix();
    test_udp();
    return check_failed;
}
