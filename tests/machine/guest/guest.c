#include "guest.h"

static unsigned failed;
void (*on_interrupt)(struct frame *f);

struct sbiret sbi(uint64_t extension, uint64_t function, uint64_t a0, uint64_t a1, uint64_t a2,
                  uint64_t a3, uint64_t a4)
{
    register uint64_t r0 __asm__("a0") = a0, r1 __asm__("a1") = a1, r2 __asm__("a2") = a2;
    register uint64_t r3 __asm__("a3") = a3, r4 __asm__("a4") = a4;
    register uint64_t r6 __asm__("a6") = function, r7 __asm__("a7") = extension;
    __asm__ volatile("ecall"
                     : "+r"(r0), "+r"(r1)
                     : "r"(r2), "r"(r3), "r"(r4), "r"(r6), "r"(r7)
                     : "memory");
    return (struct sbiret){(int64_t)r0, r1};
}

void print(const char *s)
{
    for (; *s; s++)
        sbi(SBI_DBCN, 2, (uint8_t)*s, 0, 0, 0, 0);
}

void print_hex(uint64_t v)
{
    char text[19] = "0x";
    unsigned n = 2;
    int digit = 15;
    while (digit && !(v >> 4 * digit))
        digit--;
    for (; digit >= 0; digit--)
        text[n++] = "0123456789abcdef"[v >> 4 * digit & 15];
    text[n] = 0;
    print(text);
}

void check(const char *name, uint64_t got, uint64_t want)
{
    print(got == want ? "ok - " : "not ok - ");
    print(name);
    if (got != want) {
        failed++;
        print(": got ");
        print_hex(got);
        print(", want ");
        print_hex(want);
    }
    print("\n");
}

void finish(void)
{
    sbi(SBI_SRST, 0, 0, failed ? 1 : 0, 0, 0, 0);
    for (;;)
        ;
}

/* Callee-saved registers, sp, ra: where catch_trap goes on. */
struct resume {
    uint64_t ra, sp, s[12];
};

static struct resume resume;
static bool catching;
static struct caught caught;

/* Calls fn(arg), and comes back when it returns or traps. */
__attribute__((naked)) static void call_caught(void (*fn)(uint64_t), uint64_t arg, struct resume *r)
{
    __asm__ volatile("sd ra, 0(a2)\n sd sp, 8(a2)\n"
                     "sd s0, 16(a2)\n sd s1, 24(a2)\n sd s2, 32(a2)\n sd s3, 40(a2)\n"
                     "sd s4, 48(a2)\n sd s5, 56(a2)\n sd s6, 64(a2)\n sd s7, 72(a2)\n"
                     "sd s8, 80(a2)\n sd s9, 88(a2)\n sd s10, 96(a2)\n sd s11, 104(a2)\n"
                     "mv t0, a0\n mv a0, a1\n jr t0\n");
}

void on_trap(struct frame *f);

void on_trap(struct frame *f)
{
    if (f->cause >> 63) {
        if (on_interrupt)
            on_interrupt(f);
        return;
    }
    if (!catching) {
        print("not ok - a trap that nobody expected: cause ");
        print_hex(f->cause);
        print(" value ");
        print_hex(f->value);
        print(" pc ");
        print_hex(f->pc);
        print("\n");
        failed++;
        finish();
    }
    catching = false;
    caught = (struct caught){f->cause, f->value, f->pc};
    f->pc = f->x[1] = resume.ra;
    f->x[2] = resume.sp;
    f->x[8] = resume.s[0];
    f->x[9] = resume.s[1];
    for (unsigned i = 2; i < 12; i++)
        f->x[16 + i] = resume.s[i];
    f->status |= SSTATUS_SPP | SSTATUS_FS;
    __asm__ volatile("mv %0, gp" : "=r"(f->x[3]));
}

struct caught catch_trap(void (*fn)(uint64_t), uint64_t arg)
{
    caught.cause = UINT64_MAX;
    catching = true;
    call_caught(fn, arg, &resume);
    catching = false;
    return caught;
}

void enter_user(void (*fn)(uint64_t), void *stack, uint64_t arg);
static char user_stack[8192] __attribute__((aligned(4096)));
static uint64_t user_arg;

static void go(uint64_t fn)
{
    enter_user((void (*)(uint64_t))fn, user_stack + sizeof user_stack, user_arg);
}

struct caught catch_user(void (*fn)(uint64_t), uint64_t arg)
{
    user_arg = arg;
    return catch_trap(go, (uint64_t)fn);
}

void *memset(void *p, int c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((volatile char *)p)[i] = (char)c;
    return p;
}

void *memcpy(void *to, const void *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((volatile char *)to)[i] = ((const char *)from)[i];
    return to;
}
