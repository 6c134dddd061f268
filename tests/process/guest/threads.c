#include "check.h"
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define N 8

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static long counter, turns;
static atomic_long atomic_counter;
static __thread int own;
static int turn;

static void *add(void *arg)
{
    own = (int)(long)arg;
    for (int i = 0; i < 20000; i++) {
        pthread_mutex_lock(&lock);
        counter++;
        pthread_mutex_unlock(&lock);
        atomic_fetch_add(&atomic_counter, 3);
    }
    return (void *)(long)(own * 10);
}

static void *take_turns(void *arg)
{
    int me = (int)(long)arg;
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&lock);
        while (turn != me)
            pthread_cond_wait(&cond, &lock);
        turn = (me + 1) % 2;
        turns++;
        pthread_cond_broadcast(&cond);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void *at_barrier(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++)
        pthread_barrier_wait(&barrier);
    return NULL;
}

static void *nothing(void *arg)
{
    return arg;
}

static void *forever(void *arg)
{
    (void)arg;
    for (;;)
        pause();
}

static void cleanup(void *arg)
{
    *(int *)arg = 1;
}

static int cleaned;

static void *cancelled(void *arg)
{
    pthread_cleanup_push(cleanup, &cleaned);
    for (;;)
        sleep(10);
    pthread_cleanup_pop(0);
    return arg;
}

static void test_mutex(void)
{
    pthread_t t[N];
    long sum = 0;
    for (long i = 0; i < N; i++)
        pthread_create(&t[i], NULL, add, (void *)i);
    for (int i = 0; i < N; i++) {
        void *r;
        pthread_join(t[i], &r);
        sum += (long)r;
    }
    CHECK("mutex", counter == N * 20000);
    CHECK("atomics", atomic_counter == N * 60000);
    CHECK("thread-local storage and results", sum == 280 && own == 0);
}

static void test_condition(void)
{
    pthread_t a, b;
    pthread_create(&a, NULL, take_turns, (void *)0);
    pthread_create(&b, NULL, take_turns, (void *)1);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    CHECK("condition variables", turns == 1000);
    pthread_t t[4];
    pthread_barrier_init(&barrier, NULL, 4);
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, at_barrier, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    CHECK("barriers", 1);
    pthread_mutex_lock(&lock);
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_nsec += 20000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }
    CHECK("timed wait", pthread_cond_timedwait(&cond, &lock, &ts) == ETIMEDOUT);
    pthread_mutex_unlock(&lock);
}

static void test_many(void)
{
    int bad = 0;
    for (long i = 0; i < 500; i++) {
        pthread_t t;
        void *r = NULL;
        if (pthread_create(&t, NULL, nothing, (void *)i) || pthread_join(t, &r) || r != (void *)i)
            bad++;
    }
    CHECK("500 threads, one after the other", !bad);
}

static void test_cancel(void)
{
    pthread_t t;
    void *r = NULL;
    pthread_create(&t, NULL, cancelled, NULL);
    usleep(20000);
    pthread_cancel(t);
    pthread_join(t, &r);
    CHECK("cancellation", r == PTHREAD_CANCELED && cleaned);
}

static pthread_mutex_t *robust;

static void *die_with_lock(void *arg)
{
    pthread_mutex_lock(robust);
    return arg;
}

static void test_robust(void)
{
    robust = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(robust, &a);
    pthread_t t;
    pthread_create(&t, NULL, die_with_lock, NULL);
    pthread_join(t, NULL);
    CHECK("a robust lock of a thread that ended", pthread_mutex_lock(robust) == EOWNERDEAD);
    pthread_mutex_consistent(robust);
    pthread_mutex_unlock(robust);
    if (fork() == 0) {
        pthread_mutex_lock(robust);
        _exit(0);
    }
    wait(NULL);
    CHECK("a robust lock of a process that ended", pthread_mutex_lock(robust) == EOWNERDEAD);
}

static void test_fork(void)
{
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, forever, NULL);
    int bad = 0;
    for (int i = 0; i < 20; i++) {
        pid_t p = fork();
        int status = -1;
        if (p == 0) {
            char *m = malloc(100000);
            memset(m, 1, 100000);
            pthread_t u;
            void *r = NULL;
            pthread_create(&u, NULL, nothing, m);
            pthread_join(u, &r);
            _exit(r == m ? 5 : 6);
        }
        waitpid(p, &status, 0);
        bad += !WIFEXITED(status) || WEXITSTATUS(status) != 5;
    }
    CHECK("fork with other threads, threads in the child", !bad);
    CHECK("the thread's id is not the process's", syscall(SYS_gettid) == getpid());
}

static void *exits(void *arg)
{
    usleep(20000);
    exit((int)(long)arg);
}

static void test_exit(void)
{
    int status;
    if (fork() == 0) {
        pthread_t t;
        pthread_create(&t, NULL, exits, (void *)42);
        for (;;)
            pause();
    }
    wait(&status);
    CHECK("exit from a thread ends the process", WEXITSTATUS(status) == 42);
    if (fork() == 0) {
        pthread_t t;
        pthread_create(&t, NULL, exits, (void *)43);
        pthread_exit(NULL);
    }
    wait(&status);
    CHECK("a process outlives its first thread", WEXITSTATUS(status) == 43);
}

int main(void)
{
    test_mutex();
    test_condition();
    test_many();
    test_cancel();
    test_robust();
    test_fork();
    test_exit();
    return check_failed;
}
