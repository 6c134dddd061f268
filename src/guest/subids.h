/* The ids that an ordinary user may give out in user namespaces of its own: subuid(5), subgid(5).
 */
#ifndef WIRT_GUEST_SUBIDS_H
#define WIRT_GUEST_SUBIDS_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

struct id_range {
    uint32_t start, count;
};

/* The lines of an open subuid or subgid file that are about the user of this name (may be NULL) or
 * number, at most max of them; what is malformed is passed over. Answers how many. */
size_t subids_parse(FILE *f, const char *name, uid_t uid, struct id_range *out, size_t max);

/* The caller's ranges; 0 also when newuidmap(1) and newgidmap(1), which set them up, are not there
 * to be used. */
struct subids {
    struct id_range uids[8], gids[8];
    size_t n_uids, n_gids;
};
void subids_own(struct subids *s);

#endif
