/* The litmus tests on threads of a process. usage: litmus_threads ROUNDS */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "litmus.h"

static uint64_t rounds;

/* Asleep: who waits for a shape that is not its own leaves the processors to those whose it is. */
static void relax(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
}

static void report(const char *name, uint64_t forbidden, uint64_t allowed, uint64_t n)
{
    if (forbidden)
        printf("not ok - %s: forbidden %lu times in %lu\n", name, forbidden, n);
    else if (!allowed)
        printf("skip - %s: the threads never ran at the same time\n", name);
    else
        printf("ok - %s\n", name);
    fflush(stdout);
}

static void *thread(void *hart)
{
    litmus_hart((unsigned)(uintptr_t)hart, rounds);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[LITMUS_HARTS];
    rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 100;
    for (uintptr_t i = 0; i < LITMUS_HARTS; i++)
        if (pthread_create(&threads[i], NULL, thread, (void *)i))
            abort();
    for (unsigned i = 0; i < LITMUS_HARTS; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
