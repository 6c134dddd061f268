/* The control socket of a guest: GUEST-FOLDER/control, a stream socket of its monitor.
 *
 * A request is one JSON object on a line with the member "op"; the answer is one on a line:
 * {"ok":true, ...} or {"ok":false,"error":"sentence"}. Requests on one connection are answered in
 * their order.
 *
 *   op        members                         answer
 *   status                                    status, pid
 *   wait                                      when the guest has ended: exitStatus
 *   stop      timeout: seconds until SIGKILL  like wait
 *   kill      signal: number
 *   pause, resume
 *   update    memory, cpuMillis, pids         (0 or absent: unchanged)
 *   stats                                     cpu_us, memory, memory_max, pids, machine
 *   machine   request: object                 answer: the machine's (machine/control.h)
 *   attach    stdin: bool                     then frames, both ways
 *   exec      command, env: lists; workdir,   then frames, both ways: in a machine with an agent
 *             user; tty: bool; rows, columns
 *
 * A frame is a type byte, a little-endian 32-bit length of at most FRAME_MAX, and that many bytes.
 */
#ifndef WIRT_GUEST_CONTROL_H
#define WIRT_GUEST_CONTROL_H

#include "base/str.h"
#include "guest/guest.h"
#include "guest/json.h"

#define CONTROL_LINE_MAX (512u << 10) /* bytes: the longest command with its environment */
#define FRAME_MAX        (64u << 10)
#define FRAME_HEADER     5u

enum frame_type {
    FRAME_STDIN = 'i',  /* to the guest's standard input or terminal */
    FRAME_EOF = 'e',    /* its end */
    FRAME_RESIZE = 'w', /* rows, columns: two little-endian 16-bit numbers */
    FRAME_SIGNAL = 's', /* one byte */
    FRAME_STDOUT = 'o', /* from the guest */
    FRAME_STDERR = 'r',
    FRAME_EXIT = 'x', /* one byte: the exit status; the last frame */
};

/* Appends a frame to s; len at most FRAME_MAX. */
void frame_append(struct str *s, enum frame_type type, const void *data, size_t len);

/* Looks for a whole frame at the beginning of data: its size with header, 0 when there is more to
 * come, -1 when it is none. */
int64_t frame_parse(const char *data, size_t len, enum frame_type *type, const char **payload,
                    size_t *payload_len);

/* Makes the listening socket (CLOEXEC, nonblocking), replacing a stale one. */
int control_listen(struct guest *g, struct error **err);

/* Connects to a guest's monitor. */
int control_connect(struct guest *g, struct error **err);

/* Sends a request (taken over) and waits for the answer, at most timeout_ms (-1: for ever). An
 * answer with "ok":false is an error. The caller puts the object. */
json_object *control_call(struct guest *g, json_object *request, int timeout_ms,
                          struct error **err);

/* The same on a connection that is open. Leaves what follows the answer unread. */
json_object *control_call_fd(int fd, json_object *request, int timeout_ms, struct error **err);

/* Reads one line, byte by byte so that nothing behind it is taken; timeout as above. */
int control_read_line(int fd, struct str *line, int timeout_ms, struct error **err);

json_object *control_request(const char *op);

#endif
