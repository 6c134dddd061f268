/* User-mode NAT: libslirp answers for a router with DHCP and DNS, and makes the guest's connections
 * its own sockets. No privilege and no interface of the host's is needed. What the guest may reach
 * is decided before (net/filter.h). Everything runs in the loop's thread, whose idle function it
 * takes. */
#ifndef WIRT_NET_NAT_H
#define WIRT_NET_NAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/loop.h"

#define NAT_FRAME_MAX (64 * 1024) /* bytes, Ethernet header included */

struct nat_forward {
    uint32_t host_addr; /* IPv4, host byte order */
    uint16_t host_port, guest_port;
    bool udp;
};

struct nat_config {
    bool host_loopback, link_local; /* as in struct net_rules */
    const struct nat_forward *forwards;
    unsigned n_forwards;
    const char *hostname; /* what DHCP calls the guest, or NULL */
};

struct nat;

/* A frame to the guest. */
typedef void nat_deliver_fn(void *arg, const void *frame, size_t len);

/* Binds the forwarded ports; an error names the one that cannot be had. */
struct nat *nat_new(struct loop *loop, const struct nat_config *config, nat_deliver_fn *deliver,
                    void *arg, struct error **err);
void nat_free(struct nat *n);

/* A frame from the guest, whatever it holds. */
void nat_input(struct nat *n, const void *frame, size_t len);

#endif
