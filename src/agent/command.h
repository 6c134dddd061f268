/* A command that the host has asked for, from its frame to its first instruction. */
#ifndef WIRT_AGENT_COMMAND_H
#define WIRT_AGENT_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/protocol.h"
#include "base/error.h"

enum {
    STATUS_AGENT = 125, /* we failed */
    STATUS_NOT_EXECUTABLE,
    STATUS_NOT_FOUND,
};

/* The strings are the frame's. */
struct command {
    bool tty;
    struct agent_size size;
    const char *user, *workdir;
    char **args, **env; /* NULL-terminated, owned; env has one more place */
};

/* Takes AGENT_RUN's payload apart; -1 when it is malformed. */
int command_parse(struct command *c, const uint8_t *payload, size_t len);
void command_free(struct command *c);

/* Starts it in a session of its own. io becomes our ends of its standard input, output and error,
 * not blocking: of pipes, as only those can be opened again through /dev/stdout; or of its
 * terminal, with no error. What hinders the command itself is told on its standard error and by its
 * status. */
pid_t command_start(const struct command *c, int io[3], struct error **err);

/* Tells a terminal its size. */
int command_resize(int tty, const struct agent_size *size, struct error **err);

#endif
