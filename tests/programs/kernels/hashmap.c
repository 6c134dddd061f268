/* Open-addressing hash map: multiplications, dependent loads. */
#include "kernel.h"

#define SLOTS (1u << 15)
static struct slot {
    uint64_t key, value;
} map[SLOTS];

static NOINLINE struct slot *find(uint64_t key)
{
    unsigned i = (unsigned)(key * 0x9e3779b97f4a7c15ull >> 49);
    while (map[i].key && map[i].key != key)
        i = (i + 1) & (SLOTS - 1);
    return &map[i];
}

int main(int argc, char **argv)
{
    uint64_t h = 0, seed = 7;
    for (unsigned s = scale(argc, argv) * 2; s; s--) {
        memset(map, 0, sizeof map);
        for (unsigned i = 0; i < 100000; i++) {
            uint64_t key = next_random(&seed) % 20000 + 1;
            struct slot *slot = find(key);
            slot->key = key;
            slot->value += i;
        }
        for (unsigned i = 1; i <= 20000; i++)
            h = mix(h, find(i)->value);
    }
    return result("hashmap", h);
}
