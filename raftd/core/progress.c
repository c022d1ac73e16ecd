/*
 * progress.c - the leader's view of one peer.
 */
#include "raftd/core/progress.h"

#include <assert.h>
#include <stddef.h>

static struct progress_flight *
flight_at(struct progress *p, uint32_t i)
{
	return &p->flight[(p->flight_head + i) % RAFT_INFLIGHT_MAX];
}

static void
flight_reset(struct progress *p)
{
	p->flight_head = p->flight_count = 0;
	p->flight_bytes = 0;
}

void
progress_init(
    struct progress *p, uint64_t id, uint64_t next, struct raft_time now)
{
	assert(next > 0);
	p->id = id;
	p->match = 0;
	p->next = next;
	p->state = RAFT_PROBE;
	p->has_heard = false;
	p->waiting = p->poke = false;
	p->heard = now;
	p->sent = now;
	p->append_at = now;
	p->commit_sent = 0;
	p->promise_ns = 0;
	p->promised_at = now;
	flight_reset(p);
}

void
progress_probe(struct progress *p, uint64_t next)
{
	p->state = RAFT_PROBE;
	p->next = next > p->match ? next : p->match + 1;
	p->waiting = p->poke = false;
	p->commit_sent = 0;
	flight_reset(p);
}

void
progress_replicate(struct progress *p)
{
	p->state = RAFT_REPLICATE;
	p->next = p->match + 1;
	p->waiting = p->poke = false;
	flight_reset(p);
}

void
progress_snapshot(struct progress *p)
{
	p->state = RAFT_SNAPSHOTTING;
	p->waiting = p->poke = false;
	flight_reset(p);
}

void
progress_sent(struct progress *p, uint64_t last, uint64_t bytes)
{
	struct progress_flight *f;

	p->poke = false;
	if (p->state == RAFT_PROBE)
		p->waiting = true;
	if (p->state != RAFT_REPLICATE || last < p->next)
		return;
	assert(p->flight_count < RAFT_INFLIGHT_MAX);
	f = flight_at(p, p->flight_count++);
	f->last = last;
	f->bytes = bytes;
	p->flight_bytes += bytes;
	p->next = last + 1;
}

bool
progress_full(const struct progress *p, uint64_t bytes_max)
{
	return p->flight_count == RAFT_INFLIGHT_MAX ||
	       (p->flight_bytes >= bytes_max && !MUTANT(39));
}

bool
progress_acked(struct progress *p, uint64_t match)
{
	struct progress_flight *f;

	if (match < p->match && !MUTANT(18))
		return false;
	p->match = match;
	if (p->state != RAFT_REPLICATE) {
		progress_replicate(p);
		return true;
	}
	if (p->next <= match)
		p->next = match + 1;
	while (p->flight_count > 0 && (f = flight_at(p, 0))->last <= match) {
		if (!MUTANT(28))
			p->flight_bytes -= f->bytes;
		p->flight_head = (p->flight_head + 1) % RAFT_INFLIGHT_MAX;
		p->flight_count--;
	}
	return true;
}

bool
progress_refused(struct progress *p, uint64_t prev_index, uint64_t next)
{
	if (prev_index <= p->match || p->state == RAFT_SNAPSHOTTING)
		return false;
	if (p->state == RAFT_REPLICATE) {
		/* Something on the way was lost: what was acknowledged is
		 * there, so the search is over before it begins. */
		progress_probe(p, p->match + 1);
		return true;
	}
	if (prev_index != p->next - 1)
		return false;
	progress_probe(p, next < prev_index ? next : prev_index);
	return true;
}

const char *
progress_check(const struct progress *p)
{
	uint64_t bytes = 0, last = p->match;
	const struct progress_flight *f;
	uint32_t i;

	if (p->match >= p->next)
		return "progress: match has overtaken next";
	if (p->flight_count > 0 && p->state != RAFT_REPLICATE)
		return "progress: in flight without replicating";
	if (p->flight_count > RAFT_INFLIGHT_MAX)
		return "progress: more in flight than the ring holds";
	for (i = 0; i < p->flight_count; i++) {
		f = &p->flight[(p->flight_head + i) % RAFT_INFLIGHT_MAX];
		if (f->last <= last)
			return "progress: flight does not ascend";
		last = f->last;
		bytes += f->bytes;
	}
	if (last >= p->next)
		return "progress: flight beyond next";
	if (bytes != p->flight_bytes)
		return "progress: bytes in flight differ from their sum";
	return NULL;
}
