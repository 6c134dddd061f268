/* The caller's side of an attached guest: its terminal or streams to and from the monitor. */
#ifndef WIRT_GUEST_ATTACH_H
#define WIRT_GUEST_ATTACH_H

#include "guest/guest.h"

enum attach_end {
    ATTACH_EXITED,   /* the guest has ended; status is its exit status */
    ATTACH_DETACHED, /* the user pressed ctrl-p ctrl-q */
};

struct attach_options {
    bool tty;       /* the guest has a terminal: ours goes raw when it is one */
    bool input;     /* pass on standard input */
    bool sig_proxy; /* pass on signals */
};

/* Carries frames over fd (control.h) until the guest ends or the user detaches. */
int attach_run(int fd, const struct attach_options *o, enum attach_end *end, int *status,
               struct error **err);

#endif
