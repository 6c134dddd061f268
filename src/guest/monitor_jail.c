/* The monitor's own jail. It has started all that it will start; what it talks with from here on
 * (an agent in a machine, a machine, a guest's output) is hostile.
 *
 * What a machine's still does: it reads and writes its guest's folder, the machines' readings of
 * their memory and what was opened before, and signals and waits for its children, by pidfd or as
 * their parent. What a process's or a container's does besides: it looks at processes in /proc,
 * signals them, and keeps control groups and the container layer's state. With --rm both take away
 * the guest's folder and name at the end. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "guest/monitor_internal.h"
#include "jail/jail.h"

#define CAP(c) (UINT64_C(1) << (c))

/* Guests run as other users than root, and have their files; control groups take their processes.
 */
#define CAPS_OF_OTHERS                                                                    \
    (CAP(CAP_KILL) | CAP(CAP_DAC_OVERRIDE) | CAP(CAP_DAC_READ_SEARCH) | CAP(CAP_FOWNER) | \
     CAP(CAP_SYS_NICE))

/* Of a monitor in the background: its logs, and what it says of the guest. */
#define LARGEST_FILE (2ull * LOG_FILE_MAX)

#define CGROUPS    "/sys/fs/cgroup"
#define MAX_PLACES 10

struct places {
    struct jail_place list[MAX_PLACES];
    unsigned n;
};

static void close_places(struct places *p)
{
    for (unsigned i = 0; i < p->n; i++)
        close(p->list[i].fd);
}
#define PLACES __attribute__((cleanup(close_places))) struct places

/* What is not there needs no place. */
static int add(struct places *p, int dirfd, const char *path, unsigned access, struct error **err)
{
    int fd = openat(dirfd, path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : error_set(err, errno, "open %s", path);
    p->list[p->n++] = (struct jail_place){fd, access};
    return 0;
}

/* A kernel that hides processes from who may not trace them hides them from who is under Landlock.
 */
static bool processes_are_hidden(void)
{
    AUTO_FREE char *text = NULL;
    if (read_file_at(AT_FDCWD, "/proc/self/mountinfo", 16 << 20, &text, NULL, NULL) < 0)
        return false;
    const char *at = strstr(text, "hidepid=");
    return at && strncmp(at, "hidepid=0", 9) != 0 && strncmp(at, "hidepid=off", 11) != 0;
}

static int add_places(const struct monitor *m, struct places *p, struct error **err)
{
    const struct guest *g = m->g;
    const struct store *s = g->store;
    bool machine = m->wall->monitor == JAIL_MACHINE_MONITOR, removes = g->spec.auto_remove;
    if (add(p, g->dirfd, ".", JAIL_READ | JAIL_WRITE, err) < 0 ||
        add(p, s->guests_fd, ".", JAIL_LIST | (removes ? JAIL_RMDIR : 0), err) < 0 ||
        add(p, AT_FDCWD, CGROUPS, JAIL_READ | (machine ? 0 : JAIL_WRITE), err) < 0)
        return -1;
    if (machine ? add(p, m->balance.readings, ".", JAIL_READ | JAIL_WRITE, err) < 0 ||
                      add(p, m->balance.settings, ".", JAIL_READ, err) < 0
                : add(p, s->fd, "oci", JAIL_WRITE, err) < 0)
        return -1;
    return removes && (add(p, s->fd, "lock", JAIL_READ | JAIL_WRITE, err) < 0 ||
                       add(p, s->names_fd, ".", JAIL_UNLINK, err) < 0)
               ? -1
               : 0;
}

int monitor_jail(struct monitor *m, bool attached, struct error **err)
{
    PLACES p = {.n = 0};
    bool machine = m->wall->monitor == JAIL_MACHINE_MONITOR;
    if (add_places(m, &p, err) < 0)
        return error_prefix(err, "the monitor's jail");
    /* Who is attached writes to the caller's files, which may be large. */
    struct jail_self j = {.kind = m->wall->monitor,
                          .capabilities = machine ? 0 : CAPS_OF_OTHERS,
                          .places = p.list,
                          .n_places = p.n,
                          .reads_all = !machine,
                          .no_landlock = !machine && processes_are_hidden(),
                          .file_size = attached ? 0 : LARGEST_FILE};
    m->jailed = true;
    if (jail_self(&j, err) < 0)
        return error_prefix(err, "the monitor's jail");
    return 0;
}
