/*
 * election.c - timers, pre-votes and votes (paper 5.2, 5.4.1; diss. 9.6).
 *
 * Three ways lead to a candidacy: the timeout; the closed connection of the
 * leader, which voids its lease; and an invitation of the leader itself.
 * Pre-vote and the lease keep a server that is cut off from disturbing the
 * others, check-quorum keeps a cut-off leader from holding them.  What makes
 * these three go together without a standstill is that every refusal answers
 * with the term of whoever refuses (bugs 8, 10, 12, 13).
 *
 * Where leases for reads are in use (raft_lease()) a server keeps its promise
 * to the leader whatever becomes of their connection, and over its own
 * restart, of which it takes the worst: that it heard the leader just before.
 */
#include "raftd/core/state.h"

/* ---- timers ------------------------------------------------------------ */

void
election_reset(struct raft *r)
{
	uint64_t spread = MUTANT(37) ? 0 : raft_random(r, r->opt.election.ns);

	r->election_at = time_after(r->now, r->opt.election.ns + spread);
}

static bool
is_alone(const struct raft *r)
{
	return r->self >= 0 &&
	       quorum_reached(config_now(r), UINT32_C(1) << r->self);
}

/* The leader may count on it that we help nobody else yet. */
static bool
is_bound(const struct raft *r)
{
	return r->opt.lease && !MUTANT(149) &&
	       time_within(r->now, r->leader_heard, r->opt.election);
}

uint64_t
election_promise(const struct raft *r)
{
	return r->opt.lease ? r->opt.election.ns : 0;
}

/* Not before that promise ends. */
static struct raft_time
unbound_at(const struct raft *r, uint64_t ns)
{
	struct raft_time at = time_after(r->now, ns), end;

	if (!is_bound(r))
		return at;
	end = time_after(r->leader_heard, r->opt.election.ns);
	return time_reached(at, end) ? at : time_after(end, ns);
}

/*
 * A start need not wait for a timeout to know that nobody leads: pre-votes
 * disturb nobody, and where somebody leads they are refused.  Who is alone
 * has nobody to ask.
 */
void
election_start(struct raft *r)
{
	uint64_t ns = r->opt.election.ns / 8;

	election_reset(r);
	if (is_alone(r))
		ns = 0;
	else
		ns += raft_random(r, r->opt.election.ns / 2);
	/* Without a term, or with nobody else, there was nobody to promise
	 * anything to. */
	if (r->hard.term == 0 || is_alone(r))
		r->leader_heard.ns = r->now.ns - r->opt.election.ns;
	if (r->opt.pre_vote)
		r->election_at = unbound_at(r, ns);
}

/* Spacing of those who rush to replace a leader known to be gone: wide
 * enough for a pre-vote to travel, so that the first one wins. */
static uint64_t
rush_step(const struct raft *r)
{
	return r->opt.election.ns / 64;
}

/* Our place among the voters that are left. */
static uint64_t
rush_rank(const struct raft *r)
{
	const struct raft_config *c = config_now(r);
	uint64_t rank = 0;
	uint32_t i;

	for (i = 0; i < c->count && c->member[i].id < r->opt.id; i++)
		rank += c->member[i].voter != 0 && c->member[i].id != r->lost;
	return rank;
}

static bool
rushing(const struct raft *r)
{
	return r->lost != RAFT_NONE &&
	       time_within(r->now, r->lost_at, r->opt.election);
}

/* Soon, by rank; later with each attempt that failed. */
static void
rush(struct raft *r)
{
	uint64_t step = rush_step(r) << (r->lost_tries < 5 ? r->lost_tries : 5);
	uint64_t ns = rush_rank(r) * rush_step(r) + raft_random(r, step / 2);

	if (r->lost_tries > 0)
		ns += step / 2;
	r->lost_tries++;
	r->election_at = time_first(r->election_at, unbound_at(r, ns));
}

void
election_heard(struct raft *r)
{
	r->leader_heard = r->now;
	r->lost = RAFT_NONE;
	election_reset(r);
}

/* Somebody leads, as far as we can tell: then nobody is needed (paper 6,
 * diss. 4.2.3).  A leader that has lost its quorum is no leader any more. */
static bool
lease_holds(const struct raft *r)
{
	if (!r->opt.check_quorum || MUTANT(30))
		return false;
	if (r->role == RAFT_LEADER)
		return true;
	return r->leader != RAFT_NONE &&
	       time_within(r->now, r->leader_heard, r->opt.election);
}

static bool
may_campaign(const struct raft *r)
{
	return (!r->damaged || MUTANT(41)) && trust_is(r, r->opt.id) &&
	       members_may_lead(r) && r->hard.term < RAFT_NUMBER_MAX - 1 &&
	       trail_room(&r->trail, 1);
}

struct raft_time
election_deadline(const struct raft *r)
{
	if (r->role == RAFT_PRECANDIDATE || r->role == RAFT_CANDIDATE)
		return time_first(r->election_at, r->retry_at);
	return r->election_at;
}

/* ---- candidacies ------------------------------------------------------- */

static uint32_t
bit_of(const struct raft *r, uint64_t id)
{
	int at = members_find(config_now(r), id);

	return at < 0 ? 0 : UINT32_C(1) << at;
}

/* Who elects. */
static struct raft_config
electorate(const struct raft *r)
{
	struct raft_config c = *config_now(r);
	uint32_t i;

	for (i = 0; i < c.count && r->opt.unsafe_early_vote; i++)
		c.member[i].voter |= RAFT_VOTER_NEW;
	return c;
}

/* Ask everybody who has not answered. */
static void
ask(struct raft *r)
{
	const struct raft_config all = electorate(r), *c = &all;
	bool pre = r->role == RAFT_PRECANDIDATE;
	struct raft_msg *m;
	uint32_t i;

	for (i = 0; i < c->count; i++) {
		if (c->member[i].voter == 0 || c->member[i].id == r->opt.id ||
		    ((r->yes | r->no) >> i & 1) != 0)
			continue;
		m = raft_send(
		    r, pre ? RAFT_PREVOTE : RAFT_VOTE, c->member[i].id);
		m->u.vote.term = r->hard.term + pre;
		m->u.vote.last_index = r->trail.last;
		m->u.vote.last_term = trail_last_term(&r->trail);
		m->u.vote.transfer = r->transfer && !MUTANT(35);
	}
	r->retry_at = time_after(r->now, r->opt.election.ns / 4);
}

static void become_candidate(struct raft *);

static bool
is_saved(const struct raft *r)
{
	return r->saved.term == r->hard.term && r->saved.vote == r->hard.vote;
}

/* Have we won, or can we not win any more? */
static void
tally(struct raft *r)
{
	const struct raft_config c = electorate(r);
	enum quorum_vote vote;
	uint32_t no = r->no;

	/* Who has just gone will not answer. */
	if (rushing(r))
		no |= bit_of(r, r->lost) & ~r->yes;
	vote = quorum_vote(&c, r->yes, no);
	if (vote == QUORUM_WON && r->role == RAFT_PRECANDIDATE) {
		/* Terms do not run ahead of a disk that is slow or full: the
		 * one we have is durable before we stand for another. */
		if (is_saved(r) || MUTANT(46))
			become_candidate(r);
	} else if (vote == QUORUM_WON) {
		/* Not before our own term and vote are durable: after a crash
		 * we would ask for the same votes with another log. */
		if ((r->saved.term == r->hard.term &&
			r->saved.vote == r->opt.id) ||
		    MUTANT(29))
			replicate_lead(r);
	} else if (vote == QUORUM_LOST) {
		r->role = RAFT_FOLLOWER;
		r->transfer = false;
		if (rushing(r))
			rush(r);
	}
}

static void
become_candidate(struct raft *r)
{
	bool transfer = r->transfer;

	raft_follow(r, r->hard.term + 1, RAFT_NONE);
	r->transfer = transfer;
	r->role = RAFT_CANDIDATE;
	r->hard.vote = r->opt.id;
	r->yes = MUTANT(29) ? bit_of(r, r->opt.id) : 0;
	r->no = 0;
	election_reset(r);
	ask(r);
	if (MUTANT(29))
		tally(r);
	/* Our own vote is counted by election_persisted(). */
}

/* Stand for the next term, after asking whether anybody wants us. */
void
election_campaign(struct raft *r, bool transfer)
{
	if (!may_campaign(r)) {
		raft_follow(r, r->hard.term, RAFT_NONE);
		election_reset(r);
		return;
	}
	raft_follow(r, r->hard.term, RAFT_NONE);
	if (is_bound(r) && !transfer) {
		r->election_at =
		    unbound_at(r, raft_random(r, r->opt.election.ns / 8));
		return;
	}
	if (transfer || !r->opt.pre_vote) {
		if (!is_saved(r) && !MUTANT(46)) {
			election_reset(r);
			return;
		}
		r->transfer = transfer;
		become_candidate(r);
		return;
	}
	r->role = RAFT_PRECANDIDATE;
	r->yes = bit_of(r, r->opt.id);
	r->no = 0;
	election_reset(r);
	ask(r);
	tally(r);
}

void
election_persisted(struct raft *r)
{
	if (r->role == RAFT_PRECANDIDATE)
		tally(r);
	if (r->role != RAFT_CANDIDATE || r->saved.term != r->hard.term ||
	    r->saved.vote != r->opt.id)
		return;
	r->yes |= bit_of(r, r->opt.id);
	tally(r);
}

void
election_tick(struct raft *r)
{
	if (time_reached(r->now, r->election_at)) {
		election_campaign(r, false);
		return;
	}
	if ((r->role == RAFT_PRECANDIDATE || r->role == RAFT_CANDIDATE) &&
	    time_reached(r->now, r->retry_at))
		ask(r);
}

/* ---- the leader's connection ------------------------------------------- */

void
election_peer_down(struct raft *r, uint64_t peer)
{
	bool led, hoped;

	if (r->role == RAFT_LEADER || peer == RAFT_NONE)
		return;
	led = r->leader == peer;
	/* The one we voted for may have died before it could lead. */
	hoped = r->leader == RAFT_NONE && r->hard.vote == peer &&
		r->role == RAFT_FOLLOWER;
	if (!led && !hoped)
		return;
	r->lost = peer;
	r->lost_at = r->now;
	r->lost_tries = 0;
	if (led && !MUTANT(43))
		raft_follow(r, r->hard.term, RAFT_NONE);
	if (may_campaign(r))
		rush(r);
}

void
election_peer_up(struct raft *r, uint64_t peer)
{
	/* A question asked before there was a link went nowhere. */
	if ((r->role == RAFT_PRECANDIDATE || r->role == RAFT_CANDIDATE) &&
	    (bit_of(r, peer) & ~(r->yes | r->no)) != 0)
		ask(r);
	if (peer == RAFT_NONE || r->lost != peer)
		return;
	r->lost = RAFT_NONE;
	/* It may lead still: give it the time to say so. */
	if (r->role == RAFT_FOLLOWER)
		election_reset(r);
}

/* ---- votes ------------------------------------------------------------- */

/* paper 5.4.1 */
static bool
log_up_to_date(const struct raft *r, const struct raft_msg *m)
{
	uint64_t term = trail_last_term(&r->trail);

	if (MUTANT(4))
		return true;
	if (MUTANT(5))
		return m->u.vote.last_index >= r->trail.last;
	if (m->u.vote.last_term != term)
		return m->u.vote.last_term > term;
	return m->u.vote.last_index >= r->trail.last;
}

static void
answer(struct raft *r, const struct raft_msg *m, bool granted)
{
	struct raft_msg *reply;

	reply = raft_send(r,
	    m->type == RAFT_PREVOTE ? RAFT_PREVOTE_REPLY : RAFT_VOTE_REPLY,
	    m->from);
	reply->u.vote_reply.term = m->u.vote.term;
	reply->u.vote_reply.granted = granted;
}

/* Who may have forgotten a vote gives none. */
static bool
has_vote(const struct raft *r)
{
	return (!r->damaged || MUTANT(41)) &&
	       (trust_is(r, r->opt.id) || MUTANT(191));
}

/* We have just promised not to stand in the way. */
static void
give_way(struct raft *r, const struct raft_msg *m)
{
	struct raft_time until = time_after(r->now, 2 * rush_step(r));

	if (!rushing(r))
		return;
	/* Two who ask each other would both go on and split the votes. */
	if (r->role == RAFT_PRECANDIDATE && m->from < r->opt.id)
		r->role = RAFT_FOLLOWER;
	if (r->role == RAFT_FOLLOWER && !time_reached(r->election_at, until))
		r->election_at = until;
}

void
election_prevote(struct raft *r, const struct raft_msg *m)
{
	bool up_to_date, granted;

	if (lease_holds(r) || is_bound(r)) {
		answer(r, m, false);
		return;
	}
	/*
	 * The sender has reached its term for good, and nobody leads us.
	 * Taking it over ends the state in which those with the higher term
	 * have the shorter log and the others never learn of it.
	 */
	if (m->term > r->hard.term)
		raft_follow(r, m->term, RAFT_NONE);
	up_to_date = log_up_to_date(r, m);
	granted = m->u.vote.term > r->hard.term && up_to_date && has_vote(r) &&
		  r->role != RAFT_LEADER;
	answer(r, m, granted);
	if (granted)
		give_way(r, m);
	else if (!up_to_date && rushing(r) && r->role == RAFT_FOLLOWER &&
		 may_campaign(r))
		/* The better log is ours: do not let them search for it. */
		r->election_at = time_first(r->election_at,
		    time_after(r->now, raft_random(r, rush_step(r) / 2)));
}

/* The bit of the one who answered; 0 if it has none. */
static uint32_t
ballot(const struct raft *r, const struct raft_msg *m)
{
	uint32_t bit = bit_of(r, m->from);

	if (MUTANT(7) && (r->yes & bit) != 0)
		bit = (r->yes + 1) & ~r->yes;
	return bit;
}

/* Who refused may change its mind, as when its lease has ended since; who
 * granted has done so for good. */
static void
count(struct raft *r, uint32_t bit, bool granted)
{
	if (granted) {
		r->yes |= bit;
		r->no &= ~bit;
	} else {
		r->no |= bit & ~r->yes;
	}
	tally(r);
}

void
election_prevote_reply(struct raft *r, const struct raft_msg *m)
{
	uint32_t bit = ballot(r, m);

	if (!m->u.vote_reply.granted && m->term > r->hard.term) {
		if (!MUTANT(32))
			raft_follow(r, m->term, RAFT_NONE);
		return;
	}
	/* A voter that is behind grants in its own, lower term. */
	if (MUTANT(27) && m->term < r->hard.term)
		return;
	if (r->role != RAFT_PRECANDIDATE ||
	    m->u.vote_reply.term != r->hard.term + 1)
		return;
	count(r, bit, m->u.vote_reply.granted);
}

void
election_vote(struct raft *r, const struct raft_msg *m)
{
	bool granted;

	/* Who is invited by the leader itself may pass (diss. 4.2.3). */
	if (m->term > r->hard.term && lease_holds(r) && !m->u.vote.transfer)
		return;
	if (is_bound(r) && !m->u.vote.transfer)
		return;
	if (m->term > r->hard.term)
		raft_follow(r, m->term, RAFT_NONE);
	granted = m->term == r->hard.term && log_up_to_date(r, m) &&
		  (r->hard.vote == m->from ||
		      (r->hard.vote == RAFT_NONE && r->leader == RAFT_NONE)) &&
		  has_vote(r);
	if (granted) {
		r->hard.vote = m->from;
		election_reset(r);
	}
	answer(r, m, granted);
}

void
election_vote_reply(struct raft *r, const struct raft_msg *m)
{
	uint32_t bit = ballot(r, m);

	if (r->role != RAFT_CANDIDATE ||
	    (m->u.vote_reply.term != r->hard.term && !MUTANT(8)))
		return;
	count(r, bit, m->u.vote_reply.granted);
}
