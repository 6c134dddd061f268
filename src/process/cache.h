/* The file in which a user's processes keep their translations.
 *
 * A guest shares its address space with its translator: whatever a process writes is believed by
 * those who could have been told so by its user anyway. So the file is in a folder of the user's,
 * and is used only when both are the user's and nobody else may write to them. It is not used where
 * this program is not part of the root that it runs in (a container that has it from binfmt_misc;
 * one that wirt puts it into is started with --cache off): the user there is another one, and the
 * file would become a part of an image. */
#ifndef WIRT_PROCESS_CACHE_H
#define WIRT_PROCESS_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct process;

/* Bytes that the file may have, when nothing else is said. */
#define CACHE_SIZE ((size_t)128 << 20)

/* Once the engine is there, before its first cpu. */
void cache_begin(struct process *p);

/* Before the program ends, or is exchanged. */
void cache_save(struct process *p, bool ends);

#endif
