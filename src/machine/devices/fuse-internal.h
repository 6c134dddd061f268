/* What the parts of the FUSE server share. Handlers answer 0 or a negative errno. */
#ifndef WIRT_MACHINE_DEVICES_FUSE_INTERNAL_H
#define WIRT_MACHINE_DEVICES_FUSE_INTERNAL_H

#include <linux/fuse.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "machine/devices/fuse.h"

#define FUSE_MAX_NODES   (1u << 19)
#define FUSE_MAX_HANDLES (1u << 15)
#define FUSE_MAX_TEXT    4096u /* a symbolic link's target */
#define FUSE_MAX_DEPTH   1024  /* of folders, for a node whose descriptor was closed */
#define FUSE_DATA_PAGES  252   /* of data in a request: a queue's size less headers */
#define FUSE_PAGE        4096u
#define FUSE_REQUEST_FDS \
    8u /* more than a request uses at once: RENAME's two folders and two files */
#define FUSE_XATTR_MAX 65536u /* a value, or a list of names */
#define FUSE_BODY_MAX  (FUSE_XATTR_MAX + 1024)

/* A file that the guest knows by id. The descriptor (O_PATH) is a cache: it may be closed when
 * there are too many, and is opened again by parent and name, if the same file is found there.
 * What fuse_node_fd() has given stays open until the request is answered, however many others are
 * opened for it; and the guest's open files and removed ones (what is *kept*) never take the last
 * FUSE_REQUEST_FDS, so that what a request needs can be opened. */
struct fuse_node {
    uint64_t id;
    uint64_t n_lookup; /* references that the guest holds; 0: kept for its children only */
    uint64_t n_children;
    dev_t dev;
    ino_t ino;
    uint64_t used; /* the last request that got the descriptor */
    mode_t type;   /* S_IFMT bits */
    bool pinned;   /* has no name any more: the descriptor must stay */
    int fd;        /* or -1 */
    char *name;    /* in parent; NULL: the root */
    struct fuse_node *parent;
    struct fuse_node *next_hash;
    TAILQ_ENTRY(fuse_node) lru; /* when fd is open and not pinned */
};

struct fuse_handle {
    int fd; /* or -1: free */
    uint32_t generation;
    uint64_t node;
    bool folder;
};

struct fuse_server {
    bool readonly;
    char *only;              /* a single file is shared: the only name in the root; or NULL */
    bool root;               /* wirt is: files belong to the guest's users; else to its root */
    bool started;            /* INIT was answered */
    int proc_fd;             /* /proc/self/fd */
    unsigned max_fds, n_fds; /* of nodes and open files */
    unsigned n_kept;         /* of those: pinned, or open files */
    uint64_t n_requests;     /* begun so far: the number of the one being served */

    struct fuse_node **nodes; /* by the low half of the id, less 1; [0] is the root */
    uint32_t *generations;    /* the high half for the next node there */
    uint32_t n_slots, max_slots, n_nodes;
    uint32_t *free_slots;
    uint32_t n_free;
    struct fuse_node **hash; /* by (dev, ino) */
    uint32_t hash_size;
    TAILQ_HEAD(, fuse_node) lru; /* the longest unused first */

    struct fuse_handle *handles;
    uint32_t n_handles;

    struct fuse_request *request; /* the one being served: too large for a stack */
};

struct fuse_request {
    const struct vq_chain *chain;
    struct fuse_in_header in;
    struct fuse_node *node;
    const char *text[2];
    const uint8_t *rest; /* what follows arguments and strings */
    size_t rest_len;
    size_t room, reply_len; /* behind the fuse_out_header */
    union {
        uint64_t align;
        uint8_t bytes[FUSE_BODY_MAX];
    } body; /* a copy of what follows the header, except data to be written */
    uint8_t buffer[FUSE_XATTR_MAX];
};

/* fuse.c */

/* Adds to the reply; -EINVAL when the guest gave no room for it. */
int fuse_reply(struct fuse_request *r, const void *data, size_t len);

/* Files that are made from here on belong to the request's user. Only between these two. */
int fuse_become(struct fuse_server *s, const struct fuse_request *r);
void fuse_become_self(struct fuse_server *s);

/* fuse-node.c */

/* The root's descriptor is taken over. */
void fuse_nodes_init(struct fuse_server *s, int root_fd, const struct stat *st);
void fuse_nodes_reset(struct fuse_server *s); /* all but the root */
void fuse_nodes_free(struct fuse_server *s);

/* NULL: the guest has no such node. */
struct fuse_node *fuse_node_find(struct fuse_server *s, uint64_t id);

/* The node's O_PATH descriptor, which the node keeps; or a negative errno. It stays open during
 * the request. */
int fuse_node_fd(struct fuse_server *s, struct fuse_node *n);

/* One more reference to the file that fd (O_PATH, taken over in any case) names and that was found
 * at name in parent. */
int fuse_node_get(struct fuse_server *s, struct fuse_node *parent, const char *name, int fd,
                  struct fuse_node **out, struct stat *st);
void fuse_node_forget(struct fuse_server *s, uint64_t id, uint64_t n);

/* The node that the guest knows by that name in parent; *out may be NULL. 0 or a negative errno. */
int fuse_node_named(struct fuse_server *s, struct fuse_node *parent, const char *name,
                    struct fuse_node **out);

/* Around the removal of a name: keep what the guest still knows of the file; *out may be NULL. */
int fuse_node_leaving(struct fuse_server *s, struct fuse_node *parent, const char *name,
                      struct fuse_node **out);
void fuse_node_moved(struct fuse_server *s, struct fuse_node *n, struct fuse_node *parent,
                     const char *name);

/* An open file's id, or 0 with fd closed: too many. Takes fd over. */
uint64_t fuse_handle_add(struct fuse_server *s, int fd, const struct fuse_node *n, bool folder);
struct fuse_handle *fuse_handle_find(struct fuse_server *s, uint64_t id, uint64_t node,
                                     bool folder);
void fuse_handle_close(struct fuse_server *s, struct fuse_handle *h);

/* A descriptor more, within the limit: the longest unused node loses its own. */
int fuse_fd_reserve(struct fuse_server *s);

/* Opens the file itself: regular files and folders only. A descriptor or a negative errno. */
int fuse_reopen(struct fuse_server *s, struct fuse_node *n, int flags);

/* fuse-inode.c */

void fuse_fill_attr(const struct fuse_server *s, struct fuse_attr *a, const struct stat *st);
/* Looks name up in folder, taking a reference. */
int fuse_lookup_entry(struct fuse_server *s, struct fuse_node *folder, const char *name,
                      struct fuse_entry_out *out);
/* The entry for a new reference to a node. */
void fuse_fill_entry(const struct fuse_server *s, struct fuse_entry_out *e,
                     const struct fuse_node *n, const struct stat *st);
/* Clears what may not survive a write by someone without the right to: setuid, setgid. */
int fuse_kill_suidgid(int fd);

typedef int fuse_fn(struct fuse_server *s, struct fuse_request *r);

fuse_fn fuse_lookup, fuse_getattr, fuse_setattr, fuse_readlink, fuse_symlink, fuse_mknod,
    fuse_mkdir, fuse_unlink, fuse_rmdir, fuse_rename, fuse_rename2, fuse_link, fuse_statfs;
/* fuse-io.c */
fuse_fn fuse_open, fuse_create, fuse_read, fuse_write, fuse_release, fuse_fsync, fuse_lseek,
    fuse_fallocate, fuse_copy_file_range;
/* fuse-dir.c */
fuse_fn fuse_opendir, fuse_readdir, fuse_readdirplus, fuse_releasedir, fuse_fsyncdir;
/* fuse-xattr.c */
fuse_fn fuse_setxattr, fuse_getxattr, fuse_listxattr, fuse_removexattr;

#endif
