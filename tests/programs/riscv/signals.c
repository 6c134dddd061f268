/* Signals: faults with exact addresses and registers, an alternate stack, changed contexts, a timer
 * that interrupts a loop, masks, and longjmp out of a handler. */
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

static volatile uintptr_t fault_address, fault_pc, fault_a5;
static volatile int handled, on_alternate;
static char *alternate;
static sigjmp_buf back;

static void skip(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    char here;
    (void)sig;
    fault_address = (uintptr_t)info->si_addr;
    fault_pc = uc->uc_mcontext.__gregs[REG_PC];
    fault_a5 = uc->uc_mcontext.__gregs[15];
    on_alternate = &here >= alternate && &here < alternate + 65536;
    handled++;
    uc->uc_mcontext.__gregs[REG_PC] += 4; /* the instructions below are not compressed */
    uc->uc_mcontext.__gregs[10] = 77;
}

static void jump(int sig)
{
    siglongjmp(back, sig);
}

static void count(int sig)
{
    (void)sig;
    handled++;
}

int main(void)
{
    alternate = malloc(65536);
    stack_t stack = {.ss_sp = alternate, .ss_size = 65536};
    sigaltstack(&stack, NULL);
    struct sigaction sa = {.sa_sigaction = skip, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &sa, NULL);

    char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 3; i++) {
        register uintptr_t a0 __asm__("a0") = (uintptr_t)page;
        register uintptr_t a5 __asm__("a5") = 0x1234 + (uintptr_t)i;
        uintptr_t pc;
        __asm__ volatile(".option push\n.option norvc\n\tla %2, 1f\n\taddi a5, a5, 1\n"
                         "1:\tlw a0, 8(a0)\n\taddi a5, a5, 1\n.option pop"
                         : "+r"(a0), "+r"(a5), "=&r"(pc)
                         :
                         : "memory");
        printf("fault %d: address %s, pc %s, a5 %lx then %lx, a0 %lu, stack %d\n", handled,
               fault_address == (uintptr_t)page + 8 ? "right" : "wrong",
               fault_pc == pc ? "right" : "wrong", (unsigned long)fault_a5, (unsigned long)a5,
               (unsigned long)a0, on_alternate);
    }

    volatile int *volatile nowhere = (volatile int *)8;
    signal(SIGSEGV, jump);
    int how = sigsetjmp(back, 1);
    if (!how)
        *nowhere = 1;
    printf("out of the handler by longjmp: %d\n", how);

    signal(SIGFPE, jump);
    signal(SIGILL, jump);
    signal(SIGTRAP, jump);
    how = sigsetjmp(back, 1);
    if (!how)
        __asm__ volatile(".word 0");
    printf("illegal instruction: %d\n", how);
    how = sigsetjmp(back, 1);
    if (!how)
        __asm__ volatile("ebreak");
    printf("breakpoint: %d\n", how);

    handled = 0;
    signal(SIGALRM, count);
    struct itimerval timer = {.it_interval = {0, 2000}, .it_value = {0, 2000}};
    setitimer(ITIMER_REAL, &timer, NULL);
    volatile uint64_t spin = 0;
    while (handled < 5)
        spin++;
    memset(&timer, 0, sizeof timer);
    setitimer(ITIMER_REAL, &timer, NULL);
    printf("timer interrupts a loop\n");

    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    handled = 0;
    signal(SIGUSR1, count);
    sigprocmask(SIG_BLOCK, &set, &old);
    raise(SIGUSR1);
    printf("blocked: %d\n", handled);
    sigprocmask(SIG_SETMASK, &old, NULL);
    printf("unblocked: %d\n", handled);
    return 0;
}
