/* What a program gets from a riscv64 kernel besides system calls: the vDSO, the auxiliary vector,
 * hwprobe; a stack as large as its limit says; addresses of faults; code that becomes visible. */
#include "check.h"
#include <elf.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#ifdef __riscv
#define VERSION "LINUX_4.15"
#else
#define VERSION "LINUX_2.6"
#endif

/* --- The vDSO, looked up as vdso(7) and its reference parser do --- */

static unsigned long elf_hash(const char *s)
{
    unsigned long h = 0;
    for (; *s; s++) {
        h = (h << 4) + (unsigned char)*s;
        h ^= (h & 0xf0000000) >> 24;
        h &= 0x0fffffff;
    }
    return h;
}

static const char *base;

static uint64_t dynamic_entry(int64_t tag)
{
    const Elf64_Ehdr *e = (const void *)base;
    const Elf64_Phdr *ph = (const void *)(base + e->e_phoff);
    for (int i = 0; i < e->e_phnum; i++)
        for (const Elf64_Dyn *d = (const void *)(base + ph[i].p_vaddr);
             ph[i].p_type == PT_DYNAMIC && d->d_tag; d++)
            if (d->d_tag == tag)
                return d->d_un.d_val;
    return 0;
}

static void *vdso_function(const char *name)
{
    const char *strings = base + dynamic_entry(DT_STRTAB);
    const Elf64_Sym *symbols = (const void *)(base + dynamic_entry(DT_SYMTAB));
    const uint32_t *hash = (const void *)(base + dynamic_entry(DT_HASH));
    const uint16_t *versions = (const void *)(base + dynamic_entry(DT_VERSYM));
    const Elf64_Verdef *def = (const void *)(base + dynamic_entry(DT_VERDEF));
    const uint32_t *buckets = hash + 2, *chain = buckets + hash[0];
    for (uint32_t i = buckets[elf_hash(name) % hash[0]]; i; i = chain[i]) {
        if (strcmp(strings + symbols[i].st_name, name) || symbols[i].st_shndx == SHN_UNDEF)
            continue;
        const Elf64_Verdef *d = def;
        while (d->vd_ndx != (versions[i] & 0x7fff) && d->vd_next)
            d = (const void *)((const char *)d + d->vd_next);
        const Elf64_Verdaux *aux = (const void *)((const char *)d + d->vd_aux);
        if (d->vd_hash == elf_hash(VERSION) && !strcmp(strings + aux->vda_name, VERSION))
            return (void *)(base + symbols[i].st_value);
    }
    return NULL;
}

static void test_vdso(void)
{
    base = (const char *)getauxval(AT_SYSINFO_EHDR);
    CHECK("AT_SYSINFO_EHDR", base && !memcmp(base, ELFMAG, SELFMAG));
    if (!base)
        return;
    if (!dynamic_entry(DT_HASH)) /* kernels from 6.13 on have but the GNU one on x86-64 */
        return;
    struct timespec a = {0}, b;
    int (*get)(clockid_t, struct timespec *) = vdso_function("__vdso_clock_gettime");
    CHECK("__vdso_clock_gettime", get && !get(CLOCK_REALTIME, &a) &&
                                      !clock_gettime(CLOCK_REALTIME, &b) &&
                                      b.tv_sec - a.tv_sec < 60);
    unsigned cpu = 99;
    long (*getcpu)(unsigned *, unsigned *, void *) = vdso_function("__vdso_getcpu");
    CHECK("__vdso_getcpu", getcpu && !getcpu(&cpu, NULL, NULL) && cpu != 99);
#ifdef __riscv
    int (*res)(clockid_t, struct timespec *) = vdso_function("__vdso_clock_getres");
    CHECK("__vdso_clock_getres", res && !res(CLOCK_MONOTONIC, &a) && a.tv_nsec);
    int (*flush)(void *, void *, unsigned long) = vdso_function("__vdso_flush_icache");
    CHECK("__vdso_flush_icache", flush && !flush(NULL, NULL, 0));
    CHECK("__vdso_riscv_hwprobe", vdso_function("__vdso_riscv_hwprobe"));
    CHECK("__vdso_gettimeofday", vdso_function("__vdso_gettimeofday"));
    const uint32_t *back = vdso_function("__vdso_rt_sigreturn");
    CHECK("unwinders know __vdso_rt_sigreturn",
          back && back[0] == 0x08b00893 && back[1] == 0x00000073);
#endif
    CHECK("no other name", !vdso_function("__vdso_nothing"));
}

static void test_auxv(int argc, char **argv)
{
    (void)argc;
    CHECK("AT_MINSIGSTKSZ", getauxval(51) >= 1088);
    CHECK("AT_EXECFN", !strcmp((const char *)getauxval(AT_EXECFN), argv[0]));
}

/* --- The stack --- */

static __attribute__((noinline)) long deep(long n)
{
    volatile char frame[65536];
    frame[0] = frame[65535] = (char)n;
    return n <= 0 ? 0 : 1 + deep(n - 1) + (frame[0] - frame[65535]);
}

static int in_child(void (*fn)(void))
{
    int s = -1;
    pid_t p = fork();
    if (p == 0) {
        fn();
        _exit(7);
    }
    waitpid(p, &s, 0);
    return s;
}

static void go_deep(void)
{
    deep(600);
}

static void test_stack(void)
{
    struct rlimit old, r;
    getrlimit(RLIMIT_STACK, &old);
    if (old.rlim_max != RLIM_INFINITY && old.rlim_max < 64 << 20)
        return;
    r = old;
    if (old.rlim_cur < 32 << 20)
        CHECK("40 MiB of stack are too much", WTERMSIG(in_child(go_deep)) == SIGSEGV);
    r.rlim_cur = 64 << 20;
    setrlimit(RLIMIT_STACK, &r);
    CHECK("until the limit is raised", WEXITSTATUS(in_child(go_deep)) == 7);
    setrlimit(RLIMIT_STACK, &old);
}

/* --- riscv64 alone --- */

#ifdef __riscv
static sigjmp_buf back;
static volatile int signo, code;
static void *volatile address;

static void on_fault(int s, siginfo_t *info, void *context)
{
    (void)context;
    signo = s;
    code = info->si_code;
    address = info->si_addr;
    siglongjmp(back, 1);
}

#define FAULTS_AT(want, access)                                                \
    ({                                                                         \
        signo = 0;                                                             \
        if (!sigsetjmp(back, 1)) {                                             \
            access;                                                            \
        }                                                                      \
        signo == SIGSEGV &&code == SEGV_MAPERR && (uint64_t)address == (want); \
    })

/* Addresses that no x86-64 processor has. */
static void test_addresses(void)
{
    struct sigaction a = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, old;
    sigaction(SIGSEGV, &a, &old);
    volatile uint64_t at = 0x4000000000000010;
    CHECK("a load", FAULTS_AT(at, (void)*(volatile int *)at));
    CHECK("a compressed one with an offset",
          FAULTS_AT(at + 8, ({
                        register uint64_t p __asm__("a0") = at;
                        __asm__ volatile("c.ld a1, 8(a0)" ::"r"(p) : "a1");
                    })));
    at = 0x0000800000000010;
    CHECK("a store", FAULTS_AT(at, *(volatile int *)at = 1));
    CHECK("a store of a double", FAULTS_AT(at + 8, __asm__ volatile("fsd fa0, 8(%0)" ::"r"(at)
                                                                    : "memory")));
    CHECK("an AMO", FAULTS_AT(at, __asm__ volatile("amoadd.d a0, a0, (%0)" ::"r"(at) : "a0")));
    at = 0xffffffff80000010;
    CHECK("the kernel's", FAULTS_AT(at, (void)*(volatile int *)at));
    sigaction(SIGSEGV, &old, NULL);
}

/* A JIT that writes by one mapping and runs by another, and names the one or the other. */
static void test_aliases(void)
{
    int fd = memfd_create("code", 0), wrong = 0;
    ftruncate(fd, 8192);
    char *w = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *x = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    mprotect(x, 8192, PROT_READ | PROT_EXEC);
    for (int i = 0; i < 200; i++) {
        uint32_t insns[2] = {0x00000513u | (uint32_t)i << 20, 0x00008067}; /* li a0, i; ret */
        char *flushed = i & 1 ? w : x;
        memcpy(w + 16, insns, 8);
        __builtin___clear_cache(flushed + 16, flushed + 24);
        wrong += ((int (*)(void))(x + 16))() != i;
    }
    CHECK("code written by another mapping of the same memory", !wrong);
    munmap(w, 8192);
    munmap(x, 8192);
    close(fd);
}

static void test_hwprobe(void)
{
    struct {
        int64_t key;
        uint64_t value;
    } p[2] = {{4, 0}, {99999, 5}};
    unsigned long cpus[16] = {0};
    CHECK("hwprobe", !syscall(258, p, 2, 0, NULL, 0) && p[0].key == 4 && (p[0].value & 3) == 3 &&
                         p[1].key == -1 && !p[1].value);
    CHECK("of no processor", syscall(258, p, 1, sizeof cpus, cpus, 0) == -1 && errno == EINVAL);
    p[0].value = 3; /* F, D and C */
    CHECK("which processors", !syscall(258, p, 1, sizeof cpus, cpus, 1) && cpus[0] & 1);
    p[0].value = 1ull << 63;
    CHECK("have what none has", !syscall(258, p, 1, sizeof cpus, cpus, 1) && !cpus[0]);
    CHECK("an unknown flag", syscall(258, p, 1, 0, NULL, 2) == -1 && errno == EINVAL);
    CHECK("PR_RISCV_SET_ICACHE_FLUSH_CTX", !prctl(71, 0, 0) && prctl(71, 2, 0) == -1);
}

static int word;

static void test_wait_on_reservation(void)
{
    long a;
    __asm__ volatile("lr.w %0, (%1)\n.4byte 0x01d00073\nlr.w %0, (%1)\n.4byte 0x00d00073"
                     : "=&r"(a)
                     : "r"(&word)
                     : "memory");
    CHECK("wrs.sto and wrs.nto come back", !a);
}
#endif

int main(int argc, char **argv)
{
    test_vdso();
    test_auxv(argc, argv);
    test_stack();
#ifdef __riscv
    test_addresses();
    test_aliases();
    test_hwprobe();
    test_wait_on_reservation();
#endif
    return check_failed;
}
