/*
 * tally.h - what came of a load: counts, latencies, and the one JSON object
 * that tells them.
 *
 * Only measured operations are counted: those that were meant to start after
 * the warm-up.  Latency is that of operations that succeeded.
 */
#ifndef LOADGEN_TALLY_H
#define LOADGEN_TALLY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "loadgen/hist.h"
#include "loadgen/workload.h"
#include "raftctl/wire.h"

#define TALLY_INTERVALS_MAX 1000000u /* 11 days of seconds */
#define TALLY_OUTAGES_MAX 1000u
#define TALLY_OUTAGE_S 0.1 /* shorter ones are nothing to speak of */

struct tally_interval {
	double t; /* seconds since measuring began, at its end */
	uint64_t ops, errors;
	uint64_t p50_ns, p99_ns;
};

/* A time without a write that succeeded, in seconds. */
struct tally_outage {
	double from, to;
};

struct tally {
	struct hist all, by_op[WORK_OPS];
	uint64_t errors[WIRE_STATUS_COUNT]; /* without WIRE_UNKNOWN */
	uint64_t unknown;
	struct hist now; /* of the interval */
	uint64_t now_errors;
	struct tally_interval *intervals;
	uint32_t interval_count, interval_cap;
	double last_write;     /* 0: none yet, and then no outage */
	uint32_t outage_count; /* later ones are not kept */
	struct tally_outage outages[TALLY_OUTAGES_MAX];
};

void tally_init(struct tally *);
void tally_release(struct tally *);

void tally_ok(struct tally *, enum work_op, uint64_t latency_ns);
/* A write was done at t seconds, or none any more by then. */
void tally_write(struct tally *, double t);
void tally_error(struct tally *, enum wire_status);
/* An interval ends; NULL if nothing of it is kept for want of memory. */
const struct tally_interval *tally_turn(struct tally *, double t);

uint64_t tally_errors(const struct tally *); /* without unknown */

/* {"ops", "seconds", "ops_per_s", ...} without conditions; NULL without
 * memory. */
json_t *tally_json(const struct tally *, double seconds);

#endif
