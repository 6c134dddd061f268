/* A guest that will not give the processor back: interrupts off, an endless loop. */
#include "board.h"

__asm__(".section .text.start\n"
        ".globl _start\n"
        "_start:\n"
        "  la sp, stack_top\n"
        "  call main\n");

int main(void)
{
    csr_clear(mstatus, 8ul);
    csr_write(mie, 0);
    put("spinning\n");
    for (volatile uint64_t i = 0;; i++)
        ;
}
