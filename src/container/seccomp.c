#include "container/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/str.h"
#include "container/json.h"
#include "container/sync.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef SECCOMP_FILTER_FLAG_NEW_LISTENER
#define SECCOMP_FILTER_FLAG_NEW_LISTENER (1UL << 3)
#endif

struct action {
    uint32_t value;
    bool takes_errno;
};

static int read_action(const struct node *n, struct action *a, struct error **err)
{
    static const struct {
        const char *name;
        struct action a;
    } names[] = {
        {"SCMP_ACT_KILL", {SCMP_ACT_KILL_THREAD, false}},
        {"SCMP_ACT_KILL_THREAD", {SCMP_ACT_KILL_THREAD, false}},
        {"SCMP_ACT_KILL_PROCESS", {SCMP_ACT_KILL_PROCESS, false}},
        {"SCMP_ACT_TRAP", {SCMP_ACT_TRAP, false}},
        {"SCMP_ACT_ERRNO", {SCMP_ACT_ERRNO(0), true}},
        {"SCMP_ACT_TRACE", {SCMP_ACT_TRACE(0), true}},
        {"SCMP_ACT_ALLOW", {SCMP_ACT_ALLOW, false}},
        {"SCMP_ACT_LOG", {SCMP_ACT_LOG, false}},
        {"SCMP_ACT_NOTIFY", {SCMP_ACT_NOTIFY, false}},
    };
    const char *s = NULL;
    if (node_required(n, err) < 0 || node_string(n, &s, err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i].name, s)) {
            *a = names[i].a;
            return 0;
        }
    return node_error(n, err, "'%s' is no seccomp action", s);
}

/* The action with its errno: EPERM unless given. */
static int with_errno(const struct node *action, const struct node *ret, uint32_t *out,
                      struct error **err)
{
    struct action a = {0};
    int64_t code = EPERM;
    if (read_action(action, &a, err) < 0)
        return -1;
    int r = node_int(ret, 0, UINT16_MAX, &code, err);
    if (r < 0)
        return -1;
    if (r > 0 && !a.takes_errno)
        return node_error(ret, err, "the action takes no errno");
    *out = a.takes_errno ? a.value | (uint32_t)code : a.value;
    return 0;
}

static int read_arch(const struct node *n, uint32_t *out, struct error **err)
{
    const char *s = NULL;
    if (node_required(n, err) < 0 || node_string(n, &s, err) < 0)
        return -1;
    char lower[32] = "";
    for (size_t i = 0; str_starts(s, "SCMP_ARCH_") && s[10 + i] && i < sizeof lower - 1; i++)
        lower[i] = (char)(s[10 + i] >= 'A' && s[10 + i] <= 'Z' ? s[10 + i] + 32 : s[10 + i]);
    *out = *lower ? seccomp_arch_resolve_name(lower) : 0;
    return *out ? 0 : node_error(n, err, "'%s' is no architecture known here", s);
}

static int read_comparison(const struct node *n, struct scmp_arg_cmp *a, struct error **err)
{
    static const struct {
        const char *name;
        enum scmp_compare op;
    } names[] = {
        {"SCMP_CMP_NE", SCMP_CMP_NE},
        {"SCMP_CMP_LT", SCMP_CMP_LT},
        {"SCMP_CMP_LE", SCMP_CMP_LE},
        {"SCMP_CMP_EQ", SCMP_CMP_EQ},
        {"SCMP_CMP_GE", SCMP_CMP_GE},
        {"SCMP_CMP_GT", SCMP_CMP_GT},
        {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
    };
    struct node index = node_get(n, "index"), value = node_get(n, "value"),
                two = node_get(n, "valueTwo"), op = node_get(n, "op");
    int64_t i = 0;
    uint64_t v = 0, w = 0;
    const char *s = NULL;
    if (node_required(n, err) < 0 || node_required(&index, err) < 0 ||
        node_int(&index, 0, 5, &i, err) < 0 || node_required(&value, err) < 0 ||
        node_u64(&value, &v, err) < 0 || node_u64(&two, &w, err) < 0 ||
        node_required(&op, err) < 0 || node_string(&op, &s, err) < 0)
        return -1;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (!strcmp(names[k].name, s)) {
            *a = (struct scmp_arg_cmp){(unsigned)i, names[k].op, v, w};
            return 0;
        }
    return node_error(&op, err, "'%s' is no comparison", s);
}

static int add_rule(scmp_filter_ctx ctx, const struct node *n, const char *name, uint32_t action,
                    const struct scmp_arg_cmp *args, unsigned len, struct error **err)
{
    int nr = seccomp_syscall_resolve_name(name);
    if (nr == __NR_SCMP_ERROR)
        return 0; /* a profile names calls of newer kernels: what is not known cannot be matched */
    int r = seccomp_rule_add_array(ctx, action, nr, len, args);
    if (r == -EINVAL && len > 1) {
        /* Several comparisons of one argument are alternatives: a rule each. */
        r = 0;
        for (unsigned i = 0; r == 0 && i < len; i++)
            r = seccomp_rule_add_array(ctx, action, nr, 1, &args[i]);
    }
    return r < 0 && r != -EEXIST ? node_error(n, err, "%s: %s", name, strerror(-r)) : 0;
}

static int read_rule(scmp_filter_ctx ctx, const struct node *n, uint32_t fallback,
                     struct seccomp_filter *f, struct error **err)
{
    struct node names = node_get(n, "names"), action = node_get(n, "action"),
                ret = node_get(n, "errnoRet"), args = node_get(n, "args");
    size_t len, args_len;
    uint32_t a;
    if (node_required(n, err) < 0 || node_object(n, err) < 0 || node_required(&names, err) < 0 ||
        node_array(&names, &len, err) < 0 || with_errno(&action, &ret, &a, err) < 0 ||
        node_array(&args, &args_len, err) < 0)
        return -1;
    if (!len)
        return node_error(&names, err, "empty; at least one system call is expected");
    if (args_len > 6)
        return node_error(&args, err, "%zu comparisons; at most 6 are possible", args_len);
    f->notify |= a == SCMP_ACT_NOTIFY;
    struct scmp_arg_cmp cmp[6];
    for (size_t i = 0; i < args_len; i++) {
        struct node e = node_at(&args, i);
        if (read_comparison(&e, &cmp[i], err) < 0)
            return -1;
    }
    for (size_t i = 0; i < len; i++) {
        struct node e = node_at(&names, i);
        const char *name = NULL;
        if (node_required(&e, err) < 0 || node_string(&e, &name, err) < 0)
            return -1;
        /* libseccomp refuses a rule that says what happens anyway. */
        if (a != fallback && add_rule(ctx, &e, name, a, cmp, (unsigned)args_len, err) < 0)
            return -1;
    }
    return 0;
}

static int read_flags(const struct node *n, struct seccomp_filter *f, struct error **err)
{
    static const struct {
        const char *name;
        unsigned flag;
    } names[] = {
        {"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC},
        {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
        {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
        {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV},
    };
    AUTO_FREE const char **list = NULL;
    size_t len = 0;
    if (node_strings(n, &list, &len, err) < 0)
        return -1;
    for (size_t i = 0; i < len; i++) {
        size_t k = 0;
        while (k < 4 && strcmp(names[k].name, list[i]))
            k++;
        struct node e = node_at(n, i);
        if (k == 4)
            return node_error(&e, err, "'%s' is no seccomp flag", list[i]);
        f->flags |= names[k].flag;
    }
    return 0;
}

/* The compiled program, by way of a memory file: libseccomp 2.5 exports to descriptors only. */
static int export_program(scmp_filter_ctx ctx, struct seccomp_filter *f, struct error **err)
{
    AUTO_CLOSE int fd = memfd_create("seccomp", MFD_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "memfd_create");
    int r = seccomp_export_bpf(ctx, fd);
    struct stat st;
    if (r < 0)
        return error_set(err, -r, "linux.seccomp: compile");
    if (fstat(fd, &st) < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return error_set(err, errno, "linux.seccomp");
    f->len = (size_t)st.st_size / sizeof(struct sock_filter);
    if (f->len > BPF_MAXINSNS)
        return error_set(err, E2BIG, "linux.seccomp: the filter has %zu instructions", f->len);
    f->program = xcalloc(f->len, sizeof(struct sock_filter));
    if (read_full(fd, f->program, (size_t)st.st_size) != st.st_size)
        return error_set(err, EIO, "linux.seccomp");
    return 0;
}

static int compile(const struct node *n, scmp_filter_ctx ctx, uint32_t fallback,
                   struct seccomp_filter *f, struct error **err)
{
    struct node archs = node_get(n, "architectures"), calls = node_get(n, "syscalls");
    size_t len;
    if (node_array(&archs, &len, err) < 0)
        return -1;
    for (size_t i = 0; i < len; i++) {
        struct node e = node_at(&archs, i);
        uint32_t arch;
        if (read_arch(&e, &arch, err) < 0)
            return -1;
        int r = seccomp_arch_add(ctx, arch);
        if (r < 0 && r != -EEXIST)
            return node_error(&e, err, "%s", strerror(-r));
    }
    /* A binary search over the call numbers, instead of a comparison with each in turn. */
    seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (node_array(&calls, &len, err) < 0)
        return -1;
    for (size_t i = 0; i < len; i++) {
        struct node e = node_at(&calls, i);
        if (read_rule(ctx, &e, fallback, f, err) < 0)
            return -1;
    }
    return export_program(ctx, f, err);
}

/* ---- the cache: HASH holds the JSON, a NUL, and the program ---- */

static char *cache_path(const char *dir, const char *key)
{
    uint64_t h = 0xcbf29ce484222325; /* FNV-1a */
    for (const char *p = key; *p; p++)
        h = (h ^ (unsigned char)*p) * 0x100000001b3;
    return xasprintf("%s/%016llx", dir, (unsigned long long)h);
}

static bool cache_load(const char *path, const char *key, struct seccomp_filter *f)
{
    char *data = NULL;
    size_t len, n = strlen(key) + 1;
    if (read_file_at(AT_FDCWD, path, 1 << 22, &data, &len, NULL) < 0)
        return false;
    bool ok = len > n && !memcmp(data, key, n) && (len - n) % sizeof(struct sock_filter) == 0;
    if (ok) {
        f->len = (len - n) / sizeof(struct sock_filter);
        f->program = xcalloc(f->len, sizeof(struct sock_filter));
        memcpy(f->program, data + n, len - n);
    }
    free(data);
    return ok;
}

static void cache_store(const char *dir, const char *path, const char *key,
                        const struct seccomp_filter *f)
{
    STR_CLEANUP all = {0};
    str_append(&all, key, strlen(key) + 1);
    str_append(&all, f->program, f->len * sizeof(struct sock_filter));
    /* Without the cache it still works, only slower. */
    if (mkdir_all(dir, 0700, NULL) == 0)
        replace_file_at(AT_FDCWD, path, all.data, all.len, 0600, NULL);
}

int seccomp_prepare(const struct config *c, const char *cache_dir, struct seccomp_filter *f,
                    struct error **err)
{
    *f = (struct seccomp_filter){0};
    if (!c->seccomp)
        return 0;
    struct node linux_ = node_root(NULL, "linux");
    struct node n = {.v = c->seccomp, .up = &linux_, .key = "seccomp"};
    struct node action = node_get(&n, "defaultAction"), ret = node_get(&n, "defaultErrnoRet"),
                flags = node_get(&n, "flags"), path = node_get(&n, "listenerPath"),
                metadata = node_get(&n, "listenerMetadata");
    uint32_t fallback;
    if (with_errno(&action, &ret, &fallback, err) < 0 || read_flags(&flags, f, err) < 0 ||
        node_string(&path, &f->listener_path, err) < 0 ||
        node_string(&metadata, &f->listener_metadata, err) < 0)
        return -1;
    if (f->listener_metadata && !f->listener_path)
        return node_error(&metadata, err, "needs listenerPath");
    const struct scmp_version *v = seccomp_version();
    AUTO_FREE char *key =
        xasprintf("wirt %s libseccomp %u.%u.%u %s", WIRT_VERSION, v->major, v->minor, v->micro,
                  json_object_to_json_string_ext(c->seccomp, JSON_C_TO_STRING_PLAIN));
    AUTO_FREE char *file = cache_dir ? cache_path(cache_dir, key) : NULL;
    f->notify = fallback == SCMP_ACT_NOTIFY || strstr(key, "SCMP_ACT_NOTIFY");
    if (!file || !cache_load(file, key, f)) {
        scmp_filter_ctx ctx = seccomp_init(fallback);
        if (!ctx)
            return node_error(&action, err, "not possible as the default");
        f->notify = fallback == SCMP_ACT_NOTIFY;
        int r = compile(&n, ctx, fallback, f, err);
        seccomp_release(ctx);
        if (r < 0) {
            seccomp_free(f);
            return -1;
        }
        if (file)
            cache_store(cache_dir, file, key, f);
    }
    if (f->notify && !f->listener_path) {
        seccomp_free(f);
        return node_error(&path, err, "missing, and required with SCMP_ACT_NOTIFY");
    }
    return 0;
}

void seccomp_free(struct seccomp_filter *f)
{
    free(f->program);
    *f = (struct seccomp_filter){0};
}

int seccomp_install(const struct seccomp_filter *f, struct error **err)
{
    if (!f->program)
        return 0;
    struct sock_fprog prog = {(unsigned short)f->len, f->program};
    unsigned flags = f->flags;
    if (f->notify) {
        flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
        /* seccomp(2): with both, an error is told as a thread id instead of the descriptor. There
         * is one thread here anyway. */
        flags &= ~(unsigned)SECCOMP_FILTER_FLAG_TSYNC;
    }
    int r = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
    if (r < 0)
        return error_set(err, errno, "linux.seccomp: load the filter");
    return f->notify ? r : 0;
}

int seccomp_connect(const struct seccomp_filter *f, struct error **err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(f->listener_path) >= sizeof a.sun_path)
        return error_set(err, ENAMETOOLONG, "linux.seccomp.listenerPath: %s", f->listener_path);
    strcpy(a.sun_path, f->listener_path);
    AUTO_CLOSE int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0 || connect(s, (struct sockaddr *)&a, sizeof a) < 0)
        return error_set(err, errno, "linux.seccomp.listenerPath: connect to %s", f->listener_path);
    return STEAL_FD(s);
}

int seccomp_send_listener(const struct seccomp_filter *f, int sock, int fd, pid_t pid,
                          const char *state, struct error **err)
{
    struct json_object *o = json_object_new_object(), *fds = json_object_new_array();
    json_object_array_add(fds, json_object_new_string("seccompFd"));
    json_object_object_add(o, "ociVersion", json_object_new_string(OCI_VERSION));
    json_object_object_add(o, "fds", fds);
    json_object_object_add(o, "pid", json_object_new_int(pid));
    if (f->listener_metadata)
        json_object_object_add(o, "metadata", json_object_new_string(f->listener_metadata));
    json_object_object_add(o, "state", json_tokener_parse(state));
    const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
    int r = send_fd(sock, fd, text, strlen(text), err);
    json_object_put(o);
    return r < 0 ? error_prefix(err, "linux.seccomp.listenerPath") : 0;
}
