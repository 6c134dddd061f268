/* Spins with interrupts off, for ever: the hypervisor has to be able to end that. */
#include "guest.h"

int main(void)
{
    csr_clear("sstatus", SSTATUS_SIE);
    csr_write("sie", 0);
    print("spinning\n");
    for (;;)
        __asm__ volatile("");
}
