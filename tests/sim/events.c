/*
 * events.c - a four-way heap of events.
 *
 * Four children a node: half the levels of a binary heap, and the children
 * stand in one or two cache lines.
 */
#include "tests/sim/events.h"

#include <stdlib.h>

static bool
earlier(const struct event *x, const struct event *y)
{
	return x->at != y->at ? x->at < y->at : x->seq < y->seq;
}

void
events_init(struct events *e)
{
	*e = (struct events){0};
}

void
events_release(struct events *e)
{
	free(e->heap);
	events_init(e);
}

void
events_add(struct events *e, uint64_t at, uint16_t what, uint16_t who,
    uint64_t a, uint32_t b)
{
	struct event ev = {at, e->seq++, what, who, b, a};
	size_t i;

	if (e->count == e->cap) {
		size_t cap = e->cap == 0 ? 256 : e->cap * 2;
		struct event *heap = realloc(e->heap, cap * sizeof(*heap));

		if (heap == NULL)
			abort();
		e->heap = heap;
		e->cap = cap;
	}
	for (i = e->count++; i > 0; i = (i - 1) / 4) {
		if (!earlier(&ev, &e->heap[(i - 1) / 4]))
			break;
		e->heap[i] = e->heap[(i - 1) / 4];
	}
	e->heap[i] = ev;
}

bool
events_next(struct events *e, struct event *first)
{
	struct event last;
	size_t i = 0;

	if (e->count == 0)
		return false;
	*first = e->heap[0];
	last = e->heap[--e->count];
	for (;;) {
		size_t child = i * 4 + 1, best;

		if (child >= e->count)
			break;
		best = child;
		for (size_t c = child + 1; c < child + 4 && c < e->count; c++)
			if (earlier(&e->heap[c], &e->heap[best]))
				best = c;
		if (!earlier(&e->heap[best], &last))
			break;
		e->heap[i] = e->heap[best];
		i = best;
	}
	e->heap[i] = last;
	return true;
}
