/* Traps: each wild or forbidden thing raises the right cause, with the right value. */
#include "guest.h"

#define INSN(name, text)                     \
    static void name(uint64_t a)             \
    {                                        \
        __asm__ volatile(text ::: "memory"); \
    }

INSN(zeros, ".half 0")
INSN(unknown, ".word 0xffffffff")
INSN(breakpoint, ".option push\n .option norvc\n ebreak\n .option pop")
INSN(read_mstatus, "csrr a0, mstatus")
INSN(read_mhartid, "csrr a0, mhartid")
INSN(write_time, "csrw time, zero")
INSN(no_such_csr, "csrr a0, 0x5ff")
INSN(mret, "mret")
INSN(sret, "sret")
INSN(wfi, "wfi")
INSN(sfence, "sfence.vma")
INSN(wrs, ".word 0x00d00073\n .word 0x01d00073")
INSN(ecall, "ecall")
INSN(read_sstatus, "csrr a0, sstatus")
INSN(read_time, "rdtime a0\n ecall")
INSN(use_float, "fmv.d.x f0, zero")

static void load(uint64_t a)
{
    *(volatile uint64_t *)a;
}

static void store(uint64_t a)
{
    *(volatile uint64_t *)a = 1;
}

static void jump(uint64_t a)
{
    ((void (*)(void))a)();
}

static void amo(uint64_t a)
{
    __asm__ volatile("amoadd.d x0, x0, (%0)" ::"r"(a) : "memory");
}

static void lr(uint64_t a)
{
    __asm__ volatile("lr.d a5, (%0)" ::"r"(a) : "memory", "a5");
}

static void expect(const char *name, struct caught c, uint64_t cause, uint64_t value)
{
    print("ok - ");
    print(name);
    print(":\n");
    check("  cause", c.cause, cause);
    check("  value", c.value, value);
}

static uint64_t misaligned[3];

int main(void)
{
    expect("16 zero bits", catch_trap(zeros, 0), 2, 0);
    expect("32 one bits", catch_trap(unknown, 0), 2, 0xffffffff);
    struct caught c = catch_trap(breakpoint, 0);
    expect("ebreak", c, 3, c.pc);
    expect("mstatus from S", catch_trap(read_mstatus, 0), 2, 0x30002573);
    expect("mhartid from S", catch_trap(read_mhartid, 0), 2, 0xf1402573);
    expect("a write of time", catch_trap(write_time, 0), 2, 0xc0101073);
    expect("a CSR that there is not", catch_trap(no_such_csr, 0), 2, 0x5ff02573);
    check("wrs.nto and wrs.sto end", catch_trap(wrs, 0).cause, UINT64_MAX);
    expect("mret from S", catch_trap(mret, 0), 2, 0x30200073);
    csr_clear("sstatus", SSTATUS_FS);
    expect("floating point switched off", catch_trap(use_float, 0), 2, 0xf2000053);

    expect("ecall from U", catch_user(ecall, 0), 8, 0);
    expect("sret from U", catch_user(sret, 0), 2, 0x10200073);
    expect("wfi from U", catch_user(wfi, 0), 2, 0x10500073);
    expect("sfence.vma from U", catch_user(sfence, 0), 2, 0x12000073);
    expect("sstatus from U", catch_user(read_sstatus, 0), 2, 0x10002573);
    expect("rdtime from U at first, as after OpenSBI", catch_user(read_time, 0), 8, 0);
    csr_write("scounteren", 0);
    expect("rdtime from U, not allowed", catch_user(read_time, 0), 2, 0xc0102573);
    csr_write("scounteren", 2);
    expect("rdtime from U, allowed", catch_user(read_time, 0), 8, 0);

    static const uint64_t wild[] = {0, 8, 0x1234560, 0x1ffffff8, 0x280000000, 0xfffffffffffffff8};
    for (unsigned i = 0; i < sizeof wild / sizeof *wild; i++) {
        expect("wild load", catch_trap(load, wild[i]), 5, wild[i]);
        expect("wild store", catch_trap(store, wild[i]), 7, wild[i]);
        expect("wild jump", catch_trap(jump, wild[i]), 1, wild[i]);
        expect("wild amo", catch_trap(amo, wild[i]), 7, wild[i]);
        expect("wild lr", catch_trap(lr, wild[i]), 5, wild[i]);
    }
    uint64_t odd = (uint64_t)misaligned + 4;
    expect("misaligned amo", catch_trap(amo, odd), 6, odd);
    expect("misaligned lr", catch_trap(lr, odd), 4, odd);
    *(volatile uint64_t *)odd = 0x1122334455667788;
    check("misaligned load and store", *(volatile uint64_t *)odd, 0x1122334455667788);

    csr_write("satp", (uint64_t)5 << 60 | 1);
    check("satp keeps its value when the mode is unknown", csr_read("satp"), 0);
    csr_write("sepc", 0x80001235);
    check("sepc is even", csr_read("sepc"), 0x80001234);
    csr_write("stvec", csr_read("stvec") | 2);
    check("stvec has no mode 2", csr_read("stvec") & 3, 0);
    finish();
}
