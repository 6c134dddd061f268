/* An arbitrary file as a riscv64 program: loaded into a child process, never run. The child must
 * end by itself: with the program loaded or with a reason why not. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "fuzz.h"
#include "process/loader.h"
#include "process/space.h"

static void load(int fd)
{
    static char *none[] = {"program", NULL};
    struct process *p = xcalloc(1, sizeof *p);
    struct program program;
    struct error *err = NULL;
    p->config = (struct process_config){.program = "program", .argv = none, .envp = none + 1};
    p->exe = p->exe_host = none[0];
    p->name = none[0];
    p->exe_fd = fd;
    p->sysroot_fd = -1;
    space_init(&p->space);
    alarm(10);
    if (load_program(p, &program, &err) < 0 && !err)
        abort(); /* refused without saying why */
    _exit(0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("program", 0);
    if (fd < 0 || write_all(fd, data, size) < 0)
        abort();
    pid_t pid = fork();
    if (pid == 0)
        load(fd);
    if (pid < 0)
        abort();
    int status;
    pid_t ended;
    do /* libFuzzer's own alarm interrupts */
        ended = waitpid(pid, &status, 0);
    while (ended < 0 && errno == EINTR);
    if (ended < 0 || !WIFEXITED(status) || WEXITSTATUS(status))
        abort();
    close(fd);
    return 0;
}
