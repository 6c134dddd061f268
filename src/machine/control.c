#include "machine/control.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "engine/engine.h"

#define MAX_REQUEST 4096

struct control {
    struct machine *m;
    int fd;
    bool started;
    char line[MAX_REQUEST];
    size_t len;
};

static void add(json_object *o, const char *name, uint64_t value)
{
    json_object_object_add(o, name, json_object_new_uint64(value));
}

static json_object *hart_counters(const struct machine *m)
{
    static const char *const trap_names[16] = {
        "fetch_misaligned", "fetch_access", "illegal",          "breakpoint",
        "load_misaligned",  "load_access",  "store_misaligned", "store_access",
        "ecall_u",          "ecall_s",      "ecall_vs",         "ecall_m",
        "fetch_page",       "load_page",    "reserved",         "store_page"};
    static const char *const irq_names[16] = {
        [IRQ_SSI] = "supervisor_software", [IRQ_MSI] = "machine_software",
        [IRQ_STI] = "supervisor_timer",    [IRQ_MTI] = "machine_timer",
        [IRQ_SEI] = "supervisor_external", [IRQ_MEI] = "machine_external"};
    struct hart_stats sum = {0};
    const unsigned n = sizeof sum / sizeof(uint64_t);
    for (unsigned i = 0; i < m->n_harts; i++)
        for (unsigned j = 0; j < n; j++)
            ((uint64_t *)&sum)[j] +=
                __atomic_load_n((const uint64_t *)&m->harts[i].stats + j, __ATOMIC_RELAXED);
    json_object *o = json_object_new_object(), *traps = json_object_new_object(),
                *irqs = json_object_new_object(), *emulated = json_object_new_object();
    for (unsigned i = 0; i < 16; i++) {
        if (sum.traps[i])
            add(traps, trap_names[i], sum.traps[i]);
        if (sum.interrupts[i] && irq_names[i])
            add(irqs, irq_names[i], sum.interrupts[i]);
    }
    add(emulated, "csr", sum.csr);
    add(emulated, "xret", sum.xret);
    add(emulated, "sfence", sum.sfence);
    add(emulated, "fence_i", sum.fence_i);
    add(emulated, "wfi", sum.wfi);
    add(emulated, "wrs", sum.wrs);
    add(emulated, "sbi", sum.sbi);
    json_object_object_add(o, "traps", traps);
    json_object_object_add(o, "interrupts", irqs);
    json_object_object_add(o, "system_instructions", emulated);
    add(o, "tlb_fills", sum.tlb_fills);
    add(o, "page_walks", sum.walks);
    add(o, "mmio", sum.mmio);
    return o;
}

static json_object *memory_counters(const struct machine *m)
{
    struct slat_stats s;
    slat_get_stats(m->slat, &s);
    json_object *o = json_object_new_object();
    add(o, "ram_bytes", s.ram_bytes);
    add(o, "second_level_faults", s.faults);
    add(o, "resident_bytes", s.resident_pages * PAGE_SIZE);
    add(o, "balloon_bytes", s.ballooned_pages * PAGE_SIZE);
    add(o, "discarded_bytes", s.discarded_pages * PAGE_SIZE);
    add(o, "code_page_writes", s.code_writes);
    return o;
}

/* What the guest says of itself; it may be a while old, and fresh figures are asked for. */
static json_object *balloon_counters(const struct machine *m)
{
    static const char *const names[BALLOON_N_STATS] = {
        "swap_in", "swap_out",  "major_faults", "minor_faults",   "free",
        "total",   "available", "caches",       "huge_allocated", "huge_failed"};
    struct balloon_stats s;
    balloon_get_stats(m->balloon, &s);
    balloon_request_stats(m->balloon);
    json_object *o = json_object_new_object();
    json_object_object_add(o, "running", json_object_new_boolean(s.running));
    add(o, "target", s.target);
    add(o, "actual", s.actual);
    if (s.time_ns)
        add(o, "age_ms", (clock_ns() - s.time_ns) / 1000000);
    for (unsigned i = 0; i < BALLOON_N_STATS; i++)
        if (s.known >> i & 1)
            add(o, names[i], s.value[i]);
    return o;
}

static json_object *engine_counters(const struct machine *m)
{
    struct engine_stats s;
    engine_get_stats(m->engine, &s);
    json_object *o = json_object_new_object();
    add(o, "blocks", s.blocks);
    add(o, "guest_instructions", s.guest_insns);
    add(o, "guest_bytes", s.guest_bytes);
    add(o, "host_bytes", s.host_bytes);
    add(o, "lookups", s.lookups);
    add(o, "lookup_hits", s.lookup_hits);
    add(o, "links", s.links);
    add(o, "invalidated", s.invalidated);
    add(o, "flushes", s.flushes);
    add(o, "cache_used", s.cache_used);
    add(o, "cache_size", s.cache_size);
    return o;
}

static json_object *answer_ok(void)
{
    json_object *o = json_object_new_object();
    json_object_object_add(o, "ok", json_object_new_boolean(true));
    return o;
}

static json_object *answer_error(const char *text)
{
    json_object *o = json_object_new_object();
    json_object_object_add(o, "ok", json_object_new_boolean(false));
    json_object_object_add(o, "error", json_object_new_string(text));
    return o;
}

static json_object *stats(struct machine *m)
{
    json_object *o = answer_ok();
    json_object_object_add(o, "harts", json_object_new_int((int)m->n_harts));
    json_object_object_add(o, "paused", json_object_new_boolean(atomic_load(&m->paused)));
    add(o, "time", machine_time(m));
    json_object_object_add(o, "hart_counters", hart_counters(m));
    json_object_object_add(o, "memory", memory_counters(m));
    json_object_object_add(o, "balloon", balloon_counters(m));
    json_object_object_add(o, "engine", engine_counters(m));
    return o;
}

void control_print_stats(struct machine *m, FILE *f)
{
    json_object *o = stats(m);
    json_object_object_del(o, "ok");
    fprintf(f, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
    json_object_put(o);
}

static json_object *balloon(struct control *c, json_object *request)
{
    json_object *bytes;
    if (!json_object_object_get_ex(request, "bytes", &bytes) ||
        !json_object_is_type(bytes, json_type_int) || json_object_get_int64(bytes) < 0)
        return answer_error("balloon: \"bytes\" must be the size to leave the guest, a number");
    uint64_t left = (uint64_t)json_object_get_int64(bytes), ram = slat_size(c->m->slat);
    balloon_set_target(c->m->balloon, left < ram ? ram - left : 0);
    return answer_ok();
}

static json_object *serve(struct control *c, json_object *request)
{
    json_object *op;
    if (!json_object_object_get_ex(request, "op", &op) ||
        !json_object_is_type(op, json_type_string))
        return answer_error("a request is an object with a string \"op\"");
    const char *name = json_object_get_string(op);
    if (!strcmp(name, "stats"))
        return stats(c->m);
    if (!strcmp(name, "pause")) {
        machine_pause(c->m);
        return answer_ok();
    }
    if (!strcmp(name, "resume")) {
        machine_resume(c->m);
        return answer_ok();
    }
    if (!strcmp(name, "balloon"))
        return balloon(c, request);
    if (!strcmp(name, "stop")) {
        machine_request_end(c->m, MACHINE_STOPPED, 128 + 15);
        return answer_ok();
    }
    return answer_error("unknown \"op\": use stats, pause, resume, balloon or stop");
}

/* Sends an answer, which is taken over; 0, or -1 with errno. */
static int say(int fd, json_object *answer)
{
    AUTO_FREE char *text =
        xasprintf("%s\n", json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN));
    json_object_put(answer);
    size_t done = 0, len = strlen(text);
    while (done < len) {
        ssize_t n = send(fd, text + done, len - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            log_debug("control socket: %s", strerror(errno));
            return -1;
        }
        done += (size_t)n;
    }
    return 0;
}

int control_started(struct control *c, struct error **err)
{
    if (!c || c->started)
        return 0;
    c->started = true;
    return say(c->fd, answer_ok()) < 0 ? error_set(err, errno, "say that the machine runs") : 0;
}

void control_refuse(int fd, const char *why)
{
    say(fd, answer_error(why));
}

static void handle_line(struct control *c, const char *line)
{
    json_object *request = json_tokener_parse(line);
    json_object *reply = json_object_is_type(request, json_type_object)
                             ? serve(c, request)
                             : answer_error("a request is one JSON object on a line");
    say(c->fd, reply);
    json_object_put(request);
}

static void readable(void *arg, int fd, uint32_t events)
{
    struct control *c = arg;
    ssize_t n = recv(fd, c->line + c->len, sizeof c->line - c->len, MSG_DONTWAIT);
    if (n < 0 && refused_for_now(errno))
        return;
    if (n <= 0) {
        loop_unwatch(c->m->loop, fd); /* nobody asks any more; the machine goes on */
        return;
    }
    c->len += (size_t)n;
    char *end;
    while ((end = memchr(c->line, '\n', c->len))) {
        *end = 0;
        handle_line(c, c->line);
        size_t used = (size_t)(end + 1 - c->line);
        memmove(c->line, c->line + used, c->len - used);
        c->len -= used;
    }
    if (c->len == sizeof c->line) {
        log_warn("control socket: a request of more than %d bytes is ignored", MAX_REQUEST);
        c->len = 0;
    }
}

struct control *control_new(struct machine *m, int fd, struct error **err)
{
    struct control *c = xcalloc(1, sizeof *c);
    c->m = m;
    c->fd = fd;
    if (loop_watch(m->loop, fd, EPOLLIN, readable, c, err) < 0) {
        free(c);
        return NULL;
    }
    return c;
}

void control_free(struct control *c)
{
    if (!c)
        return;
    loop_unwatch(c->m->loop, c->fd);
    free(c);
}
