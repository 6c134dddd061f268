/* Errors that travel up with context.
 *
 * A function that can fail takes a last argument `struct error **err`, returns a negative number
 * (or NULL) on failure and then has set *err. The caller either handles it (and frees it: declare
 * it with ERROR_CLEANUP), or adds what it was doing with error_prefix() and returns on. err may be
 * NULL when nobody wants the reason. */
#ifndef WIRT_BASE_ERROR_H
#define WIRT_BASE_ERROR_H

#include <stddef.h>

struct error {
    int code;  /* an errno value, or 0 when none fits */
    char *msg; /* the whole sentence, outermost context first; owned */
};

/* Sets *err to "FORMAT" or, with code != 0, "FORMAT: strerror(code)". Always returns -1, so that
 * `return error_set(err, errno, "open %s", path);` works. errno is preserved. */
int error_set(struct error **err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "FORMAT: " in front of the message of *err. Always returns -1. */
int error_prefix(struct error **err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The message, or a stand-in when err is NULL. Valid as long as err. */
const char *error_text(const struct error *err);

/* The errno value of err, or 0. */
int error_code(const struct error *err);

/* Frees *err and sets it to NULL. */
void error_free(struct error **err);

#define ERROR_CLEANUP __attribute__((cleanup(error_free))) struct error *

#endif
