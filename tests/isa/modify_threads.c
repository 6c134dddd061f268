/* Code that is rewritten while others run it, on threads of a process. usage: modify_threads ROUNDS
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "modify.h"

static uint64_t rounds;
static struct stage *stage;
static struct outcome outcomes[ACTORS];

static void *thread(void *id)
{
    outcomes[(uintptr_t)id] = act((unsigned)(uintptr_t)id, stage, rounds);
    return NULL;
}

static int tell(const char *name, uint64_t bad)
{
    printf(bad ? "not ok - %s: %lu times the old one\n" : "ok - %s\n", name, bad);
    return bad != 0;
}

int main(int argc, char **argv)
{
    pthread_t threads[ACTORS];
    struct outcome all = {0, 0};
    rounds = argc > 1 ? strtoul(argv[1], NULL, 0) : 1000;
    stage =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stage == MAP_FAILED)
        abort();
    stage_init(stage);
    for (uintptr_t i = 0; i < ACTORS; i++)
        if (pthread_create(&threads[i], NULL, thread, (void *)i))
            abort();
    for (unsigned i = 0; i < ACTORS; i++) {
        pthread_join(threads[i], NULL);
        all.own += outcomes[i].own;
        all.common += outcomes[i].common;
    }
    int bad = tell("code that one wrote itself is the new one", all.own);
    return bad | tell("code that another wrote is the new one", all.common);
}
