/* The supervisor binary interface, done by the hypervisor when the machine has no firmware.
 * Rules: RISC-V Supervisor Binary Interface Specification 2.0. */
#include <time.h>

#include "machine/board.h"

enum sbi_extension {
    SBI_LEGACY_SET_TIMER = 0,
    SBI_LEGACY_PUTCHAR = 1,
    SBI_LEGACY_GETCHAR = 2,
    SBI_LEGACY_CLEAR_IPI = 3,
    SBI_LEGACY_SEND_IPI = 4,
    SBI_LEGACY_FENCE_I = 5,
    SBI_LEGACY_SFENCE = 6,
    SBI_LEGACY_SFENCE_ASID = 7,
    SBI_LEGACY_SHUTDOWN = 8,
    SBI_BASE = 0x10,
    SBI_DBCN = 0x4442434e,
    SBI_HSM = 0x48534d,
    SBI_IPI = 0x735049,
    SBI_RFENCE = 0x52464e43,
    SBI_SRST = 0x53525354,
    SBI_TIME = 0x54494d45,
};

enum sbi_error {
    SBI_SUCCESS = 0,
    SBI_FAILED = -1,
    SBI_NOT_SUPPORTED = -2,
    SBI_INVALID_PARAM = -3,
    SBI_INVALID_ADDRESS = -5,
    SBI_ALREADY_AVAILABLE = -6,
};

#define SPEC_VERSION (2u << 24)
#define IMPL_ID      0x77697274u /* "wirt": not a registered number */
#define IMPL_VERSION 1u
#define DBCN_MAX     4096u /* bytes taken by one call: it may write less than asked */

struct sbiret {
    int64_t error;
    uint64_t value;
};

static bool is_supported(uint64_t extension)
{
    switch (extension) {
    case SBI_LEGACY_SET_TIMER:
    case SBI_LEGACY_PUTCHAR:
    case SBI_LEGACY_GETCHAR:
    case SBI_LEGACY_CLEAR_IPI:
    case SBI_LEGACY_SEND_IPI:
    case SBI_LEGACY_FENCE_I:
    case SBI_LEGACY_SFENCE:
    case SBI_LEGACY_SFENCE_ASID:
    case SBI_LEGACY_SHUTDOWN:
    case SBI_BASE:
    case SBI_DBCN:
    case SBI_HSM:
    case SBI_IPI:
    case SBI_RFENCE:
    case SBI_SRST:
    case SBI_TIME: return true;
    default: return false;
    }
}

static struct sbiret base_call(uint64_t function, const uint64_t *arg)
{
    switch (function) {
    case 0: return (struct sbiret){SBI_SUCCESS, SPEC_VERSION};
    case 1: return (struct sbiret){SBI_SUCCESS, IMPL_ID};
    case 2: return (struct sbiret){SBI_SUCCESS, IMPL_VERSION};
    case 3: return (struct sbiret){SBI_SUCCESS, is_supported(arg[0])};
    case 4:                                         /* mvendorid */
    case 5:                                         /* marchid */
    case 6: return (struct sbiret){SBI_SUCCESS, 0}; /* mimpid: not given */
    default: return (struct sbiret){SBI_NOT_SUPPORTED, 0};
    }
}

/* The harts that a mask and its base name; false when one does not exist. */
static bool hart_mask(const struct machine *m, uint64_t mask, uint64_t base, uint64_t *out)
{
    uint64_t all = m->n_harts == 64 ? ~(uint64_t)0 : ((uint64_t)1 << m->n_harts) - 1;
    *out = all;
    if (base == UINT64_MAX)
        return true;
    *out = 0;
    if (!mask)
        return true;
    if (base >= 64 || (mask << base) >> base != mask)
        return false;
    *out = mask << base;
    return !(*out & ~all);
}

static void set_ipi(struct machine *m, uint64_t harts)
{
    for (unsigned i = 0; i < m->n_harts; i++)
        if (harts >> i & 1)
            hart_set_ip(&m->harts[i], IP(IRQ_SSI), true);
}

static void remote_fence_i(struct hart *h, uint64_t harts)
{
    struct fence f = {.only_code = true};
    hart_fence_i(&h->cpu);
    hart_remote_fence(h, harts, &f);
}

static void remote_sfence(struct hart *h, uint64_t harts, uint64_t start, uint64_t size,
                          uint32_t asid)
{
    struct fence f = {.asid = asid};
    uint64_t last;
    bool all =
        (!start && !size) || size == UINT64_MAX || __builtin_add_overflow(start, size, &last);
    if (!all) {
        f.start = start;
        f.len = size;
        if (!size)
            return;
    }
    hart_remote_fence(h, harts, &f);
}

static struct sbiret rfence_call(struct hart *h, uint64_t function, const uint64_t *arg)
{
    uint64_t harts;
    if (function > 2) /* hfence: no H extension */
        return (struct sbiret){SBI_NOT_SUPPORTED, 0};
    if (!hart_mask(h->m, arg[0], arg[1], &harts))
        return (struct sbiret){SBI_INVALID_PARAM, 0};
    if (!function)
        remote_fence_i(h, harts);
    else
        remote_sfence(h, harts, arg[2], arg[3], function == 2 ? (uint16_t)arg[4] : NO_ASID);
    return (struct sbiret){SBI_SUCCESS, 0};
}

static struct sbiret ipi_call(struct hart *h, uint64_t function, const uint64_t *arg)
{
    uint64_t harts;
    if (function)
        return (struct sbiret){SBI_NOT_SUPPORTED, 0};
    if (!hart_mask(h->m, arg[0], arg[1], &harts))
        return (struct sbiret){SBI_INVALID_PARAM, 0};
    set_ipi(h->m, harts);
    return (struct sbiret){SBI_SUCCESS, 0};
}

static struct sbiret hart_start(struct machine *m, const uint64_t *arg)
{
    if (arg[0] >= m->n_harts)
        return (struct sbiret){SBI_INVALID_PARAM, 0};
    if (arg[1] & 1 || !slat_load_page(m->slat, arg[1]))
        return (struct sbiret){SBI_INVALID_ADDRESS, 0};
    struct hart *t = &m->harts[arg[0]];
    struct sbiret ret = {SBI_ALREADY_AVAILABLE, 0};
    pthread_mutex_lock(&t->lock);
    if (atomic_load(&t->hsm) == HSM_STOPPED) {
        t->start_pc = arg[1];
        t->start_a0 = t->id;
        t->start_a1 = arg[2];
        atomic_store(&t->hsm, HSM_START_PENDING);
        ret.error = SBI_SUCCESS;
    }
    pthread_mutex_unlock(&t->lock);
    hart_kick(t);
    return ret;
}

static struct sbiret hsm_call(struct hart *h, uint64_t function, const uint64_t *arg)
{
    switch (function) {
    case 0: return hart_start(h->m, arg);
    case 1: /* stop: does not return */
        pthread_mutex_lock(&h->lock);
        atomic_store(&h->hsm, HSM_STOPPED);
        pthread_mutex_unlock(&h->lock);
        return (struct sbiret){SBI_SUCCESS, 0};
    case 2:
        if (arg[0] >= h->m->n_harts)
            return (struct sbiret){SBI_INVALID_PARAM, 0};
        return (struct sbiret){SBI_SUCCESS, (uint64_t)atomic_load(&h->m->harts[arg[0]].hsm)};
    case 3: /* suspend */
        if ((uint32_t)arg[0] != 0)
            return (struct sbiret){
                (uint32_t)arg[0] == 0x80000000u ? SBI_NOT_SUPPORTED : SBI_INVALID_PARAM, 0};
        h->wfi = true; /* the default retentive state: a wfi */
        return (struct sbiret){SBI_SUCCESS, 0};
    default: return (struct sbiret){SBI_NOT_SUPPORTED, 0};
    }
}

static struct sbiret srst_call(struct hart *h, uint64_t function, const uint64_t *arg)
{
    if (function)
        return (struct sbiret){SBI_NOT_SUPPORTED, 0};
    if (arg[0] > 2 || arg[1] > 1)
        return (struct sbiret){SBI_INVALID_PARAM, 0};
    /* Reason 1, system failure, is what the shell is told. */
    machine_request_end(h->m, arg[0] ? MACHINE_REBOOT : MACHINE_POWEROFF, arg[1] ? 1 : 0);
    return (struct sbiret){SBI_SUCCESS, 0};
}

/* A blocking write. When the reader is slow, the ecall is done again: so the hart passes a safe
 * point and can be paused or stopped meanwhile. */
static struct sbiret put_char(struct hart *h, uint8_t c)
{
    if (machine_console_write(h->m, &c, 1))
        return (struct sbiret){SBI_SUCCESS, 0};
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    h->cpu.pc -= 4;
    return (struct sbiret){(int64_t)h->cpu.x[10], h->cpu.x[11]};
}

static struct sbiret dbcn_call(struct hart *h, uint64_t function, const uint64_t *arg)
{
    uint64_t len = arg[0] < DBCN_MAX ? arg[0] : DBCN_MAX;
    const void *data;
    void *into;
    switch (function) {
    case 0:
        data = arg[2] ? NULL : slat_host(h->m->slat, arg[1], len, false);
        if (len && !data)
            return (struct sbiret){SBI_INVALID_PARAM, 0};
        return (struct sbiret){SBI_SUCCESS, machine_console_write(h->m, data, len)};
    case 1:
        into = arg[2] ? NULL : slat_host(h->m->slat, arg[1], len, true);
        if (len && !into)
            return (struct sbiret){SBI_INVALID_PARAM, 0};
        return (struct sbiret){SBI_SUCCESS, machine_console_read(h->m, into, len)};
    case 2: return put_char(h, (uint8_t)arg[0]);
    default: return (struct sbiret){SBI_NOT_SUPPORTED, 0};
    }
}

/* The mask of a legacy call, which lies in the caller's virtual memory; 0: all harts. */
static bool legacy_mask(struct hart *h, uint64_t va, uint64_t *harts)
{
    uint64_t mask = 0;
    if (va && !mmu_load(&h->cpu, va, 8, &mask))
        return false;
    return hart_mask(h->m, mask, va ? 0 : UINT64_MAX, harts);
}

static int64_t legacy_call(struct hart *h, uint64_t extension, const uint64_t *arg)
{
    uint64_t harts;
    uint8_t c;
    switch (extension) {
    case SBI_LEGACY_SET_TIMER: hart_set_timer(h, &h->stimecmp, arg[0]); return 0;
    case SBI_LEGACY_PUTCHAR: return put_char(h, (uint8_t)arg[0]).error;
    case SBI_LEGACY_GETCHAR: return machine_console_read(h->m, &c, 1) ? c : -1;
    case SBI_LEGACY_CLEAR_IPI: hart_set_ip(h, IP(IRQ_SSI), false); return 0;
    case SBI_LEGACY_SHUTDOWN: machine_request_end(h->m, MACHINE_POWEROFF, 0); return 0;
    }
    if (!legacy_mask(h, arg[0], &harts))
        return SBI_INVALID_PARAM;
    switch (extension) {
    case SBI_LEGACY_SEND_IPI: set_ipi(h->m, harts); break;
    case SBI_LEGACY_FENCE_I: remote_fence_i(h, harts); break;
    case SBI_LEGACY_SFENCE: remote_sfence(h, harts, arg[1], arg[2], NO_ASID); break;
    case SBI_LEGACY_SFENCE_ASID: remote_sfence(h, harts, arg[1], arg[2], (uint16_t)arg[3]); break;
    }
    return 0;
}

void sbi_call(struct hart *h)
{
    uint64_t *x = h->cpu.x;
    const uint64_t *arg = x + 10; /* a0 .. */
    uint64_t extension = x[17], function = x[16];
    struct sbiret ret = {SBI_NOT_SUPPORTED, 0};
    hart_count(&h->stats.sbi);
    h->cpu.pc += 4;
    if (extension <= SBI_LEGACY_SHUTDOWN) {
        x[10] = (uint64_t)legacy_call(h, extension, arg);
        return;
    }
    switch (extension) {
    case SBI_BASE: ret = base_call(function, arg); break;
    case SBI_DBCN: ret = dbcn_call(h, function, arg); break;
    case SBI_HSM: ret = hsm_call(h, function, arg); break;
    case SBI_IPI: ret = ipi_call(h, function, arg); break;
    case SBI_RFENCE: ret = rfence_call(h, function, arg); break;
    case SBI_SRST: ret = srst_call(h, function, arg); break;
    case SBI_TIME:
        if (!function) {
            hart_set_timer(h, &h->stimecmp, arg[0]);
            ret.error = SBI_SUCCESS;
        }
        break;
    }
    x[10] = (uint64_t)ret.error;
    x[11] = ret.value;
}
