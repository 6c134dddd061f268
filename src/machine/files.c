#include "machine/files.h"

#include <errno.h>
#include <fcntl.h>

#include "machine/devices/devices.h"

static int open_file(struct machine_file *f, int flags, struct error **err)
{
    if (!f->path || f->fd)
        return 0;
    /* Not blocking: a FIFO is refused later, not waited for. */
    f->fd = open(f->path, flags | O_CLOEXEC | O_NONBLOCK, 0666);
    return f->fd < 0 ? error_set(err, errno, "open %s", f->path) : 0;
}

int machine_open_files(struct machine_config *c, struct error **err)
{
    if (open_file(&c->kernel, O_RDONLY, err) < 0 || open_file(&c->initrd, O_RDONLY, err) < 0 ||
        open_file(&c->firmware, O_RDONLY, err) < 0 ||
        open_file(&c->trace, O_WRONLY | O_CREAT | O_TRUNC, err) < 0)
        return -1;
    for (unsigned i = 0; i < c->n_disks; i++)
        if (machine_disk_open(&c->disks[i], err) < 0)
            return -1;
    for (unsigned i = 0; i < c->n_shares; i++)
        if (machine_share_open(&c->shares[i], err) < 0)
            return -1;
    return 0;
}
