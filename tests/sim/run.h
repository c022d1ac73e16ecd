/*
 * run.h - many runs, in processes of their own, so that an assertion of the
 * code under test, or a loop without end, is a finding like any other; and
 * the shrinking of a seed that failed.
 */
#ifndef TESTS_SIM_RUN_H
#define TESTS_SIM_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/marks.h"
#include "tests/sim/swarm.h"

struct run_result {
	bool failed;
	char failure[512];
	uint64_t trace;
	uint64_t simulated_ns;
	uint64_t events;
	uint64_t ops, committed;
	uint32_t steps; /* of the nemesis */
	double cpu_s;
	uint64_t marks[MARK_COUNT];
};

/* One run in a child. */
void run_child(
    const struct swarm_options *, unsigned verbose, struct run_result *);
/* One run here: for debuggers. */
void run_here(
    const struct swarm_options *, unsigned verbose, struct run_result *);

struct run_plan {
	struct swarm_options options; /* seed: the first */
	uint64_t count;		      /* seeds; 0: until hours or budget */
	double hours;		      /* simulated, 0 no limit */
	double budget_s;	      /* CPU seconds, 0 no limit */
	unsigned twice;		      /* one in so many is run twice, 0 none */
	unsigned keep_going;	      /* failures before it stops */
	bool mixed;		      /* one seed in ten is beyond */
	bool shrink, quiet, marks, traces;
	const char *program;
};
/* Exit status: 0, or 1 when a seed failed. */
int run_many(const struct run_plan *);
/* Make it smaller while it fails in the same way; prints the command. */
void run_shrink(
    const char *program, struct swarm_options *, const struct run_result *);
void run_command(const char *program, const struct swarm_options *);

#endif
