/* A shared folder, or a single shared file, whose guest sends any requests: nothing outside may be
 * reached, and replies stay within the room given. Numbers that the server gave are used again,
 * names come from a list of tempting ones. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "machine/devices/fuse.h"
#include "machine/machine.h"

#define ROOM      4096u
#define MAX_KNOWN 16

#define SECRET "what the host keeps"

static char base[] = "/dev/shm/wirt-fuzz-XXXXXX"; /* in memory: quick */
static char folder[64], secret[64];

static void check(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "does not hold: %s\n", what);
        abort();
    }
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void remove_base(void)
{
    nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    check(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), path);
    close(fd);
}

/* base/secret is beside the shared folder base/shared. */
static void prepare(void)
{
    static int done;
    char path[128];
    if (!done) {
        /* A guest may make large files; here they would only cost time. */
        struct rlimit l = {1 << 20, 1 << 20};
        check(mkdtemp(base) && setrlimit(RLIMIT_FSIZE, &l) == 0, "a folder");
        signal(SIGXFSZ, SIG_IGN);
        atexit(remove_base);
        snprintf(folder, sizeof folder, "%s/shared", base);
        snprintf(secret, sizeof secret, "%s/secret", base);
        write_file(secret, SECRET);
        done = 1;
    }
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    check(mkdir(folder, 0700) == 0, folder);
    snprintf(path, sizeof path, "%s/a", folder);
    write_file(path, "content");
    snprintf(path, sizeof path, "%s/dir", folder);
    check(mkdir(path, 0700) == 0, path);
    snprintf(path, sizeof path, "%s/link", folder);
    check(symlink("../secret", path) == 0, path);
    snprintf(path, sizeof path, "%s/dir/up", folder);
    check(symlink("../..", path) == 0, path);
}

static void check_secret(void)
{
    struct stat st;
    char text[32] = "";
    int fd = open(secret, O_RDONLY | O_CLOEXEC);
    check(fd >= 0 && read(fd, text, sizeof text - 1) > 0 && !strcmp(text, SECRET), "content");
    check(fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0600 && st.st_nlink == 1, "attributes");
    close(fd);
}

/* Of a single file's folder, the others are as they were. */
static void check_others(void)
{
    unsigned n = 0;
    DIR *d = opendir(folder);
    check(d != NULL, folder);
    while (readdir(d))
        n++;
    closedir(d);
    check(n == 5, "a, dir and link are all there is"); /* and . and .. */
    check(faccessat(AT_FDCWD, folder, W_OK, 0) == 0, "the folder's mode");
}

static const char *const names[] = {
    "a",         "b",           "dir",    "link",  "up",
    "new",       "..",          ".",      "",      "a/b",
    "../secret", "/etc/passwd", "user.x", "a\n\t", MACHINE_SHARE_FILE};
#define N_NAMES (sizeof names / sizeof *names)

struct known {
    uint64_t id[MAX_KNOWN];
    unsigned n;
};

static void learn(struct known *k, const uint8_t *reply, size_t at, size_t len)
{
    if (at + 8 <= len)
        memcpy(&k->id[k->n++ % MAX_KNOWN], reply + at, 8);
}

/* A number that the server gave, or any. */
static uint64_t pick(struct input *in, const struct known *k)
{
    uint64_t n = take(in, 1);
    if (n == 255)
        return take(in, 8);
    return n % 4 == 0 ? FUSE_ROOT_ID : k->id[n % MAX_KNOWN];
}

/* Arguments: 8-byte words, each a known number or raw; then up to two names. */
static size_t make_body(uint8_t *body, struct input *in, const struct known *k)
{
    size_t len = 0;
    uint64_t shape = take(in, 1);
    for (unsigned i = 0; i < shape % 12; i++, len += 8) {
        uint64_t v = i == 0 ? pick(in, k) : take(in, take(in, 1) % 9);
        memcpy(body + len, &v, 8);
    }
    len -= len && (shape & 0x80) ? 4 : 0;
    for (unsigned i = 0; i < (shape >> 4) % 3; i++) {
        const char *name = names[take(in, 1) % N_NAMES];
        memcpy(body + len, name, strlen(name) + 1);
        len += strlen(name) + 1;
    }
    return len;
}

static void request(struct fuse_server *s, struct input *in, struct known *k)
{
    static struct vq_chain chain;
    struct fuse_in_header h = {.opcode = (uint32_t)take(in, 1) % 52, .nodeid = pick(in, k)};
    uint8_t out[512] = {0}, reply[ROOM + 16];
    size_t body = make_body(out + sizeof h, in, k);
    uint64_t odd = take(in, 1);
    h.len = (uint32_t)(sizeof h + body) + (odd == 1 ? 100 : 0);
    uint32_t room = odd >= 0xf0 ? (uint32_t)odd - 0xf0 : ROOM;
    memcpy(out, &h, sizeof h);
    memset(reply, 0xa5, sizeof reply);
    /* The request in two pieces, to be put together. */
    uint32_t first = odd % 2 ? 24 : 40;
    chain.segments[0] = (struct vq_segment){.base = out, .len = first};
    chain.segments[1] =
        (struct vq_segment){.base = out + first, .len = (uint32_t)(sizeof h + body) - first};
    chain.n_out = chain.segments[1].len ? 2 : 1;
    chain.out_len = (uint32_t)(sizeof h + body);
    chain.segments[chain.n_out] = (struct vq_segment){.base = reply, .len = room};
    chain.n_in = room != 0;
    chain.in_len = room;
    int64_t n = fuse_serve(s, &chain);
    check(n >= -1 && n <= (int64_t)room, "the reply fits");
    for (unsigned i = 0; i < 16; i++)
        check(reply[room + i] == 0xa5, "nothing is written behind the room");
    if (n > 0) {
        learn(k, reply, sizeof(struct fuse_out_header), (size_t)n);
        learn(k, reply, sizeof(struct fuse_out_header) + sizeof(struct fuse_entry_out), (size_t)n);
        check(!memmem(reply, (size_t)n, SECRET, strlen(SECRET)), "the secret is not read");
    }
}

static void start(struct fuse_server *s)
{
    static struct vq_chain chain;
    struct {
        struct fuse_in_header h;
        struct fuse_init_in in;
    } init = {{.len = sizeof init, .opcode = FUSE_INIT},
              {.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION}};
    uint8_t reply[256];
    chain =
        (struct vq_chain){.n_out = 1, .n_in = 1, .out_len = sizeof init, .in_len = sizeof reply};
    chain.segments[0] = (struct vq_segment){.base = &init, .len = sizeof init};
    chain.segments[1] = (struct vq_segment){.base = reply, .len = sizeof reply};
    check(fuse_serve(s, &chain) > 0, "it starts");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size < 2048 ? size : 2048};
    prepare();
    uint64_t how = take(&in, 1);
    bool readonly = how & 1, single = how & 2;
    char file[80];
    snprintf(file, sizeof file, "%s/a", folder);
    char *only = NULL;
    int root = fuse_open_root(single ? file : folder, &only);
    check(root >= 0, "a root");
    struct fuse_server *s = fuse_server_new(root, only, readonly, 18, NULL);
    free(only);
    struct known known = {{FUSE_ROOT_ID}, 1};
    check(s != NULL, "a server");
    start(s);
    while (in.left)
        request(s, &in, &known);
    fuse_server_free(s);
    check_secret();
    if (single)
        check_others();
    return 0;
}
