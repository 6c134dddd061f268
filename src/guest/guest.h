/* A guest as its user knows it: an id, a name, what it was asked to be, and how it is. */
#ifndef WIRT_GUEST_GUEST_H
#define WIRT_GUEST_GUEST_H

#include <stdint.h>

#include "guest/proc.h"
#include "guest/spec.h"
#include "guest/store.h"

enum guest_status {
    GUEST_CREATED,
    GUEST_RUNNING,
    GUEST_PAUSED,
    GUEST_EXITED,
    GUEST_DEAD,    /* its monitor is gone without a last word; never stored */
    GUEST_DAMAGED, /* its folder cannot be read; never stored */
};

struct guest {
    struct store *store;
    char id[GUEST_ID_LEN + 1];
    char *name;
    char *dir; /* absolute path of its folder */
    int dirfd;
    struct guest_spec spec;
    enum guest_status status;
    struct proc_id monitor, workload;
    int exit_status;                          /* when exited */
    char *reason;                             /* why it could not start or ended oddly, or NULL */
    int64_t created_ns, started_ns, ended_ns; /* CLOCK_REALTIME; 0: not yet */
};

const char *guest_status_name(enum guest_status s);

/* Makes the guest's folder, takes its name and writes config.json and state.json. Takes over *spec.
 * The monitor is this process until it says otherwise; the folder is locked. */
struct guest *guest_create(struct store *s, const char *name, struct guest_spec *spec,
                           struct error **err);

/* Who makes a guest holds its folder's lock, and hands it on by fork, until state.json says who
 * keeps it: else whoever removes what a killed maker left would miss a monitor that is on its way.
 */
int guest_lock(struct guest *g, int wait_ms, struct error **err);
void guest_unlock(struct guest *g);

/* Opens a guest by id, name or beginning of an id. A folder that cannot be read gives a guest that
 * is GUEST_DAMAGED with a reason; err is for one that is not there. */
struct guest *guest_open(struct store *s, const char *ref, struct error **err);

/* Reads state.json again and sees whether the monitor lives. */
void guest_refresh(struct guest *g);

int guest_save(struct guest *g, struct error **err);

/* Writes config.json again after the wall has filled something in. */
int guest_save_config(struct guest *g, struct error **err);

/* Removes folder and name. */
int guest_remove(struct guest *g, struct error **err);

/* Frees the memory; the guest stays. */
void guest_free(struct guest *g);

static inline bool guest_active(const struct guest *g)
{
    return g->status == GUEST_CREATED || g->status == GUEST_RUNNING || g->status == GUEST_PAUSED;
}

static inline void cleanup_guest(struct guest **g)
{
    guest_free(*g);
}
#define AUTO_GUEST __attribute__((cleanup(cleanup_guest))) struct guest

int64_t realtime_ns(void);

/* The guest as `wirt inspect` shows it. */
json_object *guest_to_json(struct guest *g);

#endif
