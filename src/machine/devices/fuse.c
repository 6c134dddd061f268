/* The FUSE server's front: requests are taken apart and checked by a table, then dispatched. */
#include "machine/devices/fuse.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/securebits.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "machine/devices/fuse-internal.h"
#include "machine/machine.h"

#define HEADER_LEN (sizeof(struct fuse_in_header))
#define REPLY_LEN  (sizeof(struct fuse_out_header))
#define MIN_MINOR  31 /* of protocol 7: the first with virtio-fs */

static fuse_fn do_init, do_forget, do_batch_forget, do_interrupt, do_destroy;

enum {
    NO_NODE = 1, /* the header's node id means nothing */
    NO_REPLY = 2,
    WRITES = 4, /* refused by a read-only share */
    BULK = 8,   /* data follows the arguments, and stays where it is */
};

/* Strings after the arguments: n: a name in a folder, t: any text. */
struct operation {
    fuse_fn *fn;
    uint16_t arg_len;
    uint8_t flags;
    char strings[3];
};

#define ARG(name) sizeof(struct fuse_##name##_in)

/* What is not here is answered with ENOSYS, after which Linux does without: ACCESS (the guest's
 * kernel checks permissions itself), FLUSH (writes are not held back here), locks (the guest's
 * own), IOCTL, POLL, BMAP, SYNCFS, TMPFILE, DAX. */
static const struct operation operations[] = {
    [FUSE_LOOKUP] = {fuse_lookup, 0, 0, "n"},
    [FUSE_FORGET] = {do_forget, ARG(forget), NO_NODE | NO_REPLY, ""},
    [FUSE_GETATTR] = {fuse_getattr, ARG(getattr), 0, ""},
    [FUSE_SETATTR] = {fuse_setattr, ARG(setattr), WRITES, ""},
    [FUSE_READLINK] = {fuse_readlink, 0, 0, ""},
    [FUSE_SYMLINK] = {fuse_symlink, 0, WRITES, "nt"},
    [FUSE_MKNOD] = {fuse_mknod, ARG(mknod), WRITES, "n"},
    [FUSE_MKDIR] = {fuse_mkdir, ARG(mkdir), WRITES, "n"},
    [FUSE_UNLINK] = {fuse_unlink, 0, WRITES, "n"},
    [FUSE_RMDIR] = {fuse_rmdir, 0, WRITES, "n"},
    [FUSE_RENAME] = {fuse_rename, ARG(rename), WRITES, "nn"},
    [FUSE_LINK] = {fuse_link, ARG(link), WRITES, "n"},
    [FUSE_OPEN] = {fuse_open, ARG(open), 0, ""},
    [FUSE_READ] = {fuse_read, ARG(read), 0, ""},
    [FUSE_WRITE] = {fuse_write, ARG(write), WRITES | BULK, ""},
    [FUSE_STATFS] = {fuse_statfs, 0, 0, ""},
    [FUSE_RELEASE] = {fuse_release, ARG(release), 0, ""},
    [FUSE_FSYNC] = {fuse_fsync, ARG(fsync), 0, ""},
    [FUSE_SETXATTR] = {fuse_setxattr, FUSE_COMPAT_SETXATTR_IN_SIZE, WRITES, "t"},
    [FUSE_GETXATTR] = {fuse_getxattr, ARG(getxattr), 0, "t"},
    [FUSE_LISTXATTR] = {fuse_listxattr, ARG(getxattr), 0, ""},
    [FUSE_REMOVEXATTR] = {fuse_removexattr, 0, WRITES, "t"},
    [FUSE_INIT] = {do_init, 16, NO_NODE, ""},
    [FUSE_OPENDIR] = {fuse_opendir, ARG(open), 0, ""},
    [FUSE_READDIR] = {fuse_readdir, ARG(read), 0, ""},
    [FUSE_RELEASEDIR] = {fuse_releasedir, ARG(release), 0, ""},
    [FUSE_FSYNCDIR] = {fuse_fsyncdir, ARG(fsync), 0, ""},
    [FUSE_CREATE] = {fuse_create, ARG(create), WRITES, "n"},
    [FUSE_INTERRUPT] = {do_interrupt, ARG(interrupt), NO_NODE | NO_REPLY, ""},
    [FUSE_DESTROY] = {do_destroy, 0, NO_NODE, ""},
    [FUSE_BATCH_FORGET] = {do_batch_forget, ARG(batch_forget), NO_NODE | NO_REPLY, ""},
    [FUSE_FALLOCATE] = {fuse_fallocate, ARG(fallocate), WRITES, ""},
    [FUSE_READDIRPLUS] = {fuse_readdirplus, ARG(read), 0, ""},
    [FUSE_RENAME2] = {fuse_rename2, ARG(rename2), WRITES, "nn"},
    [FUSE_LSEEK] = {fuse_lseek, ARG(lseek), 0, ""},
    [FUSE_COPY_FILE_RANGE] = {fuse_copy_file_range, ARG(copy_file_range), WRITES, ""},
};

int fuse_reply(struct fuse_request *r, const void *data, size_t len)
{
    if (len > r->room - r->reply_len)
        return -EINVAL;
    vq_chain_write(r->chain, REPLY_LEN + r->reply_len, data, len);
    r->reply_len += len;
    return 0;
}

/* INIT settles what both sides can do. */
static int do_init(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_init_in *in = (const void *)r->body.bytes;
    const uint32_t flags = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |
                           FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO |
                           FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES |
                           FUSE_CACHE_SYMLINKS | FUSE_HANDLE_KILLPRIV_V2;
    struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION};
    if (in->major > FUSE_KERNEL_VERSION)
        return fuse_reply(r, &out, sizeof out); /* it asks again with our version */
    if (in->major < FUSE_KERNEL_VERSION || in->minor < MIN_MINOR)
        return -EPROTO;
    fuse_nodes_reset(s);
    s->started = true;
    out.max_readahead = in->max_readahead;
    out.flags = in->flags & flags;
    out.max_background = 64;
    out.congestion_threshold = 48;
    out.max_write = FUSE_DATA_PAGES * FUSE_PAGE;
    out.max_pages = FUSE_DATA_PAGES;
    out.time_gran = 1;
    return fuse_reply(r, &out, sizeof out);
}

static int do_destroy(struct fuse_server *s, struct fuse_request *r)
{
    fuse_server_reset(s);
    return 0;
}

static int do_interrupt(struct fuse_server *s, struct fuse_request *r)
{
    return 0; /* requests are short: each is done before the next is looked at */
}

static int do_forget(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_forget_in *in = (const void *)r->body.bytes;
    fuse_node_forget(s, r->in.nodeid, in->nlookup);
    return 0;
}

static int do_batch_forget(struct fuse_server *s, struct fuse_request *r)
{
    const struct fuse_batch_forget_in *in = (const void *)r->body.bytes;
    for (size_t i = 0; i < in->count && i < r->rest_len / sizeof(struct fuse_forget_one); i++) {
        struct fuse_forget_one one;
        memcpy(&one, r->rest + i * sizeof one, sizeof one);
        fuse_node_forget(s, one.nodeid, one.nlookup);
    }
    return 0;
}

/* A name in a folder: one component, and not the folder itself or the one above. */
static bool is_name(const char *name)
{
    size_t len = strlen(name);
    return len && len <= NAME_MAX && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

/* Copies what follows the header and finds the strings in it. */
static int take_body(struct fuse_request *r, const struct operation *op)
{
    size_t len = r->in.len - HEADER_LEN;
    if (len < op->arg_len)
        return -EINVAL;
    if (op->flags & BULK)
        len = op->arg_len;
    else if (len > sizeof r->body.bytes)
        return -E2BIG;
    vq_chain_read(r->chain, HEADER_LEN, r->body.bytes, len);
    const uint8_t *p = r->body.bytes + op->arg_len, *end = r->body.bytes + len;
    for (unsigned i = 0; op->strings[i]; i++) {
        const uint8_t *nul = memchr(p, 0, (size_t)(end - p));
        if (!nul || nul - p >= FUSE_MAX_TEXT)
            return nul ? -ENAMETOOLONG : -EINVAL;
        r->text[i] = (const char *)p;
        if (op->strings[i] == 'n' && !is_name(r->text[i]))
            return nul - p > NAME_MAX ? -ENAMETOOLONG : -EINVAL;
        p = nul + 1;
    }
    r->rest = p;
    r->rest_len = (size_t)(end - p);
    return 0;
}

static const struct operation *find_operation(uint32_t opcode)
{
    static const struct operation unknown = {0};
    return opcode < sizeof operations / sizeof *operations ? &operations[opcode] : &unknown;
}

/* What a request may do to the root of a single file's share. */
static int check_single(struct fuse_server *s, struct fuse_request *r, const struct operation *op)
{
    struct stat st;
    if (op->fn == fuse_getattr || op->fn == fuse_statfs)
        return 0;
    if (op->fn != fuse_lookup)
        return -EACCES;
    int root = fuse_node_fd(s, r->node);
    if (root < 0)
        return root;
    if (strcmp(r->text[0], MACHINE_SHARE_FILE) != 0 ||
        fstatat(root, s->only, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return -ENOENT;
    r->text[0] = s->only;
    return 0;
}

static int dispatch(struct fuse_server *s, struct fuse_request *r, const struct operation *op)
{
    if (!op->fn)
        return -ENOSYS;
    if (!s->started && op->fn != do_init)
        return -EIO;
    int rc = take_body(r, op);
    if (rc < 0)
        return rc;
    if (!(op->flags & NO_NODE) && !(r->node = fuse_node_find(s, r->in.nodeid)))
        return -ESTALE;
    if ((op->flags & WRITES) && s->readonly)
        return -EROFS;
    if (s->only && r->node && !r->node->parent && (rc = check_single(s, r, op)) < 0)
        return rc;
    return op->fn(s, r);
}

int64_t fuse_serve(struct fuse_server *s, const struct vq_chain *chain)
{
    struct fuse_request *r = s->request;
    if (vq_chain_read(chain, 0, &r->in, HEADER_LEN) < HEADER_LEN || r->in.len < HEADER_LEN ||
        r->in.len > chain->out_len)
        return -1;
    const struct operation *op = find_operation(r->in.opcode);
    bool reply = !(op->flags & NO_REPLY);
    if (reply && chain->in_len < REPLY_LEN)
        return -1;
    s->n_requests++;
    r->chain = chain;
    r->node = NULL;
    r->reply_len = 0;
    r->room = reply ? chain->in_len - REPLY_LEN : 0;
    int rc = dispatch(s, r, op);
    if (!reply)
        return 0;
    struct fuse_out_header out = {.len = (uint32_t)(REPLY_LEN + (rc < 0 ? 0 : r->reply_len)),
                                  .error = rc < 0 ? rc : 0,
                                  .unique = r->in.unique};
    vq_chain_write(chain, 0, &out, sizeof out);
    return out.len;
}

/* Who makes files. The guest's kernel has checked what its user may do; here it only matters whom a
 * new file belongs to, so the capabilities stay (see fuse_enter_thread). */

int fuse_become(struct fuse_server *s, const struct fuse_request *r)
{
    if (!s->root)
        return 0;
    setfsgid(r->in.gid);
    setfsuid(r->in.uid);
    /* An invalid id changes nothing and answers the present one: the only way to check. */
    if ((gid_t)setfsgid((gid_t)-1) == r->in.gid && (uid_t)setfsuid((uid_t)-1) == r->in.uid)
        return 0;
    fuse_become_self(s);
    return -EPERM;
}

void fuse_become_self(struct fuse_server *s)
{
    if (!s->root)
        return;
    setfsuid(geteuid());
    setfsgid(getegid());
}

void fuse_enter_thread(struct fuse_server *s)
{
    /* The umask is the guest's kernel's matter; only this thread's becomes 0. */
    if (unshare(CLONE_FS) == 0)
        umask(0);
    if (!s->root)
        return;
    /* By the bare system calls, both are the thread's. Where they are not allowed, files are made
     * with fewer rights, never with more. */
    (void)!syscall(SYS_setgroups, 0, NULL);
    (void)!prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP);
}

/* The server's life. */

void fuse_server_reset(struct fuse_server *s)
{
    fuse_nodes_reset(s);
    s->started = false;
}

int fuse_open_root(const char *path, char **only)
{
    struct stat st;
    AUTO_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -1;
    if (!S_ISREG(st.st_mode))
        return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_FREE char *real = realpath(path, NULL);
    if (!real)
        return -1;
    char *slash = strrchr(real, '/');
    *only = xstrdup(slash + 1);
    slash[slash == real] = '\0';
    return open(real, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

struct fuse_server *fuse_server_new(int root, const char *only, bool readonly, unsigned max_fds,
                                    struct error **err)
{
    struct stat st;
    int proc = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (proc < 0 || fstat(root, &st) < 0) {
        error_set(err, errno, proc < 0 ? "open /proc/self/fd" : "stat");
        close(root);
        if (proc >= 0)
            close(proc);
        return NULL;
    }
    assert(max_fds > 2 * FUSE_REQUEST_FDS);
    struct fuse_server *s = xcalloc(1, sizeof *s);
    s->readonly = readonly;
    s->only = only ? xstrdup(only) : NULL;
    s->root = geteuid() == 0;
    s->proc_fd = proc;
    s->max_fds = max_fds;
    s->request = xcalloc(1, sizeof *s->request);
    fuse_nodes_init(s, root, &st);
    return s;
}

void fuse_server_free(struct fuse_server *s)
{
    if (!s)
        return;
    fuse_nodes_free(s);
    close(s->proc_fd);
    free(s->only);
    free(s->request);
    free(s);
}
