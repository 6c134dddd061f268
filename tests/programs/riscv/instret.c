/* Counts what instret says of code whose instructions are known: straight, loops, calls, memory,
 * faults that a handler repairs. A line each: "NAME counted expected"; as often as the first
 * argument says. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>

#define READ(to) "rdinstret " to "\n"

/* Instructions between two looks, the second look among them. */
#define COUNT(body, ...)                                            \
    ({                                                              \
        uint64_t before_, after_;                                   \
        __asm__ volatile(".option push\n.option norvc\n" READ("%0") \
                             body READ("%1") ".option pop\n"        \
                         : "=&r"(before_), "=&r"(after_)            \
                         : __VA_ARGS__                              \
                         : "t0", "t1", "t2", "ra", "memory");       \
        after_ - before_ - 1;                                       \
    })

static char *page;

static void repair(int signo)
{
    (void)signo;
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

static void show(const char *name, uint64_t counted, uint64_t expected)
{
    if (counted != expected)
        printf("%s counted %lu expected %lu\n", name, counted, expected);
}

int main(int argc, char **argv)
{
    long value[2] = {1, 2};
    int rounds = argc > 1 ? atoi(argv[1]) : 3;
    page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    signal(SIGSEGV, repair);
    for (int i = 0; i < rounds; i++) {
        show("nothing", COUNT("", "r"(value)), 0);
        show("straight",
             COUNT("li t0, 1\n addi t0, t0, 1\n mul t1, t0, t0\n div t1, t1, t0\n", "r"(value)), 4);
        show("memory",
             COUNT("ld t0, 0(%2)\n addi t0, t0, 1\n sd t0, 8(%2)\n fence\n amoadd.d t1, t0, (%2)\n",
                   "r"(value)),
             5);
        show("loop", COUNT("li t0, 1000\n 1: addi t0, t0, -1\n bnez t0, 1b\n", "r"(value)), 2001);
        show("long loop",
             COUNT("li t0, 3000000\n 1: addi t0, t0, -1\n xor t1, t1, t0\n bnez t0, 1b\n",
                   "r"(value)),
             2 + 3 * 3000000);
        show("forward and back",
             COUNT("li t0, 500\n 1: addi t0, t0, -1\n beqz t0, 2f\n j 1b\n 2: nop\n", "r"(value)),
             1 + 3 * 500 - 1 + 1);
        show("calls",
             COUNT("li t0, 300\n 1: jal ra, 2f\n addi t0, t0, -1\n bnez t0, 1b\n j 3f\n 2: nop\n "
                   "ret\n 3: nop\n",
                   "r"(value)),
             1 + 300 * 5 + 2);
        show("system call",
             COUNT("mv t0, a0\n mv t1, a7\n li a7, 172\n ecall\n mv a0, t0\n mv a7, t1\n",
                   "r"(value)),
             5);
    }
    for (int i = 0; i < rounds; i++) {
        mprotect(page, 4096, PROT_NONE);
        uint64_t first = COUNT("ld t0, 0(%2)\n", "r"(page)),
                 again = COUNT("ld t0, 0(%2)\n", "r"(page));
        if (first <= again) /* the handler's are among them */
            printf("a fault counted %lu, none %lu\n", first, again);
        show("a load", again, 1);
    }
    puts("end");
    return 0;
}
