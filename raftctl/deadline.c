/*
 * deadline.c - a heap of points in time.
 */
#include "raftctl/deadline.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int
deadlines_reserve(struct deadlines *ds, size_t count)
{
	size_t cap = ds->cap == 0 ? 64 : ds->cap;
	struct deadline **p;

	if (count < ds->cap)
		return 0;
	while (cap <= count)
		cap *= 2;
	p = reallocarray(ds->heap, cap, sizeof(struct deadline *));
	if (p == NULL)
		return -ENOMEM;
	ds->heap = p;
	ds->cap = cap;
	return 0;
}

void
deadlines_release(struct deadlines *ds)
{
	free(ds->heap);
	*ds = (struct deadlines){0};
}

static void
put(struct deadlines *ds, struct deadline *d, size_t place)
{
	ds->heap[place] = d;
	d->place = place;
}

/* Move d from where it stands to where it belongs. */
static void
settle(struct deadlines *ds, struct deadline *d)
{
	size_t i = d->place, child;

	while (i > 1 && ds->heap[i / 2]->at_ns > d->at_ns) {
		put(ds, ds->heap[i / 2], i);
		i /= 2;
	}
	while ((child = 2 * i) <= ds->count) {
		if (child < ds->count &&
		    ds->heap[child + 1]->at_ns < ds->heap[child]->at_ns)
			child++;
		if (ds->heap[child]->at_ns >= d->at_ns)
			break;
		put(ds, ds->heap[child], i);
		i = child;
	}
	put(ds, d, i);
}

void
deadline_set(struct deadlines *ds, struct deadline *d, uint64_t at_ns)
{
	d->at_ns = at_ns;
	if (d->place == 0) {
		assert(ds->count + 1 < ds->cap);
		put(ds, d, ++ds->count);
	}
	settle(ds, d);
}

void
deadline_cancel(struct deadlines *ds, struct deadline *d)
{
	struct deadline *last;
	size_t place = d->place;

	if (place == 0)
		return;
	assert(ds->heap[place] == d);
	d->place = 0;
	last = ds->heap[ds->count--];
	if (last != d) {
		put(ds, last, place);
		settle(ds, last);
	}
}

struct deadline *
deadline_first(const struct deadlines *ds)
{
	return ds->count == 0 ? NULL : ds->heap[1];
}
