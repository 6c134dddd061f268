# A product's upper half goes to the register of an operand whose old value is used after it.
.globl _start
_start:
    li s1, 1000
1:  ld a1, d
    call f
    li a5, 3*40
    bne a0, a5, bad
    addi s1, s1, -1
    bnez s1, 1b
    li a0, 0
    j out
bad:
    li a0, 1
out:
    li a7, 93
    ecall
f:
    slli a3, a1, 33
    li a1, 5
    slli a1, a1, 34
    mulhu a1, a3, a1
    mv a0, a1
    beqz a1, 2f
    srli a1, a3, 33
2:  ret
.data
.p2align 3
d: .quad 0x80000003
