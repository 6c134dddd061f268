/* Runs a static riscv64 Linux program by lifting and the reference interpreter alone, without
 * engine or process wall: for tests of those two. Only write and exit are there.
 *
 * usage: bare PROGRAM */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "engine/engine.h"
#include "engine/ir.h"

#define PAGE_MASK   (~UINT64_C(4095))
#define BLOCK_SLOTS 4096

static bool fetch(struct cpu *cpu, uint64_t pc, struct code_span *out)
{
    out->bytes = (const uint8_t *)(uintptr_t)pc;
    out->len = 4096 - (uint32_t)(pc & 4095);
    out->page = pc & PAGE_MASK;
    return true;
}

static enum step on_system(struct cpu *cpu, uint32_t insn)
{
    if (insn != 0x73) {
        fprintf(stderr, "illegal instruction 0x%" PRIx32 " at 0x%" PRIx64 "\n", insn, cpu->pc);
        exit(3);
    }
    if (cpu->x[17] == 93)
        exit((int)cpu->x[10]);
    ssize_t n = -ENOSYS;
    if (cpu->x[17] == 64)
        n = write((int)cpu->x[10], (const void *)(uintptr_t)cpu->x[11], cpu->x[12]);
    cpu->x[10] = (uint64_t)n;
    cpu->pc += 4;
    return STEP_NEXT;
}

static void fail(const char *what)
{
    perror(what);
    exit(2);
}

static uint64_t load_program(const char *path)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    Elf64_Ehdr h;
    if (fd < 0 || pread(fd, &h, sizeof h, 0) != sizeof h)
        fail(path);
    for (unsigned i = 0; i < h.e_phnum; i++) {
        Elf64_Phdr p;
        if (pread(fd, &p, sizeof p, (off_t)(h.e_phoff + i * sizeof p)) != sizeof p)
            fail(path);
        if (p.p_type != PT_LOAD)
            continue;
        uint64_t start = p.p_vaddr & PAGE_MASK, end = p.p_vaddr + p.p_memsz;
        if (mmap((void *)(uintptr_t)start, end - start, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED)
            fail("mmap");
        if (pread(fd, (void *)(uintptr_t)p.p_vaddr, p.p_filesz, (off_t)p.p_offset) !=
            (ssize_t)p.p_filesz)
            fail(path);
    }
    return h.e_entry;
}

static struct ir_block *slots[BLOCK_SLOTS];

static void forget_blocks(void)
{
    for (unsigned n = 0; n < BLOCK_SLOTS; n++) {
        free(slots[n]);
        slots[n] = NULL;
    }
}

static struct ir_block *find_block(struct cpu *cpu)
{
    struct ir_block **slot = &slots[cpu->pc / 2 % BLOCK_SLOTS];
    if (*slot && (*slot)->pc == cpu->pc && (*slot)->mode == cpu->mode)
        return *slot;
    if (!*slot && !(*slot = malloc(sizeof **slot)))
        fail("malloc");
    if (!lift_block(cpu, false, *slot))
        fail("lift_block");
    ir_check(*slot, false);
    ir_optimize(*slot);
    ir_check(*slot, true);
    if (getenv("BARE_TRACE"))
        ir_print(stderr, *slot);
    return *slot;
}

int main(int argc, char **argv)
{
    static const struct engine_ops ops = {.fetch = fetch, .system = on_system};
    static struct cpu cpu = {.ops = &ops, .res_addr = UINT64_MAX};
    if (argc != 2) {
        fprintf(stderr, "usage: bare PROGRAM\n");
        return 2;
    }
    static uint64_t stack[1 << 16];
    cpu.pc = load_program(argv[1]);
    cpu.x[2] = (uint64_t)(uintptr_t)(stack + (1 << 16));
    for (;;) {
        int step = ir_interpret(&cpu, find_block(&cpu));
        if (step == STEP_FENCE_I)
            forget_blocks();
        if (step == STEP_TRAP || step == STEP_EXIT) {
            fprintf(stderr, "step %d, cause %" PRIu64 ", tval 0x%" PRIx64 " at 0x%" PRIx64 "\n",
                    step, cpu.trap.cause, cpu.trap.tval, cpu.pc);
            return 4;
        }
    }
}
