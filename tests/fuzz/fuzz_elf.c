/* An arbitrary file as a riscv64 program: loaded into this process, beside the fuzzer, and never
 * run. Nothing that is not the guest's may be mapped over, and what cannot be loaded says why. */
#include <pthread.h>

#include "base/cleanup.h"
#include "files.h"
#include "process/loader.h"
#include "process/space.h"

#define MOST 4096 /* of a program's mappings */

struct list {
    struct mapping map[MOST];
    unsigned n;
};

static void add(const struct mapping *m, void *arg)
{
    struct list *l = arg;
    if (l->n == MOST)
        abort();
    l->map[l->n++] = *m;
}

static void unload(struct process *p)
{
    static struct list l;
    l.n = 0;
    space_each(&p->space, add, &l);
    for (unsigned i = 0; i < l.n; i++)
        if (space_munmap(p, l.map[i].start, l.map[i].end - l.map[i].start) < 0)
            abort();
    if (p->space.n || p->space.bytes)
        abort(); /* what it loaded is not all that it had noted */
    free(p->space.maps);
    pthread_mutex_destroy(&p->space.lock);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char *argv[] = {"program", "argument", NULL}, *envp[] = {"A=b", NULL};
    static struct engine *engine;
    static const struct engine_ops none;
    if (!engine && !(engine = engine_new(&(struct engine_config){.ops = &none}, NULL)))
        abort();
    struct memory_file file = memory_file(data, size);
    struct process *p = calloc(1, sizeof *p);
    struct program program = {0};
    ERROR_CLEANUP err = NULL;
    p->config = (struct process_config){.program = argv[0], .argv = argv, .envp = envp};
    p->exe = p->exe_host = file.path;
    p->name = argv[0];
    p->exe_fd = file.fd;
    p->sysroot_fd = -1;
    p->emulator_fd = -1;
    p->engine = engine;
    space_init(&p->space);
    struct mapping stack;
    int r = load_program(p, &program, &err);
    if (r < 0 && !err)
        abort(); /* refused without saying why */
    if (r == 0 && (!space_find(&p->space, program.sp, &stack) || program.sp % 16))
        abort();
    unload(p);
    free(p);
    close(file.fd);
    return 0;
}
