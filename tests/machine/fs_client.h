/* The kernel's side of a shared folder, for tests: a folder with files, links and a pipe in it, a
 * secret beside it, and requests that may be as wrong as a guest's. */
#ifndef WIRT_TESTS_MACHINE_FS_CLIENT_H
#define WIRT_TESTS_MACHINE_FS_CLIENT_H

#include <linux/fuse.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "virtio_driver.h"

#define FS_MAX_FDS 640 /* of the process: 128 for the share */
#define FS_MANY    300 /* more files than that */
#define FS_ROOM    65536u
#define FS_HEADER  sizeof(struct fuse_in_header)

struct fs_client {
    struct rig rig;
    struct driver d;
    char dir[32], share[64];
    uint64_t in, out; /* guest addresses */
    size_t len;       /* of the body built so far */
    uint32_t uid, gid;
    const struct fuse_out_header *header;
    const void *reply;
};

int fs_setup(void **state);
int fs_teardown(void **state);

/* A path below dir; good until three more were asked for. */
char *path_of(struct fs_client *f, const char *name);
void write_file(const char *path, const char *text);
bool holds(const char *path, const char *text);

/* The device and its driver, and (start) a first INIT too. */
void start_share(struct fs_client *f, bool readonly);
void start(struct fs_client *f, bool readonly);

/* Adds to the next request's body. */
void put(struct fs_client *f, const void *data, size_t len);
void put_name(struct fs_client *f, const char *name);

/* Submits what was put. len: what the header says. */
void submit(struct fs_client *f, unsigned q, uint32_t opcode, uint64_t id, uint32_t len,
            uint32_t room);

/* The same, and waits: the error, positive, or 0; f->header and f->reply are the answer. */
int send_as(struct fs_client *f, unsigned q, uint32_t opcode, uint64_t id, uint32_t len,
            uint32_t room);
int request(struct fs_client *f, uint32_t opcode, uint64_t id);

/* Whole requests; each answers like send_as. */
int init(struct fs_client *f);
int look_up(struct fs_client *f, uint64_t folder, const char *name, uint64_t *id);
int get_attr(struct fs_client *f, uint64_t id);
int create(struct fs_client *f, uint64_t folder, const char *name, uint32_t flags);
int open_node(struct fs_client *f, uint32_t opcode, uint64_t id, uint32_t flags, uint64_t *fh);
int read_node(struct fs_client *f, uint32_t opcode, uint64_t id, uint64_t fh, uint64_t offset,
              uint32_t size);
int write_node(struct fs_client *f, uint64_t id, uint64_t fh, uint32_t size, const char *data);

/* These have to succeed. */
uint64_t node(struct fs_client *f, uint64_t folder, const char *name);
void release(struct fs_client *f, uint64_t id, uint64_t fh);

/* Makes the device close the descriptors of nodes that were used before. */
void evict(struct fs_client *f);

#endif
