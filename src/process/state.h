/* What the process wall knows of its one guest process, and of each of the guest's threads. */
#ifndef WIRT_PROCESS_STATE_H
#define WIRT_PROCESS_STATE_H

#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/engine.h"
#include "process/process.h"

#define PAGE_SIZE 4096ull
/* Guest addresses are host addresses: the end of x86-64's user half, which is also riscv64's with
 * Sv48. */
#define GUEST_ADDRESS_END ((1ull << 47) - PAGE_SIZE)

/* Results of a system call that the guest never sees (the kernel's own numbers for them). */
#define ERESTARTSYS    512 /* a signal came first: EINTR, or again after the handler (SA_RESTART) */
#define ERESTARTNOINTR 513 /* nothing was done: again in any case */
#define ESTATE_SET     514 /* the call has set all registers itself (rt_sigreturn, exit) */

/* A run of guest pages with one protection. */
struct mapping {
    uint64_t start, end;
    int prot; /* PROT_*: the guest's, not the host's; and MAPPING_SHARED */
};

#define MAPPING_SHARED 0x10000 /* the same bytes may be mapped elsewhere, and written there */

/* What of the address space is the guest's (mmap.c). Everything else is the emulator's or free. */
struct space {
    pthread_mutex_t lock;
    struct mapping *maps; /* sorted by address, not overlapping */
    size_t n, cap;
    uint64_t bytes;       /* in all of them */
    atomic_ulong version; /* changes with every change of maps */
    atomic_bool shared;   /* a mapping that other processes may write exists, or did */
    uint64_t brk_start, brk, brk_mapped; /* brk_mapped: page end of what is mapped for it */
};

/* A guest signal's action, as riscv64's rt_sigaction passes it. */
struct guest_sigaction {
    uint64_t handler, flags, mask;
};

#define N_SIGNALS 64

/* Shared by the threads of a process, copied for vfork's child. */
struct sighand {
    pthread_mutex_t lock;
    struct guest_sigaction action[N_SIGNALS + 1];
};

struct guest_stack { /* stack_t */
    uint64_t sp;
    int32_t flags, pad;
    uint64_t size;
};

struct process;
struct seccomp_filter;

struct thread {
    struct cpu cpu; /* first: handlers get a struct cpu * and know what it is in */
    struct process *process;
    struct sighand *sighand;
    struct thread *prev, *next; /* process->threads */
    pid_t tid;
    uint64_t clear_tid; /* CLONE_CHILD_CLEARTID's address, or 0 */
    bool leader;        /* its host thread is the one that main() runs in */
    bool vfork_child;   /* its own process, in the memory of a parent that waits */
    bool exiting;
    int exit_status;
    atomic_bool translated; /* in the engine: its registers are not all in cpu */

    /* Signals: see signal.c. */
    uint64_t mask;            /* the guest's; the host thread's too, but for SIGSEGV and SIGBUS */
    uint64_t suspend_mask;    /* in force while ppoll and the like wait */
    bool suspended;           /* suspend_mask counts for the signal that ended the call */
    volatile int sig_pending; /* number of the signal in sig_info, to be delivered now */
    siginfo_t sig_info;
    siginfo_t
        held[2]; /* SIGSEGV, SIGBUS sent by kill() while the guest blocks them; signo 0: none */
    struct mapping code; /* where code was fetched last, at that version of the address space */
    uint64_t code_version;
    int fault_signo, fault_code; /* of the host fault that the engine turned into a trap */
    bool restart; /* pc is at an ecall that is to be made again, or to end with EINTR */
    struct guest_stack altstack;
    _Atomic(const struct seccomp_filter *) filters; /* seccomp.c: the newest of them, or NULL */
    bool strict;                                    /* or SECCOMP_MODE_STRICT */
    void *host_stack;                               /* vfork child: the host stack it runs on */
    void *scratch;                                  /* memory of an execve in progress */
    size_t scratch_size;
    uint8_t host_altstack[65536] __attribute__((aligned(16)));
};

struct process {
    struct process_config config;
    struct engine *engine;
    struct store *store; /* the engine's; NULL: translations are not kept */
    char *cache_folder;  /* where they are saved (cache.h); NULL: nowhere */
    int cache_fd;        /* the file there, open for reading, out of the guest's way; -1: none */
    dev_t cache_device;  /* and which it is */
    ino_t cache_inode;
    struct space space;
    struct sighand sighand;
    pthread_mutex_t threads_lock;
    struct thread *threads;
    unsigned n_threads;
    _Atomic(struct thread *) stopper; /* whoever has stopped the others for a core file (stop.c) */
    int leader_status;                /* exit status of a leader that left before the others */
    char *exe;                        /* absolute path of the program as the guest knows it */
    char *exe_host;                   /* and as the host does */
    const char *name;                 /* what it was executed as: AT_EXECFN */
    int exe_fd;                       /* the program, open for reading, out of the guest's way */
    int emulator_fd;        /* wirt-riscv64, likewise; -1: not known, there was no /proc */
    int messages_fd;        /* for what the emulator itself has to say, likewise; -1: not kept */
    char *sysroot;          /* absolute, no slash at its end; NULL: none */
    int sysroot_fd;         /* O_PATH descriptor of it, out of the guest's way; -1: none */
    uint64_t signal_return; /* address of the code a handler returns to */
    uint64_t vdso;          /* address of the page that has it */
    uint64_t stack_lo, stack_hi, stack_start; /* start: where sp was at first */
    uint64_t auxv, auxv_len;                  /* on the guest's stack */
    uint64_t args, args_len;                  /* the argument strings, likewise */
    uint64_t env_len;                         /* and behind them those of the environment */
    struct memory_limit limit_as, limit_data; /* as the guest set them */
};

/* The thread that this host thread runs. */
extern __thread struct thread *current_thread;

/* host_x86_64.S */
long safe_syscall(const volatile int *pending, long nr, const uint64_t args[6]);
int guest_copy(void *to, const void *from, size_t n);
long guest_strnlen(const char *s, size_t max);
int guest_cas32(uint32_t *p, uint32_t *expected, uint32_t desired);

static inline int guest_read(void *to, uint64_t from, size_t n)
{
    return guest_copy(to, (const void *)from, n);
}

static inline int guest_write(uint64_t to, const void *from, size_t n)
{
    return guest_copy((void *)to, from, n);
}

/* A host system call that no signal handler of the guest's is looked at for: -errno or the result.
 */
long host_call(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);
#define HOST_CALL_N(nr, a, b, c, d, e, f, ...)                                               \
    host_call(nr, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e), \
              (uint64_t)(f))
#define HOST_CALL(...) HOST_CALL_N(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

/* The same, but gives way to a pending signal: for calls that may wait. */
long host_wait(struct thread *t, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
               uint64_t e, uint64_t f);

/* Runs the guest thread until it exits; then, unless that ended the process, returns. */
void thread_loop(struct thread *t);

/* The emulator's own descriptors, which for the guest are not there; -1: none. */
#define N_OWN_DESCRIPTORS 5
/* Moves one to a number that no program is likely to use. */
int process_move_away(int fd);
void process_own_descriptors(const struct process *p, int out[N_OWN_DESCRIPTORS]);

/* Ends the process with an exit status (after the statistics, if wanted) or by a signal. */
_Noreturn void process_exit(struct process *p, int status);
_Noreturn void process_die(int signo);

#endif
