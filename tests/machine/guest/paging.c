/* Sv39: rights, accessed and dirty bits, changed entries seen after sfence.vma. */
#include "guest.h"

enum {
    V = 1,
    R = 2,
    W = 4,
    X = 8,
    U = 16,
    G = 32,
    A = 64,
    D = 128
};
#define PAGE     4096u
#define VA       0x40000000u /* its gigabyte is mapped by 4 KiB pages in `leaves` */
#define RAM      0x80000000u
#define INTERNAL (R | W | X | A | D | V)

static uint64_t root[512] __attribute__((aligned(4096)));
static uint64_t middle[512] __attribute__((aligned(4096)));
static volatile uint64_t leaves[512] __attribute__((aligned(4096)));
static volatile uint64_t page[2][512] __attribute__((aligned(4096)));

static uint64_t entry(const volatile void *p, uint64_t flags)
{
    return (uint64_t)p >> 12 << 10 | flags;
}

static void fence(void)
{
    __asm__ volatile("sfence.vma" ::: "memory");
}

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

static void user_load(uint64_t a)
{
    *(volatile uint64_t *)a;
    __asm__ volatile("ecall");
}

static uint64_t read(uint64_t a)
{
    return *(volatile uint64_t *)a;
}

static void set(unsigned n, uint64_t pte)
{
    leaves[n] = pte;
    fence();
}

static void check_caught(const char *name, struct caught c, uint64_t cause, uint64_t value)
{
    check(name, c.cause, cause);
    if (cause != UINT64_MAX && cause != 8)
        check("  its address", c.value, value);
}

static void rights(void)
{
    set(1, entry(page[0], R | A | D | V));
    check_caught("a store to a read-only page", catch_trap(store, VA + PAGE), 15, VA + PAGE);
    check_caught("a jump to it", catch_trap(jump, VA + PAGE), 12, VA + PAGE);
    set(1, entry(page[0], X | A | D | V));
    check_caught("a load from an execute-only page", catch_trap(load, VA + PAGE), 13, VA + PAGE);
    csr_set("sstatus", SSTATUS_MXR);
    check_caught("the same with MXR", catch_trap(load, VA + PAGE), UINT64_MAX, 0);
    csr_clear("sstatus", SSTATUS_MXR);
    check_caught("and without again", catch_trap(load, VA + PAGE), 13, VA + PAGE);
    set(1, entry(page[0], R | W | X | U | A | D | V));
    check_caught("S loads from a user page", catch_trap(load, VA + PAGE), 13, VA + PAGE);
    csr_set("sstatus", SSTATUS_SUM);
    check_caught("the same with SUM", catch_trap(load, VA + PAGE), UINT64_MAX, 0);
    check_caught("S never runs user code", catch_trap(jump, VA + PAGE), 12, VA + PAGE);
    csr_clear("sstatus", SSTATUS_SUM);
    check_caught("and without again", catch_trap(load, VA + PAGE), 13, VA + PAGE);
    set(1, 0);
    check_caught("no entry", catch_trap(load, VA + PAGE + 8), 13, VA + PAGE + 8);
    set(1, entry(page[0], W | A | D | V));
    check_caught("writable but not readable", catch_trap(load, VA + PAGE), 13, VA + PAGE);
    set(1, entry(page[0], INTERNAL) | (uint64_t)1 << 60);
    check_caught("a reserved bit", catch_trap(load, VA + PAGE), 13, VA + PAGE);
    check_caught("not canonical", catch_trap(load, (uint64_t)1 << 39), 13, (uint64_t)1 << 39);
    middle[8] = entry(page[0], INTERNAL);
    fence();
    check_caught("a misaligned superpage", catch_trap(load, VA + 0x1000000), 13, VA + 0x1000000);
    middle[8] = 0;
    set(1, entry((void *)0x10000000000, INTERNAL));
    check_caught("a page outside of RAM", catch_trap(load, VA + PAGE), 5, VA + PAGE);
}

static void accessed_and_dirty(void)
{
    set(2, entry(page[0], R | W | V));
    read(VA + 2 * PAGE);
    check("a load sets A", leaves[2] & (A | D), A);
    store(VA + 2 * PAGE);
    check("a store sets D", leaves[2] & (A | D), A | D);
    set(2, entry(page[0], R | W | V));
    store(VA + 2 * PAGE);
    check("after a fence both are set again", leaves[2] & (A | D), A | D);
}

static void changes(void)
{
    page[0][0] = 0x1111;
    page[1][0] = 0x2222;
    bool good = true;
    for (unsigned i = 0; i < 2000; i++) {
        leaves[3] = entry(page[i & 1], INTERNAL);
        __asm__ volatile("sfence.vma %0" ::"r"(VA + 3 * PAGE) : "memory");
        good &= read(VA + 3 * PAGE) == (i & 1 ? 0x2222 : 0x1111);
    }
    check("a changed entry is seen after sfence.vma", good, true);
    middle[4] = entry((void *)(uint64_t)RAM, INTERNAL);
    fence();
    uint64_t offset = (uint64_t)page[0] - RAM, va = VA + 4 * 0x200000;
    check("a superpage leads to RAM", read(va + (offset & 0x1fffff)),
          read(RAM + (offset & 0x1fffff)));
    middle[4] = 0;
    __asm__ volatile("sfence.vma %0" ::"r"(va) : "memory");
    check_caught("gone after sfence.vma for its first page",
                 catch_trap(load, va + (offset & 0x1fffff)), 13, va + (offset & 0x1fffff));

    /* Misaligned accesses across two pages that do not lie side by side. */
    set(4, entry(page[1], INTERNAL));
    set(5, entry(page[0], INTERNAL));
    uint64_t edge = VA + 5 * PAGE - 3;
    *(volatile uint64_t *)edge = 0x8877665544332211;
    check("a store across pages", page[0][0] & 0xffffffffff, 0x8877665544);
    check("a load across pages", read(edge), 0x8877665544332211);
    set(5, 0);
    check_caught("the second page is missing", catch_trap(store, edge), 15, VA + 5 * PAGE);
}

/* Two pages with a function each, that answers its number. */
static void code_changes(void)
{
    for (unsigned i = 0; i < 2; i++) {
        volatile uint32_t *code = (volatile uint32_t *)page[i];
        code[0] = 0x00000513 | (i + 1) << 20; /* li a0, i + 1 */
        code[1] = 0x00008067;                 /* ret */
    }
    __asm__ volatile("fence.i" ::: "memory");
    uint64_t (*fn)(void) = (uint64_t(*)(void))(uint64_t)(VA + 6 * PAGE);
    bool good = true;
    for (unsigned i = 0; i < 2000; i++) {
        leaves[6] = entry(page[i & 1], INTERNAL);
        if (i & 2)
            __asm__ volatile("sfence.vma %0" ::"r"(VA + 6 * PAGE) : "memory");
        else
            fence();
        good &= fn() == (i & 1) + 1;
    }
    check("changed mappings of code are seen", good, true);
}

static uint64_t asid_satp(unsigned asid, const uint64_t *table)
{
    return (uint64_t)8 << 60 | (uint64_t)asid << 44 | (uint64_t)table >> 12;
}

static void address_spaces(void)
{
    static uint64_t root2[512] __attribute__((aligned(4096)));
    static uint64_t middle2[512] __attribute__((aligned(4096)));
    static uint64_t leaves2[512] __attribute__((aligned(4096)));
    root2[2] = root[2];
    root2[1] = entry(middle2, V);
    middle2[0] = entry(leaves2, V);
    leaves2[7] = entry(page[1], INTERNAL);
    set(7, entry(page[0], INTERNAL));
    page[0][0] = 0xaaaa;
    page[1][0] = 0xbbbb;
    bool good = true;
    for (unsigned i = 0; i < 1000; i++) {
        csr_write("satp", i & 1 ? asid_satp(2, root2) : asid_satp(1, root));
        good &= read(VA + 7 * PAGE) == (i & 1 ? 0xbbbb : 0xaaaa);
    }
    check("two address spaces by ASID", good, true);
    leaves2[7] = entry(page[0], INTERNAL);
    csr_write("satp", asid_satp(1, root));
    __asm__ volatile("sfence.vma zero, %0" ::"r"((uint64_t)2) : "memory");
    csr_write("satp", asid_satp(2, root2));
    check("sfence.vma by ASID", read(VA + 7 * PAGE), 0xaaaa);
    csr_write("satp", asid_satp(0, root));
    fence();
}

/* U mode runs the program through a mapping of its own, a gigabyte higher. */
static void user_mode(void)
{
    root[3] = entry((void *)(uint64_t)RAM, INTERNAL | U);
    set(8, entry(page[0], INTERNAL | U));
    set(9, entry(page[0], INTERNAL));
    void (*fn)(uint64_t) = (void (*)(uint64_t))((uint64_t)user_load + 0x40000000);
    check_caught("U loads from its page", catch_user(fn, VA + 8 * PAGE), 8, 0);
    check_caught("U loads from a page of S", catch_user(fn, VA + 9 * PAGE), 13, VA + 9 * PAGE);
    check_caught("U runs code of S", catch_user(user_load, 0), 12, (uint64_t)user_load);
    check_caught("U loads from its page again", catch_user(fn, VA + 8 * PAGE), 8, 0);
    root[3] = 0;
    fence();
}

int main(void)
{
    root[2] = entry((void *)(uint64_t)RAM, INTERNAL);
    root[1] = entry(middle, V);
    middle[0] = entry(leaves, V);
    csr_write("satp", asid_satp(0, root));
    fence();
    check("satp takes Sv39", csr_read("satp") >> 60, 8);
    rights();
    accessed_and_dirty();
    changes();
    code_changes();
    address_spaces();
    user_mode();
    csr_write("satp", 0);
    finish();
}
