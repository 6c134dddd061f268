/* The process wall: a riscv64 Linux program on the host's kernel. Needs only libc: wirt-riscv64 is
 * this and nothing more. */
#ifndef WIRT_PROCESS_PROCESS_H
#define WIRT_PROCESS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* A limit on the guest's memory alone: the host's would count the emulator's too. */
struct memory_limit {
    bool set;
    uint64_t soft, hard; /* bytes; RLIM_INFINITY: none */
};

struct process_config {
    const char *program; /* host path of the ELF file; with program_fd, only what AT_EXECFN says */
    char **argv;         /* the guest's, NULL-terminated */
    char **envp;         /* the guest's, NULL-terminated */
    const char *sysroot; /* -L: absolute guest paths are looked up below it first; NULL: none */
    const char *uname_release; /* NULL: the host's */
    bool strace;               /* each system call on standard error */
    bool interpret;
    bool stats;        /* print the engine's statistics at exit */
    const char *cache; /* folder for translations, or "off"; NULL: see cache.h */
    size_t cache_size; /* bytes of a file there; 0: CACHE_SIZE */
    const char *trace; /* file for engine_config.trace, or NULL */
    size_t stack_size; /* 0: RLIMIT_STACK's */
    struct memory_limit limit_as, limit_data; /* RLIMIT_AS, RLIMIT_DATA */
    int program_fd;  /* the ELF file, open for reading; -1: open program. Taken over. */
    int emulator_fd; /* wirt-riscv64 itself, to be executed again for the program's own execve
                        of programs like it; -1: /proc/self/exe is opened. Taken over. */
    int seccomp_fd;  /* the filters that the program inherits (seccomp.h); -1: none. Taken over. */
    int messages_fd; /* where strace and stats write, whatever the program does with its standard
                        error; -1: a copy of that is made, if they are asked for. Taken over. */
    int report_fd;   /* closed when the program is loaded, before its first instruction; -1: none */
};

/* Turns this process into the program. Returns only on failure to start it, with err (code ENOEXEC:
 * not a riscv64 program). Otherwise the process ends as the program does: exit status or signal. */
int process_exec(const struct process_config *config, struct error **err);

#endif
