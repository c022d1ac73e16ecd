/*
 * trail.h - what the core knows of the log: runs of (index, term).
 *
 * Invariants: runs ascend in both index and term; run[0].first is
 * prev_index + 1 unless there are no entries; last >= the last run's first;
 * last == prev_index exactly if count is 0.
 *
 * The array of runs is the caller's.
 */
#ifndef RAFTD_CORE_TRAIL_H
#define RAFTD_CORE_TRAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "raftd/core/raft.h"

struct trail {
	uint64_t prev_index, prev_term; /* of the entry before the first */
	uint64_t last;			/* index of the last entry */
	struct raft_run *run;
	uint32_t count, cap;
};

void trail_init(struct trail *, struct raft_run *, uint32_t cap,
    uint64_t prev_index, uint64_t prev_term);

/* Term of an index; 0 beyond either end.  prev_index is within reach. */
uint64_t trail_term(const struct trail *, uint64_t index);
uint64_t trail_last_term(const struct trail *);

/* Is there room for n more runs? */
bool trail_room(const struct trail *, uint32_t n);

/* Extend to `last` with entries of `term`, which is not below the last one's.
 * Room for one run must be there if the term is new. */
void trail_append(struct trail *, uint64_t last, uint64_t term);

/* Forget everything up to `prev_index`, which is within reach. */
void trail_compact(struct trail *, uint64_t prev_index);

/* Forget everything after `last`, which is within reach. */
void trail_truncate(struct trail *, uint64_t last);

/* The largest index in reach, at most `index`, whose term is at most `term`;
 * prev_index if there is none. */
uint64_t trail_floor(const struct trail *, uint64_t index, uint64_t term);

/*
 * The runs that cover first..last, the first one cut to begin at `first`, at
 * most max of them.  Returns how many; *covered is the last index that they
 * reach.  run may be NULL to learn the reach only.
 */
uint32_t trail_slice(const struct trail *, uint64_t first, uint64_t last,
    struct raft_run *run, uint32_t max, uint64_t *covered);

/* NULL, or which invariant is broken. */
const char *trail_check(const struct trail *);

#endif
