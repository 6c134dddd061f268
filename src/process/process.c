/* The process wall from the outside: starting a program, and the loop that runs each thread of it.
 */
#include "process/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "isa/isa.h"
#include "process/appearance.h"
#include "process/cache.h"
#include "process/loader.h"
#include "process/path.h"
#include "process/seccomp.h"
#include "process/signal.h"
#include "process/space.h"
#include "process/stop.h"
#include "process/syscall.h"
#include "process/thread.h"
#include "process/user_csr.h"

#define INSN_ECALL    0x00000073
#define INSN_EBREAK   0x00100073
#define INSN_C_EBREAK 0x9002
#define INSN_WRS_NTO  0x00d00073
#define INSN_WRS_STO  0x01d00073

/* --- What the engine asks for --- */

static bool op_fetch(struct cpu *cpu, uint64_t pc, struct code_span *out)
{
    struct thread *t = (struct thread *)cpu;
    uint64_t version = atomic_load(&t->process->space.version);
    if (t->code_version != version || pc < t->code.start || pc >= t->code.end) {
        if (!space_find(&t->process->space, pc, &t->code)) {
            t->code = (struct mapping){0};
            t->fault_signo = SIGSEGV;
            t->fault_code = SEGV_MAPERR;
            cpu->trap = (struct trap){CAUSE_FETCH_PAGE, pc};
            return false;
        }
        t->code_version = version;
    }
    t->fault_signo = SIGSEGV;
    t->fault_code = SEGV_ACCERR;
    if (!(t->code.prot & PROT_EXEC) || guest_strnlen((const char *)pc, 1) < 0) {
        /* not executable, or (then it is a SIGBUS) beyond the end of the mapped file */
        if (t->code.prot & PROT_EXEC) {
            t->fault_signo = SIGBUS;
            t->fault_code = BUS_ADRERR;
        }
        cpu->trap = (struct trap){CAUSE_FETCH_PAGE, pc};
        return false;
    }
    uint64_t page_end = (pc | (PAGE_SIZE - 1)) + 1; /* mappings end at page ends */
    *out =
        (struct code_span){(const uint8_t *)pc, (uint32_t)(page_end - pc), pc & ~(PAGE_SIZE - 1)};
    return true;
}

static enum step op_system(struct cpu *cpu, uint32_t insn)
{
    switch (insn) {
    case INSN_ECALL:
        /* Made outside of the engine: a thread that waits in the kernel must not look as if it were
         * in translated code. */
        cpu->trap = (struct trap){CAUSE_ECALL_U, 0};
        return STEP_TRAP;
    case INSN_EBREAK:
    case INSN_C_EBREAK: cpu->trap = (struct trap){CAUSE_BREAKPOINT, cpu->pc}; return STEP_TRAP;
    case INSN_WRS_NTO:
    case INSN_WRS_STO:
        /* Zawrs lets a wait for a store end for any reason. Whoever is to make the store may need
         * this processor. */
        HOST_CALL(SYS_sched_yield);
        cpu->pc += 4;
        return STEP_NEXT;
    default: {
        enum step step = user_csr(cpu, insn);
        if (step == STEP_TRAP)
            cpu->trap = (struct trap){CAUSE_ILLEGAL, insn};
        return step;
    }
    }
}

static bool op_copy_code(void *to, const void *from, size_t n)
{
    return guest_copy(to, from, n) == 0;
}

static const struct engine_ops process_ops = {
    .fetch = op_fetch, .copy_code = op_copy_code, .system = op_system};

/* --- The loop --- */

/* What the load, store or AMO at pc accesses. The host does not say it for addresses that x86-64
 * does not have. */
static uint64_t accessed_address(const struct thread *t, uint64_t otherwise)
{
    uint16_t half[2] = {0};
    struct decoded d;
    uint64_t pc = t->cpu.pc;
    if (guest_read(&half[0], pc, 2) ||
        (isa_length(half[0]) == 4 && guest_read(&half[1], pc + 2, 2)))
        return otherwise;
    isa_decode((uint32_t)half[1] << 16 | half[0], &d);
    switch (insn_table[d.id].format) {
    case FORMAT_LOAD:
    case FORMAT_FLOAD:
    case FORMAT_STORE:
    case FORMAT_FSTORE: return t->cpu.x[d.rs1] + (uint64_t)(int64_t)d.imm;
    case FORMAT_AMO:
    case FORMAT_LR: return t->cpu.x[d.rs1];
    default: return otherwise;
    }
}

static void raise_trap(struct thread *t)
{
    const struct trap *trap = &t->cpu.trap;
    uint64_t address = trap->tval;
    int code = t->fault_code;
    switch (trap->cause) {
    case CAUSE_ECALL_U: syscall_dispatch(t); break;
    case CAUSE_BREAKPOINT: signal_force(t, SIGTRAP, TRAP_BRKPT, t->cpu.pc); break;
    case CAUSE_ILLEGAL: signal_force(t, SIGILL, ILL_ILLOPC, t->cpu.pc); break;
    case CAUSE_FETCH_PAGE:
    case CAUSE_FETCH_ACCESS:
    case CAUSE_LOAD_PAGE:
    case CAUSE_LOAD_ACCESS:
    case CAUSE_STORE_PAGE:
    case CAUSE_STORE_ACCESS:
        if (code == SI_KERNEL) {
            address = accessed_address(t, address);
            code = SEGV_MAPERR;
        }
        signal_force(t, t->fault_signo ? t->fault_signo : SIGSEGV, code ? code : SEGV_MAPERR,
                     address);
        break;
    default: signal_force(t, SIGBUS, BUS_ADRALN, trap->tval);
    }
}

void thread_loop(struct thread *t)
{
    while (!t->exiting) {
        if (t->sig_pending)
            signal_deliver(t);
        /* Whoever wants something says what, requests the exit, and looks at translated, in that
         * order; here it is the other way round, with a full barrier in the middle. */
        atomic_store_explicit(&t->translated, true, memory_order_relaxed);
        atomic_store(&t->cpu.exit_request, 0);
        bool trapped = !t->sig_pending && !stop_wanted(t) && engine_run(&t->cpu) == EXIT_TRAP;
        atomic_store_explicit(&t->translated, false, memory_order_release);
        stop_point(t);
        if (trapped)
            raise_trap(t);
    }
    thread_finish(t);
}

/* --- The end --- */

static void print_stats(struct process *p)
{
    struct engine_stats s;
    engine_get_stats(p->engine, &s);
    dprintf(p->messages_fd,
            "blocks %llu  guest instructions %llu  guest bytes %llu  host bytes %llu\n"
            "lookups %llu  hits %llu  links %llu  invalidated %llu  flushes %llu\n"
            "code cache %llu of %llu bytes  blocks reused %llu\n",
            (unsigned long long)s.blocks, (unsigned long long)s.guest_insns,
            (unsigned long long)s.guest_bytes, (unsigned long long)s.host_bytes,
            (unsigned long long)s.lookups, (unsigned long long)s.lookup_hits,
            (unsigned long long)s.links, (unsigned long long)s.invalidated,
            (unsigned long long)s.flushes, (unsigned long long)s.cache_used,
            (unsigned long long)s.cache_size, (unsigned long long)s.reused);
}

void process_exit(struct process *p, int status)
{
    if (p->config.stats)
        print_stats(p);
    if (!current_thread || !current_thread->vfork_child) /* which is in its parent's memory */
        cache_save(p, true);
    HOST_CALL(SYS_exit_group, status);
    __builtin_unreachable();
}

void process_die(int signo)
{
    struct {
        void *handler;
        unsigned long flags;
        void *restorer;
        uint64_t mask;
    } action = {.handler = SIG_DFL};
    uint64_t open = SIGNAL_BIT(signo);
    HOST_CALL(SYS_rt_sigaction, signo, &action, 0, 8);
    HOST_CALL(SYS_rt_sigprocmask, SIG_UNBLOCK, &open, 0, 8);
    HOST_CALL(SYS_tgkill, getpid(), HOST_CALL(SYS_gettid), signo);
    HOST_CALL(SYS_exit_group, 128 + signo); /* not reached: the signal's default action is to die */
    __builtin_unreachable();
}

/* --- The start --- */

#define OWN_DESCRIPTORS 1000 /* few programs use such; yet the kernel's table stays small */

int process_move_away(int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, OWN_DESCRIPTORS);
    struct rlimit r;
    if (moved < 0 && getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur > 32)
        moved = fcntl(fd, F_DUPFD_CLOEXEC, r.rlim_cur - 16);
    if (moved < 0)
        return fd;
    close(fd);
    return moved;
}

void process_own_descriptors(const struct process *p, int out[N_OWN_DESCRIPTORS])
{
    const int own[] = {p->sysroot_fd, p->emulator_fd, p->exe_fd, p->messages_fd, p->cache_fd};
    memcpy(out, own, sizeof own);
}

static int keep_messages(struct process *p, struct error **err)
{
    int fd = p->config.messages_fd;
    if (fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return error_set(err, errno, "descriptor %d for messages", fd);
    if (fd < 0 && (p->config.stats || p->config.strace)) {
        fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        if (fd >= 0)
            fd = process_move_away(fd);
    }
    p->messages_fd = fd; /* a standard error that is closed: nobody wants to know */
    return 0;
}

static int find_sysroot(struct process *p, struct error **err)
{
    p->sysroot_fd = -1;
    if (!p->config.sysroot)
        return 0;
    p->sysroot = realpath(p->config.sysroot, NULL);
    if (!p->sysroot)
        return error_set(err, errno, "-L %s", p->config.sysroot);
    if (strcmp(p->sysroot, "/") == 0) {
        free(p->sysroot);
        p->sysroot = NULL;
        return 0;
    }
    int fd = open(p->sysroot, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, errno, "-L %s", p->config.sysroot);
    p->sysroot_fd = process_move_away(fd);
    return 0;
}

/* Opens the program, or takes over the descriptor by which it was handed on: then it may have no
 * name at all (a memfd, a file that was removed), or none in this root. */
static int find_program_file(struct process *p, struct error **err)
{
    const char *inside, *path = p->config.program;
    char link[PATH_MAX];
    int fd = p->config.program_fd;
    if (fd >= 0 ? fcntl(fd, F_SETFD, FD_CLOEXEC) < 0
                : (fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0)
        return error_set(err, errno, "%s", path);
    p->exe_fd = fd == p->config.program_fd ? fd : process_move_away(fd);
    p->exe_host = descriptor_path(p->exe_fd, link) ? xstrdup(link) : realpath(path, NULL);
    if (!p->exe_host)
        p->exe_host = xstrdup(path);
    bool below = path_below_sysroot(p, p->exe_host, &inside);
    p->exe = xstrdup(below ? inside : p->exe_host);
    p->name = below && p->config.program_fd < 0 ? p->exe : path;
    return 0;
}

static int start_engine(struct process *p, struct error **err)
{
    struct engine_config c = {.ops = &process_ops, .interpret = p->config.interpret};
    if (p->config.trace) {
        c.trace = fopen(p->config.trace, "ae");
        if (!c.trace)
            return error_set(err, errno, "--trace %s", p->config.trace);
    }
    p->engine = engine_new(&c, err);
    if (!p->engine)
        return -1;
    cache_begin(p);
    return 0;
}

/* A descriptor of this very program: its path may lead nowhere after a chroot, and /proc be gone.
 */
static int remember_emulator(struct process *p, struct error **err)
{
    int fd = p->config.emulator_fd;
    if (fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return error_set(err, errno, "descriptor %d of the emulator", fd);
    if (fd < 0) {
        fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
        if (fd >= 0)
            fd = process_move_away(fd);
    }
    p->emulator_fd = fd;
    return 0;
}

int process_exec(const struct process_config *config, struct error **err)
{
    struct process *p = xcalloc(1, sizeof *p);
    struct program program;
    p->config = *config;
    if (config->cache && config->cache[0] != '/' && strcmp(config->cache, "off") != 0) {
        AUTO_FREE char *here = getcwd(NULL, 0); /* of now: the program may go elsewhere */
        p->config.cache = here ? xasprintf("%s/%s", here, config->cache) : "off";
    }
    pthread_mutex_init(&p->threads_lock, NULL);
    space_init(&p->space);
    if (keep_messages(p, err) < 0 || remember_emulator(p, err) < 0 || find_sysroot(p, err) < 0 ||
        find_program_file(p, err) < 0 || start_engine(p, err) < 0)
        return -1;
    struct thread *t = thread_new(p, err);
    if (!t)
        return -1;
    t->leader = true;
    t->tid = getpid();
    if (config->seccomp_fd >= 0 && seccomp_restore(t, config->seccomp_fd, err) < 0)
        return -1;
    signal_init_process(p, t);
    if (load_program(p, &program, err) < 0)
        return -1;

    p->limit_as = config->limit_as;
    p->limit_data = config->limit_data;
    p->stack_start = program.sp;
    appearance_set(p);
    t->cpu.pc = program.pc;
    t->cpu.x[2] = program.sp;
    if (config->report_fd >= 0)
        close(config->report_fd);
    thread_enlist(t);
    thread_loop(t);
    return error_set(err, 0, "internal error: the first thread came back");
}
