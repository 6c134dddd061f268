/* The few places of the process wall that must be exact to the instruction: where the signal handler
 * looks at the interrupted instruction pointer (signal.c) and moves it. */

        .text

/* long safe_syscall(const volatile int *pending, long nr, const uint64_t args[6])
 *
 * Makes a host system call unless a signal is pending: there is no instant at which a signal can
 * arrive unseen and the call wait all the same. A signal between safe_syscall_begin and the syscall
 * instruction sends the thread to safe_syscall_unstarted; one that made the kernel want to restart
 * the call (its ip is then back at the instruction) to safe_syscall_restart. */
        .globl  safe_syscall
        .type   safe_syscall, @function
safe_syscall:
        .cfi_startproc
        movq    %rsi, %rax
        movq    %rdi, %r11
        movq    %rdx, %rcx
        movq    0(%rcx), %rdi
        movq    8(%rcx), %rsi
        movq    16(%rcx), %rdx
        movq    24(%rcx), %r10
        movq    32(%rcx), %r8
        movq    40(%rcx), %r9
        .globl  safe_syscall_begin
safe_syscall_begin:
        cmpl    $0, (%r11)
        jne     safe_syscall_unstarted
        .globl  safe_syscall_insn
safe_syscall_insn:
        syscall
        .globl  safe_syscall_end
safe_syscall_end:
        ret
        .globl  safe_syscall_restart
safe_syscall_restart:
        movq    $-512, %rax             /* ERESTARTSYS */
        ret
        .globl  safe_syscall_unstarted
safe_syscall_unstarted:
        movq    $-513, %rax             /* ERESTARTNOINTR */
        ret
        .cfi_endproc
        .size   safe_syscall, . - safe_syscall

/* int guest_copy(void *to, const void *from, size_t n): 0, or -EFAULT when a byte cannot be reached. */
        .globl  guest_copy
        .type   guest_copy, @function
guest_copy:
        .cfi_startproc
        movq    %rdx, %rcx
        .globl  guest_copy_insn
guest_copy_insn:
        rep movsb
        xorl    %eax, %eax
        ret
        .cfi_endproc
        .size   guest_copy, . - guest_copy

/* long guest_strnlen(const char *s, size_t max): as strnlen, or -EFAULT. */
        .globl  guest_strnlen
        .type   guest_strnlen, @function
guest_strnlen:
        .cfi_startproc
        xorl    %eax, %eax
1:      cmpq    %rsi, %rax
        jae     2f
        .globl  guest_strnlen_insn
guest_strnlen_insn:
        cmpb    $0, (%rdi,%rax)
        je      2f
        incq    %rax
        jmp     1b
2:      ret
        .cfi_endproc
        .size   guest_strnlen, . - guest_strnlen

/* int guest_cas32(uint32_t *p, uint32_t *expected, uint32_t desired): 1 exchanged, 0 *expected is what
 * was found, -EFAULT. */
        .globl  guest_cas32
        .type   guest_cas32, @function
guest_cas32:
        .cfi_startproc
        movl    (%rsi), %eax
        .globl  guest_cas32_insn
guest_cas32_insn:
        lock cmpxchgl %edx, (%rdi)
        movl    %eax, (%rsi)
        sete    %al
        movzbl  %al, %eax
        ret
        .cfi_endproc
        .size   guest_cas32, . - guest_cas32

/* Where the signal handler sends a faulting guest_* function: none has moved the stack pointer. */
        .globl  guest_fault
        .type   guest_fault, @function
guest_fault:
        movq    $-14, %rax              /* EFAULT */
        ret
        .size   guest_fault, . - guest_fault

/* The restorer of every host signal handler. */
        .globl  host_sigreturn
        .type   host_sigreturn, @function
host_sigreturn:
        movl    $15, %eax               /* rt_sigreturn */
        syscall
        .size   host_sigreturn, . - host_sigreturn

        .section .note.GNU-stack, "", @progbits
