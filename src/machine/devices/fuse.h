/* A FUSE server that passes a folder of the host's, or a single file, through (the protocol:
 * <linux/fuse.h>).
 *
 * The guest is hostile. Every length is checked against the descriptor chain; node ids and file
 * handles are looked up in tables; a name is one component and never "." or ".."; nothing is
 * followed out of the folder, as each component is opened relative to its folder's descriptor
 * without following symbolic links. Only regular files and folders are ever opened for more than
 * naming them; devices cannot be made. Not thread-safe: requests come one at a time. */
#ifndef WIRT_MACHINE_DEVICES_FUSE_H
#define WIRT_MACHINE_DEVICES_FUSE_H

#include <stdbool.h>

#include "base/error.h"
#include "machine/devices/virtqueue.h"

struct fuse_server;

/* Opens a share's root (O_PATH): the folder at path, or the one that the regular file at path is
 * in, whose name is then in *only, for the caller to free. A descriptor or -1 with errno. */
int fuse_open_root(const char *path, char **only);

/* Serves the folder root, which becomes the server's; or, with only, the regular file of that name
 * in it, as MACHINE_SHARE_FILE in a root of which nothing else is known and nothing can be changed.
 * The file is looked for by its name, so what replaces it on the host is seen. max_fds (at least
 * 17): how many descriptors it may hold, open files included. NULL with err. */
struct fuse_server *fuse_server_new(int root, const char *only, bool readonly, unsigned max_fds,
                                    struct error **err);
void fuse_server_free(struct fuse_server *s);

/* Prepares the thread that serves: an umask of its own, no supplementary groups. */
void fuse_enter_thread(struct fuse_server *s);

/* Forgets all nodes and closes all files: the guest's kernel starts anew. */
void fuse_server_reset(struct fuse_server *s);

/* Answers one request: its readable part is a fuse_in_header and arguments, its writable part gets
 * a fuse_out_header and the result. The bytes written, or -1: it is no request. */
int64_t fuse_serve(struct fuse_server *s, const struct vq_chain *chain);

#endif
