/* Code that goes away below a program: cut off with its file, or unmapped, while another thread
 * makes more. */
#include "check.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <ucontext.h>

#define PAGE 4096

typedef int function(void);

#ifdef __riscv
static const uint32_t code[] = {0x02a00513, 0x00008067}; /* li a0, 42; ret */
static void fence_i(void)
{
    __asm__ volatile("fence.i" ::: "memory");
}
#else
static const uint8_t code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov eax, 42; ret */
static void fence_i(void)
{
}
#endif

static sigjmp_buf out;
static volatile int last_signal;

static void on_signal(int signo)
{
    last_signal = signo;
    siglongjmp(out, 1);
}

/* The result of the function at p, or minus the signal that it ends with. */
static int call(const void *p)
{
    return sigsetjmp(out, 1) ? -last_signal : ((function *)(uintptr_t)p)();
}

static int code_file(off_t size)
{
    char name[] = "/tmp/wirt-code-XXXXXX";
    int fd = mkstemp(name);
    unlink(name);
    if (fd < 0 || ftruncate(fd, size) < 0 || pwrite(fd, code, sizeof code, PAGE) != sizeof code)
        exit(1);
    return fd;
}

static void cut_off(void)
{
    int fd = code_file(2 * PAGE);
    char *m = mmap(NULL, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    CHECK("code of a file", call(m + PAGE) == 42);
    CHECK("cut", ftruncate(fd, 0) == 0);
    fence_i();
    __builtin___clear_cache(m, m + 2 * PAGE);
    CHECK("what is cut off is gone", call(m + PAGE) == -SIGBUS);
    CHECK("it comes back",
          ftruncate(fd, 2 * PAGE) == 0 && pwrite(fd, code, sizeof code, PAGE) == sizeof code);
    fence_i();
    CHECK("and runs", call(m + PAGE) == 42);
    munmap(m, 2 * PAGE);
    CHECK("what is not mapped is gone", call(m + PAGE) == -SIGSEGV);
    close(fd);
}

static volatile int stop;

static void *cut_and_mend(void *arg)
{
    int fd = *(int *)arg;
    while (!stop)
        if (ftruncate(fd, 0) < 0 || ftruncate(fd, 2 * PAGE) < 0 ||
            pwrite(fd, code, sizeof code, PAGE) != sizeof code)
            return arg;
    return NULL;
}

/* While its code comes and goes, a program gets the result, or a signal: SIGBUS, or what bytes of
 * zero are. */
static void cut_off_meanwhile(void)
{
    int fd = code_file(2 * PAGE), strange = 0, right = 0;
    char *m = mmap(NULL, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    pthread_t t;
    pthread_create(&t, NULL, cut_and_mend, &fd);
    for (int k = 0; k < 20000; k++) {
        __builtin___clear_cache(m, m + 2 * PAGE);
        fence_i();
        int r = call(m + PAGE);
        right += r == 42;
        strange += r != 42 && r != -SIGBUS && r != -SIGILL && r != -SIGSEGV;
    }
    stop = 1;
    void *failed;
    pthread_join(t, &failed);
    CHECK("code that comes and goes runs or faults", !strange && right && !failed);
    munmap(m, 2 * PAGE);
    close(fd);
}

#ifdef __riscv
static volatile uintptr_t fault_at;

static void on_fault(int signo, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    fault_at = uc->uc_mcontext.__gregs[0];
    uc->uc_mcontext.__gregs[0] += 4;
}

/* An access right behind an operation that is done out of line. */
static void named_exactly(void)
{
    struct sigaction a = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, old;
    sigaction(SIGSEGV, &a, &old);
    register uintptr_t nowhere __asm__("a3") = 0; /* one that the emulator keeps in a register */
    uint32_t word = 5;
    uintptr_t want = 0;
    for (int k = 0; k < 3; k++) {
        fault_at = 0;
        __asm__ volatile("la %0, 1f\n"
                         ".option push\n.option norvc\n"
                         "amominu.w zero, %1, (%2)\n"
                         "1: fld ft11, 48(%3)\n"
                         ".option pop\n"
                         : "=&r"(want)
                         : "r"(3), "r"(&word), "r"(nowhere)
                         : "ft11", "memory");
        if (fault_at != want)
            break;
    }
    CHECK("the fault's instruction is named, not the one before", want && fault_at == want);
    sigaction(SIGSEGV, &old, NULL);
}
#else
static void named_exactly(void)
{
}
#endif

int main(void)
{
    static const int signals[] = {SIGBUS, SIGSEGV, SIGILL};
    for (unsigned k = 0; k < sizeof signals / sizeof *signals; k++)
        signal(signals[k], on_signal);
    named_exactly();
    cut_off();
    cut_off_meanwhile();
    return check_failed;
}
