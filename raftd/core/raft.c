/*
 * raft.c - start, dispatch, changes of role.
 */
#include "raftd/core/raft.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "raftd/core/state.h"

const char *
raft_role_name(enum raft_role role)
{
	static const char *const name[] = {
	    [RAFT_FOLLOWER] = "follower",
	    [RAFT_PRECANDIDATE] = "precandidate",
	    [RAFT_CANDIDATE] = "candidate",
	    [RAFT_LEADER] = "leader",
	};

	return (unsigned)role <= RAFT_LEADER ? name[role] : "unknown";
}

size_t
raft_sizeof(void)
{
	return sizeof(struct raft);
}

/* splitmix64 */
uint64_t
raft_random(struct raft *r, uint64_t below)
{
	uint64_t x;

	r->random += UINT64_C(0x9e3779b97f4a7c15);
	x = r->random;
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	x ^= x >> 31;
	return below == 0 ? 0 : x % below;
}

struct raft_msg *
raft_send(struct raft *r, enum raft_msg_type type, uint64_t to)
{
	struct raft_output *out = r->out;
	struct raft_msg *m;

	assert(out != NULL);
	m = out->msg_count < RAFT_MSGS_MAX ? &out->msg[out->msg_count++]
					   : &r->spill;
	m->type = type;
	m->from = r->opt.id;
	m->to = to;
	m->term = r->hard.term;
	m->wait = false;
	return m;
}

void
raft_persist(struct raft *r, uint64_t first, uint64_t last)
{
	assert(r->out->persist_last < r->out->persist_first);
	assert(first <= last);
	r->out->persist_first = first;
	r->out->persist_last = last;
}

void
raft_follow(struct raft *r, uint64_t term, uint64_t leader)
{
	assert(term >= r->hard.term);
	if (r->role == RAFT_LEADER) {
		read_fail_leading(r);
		r->pending_bytes = 0;
		r->pending_head = r->pending_count = 0;
		r->handover.to = RAFT_NONE;
		r->snapshot_to = RAFT_NONE;
		if (MUTANT(6))
			r->hard.vote = RAFT_NONE;
		election_reset(r);
	}
	if (term > r->hard.term) {
		r->hard.term = term;
		r->hard.vote = RAFT_NONE;
		/* What is committed is in every later leader's log (paper
		 * 5.4); of the rest nothing is known. */
		r->verified = r->commit;
		r->acked = 0;
		r->told = 0;
		r->round_seen = 0;
	}
	if (r->leader != leader)
		read_fail_following(r);
	r->role = RAFT_FOLLOWER;
	r->leader = leader;
	r->transfer = false;
}

/* ---- start ------------------------------------------------------------- */

static int
options_check(const struct raft_options *o)
{
	if (o->id == RAFT_NONE || o->inflight_bytes_max == 0 ||
	    o->append_entries_max == 0)
		return -EINVAL;
	if (o->drift_ppm > RAFT_DRIFT_PPM_MAX)
		return -EINVAL;
	if (o->heartbeat.ns == 0 || o->election.ns > RAFT_PERIOD_MAX ||
	    o->heartbeat.ns >= o->election.ns)
		return -EINVAL;
	return 0;
}

static int
boot_check(const struct raft_boot *b, uint32_t runs_cap)
{
	uint64_t before, term = b->prev_term;
	uint32_t i;

	if (b->first == 0 || b->first > RAFT_NUMBER_MAX ||
	    b->last > RAFT_NUMBER_MAX || b->last < b->first - 1 ||
	    b->hard.term > RAFT_NUMBER_MAX)
		return -EINVAL;
	if ((b->first == 1) != (b->prev_term == 0))
		return -EINVAL;
	if (b->commit < b->first - 1 || b->commit > b->last)
		return -EINVAL;
	if ((b->run_count == 0) != (b->last == b->first - 1) ||
	    runs_cap < b->run_count ||
	    runs_cap - b->run_count < 2 * RAFT_RUNS_MAX)
		return -EINVAL;
	for (i = 0; i < b->run_count; i++) {
		before = i == 0 ? b->first - 1 : b->run[i - 1].first;
		if (i == 0 ? b->run[i].first != b->first
			   : b->run[i].first <= before)
			return -EINVAL;
		if (b->run[i].first > b->last ||
		    b->run[i].term <= term - (i == 0 && term > 0))
			return -EINVAL;
		term = b->run[i].term;
	}
	if (term > b->hard.term)
		return -EINVAL;
	return 0;
}

static int
boot_configs(struct raft *r, const struct raft_boot *b)
{
	uint32_t i, from = 0;

	for (i = 0; i < b->config_count; i++) {
		if (!members_valid(&b->config[i]) ||
		    b->config_index[i] > b->last ||
		    (i > 0 && b->config_index[i] <= b->config_index[i - 1]))
			return -EINVAL;
		if (b->config_index[i] <= b->commit)
			from = i;
	}
	/* A later one in the log says that those before are committed. */
	if (b->config_count - from > 1 + RAFT_CONFIGS_MAX)
		from = b->config_count - 1 - RAFT_CONFIGS_MAX;
	for (i = from; i < b->config_count; i++) {
		r->config[r->config_count] = b->config[i];
		r->config_index[r->config_count++] = b->config_index[i];
	}
	if (r->config_count == 0) {
		r->config[0].count = 0;
		r->config[0].joint = false;
		r->config_index[0] = 0;
		r->config_count = 1;
	}
	r->self = members_find(config_now(r), r->opt.id);
	return 0;
}

int
raft_init(struct raft *r, const struct raft_options *o,
    const struct raft_boot *b, struct raft_run *runs, uint32_t runs_cap,
    struct raft_time now)
{
	uint32_t i;
	int error;

	if ((error = options_check(o)) < 0 ||
	    (error = boot_check(b, runs_cap)) < 0)
		return error;
	memset(r, 0, sizeof(*r));
	r->opt = *o;
	/* One seed for all servers is a likely mistake; equal timeouts would
	 * split votes for ever. */
	r->random = o->seed ^ o->id * UINT64_C(0xd6e8feb86659fd93) ^
		    o->boot * UINT64_C(0xa0761d6478bd642f);
	r->now = now;
	r->hard = r->saved = b->hard;
	r->damaged = b->damaged;
	if (b->untrusted)
		r->untrusted[r->untrusted_count++].id = o->id;
	trail_init(&r->trail, runs, runs_cap, b->first - 1, b->prev_term);
	for (i = 0; i < b->run_count; i++)
		trail_append(&r->trail,
		    i + 1 < b->run_count ? b->run[i + 1].first - 1 : b->last,
		    b->run[i].term);
	r->durable = b->last;
	r->commit = b->commit;
	r->applied = b->first - 1;
	r->verified = b->commit;
	if ((error = boot_configs(r, b)) < 0)
		return error;
	/* Rounds are never the same twice, not even in another boot. */
	r->round_seq = ((o->boot & UINT64_C(0x3fffff)) << 40) + 1;
	r->leader_heard = now;
	election_start(r);
	return 0;
}

/* ---- messages ---------------------------------------------------------- */

/* Runs as an honest sender writes them: ascending, covering exactly. */
static bool
append_sane(const struct raft_msg *m)
{
	uint64_t first = m->u.append.prev_index, term = m->u.append.prev_term;
	uint64_t last = m->u.append.last;
	const struct raft_run *run;
	uint32_t i;

	if (last > RAFT_NUMBER_MAX || last < first ||
	    (first == 0) != (term == 0) || term > m->term)
		return false;
	if (m->u.append.run_count > RAFT_RUNS_MAX ||
	    (m->u.append.run_count == 0) != (last == first))
		return false;
	for (i = 0; i < m->u.append.run_count; i++) {
		run = &m->u.append.run[i];
		if (i == 0 ? run->first != first + 1 || run->term < term
			   : run->first <= first || run->term <= term)
			return false;
		if (run->first > last || run->term == 0 || run->term > m->term)
			return false;
		first = run->first;
		term = run->term;
	}
	if (m->u.append.config_count > RAFT_APPEND_CONFIGS_MAX)
		return false;
	for (i = 0; i < m->u.append.config_count; i++) {
		if (m->u.append.config_index[i] <= m->u.append.prev_index ||
		    m->u.append.config_index[i] > last ||
		    (i > 0 && m->u.append.config_index[i] <=
				  m->u.append.config_index[i - 1]) ||
		    !members_valid(&m->u.append.config[i]))
			return false;
	}
	return true;
}

static bool
message_sane(const struct raft *r, const struct raft_msg *m)
{
	if (m->to != r->opt.id || m->from == RAFT_NONE ||
	    m->from == r->opt.id || m->term > RAFT_NUMBER_MAX)
		return false;
	switch (m->type) {
	case RAFT_PREVOTE:
		return m->u.vote.term == m->term + 1 &&
		       m->u.vote.last_term <= m->term &&
		       m->u.vote.last_index <= RAFT_NUMBER_MAX;
	case RAFT_VOTE:
		return m->u.vote.term == m->term && m->term > 0 &&
		       m->u.vote.last_term < m->term &&
		       m->u.vote.last_index <= RAFT_NUMBER_MAX;
	case RAFT_APPEND:
		return m->term > 0 && append_sane(m);
	case RAFT_SNAPSHOT:
		return m->u.snapshot.index <= RAFT_NUMBER_MAX &&
		       m->u.snapshot.index > 0 && m->u.snapshot.log_term > 0 &&
		       m->u.snapshot.log_term <= m->term;
	case RAFT_HEARTBEAT:
	case RAFT_TIMEOUT_NOW:
		return m->term > 0;
	default:
		return true;
	}
}

/* Replies teach a term only if they come from a member: what a removed server
 * has reached disturbs nobody. */
static void
reply_received(struct raft *r, const struct raft_msg *m)
{
	int from = members_find(config_now(r), m->from);

	if (from < 0)
		return;
	/* A refused pre-vote is handled where it belongs, as a granted one
	 * carries the term of a voter that may be behind. */
	if (m->type != RAFT_PREVOTE_REPLY) {
		if (m->term > r->hard.term) {
			raft_follow(r, m->term, RAFT_NONE);
			return;
		}
		if (m->term < r->hard.term &&
		    !(MUTANT(8) && m->type == RAFT_VOTE_REPLY))
			return;
	}
	if (r->role == RAFT_LEADER && m->term == r->hard.term) {
		r->progress[from].heard = r->now;
		r->progress[from].has_heard = true;
	}
	switch (m->type) {
	case RAFT_PREVOTE_REPLY:
		election_prevote_reply(r, m);
		break;
	case RAFT_VOTE_REPLY:
		election_vote_reply(r, m);
		break;
	case RAFT_APPEND_REPLY:
		replicate_append_reply(r, m);
		break;
	case RAFT_HEARTBEAT_REPLY:
		replicate_heartbeat_reply(r, m);
		break;
	case RAFT_READ_INDEX_REPLY:
		read_index_reply(r, m);
		break;
	case RAFT_SNAPSHOT_REPLY:
		snapshot_reply(r, m);
		break;
	default:
		break;
	}
}

/* A deposed leader learns of it; so does one whom a server of a higher term
 * cannot follow (bugs 8 and 10: silence here is a standstill). */
static void
stale_leader(struct raft *r, const struct raft_msg *m)
{
	struct raft_msg *reply;

	if (MUTANT(47))
		return;
	if (m->type == RAFT_APPEND) {
		reply = raft_send(r, RAFT_APPEND_REPLY, m->from);
		memset(
		    &reply->u.append_reply, 0, sizeof(reply->u.append_reply));
		reply->u.append_reply.prev_index = m->u.append.prev_index;
	} else if (m->type == RAFT_HEARTBEAT) {
		reply = raft_send(r, RAFT_HEARTBEAT_REPLY, m->from);
		reply->u.heartbeat_reply.round = 0;
		reply->u.heartbeat_reply.last = 0;
		reply->u.heartbeat_reply.promise_ns = 0;
	}
}

/* Messages that only the leader of their term sends. */
static void
leader_received(struct raft *r, const struct raft_msg *m)
{
	if (m->term < r->hard.term) {
		stale_leader(r, m);
		return;
	}
	/* Election safety (paper 5.2): nobody else leads our term. */
	if (r->role == RAFT_LEADER && m->term == r->hard.term)
		return;
	if (r->leader != RAFT_NONE && r->leader != m->from &&
	    m->term == r->hard.term)
		return;
	raft_follow(r, m->term, m->from);
	election_heard(r);
	switch (m->type) {
	case RAFT_APPEND:
		replicate_append(r, m);
		break;
	case RAFT_HEARTBEAT:
		replicate_heartbeat(r, m);
		break;
	case RAFT_SNAPSHOT:
		snapshot_piece(r, m);
		break;
	case RAFT_TIMEOUT_NOW:
		transfer_timeout_now(r, m);
		break;
	default:
		break;
	}
}

static void
message_received(struct raft *r, const struct raft_msg *m)
{
	if (!message_sane(r, m))
		return;
	/* It is back, whatever the host has told us of its connection. */
	if (r->lost == m->from)
		r->lost = RAFT_NONE;
	switch (m->type) {
	case RAFT_PREVOTE:
		election_prevote(r, m);
		break;
	case RAFT_VOTE:
		election_vote(r, m);
		break;
	case RAFT_APPEND:
	case RAFT_HEARTBEAT:
	case RAFT_SNAPSHOT:
	case RAFT_TIMEOUT_NOW:
		leader_received(r, m);
		break;
	case RAFT_READ_INDEX:
		read_index(r, m);
		break;
	case RAFT_PREVOTE_REPLY:
	case RAFT_VOTE_REPLY:
	case RAFT_APPEND_REPLY:
	case RAFT_HEARTBEAT_REPLY:
	case RAFT_READ_INDEX_REPLY:
	case RAFT_SNAPSHOT_REPLY:
		reply_received(r, m);
		break;
	case RAFT_MSG_TYPE_COUNT:
	default:
		break;
	}
}

/* ---- events ------------------------------------------------------------ */

static bool
hard_newer(struct raft_hard a, struct raft_hard b)
{
	return a.term > b.term ||
	       (a.term == b.term && b.vote == RAFT_NONE && a.vote != RAFT_NONE);
}

static void
persisted(struct raft *r, const struct raft_event *ev)
{
	uint64_t index = ev->u.persisted.index, term = ev->u.persisted.term;
	struct raft_hard hard = ev->u.persisted.hard;

	/* Never more than was ever asked for, nor another vote. */
	if (hard_newer(hard, r->saved) && !hard_newer(hard, r->hard) &&
	    (hard.term < r->hard.term || hard.vote == RAFT_NONE ||
		hard.vote == r->hard.vote))
		r->saved = hard;
	/*
	 * The same (index, term) may have been replaced and written again
	 * since that batch: then the disk may hold the one in between.  A
	 * batch that knows the term of the replacement came after it, or
	 * its entries were not touched by it.
	 */
	if ((hard.term >= r->rewrite_term || MUTANT(31)) &&
	    index > r->durable && index <= r->trail.last &&
	    (trail_term(&r->trail, index) == term || MUTANT(22)))
		r->durable = index;
	election_persisted(r);
	replicate_persisted(r);
}

static void
tick(struct raft *r)
{
	if (r->role == RAFT_LEADER) {
		replicate_tick(r);
		if (r->role == RAFT_LEADER)
			transfer_tick(r);
		if (r->role == RAFT_LEADER)
			trust_tick(r);
	} else {
		election_tick(r);
	}
	read_tick(r);
}

static void
dispatch(struct raft *r, const struct raft_event *ev)
{
	switch (ev->type) {
	case RAFT_EV_TICK:
		tick(r);
		break;
	case RAFT_EV_MESSAGE:
		message_received(r, ev->u.msg);
		break;
	case RAFT_EV_PROPOSE:
		replicate_propose(r, ev->u.propose.count, ev->u.propose.bytes);
		break;
	case RAFT_EV_READ:
		read_event(r, ev->u.read.id);
		break;
	case RAFT_EV_PERSISTED:
		persisted(r, ev);
		break;
	case RAFT_EV_APPLIED:
		if (ev->u.applied.index > r->applied &&
		    ev->u.applied.index <= r->commit)
			r->applied = ev->u.applied.index;
		break;
	case RAFT_EV_PEER_DOWN:
		replicate_peer_down(r, ev->u.peer.id);
		election_peer_down(r, ev->u.peer.id);
		break;
	case RAFT_EV_PEER_UP:
		replicate_peer_up(r, ev->u.peer.id);
		election_peer_up(r, ev->u.peer.id);
		break;
	case RAFT_EV_DISTRUST:
		trust_event(r, ev->u.peer.id, false);
		break;
	case RAFT_EV_TRUST:
		trust_event(r, ev->u.peer.id, true);
		break;
	case RAFT_EV_CHANGE:
		members_change(r, &ev->u.config);
		break;
	case RAFT_EV_TRANSFER:
		transfer_event(r, ev->u.peer.id);
		break;
	case RAFT_EV_STEP_DOWN:
		if (r->role == RAFT_LEADER)
			transfer_step_down(r);
		break;
	case RAFT_EV_SNAPSHOT_SAVED:
		snapshot_saved(r, ev->u.snapshot.index);
		break;
	case RAFT_EV_SNAPSHOT_RECEIVED:
		snapshot_received(r, ev);
		break;
	case RAFT_EV_TYPE_COUNT:
	default:
		break;
	}
}

/* Which promises stand on the hard state (contract 3). */
static bool
depends_on_hard(enum raft_msg_type type)
{
	if (MUTANT(2) && type == RAFT_VOTE_REPLY)
		return false;
	return type == RAFT_VOTE || type == RAFT_VOTE_REPLY ||
	       type == RAFT_APPEND_REPLY || type == RAFT_HEARTBEAT_REPLY ||
	       type == RAFT_SNAPSHOT_REPLY;
}

static struct raft_time
deadline(const struct raft *r)
{
	struct raft_time at = election_deadline(r);

	if (r->role == RAFT_LEADER) {
		at = r->beat_at;
		if (r->handover.to != RAFT_NONE)
			at = time_first(at, r->handover.until);
	}
	if (r->ask.busy)
		at = time_first(at, time_after(r->ask.at, r->opt.heartbeat.ns));
	return at;
}

void
raft_step(struct raft *r, const struct raft_event *ev, struct raft_output *out)
{
	const struct raft_hard before = r->hard;
	const enum raft_role role = r->role;
	const uint64_t leader = r->leader;
	uint32_t i;

	out->persist_first = 1;
	out->persist_last = 0;
	out->noop = false;
	out->rejected = false;
	out->msg_count = 0;
	out->read_count = 0;
	out->snapshot_wanted = out->snapshot_installed = false;
	if (time_reached(ev->now, r->now))
		r->now = ev->now;
	r->out = out;
	dispatch(r, ev);
	r->out = NULL;

	out->hard_changed = (r->hard.term != before.term && !MUTANT(3)) ||
			    r->hard.vote != before.vote;
	out->hard = r->hard;
	out->commit = r->commit;
	out->snapshot_to = r->snapshot_to;
	r->snapshot_to = RAFT_NONE;
	out->leader_changed = r->role != role || r->leader != leader ||
			      r->hard.term != before.term;
	out->deadline = deadline(r);
	if (r->hard.term != r->saved.term || r->hard.vote != r->saved.vote)
		for (i = 0; i < out->msg_count; i++)
			if (depends_on_hard(out->msg[i].type))
				out->msg[i].wait = true;
}

/* ---- looking ----------------------------------------------------------- */

bool
raft_runs_low(const struct raft *r)
{
	return !trail_room(&r->trail, 2 * RAFT_RUNS_MAX);
}

struct raft_run *
raft_runs_give(struct raft *r, struct raft_run *runs, uint32_t cap)
{
	struct raft_run *old = r->trail.run;

	assert(cap >= r->trail.count);
	if (r->trail.count > 0)
		memcpy(runs, old, r->trail.count * sizeof(*runs));
	r->trail.run = runs;
	r->trail.cap = cap;
	return old;
}

void
raft_status(const struct raft *r, struct raft_status *s)
{
	memset(s, 0, sizeof(*s));
	s->id = r->opt.id;
	s->role = r->role;
	s->member = r->self >= 0;
	s->learner = s->member && config_now(r)->member[r->self].voter == 0;
	s->leader = r->leader;
	s->hard = r->hard;
	s->first = r->trail.prev_index + 1;
	s->last = r->trail.last;
	s->last_term = trail_last_term(&r->trail);
	s->durable = r->durable;
	s->commit = r->commit;
	s->applied = r->applied;
	s->damaged = r->damaged;
	s->untrusted = !trust_is(r, r->opt.id);
	s->config_index = config_now_index(r);
	s->config = *config_now(r);
	if (r->role != RAFT_LEADER)
		return;
	s->term_start = r->term_start;
	s->ready = replicate_ready(r);
	s->quorum = quorum_reached(config_now(r), replicate_heard(r));
	s->transfer_to = r->handover.to;
	s->uncommitted_bytes = r->pending_bytes;
}

int
raft_peer_status(
    const struct raft *r, uint64_t peer, struct raft_peer_status *s)
{
	int at = members_find(config_now(r), peer);
	const struct progress *p;

	if (r->role != RAFT_LEADER || at < 0)
		return -ENOENT;
	p = &r->progress[at];
	s->id = p->id;
	s->state = p->state;
	s->match = p->match;
	s->next = p->next;
	s->inflight_count = p->flight_count;
	s->inflight_bytes = p->flight_bytes;
	s->heard = p->has_heard ? p->heard : (struct raft_time){0};
	s->untrusted = !trust_is(r, peer);
	s->redeemed = trust_redeemed(r, p);
	return 0;
}

uint64_t
raft_term_at(const struct raft *r, uint64_t index)
{
	return trail_term(&r->trail, index);
}

const char *
raft_change_refusal(const struct raft *r)
{
	return r->change_refusal;
}
