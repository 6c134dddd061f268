#include "guest/balance.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/loop.h"
#include "base/str.h"
#include "guest/control.h"
#include "guest/wall_machine.h"

#define MIB      (UINT64_C(1) << 20)
#define MAX_LOW  (2048 * MIB)
#define MAX_HIGH (4096 * MIB)
#define MIN_STEP (4 * MIB) /* smaller changes are not worth a round trip */
/* Rounds until what a guest says of its memory shows what was last taken from it. */
#define SETTLE          2
#define FRESH_NS        5000000000u
#define MAX_SETTINGS    4096u
#define MAX_BALANCE_LOG (256 << 10)

static uint64_t min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void balance_settings_read(struct store *s, struct balance_settings *out)
{
    struct host_memory host = {0};
    AUTO_JSON *o = json_read_file_at(s->fd, "balance.json", MAX_SETTINGS, NULL);
    int64_t low = json_get_int(o, "low", 0), high = json_get_int(o, "high", 0);
    if (host_memory_read(&host, NULL) < 0)
        host.total = 0;
    out->automatic = json_get_bool(o, "auto", true);
    out->low = low > 0 ? (uint64_t)low : min(host.total / 8, MAX_LOW);
    out->high = high > 0 ? (uint64_t)high : min(host.total / 4, MAX_HIGH);
    if (out->high < out->low)
        out->high = out->low;
}

int balance_settings_write(struct store *s, const struct balance_settings *in, struct error **err)
{
    AUTO_JSON *o = json_object_new_object();
    json_put_bool(o, "auto", in->automatic);
    if (in->low)
        json_put_int(o, "low", (int64_t)in->low);
    if (in->high)
        json_put_int(o, "high", (int64_t)in->high);
    const char *text = json_object_to_json_string(o);
    return replace_file_at(s->fd, "balance.json", text, strlen(text), 0600, err);
}

static void publish(struct guest *g, const struct balance_reading *r)
{
    AUTO_JSON *o = json_object_new_object();
    json_put_int(o, "available", (int64_t)r->available);
    json_put_int(o, "total", (int64_t)r->total);
    json_put_int(o, "idle", (int64_t)r->idle);
    json_put_int(o, "extra", (int64_t)r->extra);
    json_put_int(o, "pending", (int64_t)r->pending);
    json_put_int(o, "when", (int64_t)clock_ns());
    const char *text = json_object_to_json_string(o);
    replace_file_at(g->dirfd, "memory.json", text, strlen(text), 0600, NULL);
}

static uint64_t positive(json_object *o, const char *key)
{
    int64_t v = json_get_int(o, key, 0);
    return v > 0 && v < INT64_MAX / 1024 ? (uint64_t)v : 0;
}

/* The other machines' readings that are not stale. */
static void sum_others(struct guest *g, struct balance_sum *sum)
{
    char **ids = store_list(g->store, NULL);
    for (char **id = ids; id && *id; id++) {
        if (!strcmp(*id, g->id))
            continue;
        AUTO_FREE char *path = xasprintf("%s/memory.json", *id);
        AUTO_JSON *o = json_read_file_at(g->store->guests_fd, path, MAX_SETTINGS, NULL);
        uint64_t when = positive(o, "when"), now = clock_ns();
        if (!o || when > now || now - when > FRESH_NS)
            continue;
        struct balance_reading r = {.available = positive(o, "available"),
                                    .total = positive(o, "total"),
                                    .idle = positive(o, "idle"),
                                    .extra = positive(o, "extra"),
                                    .pending = positive(o, "pending")};
        balance_add(sum, &r);
    }
    strv_free(ids);
}

static void note(struct guest *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct guest *g, const char *fmt, ...)
{
    AUTO_CLOSE int fd = openat(g->dirfd, "balance.log",
                               O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || lseek(fd, 0, SEEK_END) > MAX_BALANCE_LOG)
        return;
    char text[512], when[32];
    time_t now = time(NULL);
    struct tm tm;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    gmtime_r(&now, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    dprintf(fd, "%s %s\n", when, text);
}

/* What the guest says of itself; -1 while it has no balloon driver or has said nothing yet. */
static int read_guest(struct workload *w, const struct balance *b, struct balance_reading *out)
{
    AUTO_JSON *request = control_request("stats");
    AUTO_JSON *stats = machine_request(w, request, NULL);
    json_object *o = json_get_obj(stats, "balloon"), *memory = json_get_obj(stats, "memory");
    uint64_t ram = positive(memory, "ram_bytes");
    uint64_t there = positive(memory, "resident_bytes") + positive(memory, "balloon_bytes");
    uint64_t actual = positive(o, "actual"), target = b->manual + b->extra;
    *out = (struct balance_reading){.available = positive(o, "available"),
                                    .total = positive(o, "total"),
                                    .idle = ram > there ? ram - there : 0,
                                    .extra = b->extra,
                                    .pending = target > actual ? target - actual : 0};
    return out->total && json_get_bool(o, "running", false) ? 0 : -1;
}

static int set_balloon(struct guest *g, struct workload *w, uint64_t ballooned, struct error **err)
{
    uint64_t memory = g->spec.limits.memory;
    AUTO_JSON *request = control_request("balloon");
    json_put_int(request, "bytes", (int64_t)(ballooned < memory ? memory - ballooned : 0));
    AUTO_JSON *answer = machine_request(w, request, err);
    return answer ? 0 : -1;
}

static void change(struct guest *g, struct workload *w, struct balance *b,
                   const struct balance_settings *set, const struct host_memory *host,
                   const struct balance_reading *mine, uint64_t extra)
{
    ERROR_CLEANUP err = NULL;
    uint64_t difference = extra > b->extra ? extra - b->extra : b->extra - extra;
    if (difference < MIN_STEP && extra)
        return;
    if (set_balloon(g, w, b->manual + extra, &err) < 0) {
        note(g, "the balloon could not be set: %s", error_text(err));
        return;
    }
    note(g,
         "host: %" PRIu64 " MiB available (low %" PRIu64 ", high %" PRIu64 "); guest: %" PRIu64
         " of %" PRIu64 " MiB available: %s %" PRIu64 " MiB, %" PRIu64 " MiB balanced away now",
         host->available / MIB, set->low / MIB, set->high / MIB, mine->available / MIB,
         mine->total / MIB, extra > b->extra ? "it gives" : "it gets back", difference / MIB,
         extra / MIB);
    if (extra > b->extra)
        b->settle = SETTLE;
    b->extra = extra;
}

void balance_tick(struct guest *g, struct workload *w, struct balance *b)
{
    struct balance_settings set;
    struct host_memory host;
    balance_settings_read(g->store, &set);
    if (host_memory_read(&host, NULL) < 0)
        return;
    if (!set.automatic && b->extra) {
        host.available = UINT64_MAX / 2; /* switched off: everything goes back */
        set.low = set.high = 0;
        host.stalled = false;
    } else if (!set.automatic || (host.available >= set.high && !host.stalled && !b->extra)) {
        b->published = false;
        return;
    }
    AUTO_CLOSE int lock =
        openat(g->store->fd, "balance.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
        return; /* somebody else decides; next second */
    struct balance_reading mine;
    struct balance_sum sum = {0};
    if (read_guest(w, b, &mine) < 0)
        return;
    /* In the first round of need the others do not know of this machine, nor it of them. */
    if (b->published) {
        balance_add(&sum, &mine);
        sum_others(g, &sum);
        uint64_t extra = balance_decide(&set, &host, &mine, &sum);
        b->settle -= b->settle > 0;
        if (extra < b->extra || (extra > b->extra && !b->settle)) {
            change(g, w, b, &set, &host, &mine, extra);
            mine.pending += b->extra > mine.extra ? b->extra - mine.extra : 0;
            mine.extra = b->extra;
        }
    }
    publish(g, &mine);
    b->published = true;
}

void balance_set_manual(struct balance *b, uint64_t ballooned)
{
    *b = (struct balance){.manual = ballooned};
}
