/*
 * hist.h - a latency histogram whose buckets grow with the value.
 *
 * Nanoseconds up to HIST_MAX (18 minutes; longer ones count as that) fall
 * into buckets, HIST_SUB of them for each power of two, so that what a
 * quantile says is off by at most 1/256, whatever its size.  The largest and
 * smallest value and the sum are exact.
 *
 * Adding costs a few instructions; histograms of the same kind add up.
 */
#ifndef LOADGEN_HIST_H
#define LOADGEN_HIST_H

#include <stdint.h>

#define HIST_SUB_BITS 7
#define HIST_SUB (1u << HIST_SUB_BITS)
#define HIST_MAX_BITS 40
#define HIST_MAX (((uint64_t)1 << HIST_MAX_BITS) - 1)
/* Exact ones below 2 * HIST_SUB, then HIST_SUB for each further bit. */
#define HIST_BUCKETS ((HIST_MAX_BITS - HIST_SUB_BITS + 1) * HIST_SUB)

struct hist {
	uint64_t count;
	uint64_t sum;
	uint64_t min, max; /* min is UINT64_MAX when empty */
	uint64_t bucket[HIST_BUCKETS];
};

void hist_reset(struct hist *);
void hist_add(struct hist *, uint64_t ns);
void hist_merge(struct hist *to, const struct hist *from);

/*
 * The value that a share q (0..1) of all values does not exceed: the middle
 * of its bucket, never beyond min and max.  0 when empty.
 */
uint64_t hist_quantile(const struct hist *, double q);
double hist_mean(const struct hist *);

/* Coarser, for people: HIST_STEPS for each power of two. */
#define HIST_STEPS_BITS 3
#define HIST_STEPS_MAX \
	((HIST_MAX_BITS - HIST_STEPS_BITS + 1) << HIST_STEPS_BITS)
struct hist_step {
	uint64_t from, to; /* values from <= v < to */
	uint64_t count;
};
/* Those that are not empty, ascending: how many. */
unsigned hist_steps(const struct hist *, struct hist_step[HIST_STEPS_MAX]);

#endif
