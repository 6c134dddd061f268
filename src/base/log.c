#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Process-wide, as a process has one standard error. */
static struct {
    const char *program;
    enum log_level level;
    int fd;
    int json;
} log_state = {"wirt", LOG_WARN, -1, 0};

static const char *const level_names[] = {"error", "warning", "info", "debug"};

void log_init(const char *program, enum log_level level)
{
    log_state.program = program;
    log_state.level = level;
}

void log_to_fd(int fd, int json)
{
    log_state.fd = fd;
    log_state.json = json;
}

static void write_json_string(FILE *f, const char *s)
{
    fputc('"', f);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            fprintf(f, "\\%c", c);
        else if (c < 0x20)
            fprintf(f, "\\u%04x", c);
        else
            fputc(c, f);
    }
    fputc('"', f);
}

static void log_to_file(enum log_level level, const char *text)
{
    char line[4096];
    FILE *f = fmemopen(line, sizeof line, "w");
    if (!f)
        return;
    char when[32];
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (log_state.json) {
        fprintf(f, "{\"level\":\"%s\",\"time\":\"%s\",\"msg\":", level_names[level], when);
        write_json_string(f, text);
        fputs("}\n", f);
    } else {
        fprintf(f, "%s %s: %s\n", when, level_names[level], text);
    }
    long n = ftell(f);
    fclose(f);
    if (n > 0 && write(log_state.fd, line, (size_t)n) < 0)
        return; /* a log that cannot be written has nobody to tell */
}

/* What a guest can make us say must not fill a disk. A bucket of LOG_BURST warnings, of which one
 * comes back each second. */
static struct {
    pthread_mutex_t lock;
    time_t last;
    unsigned said; /* of the burst */
    unsigned long left_out;
} limit = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Whether one more may be said. *left_out: how many were not, since the last that was. */
static bool allowed(unsigned long *left_out)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&limit.lock);
    time_t passed = now.tv_sec - limit.last;
    limit.said = passed < (time_t)limit.said ? limit.said - (unsigned)passed : 0;
    limit.last = now.tv_sec;
    bool yes = limit.said < LOG_BURST;
    *left_out = yes ? limit.left_out : 0;
    limit.left_out = yes ? 0 : limit.left_out + 1;
    limit.said += yes;
    pthread_mutex_unlock(&limit.lock);
    return yes;
}

static void say(enum log_level level, const char *text)
{
    if (level <= log_state.level) {
        if (level == LOG_ERROR)
            fprintf(stderr, "%s: %s\n", log_state.program, text);
        else
            fprintf(stderr, "%s: %s: %s\n", log_state.program, level_names[level], text);
    }
    if (log_state.fd >= 0)
        log_to_file(level, text);
}

void log_message(enum log_level level, const char *fmt, ...)
{
    if (level > log_state.level && log_state.fd < 0)
        return;
    char text[2048];
    unsigned long left_out = 0;
    if ((level == LOG_WARN || level == LOG_INFO) && !allowed(&left_out))
        return;
    if (left_out) {
        snprintf(text, sizeof text, "%lu messages were left out: too many at once", left_out);
        say(LOG_WARN, text);
    }
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    say(level, text);
}
