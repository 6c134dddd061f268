/* Classic BPF, as far as seccomp filters have it (seccomp(2)). */
#ifndef WIRT_PROCESS_BPF_H
#define WIRT_PROCESS_BPF_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether the kernel would take it: only instructions that it knows, jumps forward and within,
 * no memory word read that was not written, a return at every end. */
bool bpf_check(const struct sock_filter *insns, size_t n);

/* Runs a program that bpf_check has accepted. */
uint32_t bpf_run(const struct sock_filter *insns, const struct seccomp_data *data);

#endif
