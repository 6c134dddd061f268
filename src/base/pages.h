/* Memory of whole pages that fills from its start on. */
#ifndef WIRT_BASE_PAGES_H
#define WIRT_BASE_PAGES_H

#include <stddef.h>
#include <stdint.h>

/* Fresh zeroed memory; free with munmap. Never NULL: running out of memory ends the program. */
void *pages_alloc(size_t size);

/* Of the size bytes at base, a page's start, `used` are about to be in use. Those that follow are
 * made present some at a time, as a fault for each page costs ten times as much, and more on a
 * virtualized host. advice: MADV_POPULATE_WRITE or _READ, as they are mapped. *ready, 0 at first:
 * how far that has come. What is made present and never used is an eighth of what is, but at least
 * 64 KiB and at most 512. */
void pages_ahead(void *base, size_t size, size_t used, size_t *ready, int advice);

#endif
