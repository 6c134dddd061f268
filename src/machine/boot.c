#include "machine/boot.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"

#define MIB          ((uint64_t)1 << 20)
#define FIRMWARE_GAP (2 * MIB) /* a kernel behind a firmware goes to RAM + this, as on qemu */

/* The header of a flat kernel: Linux, Documentation/arch/riscv/boot-image-header.rst */
struct image_header {
    uint32_t code[2];
    uint64_t text_offset, image_size, flags;
    uint32_t version, res1;
    uint64_t res2, magic;
    uint32_t magic2, res3;
};
#define IMAGE_MAGIC2     0x05435352u /* "RSC\5" */
#define IMAGE_BIG_ENDIAN 1u

static uint64_t ram_end(const struct machine *m)
{
    return slat_base(m->slat) + slat_size(m->slat);
}

static int image_len(const struct machine_file *f, uint64_t *len, struct error **err)
{
    const char *path = f->path;
    struct stat st;
    if (fstat(f->fd, &st) < 0)
        return error_set(err, errno, "stat %s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, 0, "%s: not a regular file", path);
    if (!st.st_size)
        return error_set(err, 0, "%s: the file is empty", path);
    *len = (uint64_t)st.st_size;
    return 0;
}

/* From the file's first byte, whoever read it before: it is read again at a reboot. */
static int read_image(int fd, uint8_t *to, uint64_t len, const char *path, struct error **err)
{
    for (uint64_t done = 0; done < len;) {
        ssize_t n = pread(fd, to + done, len - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, errno, "read %s", path);
        if (!n)
            return error_set(err, 0, "%s: became shorter while it was read", path);
        done += (uint64_t)n;
    }
    return 0;
}

int boot_load_file(struct machine *m, const struct machine_file *file, uint64_t gpa, uint64_t *len,
                   struct error **err)
{
    const char *path = file->path;
    if (image_len(file, len, err) < 0)
        return -1;
    void *to = slat_host(m->slat, gpa, *len, true);
    if (!to)
        return error_set(err, 0,
                         "%s: its %llu bytes do not fit into RAM at 0x%llx: give the machine more "
                         "memory",
                         path, (unsigned long long)*len, (unsigned long long)gpa);
    return read_image(file->fd, to, *len, path, err);
}

/* A kernel that is also an EFI program says where its sections lie in the file (PE format: the
 * header's offset is in res3, behind "MZ"): a file that ends before them has been cut off, and
 * would run into nothing. What is not such a program, or lies about itself otherwise, is left
 * alone. */
static int check_complete(int fd, const char *path, const struct image_header *h, uint64_t len,
                          struct error **err)
{
    uint8_t pe[24], section[40];
    if (memcmp(h, "MZ", 2) != 0 || pread(fd, pe, sizeof pe, h->res3) != sizeof pe ||
        memcmp(pe, "PE\0", 4) != 0)
        return 0;
    unsigned sections = pe[6] | (unsigned)pe[7] << 8, optional = pe[20] | (unsigned)pe[21] << 8;
    off_t at = (off_t)h->res3 + (off_t)sizeof pe + optional;
    for (unsigned i = 0; i < sections; i++, at += sizeof section) {
        uint32_t size, start;
        if (pread(fd, section, sizeof section, at) != sizeof section)
            break;
        memcpy(&size, section + 16, sizeof size);
        memcpy(&start, section + 20, sizeof start);
        if ((uint64_t)start + size > len)
            return error_set(err, 0, "%s: cut off: the file has %llu bytes, its sections need %llu",
                             path, (unsigned long long)len, (unsigned long long)start + size);
    }
    return 0;
}

static int read_header(const struct machine_file *f, struct image_header *h, uint64_t *len,
                       struct error **err)
{
    const char *path = f->path;
    if (image_len(f, len, err) < 0)
        return -1;
    ssize_t n = pread(f->fd, h, sizeof *h, 0);
    if (n < 0)
        return error_set(err, errno, "read %s", path);
    const uint8_t *b = (const uint8_t *)h;
    if (n >= 2 && b[0] == 0x1f && b[1] == 0x8b)
        return error_set(err, 0, "%s: is compressed with gzip; give the unpacked Image", path);
    if (n != sizeof *h || h->magic2 != IMAGE_MAGIC2)
        return error_set(err, 0,
                         "%s: neither a flat riscv64 kernel (\"RSC\\5\" at offset 0x38) nor an "
                         "ELF file",
                         path);
    if (h->flags & IMAGE_BIG_ENDIAN)
        return error_set(err, 0, "%s: a big-endian kernel", path);
    return check_complete(f->fd, path, h, *len, err);
}

/* A flat kernel goes to a multiple of 2 MiB plus its text_offset. */
static int load_flat_kernel(struct machine *m, const struct machine_file *f, struct loaded *out,
                            struct error **err)
{
    const char *path = f->path;
    struct image_header h;
    uint64_t len, base = slat_base(m->slat);
    if (read_header(f, &h, &len, err) < 0)
        return -1;
    uint64_t size = h.image_size > len ? h.image_size : len;
    if (m->firmware && h.text_offset < FIRMWARE_GAP)
        h.text_offset = FIRMWARE_GAP;
    if (h.text_offset > slat_size(m->slat) || size > slat_size(m->slat) - h.text_offset)
        return error_set(err, 0,
                         "%s: the kernel needs %llu MiB from RAM + 0x%llx on, and the machine has "
                         "%llu MiB: give it more memory",
                         path, (unsigned long long)((size + MIB - 1) / MIB),
                         (unsigned long long)h.text_offset,
                         (unsigned long long)(slat_size(m->slat) / MIB));
    if (boot_load_file(m, f, base + h.text_offset, &len, err) < 0)
        return -1;
    *out = (struct loaded){.entry = base + h.text_offset, .end = base + h.text_offset + size};
    return 0;
}

static int load_kernel(struct machine *m, const struct machine_file *f, struct loaded *out,
                       struct error **err)
{
    int elf = boot_is_elf(f, err);
    if (elf < 0)
        return -1;
    return elf ? boot_load_elf(m, f, out, err) : load_flat_kernel(m, f, out, err);
}

static int load_firmware(struct machine *m, const struct machine_file *f, struct loaded *out,
                         struct error **err)
{
    int elf = boot_is_elf(f, err);
    uint64_t len;
    if (elf < 0)
        return -1;
    if (elf)
        return boot_load_elf(m, f, out, err);
    if (boot_load_file(m, f, slat_base(m->slat), &len, err) < 0)
        return -1;
    *out = (struct loaded){.entry = slat_base(m->slat), .end = slat_base(m->slat) + len};
    return 0;
}

/* What OpenSBI's fw_dynamic finds through a2: OpenSBI, docs/firmware/fw_dynamic.md */
struct fw_dynamic_info {
    uint64_t magic, version, next_addr, next_mode, options, boot_hart;
};
#define FW_DYNAMIC_MAGIC 0x4942534fu

/* The top of RAM, going down: device tree and firmware's parameters in the last 2 MiB (or, in a
 * small RAM, right there), the initrd below. */
static int place_data(struct machine *m, const struct loaded *kernel, uint64_t low,
                      struct error **err)
{
    const struct machine_config *c = m->config;
    uint64_t top = (ram_end(m) - 1) & ~(2 * MIB - 1), start = 0, len = 0;
    if (c->initrd.path) {
        if (image_len(&c->initrd, &len, err) < 0)
            return -1;
        if (top < low || len > top - low)
            return error_set(err, 0,
                             "%s: its %llu MiB do not fit into RAM above the kernel: give the "
                             "machine more memory",
                             c->initrd.path, (unsigned long long)((len + MIB - 1) / MIB));
        start = (top - len) & ~(uint64_t)(PAGE_SIZE - 1);
        if (start < low)
            start = low;
        if (boot_load_file(m, &c->initrd, start, &len, err) < 0)
            return -1;
    }
    AUTO_FREE void *blob = NULL;
    size_t blob_len;
    if (boot_device_tree(m, start, start + len, &blob, &blob_len, err) < 0)
        return -1;
    m->dtb = top + PAGE_SIZE;
    m->fw_info = top;
    struct fw_dynamic_info info = {.magic = FW_DYNAMIC_MAGIC,
                                   .version = 2,
                                   .next_addr = kernel ? kernel->entry : 0,
                                   .next_mode = PRIV_S};
    if (top < low || !slat_write(m->slat, m->fw_info, &info, sizeof info) ||
        !slat_write(m->slat, m->dtb, blob, blob_len))
        return error_set(err, 0, "memory: %llu MiB are too little for the kernel and device tree",
                         (unsigned long long)(slat_size(m->slat) / MIB));
    return 0;
}

int boot_load(struct machine *m, struct error **err)
{
    const struct machine_config *c = m->config;
    struct loaded firmware = {0}, kernel = {0};
    if (c->firmware.path && load_firmware(m, &c->firmware, &firmware, err) < 0)
        return -1;
    if (c->kernel.path && load_kernel(m, &c->kernel, &kernel, err) < 0)
        return -1;
    if (c->firmware.path && c->kernel.path && kernel.entry < firmware.end)
        return error_set(err, 0, "%s: lies where the firmware %s is", c->kernel.path,
                         c->firmware.path);
    m->entry = c->firmware.path ? firmware.entry : kernel.entry;
    m->tohost = c->firmware.path ? firmware.tohost : kernel.tohost;
    uint64_t low = kernel.end > firmware.end ? kernel.end : firmware.end;
    low = (low + PAGE_SIZE - 1) & ~(uint64_t)(PAGE_SIZE - 1);
    if (m->tohost && !c->initrd.path && low > ((ram_end(m) - 1) & ~(2 * MIB - 1)))
        return 0; /* a test program that fills a small RAM, and reads no device tree */
    return place_data(m, c->kernel.path ? &kernel : NULL, low, err);
}
