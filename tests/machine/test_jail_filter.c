/* The filters' decision trees say what the table of system calls says: each kind of thread, each
 * number, arguments on both sides of each condition. Interpreted here as the kernel does
 * (Documentation/userspace-api/seccomp_filter.rst). */
#include "jail/filter.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static uint32_t interpret(const struct program *p, const struct seccomp_data *d)
{
    uint32_t a = 0;
    for (unsigned pc = 0; pc < p->len; pc++) {
        const struct sock_filter *f = &p->code[pc];
        switch (f->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_true(f->k % 4 == 0 && f->k < sizeof *d);
            memcpy(&a, (const char *)d + f->k, 4);
            break;
        case BPF_ALU | BPF_AND | BPF_K: a &= f->k; break;
        case BPF_JMP | BPF_JEQ | BPF_K: pc += a == f->k ? f->jt : f->jf; break;
        case BPF_JMP | BPF_JGE | BPF_K: pc += a >= f->k ? f->jt : f->jf; break;
        case BPF_RET | BPF_K: return f->k;
        default: fail_msg("instruction %u has code %#x", pc, f->code);
        }
    }
    fail_msg("the filter has an end without an answer");
    return 0;
}

static bool allowed(enum jail_thread kind, const struct seccomp_data *d)
{
    for (unsigned i = 0; i < jail_n_calls; i++) {
        const struct jail_call *c = &jail_calls[i];
        if (c->kinds >> kind & 1 && c->nr == d->nr &&
            ((uint32_t)d->args[c->arg] & c->mask) == (c->mask ? c->value : 0))
            return true;
    }
    return false;
}

static uint32_t wanted(enum jail_thread kind, const struct seccomp_data *d)
{
    if (d->arch != AUDIT_ARCH_X86_64)
        return SECCOMP_RET_KILL_PROCESS;
    if (allowed(kind, d))
        return SECCOMP_RET_ALLOW;
    switch (d->nr) {
    case SYS_clone3: return SECCOMP_RET_ERRNO | ENOSYS;
    case SYS_socket: return SECCOMP_RET_ERRNO | EAFNOSUPPORT;
    case SYS_openat: return SECCOMP_RET_ERRNO | ENOENT;
    }
    return SECCOMP_RET_KILL_PROCESS;
}

static void compare(const struct program *p, enum jail_thread kind, const struct seccomp_data *d)
{
    const uint32_t got = interpret(p, d), want = wanted(kind, d);
    if (got != want)
        fail_msg("kind %d, call %d (%#lx, %#lx, %#lx): %#x, not %#x", (int)kind, d->nr,
                 (unsigned long)d->args[0], (unsigned long)d->args[1], (unsigned long)d->args[2],
                 got, want);
}

/* What the table looks for in an argument of this call, with each bit changed, in all arguments. */
static void with_arguments(const struct program *p, enum jail_thread kind, struct seccomp_data d)
{
    compare(p, kind, &d);
    for (unsigned i = 0; i < jail_n_calls; i++)
        for (unsigned bit = 0; jail_calls[i].nr == d.nr && bit <= 32; bit++) {
            uint32_t v = jail_calls[i].value ^ (bit < 32 ? UINT32_C(1) << bit : 0);
            for (unsigned k = 0; k < 6; k++)
                d.args[k] = v | UINT64_C(0x5a5a) << 32;
            compare(p, kind, &d);
        }
}

static void a_tree_says_what_the_table_says(void **state)
{
    for (int kind = 0; kind < JAIL_THREADS; kind++) {
        struct program p = {.len = 0};
        build(&p, (enum jail_thread)kind);
        assert_false(p.full);
        assert_in_range(p.len, 10, MAX_CODE);
        struct seccomp_data d = {.arch = AUDIT_ARCH_X86_64};
        for (d.nr = 0; d.nr < 1024; d.nr++)
            with_arguments(&p, (enum jail_thread)kind, d);
        for (unsigned i = 0; i < jail_n_calls; i++) {
            d.nr = jail_calls[i].nr | 0x40000000; /* the x32 ABI's */
            compare(&p, (enum jail_thread)kind, &d);
            struct seccomp_data other = {.arch = AUDIT_ARCH_I386, .nr = jail_calls[i].nr};
            compare(&p, (enum jail_thread)kind, &other);
        }
        d.nr = -1;
        compare(&p, (enum jail_thread)kind, &d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_tree_says_what_the_table_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
