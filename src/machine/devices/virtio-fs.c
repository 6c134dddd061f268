/* Virtio file system device: a folder of the host's (VIRTIO 1.3, section 5.11). A thread of its own
 * serves each share; what the requests mean is fuse.c's. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/str.h"
#include "machine/devices/devices.h"
#include "machine/devices/fuse.h"
#include "machine/devices/virtio-pci.h"
#include "machine/devices/worker.h"

#define TAG_LEN 36

/* Descriptors: of all that the process may have, some are left to the rest of the machine. */
#define OTHER_FDS 512u
#define MIN_FDS   64u
#define MAX_FDS   65536u

struct config {
    char tag[TAG_LEN]; /* no NUL at its end when full */
    uint32_t num_request_queues;
};

struct fs {
    struct virtio_device device; /* first: the class's functions get this pointer */
    struct fuse_server *server;
    struct worker worker;
};

/* Queue 0 is for FORGET, which needs no answer; queue 1 for all else. */
static void fs_serve(struct virtio_device *d, unsigned q)
{
    struct fs *f = (struct fs *)d;
    while (virtio_pop(d, q)) {
        int64_t written = fuse_serve(f->server, &d->chain);
        if (written < 0) {
            virtio_break(d, "request without header, or without room for an answer");
            return;
        }
        virtio_push(d, q, (uint32_t)written);
    }
}

static void fs_reset(struct virtio_device *d)
{
    struct fs *f = (struct fs *)d;
    if (f->server)
        fuse_server_reset(f->server);
}

static const struct virtio_class fs_class = {
    .name = "virtio-fs",
    .id = 26,
    .n_queues = 2,
    .queue_size = VQ_MAX_SIZE,
    .pci_class = 0x018000,
    .serve = fs_serve,
    .reset = fs_reset,
};

static void enter(void *server)
{
    fuse_enter_thread(server);
}

static void fs_destroy(void *opaque)
{
    struct fs *f = opaque;
    worker_stop(&f->worker);
    fuse_server_free(f->server);
    virtio_destroy(&f->device);
    free(f);
}

/* A share's part of the descriptors that the process may have, after it asked for all it may. */
static unsigned fds_of_share(unsigned n_shares)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) < 0)
        return MIN_FDS;
    l.rlim_cur = l.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &l) < 0)
        getrlimit(RLIMIT_NOFILE, &l);
    uint64_t share = l.rlim_cur > OTHER_FDS ? (l.rlim_cur - OTHER_FDS) / n_shares : 0;
    return share < MIN_FDS ? MIN_FDS : share > MAX_FDS ? MAX_FDS : (unsigned)share;
}

int machine_share_open(struct machine_share *share, struct error **err)
{
    if (share->fd)
        return 0;
    char *only = NULL;
    share->fd = fuse_open_root(share->path, &only);
    share->only = only;
    if (share->fd >= 0)
        return 0;
    error_set(err, errno, "open");
    return error_prefix(err, "share %s", share->path);
}

int virtio_fs_create(struct pci_host *host, struct slat *slat, const struct machine_share *share,
                     unsigned n_shares, struct error **err)
{
    struct machine_share opened = *share;
    if (machine_share_open(&opened, err) < 0)
        return -1;
    struct fs *f = xcalloc(1, sizeof *f);
    f->server =
        fuse_server_new(opened.fd, opened.only, share->readonly, fds_of_share(n_shares), err);
    if (!share->fd)
        free((char *)opened.only);
    int rc = f->server ? 0 : -1;
    f->worker = (struct worker){
        .name = "share", .kind = JAIL_SHARE, .enter = enter, .enter_arg = f->server};
    if (rc == 0 && (!*share->tag || strlen(share->tag) > TAG_LEN))
        rc = error_set(err, 0, "tag '%s': must have 1 to %d bytes", share->tag, TAG_LEN);
    rc = rc < 0 ? rc : worker_start(&f->worker, err);
    virtio_init(&f->device, &fs_class, f->worker.loop, slat, 0);
    struct config c = {.num_request_queues = htole32(1)};
    memcpy(c.tag, share->tag, strnlen(share->tag, TAG_LEN));
    memcpy(f->device.config, &c, sizeof c);
    f->device.config_len = sizeof c;
    bus_add_device(pci_bus(host), f, NULL, fs_destroy);
    if (rc < 0 || !virtio_pci_add(host, &f->device, err))
        return error_prefix(err, "share %s", share->path);
    return 0;
}
