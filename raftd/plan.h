/*
 * plan.h - changes of the membership: what is asked for, where it leads, and
 * by which configurations.  Pure.
 *
 * Voters change through a joint configuration: plan_enter() says how it looks
 * like, plan_leave() what follows once it is committed.  What the second one
 * needs to know stands in the first, so that any leader can take that step.
 */
#ifndef RAFTD_PLAN_H
#define RAFTD_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "raftctl/mp.h"
#include "raftctl/wire.h"
#include "raftd/message.h"

enum change_op {
	CHANGE_ADD,	/* a learner, to be promoted unless it shall stay one */
	CHANGE_PROMOTE, /* a learner votes */
	CHANGE_DEMOTE,	/* a voter becomes a learner that stays one */
	CHANGE_REMOVE,
	CHANGE_REPLACE, /* a voter goes, a learner takes its place */
	CHANGE_SET,	/* these members vote, all others go */
	CHANGE_TUNE,	/* name, zone, priority */
};

/* How careful: what the servers were started with, or one way of its own. */
enum change_mode {
	CHANGE_AS_STARTED,
	CHANGE_SAFE,	   /* caught up and joint, whatever they allow */
	CHANGE_EARLY_VOTE, /* unsafe: a learner need not have caught up */
	CHANGE_NO_JOINT,   /* unsafe: the new configuration at once */
};

struct change {
	enum change_op op;
	enum change_mode mode;
	uint64_t id;
	uint64_t with;			/* REPLACE: the learner */
	uint64_t ids[RAFT_MEMBERS_MAX]; /* SET, ascending: the voters */
	uint32_t id_count;
	uint64_t keep[RAFT_MEMBERS_MAX]; /* SET: those who stay as learners */
	uint32_t keep_count;
	char address[HOST_ADDR_MAX]; /* ADD */
	bool learner;		     /* ADD: stays one */
	bool dry_run;
	bool entered; /* answered once it is begun, not when it is complete */
	bool has_name, has_zone, has_priority;
	struct member_info info; /* ADD, TUNE */
};

/* The parameter of member.change, raftrpc(5): WIRE_OK, or WIRE_USAGE with
 * the reason in the error. */
enum wire_status change_read(
    struct mp_span params, struct change *, struct wire_error *);

/* The configuration that the change ends in, if it makes sense at all. */
enum wire_status plan_target(const struct config_entry *now,
    const struct change *, struct config_entry *target, struct wire_error *);
/* The first step to it: itself, or a joint one if voters differ.  -ENOBUFS:
 * both halves together are more than RAFT_MEMBERS_MAX. */
int plan_enter(const struct config_entry *now,
    const struct config_entry *target, struct config_entry *step);
void plan_leave(const struct config_entry *joint, struct config_entry *step);

/* -1: not a member. */
int config_find(const struct config_entry *, uint64_t id);
/* It was a member once and can never be one again. */
bool config_removed(const struct config_entry *, uint64_t id);

#endif
