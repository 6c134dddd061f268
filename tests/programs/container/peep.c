/* What a process in a container can get hold of of others in its pid namespace, the moment they
 * appear: by ptrace, by the links of their /proc folder, by their descriptors. Looks for as many
 * seconds as the first argument says, at processes that are not yet the command named by the
 * second. Prints a line for each thing that it got, and how many processes it saw. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct stat root; /* our own */

static int there(int pid)
{
    return kill(pid, 0) == 0 || errno == EPERM;
}

/* Whether the process has not executed its command yet: it is no child of ours. */
static int runtime(int pid, const char *command)
{
    char path[64], name[64] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, name, sizeof name - 1);
    close(fd);
    if (n > 0)
        name[n - 1] = 0;
    return n > 0 && strcmp(name, command) && strcmp(name, "peep");
}

static void look(int pid, const char *command)
{
    static const char *const links[] = {"root", "cwd"};
    char path[64];
    struct stat st;
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s/.", pid, links[i]);
        int fd = open(path, O_PATH);
        if (fd < 0)
            continue;
        int got = fstat(fd, &st) == 0 && runtime(pid, command);
        if (got)
            printf("%s %s\n", links[i],
                   st.st_dev == root.st_dev && st.st_ino == root.st_ino ? "own" : "HOST");
        close(fd);
    }
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        int fd = openat(dirfd(d), e->d_name, O_PATH);
        if (fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode) && e->d_name[0] != '.' &&
            runtime(pid, command))
            printf("descriptor %s FOLDER\n", e->d_name);
        if (fd >= 0)
            close(fd);
    }
    if (d)
        closedir(d);
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) {
        if (runtime(pid, command))
            printf("ptrace TRACED\n");
        ptrace(PTRACE_DETACH, pid, 0, 0);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3 || stat("/", &root) < 0)
        return 2;
    long end = time(NULL) + atoi(argv[1]);
    int seen = 0, last = 0;
    while (time(NULL) < end) {
        /* The next pid is the last one's successor: no folder has to be read. */
        for (int pid = last + 1; pid < last + 64; pid++) {
            if (pid == getpid() || pid == 1 || !there(pid))
                continue;
            if (runtime(pid, argv[2])) {
                seen++;
                while (there(pid) && runtime(pid, argv[2]))
                    look(pid, argv[2]);
            }
            last = pid;
        }
        if (waitpid(-1, NULL, WNOHANG) > 0)
            continue;
    }
    printf("seen %d\n", seen);
    return 0;
}
