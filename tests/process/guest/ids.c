/* libc's own signals, 32 and 33, are the guest's libc's: ids that change in all threads, threads
 * that are cancelled. As root, ids really change; else they are set to what they are. */
#include "check.h"
#include <grp.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define N 4

static pthread_barrier_t barrier;
static sem_t running;
static atomic_int wrong;
static uid_t wanted;

static void *wait_and_look(void *arg)
{
    pthread_barrier_wait(&barrier); /* it runs */
    pthread_barrier_wait(&barrier); /* the ids have changed */
    uid_t r, e, s;
    syscall(SYS_getresuid, &r, &e, &s); /* this thread's: libc keeps nothing */
    if (r != wanted || e != wanted || s != wanted)
        wrong++;
    return arg;
}

static void test_ids(void)
{
    int root = geteuid() == 0;
    pthread_t t[N];
    gid_t group = getgid();
    pthread_barrier_init(&barrier, NULL, N + 1);
    for (int i = 0; i < N; i++)
        pthread_create(&t[i], NULL, wait_and_look, NULL);
    pthread_barrier_wait(&barrier);
    CHECK("setresgid with threads", !setresgid(group, group, group));
    CHECK("setgroups", !root || !setgroups(1, &group));
    wanted = root ? 1000 : getuid();
    CHECK("setresuid", !setresuid(wanted, wanted, root ? 0 : wanted));
    if (root) /* the saved id leads back, and away again */
        CHECK("setresuid again", !setresuid(0, 0, 0) && !setresuid(1000, 1000, 1000));
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < N; i++)
        pthread_join(t[i], NULL);
    CHECK("in every thread", !wrong);
}

static void *forever(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static void *spin(void *arg)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    sem_post(&running);
    for (volatile int i = 0;; i++)
        ;
    return arg;
}

static void test_cancel(void)
{
    void *r;
    int bad = 0;
    sem_init(&running, 0, 0);
    for (int i = 0; i < 20; i++) {
        pthread_t t;
        pthread_create(&t, NULL, i & 1 ? spin : forever, NULL);
        if (i & 1)
            sem_wait(&running);
        bad += pthread_cancel(t) || pthread_join(t, &r) || r != PTHREAD_CANCELED;
    }
    CHECK("pthread_cancel of threads that wait and that run", !bad);
}

static volatile sig_atomic_t came, value;

static void on_any(int signo, siginfo_t *info, void *context)
{
    (void)context;
    came = signo;
    value = info->si_value.sival_int;
}

static void *nothing(void *arg)
{
    return arg;
}

/* A program without libc's help: the raw numbers, with a thread made after the action was set. */
static void test_raw(void)
{
    struct {
        void *handler;
        unsigned long flags, restorer, mask[2];
    } a = {(void *)on_any, SA_SIGINFO};
    int bad = 0;
#ifndef __riscv
    return; /* there the kernel wants a restorer, which libc hides */
#endif
    for (int signo = 32; signo <= 64; signo++) {
        pthread_t t;
        if (signo == 33) /* what the thread below is made with: tried above */
            continue;
        syscall(SYS_rt_sigaction, signo, &a, NULL, 8);
        pthread_create(&t, NULL, nothing, NULL);
        pthread_join(t, NULL);
        uint64_t set = 1ull << (signo - 1);
        syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &set, NULL, 8);
        siginfo_t info = {.si_code = SI_QUEUE};
        info.si_value.sival_int = signo * 3;
        came = 0;
        syscall(SYS_rt_sigqueueinfo, getpid(), signo, &info);
        bad += came != signo || value != signo * 3;
    }
    CHECK("every number of the realtime range arrives", !bad);
}

int main(void)
{
    pid_t p = fork();
    if (p == 0) {
        test_raw(); /* first: here the emulator makes its first thread */
        fflush(stdout);
        _exit(check_failed);
    }
    int s;
    waitpid(p, &s, 0);
    CHECK("a child's signals", s == 0);
    test_cancel();
    test_ids();
    return check_failed;
}
