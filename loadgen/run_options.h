/*
 * run_options.h - what `loadgen run` was asked to do.
 */
#ifndef LOADGEN_RUN_OPTIONS_H
#define LOADGEN_RUN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "loadgen/workload.h"

#define RUN_SLOTS_MAX (1u << 20) /* clients times pipeline */
#define RUN_LINKS_MAX 4096
#define RUN_PREFIX_MAX 64

enum run_read { RUN_LINEARIZABLE, RUN_LEASE, RUN_STALE, RUN_READS };
enum run_target { RUN_ANY, RUN_LEADER, RUN_TARGETS };
enum run_progress { RUN_TEXT, RUN_JSON, RUN_QUIET, RUN_PROGRESSES };

struct run_options {
	const char *endpoints;
	uint32_t clients;
	uint32_t pipeline;    /* operations a client has open */
	uint32_t connections; /* that all clients share */
	double rate;	      /* operations a second, 0: closed loop */
	uint64_t time_ms;
	uint64_t ops; /* 0: time_ms counts */
	uint64_t warmup_ms;
	uint32_t timeout_ms; /* of one operation */
	struct work_options work;
	uint32_t value_size;
	bool load; /* put every key first */
	enum run_read read;
	enum run_target target;
	enum run_progress progress;
	const char *prefix;  /* of keys */
	const char *history; /* file, or NULL */
};

extern const char *const run_read_names[RUN_READS];
extern const char *const run_target_names[RUN_TARGETS];

/* -1: go on.  Else the program's exit status: help, or bad usage. */
int run_options_parse(int argc, char **argv, struct run_options *);
void run_usage(FILE *);

#endif
