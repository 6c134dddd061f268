#include "guest/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "guest/json.h"

int log_open(struct log_writer *w, int dirfd, struct error **err)
{
    *w = (struct log_writer){.dirfd = dirfd};
    w->fd = openat(dirfd, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (w->fd < 0)
        return error_set(err, errno, "create the guest's log");
    return 0;
}

/* Strict UTF-8 (RFC 3629): the length of the sequence at s, or 0. */
static size_t utf8_len(const unsigned char *s, size_t n)
{
    if (s[0] < 0x80)
        return 1;
    size_t len = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return len;
}

static bool is_utf8(const char *data, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = utf8_len((const unsigned char *)data + i, len - i);
        if (!n)
            return false;
        i += n;
    }
    return true;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static char *base64_encode(const unsigned char *p, size_t len)
{
    char *out = xcalloc(len / 3 + 2, 4), *o = out;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < len ? (uint32_t)p[i + 1] << 8 : 0) |
                     (i + 2 < len ? p[i + 2] : 0);
        *o++ = base64_digits[v >> 18];
        *o++ = base64_digits[v >> 12 & 63];
        *o++ = i + 1 < len ? base64_digits[v >> 6 & 63] : '=';
        *o++ = i + 2 < len ? base64_digits[v & 63] : '=';
    }
    return out;
}

static void base64_decode(const char *s, struct str *out)
{
    uint32_t v = 0;
    int bits = 0;
    for (; *s && *s != '='; s++) {
        const char *d = strchr(base64_digits, *s);
        if (!d)
            return;
        v = v << 6 | (uint32_t)(d - base64_digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            char c = (char)(v >> bits);
            str_append(out, &c, 1);
        }
    }
}

static void format_time(char *buf, size_t size)
{
    struct timespec ts;
    struct tm tm;
    char date[32];
    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(buf, size, "%s.%09ldZ", date, ts.tv_nsec);
}

static void rotate(struct log_writer *w)
{
    close(w->fd);
    w->fd = -1;
    ERROR_CLEANUP err = NULL;
    struct log_writer fresh;
    if (renameat(w->dirfd, "log", w->dirfd, "log.1") < 0 || log_open(&fresh, w->dirfd, &err) < 0) {
        log_warn("the guest's log ends here: it could not be rotated: %s",
                 err ? error_text(err) : strerror(errno));
        return;
    }
    w->fd = fresh.fd;
    w->size = 0;
}

static void write_record(struct log_writer *w, enum log_stream stream, const char *data, size_t len)
{
    if (w->fd < 0)
        return;
    char when[64];
    format_time(when, sizeof when);
    AUTO_JSON *o = json_object_new_object();
    if (is_utf8(data, len)) {
        json_object_object_add(o, "log", json_object_new_string_len(data, (int)len));
    } else {
        AUTO_FREE char *b = base64_encode((const unsigned char *)data, len);
        json_put_str(o, "base64", b);
    }
    json_put_str(o, "stream", stream == LOG_STDERR ? "stderr" : "stdout");
    json_put_str(o, "time", when);
    AUTO_FREE char *line =
        xasprintf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_NOSLASHESCAPE));
    size_t n = strlen(line);
    if (w->size + n > LOG_FILE_MAX)
        rotate(w);
    if (w->fd < 0)
        return;
    if (write_all(w->fd, line, n) < 0) {
        log_warn("the guest's log ends here: %s", strerror(errno));
        close(w->fd);
        w->fd = -1;
    }
    w->size += n;
}

void log_write(struct log_writer *w, enum log_stream stream, const void *data, size_t len)
{
    struct str *s = &w->partial[stream];
    if (w->fd < 0)
        return;
    str_append(s, data, len);
    size_t done = 0;
    while (done < s->len) {
        size_t left = s->len - done;
        char *nl = memchr(s->data + done, '\n', left);
        size_t n = nl ? (size_t)(nl - s->data) + 1 - done : left;
        if (n > LOG_LINE_MAX)
            n = LOG_LINE_MAX;
        else if (!nl)
            break;
        write_record(w, stream, s->data + done, n);
        done += n;
    }
    memmove(s->data, s->data + done, s->len - done);
    s->len -= done;
}

void log_close(struct log_writer *w)
{
    for (int i = 0; i < 2; i++) {
        if (w->partial[i].len)
            write_record(w, (enum log_stream)i, w->partial[i].data, w->partial[i].len);
        str_free(&w->partial[i]);
    }
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
}

/* CLOCK_REALTIME ns of "2026-01-02T03:04:05.5Z", or 0. */
static int64_t parse_time(const char *s)
{
    struct tm tm = {0};
    const char *rest = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!rest)
        return 0;
    int64_t ns = 0, unit = 100000000;
    if (*rest == '.')
        for (rest++; *rest >= '0' && *rest <= '9' && unit; rest++, unit /= 10)
            ns += (*rest - '0') * unit;
    return (int64_t)timegm(&tm) * 1000000000 + ns;
}

static void print_record(const char *line, size_t len, const struct log_query *q, FILE *out,
                         FILE *err_out)
{
    AUTO_JSON *o = json_parse_object(line, len, "log", NULL);
    const char *when = json_get_str(o, "time", "");
    const char *base64 = json_get_str(o, "base64", NULL);
    if (!o || (!base64 && !json_get_str(o, "log", NULL))) {
        log_warn("a line of the guest's log is damaged and left out");
        return;
    }
    if (q->since && parse_time(when) < q->since)
        return;
    bool is_err = !strcmp(json_get_str(o, "stream", ""), "stderr");
    FILE *f = is_err ? err_out : out;
    fflush(is_err ? out : err_out); /* both may lead to one place, where the order shows */
    if (q->timestamps)
        fprintf(f, "%s ", when);
    STR_CLEANUP bytes = {0};
    if (base64) {
        base64_decode(base64, &bytes);
        if (bytes.len)
            fwrite(bytes.data, 1, bytes.len, f);
    } else {
        json_object *text = json_object_object_get(o, "log");
        fwrite(json_object_get_string(text), 1, (size_t)json_object_get_string_len(text), f);
    }
}

/* Prints the lines of one file from its current position; keeps an unfinished line for later. */
static void print_lines(int fd, struct str *partial, const struct log_query *q, int64_t *skip,
                        FILE *out, FILE *err_out)
{
    char buf[65536];
    ssize_t n;
    while ((n = read_full(fd, buf, sizeof buf)) > 0) {
        str_append(partial, buf, (size_t)n);
        size_t done = 0;
        char *nl;
        while ((nl = memchr(partial->data + done, '\n', partial->len - done))) {
            size_t len = (size_t)(nl - partial->data) - done;
            if (*skip > 0)
                --*skip;
            else
                print_record(partial->data + done, len, q, out, err_out);
            done += len + 1;
        }
        memmove(partial->data, partial->data + done, partial->len - done);
        partial->len -= done;
        if (partial->len > 8 * LOG_LINE_MAX) {
            log_warn("the guest's log is damaged: a line has no end");
            partial->len = 0;
        }
    }
}

static int64_t count_lines(int fd)
{
    char buf[65536];
    int64_t lines = 0;
    ssize_t n;
    while (fd >= 0 && (n = read_full(fd, buf, sizeof buf)) > 0)
        for (ssize_t i = 0; i < n; i++)
            lines += buf[i] == '\n';
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET);
    return lines;
}

static int open_log(int dirfd, const char *name)
{
    return openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

/* The file now called "log", when it is another one than fd. */
static int reopen_if_rotated(int dirfd, int fd)
{
    struct stat a, b;
    if (fstat(fd, &a) < 0 || fstatat(dirfd, "log", &b, AT_SYMLINK_NOFOLLOW) < 0 ||
        a.st_ino == b.st_ino)
        return -1;
    return open_log(dirfd, "log");
}

int log_print(int dirfd, const struct log_query *q, FILE *out, FILE *err_out, struct error **err)
{
    AUTO_CLOSE int old = open_log(dirfd, "log.1");
    AUTO_CLOSE int fd = open_log(dirfd, "log");
    if (fd < 0)
        return error_set(err, errno,
                         "no log is kept for this guest (wirt run --rm, attached, writes straight "
                         "to the caller)");
    int64_t skip = 0;
    if (q->tail >= 0) {
        skip = count_lines(old) + count_lines(fd) - q->tail;
        if (skip < 0)
            skip = 0;
    }
    STR_CLEANUP partial = {0};
    if (old >= 0)
        print_lines(old, &partial, q, &skip, out, err_out);
    for (;;) {
        /* Asked before reading: what was written up to the end is then read below. */
        bool ended = !q->follow || q->ended(q->arg);
        print_lines(fd, &partial, q, &skip, out, err_out);
        if (fflush(out) == EOF || fflush(err_out) == EOF)
            return error_set(err, errno, "write the log");
        int next = reopen_if_rotated(dirfd, fd);
        if (next >= 0) {
            close(fd);
            fd = next;
            continue;
        }
        if (ended)
            return 0;
        usleep(100000);
    }
}
