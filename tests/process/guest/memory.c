#include "check.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/wait.h>

static sigjmp_buf jump;

static void on_fault(int s)
{
    siglongjmp(jump, s);
}

static int faults(volatile char *p, int write)
{
    int s = sigsetjmp(jump, 1);
    if (s)
        return s;
    if (write)
        *p = 1;
    else
        (void)*p;
    return 0;
}

static void test_map(void)
{
    size_t page = 4096;
    char *m = mmap(NULL, 16 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK("mmap", m != MAP_FAILED && m[0] == 0 && m[16 * page - 1] == 0);
    m[5 * page] = 'x';
    CHECK("munmap of the middle", munmap(m + 4 * page, page) == 0);
    CHECK("what was there faults", faults(m + 4 * page, 0) == SIGSEGV && m[5 * page] == 'x');
    CHECK("MAP_FIXED fills it",
          mmap(m + 4 * page, page, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                  m + 4 * page &&
              m[4 * page] == 0);
    CHECK("MAP_FIXED_NOREPLACE does not replace",
          mmap(m, page, PROT_READ, MAP_FIXED_NOREPLACE | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                  MAP_FAILED &&
              errno == EEXIST);
    CHECK("mprotect",
          mprotect(m, page, PROT_READ) == 0 && faults(m, 1) == SIGSEGV && faults(m, 0) == 0);
    CHECK("mprotect of a hole",
          munmap(m + page, page) == 0 && mprotect(m, 3 * page, PROT_READ) == -1 && errno == ENOMEM);
    CHECK("munmap of nothing", munmap(m + page, page) == 0);
    CHECK("bad arguments",
          munmap(m + 1, page) == -1 && errno == EINVAL &&
              mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
              errno == EINVAL);
    char *q = mremap(m + 5 * page, 2 * page, 8 * page, MREMAP_MAYMOVE);
    CHECK("mremap moves", q != MAP_FAILED && q[0] == 'x' && q[8 * page - 1] == 0);
    CHECK("mremap shrinks", mremap(q, 8 * page, page, 0) == q && faults(q + page, 0) == SIGSEGV);
    munmap(m, 16 * page);
    char *big =
        mmap(NULL, 1ull << 36, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK("a large reservation", big != MAP_FAILED);
    CHECK("madvise", mprotect(big, page, PROT_READ | PROT_WRITE) == 0 && (big[0] = 1) &&
                         madvise(big, page, MADV_DONTNEED) == 0 && big[0] == 0);
    munmap(big, 1ull << 36);
}

/* What /proc/self/maps does not show is not the program's: taking it away must change nothing. */
static void test_gaps(void)
{
    unsigned long start, end, last = 0x10000;
    unsigned long gaps[400][2];
    int n = 0, refused = 0;
    char line[512];
    FILE *f = fopen("/proc/self/maps", "r");
    while (f && n < 400 && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%lx-%lx", &start, &end) != 2 || end > 1ul << 47)
            continue;
        if (start > last && !strstr(line, "[stack]")) {
            gaps[n][0] = last;
            gaps[n++][1] = start;
        }
        last = end;
    }
    fclose(f);
    for (int i = 0; i < n; i++) {
        refused += munmap((void *)gaps[i][0], gaps[i][1] - gaps[i][0]) != 0;
        refused += mprotect((void *)gaps[i][0], 4096, PROT_READ) != -1;
    }
    CHECK("gaps between the program's mappings stay what they are", n > 1 && !refused);
}

static void test_brk(void)
{
    char *start = sbrk(0);
    CHECK("brk grows", sbrk(1 << 20) == start && sbrk(0) == start + (1 << 20));
    start[(1 << 20) - 1] = 7;
    CHECK("and shrinks", sbrk(-(1 << 19)) == start + (1 << 20) && sbrk(0) == start + (1 << 19));
    CHECK("what is behind faults", faults(start + (1 << 20) - 1, 0) == SIGSEGV);
    sbrk(1 << 19);
    CHECK("and comes back as zeros", start[(1 << 20) - 1] == 0);
}

static void test_files(void)
{
    FILE *f = tmpfile();
    int fd = fileno(f);
    ftruncate(fd, 10000);
    char *a = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *b = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    a[5000] = 'a';
    CHECK("shared and private see a write", b[5000] == 'a');
    b[5000] = 'b';
    char c;
    CHECK("a private write is private", a[5000] == 'a' && pread(fd, &c, 1, 5000) == 1 && c == 'a');
    CHECK("msync", msync(a, 10000, MS_SYNC) == 0);
    if (fork() == 0) {
        a[1] = 'c';
        b[1] = 'c';
        _exit(0);
    }
    wait(NULL);
    CHECK("across fork", a[1] == 'c' && b[1] == 'c'); /* b's first page is still the file's */
    CHECK("mmap of an offset",
          mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 100) == MAP_FAILED && errno == EINVAL);
}

static void test_shm(void)
{
    int id = shmget(IPC_PRIVATE, 20000, IPC_CREAT | 0600);
    char *p = shmat(id, NULL, 0), *q = shmat(id, NULL, SHM_RDONLY);
    p[19999] = 9;
    CHECK("shmat twice", p != (void *)-1 && q[19999] == 9 && faults(q, 1) == SIGSEGV);
    struct shmid_ds ds;
    CHECK("shmctl", shmctl(id, IPC_STAT, &ds) == 0 && ds.shm_nattch == 2 && ds.shm_segsz == 20000);
    CHECK("shmdt", shmdt(p) == 0 && faults(p, 0) == SIGSEGV && q[19999] == 9 && shmdt(q) == 0);
    CHECK("shmdt of nothing", shmdt(p) == -1 && errno == EINVAL);
    shmctl(id, IPC_RMID, NULL);
}

/* A function that returns a number, as machine code. */
static void write_code(unsigned char *at, int n)
{
#if defined(__riscv)
    uint32_t code[2] = {0x00000513u | (uint32_t)n << 20, 0x00008067u}; /* li a0, n; ret */
    memcpy(at, code, sizeof code);
#else
    at[0] = 0xb8; /* mov $n, %eax; ret */
    memcpy(at + 1, &n, 4);
    at[5] = 0xc3;
#endif
    __builtin___clear_cache((char *)at, (char *)at + 8);
}

static void test_code(void)
{
    int bad = 0;
    unsigned char *p =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 1; i < 200; i++) {
        write_code(p, i);
        bad += ((int (*)(void))p)() != i;
    }
    CHECK("code that is rewritten 200 times", !bad);
    mprotect(p, 4096, PROT_READ | PROT_WRITE);
    int s = sigsetjmp(jump, 1);
    if (!s)
        ((int (*)(void))p)();
    CHECK("code loses PROT_EXEC", s == SIGSEGV);
    write_code(p, 500);
    mprotect(p, 4096, PROT_READ | PROT_EXEC);
    CHECK("and gets it back, changed", ((int (*)(void))p)() == 500);
    mmap(p, 4096, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    write_code(p, 600);
    mprotect(p, 4096, PROT_READ | PROT_EXEC);
    CHECK("another page at its place", ((int (*)(void))p)() == 600);
    munmap(p, 4096);
    s = sigsetjmp(jump, 1);
    if (!s)
        ((int (*)(void))p)();
    CHECK("and none", s == SIGSEGV);
    FILE *f = tmpfile();
    ftruncate(fileno(f), 4096);
    unsigned char *rw = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(f), 0);
    unsigned char *rx = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fileno(f), 0);
    bad = 0;
    for (int i = 1; i < 50; i++) {
        write_code(rw, i);
        __builtin___clear_cache((char *)rx, (char *)rx + 8);
        bad += ((int (*)(void))rx)() != i;
    }
    CHECK("code written through another mapping", !bad);
}

static int apply(int (*f)(int), int x)
{
    return f(x);
}

static void test_nested_function(void)
{
    /* gcc puts a piece of code on the stack for this, and asks for a stack that allows it. */
    volatile int k = 10;
    int add(int y)
    {
        return y + k;
    }
    CHECK("code on the stack", apply(add, 5) == 15);
}

__attribute__((noinline)) static void count(volatile unsigned *counter, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* A translator may do without the host's lock prefix while nobody else can look: not any longer
 * once memory is shared, in code that was translated before that either. */
static void test_shared_counter(void)
{
    const unsigned n = 3000000;
    unsigned alone = 0;
    count(&alone, n);
    unsigned *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork();
    count(shared, n);
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
    CHECK("two processes count together", alone == n && *shared == 2 * n);
}

/* remap_file_pages(2): the pages of a shared mapping, in another order. */
static void test_remap_pages(void)
{
    long page = sysconf(_SC_PAGESIZE);
    int fd = memfd_create("pages", 0);
    ftruncate(fd, 4 * page);
    char *m = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    for (int i = 0; i < 4; i++)
        m[i * page] = (char)('a' + i);
    CHECK("remap_file_pages", remap_file_pages(m, page, 0, 2, 0) == 0 && m[0] == 'c' &&
                                  remap_file_pages(m + page, page, 0, 0, 0) == 0 &&
                                  m[page] == 'a' && m[2 * page] == 'c');
    CHECK("not of memory that is nobody's",
          munmap(m, 4 * page) == 0 && remap_file_pages(m, page, 0, 2, 0) == -1 && errno == EINVAL);
    close(fd);
    CHECK("mmap of nothing, of a descriptor that is not open",
          mmap(NULL, 0, PROT_READ, MAP_SHARED, 999, 0) == MAP_FAILED && errno == EBADF);
    CHECK("mmap of nothing",
          mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
              errno == EINVAL);
}

/* RLIMIT_AS: in a child, so that it ends there. */
static void test_limits(void)
{
    pid_t pid = fork();
    int status;
    if (pid == 0) {
        struct rlimit r = {512 << 20, 512 << 20}, now;
        CHECK("setrlimit RLIMIT_AS", setrlimit(RLIMIT_AS, &r) == 0 &&
                                         getrlimit(RLIMIT_AS, &now) == 0 &&
                                         now.rlim_cur == 512 << 20);
        char *m = mmap(NULL, 64 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK("memory within the limit", m != MAP_FAILED);
        CHECK("and no more",
              mmap(NULL, 512 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED &&
                  errno == ENOMEM);
        CHECK("nor by growing",
              mremap(m, 64 << 20, 512 << 20, MREMAP_MAYMOVE) == MAP_FAILED && errno == ENOMEM);
        CHECK("nor by brk", sbrk(512 << 20) == (void *)-1 && errno == ENOMEM);
        CHECK("in place of what is there",
              mmap(m, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                   0) == m);
        for (int i = 0; i < 20; i++) { /* what is given back counts no longer */
            void *p = mmap(NULL, 128 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (p == MAP_FAILED || munmap(p, 128 << 20))
                _exit(1);
        }
        struct rlimit data = {1 << 20, 1 << 20};
        CHECK("RLIMIT_DATA", setrlimit(RLIMIT_DATA, &data) == 0 && sbrk(4 << 20) == (void *)-1);
        _exit(check_failed);
    }
    CHECK("limits", waitpid(pid, &status, 0) == pid && status == 0);
}

int main(void)
{
    struct sigaction a = {.sa_handler = on_fault};
    sigaction(SIGSEGV, &a, NULL);
    sigaction(SIGBUS, &a, NULL);
    test_map();
    test_gaps();
    test_brk();
    test_files();
    test_shared_counter();
    test_shm();
    test_code();
    test_nested_function();
    test_remap_pages();
    test_limits();
    return check_failed;
}
