/* The stack a program starts with: argument count, arguments, environment, auxiliary vector. */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/str.h"
#include "process/features.h"
#include "process/loader.h"
#include "process/signal.h"
#include "process/space.h"

#define DEFAULT_STACK ((uint64_t)8 << 20)
/* Sv39's end, where programs for riscv64 expect their stack; well above those of pie_bases. */
#define STACK_TOP     0x3ffffff000ull
#define LARGEST_STACK ((uint64_t)1 << 30)

static uint64_t stack_size(const struct process *p)
{
    uint64_t size = p->config.stack_size;
    struct rlimit r;
    if (!size && getrlimit(RLIMIT_STACK, &r) == 0 && r.rlim_cur != RLIM_INFINITY)
        size = r.rlim_cur;
    if (!size)
        size = DEFAULT_STACK;
    if (size > LARGEST_STACK)
        size = LARGEST_STACK;
    if (size < 32 * PAGE_SIZE)
        size = 32 * PAGE_SIZE;
    return (size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

/* Where nothing else comes to lie unless the guest asks for it, so that there is room below. */
static int map_stack(struct process *p, bool executable, struct error **err)
{
    uint64_t size = stack_size(p);
    int prot = PROT_READ | PROT_WRITE | (executable ? PROT_EXEC : 0);
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    /* One page more, taken away again from the guest: an overflow must not reach what is below. */
    long r = space_mmap(p, STACK_TOP - random_offset() - size - PAGE_SIZE, size + PAGE_SIZE, prot,
                        flags | MAP_FIXED_NOREPLACE, -1, 0);
    if (r < 0) /* something of the host's is there, as AddressSanitizer's shadow: then anywhere */
        r = space_mmap(p, 0, size + PAGE_SIZE, prot, flags, -1, 0);
    if (r < 0)
        return error_set(err, (int)-r, "a stack of %llu bytes", (unsigned long long)size);
    if (space_mprotect(p, (uint64_t)r, PAGE_SIZE, PROT_NONE) < 0)
        return error_set(err, ENOMEM, "the stack's guard page");
    p->stack_lo = (uint64_t)r + PAGE_SIZE;
    p->stack_hi = p->stack_lo + size;
    return 0;
}

void stack_grow(struct process *p)
{
    struct mapping top;
    uint64_t size = stack_size(p);
    if (size <= p->stack_hi - p->stack_lo || !space_find(&p->space, p->stack_hi - 1, &top))
        return;
    uint64_t lo = p->stack_hi - size;
    long r = space_mmap(
        p, lo - PAGE_SIZE, p->stack_lo - lo, PROT_NONE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK | MAP_FIXED_NOREPLACE, -1, 0);
    if (r == (long)(lo - PAGE_SIZE) && space_mprotect(p, lo, p->stack_lo - lo, top.prot) == 0)
        p->stack_lo = lo;
}

/* Copies a string below *sp. */
static uint64_t push_string(uint64_t *sp, const char *s)
{
    size_t n = strlen(s) + 1;
    *sp -= n;
    memcpy((void *)*sp, s, n);
    return *sp;
}

static size_t count(char *const *list, size_t *bytes)
{
    size_t n = 0;
    while (list[n])
        *bytes += strlen(list[n++]) + 1 + sizeof(uint64_t);
    return n;
}

struct auxv {
    uint64_t entry[2 * 24];
    size_t n;
};

static void aux(struct auxv *v, uint64_t type, uint64_t value)
{
    v->entry[v->n++] = type;
    v->entry[v->n++] = value;
}

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

static struct auxv make_auxv(const struct process *p, const struct loaded *image, uint64_t random,
                             uint64_t name)
{
    struct auxv v = {.n = 0};
    aux(&v, AT_SYSINFO_EHDR, p->vdso);
    aux(&v, AT_MINSIGSTKSZ, GUEST_MINSIGSTKSZ);
    aux(&v, AT_HWCAP, features_hwcap());
    aux(&v, AT_PAGESZ, PAGE_SIZE);
    aux(&v, AT_CLKTCK, (uint64_t)sysconf(_SC_CLK_TCK));
    aux(&v, AT_PHDR, image->phdr);
    aux(&v, AT_PHENT, sizeof(Elf64_Phdr));
    aux(&v, AT_PHNUM, image->n_phdr);
    aux(&v, AT_BASE, image->interp_base);
    aux(&v, AT_FLAGS, 0);
    aux(&v, AT_ENTRY, image->entry);
    aux(&v, AT_UID, getuid());
    aux(&v, AT_EUID, geteuid());
    aux(&v, AT_GID, getgid());
    aux(&v, AT_EGID, getegid());
    aux(&v, AT_SECURE, getauxval(AT_SECURE));
    aux(&v, AT_RANDOM, random);
    aux(&v, AT_HWCAP2, 0);
    aux(&v, AT_EXECFN, name);
    aux(&v, AT_NULL, 0);
    return v;
}

int build_stack(struct process *p, const struct loaded *image, uint64_t *sp_out, struct error **err)
{
    char *const *argv = p->config.argv, *const *envp = p->config.envp;
    size_t bytes = 0;
    size_t argc = count(argv, &bytes), envc = count(envp, &bytes);
    if (map_stack(p, image->exec_stack, err) < 0)
        return -1;
    if (bytes > (p->stack_hi - p->stack_lo) / 4)
        return error_set(err, E2BIG, "%zu bytes of arguments and environment on a stack of %llu",
                         bytes, (unsigned long long)(p->stack_hi - p->stack_lo));

    uint64_t sp = p->stack_hi - 16;
    uint64_t name = push_string(&sp, p->name);
    uint64_t *vector = xcalloc(argc + envc + 3, sizeof *vector);
    for (size_t i = envc; i-- > 0;)
        vector[argc + 2 + i] = push_string(&sp, envp[i]);
    uint64_t args_end = sp;
    p->env_len = name - sp;
    for (size_t i = argc; i-- > 0;)
        vector[1 + i] = push_string(&sp, argv[i]);
    p->args = sp;
    p->args_len = args_end - sp;
    vector[0] = argc;

    sp = (sp - 16) & ~15ull;
    uint64_t random = sp;
    if (getrandom((void *)random, 16, 0) != 16) {
        free(vector);
        return error_set(err, errno, "getrandom");
    }
    struct auxv auxv = make_auxv(p, image, random, name);
    uint64_t size = (argc + envc + 3) * sizeof *vector + auxv.n * sizeof *auxv.entry;
    sp = (sp - size) & ~15ull;
    memcpy((void *)sp, vector, (argc + envc + 3) * sizeof *vector);
    p->auxv = sp + (argc + envc + 3) * sizeof *vector;
    p->auxv_len = auxv.n * sizeof *auxv.entry;
    memcpy((void *)p->auxv, auxv.entry, p->auxv_len);
    free(vector);
    *sp_out = sp;
    return 0;
}
