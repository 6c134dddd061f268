/* Which addresses are the host's own, asked of its kernel: what its routing delivers to itself.
 * So addresses that come and go, ranges bound to the loopback device and subnets' broadcast
 * addresses are all in it. */
#ifndef WIRT_NET_OWN_H
#define WIRT_NET_OWN_H

#include "base/error.h"
#include "net/filter.h"

struct net_own;

struct net_own *net_own_new(struct error **err);
void net_own_free(struct net_own *o);

/* An answer is kept for a second at most. When the kernel does not say, the address counts as the
 * host's. */
bool net_own_is(struct net_own *o, const struct net_address *a);

#endif
