/* An arbitrary text as config.json of an OCI bundle: read and checked, never carried out. */
#include <json-c/json.h>

#include "container/config.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_tokener *tokener = json_tokener_new();
    struct json_object *doc = json_tokener_parse_ex(tokener, (const char *)data, (int)size);
    json_tokener_free(tokener);
    if (!doc)
        return 0;
    ERROR_CLEANUP err = NULL;
    config_free(config_new(doc, "/bundle", &err));
    return 0;
}
