#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The one piece of process-wide state: a process has one standard error. */
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

void log_message(enum log_level level, const char *fmt, ...)
{
    if (level > log_state.level && log_state.fd < 0)
        return;
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (level <= log_state.level) {
        if (level == LOG_ERROR)
            fprintf(stderr, "%s: %s\n", log_state.program, text);
        else
            fprintf(stderr, "%s: %s: %s\n", log_state.program, level_names[level], text);
    }
    if (log_state.fd >= 0)
        log_to_file(level, text);
}
