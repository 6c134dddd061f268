/* Runs a program on a kernel that lacks something, as far as the program can see.
 *
 *   without [userns] [landlock] -- PROGRAM [ARG...]
 *
 * userns: no user namespace can be made (EPERM, as where an administrator forbids them); landlock:
 * its system calls are not there (ENOSYS). By a system call filter, which children inherit. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(field)    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define ANSWER(value)  BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (value))
#define IF_CALL(nr, n) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, (n))
/* A call whose first argument has the flag. */
#define NO_NEW_USER(call)                                                                       \
    IF_CALL(call, 4), LOAD(args[0]), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_NEWUSER, 0, 1), \
        ANSWER(EPERM), LOAD(nr)

static const struct sock_filter no_userns[] = {LOAD(nr),
                                               NO_NEW_USER(SYS_clone),
                                               NO_NEW_USER(SYS_unshare),
                                               IF_CALL(SYS_clone3, 1),
                                               ANSWER(ENOSYS),
                                               BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};

static const struct sock_filter no_landlock[] = {
    LOAD(nr), BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 444, 0, 2), /* create_ruleset */
    BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 446, 1, 0),           /* restrict_self */
    ANSWER(ENOSYS), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};

static int load(const struct sock_filter *code, size_t len)
{
    struct sock_fprog prog = {.len = (unsigned short)len, .filter = (struct sock_filter *)code};
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog);
}

int main(int argc, char **argv)
{
    int i = 1, r = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    for (; r == 0 && i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (!strcmp(argv[i], "userns"))
            r = load(no_userns, sizeof no_userns / sizeof *no_userns);
        else if (!strcmp(argv[i], "landlock"))
            r = load(no_landlock, sizeof no_landlock / sizeof *no_landlock);
        else
            r = -1;
    }
    if (r < 0 || i + 1 >= argc) {
        perror("without [userns] [landlock] -- PROGRAM");
        return 125;
    }
    execvp(argv[i + 1], argv + i + 1);
    perror(argv[i + 1]);
    return 127;
}
