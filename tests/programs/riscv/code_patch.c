/* Code that the program writes, runs, changes and runs again, with fence.i and by the C library's
 * way; also code that changes itself ahead of the program counter. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

typedef long function(long);

/* addi a0, a0, n ; ret */
static void write_add(uint32_t *code, int n)
{
    code[0] = (uint32_t)n << 20 | 10u << 15 | 10u << 7 | 0x13;
    code[1] = 0x00008067;
}

int main(void)
{
    uint32_t *code =
        mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED)
        return 1;
    function *f = (function *)(uintptr_t)code;
    long sum = 0;
    for (int i = 0; i < 500; i++) {
        write_add(code, i);
        __asm__ volatile("fence.i" ::: "memory");
        sum = f(sum);
    }
    printf("fence.i %ld\n", sum);
    for (int i = 0; i < 500; i++) {
        write_add(code, 2 * i);
        __builtin___clear_cache((char *)code, (char *)(code + 2));
        sum = f(sum);
    }
    printf("clear_cache %ld\n", sum);

    /* The same page through a permission change, as just-in-time compilers do it. */
    for (int i = 0; i < 50; i++) {
        mprotect(code, 8192, PROT_READ | PROT_WRITE);
        write_add(code + 1024, 3 * i);
        mprotect(code, 8192, PROT_READ | PROT_EXEC);
        __builtin___clear_cache((char *)(code + 1024), (char *)(code + 1026));
        sum = ((function *)(uintptr_t)(code + 1024))(sum);
    }
    printf("mprotect %ld\n", sum);

    /* Unmapped and mapped anew with other code at the same address. */
    for (int i = 0; i < 20; i++) {
        munmap(code, 8192);
        void *again = mmap(code, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (again != code)
            return 1;
        write_add(code, 1000 + i);
        __asm__ volatile("fence.i" ::: "memory");
        sum = f(sum);
    }
    printf("remapped %ld\n", sum);
    return 0;
}
