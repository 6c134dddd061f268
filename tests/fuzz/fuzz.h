/* What libFuzzer calls, and a reader of its input. */
#ifndef WIRT_TESTS_FUZZ_FUZZ_H
#define WIRT_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t left;
};

/* The next n bytes as a number; zeros when the input has ended. */
static inline uint64_t take(struct input *in, size_t n)
{
    uint64_t v = 0;
    if (n > in->left)
        n = in->left;
    memcpy(&v, in->data, n);
    in->data += n;
    in->left -= n;
    return v;
}

#endif
