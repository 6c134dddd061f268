/* A guest's seccomp filter: whatever bpf_check accepts, runs to its end and stays within its data
 * and its memory words. */
#include "fuzz.h"
#include "process/bpf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct sock_filter insns[64];
    struct seccomp_data call = {.nr = (int)take(&in, 2), .args = {take(&in, 8), take(&in, 8)}};
    size_t n = 0;
    while (in.left && n < sizeof insns / sizeof *insns) {
        insns[n].code = (uint16_t)take(&in, 1);
        insns[n].jt = (uint8_t)take(&in, 1) & 7;
        insns[n].jf = (uint8_t)take(&in, 1) & 7;
        insns[n++].k = (uint32_t)take(&in, 4);
    }
    if (bpf_check(insns, n))
        bpf_run(insns, &call);
    return 0;
}
