/* The hostile guest: each hart does random steps until somebody stops the machine. The seed comes
 * by the kernel's command line (seed=NUMBER), or from the clock; every second hart 0 writes how
 * many steps were done. */
#include "hostile.h"

bool machine_mode;
static volatile uint64_t seed, ready;
static struct context *volatile harts[MAX_HARTS];

uint64_t rnd(struct context *c)
{
    uint64_t x = c->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    c->random = x;
    return x * 0x2545f4914f6cdd1dul >> 8;
}

uint64_t odd_value(struct context *c)
{
    switch (below(c, 8)) {
    case 0: return 0;
    case 1: return ~0ul;
    case 2: return 1ul << below(c, 64);
    case 3: return below(c, 256);
    case 4: return below(c, 65536);
    case 5: return PLAY + below(c, PLAY_SIZE);
    default: return rnd(c) << 8 ^ rnd(c);
    }
}

uint64_t odd_address(struct context *c)
{
    switch (below(c, 16)) {
    case 0: return RAM_END - below(c, 4096);
    case 1: return rnd(c) << 8;
    case 2: return RAM_END + below(c, 0x100000);
    case 3: return ~0ul - below(c, 4096);
    case 4: return below(c, RAM_BASE);
    default: return PLAY + below(c, PLAY_SIZE - 0x100000);
    }
}

void write_at(uint64_t a, uint64_t v, unsigned size)
{
    switch (size) {
    case 0: __asm__ volatile("sb %0, 0(%1)" ::"r"(v), "r"(a) : "memory"); break;
    case 1: __asm__ volatile("sh %0, 0(%1)" ::"r"(v), "r"(a) : "memory"); break;
    case 2: __asm__ volatile("sw %0, 0(%1)" ::"r"(v), "r"(a) : "memory"); break;
    default: __asm__ volatile("sd %0, 0(%1)" ::"r"(v), "r"(a) : "memory");
    }
}

uint64_t read_at(uint64_t a, unsigned size)
{
    uint64_t v = 0;
    switch (size) {
    case 0: __asm__ volatile("lbu %0, 0(%1)" : "+r"(v) : "r"(a) : "memory"); break;
    case 1: __asm__ volatile("lhu %0, 0(%1)" : "+r"(v) : "r"(a) : "memory"); break;
    case 2: __asm__ volatile("lwu %0, 0(%1)" : "+r"(v) : "r"(a) : "memory"); break;
    default: __asm__ volatile("ld %0, 0(%1)" : "+r"(v) : "r"(a) : "memory");
    }
    return v;
}

#define UART 0x10000000ul

static void put(char c)
{
    write_at(UART + 3, 3, 0); /* whatever was done to it: no divisor latch */
    write_at(UART, (uint64_t)c, 0);
}

static void put_number(uint64_t v)
{
    put('<');
    for (int i = 60; i >= 0; i -= 4)
        put("0123456789abcdef"[v >> i & 15]);
    put('>');
    put('\n');
}

/* The digits behind "seed=" in the device tree's first bytes; 0: it has none. */
static uint64_t find_seed(const char *dtb)
{
    uint64_t v = 0;
    for (const char *p = dtb; p < dtb + 16384; p++)
        if (p[0] == 's' && p[1] == 'e' && p[2] == 'e' && p[3] == 'd' && p[4] == '=') {
            for (p += 5; *p >= '0' && *p <= '9'; p++)
                v = v * 10 + (uint64_t)(*p - '0');
            return v;
        }
    return 0;
}

static uint64_t now(void)
{
    uint64_t t;
    __asm__ volatile("rdtime %0" : "=r"(t));
    return t;
}

static void step(struct context *c)
{
    switch (below(c, 24)) {
    case 0:
    case 1: mmio_step(c); break;
    case 2: config_step(c); break;
    case 3:
    case 4: sbi_step(c); break;
    case 5:
    case 6: csr_step(c); break;
    case 7:
    case 8: paging_step(c); break;
    case 9: pmp_step(c); break;
    case 10:
    case 11:
    case 12:
    case 13:
    case 14: wild_step(c); break;
    default: device_step(c);
    }
    calm();
    c->steps++;
}

static void start_others(void)
{
    for (uint64_t i = 1; i < MAX_HARTS; i++) {
        const uint64_t arg[5] = {i, (uint64_t)hart_entry};
        sbi(0x48534d, 0, arg);
    }
}

void hostile_main(uint64_t hart, const char *dtb, uint64_t mode, struct context *c)
{
    machine_mode = mode;
    calm();
    c->hart = hart;
    if (hart == 0) {
        seed = find_seed(dtb);
        if (!seed)
            seed = now();
        pci_probe();
        __atomic_store_n(&ready, 1, __ATOMIC_RELEASE);
        if (!mode)
            start_others();
    }
    while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE))
        ;
    c->random = (seed * 0x9e3779b97f4a7c15ul ^ (hart + 1) * 0xd1342543de82ef95ul) | 1;
    harts[hart] = c;
    for (uint64_t next = 0;;) {
        step(c);
        if (hart == 0 && now() >= next) {
            uint64_t n = 0;
            for (unsigned i = 0; i < MAX_HARTS; i++)
                n += harts[i] ? harts[i]->steps : 0;
            put_number(n);
            next = now() + 5000000;
        }
    }
}
