/* A position in a JSON document, so that every complaint names the whole field:
 * "process.rlimits[2].soft: expected a number, found a string". */
#ifndef WIRT_CONTAINER_JSON_H
#define WIRT_CONTAINER_JSON_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

struct node {
    struct json_object *v; /* NULL: absent (or null) */
    const struct node *up; /* must outlive this one */
    const char *key;       /* NULL: an array's element, at index */
    size_t index;
};

/* The root of a document; `key` names it in messages, NULL: not at all. */
struct node node_root(struct json_object *v, const char *key);
/* A member of an object, an element of an array. */
struct node node_get(const struct node *n, const char *key);
struct node node_at(const struct node *n, size_t i);

/* Fails with "PATH: FORMAT". */
int node_error(const struct node *n, struct error **err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Each fails when the value has another type. When it is absent they leave *out as it is and
 * return 0, or 1 when it was there. */
int node_object(const struct node *n, struct error **err);
int node_array(const struct node *n, size_t *len, struct error **err);
int node_string(const struct node *n, const char **out, struct error **err); /* borrowed; no NULs */
int node_bool(const struct node *n, bool *out, struct error **err);
int node_int(const struct node *n, int64_t min, int64_t max, int64_t *out, struct error **err);
int node_u32(const struct node *n, uint32_t *out, struct error **err);
int node_u64(const struct node *n, uint64_t *out, struct error **err);

/* 0, or -1 with "PATH: missing" when absent. */
int node_required(const struct node *n, struct error **err);

/* A NULL-terminated array of borrowed strings; the caller frees the array alone. */
int node_strings(const struct node *n, const char ***out, size_t *len, struct error **err);

#endif
