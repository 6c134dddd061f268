/* What code the emitter makes: for each line of a golden file, the number of host instructions and
 * bytes, compared exactly. Nothing is run, so the result is the same on every machine.
 *
 * usage: emit_snippet [--update | --show NAME] FILE
 *
 * FILE: lines `NAME | ENCODINGS | flat COUNTS | paged COUNTS | sse COUNTS | parallel COUNTS`, the
 * encodings as hexadecimal numbers of 4 or 8 digits, counts as INSTRUCTIONS/BYTES of the hot and of
 * the cold part. flat and paged are for a host with AVX, FMA and BMI; sse is flat for the first
 * x86-64, parallel is flat where several threads see the memory. What
 * each block has, its entry and the jump out where the snippet ends, is not counted. --update
 * rewrites the counts; --show prints IR and host code of the snippets whose name starts with NAME.
 */
#include <capstone/capstone.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "engine/internal.h"
#include "engine/ir.h"

#define PC       UINT64_C(0x10000)
#define ENTRY    5u /* bytes of the instruction that emit_redirect overwrites */
#define JUMP_OUT 5u
#define LINK     9u /* cold: call and number */

struct count {
    unsigned insns, bytes;
};

static const char *const columns[] = {"flat", "paged", "sse", "parallel"};
#define COLUMNS (sizeof columns / sizeof columns[0])

struct snippet {
    uint8_t bytes[512];
    uint32_t len;
};

static struct snippet now; /* what fetch gives */

static bool fetch(struct cpu *cpu, uint64_t pc, struct code_span *out)
{
    if (pc < PC || pc >= PC + now.len) {
        cpu->trap = (struct trap){CAUSE_FETCH_PAGE, pc};
        return false;
    }
    *out = (struct code_span){now.bytes + (pc - PC), now.len - (uint32_t)(pc - PC), PC};
    return true;
}

static struct engine *engines[COLUMNS];
static struct cpu cpus[COLUMNS];
static csh capstone;

static void start(void)
{
    static const struct engine_ops ops = {.fetch = fetch};
    ERROR_CLEANUP err = NULL;
    for (unsigned k = 0; k < COLUMNS; k++) {
        struct engine_config config = {.ops = &ops, .paged = k == 1, .code_bytes = 1 << 20};
        engines[k] = engine_new(&config, &err);
        if (!engines[k] || engine_attach(engines[k], &cpus[k], &err) < 0) {
            printf("not ok - generated code: %s\n", error_text(err));
            exit(1);
        }
        engines[k]->host = k == 2 ? 0 : HOST_ALL;
        engines[k]->parallel = k == 3;
    }
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &capstone) != CS_ERR_OK) {
        printf("not ok - generated code: no disassembler\n");
        exit(1);
    }
}

/* Adds up what is in [from, to) of b's code. Behind a call to some stubs a number stands; single
 * bytes of nop align what is patched later. */
static struct count count(const struct engine *e, const struct block *b, uint32_t from, uint32_t to,
                          bool show)
{
    struct count n = {0, 0};
    const uint8_t *p = b->code + from;
    while (p < b->code + to) {
        const uint8_t *code = p;
        size_t left = (size_t)(b->code + to - p);
        uint64_t address = (uint64_t)(uintptr_t)p;
        cs_insn *insn = cs_malloc(capstone);
        if (!cs_disasm_iter(capstone, &code, &left, &address, insn)) {
            printf("not ok - generated code: 0x%02x at 0x%zx is no instruction\n", *p,
                   (size_t)(p - b->code));
            exit(1);
        }
        if (show)
            printf("    %4zx  %s %s\n", (size_t)(p - b->code), insn->mnemonic, insn->op_str);
        cs_free(insn, 1);
        if (*p == 0x90) {
            p = code;
            continue;
        }
        n.insns++;
        if (*p == 0xe8) {
            int32_t d;
            memcpy(&d, p + 1, 4);
            const uint8_t *to_stub = p + 5 + d;
            if (to_stub == e->stubs.leave_link || to_stub == e->stubs.leave_request_link ||
                to_stub == e->stubs.call_end)
                code += 4;
        }
        n.bytes += (unsigned)(code - p);
        p = code;
    }
    return n;
}

static void emit(unsigned k, struct count *hot, struct count *cold, bool show)
{
    struct engine *e = engines[k];
    struct cpu *cpu = &cpus[k];
    struct ir_block *ir = cpu->p.ir;
    engine_flush(e); /* at the same place each time */
    cpu->pc = PC;
    if (!lift_block(cpu, e->config.paged, ir)) {
        printf("not ok - generated code: empty snippet\n");
        exit(1);
    }
    ir_optimize(ir);
    if (emit_block(e, ir) != EMIT_DONE) {
        printf("not ok - generated code: does not fit\n");
        exit(1);
    }
    struct block_source source;
    blocks_source(ir, e->config.paged, now.bytes, NULL, &source);
    struct block *b =
        blocks_add(&e->blocks, &(struct block_key){ir->pc, ir->page, ir->page2, ir->mode}, &source);
    emit_place(e, b);
    const struct ir_insn *last = &ir->insn[ir->n - 1];
    bool runs_out = last->op == IR_JUMP && (uint64_t)last->imm == PC + now.len;
    uint32_t hot_end = emit_hot_length(e) - (runs_out ? JUMP_OUT : 0);
    if (show)
        ir_print(stdout, ir);
    *hot = count(e, b, ENTRY, hot_end, show);
    if (show)
        puts("    cold:");
    *cold = count(e, b, emit_hot_length(e), b->reenter - (runs_out ? LINK : 0), show);
}

/* The encodings of a line, into `now`. */
static bool parse(const char *hex)
{
    now.len = 0;
    for (;;) {
        char *end;
        uint32_t v = (uint32_t)strtoul(hex, &end, 16);
        size_t digits = (size_t)(end - hex) - strspn(hex, " ");
        if (end == hex)
            return now.len > 0;
        if ((digits != 4 && digits != 8) || now.len + 4 > sizeof now.bytes)
            return false;
        memcpy(now.bytes + now.len, &v, 4);
        now.len += (uint32_t)digits / 2;
        hex = end;
    }
}

static bool shown(const char *line, const char *name)
{
    if (!name || strncmp(line, name, strlen(name)))
        return false;
    fputs(line, stdout);
    return true;
}

/* What line should be; false: it is no snippet. */
static bool expected(const char *line, const char *name, char *out, size_t size)
{
    const char *bar = strchr(line, '|');
    if (line[0] == '#' || line[0] == '\n')
        return false;
    if (!bar || !parse(bar + 1)) {
        printf("not ok - generated code: encodings wanted after `|` in: %s", line);
        exit(1);
    }
    const char *end = strchr(bar + 1, '|');
    int prefix = (int)(end ? end - line : (ptrdiff_t)strcspn(line, "\n"));
    while (prefix > 0 && line[prefix - 1] == ' ')
        prefix--;
    int n = snprintf(out, size, "%.*s", prefix, line);
    bool show = shown(line, name);
    for (unsigned k = 0; k < COLUMNS; k++) {
        struct count hot, cold;
        emit(k, &hot, &cold, show);
        n += snprintf(out + n, size - (size_t)n, " | %s %u/%u %u/%u", columns[k], hot.insns,
                      hot.bytes, cold.insns, cold.bytes);
    }
    snprintf(out + n, size - (size_t)n, "\n");
    return true;
}

int main(int argc, char **argv)
{
    bool update = argc == 3 && strcmp(argv[1], "--update") == 0;
    const char *name = argc == 4 && strcmp(argv[1], "--show") == 0 ? argv[2] : NULL;
    if (argc != 2 && !update && !name) {
        fprintf(stderr, "usage: emit_snippet [--update | --show NAME] FILE\n");
        return 2;
    }
    FILE *f = fopen(argv[argc - 1], "r");
    if (!f) {
        perror(argv[argc - 1]);
        return 2;
    }
    char line[4096], want[4096];
    char *text = NULL;
    size_t text_len = 0;
    FILE *all = open_memstream(&text, &text_len);
    unsigned snippets = 0, differ = 0;
    start();
    while (fgets(line, sizeof line, f)) {
        bool snippet = expected(line, name, want, sizeof want);
        snippets += snippet;
        if (snippet && !update && !name && strcmp(line, want)) {
            printf("# listed: %s# is:     %s", line, want);
            differ++;
        }
        fputs(snippet ? want : line, all);
    }
    fclose(f);
    fclose(all);
    if (update) {
        f = fopen(argv[2], "w");
        if (!f || fwrite(text, 1, text_len, f) != text_len || fclose(f) == EOF) {
            perror(argv[2]);
            return 2;
        }
    } else if (!name && differ) {
        printf("not ok - generated code: %u of %u snippets differ (emit_snippet --update when that "
               "is wanted)\n",
               differ, snippets);
    } else if (!name) {
        printf("ok - generated code of %u snippets is as listed\n", snippets);
    }
    free(text);
    cs_close(&capstone);
    for (unsigned k = 0; k < COLUMNS; k++) {
        engine_detach(&cpus[k]);
        engine_free(engines[k]);
    }
    return differ != 0 || snippets == 0;
}
