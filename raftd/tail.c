/*
 * tail.c - the recent entries of one group, in memory.
 */
#include "raftd/tail.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define TAIL_CAP_MIN 256

static struct tail_slot *
slot_of(const struct tail *t, uint64_t index)
{
	return &t->slot[index & (t->cap - 1)];
}

int
tail_init(struct tail *t, uint64_t first)
{
	t->slot = calloc(TAIL_CAP_MIN, sizeof(*t->slot));
	if (t->slot == NULL)
		return -ENOMEM;
	t->cap = TAIL_CAP_MIN;
	t->first = first;
	t->last = first - 1;
	t->bytes = 0;
	t->base_bytes = 0;
	return 0;
}

void
tail_release(struct tail *t)
{
	if (t->slot != NULL)
		tail_reset(t, t->first);
	free(t->slot);
	t->slot = NULL;
}

static void
drop_last(struct tail *t)
{
	struct tail_slot *s = slot_of(t, t->last);

	t->bytes -= s->size;
	blob_unref(s->blob);
	s->blob = NULL;
	t->last--;
}

static void
drop_first(struct tail *t)
{
	struct tail_slot *s = slot_of(t, t->first);

	t->bytes -= s->size;
	t->base_bytes = s->total;
	blob_unref(s->blob);
	s->blob = NULL;
	t->first++;
}

void
tail_reset(struct tail *t, uint64_t first)
{
	while (t->last >= t->first)
		drop_last(t);
	t->first = first;
	t->last = first - 1;
}

static int
grow(struct tail *t)
{
	size_t cap = t->cap * 2;
	struct tail_slot *slot = calloc(cap, sizeof(*slot));

	if (slot == NULL)
		return -ENOMEM;
	for (uint64_t i = t->first; i <= t->last; i++)
		slot[i & (cap - 1)] = *slot_of(t, i);
	free(t->slot);
	t->slot = slot;
	t->cap = cap;
	return 0;
}

int
tail_append(
    struct tail *t, uint64_t index, struct blob *b, size_t offset, size_t size)
{
	struct tail_slot *s;
	uint64_t before;

	assert(index <= t->last + 1);
	assert(index >= t->first);
	assert(offset <= UINT32_MAX && size <= UINT32_MAX);
	while (t->last >= index)
		drop_last(t);
	if (t->last - t->first + 1 >= t->cap && grow(t) < 0)
		return -ENOMEM;
	before =
	    t->last >= t->first ? slot_of(t, t->last)->total : t->base_bytes;
	t->last = index;
	s = slot_of(t, index);
	s->blob = blob_ref(b);
	s->offset = (uint32_t)offset;
	s->size = (uint32_t)size;
	s->total = before + size;
	t->bytes += size;
	return 0;
}

const struct tail_slot *
tail_at(const struct tail *t, uint64_t index)
{
	if (index < t->first || index > t->last)
		return NULL;
	return slot_of(t, index);
}

void
tail_trim(struct tail *t, size_t bytes_max, uint64_t keep_after)
{
	while (t->bytes > bytes_max && t->first <= t->last &&
	       t->first <= keep_after)
		drop_first(t);
}

uint64_t
tail_pieces(const struct tail *t, uint64_t from, uint64_t to, size_t bytes_max,
    struct piece *piece, unsigned piece_max, unsigned *count, size_t *bytes)
{
	uint64_t i;
	unsigned n = 0;
	size_t sum = 0;

	assert(from >= t->first && to <= t->last && from <= to);
	assert(piece_max > 0);
	for (i = from; i <= to; i++) {
		const struct tail_slot *s = slot_of(t, i);
		const uint8_t *p = s->blob->data + s->offset;
		bool joins =
		    n > 0 && piece[n - 1].blob == s->blob &&
		    (const uint8_t *)piece[n - 1].p + piece[n - 1].len == p;

		if (i > from && sum + s->size > bytes_max)
			break;
		if (!joins && n == piece_max)
			break;
		if (joins) {
			piece[n - 1].len += s->size;
		} else {
			piece[n].blob = s->blob;
			piece[n].p = p;
			piece[n].len = s->size;
			n++;
		}
		sum += s->size;
	}
	*count = n;
	*bytes = sum;
	return i - 1;
}
