#include "net/own.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/str.h"

#define KEPT_NS 1000000000u
#define SLOTS   256

struct answer {
    struct net_address address;
    uint64_t until; /* clock_ns(); 0: none */
    bool own;
};

struct net_own {
    int fd; /* rtnetlink(7) */
    uint32_t sequence;
    struct answer answers[SLOTS];
};

struct net_own *net_own_new(struct error **err)
{
    struct net_own *o = xcalloc(1, sizeof *o);
    const struct timeval patience = {.tv_sec = 1};
    o->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (o->fd < 0 || setsockopt(o->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0) {
        error_set(err, errno, "ask the kernel for its addresses");
        net_own_free(o);
        return NULL;
    }
    return o;
}

void net_own_free(struct net_own *o)
{
    if (!o)
        return;
    if (o->fd >= 0)
        close(o->fd);
    free(o);
}

static bool is_mapped4(const struct net_address *a)
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return !memcmp(a->b, prefix, sizeof prefix);
}

static int ask(struct net_own *o, const struct net_address *a)
{
    bool v4 = is_mapped4(a);
    unsigned len = v4 ? 4 : 16;
    struct {
        struct nlmsghdr h;
        struct rtmsg r;
        struct rtattr t;
        uint8_t address[16];
    } q = {
        .h = {.nlmsg_len = (uint32_t)(sizeof q - 16 + len),
              .nlmsg_type = RTM_GETROUTE,
              .nlmsg_flags = NLM_F_REQUEST,
              .nlmsg_seq = ++o->sequence},
        .r = {.rtm_family = v4 ? AF_INET : AF_INET6, .rtm_dst_len = (uint8_t)(len * 8)},
        .t = {.rta_len = (uint16_t)RTA_LENGTH(len), .rta_type = RTA_DST},
    };
    memcpy(q.address, a->b + 16 - len, len);
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    return sendto(o->fd, &q, q.h.nlmsg_len, 0, (const struct sockaddr *)&kernel, sizeof kernel) ==
                   (ssize_t)q.h.nlmsg_len
               ? 0
               : -1;
}

/* Routes on which nothing is sent: the connection fails by itself. */
static bool leads_nowhere(int error)
{
    return error == -ENETUNREACH || error == -EHOSTUNREACH || error == -EACCES || error == -EINVAL;
}

static bool read_answer(const struct net_own *o)
{
    for (;;) {
        _Alignas(struct nlmsghdr) char buf[4096];
        ssize_t n = recv(o->fd, buf, sizeof buf, 0);
        if (n < 0 && errno == EINTR)
            continue;
        const struct nlmsghdr *h = (const struct nlmsghdr *)buf;
        if (n < (ssize_t)sizeof *h || !NLMSG_OK(h, (size_t)n))
            return true;
        if (h->nlmsg_seq != o->sequence)
            continue; /* to a question that took too long */
        if (h->nlmsg_type == NLMSG_ERROR && h->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nlmsgerr)))
            return !leads_nowhere(((const struct nlmsgerr *)NLMSG_DATA(h))->error);
        if (h->nlmsg_type != RTM_NEWROUTE || h->nlmsg_len < NLMSG_LENGTH(sizeof(struct rtmsg)))
            return true;
        unsigned type = ((const struct rtmsg *)NLMSG_DATA(h))->rtm_type;
        return type == RTN_LOCAL || type == RTN_BROADCAST || type == RTN_ANYCAST ||
               type == RTN_MULTICAST;
    }
}

bool net_own_is(struct net_own *o, const struct net_address *a)
{
    uint64_t now = clock_ns(), hash = 0;
    for (unsigned i = 0; i < sizeof a->b; i++)
        hash = (hash ^ a->b[i]) * 0x100000001b3u;
    struct answer *k = &o->answers[(hash ^ hash >> 32) % SLOTS];
    if (k->until > now && !memcmp(&k->address, a, sizeof *a))
        return k->own;
    *k = (struct answer){.address = *a, .until = now + KEPT_NS};
    k->own = ask(o, a) < 0 || read_answer(o);
    return k->own;
}
