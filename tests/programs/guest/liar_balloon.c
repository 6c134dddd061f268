/* Run as root in a machine: takes the balloon's device away from Linux and lies with it. It says
 * that all that is there, and much more, is available, gives none of it, and takes what it can get.
 *
 * usage: liar_balloon MIB: so much memory is taken, bit by bit, once it is believed
 *
 * Says "lying" when its statistics have been read three times. Register layout: virtio 1.2, 4.1.4
 * and 5.5.6. */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEVICES       "/sys/bus/pci/devices"
#define BALLOON       0x1045
#define STATS_QUEUE   2
#define QUEUE_SIZE    8
#define BAR_SIZE      16384
#define CAP_POINTER   0x34
#define CAP_VENDOR    9
#define CAP_COMMON    1
#define CAP_NOTIFY    2
#define FEATURE_STATS (1u << 1)
#define FEATURE_V1    (1u << 0) /* bit 32 */
#define TAG_FREE      4
#define TAG_TOTAL     5
#define TAG_AVAILABLE 6
#define FAR_TOO_MUCH  (1ull << 50)

struct common { /* struct virtio_pci_common_cfg */
    uint32_t device_feature_select, device_feature, driver_feature_select, driver_feature;
    uint16_t msix_config, num_queues;
    uint8_t status, generation;
    uint16_t queue_select, queue_size, queue_msix, queue_enable, queue_notify_off;
    uint32_t desc[2], driver[2], device[2];
};

struct statistic {
    uint16_t tag;
    uint64_t value;
} __attribute__((packed));

struct queue { /* in one page, of which the guest's own kernel knows nothing */
    struct {
        uint64_t address;
        uint32_t length;
        uint16_t flags, next;
    } desc[QUEUE_SIZE];
    uint16_t avail_flags, avail_index, avail[QUEUE_SIZE];
    uint8_t pad[128 - 4 - 2 * QUEUE_SIZE];
    uint16_t used_flags, used_index;
    uint8_t used[8 * QUEUE_SIZE + 60];
    struct statistic said[3];
};

static char device[300];

static int open_of(const char *name, int flags)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", device, name);
    int fd = open(path, flags);
    if (fd < 0)
        err(1, "%s", path);
    return fd;
}

static void write_to(const char *name, const char *text)
{
    int fd = open_of(name, O_WRONLY);
    if (write(fd, text, strlen(text)) < 0)
        err(1, "write %s", name);
    close(fd);
}

static void find_device(void)
{
    DIR *d = opendir(DEVICES);
    if (!d)
        err(1, DEVICES);
    for (struct dirent *e; (e = readdir(d));) {
        char id[16] = "";
        if (e->d_name[0] == '.')
            continue;
        snprintf(device, sizeof device, DEVICES "/%s", e->d_name);
        int fd = open_of("device", O_RDONLY);
        if (read(fd, id, sizeof id - 1) > 0 && strtol(id, NULL, 16) == BALLOON) {
            write_to("driver/unbind", e->d_name);
            write_to("enable", "1");
            close(fd);
            closedir(d);
            return;
        }
        close(fd);
    }
    errx(1, "no balloon");
}

static volatile uint8_t *map_bar(unsigned n)
{
    char name[32];
    snprintf(name, sizeof name, "resource%u", n);
    int fd = open_of(name, O_RDWR | O_SYNC);
    void *p = mmap(NULL, BAR_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        err(1, "map %s", name);
    return p;
}

/* Where the two register blocks are; the doorbells' distance. */
static void find_registers(volatile struct common **common, volatile uint8_t **notify,
                           uint32_t *step)
{
    uint8_t c[256];
    int fd = open_of("config", O_RDWR);
    uint16_t command = 6; /* memory, bus master */
    if (pread(fd, c, sizeof c, 0) != (ssize_t)sizeof c || pwrite(fd, &command, 2, 4) != 2)
        err(1, "configuration space");
    for (int at = c[CAP_POINTER]; at; at = c[at + 1]) {
        uint32_t offset;
        memcpy(&offset, c + at + 8, sizeof offset);
        if (c[at] != CAP_VENDOR)
            continue;
        if (c[at + 3] == CAP_COMMON)
            *common = (volatile struct common *)(map_bar(c[at + 4]) + offset);
        if (c[at + 3] == CAP_NOTIFY) {
            *notify = map_bar(c[at + 4]) + offset;
            memcpy(step, c + at + 16, sizeof *step);
        }
    }
    if (!*common || !*notify)
        errx(1, "no registers");
}

static uint64_t physical(void *p)
{
    uint64_t entry = 0;
    int fd = open("/proc/self/pagemap", O_RDONLY);
    if (fd < 0 || pread(fd, &entry, 8, (off_t)((uintptr_t)p / 4096 * 8)) != 8 ||
        !(entry & ((1ull << 55) - 1)))
        err(1, "/proc/self/pagemap");
    return (entry & ((1ull << 55) - 1)) << 12;
}

static void set_address(volatile uint32_t *r, uint64_t address)
{
    r[0] = (uint32_t)address;
    r[1] = (uint32_t)(address >> 32);
}

int main(int argc, char **argv)
{
    volatile struct common *r = NULL;
    volatile uint8_t *notify = NULL;
    uint32_t step = 0;
    size_t most = argc > 1 ? strtoul(argv[1], NULL, 10) << 20 : 0, taken = 0;
    find_device();
    find_registers(&r, &notify, &step);
    r->status = 0;
    r->status = 3; /* acknowledged, a driver is there */
    r->driver_feature_select = 0;
    r->driver_feature = FEATURE_STATS;
    r->driver_feature_select = 1;
    r->driver_feature = FEATURE_V1;
    r->status = 11; /* features agreed */
    if (!(r->status & 8))
        errx(1, "features refused");

    volatile struct queue *q = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_LOCKED, -1, 0);
    if (q == MAP_FAILED)
        err(1, "a page");
    uint64_t at = physical((void *)q);
    r->queue_select = STATS_QUEUE;
    r->queue_size = QUEUE_SIZE;
    set_address(r->desc, at);
    set_address(r->driver, at + offsetof(struct queue, avail_flags));
    set_address(r->device, at + offsetof(struct queue, used_flags));
    r->queue_enable = 1;
    volatile uint16_t *bell = (volatile uint16_t *)(notify + r->queue_notify_off * step);
    q->said[0] = (struct statistic){TAG_TOTAL, FAR_TOO_MUCH};
    q->said[1] = (struct statistic){TAG_AVAILABLE, FAR_TOO_MUCH};
    q->said[2] = (struct statistic){TAG_FREE, FAR_TOO_MUCH};
    q->desc[0].address = at + offsetof(struct queue, said);
    q->desc[0].length = sizeof q->said;
    r->status = 15; /* it goes */

    char *memory = mmap(NULL, most + 1, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        err(1, "memory");
    for (uint16_t n = 0;;) {
        q->avail[n % QUEUE_SIZE] = 0;
        __sync_synchronize();
        q->avail_index = ++n;
        __sync_synchronize();
        *bell = STATS_QUEUE;
        while (q->used_index != n) { /* asked for anew */
            size_t left = n < 3 ? 0 : most - taken, more = left < 4 << 20 ? left : 4 << 20;
            memset(memory + taken, 1, more);
            taken += more;
            usleep(50000);
        }
        if (n == 3) {
            puts("lying");
            fflush(stdout);
        }
    }
}
