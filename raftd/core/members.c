/*
 * members.c - configurations: in force from the moment they are appended,
 * rolled back with their entry (paper 6, diss. 4.1).
 *
 * Voters change only through a joint configuration, and one change is in
 * flight at a time: a configuration in a log says that the one before it is
 * committed, whether we know of that or not.  So a few suffice to roll back,
 * and the oldest may go when there is no room.
 */
#include <string.h>

#include "raftd/core/state.h"

int
members_find(const struct raft_config *c, uint64_t id)
{
	uint32_t i;

	for (i = 0; i < c->count; i++)
		if (c->member[i].id == id)
			return (int)i;
	return -1;
}

/* Sorted, no id twice, each half decidable. */
bool
members_valid(const struct raft_config *c)
{
	unsigned all = 0;
	uint32_t i;

	if (c->count == 0 || c->count > RAFT_MEMBERS_MAX)
		return false;
	for (i = 0; i < c->count; i++) {
		if (c->member[i].id == RAFT_NONE ||
		    (i > 0 && c->member[i].id <= c->member[i - 1].id))
			return false;
		if ((c->member[i].voter &
			~(unsigned)(RAFT_VOTER_NEW | RAFT_VOTER_OLD)) != 0)
			return false;
		all |= c->member[i].voter;
	}
	return (all & RAFT_VOTER_NEW) != 0 &&
	       ((all & RAFT_VOTER_OLD) != 0) == c->joint;
}

/* The leader's progress follows the configuration: kept for who stays. */
static void
progress_follow(
    struct raft *r, const struct raft_config *old, const struct raft_config *c)
{
	uint32_t have = 0, i;
	int at;

	for (i = 0; i < old->count; i++) {
		if (members_find(c, old->member[i].id) < 0)
			continue;
		if (have != i)
			r->progress[have] = r->progress[i];
		have++;
	}
	/* Both are sorted: from the end, move up what stays, fill gaps. */
	for (i = c->count; i-- > 0;) {
		at = (int)have - 1;
		if (at >= 0 && r->progress[at].id == c->member[i].id) {
			if ((uint32_t)at != i)
				r->progress[i] = r->progress[at];
			have--;
		} else {
			progress_init(&r->progress[i], c->member[i].id,
			    r->trail.last + 1, r->now);
			if (c->member[i].id == r->opt.id)
				r->progress[i].match = r->durable;
		}
	}
}

/* The oldest is not needed any more. */
static void
forget(struct raft *r)
{
	r->config_count--;
	memmove(&r->config[0], &r->config[1],
	    r->config_count * sizeof(r->config[0]));
	memmove(&r->config_index[0], &r->config_index[1],
	    r->config_count * sizeof(r->config_index[0]));
}

void
members_push(struct raft *r, const struct raft_config *c, uint64_t index)
{
	if (r->role == RAFT_LEADER)
		progress_follow(r, config_now(r), c);
	if (r->config_count == 1 + RAFT_CONFIGS_MAX)
		forget(r);
	r->config[r->config_count] = *c;
	r->config_index[r->config_count++] = index;
	r->self = members_find(c, r->opt.id);
	if (r->role == RAFT_LEADER)
		read_recount(r);
}

void
members_truncate(struct raft *r, uint64_t last)
{
	if (MUTANT(14))
		return;
	while (r->config_count > 1 && config_now_index(r) > last)
		r->config_count--;
	r->self = members_find(config_now(r), r->opt.id);
}

void
members_commit(struct raft *r)
{
	while (r->config_count > 1 && r->config_index[1] <= r->commit)
		forget(r);
}

bool
members_is_voter(const struct raft_config *c, uint64_t id)
{
	int at = members_find(c, id);

	return at >= 0 && c->member[at].voter != 0;
}

/*
 * A server that an uncommitted configuration leaves out may hold the longest
 * log, and nobody else could win (diss. 4.2.2).  Once that is committed it
 * disturbs nobody.
 */
bool
members_may_lead(const struct raft *r)
{
	uint32_t i = MUTANT(189) ? r->config_count - 1 : 0;

	for (; i < r->config_count; i++)
		if (members_is_voter(&r->config[i], r->opt.id))
			return true;
	return false;
}

/* Are the voters of one half of `a` those of one half of `b`? */
static bool
same_voters(const struct raft_config *a, unsigned half_a,
    const struct raft_config *b, unsigned half_b)
{
	uint32_t i;
	int at;

	for (i = 0; i < a->count; i++) {
		if ((a->member[i].voter & half_a) == 0)
			continue;
		at = members_find(b, a->member[i].id);
		if (at < 0 || (b->member[at].voter & half_b) == 0)
			return false;
	}
	for (i = 0; i < b->count; i++) {
		if ((b->member[i].voter & half_b) == 0)
			continue;
		at = members_find(a, b->member[i].id);
		if (at < 0 || (a->member[at].voter & half_a) == 0)
			return false;
	}
	return true;
}

static const char *
refusal(const struct raft *r, const struct raft_config *c)
{
	const struct raft_config *now = config_now(r);

	if (r->role != RAFT_LEADER)
		return "not the leader";
	/* Ongaro 2015: two leaders could each hold one uncommitted change
	 * whose quorums do not meet. */
	if (!replicate_ready(r) && !MUTANT(42))
		return "nothing of this term is committed yet";
	if (r->handover.to != RAFT_NONE)
		return "leadership is being handed over";
	if (config_now_index(r) > r->commit && !MUTANT(13) &&
	    !(MUTANT(12) && now->joint))
		return "a change is in flight";
	if (!members_valid(c))
		return "not a valid configuration";
	if (c->joint) {
		if (now->joint)
			return "a joint configuration must be left first";
		if (!same_voters(c, RAFT_VOTER_OLD, now, RAFT_VOTER_NEW) &&
		    !MUTANT(196))
			return "the old half is not the configuration in force";
	} else if (!same_voters(c, RAFT_VOTER_NEW, now, RAFT_VOTER_NEW) &&
		   (now->joint || !r->opt.unsafe_no_joint)) {
		return now->joint ? "a joint configuration is left for its new"
				    " half only"
				  : "voters change through a joint"
				    " configuration only";
	}
	return NULL;
}

void
members_change(struct raft *r, const struct raft_config *c)
{
	const char *why = refusal(r, c);

	r->change_refusal = why;
	if (why != NULL) {
		r->out->rejected = true;
		return;
	}
	trail_append(&r->trail, r->trail.last + 1, r->hard.term);
	members_push(r, c, r->trail.last);
	raft_persist(r, r->trail.last, r->trail.last);
}
