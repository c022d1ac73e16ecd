/*
 * tail.h - the recent entries of one group, in memory: what apply, the
 * followers and the log take their bytes from.
 *
 * A run of consecutive indexes, each a place in a blob where its sealed
 * record stands.  The newest entries are always here; the oldest are let go
 * once nobody needs them from memory any more (tail_trim), and are read from
 * the log when a peer is that far behind.
 *
 * Invariant: first <= last + 1; the tail holds first..last, and base_bytes
 * plus the sizes of the entries up to i is the count of bytes up to i.
 * Ownership: a reference to the blob for each entry.
 */
#ifndef RAFTD_TAIL_H
#define RAFTD_TAIL_H

#include <stddef.h>
#include <stdint.h>

#include "raftd/blob.h"

struct tail_slot {
	struct blob *blob;
	uint32_t offset;
	uint32_t size;	/* with padding */
	uint64_t total; /* bytes of all entries up to and with this one */
};

struct tail {
	uint64_t first, last;
	size_t bytes;		/* held */
	struct tail_slot *slot; /* ring, index & mask */
	size_t cap;		/* a power of two */
	uint64_t base_bytes;	/* before first */
};

int tail_init(struct tail *, uint64_t first); /* -ENOMEM */
void tail_release(struct tail *);

/*
 * Entry `index`, whose record is size bytes at offset of the blob (a
 * reference is taken).  index is at most last + 1; entries from index on
 * are dropped first.  -ENOMEM.
 */
int tail_append(
    struct tail *, uint64_t index, struct blob *, size_t offset, size_t size);
/* NULL if the index is not held.  Valid until the next append or trim. */
const struct tail_slot *tail_at(const struct tail *, uint64_t index);
/* Let go of the oldest while more than bytes_max are held, never of an entry
 * above keep_after. */
void tail_trim(struct tail *, size_t bytes_max, uint64_t keep_after);
/* Start anew behind an index (nothing is held). */
void tail_reset(struct tail *, uint64_t first);

/*
 * Entries from..to as pieces, neighbours in one blob merged: fills at most
 * piece_max pieces and bytes_max bytes, but always one entry.  Returns the
 * last index that is in; *count and *bytes say what was filled.  from and to
 * are held.
 */
uint64_t tail_pieces(const struct tail *, uint64_t from, uint64_t to,
    size_t bytes_max, struct piece *, unsigned piece_max, unsigned *count,
    size_t *bytes);

#endif
