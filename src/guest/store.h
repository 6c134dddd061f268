/* The state folder: one folder a guest, and the names that are taken.
 *
 *   ROOT/guests/ID/config.json  what was asked for (spec.h)
 *   ROOT/guests/ID/state.json   what it is now (guest.h); written by its monitor alone
 *   ROOT/guests/ID/control      the monitor's socket (control.h)
 *   ROOT/guests/ID/log, log.1   its output (logfile.h)
 *   ROOT/guests/ID/...          what its wall keeps
 *   ROOT/oci/ID                 the container layer's state of it (container.h)
 *   ROOT/names/NAME             symbolic link whose text is the id
 *   ROOT/lock                   held while names change
 *   ROOT/settings/balance.json  whether and when machines' memory is balanced (balance.h)
 *   ROOT/memory/ID              a machine's reading of its memory, for the others; lock
 *
 * Everything read from it is taken as possibly damaged. */
#ifndef WIRT_GUEST_STORE_H
#define WIRT_GUEST_STORE_H

#include "base/error.h"

#define GUEST_ID_LEN 16 /* hexadecimal digits */

struct store {
    char *path;
    int fd, guests_fd, names_fd;
};

/* Opens, and creates when missing, the state folder: path, or with NULL /run/wirt for root and
 * $XDG_RUNTIME_DIR/wirt for others. Refuses one that others may write to. */
int store_open(struct store *s, const char *path, struct error **err);
void store_close(struct store *s);

/* Opens a folder in it, made when missing. A descriptor, or -1 with err. */
int store_folder(struct store *s, const char *name, struct error **err);

/* A fresh random id with its empty folder. */
int store_new_id(struct store *s, char id[GUEST_ID_LEN + 1], struct error **err);

/* Takes a name for an id; name NULL picks one, which *taken answers (owned). A name whose guest is
 * gone is free. */
int store_take_name(struct store *s, const char *name, const char *id, char **taken,
                    struct error **err);
/* NULL: whatever names lead to the id. */
int store_drop_name(struct store *s, const char *name, const char *id, struct error **err);

/* The id of a name, an id or the unambiguous beginning of one. */
int store_resolve(struct store *s, const char *ref, char id[GUEST_ID_LEN + 1], struct error **err);

/* All ids, sorted by name; a NULL-terminated owned vector. */
char **store_list(struct store *s, struct error **err);

/* Removes a folder below dirfd and all in it; what is mounted below is not entered. 0, or -1 with
 * err. */
int remove_tree_at(int dirfd, const char *name, struct error **err);

#endif
