/* Reading and writing JSON without trusting it: every getter takes a default and checks the type.
 */
#ifndef WIRT_GUEST_JSON_H
#define WIRT_GUEST_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

static inline void cleanup_json(json_object **o)
{
    json_object_put(*o);
}
#define AUTO_JSON __attribute__((cleanup(cleanup_json))) json_object

/* The member when it is there and has the type; otherwise the default. Strings stay the object's.
 */
const char *json_get_str(json_object *o, const char *key, const char *def);
int64_t json_get_int(json_object *o, const char *key, int64_t def);
bool json_get_bool(json_object *o, const char *key, bool def);
json_object *json_get_arr(json_object *o, const char *key);
json_object *json_get_obj(json_object *o, const char *key);

/* A fresh copy of a string member, or NULL. */
char *json_get_dup(json_object *o, const char *key);

/* A fresh NULL-terminated vector of an array of strings; other elements are left out. NULL when
 * there is no such array. */
char **json_get_strv(json_object *o, const char *key);

void json_put_str(json_object *o, const char *key, const char *value); /* NULL: not put */
void json_put_int(json_object *o, const char *key, int64_t value);
void json_put_bool(json_object *o, const char *key, bool value);
/* An array of strings. */
json_object *json_words(const char *const *w);
#define WORDS(...) json_words((const char *const[]){__VA_ARGS__, NULL})
void json_put_strv(json_object *o, const char *key, char *const *v); /* NULL: not put */

/* The object in a text; `what` names it in messages. NULL with err when it is not one object. */
json_object *json_parse_object(const char *text, size_t len, const char *what, struct error **err);

/* The object in a file of at most max bytes. */
json_object *json_read_file_at(int dirfd, const char *path, size_t max, struct error **err);

/* Vectors of strings: NULL-terminated, all owned. */
char **strv_dup(char *const *v);
void strv_free(char **v);
size_t strv_len(char *const *v);
char **strv_add(char **v, char *owned);

#endif
