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

void balance_settings_read(int folder, const struct host_memory *host, struct balance_settings *out)
{
    AUTO_JSON *o = json_read_file_at(folder, "balance.json", MAX_SETTINGS, NULL);
    int64_t low = json_get_int(o, "low", 0), high = json_get_int(o, "high", 0);
    out->automatic = json_get_bool(o, "auto", true);
    out->low = low > 0 ? (uint64_t)low : min(host->total / 8, MAX_LOW);
    out->high = high > 0 ? (uint64_t)high : min(host->total / 4, MAX_HIGH);
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
    AUTO_CLOSE int folder = store_folder(s, "settings", err);
    return folder < 0 ? -1 : replace_file_at(folder, "balance.json", text, strlen(text), 0600, err);
}

static void publish(const struct balance *b, const struct balance_reading *r)
{
    AUTO_JSON *o = json_object_new_object();
    json_put_int(o, "available", (int64_t)r->available);
    json_put_int(o, "total", (int64_t)r->total);
    json_put_int(o, "idle", (int64_t)r->idle);
    json_put_int(o, "extra", (int64_t)r->extra);
    json_put_int(o, "pending", (int64_t)r->pending);
    json_put_bool(o, "late", r->late);
    json_put_int(o, "when", (int64_t)clock_ns());
    const char *text = json_object_to_json_string(o);
    replace_file_at(b->readings, b->g->id, text, strlen(text), 0600, NULL);
}

static uint64_t positive(json_object *o, const char *key)
{
    int64_t v = json_get_int(o, key, 0);
    return v > 0 && v < INT64_MAX / 1024 ? (uint64_t)v : 0;
}

/* The other machines' readings that are not stale. */
static void sum_others(const struct balance *b, struct balance_sum *sum)
{
    char **ids = store_list(b->g->store, NULL);
    for (char **id = ids; id && *id; id++) {
        if (!strcmp(*id, b->g->id))
            continue;
        AUTO_JSON *o = json_read_file_at(b->readings, *id, MAX_SETTINGS, NULL);
        uint64_t when = positive(o, "when"), now = clock_ns();
        if (!o || when > now || now - when > FRESH_NS)
            continue;
        struct balance_reading r = {.available = positive(o, "available"),
                                    .total = positive(o, "total"),
                                    .idle = positive(o, "idle"),
                                    .extra = positive(o, "extra"),
                                    .pending = positive(o, "pending"),
                                    .late = json_get_bool(o, "late", false)};
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

static uint64_t age_ns(json_object *balloon)
{
    int64_t ms = json_get_int(balloon, "age_ms", -1);
    return ms < 0 || ms > INT64_MAX / 1000000 ? UINT64_MAX : (uint64_t)ms * 1000000;
}

static struct balance_reading read_stats(struct balance *b, json_object *stats)
{
    json_object *o = json_get_obj(stats, "balloon"), *memory = json_get_obj(stats, "memory");
    struct balance_claims said = {.running = json_get_bool(o, "running", false),
                                  .available = positive(o, "available"),
                                  .total = positive(o, "total"),
                                  .age_ns = age_ns(o)};
    struct balance_counts counted = {.ram = positive(memory, "ram_bytes"),
                                     .resident = positive(memory, "resident_bytes"),
                                     .ballooned = positive(memory, "balloon_bytes")};
    struct balance_reading r = balance_read(&said, &counted);
    balance_observe(&b->promise, b->manual + b->extra, counted.ballooned, &r);
    r.extra = b->extra;
    return r;
}

/* A machine that did not answer in time may still do it, when it goes on: what holds is said again,
 * behind it. */
static void set_answered(void *arg, json_object *answer, const struct error *err)
{
    struct balance *b = arg;
    b->asking = false;
    if (err && !b->unsure)
        note(b->g, "the balloon could not be set: %s", error_text(err));
    if (err)
        b->extra = b->before;
    b->unsure = err != NULL;
}

static void send_balloon(struct balance *b)
{
    uint64_t memory = b->g->spec.limits.memory, ballooned = b->manual + b->extra;
    json_object *request = control_request("balloon");
    json_put_int(request, "bytes", (int64_t)(ballooned < memory ? memory - ballooned : 0));
    b->asking = true;
    machine_link_ask(b->w->machine, request, set_answered, b);
}

static void change(struct balance *b, const struct balance_settings *set,
                   const struct host_memory *host, const struct balance_reading *mine,
                   uint64_t extra)
{
    uint64_t difference = extra > b->extra ? extra - b->extra : b->extra - extra;
    note(b->g,
         "host: %" PRIu64 " MiB available (low %" PRIu64 ", high %" PRIu64 "); guest: %" PRIu64
         " of %" PRIu64 " MiB available: %s %" PRIu64 " MiB, %" PRIu64 " MiB balanced away now",
         host->available / MIB, set->low / MIB, set->high / MIB, mine->available / MIB,
         mine->total / MIB, extra > b->extra ? "it gives" : "it gets back", difference / MIB,
         extra / MIB);
    if (extra > b->extra) {
        b->settle = SETTLE;
        b->promise.rounds = 0;
    }
    b->before = b->extra;
    b->extra = extra;
    send_balloon(b);
}

/* The settings and the host's memory, and whether they are of any concern. */
static bool in_need(struct balance *b, struct balance_settings *set, struct host_memory *host)
{
    if (host_memory_read(&b->host, host, NULL) < 0)
        return false;
    balance_settings_read(b->settings, host, set);
    if (set->automatic)
        return host->available < set->high || host->stalled || b->extra;
    if (!b->extra)
        return false;
    host->available = UINT64_MAX / 2; /* switched off: everything goes back */
    set->low = set->high = 0;
    host->stalled = false;
    return true;
}

/* What this machine's `extra` shall be, from what all have published; false: as it is. */
static bool decide(struct balance *b, const struct balance_settings *set,
                   const struct host_memory *host, const struct balance_reading *mine,
                   uint64_t *extra)
{
    struct balance_sum sum = {0};
    balance_add(&sum, mine);
    sum_others(b, &sum);
    *extra = balance_decide(set, host, mine, &sum);
    b->settle -= b->settle > 0;
    if (*extra == b->extra || (*extra > b->extra && b->settle))
        return false;
    /* Small changes are not worth a round trip. */
    uint64_t difference = *extra > b->extra ? *extra - b->extra : b->extra - *extra;
    return difference >= MIN_STEP || !*extra;
}

static void stats_answered(void *arg, json_object *answer, const struct error *err)
{
    struct balance *b = arg;
    struct balance_settings set;
    struct host_memory host;
    uint64_t extra = 0;
    bool changes = false;
    b->asking = false;
    if (!answer || !in_need(b, &set, &host)) {
        b->published = false;
        return;
    }
    struct balance_reading mine = read_stats(b, answer);
    AUTO_CLOSE int lock =
        openat(b->readings, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
        return; /* somebody else decides; next round */
    /* In the first round of need the others do not know of this machine, nor it of them. */
    struct balance_reading promised = mine;
    if (b->published)
        changes = decide(b, &set, &host, &mine, &extra);
    if (changes) {
        promised.pending += extra > mine.extra ? extra - mine.extra : 0;
        promised.extra = extra;
    }
    publish(b, &promised);
    b->published = true;
    close(STEAL_FD(lock));
    if (changes)
        change(b, &set, &host, &mine, extra);
}

int balance_init(struct balance *b, struct guest *g, struct workload *w, struct error **err)
{
    *b = (struct balance){.g = g, .w = w, .settings = -1, .readings = -1};
    if (host_memory_open(&b->host, err) < 0 ||
        (b->settings = store_folder(g->store, "settings", err)) < 0 ||
        (b->readings = store_folder(g->store, "memory", err)) < 0)
        return error_prefix(err, "balancing of memory");
    return 0;
}

void balance_free(struct balance *b)
{
    if (!b->g)
        return;
    host_memory_close(&b->host);
    if (b->settings >= 0)
        close(b->settings);
    if (b->readings >= 0)
        close(b->readings);
}

void balance_tick(struct balance *b)
{
    struct balance_settings set;
    struct host_memory host;
    if (b->asking)
        return; /* it may hang: that is its own affair */
    if (b->unsure) {
        send_balloon(b);
        return;
    }
    if (!in_need(b, &set, &host)) {
        b->published = false;
        return;
    }
    b->asking = true;
    machine_link_ask(b->w->machine, control_request("stats"), stats_answered, b);
}

void balance_set_manual(struct balance *b, uint64_t ballooned)
{
    b->manual = ballooned;
    b->extra = b->before = 0;
    b->settle = 0;
    b->promise = (struct balance_promise){0};
    b->published = false;
}
