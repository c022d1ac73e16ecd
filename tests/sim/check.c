/*
 * check.c - what must always hold, watched from outside.
 */
#include "tests/sim/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/fsm/fsm.h"
#include "raftwal/record.h"
#include "tests/sim/model.h"

#define TERM_MAX 10000000 /* beyond, terms run away */

/* One entry as some server wrote it: (index, term) names it. */
struct entry {
	uint64_t term, prev_term;
	uint32_t crc;
	uint32_t len;
	uint8_t kind;
	uint64_t op;
	uint8_t *payload;   /* kept until it is committed or the run ends */
	struct entry *next; /* another term at this index */
};

/* The terms of a log, by index. */
struct terms {
	uint64_t *term;
	size_t cap;
	uint64_t last;
};

/* A write job that is not yet known to be durable. */
struct pending {
	struct pending *next;
	uint64_t seq;
	uint64_t first, last;	/* entries, none if last < first */
	uint64_t *term;		/* of first..last */
	struct raft_hard *hard; /* each state record, in order */
	unsigned hard_count;
};

/* What is known of one server. */
struct shadow {
	struct terms log;     /* as its core has it */
	struct terms durable; /* as its disk would give it back */
	uint64_t durable_term, durable_vote;
	uint64_t *votes; /* on disk at some time, by term */
	size_t votes_cap;
	struct pending *pending, **pending_end;
	/* from the last look */
	struct raft_hard hard;
	uint64_t commit, applied;
	enum raft_role role;
	bool looked;
	uint64_t
	    heard[SIM_SERVERS_MAX]; /* simulated time of the last message */
	uint64_t leader_since;
};

struct checker {
	struct entry **at; /* by index */
	size_t at_cap;
	uint64_t last; /* highest index ever written */
	struct terms committed;
	struct digest {
		struct fsm_digest d;
		bool known;
	} * digest; /* by applied index */
	size_t digest_cap;
	uint64_t *leader; /* id, by term */
	size_t leader_cap;
	struct shadow shadow[SIM_SERVERS_MAX];
	struct model *model;
	uint64_t floor; /* place of the latest complete operation */
};

/* ---- small things ------------------------------------------------------- */

/* Room for [index] in an array of zeroes. */
static void *
grow(void *array, size_t *cap, uint64_t index, size_t size)
{
	size_t n = *cap == 0 ? 1024 : *cap;

	if (index < *cap)
		return array;
	while (n <= index)
		n *= 2;
	array = sim_must(realloc(array, n * size));
	memset((char *)array + *cap * size, 0, (n - *cap) * size);
	*cap = n;
	return array;
}

static void
terms_set(struct terms *t, uint64_t index, uint64_t term)
{
	t->term = grow(t->term, &t->cap, index, sizeof(t->term[0]));
	t->term[index] = term;
	t->last = index;
}

static uint64_t
terms_at(const struct terms *t, uint64_t index)
{
	return index == 0 || index > t->last ? 0 : t->term[index];
}

static struct shadow *
shadow_of(const struct server *s)
{
	return &s->sim->checker->shadow[s->number];
}

static uint64_t
voted(const struct server *s, uint64_t term)
{
	const struct shadow *sh = shadow_of(s);

	return term < sh->votes_cap ? sh->votes[term] : 0;
}

void
check_init(struct sim *sim)
{
	struct checker *c = sim_must(calloc(1, sizeof(*c)));

	for (unsigned i = 0; i < SIM_SERVERS_MAX; i++)
		c->shadow[i].pending_end = &c->shadow[i].pending;
	c->model = model_new();
	sim->checker = c;
}

static void
pending_drop(struct shadow *sh)
{
	struct pending *p = sh->pending;

	sh->pending = p->next;
	if (sh->pending == NULL)
		sh->pending_end = &sh->pending;
	free(p->term);
	free(p->hard);
	free(p);
}

void
check_free(struct checker *c)
{
	if (c == NULL)
		return;
	for (uint64_t i = 0; i < c->at_cap; i++) {
		struct entry *e, *next;

		for (e = c->at[i]; e != NULL; e = next) {
			next = e->next;
			free(e->payload);
			free(e);
		}
	}
	for (unsigned i = 0; i < SIM_SERVERS_MAX; i++) {
		while (c->shadow[i].pending != NULL)
			pending_drop(&c->shadow[i]);
		free(c->shadow[i].log.term);
		free(c->shadow[i].durable.term);
		free(c->shadow[i].votes);
	}
	free(c->at);
	free(c->committed.term);
	free(c->digest);
	free(c->leader);
	model_free(c->model);
	free(c);
}

uint64_t
check_committed(const struct sim *sim)
{
	return sim->checker->committed.last;
}

uint64_t
check_key_op(const struct sim *sim, unsigned key)
{
	return model_key_op(sim->checker->model, key);
}

static struct entry *
entry_find(struct checker *c, uint64_t index, uint64_t term)
{
	if (index >= c->at_cap)
		return NULL;
	for (struct entry *e = c->at[index]; e != NULL; e = e->next)
		if (e->term == term)
			return e;
	return NULL;
}

/* ---- what goes to storage ----------------------------------------------- */

/* An entry is written: log matching says that (index, term) is one thing. */
static void
entry_seen(struct server *s, const struct record *r, uint64_t prev_term)
{
	struct checker *c = s->sim->checker;
	struct entry *e = entry_find(c, r->index, r->term);
	struct model_command cmd = {0, false};
	uint32_t crc;

	/* The record's first field; payload stands behind the header. */
	memcpy(&crc, r->payload - RECORD_HEADER_LEN, sizeof(crc));
	if (e != NULL) {
		if (e->crc != crc || e->len != r->len)
			sim_fail(s->sim,
			    "log matching: s%u writes another entry "
			    "%" PRIu64 " of term %" PRIu64,
			    s->number + 1, r->index, r->term);
		else if (e->prev_term != prev_term)
			sim_fail(s->sim,
			    "log matching: before %" PRIu64 " of term "
			    "%" PRIu64 " s%u has term %" PRIu64
			    ", another had %" PRIu64,
			    r->index, r->term, s->number + 1, prev_term,
			    e->prev_term);
		return;
	}
	e = sim_must(calloc(1, sizeof(*e)));
	e->term = r->term;
	e->prev_term = prev_term;
	e->crc = crc;
	e->len = r->len;
	e->kind = (uint8_t)r->kind;
	if (r->kind == RECORD_COMMAND) {
		model_parse(r->payload, r->len, &cmd);
		e->op = cmd.op;
		e->payload = sim_must(malloc(r->len + 1));
		memcpy(e->payload, r->payload, r->len);
	}
	c->at = grow(c->at, &c->at_cap, r->index, sizeof(c->at[0]));
	if (c->at[r->index] != NULL)
		mark(MARK_LOG_CONFLICT);
	e->next = c->at[r->index];
	c->at[r->index] = e;
	if (r->index > c->last)
		c->last = r->index;
}

static void
pending_entry(struct server *s, struct pending *p, const struct record *r)
{
	struct shadow *sh = shadow_of(s);
	uint64_t n;

	if (p->last < p->first) {
		p->first = r->index;
		p->last = r->index - 1;
		if (r->index <= sh->log.last)
			mark(MARK_LOG_TRUNCATED);
	}
	if (r->index != p->last + 1 || r->index > sh->log.last + 1) {
		sim_fail(s->sim,
		    "s%u writes entry %" PRIu64 " with %" PRIu64 " before it",
		    s->number + 1, r->index, sh->log.last);
		return;
	}
	/* What waited for storage may have been committed by the others. */
	if (r->index <= sh->commit) {
		bool waited = r->index > sh->log.last;
		const struct terms *known =
		    waited ? &s->sim->checker->committed : &sh->log;

		if (terms_at(known, r->index) != r->term)
			sim_fail(s->sim,
			    "s%u replaces its committed entry %" PRIu64,
			    s->number + 1, r->index);
		else if (!waited)
			sim_fail(s->sim,
			    "s%u writes its committed entry %" PRIu64 " anew",
			    s->number + 1, r->index);
		if (s->sim->failed)
			return;
	}
	entry_seen(s, r, terms_at(&sh->log, r->index - 1));
	terms_set(&sh->log, r->index, r->term);
	n = r->index - p->first;
	if ((n & (n - 1)) == 0) /* grow at powers of two */
		p->term = sim_must(realloc(
		    p->term, (n == 0 ? 1 : n * 2) * sizeof(p->term[0])));
	p->term[n] = r->term;
	p->last = r->index;
}

static uint64_t
get_u64(const uint8_t *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof(x));
	return x;
}

/*
 * A snapshot takes the log's place.  Its file is durable, so a restart would
 * begin with it from now on, whatever becomes of this job and of those
 * before: up to its index the log is what is committed.
 */
static void
reset_seen(struct server *s, struct pending *p, const struct record *r)
{
	struct checker *c = s->sim->checker;
	struct shadow *sh = shadow_of(s);
	uint64_t prev = get_u64(r->payload);

	if (prev > c->committed.last || prev < sh->commit ||
	    terms_at(&c->committed, prev) != r->term) {
		sim_fail(s->sim,
		    "s%u takes a snapshot of %" PRIu64 " of term %" PRIu64
		    ", committed is %" PRIu64 ", its own commit %" PRIu64,
		    s->number + 1, prev, r->term, c->committed.last,
		    sh->commit);
		return;
	}
	mark(MARK_SNAPSHOT_INSTALLED);
	for (struct pending *q = sh->pending; q != NULL; q = q->next) {
		q->first = 1;
		q->last = 0;
	}
	p->first = 1;
	p->last = 0;
	sh->log.last = sh->durable.last = 0;
	for (uint64_t i = 1; i <= prev; i++) {
		terms_set(&sh->log, i, terms_at(&c->committed, i));
		terms_set(&sh->durable, i, terms_at(&c->committed, i));
	}
}

static void
pending_record(struct server *s, struct pending *p, const struct record *r)
{
	if (record_is_entry(r->kind)) {
		pending_entry(s, p, r);
	} else if (r->kind == RECORD_RESET && r->len >= 8) {
		reset_seen(s, p, r);
	} else if (r->kind == RECORD_STATE && r->len >= 8) {
		p->hard = sim_must(
		    realloc(p->hard, (p->hard_count + 1) * sizeof(p->hard[0])));
		p->hard[p->hard_count++] =
		    (struct raft_hard){r->term, get_u64(r->payload)};
	}
}

void
check_submitted(struct server *s, const struct store_job *job)
{
	struct shadow *sh = shadow_of(s);
	struct pending *p = sim_must(calloc(1, sizeof(*p)));

	p->seq = job->seq;
	p->first = 1;
	*sh->pending_end = p;
	sh->pending_end = &p->next;
	for (int i = 0; i < job->iovcnt && !s->sim->failed; i++) {
		const uint8_t *data = job->iov[i].iov_base;
		size_t len = job->iov[i].iov_len;

		while (len > 0) {
			struct record r;
			size_t n = record_read(data, len, &r);

			if (n == 0) {
				sim_fail(s->sim,
				    "s%u hands storage what is "
				    "no record",
				    s->number + 1);
				return;
			}
			if (r.group == SERVER_GROUP)
				pending_record(s, p, &r);
			data += n;
			len -= n;
		}
	}
}

static void
vote_durable(struct shadow *sh, uint64_t term, uint64_t vote)
{
	sh->durable_term = term;
	sh->durable_vote = vote;
	if (term > TERM_MAX)
		return;
	sh->votes = grow(sh->votes, &sh->votes_cap, term, sizeof(*sh->votes));
	sh->votes[term] = vote;
}

/* The first of the jobs that wait is durable. */
static void
pending_apply(struct shadow *sh)
{
	const struct pending *p = sh->pending;

	for (uint64_t i = p->first; i <= p->last; i++)
		terms_set(&sh->durable, i, p->term[i - p->first]);
	for (unsigned i = 0; i < p->hard_count; i++)
		vote_durable(sh, p->hard[i].term, p->hard[i].vote);
	pending_drop(sh);
}

void
check_synced(struct server *s, const struct store_job *job)
{
	struct shadow *sh = shadow_of(s);

	if (sh->pending == NULL || sh->pending->seq != job->seq) {
		sim_fail(
		    s->sim, "s%u: storage jobs out of order", s->number + 1);
		return;
	}
	pending_apply(sh);
}

void
check_crashed(struct server *s, bool power)
{
	struct shadow *sh = shadow_of(s);

	(void)power;
	sh->looked = false;
}

void
check_forget(struct server *s)
{
	struct shadow *sh = shadow_of(s);

	while (sh->pending != NULL)
		pending_drop(sh);
	sh->durable.last = 0;
	sh->durable_term = sh->durable_vote = 0;
	s->replaced = true;
}

/* ---- recovery ----------------------------------------------------------- */

static bool
log_equals(const struct raft *core, const struct raft_status *st,
    const struct terms *log)
{
	if (st->last != log->last)
		return false;
	for (uint64_t i = log->last; i >= st->first && i > 0; i--)
		if (raft_term_at(core, i) != log->term[i])
			return false;
	return true;
}

/*
 * What was read back is what was durable, and of the batches that were not
 * yet durable a prefix.
 */
void
check_started(struct server *s)
{
	struct shadow *sh = shadow_of(s);
	const struct raft *core = host_core(s->host, SERVER_GROUP);
	struct raft_status st;
	bool equal, snapshot;

	if (!server_status(s, &st))
		return;
	/* A snapshot of what was committed and applied may be durable before
	 * the entries themselves are: then it takes the place of the log. */
	snapshot = st.first > 1 && st.last + 1 == st.first &&
		   st.last >= sh->durable.last;
	for (;;) {
		equal = ((st.hard.term == sh->durable_term &&
			     st.hard.vote == sh->durable_vote) ||
			    (snapshot && st.hard.vote == 0 &&
				st.hard.term > sh->durable_term)) &&
			(snapshot || log_equals(core, &st, &sh->durable));
		if (equal || sh->pending == NULL)
			break;
		pending_apply(sh);
		mark(MARK_RECOVERED_UNSYNCED);
	}
	/* The very first start bootstraps on its own. */
	if (!equal && !s->damaged && !s->untrusted && sh->durable.last > 0) {
		sim_fail(s->sim,
		    "recovery: s%u reads back term %" PRIu64 " vote %" PRIu64
		    " last %" PRIu64 ", durable were %" PRIu64 " %" PRIu64
		    " %" PRIu64,
		    s->number + 1, st.hard.term, st.hard.vote, st.last,
		    sh->durable_term, sh->durable_vote, sh->durable.last);
		return;
	}
	if (sh->pending != NULL)
		mark(MARK_RECOVERED_TORN);
	while (sh->pending != NULL)
		pending_drop(sh);
	sh->log.last = sh->durable.last = 0;
	for (uint64_t i = 1; i <= st.last; i++) {
		uint64_t term = raft_term_at(core, i);

		if (i < st.first)
			term = terms_at(&s->sim->checker->committed, i);
		terms_set(&sh->log, i, term);
		terms_set(&sh->durable, i, term);
	}
	if (st.first > 1)
		mark(MARK_SNAPSHOT_BEGUN_WITH);
	vote_durable(sh, st.hard.term, st.hard.vote);
	if (sh->hard.term > st.hard.term)
		mark(MARK_RECOVERED_OLDER_TERM);
	sh->hard = st.hard;
	sh->commit = sh->applied = 0;
	sh->role = RAFT_FOLLOWER;
	sh->looked = true;
}

/* ---- after each turn ---------------------------------------------------- */

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
	return true;
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
	    !durable_majority(sim, &st->config, i, term, 0)) {
		sim_fail(sim,
		    "s%u commits %" PRIu64 " of term %" PRIu64
		    ", which no majority has on disk",
		    s->number + 1, i, term);
		return;
	}
	model_apply(c->model, i, e != NULL ? e->payload : NULL,
	    e != NULL ? e->len : 0, &r);
	op = clients_op(sim, e != NULL ? e->op : 0);
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

/* Check-quorum: who has not heard a majority for long does not lead. */
static void
look_contact(struct server *s, const struct raft_status *st)
{
	struct sim *sim = s->sim;
	struct shadow *sh = shadow_of(s);
	uint64_t limit = sim->conf.election_us * SIM_US * 3;
	unsigned heard = 1;

	if (st->role != RAFT_LEADER || sim->now - sh->leader_since < limit)
		return;
	for (unsigned i = 0; i < sim->conf.servers; i++)
		heard += i != s->number && sim->now - sh->heard[i] < limit;
	if (heard * 2 <= sim->conf.servers)
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
		look_leader(s, core, &st);
	if (!sim->failed)
		look_contact(s, &st);
	if (!sim->failed)
		look_commit(s, core, &st);
	if (!sim->failed)
		look_digest(s, applied, digest);
	sh->hard = st.hard;
	sh->role = st.role;
	sim_trace(sim, prng_mix(st.last, st.commit) ^ st.hard.term);
}

/* ---- messages ----------------------------------------------------------- */

static void
sent_vote_reply(struct server *from, unsigned to, const struct raft_msg *m)
{
	struct shadow *sh = shadow_of(from);
	uint64_t candidate = from->sim->server[to]->id;

	if (!m->u.vote_reply.granted) {
		struct shadow *asker = &from->sim->checker->shadow[to];
		uint64_t mine = terms_at(&sh->log, sh->log.last);
		uint64_t its = terms_at(&asker->log, asker->log.last);

		mark(MARK_VOTE_REJECTED);
		if (mine > its ||
		    (mine == its && sh->log.last > asker->log.last))
			mark(MARK_VOTE_STALE_LOG);
		return;
	}
	mark(MARK_VOTE_GRANTED);
	if (voted(from, m->u.vote_reply.term) != candidate)
		sim_fail(from->sim,
		    "s%u grants s%u a vote in term %" PRIu64
		    " that is not on its disk",
		    from->number + 1, to + 1, m->u.vote_reply.term);
}

/* Its state has all up to here from a snapshot, whose file is durable; the
 * record that says so is perhaps not written yet. */
static bool
in_snapshot(struct server *s, uint64_t index)
{
	struct raft_status st;

	return server_status(s, &st) && index < st.first &&
	       index <= s->sim->checker->committed.last;
}

static void
sent_append_reply(struct server *from, unsigned to, const struct raft_msg *m)
{
	struct shadow *sh = shadow_of(from);
	struct shadow *leader = &from->sim->checker->shadow[to];
	uint64_t match = m->u.append_reply.match;

	if (!m->u.append_reply.ok) {
		mark(MARK_APPEND_REFUSED);
		if (m->u.append_reply.hint_index + 1 <
		    m->u.append_reply.prev_index)
			mark(MARK_APPEND_HINT_JUMPS);
		return;
	}
	mark(MARK_APPEND_ACKED);
	if (sh->durable_term < m->term) {
		sim_fail(from->sim,
		    "s%u speaks in term %" PRIu64 " that is not on its disk",
		    from->number + 1, m->term);
		return;
	}
	if (match > sh->durable.last && in_snapshot(from, match))
		return;
	if (match > sh->durable.last) {
		sim_fail(from->sim,
		    "s%u acknowledges %" PRIu64 ", durable is %" PRIu64,
		    from->number + 1, match, sh->durable.last);
		return;
	}
	/* If that one still leads this very term, both have the same. */
	if (leader->role == RAFT_LEADER && leader->hard.term == m->term &&
	    match <= leader->log.last &&
	    terms_at(&sh->durable, match) != terms_at(&leader->log, match))
		sim_fail(from->sim,
		    "s%u acknowledges %" PRIu64 " to s%u and has term %" PRIu64
		    " there on disk, the leader has %" PRIu64,
		    from->number + 1, match, to + 1,
		    terms_at(&sh->durable, match),
		    terms_at(&leader->log, match));
}

void
check_sent(
    struct server *from, unsigned to, const struct raft_msg *m, uint32_t group)
{
	if (group != SERVER_GROUP || from->untrusted)
		return;
	switch (m->type) {
	case RAFT_VOTE:
		mark(MARK_VOTE_ASKED);
		/* A candidate's own vote is one too. */
		if (voted(from, m->term) != from->id)
			sim_fail(from->sim,
			    "s%u asks for votes in term %" PRIu64
			    " before its own is on disk",
			    from->number + 1, m->term);
		if (m->u.vote.transfer)
			mark(MARK_TRANSFER);
		break;
	case RAFT_VOTE_REPLY:
		sent_vote_reply(from, to, m);
		break;
	case RAFT_PREVOTE:
		mark(MARK_PREVOTE_ASKED);
		break;
	case RAFT_PREVOTE_REPLY:
		mark(m->u.vote_reply.granted ? MARK_PREVOTE_GRANTED
					     : MARK_PREVOTE_REJECTED);
		break;
	case RAFT_APPEND:
		if (m->u.append.last == m->u.append.prev_index)
			mark(MARK_APPEND_EMPTY);
		else if (m->u.append.run_count > 1)
			mark(MARK_APPEND_TERMS);
		else
			mark(MARK_APPEND);
		break;
	case RAFT_APPEND_REPLY:
		sent_append_reply(from, to, m);
		break;
	case RAFT_HEARTBEAT:
		mark(MARK_HEARTBEAT);
		break;
	case RAFT_READ_INDEX:
		mark(MARK_READ_ASKED);
		break;
	case RAFT_READ_INDEX_REPLY:
		mark(m->u.read.ok ? MARK_READ_CONFIRMED : MARK_READ_REFUSED);
		break;
	case RAFT_TIMEOUT_NOW:
		mark(MARK_TIMEOUT_NOW);
		break;
	default:
		break;
	}
}

/* ---- operations --------------------------------------------------------- */

void
check_invoked(struct sim *sim, struct op *op)
{
	op->floor = sim->checker->floor;
}

static void
complete(struct sim *sim, uint64_t place)
{
	if (place > sim->checker->floor)
		sim->checker->floor = place;
}

void
check_write_done(struct sim *sim, struct op *op, bool succeeded, uint64_t rev)
{
	if (op->index == 0) {
		sim_fail(sim,
		    "operation %" PRIu64 " acknowledged, committed nowhere",
		    op->id);
		return;
	}
	if (op->index <= op->floor) {
		sim_fail(sim,
		    "not linearizable: operation %" PRIu64 " stands at "
		    "%" PRIu64 ", and %" PRIu64 " was complete before it began",
		    op->id, op->index, op->floor);
		return;
	}
	if (succeeded != op->model_succeeded || rev != op->model_rev) {
		sim_fail(sim,
		    "operation %" PRIu64 " at %" PRIu64 " answered %s rev "
		    "%" PRIu64 ", the model says %s rev %" PRIu64,
		    op->id, op->index, succeeded ? "true" : "false", rev,
		    op->model_succeeded ? "true" : "false", op->model_rev);
		return;
	}
	complete(sim, op->index);
}

void
check_read_done(struct sim *sim, struct op *op, bool found,
    const uint8_t *value, size_t len)
{
	uint64_t place = model_when(
	    sim->checker->model, op->key, found, value, len, op->floor);

	if (place == 0) {
		sim_fail(sim,
		    "not linearizable: operation %" PRIu64 " reads k%u as "
		    "%s%.*s, which it was at no time since index %" PRIu64,
		    op->id, op->key, found ? "" : "absent",
		    (int)(len > 40 ? 40 : len), (const char *)value, op->floor);
		return;
	}
	if (place > op->floor)
		mark(MARK_READ_CONCURRENT);
	complete(sim, place);
}

void
check_not_applied(struct sim *sim, struct op *op)
{
	if (op->index != 0)
		sim_fail(sim,
		    "operation %" PRIu64 " is committed at %" PRIu64
		    " and reported as not applied",
		    op->id, op->index);
}

bool
check_converged(struct sim *sim, uint32_t servers)
{
	for (unsigned i = 0; i < sim->conf.servers; i++) {
		struct server *s = sim->server[i];
		struct raft_status st;
		struct fsm_digest d;
		uint64_t applied;

		if (!(servers & (1u << i)))
			continue;
		if (!server_up(s) ||
		    host_inspect(s->host, SERVER_GROUP, &st, &d, &applied) < 0)
			return false;
		if (applied != st.last || applied < check_committed(sim) ||
		    st.commit != st.last)
			return false;
	}
	return true;
}
