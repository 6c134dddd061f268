#include "process/appearance.h"

#include <fcntl.h>
#include <libgen.h>
#include <linux/prctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"

/* Fields of /proc/PID/stat, counted as in proc(5) from 1. */
enum {
    STAT_STATE = 3,
    STAT_START_CODE = 26,
    STAT_END_CODE = 27,
    STAT_START_DATA = 45,
    STAT_END_DATA = 46,
    STAT_START_BRK = 47,
    STAT_FIELDS = 52,
};

static bool read_stat(unsigned long long v[STAT_FIELDS + 1])
{
    AUTO_FREE char *text = NULL;
    size_t len;
    if (read_file_at(AT_FDCWD, "/proc/self/stat", 4096, &text, &len, NULL) < 0)
        return false;
    char *s = strrchr(text, ')'); /* the name before it may hold anything */
    if (!s || !s[1])
        return false;
    int field = STAT_STATE;
    for (char *word = strtok_r(s + 1, " \n", &s); word && field <= STAT_FIELDS;
         word = strtok_r(NULL, " \n", &s))
        v[field++] = strtoull(word, NULL, 10);
    return field > STAT_START_BRK;
}

static void set_arguments(const struct process *p)
{
    unsigned long long v[STAT_FIELDS + 1] = {0};
    if (!read_stat(v))
        return;
    /* All of it is set in one call: what is not the program's stays as it is. */
    struct prctl_mm_map map = {
        .start_code = v[STAT_START_CODE],
        .end_code = v[STAT_END_CODE],
        .start_data = v[STAT_START_DATA],
        .end_data = v[STAT_END_DATA],
        .start_brk = v[STAT_START_BRK],
        .brk = (uint64_t)sbrk(0),
        .start_stack = p->stack_start,
        .arg_start = p->args,
        .arg_end = p->args + p->args_len,
        .env_start = p->args + p->args_len,
        .env_end = p->args + p->args_len + p->env_len,
        .auxv = (__u64 *)p->auxv,
        .auxv_size = (uint32_t)p->auxv_len,
        .exe_fd = (uint32_t)-1,
    };
    prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0); /* refused: nothing is lost but looks */
}

void appearance_set(const struct process *p)
{
    /* A script has its own name, as the kernel gives it; what has none, its file's. */
    AUTO_FREE char *name = xstrdup(str_starts(p->name, "/dev/fd/") ? p->exe : p->name);
    prctl(PR_SET_NAME, basename(name));
    set_arguments(p);
}
