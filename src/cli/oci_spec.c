/* wirt-oci spec */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "cli/oci.h"
#include "container/spec.h"

int oci_spec(const struct oci_globals *g, int argc, char **argv)
{
    static const struct option options[] = {{"bundle", required_argument, NULL, 'b'},
                                            {"file", required_argument, NULL, 'f'},
                                            {"rootless", no_argument, NULL, 'r'},
                                            {0}};
    const char *bundle = ".", *file = "config.json";
    bool rootless = false;
    struct error *err = NULL;
    int c;
    while ((c = getopt_long(argc, argv, "+:b:f:", options, NULL)) != -1) {
        switch (c) {
        case 'b': bundle = optarg; break;
        case 'f': file = optarg; break;
        case 'r': rootless = true; break;
        default: return oci_bad_option(argv[0], argv);
        }
    }
    if (optind != argc)
        return oci_usage(argv[0], "'%s' is more than expected", argv[optind]);
    struct json_object *spec = spec_new(rootless);
    AUTO_FREE char *path = file[0] == '/' ? xstrdup(file) : xasprintf("%s/%s", bundle, file);
    const char *text = json_object_to_json_string_ext(
        spec, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    int r = fd < 0 ? -1 : write_all(fd, text, strlen(text));
    if (r == 0)
        r = write_all(fd, "\n", 1);
    if (r < 0)
        error_set(&err, errno, "write %s", path);
    json_object_put(spec);
    return r < 0 ? oci_fail(&err) : 0;
}
