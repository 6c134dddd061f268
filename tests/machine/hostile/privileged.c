/* CSRs, firmware calls, page tables, PMP and code, all of them random. */
#include "hostile.h"

extern char trap_s[], trap_m[];

#define FS_DIRTY (3ul << 13)
#define MPP      (3ul << 11)

void calm(void)
{
    if (machine_mode) {
        csr_write(mie, 0);
        csr_write(mstatus, FS_DIRTY | MPP);
        csr_write(mtvec, trap_m);
        csr_write(satp, 0);
        csr_write(medeleg, 0);
        csr_write(mideleg, 0);
        csr_write(pmpaddr0, ~0ul); /* all of it is everybody's */
        csr_write(pmpcfg0, 0x1f);
    } else {
        csr_write(sie, 0);
        csr_write(sstatus, FS_DIRTY);
        csr_write(stvec, trap_s);
        csr_write(satp, 0);
    }
}

uint64_t sbi(uint64_t extension, uint64_t function, const uint64_t arg[5])
{
    register uint64_t a0 __asm__("a0") = arg[0], a1 __asm__("a1") = arg[1];
    register uint64_t a2 __asm__("a2") = arg[2], a3 __asm__("a3") = arg[3];
    register uint64_t a4 __asm__("a4") = arg[4];
    register uint64_t a6 __asm__("a6") = function, a7 __asm__("a7") = extension;
    __asm__ volatile("ecall"
                     : "+r"(a0), "+r"(a1)
                     : "r"(a2), "r"(a3), "r"(a4), "r"(a6), "r"(a7)
                     : "memory");
    return a0;
}

void sbi_step(struct context *c)
{
    static const uint64_t extensions[] = {0,          1,        2,        3,          4,
                                          5,          6,        7,        0x10,       0x4442434e,
                                          0x48534d,   0x735049, 0x735049, 0x52464e43, 0x52464e43,
                                          0x54494d45, 0x504d55, 0x535441, 0x53525354};
    uint64_t e = extensions[below(c, sizeof extensions / sizeof *extensions)];
    uint64_t f = below(c, 16) ? below(c, 8) : odd_value(c);
    uint64_t arg[5] = {below(c, 2) ? below(c, 16) : odd_value(c), below(c, 2) ? 0 : odd_value(c),
                       odd_address(c), odd_value(c), odd_value(c)};
    if (e == 0x53525354 && f == 0) /* it is not to end by itself */
        arg[0] |= 0x100;
    if (e == 0x48534d && (f == 1 || f == 3)) /* nor to sleep for good */
        return;
    if (e == 0x4442434e && f <= 1) { /* an address in the play area, or a wrong one */
        arg[1] = odd_address(c);
        arg[2] = below(c, 8) ? 0 : odd_value(c);
        if (below(c, 8)) /* little output */
            arg[0] = below(c, 64);
    }
    if (e == 4) /* a mask in memory */
        arg[0] = odd_address(c) & ~7ul;
    sbi(e, f, arg);
}

/* A word for each hart to build code in, and what ends it. */
static uint32_t code[MAX_HARTS][16] __attribute__((aligned(64)));

#define RET       0x00008067u
#define CSR_OF(n) ((uint32_t)(n) << 20)

void csr_step(struct context *c)
{
    static const uint16_t known[] = {0x001, 0x002, 0x003, 0x100, 0x104, 0x106, 0x10a, 0x141, 0x142,
                                     0x143, 0x144, 0x14d, 0x15d, 0x180, 0x300, 0x301, 0x302, 0x303,
                                     0x304, 0x306, 0x30a, 0x320, 0x323, 0x341, 0x342, 0x343, 0x344,
                                     0x3a0, 0x3b0, 0x5a8, 0x600, 0x680, 0x747, 0xb00, 0xb02, 0xb03,
                                     0xc00, 0xc01, 0xc02, 0xc03, 0xda0, 0xf11, 0xf14, 0x7a0, 0x7a5};
    uint32_t n =
        (uint32_t)(below(c, 4) ? known[below(c, sizeof known / sizeof *known)] : below(c, 4096));
    uint32_t op = 1 + (uint32_t)below(c, 7);
    /* The handler's own, and in S mode the page table under our feet. */
    if (op == 4 || n == 0x340 || n == 0x140 || (n == 0x180 && !machine_mode))
        return;
    if (n >= 0x3a0 && n < 0x3f0) /* pmp_step does that */
        return;
    uint32_t *p = code[c->hart];
    uint32_t status = machine_mode ? 0x300 : 0x100, ie = status + 4, tvec = status + 5;
    *p++ = CSR_OF(n) | 10 << 15 | op << 12 | 10 << 7 | 0x73;
    /* Back to calm before any load or store: csrw status, a1; csrw tvec, a2; csrw ie, zero. */
    *p++ = CSR_OF(status) | 11 << 15 | 1 << 12 | 0x73;
    *p++ = CSR_OF(tvec) | 12 << 15 | 1 << 12 | 0x73;
    *p++ = CSR_OF(ie) | 1 << 12 | 0x73;
    *p = RET;
    __asm__ volatile("fence.i" ::: "memory");
    call_code((uint64_t)code[c->hart], odd_value(c), FS_DIRTY | (machine_mode ? MPP : 0),
              (uint64_t)(machine_mode ? trap_m : trap_s));
}

static void write_pmp(unsigned entry, uint64_t v)
{
    switch (entry % 8) {
    case 0: csr_write(pmpaddr1, v); break;
    case 1: csr_write(pmpaddr2, v); break;
    case 2: csr_write(pmpaddr3, v); break;
    case 3: csr_write(pmpaddr7, v); break;
    case 4: csr_write(pmpaddr8, v); break;
    case 5: csr_write(pmpaddr15, v); break;
    case 6: csr_write(pmpcfg2, v); break;
    default: csr_write(pmpcfg0, (v & ~0xfful) | 0x1f);
    }
}

/* The locked bit is left alone: what it closes stays closed until the reset. */
void pmp_step(struct context *c)
{
    if (!machine_mode)
        return;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t v = below(c, 2) ? odd_address(c) >> 2 | below(c, 4096) : odd_value(c);
        unsigned entry = (unsigned)below(c, 8);
        write_pmp(entry, entry >= 6 ? v & 0x7f7f7f7f7f7f7f7ful : v);
    }
    __asm__ volatile("sfence.vma" ::: "memory");
    for (unsigned i = 0; i < 4; i++)
        if (below(c, 2))
            wild_step(c);
}

/* Page tables. */

#define PTE_LEAF 0xcfu /* V R W X, not U, A, D */
#define PTE_USER 0xdfu

static uint64_t odd_entry(struct context *c, uint64_t tables)
{
    uint64_t flags = below(c, 1024);
    switch (below(c, 6)) {
    case 0: return odd_value(c);
    case 1: return (tables + below(c, 8) * 4096) >> 2 | 1; /* one of these tables, also itself */
    case 2: return odd_address(c) >> 12 << 10 | flags;
    case 3: return odd_address(c) >> 21 << 19 | flags | 0xc1;
    default: return (PLAY + below(c, PLAY_SIZE)) >> 12 << 10 | flags | 1;
    }
}

/* Tables of random entries, with our own code and data where they are. The value for satp. */
static uint64_t random_tables(struct context *c)
{
    /* Behind the rings, so that devices seldom write here. */
    uint64_t tables = PLAY + 0x1800000 + (c->hart << 20) + below(c, 16) * 0x8000;
    uint64_t levels = 3 + below(c, 3);
    for (unsigned i = 0; i < 64; i++)
        write_at(tables + below(c, 8 * 512) * 8, odd_entry(c, tables), 3);
    uint64_t at = tables;
    for (uint64_t l = levels; l > 3; l--, at += 4096)
        write_at(at, (at + 4096) >> 2 | 1, 3);
    write_at(at + 2 * 8, RAM_BASE >> 2 | PTE_LEAF, 3);
    return (levels + 5) << 60 | below(c, 4) << 44 | tables >> 12;
}

static uint64_t odd_virtual(struct context *c)
{
    switch (below(c, 4)) {
    case 0: return odd_value(c);
    case 1: return (below(c, 512) << 30 | below(c, 1ul << 30)) & ~7ul;
    case 2: return below(c, 512) << 12 | below(c, 2) * 4094;
    default: return below(c, 8) << 30 | below(c, 4) << 21 | below(c, 4) << 12 | below(c, 4096);
    }
}

static void fence_vma(struct context *c)
{
    uint64_t va = odd_virtual(c), asid = below(c, 4) ? below(c, 4) : odd_value(c);
    switch (below(c, 4)) {
    case 0: __asm__ volatile("sfence.vma" ::: "memory"); break;
    case 1: __asm__ volatile("sfence.vma %0" ::"r"(va) : "memory"); break;
    case 2: __asm__ volatile("sfence.vma x0, %0" ::"r"(asid) : "memory"); break;
    default: __asm__ volatile("sfence.vma %0, %1" ::"r"(va), "r"(asid) : "memory");
    }
}

void paging_step(struct context *c)
{
    if (machine_mode) { /* translation is for those below */
        wild_step(c);
        return;
    }
    uint64_t satp = random_tables(c), tables = (satp & 0xffffffffffful) << 12;
    csr_write(satp, satp);
    if (below(c, 2))
        __asm__ volatile("sfence.vma" ::: "memory");
    for (unsigned i = 0; i < 24; i++) {
        uint64_t va = odd_virtual(c);
        if (va >= RAM_BASE && va < PLAY) /* not over ourselves */
            continue;
        switch (below(c, 12)) {
        case 0: write_at(tables + 24 + below(c, 500) * 8, odd_entry(c, tables), 3); break;
        case 1: fence_vma(c); break;
        case 2: csr_write(sstatus, FS_DIRTY | (below(c, 4) << 18)); break;
        case 3: csr_write(satp, satp ^ below(c, 4) << 44); break;
        case 4:
            if (below(c, 2)) /* what is there is anybody's: let it return at once */
                write_at(va & ~3ul, RET, 2);
            if (read_at(va & ~3ul, 2) == RET)
                call_code(va & ~3ul, 0, 0, 0);
            break;
        case 5:
            __asm__ volatile("amoadd.d x0, %0, (%1)" ::"r"(va), "r"(va & ~7ul) : "memory");
            break;
        case 6:
        case 7: read_at(va, (unsigned)below(c, 4)); break;
        default:
            if (va >> 30 != 2) /* the identity */
                write_at(va, odd_value(c), (unsigned)below(c, 4));
        }
    }
    csr_write(satp, 0);
    if (below(c, 2))
        fence_vma(c);
}

/* Code. */

#define USER_VA   0x40000000ul /* the play area, in U mode */
#define CODE_SIZE 4096u

/* A word that is an instruction, more often than a random one would be. */
static uint32_t odd_instruction(struct context *c)
{
    static const uint8_t opcodes[] = {0x03, 0x07, 0x0f, 0x13, 0x13, 0x17, 0x1b, 0x23, 0x27,
                                      0x2f, 0x2f, 0x33, 0x33, 0x33, 0x37, 0x3b, 0x43, 0x47,
                                      0x53, 0x53, 0x57, 0x63, 0x63, 0x67, 0x6f, 0x73};
    uint32_t w = (uint32_t)rnd(c);
    switch (below(c, 8)) {
    case 0: return w;
    case 1: return (w & ~3u) | (w >> 16 & 1 ? 1 : 2); /* compressed, twice */
    default: break;
    }
    w = (w & ~0x7fu) | opcodes[below(c, sizeof opcodes)];
    if ((w & 0x7f) == 0x33 || (w & 0x7f) == 0x3b) { /* of the known groups of functions */
        static const uint8_t groups[] = {0, 1, 1, 0x20, 0x05, 0x10, 0x30, 0x07, 0x04, 0x24, 0x14};
        w = (w & 0x01ffffffu) | (uint32_t)groups[below(c, sizeof groups)] << 25;
    }
    if ((w & 0x7f) == 0x6f) /* jumps are short */
        w = (w & 0xfffu) | (uint32_t)below(c, 64) << 21;
    return w;
}

static void fill_code(struct context *c, uint64_t at)
{
    unsigned n = 4 + (unsigned)below(c, 60);
    /* The end of a page, or across it, with what other harts put there. */
    uint64_t p = at + (below(c, 3) ? below(c, CODE_SIZE / 2) * 2 : CODE_SIZE - n * 2);
    for (unsigned i = 0; i < n; i++, p += 4)
        for (unsigned half = 0, w = odd_instruction(c); half < 2; half++, w >>= 16)
            write_at(p + half * 2, w, 1); /* it may be at an odd half */
}

void wild_step(struct context *c)
{
    uint64_t regs[32], tables = PLAY + (8ul << 21) + (c->hart << 14);
    uint64_t page = below(c, 16) * CODE_SIZE + (1ul << 20) * (10 + below(c, 2));
    /* The supervisor's own view, and the play area for U, by pages of different sizes. */
    write_at(tables + 8, (tables + 4096) >> 2 | 1, 3);
    write_at(tables + 16, RAM_BASE >> 2 | PTE_LEAF, 3);
    for (unsigned i = 0; i < 16; i++)
        write_at(tables + 4096 + i * 8, (PLAY + (uint64_t)i * 0x200000) >> 2 | PTE_USER, 3);
    write_at(tables + 4096 + 5 * 8, (tables + 8192) >> 2 | 1, 3);
    for (unsigned i = 0; i < 512; i += 1 + (unsigned)below(c, 8))
        write_at(tables + 8192 + i * 8,
                 (PLAY + 5 * 0x200000 + (below(c, 4) ? i : below(c, 512)) * 4096) >> 2 |
                     (below(c, 8) ? PTE_USER : below(c, 256)),
                 3);
    if (below(c, 4))
        fill_code(c, PLAY + page);
    if (below(c, 2))
        __asm__ volatile("fence.i" ::: "memory");
    regs[0] = USER_VA + page + below(c, CODE_SIZE / 2) * 2;
    for (unsigned i = 1; i < 32; i++)
        regs[i] = below(c, 3) ? USER_VA + page + below(c, 2 * CODE_SIZE) : odd_value(c);
    uint64_t deadline;
    __asm__ volatile("rdtime %0" : "=r"(deadline));
    deadline += 2000; /* 200 us */
    if (machine_mode)
        write_at(0x2004000 + 8 * c->hart, deadline, 3);
    else
        sbi(0x54494d45, 0, (const uint64_t[5]){deadline});
    enter_wild(c, regs, 8ul << 60 | below(c, 8) << 44 | tables >> 12);
}
