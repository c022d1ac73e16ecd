/*
 * snapshot.c - snapshots instead of entries (paper 7, diss. 5).
 *
 * The bytes are the host's.  The core decides who needs one, whether one that
 * arrives is wanted, and what of the log is left when it is there.
 */
#include <assert.h>

#include "raftd/core/state.h"

/* ---- leader ------------------------------------------------------------ */

void
snapshot_reply(struct raft *r, const struct raft_msg *m)
{
	struct progress *p = members_progress(r, m->from);

	if (r->role != RAFT_LEADER || p == NULL ||
	    p->state != RAFT_SNAPSHOTTING || !m->u.snapshot_reply.ok ||
	    m->u.snapshot_reply.index > r->trail.last)
		return;
	progress_probe(p, m->u.snapshot_reply.index + 1);
}

/* ---- follower ---------------------------------------------------------- */

static void
reply_ok(struct raft *r, uint64_t index)
{
	struct raft_msg *m;

	if (r->role != RAFT_FOLLOWER || r->leader == RAFT_NONE)
		return;
	m = raft_send(r, RAFT_SNAPSHOT_REPLY, r->leader);
	m->u.snapshot_reply.ok = true;
	m->u.snapshot_reply.index = index;
}

/* What is committed here is in our log or in our state: an old snapshot must
 * not take it away (bug 56). */
static bool
is_stale(const struct raft *r, uint64_t index)
{
	return index <= r->commit && !MUTANT(85);
}

void
snapshot_piece(struct raft *r, const struct raft_msg *m)
{
	if (is_stale(r, m->u.snapshot.index))
		reply_ok(r, m->u.snapshot.index);
	else
		r->out->snapshot_wanted = true;
}

/* The log becomes what the snapshot says, whatever suffix of other terms
 * reached past it (bug 52). */
static void
install(struct raft *r, const struct raft_event *ev)
{
	uint64_t index = ev->u.snapshot.index;

	trail_init(
	    &r->trail, r->trail.run, r->trail.cap, index, ev->u.snapshot.term);
	r->rewrite_term = r->hard.term;
	r->durable = r->commit = r->applied = index;
	r->verified = index;
	if (r->acked > index)
		r->acked = index;
	r->config[0] = ev->u.snapshot.config;
	r->config_index[0] = ev->u.snapshot.config_index;
	r->config_count = 1;
	r->self = members_find(config_now(r), r->opt.id);
	r->out->snapshot_installed = true;
}

void
snapshot_received(struct raft *r, const struct raft_event *ev)
{
	uint64_t index = ev->u.snapshot.index;

	if (r->role == RAFT_LEADER || index > RAFT_NUMBER_MAX || index == 0 ||
	    ev->u.snapshot.term == 0 || ev->u.snapshot.term > r->hard.term ||
	    ev->u.snapshot.config_index > index ||
	    !members_valid(&ev->u.snapshot.config))
		return;
	if (!is_stale(r, index)) {
		if (trail_term(&r->trail, index) == ev->u.snapshot.term &&
		    !MUTANT(86)) {
			/* The entries are here, and a snapshot holds what is
			 * committed only. */
			r->commit = index;
			if (r->verified < index)
				r->verified = index;
			members_commit(r);
		} else {
			install(r, ev);
		}
	}
	reply_ok(r, index);
}

/* ---- both -------------------------------------------------------------- */

void
snapshot_saved(struct raft *r, uint64_t index)
{
	if (index <= r->trail.prev_index || index > r->applied ||
	    index > r->durable)
		return;
	trail_compact(&r->trail, index);
}
