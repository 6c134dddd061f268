/* Damaged state folders: a guest's config.json, its state.json, and the container layer's. Each is
 * read or refused with a reason. */
#include "base/cleanup.h"
#include "container/state.h"
#include "files.h"
#include "guest/guest.h"
#include "json_mutate.h"

#define MAX_FILE (1u << 20)

static void read_config(int folder, const struct input *in)
{
    ERROR_CLEANUP err = NULL;
    put_file(folder, "config.json", in->data, in->left);
    AUTO_JSON *o = json_read_file_at(folder, "config.json", MAX_FILE, &err);
    struct guest_spec spec = {0};
    if (o && spec_from_json(&spec, o, &err) == 0)
        json_object_put(spec_to_json(&spec)); /* what was read can be written */
    else if (!err)
        abort();
    spec_free(&spec);
}

static void read_guest(int folder, const struct input *in)
{
    struct guest g = {.dirfd = folder};
    put_file(folder, "state.json", in->data, in->left);
    guest_refresh(&g);
    if (g.status == GUEST_DAMAGED ? !g.reason : !g.name)
        abort();
    json_object_put(guest_to_json(&g));
    free(g.name);
    free(g.reason);
}

static void read_container(const char *root, int folder, const struct input *in)
{
    ERROR_CLEANUP err = NULL;
    put_file(folder, "state.json", in->data, in->left);
    struct state *s = state_load(root, "guest", &err);
    if (!s && !err)
        abort();
    if (s)
        state_status(s);
    state_free(s);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
    return json_mutate(data, size, max, seed, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char *root;
    static int folder;
    struct input in = {data, size};
    if (!root) {
        int at = memory_folder(&root);
        if (mkdirat(at, "guest", 0700) < 0)
            abort();
        folder = openat(at, "guest", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    switch (take(&in, 1) % 3) {
    case 0: read_config(folder, &in); break;
    case 1: read_guest(folder, &in); break;
    default: read_container(root, folder, &in);
    }
    return 0;
}
