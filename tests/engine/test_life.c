/* An engine's life beside running: a fork's child goes on with a copy of the translations, which is
 * its own; and a trace tells what was translated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "rig.h"

/* A function that adds n to a0, called ten times. */
static void write_code(uint32_t n)
{
    static const uint32_t words[] = {0x00a00293,  /* li t0, 10 */
                                     0x00000513,  /* li a0, 0 */
                                     0x010000ef,  /* 1: jal f */
                                     0xfff28293,  /* addi t0, t0, -1 */
                                     0xfe029ce3,  /* bnez t0, 1b */
                                     0x00000073,  /* ecall */
                                     0x00050513,  /* f: addi a0, a0, n */
                                     0x00008067}; /* ret */
    memcpy(rig_code, words, sizeof words);
    rig_code[6] |= n << 20;
}

static uint64_t run(void)
{
    return rig_run() ? rig_cpu.x[10] : 0;
}

/* What the child does to its translations is not seen by the parent, and the other way. */
static void fork_once(struct engine *e, bool shared_files)
{
    ERROR_CLEANUP err = NULL;
    int status;
    write_code(2);
    engine_invalidate(e, RIG_PC, RIG_PAGE, true);
    assert_int_equal(run(), 20);
    assert_int_equal(engine_fork_prepare(e, shared_files, &err), 0);
    pid_t pid = fork();
    if (pid == 0) {
        bool good = engine_fork_child(e, &rig_cpu, &err) == 0 && run() == 20;
        write_code(3);
        engine_invalidate(e, RIG_PC, RIG_PAGE, true);
        good &= run() == 30;
        engine_flush(e);
        good &= run() == 30;
        exit(good ? 0 : 1);
    }
    assert_true(pid > 0);
    engine_fork_parent(e);
    assert_int_equal(run(), 20);
    write_code(4);
    engine_invalidate(e, RIG_PC, RIG_PAGE, true);
    assert_int_equal(run(), 40);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(run(), 40);
}

static void a_child_has_translations_of_its_own(void **state)
{
    for (int interpret = 0; interpret < 2; interpret++) {
        struct engine *e =
            rig_start((struct engine_config){.interpret = interpret, .code_bytes = 1 << 17});
        fork_once(e, false);
        fork_once(e, true); /* where the child may have no descriptor that the parent has not */
        rig_end(e);
    }
}

static void a_trace_tells_what_was_translated(void **state)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    assert_non_null(f);
    struct engine *e = rig_start((struct engine_config){.code_bytes = 1 << 17, .trace = f});
    write_code(2);
    assert_int_equal(run(), 20);
    rig_end(e);
    assert_int_equal(fclose(f), 0);
    assert_non_null(strstr(text, "7f0012345000"));
    assert_non_null(strstr(text, "addi"));
    assert_non_null(strstr(text, "host code at"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_has_translations_of_its_own),
        cmocka_unit_test(a_trace_tells_what_was_translated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
