# The destination's old value is still needed after the operation, whose results come in fixed host
# registers: it must not be kept in one of those. All 12 operations, each twice (translated code is
# entered by links the second time).
.macro keeps op, want
    fence.i                 # a new block, which knows no constants
    mv s0, a5
    \op a5, a6, t2
    and s0, a4, s0
    li a1, 0x55
    bne s0, a1, bad
    li a1, \want
    bne a5, a1, bad
    mv a5, a0
.endm
.globl _start
_start:
    li t6, 2
1:  li a0, 0x55
    li a6, 1000
    li t2, 7
    li a4, -1
    mv a5, a0
    keeps div, 142
    keeps divu, 142
    keeps rem, 6
    keeps remu, 6
    keeps divw, 142
    keeps divuw, 142
    keeps remw, 6
    keeps remuw, 6
    keeps mulh, 0
    keeps mulhu, 0
    keeps mulhsu, 0
    keeps mul, 7000
    addi t6, t6, -1
    bnez t6, 1b
    li a0, 0
    j out
bad:
    li a0, 1
out:
    li a7, 93
    ecall
