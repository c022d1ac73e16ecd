/*
 * strain.h - what a server does while its disk is full or slow.  For the
 * files of ring 2, as inside.h.
 *
 * Full: the log says so while there is still room in it (wal.h).  From then
 * on no entry is taken, from clients (NOSPACE) nor from a leader (its append
 * counts as a heartbeat), so that the room is left to hard state: votes go
 * on.  A leader hands over to a voter that has space; every server tells the
 * others whether it has.  What was on its way and found no room is kept, in
 * order, and written when there is some again; that is looked for once in a
 * while.
 *
 * Slow: the oldest write that is not back is older than half an election
 * timeout: a leader hands over.  Older than one: it steps down, for whoever
 * cannot write must not keep others from electing who can.
 *
 * Bounded: at most STORE_JOBS_MAX / 2 jobs are given to storage by turns,
 * the rest waits in the one that is being filled; entries are not taken when
 * that is not enough.
 */
#ifndef RAFTD_STRAIN_H
#define RAFTD_STRAIN_H

#include "raftd/inside.h"

/* A write goes to storage, or waits behind those that found no room: true,
 * it was kept. */
bool strain_submit(struct host *, struct store_job *);
/* A write is back: true, it found no room and was kept. */
bool strain_stored(struct host *, struct store_job *);
/* The answer to a STORE_RETRY. */
void strain_retried(struct host *, const struct store_job *);
/* Who waits for what it holds need not. */
bool strain_drained(const struct host *);
void strain_release(struct host *);

void strain_turn(struct group *);
uint64_t strain_deadline(const struct group *);

/* Is a turn to hand over what it has filled? */
bool strain_takes_jobs(const struct host *);
bool strain_takes_entries(const struct host *, uint64_t bytes);
/* A peer says whether it has space. */
void strain_told(struct group *, uint64_t peer, bool full);
bool strain_is_full(const struct group *, uint64_t peer);
/* May the leader propose?  WAIT: somebody else will. */
enum strain_gate { STRAIN_GO, STRAIN_WAIT, STRAIN_REFUSE };
enum strain_gate strain_gate(struct group *);
/* "ok", "full", "stalled", "damaged" */
const char *strain_name(const struct host *);

#endif
