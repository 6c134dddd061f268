/* subuid(5) as it is written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the above first. */
#include <cmocka.h>

#include "guest/subids.h"

static size_t parse(const char *text, const char *name, uid_t uid, struct id_range *out, size_t max)
{
    FILE *f = fmemopen((char *)text, strlen(text), "r");
    assert_non_null(f);
    size_t n = subids_parse(f, name, uid, out, max);
    fclose(f);
    return n;
}

static void by_name_and_by_number(void **state)
{
    static const char text[] = "root:1:1\nann:100000:65536\nanna:5:5\n1000:300000:10\nann:400000:1";
    struct id_range r[4];
    assert_int_equal(parse(text, "ann", 1000, r, 4), 3);
    assert_int_equal(r[0].start, 100000);
    assert_int_equal(r[0].count, 65536);
    assert_int_equal(r[1].start, 300000);
    assert_int_equal(r[2].count, 1);
    assert_int_equal(parse(text, NULL, 1000, r, 4), 1);
    assert_int_equal(parse(text, "ann", 1000, r, 2), 2);
    assert_int_equal(parse(text, "nobody", 7, r, 4), 0);
}

static void malformed_lines_are_passed_over(void **state)
{
    static const char text[] =
        "\n:\nann\nann:\nann:1\nann:1:\nann:x:1\nann:1:x\nann:-1:5\nann:1:0\nann: 1:2\n"
        "ann:4294967295:1\nann:4294967290:10\nann:1:99999999999999999999\nann:7:8:9\nann:7:8\n";
    struct id_range r[4];
    assert_int_equal(parse(text, "ann", 1000, r, 4), 1);
    assert_int_equal(r[0].start, 7);
    assert_int_equal(r[0].count, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_name_and_by_number),
        cmocka_unit_test(malformed_lines_are_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
