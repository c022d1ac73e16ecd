/*
 * heard.c - what must always hold, watched from outside: what servers tell
 * each other, and what they tell their clients.
 */
#include <inttypes.h>

#include "tests/sim/shadow.h"

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
	for (unsigned i = 0; i < sim->server_count; i++) {
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
