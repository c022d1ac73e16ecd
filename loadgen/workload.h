/*
 * workload.h - what a load consists of: the mix of operations and the
 * distribution of keys.
 *
 * The same options and seed give the same sequence.
 */
#ifndef LOADGEN_WORKLOAD_H
#define LOADGEN_WORKLOAD_H

#include <stdint.h>

#include "raftctl/errtext.h"

enum work_op {
	WORK_PUT,
	WORK_GET,
	WORK_DELETE,
	WORK_CAS,
	WORK_APPEND,
	WORK_INSERT, /* put of a key that is new */
	WORK_SCAN,   /* list of up to WORK_SCAN_MAX records */
	WORK_RMW,    /* get, then put of the same key */
	WORK_OPS
};

enum work_dist {
	WORK_UNIFORM,
	WORK_ZIPF,   /* few keys are hot, spread over the key space */
	WORK_SEQ,    /* one after the other, around and around */
	WORK_LATEST, /* the newest keys are the hot ones */
	WORK_DISTS
};

#define WORK_SCAN_MAX 100
#define WORK_KEYS_MAX 10000000000u
#define WORK_ZIPF_THETA 0.99 /* as YCSB has it */

struct work_options {
	unsigned share[WORK_OPS]; /* parts of all */
	enum work_dist dist;
	uint64_t keys;
	uint64_t seed;
};

struct work {
	struct work_options opt;
	unsigned total; /* of the shares */
	uint64_t keys;	/* with those that were inserted */
	uint64_t rng[4];
	uint64_t next; /* WORK_SEQ */
	double zetan, eta, alpha, half;
};

const char *work_op_name(enum work_op);
const char *work_dist_name(enum work_dist);

/* "put=50,get=50": 0, or -EINVAL with the reason. */
int work_parse_mix(const char *text, struct work_options *, struct errtext *);
int work_parse_dist(const char *text, struct work_options *, struct errtext *);
/* "ycsb-a" .. "ycsb-f": sets mix and distribution. */
int work_parse_preset(
    const char *text, struct work_options *, struct errtext *);

/* opt->keys is 1..WORK_KEYS_MAX, and some share is not 0. */
void work_init(struct work *, const struct work_options *);
/* The next operation and the number of its key. */
enum work_op work_next(struct work *, uint64_t *key);
/* A number below n, from the same stream. */
uint64_t work_below(struct work *, uint64_t n);

#endif
