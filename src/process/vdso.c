/* The vDSO: a small ELF object of the kernel's in each process, named by AT_SYSINFO_EHDR. libc, Go
 * and unwinders look functions up there by name and version (LINUX_4.15), as vdso(7) says. Each is
 * the system call: the way into the emulator costs less than reading the time would in guest code.
 */
#include "process/vdso.h"

#include <elf.h>
#include <stddef.h>
#include <string.h>

/* name, and its number as a system call */
#define FUNCTIONS(F)      \
    F(rt_sigreturn, 139)  \
    F(gettimeofday, 169)  \
    F(clock_gettime, 113) \
    F(clock_getres, 114)  \
    F(getcpu, 168)        \
    F(flush_icache, 259)  \
    F(riscv_hwprobe, 258)

#define SONAME        "linux-vdso.so.1"
#define VERSION       "LINUX_4.15"
#define VERSION_HASH  0x0ae77f75 /* the ELF hash of that */
#define VERSION_INDEX 2

/* li a7, NUMBER; ecall; ret. Unwinders know a signal's frame by the first two of rt_sigreturn. */
#define LI_A7(n)   (0x00000893u | (uint32_t)(n) << 20)
#define INSN_ECALL 0x00000073u
#define INSN_RET   0x00008067u

struct stub {
    uint32_t code[4];
};

struct strings {
    char none[1];
    char soname[sizeof SONAME];
    char version[sizeof VERSION];
#define F(function, nr) char function[sizeof "__vdso_" #function];
    FUNCTIONS(F)
#undef F
};

struct functions {
#define F(function, nr) struct stub function;
    FUNCTIONS(F)
#undef F
};

enum {
    SYMBOL_NONE,
#define F(function, nr) SYMBOL_##function,
    FUNCTIONS(F)
#undef F
    N_SYMBOLS
};

struct version {
    Elf64_Verdef def;
    Elf64_Verdaux aux;
};

struct image {
    Elf64_Ehdr head;
    Elf64_Phdr segments[2];
    Elf64_Dyn dynamic[10];
    Elf64_Sym symbols[N_SYMBOLS];
    uint32_t hash[2 + 1 + N_SYMBOLS]; /* one bucket */
    uint16_t versions[N_SYMBOLS];
    struct version definitions[2] __attribute__((aligned(8)));
    struct strings strings;
    struct functions functions __attribute__((aligned(16)));
};

_Static_assert(sizeof(struct image) <= PAGE_SIZE, "the vDSO is one page");

static const struct image image = {
    .head = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
             .e_type = ET_DYN,
             .e_machine = EM_RISCV,
             .e_version = EV_CURRENT,
             .e_phoff = offsetof(struct image, segments),
             .e_flags =
                 0x5, /* compressed instructions, doubles in registers: as the guest's libc */
             .e_ehsize = sizeof(Elf64_Ehdr),
             .e_phentsize = sizeof(Elf64_Phdr),
             .e_phnum = 2},
    .segments = {{.p_type = PT_LOAD,
                  .p_flags = PF_R | PF_X,
                  .p_filesz = sizeof(struct image),
                  .p_memsz = sizeof(struct image),
                  .p_align = PAGE_SIZE},
                 {.p_type = PT_DYNAMIC,
                  .p_flags = PF_R,
                  .p_offset = offsetof(struct image, dynamic),
                  .p_vaddr = offsetof(struct image, dynamic),
                  .p_paddr = offsetof(struct image, dynamic),
                  .p_filesz = sizeof(Elf64_Dyn[10]),
                  .p_memsz = sizeof(Elf64_Dyn[10]),
                  .p_align = 8}},
    .dynamic = {{DT_SONAME, {offsetof(struct strings, soname)}},
                {DT_HASH, {offsetof(struct image, hash)}},
                {DT_STRTAB, {offsetof(struct image, strings)}},
                {DT_SYMTAB, {offsetof(struct image, symbols)}},
                {DT_STRSZ, {sizeof(struct strings)}},
                {DT_SYMENT, {sizeof(Elf64_Sym)}},
                {DT_VERSYM, {offsetof(struct image, versions)}},
                {DT_VERDEF, {offsetof(struct image, definitions)}},
                {DT_VERDEFNUM, {2}},
                {DT_NULL, {0}}},
    .symbols =
        {
#define F(function, nr)                                                               \
    [SYMBOL_##function] = {.st_name = offsetof(struct strings, function),             \
                           .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),            \
                           .st_shndx = 1, /* defined; there are no section headers */ \
                           .st_value = offsetof(struct image, functions) +            \
                                       offsetof(struct functions, function),          \
                           .st_size = 12},
            FUNCTIONS(F)
#undef F
        },
    .hash = {1, N_SYMBOLS, 1, 0,
#define F(function, nr) SYMBOL_##function + 1 < N_SYMBOLS ? SYMBOL_##function + 1 : 0,
             FUNCTIONS(F)
#undef F
    },
    .versions = {0,
#define F(function, nr) VERSION_INDEX,
                 FUNCTIONS(F)
#undef F
    },
    .definitions = {{{.vd_version = VER_DEF_CURRENT,
                      .vd_flags = VER_FLG_BASE,
                      .vd_ndx = 1,
                      .vd_cnt = 1,
                      .vd_hash = 0,
                      .vd_aux = sizeof(Elf64_Verdef),
                      .vd_next = sizeof(struct version)},
                     {.vda_name = offsetof(struct strings, soname)}},
                    {{.vd_version = VER_DEF_CURRENT,
                      .vd_ndx = VERSION_INDEX,
                      .vd_cnt = 1,
                      .vd_hash = VERSION_HASH,
                      .vd_aux = sizeof(Elf64_Verdef)},
                     {.vda_name = offsetof(struct strings, version)}}},
    .strings = {.soname = SONAME,
                .version = VERSION,
#define F(function, nr) .function = "__vdso_" #function,
                FUNCTIONS(F)
#undef F
    },
    .functions = {
#define F(function, nr) .function = {{LI_A7(nr), INSN_ECALL, INSN_RET}},
        FUNCTIONS(F)
#undef F
    }};

void vdso_write(uint64_t page)
{
    memcpy((void *)page, &image, sizeof image);
}

uint64_t vdso_signal_return(uint64_t page)
{
    return page + offsetof(struct image, functions) + offsetof(struct functions, rt_sigreturn);
}
