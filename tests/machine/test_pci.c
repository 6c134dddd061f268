/* PCI configuration space as a kernel probes it, interrupt pins, and the device tree's node. */
#include <libfdt.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cm.h"
#include "virtio_driver.h"

static uint64_t last_write;

static bool bar_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    *value = 0x1000 + offset;
    return true;
}

static bool bar_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    last_write = offset << 32 | value;
    return true;
}

static struct pci_function *add(struct rig *r, uint32_t size0, uint32_t size2)
{
    return pci_add_function(r->host,
                            &(struct pci_function_config){.name = "test",
                                                          .vendor = 0x1af4,
                                                          .device = 0x1042,
                                                          .revision = 1,
                                                          .class_code = 0x018000,
                                                          .bars[0] = {size0, bar_read, bar_write},
                                                          .bars[2] = {size2, bar_read, bar_write}},
                            NULL);
}

static int setup(void **state)
{
    struct rig *r = calloc(1, sizeof *r);
    rig_init(r);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    free(*state);
    return 0;
}

static uint64_t slot_config(unsigned slot)
{
    return ECAM_BASE + ((uint64_t)slot << 15);
}

static void identity(void **state)
{
    struct rig *r = *state;
    struct pci_function *f = add(r, 0x4000, 0);
    uint64_t c = slot_config(pci_slot(f));
    assert_int_equal(rig_read(r, c, 4), 0x10421af4);
    assert_int_equal(rig_read(r, c + 8, 4), 0x01800001);
    assert_int_equal(rig_read(r, c + PCI_HEADER_TYPE, 1), 0);
    assert_int_equal(rig_read(r, c + PCI_INTERRUPT_PIN, 1), 1);
    rig_write(r, c, 4, 0); /* read-only */
    assert_int_equal(rig_read(r, c, 4), 0x10421af4);
    /* Nobody there: another slot, function, or bus. */
    assert_int_equal(rig_read(r, slot_config(9), 4), UINT32_MAX);
    assert_int_equal(rig_read(r, c + 0x1000, 2), 0xffff);
    assert_int_equal(rig_read(r, ECAM_BASE + (200 << 20), 4), UINT32_MAX);
    assert_int_equal(rig_read(r, c + 0x100, 4), 0); /* no extended capabilities */
}

static void bar_sizing(void **state)
{
    struct rig *r = *state;
    uint64_t c = slot_config(pci_slot(add(r, 0x4000, 0x100000)));
    rig_write(r, c + PCI_BAR0, 4, UINT32_MAX);
    assert_int_equal(rig_read(r, c + PCI_BAR0, 4), 0xffffc000);
    rig_write(r, c + PCI_BAR0 + 8, 4, UINT32_MAX);
    assert_int_equal(rig_read(r, c + PCI_BAR0 + 8, 4), 0xfff00000);
    rig_write(r, c + PCI_BAR0 + 4, 4, UINT32_MAX);
    assert_int_equal(rig_read(r, c + PCI_BAR0 + 4, 4), 0);
    rig_write(r, c + 0x30, 4, UINT32_MAX); /* no ROM */
    assert_int_equal(rig_read(r, c + 0x30, 4), 0);
}

static void bar_decoding(void **state)
{
    struct rig *r = *state;
    uint64_t c = slot_config(pci_slot(add(r, 0x4000, 0))), at = MMIO_BASE + 0x8000;
    rig_write(r, c + PCI_BAR0, 4, at);
    assert_int_equal(rig_read(r, at, 4), UINT32_MAX); /* decoding is off */
    rig_write(r, c + PCI_COMMAND, 2, 2);
    assert_int_equal(rig_read(r, at + 0x3ffc, 4), 0x1000 + 0x3ffc);
    assert_int_equal(rig_read(r, at + 0x4000, 4), UINT32_MAX);
    rig_write(r, at + 8, 4, 0x55);
    assert_int_equal(last_write, 8ull << 32 | 0x55);
    rig_write(r, c + PCI_BAR0, 4, at + 0x10000);
    assert_int_equal(rig_read(r, at, 4), UINT32_MAX);
    assert_int_equal(rig_read(r, at + 0x10000, 4), 0x1000);
    bus_reset(r->bus);
    assert_int_equal(rig_read(r, c + PCI_BAR0, 4), 0);
    assert_int_equal(rig_read(r, c + PCI_COMMAND, 2), 0);
}

static void interrupt_lines_are_shared(void **state)
{
    struct rig *r = *state;
    struct pci_function *f[5];
    for (unsigned i = 0; i < 5; i++)
        f[i] = add(r, 0x4000, 0);
    /* Slots 1 and 5 share a line. */
    assert_int_equal(pci_slot(f[0]), 1);
    pci_set_intx(f[0], true);
    assert_true(r->irq[1]);
    pci_set_intx(f[4], true);
    pci_set_intx(f[0], false);
    assert_true(r->irq[1]);
    uint64_t c = slot_config(5);
    assert_int_equal(rig_read(r, c + PCI_STATUS, 2) & 8, 8);
    rig_write(r, c + PCI_COMMAND, 2, 0x400); /* INTx off */
    assert_false(r->irq[1]);
    rig_write(r, c + PCI_COMMAND, 2, 0);
    assert_true(r->irq[1]);
    pci_set_intx(f[4], false);
    assert_false(r->irq[1]);
    assert_int_equal(rig_read(r, c + PCI_STATUS, 2) & 8, 0);
    pci_set_intx(f[3], true);
    assert_true(r->irq[0] && !r->irq[1] && !r->irq[2] && !r->irq[3]);
}

static void capabilities_are_a_list(void **state)
{
    struct rig *r = *state;
    struct pci_function *f = add(r, 0x4000, 0);
    uint64_t c = slot_config(pci_slot(f));
    assert_int_equal(rig_read(r, c + PCI_STATUS, 2) & 0x10, 0);
    uint8_t cap[18] = {9, 0x77, 18, 0xaa};
    int first = pci_add_capability(f, cap, sizeof cap, NULL);
    int second = pci_add_capability(f, cap, sizeof cap, NULL);
    assert_int_equal(rig_read(r, c + PCI_CAPABILITIES, 1), first);
    assert_int_equal(rig_read(r, c + (unsigned)first + 1, 1), second);
    assert_int_equal(rig_read(r, c + (unsigned)second + 1, 1), 0);
    assert_int_equal(second % 4, 0);
    assert_int_equal(rig_read(r, c + PCI_STATUS, 2) & 0x10, 0x10);
    int n = 2;
    ERROR_CLEANUP err = NULL;
    while (pci_add_capability(f, cap, sizeof cap, &err) >= 0)
        n++;
    assert_int_equal(n, (256 - 64) / 20);
    assert_int_equal(rig_read(r, c, 4), 0x10421af4);
}

static void slots_run_out(void **state)
{
    struct rig *r = *state;
    for (int i = 0; i < 31; i++)
        assert_non_null(add(r, 0x4000, 0));
    ERROR_CLEANUP err = NULL;
    assert_null(pci_add_function(r->host, &(struct pci_function_config){.name = "late"}, &err));
    assert_non_null(strstr(error_text(err), "late"));
}

static uint32_t cell(const void *p, unsigned i)
{
    return fdt32_to_cpu(((const fdt32_t *)p)[i]);
}

static void device_tree_node(void **state)
{
    struct rig *r = *state;
    char fdt[4096];
    assert_int_equal(fdt_create(fdt, sizeof fdt), 0);
    fdt_finish_reservemap(fdt);
    fdt_begin_node(fdt, "");
    assert_int_equal(pci_host_fdt(r->host, fdt, 7, NULL), 0);
    fdt_end_node(fdt);
    assert_int_equal(fdt_finish(fdt), 0);
    int node = fdt_path_offset(fdt, "/pci@30000000"), len;
    assert_true(node > 0);
    assert_string_equal(fdt_getprop(fdt, node, "compatible", NULL), "pci-host-ecam-generic");
    const void *ranges = fdt_getprop(fdt, node, "ranges", &len);
    assert_int_equal(len, 7 * 4);
    assert_int_equal(cell(ranges, 0), 0x02000000);
    assert_int_equal(cell(ranges, 4), MMIO_BASE);
    const void *buses = fdt_getprop(fdt, node, "bus-range", &len);
    assert_int_equal(cell(buses, 1), 255);
    /* The map says what pci_set_intx does: the line of slot s, pin p. */
    const void *map = fdt_getprop(fdt, node, "interrupt-map", &len);
    assert_int_equal(len, 16 * 6 * 4);
    for (unsigned i = 0; i < 16; i++) {
        unsigned slot = cell(map, 6 * i) >> 11, pin = cell(map, 6 * i + 3);
        assert_int_equal(cell(map, 6 * i + 4), 7);
        assert_int_equal(cell(map, 6 * i + 5), 32 + (slot + pin - 1) % 4);
    }
    char small[512]; /* too small: an error, not a broken tree */
    ERROR_CLEANUP err = NULL;
    fdt_create(small, sizeof small);
    fdt_finish_reservemap(small);
    fdt_begin_node(small, "");
    assert_int_equal(pci_host_fdt(r->host, small, 7, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(identity, setup, teardown),
        cmocka_unit_test_setup_teardown(bar_sizing, setup, teardown),
        cmocka_unit_test_setup_teardown(bar_decoding, setup, teardown),
        cmocka_unit_test_setup_teardown(interrupt_lines_are_shared, setup, teardown),
        cmocka_unit_test_setup_teardown(capabilities_are_a_list, setup, teardown),
        cmocka_unit_test_setup_teardown(slots_run_out, setup, teardown),
        cmocka_unit_test_setup_teardown(device_tree_node, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
