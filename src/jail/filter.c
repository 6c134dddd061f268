#include "jail/filter.h"

#include <assert.h>
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

#define MAX_CODE 512
/* No call has a number from here on; those of the x32 ABI begin at 2^30. */
#define NUMBERS 512u

/* A decision tree over the calls' numbers: the kernel tries every number when a filter is
 * installed, and goes through it again for each call that depends on an argument. A list would be
 * gone through from its beginning each time (cf. libseccomp's SCMP_FLTATR_CTL_OPTIMIZE). */
struct program {
    struct sock_filter code[MAX_CODE];
    unsigned len;
    bool full;
};

/* What becomes of a call. The last two are looked up for the one number. */
enum {
    KILL,
    ALLOW,
    CONDITIONS,
    REFUSED
};

/* The calls with numbers from `from` on, up to where the next one begins. Small: it is a process
 * just forked that does this, and each page that it touches is copied. */
struct segment {
    uint16_t from;
    uint8_t what;
};

/* Calls that libraries try and do without. */
static const struct {
    uint32_t nr, error;
} refused[] = {
    {SYS_clone3, ENOSYS}, /* its flags are in memory: clone is tried next */
    {SYS_socket, EAFNOSUPPORT},
    {SYS_openat, ENOENT}, /* malloc(3) looks into /proc when it shrinks */
};

static void emit(struct program *p, struct sock_filter f)
{
    if (p->len < MAX_CODE)
        p->code[p->len++] = f;
    else
        p->full = true;
}

#define LOAD(field) \
    ((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field)))
#define RETURN(what)        ((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, (what)))
#define UNLESS(op, k, skip) ((struct sock_filter)BPF_JUMP(BPF_JMP | (op) | BPF_K, (k), 0, (skip)))

/* An argument's lower half: what is compared are ints, flags that fit, or `prot`, whose upper half
 * means nothing. */
static void emit_condition(struct program *p, const struct jail_call *c)
{
    uint32_t at = (uint32_t)(offsetof(struct seccomp_data, args) + c->arg * 8u);
    emit(p, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, at));
    emit(p, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, c->mask));
    emit(p, UNLESS(BPF_JEQ, c->value, 1));
    emit(p, RETURN(SECCOMP_RET_ALLOW));
}

static void emit_leaf(struct program *p, enum jail_thread kind, const struct segment *s)
{
    if (s->what == ALLOW) {
        emit(p, RETURN(SECCOMP_RET_ALLOW));
        return;
    }
    for (unsigned i = 0; s->what == CONDITIONS && i < jail_n_calls; i++)
        if (jail_calls[i].kinds >> kind & 1 && jail_calls[i].nr == s->from)
            emit_condition(p, &jail_calls[i]); /* any of them allows */
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++)
        if (refused[i].nr == s->from) {
            emit(p, RETURN(SECCOMP_RET_ERRNO | refused[i].error));
            return;
        }
    emit(p, RETURN(SECCOMP_RET_KILL_PROCESS));
}

/* The number is in the accumulator. */
static void emit_tree(struct program *p, enum jail_thread kind, const struct segment *s, unsigned n)
{
    if (n == 1) {
        emit_leaf(p, kind, s);
        return;
    }
    const unsigned half = n / 2, node = p->len;
    emit(p, UNLESS(BPF_JGE, s[half].from, 0));
    emit_tree(p, kind, s, half);
    const unsigned lower = p->len - node - 1;
    if (lower > UINT8_MAX || p->full) {
        p->full = true;
        return;
    }
    p->code[node].jt = (uint8_t)lower;
    emit_tree(p, kind, s + half, n - half);
}

/* A line of the table without conditions wins over those with; refused is what no line allows. */
static unsigned list_segments(struct segment list[NUMBERS], enum jail_thread kind)
{
    uint8_t what[NUMBERS] = {KILL}; /* and so the last: what the table has is below */
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++)
        what[refused[i].nr] = REFUSED;
    for (unsigned i = 0; i < jail_n_calls; i++) {
        const struct jail_call *c = &jail_calls[i];
        assert((unsigned)c->nr < NUMBERS - 1);
        if (c->kinds >> kind & 1 && what[c->nr] != ALLOW)
            what[c->nr] = c->mask ? CONDITIONS : ALLOW;
    }
    unsigned n = 0;
    for (unsigned nr = 0; nr < NUMBERS; nr++)
        if (!n || what[nr] > ALLOW || what[nr] != list[n - 1].what)
            list[n++] = (struct segment){(uint16_t)nr, what[nr]};
    return n;
}

static void build(struct program *p, enum jail_thread kind)
{
    struct segment list[NUMBERS];
    unsigned n = list_segments(list, kind);
    emit(p, LOAD(arch));
    emit(p, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
    emit(p, RETURN(SECCOMP_RET_KILL_PROCESS));
    emit(p, LOAD(nr));
    emit_tree(p, kind, list, n);
}

bool jail_has_filters(void)
{
    return !SANITIZED;
}

int jail_filter(enum jail_thread kind, struct error **err)
{
    struct program p;
    p.len = 0;
    p.full = false;
    if (!jail_has_filters())
        return 0;
    build(&p, kind);
    if (p.full)
        return error_set(err, 0, "the list of system calls is too long");
    struct sock_fprog prog = {.len = (unsigned short)p.len, .filter = p.code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
        return error_set(err, errno, "system call filter");
    return 0;
}
