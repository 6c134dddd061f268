/* Ids of users and groups as a user namespace has them (user_namespaces(7)). */
#ifndef WIRT_BASE_IDS_H
#define WIRT_BASE_IDS_H

#include <stdbool.h>

/* Whether this process's user namespace has that id. map: "uid_map" or "gid_map". Where /proc does
 * not say, it has all. Root of a namespace may be root of very few: of itself alone. */
bool id_is_mapped(const char *map, unsigned id);

#endif
