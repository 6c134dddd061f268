/* Goldfish real-time clock: nanoseconds since 1970 in two 32-bit halves, one alarm. Registers as
 * Linux' drivers/rtc/rtc-goldfish.c uses them. */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/str.h"
#include "machine/devices/devices.h"

enum {
    TIME_LOW = 0x00, /* reading it latches the other half */
    TIME_HIGH = 0x04,
    ALARM_LOW = 0x08, /* writing it arms the alarm */
    ALARM_HIGH = 0x0c,
    IRQ_ENABLED = 0x10,
    CLEAR_ALARM = 0x14,
    ALARM_STATUS = 0x18,
    CLEAR_INTERRUPT = 0x1c,
};

struct rtc {
    struct irq_line irq;
    struct loop *loop;
    pthread_mutex_t lock; /* guards the rest */
    uint64_t offset;      /* what the guest's clock is ahead of the host's, ns, modulo 2^64 */
    uint32_t time_high;
    uint64_t alarm; /* in the guest's time */
    uint32_t alarm_high;
    bool armed, irq_enabled, pending;
    bool timer_call; /* a loop_call of set_timer is under way */
};

static uint64_t host_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t guest_ns(const struct rtc *r)
{
    return host_ns() + r->offset;
}

static void update_irq(struct rtc *r)
{
    irq_set(&r->irq, r->pending && r->irq_enabled);
}

static void alarm_due(void *opaque);

/* Moves the loop's timer to where the alarm is now. In the loop's thread. */
static void set_timer(void *opaque)
{
    struct rtc *r = opaque;
    pthread_mutex_lock(&r->lock);
    r->timer_call = false;
    uint64_t deadline = UINT64_MAX;
    if (r->armed) {
        uint64_t now = guest_ns(r), wait = r->alarm > now ? r->alarm - now : 0;
        if (__builtin_add_overflow(clock_ns(), wait, &deadline))
            deadline = UINT64_MAX;
    }
    pthread_mutex_unlock(&r->lock);
    loop_timer(r->loop, deadline, alarm_due, r);
}

static void alarm_due(void *opaque)
{
    struct rtc *r = opaque;
    pthread_mutex_lock(&r->lock);
    bool early = r->armed && r->alarm > guest_ns(r); /* the host's clock was set back */
    if (r->armed && !early) {
        r->armed = false;
        r->pending = true;
        update_irq(r);
    }
    pthread_mutex_unlock(&r->lock);
    if (early)
        set_timer(r);
}

static void alarm_changed(struct rtc *r)
{
    if (!r->timer_call) {
        r->timer_call = true;
        loop_call(r->loop, set_timer, r);
    }
}

static bool rtc_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct rtc *r = opaque;
    pthread_mutex_lock(&r->lock);
    *value = 0;
    switch (offset) {
    case TIME_LOW: {
        uint64_t now = guest_ns(r);
        r->time_high = (uint32_t)(now >> 32);
        *value = (uint32_t)now;
        break;
    }
    case TIME_HIGH: *value = r->time_high; break;
    case ALARM_LOW: *value = (uint32_t)r->alarm; break;
    case ALARM_HIGH: *value = r->alarm >> 32; break;
    case IRQ_ENABLED: *value = r->irq_enabled; break;
    case ALARM_STATUS: *value = r->armed; break;
    }
    pthread_mutex_unlock(&r->lock);
    return true;
}

static bool rtc_write(void *opaque, uint64_t offset, unsigned size, uint64_t value)
{
    struct rtc *r = opaque;
    uint64_t low = (uint32_t)value, high = low << 32;
    pthread_mutex_lock(&r->lock);
    switch (offset) {
    case TIME_LOW:
        r->offset = ((guest_ns(r) & ~(uint64_t)UINT32_MAX) | low) - host_ns();
        alarm_changed(r);
        break;
    case TIME_HIGH:
        r->offset = ((guest_ns(r) & UINT32_MAX) | high) - host_ns();
        alarm_changed(r);
        break;
    case ALARM_LOW:
        r->alarm = (uint64_t)r->alarm_high << 32 | low;
        r->armed = true;
        alarm_changed(r);
        break;
    case ALARM_HIGH: r->alarm_high = (uint32_t)value; break;
    case IRQ_ENABLED: r->irq_enabled = value & 1; break;
    case CLEAR_ALARM:
        r->armed = false;
        alarm_changed(r);
        break;
    case CLEAR_INTERRUPT: r->pending = false; break;
    }
    update_irq(r);
    pthread_mutex_unlock(&r->lock);
    return true;
}

static void rtc_reset(void *opaque)
{
    struct rtc *r = opaque;
    pthread_mutex_lock(&r->lock);
    r->armed = r->irq_enabled = r->pending = false;
    r->alarm = r->alarm_high = 0; /* the time goes on: a clock has a battery */
    alarm_changed(r);
    update_irq(r);
    pthread_mutex_unlock(&r->lock);
}

static void rtc_destroy(void *opaque)
{
    struct rtc *r = opaque;
    loop_timer(r->loop, UINT64_MAX, alarm_due, r);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

int rtc_create(struct bus *bus, uint64_t base, struct irq_line irq, struct loop *loop,
               struct error **err)
{
    struct rtc *r = xcalloc(1, sizeof *r);
    *r = (struct rtc){.irq = irq, .loop = loop};
    pthread_mutex_init(&r->lock, NULL);
    bus_add_device(bus, r, rtc_reset, rtc_destroy);
    return bus_add_region(bus,
                          &(struct bus_region){.name = "rtc",
                                               .base = base,
                                               .size = RTC_SIZE,
                                               .sizes = 4,
                                               .opaque = r,
                                               .read = rtc_read,
                                               .write = rtc_write},
                          err);
}
