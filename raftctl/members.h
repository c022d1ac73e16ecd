/*
 * members.h - the members of a cluster as the leader sees them, and changes
 * of them, for the commands that make changes.
 */
#ifndef RAFTCTL_MEMBERS_H
#define RAFTCTL_MEMBERS_H

#include "raftctl/cli.h"

#define MEMBERS_MAX 16
#define MEMBERS_LAG_MAX 256 /* so far behind may a learner be promoted */

struct member {
	uint64_t id, lag, priority;
	char address[128];
	char name[64], zone[32];
	bool voter, in_sync, leader, leaving;
};

struct members {
	struct member member[MEMBERS_MAX];
	unsigned count;
	bool joint;
	/* The newest configuration: where it stands, if it can still be
	 * undone, and how old it is; UINT64_MAX: that is not known. */
	uint64_t config_index, config_age_ms;
	bool config_committed;
};

/* WIRE_OK, or the reason in the error, unreported. */
enum wire_status members_ask(
    struct cli *, struct members *, struct wire_error *);
/* NULL: not a member. */
const struct member *members_by_id(const struct members *, uint64_t id);

/*
 * member.change, raftrpc(5), with an object of integers, booleans, texts and
 * lists of integers.  The exit status; with 0 *answer is the caller's.  A
 * failure is reported.
 */
int change_members(struct cli *, const json_t *change, json_t **answer);
/* The same without a word about a failure. */
enum wire_status members_try(
    struct cli *, const json_t *change, json_t **answer, struct wire_error *);

#endif
