/* Random programs for the engine, and the small world that they run in: pages of code and data with
 * permissions, and what happens to them at system calls.
 *
 * A program is a list of items, each a few instructions that belong together, so that one that
 * shows a difference can be made shorter; branches name items. Everything comes from the seed. */
#ifndef WIRT_TESTS_PROGRAM_H
#define WIRT_TESTS_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define PAGE        4096u
#define PAGES       16u
#define FRAMES      20u /* page n begins as frame n; the rest is for remapping */
#define CODE_FIRST  1u  /* pages 1 to 5 may hold code, 6 is a hole */
#define CODE_END    6u
#define DATA_FIRST  7u
#define DATA_END    15u
#define ITEM_INSNS  8u
#define MAX_ITEMS   400u
#define MAX_EVENTS  8u
#define PERM_R      1u
#define PERM_W      2u
#define PERM_X      4u
#define MAX_RECORDS 48u

/* The first words of each data page are addresses at first: programs load them from there. */
#define POOL_WORDS 16u

struct page {
    uint8_t frame, perm; /* perm 0: not mapped */
};

struct item {
    uint32_t insn[ITEM_INSNS];
    uint8_t n;
    int8_t fix; /* the instruction whose target is item `target`, or -1. What is no branch takes its
                   address from the auipc before it that writes its base register. */
    uint8_t low; /* a bit for each instruction whose target is address `to`, in the same way */
    uint16_t target;
    uint64_t to;
    bool dropped; /* by shrinking; a branch to it goes to the next one that is there */
};

enum event_kind {
    EVENT_NONE,
    EVENT_MAP,   /* page becomes frame with perm; perm 0: is unmapped */
    EVENT_WRITE, /* value is written at offset of page, and translations of it are given up */
    EVENT_FRM,   /* frm becomes value, fflags value >> 8 */
    EVENT_FLUSH, /* all translations are given up */
    EVENT_MODE,  /* enum cpu_mode becomes value */
    EVENT_COPY,  /* pages of the shared code become the other copy of them, for this hart */
};

struct event {
    uint8_t kind, page, frame, perm;
    uint32_t offset, value;
};

/* Where and beside whom a program runs. */
struct setting {
    uint64_t arena;  /* guest address of page 0 */
    uint64_t shared; /* together: guest address of the shared functions */
    bool together;   /* beside others: it calls the shared functions */
    bool storm;      /* it calls nothing but SHARED_STORM */
    bool common;     /* its code is what others run at the same time: no event, and nothing that
                        writes code */
};

struct program {
    uint64_t seed;
    struct setting setting;
    struct item items[MAX_ITEMS]; /* the last one is an ebreak, which ends the program */
    uint32_t n_items;
    struct page pages[PAGES];
    struct event events[MAX_EVENTS]; /* the n-th ecall makes the n-th happen */
    uint64_t x[32], f[32];
    uint16_t x_item[32]; /* x begins as the address of this item, less 1; 0: as x says */
    uint32_t mode;
    uint8_t frm;
    uint8_t copy; /* of the shared code's pages */
    /* layout() */
    uint64_t start;
    uint64_t at[MAX_ITEMS + 1]; /* address of each item, and of the end */
    uint32_t size;
    uint8_t code[PAGE * (CODE_END - CODE_FIRST)];
};

/* Random numbers: the same for a seed on every machine. */
struct random {
    uint64_t state;
};

struct random random_from(uint64_t seed);
uint32_t random32(struct random *r);
uint32_t below(struct random *r, uint32_t n); /* 0 .. n - 1 */
bool chance(struct random *r, unsigned percent);

/* The program of a seed. What is drawn does not depend on the addresses in setting: with others it
 * is the same program somewhere else. */
void generate(struct program *p, uint64_t seed, struct setting setting);

/* Exchanges what is no address in registers for what `seed` gives: the same code on other values.
 */
void other_values(struct program *p, uint64_t seed);

/* Gives every item its address and fills in targets. */
void layout(struct program *p);

/* What the frames hold at first, the same for all programs of an arena: FRAMES * PAGE bytes. */
void fill_frames(uint8_t *frames, uint64_t arena);

void print_program(FILE *f, const struct program *p);

#endif
