/* Standard streams that are files, kept apart from a guest.
 *
 * Whoever holds a descriptor of a file can open the file again by way of /proc/self/fd: to write to
 * one that was given to it to read, to read what is to be written only; and a folder has a "..". So
 * a guest behind a wall that is to hold gets pipes in their place. */
#ifndef WIRT_GUEST_APART_H
#define WIRT_GUEST_APART_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* Whether fd must not be a guest's: it is a file, a disk or a folder. */
bool apart_needed(int fd);

/* This process's standard streams while it runs a command in a guest. */
struct apart {
    int saved[3];    /* the streams themselves; -1: left as they are */
    pid_t copier[3]; /* a child that carries for each of them */
    int end[2];      /* closed when the command has ended */
};

/* Puts pipes in the place of those that need it. apart_end has to follow, also after a failure. */
int apart_begin(struct apart *a, struct error **err);
/* What has been written is in the files, the command had all of the input that it asked for, and
 * the streams are what they were; else -1 with err. */
int apart_end(struct apart *a, struct error **err);

#endif
