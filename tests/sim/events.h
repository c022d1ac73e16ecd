/*
 * events.h - what happens next: a heap of events ordered by (time, sequence).
 *
 * Two events of one moment happen in the order in which they were added, so
 * a run depends on nothing but its seed.  An event is a small value; what it
 * is about stands in `what`, `who` and two words.  Nobody removes an event:
 * whoever put it there recognises by its generation (in a or b) that it is
 * of no interest any more.
 */
#ifndef TESTS_SIM_EVENTS_H
#define TESTS_SIM_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event {
	uint64_t at;  /* simulated nanoseconds */
	uint64_t seq; /* set by events_add() */
	uint16_t what;
	uint16_t who;
	uint32_t b;
	uint64_t a;
};

struct events {
	struct event *heap;
	size_t count, cap;
	uint64_t seq;
};

void events_init(struct events *);
void events_release(struct events *);
void events_add(struct events *, uint64_t at, uint16_t what, uint16_t who,
    uint64_t a, uint32_t b);
/* The earliest one; false when there is none. */
bool events_next(struct events *, struct event *);

#endif
