/*
 * plan.h - scenarios: what is broken when, and for how long.
 *
 * A scenario is text, a line an action:
 *
 *	at 5s partition 1|2,3 for 10s
 *	at 20s kill leader
 *	at 30s heal
 *
 * Times count from the start.  Without "for" a fault lasts until heal or the
 * end.  What follows '#' is a comment.  The form is documented in faults(8).
 */
#ifndef FAULTS_PLAN_H
#define FAULTS_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "raftctl/errtext.h"

#define PLAN_ACTIONS_MAX 4096
#define PLAN_WORDS_MAX 6
#define PLAN_WORD_LEN 128

struct action {
	uint64_t at_ms, for_ms; /* for_ms 0: until the end */
	int argc;
	char word[PLAN_WORDS_MAX][PLAN_WORD_LEN];
};

struct plan {
	unsigned count;
	struct action action[PLAN_ACTIONS_MAX]; /* by time */
};

/* -EBADMSG with "line 3: ...". */
int plan_read(struct plan *, FILE *, struct errtext *);
void plan_write(const struct plan *, FILE *);

enum nemesis_kinds {
	NEMESIS_NETWORK = 1,
	NEMESIS_PROCESS = 2,
	NEMESIS_DISK = 4,
};

struct nemesis {
	uint64_t seed, for_ms;
	unsigned servers;
	const char *const *kinds; /* names, ended by NULL */
};

/* "network,kill,disk": names of kinds and groups; -EINVAL. */
#define NEMESIS_KINDS_MAX 64
int nemesis_kinds(
    const char *words, const char *kinds[NEMESIS_KINDS_MAX], struct errtext *);
/* The same nemesis, the same plan. */
void nemesis_draw(struct plan *, const struct nemesis *);

#endif
