#include "process/loader.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "process/path.h"
#include "process/space.h"
#include "process/vdso.h"

#define EF_RISCV_RVE_FLAG 0x8
#define MAX_PHDRS         (65536 / sizeof(Elf64_Phdr)) /* the kernel's bound: ELF_MIN_ALIGN's 64 KiB */
#define MAX_ALIGN         (1ull << 30)
/* Where position-independent programs go: far below the emulator, with room for brk above. The
 * second place is for when something of the host's lies at the first, as AddressSanitizer's shadow
 * does. */
static const uint64_t pie_bases[] = {0x2a00000000ull, 0x2a0000000000ull};

struct elf {
    const char *path; /* for messages */
    int fd;
    uint64_t file_size;
    Elf64_Ehdr head;
    Elf64_Phdr *phdrs;
    uint64_t lo, hi, align; /* of the PT_LOAD segments, page-rounded, before relocation */
};

enum program_kind program_kind(const uint8_t *head, size_t len)
{
    Elf64_Ehdr e;
    if (len >= 2 && head[0] == '#' && head[1] == '!')
        return PROGRAM_SCRIPT;
    if (len < sizeof e)
        return PROGRAM_OTHER;
    memcpy(&e, head, sizeof e);
    return memcmp(e.e_ident, ELFMAG, SELFMAG) == 0 && e.e_ident[EI_CLASS] == ELFCLASS64 &&
                   e.e_ident[EI_DATA] == ELFDATA2LSB && e.e_machine == EM_RISCV
               ? PROGRAM_FOREIGN
               : PROGRAM_OTHER;
}

static uint64_t page_down(uint64_t v)
{
    return v & ~(PAGE_SIZE - 1);
}

static uint64_t page_up(uint64_t v)
{
    return (v + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

/* Reads len bytes at offset; the file is known to be long enough, unless it changes under us. */
static int read_at(const struct elf *e, uint64_t offset, void *out, size_t len, struct error **err)
{
    ssize_t n = pread(e->fd, out, len, (off_t)offset);
    if (n < 0)
        return error_set(err, errno, "%s: read at %#llx", e->path, (unsigned long long)offset);
    if ((size_t)n != len)
        return error_set(err, ENOEXEC, "%s: truncated at %#llx", e->path,
                         (unsigned long long)offset);
    return 0;
}

static int check_header(const struct elf *e, struct error **err)
{
    const Elf64_Ehdr *h = &e->head;
    const char *wrong = NULL;
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0)
        wrong = "not an ELF file";
    else if (h->e_ident[EI_CLASS] != ELFCLASS64)
        wrong = "not a 64-bit ELF file";
    else if (h->e_ident[EI_DATA] != ELFDATA2LSB)
        wrong = "not a little-endian ELF file";
    else if (h->e_machine != EM_RISCV)
        wrong = "not a riscv64 program (e_machine is not 243)";
    else if (h->e_type != ET_EXEC && h->e_type != ET_DYN)
        wrong = "not a program (e_type is neither EXEC nor DYN)";
    else if (h->e_flags & EF_RISCV_RVE_FLAG)
        wrong = "for RV64E, which has 16 registers; RV64I is needed (e_flags)";
    else if (h->e_phentsize != sizeof(Elf64_Phdr))
        wrong = "e_phentsize is not 56";
    else if (h->e_phnum == 0 || h->e_phnum > MAX_PHDRS)
        wrong = "e_phnum is not between 1 and 1170";
    else if (h->e_phoff > e->file_size ||
             (uint64_t)h->e_phnum * sizeof(Elf64_Phdr) > e->file_size - h->e_phoff)
        wrong = "truncated: the program headers are beyond its end";
    if (wrong)
        return error_set(err, ENOEXEC, "%s: %s", e->path, wrong);
    return 0;
}

static int check_segment(const struct elf *e, const Elf64_Phdr *ph, unsigned n, struct error **err)
{
    const char *wrong = NULL;
    if (ph->p_filesz > ph->p_memsz)
        wrong = "p_filesz is greater than p_memsz";
    else if (ph->p_offset > e->file_size || ph->p_filesz > e->file_size - ph->p_offset)
        wrong = "truncated: it is beyond the file's end";
    else if (ph->p_vaddr >= GUEST_ADDRESS_END || ph->p_memsz > GUEST_ADDRESS_END - ph->p_vaddr)
        wrong = "its addresses are beyond user space";
    else if ((ph->p_vaddr ^ ph->p_offset) & (PAGE_SIZE - 1))
        wrong = "p_vaddr and p_offset differ within a page";
    else if (ph->p_align > MAX_ALIGN || (ph->p_align & (ph->p_align - 1)))
        wrong = "p_align is not a power of two up to 1 GiB";
    if (wrong)
        return error_set(err, ENOEXEC, "%s: segment %u: %s", e->path, n, wrong);
    return 0;
}

static int check_segments(struct elf *e, struct error **err)
{
    e->lo = UINT64_MAX;
    e->align = PAGE_SIZE;
    for (unsigned i = 0; i < e->head.e_phnum; i++) {
        const Elf64_Phdr *ph = &e->phdrs[i];
        if (ph->p_type != PT_LOAD || !ph->p_memsz)
            continue;
        if (check_segment(e, ph, i, err) < 0)
            return -1;
        if (page_down(ph->p_vaddr) < e->lo)
            e->lo = page_down(ph->p_vaddr);
        if (page_up(ph->p_vaddr + ph->p_memsz) > e->hi)
            e->hi = page_up(ph->p_vaddr + ph->p_memsz);
        if (ph->p_align > e->align)
            e->align = ph->p_align;
    }
    if (e->lo >= e->hi)
        return error_set(err, ENOEXEC, "%s: has no PT_LOAD segment", e->path);
    return 0;
}

/* Reads and checks the headers of e->fd. */
static int read_elf(struct elf *e, struct error **err)
{
    struct stat st;
    if (fstat(e->fd, &st) < 0)
        return error_set(err, errno, "%s", e->path);
    if (!S_ISREG(st.st_mode))
        return error_set(err, EACCES, "%s: not a regular file", e->path);
    e->file_size = (uint64_t)st.st_size;
    if (e->file_size < sizeof e->head)
        return error_set(err, ENOEXEC, "%s: too short for an ELF file", e->path);
    if (read_at(e, 0, &e->head, sizeof e->head, err) < 0 || check_header(e, err) < 0)
        return -1;
    size_t size = (size_t)e->head.e_phnum * sizeof(Elf64_Phdr);
    e->phdrs = xcalloc(1, size);
    if (read_at(e, e->head.e_phoff, e->phdrs, size, err) < 0)
        return -1;
    return check_segments(e, err);
}

static void free_elf(struct elf *e)
{
    free(e->phdrs);
}

#define ELF_CLEANUP __attribute__((cleanup(free_elf))) struct elf

static void close_elf(struct elf *e)
{
    if (e->fd >= 0)
        close(e->fd);
    free_elf(e);
}

/* One that has its descriptor to itself. */
#define OWN_ELF_CLEANUP __attribute__((cleanup(close_elf))) struct elf

/* A random multiple of a page below 4 GiB; 0 where the user has switched that off. */
uint64_t random_offset(void)
{
    uint32_t r = 0;
    int persona = personality(0xffffffff);
    if (persona >= 0 && (persona & ADDR_NO_RANDOMIZE))
        return 0;
    if (getrandom(&r, sizeof r, GRND_NONBLOCK) != sizeof r)
        return 0;
    return r & ~(uint32_t)(PAGE_SIZE - 1);
}

/* Reserves the whole program's addresses. *bias is what is added to its own. */
static int reserve(struct process *p, const struct elf *e, bool main_program, uint64_t *bias,
                   struct error **err)
{
    uint64_t size = e->hi - e->lo;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    if (e->head.e_type == ET_EXEC) {
        long r = space_mmap(p, e->lo, size, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
        if (r < 0)
            return error_set(err, (int)-r, "%s: addresses %#llx to %#llx", e->path,
                             (unsigned long long)e->lo, (unsigned long long)e->hi);
        *bias = 0;
        return 0;
    }
    for (size_t i = 0; main_program && i < sizeof pie_bases / sizeof *pie_bases; i++) {
        uint64_t base = (pie_bases[i] + random_offset()) & ~(e->align - 1);
        long r = space_mmap(p, base, size, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
        if (r >= 0) {
            *bias = base - e->lo;
            return 0;
        }
    }
    /* Anywhere: more than needed, of which the aligned part is kept. */
    uint64_t extra = e->align - PAGE_SIZE;
    long r = space_mmap(p, 0, size + extra, PROT_NONE, flags, -1, 0);
    if (r < 0)
        return error_set(err, (int)-r, "%s: %llu bytes of address space", e->path,
                         (unsigned long long)size);
    uint64_t base = ((uint64_t)r + extra) & ~(e->align - 1);
    if (base > (uint64_t)r)
        space_munmap(p, (uint64_t)r, base - (uint64_t)r);
    if ((uint64_t)r + extra > base)
        space_munmap(p, base + size, (uint64_t)r + extra - base);
    *bias = base - e->lo;
    return 0;
}

static int map_file_part(struct process *p, const struct elf *e, const Elf64_Phdr *ph,
                         uint64_t start, int prot, struct error **err)
{
    uint64_t within = ph->p_vaddr & (PAGE_SIZE - 1);
    long r = space_mmap(p, start, within + ph->p_filesz, prot, MAP_PRIVATE | MAP_FIXED, e->fd,
                        ph->p_offset - within);
    if (r < 0)
        return error_set(err, (int)-r, "%s: map file offset %#llx", e->path,
                         (unsigned long long)ph->p_offset);
    return 0;
}

static int map_segment(struct process *p, const struct elf *e, const Elf64_Phdr *ph, uint64_t bias,
                       struct error **err)
{
    static const char zeros[PAGE_SIZE];
    int prot = (ph->p_flags & PF_R ? PROT_READ : 0) | (ph->p_flags & PF_W ? PROT_WRITE : 0) |
               (ph->p_flags & PF_X ? PROT_EXEC : 0);
    uint64_t start = page_down(ph->p_vaddr) + bias;
    uint64_t file_end = ph->p_vaddr + ph->p_filesz + bias;
    uint64_t end = page_up(ph->p_vaddr + ph->p_memsz + bias);
    bool has_zeros = ph->p_memsz > ph->p_filesz;
    int first_prot = has_zeros ? prot | PROT_WRITE : prot;

    if (ph->p_filesz && map_file_part(p, e, ph, start, first_prot, err) < 0)
        return -1;
    uint64_t zero_page = ph->p_filesz ? page_up(file_end) : start;
    if (has_zeros && zero_page > file_end && ph->p_filesz &&
        guest_write(file_end, zeros, zero_page - file_end))
        return error_set(err, EIO, "%s: clear the end of a segment", e->path);
    if (zero_page < end) {
        long r = space_mmap(p, zero_page, end - zero_page, first_prot,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (r < 0)
            return error_set(err, (int)-r, "%s: %llu bytes of zeros", e->path,
                             (unsigned long long)(end - zero_page));
    }
    if (first_prot != prot && space_mprotect(p, start, end - start, prot) < 0)
        return error_set(err, EACCES, "%s: protect a segment", e->path);
    return 0;
}

static int map_elf(struct process *p, const struct elf *e, bool main_program, uint64_t *bias,
                   struct error **err)
{
    if (reserve(p, e, main_program, bias, err) < 0)
        return -1;
    for (unsigned i = 0; i < e->head.e_phnum; i++)
        if (e->phdrs[i].p_type == PT_LOAD && e->phdrs[i].p_memsz &&
            map_segment(p, e, &e->phdrs[i], *bias, err) < 0)
            return -1;
    return 0;
}

/* Address of the program headers in memory: what PT_PHDR says, or where the file's headers were
 * mapped; 0 when they are not. */
static uint64_t phdr_address(const struct elf *e, uint64_t bias)
{
    for (unsigned i = 0; i < e->head.e_phnum; i++)
        if (e->phdrs[i].p_type == PT_PHDR)
            return e->phdrs[i].p_vaddr + bias;
    for (unsigned i = 0; i < e->head.e_phnum; i++) {
        const Elf64_Phdr *ph = &e->phdrs[i];
        if (ph->p_type == PT_LOAD && e->head.e_phoff >= ph->p_offset &&
            e->head.e_phoff - ph->p_offset < ph->p_filesz)
            return e->head.e_phoff - ph->p_offset + ph->p_vaddr + bias;
    }
    return 0;
}

/* Without a PT_GNU_STACK the kernel's answer for riscv64 is no, too. */
static bool wants_exec_stack(const struct elf *e)
{
    for (unsigned i = 0; i < e->head.e_phnum; i++)
        if (e->phdrs[i].p_type == PT_GNU_STACK)
            return e->phdrs[i].p_flags & PF_X;
    return false;
}

/* The PT_INTERP string; *path stays NULL for a static program. */
static int read_interp(const struct elf *e, char **path, struct error **err)
{
    for (unsigned i = 0; i < e->head.e_phnum; i++) {
        const Elf64_Phdr *ph = &e->phdrs[i];
        if (ph->p_type != PT_INTERP)
            continue;
        if (ph->p_filesz < 2 || ph->p_filesz > PATH_MAX)
            return error_set(err, ENOEXEC, "%s: PT_INTERP: not 2 to 4096 bytes", e->path);
        *path = xcalloc(1, ph->p_filesz);
        if (read_at(e, ph->p_offset, *path, ph->p_filesz, err) < 0)
            return -1;
        if ((*path)[ph->p_filesz - 1])
            return error_set(err, ENOEXEC, "%s: PT_INTERP: no NUL at its end", e->path);
        return 0;
    }
    return 0;
}

/* The program's interpreter, with a descriptor of its own. */
static int open_interp(struct process *p, const char *guest_path, struct elf *e, struct error **err)
{
    struct host_path host;
    path_resolve_own(p, guest_path, true, &host);
    e->path = guest_path;
    e->fd = open(host.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (e->fd < 0)
        error_set(err, errno, "%s", host.path);
    if (e->fd >= 0 && read_elf(e, err) == 0)
        return 0;
    /* The path that was tried says nothing where it is the guest's own. */
    const char *hint = p->sysroot ? "" : "; -L DIR names the folder that has it";
    return error_prefix(err, "the program's interpreter %s%s", guest_path, hint);
}

static int load_interp(struct process *p, const char *guest_path, uint64_t *base, uint64_t *entry,
                       struct error **err)
{
    OWN_ELF_CLEANUP e = {.fd = -1};
    if (open_interp(p, guest_path, &e, err) < 0 || map_elf(p, &e, false, base, err) < 0)
        return -1;
    *entry = e.head.e_entry + *base;
    *base += e.lo;
    return 0;
}

long program_check(struct process *p, int fd)
{
    ERROR_CLEANUP err = NULL;
    AUTO_FREE char *interp = NULL;
    ELF_CLEANUP e = {.path = "the program", .fd = fd};
    if (read_elf(&e, &err) < 0 || read_interp(&e, &interp, &err) < 0)
        return -error_code(err);
    if (!interp)
        return 0;
    OWN_ELF_CLEANUP i = {.fd = -1};
    if (open_interp(p, interp, &i, &err) == 0)
        return 0;
    return error_code(err) == ENOEXEC ? -ELIBBAD : -error_code(err);
}

static int map_vdso(struct process *p, struct error **err)
{
    long r =
        space_mmap(p, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r < 0)
        return error_set(err, (int)-r, "the page for the vDSO");
    p->vdso = (uint64_t)r;
    p->signal_return = vdso_signal_return(p->vdso);
    vdso_write(p->vdso);
    r = space_mprotect(p, p->vdso, PAGE_SIZE, PROT_READ | PROT_EXEC);
    return r < 0 ? error_set(err, (int)-r, "the page for the vDSO") : 0;
}

static int load_main(struct process *p, struct elf *e, struct program *out, struct error **err)
{
    AUTO_FREE char *interp = NULL;
    struct loaded image = {0};
    if (read_elf(e, err) < 0 || read_interp(e, &interp, err) < 0 ||
        map_elf(p, e, true, &image.bias, err) < 0)
        return -1;
    image.entry = e->head.e_entry + image.bias;
    image.phdr = phdr_address(e, image.bias);
    image.n_phdr = e->head.e_phnum;
    image.end = e->hi + image.bias;
    image.exec_stack = wants_exec_stack(e);
    out->pc = image.entry;
    if (interp && load_interp(p, interp, &image.interp_base, &out->pc, err) < 0)
        return -1;
    p->space.brk_start = p->space.brk = p->space.brk_mapped = image.end;
    if (map_vdso(p, err) < 0)
        return -1;
    return build_stack(p, &image, &out->sp, err);
}

int load_program(struct process *p, struct program *out, struct error **err)
{
    ELF_CLEANUP e = {.path = p->exe_host, .fd = p->exe_fd};
    return load_main(p, &e, out, err);
}
