/* What a guest may send into its network, decided on each frame before the NAT sees it.
 *
 * The NAT makes a guest's connections its own sockets on the host, and to those sockets the host's
 * loopback, its own addresses and its link are near. The rule: a guest reaches what a neighbour of
 * the host would reach, and not what only the host should reach. So a frame passes when it is
 * for the virtual network's own services (ARP, DHCP, DNS, neighbour discovery, echo), or for an
 * address that is neither the host's nor of its link; closed addresses open by name (struct
 * net_rules), and for answers to who spoke first (a published port). What is none of ARP, IPv4 and
 * IPv6 (VLAN tags, NC-SI), IPv4 source routes, IPv6 extension headers and what is multicast or
 * broadcast otherwise never passes. */
#ifndef WIRT_NET_FILTER_H
#define WIRT_NET_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The network as the guest sees it: the addresses that users of qemu know. Host byte order. */
#define NET_ADDRESS 0x0a000200u /* 10.0.2.0 */
#define NET_MASK    0xffffff00u
#define NET_ROUTER  0x0a000202u /* stands for the host's loopback, where that is open */
#define NET_DNS     0x0a000203u /* stands for the host's name server, wherever that listens */
#define NET_GUEST   0x0a00020fu /* what DHCP gives */
/* The same for IPv6: a /64, in which interface numbers 2 and 3 are router and name server. */
#define NET_PREFIX6 0xfec0000000000000u

/* Both families as 16 bytes; IPv4 is ::ffff:a.b.c.d. */
struct net_address {
    uint8_t b[16];
};

struct net_flow {
    struct net_address peer; /* outside */
    uint16_t port;           /* the peer's */
    uint16_t guest_port;
    uint8_t protocol; /* TCP or UDP */
};

struct net_rules {
    bool host_loopback; /* the host is open: loopback, the router's address, its own addresses */
    bool link_local;    /* 169.254/16, fe80::/10 and clouds' metadata services are open */
    /* Is it one of the host's own (or broadcast) addresses just now? */
    bool (*own)(void *arg, const struct net_address *a);
    /* Did the peer send to the guest first, from and to these ports? */
    bool (*answers)(void *arg, const struct net_flow *f);
    void *arg;
};

enum net_verdict {
    NET_PASS,
    NET_DROP,   /* nobody would answer on a wire either */
    NET_REFUSE, /* closed: the guest is told, with net_refusal() */
};

/* Of a frame from the guest. Reads nothing beyond len; calls only the two functions of rules. */
enum net_verdict net_filter(const struct net_rules *rules, const uint8_t *frame, size_t len);

/* Of a frame to the guest: true when it comes from an address that is closed to the guest, so that
 * what it answers to *flow has to be let through. */
bool net_filter_opens(const struct net_rules *rules, const uint8_t *frame, size_t len,
                      struct net_flow *flow);

/* The answer to a refused frame: an ICMP or ICMPv6 "administratively prohibited" (RFC
 * 1812, 5.2.7.1; RFC 4443, 3.1). Its length, at most NET_REFUSAL_MAX; 0 when no answer is due. */
#define NET_REFUSAL_MAX (14 + 40 + 8 + 1232)
size_t net_refusal(const uint8_t *frame, size_t len, uint8_t *out);

#endif
