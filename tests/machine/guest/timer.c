/* Time, the timer's interrupt by the SBI and by stimecmp, and waiting for it. */
#include "guest.h"

#define STI 5
#define SSI 1

static volatile unsigned timers, softwares;
static volatile uint64_t last_cause;

static uint64_t now(void)
{
    return csr_read("time");
}

static void interrupt(struct frame *f)
{
    last_cause = f->cause;
    if ((f->cause & 63) == STI) {
        timers++;
        csr_write("0x14d", UINT64_MAX); /* stimecmp */
    } else if ((f->cause & 63) == SSI) {
        softwares++;
        csr_clear("sip", 1u << SSI);
    }
}

int main(uint64_t self, uint64_t dtb)
{
    on_interrupt = interrupt;
    csr_write("sie", 1u << STI | 1u << SSI);
    uint64_t start = now();
    while (now() < start + 1000)
        ;
    check("time goes on", now() > start, true);

    csr_set("sstatus", SSTATUS_SIE);
    start = now();
    sbi(SBI_TIME, 0, start + 20000, 0, 0, 0, 0);
    while (!timers && now() < start + 10000000)
        ;
    check("a timer by the SBI while code runs", timers, 1);
    check("its cause", last_cause, (uint64_t)1 << 63 | STI);
    check("not early", now() >= start + 20000, true);

    /* With interrupts off: else one may come between the look at it and the wait for it. */
    csr_clear("sstatus", SSTATUS_SIE);
    start = now();
    csr_write("0x14d", start + 20000);
    while (timers == 1 && now() < start + 10000000) {
        __asm__ volatile("wfi");
        csr_set("sstatus", SSTATUS_SIE);
        csr_clear("sstatus", SSTATUS_SIE);
    }
    csr_set("sstatus", SSTATUS_SIE);
    check("a timer by stimecmp, waited for", timers, 2);
    check("not early", now() >= start + 20000, true);

    csr_clear("sstatus", SSTATUS_SIE);
    csr_write("0x14d", now() + 1000);
    __asm__ volatile("wfi");
    check("wfi ends with interrupts off", csr_read("sip") >> STI & 1, 1);
    check("and takes none", timers, 2);
    csr_set("sstatus", SSTATUS_SIE);
    check("it comes when they are on", timers, 3);
    check("stimecmp clears it", csr_read("sip") >> STI & 1, 0);

    csr_set("sip", 1u << SSI);
    check("a software interrupt to oneself", softwares, 1);
    sbi(SBI_IPI, 0, 1, self, 0, 0, 0);
    start = now();
    while (softwares == 1 && now() < start + 10000000)
        ;
    check("an IPI to oneself", softwares, 2);

    /* Vectored: the timer's comes in at base + 4 * 5. */
    extern char vector_table[];
    csr_write("stvec", (uint64_t)vector_table | 1);
    csr_write("0x14d", now());
    check("vectored mode", timers, 4);
    finish();
}

__asm__(".balign 64\n.option push\n.option norvc\nvector_table:\n"
        "j .\nj .\nj .\nj .\nj .\nj trap_entry\nj .\n.option pop\n");
