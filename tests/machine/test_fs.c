/* Shared folders: what a guest's requests do, and what hostile ones cannot. The process may have
 * few descriptors here, so that nodes lose theirs and are opened again. */
#include "fs_client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "cm.h"
#include "machine/devices/devices.h"
#include "machine/devices/virtio.h"

static void configuration(void **state)
{
    struct fs_client *f = *state;
    start_share(f, false);
    assert_int_equal(rig_read(&f->rig, f->d.config, 4), 'g' << 16 | 'a' << 8 | 't');
    assert_int_equal(rig_read(&f->rig, f->d.config + 36, 4), 1);
    assert_int_equal(rig_read(&f->rig, f->d.ecam + PCI_DEVICE_ID, 2), 0x1040 + 26);
    assert_int_equal(get_attr(f, 1), EIO); /* before INIT */
    assert_int_equal(init(f), 0);
    const struct fuse_init_out *out = f->reply;
    assert_true(out->major == 7 && out->max_write == out->max_pages * 4096u);
    assert_false(out->flags & (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS | FUSE_EXPORT_SUPPORT));
    struct fuse_init_in old = {.major = 7, .minor = 20};
    put(f, &old, sizeof old);
    assert_int_equal(request(f, FUSE_INIT, 0), EPROTO);
}

static void files_are_read_and_written(void **state)
{
    struct fs_client *f = *state;
    uint64_t fh;
    start(f, false);
    uint64_t id = node(f, 1, "file");
    assert_int_equal(id, node(f, 1, "file"));
    assert_int_equal(open_node(f, FUSE_OPEN, id, O_RDWR, &fh), 0);
    assert_int_equal(read_node(f, FUSE_READ, id, fh, 3, 100), 0);
    assert_memory_equal(f->reply, "tent", 4);
    assert_int_equal(f->header->len, sizeof *f->header + 4);
    assert_int_equal(write_node(f, id, fh, 4, "CONT"), 0);
    assert_true(holds(path_of(f, "share/file"), "CONTent"));
    release(f, id, fh);
    assert_int_equal(read_node(f, FUSE_READ, id, fh, 0, 1), EBADF);
    assert_int_equal(look_up(f, 1, "nothing", NULL), ENOENT);
    assert_int_equal(look_up(f, id, "x", NULL), ENOTDIR);
}

static void files_belong_to_the_guests_user(void **state)
{
    struct fs_client *f = *state;
    struct stat st;
    start(f, false);
    f->uid = 1234;
    f->gid = 99;
    chmod(f->share, 0700); /* the guest's kernel has said yes already */
    assert_int_equal(create(f, 1, "mine", O_RDWR | O_EXCL), 0);
    assert_int_equal(stat(path_of(f, "share/mine"), &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0666); /* no umask of ours */
    assert_int_equal(st.st_uid, geteuid() ? geteuid() : 1234);
    assert_int_equal(st.st_gid, geteuid() ? getegid() : 99);
    f->uid = f->gid = 0;
    assert_int_equal(create(f, 1, "roots", O_RDWR), 0);
    assert_int_equal(stat(path_of(f, "share/roots"), &st), 0);
    assert_int_equal(st.st_uid, geteuid());
    assert_int_equal(create(f, 1, "roots", O_RDWR | O_EXCL), EEXIST);
    assert_int_equal(create(f, 1, "roots", O_RDWR), 0);
}

static void names_do_not_lead_out(void **state)
{
    static const char *const bad[] = {"", ".", "..", "../secret", "folder/inner", "/etc", "a/"};
    struct fs_client *f = *state;
    char long_name[300];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    start(f, false);
    static const struct {
        uint32_t opcode;
        size_t args;
        const char *before, *after;
    } cases[] = {
        {FUSE_LOOKUP, 0, NULL, NULL},   {FUSE_SYMLINK, 0, NULL, "target"},
        {FUSE_MKNOD, 16, NULL, NULL},   {FUSE_MKDIR, 8, NULL, NULL},
        {FUSE_UNLINK, 0, NULL, NULL},   {FUSE_RMDIR, 0, NULL, NULL},
        {FUSE_RENAME, 8, NULL, "new"},  {FUSE_RENAME, 8, "file", NULL},
        {FUSE_RENAME2, 16, NULL, "to"}, {FUSE_RENAME2, 16, "file", NULL},
        {FUSE_LINK, 8, NULL, NULL},     {FUSE_CREATE, 16, NULL, NULL},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
        for (unsigned k = 0; k <= sizeof bad / sizeof *bad; k++) {
            uint64_t args[2] = {1, 0}; /* for RENAME the new folder */
            bool last = k == sizeof bad / sizeof *bad;
            put(f, args, cases[i].args);
            if (cases[i].before)
                put_name(f, cases[i].before);
            put_name(f, last ? long_name : bad[k]);
            if (cases[i].after)
                put_name(f, cases[i].after);
            assert_int_equal(request(f, cases[i].opcode, 1), last ? ENAMETOOLONG : EINVAL);
            /* A name without an end. */
            put(f, args, cases[i].args);
            put(f, "name", 4);
            assert_int_equal(request(f, cases[i].opcode, 1), EINVAL);
        }
    assert_true(holds(path_of(f, "secret"), "secret"));
    assert_true(holds(path_of(f, "share/file"), "content"));
}

static void links_are_not_followed(void **state)
{
    struct fs_client *f = *state;
    uint64_t fh, id = node(f, (start(f, false), 1), "escape");
    const struct fuse_entry_out *e = f->reply;
    assert_int_equal(e->attr.mode & S_IFMT, S_IFLNK);
    assert_int_equal(request(f, FUSE_READLINK, id), 0);
    assert_memory_equal(f->reply, "../secret", 9);
    assert_int_equal(open_node(f, FUSE_OPEN, id, O_RDWR, &fh), EACCES);
    assert_int_equal(look_up(f, node(f, 1, "all"), "etc", NULL), ENOTDIR);
    assert_int_equal(open_node(f, FUSE_OPENDIR, node(f, 1, "all"), 0, &fh), ENOTDIR);
    /* Create over the link: it is found, and not opened. */
    assert_int_equal(create(f, 1, "escape", O_RDWR | O_TRUNC), EACCES);
    struct fuse_setattr_in in = {.valid = FATTR_SIZE};
    put(f, &in, sizeof in);
    assert_int_equal(request(f, FUSE_SETATTR, id), EINVAL);
    in = (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 0};
    put(f, &in, sizeof in);
    assert_int_not_equal(request(f, FUSE_SETATTR, id), 0);
    in = (struct fuse_setattr_in){.valid = FATTR_MTIME, .mtime = 1};
    put(f, &in, sizeof in);
    assert_int_equal(request(f, FUSE_SETATTR, id), 0);
    struct stat st;
    assert_int_equal(stat(path_of(f, "secret"), &st), 0);
    assert_true((st.st_mode & 0600) && st.st_mtime != 1);
    assert_true(holds(path_of(f, "secret"), "secret"));
}

/* A folder that the guest knows becomes a link, while nobody holds it open. */
static void a_folder_swapped_for_a_link_is_stale(void **state)
{
    struct fs_client *f = *state;
    start(f, false);
    uint64_t folder = node(f, 1, "folder"), inner = node(f, folder, "inner");
    evict(f);
    assert_int_equal(get_attr(f, inner), 0); /* opened again */
    evict(f);
    assert_int_equal(rename(path_of(f, "share/folder"), path_of(f, "moved")), 0);
    assert_int_equal(symlink("../moved", path_of(f, "share/folder")), 0);
    assert_int_equal(get_attr(f, folder), ESTALE);
    assert_int_equal(get_attr(f, inner), ESTALE);
    assert_int_equal(look_up(f, folder, "inner", NULL), ESTALE);
    /* And a file becomes another one. */
    uint64_t file = node(f, 1, "file");
    evict(f);
    write_file(path_of(f, "other"), "other");
    assert_int_equal(rename(path_of(f, "other"), path_of(f, "share/file")), 0);
    assert_int_equal(get_attr(f, file), ESTALE);
}

static void nodes_survive_moves_and_removal(void **state)
{
    struct fs_client *f = *state;
    uint64_t fh;
    start(f, false);
    uint64_t folder = node(f, 1, "folder"), inner = node(f, folder, "inner");
    uint64_t file = node(f, 1, "file"), to = folder;
    put(f, &to, 8);
    put_name(f, "file");
    put_name(f, "here");
    assert_int_equal(request(f, FUSE_RENAME, 1), 0);
    to = 1;
    put(f, &to, 8);
    put_name(f, "folder");
    put_name(f, "elsewhere");
    assert_int_equal(request(f, FUSE_RENAME, 1), 0);
    put_name(f, "inner");
    assert_int_equal(request(f, FUSE_UNLINK, folder), 0);
    evict(f);
    assert_int_equal(get_attr(f, folder), 0);
    assert_int_equal(node(f, folder, "here"), file);
    assert_int_equal(open_node(f, FUSE_OPEN, inner, O_RDONLY, &fh), 0);
    assert_int_equal(read_node(f, FUSE_READ, inner, fh, 0, 100), 0);
    assert_memory_equal(f->reply, "inner", 5);
    put_name(f, "elsewhere");
    assert_int_equal(request(f, FUSE_RMDIR, 1), ENOTEMPTY);
    evict(f);
    assert_int_equal(get_attr(f, folder), 0);
}

static void unknown_nodes_and_handles(void **state)
{
    static const uint64_t ids[] = {0, 2, 999, 1ull << 32 | 1, 1ull << 32, 1ull << 63, UINT64_MAX};
    struct fs_client *f = *state;
    uint64_t fh, dir;
    start(f, false);
    char zeros[256] = {0};
    for (unsigned i = 0; i < sizeof ids / sizeof *ids; i++)
        for (uint32_t op = 1; op < 64; op++) {
            if (op == FUSE_INIT || op == FUSE_DESTROY || op == FUSE_FORGET ||
                op == FUSE_BATCH_FORGET || op == FUSE_INTERRUPT)
                continue;
            put(f, zeros, op == FUSE_CREATE ? 16 : 0);
            put(f, "name\0name\0padding.....................................................", 64);
            put(f, zeros, sizeof zeros);
            int e = request(f, op, ids[i]);
            assert_true(e == ESTALE || e == EINVAL || e == ENOSYS);
        }
    uint64_t id = node(f, 1, "file"), folder = node(f, 1, "folder");
    assert_int_equal(open_node(f, FUSE_OPEN, id, O_RDWR, &fh), 0);
    assert_int_equal(open_node(f, FUSE_OPENDIR, folder, 0, &dir), 0);
    const uint64_t wrong[] = {0, dir, fh + 64, fh + (1ull << 32), fh ^ 1ull << 63, UINT64_MAX};
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(read_node(f, FUSE_READ, id, wrong[i], 0, 1), EBADF);
        assert_int_equal(write_node(f, id, wrong[i], 1, "x"), EBADF);
        assert_int_equal(read_node(f, FUSE_READDIR, id, wrong[i], 0, 4096), EBADF);
    }
    assert_int_equal(read_node(f, FUSE_READ, folder, fh, 0, 1), EBADF); /* another node's */
    assert_int_equal(read_node(f, FUSE_READ, folder, dir, 0, 1), EBADF);
    assert_int_equal(read_node(f, FUSE_READDIR, id, fh, 0, 4096), EBADF);
    assert_int_equal(read_node(f, FUSE_READDIR, folder, dir, 0, 4096), 0);
    assert_true(holds(path_of(f, "share/file"), "content"));
}

static void forgotten_nodes_are_gone(void **state)
{
    struct fs_client *f = *state;
    start(f, false);
    uint64_t id = node(f, 1, "file"), count = UINT64_MAX;
    node(f, 1, "file");
    count = 1;
    put(f, &count, 8);
    send_as(f, 0, FUSE_FORGET, id, FS_HEADER + 8, 0);
    assert_int_equal(get_attr(f, id), 0);
    count = UINT64_MAX;
    put(f, &count, 8);
    send_as(f, 0, FUSE_FORGET, id, FS_HEADER + 8, 0);
    assert_int_equal(get_attr(f, id), ESTALE);
    assert_int_not_equal(node(f, 1, "file"), id);
    put(f, &count, 8);
    send_as(f, 0, FUSE_FORGET, 1, FS_HEADER + 8, 0);
    assert_int_equal(get_attr(f, 1), 0); /* the root stays */
    uint64_t batch[3] = {UINT32_MAX, node(f, 1, "file"), 2};
    put(f, batch, sizeof batch);
    send_as(f, 0, FUSE_BATCH_FORGET, 0, FS_HEADER + sizeof batch, 0);
    assert_int_equal(get_attr(f, batch[1]), ESTALE);
}

static void wrong_lengths(void **state)
{
    struct fs_client *f = *state;
    uint64_t fh;
    start(f, false);
    uint64_t id = node(f, 1, "file");
    assert_int_equal(open_node(f, FUSE_OPEN, id, O_RDWR, &fh), 0);
    assert_int_equal(read_node(f, FUSE_READ, id, fh, 0, UINT32_MAX), EINVAL);
    assert_int_equal(read_node(f, FUSE_READ, id, fh, UINT64_MAX, 1), EINVAL);
    assert_int_equal(read_node(f, FUSE_READ, id, fh, 0, FS_ROOM - 16), 0);
    assert_int_equal(read_node(f, FUSE_READ, id, fh, 0, FS_ROOM - 15), EINVAL);
    assert_int_equal(write_node(f, id, fh, 5, "four"), EINVAL);
    assert_int_equal(write_node(f, id, fh, UINT32_MAX, "four"), EINVAL);
    uint32_t xattr[2] = {UINT32_MAX, 0};
    put(f, xattr, 8);
    put_name(f, "user.x");
    assert_int_equal(request(f, FUSE_SETXATTR, id), EINVAL);
    put(f, xattr, 8);
    put_name(f, "trusted.x");
    assert_int_equal(request(f, FUSE_GETXATTR, id), EOPNOTSUPP);
    /* Every operation with every shorter body. */
    char zeros[64] = {0};
    for (uint32_t op = 1; op < 64; op++)
        for (uint32_t len = 0; len < sizeof zeros; len += 4) {
            if (op == FUSE_DESTROY || op == FUSE_FORGET || op == FUSE_BATCH_FORGET ||
                op == FUSE_INTERRUPT || op == FUSE_LISTXATTR || op == FUSE_STATFS ||
                op == FUSE_GETATTR || op == FUSE_SETATTR || op == FUSE_OPEN)
                continue;
            put(f, zeros, len);
            assert_int_not_equal(request(f, op, id), 0);
        }
    assert_int_equal(get_attr(f, 1), 0);
    /* Answers for which there is no room. */
    struct fuse_getattr_in in = {0};
    put(f, &in, sizeof in);
    assert_int_equal(send_as(f, 1, FUSE_GETATTR, id, FS_HEADER + sizeof in, 64), EINVAL);
    put_name(f, "fifo");
    assert_int_equal(send_as(f, 1, FUSE_LOOKUP, 1, FS_HEADER + 5, 16), EINVAL);
}

static void no_requests_at_all_break_the_device(void **state)
{
    static const struct {
        uint32_t len, body, room;
    } cases[] = {{39, 16, FS_ROOM},         {0, 16, FS_ROOM},  {FS_HEADER + 17, 16, FS_ROOM},
                 {UINT32_MAX, 16, FS_ROOM}, {FS_HEADER, 0, 0}, {FS_HEADER, 0, 15}};
    struct fs_client *f = *state;
    char zeros[16] = {0};
    start(f, false);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        put(f, zeros, cases[i].body);
        submit(f, 1, FUSE_GETATTR, 1, cases[i].len, cases[i].room);
        assert_true(driver_wait_status(&f->d, VIRTIO_NEEDS_RESET, VIRTIO_NEEDS_RESET));
        driver_start(&f->d, UINT64_MAX, 2, 16);
        assert_int_equal(get_attr(f, 1), EIO); /* a new start, from INIT */
        assert_int_equal(init(f), 0);
    }
}

static void special_files(void **state)
{
    struct fs_client *f = *state;
    uint64_t fh, fifo;
    start(f, false);
    fifo = node(f, 1, "fifo");
    assert_int_equal(open_node(f, FUSE_OPEN, fifo, O_RDONLY, &fh), EACCES);
    assert_int_equal(create(f, 1, "fifo", O_WRONLY), EACCES);
    struct fuse_mknod_in in = {.mode = S_IFCHR | 0666, .rdev = 0x103};
    put(f, &in, sizeof in);
    put_name(f, "null");
    assert_int_equal(request(f, FUSE_MKNOD, 1), EPERM);
    in.mode = S_IFIFO | 0600;
    put(f, &in, sizeof in);
    put_name(f, "pipe");
    assert_int_equal(request(f, FUSE_MKNOD, 1), 0);
    assert_int_equal(access(path_of(f, "share/null"), F_OK), -1);
}

static void readonly_share(void **state)
{
    static const struct {
        uint32_t opcode;
        size_t args;
    } cases[] = {{FUSE_SETATTR, sizeof(struct fuse_setattr_in)},
                 {FUSE_SYMLINK, 0},
                 {FUSE_MKNOD, 16},
                 {FUSE_MKDIR, 8},
                 {FUSE_UNLINK, 0},
                 {FUSE_RMDIR, 0},
                 {FUSE_RENAME, 8},
                 {FUSE_LINK, 8},
                 {FUSE_WRITE, sizeof(struct fuse_write_in)},
                 {FUSE_SETXATTR, 8},
                 {FUSE_REMOVEXATTR, 0},
                 {FUSE_CREATE, 16},
                 {FUSE_FALLOCATE, 32},
                 {FUSE_RENAME2, 16},
                 {FUSE_COPY_FILE_RANGE, 56}};
    struct fs_client *f = *state;
    char zeros[128] = {0};
    uint64_t fh;
    start(f, true);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        put(f, zeros, cases[i].args);
        put_name(f, "file");
        put_name(f, "new");
        assert_int_equal(request(f, cases[i].opcode, 1), EROFS);
    }
    uint64_t id = node(f, 1, "file");
    assert_int_equal(open_node(f, FUSE_OPEN, id, O_RDWR, &fh), EROFS);
    assert_int_equal(open_node(f, FUSE_OPEN, id, O_WRONLY, &fh), EROFS);
    assert_int_equal(open_node(f, FUSE_OPEN, id, O_RDONLY | O_TRUNC, &fh), EROFS);
    assert_int_equal(open_node(f, FUSE_OPEN, id, O_RDONLY, &fh), 0);
    assert_int_equal(read_node(f, FUSE_READ, id, fh, 0, 7), 0);
    assert_memory_equal(f->reply, "content", 7);
    assert_true(holds(path_of(f, "share/file"), "content"));
}

static void folders_are_listed_once_each(void **state)
{
    struct fs_client *f = *state;
    uint64_t fh, offset = 0;
    unsigned seen = 0;
    start(f, false);
    evict(f);
    assert_int_equal(open_node(f, FUSE_OPENDIR, 1, 0, &fh), 0);
    for (bool plus = true;;) {
        assert_int_equal(read_node(f, plus ? FUSE_READDIRPLUS : FUSE_READDIR, 1, fh, offset, 1000),
                         0);
        const char *p = f->reply, *end = p + f->header->len - sizeof *f->header;
        assert_true(end - p <= 1000);
        if (p == end)
            break;
        while (p < end) {
            const struct fuse_dirent *d =
                (const void *)(p + (plus ? sizeof(struct fuse_entry_out) : 0));
            seen += d->namelen > 4 && memcmp(d->name, "many", 4) == 0;
            offset = d->off;
            p = (const char *)d + FUSE_DIRENT_SIZE(d);
        }
        plus = !plus;
    }
    assert_int_equal(seen, FS_MANY);
    assert_int_equal(read_node(f, FUSE_READDIR, 1, fh, 0, 20), EINVAL);
}

static void too_many_open_files(void **state)
{
    struct fs_client *f = *state;
    uint64_t fh;
    unsigned n = 0;
    start(f, false);
    uint64_t id = node(f, 1, "file");
    while (open_node(f, FUSE_OPEN, id, O_RDONLY, &fh) == 0)
        n++;
    assert_in_range(n, 32, FS_MAX_FDS);
    int spare = dup(0); /* the rest of the machine has descriptors left */
    assert_true(spare >= 0);
    close(spare);
    assert_int_equal(init(f), 0);
    id = node(f, 1, "file");
    assert_int_equal(open_node(f, FUSE_OPEN, id, O_RDONLY, &fh), 0);
}

/* With every descriptor that a guest may keep in use, a request that needs several still finds
 * them, and none closes one that it is to use itself. */
static void requests_have_descriptors_left(void **state)
{
    struct fs_client *f = *state;
    uint64_t fh, spare = 0;
    start(f, false);
    uint64_t file = node(f, 1, "file"), folder = node(f, 1, "folder");
    while (open_node(f, FUSE_OPEN, file, O_RDONLY, &fh) == 0)
        spare = fh;
    struct fuse_link_in link = {.oldnodeid = file};
    for (unsigned left = 0; left < 3; left++) {
        evict(f);
        put(f, &link, sizeof link);
        put_name(f, "new");
        assert_int_equal(request(f, FUSE_LINK, folder), 0);
        evict(f);
        struct fuse_rename2_in move = {.newdir = folder};
        put(f, &move.newdir, sizeof(struct fuse_rename_in));
        put_name(f, "new");
        put_name(f, "newer");
        assert_int_equal(request(f, FUSE_RENAME, folder), 0);
        evict(f);
        move = (struct fuse_rename2_in){.newdir = 1, .flags = RENAME_EXCHANGE};
        put(f, &move, sizeof move);
        put_name(f, "newer");
        put_name(f, "many7");
        assert_int_equal(request(f, FUSE_RENAME2, folder), 0);
        assert_true(holds(path_of(f, "share/many7"), "content"));
        put(f, &move, sizeof move);
        put_name(f, "newer");
        put_name(f, "many7");
        assert_int_equal(request(f, FUSE_RENAME2, folder), 0);
        put_name(f, "newer");
        assert_int_equal(request(f, FUSE_UNLINK, folder), left ? 0 : ENFILE);
        evict(f);
        struct fuse_setattr_in times = {.valid = FATTR_SIZE | FATTR_MTIME | FATTR_MODE,
                                        .size = 7,
                                        .mtime = 1000 + left,
                                        .mode = 0640};
        struct stat st;
        put(f, &times, sizeof times);
        assert_int_equal(request(f, FUSE_SETATTR, file), 0);
        assert_int_equal(stat(path_of(f, "share/file"), &st), 0);
        assert_int_equal(st.st_mtime, 1000 + left);
        if (!left) {
            assert_int_equal(unlink(path_of(f, "share/folder/newer")), 0);
            assert_int_equal(node(f, 1, "file"), file);
            assert_int_equal(open_node(f, FUSE_OPEN, file, O_RDONLY, &fh), ENFILE);
            release(f, file, spare);
        }
    }
}

/* rename(2) of one name of a file to another does nothing: the guest's file has both names still.
 */
static void a_file_moved_onto_itself(void **state)
{
    struct fs_client *f = *state;
    start(f, false);
    uint64_t file = node(f, 1, "file");
    assert_int_equal(link(path_of(f, "share/file"), path_of(f, "share/second")), 0);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t newdir = 1;
        put(f, &newdir, sizeof newdir);
        put_name(f, i ? "file" : "second");
        put_name(f, i ? "second" : "file");
        assert_int_equal(request(f, FUSE_RENAME, 1), 0);
        evict(f);
        assert_int_equal(get_attr(f, file), 0);
        assert_int_equal(node(f, 1, "second"), file);
    }
}

static void shares_that_are_refused(void **state)
{
    static const struct {
        const char *tag, *path, *why;
    } cases[] = {{"t", "/nonexistent/folder", "No such file"},
                 {"t", "/dev/null", "Not a directory"},
                 {"", "/tmp", "1 to 36 bytes"},
                 {"a tag that is longer than 36 bytes can be", "/tmp", "1 to 36 bytes"}};
    struct fs_client *f = *state;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        ERROR_CLEANUP err = NULL;
        struct machine_share share = {.tag = cases[i].tag, .path = cases[i].path};
        assert_int_equal(virtio_fs_create(f->rig.host, f->rig.slat, &share, 1, &err), -1);
        assert_non_null(strstr(error_text(err), cases[i].path));
        assert_non_null(strstr(error_text(err), cases[i].why));
    }
}

/* Of the folder that a single file is in, nothing else shows, and nothing changes. */
static void a_single_file(void **state)
{
    struct fs_client *f = *state;
    uint64_t fh;
    char path[512];
    snprintf(path, sizeof path, "%s/file", f->share);
    struct machine_share share = {.tag = "tag", .path = path};
    assert_int_equal(virtio_fs_create(f->rig.host, f->rig.slat, &share, 1, NULL), 0);
    rig_start(&f->rig);
    driver_probe(&f->d, &f->rig, 1);
    driver_start(&f->d, UINT64_MAX, 2, 16);
    assert_int_equal(init(f), 0);
    assert_int_equal(get_attr(f, 1), 0);
    uint64_t id = node(f, 1, MACHINE_SHARE_FILE);
    assert_int_equal(open_node(f, FUSE_OPEN, id, O_RDWR, &fh), 0);
    assert_int_equal(write_node(f, id, fh, 4, "CONT"), 0);
    assert_true(holds(path_of(f, "share/file"), "CONTent"));
    assert_int_equal(look_up(f, 1, "escape", NULL), ENOENT);
    assert_int_equal(look_up(f, 1, "folder", NULL), ENOENT);
    assert_int_equal(open_node(f, FUSE_OPENDIR, 1, O_RDONLY, &fh), EACCES);
    assert_int_equal(open_node(f, FUSE_OPEN, 1, O_RDONLY, &fh), EACCES);
    assert_int_equal(create(f, 1, "new", O_RDWR), EACCES);
    static const struct {
        uint32_t opcode;
        size_t args;
        const char *name, *more;
    } cases[] = {
        {FUSE_SYMLINK, 0, "new", "target"}, {FUSE_MKNOD, 16, "new", NULL},
        {FUSE_MKDIR, 8, "new", NULL},       {FUSE_UNLINK, 0, "file", NULL},
        {FUSE_RMDIR, 0, "folder", NULL},    {FUSE_RENAME, 8, "file", "new"},
        {FUSE_RENAME2, 16, "file", "new"},  {FUSE_LINK, 8, "new", NULL},
        {FUSE_SETATTR, 88, NULL, NULL},     {FUSE_GETXATTR, 8, "user.x", NULL},
        {FUSE_LISTXATTR, 8, NULL, NULL},    {FUSE_REMOVEXATTR, 0, "user.x", NULL},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t args[11] = {cases[i].opcode == FUSE_LINK ? id : 1};
        put(f, args, cases[i].args);
        if (cases[i].name)
            put_name(f, cases[i].name);
        if (cases[i].more)
            put_name(f, cases[i].more);
        assert_int_equal(request(f, cases[i].opcode, 1), EACCES);
    }
    /* What replaces it is seen, if it is a file. */
    assert_int_equal(unlink(path_of(f, "share/file")), 0);
    assert_int_equal(symlink("../secret", path_of(f, "share/file")), 0);
    assert_int_equal(look_up(f, 1, MACHINE_SHARE_FILE, NULL), ENOENT);
    assert_int_equal(unlink(path_of(f, "share/file")), 0);
    assert_int_equal(look_up(f, 1, MACHINE_SHARE_FILE, NULL), ENOENT);
}

int main(void)
{
    log_init("test", LOG_ERROR);
    struct rlimit few = {FS_MAX_FDS, FS_MAX_FDS};
    if (setrlimit(RLIMIT_NOFILE, &few) < 0)
        return 1;
#define TEST(name) cmocka_unit_test_setup_teardown(name, fs_setup, fs_teardown)
    const struct CMUnitTest tests[] = {
        TEST(configuration),
        TEST(files_are_read_and_written),
        TEST(files_belong_to_the_guests_user),
        TEST(names_do_not_lead_out),
        TEST(links_are_not_followed),
        TEST(a_folder_swapped_for_a_link_is_stale),
        TEST(nodes_survive_moves_and_removal),
        TEST(unknown_nodes_and_handles),
        TEST(forgotten_nodes_are_gone),
        TEST(wrong_lengths),
        TEST(no_requests_at_all_break_the_device),
        TEST(special_files),
        TEST(readonly_share),
        TEST(a_single_file),
        TEST(folders_are_listed_once_each),
        TEST(too_many_open_files),
        TEST(requests_have_descriptors_left),
        TEST(a_file_moved_onto_itself),
        TEST(shares_that_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
