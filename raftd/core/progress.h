/*
 * progress.h - the leader's view of one peer.
 *
 *	PROBE		next is a guess; one append at a time, until one fits
 *	REPLICATE	appends follow each other without waiting for answers,
 *			as far as the window allows
 *	SNAPSHOTTING	the log no longer has what the peer needs
 *
 * Invariants: match < next; what is in flight lies in (match, next) and
 * ascends; flight_bytes is the sum over the ring; nothing is in flight but
 * in REPLICATE.
 */
#ifndef RAFTD_CORE_PROGRESS_H
#define RAFTD_CORE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "raftd/core/raft.h"

struct progress_flight {
	uint64_t last; /* index of its last entry */
	uint64_t bytes;
};

struct progress {
	uint64_t id;
	uint64_t match, next;
	uint64_t flight_bytes;
	uint32_t flight_head, flight_count;
	enum raft_progress_state state;
	bool has_heard;
	bool waiting; /* PROBE: one is on the way since append_at */
	bool poke;    /* REPLICATE: ask where the peer is by an empty append */
	struct raft_time heard;	    /* last message of it in this term */
	struct raft_time sent;	    /* last one to it that it answers */
	struct raft_time append_at; /* last append among these */
	uint64_t commit_sent;	    /* highest commit index that it was told */
	uint64_t promise_ns;	    /* what it promised last, 0 nothing ... */
	struct raft_time promised_at; /* ... counted from here on */
	struct progress_flight flight[RAFT_INFLIGHT_MAX];
};

/* Start over: nothing known but where to begin looking. */
void progress_init(
    struct progress *, uint64_t id, uint64_t next, struct raft_time now);

/* Change state; all three empty the flight. */
void progress_probe(struct progress *, uint64_t next);
void progress_replicate(struct progress *);
void progress_snapshot(struct progress *);

/* An append up to `last` was sent. */
void progress_sent(struct progress *, uint64_t last, uint64_t bytes);
bool progress_full(const struct progress *, uint64_t bytes_max);

/* The peer has everything up to `match`.  false: that is old news. */
bool progress_acked(struct progress *, uint64_t match);
/*
 * It refused an append after prev_index; the search goes on at `next`, the
 * leader's own conclusion from the hint.  false: that is old news.
 */
bool progress_refused(struct progress *, uint64_t prev_index, uint64_t next);

const char *progress_check(const struct progress *);

#endif
