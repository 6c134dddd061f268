/* ELF images: System V ABI, ELF-64 object file format. Every offset and size in the file is
 * checked: the file is not trusted. */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "machine/boot.h"

struct file {
    const char *path;
    const uint8_t *data;
    uint64_t len;
};

static void unmap(struct file *f)
{
    if (f->data)
        munmap((void *)(uintptr_t)f->data, f->len);
}

static int map_file(struct file *f, const struct machine_file *from, struct error **err)
{
    const char *path = from->path;
    struct stat st;
    if (fstat(from->fd, &st) < 0)
        return error_set(err, errno, "stat %s", path);
    if (!S_ISREG(st.st_mode) || !st.st_size)
        return error_set(err, 0, "%s: not a regular file with content", path);
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, from->fd, 0);
    if (p == MAP_FAILED)
        return error_set(err, errno, "map %s", path);
    *f = (struct file){.path = path, .data = p, .len = (uint64_t)st.st_size};
    return 0;
}

/* The bytes [offset, offset + len) of the file, or NULL. */
static const void *part(const struct file *f, uint64_t offset, uint64_t len)
{
    return offset <= f->len && len <= f->len - offset ? f->data + offset : NULL;
}

int boot_is_elf(const struct machine_file *file, struct error **err)
{
    char magic[SELFMAG] = {0};
    ssize_t n = pread(file->fd, magic, sizeof magic, 0);
    if (n < 0)
        return error_set(err, errno, "read %s", file->path);
    return n == SELFMAG && !memcmp(magic, ELFMAG, SELFMAG);
}

static int load_segment(struct machine *m, const struct file *f, const Elf64_Phdr *p,
                        struct loaded *out, struct error **err)
{
    const void *from = part(f, p->p_offset, p->p_filesz);
    if (!from || p->p_filesz > p->p_memsz)
        return error_set(err, 0, "%s: a segment lies outside of the file: it is truncated",
                         f->path);
    if (!slat_host(m->slat, p->p_paddr, p->p_memsz, false))
        return error_set(err, 0,
                         "%s: the segment of 0x%llx bytes for 0x%llx does not fit into RAM, "
                         "which is 0x%llx bytes at 0x%llx",
                         f->path, (unsigned long long)p->p_memsz, (unsigned long long)p->p_paddr,
                         (unsigned long long)slat_size(m->slat),
                         (unsigned long long)slat_base(m->slat));
    slat_write(m->slat, p->p_paddr, from, p->p_filesz);
    if (p->p_paddr + p->p_memsz > out->end)
        out->end = p->p_paddr + p->p_memsz;
    return 0;
}

/* The value of the symbol tohost, or 0 when there is none, or the tables are damaged. */
static uint64_t find_tohost(const struct file *f, const Elf64_Ehdr *h)
{
    const Elf64_Shdr *sections = part(f, h->e_shoff, (uint64_t)h->e_shnum * sizeof *sections);
    if (!sections || h->e_shentsize != sizeof *sections || h->e_shoff % 8)
        return 0;
    for (unsigned i = 0; i < h->e_shnum; i++) {
        const Elf64_Shdr *s = &sections[i];
        if (s->sh_type != SHT_SYMTAB || s->sh_link >= h->e_shnum || s->sh_offset % 8)
            continue;
        const Elf64_Shdr *t = &sections[s->sh_link];
        const Elf64_Sym *sym = part(f, s->sh_offset, s->sh_size);
        const char *names = part(f, t->sh_offset, t->sh_size);
        for (uint64_t n = 0; sym && names && n < s->sh_size / sizeof *sym; n++) {
            static const char name[] = "tohost";
            if (sym[n].st_name < t->sh_size && t->sh_size - sym[n].st_name >= sizeof name &&
                !memcmp(names + sym[n].st_name, name, sizeof name))
                return sym[n].st_value;
        }
    }
    return 0;
}

int boot_load_elf(struct machine *m, const struct machine_file *file, struct loaded *out,
                  struct error **err)
{
    const char *path = file->path;
    __attribute__((cleanup(unmap))) struct file f = {0};
    if (map_file(&f, file, err) < 0)
        return -1;
    const Elf64_Ehdr *h = part(&f, 0, sizeof *h);
    if (!h || memcmp(h->e_ident, ELFMAG, SELFMAG) || h->e_ident[EI_CLASS] != ELFCLASS64 ||
        h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != EM_RISCV || h->e_type != ET_EXEC)
        return error_set(err, 0, "%s: not a static 64-bit little-endian RISC-V ELF file", path);
    const Elf64_Phdr *p = part(&f, h->e_phoff, (uint64_t)h->e_phnum * sizeof *p);
    if (!p || h->e_phentsize != sizeof *p || h->e_phoff % 8)
        return error_set(err, 0, "%s: program headers lie outside of the file: it is truncated",
                         path);
    *out = (struct loaded){.entry = h->e_entry, .elf = true};
    for (unsigned i = 0; i < h->e_phnum; i++)
        if (p[i].p_type == PT_LOAD && p[i].p_memsz && load_segment(m, &f, &p[i], out, err) < 0)
            return -1;
    if (!slat_host(m->slat, out->entry, 2, false))
        return error_set(err, 0, "%s: the entry point 0x%llx is not in RAM", path,
                         (unsigned long long)out->entry);
    out->tohost = find_tohost(&f, h);
    if (out->tohost & 7 || !slat_host(m->slat, out->tohost, 8, false))
        out->tohost = 0;
    return 0;
}
