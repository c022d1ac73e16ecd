/*
 * check.c - every invariant that one server's state can break, and a hash of
 * that state.
 */
#include "raftd/core/state.h"

static const char *
check_log(const struct raft *r)
{
	const char *why = trail_check(&r->trail);

	if (why != NULL)
		return why;
	if (trail_last_term(&r->trail) > r->hard.term)
		return "an entry is of a term that has not begun";
	if (r->durable > r->trail.last || r->durable < r->trail.prev_index)
		return "durable beyond the log";
	if (r->commit > r->trail.last || r->commit < r->trail.prev_index)
		return "commit beyond the log";
	if (r->applied > r->commit)
		return "applied beyond commit";
	if (r->verified < r->commit)
		return "committed and not verified";
	if (r->role != RAFT_LEADER && r->verified > r->trail.last)
		return "verified beyond the log";
	if (r->acked > r->trail.last)
		return "acknowledged beyond the log";
	if (r->saved.term > r->hard.term)
		return "durable term is ahead";
	if (r->saved.term == r->hard.term && r->saved.vote != RAFT_NONE &&
	    r->saved.vote != r->hard.vote)
		return "durable vote was changed in its term";
	return NULL;
}

static const char *
check_configs(const struct raft *r)
{
	uint32_t i;

	if (r->config_count == 0 || r->config_count > 1 + RAFT_CONFIGS_MAX)
		return "number of configurations";
	if (r->self != members_find(config_now(r), r->opt.id))
		return "own place in the configuration";
	for (i = 0; i < r->config_count; i++) {
		if (r->config[i].count != 0 && !members_valid(&r->config[i]))
			return "an invalid configuration is in force";
		if (r->config_index[i] > r->trail.last)
			return "configuration beyond the log";
		if (i > 0 && r->config_index[i] <= r->config_index[i - 1])
			return "configurations do not ascend";
		if (i > 0 && r->config_index[i] <= r->commit)
			return "a committed configuration was not settled";
	}
	return NULL;
}

static const char *
check_role(const struct raft *r)
{
	switch (r->role) {
	case RAFT_FOLLOWER:
		if (r->leader == r->opt.id)
			return "a follower follows itself";
		break;
	case RAFT_PRECANDIDATE:
		if (r->leader != RAFT_NONE)
			return "a precandidate knows a leader";
		break;
	case RAFT_CANDIDATE:
		if (r->leader != RAFT_NONE)
			return "a candidate knows a leader";
		if (r->hard.vote != r->opt.id)
			return "a candidate voted for another";
		break;
	case RAFT_LEADER:
		if (r->leader != r->opt.id || r->hard.vote != r->opt.id)
			return "a leader that is not its own";
		if (r->saved.term != r->hard.term || r->saved.vote != r->opt.id)
			return "a leader whose vote is not durable";
		if (r->term_start >= r->trail.prev_index &&
		    trail_term(&r->trail, r->term_start) != r->hard.term)
			return "a leader's first entry is not of its term";
		if (trail_last_term(&r->trail) != r->hard.term)
			return "a leader's last entry is not of its term";
		break;
	}
	if (r->role != RAFT_FOLLOWER && r->ask.busy)
		return "asks a leader and does not follow one";
	if (r->ask.busy && r->leader == RAFT_NONE)
		return "asks a leader and knows none";
	if ((r->yes & r->no) != 0 && r->role != RAFT_FOLLOWER &&
	    r->role != RAFT_LEADER)
		return "a vote was counted both ways";
	return NULL;
}

static const char *
check_leader(const struct raft *r)
{
	const struct raft_config *c = config_now(r);
	uint64_t bytes = 0, last = r->commit;
	const struct pending *q;
	const char *why;
	uint32_t i;

	for (i = 0; i < r->pending_count; i++) {
		q = &r->pending[(r->pending_head + i) % RAFT_PENDING_MAX];
		if (q->last <= last)
			return "uncommitted proposals do not ascend";
		last = q->last;
		bytes += q->bytes;
	}
	if (last > r->trail.last)
		return "uncommitted proposals beyond the log";
	if (bytes != r->pending_bytes)
		return "uncommitted bytes differ from their sum";
	if (r->role != RAFT_LEADER)
		return r->pending_count != 0 || r->round_open ||
			       r->reads_now.has_local ||
			       r->reads_next.has_local ||
			       r->reads_now.count != 0 ||
			       r->reads_next.count != 0 ||
			       r->handover.to != RAFT_NONE
			   ? "a leader's burden was not laid down"
			   : NULL;
	for (i = 0; i < c->count; i++) {
		if (r->progress[i].id != c->member[i].id)
			return "progress out of place";
		if (r->progress[i].match > r->trail.last ||
		    r->progress[i].next > r->trail.last + 1)
			return "progress beyond the log";
		if ((why = progress_check(&r->progress[i])) != NULL)
			return why;
	}
	if (r->self >= 0 && r->progress[r->self].match > r->durable)
		return "own entries are counted before they are durable";
	if (!r->round_open &&
	    (r->reads_now.has_local || r->reads_now.count != 0))
		return "reads wait for no round";
	if (r->round_open && r->round_index > r->commit)
		return "a round reads what is not committed";
	return NULL;
}

const char *
raft_check(const struct raft *r)
{
	const char *why;

	if ((why = check_log(r)) != NULL || (why = check_configs(r)) != NULL ||
	    (why = check_role(r)) != NULL)
		return why;
	return check_leader(r);
}

/* ---- hash -------------------------------------------------------------- */

static void
mix(uint64_t *h, uint64_t v)
{
	*h = (*h ^ v) * UINT64_C(0x9fb21c651e98df25);
	*h ^= *h >> 32;
}

/* Times count by their distance from now: the same state later is the same
 * state. */
static void
mix_time(uint64_t *h, const struct raft *r, struct raft_time at)
{
	mix(h, at.ns - r->now.ns);
}

static void
mix_config(uint64_t *h, const struct raft_config *c)
{
	uint32_t i;

	mix(h, c->count | (uint64_t)c->joint << 32);
	for (i = 0; i < c->count; i++) {
		mix(h, c->member[i].id);
		mix(h, c->member[i].voter);
	}
}

static void
mix_reads(uint64_t *h, const struct read_set *s)
{
	uint32_t i;

	mix(h, s->has_local ? s->local : 0);
	mix(h, s->count | (uint64_t)s->has_local << 32);
	for (i = 0; i < s->count; i++) {
		mix(h, s->ask[i].from);
		mix(h, s->ask[i].boot);
		mix(h, s->ask[i].id);
	}
}

static void
mix_progress(uint64_t *h, const struct raft *r, const struct progress *p)
{
	const struct progress_flight *f;
	uint32_t i;

	mix(h, p->id);
	mix(h, p->match);
	mix(h, p->next);
	mix(h, p->commit_sent);
	mix(h, (unsigned)p->state | p->has_heard << 8 | p->waiting << 9 |
		   p->poke << 10);
	mix_time(h, r, p->heard);
	mix_time(h, r, p->sent);
	mix_time(h, r, p->append_at);
	mix(h, p->promise_ns);
	if (p->promise_ns != 0)
		mix_time(h, r, p->promised_at);
	for (i = 0; i < p->flight_count; i++) {
		f = &p->flight[(p->flight_head + i) % RAFT_INFLIGHT_MAX];
		mix(h, f->last);
		mix(h, f->bytes);
	}
}

static void
mix_leader(uint64_t *h, const struct raft *r)
{
	const struct pending *q;
	uint32_t i;

	mix(h, r->term_start);
	mix_time(h, r, r->beat_at);
	for (i = 0; i < r->pending_count; i++) {
		q = &r->pending[(r->pending_head + i) % RAFT_PENDING_MAX];
		mix(h, q->last);
		mix(h, q->bytes);
	}
	mix(h, r->handover.to);
	if (r->handover.to != RAFT_NONE) {
		mix_time(h, r, r->handover.until);
		mix(h, r->handover.told);
	}
	mix(h, r->round_open | r->lease_barred << 1);
	mix(h, r->round_open ? r->round_index : 0);
	mix(h, r->round_open ? r->round_yes : 0);
	mix_reads(h, &r->reads_now);
	mix_reads(h, &r->reads_next);
	for (i = 0; i < config_now(r)->count; i++)
		mix_progress(h, r, &r->progress[i]);
}

uint64_t
raft_hash(const struct raft *r)
{
	uint64_t h = UINT64_C(0x27d4eb2f165667c5);
	uint32_t i;

	mix(&h, r->opt.id);
	mix(&h, r->opt.boot);
	mix(&h, r->random);
	mix(&h, (unsigned)r->role | r->damaged << 8 | r->transfer << 9);
	for (i = 0; i < r->untrusted_count; i++) {
		mix(&h, r->untrusted[i].id);
		mix(&h, r->untrusted[i].since);
		mix(&h, r->untrusted[i].term);
	}
	mix(&h, r->leader);
	mix(&h, r->hard.term);
	mix(&h, r->hard.vote);
	mix(&h, r->saved.term);
	mix(&h, r->saved.vote);
	mix(&h, r->trail.prev_index);
	mix(&h, r->trail.prev_term);
	mix(&h, r->trail.last);
	for (i = 0; i < r->trail.count; i++) {
		mix(&h, r->trail.run[i].first);
		mix(&h, r->trail.run[i].term);
	}
	mix(&h, r->durable);
	mix(&h, r->rewrite_term);
	mix(&h, r->commit);
	mix(&h, r->applied);
	for (i = 0; i < r->config_count; i++) {
		mix(&h, r->config_index[i]);
		mix_config(&h, &r->config[i]);
	}
	mix(&h, r->verified);
	mix(&h, r->acked);
	mix(&h, r->told);
	mix(&h, r->round_seen);
	mix(&h, r->round_seq);
	if (r->role == RAFT_LEADER) {
		mix_leader(&h, r);
		return h;
	}
	mix_time(&h, r, r->election_at);
	mix_time(&h, r, r->leader_heard);
	mix(&h, r->lost);
	if (r->lost != RAFT_NONE) {
		mix_time(&h, r, r->lost_at);
		mix(&h, r->lost_tries);
	}
	if (r->role != RAFT_FOLLOWER) {
		mix(&h, r->yes | (uint64_t)r->no << 32);
		mix_time(&h, r, r->retry_at);
	}
	mix(&h, r->ask.busy | r->ask.more << 1);
	mix(&h, r->ask.busy ? r->ask.id : 0);
	mix(&h, r->ask.more ? r->ask.more_id : 0);
	return h;
}
