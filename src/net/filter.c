#include "net/filter.h"

#include <endian.h>
#include <netinet/in.h>
#include <string.h>

#define ETHER_LEN  14
#define ETHER_IPV4 0x0800
#define ETHER_ARP  0x0806
#define ETHER_IPV6 0x86dd

#define PORT_DNS    53
#define PORT_DHCP   67
#define PORT_TFTP   69
#define PORT_DHCPV6 547

#define ECHO6                 128
#define ROUTER_SOLICITATION   133
#define NEIGHBOR_SOLICITATION 135
#define NEIGHBOR_ADVERTISING  136

/* What an address needs to be open. */
enum {
    NEEDS_HOST = 1,
    NEEDS_LINK = 2,
    NEVER = 4, /* no destination on any wire */
};

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static uint64_t get64(const uint8_t *p)
{
    return (uint64_t)get32(p) << 32 | get32(p + 4);
}

static void put16(uint8_t *p, size_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* A packet's outside, as far as the decision needs it. */
struct packet {
    bool v6;
    struct net_address from, to;
    uint8_t protocol, hop_limit;
    bool fragment, first;  /* a part of a packet; the part that has the ports */
    const uint8_t *inside; /* behind the IP header */
    size_t inside_len;
};

static void map4(struct net_address *a, const uint8_t *v4)
{
    memset(a->b, 0, 10);
    memset(a->b + 10, 0xff, 2);
    memcpy(a->b + 12, v4, 4);
}

/* Loose and strict source and record route (RFC 791), which lead elsewhere than the header says; or
 * options that do not fit. */
static bool bad_options(const uint8_t *o, size_t len)
{
    for (size_t i = 0; i < len && o[i] != 0;) {
        if (o[i] == 1) {
            i++;
            continue;
        }
        if (o[i] == 0x83 || o[i] == 0x89 || i + 1 >= len || o[i + 1] < 2 || o[i + 1] > len - i)
            return true;
        i += o[i + 1];
    }
    return false;
}

static bool parse4(const uint8_t *ip, size_t len, struct packet *p)
{
    if (len < 20 || ip[0] >> 4 != 4)
        return false;
    size_t header = (ip[0] & 15u) * 4, total = get16(ip + 2);
    if (header < 20 || total < header || total > len || bad_options(ip + 20, header - 20))
        return false;
    uint16_t part = get16(ip + 6) & 0x3fff; /* more fragments, and this one's place */
    *p = (struct packet){.protocol = ip[9],
                         .hop_limit = ip[8],
                         .fragment = part != 0,
                         .first = !(part & 0x1fff),
                         .inside = ip + header,
                         .inside_len = total - header};
    map4(&p->from, ip + 12);
    map4(&p->to, ip + 16);
    return true;
}

static bool parse6(const uint8_t *ip, size_t len, struct packet *p)
{
    if (len < 40 || ip[0] >> 4 != 6 || get16(ip + 4) > len - 40)
        return false;
    *p = (struct packet){.v6 = true,
                         .protocol = ip[6],
                         .hop_limit = ip[7],
                         .first = true,
                         .inside = ip + 40,
                         .inside_len = get16(ip + 4)};
    memcpy(p->from.b, ip + 8, 16);
    memcpy(p->to.b, ip + 24, 16);
    return true;
}

static bool parse(const uint8_t *frame, size_t len, struct packet *p)
{
    if (len < ETHER_LEN)
        return false;
    switch (get16(frame + 12)) {
    case ETHER_IPV4: return parse4(frame + ETHER_LEN, len - ETHER_LEN, p);
    case ETHER_IPV6: return parse6(frame + ETHER_LEN, len - ETHER_LEN, p);
    default: return false;
    }
}

/* Source and destination port, where the packet shows them. */
static bool ports(const struct packet *p, uint16_t *from, uint16_t *to)
{
    if ((p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP) || !p->first ||
        p->inside_len < 4)
        return false;
    *from = get16(p->inside);
    *to = get16(p->inside + 2);
    return true;
}

/* Addresses outside of link-local ones where clouds serve credentials to whoever asks from the
 * host: Alibaba and Azure; Oracle (in 192.0.0/24, which is for protocols' own use: RFC 6890). */
static bool is_metadata4(uint32_t a)
{
    return a == 0x646464c8 /* 100.100.100.200 */ || a == 0xa83f8110 /* 168.63.129.16 */ ||
           a == 0xc00000c0 /* 192.0.0.192 */;
}

static int needs4(uint32_t a)
{
    if (!(a >> 24) || a >> 28 >= 14) /* this network; multicast, reserved, broadcast */
        return NEVER;
    if (a >> 24 == 127)
        return NEEDS_HOST;
    return a >> 16 == 0xa9fe || is_metadata4(a) ? NEEDS_LINK : 0;
}

/* AWS's and Google's metadata services. */
static bool is_metadata6(const uint8_t *a)
{
    uint64_t high = get64(a), low = get64(a + 8);
    return (high == 0xfd000ec200000000u || high == 0xfd2000ce00000000u) && low == 0x254;
}

static int needs6(const uint8_t *a)
{
    uint64_t high = get64(a), low = get64(a + 8);
    if (a[0] == 0xff)
        return NEVER;
    if (!high) {
        if (low == 1)
            return NEEDS_HOST;
        /* ::, IPv4-compatible, -mapped and -translated: on a wire they mean nothing, and in a
         * socket something else. */
        uint32_t form = (uint32_t)(low >> 32);
        return !form || form == 0xffff || form == 0xffff0000u ? NEVER : 0;
    }
    if (high == 0x0064ff9b00000000u && !(low >> 32)) /* NAT64 (RFC 6052) */
        return needs4((uint32_t)low);
    if (a[0] == 0x20 && a[1] == 0x02) /* 6to4 (RFC 3056) */
        return needs4(get32(a + 2));
    return high >> 54 == 0xfe80u >> 6 || is_metadata6(a) ? NEEDS_LINK : 0;
}

/* What the packet's other side, one that is not of the virtual network, needs. */
static int needs(const struct net_rules *r, bool v6, const struct net_address *a)
{
    int n = v6 ? needs6(a->b) : needs4(get32(a->b + 12));
    if (n & NEVER)
        return NEVER;
    /* What embeds one of the host's IPv4 addresses leads there as well. */
    struct net_address inner;
    if (v6 && a->b[0] == 0x20 && a->b[1] == 0x02)
        map4(&inner, a->b + 2);
    else if (v6 && get64(a->b) == 0x0064ff9b00000000u)
        map4(&inner, a->b + 12);
    else
        inner = *a;
    if (!(n & NEEDS_HOST) &&
        (r->own(r->arg, a) || (memcmp(&inner, a, sizeof inner) != 0 && r->own(r->arg, &inner))))
        n |= NEEDS_HOST;
    return n;
}

static int closed(const struct net_rules *r, int n)
{
    return n & ~((r->host_loopback ? NEEDS_HOST : 0) | (r->link_local ? NEEDS_LINK : 0));
}

/* A packet for an address that needs n, of a transport that the NAT carries. */
static enum net_verdict outside(const struct net_rules *r, const struct packet *p, int n)
{
    struct net_flow f = {.peer = p->to, .protocol = p->protocol};
    if (n & NEVER)
        return NET_DROP;
    if (!closed(r, n))
        return NET_PASS;
    if (!p->fragment && ports(p, &f.guest_port, &f.port) && r->answers(r->arg, &f))
        return NET_PASS;
    return NET_REFUSE;
}

static enum net_verdict filter4(const struct net_rules *r, const struct packet *p)
{
    uint32_t to = get32(p->to.b + 12);
    uint16_t from_port, port = 0;
    bool has_ports = !p->fragment && ports(p, &from_port, &port);
    bool udp = p->protocol == IPPROTO_UDP;
    if (p->protocol != IPPROTO_TCP && !udp && p->protocol != IPPROTO_ICMP)
        return NET_DROP;
    if (udp && has_ports && port == PORT_DHCP && (to == UINT32_MAX || to == NET_ROUTER))
        return NET_PASS;
    if (to == NET_DNS)
        return p->protocol == IPPROTO_ICMP || (has_ports && port == PORT_DNS) ? NET_PASS
                                                                              : NET_REFUSE;
    if (to != NET_ROUTER)
        return outside(r, p, needs(r, false, &p->to));
    if (p->protocol == IPPROTO_ICMP)
        return NET_PASS;
    return udp && has_ports && port == PORT_TFTP ? NET_DROP : outside(r, p, NEEDS_HOST);
}

/* Neighbour discovery comes from the link itself (RFC 4861, 3.1). */
static bool is_discovery(const struct packet *p)
{
    return p->protocol == IPPROTO_ICMPV6 && p->inside_len && p->hop_limit == 255 &&
           (p->inside[0] == ROUTER_SOLICITATION || p->inside[0] == NEIGHBOR_SOLICITATION ||
            p->inside[0] == NEIGHBOR_ADVERTISING);
}

static bool is_dhcpv6_relay(const uint8_t *a)
{
    return get64(a) == 0xff02000000000000u && get64(a + 8) == 0x10002;
}

static enum net_verdict filter6(const struct net_rules *r, const struct packet *p)
{
    const uint8_t *to = p->to.b;
    uint64_t high = get64(to), low = get64(to + 8);
    bool own_prefix = high == NET_PREFIX6;
    bool router = (own_prefix || high == 0xfe80000000000000u) && low == 2;
    uint16_t from_port, port = 0;
    bool has_ports = ports(p, &from_port, &port);
    bool dhcp = p->protocol == IPPROTO_UDP && has_ports && port == PORT_DHCPV6;
    if (is_discovery(p))
        return own_prefix || to[0] == 0xff || high >> 54 == 0xfe80u >> 6 ? NET_PASS : NET_DROP;
    if (dhcp && (router || is_dhcpv6_relay(to)))
        return NET_PASS;
    /* The NAT cannot carry an echo to the outside. */
    if (p->protocol == IPPROTO_ICMPV6)
        return p->inside_len && p->inside[0] == ECHO6 && (router || (own_prefix && low == 3))
                   ? NET_PASS
                   : NET_DROP;
    if ((p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP) || !has_ports)
        return NET_DROP; /* extension headers too: nothing behind them is looked at */
    if (!own_prefix)
        return router ? NET_DROP : outside(r, p, needs(r, true, &p->to));
    if (low == 3)
        return port == PORT_DNS ? NET_PASS : NET_REFUSE;
    return p->protocol == IPPROTO_UDP && port == PORT_TFTP ? NET_DROP : outside(r, p, NEEDS_HOST);
}

enum net_verdict net_filter(const struct net_rules *rules, const uint8_t *frame, size_t len)
{
    struct packet p;
    if (len >= ETHER_LEN + 28 && get16(frame + 12) == ETHER_ARP)
        return NET_PASS; /* answered for the virtual network's addresses only */
    if (!parse(frame, len, &p))
        return NET_DROP;
    return p.v6 ? filter6(rules, &p) : filter4(rules, &p);
}

bool net_filter_opens(const struct net_rules *rules, const uint8_t *frame, size_t len,
                      struct net_flow *flow)
{
    struct packet p;
    if (!parse(frame, len, &p) || !ports(&p, &flow->port, &flow->guest_port))
        return false;
    flow->peer = p.from;
    flow->protocol = p.protocol;
    int n = p.v6 && get64(p.from.b) == NET_PREFIX6        ? NEEDS_HOST
            : !p.v6 && get32(p.from.b + 12) == NET_ROUTER ? NEEDS_HOST
                                                          : needs(rules, p.v6, &p.from);
    return !(n & NEVER) && closed(rules, n);
}

/* The sum of RFC 1071 over an even or odd number of bytes, not yet folded. */
static uint32_t sum(uint32_t s, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i + 1 < len; i += 2)
        s += get16(p + i);
    return len % 2 ? s + ((uint32_t)p[len - 1] << 8) : s;
}

static uint16_t folded(uint32_t s)
{
    while (s >> 16)
        s = (s & 0xffff) + (s >> 16);
    return (uint16_t)~s;
}

static size_t refusal4(const struct packet *p, const uint8_t *ip, uint8_t *out)
{
    /* The header and the first eight bytes behind it (RFC 792). */
    size_t quoted = (size_t)(p->inside - ip) + (p->inside_len < 8 ? p->inside_len : 8);
    uint8_t *icmp = out + 20;
    memset(out, 0, 28);
    out[0] = 0x45;
    put16(out + 2, 28 + quoted);
    out[8] = 64;
    out[9] = IPPROTO_ICMP;
    put16(out + 12, NET_ROUTER >> 16);
    put16(out + 14, NET_ROUTER & 0xffff);
    memcpy(out + 16, ip + 12, 4);
    put16(out + 10, folded(sum(0, out, 20)));
    icmp[0] = 3;
    icmp[1] = 13;
    memcpy(icmp + 8, ip, quoted);
    put16(icmp + 2, folded(sum(0, icmp, 8 + quoted)));
    return 28 + quoted;
}

static size_t refusal6(const struct packet *p, const uint8_t *ip, uint8_t *out)
{
    size_t quoted = 40 + p->inside_len < 1232 ? 40 + p->inside_len : 1232;
    uint8_t *icmp = out + 40;
    const uint64_t router[2] = {htobe64(NET_PREFIX6), htobe64(2)};
    memset(out, 0, 48);
    out[0] = 0x60;
    put16(out + 4, 8 + quoted);
    out[6] = IPPROTO_ICMPV6;
    out[7] = 64;
    memcpy(out + 8, router, 16);
    memcpy(out + 24, ip + 8, 16);
    icmp[0] = 1;
    icmp[1] = 1;
    memcpy(icmp + 8, ip, quoted);
    put16(icmp + 2,
          folded(sum(sum((uint32_t)(8 + quoted) + IPPROTO_ICMPV6, out + 8, 32), icmp, 8 + quoted)));
    return 48 + quoted;
}

size_t net_refusal(const uint8_t *frame, size_t len, uint8_t *out)
{
    struct packet p;
    if (!parse(frame, len, &p) || !p.first || p.protocol == IPPROTO_ICMP ||
        p.protocol == IPPROTO_ICMPV6)
        return 0;
    memcpy(out, frame + 6, 6);
    memcpy(out + 6, frame, 6);
    memcpy(out + 12, frame + 12, 2);
    const uint8_t *ip = frame + ETHER_LEN;
    return ETHER_LEN +
           (p.v6 ? refusal6(&p, ip, out + ETHER_LEN) : refusal4(&p, ip, out + ETHER_LEN));
}
