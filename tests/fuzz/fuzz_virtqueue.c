/* A ring whose every byte is the fuzzer's: what is taken from it must lie in memory and within the
 * limits, and taking must end. */
#include <stdlib.h>

#include "../machine/fake_slat.h"
#include "fuzz.h"
#include "machine/devices/virtqueue.h"

#define BASE 0x80000000u
#define SIZE 0x4000u

static void check(int holds)
{
    if (!holds)
        abort();
}

/* Touches every byte of a request, as a device would. */
static void use_chain(struct slat *s, const struct vq_chain *c)
{
    char buf[256];
    uint64_t out = 0, in = 0;
    check(c->n_out + c->n_in > 0 && c->n_out + c->n_in <= VQ_MAX_SIZE);
    for (unsigned i = 0; i < c->n_out + c->n_in; i++) {
        const struct vq_segment *seg = &c->segments[i];
        check(seg->len > 0 && (uint8_t *)seg->base >= s->ram &&
              (uint8_t *)seg->base + seg->len <= s->ram + s->size);
        *(i < c->n_out ? &out : &in) += seg->len;
    }
    check(out == c->out_len && in == c->in_len);
    for (size_t at = 0, n; (n = vq_chain_read(c, at, buf, sizeof buf)); at += n)
        ;
    check(vq_chain_write(c, c->in_len - (c->in_len > 0), "x", 1) == (c->in_len > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vq_chain chain;
    struct input in = {data, size};
    struct slat *s = fake_slat_new(BASE, SIZE);
    struct virtqueue vq = {.slat = s};
    uint64_t flags = take(&in, 1);
    virtqueue_reset(&vq, (uint16_t)(1u << take(&in, 1) % 10));
    vq.desc = BASE + take(&in, 2) % 16 * 16;
    vq.driver = BASE + 0x1000 + take(&in, 1);
    vq.device = BASE + 0x2000 + take(&in, 1);
    vq.indirect = flags & 1;
    vq.event_idx = flags & 2;
    memcpy(s->ram, in.data, in.left < SIZE ? in.left : SIZE);
    /* The rings go on from where the fuzzer says. */
    if (virtqueue_enable(&vq)) {
        vq.next_avail = (uint16_t)take(&in, 2);
        unsigned n = 0;
        while (virtqueue_pop(&vq, &chain)) {
            use_chain(s, &chain);
            virtqueue_push(&vq, &chain, chain.in_len);
            virtqueue_should_signal(&vq);
            if (++n == 1000) /* its own used ring may lie over its available ring */
                break;
        }
    }
    fake_slat_free(s);
    return 0;
}
