#include "container/json.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

struct node node_root(struct json_object *v, const char *key)
{
    return (struct node){.v = v, .key = key};
}

struct node node_get(const struct node *n, const char *key)
{
    struct node child = {.up = n, .key = key};
    if (n->v && json_object_is_type(n->v, json_type_object))
        json_object_object_get_ex(n->v, key, &child.v);
    return child;
}

struct node node_at(const struct node *n, size_t i)
{
    return (struct node){.v = json_object_array_get_idx(n->v, i), .up = n, .index = i};
}

static void node_path(const struct node *n, struct str *s)
{
    if (n->up)
        node_path(n->up, s);
    if (!n->up && !n->key)
        return;
    if (n->key)
        str_printf(s, "%s%s", s->len ? "." : "", n->key);
    else
        str_printf(s, "[%zu]", n->index);
}

int node_error(const struct node *n, struct error **err, const char *fmt, ...)
{
    STR_CLEANUP path = {0};
    node_path(n, &path);
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    error_set(err, 0, "%s: %s", path.len ? path.data : "the document", text ? text : "invalid");
    free(text);
    return -1;
}

static int wrong_type(const struct node *n, const char *want, struct error **err)
{
    return node_error(n, err, "expected %s, found %s", want,
                      json_type_to_name(json_object_get_type(n->v)));
}

int node_object(const struct node *n, struct error **err)
{
    if (!n->v)
        return 0;
    return json_object_is_type(n->v, json_type_object) ? 1 : wrong_type(n, "an object", err);
}

int node_array(const struct node *n, size_t *len, struct error **err)
{
    *len = 0;
    if (!n->v)
        return 0;
    if (!json_object_is_type(n->v, json_type_array))
        return wrong_type(n, "an array", err);
    *len = json_object_array_length(n->v);
    return 1;
}

int node_string(const struct node *n, const char **out, struct error **err)
{
    if (!n->v)
        return 0;
    if (!json_object_is_type(n->v, json_type_string))
        return wrong_type(n, "a string", err);
    const char *s = json_object_get_string(n->v);
    if (strlen(s) != (size_t)json_object_get_string_len(n->v))
        return node_error(n, err, "contains a NUL character");
    *out = s;
    return 1;
}

int node_bool(const struct node *n, bool *out, struct error **err)
{
    if (!n->v)
        return 0;
    if (!json_object_is_type(n->v, json_type_boolean))
        return wrong_type(n, "true or false", err);
    *out = json_object_get_boolean(n->v);
    return 1;
}

int node_int(const struct node *n, int64_t min, int64_t max, int64_t *out, struct error **err)
{
    if (!n->v)
        return 0;
    if (!json_object_is_type(n->v, json_type_int))
        return wrong_type(n, "an integer", err);
    int64_t i = json_object_get_int64(n->v);
    /* json-c clamps; a number beyond int64 shows as one beyond it in the unsigned reading. */
    bool clamped = i == INT64_MAX && json_object_get_uint64(n->v) != INT64_MAX;
    if (i < min || i > max || clamped)
        return node_error(n, err, "%s is not between %lld and %lld", json_object_get_string(n->v),
                          (long long)min, (long long)max);
    *out = i;
    return 1;
}

int node_u32(const struct node *n, uint32_t *out, struct error **err)
{
    int64_t i = 0;
    int r = node_int(n, 0, UINT32_MAX, &i, err);
    if (r > 0)
        *out = (uint32_t)i;
    return r;
}

int node_u64(const struct node *n, uint64_t *out, struct error **err)
{
    if (!n->v)
        return 0;
    if (!json_object_is_type(n->v, json_type_int))
        return wrong_type(n, "an integer", err);
    if (json_object_get_int64(n->v) < 0)
        return node_error(n, err, "%s is negative", json_object_get_string(n->v));
    *out = json_object_get_uint64(n->v);
    return 1;
}

int node_required(const struct node *n, struct error **err)
{
    return n->v ? 0 : node_error(n, err, "missing, and required");
}

int node_strings(const struct node *n, const char ***out, size_t *len, struct error **err)
{
    size_t count = 0;
    int r = node_array(n, &count, err);
    if (r <= 0)
        return r;
    AUTO_FREE const char **list = xcalloc(count + 1, sizeof *list);
    for (size_t i = 0; i < count; i++) {
        struct node item = node_at(n, i);
        if (node_required(&item, err) < 0 || node_string(&item, &list[i], err) < 0)
            return -1;
    }
    *out = STEAL_PTR(list);
    if (len)
        *len = count;
    return 1;
}
