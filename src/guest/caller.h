/* The streams of this process's own, for a guest that runs attached: standard output and error that
 * the guest's output goes to, and standard input that goes to the guest. */
#ifndef WIRT_GUEST_CALLER_H
#define WIRT_GUEST_CALLER_H

#include "base/loop.h"
#include "base/str.h"

/* Called from the loop. */
struct caller_ops {
    /* The output takes no more, and what it had yet to take is lost: EPIPE, nobody reads it any
     * more; else it could not be written (errno). */
    void (*closed)(void *arg, int which, int code);
    void (*input)(void *arg, const char *data, size_t len);
    /* code: 0, or why there is more that could not be read (errno). */
    void (*input_end)(void *arg, int code);
    /* Whether no more input is wanted for now: caller_input_room says when it is. */
    bool (*input_full)(void *arg);
};

struct caller {
    struct loop *loop;
    const struct caller_ops *ops;
    void *arg;
    bool input; /* standard input is passed on */
    struct caller_output {
        int fd; /* -1: none (any more) */
        struct str pending;
    } outputs[2];
};

/* Without any stream. */
void caller_init(struct caller *c, struct loop *loop, const struct caller_ops *ops, void *arg);
void caller_free(struct caller *c);

/* From here on output goes to standard output and error, and input comes from standard input. */
void caller_take_outputs(struct caller *c);
void caller_take_input(struct caller *c);

/* which: 0 output, 1 error. */
void caller_write(struct caller *c, int which, const char *data, size_t len);
void caller_input_room(struct caller *c);

/* Bytes that one of the outputs has yet to take. */
size_t caller_pending(const struct caller *c);

#endif
