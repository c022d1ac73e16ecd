/*
 * read.c - linearizable reads without writing (diss. 6.4).
 *
 * A leader confirms by a round that it led when the round began; all reads
 * that arrive while one is open share the next, so any number of readers
 * costs one exchange of heartbeats at a time.  The identifier of a round is
 * new each time, and only the answers that name it count (bug 74).
 *
 * A follower asks its leader, one question at a time, for all its readers
 * together.
 *
 * Leases (diss. 6.4.1) rest on the same rounds: whoever answers one has heard
 * of us after it began, and promises how long it helps nobody else from then
 * on.  election.c keeps that promise.
 */
#include <assert.h>

#include "raftd/core/state.h"

static void
done(struct raft *r, uint64_t id, uint64_t index, bool ok)
{
	struct raft_read_done *d;

	assert(r->out->read_count < RAFT_READS_MAX);
	d = &r->out->read[r->out->read_count++];
	d->id = id;
	d->index = index;
	d->ok = ok;
}

static void
reply(struct raft *r, uint64_t to, uint64_t boot, uint64_t id, uint64_t index,
    bool ok)
{
	struct raft_msg *m = raft_send(r, RAFT_READ_INDEX_REPLY, to);

	m->u.read.boot = boot;
	m->u.read.id = id;
	m->u.read.index = index;
	m->u.read.ok = ok;
}

/* ---- leader ------------------------------------------------------------ */

static void
set_clear(struct read_set *s)
{
	s->has_local = false;
	s->count = 0;
}

static void
set_answer(struct raft *r, struct read_set *s, uint64_t index, bool ok)
{
	uint32_t i;

	if (s->has_local)
		done(r, s->local, index, ok);
	for (i = 0; i < s->count; i++)
		reply(
		    r, s->ask[i].from, s->ask[i].boot, s->ask[i].id, index, ok);
	set_clear(s);
}

static void
round_next(struct raft *r)
{
	uint64_t at = ++r->round_seq % RAFT_ROUNDS_KEPT;

	r->began[at].round = r->round_seq;
	r->began[at].at = r->now;
}

static bool
round_confirmed(struct raft *r)
{
	if (!quorum_reached(config_now(r), r->round_yes))
		return false;
	r->round_open = false;
	set_answer(r, &r->reads_now, r->round_index, true);
	return true;
}

static void
round_ask(struct raft *r)
{
	const struct raft_config *c = config_now(r);
	uint32_t i;

	r->round_yes = r->self >= 0 ? UINT32_C(1) << r->self : 0;
	for (i = 0; i < c->count; i++)
		if ((int)i != r->self && c->member[i].voter != 0)
			replicate_beat(r, &r->progress[i]);
}

void
read_begin(struct raft *r)
{
	if (r->role != RAFT_LEADER || r->round_open)
		return;
	/* Before that, what is committed is not known here (bug 73). */
	if (!replicate_ready(r) && !MUTANT(24))
		return;
	if (!r->reads_next.has_local && r->reads_next.count == 0)
		return;
	r->reads_now = r->reads_next;
	set_clear(&r->reads_next);
	round_next(r);
	r->round_open = true;
	r->round_index = r->commit;
	r->round_yes = r->self >= 0 ? UINT32_C(1) << r->self : 0;
	/* Alone: nobody to ask. */
	if (!round_confirmed(r))
		round_ask(r);
}

static void
promised(struct raft *r, int member, uint64_t round, uint64_t ns)
{
	uint64_t i = round % RAFT_ROUNDS_KEPT;
	struct progress *p = &r->progress[member];
	struct raft_time at = MUTANT(145) ? r->now : r->began[i].at;

	if (round == 0 || r->began[i].round != round || ns == 0 ||
	    ns > RAFT_PERIOD_MAX)
		return;
	if (p->promise_ns == 0 || time_reached(at, p->promised_at)) {
		p->promised_at = at;
		p->promise_ns = ns;
	}
}

/* While a round of reads is open its answers serve the lease as well. */
void
read_renew(struct raft *r)
{
	uint64_t i = r->round_seq % RAFT_ROUNDS_KEPT;

	if (!r->opt.lease || r->round_open)
		return;
	if (r->began[i].round != r->round_seq ||
	    !time_within(r->now, r->began[i].at,
		(struct raft_time){r->opt.heartbeat.ns / 2}))
		round_next(r);
}

/* Two clocks, each of which may be wrong by so much. */
static struct raft_time
shortened(const struct raft *r, uint64_t ns)
{
	uint64_t cut = ns / 1000 * 2 * r->opt.drift_ppm / 1000 + 1;

	return (struct raft_time){ns > cut ? ns - cut : 0};
}

bool
raft_lease(const struct raft *r, struct raft_time now)
{
	const struct raft_config *c = config_now(r);
	const struct progress *p;
	uint32_t i, mask = 0;

	if (!r->opt.lease || r->role != RAFT_LEADER ||
	    (!replicate_ready(r) && !MUTANT(148)))
		return false;
	if ((r->lease_barred || r->handover.to != RAFT_NONE) && !MUTANT(146))
		return false;
	for (i = 0; i < c->count; i++) {
		p = &r->progress[i];
		if ((int)i == r->self ||
		    (p->promise_ns != 0 && time_within(now, p->promised_at,
					       shortened(r, p->promise_ns))))
			mask |= UINT32_C(1) << i;
	}
	return quorum_reached(c, mask);
}

void
read_acked(struct raft *r, int member, uint64_t round, uint64_t promise_ns)
{
	promised(r, member, round, promise_ns);
	if (!r->round_open || (round != r->round_seq && !MUTANT(25)))
		return;
	/* Whether it follows another leader by now it may have forgotten. */
	if (!trust_is(r, config_now(r)->member[member].id) && !MUTANT(193))
		return;
	r->round_yes |= UINT32_C(1) << member;
	if (round_confirmed(r))
		read_begin(r);
}

void
read_recount(struct raft *r)
{
	if (!r->round_open)
		return;
	/* Answers were noted by position, and the quorum is another. */
	round_ask(r);
	if (round_confirmed(r))
		read_begin(r);
}

void
read_fail_leading(struct raft *r)
{
	bool waits = r->reads_next.has_local;

	/* One answer speaks for all ids up to it. */
	if (waits)
		r->reads_now.has_local = false;
	r->round_open = false;
	if (MUTANT(40))
		return;
	set_answer(r, &r->reads_now, 0, false);
	set_answer(r, &r->reads_next, 0, false);
}

void
read_index(struct raft *r, const struct raft_msg *m)
{
	struct read_set *s = &r->reads_next;
	uint32_t i;

	if (r->role != RAFT_LEADER || m->term != r->hard.term ||
	    members_find(config_now(r), m->from) < 0) {
		reply(r, m->from, m->u.read.boot, m->u.read.id, 0, false);
		return;
	}
	for (i = 0; i < s->count && s->ask[i].from != m->from; i++)
		;
	if (i == RAFT_MEMBERS_MAX) {
		reply(r, m->from, m->u.read.boot, m->u.read.id, 0, false);
		return;
	}
	if (i == s->count) {
		s->ask[s->count++].from = m->from;
	} else if (s->ask[i].boot > m->u.read.boot ||
		   (s->ask[i].boot == m->u.read.boot &&
		       s->ask[i].id >= m->u.read.id)) {
		return;
	}
	s->ask[i].boot = m->u.read.boot;
	s->ask[i].id = m->u.read.id;
	read_begin(r);
}

/* ---- follower ---------------------------------------------------------- */

static void
ask_leader(struct raft *r)
{
	struct raft_msg *m = raft_send(r, RAFT_READ_INDEX, r->leader);

	m->u.read.boot = r->opt.boot;
	m->u.read.id = r->ask.id;
	m->u.read.index = 0;
	m->u.read.ok = false;
	r->ask.at = r->now;
}

static void
ask_next(struct raft *r)
{
	r->ask.busy = r->ask.more;
	r->ask.more = false;
	if (!r->ask.busy)
		return;
	r->ask.id = r->ask.more_id;
	ask_leader(r);
}

void
read_index_reply(struct raft *r, const struct raft_msg *m)
{
	if (!r->ask.busy || (m->u.read.boot != r->opt.boot && !MUTANT(49)) ||
	    m->u.read.id != r->ask.id || m->u.read.index > RAFT_NUMBER_MAX)
		return;
	done(r, r->ask.id, m->u.read.ok ? m->u.read.index : 0, m->u.read.ok);
	ask_next(r);
}

void
read_fail_following(struct raft *r)
{
	if (r->ask.busy)
		done(r, r->ask.more ? r->ask.more_id : r->ask.id, 0, false);
	r->ask.busy = r->ask.more = false;
}

void
read_tick(struct raft *r)
{
	if (r->ask.busy && r->role == RAFT_FOLLOWER &&
	    time_reached(r->now, time_after(r->ask.at, r->opt.heartbeat.ns)))
		ask_leader(r);
}

/* ---- both -------------------------------------------------------------- */

void
read_event(struct raft *r, uint64_t id)
{
	if (r->role == RAFT_LEADER) {
		r->reads_next.has_local = true;
		r->reads_next.local = id;
		read_begin(r);
	} else if (r->role == RAFT_FOLLOWER && r->leader != RAFT_NONE) {
		r->ask.more = true;
		r->ask.more_id = id;
		if (!r->ask.busy)
			ask_next(r);
	} else {
		r->out->rejected = true;
	}
}
