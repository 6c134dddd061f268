#include "agent/power.h"

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

#define KERNEL_THREAD 0x200000u /* PF_KTHREAD in a process's flags */

/* How many processes there are that are neither this one, process 1 nor the kernel's. With hang_up,
 * those that ignore SIGTERM, which are interactive shells, are sent SIGHUP. */
static int count_processes(bool hang_up)
{
    AUTO_CLOSEDIR DIR *d = opendir("/proc");
    struct dirent *e;
    int n = 0;
    while (d && (e = readdir(d))) {
        int pid = atoi(e->d_name);
        if (pid <= 1 || pid == getpid())
            continue;
        AUTO_FREE char *path = xasprintf("/proc/%d/stat", pid);
        AUTO_FREE char *text = NULL;
        if (read_file_at(AT_FDCWD, path, 4096, &text, NULL, NULL) < 0)
            continue; /* it has just ended */
        /* proc(5): state, flags and sigignore, the fields 3, 9 and 33; the name before them may
         * hold anything. */
        char state = 'Z';
        unsigned long flags = 0, ignored = 0;
        const char *after_name = strrchr(text, ')');
        if (after_name)
            sscanf(after_name,
                   ") %c %*s %*s %*s %*s %*s %lu %*s %*s %*s %*s %*s %*s %*s %*s %*s"
                   " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu",
                   &state, &flags, &ignored);
        if (state == 'Z' || (flags & KERNEL_THREAD))
            continue;
        n++;
        if (hang_up && (ignored & 1ul << (SIGTERM - 1)))
            kill(pid, SIGHUP);
    }
    return n;
}

bool power_others_run(void)
{
    return count_processes(false) > 0;
}

void power_end_processes(bool force)
{
    int fd = open(POWEROFF_MARK, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    kill(-1, force ? SIGKILL : SIGTERM);
    if (!force)
        count_processes(true);
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
