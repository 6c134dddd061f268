/* Start and traps of the hostile guest, in S mode or in M mode: a trap is skipped, a fetch that faults
 * returns, and wild code ends by its first one. */
#include "hostile.h"

    .section .text.start
    .globl _start, hart_entry
_start:                         /* a0 hart id, a1 device tree */
hart_entry:
    li      t1, 0
    la      t0, 1f
    csrw    stvec, t0
    csrr    t0, mhartid         /* faults in S mode */
    li      t1, 1
    .balign 4
1:  la      sp, stacks
    addi    t2, a0, 1
    li      t0, STACK_SIZE
    mul     t2, t2, t0
    add     sp, sp, t2
    la      t2, contexts
    li      t0, CTX_SIZE
    mul     t0, t0, a0
    add     t2, t2, t0          /* the hart's context */
    csrw    sscratch, t2
    la      t0, trap_s
    csrw    stvec, t0
    beqz    t1, 2f
    csrw    mscratch, t2
    la      t0, trap_m
    csrw    mtvec, t0
2:  mv      a2, t1
    mv      a3, t2
    call    hostile_main
3:  j       3b

    .macro  trap mode, pp
    .balign 4
    .globl  trap_\mode
trap_\mode:
    csrrw   t6, \mode\()scratch, t6
    sd      t0, 0(t6)
    sd      t1, 8(t6)
    sd      t2, 16(t6)
    csrr    t0, \mode\()scratch
    sd      t0, 24(t6)
    csrw    \mode\()scratch, t6
    ld      t0, CTX_TRAPS(t6)
    addi    t0, t0, 1
    sd      t0, CTX_TRAPS(t6)
    ld      t0, CTX_WILD(t6)
    bnez    t0, 5f
    csrr    t0, \mode\()cause
    bltz    t0, 3f
    li      t1, 2
    bltu    t0, t1, 2f          /* fetch: misaligned, access fault */
    li      t1, 12
    beq     t0, t1, 2f          /* fetch: page fault */
    li      t1, 8
    beq     t0, t1, 2f          /* a call from below */
    csrr    t0, \mode\()epc
    lhu     t1, 0(t0)
    andi    t1, t1, 3
    addi    t0, t0, 2
    li      t2, 3
    bne     t1, t2, 1f
    addi    t0, t0, 2
1:  csrw    \mode\()epc, t0
    j       4f
2:  csrw    \mode\()epc, ra
    j       4f
3:  csrw    \mode\()ie, zero    /* an interrupt */
4:  li      t0, \pp             /* back into this mode, whence it came */
    csrs    \mode\()status, t0
    ld      t0, 0(t6)
    ld      t1, 8(t6)
    ld      t2, 16(t6)
    ld      t6, 24(t6)
    \mode\()ret
5:  csrw    \mode\()ie, zero
    csrw    satp, zero
    sfence.vma
    j       leave_wild
    .endm

    trap    s, 0x100
    trap    m, 0x1800

leave_wild:
    sd      zero, CTX_WILD(t6)
    .set    i, 0
    .irp    r, ra, sp, gp, tp, s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11
    ld      \r, CTX_SAVED + i(t6)
    .set    i, i + 8
    .endr
    ret

    .globl  enter_wild
enter_wild:                     /* a0 context, a1 registers, a2 satp */
    .set    i, 0
    .irp    r, ra, sp, gp, tp, s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11
    sd      \r, CTX_SAVED + i(a0)
    .set    i, i + 8
    .endr
    lla     t0, machine_mode
    lbu     t0, 0(t0)
    li      t1, 1
    sd      t1, CTX_WILD(a0)
    ld      t2, 0(a1)
    csrw    satp, a2
    sfence.vma
    bnez    t0, 1f
    csrw    sepc, t2
    li      t1, 0x102           /* SPP, SIE */
    csrc    sstatus, t1
    li      t1, 1 << 5
    csrw    sie, t1
    j       2f
1:  csrw    mepc, t2
    li      t1, 0x1808          /* MPP, MIE */
    csrc    mstatus, t1
    li      t1, 1 << 7
    csrw    mie, t1
2:  mv      x31, x11
    mv      x30, t0
    .irp    n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29
    ld      x\n, \n*8(x31)
    .endr
    bnez    x30, 3f
    ld      x30, 30*8(x31)
    ld      x31, 31*8(x31)
    sret
3:  ld      x30, 30*8(x31)
    ld      x31, 31*8(x31)
    mret

    .globl  call_code
call_code:                      /* a0 code, then its arguments */
    addi    sp, sp, -16
    sd      ra, 0(sp)
    mv      t0, a0
    mv      a0, a1
    mv      a1, a2
    mv      a2, a3
    jalr    t0
    ld      ra, 0(sp)
    addi    sp, sp, 16
    ret

    .bss
    .balign 4096
    .globl  contexts
contexts:
    .space  CTX_SIZE * 4
stacks:
    .space  STACK_SIZE * 4
