/* The spectral norm of a matrix: double precision division in a loop. */
#include "kernel.h"
#include <math.h>

#define N 100

static NOINLINE double element(int i, int j)
{
    return 1.0 / ((i + j) * (i + j + 1) / 2 + i + 1);
}

static void multiply(const double *v, double *out, int transposed)
{
    for (int i = 0; i < N; i++) {
        out[i] = 0;
        for (int j = 0; j < N; j++)
            out[i] += (transposed ? element(j, i) : element(i, j)) * v[j];
    }
}

int main(int argc, char **argv)
{
    double u[N], v[N], t[N], vbv = 0, vv = 0;
    for (int i = 0; i < N; i++)
        u[i] = 1;
    for (unsigned s = scale(argc, argv) * 10; s; s--) {
        multiply(u, t, 0);
        multiply(t, v, 1);
        multiply(v, t, 0);
        multiply(t, u, 1);
        for (int i = N - 1; i >= 0; i--) /* keeps it in range however often */
            u[i] /= u[0];
    }
    for (int i = 0; i < N; i++) {
        vbv += u[i] * v[i];
        vv += v[i] * v[i];
    }
    return result("spectral", bits_of(sqrt(vbv / vv)));
}
