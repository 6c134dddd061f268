/* The control group around a process wall's workload. It is made when a limit is asked for; without
 * one there is none, and what the guest uses is read from /proc. */
#ifndef WIRT_GUEST_LIMITS_H
#define WIRT_GUEST_LIMITS_H

#include "guest/wall.h"

/* Makes the group when spec.limits asks for one. */
int limits_create(struct guest *g, struct error **err);

/* The calling process goes into the group, when there is one. */
int limits_enter(const struct guest *g, struct error **err);

/* Whether there is a group: 1 or 0; -1 with errno when that cannot be told, which must not be taken
 * for none: it would have no limit, and be left behind. */
int limits_active(const struct guest *g);

/* Of a group that is frozen nobody dies of SIGKILL on cgroup v1: thaws it. */
void limits_let_die(const struct guest *g);

/* Stops or continues all in the group (the freezer). */
int limits_freeze(struct guest *g, bool frozen, struct error **err);

/* Changes the limits that are not 0; makes the group around a running tree when there was none. */
int limits_update(struct guest *g, pid_t pid, const struct guest_limits *l, struct error **err);

int limits_stats(struct guest *g, pid_t pid, struct wall_stats *out, struct error **err);

/* Reads the numbers out of statistics in the shape of runc's `events --stats`. */
void limits_read_stats(json_object *s, struct wall_stats *out);

/* Kills what is left in the group and removes it. */
int limits_remove(struct guest *g, struct error **err);

#endif
