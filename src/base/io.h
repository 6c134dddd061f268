/* Files and descriptors: whole reads and writes, interrupted calls restarted. */
#ifndef WIRT_BASE_IO_H
#define WIRT_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/str.h"

/* Reads from a descriptor to the end, at most max bytes; NUL-terminated; the caller frees *data.
 * name is what messages call it. */
int read_fd(int fd, const char *name, size_t max, char **data, size_t *len, struct error **err);

/* The same of a whole file. dirfd as in openat. */
int read_file_at(int dirfd, const char *path, size_t max, char **data, size_t *len,
                 struct error **err);

/* The same of a file that is somebody else's, as in a container's root: nothing but a regular file
 * is read (else EINVAL), so that a pipe or a terminal in its place cannot hang us. */
int read_regular_at(int dirfd, const char *path, size_t max, char **data, size_t *len,
                    struct error **err);

/* Whether fd is a regular file. Files of somebody else's are opened with O_NONBLOCK and O_NOCTTY,
 * and asked this before anything is read. */
bool is_regular(int fd);

/* Writes all of data to an existing file in one open/write (control files of cgroupfs and procfs).
 */
int write_file_at(int dirfd, const char *path, const char *data, struct error **err);

/* Writes a file so that readers see the old or the new content, never half: a temporary file,
 * renamed. */
int replace_file_at(int dirfd, const char *path, const void *data, size_t len, mode_t mode,
                    struct error **err);

/* Closes every descriptor from `first` on but these (which it sorts; negative ones are none).
 * Surely: what stays open by mistake, somebody waits for the end of. */
void close_but(int first, int *keep, size_t n);

/* Writes all of it; 0 or -1 with errno. */
int write_all(int fd, const void *data, size_t len);

/* Whether a socket that answers with this error may be asked again: it is no sign of its end, nor
 * is what the kernel has no memory for at the moment. */
bool refused_for_now(int code);

/* Sends of a socket's backlog what it takes without waiting, and drops that from its front; raises
 * no SIGPIPE. 0, also when nothing can be sent now (no room, no memory: the caller watches for
 * EPOLLOUT while something is left); -1 with errno when the connection is broken. */
int flush_socket(int sock, struct str *out);

/* Reads until len bytes or the end; the number read, or -1 with errno. */
ssize_t read_full(int fd, void *data, size_t len);

/* Creates a folder and what is missing above it; what exists is left as it is. */
int mkdir_all(const char *path, mode_t mode, struct error **err);

#endif
