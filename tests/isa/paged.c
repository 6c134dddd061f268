/* Runs a static riscv64 program on the engine with translated addresses, as a machine does: each
 * guest page lies in a host page of its own, in no order, and the TLB forgets now and then. Only
 * write and exit are there.
 *
 * usage: paged [--interpret | --sse] PROGRAM
 *
 * --sse: with no host instructions but those of the first x86-64. */
#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "engine/internal.h"
#include "engine/jumps.h"
#include "engine/tlb.h"

#define PAGES 4096u /* of guest memory, from address 0 */
#define PAGE  4096u

static uint8_t *frames[PAGES]; /* NULL: not mapped */
static uint8_t *memory;
static unsigned used, misses;

static bool map_page(uint64_t page)
{
    if (page >= PAGES)
        return false;
    if (!frames[page])
        frames[page] = memory + (size_t)(used++ * 1237 % PAGES) * PAGE; /* 1237: in no order */
    return true;
}

static uint8_t *byte_at(uint64_t va)
{
    uint64_t page = va / PAGE;
    return page < PAGES && frames[page] ? frames[page] + va % PAGE : NULL;
}

static bool trap(struct cpu *cpu, uint64_t cause, uint64_t va)
{
    cpu->trap = (struct trap){cause, va};
    return false;
}

static bool fetch(struct cpu *cpu, uint64_t pc, struct code_span *out)
{
    if (!byte_at(pc))
        return trap(cpu, CAUSE_FETCH_PAGE, pc);
    /* Pages are named by where they are, as guest-physical ones. */
    *out = (struct code_span){byte_at(pc), PAGE - (uint32_t)(pc % PAGE),
                              (uint64_t)(frames[pc / PAGE] - memory)};
    return true;
}

/* Two misses of three are remembered; at times all is forgotten. */
static void remember(struct cpu *cpu, struct tlb_entry *table, uint64_t va)
{
    misses++;
    if (misses % 64 == 0)
        tlb_flush(cpu->tlb);
    if (misses % 3)
        tlb_fill(table, va, frames[va / PAGE]);
}

static bool load(struct cpu *cpu, uint64_t va, unsigned size, uint64_t *value)
{
    *value = 0;
    for (unsigned n = 0; n < size; n++) {
        if (!byte_at(va + n))
            return trap(cpu, CAUSE_LOAD_PAGE, va + n);
        *value |= (uint64_t)*byte_at(va + n) << 8 * n;
    }
    remember(cpu, cpu->tlb->load, va);
    return true;
}

static bool store(struct cpu *cpu, uint64_t va, unsigned size, uint64_t value)
{
    if (!byte_at(va) || !byte_at(va + size - 1))
        return trap(cpu, CAUSE_STORE_PAGE, byte_at(va) ? va + size - 1 : va);
    for (unsigned n = 0; n < size; n++)
        *byte_at(va + n) = (uint8_t)(value >> 8 * n);
    remember(cpu, cpu->tlb->store, va);
    return true;
}

static void *atomic(struct cpu *cpu, uint64_t va, unsigned size, bool load_only)
{
    if (va & (size - 1)) {
        trap(cpu, load_only ? CAUSE_LOAD_MISALIGNED : CAUSE_STORE_MISALIGNED, va);
        return NULL;
    }
    if (!byte_at(va)) {
        trap(cpu, load_only ? CAUSE_LOAD_PAGE : CAUSE_STORE_PAGE, va);
        return NULL;
    }
    remember(cpu, load_only ? cpu->tlb->load : cpu->tlb->store, va);
    return byte_at(va);
}

static enum step on_system(struct cpu *cpu, uint32_t insn)
{
    if (insn != 0x73) {
        cpu->trap = (struct trap){CAUSE_ILLEGAL, insn};
        return STEP_TRAP;
    }
    if (cpu->x[17] == 93)
        exit((int)cpu->x[10]);
    for (uint64_t n = 0; n < cpu->x[12]; n++) {
        uint8_t *byte = byte_at(cpu->x[11] + n);
        if (!byte || cpu->x[17] != 64)
            exit(4);
        putchar_unlocked(*byte);
    }
    cpu->x[10] = cpu->x[12];
    cpu->pc += 4;
    tlb_flush(cpu->tlb);
    return STEP_NEXT;
}

static void fence_i(struct cpu *cpu)
{
    engine_invalidate(cpu->engine, 0, (uint64_t)PAGES * PAGE, true);
}

static uint64_t load_program(const char *path)
{
    AUTO_FREE char *data = NULL;
    size_t len;
    ERROR_CLEANUP err = NULL;
    if (read_file_at(-100, path, 1 << 24, &data, &len, &err) < 0) {
        fprintf(stderr, "%s\n", error_text(err));
        exit(2);
    }
    const Elf64_Ehdr *h = (const Elf64_Ehdr *)data;
    const Elf64_Phdr *p = (const Elf64_Phdr *)(data + h->e_phoff);
    for (unsigned i = 0; i < h->e_phnum; i++) {
        for (uint64_t n = 0; p[i].p_type == PT_LOAD && n < p[i].p_memsz; n++) {
            if (!map_page((p[i].p_vaddr + n) / PAGE))
                exit(2);
            *byte_at(p[i].p_vaddr + n) = n < p[i].p_filesz ? (uint8_t)data[p[i].p_offset + n] : 0;
        }
    }
    return h->e_entry;
}

int main(int argc, char **argv)
{
    static const struct engine_ops ops = {.fetch = fetch,
                                          .load = load,
                                          .store = store,
                                          .atomic = atomic,
                                          .system = on_system,
                                          .fence_i = fence_i};
    static struct cpu cpu;
    static struct tlb tlb;
    static struct jump_cache jumps;
    struct engine_config config = {.ops = &ops, .paged = true};
    ERROR_CLEANUP err = NULL;
    config.interpret = argc == 3 && strcmp(argv[1], "--interpret") == 0;
    bool sse = argc == 3 && strcmp(argv[1], "--sse") == 0;
    if (argc != 2 + config.interpret + sse) {
        fprintf(stderr, "usage: paged [--interpret | --sse] PROGRAM\n");
        return 2;
    }
    memory = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                  -1, 0);
    struct engine *e = memory == MAP_FAILED ? NULL : engine_new(&config, &err);
    if (!e || engine_attach(e, &cpu, &err) < 0) {
        fprintf(stderr, "%s\n", error_text(err));
        return 2;
    }
    if (sse)
        e->host = 0;
    tlb_flush(&tlb);
    jump_cache_flush(&jumps);
    engine_set_context(&cpu, &tlb, &jumps);
    cpu.pc = load_program(argv[argc - 1]);
    for (uint64_t page = PAGES - 16; page < PAGES; page++)
        map_page(page);
    cpu.x[2] = (uint64_t)PAGES * PAGE;
    while (engine_run(&cpu) == EXIT_REQUEST)
        ;
    fflush(stdout);
    fprintf(stderr, "cause %" PRIu64 ", tval 0x%" PRIx64 " at 0x%" PRIx64 "\n", cpu.trap.cause,
            cpu.trap.tval, cpu.pc);
    return 3;
}
