/* Second-level translation: bounds, first touches, pages with translated code, the balloon. */
#include <stdlib.h>
#include <string.h>

#include "cm.h"
#include "machine/slat.h"

#define BASE 0x80000000u
#define SIZE (64u * PAGE_SIZE)

static int setup(void **state)
{
    *state = slat_new(BASE, SIZE, NULL);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    slat_free(*state);
    return 0;
}

static struct slat_stats stats(struct slat *s)
{
    struct slat_stats out;
    slat_get_stats(s, &out);
    return out;
}

static void bounds(void **state)
{
    struct slat *s = *state;
    static const struct {
        uint64_t gpa, len;
        bool good;
    } t[] = {{BASE, SIZE, true},
             {BASE, SIZE + 1, false},
             {BASE - 1, 1, false},
             {BASE - 1, 2, false},
             {BASE + SIZE - 1, 1, true},
             {BASE + SIZE - 1, 2, false},
             {BASE + SIZE, 0, false},
             {BASE + SIZE, 1, false},
             {BASE + 8, UINT64_MAX, false},
             {BASE + 8, UINT64_MAX - 8 - BASE + 1, false},
             {0, 1, false},
             {UINT64_MAX, 1, false},
             {UINT64_MAX, 2, false}};
    char byte = 1;
    for (unsigned i = 0; i < sizeof t / sizeof *t; i++) {
        assert_int_equal(slat_host(s, t[i].gpa, t[i].len, true) != NULL, t[i].good);
        assert_int_equal(slat_discard(s, t[i].gpa, t[i].len, true), t[i].good);
        slat_deflate(s, t[i].gpa, t[i].len);
        slat_wrote(s, t[i].gpa, t[i].len);
        if (t[i].len == 1)
            assert_int_equal(slat_write(s, t[i].gpa, &byte, 1), t[i].good);
    }
    assert_null(slat_load_page(s, BASE + SIZE));
    assert_null(slat_store_page(s, BASE - 1, 0, 0));
}

static void first_touches(void **state)
{
    struct slat *s = *state;
    assert_int_equal(stats(s).resident_pages, 0);
    slat_load_page(s, BASE + 5);
    slat_load_page(s, BASE + 4000);
    slat_store_page(s, BASE, 0, 0x1000);
    assert_int_equal(stats(s).faults, 1);
    slat_host(s, BASE + PAGE_SIZE - 1, 2, false); /* two pages, one of them new */
    assert_int_equal(stats(s).faults, 2);
    assert_int_equal(stats(s).resident_pages, 2);
}

static void discard(void **state)
{
    struct slat *s = *state;
    char *p = slat_host(s, BASE, 4 * PAGE_SIZE, true);
    memset(p, 7, 4 * PAGE_SIZE);
    /* Whole pages only: the second and the third. */
    assert_true(slat_discard(s, BASE + 1, 3 * PAGE_SIZE, true));
    assert_int_equal(p[PAGE_SIZE - 1], 7);
    assert_int_equal(p[3 * PAGE_SIZE], 7);
    assert_int_equal(stats(s).resident_pages, 2);
    assert_int_equal(stats(s).ballooned_pages, 2);
    p = slat_host(s, BASE + PAGE_SIZE, 1, false);
    assert_int_equal(*p, 0);
    assert_int_equal(stats(s).ballooned_pages, 1);
    slat_deflate(s, BASE, SIZE);
    assert_int_equal(stats(s).ballooned_pages, 0);
    assert_int_equal(stats(s).resident_pages, 3);
    assert_int_equal(stats(s).faults, 5);
}

static void code_pages(void **state)
{
    struct slat *s = *state;
    bool search;
    unsigned n;
    slat_load_page(s, BASE);
    assert_true(slat_mark_code(s, BASE, &search));
    assert_false(search); /* never written by a hart: no TLB to search */
    assert_false(slat_mark_code(s, BASE, &search));

    slat_store_page(s, BASE + PAGE_SIZE, 0, 0x1000);
    assert_true(slat_mark_code(s, BASE + PAGE_SIZE, &search));
    assert_true(search);
    assert_null(slat_take_changes(s, &n));
    assert_int_equal(n, 0);

    /* Each store entry filled for a changed page is noted, until the changes are taken. */
    slat_store_page(s, BASE + 8, 1, 0x2008);
    slat_store_page(s, BASE, 2, 0x3000);
    struct code_change *c = slat_take_changes(s, &n);
    assert_int_equal(n, 2);
    assert_int_equal(c[0].page, BASE);
    assert_int_equal(c[0].va, 0x2000);
    assert_int_equal(c[0].hart, 1);
    assert_int_equal(c[1].va, 0x3000);
    free(c);
    assert_int_equal(stats(s).code_writes, 1);

    /* It is a page of code again: the next store is noted too. */
    slat_store_page(s, BASE, 0, 0x4000);
    c = slat_take_changes(s, &n);
    assert_int_equal(n, 1);
    free(c);

    /* Devices, and giving the page back, change it as well. */
    slat_host(s, BASE, 8, false);
    assert_null(slat_take_changes(s, &n));
    slat_host(s, BASE, 8, true);
    c = slat_take_changes(s, &n);
    assert_int_equal(n, 1);
    assert_int_equal(c[0].hart, CHANGE_NO_HART);
    free(c);
    slat_wrote(s, BASE, PAGE_SIZE + 1);
    c = slat_take_changes(s, &n);
    assert_int_equal(n, 2);
    free(c);
    slat_discard(s, BASE, PAGE_SIZE, false);
    c = slat_take_changes(s, &n);
    assert_int_equal(n, 1);
    free(c);
}

/* Between two fence.i a guest may make as many store entries as it likes. */
static void changes_are_bounded(void **state)
{
    struct slat *s = *state;
    bool search;
    unsigned n;
    for (unsigned page = 0; page < 3; page++) {
        slat_load_page(s, BASE + page * PAGE_SIZE);
        assert_true(slat_mark_code(s, BASE + page * PAGE_SIZE, &search));
    }
    /* the same two entries push each other out of the TLB: both stay known, once */
    for (unsigned k = 0; k < 100000; k++)
        slat_store_page(s, BASE + k % 2 * PAGE_SIZE, 0, k % 2 << 24);
    struct code_change *c = slat_take_changes(s, &n);
    assert_in_range(n, 2, 64);
    n = code_changes_merge(c, n);
    assert_int_equal(n, 2);
    assert_int_equal(c[0].va, 0);
    assert_int_equal(c[1].page, BASE + PAGE_SIZE);
    assert_int_equal(c[1].va, 1 << 24);
    free(c);
    /* entries at ever other addresses: what is known in the end is that they may be anywhere */
    for (unsigned k = 0; k < 100000; k++)
        slat_store_page(s, BASE + k % 3 * PAGE_SIZE, k & 1, (uint64_t)k << 12);
    c = slat_take_changes(s, &n);
    assert_in_range(n, 6, 64);
    bool anywhere[3][2] = {{false}};
    for (unsigned k = 0; k < n; k++)
        if (c[k].va == NO_VA)
            anywhere[(c[k].page - BASE) / PAGE_SIZE][c[k].hart] = true;
    for (unsigned k = 0; k < 6; k++)
        assert_true(anywhere[k / 2][k % 2]);
    free(c);
}

static void reset(void **state)
{
    struct slat *s = *state;
    bool search;
    *(char *)slat_store_page(s, BASE, 0, 0) = 1;
    slat_mark_code(s, BASE, &search);
    slat_store_page(s, BASE, 0, 0);
    assert_int_equal(slat_reset(s, NULL), 0);
    unsigned n;
    assert_null(slat_take_changes(s, &n));
    assert_int_equal(stats(s).resident_pages, 0);
    assert_int_equal(*(char *)slat_load_page(s, BASE), 0);
}

static void sizes(void **state)
{
    assert_null(slat_new(BASE, 0, NULL));
    assert_null(slat_new(BASE, PAGE_SIZE + 1, NULL));
    assert_null(slat_new(BASE, (uint64_t)1 << 60, NULL));
    struct slat *large = slat_new(BASE, (uint64_t)1 << 38, NULL); /* more than the host has */
    assert_non_null(large);
    assert_non_null(slat_load_page(large, BASE + ((uint64_t)1 << 38) - 1));
    slat_free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(first_touches, setup, teardown),
        cmocka_unit_test_setup_teardown(discard, setup, teardown),
        cmocka_unit_test_setup_teardown(code_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(changes_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(reset, setup, teardown),
        cmocka_unit_test(sizes),
    };
    return cmocka_run_group_tests_name("slat", tests, NULL, NULL);
}
