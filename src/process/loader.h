/* Loading a riscv64 ELF program into this process's memory, at its own addresses. */
#ifndef WIRT_PROCESS_LOADER_H
#define WIRT_PROCESS_LOADER_H

#include "process/state.h"

/* What the new program's first thread starts with. */
struct program {
    uint64_t pc, sp;
};

/* What kind of file starts with these bytes. */
enum program_kind {
    PROGRAM_FOREIGN, /* a riscv64 ELF file: ours */
    PROGRAM_SCRIPT,  /* #! */
    PROGRAM_OTHER    /* the host's kernel may know it */
};

enum program_kind program_kind(const uint8_t *head, size_t len);

/* Whether load_program would find the riscv64 ELF file fd, and the interpreter that it names,
 * sound: 0, else the -errno of an execve. What is wrong has to be known while there is still a
 * program to tell. */
long program_check(struct process *p, int fd);

/* Maps p->exe_fd and, for a dynamic one, its interpreter; makes the stack with arguments,
 * environment and auxiliary vector. -1 with err (code ENOEXEC: not a riscv64 program): then the
 * address space is not good for another try. */
int load_program(struct process *p, struct program *out, struct error **err);

/* A random multiple of a page below 4 GiB; 0 where the user has switched that off. */
uint64_t random_offset(void);

/* What load_program hands on to stack.c. */
struct loaded {
    uint64_t entry; /* the program's own */
    uint64_t bias;  /* added to its addresses */
    uint64_t phdr, n_phdr;
    uint64_t end;         /* of its highest segment */
    uint64_t interp_base; /* 0: none */
    bool exec_stack;      /* PT_GNU_STACK asks for it: nested functions of C */
};

/* stack.c: 0 with the stack pointer in *sp, or -1 with err. */
int build_stack(struct process *p, const struct loaded *image, uint64_t *sp, struct error **err);

/* RLIMIT_STACK was raised: the stack may be as large from now on. Where something lies in the way,
 * it stays as it is. */
void stack_grow(struct process *p);

#endif
