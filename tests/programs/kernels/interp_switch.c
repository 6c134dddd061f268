/* A stack machine's interpreter around a switch: one indirect jump with many targets. */
#include "interp.h"

static NOINLINE int64_t run(const int32_t *code)
{
    int64_t stack[16], vars[4] = {0}, *sp = stack, t;
    for (const int32_t *pc = code;;) {
        switch (*pc++) {
        case PUSH: *sp++ = *pc++; break;
        case ADD: sp--, sp[-1] += sp[0]; break;
        case SUB: sp--, sp[-1] -= sp[0]; break;
        case MUL: sp--, sp[-1] *= sp[0]; break;
        case XOR: sp--, sp[-1] ^= sp[0]; break;
        case DUP: sp[0] = sp[-1], sp++; break;
        case SWAP: t = sp[-1], sp[-1] = sp[-2], sp[-2] = t; break;
        case STORE: vars[*pc++] = *--sp; break;
        case FETCH: *sp++ = vars[*pc++]; break;
        case LOOP: pc = --vars[pc[0]] ? code + pc[1] : pc + 2; break;
        default: return sp[-1];
        }
    }
}

int main(int argc, char **argv)
{
    uint64_t h = 0;
    for (unsigned s = scale(argc, argv) * 2; s; s--)
        h = mix(h, (uint64_t)run(program));
    return result("interp_switch", h);
}
