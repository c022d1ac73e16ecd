/*
 * hist.c - a latency histogram whose buckets grow with the value.
 */
#include "loadgen/hist.h"

#include <assert.h>
#include <math.h>
#include <string.h>

void
hist_reset(struct hist *h)
{
	memset(h, 0, sizeof(*h));
	h->min = UINT64_MAX;
}

/* The highest HIST_SUB_BITS + 1 bits choose the bucket. */
static unsigned
bucket_of(uint64_t v)
{
	unsigned shift;

	if (v > HIST_MAX)
		v = HIST_MAX;
	if (v < 2 * HIST_SUB)
		return (unsigned)v;
	shift = 63u - HIST_SUB_BITS - (unsigned)__builtin_clzll(v);
	return shift * HIST_SUB + (unsigned)(v >> shift);
}

static uint64_t
middle_of(unsigned i)
{
	unsigned shift;
	uint64_t low;

	if (i < 2 * HIST_SUB)
		return i;
	shift = i / HIST_SUB - 1;
	low = (uint64_t)(i - shift * HIST_SUB) << shift;
	return low + (((uint64_t)1 << shift) - 1) / 2;
}

void
hist_add(struct hist *h, uint64_t ns)
{
	unsigned i = bucket_of(ns);

	assert(i < HIST_BUCKETS);
	h->bucket[i]++;
	h->count++;
	h->sum += ns;
	if (ns < h->min)
		h->min = ns;
	if (ns > h->max)
		h->max = ns;
}

void
hist_merge(struct hist *to, const struct hist *from)
{
	unsigned i;

	if (from->count == 0)
		return;
	for (i = 0; i < HIST_BUCKETS; i++)
		to->bucket[i] += from->bucket[i];
	to->count += from->count;
	to->sum += from->sum;
	if (from->min < to->min)
		to->min = from->min;
	if (from->max > to->max)
		to->max = from->max;
}

uint64_t
hist_quantile(const struct hist *h, double q)
{
	uint64_t rank, seen = 0, v;
	unsigned i;

	if (h->count == 0)
		return 0;
	rank = (uint64_t)ceil(q * (double)h->count);
	if (rank < 1)
		rank = 1;
	if (rank >= h->count)
		return h->max;
	for (i = 0; i < HIST_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen >= rank)
			break;
	}
	v = middle_of(i);
	if (v < h->min)
		return h->min;
	return v > h->max ? h->max : v;
}

double
hist_mean(const struct hist *h)
{
	return h->count == 0 ? 0 : (double)h->sum / (double)h->count;
}

/* The first value of bucket i, which may be one past the last. */
static uint64_t
low_of(unsigned i)
{
	unsigned shift;

	if (i < 2 * HIST_SUB)
		return i;
	shift = i / HIST_SUB - 1;
	return (uint64_t)(i - shift * HIST_SUB) << shift;
}

/* The step that v is in, by its highest bits. */
static uint64_t
step_of(uint64_t v)
{
	unsigned shift;

	if (v < 1u << (HIST_STEPS_BITS + 1))
		return v;
	shift = 63u - HIST_STEPS_BITS - (unsigned)__builtin_clzll(v);
	return v >> shift << shift;
}

unsigned
hist_steps(const struct hist *h, struct hist_step steps[HIST_STEPS_MAX])
{
	unsigned i, n = 0;

	for (i = 0; i < HIST_BUCKETS; i++) {
		uint64_t from = step_of(low_of(i));

		if (h->bucket[i] == 0)
			continue;
		if (n == 0 || steps[n - 1].from != from) {
			assert(n < HIST_STEPS_MAX);
			steps[n++] = (struct hist_step){.from = from};
		}
		/* as wide as the lowest of the bits that choose it */
		steps[n - 1].to =
		    from < 1u << (HIST_STEPS_BITS + 1)
			? from + 1
			: from + ((uint64_t)1
				     << (63u - HIST_STEPS_BITS -
					    (unsigned)__builtin_clzll(from)));
		steps[n - 1].count += h->bucket[i];
	}
	return n;
}
