/* For tests of the store: programs for the rig (rig.h) of many kinds of blocks, and files of the
 * records that are made of them. */
#ifndef WIRT_TEST_ENGINE_STORE_RIG_H
#define WIRT_TEST_ENGINE_STORE_RIG_H

#include "engine/record.h"
#include "engine/store.h"
#include "rig.h"

#define SMALL_FILE ((size_t)64 << 10) /* where one program's records fit */
#define BUILD      UINT64_C(0x1234)   /* what they are good for */

/* Puts the program of this number into rig_code: some sixty blocks on two pages, which end in an
 * ecall. Few of its blocks are those of another number. */
void write_program(unsigned number);

/* What it has done. */
struct outcome {
    uint64_t x[32], f[32];
    uint64_t data[RIG_PAGE / 8];
};

/* Runs the program in rig_code by a new engine with this store. NULL: none; stats: not wanted. */
void run_program(struct store *s, struct outcome *out, struct engine_stats *stats);

/* By the interpreter: what is right. */
void interpret_program(struct outcome *out);

/* A store of this limit with the file, which is made if it must be. NULL: it is of no use. */
struct store *open_store(int fd, size_t limit);

/* A new file in memory. */
int new_file(void);

/* Runs the program with what the file has, and saves. Not while another begins the file. */
void save_program(int fd, size_t limit);

/* The record's copy in memory of its own, exactly as long, for AddressSanitizer; free() it. */
struct record *record_copy(const struct record *r, size_t size);

/* All records of a file, found by nothing but their sums. */
struct records {
    struct record **all; /* of n */
    unsigned n;
};
void read_records(int fd, struct records *out);
void free_records(struct records *r);

/* How many of these the store finds; what else it finds by their keys must be one of them too, to
 * the byte, else it is SIZE_MAX. */
size_t count_found(struct store *s, const struct records *r);

#endif
