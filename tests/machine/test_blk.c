/* The disk: requests and their checks, and the images that are refused. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "cm.h"
#include "machine/devices/devices.h"
#include "machine/devices/virtio.h"
#include "virtio_driver.h"

#define SECTORS 64u
#define FLUSH   (1ull << 9)

enum {
    OK,
    IOERR,
    UNSUPP,
};

struct fixture {
    struct rig rig;
    struct driver d;
    char dir[32], path[64];
    uint64_t header, data, status; /* guest addresses */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    rig_init(&f->rig);
    strcpy(f->dir, "/tmp/wirt-blk-XXXXXX");
    *state = f;
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->path, sizeof f->path, "%s/image", f->dir);
    f->header = rig_alloc(&f->rig, 4096);
    f->data = rig_alloc(&f->rig, 65536);
    f->status = rig_alloc(&f->rig, 4096);
    int fd = open(f->path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    for (unsigned i = 0; i < SECTORS; i++) {
        char sector[512];
        memset(sector, (int)i, sizeof sector);
        if (write(fd, sector, sizeof sector) != sizeof sector)
            return -1;
    }
    return close(fd);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    rig_free(&f->rig);
    unlink(f->path);
    rmdir(f->dir);
    free(f);
    return 0;
}

static void start(struct fixture *f, bool readonly, uint64_t features)
{
    struct machine_disk disk = {.path = f->path, .readonly = readonly};
    assert_int_equal(virtio_blk_create(f->rig.host, f->rig.slat, &disk, NULL), 0);
    rig_start(&f->rig);
    driver_probe(&f->d, &f->rig, 1);
    driver_start(&f->d, features, 1, 16);
}

/* One request with `len` bytes of data; its status, and the length told in *written. */
static int request(struct fixture *f, uint32_t type, uint64_t sector, uint32_t len, bool to_guest,
                   uint32_t *written)
{
    uint32_t head[2] = {type, 0};
    uint8_t *status = rig_ptr(&f->rig, f->status);
    memcpy(rig_ptr(&f->rig, f->header), head, 8);
    memcpy((char *)rig_ptr(&f->rig, f->header) + 8, &sector, 8);
    *status = 0xff;
    /* The data in two pieces, the first of an odd size. */
    uint32_t first = len > 7 ? 7 : 0, n = 0;
    struct desc b[4];
    b[n++] = (struct desc){f->header, 16, 0, 0};
    if (first)
        b[n++] = (struct desc){f->data, first, to_guest ? VQ_DESC_WRITE : 0, 0};
    if (len)
        b[n++] = (struct desc){f->data + first, len - first, to_guest ? VQ_DESC_WRITE : 0, 0};
    b[n++] = (struct desc){f->status, 1, VQ_DESC_WRITE, 0};
    driver_submit(&f->d, 0, b, n);
    assert_true(driver_wait(&f->d, 0, written));
    return *status;
}

static uint8_t image_byte(struct fixture *f, uint64_t offset)
{
    uint8_t byte;
    int fd = open(f->path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
    return byte;
}

static void configuration(void **state)
{
    struct fixture *f = *state;
    start(f, false, UINT64_MAX);
    assert_int_equal(rig_read(&f->rig, f->d.config, 8), SECTORS);
    assert_int_equal(rig_read(&f->rig, f->d.config + 12, 4), 254);
    assert_int_equal(rig_read(&f->rig, f->d.config + 20, 4), 512);
    assert_true(f->d.features & FLUSH);
    assert_false(f->d.features & (1 << 5));
}

static void reads_and_writes(void **state)
{
    struct fixture *f = *state;
    uint8_t *data = rig_ptr(&f->rig, f->data);
    uint32_t written;
    start(f, false, UINT64_MAX);
    assert_int_equal(request(f, 0, 3, 1024, true, &written), OK);
    assert_int_equal(written, 1025);
    assert_true(data[0] == 3 && data[511] == 3 && data[512] == 4 && data[1023] == 4);
    memset(data, 0xab, 1024);
    assert_int_equal(request(f, 1, 62, 1024, false, &written), OK);
    assert_int_equal(written, 1);
    assert_int_equal(image_byte(f, 62 * 512), 0xab);
    assert_int_equal(image_byte(f, 64 * 512 - 1), 0xab);
    assert_int_equal(image_byte(f, 62 * 512 - 1), 61);
    assert_int_equal(request(f, 4, 0, 0, false, NULL), OK);
    assert_int_equal(request(f, 8, 0, 20, true, &written), OK);
    assert_string_equal((char *)data, "image");
}

static void out_of_range(void **state)
{
    static const struct {
        uint32_t type;
        uint64_t sector;
        uint32_t len;
        int status;
    } cases[] = {
        {0, 64, 512, IOERR},         {0, 63, 1024, IOERR},
        {0, UINT64_MAX, 512, IOERR}, {0, UINT64_MAX / 512, 1024, IOERR},
        {0, 1ull << 55, 512, IOERR}, {0, 0, 511, IOERR},
        {1, 64, 512, IOERR},         {1, UINT64_MAX, 512, IOERR},
        {1, 0, 100, IOERR},          {99, 0, 512, UNSUPP},
        {2, 0, 512, UNSUPP},
    };
    struct fixture *f = *state;
    uint32_t written;
    start(f, false, UINT64_MAX);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool read = cases[i].type != 1;
        assert_int_equal(request(f, cases[i].type, cases[i].sector, cases[i].len, read, &written),
                         cases[i].status);
        assert_true(written <= 1);
    }
    for (unsigned i = 0; i < SECTORS; i++)
        assert_int_equal(image_byte(f, 512 * i), i);
}

static void readonly_disk(void **state)
{
    struct fixture *f = *state;
    chmod(f->path, 0400);
    start(f, true, UINT64_MAX);
    assert_true(f->d.features & (1 << 5));
    assert_int_equal(request(f, 1, 0, 512, false, NULL), IOERR);
    assert_int_equal(request(f, 0, 5, 512, true, NULL), OK);
    assert_int_equal(image_byte(f, 0), 0);
}

static void put_range(struct fixture *f, unsigned i, uint64_t sector, uint32_t n, uint32_t flags)
{
    uint8_t *p = (uint8_t *)rig_ptr(&f->rig, f->data) + 16 * i;
    memcpy(p, &sector, 8);
    memcpy(p + 8, &n, 4);
    memcpy(p + 12, &flags, 4);
}

static void discard_and_write_zeroes(void **state)
{
    struct fixture *f = *state;
    start(f, false, UINT64_MAX);
    put_range(f, 0, 8, 8, 0);
    put_range(f, 1, 24, 1, 1);
    assert_int_equal(request(f, 13, 0, 32, false, NULL), OK);
    assert_int_equal(image_byte(f, 8 * 512), 0);
    assert_int_equal(image_byte(f, 16 * 512 - 1), 0);
    assert_int_equal(image_byte(f, 16 * 512), 16);
    assert_int_equal(image_byte(f, 24 * 512 + 511), 0);
    assert_int_equal(image_byte(f, 25 * 512), 25);
    put_range(f, 0, 32, 8, 0);
    assert_int_equal(request(f, 11, 0, 16, false, NULL), OK);
    assert_int_equal(image_byte(f, 40 * 512), 40);
    put_range(f, 0, 32, 8, 1); /* a flag that discards have not */
    assert_int_equal(request(f, 11, 0, 16, false, NULL), UNSUPP);
    put_range(f, 0, 60, 5, 0);
    assert_int_equal(request(f, 13, 0, 16, false, NULL), IOERR);
    put_range(f, 0, UINT64_MAX, UINT32_MAX, 0);
    assert_int_equal(request(f, 13, 0, 16, false, NULL), IOERR);
    assert_int_equal(request(f, 13, 0, 17, false, NULL), IOERR);
    assert_int_equal(request(f, 13, 0, 17 * 16, false, NULL), IOERR);
    assert_int_equal(image_byte(f, 60 * 512), 60);
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_size, SECTORS * 512);
}

static void requests_without_header_or_status_break(void **state)
{
    struct fixture *f = *state;
    start(f, false, UINT64_MAX);
    static const struct desc chains[][2] = {
        {{0, 15, 0, 0}, {512, 1, VQ_DESC_WRITE, 0}},
        {{0, 16, 0, 0}, {512, 1, 0, 0}},
        {{0, 16, VQ_DESC_WRITE, 0}, {512, 1, VQ_DESC_WRITE, 0}},
    };
    for (unsigned i = 0; i < 3; i++) {
        struct desc b[2];
        memcpy(b, chains[i], sizeof b);
        b[0].addr += f->header;
        b[1].addr += f->header;
        driver_submit(&f->d, 0, b, 2);
        assert_true(driver_wait_status(&f->d, VIRTIO_NEEDS_RESET, VIRTIO_NEEDS_RESET));
        driver_start(&f->d, UINT64_MAX, 1, 16);
    }
    assert_int_equal(request(f, 0, 3, 512, true, NULL), OK);
}

static void file_that_shrinks_is_an_error(void **state)
{
    struct fixture *f = *state;
    start(f, false, UINT64_MAX);
    assert_int_equal(truncate(f->path, 512), 0);
    assert_int_equal(request(f, 0, 3, 512, true, NULL), IOERR);
    assert_int_equal(request(f, 0, 0, 512, true, NULL), OK);
}

static char *refusal(struct fixture *f, const char *path, bool readonly)
{
    ERROR_CLEANUP err = NULL;
    struct machine_disk disk = {.path = path, .readonly = readonly};
    assert_int_equal(virtio_blk_create(f->rig.host, f->rig.slat, &disk, &err), -1);
    assert_non_null(strstr(error_text(err), path));
    return xstrdup(error_text(err));
}

static void expect_refusal(struct fixture *f, const char *path, const char *why)
{
    char *text = refusal(f, path, false);
    if (!strstr(text, why))
        fail_msg("wanted '%s' in '%s'", why, text);
    free(text);
}

static void images_that_are_refused(void **state)
{
    struct fixture *f = *state;
    expect_refusal(f, "/nonexistent/disk", "No such file");
    expect_refusal(f, "/tmp", "directory");
    expect_refusal(f, "/dev/null", "not a regular file");
    assert_int_equal(truncate(f->path, 1000), 0);
    expect_refusal(f, f->path, "1000 bytes are no whole number");
    assert_int_equal(truncate(f->path, 0), 0);
    expect_refusal(f, f->path, "0 bytes are no whole number");
    unlink(f->path);
    assert_int_equal(mkfifo(f->path, 0600), 0);
    expect_refusal(f, f->path, "not a regular file");
}

static void one_writer_at_a_time(void **state)
{
    struct fixture *f = *state;
    start(f, false, UINT64_MAX);
    expect_refusal(f, f->path, "in use by another machine");
    char *text = refusal(f, f->path, true);
    assert_non_null(strstr(text, "in use"));
    free(text);
}

int main(void)
{
    log_init("test", LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(configuration, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_and_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(out_of_range, setup, teardown),
        cmocka_unit_test_setup_teardown(readonly_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(discard_and_write_zeroes, setup, teardown),
        cmocka_unit_test_setup_teardown(requests_without_header_or_status_break, setup, teardown),
        cmocka_unit_test_setup_teardown(file_that_shrinks_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(images_that_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(one_writer_at_a_time, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
