#include "image/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/cleanup.h"

#define HEAD   512u
#define FOOTER 512 /* a fixed VHD and a DMG are told by their last sector */

#define QEMU_IMG "qemu-img convert -O raw FILE FILE.raw"

/* The magic numbers of each format's own specification, as the probes of qemu-img know them, and of
 * compressed files, which are what images are handed around as. */
static const struct {
    struct disk_format format;
    bool footer;
    unsigned offset, len;
    const char *magic;
} formats[] = {
    {{"qcow2", QEMU_IMG}, false, 0, 4, "QFI\xfb"},
    {{"QED", QEMU_IMG}, false, 0, 4, "QED\0"},
    {{"VMDK", QEMU_IMG}, false, 0, 4, "KDMV"},
    {{"VMDK", QEMU_IMG}, false, 0, 4, "COWD"},
    {{"VMDK", QEMU_IMG}, false, 0, 21, "# Disk DescriptorFile"},
    {{"VDI", QEMU_IMG}, false, 0x40, 4, "\x7f\x10\xda\xbe"},
    {{"VHDX", QEMU_IMG}, false, 0, 8, "vhdxfile"},
    {{"VHD", QEMU_IMG}, false, 0, 8, "conectix"},
    {{"VHD", QEMU_IMG}, true, 0, 8, "conectix"},
    {{"Parallels", QEMU_IMG}, false, 0, 16, "WithoutFreeSpace"},
    {{"Parallels", QEMU_IMG}, false, 0, 16, "WithouFreSpacExt"},
    {{"Bochs", QEMU_IMG}, false, 0, 22, "Bochs Virtual HD Image"},
    {{"DMG", QEMU_IMG}, true, 0, 4, "koly"},
    {{"Android sparse", "simg2img FILE FILE.raw"}, false, 0, 4, "\x3a\xff\x26\xed"},
    {{"gzip", "gzip -dc FILE >FILE.raw"}, false, 0, 3, "\x1f\x8b\x08"},
    {{"xz", "xz -dc FILE >FILE.raw"}, false, 0, 6, "\xfd\x37zXZ\0"},
    {{"Zstandard", "zstd -dc FILE >FILE.raw"}, false, 0, 4, "\x28\xb5\x2f\xfd"},
    {{"bzip2", "bzip2 -dc FILE >FILE.raw"}, false, 0, 3, "BZh"},
};

const struct disk_format *disk_format_of_fd(int fd)
{
    char head[HEAD] = {0}, footer[FOOTER] = {0};
    off_t end = lseek(fd, 0, SEEK_END);
    if (pread(fd, head, sizeof head, 0) < 0 ||
        (end >= FOOTER && pread(fd, footer, sizeof footer, end - FOOTER) < 0))
        return NULL;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (!memcmp((formats[i].footer ? footer : head) + formats[i].offset, formats[i].magic,
                    formats[i].len))
            return &formats[i].format;
    return NULL;
}

int disk_require_raw(const char *path, struct error **err)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set(err, errno, "open");
    const struct disk_format *f = disk_format_of_fd(fd);
    if (!f)
        return 0;
    return error_set(err, 0,
                     "a machine's disk is raw, this is a %s image, which the guest's first write "
                     "would destroy: convert it (%s), or say format=raw if its bytes are the disk",
                     f->name, f->convert);
}
