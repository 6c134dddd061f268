#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((format(printf, 1, 0))) static char *vformat(const char *fmt, va_list ap)
{
    char *s = NULL;
    if (vasprintf(&s, fmt, ap) < 0)
        return NULL;
    return s;
}

int error_set(struct error **err, int code, const char *fmt, ...)
{
    int saved = errno;
    if (!err)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    char *what = vformat(fmt, ap);
    va_end(ap);
    struct error *e = calloc(1, sizeof *e);
    if (!e) {
        /* Nothing sensible can be said without a few bytes of memory. */
        fputs("wirt: out of memory\n", stderr);
        _exit(125);
    }
    e->code = code;
    if (code && what) {
        if (asprintf(&e->msg, "%s: %s", what, strerror(code)) < 0)
            e->msg = NULL;
        free(what);
    } else {
        e->msg = what;
    }
    error_free(err);
    *err = e;
    errno = saved;
    return -1;
}

int error_prefix(struct error **err, const char *fmt, ...)
{
    if (!err || !*err)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    char *what = vformat(fmt, ap);
    va_end(ap);
    char *joined = NULL;
    if (what && asprintf(&joined, "%s: %s", what, error_text(*err)) >= 0) {
        free((*err)->msg);
        (*err)->msg = joined;
    }
    free(what);
    return -1;
}

const char *error_text(const struct error *err)
{
    return err && err->msg ? err->msg : "unknown error";
}

int error_code(const struct error *err)
{
    return err ? err->code : 0;
}

void error_free(struct error **err)
{
    if (!err || !*err)
        return;
    free((*err)->msg);
    free(*err);
    *err = NULL;
}
