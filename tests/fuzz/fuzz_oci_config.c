/* An arbitrary text as config.json of an OCI bundle: read and checked, its system call filter
 * compiled; never carried out. */
#include <json-c/json.h>
#include <stdlib.h>

#include "container/config.h"
#include "container/seccomp.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_tokener *tokener = json_tokener_new();
    struct json_object *doc = json_tokener_parse_ex(tokener, (const char *)data, (int)size);
    json_tokener_free(tokener);
    if (!doc)
        return 0;
    ERROR_CLEANUP err = NULL;
    struct config *c = config_new(doc, "/bundle", &err);
    struct seccomp_filter filter = {0};
    if (!c && !err)
        abort();
    if (c && seccomp_prepare(c, NULL, &filter, &err) < 0 && !err)
        abort();
    seccomp_free(&filter);
    config_free(c);
    return 0;
}
