/* Archives in the newc format of cpio, as Linux takes them for an initramfs
 * (Documentation/driver-api/early-userspace/buffer-format.rst). */
#ifndef WIRT_IMAGE_CPIO_H
#define WIRT_IMAGE_CPIO_H

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

struct cpio {
    int fd; /* the caller's */
    uint32_t next_ino;
    uint64_t written;
    char *buf; /* output not yet written */
    size_t used;
};

void cpio_init(struct cpio *c, int fd);

/* Adds one thing: mode with its S_IF type; data is the content of a file or the target of a link.
 */
int cpio_add(struct cpio *c, const char *name, mode_t mode, const void *data, size_t len,
             struct error **err);

/* Adds a file's content under a name, with its mode. */
int cpio_add_file(struct cpio *c, const char *name, const char *path, mode_t mode,
                  struct error **err);

/* Writes the trailer and pads to 512 bytes, so that another archive may follow. */
int cpio_finish(struct cpio *c, struct error **err);
void cpio_free(struct cpio *c);

#endif
