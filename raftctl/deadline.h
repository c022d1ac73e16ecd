/*
 * deadline.h - many points in time, one timer.
 *
 * A binary heap of deadlines that live inside their owners.  Setting one
 * that is later than most is O(1) in practice, removing one O(log n), and
 * nothing is allocated after deadlines_reserve().
 */
#ifndef RAFTCTL_DEADLINE_H
#define RAFTCTL_DEADLINE_H

#include <stddef.h>
#include <stdint.h>

struct deadline {
	uint64_t at_ns;
	size_t place; /* in the heap, from 1; 0: not set */
	void (*expired_cb)(struct deadline *);
};

struct deadlines {
	struct deadline **heap; /* [1..count] */
	size_t count;
	size_t cap;
};

/* Room for count deadlines in all: 0 or -ENOMEM. */
int deadlines_reserve(struct deadlines *, size_t count);
void deadlines_release(struct deadlines *);

/* Set, or move.  The room must have been reserved. */
void deadline_set(struct deadlines *, struct deadline *, uint64_t at_ns);
void deadline_cancel(struct deadlines *, struct deadline *); /* if set */
/* The earliest, NULL if none. */
struct deadline *deadline_first(const struct deadlines *);

#endif
