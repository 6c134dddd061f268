/* The same stack machine with computed goto: many indirect jumps. */
#include "interp.h"

static NOINLINE int64_t run(const int32_t *code)
{
    static const void *const label[] = {&&push, &&add,   &&sub,   &&mul,  &&xor_, &&dup,
                                        &&swap, &&store, &&fetch, &&loop, &&halt};
    int64_t stack[16], vars[4] = {0}, *sp = stack, t;
    const int32_t *pc = code;
#define NEXT goto *label[*pc++]
    NEXT;
push:
    *sp++ = *pc++;
    NEXT;
add:
    sp--, sp[-1] += sp[0];
    NEXT;
sub:
    sp--, sp[-1] -= sp[0];
    NEXT;
mul:
    sp--, sp[-1] *= sp[0];
    NEXT;
xor_:
    sp--, sp[-1] ^= sp[0];
    NEXT;
dup:
    sp[0] = sp[-1], sp++;
    NEXT;
swap:
    t = sp[-1], sp[-1] = sp[-2], sp[-2] = t;
    NEXT;
store:
    vars[*pc++] = *--sp;
    NEXT;
fetch:
    *sp++ = vars[*pc++];
    NEXT;
loop:
    pc = --vars[pc[0]] ? code + pc[1] : pc + 2;
    NEXT;
halt:
    return sp[-1];
}

int main(int argc, char **argv)
{
    uint64_t h = 0;
    for (unsigned s = scale(argc, argv) * 2; s; s--)
        h = mix(h, (uint64_t)run(program));
    return result("interp_goto", h);
}
