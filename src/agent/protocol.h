/* What the monitor of a machine and the agent in it say to each other.
 *
 * The channel is a virtio-console port named AGENT_PORT. On it go frames, both ways: a struct
 * agent_frame, then `length` bytes. Numbers are little-endian. A session is a command that the host
 * has the agent run; its number is the host's choice and free again after AGENT_EXIT.
 *
 *   type            from   payload
 *   AGENT_HELLO     agent  a nonce: it has started, and knows no session. Said again each second
 *                          until answered. The host forgets what it had begun to send.
 *   AGENT_HELLO     host   the nonce: the agent takes frames from here on
 *   AGENT_RUN       host   struct agent_run and its strings
 *   AGENT_INPUT     host   standard input; without payload: its end (a terminal has none)
 *   AGENT_SIGNAL    host   one byte: a signal for the command's first process
 *   AGENT_RESIZE    host   struct agent_size; of session AGENT_CONSOLE: the machine's console's
 *   AGENT_POWEROFF  host   one byte, the machine's exit status: it powers off in good order
 *   AGENT_OUTPUT    agent  standard output, or the terminal's
 *   AGENT_ERROR     agent  standard error
 *   AGENT_ROOM      both   struct agent_room
 *   AGENT_EXIT      agent  one byte: the exit status, 128 + n for signal n. All that the command
 *                          had written was sent before. What cannot be run says why on AGENT_ERROR
 *                          and exits with 127 (not there), 126 (not executable) or 125.
 *
 * Flow: of each stream of a session (AGENT_INPUT, AGENT_OUTPUT, AGENT_ERROR) at most AGENT_WINDOW
 * bytes are under way. The receiver gives room back as it passes them on. */
#ifndef WIRT_AGENT_PROTOCOL_H
#define WIRT_AGENT_PROTOCOL_H

#include <stdint.h>

#define AGENT_PORT   "wirt.agent"
#define AGENT_MAGIC  0xa7u
#define AGENT_NONCE  16u
#define AGENT_WINDOW (256u << 10) /* bytes */

#define AGENT_CONSOLE 0xffffu /* no session's number */

/* The most that a frame carries. The agent's frames carry less, so that each is one buffer of the
 * port's and never ends in the middle. */
#define AGENT_PAYLOAD_MAX (64u << 10)
#define AGENT_DATA_MAX    (16u << 10)

enum agent_type {
    AGENT_HELLO = 1,
    AGENT_RUN,
    AGENT_INPUT,
    AGENT_SIGNAL,
    AGENT_RESIZE,
    AGENT_POWEROFF,
    AGENT_OUTPUT,
    AGENT_ERROR,
    AGENT_ROOM,
    AGENT_EXIT,
};

struct agent_frame {
    uint32_t length; /* of the payload */
    uint16_t session;
    uint8_t type;
    uint8_t magic; /* AGENT_MAGIC */
};

/* A terminal's size in characters; 0: unknown. */
struct agent_size {
    uint16_t rows, columns;
};

/* Bytes of a stream that were passed on. */
struct agent_room {
    uint32_t bytes;
    uint8_t stream; /* AGENT_INPUT, AGENT_OUTPUT or AGENT_ERROR */
    uint8_t zero[3];
};

/* A command. Strings follow, each with its NUL: user (as docker's --user: names or numbers, "" for
 * root), working folder (made if it is not there), n_args arguments, n_env assignments. $HOME is
 * the user's unless an assignment sets it. */
struct agent_run {
    uint16_t tty; /* 0 or 1: with a terminal of its own, of this size */
    struct agent_size size;
    uint16_t n_args, n_env;
};

#endif
