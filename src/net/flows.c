#include "net/flows.h"

#include <string.h>

static unsigned slot(const struct net_flow *f)
{
    uint64_t h = f->protocol;
    for (unsigned i = 0; i < sizeof f->peer.b; i++)
        h = (h ^ f->peer.b[i]) * 0x100000001b3u;
    h = (h ^ f->port) * 0x100000001b3u;
    h = (h ^ f->guest_port) * 0x100000001b3u;
    return (unsigned)(h ^ h >> 32) % NET_FLOWS;
}

static bool same(const struct net_flow *a, const struct net_flow *b)
{
    return a->protocol == b->protocol && a->port == b->port && a->guest_port == b->guest_port &&
           !memcmp(&a->peer, &b->peer, sizeof a->peer);
}

void net_flows_add(struct net_flows *f, const struct net_flow *flow)
{
    f->slots[slot(flow)] = *flow;
}

bool net_flows_has(const struct net_flows *f, const struct net_flow *flow)
{
    return same(&f->slots[slot(flow)], flow);
}
