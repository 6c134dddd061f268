/* Integer work of all sorts: shifts, sign extensions, branches, narrow loads and stores. */
#include "kernel.h"

int main(int argc, char **argv)
{
    static int16_t shorts[1024];
    static int8_t bytes[1024];
    static int32_t words[1024];
    uint64_t h = 0, seed = 31;
    for (unsigned s = scale(argc, argv) * 200; s; s--)
        for (int i = 0; i < 1024; i++) {
            int64_t r = (int64_t)next_random(&seed);
            shorts[i] = (int16_t)(r >> 3);
            bytes[(i * 5) & 1023] = (int8_t)(shorts[i] + i);
            words[i] += (int32_t)r >> (i & 15);
            if (words[i] > shorts[i])
                h += (uint64_t)(int64_t)(words[i] - bytes[i]);
            else if ((uint32_t)words[i] < (uint16_t)shorts[i])
                h -= (uint64_t)(uint8_t)bytes[i];
            else
                h ^= (uint64_t)((int64_t)words[i] << 20);
        }
    return result("mixed", h);
}
