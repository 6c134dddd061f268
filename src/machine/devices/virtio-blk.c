/* Virtio block device over a raw image file (VIRTIO 1.3, section 5.2). A thread of its own serves
 * each disk, so that a slow one holds up no other device. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "machine/devices/devices.h"
#include "machine/devices/virtio-pci.h"
#include "machine/devices/worker.h"

#define SECTOR 512u

#define F_SEG_MAX      (1ull << 2)
#define F_RO           (1ull << 5)
#define F_BLK_SIZE     (1ull << 6)
#define F_FLUSH        (1ull << 9)
#define F_DISCARD      (1ull << 13)
#define F_WRITE_ZEROES (1ull << 14)

enum {
    T_IN = 0,
    T_OUT = 1,
    T_FLUSH = 4,
    T_GET_ID = 8,
    T_DISCARD = 11,
    T_WRITE_ZEROES = 13,
};

enum {
    S_OK = 0,
    S_IOERR = 1,
    S_UNSUPP = 2,
};

#define ID_LEN      20
#define MAX_RANGES  16         /* of one discard or write-zeroes request */
#define MAX_DISCARD (1u << 21) /* sectors a range: 1 GiB */
#define MAX_ZEROES  (1u << 16) /* sectors a range: 32 MiB, as they may have to be written */
#define FLAG_UNMAP  1u
#define HEADER_LEN  sizeof(struct header)

struct header {
    uint32_t type, reserved;
    uint64_t sector;
};

struct range {
    uint64_t sector;
    uint32_t sectors, flags;
};

struct config {
    uint64_t capacity; /* sectors */
    uint32_t size_max, seg_max;
    uint16_t cylinders;
    uint8_t heads, sectors;
    uint32_t blk_size;
    uint8_t physical_block_exp, alignment_offset;
    uint16_t min_io_size;
    uint32_t opt_io_size;
    uint8_t writeback, unused0;
    uint16_t num_queues;
    uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
    uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
    uint8_t write_zeroes_may_unmap, unused1[3];
};

struct blk {
    struct virtio_device device; /* first: the class's functions get this pointer */
    int fd;
    bool readonly;
    uint64_t sectors;
    char id[ID_LEN];
    struct worker worker;
};

/* Whether [sector, sector + len / SECTOR) lies on the disk, for any values. */
static bool on_disk(const struct blk *b, uint64_t sector, uint64_t len)
{
    return len % SECTOR == 0 && sector <= b->sectors && len / SECTOR <= b->sectors - sector;
}

/* Moves all bytes of iov from or to the file. false: an error, or the file has shrunk. */
static bool transfer(struct blk *b, bool write, struct iovec *iov, int n, uint64_t offset)
{
    while (n) {
        ssize_t done =
            write ? pwritev(b->fd, iov, n, (off_t)offset) : preadv(b->fd, iov, n, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        offset += (uint64_t)done;
        for (; n && (size_t)done >= iov->iov_len; iov++, n--)
            done -= (ssize_t)iov->iov_len;
        if (n) {
            iov->iov_base = (char *)iov->iov_base + done;
            iov->iov_len -= (size_t)done;
        }
    }
    return true;
}

static bool flush(struct blk *b)
{
    return fdatasync(b->fd) == 0;
}

/* A driver that did not take the flush feature expects its writes to be on the disk when they are
 * done (section 5.2.6.2). */
static uint8_t written(struct blk *b)
{
    return virtio_has(&b->device, F_FLUSH) || flush(b) ? S_OK : S_IOERR;
}

static uint8_t do_transfer(struct blk *b, const struct vq_chain *c, const struct header *h,
                           uint32_t *moved)
{
    bool write = h->type == T_OUT;
    uint32_t len = write ? c->out_len - (uint32_t)HEADER_LEN : c->in_len - 1;
    if (!on_disk(b, h->sector, len) || (write && b->readonly))
        return S_IOERR;
    struct iovec iov[VQ_MAX_SIZE];
    int n = vq_chain_iov(c, !write, write ? HEADER_LEN : 0, len, iov);
    if (!transfer(b, write, iov, n, h->sector * SECTOR))
        return S_IOERR;
    if (write)
        return written(b);
    *moved = len;
    return S_OK;
}

static bool write_zeros(struct blk *b, uint64_t offset, uint64_t len)
{
    static const char zeros[64 * 1024];
    while (len) {
        size_t piece = len < sizeof zeros ? len : sizeof zeros;
        struct iovec iov = {.iov_base = (void *)zeros, .iov_len = piece};
        if (!transfer(b, true, &iov, 1, offset))
            return false;
        offset += piece;
        len -= piece;
    }
    return true;
}

/* One range of a discard (a hint: what the file system cannot do is no error) or write-zeroes. */
static uint8_t do_range(struct blk *b, uint32_t type, const struct range *r)
{
    bool discard = type == T_DISCARD;
    uint64_t len = (uint64_t)r->sectors * SECTOR, offset = r->sector * SECTOR;
    if (r->flags & (discard ? ~0u : ~FLAG_UNMAP))
        return S_UNSUPP;
    if (!on_disk(b, r->sector, len) || r->sectors > (discard ? MAX_DISCARD : MAX_ZEROES))
        return S_IOERR;
    if (!len)
        return S_OK;
    int mode = FALLOC_FL_KEEP_SIZE |
               (discard || (r->flags & FLAG_UNMAP) ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE);
    if (fallocate(b->fd, mode, (off_t)offset, (off_t)len) == 0)
        return S_OK;
    return discard || write_zeros(b, offset, len) ? S_OK : S_IOERR;
}

static uint8_t do_ranges(struct blk *b, const struct vq_chain *c, const struct header *h)
{
    struct range r[MAX_RANGES];
    size_t len = c->out_len - HEADER_LEN;
    if (b->readonly || !len || len % sizeof *r || len > sizeof r)
        return S_IOERR;
    vq_chain_read(c, HEADER_LEN, r, len);
    for (size_t i = 0; i < len / sizeof *r; i++) {
        r[i] = (struct range){.sector = le64toh(r[i].sector),
                              .sectors = le32toh(r[i].sectors),
                              .flags = le32toh(r[i].flags)};
        uint8_t status = do_range(b, h->type, &r[i]);
        if (status != S_OK)
            return status;
    }
    return written(b);
}

static uint8_t do_get_id(struct blk *b, const struct vq_chain *c, uint32_t *moved)
{
    uint32_t room = c->in_len - 1;
    *moved = (uint32_t)vq_chain_write(c, 0, b->id, room < ID_LEN ? room : ID_LEN);
    return S_OK;
}

/* *moved: bytes written in front of the status. */
static uint8_t do_request(struct blk *b, const struct vq_chain *c, uint32_t *moved)
{
    struct header h;
    vq_chain_read(c, 0, &h, sizeof h);
    h.type = le32toh(h.type);
    h.sector = le64toh(h.sector);
    switch (h.type) {
    case T_IN:
    case T_OUT: return do_transfer(b, c, &h, moved);
    case T_FLUSH: return flush(b) ? S_OK : S_IOERR;
    case T_GET_ID: return do_get_id(b, c, moved);
    case T_DISCARD:
    case T_WRITE_ZEROES: return do_ranges(b, c, &h);
    default: return S_UNSUPP;
    }
}

static void blk_serve(struct virtio_device *d, unsigned q)
{
    struct blk *b = (struct blk *)d;
    const struct vq_chain *c = &d->chain;
    while (virtio_pop(d, q)) {
        if (c->out_len < HEADER_LEN || c->in_len < 1) {
            virtio_break(d, "request without header or status byte");
            return;
        }
        uint32_t moved = 0;
        uint8_t status = do_request(b, c, &moved);
        /* The status is the last writable byte, wherever the data ended. The length told is what
         * is filled in from the start: all of it, or nothing that the driver may look at. */
        vq_chain_write(c, c->in_len - 1, &status, 1);
        virtio_push(d, q, moved == c->in_len - 1 ? moved + 1 : moved);
    }
}

static const struct virtio_class blk_class = {
    .name = "virtio-blk",
    .id = 2,
    .n_queues = 1,
    .queue_size = 256,
    .pci_class = 0x018000,
    .serve = blk_serve,
};

static void blk_destroy(void *opaque)
{
    struct blk *b = opaque;
    worker_stop(&b->worker);
    if (b->fd >= 0)
        close(b->fd);
    virtio_destroy(&b->device);
    free(b);
}

int machine_disk_open(struct machine_disk *disk, struct error **err)
{
    if (disk->fd)
        return 0;
    /* Not blocking: a FIFO is refused, not waited for. */
    disk->fd = open(disk->path, (disk->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
    if (disk->fd >= 0)
        return 0;
    error_set(err, errno, "open");
    return error_prefix(err, "disk %s", disk->path);
}

/* A machine whose launcher was killed goes with it, and lets go of its disks a moment later. */
#define LOCK_TRIES    20
#define LOCK_PAUSE_NS 50000000

static int lock_image(int fd, bool readonly)
{
    struct flock lock = {.l_type = readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};
    const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
    int rc;
    for (int i = 0; (rc = fcntl(fd, F_OFD_SETLK, &lock)) < 0 && i < LOCK_TRIES &&
                    (errno == EAGAIN || errno == EACCES);
         i++)
        nanosleep(&pause, NULL);
    return rc;
}

/* Checks the image, and locks it against a second machine. */
static int check_image(struct blk *b, const struct machine_disk *disk, struct error **err)
{
    struct stat st;
    if (fstat(b->fd, &st) < 0)
        return error_set(err, errno, "stat");
    if (!S_ISREG(st.st_mode))
        return error_set(err, 0, "not a regular file; a raw disk image is wanted");
    if (!st.st_size || st.st_size % SECTOR)
        return error_set(err, 0,
                         "%lld bytes are no whole number of 512-byte sectors; a raw disk image is "
                         "wanted",
                         (long long)st.st_size);
    if (lock_image(b->fd, disk->readonly) < 0 && (errno == EAGAIN || errno == EACCES))
        return error_set(err, 0, "in use by another machine; several can share it read-only");
    b->sectors = (uint64_t)st.st_size / SECTOR;
    return 0;
}

static void set_config(struct blk *b)
{
    struct config c = {
        .capacity = htole64(b->sectors),
        .seg_max = htole32(VQ_MAX_SIZE - 2), /* header and status */
        .blk_size = htole32(SECTOR),
        .num_queues = htole16(1),
        .max_discard_sectors = htole32(MAX_DISCARD),
        .max_discard_seg = htole32(MAX_RANGES),
        .discard_sector_alignment = htole32(8),
        .max_write_zeroes_sectors = htole32(MAX_ZEROES),
        .max_write_zeroes_seg = htole32(MAX_RANGES),
        .write_zeroes_may_unmap = 1,
    };
    _Static_assert(offsetof(struct config, write_zeroes_may_unmap) == 56, "section 5.2.4");
    memcpy(b->device.config, &c, sizeof c);
    b->device.config_len = sizeof c;
}

int virtio_blk_create(struct pci_host *host, struct slat *slat, const struct machine_disk *disk,
                      struct error **err)
{
    struct machine_disk opened = *disk;
    if (machine_disk_open(&opened, err) < 0)
        return -1;
    struct blk *b = xcalloc(1, sizeof *b);
    b->fd = opened.fd;
    b->readonly = disk->readonly;
    b->worker.name = "disk";
    b->worker.kind = JAIL_DISK;
    const char *slash = strrchr(disk->path, '/');
    const char *name = slash ? slash + 1 : disk->path;
    memcpy(b->id, name, strnlen(name, ID_LEN));

    int rc = check_image(b, disk, err);
    rc = rc < 0 ? rc : worker_start(&b->worker, err);
    virtio_init(&b->device, &blk_class, b->worker.loop, slat,
                F_SEG_MAX | F_BLK_SIZE | F_FLUSH |
                    (disk->readonly ? F_RO : F_DISCARD | F_WRITE_ZEROES));
    set_config(b);
    bus_add_device(pci_bus(host), b, NULL, blk_destroy);
    if (rc < 0 || !virtio_pci_add(host, &b->device, err))
        return error_prefix(err, "disk %s", disk->path);
    return 0;
}
