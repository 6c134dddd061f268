#include "guest/json.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"

static json_object *member(json_object *o, const char *key, json_type type)
{
    json_object *v;
    if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, key, &v))
        return NULL;
    return json_object_is_type(v, type) ? v : NULL;
}

const char *json_get_str(json_object *o, const char *key, const char *def)
{
    json_object *v = member(o, key, json_type_string);
    return v ? json_object_get_string(v) : def;
}

int64_t json_get_int(json_object *o, const char *key, int64_t def)
{
    json_object *v = member(o, key, json_type_int);
    return v ? json_object_get_int64(v) : def;
}

bool json_get_bool(json_object *o, const char *key, bool def)
{
    json_object *v = member(o, key, json_type_boolean);
    return v ? json_object_get_boolean(v) : def;
}

json_object *json_get_arr(json_object *o, const char *key)
{
    return member(o, key, json_type_array);
}

json_object *json_get_obj(json_object *o, const char *key)
{
    return member(o, key, json_type_object);
}

char *json_get_dup(json_object *o, const char *key)
{
    const char *s = json_get_str(o, key, NULL);
    return s ? xstrdup(s) : NULL;
}

char **json_get_strv(json_object *o, const char *key)
{
    json_object *a = json_get_arr(o, key);
    if (!a)
        return NULL;
    size_t n = json_object_array_length(a), k = 0;
    char **v = xcalloc(n + 1, sizeof *v);
    for (size_t i = 0; i < n; i++) {
        json_object *e = json_object_array_get_idx(a, i);
        if (json_object_is_type(e, json_type_string))
            v[k++] = xstrdup(json_object_get_string(e));
    }
    return v;
}

void json_put_str(json_object *o, const char *key, const char *value)
{
    if (value)
        json_object_object_add(o, key, json_object_new_string(value));
}

void json_put_int(json_object *o, const char *key, int64_t value)
{
    json_object_object_add(o, key, json_object_new_int64(value));
}

void json_put_bool(json_object *o, const char *key, bool value)
{
    json_object_object_add(o, key, json_object_new_boolean(value));
}

json_object *json_words(const char *const *w)
{
    json_object *a = json_object_new_array();
    for (; *w; w++)
        json_object_array_add(a, json_object_new_string(*w));
    return a;
}

void json_put_strv(json_object *o, const char *key, char *const *v)
{
    if (!v)
        return;
    json_object *a = json_object_new_array();
    for (; *v; v++)
        json_object_array_add(a, json_object_new_string(*v));
    json_object_object_add(o, key, a);
}

json_object *json_parse_object(const char *text, size_t len, const char *what, struct error **err)
{
    if (len > INT32_MAX) {
        error_set(err, 0, "%s: too large", what);
        return NULL;
    }
    json_tokener *t = json_tokener_new();
    json_object *o = t ? json_tokener_parse_ex(t, text, (int)len) : NULL;
    enum json_tokener_error e = t ? json_tokener_get_error(t) : json_tokener_error_depth;
    json_tokener_free(t);
    if (o && json_object_is_type(o, json_type_object))
        return o;
    if (e != json_tokener_success && e != json_tokener_continue)
        error_set(err, 0, "%s: not JSON: %s", what, json_tokener_error_desc(e));
    else
        error_set(err, 0, "%s: not a JSON object", what);
    json_object_put(o);
    return NULL;
}

json_object *json_read_file_at(int dirfd, const char *path, size_t max, struct error **err)
{
    AUTO_FREE char *text = NULL;
    size_t len;
    if (read_file_at(dirfd, path, max, &text, &len, err) < 0)
        return NULL;
    return json_parse_object(text, len, path, err);
}

size_t strv_len(char *const *v)
{
    size_t n = 0;
    while (v && v[n])
        n++;
    return n;
}

char **strv_dup(char *const *v)
{
    size_t n = strv_len(v);
    char **d = xcalloc(n + 1, sizeof *d);
    for (size_t i = 0; i < n; i++)
        d[i] = xstrdup(v[i]);
    return d;
}

void strv_free(char **v)
{
    for (size_t i = 0; v && v[i]; i++)
        free(v[i]);
    free(v);
}

char **strv_add(char **v, char *owned)
{
    size_t n = strv_len(v);
    v = xrealloc(v, (n + 2) * sizeof *v);
    v[n] = owned;
    v[n + 1] = NULL;
    return v;
}
