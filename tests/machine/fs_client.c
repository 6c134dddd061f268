#include "fs_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "cm.h"
#include "machine/devices/devices.h"

char *path_of(struct fs_client *f, const char *name)
{
    static char path[4][128];
    static unsigned next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", f->dir, name);
    return p;
}

void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

int fs_setup(void **state)
{
    struct fs_client *f = calloc(1, sizeof *f);
    *state = f;
    strcpy(f->dir, "/tmp/wirt-fs-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->share, sizeof f->share, "%s/share", f->dir);
    write_file(path_of(f, "secret"), "secret");
    mkdir(f->share, 0755);
    mkdir(path_of(f, "share/folder"), 0755);
    write_file(path_of(f, "share/file"), "content");
    write_file(path_of(f, "share/folder/inner"), "inner");
    if (symlink("../secret", path_of(f, "share/escape")) < 0 ||
        symlink("/", path_of(f, "share/all")) < 0 || mkfifo(path_of(f, "share/fifo"), 0666) < 0)
        return -1;
    rig_init(&f->rig);
    f->in = rig_alloc(&f->rig, 2 * FS_ROOM);
    f->out = rig_alloc(&f->rig, 2 * FS_ROOM);
    f->header = rig_ptr(&f->rig, f->out);
    f->reply = f->header + 1;
    return 0;
}

int fs_teardown(void **state)
{
    struct fs_client *f = *state;
    rig_free(&f->rig);
    char *command = xasprintf("rm -rf %s", f->dir);
    int rc = system(command);
    free(command);
    free(f);
    return rc;
}

void put(struct fs_client *f, const void *data, size_t len)
{
    memcpy((char *)rig_ptr(&f->rig, f->in) + FS_HEADER + f->len, data, len);
    f->len += len;
}

void put_name(struct fs_client *f, const char *name)
{
    put(f, name, strlen(name) + 1);
}

void submit(struct fs_client *f, unsigned q, uint32_t opcode, uint64_t id, uint32_t len,
            uint32_t room)
{
    struct fuse_in_header h = {
        .len = len, .opcode = opcode, .unique = 42, .nodeid = id, .uid = f->uid, .gid = f->gid};
    memcpy(rig_ptr(&f->rig, f->in), &h, sizeof h);
    memset(rig_ptr(&f->rig, f->out), 0xee, 256);
    uint32_t total = (uint32_t)(FS_HEADER + f->len), n = 0;
    struct desc b[4];
    b[n++] = (struct desc){f->in, 7, 0, 0}; /* pieces of odd sizes */
    b[n++] = (struct desc){f->in + 7, total - 7, 0, 0};
    if (room) {
        b[n++] = (struct desc){f->out, 5, VQ_DESC_WRITE, 0};
        b[n++] = (struct desc){f->out + 5, room - 5, VQ_DESC_WRITE, 0};
    }
    f->len = 0;
    driver_submit(&f->d, q, b, n);
}

int send_as(struct fs_client *f, unsigned q, uint32_t opcode, uint64_t id, uint32_t len,
            uint32_t room)
{
    uint32_t written;
    submit(f, q, opcode, id, len, room);
    assert_true(driver_wait(&f->d, q, &written));
    if (!room)
        return 0;
    assert_int_equal(f->header->unique, 42);
    assert_int_equal(f->header->len, written);
    assert_true(f->header->error <= 0 && f->header->error > -4096);
    assert_true(!f->header->error || written == sizeof *f->header);
    return -f->header->error;
}

int request(struct fs_client *f, uint32_t opcode, uint64_t id)
{
    return send_as(f, 1, opcode, id, (uint32_t)(FS_HEADER + f->len), FS_ROOM);
}

int init(struct fs_client *f)
{
    struct fuse_init_in in = {.major = 7, .minor = 38, .flags = UINT32_MAX};
    put(f, &in, sizeof in);
    return request(f, FUSE_INIT, 0);
}

void start_share(struct fs_client *f, bool readonly)
{
    struct machine_share share = {.tag = "tag", .path = f->share, .readonly = readonly};
    assert_int_equal(virtio_fs_create(f->rig.host, f->rig.slat, &share, 1, NULL), 0);
    rig_start(&f->rig);
    driver_probe(&f->d, &f->rig, 1);
    driver_start(&f->d, UINT64_MAX, 2, 16);
}

void start(struct fs_client *f, bool readonly)
{
    start_share(f, readonly);
    assert_int_equal(init(f), 0);
}

int look_up(struct fs_client *f, uint64_t folder, const char *name, uint64_t *id)
{
    put_name(f, name);
    int e = request(f, FUSE_LOOKUP, folder);
    if (id)
        *id = e ? 0 : ((const struct fuse_entry_out *)f->reply)->nodeid;
    return e;
}

uint64_t node(struct fs_client *f, uint64_t folder, const char *name)
{
    uint64_t id;
    assert_int_equal(look_up(f, folder, name, &id), 0);
    return id;
}

int open_node(struct fs_client *f, uint32_t opcode, uint64_t id, uint32_t flags, uint64_t *fh)
{
    struct fuse_open_in in = {.flags = flags};
    put(f, &in, sizeof in);
    int e = request(f, opcode, id);
    *fh = e ? 0 : ((const struct fuse_open_out *)f->reply)->fh;
    return e;
}

int read_node(struct fs_client *f, uint32_t opcode, uint64_t id, uint64_t fh, uint64_t offset,
              uint32_t size)
{
    struct fuse_read_in in = {.fh = fh, .offset = offset, .size = size};
    put(f, &in, sizeof in);
    return request(f, opcode, id);
}

int write_node(struct fs_client *f, uint64_t id, uint64_t fh, uint32_t size, const char *data)
{
    struct fuse_write_in in = {.fh = fh, .size = size};
    put(f, &in, sizeof in);
    put(f, data, strlen(data));
    return request(f, FUSE_WRITE, id);
}

int get_attr(struct fs_client *f, uint64_t id)
{
    struct fuse_getattr_in in = {0};
    put(f, &in, sizeof in);
    return request(f, FUSE_GETATTR, id);
}

void release(struct fs_client *f, uint64_t id, uint64_t fh)
{
    struct fuse_release_in in = {.fh = fh};
    put(f, &in, sizeof in);
    assert_int_equal(request(f, FUSE_RELEASE, id), 0);
}

int create(struct fs_client *f, uint64_t folder, const char *name, uint32_t flags)
{
    struct fuse_create_in in = {.flags = flags, .mode = S_IFREG | 0666};
    put(f, &in, sizeof in);
    put_name(f, name);
    return request(f, FUSE_CREATE, folder);
}

bool holds(const char *path, const char *text)
{
    char buf[64] = "";
    FILE *file = fopen(path, "re");
    size_t n = file ? fread(buf, 1, sizeof buf - 1, file) : 0;
    if (file)
        fclose(file);
    return n == strlen(text) && strcmp(buf, text) == 0;
}

void evict(struct fs_client *f)
{
    for (unsigned i = 0; i < FS_MANY; i++) {
        char name[24];
        snprintf(name, sizeof name, "share/many%u", i);
        write_file(path_of(f, name), "");
        node(f, 1, name + strlen("share/"));
    }
}
