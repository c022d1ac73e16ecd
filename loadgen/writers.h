/*
 * writers.h - clients that write while leaders die, and the proof that
 * nothing they were promised is lost.
 *
 * Each writer is a thread with a client of its own and puts keys of its own,
 * one after the other, each once; it notes which were acknowledged.
 * writers_check() reads all of them back.
 */
#ifndef LOADGEN_WRITERS_H
#define LOADGEN_WRITERS_H

#include <stdint.h>

#include "raftctl/errtext.h"

#define WRITERS_MAX 256
#define WRITERS_READ_MS 30000 /* until all is read back */

struct writers;

struct writers_count {
	uint64_t acknowledged, unknown, errors, lost;
};

/* A put is given up after put_ms; flags are of client.h.  endpoints and stop
 * are borrowed until writers_free(). */
int writers_new(const char *endpoints, unsigned count, uint32_t value_size,
    uint32_t put_ms, unsigned flags, const volatile int *stop,
    struct writers **, struct errtext *);
/* A put counts as begun after t if it was; t is on CLOCK_MONOTONIC. */
void writers_mark(struct writers *, uint64_t t_ns);
/*
 * Wait until every writer has had a put acknowledged that it began after the
 * mark: when the first of them had, and when the last.  -ETIMEDOUT, -EINTR.
 */
int writers_await(struct writers *, uint32_t timeout_ms, uint64_t *first_ns,
    uint64_t *all_ns);
/* The longest time without an acknowledged put, from now on; and until now. */
void writers_gap_begin(struct writers *);
uint64_t writers_gap_ns(struct writers *);
/* Ends the threads. */
void writers_end(struct writers *);
/* After writers_end(): reads everything back.  -EIO if that was not possible,
 * with the reason. */
int writers_check(struct writers *, struct writers_count *, struct errtext *);
void writers_free(struct writers *);

#endif
