/* Where in the guest's address space programs are. */
#ifndef WIRT_TESTS_PLACES_H
#define WIRT_TESTS_PLACES_H

#include <stdbool.h>
#include <stdint.h>

/* What several programs share begins so far behind the first one's arena: in reach of an auipc. */
#define SHARED_DISTANCE UINT64_C(0x8000000)

struct place {
    uint64_t arena;  /* guest address of page 0 */
    bool paged_only; /* no host page can be there */
};

/* The n-th place, the same on every machine. Half of them lie where code that knows its addresses
 * relative to the pc alone may lie: from 2^33 to 2^47 - 2^33, so that no sum of two such is another
 * kind of address. The others are below, at the edges between, at the ends of the address space
 * and in its upper half. flat: one where host pages can be. */
struct place place_of(uint64_t n, bool flat);

#endif
