/*
 * strain.c - what a server does while its disk is full or slow.
 */
#include "raftd/strain.h"

#include <assert.h>
#include <string.h>

#define RETRY_MAX_NS UINT64_C(1000000000)
#define HEIR_LAG_MAX 4096 /* entries: more take longer than a handover */
#define BATCH_EXTRA 8192  /* its head and foot, in whole blocks */
#define HANDOVERS_MAX 3	  /* tried before clients are told */

/* ---- the writes that are not back -------------------------------------- */

bool
strain_submit(struct host *h, struct store_job *j)
{
	struct strain *s = &h->strain;

	if (!STAILQ_EMPTY(&s->parked)) {
		STAILQ_INSERT_TAIL(&s->parked, j, link);
		s->parked_count++;
		return true;
	}
	if (s->writes_out++ == 0)
		s->oldest = j->seq;
	if (j->seq - s->oldest < STRAIN_WRITES)
		s->begun_ns[j->seq % STRAIN_WRITES] = h->now.mono_ns;
	return false;
}

/* How long the oldest one has been away. */
static uint64_t
oldest_ns(const struct host *h)
{
	const struct strain *s = &h->strain;

	return s->writes_out == 0
		   ? 0
		   : h->now.mono_ns - s->begun_ns[s->oldest % STRAIN_WRITES];
}

static void
begin_shortage(struct host *h)
{
	struct strain *s = &h->strain;

	if (s->is_short)
		return;
	s->is_short = true;
	s->look_ns = h->now.mono_ns;
	s->tell_ns = h->now.mono_ns;
	s->handovers = 0;
	host_log(h, HOST_ERROR, "event=nospace text=\"%s\"",
	    "the log cannot grow: no writes are taken");
}

bool
strain_stored(struct host *h, struct store_job *j)
{
	struct strain *s = &h->strain;

	assert(s->writes_out > 0);
	s->writes_out--;
	s->oldest = j->seq + 1;
	if (j->is_short)
		begin_shortage(h);
	s->room = j->room;
	if (!store_is_nospace(j->error) || MUTANT(82))
		return false;
	begin_shortage(h);
	j->error = 0;
	j->again = true;
	STAILQ_INSERT_TAIL(&s->parked, j, link);
	s->parked_count++;
	return true;
}

/* What found no room is written after all, in the order it had. */
static void
submit_parked(struct host *h)
{
	struct strain *s = &h->strain;
	struct store_queue q = STAILQ_HEAD_INITIALIZER(q);
	struct store_job *j;

	STAILQ_CONCAT(&q, &s->parked);
	s->parked_count = 0;
	while ((j = STAILQ_FIRST(&q)) != NULL) {
		STAILQ_REMOVE_HEAD(&q, link);
		host_submit(h, j);
	}
}

void
strain_retried(struct host *h, const struct store_job *j)
{
	struct strain *s = &h->strain;

	s->retrying = false;
	if (j->error != 0)
		return;
	s->is_short = false;
	s->tell_ns = h->now.mono_ns;
	host_log(h, HOST_INFO, "event=space waiting=%u", s->parked_count);
	submit_parked(h);
}

bool
strain_drained(const struct host *h)
{
	return h->fill == NULL || !STAILQ_EMPTY(&h->strain.parked);
}

void
strain_release(struct host *h)
{
	struct store_job *j;

	while ((j = STAILQ_FIRST(&h->strain.parked)) != NULL) {
		STAILQ_REMOVE_HEAD(&h->strain.parked, link);
		host_stored(h, j);
	}
}

bool
strain_takes_jobs(const struct host *h)
{
	return h->jobs_out < STORE_JOBS_MAX / 2 &&
	       STAILQ_EMPTY(&h->strain.parked);
}

bool
strain_takes_entries(const struct host *h, uint64_t bytes)
{
	const struct strain *s = &h->strain;

	/* A few that are certain to fit are taken, one batch at a time: a
	 * new leader's first entry has to be committed before it reads. */
	if (s->is_short &&
	    (s->writes_out > 0 || h->fill != NULL ||
		!STAILQ_EMPTY(&s->parked) || bytes > s->room / 2 ||
		2 * bytes + BATCH_EXTRA > s->room))
		return false;
	return h->jobs_out < STORE_JOBS_MAX && h->bytes_out < STORE_BYTES_MAX;
}

/* ---- who has space ----------------------------------------------------- */

void
strain_told(struct group *g, uint64_t peer, bool full)
{
	struct host *h = g->host;
	struct peer *p = host_peer(h, peer);

	if (p != NULL)
		p->full_ns = full ? h->now.mono_ns + 2 * h->opt.election_ns : 0;
}

bool
strain_is_full(const struct group *g, uint64_t peer)
{
	struct host *h = g->host;
	const struct peer *p = host_peer(h, peer);

	if (peer == h->opt.id)
		return h->strain.is_short;
	return p != NULL && p->full_ns > h->now.mono_ns;
}

static void
tell_peers(struct group *g)
{
	struct host *h = g->host;
	struct strain *s = &h->strain;
	struct piece piece;

	if (h->now.mono_ns < s->tell_ns)
		return;
	/* Once more when it is over, then silence. */
	s->tell_ns =
	    s->is_short ? h->now.mono_ns + h->opt.election_ns / 2 : UINT64_MAX;
	mp_buf_reset(&h->wire);
	space_put(&h->wire, g->id, s->is_short);
	if (h->wire.failed)
		return;
	piece = (struct piece){NULL, h->wire.data, h->wire.len};
	for (uint32_t i = 0; i < g->st.config.count; i++)
		if (g->st.config.member[i].id != h->opt.id)
			h->env.peer_send(
			    h->env.ctx, g->st.config.member[i].id, &piece, 1);
}

/* Do enough voters have space to commit anything? */
static bool
enough(const struct group *g, uint8_t half)
{
	unsigned all = 0, able = 0;

	for (uint32_t i = 0; i < g->st.config.count; i++) {
		const struct raft_member *m = &g->st.config.member[i];

		if ((m->voter & half) == 0)
			continue;
		all++;
		able += !strain_is_full(g, m->id);
	}
	return all == 0 || able > all / 2;
}

/* Whoever could lead instead of us, and do better. */
static uint64_t
heir(struct group *g)
{
	struct raft_peer_status ps;
	uint64_t to = RAFT_NONE, match = 0;

	for (uint32_t i = 0; i < g->st.config.count; i++) {
		const struct raft_member *m = &g->st.config.member[i];

		if (m->id == g->host->opt.id || m->voter == 0 ||
		    strain_is_full(g, m->id) ||
		    !members_in_sync(g, m->id, HEIR_LAG_MAX) ||
		    raft_peer_status(g->raft, m->id, &ps) < 0)
			continue;
		if (to == RAFT_NONE || ps.match > match) {
			to = m->id;
			match = ps.match;
		}
	}
	return to;
}

static bool
hand_over(struct group *g, const char *why)
{
	struct host *h = g->host;
	uint64_t to = heir(g);

	if (g->st.transfer_to != RAFT_NONE)
		return true;
	if (to == RAFT_NONE || !group_transfer(g, to))
		return false;
	host_log(h, HOST_WARN, "event=handover group=%u to=%llu reason=\"%s\"",
	    g->id, (unsigned long long)to, why);
	group_refresh(g);
	return true;
}

enum strain_gate
strain_gate(struct group *g)
{
	struct strain *s = &g->host->strain;

	if (!s->is_short)
		return enough(g, RAFT_VOTER_NEW) && enough(g, RAFT_VOTER_OLD)
			   ? STRAIN_GO
			   : STRAIN_REFUSE;
	return g->st.transfer_to != RAFT_NONE && s->handovers <= HANDOVERS_MAX
		   ? STRAIN_WAIT
		   : STRAIN_REFUSE;
}

/* ---- the turn ---------------------------------------------------------- */

/* They wait for entries that there is no room for: the leader has them. */
static void
give_up_reads(struct group *g)
{
	struct request *r, *tmp;

	TAILQ_FOREACH_SAFE (r, &g->queue[REQUEST_READY], link, tmp)
		if (r->kind == REQUEST_QUERY && r->index > g->st.last)
			dispatch_move(g, r, REQUEST_WAITING);
}

static void
look_space(struct group *g)
{
	struct host *h = g->host;
	struct strain *s = &h->strain;
	struct store_job *j;

	tell_peers(g);
	if (!s->is_short)
		return;
	give_up_reads(g);
	if (g->st.role == RAFT_LEADER && g->st.ready && !h->stopping &&
	    g->st.transfer_to == RAFT_NONE && h->now.mono_ns >= s->handed_ns &&
	    hand_over(g, "no space")) {
		s->handed_ns = h->now.mono_ns + 2 * h->opt.election_ns;
		s->handovers++;
	}
	/* Behind every write that may still be refused. */
	if (s->retrying || s->writes_out > 0 || h->now.mono_ns < s->look_ns)
		return;
	j = host_job(h);
	if (j == NULL)
		return;
	j->kind = STORE_RETRY;
	s->retrying = true;
	s->look_ns = h->now.mono_ns + (h->opt.election_ns < RETRY_MAX_NS
					      ? h->opt.election_ns
					      : RETRY_MAX_NS);
	host_submit(h, j);
}

static bool
is_alone(const struct group *g)
{
	for (uint32_t i = 0; i < g->st.config.count; i++)
		if (g->st.config.member[i].voter != 0 &&
		    g->st.config.member[i].id != g->host->opt.id)
			return false;
	return true;
}

static void
look_stall(struct group *g)
{
	struct host *h = g->host;
	struct strain *s = &h->strain;
	uint64_t age = oldest_ns(h);
	bool stalled = age > h->opt.election_ns / 2;
	struct raft_event ev = {
	    .type = RAFT_EV_STEP_DOWN, .now = {h->now.mono_ns}};

	if (stalled != s->is_stalled) {
		s->is_stalled = stalled;
		host_log(h, stalled ? HOST_WARN : HOST_INFO, "event=%s ms=%llu",
		    stalled ? "disk_stalled" : "disk_ok",
		    (unsigned long long)(age / 1000000));
	}
	if (!stalled || g->st.role != RAFT_LEADER || is_alone(g))
		return;
	if (age <= h->opt.election_ns) {
		(void)hand_over(g, "stalled disk");
		return;
	}
	if (MUTANT(84))
		return;
	host_log(h, HOST_WARN, "event=step_down group=%u reason=\"%s\"", g->id,
	    "stalled disk");
	group_step(g, &ev);
	group_refresh(g);
}

void
strain_turn(struct group *g)
{
	if (g->host->broken)
		return;
	look_stall(g);
	look_space(g);
}

uint64_t
strain_deadline(const struct group *g)
{
	const struct host *h = g->host;
	const struct strain *s = &h->strain;
	uint64_t at = UINT64_MAX, age = oldest_ns(h);
	uint64_t half = h->opt.election_ns / 2;

	if (s->is_short && !s->retrying && s->writes_out == 0)
		at = s->look_ns;
	if (s->is_short && s->tell_ns < at)
		at = s->tell_ns;
	if (s->writes_out > 0 && age <= 2 * half + 1) {
		uint64_t due = h->now.mono_ns - age +
			       (age <= half ? half : h->opt.election_ns) + 1;

		if (due < at)
			at = due;
	}
	return at > h->now.mono_ns ? at : h->now.mono_ns + 1;
}

const char *
strain_name(const struct host *h)
{
	return h->mend.segment != 0   ? "damaged"
	       : h->strain.is_short   ? "full"
	       : h->strain.is_stalled ? "stalled"
				      : "ok";
}
