/* Nodes and open files: what the guest's numbers stand for. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "machine/devices/fuse-internal.h"

/* Descriptors. */

/* Whether one more may be kept for as long as the guest likes: those that one request uses are
 * left. */
static bool may_keep(const struct fuse_server *s)
{
    return s->n_kept + FUSE_REQUEST_FDS < s->max_fds;
}

/* The node's descriptor, which is open, stays so. */
static void pin(struct fuse_server *s, struct fuse_node *n)
{
    TAILQ_REMOVE(&s->lru, n, lru);
    n->pinned = true;
    s->n_kept++;
}

static void unpin(struct fuse_server *s, struct fuse_node *n)
{
    TAILQ_INSERT_TAIL(&s->lru, n, lru);
    n->pinned = false;
    s->n_kept--;
}

static void close_node_fd(struct fuse_server *s, struct fuse_node *n)
{
    if (n->fd < 0)
        return;
    if (n->pinned)
        unpin(s, n);
    TAILQ_REMOVE(&s->lru, n, lru);
    close(n->fd);
    n->fd = -1;
    s->n_fds--;
}

int fuse_fd_reserve(struct fuse_server *s)
{
    if (s->n_fds < s->max_fds)
        return 0;
    struct fuse_node *oldest;
    TAILQ_FOREACH(oldest, &s->lru, lru)
    if (oldest->used != s->n_requests) {
        close_node_fd(s, oldest);
        return 0;
    }
    /* What is kept has left FUSE_REQUEST_FDS, and this request uses fewer. */
    assert(!"a descriptor that is not in use");
    return -ENFILE;
}

/* The node gets fd, for which a place was reserved. */
static void set_node_fd(struct fuse_server *s, struct fuse_node *n, int fd)
{
    n->fd = fd;
    s->n_fds++;
    TAILQ_INSERT_TAIL(&s->lru, n, lru);
}

static bool is_file(const struct fuse_node *n, const struct stat *st)
{
    return n->dev == st->st_dev && n->ino == st->st_ino && n->type == (st->st_mode & S_IFMT);
}

static int open_child(int folder, const struct fuse_node *n)
{
    struct stat st;
    int fd = openat(folder, n->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? -ESTALE : -errno;
    if (fstat(fd, &st) == 0 && is_file(n, &st))
        return fd;
    close(fd);
    return -ESTALE;
}

/* Opens the node again, by the names from the first open folder above it downwards. */
static int open_node(struct fuse_server *s, struct fuse_node *n)
{
    struct fuse_node *path[FUSE_MAX_DEPTH];
    unsigned depth = 0;
    struct fuse_node *above = n;
    for (; above->fd < 0; above = above->parent) {
        /* Also when names that the host changed meanwhile lead round in a circle. */
        if (depth == FUSE_MAX_DEPTH)
            return -ESTALE;
        path[depth++] = above;
    }
    int folder = above->fd;
    while (depth) {
        int fd = open_child(folder, path[--depth]);
        if (folder != above->fd)
            close(folder);
        if (fd < 0)
            return fd;
        folder = fd;
    }
    return folder;
}

int fuse_node_fd(struct fuse_server *s, struct fuse_node *n)
{
    n->used = s->n_requests;
    if (n->fd >= 0) {
        if (!n->pinned) {
            TAILQ_REMOVE(&s->lru, n, lru);
            TAILQ_INSERT_TAIL(&s->lru, n, lru);
        }
        return n->fd;
    }
    int fd = open_node(s, n);
    if (fd < 0)
        return fd;
    if (fuse_fd_reserve(s) < 0) {
        close(fd);
        return -ENFILE;
    }
    set_node_fd(s, n, fd);
    return fd;
}

int fuse_reopen(struct fuse_server *s, struct fuse_node *n, int flags)
{
    if (n->type != S_IFREG && n->type != S_IFDIR)
        return -EACCES;
    int node_fd = fuse_node_fd(s, n);
    int rc = node_fd < 0 ? node_fd : fuse_fd_reserve(s);
    if (rc < 0)
        return rc;
    char number[16];
    snprintf(number, sizeof number, "%d", node_fd);
    int fd = openat(s->proc_fd, number, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

/* Nodes. */

static uint32_t bucket(const struct fuse_server *s, dev_t dev, ino_t ino)
{
    uint64_t h = (ino ^ (uint64_t)dev << 40) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32) & (s->hash_size - 1);
}

static struct fuse_node *find_file(struct fuse_server *s, const struct stat *st)
{
    struct fuse_node *n = s->hash[bucket(s, st->st_dev, st->st_ino)];
    while (n && !is_file(n, st))
        n = n->next_hash;
    return n;
}

static void hash_add(struct fuse_server *s, struct fuse_node *n)
{
    struct fuse_node **b = &s->hash[bucket(s, n->dev, n->ino)];
    n->next_hash = *b;
    *b = n;
}

static void grow(struct fuse_server *s)
{
    uint32_t old = s->max_slots;
    s->max_slots = old ? 2 * old : 1024;
    s->nodes = xrealloc(s->nodes, s->max_slots * sizeof *s->nodes);
    s->generations = xrealloc(s->generations, s->max_slots * sizeof *s->generations);
    memset(s->generations + old, 0, (s->max_slots - old) * sizeof *s->generations);
    s->free_slots = xrealloc(s->free_slots, s->max_slots * sizeof *s->free_slots);
    free(s->hash);
    s->hash_size = s->max_slots;
    s->hash = xcalloc(s->hash_size, sizeof(struct fuse_node *));
    for (uint32_t i = 0; i < s->n_slots; i++)
        if (s->nodes[i])
            hash_add(s, s->nodes[i]);
}

/* A node for a file that has none; NULL: there are too many. */
static struct fuse_node *add_node(struct fuse_server *s, const struct stat *st)
{
    if (s->n_nodes >= FUSE_MAX_NODES)
        return NULL;
    if (!s->n_free && s->n_slots == s->max_slots)
        grow(s);
    uint32_t slot = s->n_free ? s->free_slots[--s->n_free] : s->n_slots++;
    struct fuse_node *n = xcalloc(1, sizeof *n);
    *n = (struct fuse_node){.id = (uint64_t)s->generations[slot] << 32 | (slot + 1),
                            .dev = st->st_dev,
                            .ino = st->st_ino,
                            .type = st->st_mode & S_IFMT,
                            .fd = -1};
    s->nodes[slot] = n;
    s->n_nodes++;
    hash_add(s, n);
    return n;
}

static void free_node(struct fuse_server *s, struct fuse_node *n)
{
    uint32_t slot = (uint32_t)n->id - 1;
    struct fuse_node **p = &s->hash[bucket(s, n->dev, n->ino)];
    while (*p != n)
        p = &(*p)->next_hash;
    *p = n->next_hash;
    close_node_fd(s, n);
    s->nodes[slot] = NULL;
    s->generations[slot]++; /* an id is never given twice */
    s->free_slots[s->n_free++] = slot;
    s->n_nodes--;
    free(n->name);
    free(n);
}

/* Frees the node, and then those above it, when nobody needs them any more. */
static void release(struct fuse_server *s, struct fuse_node *n)
{
    while (n->parent && !n->n_lookup && !n->n_children) {
        struct fuse_node *parent = n->parent;
        free_node(s, n);
        parent->n_children--;
        n = parent;
    }
}

struct fuse_node *fuse_node_find(struct fuse_server *s, uint64_t id)
{
    uint64_t slot = (id & UINT32_MAX) - 1;
    struct fuse_node *n = slot < s->n_slots ? s->nodes[slot] : NULL;
    return n && n->id == id && n->n_lookup ? n : NULL;
}

void fuse_node_moved(struct fuse_server *s, struct fuse_node *n, struct fuse_node *parent,
                     const char *name)
{
    if (!n || !n->parent) /* the root stays where it is */
        return;
    if (n->pinned) /* it has a name again */
        unpin(s, n);
    struct fuse_node *old = n->parent;
    if (strcmp(n->name, name) != 0) {
        free(n->name);
        n->name = xstrdup(name);
    }
    if (old == parent)
        return;
    n->parent = parent;
    parent->n_children++;
    old->n_children--;
    release(s, old);
}

int fuse_node_get(struct fuse_server *s, struct fuse_node *parent, const char *name, int fd,
                  struct fuse_node **out, struct stat *st)
{
    if (fstat(fd, st) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    struct fuse_node *n = find_file(s, st);
    if (!n) {
        if (fuse_fd_reserve(s) < 0 || !(n = add_node(s, st))) {
            close(fd);
            return -ENFILE;
        }
        n->parent = parent;
        parent->n_children++;
        n->name = xstrdup(name);
        set_node_fd(s, n, fd);
    } else {
        if (n->fd < 0 && fuse_fd_reserve(s) == 0)
            set_node_fd(s, n, fd);
        else
            close(fd);
        fuse_node_moved(s, n, parent, name);
    }
    n->n_lookup++;
    *out = n;
    return 0;
}

void fuse_node_forget(struct fuse_server *s, uint64_t id, uint64_t count)
{
    struct fuse_node *n = fuse_node_find(s, id);
    if (!n || !n->parent)
        return;
    n->n_lookup -= count < n->n_lookup ? count : n->n_lookup;
    release(s, n);
}

int fuse_node_named(struct fuse_server *s, struct fuse_node *parent, const char *name,
                    struct fuse_node **out)
{
    struct stat st;
    *out = NULL;
    int folder = fuse_node_fd(s, parent);
    if (folder < 0)
        return folder;
    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0; /* the operation itself will say why */
    struct fuse_node *n = find_file(s, &st);
    if (n && n->parent == parent && strcmp(n->name, name) == 0)
        *out = n;
    return 0;
}

int fuse_node_leaving(struct fuse_server *s, struct fuse_node *parent, const char *name,
                      struct fuse_node **out)
{
    int rc = fuse_node_named(s, parent, name, out);
    if (rc < 0 || !*out || (*out)->pinned)
        return rc;
    rc = may_keep(s) ? fuse_node_fd(s, *out) : -ENFILE;
    if (rc < 0)
        return rc;
    pin(s, *out);
    return 0;
}

void fuse_nodes_init(struct fuse_server *s, int root_fd, const struct stat *st)
{
    TAILQ_INIT(&s->lru);
    struct fuse_node *root = add_node(s, st);
    root->n_lookup = 1;
    set_node_fd(s, root, root_fd);
    pin(s, root);
}

void fuse_nodes_reset(struct fuse_server *s)
{
    for (uint32_t i = 0; i < s->n_handles; i++)
        if (s->handles[i].fd >= 0)
            fuse_handle_close(s, &s->handles[i]);
    for (uint32_t i = 1; i < s->n_slots; i++)
        if (s->nodes[i])
            free_node(s, s->nodes[i]);
    s->nodes[0]->n_children = 0;
}

void fuse_nodes_free(struct fuse_server *s)
{
    if (s->n_slots) {
        fuse_nodes_reset(s);
        free_node(s, s->nodes[0]);
    }
    free(s->nodes);
    free(s->generations);
    free(s->free_slots);
    free(s->hash);
    free(s->handles);
}

/* Open files. */

uint64_t fuse_handle_add(struct fuse_server *s, int fd, const struct fuse_node *n, bool folder)
{
    uint32_t i = 0;
    while (i < s->n_handles && s->handles[i].fd >= 0)
        i++;
    if (i == FUSE_MAX_HANDLES || !may_keep(s) || fuse_fd_reserve(s) < 0) {
        close(fd);
        return 0;
    }
    if (i == s->n_handles) {
        s->n_handles = s->n_handles ? 2 * s->n_handles : 64;
        s->handles = xrealloc(s->handles, s->n_handles * sizeof *s->handles);
        for (uint32_t k = i; k < s->n_handles; k++)
            s->handles[k] = (struct fuse_handle){.fd = -1};
    }
    struct fuse_handle *h = &s->handles[i];
    *h = (struct fuse_handle){
        .fd = fd, .generation = h->generation + 1, .node = n->id, .folder = folder};
    s->n_fds++;
    s->n_kept++;
    return (uint64_t)h->generation << 32 | i;
}

struct fuse_handle *fuse_handle_find(struct fuse_server *s, uint64_t id, uint64_t node, bool folder)
{
    uint64_t i = id & UINT32_MAX;
    struct fuse_handle *h = i < s->n_handles ? &s->handles[i] : NULL;
    return h && h->fd >= 0 && h->generation == id >> 32 && h->node == node && h->folder == folder
               ? h
               : NULL;
}

void fuse_handle_close(struct fuse_server *s, struct fuse_handle *h)
{
    close(h->fd);
    h->fd = -1;
    s->n_fds--;
    s->n_kept--;
}
