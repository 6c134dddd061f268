/* What a program without an operating system needs of the board: the uart, the power switch, CSRs.
 */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

#define UART     ((volatile uint8_t *)0x10000000)
#define SWITCH   ((volatile uint32_t *)0x100000)
#define MSIP     ((volatile uint32_t *)0x2000000)
#define MTIMECMP ((volatile uint64_t *)0x2004000)
#define MTIME    ((volatile uint64_t *)0x200bff8)

#define csr_read(name)                                                \
    ({                                                                \
        uint64_t value_;                                              \
        __asm__ volatile("csrr %0, " #name : "=r"(value_)::"memory"); \
        value_;                                                       \
    })
#define csr_write(name, value) __asm__ volatile("csrw " #name ", %0" ::"r"(value) : "memory")
#define csr_set(name, bits)    __asm__ volatile("csrs " #name ", %0" ::"r"(bits) : "memory")
#define csr_clear(name, bits)  __asm__ volatile("csrc " #name ", %0" ::"r"(bits) : "memory")

static inline void put(const char *s)
{
    for (; *s; s++) {
        while (!(UART[5] & 0x20))
            ;
        UART[0] = (uint8_t)*s;
    }
}

static inline void put_hex(uint64_t v)
{
    char text[20] = "0x";
    int n = 2;
    for (int shift = 60; shift >= 0; shift -= 4)
        if (v >> shift || !shift)
            text[n++] = "0123456789abcdef"[v >> shift & 15];
    text[n] = 0;
    put(text);
}

static inline void __attribute__((noreturn)) power_off(unsigned status)
{
    *SWITCH = status ? status << 16 | 0x3333 : 0x5555;
    for (;;)
        __asm__ volatile("wfi");
}

#endif
