#include "agent/power.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <mntent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"

/* The board's test device, as of qemu's virt: a store of FAIL and a status ends the machine. */
#define TEST_DEVICE 0x100000
#define TEST_FAIL   0x3333u

/* While this is there, our own init leaves the end to us. */
#define POWEROFF_MARK "/run/wirt.poweroff"

#define PF_KTHREAD 0x200000u /* in a process's flags, proc(5) */

/* How many processes there are; and those with a terminal are sent sig, unless it is 0. */
static int each_process(int sig)
{
    AUTO_CLOSEDIR DIR *d = opendir("/proc");
    struct dirent *e;
    int n = 0;
    while (d && (e = readdir(d))) {
        if (!isdigit((unsigned char)*e->d_name))
            continue;
        AUTO_FREE char *path = xasprintf("/proc/%s/stat", e->d_name);
        AUTO_FREE char *text = NULL;
        char state;
        int tty;
        unsigned flags;
        if (read_file_at(AT_FDCWD, path, 4096, &text, NULL, NULL) < 0)
            continue; /* it has just ended */
        const char *after_name = strrchr(text, ')');
        if (!after_name ||
            sscanf(after_name + 1, " %c %*d %*d %*d %d %*d %u", &state, &tty, &flags) != 3)
            continue;
        int pid = atoi(e->d_name);
        if (pid == 1 || pid == getpid() || state == 'Z' || (flags & PF_KTHREAD))
            continue;
        n++;
        if (sig && tty)
            kill(pid, sig);
    }
    return n;
}

bool power_others_run(void)
{
    return each_process(0) > 0;
}

void power_end_processes(bool force)
{
    int fd = open(POWEROFF_MARK, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    kill(-1, force ? SIGKILL : SIGTERM);
    if (!force)
        each_process(SIGHUP); /* shells do not mind SIGTERM; services would reload */
}

static void remount_read_only(void)
{
    FILE *mounts = setmntent("/proc/self/mounts", "r");
    struct mntent *m;
    while (mounts && (m = getmntent(mounts)))
        (void)mount(NULL, m->mnt_dir, NULL, MS_REMOUNT | MS_RDONLY, NULL); /* as far as it goes */
    if (mounts)
        endmntent(mounts);
}

_Noreturn void power_off(uint8_t status)
{
    sync();
    remount_read_only();
    int fd = status ? open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC) : -1;
    volatile uint32_t *test = MAP_FAILED;
    if (fd >= 0)
        test = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, TEST_DEVICE);
    if (test != MAP_FAILED)
        *test = (uint32_t)status << 16 | TEST_FAIL;
    reboot(RB_POWER_OFF);
    _exit(status); /* not allowed to */
}
