/* The state folder of a container: ROOT/ID with state.json, config.json and, until it is started,
 * the socket its process waits at.
 *
 * The rule: what is made for a container is written down before it is made. The folder comes first,
 * then a state.json with the control group, then the group; the process, which ends by itself when
 * its maker does not answer, is written down before it is told to go on. So whoever makes a
 * container may die at any time: what there is of it is found and taken away by `delete --force`.
 */
#ifndef WIRT_CONTAINER_STATE_H
#define WIRT_CONTAINER_STATE_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "container/shared_root.h"

#define START_SOCKET "start.sock"
/* Beside the containers' folders: no id can be this. */
#define STATE_CACHE "@cache"

struct state {
    char *id, *bundle, *rootfs, *created, *cgroup;
    size_t cgroup_made;
    pid_t pid;            /* 0: it is being created, and has no process yet */
    uint64_t start_time;  /* of pid, in ticks since boot: tells it from a later process */
    pid_t maker;          /* who is creating it; matters as long as there is no pid */
    uint64_t maker_start; /* its start time */
    struct shared_root shared_root;
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
/* The control group of a container whose config asks for none. The caller frees. */
char *state_cgroup(const char *id);
/* Makes ROOT/ID, which must not exist yet. Answers its descriptor. */
int state_make(const char *root, const char *id, struct error **err);
int state_save(const struct state *s, struct error **err);
/* code ENOENT: there is no such container, or nothing of it was made yet. */
struct state *state_load(const char *root, const char *id, struct error **err);
/* What can be told of a container whose state.json cannot be read: its process, from a second note
 * in the folder, and the control group that its config asks for. Never NULL. */
struct state *state_salvage(const char *root, const char *id);
void state_free(struct state *s);
/* Removes ROOT/ID and what is in it. */
int state_remove(const char *root, const char *id, struct error **err);

enum status state_status(struct state *s);
/* The process's start time, 0 when it is gone or a zombie; PROCESS_UNKNOWN when it cannot be told
 * (too many open files, say), which must not be taken for either. */
uint64_t process_start_time(pid_t pid);
#define PROCESS_UNKNOWN UINT64_MAX
/* Whether it has executed a program since it was forked, as far as can be seen: a process that is
 * gone may have. */
bool process_executed(pid_t pid);

/* The state as runtime.md has it: {"ociVersion", "id", "status", "pid", "bundle", "annotations"}.
 */
struct json_object *state_json(const char *id, const char *status, pid_t pid, const char *bundle,
                               struct json_object *annotations);

#endif
