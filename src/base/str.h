/* Growing strings, and numbers out of strings. */
#ifndef WIRT_BASE_STR_H
#define WIRT_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* A growing byte string, always followed by a NUL. Zero-initialize; free with str_free or
 * STR_CLEANUP. */
struct str {
    char *data;
    size_t len, cap;
};

void str_append(struct str *s, const void *data, size_t len);
void str_printf(struct str *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), nonnull(2)));
/* Takes the first n bytes away. */
void str_drop(struct str *s, size_t n);
void str_free(struct str *s);

#define STR_CLEANUP __attribute__((cleanup(str_free))) struct str

/* printf into fresh memory; the caller frees. Never NULL: running out of memory ends the program.
 */
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *xstrdup(const char *s);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
void out_of_memory(void) __attribute__((noreturn)); /* what these end the program by */

bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);

/* Whole-string numbers; `what` names the option or field in the message. Base as in strtoull (0:
 * 0x, 0 prefixes). */
int parse_u64(const char *s, const char *what, uint64_t *out, struct error **err);
int parse_i64(const char *s, const char *what, int64_t *out, struct error **err);

/* A size in bytes as docker writes it: 512, 64k, 512m, 2g (powers of 1024, either case, an optional
 * b or ib). */
int parse_size(const char *s, const char *what, uint64_t *out, struct error **err);

/* A decimal number of CPUs, such as 1.5, in thousandths. */
int parse_cpus(const char *s, const char *what, uint64_t *millis, struct error **err);

#endif
