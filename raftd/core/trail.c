/*
 * trail.c - runs of (index, term).
 *
 * A log has few terms, so the runs are an array and searched by bisection;
 * the last run, which nearly every question is about, is looked at first.
 */
#include "raftd/core/trail.h"

#include <assert.h>
#include <stddef.h>

void
trail_init(struct trail *t, struct raft_run *run, uint32_t cap,
    uint64_t prev_index, uint64_t prev_term)
{
	t->prev_index = prev_index;
	t->prev_term = prev_term;
	t->last = prev_index;
	t->run = run;
	t->count = 0;
	t->cap = cap;
}

/* Position of the run that holds index, which is in (prev_index, last]. */
static uint32_t
run_of(const struct trail *t, uint64_t index)
{
	uint32_t low = 0, high = t->count - 1, mid;

	if (index >= t->run[high].first)
		return high;
	/* run[low].first <= index < run[high].first */
	while (high - low > 1) {
		mid = low + (high - low) / 2;
		if (t->run[mid].first <= index)
			low = mid;
		else
			high = mid;
	}
	return low;
}

uint64_t
trail_term(const struct trail *t, uint64_t index)
{
	if (index == t->prev_index)
		return t->prev_term;
	if (index < t->prev_index || index > t->last)
		return 0;
	return t->run[run_of(t, index)].term;
}

uint64_t
trail_last_term(const struct trail *t)
{
	return t->count > 0 ? t->run[t->count - 1].term : t->prev_term;
}

bool
trail_room(const struct trail *t, uint32_t n)
{
	return t->cap - t->count >= n;
}

void
trail_append(struct trail *t, uint64_t last, uint64_t term)
{
	assert(last > t->last);
	assert(term >= trail_last_term(t));
	if (t->count == 0 || t->run[t->count - 1].term != term) {
		assert(t->count < t->cap);
		t->run[t->count].first = t->last + 1;
		t->run[t->count].term = term;
		t->count++;
	}
	t->last = last;
}

void
trail_truncate(struct trail *t, uint64_t last)
{
	assert(last >= t->prev_index);
	if (last >= t->last)
		return;
	t->count = last == t->prev_index ? 0 : run_of(t, last) + 1;
	t->last = last;
}

void
trail_compact(struct trail *t, uint64_t prev_index)
{
	uint64_t term = trail_term(t, prev_index);
	uint32_t at, i;

	assert(prev_index >= t->prev_index && prev_index <= t->last);
	if (prev_index == t->prev_index)
		return;
	at = prev_index == t->last ? t->count : run_of(t, prev_index + 1);
	for (i = at; i < t->count; i++)
		t->run[i - at] = t->run[i];
	t->count -= at;
	if (t->count > 0)
		t->run[0].first = prev_index + 1;
	t->prev_index = prev_index;
	t->prev_term = term;
}

uint64_t
trail_floor(const struct trail *t, uint64_t index, uint64_t term)
{
	uint32_t at;

	if (index > t->last)
		index = t->last;
	if (index <= t->prev_index)
		return t->prev_index;
	at = run_of(t, index);
	if (t->run[at].term <= term)
		return index;
	/* The last run of an acceptable term ends where its successor
	 * begins. */
	while (at > 0 && t->run[at - 1].term > term)
		at--;
	return t->run[at].first - 1;
}

uint32_t
trail_slice(const struct trail *t, uint64_t first, uint64_t last,
    struct raft_run *run, uint32_t max, uint64_t *covered)
{
	uint32_t at, n = 0;

	*covered = first - 1;
	if (first <= t->prev_index || first > last || last > t->last)
		return 0;
	for (at = run_of(t, first); at < t->count && n < max; at++, n++) {
		if (t->run[at].first > last)
			break;
		if (run != NULL) {
			run[n].term = t->run[at].term;
			run[n].first = n == 0 ? first : t->run[at].first;
		}
		*covered =
		    at + 1 < t->count ? t->run[at + 1].first - 1 : t->last;
		if (*covered > last)
			*covered = last;
	}
	return n;
}

const char *
trail_check(const struct trail *t)
{
	uint64_t term = t->prev_term;
	uint32_t i;

	if (t->count > t->cap)
		return "trail: more runs than room";
	if ((t->count == 0) != (t->last == t->prev_index))
		return "trail: runs and last index disagree";
	if (t->count > 0 && t->run[0].first != t->prev_index + 1)
		return "trail: the first run does not begin at the start";
	for (i = 0; i < t->count; i++) {
		if (t->run[i].first > t->last)
			return "trail: a run begins beyond the last index";
		if (i > 0 && t->run[i].first <= t->run[i - 1].first)
			return "trail: runs do not ascend in index";
		if (i > 0 ? t->run[i].term <= term : t->run[i].term < term)
			return "trail: runs do not ascend in term";
		term = t->run[i].term;
	}
	return NULL;
}
