/*
 * stage.h - a cluster of five for a demonstration: what is done to it, what
 * its clients are told, and what that amounts to.
 *
 * It is a lab of raftlab(1) in a scratch directory, of three servers that
 * vote and two learners.  A process of its own, the keeper, takes it down as
 * soon as nobody holds the other end of its pipe: whatever becomes of us,
 * neither servers nor files stay behind.
 *
 * Every step is noted with its outcome; reads and writes of the key are
 * recorded as loadgen-history(5) wants them.
 */
#ifndef FAULTS_STAGE_H
#define FAULTS_STAGE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "raftctl/errtext.h"

#define STAGE_SERVERS 5
#define STAGE_VOTERS 3
#define STAGE_STEPS_MAX 24
#define STAGE_TERMS_MAX 64
#define STAGE_ARGS_MAX 4 /* options of raftd */

struct stage_step {
	char what[96], outcome[128];
};

struct stage {
	char dir[PATH_MAX]; /* scratch; the lab is in "lab" there */
	char client[STAGE_SERVERS + 1][256], peer[STAGE_SERVERS + 1][256];
	int control; /* of the keeper; -1: none */
	pid_t keeper;
	FILE *history;
	unsigned ops, count;
	unsigned failed; /* the step that could not be taken, from 1; 0: none */
	struct stage_step step[STAGE_STEPS_MAX];
	char acknowledged[32]; /* the last write that was */
	char read[32];	       /* what was read last */
};

/* What became of it. */
struct stage_verdict {
	bool is_linearizable;
	char why[256];	 /* of loadgen check, if it is not */
	unsigned states; /* different ones at the end */
	uint64_t term;	 /* with two leaders; 0: there is none */
	unsigned leader[2];
};

/* Options of raftd, ended by NULL.  On failure nothing is left. */
int stage_open(
    struct stage *, const char *const raftd_args[], struct errtext *);
void stage_close(struct stage *);

/* "kill 3 4 5": a command of raftlab.  0, or -EIO when it fails. */
int stage_lab(struct stage *, const char *words);
/* Lets this server lead and the others follow up: -ETIMEDOUT. */
int stage_lead(struct stage *, unsigned id);
/* raftctl WORDS... at a server; its exit status is the outcome. */
int stage_ask(
    struct stage *, unsigned at, const char *what, const char *const words[]);
/* Wait until one of them leads, or some seconds; all of the others follow
 * and have all that it has.  0: nobody leads. */
unsigned stage_leader(struct stage *, const char *ids);
void stage_put(struct stage *, const char *ids, const char *value);
void stage_get(struct stage *, const char *ids);
int stage_judge(struct stage *, struct stage_verdict *, struct errtext *);

#endif
