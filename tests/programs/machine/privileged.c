/* The privileged architecture, seen by a program in machine mode without an operating system:
 * modes, traps and their delegation, page tables, physical memory protection, interrupts. Prints
 * what it sees, one line a case, so that two machines can be compared. Chapters: The RISC-V
 * Instruction Set Manual, Volume II. */
#include "board.h"

enum {
    U,
    S,
    M = 3
};

#define MSTATUS_SIE  (1ul << 1)
#define MSTATUS_MIE  (1ul << 3)
#define MSTATUS_MPP  (3ul << 11)
#define MSTATUS_MPRV (1ul << 17)
#define MSTATUS_SUM  (1ul << 18)
#define MSTATUS_MXR  (1ul << 19)
#define MSTATUS_TVM  (1ul << 20)
#define MSTATUS_TW   (1ul << 21)
#define MSTATUS_TSR  (1ul << 22)

/* The last trap: which mode took it, and what that mode's CSRs said. */
struct seen {
    uint64_t taken_in, cause, epc, tval, from;
};
static volatile struct seen seen;
static volatile uint64_t traps;

extern char m_entry[], s_entry[], excursion_return[], stack_top[];
uint64_t enter(unsigned mode, uint64_t (*f)(uint64_t), uint64_t arg);

/* _start, both trap entries and the way into a lower mode. A trap ends the excursion unless the
 * handler answers an address to go on at. Handlers save the caller-saved registers. */
__asm__(".section .text.start\n"
        ".globl _start, m_entry, s_entry, enter, excursion_return\n"
        "_start:\n"
        "  csrr t0, mhartid\n"
        "1: bnez t0, 1b\n"
        "  la sp, stack_top\n"
        "  la t0, bss_start\n"
        "  la t1, bss_end\n"
        "2: bgeu t0, t1, 3f\n"
        "  sd zero, (t0)\n"
        "  addi t0, t0, 8\n"
        "  j 2b\n"
        "3: call main\n"
        ".text\n"
        ".macro save\n"
        "  addi sp, sp, -160\n"
        "  sd ra, 0(sp)\n  sd t0, 8(sp)\n  sd t1, 16(sp)\n  sd t2, 24(sp)\n  sd t3, 32(sp)\n"
        "  sd t4, 40(sp)\n  sd t5, 48(sp)\n  sd t6, 56(sp)\n  sd a0, 64(sp)\n  sd a1, 72(sp)\n"
        "  sd a2, 80(sp)\n  sd a3, 88(sp)\n  sd a4, 96(sp)\n  sd a5, 104(sp)\n  sd a6, 112(sp)\n"
        "  sd a7, 120(sp)\n"
        ".endm\n"
        ".macro restore\n"
        "  ld ra, 0(sp)\n  ld t0, 8(sp)\n  ld t1, 16(sp)\n  ld t2, 24(sp)\n  ld t3, 32(sp)\n"
        "  ld t4, 40(sp)\n  ld t5, 48(sp)\n  ld t6, 56(sp)\n  ld a0, 64(sp)\n  ld a1, 72(sp)\n"
        "  ld a2, 80(sp)\n  ld a3, 88(sp)\n  ld a4, 96(sp)\n  ld a5, 104(sp)\n  ld a6, 112(sp)\n"
        "  ld a7, 120(sp)\n"
        "  addi sp, sp, 160\n"
        ".endm\n"
        ".align 8\n"
        "m_entry:\n"
        "  save\n"
        "  mv a1, a7\n"
        "  call m_trap\n"
        "  csrw mepc, a0\n"
        "  restore\n"
        "  mret\n"
        ".align 8\n"
        "s_entry:\n"
        "  save\n"
        "  call s_trap\n"
        "  csrw sepc, a0\n"
        "  restore\n"
        "  sret\n"
        /* enter(mode, f, arg): runs f(arg) in that mode on the same stack, until it returns (the
         * answer is its result) or traps (the answer is in `seen`). */
        "enter:\n"
        "  addi sp, sp, -112\n"
        "  sd ra, 0(sp)\n  sd s0, 8(sp)\n  sd s1, 16(sp)\n  sd s2, 24(sp)\n  sd s3, 32(sp)\n"
        "  sd s4, 40(sp)\n  sd s5, 48(sp)\n  sd s6, 56(sp)\n  sd s7, 64(sp)\n  sd s8, 72(sp)\n"
        "  sd s9, 80(sp)\n  sd s10, 88(sp)\n  sd s11, 96(sp)\n"
        "  la t0, saved_sp\n"
        "  sd sp, (t0)\n"
        "  li t1, 3 << 11\n"
        "  csrc mstatus, t1\n"
        "  slli a0, a0, 11\n"
        "  csrs mstatus, a0\n"
        "  csrw mepc, a1\n"
        "  mv a0, a2\n"
        "  la ra, back_to_m\n"
        "  mret\n"
        "back_to_m:\n" /* still in the lower mode: only a call to machine mode leads back */
        "  li a7, 4242\n"
        "  ecall\n"
        "  j back_to_m\n"
        "excursion_return:\n"
        "  la t0, saved_sp\n"
        "  ld sp, (t0)\n"
        "  ld ra, 0(sp)\n  ld s0, 8(sp)\n  ld s1, 16(sp)\n  ld s2, 24(sp)\n  ld s3, 32(sp)\n"
        "  ld s4, 40(sp)\n  ld s5, 48(sp)\n  ld s6, 56(sp)\n  ld s7, 64(sp)\n  ld s8, 72(sp)\n"
        "  ld s9, 80(sp)\n  ld s10, 88(sp)\n  ld s11, 96(sp)\n"
        "  addi sp, sp, 112\n"
        "  la t0, excursion_result\n"
        "  ld a0, (t0)\n"
        "  ret\n");

uint64_t saved_sp, excursion_result;
static volatile uint64_t skip; /* nonzero: a trap's handler goes on so many bytes behind it */

/* Called by m_entry with the interrupted code's a0 and a7; answers where to go on, in the mode of
 * mstatus.MPP. */
uint64_t __attribute__((used)) m_trap(uint64_t a0, uint64_t a7)
{
    uint64_t cause = csr_read(mcause), from = csr_read(mstatus) >> 11 & 3;
    traps++;
    if (cause >> 63) {
        seen = (struct seen){M, cause, 0, 0, from};
        if ((cause & 63) == 7)
            *MTIMECMP = ~0ul;
        if ((cause & 63) == 3)
            *MSIP = 0;
        return csr_read(mepc);
    }
    int finished = (cause == 8 || cause == 9) && a7 == 4242;
    if (!finished)
        seen = (struct seen){M, cause, csr_read(mepc), csr_read(mtval), from};
    if (!finished && skip)
        return csr_read(mepc) + skip;
    excursion_result = finished ? a0 : 0xdead;
    csr_set(mstatus, MSTATUS_MPP);
    csr_clear(mstatus, MSTATUS_MPRV);
    return (uint64_t)excursion_return;
}

/* The supervisor's: notes, and goes on behind the instruction (traps into S are ecalls or
 * interrupts here). */
uint64_t __attribute__((used)) s_trap(void)
{
    uint64_t cause = csr_read(scause);
    seen = (struct seen){S, cause, csr_read(sepc), csr_read(stval), csr_read(sstatus) >> 8 & 1};
    if (cause >> 63) {
        csr_clear(sip, 2);
        return csr_read(sepc);
    }
    return csr_read(sepc) + 4;
}

static void title(const char *name)
{
    put(name);
    put(":");
}

static void number(const char *name, uint64_t v)
{
    put(" ");
    put(name);
    put(" ");
    put_hex(v);
}

/* Prints the trap since the last call, or that there was none. tval only where it is an address. */
static void report(const char *name)
{
    title(name);
    if (!seen.cause && !seen.epc) {
        put(" no trap\n");
        return;
    }
    number("cause", seen.cause);
    number("in", seen.taken_in);
    number("from", seen.from);
    uint64_t c = seen.cause;
    if (c == 1 || c == 5 || c == 7 || c == 12 || c == 13 || c == 15)
        number("tval", seen.tval);
    put("\n");
    seen = (struct seen){0};
}

/* ---- what runs in a lower mode ---- */

static uint64_t nothing(uint64_t a)
{
    return a + 1;
}
static uint64_t illegal(uint64_t a)
{
    __asm__ volatile(".word 0");
    return a;
}
static uint64_t breakpoint(uint64_t a)
{
    __asm__ volatile("ebreak");
    return a;
}
static uint64_t call(uint64_t a)
{
    __asm__ volatile(".option push\n.option norvc\nli a7, 1\necall\n.option pop" ::: "a7");
    return a;
}
static uint64_t read_mstatus(uint64_t a)
{
    return a + csr_read(mstatus);
}
static uint64_t read_sstatus(uint64_t a)
{
    return a + (csr_read(sstatus) & 0);
}
static uint64_t write_mhartid(uint64_t a)
{
    csr_write(mhartid, a);
    return 0;
}
static uint64_t do_sret(uint64_t a)
{
    csr_write(sepc, a);
    __asm__ volatile("sret");
    return 0;
}
static uint64_t do_mret(uint64_t a)
{
    __asm__ volatile("mret");
    return a;
}
static uint64_t do_wfi(uint64_t a)
{
    __asm__ volatile("wfi");
    return a;
}
static uint64_t do_sfence(uint64_t a)
{
    __asm__ volatile("sfence.vma");
    return a;
}
static uint64_t read_satp(uint64_t a)
{
    return a + (csr_read(satp) & 0);
}
static uint64_t read_cycle(uint64_t a)
{
    return a + (csr_read(cycle) & 0);
}
static uint64_t read_time(uint64_t a)
{
    return a + (csr_read(time) & 0);
}
static uint64_t float_add(uint64_t a)
{
    __asm__ volatile("fadd.d f0, f0, f0");
    return a;
}
static uint64_t load(uint64_t a)
{
    uint64_t r;
    __asm__ volatile("ld %0, (%1)" : "=r"(r) : "r"(a) : "memory");
    return r;
}
static uint64_t store(uint64_t a)
{
    __asm__ volatile("sd %0, (%0)" ::"r"(a) : "memory");
    return 0;
}
static uint64_t jump(uint64_t a)
{
    return ((uint64_t(*)(uint64_t))a)(7);
}
static uint64_t load_conditional(uint64_t a)
{
    uint64_t r;
    __asm__ volatile("lr.d %0, (%1)" : "=r"(r) : "r"(a) : "memory");
    return r;
}
static uint64_t amo(uint64_t a)
{
    uint64_t r;
    __asm__ volatile("amoadd.d %0, %1, (%1)" : "=&r"(r) : "r"(a) : "memory");
    return r;
}

/* ---- the cases ---- */

static void modes(void)
{
    static const struct {
        const char *name;
        uint64_t (*f)(uint64_t);
    } cases[] = {{"returns", nothing},
                 {"illegal instruction", illegal},
                 {"breakpoint", breakpoint},
                 {"ecall", call},
                 {"csrr mstatus", read_mstatus},
                 {"csrr sstatus", read_sstatus},
                 {"csrw mhartid", write_mhartid},
                 {"mret", do_mret},
                 {"sfence.vma", do_sfence},
                 {"csrr satp", read_satp},
                 {"csrr cycle", read_cycle},
                 {"csrr time", read_time},
                 {"fadd.d", float_add}};
    for (int mode = S; mode >= U; mode--)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            put(mode == S ? "S " : "U ");
            uint64_t r = enter((unsigned)mode, cases[i].f, 41);
            report(cases[i].name);
            number("  result", r);
            put("\n");
        }
    csr_set(mcounteren, 7);
    csr_set(scounteren, 7);
    enter(U, read_cycle, 0);
    report("U csrr cycle, allowed");
    csr_clear(scounteren, 7);
    enter(U, read_cycle, 0);
    report("U csrr cycle, allowed by M but not by S");
    csr_set(mstatus, 1ul << 13);
    enter(U, float_add, 0);
    report("U fadd.d with FS on");
    title("FS after it");
    number("", csr_read(mstatus) >> 13 & 3);
    put("\n");
    csr_set(mstatus, MSTATUS_TVM | MSTATUS_TW | MSTATUS_TSR);
    enter(S, read_satp, 0);
    report("S csrr satp with TVM");
    enter(S, do_sfence, 0);
    report("S sfence.vma with TVM");
    enter(S, do_wfi, 0);
    report("S wfi with TW");
    enter(S, do_sret, 0);
    report("S sret with TSR");
    csr_clear(mstatus, MSTATUS_TVM | MSTATUS_TW | MSTATUS_TSR);
}

static void delegation(void)
{
    csr_write(medeleg, 1ul << 2);
    csr_write(stvec, (uint64_t)s_entry);
    uint64_t r = enter(U, illegal, 99);
    report("U illegal instruction, delegated");
    number("goes on", r == 99);
    put("\n");
    enter(S, illegal, 0);
    report("S illegal instruction, delegated");
    csr_write(medeleg, 0);

    csr_write(mideleg, 2);
    title("mideleg keeps SSI");
    number("", csr_read(mideleg) & 2);
    put("\n");
    csr_set(mie, 2);
    csr_set(mip, 2);
    csr_clear(mstatus, MSTATUS_SIE);
    enter(S, nothing, 0);
    report("S with SSI pending, masked");
    csr_set(mstatus, MSTATUS_SIE);
    enter(S, nothing, 0);
    report("S with SSI pending");
    csr_set(mip, 2);
    csr_clear(mstatus, MSTATUS_SIE);
    enter(U, nothing, 0);
    report("U with SSI pending, SIE off");
    csr_write(mideleg, 0);
    csr_clear(mie, 2);
}

static void interrupts(void)
{
    csr_set(mie, 1ul << 7 | 1ul << 3);
    *MTIMECMP = *MTIME + 20000;
    uint64_t before = traps;
    csr_set(mstatus, MSTATUS_MIE);
    while (traps == before)
        ;
    report("timer interrupt in a loop");
    before = traps;
    *MTIMECMP = *MTIME + 20000;
    while (traps == before)
        __asm__ volatile("wfi");
    report("timer interrupt in wfi");
    *MSIP = 1;
    for (volatile int i = 0; i < 1000; i++)
        ;
    report("software interrupt");
    csr_clear(mstatus, MSTATUS_MIE);
    *MSIP = 1;
    title("pending while masked");
    for (volatile int i = 0; i < 1000; i++)
        ;
    number("", csr_read(mip) & 8);
    put("\n");
    *MSIP = 0;
    /* Interrupts for M are taken in lower modes whatever mstatus.MIE says. */
    *MTIMECMP = 0;
    enter(U, nothing, 0);
    report("U with the timer due");
    csr_clear(mie, 1ul << 7 | 1ul << 3);

    csr_write(mtvec, (uint64_t)m_entry | 1);
    title("vectored mtvec is kept");
    number("", csr_read(mtvec) & 1);
    put("\n");
    csr_write(mtvec, (uint64_t)m_entry);
}

static uint64_t table[6][512] __attribute__((aligned(4096)));
static uint64_t page_a[512] __attribute__((aligned(4096)));
static uint64_t page_b[512] __attribute__((aligned(4096)));

enum {
    V = 1,
    R = 2,
    W = 4,
    X = 8,
    USER = 16,
    A = 64,
    D = 128
};

static uint64_t pte(const void *at, unsigned flags)
{
    return (uint64_t)at >> 12 << 10 | flags;
}

#define VA 0x4000000000ul - 0x1000 /* the last page of the lower half, Sv39 */

static void map(uint64_t entry)
{
    table[2][511] = entry;
    __asm__ volatile("sfence.vma" ::: "memory");
}

static void paging(void)
{
    /* Sv39: RAM and devices by identity with gigabyte leaves, one page of our own far away. */
    table[0][0] = pte((void *)0, V | R | W | A | D);
    table[0][2] = pte((void *)0x80000000, V | R | W | X | A | D);
    table[0][255] = pte(table[1], V);
    table[1][511] = pte(table[2], V);
    page_a[0] = 0xaaaa;
    page_b[0] = 0xbbbb;
    csr_write(satp, 8ul << 60 | (uint64_t)table[0] >> 12);

    map(pte(page_a, V | R | W | A | D));
    number("S load", enter(S, load, VA));
    report("");
    map(pte(page_b, V | R | W | A | D));
    number("S load after the entry changed", enter(S, load, VA));
    report("");
    map(pte(page_b, V | R | A | D));
    enter(S, store, VA);
    report("S store to a read-only page");
    enter(S, amo, VA);
    report("S amo to a read-only page");
    enter(S, jump, VA);
    report("S jump to a page without X");
    enter(U, load, VA);
    report("U fetch from a supervisor's page");
    /* The same code once more, for U, a gigabyte higher. */
    table[0][3] = pte((void *)0x80000000, V | R | X | USER | A | D);
    __asm__ volatile("sfence.vma");
    enter(U, (uint64_t(*)(uint64_t))((uint64_t)load + 0x40000000), VA);
    report("U load from a supervisor's page");
    enter(S, (uint64_t(*)(uint64_t))((uint64_t)load + 0x40000000), VA);
    report("S fetch from a user's page");
    map(0);
    enter(S, load, VA + 8);
    report("S load, no page");
    enter(S, load_conditional, VA + 16);
    report("S lr, no page");
    enter(S, store, VA + 24);
    report("S store, no page");
    enter(S, jump, VA);
    report("S jump, no page");
    map(pte(page_a, V | W | A | D));
    enter(S, load, VA);
    report("S load, reserved W without R");
    map(pte(page_a, V | R | W | A | D) | 1ul << 54);
    enter(S, load, VA);
    report("S load, reserved bit 54");
    map(pte(page_a, V | R | W | USER | A | D));
    enter(S, load, VA);
    report("S load from a user's page");
    csr_set(mstatus, MSTATUS_SUM);
    number("S load with SUM", enter(S, load, VA));
    report("");
    csr_clear(mstatus, MSTATUS_SUM);
    map(pte(page_a, V | X | A | D));
    enter(S, load, VA);
    report("S load from an execute-only page");
    csr_set(mstatus, MSTATUS_MXR);
    number("S load with MXR", enter(S, load, VA));
    report("");
    csr_clear(mstatus, MSTATUS_MXR);
    enter(S, load, 0x4000000000);
    report("S load, address not canonical");
    enter(S, load, 0xffffffffffffff00);
    report("S load, highest page");

    /* Two pages side by side: an access over their border. */
    table[2][510] = pte(page_a, V | R | W | A | D);
    map(pte(page_b, V | R | W | A | D));
    page_a[511] = 0x1122334455667788;
    number("S load over two pages", enter(S, load, VA - 4));
    report("");
    map(0);
    enter(S, load, VA - 4);
    report("S load, second page missing");

    /* A superpage whose physical address is not aligned. */
    table[0][3] = pte((void *)0x80001000, V | R | W | A | D);
    __asm__ volatile("sfence.vma");
    enter(S, load, 0xc0000000);
    report("S load, misaligned superpage");

    /* MPRV: machine mode's loads go through S's tables. */
    map(pte(page_b, V | R | W | A | D));
    csr_clear(mstatus, MSTATUS_MPP);
    csr_set(mstatus, MSTATUS_MPRV | 1ul << 11);
    uint64_t through = load(VA);
    csr_clear(mstatus, MSTATUS_MPRV);
    number("M load with MPRV", through);
    put("\n");
    csr_write(satp, 0);
    __asm__ volatile("sfence.vma");
}

/* Physical memory protection: page_a without rights, the rest with all. */
static void protection(void)
{
    uint64_t napot_a = ((uint64_t)page_a | 0x7ff) >> 2;
    csr_write(pmpcfg0, 0);
    csr_write(pmpaddr0, napot_a);
    csr_write(pmpaddr1, ~0ul >> 10);
    csr_write(pmpcfg0, 0x1f18); /* entry 1: NAPOT RWX; entry 0: NAPOT, nothing */
    __asm__ volatile("sfence.vma");
    enter(S, load, (uint64_t)page_a);
    report("S load, no right");
    enter(U, store, (uint64_t)page_a + 8);
    report("U store, no right");
    enter(S, jump, (uint64_t)page_a);
    report("S jump, no right");
    title("M load");
    number("", load((uint64_t)page_a));
    put("\n");
    enter(U, load, (uint64_t)page_b);
    report("U load beside it");
    csr_write(pmpcfg0, 0x1f98); /* entry 0 locked: it binds M as well */
    __asm__ volatile("sfence.vma");
    skip = 4;
    __asm__ volatile(".option push\n.option norvc\nld t0, (%0)\n.option pop" ::"r"(page_a) : "t0");
    report("M load, locked");
    skip = 0;
    csr_write(pmpaddr0, 0);
    title("locked entry stays");
    number("", csr_read(pmpaddr0) == napot_a);
    put("\n");
}

int main(void)
{
    csr_write(mtvec, (uint64_t)m_entry);
    csr_write(medeleg, 0);
    csr_write(mideleg, 0);
    csr_write(mie, 0);
    *MTIMECMP = ~0ul;
    csr_write(mcounteren, 0);
    /* All memory for S and U. */
    csr_write(pmpaddr0, ~0ul >> 10);
    csr_write(pmpcfg0, 0x1f);
    put("privileged architecture\n");
    modes();
    delegation();
    interrupts();
    paging();
    protection();
    enter(S, load, 0x1800000);
    report("S load where nothing is");
    put("end\n");
    power_off(0);
}
