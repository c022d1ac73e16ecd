/*
 * quarantine.c - servers that came back with an empty or an old directory.
 *
 * Their peers know them: by the directory's uuid, the boot counter and its
 * nonce, and by what they acknowledged (hello.c).  Such a server is refused
 * until it says of itself that it may have forgotten its promises; it notes
 * that in its log first.  Then it follows without a vote, and nothing that it
 * acknowledges counts, until the leader tells it that this is over; the rule
 * is the core's (core/trust.c).
 */
#include <string.h>

#include "raftd/inside.h"

#define ULL(n) ((unsigned long long)(n))

static void
step(struct group *g, enum raft_event_type type, uint64_t id)
{
	struct raft_event ev = {.type = type, .now = {g->host->now.mono_ns}};

	ev.u.peer.id = id;
	group_step(g, &ev);
}

/* Of ourselves, as a peer: the boot counter says whether it is so. */
static void
note(struct group *g)
{
	struct host *h = g->host;
	struct peer self = {.id = h->opt.id, .boot = g->untrusted};

	group_put_peer(g, &self);
	g->untrusted_seq = h->fill != NULL ? h->job_seq + 1 : h->job_seq;
}

void
quarantine_lost(struct group *g, uint64_t by)
{
	if (!g->untrusted && !g->removed)
		g->untrusted_by = by;
}

bool
quarantine_is_noted(const struct group *g)
{
	return g->untrusted && g->host->stored_seq >= g->untrusted_seq;
}

static void
begin(struct group *g)
{
	g->untrusted = true;
	note(g);
	step(g, RAFT_EV_DISTRUST, g->host->opt.id);
	host_log(g->host, HOST_ERROR,
	    "event=quarantine group=%u by=%llu text=\"server %llu knows this "
	    "server with a newer data directory: it has no vote until it has "
	    "caught up; if that does not come, remove it and add it under a "
	    "new id\"",
	    g->id, ULL(g->untrusted_by), ULL(g->untrusted_by));
}

static void
send_trust(struct group *g, const struct trust *t, uint64_t to)
{
	struct host *h = g->host;
	struct piece piece;

	mp_buf_reset(&h->wire);
	trust_put(&h->wire, t);
	piece = (struct piece){NULL, h->wire.data, h->wire.len};
	if (!h->wire.failed)
		h->env.peer_send(h->env.ctx, to, &piece, 1);
}

/* Where our log ends, for those who know where it ended. */
void
quarantine_put_end(const struct group *g, struct host_hello *hello)
{
	struct raft_status st;

	if (g->raft == NULL)
		return;
	raft_status(g->raft, &st);
	/* A damaged log lacks something, and the core sees to that. */
	if (st.damaged)
		return;
	hello->last = st.durable;
	hello->term = st.hard.term;
}

static void
end(struct group *g, uint64_t by)
{
	struct host *h = g->host;
	struct trust t = {
	    .group = g->id, .term = g->hard.term, .id = h->opt.id};

	step(g, RAFT_EV_TRUST, h->opt.id);
	g->untrusted = false;
	g->untrusted_by = RAFT_NONE;
	note(g);
	host_log(h, HOST_INFO,
	    "event=trusted group=%u by=%llu term=%llu last=%llu", g->id,
	    ULL(by), ULL(g->hard.term), ULL(g->log_last));
	for (unsigned i = 0; i < h->peer_count; i++)
		if (h->peer[i].link_up)
			send_trust(g, &t, h->peer[i].id);
}

void
quarantine_hello(struct group *g, struct peer *p, bool untrusted)
{
	if (p->untrusted == untrusted && !untrusted)
		return;
	p->untrusted = untrusted;
	if (untrusted)
		host_log(g->host, HOST_WARN,
		    "event=quarantined group=%u peer=%llu text=\"it came back "
		    "with an empty or an old directory: it has no vote until "
		    "it has caught up\"",
		    g->id, ULL(p->id));
	/* The end of it is told by the server itself. */
	host_put_event(
	    g->host, untrusted ? RAFT_EV_DISTRUST : RAFT_EV_TRUST, p->id);
}

void
quarantine_message(struct group *g, uint64_t from, const struct trust *t)
{
	struct host *h = g->host;
	struct peer *p = host_peer(h, from);

	if (t->group != g->id || p == NULL)
		return;
	if (t->id == h->opt.id) {
		g->trusted_by = from;
		g->trusted_term = t->term;
	} else if (t->id == from)
		quarantine_hello(g, p, false);
}

/* Who led us has made its term durable, though it acknowledged nothing. */
static void
note_led(struct group *g, struct peer *p)
{
	if (g->st.leader != p->id || g->st.hard.term <= p->acked_term)
		return;
	p->acked = 0;
	p->acked_term = g->st.hard.term;
	group_put_peer(g, p);
}

void
quarantine_note_acked(struct group *g, uint64_t peer)
{
	struct peer *p = host_peer(g->host, peer);
	struct raft_peer_status ps;

	if (p == NULL)
		return;
	note_led(g, p);
	if (raft_peer_status(g->raft, p->id, &ps) < 0 || ps.untrusted ||
	    ps.match == 0)
		return;
	if (g->hard.term < p->acked_term ||
	    (g->hard.term == p->acked_term && ps.match <= p->acked))
		return;
	p->acked = ps.match;
	p->acked_term = g->hard.term;
	group_put_peer(g, p);
}

void
quarantine_turn(struct group *g)
{
	struct host *h = g->host;
	struct raft_peer_status ps;

	if (g->untrusted_by != RAFT_NONE && !g->untrusted)
		begin(g);
	group_refresh(g);
	/* By the leader that we follow, and of the term that we are in: in
	 * this one we vote for nobody else. */
	if (g->untrusted && g->trusted_by != RAFT_NONE &&
	    g->st.leader == g->trusted_by && g->st.hard.term == g->trusted_term)
		end(g, g->trusted_by);
	g->trusted_by = RAFT_NONE;
	if (g->st.role != RAFT_LEADER)
		return;
	for (unsigned i = 0; i < h->peer_count; i++) {
		struct peer *p = &h->peer[i];
		struct trust t = {
		    .group = g->id, .term = g->hard.term, .id = p->id};

		if (!p->untrusted ||
		    raft_peer_status(g->raft, p->id, &ps) < 0 || !ps.redeemed)
			continue;
		/* It counts again when it has heard of it, and says so. */
		if (h->now.mono_ns - p->redeemed_ns >= h->opt.heartbeat_ns) {
			p->redeemed_ns = h->now.mono_ns;
			send_trust(g, &t, p->id);
		}
	}
}
