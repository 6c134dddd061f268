/* System call filters (seccomp(2)), compiled by libseccomp from linux.seccomp. */
#ifndef WIRT_CONTAINER_SECCOMP_H
#define WIRT_CONTAINER_SECCOMP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "container/config.h"

struct seccomp_filter {
    void *program;  /* struct sock_filter[]; NULL: no filter */
    size_t len;     /* instructions */
    unsigned flags; /* SECCOMP_FILTER_FLAG_* */
    bool notify;
    const char *listener_path, *listener_metadata; /* borrowed from the config */
};

/* Compiles linux.seccomp, or takes the compiled filter out of the cache: a folder below cache_dir,
 * where a filter lies under the hash of the JSON it came from, beside that JSON itself, so that
 * equal hashes of different filters are told apart. cache_dir NULL: no cache. */
int seccomp_prepare(const struct config *c, const char *cache_dir, struct seccomp_filter *f,
                    struct error **err);
/* Loads it into the calling process. Answers the listener's descriptor when the filter notifies,
 * else 0; -1 on failure. */
int seccomp_install(const struct seccomp_filter *f, struct error **err);
void seccomp_free(struct seccomp_filter *f);

/* Connects to linux.seccomp.listenerPath: by the runtime, whose paths and rights are meant. */
int seccomp_connect(const struct seccomp_filter *f, struct error **err);
/* Hands the listener over with the state of the container process (config-linux.md, The Container
 * Process State). pid: as the runtime sees it. */
int seccomp_send_listener(const struct seccomp_filter *f, int sock, int fd, pid_t pid,
                          const char *state, struct error **err);

#endif
