#include "process/bpf.h"

#include <string.h>

#define WORDS BPF_MEMWORDS

static bool known(const struct sock_filter *f)
{
    switch (f->code) {
    case BPF_LD | BPF_W | BPF_ABS: return f->k < sizeof(struct seccomp_data) && !(f->k & 3);
    case BPF_LD | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_W | BPF_LEN:
    case BPF_LD | BPF_IMM:
    case BPF_LDX | BPF_IMM:
    case BPF_RET | BPF_K:
    case BPF_RET | BPF_A:
    case BPF_ALU | BPF_ADD | BPF_K:
    case BPF_ALU | BPF_ADD | BPF_X:
    case BPF_ALU | BPF_SUB | BPF_K:
    case BPF_ALU | BPF_SUB | BPF_X:
    case BPF_ALU | BPF_MUL | BPF_K:
    case BPF_ALU | BPF_MUL | BPF_X:
    case BPF_ALU | BPF_DIV | BPF_X:
    case BPF_ALU | BPF_AND | BPF_K:
    case BPF_ALU | BPF_AND | BPF_X:
    case BPF_ALU | BPF_OR | BPF_K:
    case BPF_ALU | BPF_OR | BPF_X:
    case BPF_ALU | BPF_XOR | BPF_K:
    case BPF_ALU | BPF_XOR | BPF_X:
    case BPF_ALU | BPF_LSH | BPF_X:
    case BPF_ALU | BPF_RSH | BPF_X:
    case BPF_ALU | BPF_NEG:
    case BPF_MISC | BPF_TAX:
    case BPF_MISC | BPF_TXA:
    case BPF_JMP | BPF_JA:
    case BPF_JMP | BPF_JEQ | BPF_K:
    case BPF_JMP | BPF_JEQ | BPF_X:
    case BPF_JMP | BPF_JGE | BPF_K:
    case BPF_JMP | BPF_JGE | BPF_X:
    case BPF_JMP | BPF_JGT | BPF_K:
    case BPF_JMP | BPF_JGT | BPF_X:
    case BPF_JMP | BPF_JSET | BPF_K:
    case BPF_JMP | BPF_JSET | BPF_X: return true;
    case BPF_ALU | BPF_DIV | BPF_K: return f->k != 0;
    case BPF_ALU | BPF_LSH | BPF_K:
    case BPF_ALU | BPF_RSH | BPF_K: return f->k < 32;
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
    case BPF_ST:
    case BPF_STX: return f->k < WORDS;
    default: return false;
    }
}

/* written[i]: the memory words that are written on every way to instruction i. false: one is read
 * that is not. */
static bool check_memory(const struct sock_filter *insns, size_t n)
{
    uint16_t written[BPF_MAXINSNS], words = 0;
    memset(written, 0xff, n * sizeof *written);
    for (size_t i = 0; i < n; i++) {
        const struct sock_filter *f = &insns[i];
        words &= written[i];
        switch (f->code) {
        case BPF_ST:
        case BPF_STX: words |= (uint16_t)(1u << f->k); break;
        case BPF_LD | BPF_MEM:
        case BPF_LDX | BPF_MEM:
            if (!(words & 1u << f->k))
                return false;
            break;
        case BPF_JMP | BPF_JA:
            written[i + 1 + f->k] &= words;
            words = 0xffff;
            break;
        default:
            if (BPF_CLASS(f->code) == BPF_JMP) {
                written[i + 1 + f->jt] &= words;
                written[i + 1 + f->jf] &= words;
                words = 0xffff;
            }
        }
    }
    return true;
}

bool bpf_check(const struct sock_filter *insns, size_t n)
{
    if (n == 0 || n > BPF_MAXINSNS)
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct sock_filter *f = &insns[i];
        size_t behind = n - i - 1; /* instructions that follow */
        if (!known(f))
            return false;
        if (f->code == (BPF_JMP | BPF_JA)
                ? f->k >= behind
                : BPF_CLASS(f->code) == BPF_JMP && (f->jt >= behind || f->jf >= behind))
            return false;
    }
    return BPF_CLASS(insns[n - 1].code) == BPF_RET && check_memory(insns, n);
}

static bool compare(uint16_t code, uint32_t a, uint32_t b)
{
    switch (BPF_OP(code)) {
    case BPF_JEQ: return a == b;
    case BPF_JGE: return a >= b;
    case BPF_JGT: return a > b;
    default: return a & b; /* BPF_JSET */
    }
}

static uint32_t calculate(uint16_t code, uint32_t a, uint32_t b)
{
    switch (BPF_OP(code)) {
    case BPF_ADD: return a + b;
    case BPF_SUB: return a - b;
    case BPF_MUL: return a * b;
    case BPF_DIV: return a / b;
    case BPF_AND: return a & b;
    case BPF_OR: return a | b;
    case BPF_XOR: return a ^ b;
    case BPF_LSH: return a << (b & 31);
    case BPF_RSH: return a >> (b & 31);
    default: return 0 - a; /* BPF_NEG */
    }
}

uint32_t bpf_run(const struct sock_filter *insns, const struct seccomp_data *data)
{
    uint32_t a = 0, x = 0, memory[WORDS];
    for (const struct sock_filter *f = insns;; f++) {
        uint32_t operand = BPF_SRC(f->code) == BPF_X ? x : f->k;
        switch (BPF_CLASS(f->code)) {
        case BPF_LD:
            if (BPF_MODE(f->code) == BPF_ABS)
                memcpy(&a, (const char *)data + f->k, sizeof a);
            else
                a = BPF_MODE(f->code) == BPF_LEN   ? sizeof *data
                    : BPF_MODE(f->code) == BPF_MEM ? memory[f->k]
                                                   : f->k;
            break;
        case BPF_LDX:
            x = BPF_MODE(f->code) == BPF_LEN   ? sizeof *data
                : BPF_MODE(f->code) == BPF_MEM ? memory[f->k]
                                               : f->k;
            break;
        case BPF_ST: memory[f->k] = a; break;
        case BPF_STX: memory[f->k] = x; break;
        case BPF_ALU:
            if (BPF_OP(f->code) == BPF_DIV && !operand)
                return 0; /* so a classic filter ends then: it kills */
            a = calculate(f->code, a, operand);
            break;
        case BPF_JMP:
            if (BPF_OP(f->code) == BPF_JA)
                f += f->k;
            else
                f += compare(f->code, a, operand) ? f->jt : f->jf;
            break;
        case BPF_RET: return BPF_RVAL(f->code) == BPF_A ? a : f->k;
        default:
            if (BPF_MISCOP(f->code) == BPF_TAX)
                x = a;
            else
                a = x;
        }
    }
}
