/* Threads: mutexes, conditions, atomics, thread-local storage, cancellation of nothing lost. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

#define THREADS 4
#define ROUNDS  20000

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned long guarded, turn;
static atomic_ulong counter, exchanged;
static atomic_uint narrow;
static _Thread_local unsigned long own;

static void *work(void *arg)
{
    uintptr_t id = (uintptr_t)arg;
    for (int i = 0; i < ROUNDS; i++) {
        own += id;
        atomic_fetch_add(&counter, 1);
        atomic_fetch_add(&narrow, 3);
        unsigned long v = atomic_load(&exchanged);
        while (!atomic_compare_exchange_weak(&exchanged, &v, v + id))
            ;
        pthread_mutex_lock(&mutex);
        guarded++;
        pthread_mutex_unlock(&mutex);
    }
    for (int i = 0; i < 200; i++) { /* one after the other */
        pthread_mutex_lock(&mutex);
        while (turn % THREADS != id)
            pthread_cond_wait(&changed, &mutex);
        turn++;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&mutex);
    }
    return (void *)own;
}

int main(void)
{
    pthread_t thread[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, work, (void *)i))
            return 1;
    for (unsigned i = 0; i < THREADS; i++) {
        void *sum;
        pthread_join(thread[i], &sum);
        printf("thread %u: %lu\n", i, (unsigned long)sum);
    }
    printf("counter %lu narrow %u exchanged %lu guarded %lu turn %lu\n", counter, narrow, exchanged,
           guarded, turn);
    return 0;
}
