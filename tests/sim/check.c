/*
 * check.c - what must always hold, watched from outside: what goes to
 * storage, and what comes back.
 */
#include <inttypes.h>
#include <stdio.h>

#include "raftwal/record.h"
#include "tests/sim/shadow.h"

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
			free(e->config);
			free(e);
		}
	}
	for (unsigned i = 0; i < SIM_SERVERS_MAX; i++) {
		while (c->shadow[i].pending != NULL)
			pending_drop(&c->shadow[i]);
		free(c->shadow[i].log.term);
		free(c->shadow[i].durable.term);
		free(c->shadow[i].votes);
		free(c->shadow[i].config);
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
	} else if (r->kind == RECORD_CONFIG) {
		e->config = configs_read(s->sim, r->payload, r->len);
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
	uint64_t n, known;

	if (p->last < p->first || r->index < p->first) {
		p->first = r->index;
		p->last = r->index - 1;
	}
	if (r->index <= sh->log.last)
		mark(MARK_LOG_TRUNCATED);
	/* The next leader's entries may come before the last one's are on
	 * their way: one job has both. */
	if (r->index <= p->last)
		p->last = r->index - 1;
	if (r->index != p->last + 1 || r->index > sh->log.last + 1) {
		sim_fail(s->sim,
		    "s%u writes entry %" PRIu64 " with %" PRIu64 " before it",
		    s->number + 1, r->index, sh->log.last);
		return;
	}
	/* What waited for storage may have been committed by the others, and
	 * even replaced since: what is committed and written stays. */
	known = terms_at(&s->sim->checker->committed, r->index);
	if (r->index <= sh->commit && known != 0 &&
	    terms_at(&sh->log, r->index) == known) {
		sim_fail(s->sim, "s%u %s its committed entry %" PRIu64,
		    s->number + 1,
		    r->term != known ? "replaces" : "writes anew", r->index);
		return;
	}
	entry_seen(s, r, terms_at(&sh->log, r->index - 1));
	terms_set(&sh->log, r->index, r->term);
	configs_written(s, r->index, r->term);
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
	uint64_t kept = sh->commit < sh->log.last ? sh->commit : sh->log.last;

	/* It may have waited for storage while commit went on. */
	if (prev > c->committed.last || prev < kept ||
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
	configs_rebuild(s);
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
	configs_rebuild(s);
	if (st.first > 1)
		mark(MARK_SNAPSHOT_BEGUN_WITH);
	if (st.config.joint)
		mark(MARK_JOINT_RESTARTED);
	vote_durable(sh, st.hard.term, st.hard.vote);
	if (sh->hard.term > st.hard.term)
		mark(MARK_RECOVERED_OLDER_TERM);
	sh->hard = st.hard;
	sh->commit = sh->applied = 0;
	sh->role = RAFT_FOLLOWER;
	sh->in_force = st.config;
	sh->looked = true;
}
