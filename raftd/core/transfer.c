/*
 * transfer.c - handing leadership over (diss. 3.10).
 *
 * While it lasts nothing new is proposed, or the target would never have it
 * all (bug 16).  If the target has not taken over within an election timeout
 * the leader goes on as before.
 */
#include "raftd/core/state.h"

static void
invite(struct raft *r, uint64_t to)
{
	raft_send(r, RAFT_TIMEOUT_NOW, to);
	/* However late it arrives, whoever got it may take over. */
	r->lease_barred = true;
}

uint64_t
transfer_best(const struct raft *r)
{
	const struct raft_config *c = config_now(r);
	const struct progress *p, *best = NULL;
	uint32_t i;

	for (i = 0; i < c->count; i++) {
		p = &r->progress[i];
		if ((int)i == r->self || c->member[i].voter == 0 ||
		    !trust_is(r, p->id) ||
		    !time_within(r->now, p->heard, r->opt.election))
			continue;
		if (best == NULL || p->match > best->match)
			best = p;
	}
	return best == NULL ? RAFT_NONE : best->id;
}

void
transfer_acked(struct raft *r, const struct progress *p)
{
	if (r->handover.to != p->id || r->handover.told ||
	    (p->match < r->trail.last && !MUTANT(38)))
		return;
	r->handover.told = true;
	invite(r, p->id);
}

void
transfer_event(struct raft *r, uint64_t to)
{
	if (r->role == RAFT_LEADER && to == RAFT_NONE)
		to = transfer_best(r);
	if (r->role != RAFT_LEADER || to == r->opt.id ||
	    !members_is_voter(config_now(r), to) || !trust_is(r, to) ||
	    (r->handover.to != RAFT_NONE && r->handover.to != to)) {
		r->out->rejected = true;
		return;
	}
	if (r->handover.to == to)
		return;
	r->handover.to = to;
	r->handover.until = time_after(r->now, r->opt.election.ns);
	r->handover.told = false;
	transfer_acked(r, members_progress(r, to));
}

void
transfer_tick(struct raft *r)
{
	if (r->handover.to == RAFT_NONE)
		return;
	if (time_reached(r->now, r->handover.until) ||
	    !members_is_voter(config_now(r), r->handover.to))
		r->handover.to = RAFT_NONE;
	else if (r->handover.told)
		invite(r, r->handover.to);
}

void
transfer_step_down(struct raft *r)
{
	uint64_t to = transfer_best(r);
	uint32_t i;

	/* Nobody else will tell them what we have committed (bug 44). */
	for (i = 0; i < config_now(r)->count; i++)
		if ((int)i != r->self && !MUTANT(199))
			replicate_beat(r, &r->progress[i]);
	if (to != RAFT_NONE)
		invite(r, to);
	raft_follow(r, r->hard.term, RAFT_NONE);
}

void
transfer_timeout_now(struct raft *r, const struct raft_msg *m)
{
	(void)m;
	if (members_may_lead(r) && !r->damaged && trust_is(r, r->opt.id))
		election_campaign(r, true);
}
