/* A frame whose every byte is the fuzzer's, from both sides: nothing is read behind it, and what
 * passes has, read by the plainest code there is, no closed destination. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "net/filter.h"

static bool own(void *arg, const struct net_address *a)
{
    return a->b[15] == 77;
}

static bool answers(void *arg, const struct net_flow *f)
{
    return f->port == 4242;
}

static void check(int holds)
{
    if (!holds)
        abort();
}

static void check_passed(const uint8_t *f, size_t len, bool no_answer)
{
    const uint8_t *ip = f + 14;
    if (f[12] == 8 && f[13] == 6)
        return;
    if (f[12] == 8 && f[13] == 0) {
        check(len >= 34 && ip[0] >> 4 == 4);
        const uint8_t *to = ip + 16;
        bool dhcp = !memcmp(to, "\377\377\377\377", 4) && ip[9] == 17;
        check(dhcp || (to[0] != 0 && to[0] < 224));
        bool network = !memcmp(to, "\12\0\2", 3) && (to[3] == 2 || to[3] == 3);
        if (no_answer && !dhcp && !network)
            check(to[0] != 127 && !(to[0] == 169 && to[1] == 254) && to[3] != 77);
        return;
    }
    static const uint8_t zero[10], prefix[8] = {0xfe, 0xc0};
    check(len >= 54 && f[12] == 0x86 && f[13] == 0xdd && ip[0] >> 4 == 6);
    const uint8_t *to = ip + 24;
    static const uint8_t ff[2] = {0xff, 0xff};
    bool v4 = !memcmp(to, zero, 10) && (!memcmp(to + 10, zero, 2) || !memcmp(to + 10, ff, 2));
    bool loopback = !memcmp(to, zero, 10) && !memcmp(to + 10, "\0\0\0\0\0\1", 6);
    check(!v4 || loopback);
    if (no_answer && ip[6] != 58 && to[0] != 0xff && memcmp(to, prefix, 8) != 0)
        check(!loopback && !(to[0] == 0xfe && to[1] >> 6 == 2 && to[15] != 2) && to[15] != 77);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint8_t out[NET_REFUSAL_MAX];
    struct net_rules r = {.own = own, .answers = answers};
    struct net_flow flow;
    uint64_t flags = take(&in, 1);
    /* Of its own, so that a byte behind it is found. */
    uint8_t *frame = malloc(in.left ? in.left : 1);
    memcpy(frame, in.data, in.left);
    r.host_loopback = flags & 1;
    r.link_local = flags & 2;
    enum net_verdict v = net_filter(&r, frame, in.left);
    check(v == NET_PASS || v == NET_DROP || v == NET_REFUSE);
    if (v == NET_PASS)
        check_passed(frame, in.left,
                     !(flags & 3) && !memmem(frame, in.left, "\20\222", 2)); /* port 4242 */
    net_filter_opens(&r, frame, in.left, &flow);
    check(net_refusal(frame, in.left, out) <= sizeof out);
    free(frame);
    return 0;
}
