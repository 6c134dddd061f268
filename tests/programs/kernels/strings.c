/* snprintf, strlen, strstr, strcmp, strtol of the C library. */
#include "kernel.h"

int main(int argc, char **argv)
{
    uint64_t h = 0;
    char line[256], all[4096];
    for (unsigned s = scale(argc, argv) * 150; s; s--) {
        all[0] = 0;
        size_t used = 0;
        for (unsigned i = 0; i < 40; i++) {
            int n = snprintf(line, sizeof line, "%u: %s %lx %5d|", i, i & 1 ? "odd" : "even",
                             (unsigned long)i * s * 7919, -(int)i);
            memcpy(all + used, line, (size_t)n + 1);
            used += (size_t)n;
        }
        for (char *p = all; (p = strstr(p, "even")); p++)
            h = mix(h, (uint64_t)(p - all));
        h = mix(h, strlen(all));
        for (char *p = all; (p = strchr(p, '|')); p++)
            h = mix(h, (uint64_t)strtol(p + 1, NULL, 10));
        h = mix(h, (uint64_t)(strcmp(all, line) < 0));
    }
    return result("strings", h);
}
