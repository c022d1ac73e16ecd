/*
 * trust.c - servers that may have forgotten what they promised: who came back
 * with an empty data directory, or with an old copy of it.
 *
 * Such a server may have granted a vote that it no longer knows of, and have
 * acknowledged entries that it no longer has.  It follows, and neither
 * campaigns nor votes; the leader counts neither its acknowledgements nor its
 * answers to read rounds.
 *
 * It is trusted again once it holds everything up to an entry that the leader
 * of its term proposed after it was known to have forgotten, and that a
 * quorum without it has.  Then what it forgot cannot matter any more: whoever
 * stands for a later term with a vote that it forgot needs, beside that vote,
 * one of those who have that entry, and lacks it; and all that was ever
 * committed with its help stands before that entry.  In the term itself it
 * votes for nobody else (trust_event).
 */
#include "raftd/core/state.h"

static int
find(const struct raft *r, uint64_t id)
{
	uint32_t i;

	for (i = 0; i < r->untrusted_count; i++)
		if (r->untrusted[i].id == id)
			return (int)i;
	return -1;
}

bool
trust_is(const struct raft *r, uint64_t id)
{
	return r->untrusted_count == 0 || find(r, id) < 0;
}

/* Each leader counts from where it first knew, in its own term. */
static void
note_since(struct raft *r, uint32_t at)
{
	if (r->role != RAFT_LEADER || r->untrusted[at].term == r->hard.term)
		return;
	r->untrusted[at].since = r->trail.last;
	r->untrusted[at].term = r->hard.term;
}

void
trust_event(struct raft *r, uint64_t id, bool trusted)
{
	int at = find(r, id);

	if (id == RAFT_NONE)
		return;
	if (!trusted) {
		if (at < 0 && r->untrusted_count < RAFT_MEMBERS_MAX) {
			at = (int)r->untrusted_count++;
			r->untrusted[at].id = id;
		}
		if (at < 0)
			return;
		/* Anew, though it was known before: it forgot once more. */
		r->untrusted[at].term = 0;
		note_since(r, (uint32_t)at);
		if (id == r->opt.id && r->role != RAFT_FOLLOWER)
			raft_follow(r, r->hard.term, RAFT_NONE);
		return;
	}
	if (at < 0)
		return;
	r->untrusted[at] = r->untrusted[--r->untrusted_count];
	/* Whom it may have voted for in this term nobody knows: for nobody
	 * but who leads it. */
	if (id == r->opt.id && r->hard.vote == RAFT_NONE && !MUTANT(192))
		r->hard.vote = r->leader;
}

bool
trust_redeemed(const struct raft *r, const struct progress *p)
{
	int at = find(r, p->id);

	return at >= 0 && r->role == RAFT_LEADER &&
	       r->untrusted[at].term == r->hard.term &&
	       r->commit > r->untrusted[at].since && replicate_ready(r) &&
	       p->match >= r->commit;
}

/*
 * Who has all that there is waits for an entry that may never come: one is
 * written for it, once.
 */
void
trust_tick(struct raft *r)
{
	const struct progress *p;
	uint32_t i;

	for (i = 0; i < r->untrusted_count; i++)
		note_since(r, i);
	for (i = 0; i < r->untrusted_count; i++) {
		p = members_progress(r, r->untrusted[i].id);
		if (p == NULL || p->match < r->trail.last ||
		    r->trail.last > r->untrusted[i].since ||
		    r->commit < r->trail.last || !trail_room(&r->trail, 1) ||
		    r->handover.to != RAFT_NONE)
			continue;
		trail_append(&r->trail, r->trail.last + 1, r->hard.term);
		raft_persist(r, r->trail.last, r->trail.last);
		r->out->noop = true;
		return;
	}
}

void
trust_matches(const struct raft *r, uint64_t match[RAFT_MEMBERS_MAX])
{
	const struct raft_config *c = config_now(r);
	uint32_t i;

	for (i = 0; i < c->count; i++)
		match[i] = trust_is(r, c->member[i].id) || MUTANT(190)
			       ? r->progress[i].match
			       : 0;
}
