/* What several harts of one engine share: functions, two copies of their code, and the data that
 * they work on.
 *
 * Whatever the order in which harts call them, a function's result and the sum of what all calls
 * did to the data are the same: so one hart alone, the reference, says what is right. Meanwhile the
 * code is written anew, in ways that mean the same (shared_rewrite), or that tell the caller
 * whether it runs what it must (shared_publish).
 */
#ifndef WIRT_TESTS_SHARED_H
#define WIRT_TESTS_SHARED_H

#include "program.h"

/* Pages of code, then one of data. */
#define SHARED_CODE_PAGES 2u
#define SHARED_DATA       (SHARED_CODE_PAGES * PAGE)
#define SHARED_SIZE       (SHARED_DATA + PAGE)

#define SHARED_COPIES    2u /* of each page */
#define SHARED_FRAMES    (SHARED_COPIES * SHARED_CODE_PAGES + 1u)
#define SHARED_FUNCTIONS 27u
#define SHARED_MAPPED \
    12u /* from here on what depends on the mapping; first, what it may change in */
#define SHARED_MAPPED_END 16u
#define SHARED_STORM      26u /* the one that is all atomics, some thousand instructions */
/* The functions leave 0 in the temporaries t0, t1, t2, t3 and t4, their result in a0, and return by
 * ra. */
#define SHARED_CHANGES (1u << 1 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 10 | 1u << 28 | 1u << 29)

struct shared {
    uint64_t at; /* guest address */
    int fd;      /* of the frames */
    bool named;
    uint8_t *frames; /* the copies' code, one after the other, then the data */
    uint32_t published[2];
};

#define SHARED_NAME UINT64_C(0xc0000000) /* of the first frame, where addresses have 32 bits */

/* How code is seen to be new. */
enum publish {
    BY_FENCE_I, /* the caller makes a fence.i once it has seen what was published */
    BY_WALL     /* translations were dropped before it was published */
};

/* named: each copy has a number that a function answers. exits with a message. */
void shared_init(struct shared *s, uint64_t at, bool named);
void shared_free(struct shared *s);

/* The address of a function, 0 .. SHARED_FUNCTIONS - 1, when all begins at address `at`. */
uint64_t shared_entry(uint64_t at, unsigned function);
bool is_shared(const struct shared *s, uint64_t va); /* false for NULL */
bool is_shared_entry(const struct shared *s, uint64_t pc);

/* Whether pc is where the mapping may be another, once, when a0 is odd: as when another hart
 * changes a page table that this one has not made a fence for. */
bool shared_drifts(const struct shared *s, uint64_t pc);

/* Where va is, of those that are shared; and the name of its frame. copy: bit n says which
 * copy of page n is mapped. */
uint64_t shared_name(const struct shared *s, unsigned frame);
uint8_t *shared_at(const struct shared *s, unsigned copy, uint64_t va);

/* Exchanges an instruction for one, or a jump for one to code, that does the same. */
void shared_rewrite(const struct shared *s, struct random *r);

/* Writes the next number into the code of a copy; then, shared_publish, says that it is there. */
void shared_write_number(const struct shared *s, unsigned copy, enum publish how);
void shared_publish(struct shared *s, enum publish how);

/* Adds what was done to one's data to what was done to another's. */
void shared_add(struct shared *to, const struct shared *from);

/* Puts the data back to what shared_save has kept: PAGE bytes. */
void shared_save(const struct shared *s, uint8_t *data);
void shared_restore(const struct shared *s, const uint8_t *data);

/* What differs of the data, in words; false: nothing. */
bool shared_differs(const struct shared *expected, const struct shared *got, char *why,
                    size_t size);

#endif
