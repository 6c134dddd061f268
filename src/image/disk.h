/* Disk images in other formats than raw. A machine's disk is the file's bytes as they are: an image
 * of another format would show the guest its insides, and the guest's first write destroys it. */
#ifndef WIRT_IMAGE_DISK_H
#define WIRT_IMAGE_DISK_H

#include "base/error.h"

struct disk_format {
    const char *name;    /* "qcow2" */
    const char *convert; /* the command that makes a raw image of FILE */
};

/* The format that an open disk image says it has, by its magic; NULL: none of those known, so raw.
 * Reads without moving the position. A volume that is encrypted as a whole (LUKS) is raw: what is
 * in it is the guest's own to open. */
const struct disk_format *disk_format_of_fd(int fd);

/* Refuses a file whose format is not raw; the message says how it is converted. */
int disk_require_raw(const char *path, struct error **err);

#endif
