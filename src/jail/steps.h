/* The steps of a jail, in their order. Each runs in the process that is to be jailed, which was
 * just forked: whatever page it touches first is copied or mapped in anew, which is most of what a
 * jail costs. So they allocate and format nothing but for shares and for messages. */
#ifndef WIRT_JAIL_STEPS_H
#define WIRT_JAIL_STEPS_H

#include "jail/jail.h"

/* Who the process is inside. */
enum jail_who {
    JAIL_NOBODY, /* root started it, and no share needs root: user and group 65534 */
    JAIL_FILES,  /* root started it, and it keeps files for all users: all ids as outside */
    JAIL_CALLER, /* an ordinary user's */
};

enum jail_who jail_who(const struct jail_config *c);

/* In the caller: the ids of the child's new user namespace. */
int jail_map_ids(enum jail_who who, pid_t child, struct error **err);
/* In the child: becomes who it is to be; capabilities stay as they are. */
int jail_set_ids(enum jail_who who, struct error **err);
/* Capabilities that are not needed go for good; no way leads to more. */
int jail_drop_privileges(enum jail_who who, struct error **err);
/* The same; kept: a bit for each that stays. */
int jail_drop_capabilities(uint64_t kept, struct error **err);

/* In a new mount namespace: folders become mounts of their own, and everything else goes. */
int jail_empty_root(const struct jail_config *c, struct error **err);

/* Core dumps, threads; the parent's death. */
int jail_limits(const struct jail_config *c, bool namespaces, struct error **err);

/* Standard input and output become /dev/null, which must still be there. */
int jail_no_console(struct error **err);

/* Of a process that starts nothing more. file_size: as in struct jail_self. */
int jail_limits_self(uint64_t file_size, struct error **err);

/* Closes every descriptor that is not named. spare: one more that stays. */
int jail_close_others(const struct jail_config *c, int spare, struct error **err);

/* Where the kernel has no Landlock, nothing happens. */
bool jail_has_landlock(void);
int jail_landlock(const struct jail_config *c, struct error **err);
int jail_landlock_self(const struct jail_self *j, struct error **err);

#endif
