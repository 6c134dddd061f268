/* A finite impulse response filter in single precision. */
#include "kernel.h"

#define TAPS 32
#define N    4096
static float in[N + TAPS], out[N], tap[TAPS];

int main(int argc, char **argv)
{
    uint64_t seed = 9, h = 0;
    for (int i = 0; i < TAPS; i++)
        tap[i] = 1.0f / (float)(i + 2);
    for (int i = 0; i < N + TAPS; i++)
        in[i] = (float)(next_random(&seed) >> 40) / 65536.0f - 128.0f;
    for (unsigned s = scale(argc, argv) * 16; s; s--) {
        for (int i = 0; i < N; i++) {
            float sum = 0;
            for (int j = 0; j < TAPS; j++)
                sum += in[i + j] * tap[j];
            out[i] = sum;
        }
        in[s % N] = out[s % 97] / 64;
    }
    for (int i = 0; i < N; i++)
        h = mix(h, bits_of((double)out[i]));
    return result("fir", h);
}
