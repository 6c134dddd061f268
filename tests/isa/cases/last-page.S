# flags: -Wl,-z,separate-code
# A block in the last executable page follows a jump to the page before, and is looked up a second
# time: the engine's mode changes with the rounding mode, which empties the jump cache.
.option norvc
.text
.globl _start
_start:
    li s0, 3
1:  call last
    csrwi frm, 1
    call last
    csrwi frm, 0
    addi s0, s0, -1
    bnez s0, 1b
    li a0, 0
    li a7, 93
    ecall
first:
    ret
.balign 4096
last:
    nop
    j first
