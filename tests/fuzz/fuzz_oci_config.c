/* An arbitrary text as config.json of an OCI bundle: read and checked, its system call filter
 * compiled; never carried out. The bundle is there, with a folder rootfs. */
#include <json-c/json.h>

#include "container/config.h"
#include "container/seccomp.h"
#include "files.h"
#include "json_mutate.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    return json_mutate(data, size, max, seed, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char *bundle;
    if (!bundle) {
        int folder = memory_folder(&bundle);
        if (mkdirat(folder, "rootfs", 0755) < 0)
            abort();
    }
    struct json_tokener *tokener = json_tokener_new();
    struct json_object *doc = json_tokener_parse_ex(tokener, (const char *)data, (int)size);
    json_tokener_free(tokener);
    if (!doc)
        return 0;
    ERROR_CLEANUP err = NULL;
    struct config *c = config_new(doc, bundle, &err);
    struct seccomp_filter filter = {0};
    if (!c && !err)
        abort();
    if (c && seccomp_prepare(c, NULL, &filter, &err) < 0 && !err)
        abort();
    seccomp_free(&filter);
    config_free(c);
    return 0;
}
