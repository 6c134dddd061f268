/* The device tree that tells the guest what the board has: Devicetree Specification 0.4, and the
 * bindings in Linux's Documentation/devicetree/bindings. */
#include <errno.h>
#include <libfdt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "machine/boot.h"

#define MAX_BLOB 65536

enum { /* phandles */
    PHANDLE_PLIC = 1,
    PHANDLE_SYSCON = 2,
    PHANDLE_CPU0 = 16
};

/* libfdt's sequential writer answers an error code each time; the first one is kept. */
struct tree {
    void *fdt;
    int error;
};

static void keep(struct tree *t, int error)
{
    if (error && !t->error)
        t->error = error;
}

static void begin(struct tree *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void begin(struct tree *t, const char *fmt, ...)
{
    char name[64];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    keep(t, fdt_begin_node(t->fdt, name));
}

static void end(struct tree *t)
{
    keep(t, fdt_end_node(t->fdt));
}

static void text(struct tree *t, const char *name, const char *value)
{
    keep(t, fdt_property_string(t->fdt, name, value));
}

/* Several strings: a string literal with \0 between them. */
#define TEXTS(t, name, value) keep(t, fdt_property((t)->fdt, name, value, sizeof(value)))

static void cell(struct tree *t, const char *name, uint32_t value)
{
    keep(t, fdt_property_u32(t->fdt, name, value));
}

static void flag(struct tree *t, const char *name)
{
    keep(t, fdt_property(t->fdt, name, NULL, 0));
}

/* reg with two address and two size cells. */
static void reg(struct tree *t, uint64_t base, uint64_t size)
{
    fdt64_t value[2] = {cpu_to_fdt64(base), cpu_to_fdt64(size)};
    keep(t, fdt_property(t->fdt, "reg", value, sizeof value));
}

static int chosen(struct tree *t, struct machine *m, uint64_t start, uint64_t finish,
                  struct error **err)
{
    uint8_t seed[32];
    if (getrandom(seed, sizeof seed, 0) != sizeof seed)
        return error_set(err, errno, "getrandom");
    begin(t, "chosen");
    text(t, "bootargs", m->config->append ? m->config->append : "");
    keep(t, fdt_property(t->fdt, "rng-seed", seed, sizeof seed));
    char path[64];
    snprintf(path, sizeof path, "/soc/serial@%x", UART_BASE);
    text(t, "stdout-path", path);
    if (start != finish) {
        keep(t, fdt_property_u64(t->fdt, "linux,initrd-start", start));
        keep(t, fdt_property_u64(t->fdt, "linux,initrd-end", finish));
    }
    end(t);
    return 0;
}

static void cpus(struct tree *t, const struct machine *m)
{
    begin(t, "cpus");
    cell(t, "#address-cells", 1);
    cell(t, "#size-cells", 0);
    cell(t, "timebase-frequency", TIMEBASE_HZ);
    for (unsigned i = 0; i < m->n_harts; i++) {
        begin(t, "cpu@%x", i);
        text(t, "device_type", "cpu");
        text(t, "compatible", "riscv");
        text(t, "status", "okay");
        cell(t, "reg", i);
        text(t, "mmu-type", "riscv,sv57");
        text(t, "riscv,isa", "rv64imafdc_zicntr_zicsr_zifencei_zawrs_zba_zbb_zbs_sstc");
        text(t, "riscv,isa-base", "rv64i");
        TEXTS(t, "riscv,isa-extensions",
              "i\0m\0a\0f\0d\0c\0zicntr\0zicsr\0zifencei\0zawrs\0zba\0zbb\0zbs\0sstc");
        begin(t, "interrupt-controller");
        text(t, "compatible", "riscv,cpu-intc");
        flag(t, "interrupt-controller");
        cell(t, "#interrupt-cells", 1);
        cell(t, "phandle", PHANDLE_CPU0 + i);
        end(t);
        end(t);
    }
    end(t);
}

/* interrupts-extended: for each hart two lines into its own interrupt controller. */
static void hart_lines(struct tree *t, const struct machine *m, uint32_t first, uint32_t second)
{
    fdt32_t value[4 * MAX_HARTS];
    for (unsigned i = 0; i < m->n_harts; i++) {
        value[4 * i] = value[4 * i + 2] = cpu_to_fdt32(PHANDLE_CPU0 + i);
        value[4 * i + 1] = cpu_to_fdt32(first);
        value[4 * i + 3] = cpu_to_fdt32(second);
    }
    keep(t,
         fdt_property(t->fdt, "interrupts-extended", value, (int)(m->n_harts * 4 * sizeof *value)));
}

static void plic(struct tree *t, const struct machine *m)
{
    begin(t, "interrupt-controller@%x", PLIC_BASE);
    TEXTS(t, "compatible", "sifive,plic-1.0.0\0riscv,plic0");
    reg(t, PLIC_BASE, PLIC_SIZE);
    flag(t, "interrupt-controller");
    cell(t, "#interrupt-cells", 1);
    cell(t, "#address-cells", 0);
    cell(t, "riscv,ndev", PLIC_SOURCES - 1);
    cell(t, "phandle", PHANDLE_PLIC);
    hart_lines(t, m, IRQ_MEI, IRQ_SEI);
    end(t);
}

static void clint(struct tree *t, const struct machine *m)
{
    begin(t, "clint@%x", CLINT_BASE);
    TEXTS(t, "compatible", "sifive,clint0\0riscv,clint0");
    reg(t, CLINT_BASE, 0x10000);
    hart_lines(t, m, IRQ_MSI, IRQ_MTI);
    end(t);
}

static void uart(struct tree *t)
{
    begin(t, "serial@%x", UART_BASE);
    text(t, "compatible", "ns16550a");
    reg(t, UART_BASE, UART_SIZE);
    cell(t, "clock-frequency", 3686400);
    cell(t, "interrupt-parent", PHANDLE_PLIC);
    cell(t, "interrupts", UART_IRQ);
    end(t);
}

static void rtc(struct tree *t)
{
    begin(t, "rtc@%x", RTC_BASE);
    text(t, "compatible", "google,goldfish-rtc");
    reg(t, RTC_BASE, RTC_SIZE);
    cell(t, "interrupt-parent", PHANDLE_PLIC);
    cell(t, "interrupts", RTC_IRQ);
    end(t);
}

static void syscon(struct tree *t)
{
    begin(t, "test@%x", SYSCON_BASE);
    TEXTS(t, "compatible", "sifive,test1\0sifive,test0\0syscon");
    reg(t, SYSCON_BASE, SYSCON_SIZE);
    cell(t, "phandle", PHANDLE_SYSCON);
    end(t);
}

/* Power-off and reboot are stores of a value to the test finisher. */
static void syscon_action(struct tree *t, const char *name, const char *compatible, uint32_t value)
{
    begin(t, "%s", name);
    text(t, "compatible", compatible);
    cell(t, "regmap", PHANDLE_SYSCON);
    cell(t, "offset", 0);
    cell(t, "value", value);
    end(t);
}

static void memory(struct tree *t, const struct machine *m)
{
    begin(t, "memory@%x", RAM_BASE);
    text(t, "device_type", "memory");
    reg(t, slat_base(m->slat), slat_size(m->slat));
    end(t);
}

static int build(struct tree *t, struct machine *m, uint64_t initrd_start, uint64_t initrd_end,
                 struct error **err)
{
    keep(t, fdt_create(t->fdt, MAX_BLOB));
    keep(t, fdt_finish_reservemap(t->fdt));
    begin(t, "%s", "");
    cell(t, "#address-cells", 2);
    cell(t, "#size-cells", 2);
    TEXTS(t, "compatible", "riscv-virtio");
    text(t, "model", "wirt,virt");
    if (chosen(t, m, initrd_start, initrd_end, err) < 0)
        return -1;
    memory(t, m);
    cpus(t, m);
    begin(t, "soc");
    cell(t, "#address-cells", 2);
    cell(t, "#size-cells", 2);
    text(t, "compatible", "simple-bus");
    flag(t, "ranges");
    plic(t, m);
    if (m->firmware)
        clint(t, m);
    uart(t);
    rtc(t);
    syscon(t);
    if (!t->error && pci_host_fdt(m->pci, t->fdt, PHANDLE_PLIC, err) < 0)
        return -1;
    end(t);
    syscon_action(t, "poweroff", "syscon-poweroff", SYSCON_PASS);
    syscon_action(t, "reboot", "syscon-reboot", SYSCON_RESET);
    end(t);
    keep(t, fdt_finish(t->fdt));
    if (t->error)
        return error_set(err, 0, "device tree: %s", fdt_strerror(t->error));
    return 0;
}

int boot_device_tree(struct machine *m, uint64_t initrd_start, uint64_t initrd_end, void **blob,
                     size_t *len, struct error **err)
{
    AUTO_FREE void *fdt = xcalloc(1, MAX_BLOB);
    struct tree t = {.fdt = fdt};
    if (build(&t, m, initrd_start, initrd_end, err) < 0)
        return -1;
    *len = fdt_totalsize(fdt);
    *blob = STEAL_PTR(fdt);
    return 0;
}
