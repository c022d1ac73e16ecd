/*
 * apply.c - committed entries to the state machine, answers to whoever waits.
 */
#include <assert.h>
#include <string.h>

#include "raftd/snapshot.h"
#include "raftd/watchers.h"

/* The command of an entry; -1: not one, which every server finds alike. */
static int
read_command(const struct record *r, struct fsm_command *c)
{
	struct mp_cur cur = mp_cur(r->payload, r->len);

	c->index = r->index;
	c->term = r->term;
	c->stamp = r->stamp;
	if (mp_read_bytes(&cur, &c->method) < 0 ||
	    mp_read_raw(&cur, &c->params) < 0 || !mp_done(&cur))
		return -1;
	return 0;
}

static enum wire_status
run(struct group *g, const struct record *r, struct mp_buf *reply,
    struct wire_error *err)
{
	struct fsm_command c;

	if (r->kind != RECORD_COMMAND)
		return g->ops->advance(g->fsm, r->index, r->stamp);
	if (read_command(r, &c) < 0) {
		if (g->ops->advance(g->fsm, r->index, r->stamp) != WIRE_OK)
			return WIRE_BUG;
		err->status = WIRE_USAGE;
		memcpy(err->message, "not a command", 14);
		return WIRE_USAGE;
	}
	return g->ops->apply(g->fsm, &c, reply, err);
}

static void
applied(struct group *g, const struct record *r)
{
	g->applied = r->index;
	g->applied_bytes += record_size(r->len);
	if (r->stamp > g->applied_stamp)
		g->applied_stamp = r->stamp;
}

int
apply_entry(struct group *g, const struct record *r)
{
	struct wire_error err = {0};

	assert(r->index == g->applied + 1);
	if (run(g, r, NULL, &err) == WIRE_BUG)
		return -1;
	applied(g, r);
	return 0;
}

/*
 * Requests at or below the index that are not this entry's: another entry
 * took the place, so theirs can never be committed.
 */
static void
settle_others(struct group *g, const struct record *r)
{
	struct request *q;

	while ((q = TAILQ_FIRST(&g->queue[REQUEST_PENDING])) != NULL &&
	       q->index <= r->index) {
		if (q->index == r->index && (q->term == r->term || MUTANT(74)))
			break;
		dispatch_move(g, q, REQUEST_WAITING);
	}
}

static int
apply_one(struct group *g, const struct record *r)
{
	struct wire_error err = {0};
	struct mp_buf *reply = NULL;
	enum wire_status status;
	struct request *q;

	settle_others(g, r);
	q = TAILQ_FIRST(&g->queue[REQUEST_PENDING]);
	if (q != NULL &&
	    (q->index != r->index || (q->term != r->term && !MUTANT(74))))
		q = NULL;
	if (q != NULL)
		reply = answer_begin(g->host, q);
	status = run(g, r, reply, &err);
	if (status == WIRE_BUG)
		return -1;
	applied(g, r);
	if (q == NULL)
		return 0;
	if (status == WIRE_OK)
		answer_ok(g, q);
	else
		answer_failed(g, q, &err);
	return 0;
}

int
apply_committed(struct group *g)
{
	struct raft_event ev = {
	    .type = RAFT_EV_APPLIED, .now = {g->host->now.mono_ns}};
	uint64_t before = g->applied, to = g->commit;
	uint64_t keep;

	if (to - before > APPLY_TURN_MAX)
		to = before + APPLY_TURN_MAX;
	while (g->applied < to) {
		const struct tail_slot *s = tail_at(&g->tail, g->applied + 1);
		struct record r;

		if (s == NULL ||
		    record_read(s->blob->data + s->offset, s->size, &r) == 0)
			return -1;
		if (apply_one(g, &r) < 0)
			return -1;
		if (watchers_lag(g))
			watchers_pass(g);
	}
	if (g->applied == before)
		return 0;
	ev.u.applied.index = g->applied;
	group_step(g, &ev);
	keep = g->st.durable < g->applied ? g->st.durable : g->applied;
	tail_trim(&g->tail, g->host->opt.cache_bytes_max, keep);
	return g->applied < g->commit;
}

/* ---- reads ------------------------------------------------------------- */

/* What was read is as of some moment since it was asked for.  false: the
 * lease ended on the way, and it must be asked for in another way. */
static bool
still_holds(struct group *g, struct request *r)
{
	if (r->leased && !MUTANT(147) && !group_lease(g)) {
		r->leased = false;
		dispatch_move(g, r, REQUEST_WAITING);
		return false;
	}
	if (r->kind == REQUEST_QUERY && r->asked_ns > g->fresh_ns)
		g->fresh_ns = r->asked_ns;
	return true;
}

static void
serve(struct group *g, struct request *r)
{
	struct wire_error err = {0};
	struct mp_buf *reply = answer_begin(g->host, r);
	enum wire_status status = WIRE_OK;

	switch (r->kind) {
	case REQUEST_STATUS:
		status_put(g, reply);
		break;
	case REQUEST_MEMBERS:
		members_put(g, reply);
		break;
	case REQUEST_DISCOVER:
		discover_put(reply);
		break;
	case REQUEST_SNAPSHOT:
	case REQUEST_COMPACT:
		snapshot_answer(g, r, reply);
		break;
	case REQUEST_SUBSCRIBE: /* answered when they came */
	case REQUEST_UNSUBSCRIBE:
	case REQUEST_WATCH: /* stand in other queues */
	case REQUEST_AWAIT:
	case REQUEST_SNAPSHOT_READ: /* answered by storage */
	case REQUEST_LOG_READ:
	case REQUEST_QUERY:
	case REQUEST_STALE:
	case REQUEST_COMMAND:
	case REQUEST_CHANGE:
	case REQUEST_TRANSFER:
		status =
		    g->ops->query(g->fsm, r->method, r->params, reply, &err);
		break;
	}
	if (!still_holds(g, r))
		return;
	if (status == WIRE_OK)
		answer_ok(g, r);
	else
		answer_failed(g, r, &err);
}

void
apply_reads(struct group *g)
{
	struct request *r, *tmp;

	TAILQ_FOREACH_SAFE (r, &g->queue[REQUEST_READY], link, tmp) {
		if (r->index <= g->applied || MUTANT(71))
			serve(g, r);
	}
}

static void
serve_watch(struct group *g, struct request *r, bool over)
{
	struct wire_error err = {0};
	struct mp_buf *reply = answer_begin(g->host, r);
	enum wire_status status =
	    g->ops->watch(g->fsm, r->params, &r->since, over, reply, &err);

	if (status == WIRE_OK)
		answer_ok(g, r);
	else if (status != WIRE_ABSENT)
		answer_failed(g, r, &err);
}

/*
 * A server that follows nobody would let its watchers wait for events that
 * others have long seen: they are better off elsewhere.
 */
void
apply_watches(struct group *g, bool late)
{
	struct host *h = g->host;
	uint64_t rev = g->ops->rev(g->fsm);
	bool lost = h->now.mono_ns - g->served_ns > 2 * h->opt.election_ns;
	struct request *r, *tmp;
	bool over;

	if (rev == g->watch_rev && !late)
		return;
	TAILQ_FOREACH_SAFE (r, &g->queue[REQUEST_WATCHING], link, tmp) {
		over = h->now.mono_ns >= r->until_ns;
		if (h->stopping)
			answer_error(
			    g, r, WIRE_STOPPING, "the server is stopping");
		else if (lost)
			answer_error(
			    g, r, WIRE_NO_LEADER, "no leader is known");
		else
			serve_watch(g, r, over);
	}
	g->watch_rev = rev;
}
