/* What the bare-metal test programs share: the SBI, the console, traps that are expected. */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"

#define csr_read(name)                                           \
    ({                                                           \
        uint64_t v_;                                             \
        __asm__ volatile("csrr %0, " name : "=r"(v_)::"memory"); \
        v_;                                                      \
    })
#define csr_write(name, v) __asm__ volatile("csrw " name ", %0" ::"r"((uint64_t)(v)) : "memory")
#define csr_set(name, v)   __asm__ volatile("csrs " name ", %0" ::"r"((uint64_t)(v)) : "memory")
#define csr_clear(name, v) __asm__ volatile("csrc " name ", %0" ::"r"((uint64_t)(v)) : "memory")

#define SSTATUS_SIE 2u
#define SSTATUS_SPP 0x100u
#define SSTATUS_FS  (3u << 13)
#define SSTATUS_SUM (1u << 18)
#define SSTATUS_MXR (1u << 19)

struct frame {
    uint64_t x[32], pc, status, cause, value;
};

struct sbiret {
    int64_t error;
    uint64_t value;
};

struct sbiret sbi(uint64_t extension, uint64_t function, uint64_t a0, uint64_t a1, uint64_t a2,
                  uint64_t a3, uint64_t a4);
#define SBI_TIME   0x54494d45
#define SBI_IPI    0x735049
#define SBI_RFENCE 0x52464e43
#define SBI_HSM    0x48534d
#define SBI_SRST   0x53525354
#define SBI_DBCN   0x4442434e

void print(const char *s);
void print_hex(uint64_t v);

/* Prints "ok - name" or "not ok - name: got, want" and counts. */
void check(const char *name, uint64_t got, uint64_t want);

/* Powers off; the status says whether a check failed. */
void finish(void) __attribute__((noreturn));

/* What the next trap was: cause UINT64_MAX while none came. An exception inside catch_trap's
 * function makes that return. */
struct caught {
    uint64_t cause, value, pc;
};

struct caught catch_trap(void (*fn)(uint64_t), uint64_t arg);

/* Runs fn(arg) in U mode until it traps. */
struct caught catch_user(void (*fn)(uint64_t), uint64_t arg);

/* Called for interrupts; set by the test. */
extern void (*on_interrupt)(struct frame *f);

extern char start_hart[];

#endif
