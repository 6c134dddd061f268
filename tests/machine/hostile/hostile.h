/* A guest that does everything wrong, on purpose: what its parts share. Its memory is the play area
 * alone, so that what devices and wild code write does not end it before its time. */
#ifndef HOSTILE_H
#define HOSTILE_H

/* struct context, for start.S */
#define CTX_SIZE   256
#define CTX_WILD   32
#define CTX_TRAPS  40
#define CTX_SAVED  48
#define STACK_SIZE 65536

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stdint.h>

#define RAM_BASE  0x80000000ul
#define PLAY      0x81000000ul
#define PLAY_SIZE 0x2000000ul
#define RAM_END   0x84000000ul
#define MAX_HARTS 4

/* A hart's: what the trap handler keeps, and its random numbers. */
struct context {
    uint64_t t[4];      /* t0, t1, t2, t6 */
    uint64_t wild;      /* a trap ends the code that runs */
    uint64_t traps;     /* so far */
    uint64_t saved[16]; /* of enter_wild's caller */
    uint64_t hart, random, steps;
};

extern bool machine_mode; /* firmware: in M mode, else in S mode */

uint64_t rnd(struct context *c);
static inline uint64_t below(struct context *c, uint64_t n)
{
    return rnd(c) % n;
}

uint64_t odd_value(struct context *c);   /* with a taste for limits */
uint64_t odd_address(struct context *c); /* guest physical: mostly in the play area */

/* Accesses of 1 << size bytes; one that faults is skipped. */
void write_at(uint64_t address, uint64_t v, unsigned size);
uint64_t read_at(uint64_t address, unsigned size);

/* start.S */
extern char hart_entry[];
/* Calls code with a0 = x, a1 = y, a2 = z; a fault in a fetch returns. */
uint64_t call_code(uint64_t code, uint64_t x, uint64_t y, uint64_t z);
/* Runs code at regs[0] in U mode with these registers, until the first trap. */
void enter_wild(struct context *c, const uint64_t regs[32], uint64_t satp);

/* Steps. */
void pci_probe(void);
void device_step(struct context *c);
void mmio_step(struct context *c);
void config_step(struct context *c);
void sbi_step(struct context *c);
void csr_step(struct context *c);
void paging_step(struct context *c);
void wild_step(struct context *c);
void pmp_step(struct context *c);

uint64_t sbi(uint64_t extension, uint64_t function, const uint64_t arg[5]);
void calm(void); /* the CSRs are as they were at the start */

#define csr_write(name, v) __asm__ volatile("csrw " #name ", %0" ::"r"((uint64_t)(v)) : "memory")
#define csr_read(name)                                            \
    ({                                                            \
        uint64_t v_;                                              \
        __asm__ volatile("csrr %0, " #name : "=r"(v_)::"memory"); \
        v_;                                                       \
    })
#endif
#endif
