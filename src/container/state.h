/* The state folder of a container: ROOT/ID with state.json, config.json and, until it is started,
 * the socket its process waits at. */
#ifndef WIRT_CONTAINER_STATE_H
#define WIRT_CONTAINER_STATE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define START_SOCKET "start.sock"

struct state {
    char *id, *bundle, *rootfs, *created, *cgroup;
    size_t cgroup_made;
    pid_t pid;
    uint64_t start_time;  /* of pid, in ticks since boot: tells it from a later process */
    uint64_t shared_root; /* id of the root's mount if there is no mount namespace; else 0 */
    bool user_namespace;
    struct json_object *annotations; /* or NULL */
    int dirfd;
};

enum status {
    STATUS_CREATING,
    STATUS_CREATED,
    STATUS_RUNNING,
    STATUS_PAUSED,
    STATUS_STOPPED
};
const char *status_name(enum status s);

/* The folder all containers are in: root, or the user's default one. The caller frees. */
char *state_root(const char *root, struct error **err);
/* Letters, digits, '_', '+', '-', '.', at most 255, not "." or "..". */
int state_check_id(const char *id, struct error **err);
/* Makes ROOT/ID, which must not exist yet. Answers its descriptor. */
int state_make(const char *root, const char *id, struct error **err);
int state_save(const struct state *s, struct error **err);
struct state *state_load(const char *root, const char *id, struct error **err);
void state_free(struct state *s);
/* Removes ROOT/ID and what is in it. */
int state_remove(const char *root, const char *id, struct error **err);

enum status state_status(struct state *s);
/* The process's start time, 0 when it is gone or a zombie. */
uint64_t process_start_time(pid_t pid);

/* The state as runtime.md has it: {"ociVersion", "id", "status", "pid", "bundle", "annotations"}.
 */
struct json_object *state_json(const char *id, const char *status, pid_t pid, const char *bundle,
                               struct json_object *annotations);

#endif
