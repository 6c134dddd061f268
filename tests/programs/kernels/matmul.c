/* Product of matrices of doubles. */
#include "kernel.h"

#define N 96
static double a[N][N], b[N][N], c[N][N];

int main(int argc, char **argv)
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i][j] = (i * 7 + j) % 13 / 4.0;
            b[i][j] = (i + j * 5) % 11 / 8.0;
        }
    for (unsigned s = scale(argc, argv) * 4; s; s--) {
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                double sum = 0;
                for (int k = 0; k < N; k++)
                    sum += a[i][k] * b[k][j];
                c[i][j] = sum;
            }
        a[s % N][s / N % N] = c[s % N][1] / 1024;
    }
    uint64_t h = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            h = mix(h, bits_of(c[i][j]));
    return result("matmul", h);
}
