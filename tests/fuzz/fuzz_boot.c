/* Arbitrary files as a machine's kernel, firmware and initrd: laid into a small RAM, or refused
 * with a reason; what is laid there lies in it. */
#include "base/cleanup.h"
#include "files.h"
#include "machine/board-build.h"
#include "machine/boot.h"
#include "machine/devices/pci.h"

#define RAM (8u << 20)

enum {
    KERNEL = 1,
    FIRMWARE = 2,
    INITRD = 4
};

static struct pci_host *pci(void)
{
    static struct pci_host *host;
    struct pci_host_config c = {.ecam_base = ECAM_BASE,
                                .ecam_size = ECAM_SIZE,
                                .mmio_base = PCI_MMIO_BASE,
                                .mmio_size = PCI_MMIO_SIZE};
    if (!host)
        host = pci_host_create(bus_new(), &c, NULL);
    if (!host)
        abort();
    return host;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    unsigned what = (unsigned)take(&in, 1);
    struct machine m = {.n_harts = 1 + (what >> 4) % 4};
    struct machine_config c = {.memory = RAM, .harts = m.n_harts, .append = "console=ttyS0"};
    struct memory_file file = memory_file(in.data, in.left);
    const struct machine_file image = {file.path, file.fd};
    ERROR_CLEANUP err = NULL;
    if (what & KERNEL || !(what & FIRMWARE))
        c.kernel = image;
    if (what & FIRMWARE)
        c.firmware = image;
    if (what & INITRD)
        c.initrd = image;
    m.config = &c;
    m.firmware = c.firmware.path;
    m.pci = pci();
    m.slat = slat_new(RAM_BASE, RAM, NULL);
    if (!m.slat)
        abort();
    int r = boot_load(&m, &err);
    if (r < 0 && !err)
        abort();
    if (r == 0 && m.dtb && !slat_load_page(m.slat, m.dtb))
        abort();
    slat_free(m.slat);
    close(file.fd);
    return 0;
}
