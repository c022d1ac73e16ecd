/*
 * replicate.c - appends, acknowledgements, heartbeats, commit (paper 5.3,
 * 5.4.2; diss. 10.2.1 for writing while sending).
 *
 * An acknowledgement says "durable and equal to yours up to here".  Equal is
 * `verified`: what this term's leader has shown us, and what was committed
 * before.  Durable is what the host reported.  Neither is ever inferred from
 * the length of the log.
 */
#include <assert.h>
#include <string.h>

#include "raftd/core/state.h"

static uint64_t
least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t
most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* ---- leader: commit ---------------------------------------------------- */

/* Bytes of proposals, until they are committed. */
static void
pending_add(struct raft *r, uint64_t last, uint64_t bytes)
{
	struct pending *p;

	if (r->pending_count < RAFT_PENDING_MAX) {
		p = &r->pending[(r->pending_head + r->pending_count++) %
				RAFT_PENDING_MAX];
		p->bytes = 0;
	} else {
		p = &r->pending[(r->pending_head + RAFT_PENDING_MAX - 1) %
				RAFT_PENDING_MAX];
	}
	p->last = last;
	p->bytes += bytes;
	r->pending_bytes += bytes;
}

static void
pending_release(struct raft *r)
{
	struct pending *p;

	while (r->pending_count > 0) {
		p = &r->pending[r->pending_head];
		if (p->last > r->commit)
			break;
		if (!MUTANT(34))
			r->pending_bytes -= p->bytes;
		r->pending_head = (r->pending_head + 1) % RAFT_PENDING_MAX;
		r->pending_count--;
	}
}

void
replicate_commit(struct raft *r)
{
	const struct raft_config *c = config_now(r);
	uint64_t match[RAFT_MEMBERS_MAX], index;

	trust_matches(r, match);
	index = quorum_index(c, match);
	/* 5.4.2: only entries of our own term are counted, and with them
	 * everything before. */
	if (index <= r->commit || (index < r->term_start && !MUTANT(1)))
		return;
	assert(index <= r->trail.last);
	r->commit = index;
	r->verified = most(r->verified, index);
	pending_release(r);
	members_commit(r);
	/* diss. 4.2.2: a leader that is no voter any more has done its duty
	 * when that is committed. */
	if (config_now_index(r) <= r->commit &&
	    !members_is_voter(config_now(r), r->opt.id) && !MUTANT(45)) {
		transfer_step_down(r);
		return;
	}
	read_begin(r);
}

/* ---- leader: heartbeats ------------------------------------------------ */

void
replicate_beat(struct raft *r, struct progress *p)
{
	struct raft_msg *m = raft_send(r, RAFT_HEARTBEAT, p->id);

	/* What it has not acknowledged it may not have (bug 20). */
	m->u.heartbeat.commit =
	    MUTANT(20) ? r->commit : least(r->commit, p->match);
	m->u.heartbeat.round = r->round_open || r->opt.lease ? r->round_seq : 0;
	p->sent = r->now;
}

uint32_t
replicate_heard(const struct raft *r)
{
	uint32_t i, mask = 0;

	for (i = 0; i < config_now(r)->count; i++)
		if ((int)i == r->self ||
		    time_within(r->now, r->progress[i].heard, r->opt.election))
			mask |= UINT32_C(1) << i;
	return mask;
}

void
replicate_tick(struct raft *r)
{
	const uint64_t period = r->opt.heartbeat.ns;
	struct raft_time next = time_after(r->now, period), due;
	struct progress *p;
	uint32_t i;

	/* Whoever cannot reach a majority must not keep others from electing
	 * one who can (bugs 92, 93). */
	if (r->opt.check_quorum && !MUTANT(26) &&
	    !quorum_reached(config_now(r), replicate_heard(r))) {
		raft_follow(r, r->hard.term, RAFT_NONE);
		return;
	}
	read_renew(r);
	for (i = 0; i < config_now(r)->count; i++) {
		if ((int)i == r->self)
			continue;
		p = &r->progress[i];
		due = time_after(p->sent, period);
		/* Those that are nearly due go along. */
		if (time_reached(time_after(r->now, period / 8), due)) {
			replicate_beat(r, p);
			if (p->state == RAFT_SNAPSHOTTING)
				r->snapshot_to = p->id;
		} else {
			next = time_first(next, due);
		}
	}
	r->beat_at = next;
}

/* ---- leader: start, proposals, completions ----------------------------- */

/* Our own entries are counted when they are durable, like anybody's. */
static void
count_self(struct raft *r, uint64_t durable)
{
	if (r->self >= 0)
		progress_acked(&r->progress[r->self], durable);
	replicate_commit(r);
}

void
replicate_lead(struct raft *r)
{
	const struct raft_config *c = config_now(r);
	uint32_t i;

	assert(trail_room(&r->trail, 1));
	r->role = RAFT_LEADER;
	r->leader = r->opt.id;
	r->transfer = false;
	r->lost = RAFT_NONE;
	r->beat_at = time_after(r->now, r->opt.heartbeat.ns);
	r->round_open = false;
	r->reads_now.has_local = r->reads_next.has_local = false;
	r->reads_now.count = r->reads_next.count = 0;
	r->handover.to = RAFT_NONE;
	r->lease_barred = false;
	r->snapshot_to = RAFT_NONE;
	assert(r->pending_count == 0 && r->pending_bytes == 0);
	for (i = 0; i < c->count; i++)
		progress_init(&r->progress[i], c->member[i].id,
		    r->trail.last + 1, r->now);
	r->term_start = r->trail.last + 1;
	trail_append(&r->trail, r->term_start, r->hard.term);
	raft_persist(r, r->term_start, r->term_start);
	r->out->noop = true;
	count_self(r, MUTANT(23) ? r->trail.last : r->durable);
}

void
replicate_propose(struct raft *r, uint32_t count, uint64_t bytes)
{
	uint64_t first = r->trail.last + 1;

	if (r->role != RAFT_LEADER || r->handover.to != RAFT_NONE ||
	    count == 0 || bytes > RAFT_NUMBER_MAX ||
	    first > RAFT_NUMBER_MAX - count ||
	    /* One that is larger than the whole budget goes alone. */
	    (r->pending_bytes > 0 &&
		r->pending_bytes + bytes > r->opt.uncommitted_bytes_max)) {
		r->out->rejected = true;
		return;
	}
	trail_append(&r->trail, first + count - 1, r->hard.term);
	raft_persist(r, first, r->trail.last);
	pending_add(r, r->trail.last, bytes);
	if (MUTANT(23))
		count_self(r, r->trail.last);
}

/* Once everything that the leader knows to be committed is here, nothing
 * that was lost can have been counted on (see raft_boot.damaged). */
static void
recovered(struct raft *r)
{
	if (r->damaged && r->told > 0 &&
	    (least(r->durable, r->commit) >= r->told || MUTANT(44)) &&
	    trail_term(&r->trail, r->told) == r->hard.term)
		r->damaged = false;
}

static void
acknowledge(struct raft *r, uint64_t match)
{
	struct raft_msg *m = raft_send(r, RAFT_APPEND_REPLY, r->leader);

	m->u.append_reply.ok = true;
	m->u.append_reply.match = match;
	m->u.append_reply.prev_index = 0;
	m->u.append_reply.hint_index = m->u.append_reply.hint_term = 0;
	m->u.append_reply.last = r->trail.last;
	m->u.append_reply.round = r->round_seen;
	m->u.append_reply.promise_ns = election_promise(r);
	r->acked = most(r->acked, match);
}

void
replicate_persisted(struct raft *r)
{
	uint64_t match = least(r->durable, r->verified);

	if (r->role == RAFT_LEADER) {
		count_self(r, r->durable);
		return;
	}
	recovered(r);
	if (r->role == RAFT_FOLLOWER && r->leader != RAFT_NONE &&
	    match > r->acked)
		acknowledge(r, match);
}

void
replicate_peer_down(struct raft *r, uint64_t peer)
{
	struct progress *p;

	if (r->role != RAFT_LEADER || peer == r->opt.id)
		return;
	if ((p = members_progress(r, peer)) == NULL)
		return;
	/*
	 * It may come back with less than it acknowledged (a damaged log), so
	 * its acknowledgement counts again when it is repeated.  Where to
	 * look first stays known.
	 */
	if (!MUTANT(36))
		p->match = 0;
	progress_probe(p, p->next);
}

/* What was sent before there was a link went nowhere: probe at once. */
void
replicate_peer_up(struct raft *r, uint64_t peer)
{
	struct progress *p;

	if (r->role == RAFT_LEADER && peer != r->opt.id &&
	    (p = members_progress(r, peer)) != NULL)
		p->waiting = false;
}

/* ---- leader: sending --------------------------------------------------- */

/* What to send to p next: false if nothing.  *notice: only to tell the commit
 * index, which needs no answer. */
static bool
choose(struct raft *r, struct progress *p, struct raft_want *w, bool *notice)
{
	uint64_t last = r->trail.last, entries = r->opt.append_entries_max;

	*notice = false;
	w->first = p->next;
	w->last = p->next - 1;
	w->bytes_max = r->opt.inflight_bytes_max - p->flight_bytes;
	switch (p->state) {
	case RAFT_PROBE:
		if (p->waiting &&
		    time_within(r->now, p->append_at, r->opt.heartbeat))
			return false;
		break;
	case RAFT_REPLICATE:
		/* What it lacks was cut.  Nothing in flight would help it on,
		 * and a question in front of it cannot name a term. */
		if (p->next <= r->trail.prev_index && !MUTANT(219))
			break;
		if (p->next <= last &&
		    !progress_full(p, r->opt.inflight_bytes_max))
			break;
		if (p->poke)
			return true;
		/* In front of what is in flight: it cannot be refused. */
		if (r->commit <= p->commit_sent ||
		    p->match < r->trail.prev_index)
			return false;
		*notice = true;
		w->first = p->match + 1;
		w->last = p->match;
		return true;
	case RAFT_SNAPSHOTTING:
	default:
		return false;
	}
	if (p->next <= r->trail.prev_index) {
		progress_snapshot(p);
		r->snapshot_to = p->id;
		return false;
	}
	trail_slice(&r->trail, p->next,
	    p->next <= last ? least(last, p->next - 1 + entries) : last, NULL,
	    RAFT_RUNS_MAX, &w->last);
	return true;
}

bool
raft_append_wanted(struct raft *r, uint64_t peer, struct raft_time now,
    struct raft_want *w, struct raft_msg *m)
{
	struct progress *p;
	bool notice;

	if (r->role != RAFT_LEADER || peer == r->opt.id ||
	    (p = members_progress(r, peer)) == NULL)
		return false;
	if (time_reached(now, r->now))
		r->now = now;
	if (!choose(r, p, w, &notice))
		return false;
	m->type = RAFT_APPEND;
	m->from = r->opt.id;
	m->to = peer;
	m->term = r->hard.term;
	m->wait = false;
	m->u.append.prev_index = w->first - 1;
	m->u.append.prev_term = trail_term(&r->trail, w->first - 1);
	m->u.append.last = w->first - 1;
	m->u.append.commit = r->commit;
	read_renew(r);
	m->u.append.round = notice ? 0 : r->round_seq;
	m->u.append.bytes = 0;
	m->u.append.run_count = 0;
	m->u.append.config_count = 0;
	return true;
}

void
raft_appended(struct raft *r, struct raft_msg *m, uint64_t last, uint64_t bytes)
{
	struct progress *p = members_progress(r, m->to);
	uint64_t prev = m->u.append.prev_index;

	assert(r->role == RAFT_LEADER && p != NULL);
	assert(last >= prev && last <= r->trail.last);
	m->u.append.last = last;
	m->u.append.bytes = bytes;
	m->u.append.run_count = trail_slice(&r->trail, prev + 1, last,
	    m->u.append.run, RAFT_RUNS_MAX, &m->u.append.last);
	assert(m->u.append.last == last);
	p->commit_sent = r->commit;
	if (m->u.append.round == 0)
		return;
	progress_sent(p, last, bytes);
	p->sent = p->append_at = r->now;
}

/* ---- leader: answers --------------------------------------------------- */

void
replicate_append_reply(struct raft *r, const struct raft_msg *m)
{
	int at = members_find(config_now(r), m->from);
	uint64_t hint = m->u.append_reply.hint_index;
	struct progress *p;

	if (r->role != RAFT_LEADER || at < 0)
		return;
	p = &r->progress[at];
	read_acked(
	    r, at, m->u.append_reply.round, m->u.append_reply.promise_ns);
	if (!m->u.append_reply.ok) {
		/* Both sides skip whole terms: the follower those above the
		 * term it was asked for, we those above the term it has. */
		if (hint >= r->trail.prev_index && !MUTANT(48))
			hint = trail_floor(
			    &r->trail, hint, m->u.append_reply.hint_term);
		progress_refused(p, m->u.append_reply.prev_index, hint + 1);
		return;
	}
	/* More than we have: not an answer to anything we sent. */
	if (m->u.append_reply.match > r->trail.last)
		return;
	if (!progress_acked(p, m->u.append_reply.match))
		return;
	if (p->match > r->commit)
		replicate_commit(r);
	if (r->role == RAFT_LEADER)
		transfer_acked(r, p);
}

void
replicate_heartbeat_reply(struct raft *r, const struct raft_msg *m)
{
	int at = members_find(config_now(r), m->from);
	struct progress *p;

	if (r->role != RAFT_LEADER || at < 0)
		return;
	p = &r->progress[at];
	/* Silence since the last append, and not everything is confirmed: an
	 * append or its answer was lost, or its disk is slow.  Ask. */
	if (p->state == RAFT_REPLICATE &&
	    (p->flight_count > 0 || m->u.heartbeat_reply.last < p->next - 1) &&
	    !time_within(r->now, p->append_at, r->opt.heartbeat))
		p->poke = true;
	read_acked(
	    r, at, m->u.heartbeat_reply.round, m->u.heartbeat_reply.promise_ns);
}

/* ---- follower ---------------------------------------------------------- */

static void
refuse(struct raft *r, const struct raft_msg *m)
{
	struct raft_msg *reply = raft_send(r, RAFT_APPEND_REPLY, m->from);
	uint64_t hint;

	hint = trail_floor(
	    &r->trail, m->u.append.prev_index - 1, m->u.append.prev_term);
	reply->u.append_reply.ok = false;
	reply->u.append_reply.match = 0;
	reply->u.append_reply.prev_index = m->u.append.prev_index;
	reply->u.append_reply.hint_term = trail_term(&r->trail, hint);
	reply->u.append_reply.hint_index = MUTANT(19) ? hint + 1 : hint;
	reply->u.append_reply.last = r->trail.last;
	reply->u.append_reply.round = r->round_seen;
	reply->u.append_reply.promise_ns = election_promise(r);
}

/*
 * The first index after prev whose entry we do not have, or have of another
 * term; last + 1 if there is none.
 */
static uint64_t
first_new(const struct raft *r, const struct raft_msg *m, uint64_t prev)
{
	const uint64_t last = m->u.append.last;
	const struct raft_run *theirs = m->u.append.run;
	uint32_t theirs_n = m->u.append.run_count, ours_n, i;
	struct raft_run ours[RAFT_RUNS_MAX];
	uint64_t a, b, have;

	if (prev == r->trail.last)
		return prev + 1;
	/* What lies at or before prev needs no comparison. */
	while (theirs_n > 1 && theirs[1].first <= prev + 1) {
		theirs++;
		theirs_n--;
	}
	ours_n = trail_slice(&r->trail, prev + 1, least(last, r->trail.last),
	    ours, RAFT_RUNS_MAX, &have);
	/* Where two lists of runs part, a run begins in at least one. */
	for (i = 0; i < ours_n && i < theirs_n; i++) {
		a = ours[i].first;
		b = most(theirs[i].first, prev + 1);
		if (a != b || ours[i].term != theirs[i].term)
			return least(a, b);
	}
	a = i < ours_n ? ours[i].first : have + 1;
	b = i < theirs_n ? theirs[i].first : last + 1;
	return least(a, b);
}

/* Take over entries first..last.  false: they cannot be taken. */
static bool
take(struct raft *r, const struct raft_msg *m, uint64_t first)
{
	const uint64_t last = m->u.append.last;
	const struct raft_run *run = m->u.append.run;
	uint32_t n = m->u.append.run_count, i, configs = 0;
	uint64_t end;

	/* Never what is committed, nor what this leader has shown before: a
	 * leader that contradicts itself is not obeyed. */
	if ((first <= r->verified && !MUTANT(15)) ||
	    first <= r->config_index[0] ||
	    !trail_room(&r->trail, m->u.append.run_count))
		return false;
	/* Where prev was compacted nothing was compared: terms go on rising,
	 * or this is no log that a leader can have. */
	for (i = n - 1; i > 0 && run[i].first > first; i--)
		;
	if (run[i].term < trail_term(&r->trail, first - 1))
		return false;
	for (i = 0; i < m->u.append.config_count; i++)
		configs += m->u.append.config_index[i] >= first;
	if (first <= r->trail.last && !MUTANT(16)) {
		trail_truncate(&r->trail, first - 1);
		members_truncate(r, first - 1);
		r->durable = least(r->durable, first - 1);
		r->rewrite_term = r->hard.term;
	}
	for (i = 0; i < n; i++) {
		end = i + 1 < n ? run[i + 1].first - 1 : last;
		if (end > r->trail.last)
			trail_append(&r->trail, end, run[i].term);
	}
	for (i = m->u.append.config_count - configs;
	     i < m->u.append.config_count; i++)
		members_push(
		    r, &m->u.append.config[i], m->u.append.config_index[i]);
	raft_persist(r, first, last);
	return true;
}

static void
follower_commit(struct raft *r, uint64_t commit)
{
	if (commit > r->commit || MUTANT(33)) {
		r->commit = commit;
		members_commit(r);
	}
}

void
replicate_append(struct raft *r, const struct raft_msg *m)
{
	uint64_t prev = m->u.append.prev_index, last = m->u.append.last, first;

	r->round_seen = most(r->round_seen, m->u.append.round);
	if (prev >= r->trail.prev_index &&
	    (prev > r->trail.last ||
		trail_term(&r->trail, prev) != m->u.append.prev_term)) {
		/* At or before the commit index every leader agrees. */
		if (prev > r->commit)
			refuse(r, m);
		return;
	}
	/* What was compacted is committed and needs no comparison (bugs 24,
	 * 29). */
	prev = most(prev, r->trail.prev_index);
	if (last > prev) {
		first = MUTANT(15) ? prev + 1 : first_new(r, m, prev);
		if (first <= last && !take(r, m, first))
			return;
	}
	r->verified = most(r->verified, most(last, r->commit));
	r->told = most(r->told, m->u.append.commit);
	follower_commit(r, least(m->u.append.commit,
			       MUTANT(17) ? r->trail.last : r->verified));
	recovered(r);
	if (MUTANT(21)) {
		acknowledge(r, r->verified);
		return;
	}
	/* The rest is answered when it is durable.  A notice of the commit
	 * index (round 0, no entries) wants no answer. */
	if (last <= r->durable &&
	    (m->u.append.round != 0 || last > m->u.append.prev_index))
		acknowledge(r, least(r->durable, r->verified));
}

void
replicate_heartbeat(struct raft *r, const struct raft_msg *m)
{
	struct raft_msg *reply;

	r->round_seen = most(r->round_seen, m->u.heartbeat.round);
	follower_commit(r, least(m->u.heartbeat.commit,
			       MUTANT(20) ? r->trail.last : r->verified));
	reply = raft_send(r, RAFT_HEARTBEAT_REPLY, m->from);
	reply->u.heartbeat_reply.round = m->u.heartbeat.round;
	reply->u.heartbeat_reply.last = r->verified;
	reply->u.heartbeat_reply.promise_ns = election_promise(r);
}
