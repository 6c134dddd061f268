/* Start, trap entry and return of the bare-metal test programs, in S mode on the machine's SBI. */
#include "layout.h"

    .section .text.start
    .globl _start, start_hart
_start:                         /* a0 hart id, a1 device tree */
    la      t0, main
start_common:                   /* t0: what to call with a0, a1 */
    .option push
    .option norelax
    la      gp, __global_pointer$
    .option pop
    la      sp, stacks
    addi    t1, a0, 1
    li      t2, STACK_SIZE
    mul     t1, t1, t2
    add     sp, sp, t1
    csrw    sscratch, zero
    la      t1, trap_entry
    csrw    stvec, t1
    li      t1, 3 << 13         /* sstatus.FS */
    csrs    sstatus, t1
    jalr    t0
1:  wfi
    j       1b

start_hart:                     /* a1: the function, by SBI's hart_start */
    mv      t0, a1
    j       start_common

    /* sscratch is 0 in S mode, and the stack to use while in U mode. */
    .balign 4
    .globl trap_entry, trap_return
trap_entry:
    csrrw   sp, sscratch, sp
    bnez    sp, 1f
    csrr    sp, sscratch
1:  addi    sp, sp, -FRAME_SIZE
    .irp n, 1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    sd      x\n, \n*8(sp)
    .endr
    csrr    t0, sscratch
    sd      t0, 2*8(sp)
    csrw    sscratch, zero
    csrr    t0, sepc
    sd      t0, 32*8(sp)
    csrr    t0, sstatus
    sd      t0, 33*8(sp)
    csrr    t0, scause
    sd      t0, 34*8(sp)
    csrr    t0, stval
    sd      t0, 35*8(sp)
    .option push
    .option norelax
    la      gp, __global_pointer$
    .option pop
    mv      a0, sp
    call    on_trap
trap_return:                    /* sp: the frame */
    ld      t0, 32*8(sp)
    csrw    sepc, t0
    ld      t0, 33*8(sp)
    csrw    sstatus, t0
    andi    t0, t0, 0x100       /* SPP */
    bnez    t0, 1f
    addi    t0, sp, FRAME_SIZE
    csrw    sscratch, t0
1:
    .irp n, 1,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    ld      x\n, \n*8(sp)
    .endr
    ld      sp, 2*8(sp)
    sret

    /* void enter_user(uint64_t pc, uint64_t sp, uint64_t arg): comes back when on_trap unwinds. */
    .globl enter_user
enter_user:
    addi    sp, sp, -FRAME_SIZE
    sd      zero, 33*8(sp)
    .irp n, 3,4,5,6,7,8,9,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    sd      x\n, \n*8(sp)
    .endr
    sd      a0, 32*8(sp)
    sd      a1, 2*8(sp)
    sd      a2, 10*8(sp)
    csrr    t0, sstatus
    li      t1, 0x122           /* SPP, SPIE, SIE */
    not     t1, t1
    and     t0, t0, t1
    sd      t0, 33*8(sp)
    j       trap_return

    .bss
    .balign 4096
    .globl  stacks
stacks:
    .space  STACK_SIZE * 8
