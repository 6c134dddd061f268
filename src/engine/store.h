/* Where records are kept: those made here, in memory, and those of a file that many processes share
 * (or a memfd, of those that have inherited it).
 *
 * The file is an index of slots and records behind each other; it grows up to a limit and then
 * starts over. Whoever reads it believes nothing: each record is copied and checked, and its
 * guest's bytes are compared. So it may be torn, cut or exchanged at any time, by anybody who may
 * write to it; who that is, the opener decides. */
#ifndef WIRT_ENGINE_STORE_H
#define WIRT_ENGINE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
struct record;
struct record_parts;

/* With no file yet. limit: bytes that it may hold, in memory or in the file. */
struct store *store_new(size_t limit);
void store_free(struct store *s);

/* Makes the file at fd, open for reading and writing, an empty one that can be used, if it is not
 * one already. build: what its records are good for, of program and host. */
bool store_make_file(struct store *s, int fd, uint64_t build);

/* Reads the file at fd, which is the caller's and stays open; what others write to it from now on
 * is found perhaps. false: it is none for this build. */
bool store_use_file(struct store *s, int fd, uint64_t build);

/* Goes through the records with this key: copies the next into the RECORD_MAX bytes at out, and
 * says where its parts are. *at: 0 at first. false: there is no other. */
bool store_next(struct store *s, uint64_t key, uint32_t *at, struct record *out,
                struct record_parts *parts);

/* Keeps a copy of r in memory. false: there is no room. */
bool store_add(struct store *s, const struct record *r);

/* Whether enough was added to be worth saving. */
bool store_is_dirty(const struct store *s);

/* Writes that to the file, open at fd, unless somebody else is writing or there is no room. */
void store_save(struct store *s, int fd);

/* Forgets what is in memory: in a fork's child, which does not have it. */
void store_forget(struct store *s);

#endif
