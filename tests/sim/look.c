/*
 * look.c - what must always hold, watched from outside: a look into a server
 * after each of its turns.
 */
#include <inttypes.h>

#include "tests/sim/shadow.h"

/*
 * Do more than half of each set of voters have this on disk: (index, term),
 * or if index is 0 a vote for candidate in term?
 */
static bool
durable_majority(struct sim *sim, const struct raft_config *config,
    uint64_t index, uint64_t term, uint64_t candidate)
{
	static const uint8_t sets[] = {RAFT_VOTER_NEW, RAFT_VOTER_OLD};

	for (size_t k = 0; k < sizeof(sets); k++) {
		unsigned voters = 0, have = 0;

		for (uint32_t i = 0; i < config->count; i++) {
			struct server *s;

			if (!(config->member[i].voter & sets[k]))
				continue;
			voters++;
			s = server_by_id(sim, config->member[i].id);
			if (s != NULL && s->replaced) {
				have++; /* it may have had it once */
				continue;
			}
			have += s != NULL &&
				(index > 0 ? terms_at(&shadow_of(s)->durable,
						 index) == term
					   : voted(s, term) == candidate);
		}
		if (voters > 0 && have * 2 <= voters)
			return false;
	}
	return config->count > 0;
}

/* Index i is committed for the first time anywhere. */
static void
commit_new(
    struct server *s, const struct raft_status *st, uint64_t i, uint64_t term)
{
	struct sim *sim = s->sim;
	struct checker *c = sim->checker;
	struct entry *e = entry_find(c, i, term);
	struct model_result r = {false, 0};
	struct op *op;

	terms_set(&c->committed, i, term);
	if (e == NULL && i > 1) {
		sim_fail(sim,
		    "s%u commits %" PRIu64 " of term %" PRIu64
		    ", which nobody wrote",
		    s->number + 1, i, term);
		return;
	}
	/* The first entry is the same everywhere, made by each server from its
	 * command line: committed by being bootstrapped. */
	if (i > 1 && i == st->commit &&
	    !durable_majority(sim, &shadow_of(s)->in_force, i, term, 0) &&
	    !durable_majority(sim, &st->config, i, term, 0)) {
		sim_fail(sim,
		    "s%u commits %" PRIu64 " of term %" PRIu64
		    ", which no majority has on disk",
		    s->number + 1, i, term);
		return;
	}
	configs_committed(sim, i, e);
	op = clients_op(sim, e != NULL ? e->op : 0);
	if (op != NULL && op->seq > 0) {
		/* Once more in the log and not carried out again; or so late
		 * that its client does not ask any more. */
		if (op->index != 0)
			mark(MARK_SESSION_TWICE);
		else if (op->seq < c->session[op->client])
			mark(MARK_SESSION_LATE);
		if (op->index != 0 || op->seq < c->session[op->client])
			return;
		c->session[op->client] = op->seq;
	}
	model_apply(c->model, i, e != NULL ? e->payload : NULL,
	    e != NULL ? e->len : 0, &r);
	if (op == NULL)
		return;
	if (op->index != 0) {
		sim_fail(sim,
		    "operation %" PRIu64 " is committed twice, at %" PRIu64
		    " and %" PRIu64,
		    op->id, op->index, i);
		return;
	}
	op->index = i;
	op->model_succeeded = r.succeeded;
	op->model_rev = r.rev;
	if (op->outcome == OUTCOME_NOT_APPLIED)
		sim_fail(sim,
		    "operation %" PRIu64 " was reported as not applied and "
		    "is committed at %" PRIu64,
		    op->id, i);
	if (op->outcome == OUTCOME_UNKNOWN)
		mark(MARK_UNKNOWN_COMMITTED);
	if (!r.succeeded)
		mark(MARK_CAS_FAILED);
}

static void
look_commit(
    struct server *s, const struct raft *core, const struct raft_status *st)
{
	struct sim *sim = s->sim;
	struct checker *c = sim->checker;
	struct shadow *sh = shadow_of(s);

	if (st->commit < sh->commit) {
		sim_fail(sim, "s%u: commit falls from %" PRIu64 " to %" PRIu64,
		    s->number + 1, sh->commit, st->commit);
		return;
	}
	if (st->commit > st->last) {
		sim_fail(sim, "s%u: commit %" PRIu64 " beyond last %" PRIu64,
		    s->number + 1, st->commit, st->last);
		return;
	}
	for (uint64_t i = sh->commit + 1; i <= st->commit && !sim->failed;
	     i++) {
		uint64_t term = raft_term_at(core, i);

		if (i > c->committed.last) {
			if (term != st->hard.term)
				mark(MARK_COMMIT_OLD_TERM);
			commit_new(s, st, i, term);
		} else if (terms_at(&c->committed, i) != term && term != 0) {
			sim_fail(sim,
			    "state machine safety: s%u commits %" PRIu64
			    " of term %" PRIu64 ", committed was term "
			    "%" PRIu64,
			    s->number + 1, i, term, terms_at(&c->committed, i));
		}
	}
	/* 5.4.2: a leader counts only entries of its own term. */
	if (st->commit > sh->commit && sh->role == RAFT_LEADER &&
	    st->role == RAFT_LEADER && sh->hard.term == st->hard.term &&
	    raft_term_at(core, st->commit) != st->hard.term)
		sim_fail(sim,
		    "s%u leads term %" PRIu64 " and commits %" PRIu64
		    " of an older term",
		    s->number + 1, st->hard.term, st->commit);
	if (st->commit - sh->commit > 1)
		mark(MARK_COMMIT_MANY);
	sh->commit = st->commit;
}

static void
look_leader(
    struct server *s, const struct raft *core, const struct raft_status *st)
{
	struct sim *sim = s->sim;
	struct checker *c = sim->checker;
	struct shadow *sh = shadow_of(s);
	uint64_t term = st->hard.term;

	if (st->role != RAFT_LEADER)
		return;
	if (term > TERM_MAX) {
		sim_fail(sim, "s%u leads term %" PRIu64 ": terms run away",
		    s->number + 1, term);
		return;
	}
	c->leader = grow(c->leader, &c->leader_cap, term, sizeof(c->leader[0]));
	if (c->leader[term] == s->id && sh->role == RAFT_LEADER &&
	    sh->hard.term == term)
		return;
	if (c->leader[term] != 0) {
		sim_fail(sim,
		    "election safety: s%u leads term %" PRIu64
		    ", which id %" PRIu64 " led",
		    s->number + 1, term, c->leader[term]);
		return;
	}
	c->leader[term] = s->id;
	sh->leader_since = sim->now;
	mark(MARK_ELECTION_WON);
	if (!durable_majority(sim, &st->config, 0, term, s->id)) {
		sim_fail(sim,
		    "election safety: s%u leads term %" PRIu64
		    " without a majority of votes on disk",
		    s->number + 1, term);
		return;
	}
	sim_say(sim, "s%u leads term %" PRIu64, s->number + 1, term);
	/* Leader completeness: everything committed so far is in its log. */
	for (uint64_t i = c->committed.last; i > 0 && !sim->failed; i--) {
		uint64_t t = i < st->first ? terms_at(&c->committed, i)
					   : raft_term_at(core, i);

		if (t != terms_at(&c->committed, i))
			sim_fail(sim,
			    "leader completeness: s%u leads term %" PRIu64
			    " and has term %" PRIu64 " at %" PRIu64
			    ", committed was term %" PRIu64,
			    s->number + 1, term, t, i,
			    terms_at(&c->committed, i));
	}
}

void
check_clock_goes(struct server *s)
{
	shadow_of(s)->leader_since = s->sim->now;
}

/* Check-quorum: who has not heard a majority for long does not lead. */
static void
look_contact(struct server *s, const struct raft_status *st)
{
	struct sim *sim = s->sim;
	struct shadow *sh = shadow_of(s);
	uint64_t limit = sim->conf.election_us * SIM_US * 3;
	uint32_t heard = 1u << s->number;

	/* Who does not know yet how late it is cannot know this either. */
	if (st->role != RAFT_LEADER || s->stale_ns != 0 ||
	    s->drift_ppm <= -1000000 || sim->now - sh->leader_since < limit)
		return;
	for (unsigned i = 0; i < sim->server_count; i++)
		if (sim->now - sh->heard[i] < limit)
			heard |= 1u << i;
	/* A leader may be no voter any more, and then leads until that is
	 * committed. */
	if (!config_majority(sim, &st->config, heard))
		sim_fail(sim,
		    "s%u leads term %" PRIu64
		    " and has heard no majority for three election timeouts",
		    s->number + 1, st->hard.term);
}

void
check_heard(struct server *s, unsigned from)
{
	shadow_of(s)->heard[from] = s->sim->now;
}

static void
look_log(
    struct server *s, const struct raft *core, const struct raft_status *st)
{
	struct sim *sim = s->sim;
	struct shadow *sh = shadow_of(s);
	uint64_t stop;

	/* More than it could hand over; the rest is looked at then. */
	if (host_fills(s->host))
		return;
	if (st->last != sh->log.last) {
		/* All that the core has was handed to storage in this turn at
		 * the latest, and a log never ends before what it wrote. */
		sim_fail(sim,
		    "s%u has entries up to %" PRIu64 " and wrote up to "
		    "%" PRIu64,
		    s->number + 1, st->last, sh->log.last);
		return;
	}
	/* The last 8 now, all of them once in a while. */
	stop = st->last > 8 && sim->event_count % 1024 != 0 ? st->last - 8 : 0;
	for (uint64_t i = st->last; i > stop && i >= st->first; i--) {
		if (raft_term_at(core, i) != sh->log.term[i]) {
			sim_fail(sim,
			    "s%u has term %" PRIu64 " at %" PRIu64
			    " and wrote term %" PRIu64,
			    s->number + 1, raft_term_at(core, i), i,
			    sh->log.term[i]);
			return;
		}
	}
}

static void
look_hard(struct server *s, const struct raft_status *st)
{
	struct shadow *sh = shadow_of(s);

	if (st->hard.term < sh->hard.term)
		sim_fail(s->sim, "s%u: term falls from %" PRIu64 " to %" PRIu64,
		    s->number + 1, sh->hard.term, st->hard.term);
	else if (st->hard.term == sh->hard.term && sh->hard.vote != 0 &&
		 st->hard.vote != sh->hard.vote)
		sim_fail(s->sim,
		    "s%u: vote in term %" PRIu64 " changes from %" PRIu64
		    " to %" PRIu64,
		    s->number + 1, st->hard.term, sh->hard.vote, st->hard.vote);
	if (sh->role == RAFT_LEADER && st->role != RAFT_LEADER)
		mark(st->hard.term == sh->hard.term ? MARK_LEADER_STOOD_DOWN
						    : MARK_LEADER_DEPOSED);
	if (sh->role != RAFT_CANDIDATE && st->role == RAFT_CANDIDATE)
		mark(MARK_CANDIDATE);
	if (sh->role == RAFT_CANDIDATE && st->role == RAFT_CANDIDATE &&
	    st->hard.term > sh->hard.term)
		mark(MARK_ELECTION_SPLIT);
	if (sh->role == RAFT_CANDIDATE && st->role == RAFT_FOLLOWER)
		mark(MARK_CANDIDATE_YIELDED);
}

static void
look_digest(struct server *s, uint64_t applied, struct fsm_digest d)
{
	struct checker *c = s->sim->checker;
	struct shadow *sh = shadow_of(s);
	struct digest *g;

	if (applied < sh->applied) {
		sim_fail(s->sim,
		    "s%u: applied falls from %" PRIu64 " to %" PRIu64,
		    s->number + 1, sh->applied, applied);
		return;
	}
	if (applied > sh->commit)
		sim_fail(s->sim, "s%u applies %" PRIu64 ", commit is %" PRIu64,
		    s->number + 1, applied, sh->commit);
	sh->applied = applied;
	c->digest =
	    grow(c->digest, &c->digest_cap, applied, sizeof(c->digest[0]));
	g = &c->digest[applied];
	if (!g->known) {
		*g = (struct digest){d, true};
	} else if (g->d.hi != d.hi || g->d.lo != d.lo) {
		sim_fail(s->sim, "state machines differ: s%u at index %" PRIu64,
		    s->number + 1, applied);
	} else {
		mark(MARK_DIGEST_COMPARED);
	}
}

void
check_turn(struct server *s)
{
	struct sim *sim = s->sim;
	struct shadow *sh = shadow_of(s);
	const struct raft *core;
	struct raft_status st;
	struct fsm_digest digest;
	uint64_t applied;
	const char *broken;

	if (sim->failed || s->untrusted || s->fatal != 0)
		return;
	core = host_core(s->host, SERVER_GROUP);
	if (core == NULL ||
	    host_inspect(s->host, SERVER_GROUP, &st, &digest, &applied) < 0)
		return;
	broken = sim->conf.checks > 1 || sim->event_count % 16 == 0
		     ? raft_check(core)
		     : NULL;
	if (broken != NULL) {
		sim_fail(sim, "s%u: raft_check: %s", s->number + 1, broken);
		return;
	}
	look_hard(s, &st);
	look_log(s, core, &st);
	if (!sim->failed)
		configs_look(s, &st);
	if (!sim->failed)
		look_leader(s, core, &st);
	if (!sim->failed)
		look_contact(s, &st);
	if (!sim->failed)
		look_commit(s, core, &st);
	if (!sim->failed)
		look_digest(s, applied, digest);
	sh->hard = st.hard;
	sh->role = st.role;
	sh->in_force = st.config;
	sim_trace(sim, prng_mix(st.last, st.commit) ^ st.hard.term);
}
