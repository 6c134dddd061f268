#include "jail/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "jail/calls.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define MAX_CODE 1024

struct program {
    struct sock_filter code[MAX_CODE];
    unsigned short len;
};

static void emit(struct program *p, struct sock_filter f)
{
    if (p->len < MAX_CODE)
        p->code[p->len++] = f;
}

#define LOAD(field) \
    ((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field)))
#define RETURN(what) ((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, (what)))

/* The number is in the accumulator, before and after. */
static void emit_call(struct program *p, const struct jail_call *c)
{
    if (!c->mask) {
        emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)c->nr, 0, 1));
        emit(p, RETURN(SECCOMP_RET_ALLOW));
        return;
    }
    /* An argument's lower half: what is compared are ints, flags that fit, or `prot`, whose upper
     * half means nothing. */
    uint32_t at = (uint32_t)(offsetof(struct seccomp_data, args) + c->arg * 8u);
    emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)c->nr, 0, 5));
    emit(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at));
    emit(p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, c->mask));
    emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, c->value, 0, 1));
    emit(p, RETURN(SECCOMP_RET_ALLOW));
    emit(p, LOAD(nr));
}

/* Calls that libraries try and do without. */
static void emit_refused(struct program *p, int nr, unsigned error)
{
    emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 1));
    emit(p, RETURN(SECCOMP_RET_ERRNO | error));
}

static void build(struct program *p, enum jail_thread kind)
{
    emit(p, LOAD(arch));
    emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
    emit(p, RETURN(SECCOMP_RET_KILL_PROCESS));
    emit(p, LOAD(nr)); /* of the x32 calls none is in a list */
    for (unsigned i = 0; i < jail_n_calls; i++)
        if (jail_calls[i].kinds >> kind & 1)
            emit_call(p, &jail_calls[i]);
    emit_refused(p, SYS_clone3, ENOSYS); /* its flags are in memory: clone is tried next */
    emit_refused(p, SYS_socket, EAFNOSUPPORT);
    emit_refused(p, SYS_openat, ENOENT); /* malloc(3) looks into /proc when it shrinks */
    emit(p, RETURN(SECCOMP_RET_KILL_PROCESS));
}

bool jail_has_filters(void)
{
    return !SANITIZED;
}

int jail_filter(enum jail_thread kind, struct error **err)
{
    struct program p = {.len = 0};
    if (!jail_has_filters())
        return 0;
    build(&p, kind);
    if (p.len == MAX_CODE)
        return error_set(err, 0, "the list of system calls is too long");
    struct sock_fprog prog = {.len = p.len, .filter = p.code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
        return error_set(err, errno, "system call filter");
    return 0;
}
