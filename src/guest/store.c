#include "guest/store.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "guest/json.h"

#define NAME_MAX_LEN 64

/* How long the names are waited for. */
#define LOCK_MS 10000

static char *default_path(struct error **err)
{
    if (geteuid() == 0)
        return xstrdup("/run/wirt");
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (runtime && runtime[0] == '/')
        return xasprintf("%s/wirt", runtime);
    AUTO_FREE char *user = xasprintf("/run/user/%u", (unsigned)geteuid());
    if (access(user, W_OK) == 0)
        return xasprintf("%s/wirt", user);
    return xasprintf("/tmp/wirt-%u", (unsigned)geteuid());
}

static int open_folder(int dirfd, const char *path, struct error **err)
{
    if (mkdirat(dirfd, path, 0700) < 0 && errno != EEXIST)
        return error_set(err, errno, "create folder %s", path);
    int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "open folder %s", path);
    struct stat st;
    if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 022)) {
        close(fd);
        return error_set(err, 0,
                         "state folder %s: must belong to you (uid %u) and be writable by nobody "
                         "else; choose another with --root",
                         path, (unsigned)geteuid());
    }
    return fd;
}

int store_folder(struct store *s, const char *name, struct error **err)
{
    return open_folder(s->fd, name, err);
}

int store_open(struct store *s, const char *path, struct error **err)
{
    *s = (struct store){.fd = -1, .guests_fd = -1, .names_fd = -1};
    s->path = path ? realpath(path, NULL) : NULL;
    if (!s->path)
        s->path = path ? xstrdup(path) : default_path(err);
    if (s->path[0] != '/') {
        AUTO_FREE char *rel = s->path;
        AUTO_FREE char *cwd = getcwd(NULL, 0);
        s->path = xasprintf("%s/%s", cwd ? cwd : "", rel);
    }
    if (mkdir_all(s->path, 0700, err) < 0 || (s->fd = open_folder(AT_FDCWD, s->path, err)) < 0 ||
        (s->guests_fd = open_folder(s->fd, "guests", err)) < 0 ||
        (s->names_fd = open_folder(s->fd, "names", err)) < 0) {
        store_close(s);
        return -1;
    }
    return 0;
}

void store_close(struct store *s)
{
    int fds[] = {s->fd, s->guests_fd, s->names_fd};
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    free(s->path);
    *s = (struct store){.fd = -1, .guests_fd = -1, .names_fd = -1};
}

static bool valid_id(const char *s)
{
    return strlen(s) == GUEST_ID_LEN && strspn(s, "0123456789abcdef") == GUEST_ID_LEN;
}

static bool valid_name(const char *s)
{
    if (!isalnum((unsigned char)s[0]) || strlen(s) > NAME_MAX_LEN)
        return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr("_.-", *s))
            return false;
    return true;
}

int store_new_id(struct store *s, char id[GUEST_ID_LEN + 1], struct error **err)
{
    for (;;) {
        unsigned char r[GUEST_ID_LEN / 2];
        if (getrandom(r, sizeof r, 0) != sizeof r)
            return error_set(err, errno, "getrandom");
        for (size_t i = 0; i < sizeof r; i++)
            snprintf(id + 2 * i, 3, "%02x", r[i]);
        /* Docker's rule: an id must not look like a number, so that it cannot be taken for one. */
        if (strspn(id, "0123456789") == GUEST_ID_LEN)
            continue;
        if (mkdirat(s->guests_fd, id, 0700) == 0)
            return 0;
        if (errno != EEXIST)
            return error_set(err, errno, "create folder %s/guests/%s", s->path, id);
    }
}

static int lock_names(struct store *s, struct error **err)
{
    int fd = openat(s->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set(err, errno, "open %s/lock", s->path);
    /* One that was stopped with the lock in hand holds up nobody for ever. */
    for (int ms = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; ms++) {
        int e = errno;
        if ((e != EWOULDBLOCK && e != EINTR) || ms >= LOCK_MS) {
            close(fd);
            return error_set(err, e, "lock %s/lock", s->path);
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return fd;
}

/* What a name's link says: 0; -1 with errno, ENOENT when there is none or it is damaged. Anything
 * else says nothing of whose it is. */
static int read_name(struct store *s, const char *name, char id[GUEST_ID_LEN + 1])
{
    char buf[GUEST_ID_LEN + 2];
    ssize_t n = readlinkat(s->names_fd, name, buf, sizeof buf);
    if (n < 0) {
        errno = errno == EINVAL ? ENOENT : errno; /* no link */
        return -1;
    }
    errno = ENOENT; /* it is nobody's name */
    if (n != GUEST_ID_LEN)
        return -1;
    buf[n] = '\0';
    if (!valid_id(buf))
        return -1;
    memcpy(id, buf, GUEST_ID_LEN + 1);
    return 0;
}

static char *pick_name(void)
{
    static const char *const first[] = {"brave",  "calm",  "clever", "early", "gentle",  "happy",
                                        "kind",   "late",  "lively", "merry", "patient", "quiet",
                                        "silent", "sunny", "tired",  "witty"};
    static const char *const second[] = {
        "baker",  "carter",  "envoy", "fiddler", "guest",  "miller",  "monk",   "painter",
        "pedlar", "pilgrim", "poet",  "rider",   "sailor", "scholar", "tinker", "wanderer"};
    unsigned char r[3];
    if (getrandom(r, sizeof r, 0) != sizeof r)
        memset(r, 0, sizeof r);
    return xasprintf("%s_%s%u", first[r[0] % 16], second[r[1] % 16], r[2]);
}

int store_take_name(struct store *s, const char *name, const char *id, char **taken,
                    struct error **err)
{
    if (name && !valid_name(name))
        return error_set(err, 0,
                         "--name '%s': a name begins with a letter or digit, goes on with "
                         "letters, digits, '_', '.' or '-', and has at most %d",
                         name, NAME_MAX_LEN);
    AUTO_CLOSE int lock = lock_names(s, err);
    if (lock < 0)
        return -1;
    for (int try = 0;; try++) {
        AUTO_FREE char *n = name ? xstrdup(name) : pick_name();
        if (symlinkat(id, s->names_fd, n) == 0) {
            *taken = STEAL_PTR(n);
            return 0;
        }
        if (errno != EEXIST)
            return error_set(err, errno, "create %s/names/%s", s->path, n);
        char owner[GUEST_ID_LEN + 1];
        int r = read_name(s, n, owner);
        if (r == 0)
            r = faccessat(s->guests_fd, owner, F_OK, AT_SYMLINK_NOFOLLOW);
        if (r < 0 && errno != ENOENT)
            return error_set(err, errno, "look whose name %s/names/%s is", s->path, n);
        if (r < 0) {
            if (unlinkat(s->names_fd, n, 0) < 0)
                return error_set(err, errno, "remove the unused name %s/names/%s", s->path, n);
        } else if (name) {
            return error_set(err, 0,
                             "the name \"%s\" is taken by guest %.12s; remove it (wirt rm %s) or "
                             "choose another",
                             name, owner, name);
        }
        if (try > 1000)
            return error_set(err, 0, "no free name found: give one with --name");
    }
}

static int drop_name(struct store *s, const char *name, const char *id, struct error **err)
{
    char owner[GUEST_ID_LEN + 1];
    if (!valid_name(name))
        return 0;
    if (read_name(s, name, owner) < 0)
        return errno == ENOENT ? 0 : error_set(err, errno, "read %s/names/%s", s->path, name);
    if (!strcmp(owner, id) && unlinkat(s->names_fd, name, 0) < 0)
        return error_set(err, errno, "remove %s/names/%s", s->path, name);
    return 0;
}

int store_drop_name(struct store *s, const char *name, const char *id, struct error **err)
{
    AUTO_CLOSE int lock = lock_names(s, err);
    if (lock < 0)
        return -1;
    if (name)
        return drop_name(s, name, id, err);
    AUTO_CLOSE int fd = openat(s->names_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSEDIR DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d)
        return error_set(err, errno, "list %s/names", s->path);
    fd = -1;
    for (struct dirent *e; errno = 0, (e = readdir(d));)
        if (e->d_name[0] != '.' && drop_name(s, e->d_name, id, err) < 0)
            return -1;
    return errno ? error_set(err, errno, "list %s/names", s->path) : 0;
}

int store_resolve(struct store *s, const char *ref, char id[GUEST_ID_LEN + 1], struct error **err)
{
    char owner[GUEST_ID_LEN + 1];
    if (valid_name(ref)) {
        int r = read_name(s, ref, owner);
        if (r == 0 && (r = faccessat(s->guests_fd, owner, F_OK, AT_SYMLINK_NOFOLLOW)) == 0) {
            memcpy(id, owner, GUEST_ID_LEN + 1);
            return 0;
        }
        if (errno != ENOENT)
            return error_set(err, errno, "look for the name %s", ref);
    }
    size_t len = strlen(ref);
    char **ids = store_list(s, err);
    if (!ids)
        return -1;
    int found = 0;
    for (char **p = ids; len && *p; p++) {
        if (strncmp(*p, ref, len))
            continue;
        memcpy(id, *p, GUEST_ID_LEN + 1);
        found++;
    }
    strv_free(ids);
    if (found == 1)
        return 0;
    if (found)
        return error_set(err, 0, "\"%s\" is the beginning of %d ids: give more digits", ref, found);
    return error_set(err, 0, "no guest has the name or id \"%s\" (wirt ps -a lists them)", ref);
}

static int compare_strings(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **store_list(struct store *s, struct error **err)
{
    AUTO_CLOSE int fd = openat(s->guests_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSEDIR DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        error_set(err, errno, "list %s/guests", s->path);
        return NULL;
    }
    fd = -1;
    char **v = xcalloc(1, sizeof *v);
    for (struct dirent *e; errno = 0, (e = readdir(d));)
        if (valid_id(e->d_name))
            v = strv_add(v, xstrdup(e->d_name));
    if (errno) {
        error_set(err, errno, "list %s/guests", s->path);
        strv_free(v);
        return NULL;
    }
    qsort(v, strv_len(v), sizeof *v, compare_strings);
    return v;
}

static int remove_below(int fd, dev_t dev, struct error **err)
{
    AUTO_CLOSEDIR DIR *d = fdopendir(fd);
    if (!d) {
        close(fd);
        return error_set(err, errno, "list a folder");
    }
    struct dirent *e;
    while ((e = readdir(d))) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        if (unlinkat(fd, e->d_name, 0) == 0 || errno == ENOENT)
            continue;
        if (errno != EISDIR && errno != EPERM)
            return error_set(err, errno, "remove %s", e->d_name);
        int sub = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;
        if (sub < 0)
            return error_set(err, errno, "open folder %s", e->d_name);
        if (fstat(sub, &st) < 0 || st.st_dev != dev) {
            close(sub);
            return error_set(err, EBUSY, "%s: another file system is mounted there", e->d_name);
        }
        if (remove_below(sub, dev, err) < 0)
            return -1;
        if (unlinkat(fd, e->d_name, AT_REMOVEDIR) < 0)
            return error_set(err, errno, "remove folder %s", e->d_name);
    }
    return 0;
}

int remove_tree_at(int dirfd, const char *name, struct error **err)
{
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : error_set(err, errno, "open folder %s", name);
    struct stat st;
    if (fstat(fd, &st) < 0) {
        close(fd);
        return error_set(err, errno, "stat %s", name);
    }
    if (remove_below(fd, st.st_dev, err) < 0)
        return error_prefix(err, "remove %s", name);
    if (unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return error_set(err, errno, "remove folder %s", name);
    return 0;
}
