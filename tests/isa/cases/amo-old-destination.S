# The old value of an atomic operation's destination is needed after it (slli and srli become one
# extension of what a5 was), while the operation needs all other temporaries of the host.
.macro keeps insn:vararg
    fence.i                 # a new block, which knows no constants
    slli s0, a5, 32
    \insn
    srli s0, s0, 32
    bne s0, a4, bad
    mv a5, a4
.endm
.globl _start
_start:
    la t6, cell
    li t5, 3
1:  li t3, 0x123
    li t4, 0x128
    li a4, 0x77
    li a5, 0x77
    li s2, 5
    sd s2, (t6)
    keeps amoadd.d a5, t3, (t6)
    ld s3, (t6)
    bne s3, t4, bad
    keeps amoswap.w a5, t3, (t6)
    ld s3, (t6)
    bne s3, t3, bad
    keeps lr.d a5, (t6)
    keeps sc.d a5, t4, (t6)
    ld s3, (t6)
    bne s3, t4, bad
    keeps amomaxu.d a5, t4, (t6)
    addi t5, t5, -1
    bnez t5, 1b
    li a0, 0
    j out
bad:
    li a0, 1
out:
    li a7, 93
    ecall
.data
.p2align 3
cell: .quad 0
