#include "machine/devices/virtio-pci.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* The one base address region, a page for each structure. */
enum {
    COMMON_AT = 0x0000,
    ISR_AT = 0x1000,
    CONFIG_AT = 0x2000,
    NOTIFY_AT = 0x3000,
    REGION_SIZE = 0x4000,
    STRUCTURE_SIZE = 0x1000,
    NOTIFY_STEP = 4, /* bytes between the notification addresses of two queues */
};

/* The common configuration structure, section 4.1.4.3. */
enum {
    DEVICE_FEATURE_SELECT = 0x00,
    DEVICE_FEATURE = 0x04,
    DRIVER_FEATURE_SELECT = 0x08,
    DRIVER_FEATURE = 0x0c,
    CONFIG_MSIX_VECTOR = 0x10,
    NUM_QUEUES = 0x12,
    DEVICE_STATUS = 0x14,
    CONFIG_GENERATION = 0x15,
    QUEUE_SELECT = 0x16,
    QUEUE_SIZE = 0x18,
    QUEUE_MSIX_VECTOR = 0x1a,
    QUEUE_ENABLE = 0x1c,
    QUEUE_NOTIFY_OFF = 0x1e,
    QUEUE_DESC = 0x20,
    QUEUE_DRIVER = 0x28,
    QUEUE_DEVICE = 0x30,
    COMMON_SIZE = 0x40,
};

#define NO_VECTOR 0xffffu

/* Capabilities, section 4.1.4. */
enum {
    CAP_VENDOR = 0x09,
    CAP_COMMON = 1,
    CAP_NOTIFY = 2,
    CAP_ISR = 3,
    CAP_DEVICE = 4,
    CAP_PCI_CFG = 5,
};

struct cap {
    uint8_t id, next, len, type;
    uint8_t bar, structure_id, padding[2];
    uint32_t offset, length;
    uint32_t extra; /* notification: the step; configuration access: the data */
};

#define CAP_SIZE       16
#define CAP_EXTRA_SIZE 20

/* The part of the configuration access capability that the driver writes (section 4.1.4.9): from
 * `bar` on. It comes first in the list, so its place is known. */
enum {
    WINDOW_AT = PCI_FIRST_CAPABILITY + 4,
    WINDOW_SIZE = CAP_EXTRA_SIZE - 4,
    WINDOW_BAR = 0,
    WINDOW_OFFSET = 4,
    WINDOW_LENGTH = 8,
    WINDOW_DATA = 12,
};

struct virtio_pci {
    struct virtio_device *device;
    struct pci_function *function;
    /* Guarded by the device's lock. */
    uint32_t device_feature_select, driver_feature_select;
    uint16_t queue_select;
    uint8_t window[WINDOW_DATA];
};

static void set_irq(void *opaque, bool level)
{
    struct virtio_pci *p = opaque;
    pci_set_intx(p->function, level);
}

/* The selected queue, or NULL: the driver may select what is not there. */
static struct virtqueue *selected(struct virtio_pci *p)
{
    struct virtio_device *d = p->device;
    return p->queue_select < d->class->n_queues ? &d->queues[p->queue_select] : NULL;
}

/* The aligned 32 bits at reg. The device's lock is held. */
static uint32_t common_word(struct virtio_pci *p, unsigned reg)
{
    struct virtio_device *d = p->device;
    const struct virtqueue *vq = selected(p);
    switch (reg) {
    case DEVICE_FEATURE_SELECT: return p->device_feature_select;
    case DEVICE_FEATURE:
        return p->device_feature_select < 2
                   ? (uint32_t)(d->offered >> (32 * p->device_feature_select))
                   : 0;
    case DRIVER_FEATURE_SELECT: return p->driver_feature_select;
    case DRIVER_FEATURE:
        return p->driver_feature_select < 2
                   ? (uint32_t)(d->accepted >> (32 * p->driver_feature_select))
                   : 0;
    case CONFIG_MSIX_VECTOR: return NO_VECTOR | d->class->n_queues << 16;
    case DEVICE_STATUS:
        return d->status | (uint32_t)d->generation << 8 | (uint32_t)p->queue_select << 16;
    case QUEUE_SIZE: return (vq ? vq->size : 0) | NO_VECTOR << 16;
    case QUEUE_ENABLE: return (vq && vq->enabled) | (vq ? (uint32_t)p->queue_select << 16 : 0);
    case QUEUE_DESC: return vq ? (uint32_t)vq->desc : 0;
    case QUEUE_DESC + 4: return vq ? (uint32_t)(vq->desc >> 32) : 0;
    case QUEUE_DRIVER: return vq ? (uint32_t)vq->driver : 0;
    case QUEUE_DRIVER + 4: return vq ? (uint32_t)(vq->driver >> 32) : 0;
    case QUEUE_DEVICE: return vq ? (uint32_t)vq->device : 0;
    case QUEUE_DEVICE + 4: return vq ? (uint32_t)(vq->device >> 32) : 0;
    default: return 0;
    }
}

static uint64_t common_read(struct virtio_pci *p, unsigned offset, unsigned size)
{
    pthread_mutex_lock(&p->device->lock);
    uint64_t value = common_word(p, offset & ~3u);
    if (size == 8)
        value |= (uint64_t)common_word(p, offset + 4) << 32;
    pthread_mutex_unlock(&p->device->lock);
    value >>= 8 * (offset & 3);
    return size == 8 ? value : value & (UINT64_MAX >> (64 - 8 * size));
}

static void set_half(uint64_t *v, unsigned half, uint32_t bits)
{
    *v = half ? (*v & UINT32_MAX) | (uint64_t)bits << 32 : (*v & ~(uint64_t)UINT32_MAX) | bits;
}

/* Fields of the selected queue, which the driver may set only while it is disabled. The device's
 * lock is held. */
static void queue_write(struct virtio_pci *p, unsigned offset, uint32_t value)
{
    struct virtqueue *vq = selected(p);
    if (!vq || vq->enabled)
        return;
    switch (offset) {
    case QUEUE_SIZE: vq->size = (uint16_t)value; break;
    case QUEUE_DESC:
    case QUEUE_DESC + 4: set_half(&vq->desc, offset & 4, value); break;
    case QUEUE_DRIVER:
    case QUEUE_DRIVER + 4: set_half(&vq->driver, offset & 4, value); break;
    case QUEUE_DEVICE:
    case QUEUE_DEVICE + 4: set_half(&vq->device, offset & 4, value); break;
    }
}

/* The driver uses each field's own width (section 4.1.3.1), 64-bit fields as two halves. */
static void common_write(struct virtio_pci *p, unsigned offset, unsigned size, uint64_t value)
{
    struct virtio_device *d = p->device;
    uint32_t word = (uint32_t)value;
    if (size == 8) {
        common_write(p, offset, 4, word);
        common_write(p, offset + 4, 4, value >> 32);
        return;
    }
    if (offset == DEVICE_STATUS) {
        virtio_set_status(d, (uint8_t)word);
        return;
    }
    pthread_mutex_lock(&d->lock);
    unsigned enable = d->class->n_queues, accept = UINT32_MAX;
    switch (offset) {
    case DEVICE_FEATURE_SELECT: p->device_feature_select = word; break;
    case DRIVER_FEATURE_SELECT: p->driver_feature_select = word; break;
    case DRIVER_FEATURE: accept = p->driver_feature_select; break;
    case QUEUE_SELECT: p->queue_select = (uint16_t)word; break;
    case QUEUE_ENABLE:
        if (word == 1)
            enable = p->queue_select;
        break;
    default: queue_write(p, offset, word);
    }
    pthread_mutex_unlock(&d->lock);
    if (accept != UINT32_MAX)
        virtio_accept(d, accept, word);
    if (enable < d->class->n_queues)
        virtio_enable_queue(d, enable);
}

static bool region_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct virtio_pci *p = opaque;
    unsigned at = offset % STRUCTURE_SIZE;
    switch (offset - at) {
    case COMMON_AT: *value = at < COMMON_SIZE ? common_read(p, at, size) : 0; break;
    case ISR_AT: *value = at == 0 ? virtio_read_isr(p->device) : 0; break;
    case CONFIG_AT: *value = virtio_read_config(p->device, at, size); break;
    default: *value = 0;
    }
    return true;
}

static bool region_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct virtio_pci *p = opaque;
    unsigned at = offset % STRUCTURE_SIZE;
    switch (offset - at) {
    case COMMON_AT:
        if (at < COMMON_SIZE)
            common_write(p, at, size, value);
        break;
    case CONFIG_AT: virtio_write_config(p->device, at, size, value); break;
    case NOTIFY_AT:
        if (at / NOTIFY_STEP < p->device->class->n_queues)
            virtio_kick(p->device, 1u << (at / NOTIFY_STEP));
        break;
    }
    return true;
}

/* Where the access window points to, when that is an access that the region takes. */
static bool window_target(struct virtio_pci *p, uint32_t *offset, uint32_t *length)
{
    pthread_mutex_lock(&p->device->lock);
    memcpy(offset, p->window + WINDOW_OFFSET, 4);
    memcpy(length, p->window + WINDOW_LENGTH, 4);
    uint8_t bar = p->window[WINDOW_BAR];
    pthread_mutex_unlock(&p->device->lock);
    *offset = le32toh(*offset);
    *length = le32toh(*length);
    return bar == 0 && (*length == 1 || *length == 2 || *length == 4) && *offset % *length == 0 &&
           *offset < REGION_SIZE;
}

static bool window_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct virtio_pci *p = opaque;
    uint32_t target, length;
    *value = 0;
    if (offset >= WINDOW_DATA)
        return !window_target(p, &target, &length) || region_read(p, target, length, value);
    pthread_mutex_lock(&p->device->lock);
    for (unsigned i = 0; i < size; i++)
        *value |= (uint64_t)p->window[offset + i] << (8 * i);
    pthread_mutex_unlock(&p->device->lock);
    return true;
}

static bool window_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct virtio_pci *p = opaque;
    uint32_t target, length;
    if (offset >= WINDOW_DATA) {
        if (window_target(p, &target, &length))
            region_write(p, target, length, value & (UINT64_MAX >> (64 - 8 * length)));
        return true;
    }
    pthread_mutex_lock(&p->device->lock);
    for (unsigned i = 0; i < size; i++)
        p->window[offset + i] = (uint8_t)(value >> (8 * i));
    pthread_mutex_unlock(&p->device->lock);
    return true;
}

static int add_capabilities(struct virtio_pci *p, struct error **err)
{
    const struct cap caps[] = {
        {.type = CAP_PCI_CFG, .len = CAP_EXTRA_SIZE},
        {.type = CAP_COMMON, .len = CAP_SIZE, .offset = COMMON_AT, .length = COMMON_SIZE},
        {.type = CAP_NOTIFY,
         .len = CAP_EXTRA_SIZE,
         .offset = NOTIFY_AT,
         .length = STRUCTURE_SIZE,
         .extra = NOTIFY_STEP},
        {.type = CAP_ISR, .len = CAP_SIZE, .offset = ISR_AT, .length = 1},
        {.type = CAP_DEVICE, .len = CAP_SIZE, .offset = CONFIG_AT, .length = p->device->config_len},
    };
    for (unsigned i = 0; i < sizeof caps / sizeof *caps; i++) {
        struct cap c = caps[i];
        if (c.type == CAP_DEVICE && !c.length)
            continue;
        c.id = CAP_VENDOR;
        c.offset = htole32(c.offset);
        c.length = htole32(c.length);
        c.extra = htole32(c.extra);
        if (pci_add_capability(p->function, &c, c.len, err) < 0)
            return -1;
    }
    return 0;
}

static void virtio_pci_reset(void *opaque)
{
    struct virtio_pci *p = opaque;
    virtio_set_status(p->device, 0);
    p->device_feature_select = p->driver_feature_select = 0;
    p->queue_select = 0;
    memset(p->window, 0, sizeof p->window);
}

/* The device goes after its transport, and may still be at work. */
static void virtio_pci_destroy(void *opaque)
{
    struct virtio_pci *p = opaque;
    pthread_mutex_lock(&p->device->lock);
    p->device->set_irq = NULL;
    pthread_mutex_unlock(&p->device->lock);
    free(p);
}

struct pci_function *virtio_pci_add(struct pci_host *host, struct virtio_device *d,
                                    struct error **err)
{
    const struct virtio_class *class = d->class;
    struct virtio_pci *p = xcalloc(1, sizeof *p);
    p->device = d;
    struct pci_function_config config = {
        .name = class->name,
        .vendor = 0x1af4,
        .device = 0x1040 + class->id,
        .subsystem_vendor = 0x1af4,
        .subsystem = 0x1100, /* 0x40 or higher: no legacy driver takes it */
        .revision = 1,
        .class_code = class->pci_class,
        .bars[0] = {.size = REGION_SIZE, .read = region_read, .write = region_write},
        .opaque = p,
        .window = WINDOW_AT,
        .window_len = WINDOW_SIZE,
        .window_read = window_read,
        .window_write = window_write,
    };
    bus_add_device(pci_bus(host), p, virtio_pci_reset, virtio_pci_destroy);
    p->function = pci_add_function(host, &config, err);
    if (!p->function || add_capabilities(p, err) < 0)
        return NULL;
    d->set_irq = set_irq;
    d->irq_opaque = p;
    return p->function;
}
