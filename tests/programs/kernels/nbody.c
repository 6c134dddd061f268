/* Gravitation among five bodies: double precision, division and square root. */
#include "kernel.h"
#include <math.h>

#define N 5
static struct body {
    double x[3], v[3], m;
} body[N];

static void step(double dt)
{
    for (int i = 0; i < N; i++)
        for (int j = i + 1; j < N; j++) {
            double d[3], r2 = 0.01;
            for (int k = 0; k < 3; k++) {
                d[k] = body[i].x[k] - body[j].x[k];
                r2 += d[k] * d[k];
            }
            double f = dt / (r2 * sqrt(r2));
            for (int k = 0; k < 3; k++) {
                body[i].v[k] -= d[k] * body[j].m * f;
                body[j].v[k] += d[k] * body[i].m * f;
            }
        }
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 3; k++)
            body[i].x[k] += dt * body[i].v[k];
}

int main(int argc, char **argv)
{
    for (int i = 0; i < N; i++)
        body[i] = (struct body){{i * 1.5, i * i * 0.3 - 1, 2.0 / (i + 1)},
                                {0.1 * i, -0.05 * i, 0.02},
                                1.0 / (1 + i * 3)};
    for (unsigned s = scale(argc, argv) * 20000; s; s--)
        step(0.001);
    uint64_t h = 0;
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 3; k++)
            h = mix(h, bits_of(body[i].x[k]));
    return result("nbody", h);
}
