/* A wire to a network that another process has: one end of a SOCK_SEQPACKET pair, a frame a packet.
 * This is the network's end; a guest's card has the other (machine/devices/virtio-net.c). */
#ifndef WIRT_NET_LINK_H
#define WIRT_NET_LINK_H

#include "net/nat.h"

struct net_link;

/* Both ends, with room for some hundred frames. */
int net_link_pair(int ends[2], struct error **err);

/* Joins a NAT of its own to the wire; when the other end is closed, the loop is told to quit. fd
 * stays the caller's and outlives the link, which takes the loop's idle function. */
struct net_link *net_link_new(struct loop *loop, int fd, const struct nat_config *config,
                              struct error **err);
void net_link_free(struct net_link *l);

#endif
