/* wirt-oci update: limits of a running container, by a file of linux.resources' shape or options.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "cli/oci.h"
#include "container/container.h"

/* Options that are one number or text at PATH in the resources object. */
static const struct field {
    const char *option, *object, *key;
    bool text, size;
} fields[] = {
    {"blkio-weight", "blockIO", "weight", false, false},
    {"cpu-period", "cpu", "period", false, false},
    {"cpu-quota", "cpu", "quota", false, false},
    {"cpu-burst", "cpu", "burst", false, false},
    {"cpu-idle", "cpu", "idle", false, false},
    {"cpu-rt-period", "cpu", "realtimePeriod", false, false},
    {"cpu-rt-runtime", "cpu", "realtimeRuntime", false, false},
    {"cpu-share", "cpu", "shares", false, false},
    {"cpuset-cpus", "cpu", "cpus", true, false},
    {"cpuset-mems", "cpu", "mems", true, false},
    {"kernel-memory", "memory", "kernel", false, true},
    {"kernel-memory-tcp", "memory", "kernelTCP", false, true},
    {"memory", "memory", "limit", false, true},
    {"memory-reservation", "memory", "reservation", false, true},
    {"memory-swap", "memory", "swap", false, true},
    {"pids-limit", "pids", "limit", false, false},
};
#define FIELDS (sizeof fields / sizeof *fields)

static int set_field(struct json_object *r, const struct field *f, const char *value,
                     struct error **err)
{
    struct json_object *o, *v;
    int64_t n = 0;
    uint64_t size = 0;
    AUTO_FREE char *option = xasprintf("--%s", f->option);
    if (f->text) {
        v = json_object_new_string(value);
    } else if (f->size && value[0] != '-') {
        if (parse_size(value, option, &size, err) < 0)
            return -1;
        v = json_object_new_uint64(size);
    } else {
        if (parse_i64(value, option, &n, err) < 0)
            return -1;
        v = json_object_new_int64(n);
    }
    if (!json_object_object_get_ex(r, f->object, &o)) {
        o = json_object_new_object();
        json_object_object_add(r, f->object, o);
    }
    json_object_object_add(o, f->key, v);
    return 0;
}

static struct json_object *load(const char *file, struct error **err)
{
    AUTO_FREE char *text = NULL;
    if (!strcmp(file, "-"))
        file = "/proc/self/fd/0";
    if (read_file_at(AT_FDCWD, file, 16 << 20, &text, NULL, err) < 0)
        return NULL;
    struct json_object *o = json_tokener_parse(text);
    if (!o)
        error_set(err, 0, "%s is not JSON", file);
    return o;
}

static int parse(int argc, char **argv, struct json_object **r, struct error **err)
{
    struct option options[FIELDS + 2] = {{0}};
    for (size_t i = 0; i < FIELDS; i++)
        options[i] = (struct option){fields[i].option, required_argument, NULL, 256 + (int)i};
    options[FIELDS] = (struct option){"resources", required_argument, NULL, 'r'};
    int c;
    while ((c = getopt_long(argc, argv, "+:r:", options, NULL)) != -1) {
        if (c == 'r') {
            json_object_put(*r);
            *r = load(optarg, err);
            if (!*r)
                return oci_fail(err);
        } else if (c >= 256) {
            if (set_field(*r, &fields[c - 256], optarg, err) < 0)
                return oci_fail(err);
        } else {
            return oci_bad_option(argv[0], argv);
        }
    }
    return 0;
}

int oci_update(const struct oci_globals *g, int argc, char **argv)
{
    struct error *err = NULL;
    struct json_object *r = json_object_new_object();
    const char *id = NULL;
    int status = parse(argc, argv, &r, &err);
    if (status == 0 && !(id = oci_one_id(argc, argv)))
        status = 1;
    if (status == 0 && container_update(g->root, id, r, &err) < 0)
        status = oci_fail(&err);
    json_object_put(r);
    return status;
}
