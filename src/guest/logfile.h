/* A guest's output kept for `wirt logs`: one JSON object a line, as docker's json-file driver has
 * it: {"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.123456789Z"}. Bytes that are
 * not UTF-8 are kept in "base64" instead of "log". When the file has grown to LOG_FILE_MAX it
 * becomes log.1, and the former log.1 goes: a guest cannot fill the disk by talking. */
#ifndef WIRT_GUEST_LOGFILE_H
#define WIRT_GUEST_LOGFILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/str.h"

#define LOG_FILE_MAX (16u << 20)
#define LOG_LINE_MAX 16384u

enum log_stream {
    LOG_STDOUT,
    LOG_STDERR,
};

struct log_writer {
    int dirfd, fd; /* dirfd is the caller's; fd -1: nothing is kept */
    uint64_t size;
    struct str partial[2]; /* a line not yet ended, by stream */
};

int log_open(struct log_writer *w, int dirfd, struct error **err);

/* Takes in what the guest wrote. Trouble with the disk ends the log, never the guest. */
void log_write(struct log_writer *w, enum log_stream stream, const void *data, size_t len);

/* Writes what is left of unfinished lines and closes. */
void log_close(struct log_writer *w);

struct log_query {
    bool follow;     /* wait for more until `ended` says so */
    bool timestamps; /* in front of each line */
    int64_t tail;    /* only the last so many lines; -1: all */
    int64_t since;   /* CLOCK_REALTIME ns; 0: all */
    bool (*ended)(void *arg);
    void *arg;
};

/* Prints a log to out and err_out. Lines that cannot be read are left out with a warning. */
int log_print(int dirfd, const struct log_query *q, FILE *out, FILE *err_out, struct error **err);

#endif
