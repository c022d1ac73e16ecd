/*
 * report.h - results of `loadgen run` and `loadgen bench` as one page of HTML
 * that stands alone: no script, nothing fetched.
 *
 * Runs stand side by side with the same scales, so that they compare by eye.
 * Times of faults are milliseconds since the epoch, as "began_ms" of a run.
 */
#ifndef LOADGEN_REPORT_H
#define LOADGEN_REPORT_H

#include <jansson.h>
#include <stdio.h>

#define REPORT_RUNS_MAX 32
#define REPORT_FAULTS_MAX 1000
#define REPORT_POINTS_MAX 1500 /* of a line; more are put together */

struct report_run {
	const char *name;
	json_t *json; /* an object with "intervals" or "failover_ms" */
};

struct report {
	struct report_run run[REPORT_RUNS_MAX];
	unsigned run_count;
	json_t *fault[REPORT_FAULTS_MAX];
	unsigned fault_count;
};

/* 0, or -EBADMSG: it is not such an object. */
int report_judge_run(const json_t *);
int report_judge_fault(const json_t *); /* {"since", "until", "kind", ...} */

/* 0 or -EIO. */
int report_write(FILE *, const struct report *);

#endif
