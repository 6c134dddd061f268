#include "container/load.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"

#define CONFIG_MAX (16 << 20)

static struct json_object *parse(const char *text, size_t len, const char *name, struct error **err)
{
    struct json_tokener *t = json_tokener_new_ex(64);
    json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    struct json_object *o = json_tokener_parse_ex(t, text, (int)len);
    enum json_tokener_error e = json_tokener_get_error(t);
    if (e == json_tokener_continue) /* a number needs what follows it to end */
        e = json_tokener_error_parse_eof;
    if (e != json_tokener_success) {
        error_set(err, 0, "%s is not JSON: %s at byte %zu", name, json_tokener_error_desc(e),
                  json_tokener_get_parse_end(t));
        json_object_put(o);
        o = NULL;
    }
    json_tokener_free(t);
    return o;
}

struct config *config_load(const struct container_options *o, char **bundle, char **text,
                           size_t *len, struct error **err)
{
    const char *folder = o->bundle ? o->bundle : ".";
    char path[PATH_MAX];
    if (!realpath(folder, path)) {
        error_set(err, errno, "bundle %s", folder);
        return NULL;
    }
    *bundle = xstrdup(path);
    if (o->spec) {
        *text = xstrdup(json_object_to_json_string_ext(o->spec, JSON_C_TO_STRING_PLAIN));
        *len = strlen(*text);
        return config_new(json_object_get(o->spec), path, err);
    }
    AUTO_FREE char *file = o->config ? xstrdup(o->config) : xasprintf("%s/config.json", path);
    if (read_file_at(AT_FDCWD, file, CONFIG_MAX, text, len, err) < 0)
        return NULL;
    struct json_object *doc = parse(*text, *len, file, err);
    struct config *c = doc ? config_new(doc, path, err) : NULL;
    if (doc && !c)
        error_prefix(err, "%s", file);
    return c;
}
