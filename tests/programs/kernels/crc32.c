/* CRC-32 with a table: a chain of dependent loads and byte operations. */
#include "kernel.h"

int main(int argc, char **argv)
{
    static uint32_t table[256];
    static unsigned char data[65536];
    uint64_t seed = 19;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
        table[i] = c;
    }
    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)next_random(&seed);
    uint32_t crc = 0xffffffff;
    for (unsigned s = scale(argc, argv) * 16; s; s--)
        for (unsigned i = 0; i < sizeof data; i++)
            crc = table[(crc ^ data[i]) & 0xff] ^ crc >> 8;
    return result("crc32", crc);
}
