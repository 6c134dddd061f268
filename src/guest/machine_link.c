#include "guest/machine_link.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "guest/control.h"

/* As many may be without an answer; one that has run out of time still is, as its answer may come
 * and is not the next one's. */
#define MAX_OPEN 64u

struct question {
    uint64_t deadline;
    machine_answer_fn *fn; /* NULL: nobody waits (any more) */
    void *arg;
    bool sent; /* an answer will come; else it is refused in the loop's next round */
    struct question *next;
};

struct machine_link {
    struct loop *loop;
    int fd; /* -1: the machine is no more */
    struct str in, out;
    struct question *first, **last; /* in the order of their answers, and of their deadlines */
    unsigned n_sent;
};

static void link_ready(void *arg, int fd, uint32_t events);
static void link_due(void *arg);

static void rewatch(struct machine_link *l)
{
    if (l->fd >= 0)
        loop_watch(l->loop, l->fd, EPOLLIN | (l->out.len ? EPOLLOUT : 0), link_ready, l, NULL);
    uint64_t due = UINT64_MAX;
    for (struct question *q = l->first; q; q = q->next)
        if (q->deadline < due)
            due = q->deadline;
    loop_timer(l->loop, due, link_due, l);
}

/* Takes a question out of the list, so that its answer may change the list. */
static void question_remove(struct machine_link *l, struct question *q)
{
    struct question **p = &l->first;
    while (*p != q)
        p = &(*p)->next;
    *p = q->next;
    if (l->last == &q->next)
        l->last = p;
    l->n_sent -= q->sent;
    free(q);
}

/* Tells who waits, once. */
static void tell(struct question *q, json_object *answer, const struct error *err)
{
    machine_answer_fn *fn = q->fn;
    q->fn = NULL;
    q->deadline = UINT64_MAX;
    if (fn)
        fn(q->arg, answer, err);
}

static void link_due(void *arg)
{
    struct machine_link *l = arg;
    ERROR_CLEANUP late = NULL;
    uint64_t now = clock_ns();
    error_set(&late, 0, l->fd < 0 ? "the machine is no more" : "the machine does not answer");
    late->code = ETIMEDOUT;
    for (struct question *q = l->first, *next; q; q = next) {
        if (q->deadline <= now)
            tell(q, NULL, late); /* may append, or forget; removes nothing */
        next = q->next;
        if (q->deadline == UINT64_MAX && !q->sent)
            question_remove(l, q);
    }
    rewatch(l);
}

static void flush(struct machine_link *l)
{
    if (l->fd >= 0)
        flush_socket(l->fd, &l->out); /* a broken one shows when it is read */
}

void machine_link_finish(struct machine_link *l)
{
    if (!l)
        return;
    ERROR_CLEANUP gone = NULL;
    error_set(&gone, 0, "the machine is no more");
    if (l->fd >= 0)
        loop_unwatch(l->loop, l->fd);
    l->fd = -1;
    while (l->first) {
        tell(l->first, NULL, gone);
        question_remove(l, l->first);
    }
    rewatch(l);
}

static void take_answer(struct machine_link *l, const char *line, size_t len)
{
    struct question *q = l->first;
    while (q && !q->sent)
        q = q->next;
    if (!q)
        return; /* nobody asked */
    ERROR_CLEANUP err = NULL;
    AUTO_JSON *answer = json_parse_object(line, len, "the machine's answer", &err);
    bool ok = answer && json_get_bool(answer, "ok", false);
    if (answer && !ok)
        error_set(&err, 0, "the machine: %s",
                  json_get_str(answer, "error", "refused without a reason"));
    tell(q, ok ? answer : NULL, err);
    question_remove(l, q);
}

static void link_ready(void *arg, int fd, uint32_t events)
{
    struct machine_link *l = arg;
    char buf[16384];
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && !refused_for_now(errno))) {
            machine_link_finish(l);
            return;
        }
        if (n > 0)
            str_append(&l->in, buf, (size_t)n);
    }
    size_t done = 0;
    char *nl;
    while (l->fd >= 0 && l->in.len > done &&
           (nl = memchr(l->in.data + done, '\n', l->in.len - done))) {
        size_t len = (size_t)(nl - l->in.data) - done;
        take_answer(l, l->in.data + done, len);
        done += len + 1;
    }
    str_drop(&l->in, done);
    flush(l);
    if (l->in.len > CONTROL_LINE_MAX)
        machine_link_finish(l); /* no machine of ours says so much */
    else
        rewatch(l);
}

void machine_link_ask(struct machine_link *l, json_object *request, machine_answer_fn *fn,
                      void *arg)
{
    AUTO_JSON *owned = request;
    bool send = l->fd >= 0 && l->n_sent < MAX_OPEN;
    struct question *q = xcalloc(1, sizeof *q);
    *q = (struct question){
        .deadline = send ? clock_ns() + MACHINE_ANSWER_NS : 0, .fn = fn, .arg = arg, .sent = send};
    *l->last = q;
    l->last = &q->next;
    if (send) {
        l->n_sent++;
        str_printf(&l->out, "%s\n", json_object_to_json_string_ext(owned, JSON_C_TO_STRING_PLAIN));
        flush(l);
    }
    rewatch(l);
}

void machine_link_forget(struct machine_link *l, void *arg)
{
    for (struct question *q = l ? l->first : NULL; q; q = q->next)
        if (q->arg == arg)
            q->fn = NULL;
}

struct machine_link *machine_link_new(struct loop *loop, int fd, struct error **err)
{
    struct machine_link *l = xcalloc(1, sizeof *l);
    *l = (struct machine_link){.loop = loop, .fd = fd};
    l->last = &l->first;
    if (loop_watch(loop, fd, EPOLLIN, link_ready, l, err) < 0) {
        free(l);
        return NULL;
    }
    return l;
}

void machine_link_free(struct machine_link *l)
{
    if (!l)
        return;
    assert(loop_may_free(l->loop));
    for (struct question *q = l->first; q; q = q->next)
        q->fn = NULL;
    machine_link_finish(l);
    str_free(&l->in);
    str_free(&l->out);
    free(l);
}
