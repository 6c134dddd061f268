/* Terminals, from both sides: the caller's, and the master of one that is made for a program. */
#ifndef WIRT_BASE_TERMINAL_H
#define WIRT_BASE_TERMINAL_H

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

/* As read(2) and write(2), of the master of a pseudoterminal, or of a terminal that may hang up.
 * That no program has the other side open is the end for a reader (0), and what is written then is
 * dropped, as any terminal does. */
ssize_t terminal_read(int master, void *data, size_t len);
ssize_t terminal_write(int master, const void *data, size_t len);

#endif
