/* Who spoke to the guest from an address that is closed to it: a client of a published port. What
 * the guest answers is let through, to exactly that port. */
#ifndef WIRT_NET_FLOWS_H
#define WIRT_NET_FLOWS_H

#include "net/filter.h"

/* Old ones make room: an idle conversation is let through again once its peer speaks. */
#define NET_FLOWS 1024u

struct net_flows {
    struct net_flow slots[NET_FLOWS];
};

void net_flows_add(struct net_flows *f, const struct net_flow *flow);
bool net_flows_has(const struct net_flows *f, const struct net_flow *flow);

#endif
