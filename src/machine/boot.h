/* What is in RAM when the harts start: kernel or firmware, initrd, device tree. */
#ifndef WIRT_MACHINE_BOOT_H
#define WIRT_MACHINE_BOOT_H

#include "machine/board.h"

/* An image file in RAM. */
struct loaded {
    uint64_t entry;
    uint64_t end;    /* first address that it does not need */
    uint64_t tohost; /* address of an ELF's symbol tohost, or 0 */
    bool elf;
};

/* Loads an ELF file to its physical addresses. */
int boot_load_elf(struct machine *m, const struct machine_file *file, struct loaded *out,
                  struct error **err);

/* Whether the file starts like an ELF file. -1 with err when it cannot be read. */
int boot_is_elf(const struct machine_file *file, struct error **err);

/* Copies the whole file to gpa; *len: its bytes. */
int boot_load_file(struct machine *m, const struct machine_file *file, uint64_t gpa, uint64_t *len,
                   struct error **err);

/* Builds the device tree; the caller frees *blob. initrd_start == initrd_end: none. */
int boot_device_tree(struct machine *m, uint64_t initrd_start, uint64_t initrd_end, void **blob,
                     size_t *len, struct error **err);

/* Puts all in place and sets m's entry, dtb, fw_info and tohost. RAM is as after slat_reset. */
int boot_load(struct machine *m, struct error **err);

#endif
