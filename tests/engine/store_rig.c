#include "store_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"

#define FRAGMENTS 22
#define STRIDE    280 /* bytes of code from one to the next; no divisor of a page */

#define BLEZ_T1 0x00605063

static uint32_t at; /* in bytes, where the next instruction goes */

static void put(uint32_t insn)
{
    unsigned len = (insn & 3) == 3 ? 4 : 2;
    memcpy((uint8_t *)rig_code + at, &insn, len);
    at += len;
}

static uint32_t jal(unsigned rd, uint32_t by)
{
    return 0x6f | rd << 7 | (by & 0xff000) | (by >> 11 & 1) << 20 | (by >> 1 & 0x3ff) << 21 |
           (by & 1u << 31);
}

static uint32_t addi(unsigned rd, unsigned rs, uint32_t imm)
{
    return 0x13 | rd << 7 | rs << 15 | (imm & 0xfff) << 20;
}

/* One of what there are emitters for; a0 to a7, t0 to t2 and rig_data are changed. */
static void put_kind(unsigned kind, uint32_t imm)
{
    uint32_t offset = (imm & 0xff) * 8 % 2040;
    switch (kind % 12) {
    case 0: put(0x00000517 | (imm & 0xff) << 12); break;                     /* auipc a0 */
    case 1: put(0x00a03023 | (offset & 31) << 7 | offset >> 5 << 25); break; /* sd a0, (x0) */
    case 2: put(0x00003583 | offset << 20); break;                           /* ld a1, (x0) */
    case 3: put(0x02b50533); break;                                          /* mul a0, a0, a1 */
    case 4: put(0x00b57463); break;                          /* bgeu a0, a1, over one of 4 bytes */
    case 5: put(0x00b6b62f | (imm & 1) << 26); break;        /* amoadd.d a2, a1, (a3) */
    case 6: put(0xd2250553); break;                          /* fcvt.d.l fa0, a0 */
    case 7: put(0x02a5f5d3); break;                          /* fadd.d fa1, fa1, fa0 */
    case 8: put(0x02b54633); break;                          /* div a2, a0, a1 */
    case 9: put(0x60051613); break;                          /* clz a2, a0 */
    case 10: put(0x0001); break;                             /* c.nop */
    default: put(0x000002b7 | (imm & 0xfffff) << 12); break; /* lui t0 */
    }
}

void write_program(unsigned number)
{
    uint64_t random = number * UINT64_C(0x9e3779b97f4a7c15) + 1;
    memset(rig_code, 0, RIG_CODE);
    for (unsigned n = 0; n < FRAGMENTS; n++) {
        at = n * STRIDE;
        put(addi(10, 10, number));
        put(addi(13, 0, 8 * n)); /* amoadd's address */
        put(addi(6, 0, n % 3));  /* t1: how often it is done again */
        uint32_t first = at;
        for (unsigned k = 0; k < 6 + n % 12; k++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
            put_kind((unsigned)(random >> 60) + n, (uint32_t)(random >> 32));
            put(addi(14 + k % 4, 10 + k % 4, (uint32_t)(random >> 40)));
        }
        put(BLEZ_T1 | 12 << 7);
        put(addi(6, 6, 0xfff));
        put(jal(0, first - at));
        put(n + 1 < FRAGMENTS ? jal(1, (n + 1) * STRIDE - at) : RIG_ECALL);
    }
}

static void run_config(struct engine_config config, struct outcome *out, struct engine_stats *stats)
{
    struct engine *e = rig_start(config);
    assert_true(rig_run());
    memcpy(out->x, rig_cpu.x, sizeof out->x);
    memcpy(out->f, rig_cpu.f, sizeof out->f);
    memcpy(out->data, rig_data, sizeof out->data);
    if (stats)
        engine_get_stats(e, stats);
    rig_end(e);
}

void run_program(struct store *s, struct outcome *out, struct engine_stats *stats)
{
    run_config((struct engine_config){.store = s, .code_bytes = 1 << 17}, out, stats);
}

void interpret_program(struct outcome *out)
{
    run_config((struct engine_config){.interpret = true}, out, NULL);
}

int new_file(void)
{
    int fd = memfd_create("store", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0);
    return fd;
}

struct store *open_store(int fd, size_t limit)
{
    struct store *s = store_new(limit);
    if (store_use_file(s, fd, BUILD) ||
        (store_make_file(s, fd, BUILD) && store_use_file(s, fd, BUILD)))
        return s;
    store_free(s);
    return NULL;
}

void save_program(int fd, size_t limit)
{
    struct outcome out;
    struct store *s = open_store(fd, limit);
    if (!s)
        return;
    run_program(s, &out, NULL);
    store_save(s, fd);
    store_free(s);
}

struct record *record_copy(const struct record *r, size_t size)
{
    struct record *copy = xcalloc(1, size);
    memcpy(copy, r, size);
    return copy;
}

void read_records(int fd, struct records *out)
{
    struct stat st;
    struct record_parts parts;
    assert_int_equal(fstat(fd, &st), 0);
    size_t size = (size_t)st.st_size;
    uint8_t *image = xcalloc(1, size);
    assert_int_equal(pread(fd, image, size, 0), (ssize_t)size);
    *out = (struct records){.all = xcalloc(size / sizeof(struct record), sizeof *out->all)};
    for (size_t from = 0; from + sizeof(struct record) <= size;) {
        struct record *r = (void *)(image + from), *copy;
        bool fits = r->size >= sizeof *r && r->size <= size - from && r->size <= RECORD_MAX;
        copy = fits ? record_copy(r, r->size) : NULL;
        if (copy && record_parse(copy, copy->size, &parts)) {
            out->all[out->n++] = copy;
            from += copy->size;
        } else {
            free(copy);
            from += RECORD_ALIGN;
        }
    }
    free(image);
}

void free_records(struct records *r)
{
    for (unsigned n = 0; n < r->n; n++)
        free(r->all[n]);
    free(r->all);
}

static bool is_one_of(const struct record *r, const struct records *all)
{
    for (unsigned n = 0; n < all->n; n++)
        if (r->size == all->all[n]->size && memcmp(r, all->all[n], r->size) == 0)
            return true;
    return false;
}

size_t count_found(struct store *s, const struct records *r)
{
    static _Alignas(16) uint8_t out[RECORD_MAX];
    const struct record *found = (void *)out;
    struct record_parts parts;
    size_t count = 0;
    for (unsigned n = 0; n < r->n; n++) {
        const struct record *wanted = r->all[n];
        bool same = false;
        for (uint32_t state = 0; store_next(s, wanted->key, &state, (void *)out, &parts);) {
            if (!is_one_of(found, r))
                return SIZE_MAX;
            same = same || (found->size == wanted->size && !memcmp(found, wanted, found->size));
        }
        count += same;
    }
    return count;
}
