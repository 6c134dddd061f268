/* qsort of strings with a comparison function: calls out of the C library and back. */
#include "kernel.h"

#define N 3000
static char words[N][12];
static char *order[N];

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int main(int argc, char **argv)
{
    uint64_t h = 0, seed = 29;
    for (unsigned s = scale(argc, argv) * 3; s; s--) {
        for (unsigned i = 0; i < N; i++) {
            for (unsigned k = 0; k < 11; k++)
                words[i][k] = (char)('a' + next_random(&seed) % (k < 3 ? 2 : 26));
            order[i] = words[i];
        }
        qsort(order, N, sizeof *order, compare);
        for (unsigned i = 0; i < N; i += 50)
            h = mix(h, (uint64_t)(order[i] - words[0]));
    }
    return result("qsort", h);
}
