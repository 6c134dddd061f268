#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

void out_of_memory(void)
{
    static const char msg[] = "wirt: out of memory\n";
    fputs(msg, stderr);
    _exit(125);
}

void *xrealloc(void *p, size_t size)
{
    void *q = realloc(p, size ? size : 1);
    if (!q)
        out_of_memory();
    return q;
}

void *xcalloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p)
        out_of_memory();
    return p;
}

char *xstrdup(const char *s)
{
    char *p = strdup(s);
    if (!p)
        out_of_memory();
    return p;
}

char *xasprintf(const char *fmt, ...)
{
    char *s = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    if (n < 0)
        out_of_memory();
    return s;
}

static void str_reserve(struct str *s, size_t more)
{
    if (s->len + more + 1 <= s->cap)
        return;
    size_t cap = s->cap ? s->cap * 2 : 64;
    while (cap < s->len + more + 1)
        cap *= 2;
    s->data = xrealloc(s->data, cap);
    s->cap = cap;
}

void str_append(struct str *s, const void *data, size_t len)
{
    str_reserve(s, len);
    if (len)
        memcpy(s->data + s->len, data, len);
    s->len += len;
    s->data[s->len] = '\0';
}

void str_printf(struct str *s, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n >= 0) {
        str_reserve(s, (size_t)n);
        vsnprintf(s->data + s->len, (size_t)n + 1, fmt, again);
        s->len += (size_t)n;
    }
    va_end(again);
}

void str_drop(struct str *s, size_t n)
{
    if (!n)
        return;
    memmove(s->data, s->data + n, s->len - n + 1);
    s->len -= n;
}

void str_free(struct str *s)
{
    free(s->data);
    *s = (struct str){0};
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

int parse_u64(const char *s, const char *what, uint64_t *out, struct error **err)
{
    char *end = NULL;
    errno = 0;
    unsigned long long v = isdigit((unsigned char)*s) ? strtoull(s, &end, 0) : 0;
    if (!end || *end || errno)
        return error_set(err, 0, "%s: '%s' is not a whole number from 0 to 2^64-1", what, s);
    *out = v;
    return 0;
}

int parse_i64(const char *s, const char *what, int64_t *out, struct error **err)
{
    char *end = NULL;
    errno = 0;
    long long v = isdigit((unsigned char)*s) || *s == '-' ? strtoll(s, &end, 0) : 0;
    if (!end || end == s || *end || errno)
        return error_set(err, 0, "%s: '%s' is not a whole number", what, s);
    *out = v;
    return 0;
}

int parse_size(const char *s, const char *what, uint64_t *out, struct error **err)
{
    static const char units[] = "bkmgtp";
    char *end = NULL;
    errno = 0;
    unsigned long long v = isdigit((unsigned char)*s) ? strtoull(s, &end, 10) : 0;
    if (!end || errno)
        goto bad;
    int shift = 0;
    if (*end) {
        const char *u = strchr(units, tolower((unsigned char)*end));
        if (!u || !*u)
            goto bad;
        shift = 10 * (int)(u - units);
        end++;
        if (shift && (!strcasecmp(end, "b") || !strcasecmp(end, "ib")))
            end += strlen(end);
    }
    if (*end || (shift && v > UINT64_MAX >> shift))
        goto bad;
    *out = (uint64_t)v << shift;
    return 0;
bad:
    return error_set(err, 0, "%s: '%s' is not a size; write a number of bytes, or one with k, m, g",
                     what, s);
}

int parse_cpus(const char *s, const char *what, uint64_t *millis, struct error **err)
{
    char *end = NULL;
    errno = 0;
    double v = isdigit((unsigned char)*s) || *s == '.' ? strtod(s, &end) : 0;
    if (!end || *end || errno || !(v >= 0.01 && v <= 1e6))
        return error_set(err, 0, "%s: '%s' is not a number of CPUs from 0.01 on, such as 1.5", what,
                         s);
    *millis = (uint64_t)(v * 1000 + 0.5);
    return 0;
}
