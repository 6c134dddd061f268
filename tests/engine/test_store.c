/* Translations that are kept do what new ones would: by another engine, another process, at another
 * address; and a store that is full, or a fork's child's, is only of less use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store_rig.h"

static struct outcome right, now; /* of the program in rig_code; of the last run */
static struct engine_stats stats;

static void use_program(unsigned number)
{
    write_program(number);
    interpret_program(&right);
}

/* Runs it with this store; answers how many blocks were not translated. */
static uint64_t reused(struct store *s)
{
    memset(&now, 0, sizeof now);
    run_program(s, &now, &stats);
    assert_memory_equal(&now, &right, sizeof right);
    return stats.reused;
}

static void what_was_saved_is_used_by_others(void **state)
{
    int fd = new_file();
    use_program(1);
    struct store *s = open_store(fd, SMALL_FILE);
    assert_int_equal(reused(s), 0);
    uint64_t blocks = stats.blocks, kept = reused(s); /* all but a few that are bound to their pc */
    assert_true(kept > 50);
    assert_int_equal(stats.blocks, blocks - kept);
    store_save(s, fd);
    store_free(s);

    s = open_store(fd, SMALL_FILE);
    assert_int_equal(reused(s), kept);
    assert_int_equal(stats.blocks, blocks - kept);
    assert_false(store_is_dirty(s));
    use_program(2);
    assert_true(reused(s) < kept / 4); /* few of its blocks have the same bytes */
    store_free(s);
    close(fd);
}

/* As for links, jumps over a page's end, addresses that are computed from the pc. */
static void records_do_not_depend_on_where_they_were_made(void **state)
{
    struct records first, second;
    struct engine_stats there;
    int fd[2] = {new_file(), new_file()};
    use_program(1);
    for (unsigned k = 0; k < 2; k++) {
        struct store *s = open_store(fd[k], SMALL_FILE);
        struct engine *e = rig_start((struct engine_config){.store = s, .code_bytes = 1 << 17});
        for (unsigned n = 0; n < k; n++) { /* other links and code before */
            rig_code[0] ^= 1 << 21;
            assert_true(rig_run());
            rig_code[0] ^= 1 << 21;
            engine_invalidate(e, RIG_PC, 4, true);
        }
        assert_true(rig_run());
        engine_get_stats(e, &there);
        rig_end(e);
        store_save(s, fd[k]);
        store_free(s);
    }
    read_records(fd[0], &first);
    read_records(fd[1], &second);
    assert_true(first.n > 50);
    unsigned same = 0;
    for (unsigned n = 0; n < first.n; n++)
        for (unsigned k = 0; k < second.n; k++)
            same += first.all[n]->size == second.all[k]->size &&
                    memcmp(first.all[n], second.all[k], first.all[n]->size) == 0;
    assert_int_equal(same, first.n);
    free_records(&first);
    free_records(&second);
    close(fd[0]);
    close(fd[1]);
}

static void a_place_is_told_as_far_as_code_depends_on_it(void **state)
{
    const uint64_t step = UINT64_C(2) << JUMP_BITS, low = UINT64_C(0x10000);
    assert_int_equal(record_home(RIG_PC, true), record_home(RIG_PC + step, true));
    assert_int_not_equal(record_home(RIG_PC, true), record_home(RIG_PC + step / 2, true));
    assert_int_not_equal(record_home(RIG_PC, true), record_home(RIG_PC + 2, true));
    assert_int_equal(record_home(RIG_PC, false), record_home(RIG_PC + 0x1000, false));
    assert_int_not_equal(record_home(RIG_PC, false), record_home(RIG_PC + 0x802, false));
    assert_int_not_equal(record_home(low, false), record_home(low + 0x1000, false));
    assert_int_not_equal(record_home(0, false), record_home(RIG_PC, false)); /* at offset 0 */
}

static void harts_beside_each_other_have_records_of_their_own(void **state)
{
    struct store *s = store_new(1 << 20);
    use_program(1);
    assert_int_equal(reused(s), 0);
    uint64_t blocks = stats.blocks;
    for (unsigned round = 0; round < 2; round++) {
        struct engine *e = rig_start((struct engine_config){.store = s, .code_bytes = 1 << 17});
        engine_set_parallel(e);
        assert_true(rig_run());
        assert_memory_equal(rig_cpu.x, right.x, sizeof right.x);
        engine_get_stats(e, &stats);
        assert_true(round ? stats.reused > 50 : stats.reused == 0);
        assert_int_equal(stats.reused + stats.blocks, blocks);
        rig_end(e);
    }
    store_free(s);
}

/* Code that is written anew again and again, behind the bytes that a key is made of. */
static void of_what_begins_alike_some_are_kept(void **state)
{
    struct store *s = store_new(1 << 20);
    struct engine *e = rig_start((struct engine_config){.store = s, .code_bytes = 1 << 17});
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned k = 0; k < 300; k++) {
            for (unsigned n = 0; n < 9; n++)
                rig_code[n] = 0x00000013;       /* nop */
            rig_code[9] = 0x00000513 | k << 20; /* li a0, k */
            rig_code[10] = RIG_ECALL;
            engine_invalidate(e, RIG_PC, 64, true);
            assert_true(rig_run());
            assert_int_equal(rig_cpu.x[10], k);
        }
    }
    engine_get_stats(e, &stats);
    assert_true(stats.reused >= 8 && stats.reused <= 32);
    rig_end(e);
    store_free(s);
}

static void a_full_memory_is_only_of_less_use(void **state)
{
    static const size_t limits[] = {0, 40, 4096, 9000, 14000};
    use_program(1);
    for (unsigned file = 0; file < 2; file++) {
        for (unsigned k = 0; k < sizeof limits / sizeof *limits; k++) {
            int fd = new_file();
            struct store *s = file ? open_store(fd, limits[k]) : store_new(limits[k]);
            assert_true(s || limits[k] < 8192);
            assert_int_equal(reused(s), 0);
            uint64_t blocks = stats.blocks, n = reused(s);
            assert_int_equal(n + stats.blocks, blocks);
            assert_true(s && file ? n > 0 && n < blocks : n < blocks);
            store_free(s);
            close(fd);
        }
    }
}

static void a_child_begins_with_none_of_its_own(void **state)
{
    int fd = new_file(), status;
    struct store *s = open_store(fd, SMALL_FILE);
    use_program(1);
    assert_int_equal(reused(s), 0);
    uint64_t kept = reused(s);
    pid_t pid = fork();
    if (pid == 0) {
        store_forget(s);
        bool good = !store_is_dirty(s) && reused(s) == 0 && reused(s) == kept;
        store_save(s, fd);
        store_free(s);
        exit(good ? 0 : 1);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(reused(s), kept);
    store_free(s);
    s = open_store(fd, SMALL_FILE);
    assert_int_equal(reused(s), kept); /* which the child has saved */
    store_free(s);
    close(fd);
}

/* A record that says anything, with the right sum, is refused, or within its bounds. */
static void check_parts(const struct record *r, const struct record_parts *p)
{
    const uint8_t *end = (const uint8_t *)r + r->size;
    assert_true(r->n_segments > 0 && p->code + r->code_len <= end && r->code_len >= 8);
    for (unsigned n = 0; n < r->n_links; n++)
        assert_true(p->links[n].site + 4 <= r->code_len && p->links[n].stub + 8 <= r->code_len);
    for (unsigned n = 0; n < r->n_relocs; n++) {
        struct reloc reloc = record_reloc(p->relocs[n]);
        assert_true(reloc.at + reloc_size(reloc.kind) <= r->code_len);
    }
}

static void any_byte_of_a_record_may_be_another(void **state)
{
    static const uint8_t others[] = {0x01, 0x02, 0x10, 0x80, 0xff};
    struct records all;
    struct record_parts parts;
    unsigned accepted = 0, refused = 0;
    int fd = new_file();
    use_program(1);
    save_program(fd, SMALL_FILE);
    read_records(fd, &all);
    for (unsigned n = 0; n < all.n; n += all.n / 4) {
        const size_t size = all.all[n]->size;
        for (size_t at = 0; at < size; at++) {
            for (unsigned k = 0; k < sizeof others; k++) {
                struct record *r = record_copy(all.all[n], size);
                ((uint8_t *)r)[at] ^= others[k];
                assert_true(at < 8 || !record_parse(r, size, &parts)); /* the key is in no sum */
                if (r->size == size)
                    r->sum = record_sum(r);
                bool good = record_parse(r, size, &parts);
                if (good)
                    check_parts(r, &parts);
                accepted += good;
                refused += !good;
                free(r);
            }
        }
        for (size_t shorter = 0; shorter < size; shorter++) {
            struct record *r = record_copy(all.all[n], shorter);
            assert_false(record_parse(r, shorter, &parts));
            free(r);
        }
    }
    assert_true(accepted > 1000 && refused > 100); /* code may be anything */
    free_records(&all);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_saved_is_used_by_others),
        cmocka_unit_test(records_do_not_depend_on_where_they_were_made),
        cmocka_unit_test(a_place_is_told_as_far_as_code_depends_on_it),
        cmocka_unit_test(harts_beside_each_other_have_records_of_their_own),
        cmocka_unit_test(of_what_begins_alike_some_are_kept),
        cmocka_unit_test(a_full_memory_is_only_of_less_use),
        cmocka_unit_test(a_child_begins_with_none_of_its_own),
        cmocka_unit_test(any_byte_of_a_record_may_be_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
