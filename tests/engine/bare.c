/* Runs a bare riscv64 program on the engine alone: a static ELF file, mapped at its addresses; the
 * only system calls are write (64) and exit (93). Usage: engine-bare [--interpret] [--trace]
 * PROGRAM */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "engine/engine.h"
#include "engine/tlb.h"

static struct cpu *the_cpu; /* for the signal handler */
static uint64_t text_end;

static bool fetch(struct cpu *cpu, uint64_t pc, struct code_span *out)
{
    if (pc < 4096 || pc >= text_end) {
        cpu->trap = (struct trap){CAUSE_FETCH_ACCESS, pc};
        return false;
    }
    uint64_t left = text_end - pc, on_page = 4096 - (pc & 0xfff);
    *out = (struct code_span){(const uint8_t *)(uintptr_t)pc,
                              (uint32_t)(left < on_page ? left : on_page), pc & ~0xfffull};
    return true;
}

static bool enters(void)
{
    static unsigned n;
    return n++ % 4 != 3;
}

static bool paged_load(struct cpu *cpu, uint64_t va, unsigned size, uint64_t *value)
{
    *value = 0;
    memcpy(value, (void *)(uintptr_t)va, size);
    if (enters())
        tlb_fill(cpu->tlb->load, va, (void *)(uintptr_t)(va & ~0xfffull));
    return true;
}

static bool paged_store(struct cpu *cpu, uint64_t va, unsigned size, uint64_t value)
{
    memcpy((void *)(uintptr_t)va, &value, size);
    if (enters())
        tlb_fill(cpu->tlb->store, va, (void *)(uintptr_t)(va & ~0xfffull));
    return true;
}

static void *paged_atomic(struct cpu *cpu, uint64_t va, unsigned size, bool load_only)
{
    if (va & (size - 1)) {
        cpu->trap = (struct trap){CAUSE_STORE_MISALIGNED, va};
        return NULL;
    }
    if (enters())
        tlb_fill(load_only ? cpu->tlb->load : cpu->tlb->store, va,
                 (void *)(uintptr_t)(va & ~0xfffull));
    return (void *)(uintptr_t)va;
}

static enum step system_insn(struct cpu *cpu, uint32_t insn)
{
    cpu->trap = (struct trap){insn == 0x73 ? CAUSE_ECALL_U : CAUSE_ILLEGAL, insn};
    return STEP_TRAP;
}

static void on_fault(int sig, siginfo_t *info, void *uc)
{
    if (!engine_host_fault(the_cpu, info, uc, CAUSE_LOAD_PAGE))
        signal(sig, SIG_DFL);
}

static uint64_t load_elf(const char *path)
{
    char *data;
    size_t len;
    struct error *err = NULL;
    if (read_file_at(AT_FDCWD, path, 1 << 26, &data, &len, &err) < 0) {
        fprintf(stderr, "%s\n", error_text(err));
        exit(2);
    }
    Elf64_Ehdr *eh = (Elf64_Ehdr *)data;
    Elf64_Phdr *ph = (Elf64_Phdr *)(data + eh->e_phoff);
    for (int i = 0; i < eh->e_phnum; i++) {
        if (ph[i].p_type != PT_LOAD)
            continue;
        uint64_t start = ph[i].p_vaddr & ~0xfffull;
        uint64_t end = (ph[i].p_vaddr + ph[i].p_memsz + 0xfff) & ~0xfffull;
        void *at = mmap((void *)start, end - start, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (at == MAP_FAILED) {
            perror("mmap");
            exit(2);
        }
        memcpy((void *)ph[i].p_vaddr, data + ph[i].p_offset, ph[i].p_filesz);
        if (end > text_end)
            text_end = end;
    }
    uint64_t entry = eh->e_entry;
    free(data);
    return entry;
}

int main(int argc, char **argv)
{
    static struct cpu cpu;
    static const struct engine_ops ops = {.fetch = fetch,
                                          .system = system_insn,
                                          .load = paged_load,
                                          .store = paged_store,
                                          .atomic = paged_atomic};
    static struct tlb tlb;
    static struct jump_cache jumps;
    struct engine_config config = {.ops = &ops};
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (!strcmp(argv[i], "--interpret"))
            config.interpret = true;
        if (!strcmp(argv[i], "--paged"))
            config.paged = true;
        if (!strcmp(argv[i], "--trace"))
            config.trace = stderr;
    }
    if (i >= argc)
        return 2;
    struct error *err = NULL;
    struct engine *e = engine_new(&config, &err);
    if (!e || engine_attach(e, &cpu, &err) < 0) {
        fprintf(stderr, "%s\n", error_text(err));
        return 2;
    }
    the_cpu = &cpu;
    if (config.paged) {
        tlb_flush(&tlb);
        engine_set_context(&cpu, &tlb, &jumps);
    }
    static char altstack[65536];
    sigaltstack(&(stack_t){.ss_sp = altstack, .ss_size = sizeof altstack}, NULL);
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
    cpu.pc = load_elf(argv[i]);
    static char stack[1 << 20] __attribute__((aligned(16)));
    cpu.x[2] = (uint64_t)(uintptr_t)(stack + sizeof stack);
    for (;;) {
        if (engine_run(&cpu) == EXIT_REQUEST)
            continue;
        if (cpu.trap.cause == CAUSE_ECALL_U && cpu.x[17] == 93)
            return (int)cpu.x[10];
        if (cpu.trap.cause == CAUSE_ECALL_U && cpu.x[17] == 64) {
            cpu.x[10] = (uint64_t)write((int)cpu.x[10], (void *)cpu.x[11], cpu.x[12]);
            cpu.pc += 4;
            continue;
        }
        fprintf(stderr, "trap: cause %lu, tval 0x%lx, pc 0x%lx\n", cpu.trap.cause, cpu.trap.tval,
                cpu.pc);
        return 99;
    }
}
