#include "base/ids.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"

bool id_is_mapped(const char *map, unsigned id)
{
    AUTO_FREE char *path = xasprintf("/proc/self/%s", map), *text = NULL;
    size_t len;
    if (read_file_at(AT_FDCWD, path, 65536, &text, &len, NULL) < 0)
        return true;
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        unsigned inside, outside, count;
        if (sscanf(line, "%u %u %u", &inside, &outside, &count) == 3 && id >= inside &&
            id - inside < count)
            return true;
    }
    return false;
}
