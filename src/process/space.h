/* The guest's address space: which pages are the guest's, with which protection. */
#ifndef WIRT_PROCESS_SPACE_H
#define WIRT_PROCESS_SPACE_H

#include "process/state.h"

void space_init(struct space *s);

/* The mapping at addr in *out; false: the guest has none there. */
bool space_find(struct space *s, uint64_t addr, struct mapping *out);

/* The lowest mapping above `from` that is executable and shared. */
bool space_next_shared_code(struct space *s, uint64_t from, struct mapping *out);

/* Calls of the guest: arguments as in Linux; 0 or an address, else -errno. Pages that are neither
 * the guest's nor free are never touched. Translations of code that changes are dropped. */
long space_mmap(struct process *p, uint64_t addr, uint64_t len, int prot, int flags, int fd,
                uint64_t offset);
long space_munmap(struct process *p, uint64_t addr, uint64_t len);
long space_mprotect(struct process *p, uint64_t addr, uint64_t len, int prot);
long space_mremap(struct process *p, uint64_t addr, uint64_t old_len, uint64_t new_len, int flags,
                  uint64_t new_addr);
long space_remap_pages(struct process *p, uint64_t addr, uint64_t len, int prot, uint64_t page,
                       int flags);
long space_madvise(struct process *p, uint64_t addr, uint64_t len, int advice);
long space_brk(struct process *p, uint64_t brk);
long space_shmat(struct process *p, int id, uint64_t addr, int flags);
long space_shmdt(struct process *p, uint64_t addr);

/* The protection the host needs for what the guest may do: code is only read. */
int space_host_prot(int guest_prot);

/* Calls fn for each mapping, lowest first, with the lock held. */
void space_each(struct space *s, void (*fn)(const struct mapping *m, void *arg), void *arg);

#endif
