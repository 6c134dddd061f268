#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

static volatile sig_atomic_t count, last, value, on_stack, nested, order[8], n_order;
static volatile void *fault_addr;
static volatile int fault_code;
static sigset_t seen_mask;
static char altstack[65536];

static void counter(int s)
{
    count++;
    last = s;
}

static void with_info(int s, siginfo_t *i, void *uc)
{
    (void)uc;
    last = s;
    value = i->si_value.sival_int;
    fault_code = i->si_code;
    char here;
    on_stack = &here >= altstack && &here < altstack + sizeof altstack;
    sigprocmask(SIG_BLOCK, NULL, &seen_mask);
    count++;
}

static void install(int s, void (*f)(int), int flags)
{
    struct sigaction a = {.sa_handler = f, .sa_flags = flags};
    sigaction(s, &a, NULL);
}

static void install_info(int s, void (*f)(int, siginfo_t *, void *), int flags)
{
    struct sigaction a = {.sa_sigaction = f, .sa_flags = flags | SA_SIGINFO};
    sigaction(s, &a, NULL);
}

static sigjmp_buf jump;

static void on_fault(int s, siginfo_t *i, void *uc)
{
    (void)uc;
    last = s;
    fault_addr = i->si_addr;
    fault_code = i->si_code;
    siglongjmp(jump, 1);
}

static void test_basic(void)
{
    install(SIGUSR1, counter, 0);
    for (int i = 0; i < 100; i++)
        raise(SIGUSR1);
    CHECK("raise runs the handler each time", count == 100 && last == SIGUSR1);
    count = 0;
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    raise(SIGUSR1);
    CHECK("a blocked signal waits", count == 0);
    sigset_t pending;
    sigpending(&pending);
    CHECK("sigpending sees it", sigismember(&pending, SIGUSR1));
    sigprocmask(SIG_SETMASK, &old, NULL);
    CHECK("and comes when unblocked", count == 1);
    install(SIGUSR1, SIG_IGN, 0);
    CHECK("an ignored one does nothing", raise(SIGUSR1) == 0 && count == 1);
    install(SIGUSR1, counter, SA_RESETHAND);
    raise(SIGUSR1);
    struct sigaction now;
    sigaction(SIGUSR1, NULL, &now);
    CHECK("SA_RESETHAND", count == 2 && now.sa_handler == SIG_DFL);
}

static void test_info(void)
{
    stack_t st = {.ss_sp = altstack, .ss_size = sizeof altstack}, got;
    sigaltstack(&st, NULL);
    install_info(SIGRTMIN + 1, with_info, SA_ONSTACK);
    union sigval v = {.sival_int = 4711};
    count = 0;
    sigqueue(getpid(), SIGRTMIN + 1, v);
    CHECK("sigqueue's value", count == 1 && value == 4711 && fault_code == SI_QUEUE);
    CHECK("SA_ONSTACK", on_stack);
    CHECK("the signal is blocked in its handler", sigismember(&seen_mask, SIGRTMIN + 1));
    install_info(SIGRTMIN + 1, with_info, SA_NODEFER);
    raise(SIGRTMIN + 1);
    CHECK("SA_NODEFER", !sigismember(&seen_mask, SIGRTMIN + 1) && !on_stack);
    sigaltstack(NULL, &got);
    CHECK("sigaltstack reads back", got.ss_sp == altstack && got.ss_flags == 0);
    sigset_t rt;
    sigemptyset(&rt);
    sigaddset(&rt, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &rt, NULL);
    count = 0;
    for (int i = 0; i < 5; i++)
        sigqueue(getpid(), SIGRTMIN + 1, v);
    sigprocmask(SIG_UNBLOCK, &rt, NULL);
    CHECK("real-time signals queue", count == 5);
}

static void in_order(int s)
{
    order[n_order++] = s;
    if (s == SIGUSR1)
        raise(SIGUSR2);
    order[n_order++] = -s;
}

static void test_nesting(void)
{
    install(SIGUSR1, in_order, 0);
    install(SIGUSR2, in_order, 0);
    n_order = 0;
    raise(SIGUSR1);
    CHECK("handlers nest", n_order == 4 && order[0] == SIGUSR1 && order[1] == SIGUSR2 &&
                               order[2] == -SIGUSR2 && order[3] == -SIGUSR1);
    struct sigaction a = {.sa_handler = in_order};
    sigaddset(&a.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &a, NULL);
    n_order = 0;
    raise(SIGUSR1);
    CHECK("sa_mask holds the other back",
          n_order == 4 && order[1] == -SIGUSR1 && order[2] == SIGUSR2);
}

static void fault(const char *name, volatile char *at, int write, int signo, int code)
{
    last = 0;
    if (!sigsetjmp(jump, 1)) {
        if (write)
            *at = 1;
        else
            (void)*at;
    }
    char what[80];
    snprintf(what, sizeof what, "%s", name);
    CHECK(what, last == signo && fault_addr == at && fault_code == code);
}

static void test_faults(void)
{
    install_info(SIGSEGV, on_fault, 0);
    install_info(SIGBUS, on_fault, 0);
    char *page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(page + 4096, 4096, PROT_NONE);
    fault("SIGSEGV: write to a read-only page", page + 5, 1, SIGSEGV, SEGV_ACCERR);
    fault("SIGSEGV: read of a page without access", page + 4096 + 3, 0, SIGSEGV, SEGV_ACCERR);
    fault("SIGSEGV: write near 0", (char *)8, 1, SIGSEGV, SEGV_MAPERR);
    FILE *f = tmpfile();
    char *file = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(f), 0);
    fault("SIGBUS: beyond the end of a file", file + 17, 0, SIGBUS, BUS_ADRERR);
    last = 0;
    if (!sigsetjmp(jump, 1))
        ((void (*)(void))page)();
    CHECK("SIGSEGV: jump to a page without PROT_EXEC",
          last == SIGSEGV && fault_addr == page && fault_code == SEGV_ACCERR);
    last = 0;
    if (!sigsetjmp(jump, 1))
        ((void (*)(void))(page + 4096))();
    CHECK("SIGSEGV: jump to nothing", last == SIGSEGV && fault_addr == page + 4096);
    last = 0;
    install_info(SIGILL, on_fault, 0);
    if (!sigsetjmp(jump, 1)) {
#if defined(__riscv)
        __asm__ volatile(".half 0, 0"); /* defined to be illegal */
#else
        __asm__ volatile("ud2");
#endif
    }
    CHECK("SIGILL", last == SIGILL);
    CHECK("EFAULT from a system call", write(1, page + 4096, 1) == -1 && errno == EFAULT);
    CHECK("and of one that is emulated",
          syscall(SYS_rt_sigaction, SIGUSR1, page + 4096, NULL, 8) == -1 && errno == EFAULT);
}

/* Deep recursion that the compiler cannot turn into a loop. */
static int __attribute__((noinline)) overflow(volatile char *p)
{
    volatile char big[4096];
    big[0] = *p;
    return overflow(big) + big[0];
}

static void test_overflow(void)
{
    install_info(SIGSEGV, on_fault, SA_ONSTACK);
    char x = 0;
    last = 0;
    if (!sigsetjmp(jump, 1))
        overflow(&x);
    CHECK("stack overflow is handled on the alternate stack", last == SIGSEGV);
}

static int wait_status(void (*f)(void))
{
    pid_t p = fork();
    int status = -1;
    if (p == 0) {
        f();
        _exit(99);
    }
    waitpid(p, &status, 0);
    return status;
}

static void die_segv(void)
{
    install(SIGSEGV, SIG_DFL, 0);
    *(volatile int *)16 = 1;
}

static void die_blocked(void)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    *(volatile int *)16 = 1;
}

static void die_abort(void)
{
    abort();
}

static void die_term(void)
{
    kill(getpid(), SIGTERM);
    pause();
}

static void die_kill(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        ;
}

static void test_status(void)
{
    CHECK("death by SIGSEGV", WTERMSIG(wait_status(die_segv)) == SIGSEGV);
    CHECK("a blocked SIGSEGV kills", WTERMSIG(wait_status(die_blocked)) == SIGSEGV);
    CHECK("death by abort", WTERMSIG(wait_status(die_abort)) == SIGABRT);
    CHECK("death by SIGTERM", WTERMSIG(wait_status(die_term)) == SIGTERM);
    CHECK("death by SIGKILL", WTERMSIG(wait_status(die_kill)) == SIGKILL);
    pid_t p = fork();
    int status;
    if (p == 0)
        for (;;)
            pause();
    kill(p, SIGSTOP);
    waitpid(p, &status, WUNTRACED);
    CHECK("stop", WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    kill(p, SIGCONT);
    waitpid(p, &status, WCONTINUED);
    CHECK("continue", WIFCONTINUED(status));
    kill(p, SIGINT);
    waitpid(p, &status, 0);
    CHECK("and end", WTERMSIG(status) == SIGINT);
}

static void alarm_in(int ms)
{
    struct itimerval t = {.it_value = {ms / 1000, ms % 1000 * 1000}};
    setitimer(ITIMER_REAL, &t, NULL);
}

static void test_restart(void)
{
    int p[2];
    char c;
    pipe(p);
    install(SIGALRM, counter, 0);
    count = 0;
    alarm_in(50);
    CHECK("read ends with EINTR", read(p[0], &c, 1) == -1 && errno == EINTR && count == 1);
    install(SIGALRM, counter, SA_RESTART);
    pid_t child = fork();
    if (child == 0) {
        usleep(200000);
        write(p[1], "z", 1);
        _exit(0);
    }
    count = 0;
    alarm_in(50);
    c = 0;
    CHECK("read is restarted with SA_RESTART", read(p[0], &c, 1) == 1 && c == 'z' && count == 1);
    waitpid(child, NULL, 0);
    alarm_in(50);
    struct pollfd pf = {p[0], POLLIN, 0};
    CHECK("poll is not, even so", poll(&pf, 1, 2000) == -1 && errno == EINTR);
    alarm_in(50);
    struct timespec ts = {2, 0}, rest = {0, 0};
    CHECK("nanosleep tells what is left",
          nanosleep(&ts, &rest) == -1 && errno == EINTR && rest.tv_sec == 1);
    alarm_in(50);
    CHECK("pause", pause() == -1 && errno == EINTR);
    close(p[0]);
    close(p[1]);
}

static void test_suspend(void)
{
    sigset_t block, empty, old;
    sigemptyset(&empty);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, &old);
    install_info(SIGUSR1, with_info, 0);
    count = 0;
    raise(SIGUSR1);
    CHECK("sigsuspend lets a pending one in",
          sigsuspend(&empty) == -1 && errno == EINTR && count == 1);
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    CHECK("and puts the mask back", sigismember(&now, SIGUSR1));
    count = 0;
    raise(SIGUSR1);
    struct timespec ts = {5, 0};
    CHECK("ppoll too", ppoll(NULL, 0, &ts, &empty) == -1 && errno == EINTR && count == 1);
    raise(SIGUSR1);
    CHECK("pselect too",
          pselect(0, NULL, NULL, NULL, &ts, &empty) == -1 && errno == EINTR && count == 2);
    raise(SIGUSR1);
    siginfo_t info;
    CHECK("sigwaitinfo takes one",
          sigwaitinfo(&block, &info) == SIGUSR1 && info.si_pid == getpid() && count == 2);
    struct timespec none = {0, 1000};
    CHECK("sigtimedwait times out", sigtimedwait(&block, NULL, &none) == -1 && errno == EAGAIN);
    int fd = signalfd(-1, &block, 0);
    raise(SIGUSR1);
    struct signalfd_siginfo si;
    CHECK("signalfd", read(fd, &si, sizeof si) == sizeof si && si.ssi_signo == SIGUSR1);
    close(fd);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

/* Signals at a high rate while the program computes and makes calls: nothing may be lost or
 * changed. */
static void test_storm(void)
{
    install(SIGALRM, counter, SA_RESTART);
    count = 0;
    struct itimerval t = {{0, 500}, {0, 500}}, off = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &t, NULL);
    unsigned long sum = 0;
    double d = 1;
    int p[2], bad = 0;
    pipe(p);
    for (int i = 0; count < 200 && i < 100000000; i++) {
        sum += (unsigned long)i;
        d = d * 1.0000001;
        if (i % 256 == 0) {
            char c = (char)(i >> 8), e = 0;
            if (write(p[1], &c, 1) != 1 || read(p[0], &e, 1) != 1 || c != e)
                bad++;
        }
        if (sum != (unsigned long)i * ((unsigned long)i + 1) / 2)
            bad++;
    }
    setitimer(ITIMER_REAL, &off, NULL);
    CHECK("200 timer signals in the middle of work", count >= 200 && !bad && d > 1);
    close(p[0]);
    close(p[1]);
}

static void test_kill_race(void)
{
    /* A child sends while the parent alternates between sigsuspend and work: a lost wake-up hangs.
     */
    install(SIGUSR1, counter, 0);
    sigset_t block, old;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, &old);
    sigset_t open = old;
    sigdelset(&open, SIGUSR1);
    int p[2];
    pipe(p);
    pid_t child = fork();
    if (child == 0) {
        char c;
        for (int i = 0; i < 500; i++) {
            if (read(p[0], &c, 1) != 1)
                _exit(1);
            kill(getppid(), SIGUSR1);
        }
        _exit(0);
    }
    count = 0;
    alarm(60);
    for (int i = 0; i < 500; i++) {
        int before = count;
        write(p[1], "x", 1);
        while (count == before)
            sigsuspend(&open);
    }
    alarm(0);
    int status;
    waitpid(child, &status, 0);
    CHECK("500 signals across processes, none lost", count == 500 && status == 0);
    sigprocmask(SIG_SETMASK, &old, NULL);
}

static void test_timer(void)
{
    timer_t id;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2};
    ev.sigev_value.sival_int = 99;
    install_info(SIGRTMIN + 2, with_info, 0);
    count = 0;
    struct itimerspec t = {.it_value = {0, 20000000}};
    CHECK("timer_create", timer_create(CLOCK_MONOTONIC, &ev, &id) == 0);
    timer_settime(id, 0, &t, NULL);
    while (!count)
        pause();
    CHECK("its signal and value", value == 99 && fault_code == SI_TIMER);
    timer_delete(id);
}

static pthread_t main_thread;

static void *killer(void *arg)
{
    (void)arg;
    usleep(50000);
    pthread_kill(main_thread, SIGUSR2);
    return NULL;
}

static void test_thread_signal(void)
{
    pthread_t t;
    main_thread = pthread_self();
    install(SIGUSR2, counter, 0);
    count = 0;
    pthread_create(&t, NULL, killer, NULL);
    pause();
    pthread_join(t, NULL);
    CHECK("pthread_kill", count == 1 && last == SIGUSR2);
}

/* A loop that goes back by an unconditional jump only, and from there forward to that jump. */
static void test_loop(void)
{
    install(SIGALRM, counter, 0);
    count = 0;
    alarm(1);
#ifdef __riscv
    __asm__ volatile("   mv t2, %0\n"
                     "   j 2f\n"
                     "1: lw t0, 0(t2)\n"
                     "   bnez t0, 3f\n"
                     "   addi t1, t1, 1\n"
                     "   lw t0, 0(t2)\n"
                     "   beqz t0, 2f\n"
                     "   j 3f\n"
                     "2: addi t1, t1, 2\n"
                     "   j 1b\n"
                     "3:\n" ::"r"(&count)
                     : "t0", "t1", "t2", "memory");
#else
    while (!count)
        ;
#endif
    CHECK("a signal ends a loop without a backward branch", count == 1);
}

/* SIGSEGV and SIGBUS that somebody sends, blocked: like any other signal. */
static void test_sent_faults(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS};
    for (int i = 0; i < 2; i++) {
        int s = signals[i];
        sigset_t set, old, pending;
        siginfo_t info = {0};
        struct timespec none = {0};
        sigemptyset(&set);
        sigaddset(&set, s);
        sigprocmask(SIG_BLOCK, &set, &old);
        CHECK("nothing is pending", sigpending(&pending) == 0 && !sigismember(&pending, s));
        kill(getpid(), s);
        CHECK("a sent fault is pending", sigpending(&pending) == 0 && sigismember(&pending, s));
        CHECK("and waited for", sigtimedwait(&set, &info, &none) == s && info.si_code == SI_USER &&
                                    info.si_pid == getpid());
        CHECK("and gone", sigpending(&pending) == 0 && !sigismember(&pending, s) &&
                              sigtimedwait(&set, &info, &none) == -1 && errno == EAGAIN);
        if (fork() == 0) {
            usleep(100000);
            kill(getppid(), s);
            _exit(0);
        }
        CHECK("one that comes while it is waited for", sigwaitinfo(&set, &info) == s);
        wait(NULL);
        sigprocmask(SIG_SETMASK, &old, NULL);
    }
}

int main(void)
{
    test_basic();
    test_info();
    test_nesting();
    test_faults();
    test_overflow();
    test_status();
    test_restart();
    test_suspend();
    test_storm();
    test_kill_race();
    test_timer();
    test_thread_signal();
    test_loop();
    test_sent_faults();
    return check_failed;
}
