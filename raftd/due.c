/*
 * due.c - replicated time, what is due in it, and who waits for locks.
 *
 * Replicated time goes on from the last stamp in the log at the pace of the
 * boot clock of whoever leads, counted from when that stamp came to this
 * server.  So it never passes faster than the clocks do: an entry is stamped
 * no more above the one before it than time has passed since that was made.
 * What is lost is the time for which nobody who led later had a running
 * clock, and the way of an entry to its followers.  Of the wall clock it knows
 * only the first stamp of a cluster.
 *
 * A step of the clock that no turn of a working server takes was a pause, or
 * somebody set the clock: it does not count.
 *
 * While leases are there the leader sees to it that the log gets a stamp each
 * DUE_TICK_MS, so that a restart of all servers loses no more than that, and
 * one as soon as the next lease is due.  It is an entry like any other: a
 * leader that was deposed without knowing it ends nothing.
 */
#include "raftd/inside.h"

#define DUE_TICK_MS 1000
#define DUE_RETRY_NS (10u * 1000 * 1000) /* after a proposal was refused */

void
due_clock(struct host *h, uint64_t mono_ns)
{
	uint64_t step = mono_ns - h->now.mono_ns;
	uint64_t max = 2 * h->opt.election_ns + DUE_TICK_MS * MS_NS;

	if (step <= max || MUTANT(140))
		h->steady_ns += step;
}

/* What a stamp of now would be. */
static uint64_t
time_now(const struct group *g)
{
	if (MUTANT(141))
		return g->host->now.wall_ms > g->stamp ? g->host->now.wall_ms
						       : g->stamp;
	return g->stamp + (g->host->steady_ns - g->stamp_ns) / MS_NS;
}

uint64_t
due_stamp(struct group *g)
{
	uint64_t now = time_now(g);

	if (g->stamp == 0) {
		g->stamp = g->host->now.wall_ms > 0 ? g->host->now.wall_ms : 1;
		g->stamp_ns = g->host->steady_ns;
	} else {
		g->stamp_ns += (now - g->stamp) * MS_NS;
		g->stamp = now;
	}
	return g->stamp;
}

/*
 * The last entry of the log is another one.  Its stamp counts even if it is
 * below one that was heard of before: that stood in an entry which nobody has
 * any more, and whatever is in the log was stamped without it.
 */
void
due_heard(struct group *g, uint64_t stamp)
{
	g->stamp = stamp;
	g->stamp_ns = g->host->steady_ns;
}

/* Something is due at this replicated time; false: nothing, or an entry that
 * will do is on its way. */
static bool
wanted(const struct group *g, uint64_t *at)
{
	uint64_t due = g->ops->due(g->fsm);
	uint64_t tick = g->stamp + DUE_TICK_MS;
	bool on_its_way = g->log_last > g->applied;

	if (g->st.role != RAFT_LEADER || due == UINT64_MAX ||
	    (on_its_way && (g->stamp >= due || g->tick_index > g->applied)))
		return false;
	*at = due < tick ? due : tick;
	return true;
}

void
due_turn(struct group *g)
{
	uint64_t at;

	if (g->host->broken || !wanted(g, &at) || time_now(g) < at)
		return;
	if (group_tick(g))
		g->tick_index = g->log_last;
	else
		g->tick_retry_ns = g->host->now.mono_ns + DUE_RETRY_NS;
}

uint64_t
due_deadline(const struct group *g)
{
	uint64_t now_ns = g->host->now.mono_ns, at, at_ns;

	if (!wanted(g, &at))
		return UINT64_MAX;
	/* In steady time, which goes as the other one does until then. */
	if (at <= g->stamp ||
	    __builtin_mul_overflow(at - g->stamp, MS_NS, &at_ns))
		at_ns = 0;
	at_ns += g->stamp_ns;
	if (at_ns > g->host->steady_ns)
		return now_ns + (at_ns - g->host->steady_ns);
	return g->tick_retry_ns > now_ns ? g->tick_retry_ns
					 : now_ns + DUE_RETRY_NS;
}

/* ---- waiting for locks ------------------------------------------------- */

static void
serve_wait(struct group *g, struct request *r, bool over)
{
	struct wire_error err = {0};
	struct mp_buf *reply = answer_begin(g->host, r);
	enum wire_status status =
	    g->ops->wait(g->fsm, r->params, over, reply, &err);

	if (status == WIRE_OK)
		answer_ok(g, r);
	else if (status != WIRE_ABSENT)
		answer_failed(g, r, &err);
}

/* As apply_watches(): who follows nobody sends them elsewhere. */
void
due_waits(struct group *g, bool late)
{
	struct host *h = g->host;
	bool lost = h->now.mono_ns - g->served_ns > 2 * h->opt.election_ns;
	uint64_t waits = g->ops->waits(g->fsm);
	struct request *r, *tmp;

	if (waits == g->waits && !late)
		return;
	TAILQ_FOREACH_SAFE (r, &g->queue[REQUEST_AWAITING], link, tmp) {
		if (h->stopping)
			answer_error(
			    g, r, WIRE_STOPPING, "the server is stopping");
		else if (lost)
			answer_error(
			    g, r, WIRE_NO_LEADER, "no leader is known");
		else
			serve_wait(g, r, h->now.mono_ns >= r->until_ns);
	}
	g->waits = waits;
}
