/* The container's terminal (process.terminal): a pseudoterminal of its own devpts. */
#ifndef WIRT_CONTAINER_CONSOLE_H
#define WIRT_CONTAINER_CONSOLE_H

#include <signal.h>
#include <stdbool.h>

#include "container/config.h"

/* Connects to the caller's console socket. */
int console_connect(const char *path, struct error **err);

/* Opens a terminal in the devpts below rootfd, sized and owned as p says, and sends its master to
 * sock. bind_console: also makes it /dev/console. Answers the other end. */
int console_open(int rootfd, const struct process *p, int sock, bool bind_console,
                 struct error **err);
/* Makes it the calling session's terminal and standard streams, and closes it. */
int console_attach(int slave, struct error **err);

/* In the foreground: copies between the caller's terminal and master until process pid ends, and
 * forwards signals (which have to be blocked: console_block_signals). terminal: its master, taken
 * over; -1: signals only. Answers the wait status, and sets pid to 0 when it has been waited for;
 * -1 also when a status of 0 would hide that not all could be carried. */
int console_serve(int terminal, pid_t *pid, int *status, struct error **err);
/* Blocks what console_serve forwards; old gets the mask there was. */
void console_block_signals(sigset_t *old);

#endif
