/* A store's file may be damaged, cut, exchanged, foreign, written by several at once, and not be
 * written at all: what is found in it is what was saved, or nothing, and programs do the same. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "store_rig.h"

#define TOGETHER    16 /* bytes far from each other */
#define HEADER_USED 32 /* bytes at the file's begin */

/* --- System calls of the store, of which one fails --- */

static int calls_until_failure = -1; /* -1: none fails */
static bool has_failed;

static bool fails(void)
{
    if (calls_until_failure != 0) {
        calls_until_failure -= calls_until_failure > 0;
        return false;
    }
    calls_until_failure = -1;
    has_failed = true;
    errno = ENOSPC;
    return true;
}

#define WRAP(type, name, params, ...)                          \
    type __real_##name params;                                 \
    type __wrap_##name params;                                 \
    type __wrap_##name params                                  \
    {                                                          \
        return fails() ? FAILURE : __real_##name(__VA_ARGS__); \
    }
#define FAILURE -1
WRAP(int, fstat64, (int fd, struct stat *st), fd, st)
WRAP(int, ftruncate64, (int fd, off_t len), fd, len)
WRAP(int, fallocate64, (int fd, int mode, off_t from, off_t len), fd, mode, from, len)
WRAP(int, fcntl64, (int fd, int cmd, void *arg), fd, cmd, arg)
WRAP(int, getrlimit64, (int what, struct rlimit *r), what, r)
WRAP(ssize_t, pread64, (int fd, void *to, size_t n, off_t at), fd, to, n, at)
#undef FAILURE
#define FAILURE __real_pwrite64(fd, from, n / 2, at) /* a disk that becomes full */
WRAP(ssize_t, pwrite64, (int fd, const void *from, size_t n, off_t at), fd, from, n, at)
#undef FAILURE

/* --- The file's program, and its records as they were saved --- */

struct fixture {
    int fd;
    uint8_t image[SMALL_FILE];
    struct records records;
    struct outcome right;
};

static void set_up(struct fixture *f)
{
    write_program(1);
    interpret_program(&f->right);
    f->fd = new_file();
    save_program(f->fd, SMALL_FILE);
    assert_int_equal(pread(f->fd, f->image, SMALL_FILE, 0), SMALL_FILE);
    read_records(f->fd, &f->records);
    assert_true(f->records.n > 50);
}

static void tear_down(struct fixture *f)
{
    free_records(&f->records);
    close(f->fd);
}

static void restore(const struct fixture *f)
{
    assert_int_equal(ftruncate(f->fd, SMALL_FILE), 0);
    assert_int_equal(pwrite(f->fd, f->image, SMALL_FILE, 0), SMALL_FILE);
}

/* Runs the program, which is right; answers how many blocks came from records. */
static uint64_t run_right(const struct fixture *f, struct store *s)
{
    struct outcome now;
    struct engine_stats stats;
    run_program(s, &now, &stats);
    assert_memory_equal(&now, &f->right, sizeof now);
    return stats.reused;
}

/* By a store that has read nothing yet. */
static size_t found_in_file(const struct fixture *f)
{
    struct store *s = store_new(SMALL_FILE);
    size_t n = store_use_file(s, f->fd, BUILD) ? count_found(s, &f->records) : 0;
    store_free(s);
    assert_true(n <= f->records.n);
    return n;
}

static void any_byte_may_be_another(void **state)
{
    static struct fixture f;
    unsigned lost = 0;
    size_t end = SMALL_FILE;
    set_up(&f);
    while (!f.image[end - 1])
        end--;
    uint8_t *file = mmap(NULL, SMALL_FILE, PROT_READ | PROT_WRITE, MAP_SHARED, f.fd, 0);
    assert_true(file != MAP_FAILED);
    const size_t part = end / TOGETHER + 1;
    for (size_t at = 0; at < part; at++) {
        for (size_t k = at; k < end; k += part)
            file[k] ^= k % 3 ? 1u << k % 8 : 0xff;
        size_t n = found_in_file(&f);
        assert_true(n + TOGETHER >= f.records.n || (n == 0 && at < HEADER_USED));
        lost += n < f.records.n;
        if (at % 100 == 0) {
            struct store *s = open_store(f.fd, SMALL_FILE);
            run_right(&f, s);
            store_free(s);
        }
        if (at < HEADER_USED)
            restore(&f);
        for (size_t k = at; k < end; k += part)
            file[k] = f.image[k];
    }
    assert_true(lost > part - 100);
    assert_int_equal(found_in_file(&f), f.records.n);
    munmap(file, SMALL_FILE);
    tear_down(&f);
}

/* What is damaged is saved once more by whoever had to make it again. */
static void damage_is_mended(void **state)
{
    static struct fixture f;
    set_up(&f);
    for (size_t at = 8192; at < SMALL_FILE; at += 256) /* nearly all records */
        f.image[at] ^= 0x10;
    restore(&f);
    assert_true(found_in_file(&f) < f.records.n / 2);
    save_program(f.fd, SMALL_FILE);
    assert_true(found_in_file(&f) > f.records.n - 10);
    tear_down(&f);
}

static void it_may_be_cut_at_any_time(void **state)
{
    static struct fixture f;
    set_up(&f);
    for (off_t len = 0; len < (off_t)SMALL_FILE; len += 1013) {
        struct store *s = open_store(f.fd, SMALL_FILE);
        assert_int_equal(ftruncate(f.fd, len), 0);
        assert_true(count_found(s, &f.records) <= f.records.n); /* and no signal */
        run_right(&f, s);
        store_save(s, f.fd); /* begins it anew, when it was worth it */
        assert_true(count_found(s, &f.records) <= f.records.n);
        store_free(s);

        assert_int_equal(ftruncate(f.fd, len), 0);
        s = open_store(f.fd, SMALL_FILE);
        assert_int_equal(count_found(s, &f.records), 0);
        run_right(&f, s);
        store_free(s);
        restore(&f);
    }
    assert_int_equal(found_in_file(&f), f.records.n);
    tear_down(&f);
}

static void another_build_s_is_begun_anew(void **state)
{
    static struct fixture f;
    int pipes[2];
    set_up(&f);
    struct store *s = open_store(f.fd, SMALL_FILE), *other = store_new(SMALL_FILE);
    assert_true(store_make_file(other, f.fd, BUILD + 1) && store_use_file(other, f.fd, BUILD + 1));
    assert_int_equal(count_found(other, &f.records), 0);
    assert_true(count_found(s, &f.records) <= f.records.n); /* under its hands */
    run_right(&f, s);
    assert_true(run_right(&f, other) == 0);
    store_save(other, f.fd);
    assert_true(count_found(s, &f.records) <= f.records.n);
    store_free(other);
    store_free(s);

    /* No store's file at all. */
    memset(f.image, 0xa5, sizeof f.image);
    restore(&f);
    assert_int_equal(found_in_file(&f), 0);
    assert_int_equal(pipe(pipes), 0);
    assert_null(open_store(pipes[0], SMALL_FILE));
    assert_null(open_store(-1, SMALL_FILE));
    assert_null(open_store(f.fd, 100)); /* too small for anything */
    close(pipes[0]);
    close(pipes[1]);
    tear_down(&f);
}

/* The smallest file there is, into which a slot's size may lead out of the mapping. */
static void sizes_in_a_small_file_are_bounded(void **state)
{
    static struct fixture f;
    const size_t small = 8192;
    set_up(&f);
    int fd = new_file();
    struct store *s = open_store(fd, small);
    for (uint64_t size = 0; size < 4096; size += 7) {
        uint64_t slots[40];
        for (unsigned n = 0; n < 40; n++) {
            uint64_t key = f.records.all[(n + size) % f.records.n]->key;
            slots[n] = key >> 40 << 40 | size << 28 | 256;
        }
        assert_int_equal(pwrite(fd, slots, 32 * 8, 4096), 32 * 8);
        assert_int_equal(count_found(s, &f.records), 0);
    }
    run_right(&f, s);
    store_save(s, fd); /* as many as fit, which is not all */
    run_right(&f, s);
    store_free(s);
    close(fd);
    tear_down(&f);
}

static void a_full_file_starts_over(void **state)
{
    struct stat st;
    static struct fixture f;
    set_up(&f);
    for (unsigned number = 2; number < 20; number++) {
        write_program(number);
        interpret_program(&f.right);
        save_program(f.fd, SMALL_FILE);
        struct store *s = open_store(f.fd, SMALL_FILE);
        assert_true(run_right(&f, s) > 30); /* what it found before it started over, it has not */
        store_free(s);
        assert_int_equal(fstat(f.fd, &st), 0);
        assert_int_equal(st.st_size, SMALL_FILE);
    }
    tear_down(&f);
}

static void one_system_call_may_fail(void **state)
{
    static struct fixture f;
    set_up(&f);
    for (unsigned kind = 0; kind < 3; kind++) { /* a new file, a full one, another's */
        int n = 0;
        do {
            int fd = new_file();
            if (kind)
                assert_int_equal(pwrite(fd, f.image, SMALL_FILE, 0), SMALL_FILE);
            write_program(kind == 2 ? 1 : 2);
            interpret_program(&f.right);
            struct store *s = store_new(SMALL_FILE);
            has_failed = false;
            calls_until_failure = n;
            n += n < 14 ? 1 : 17; /* the later ones are of slots, all alike */
            uint64_t build = kind == 2 ? BUILD + 1 : BUILD;
            bool used = store_use_file(s, fd, build) ||
                        (store_make_file(s, fd, build) && store_use_file(s, fd, build));
            int left = calls_until_failure;
            calls_until_failure = -1;
            run_right(&f, s);
            calls_until_failure = left;
            if (used)
                store_save(s, fd);
            calls_until_failure = -1;
            run_right(&f, s);
            store_free(s);
            s = store_new(SMALL_FILE); /* and for the next it is good again */
            assert_true(store_use_file(s, fd, build) ||
                        (store_make_file(s, fd, build) && store_use_file(s, fd, build)));
            run_right(&f, s);
            store_save(s, fd);
            run_right(&f, s);
            store_free(s);
            close(fd);
        } while (has_failed);
        assert_true(n > 20);
    }
    tear_down(&f);
}

static void limits_of_a_file_s_size_send_no_signal(void **state)
{
    static struct fixture f;
    int status;
    set_up(&f);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit r = {4096, 4096};
        int fd = new_file();
        struct store *s = open_store(f.fd, SMALL_FILE);
        write_program(2);
        interpret_program(&f.right);
        run_right(&f, s);
        bool good = store_is_dirty(s);
        signal(SIGXFSZ, SIG_DFL);
        good = good && setrlimit(RLIMIT_FSIZE, &r) == 0 && !open_store(fd, SMALL_FILE);
        store_save(s, f.fd);
        store_free(s);
        s = open_store(f.fd, SMALL_FILE); /* which is there */
        exit(s && good && count_found(s, &f.records) == f.records.n ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(found_in_file(&f), f.records.n);
    tear_down(&f);
}

/* Saves one program after the other, until it is killed, or for some rounds. */
static pid_t start_writer(int fd, unsigned number, unsigned rounds)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    for (unsigned n = 0; n < rounds; n++) {
        write_program(number + n % 4);
        save_program(fd, SMALL_FILE);
    }
    exit(0);
}

static void several_write_at_once(void **state)
{
    static struct fixture f;
    set_up(&f);
    struct store *s = open_store(f.fd, SMALL_FILE); /* all the time */
    for (unsigned round = 0; round < 4; round++) {
        pid_t pids[3];
        for (unsigned n = 0; n < 3; n++)
            pids[n] = start_writer(f.fd, 1 + n, round % 2 ? 1000000 : 4);
        for (unsigned n = 0; n < 4; n++) {
            write_program(n + 1);
            interpret_program(&f.right);
            run_right(&f, s);
            store_forget(s);
            usleep(2000);
        }
        for (unsigned n = 0; n < 3; n++) {
            int status;
            if (round % 2)
                kill(pids[n], SIGKILL); /* in the middle of what it writes */
            assert_int_equal(waitpid(pids[n], &status, 0), pids[n]);
            assert_int_equal(status, round % 2 ? SIGKILL : 0);
        }
        for (unsigned number = 1; number < 6; number++) {
            write_program(number);
            interpret_program(&f.right);
            struct store *fresh = open_store(f.fd, SMALL_FILE);
            assert_non_null(fresh);
            run_right(&f, fresh);
            store_free(fresh);
        }
    }
    store_free(s);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_byte_may_be_another),
        cmocka_unit_test(damage_is_mended),
        cmocka_unit_test(it_may_be_cut_at_any_time),
        cmocka_unit_test(another_build_s_is_begun_anew),
        cmocka_unit_test(sizes_in_a_small_file_are_bounded),
        cmocka_unit_test(a_full_file_starts_over),
        cmocka_unit_test(one_system_call_may_fail),
        cmocka_unit_test(limits_of_a_file_s_size_send_no_signal),
        cmocka_unit_test(several_write_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
