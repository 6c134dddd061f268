/* Terminals, from both sides: the caller's, and the master of one that is made for a program. */
#ifndef WIRT_BASE_TERMINAL_H
#define WIRT_BASE_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <termios.h>

#include "base/error.h"

/* A terminal put into raw mode, and put back. What is no terminal is left alone. */
struct raw_terminal {
    int fd; /* -1: nothing to put back */
    struct termios saved;
};
int raw_terminal_enter(struct raw_terminal *t, int fd, struct error **err);
/* Says so when it cannot be put back. */
void raw_terminal_leave(struct raw_terminal *t);

/* That nobody has a terminal's other side open does not mean that its command has ended: it closes
 * its streams and then exits (a hang-up in between would be its SIGHUP, in the place of its
 * status), or opens /dev/tty again. So the master is kept while the command runs, and looked at
 * every so often. */
#define TERMINAL_QUIET_MS 100

/* As read(2), of the master of a pseudoterminal, or of who may have a terminal, which may hang up:
 * that nobody has the other side is its end (0). EIO is the end of a terminal only; of anything
 * else it is an error as any other is, and to be told. */
ssize_t terminal_read(int fd, void *data, size_t len);
/* As write(2), of such a master. What is written when nobody has the other side is dropped, as any
 * terminal does. */
ssize_t terminal_write(int master, const void *data, size_t len);

/* The end of a terminal's input is a character, which somebody types. What came to its end
 * elsewhere (a file, a pipe), and goes to a terminal, ends with as many ^D as end it behind `last`,
 * the last character before it; '\n' where there was none. */
#define TERMINAL_END "\004\004"
static inline size_t terminal_ends(char last)
{
    return last == '\n' || last == '\r' ? 1 : 2;
}

/* Input on its way to a terminal's master. Waiting for that to take it could be for ever: a program
 * that waits for its output to be taken reads nothing. */
struct terminal_input {
    char data[4096];
    size_t start, end; /* what has yet to be typed */
    bool ended, inside_line;
};
/* Whether there is room for more: it is not to be taken before. */
bool terminal_input_room(const struct terminal_input *in);
/* Reads once, the end or a failure as what ends a terminal's input. 0, or -1 with errno: not all of
 * it could be read. */
int terminal_input_take(struct terminal_input *in, int fd);
/* Types what a nonblocking master takes. 0, or -1 with errno: some of it is lost. */
int terminal_input_give(struct terminal_input *in, int master);

#endif
