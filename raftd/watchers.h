/*
 * watchers.h - clients that are told of changes as they are applied here.
 *
 * A watcher is live, and then told by one pass over each new change that
 * serves all of them: who is concerned is found by key and by the lengths of
 * prefixes in use, and the event is encoded once (twice, if some want what
 * was there before) and shared by all connections.  Or it is behind, at the
 * start and after its connection was not read for a while, and catches up
 * out of the history at its own pace.
 *
 * Invariants: each watcher is told every change that concerns it behind the
 * revision it began at, once, in order, revision by revision; a live one has
 * been told everything up to max(pos, watchers.rev).  No more than
 * WATCH_UNREAD_MAX and one revision are queued to a connection for watchers.
 * Who leaves its events unread for WATCH_SLOW_NS, or falls behind what the
 * history keeps, is told where it stands and dropped; so are all when this
 * server has lost its leader or stops.  Whoever was dropped goes on behind
 * that revision, here or on another server.
 *
 * Memory: WATCHERS_MAX times a watcher and its key.
 * Threads: the event thread.  Format: raftrpc(5).
 */
#ifndef RAFTD_WATCHERS_H
#define RAFTD_WATCHERS_H

#include "raftd/inside.h"

#define WATCHERS_MAX 65536
#define WATCHERS_CLIENT_MAX 4096
#define WATCH_UNREAD_MAX (1u << 20)
#define WATCH_UNREAD_TOTAL_MAX (256u << 20) /* of all connections */
#define WATCH_SLOW_NS (10 * UINT64_C(1000000000))
/* Records applied before a pass, within a turn: far below what the history
 * keeps, which would otherwise run away from the live ones. */
#define WATCH_PASS_BYTES (2u << 20)

struct watchers;

/* NULL without memory. */
struct watchers *watchers_new(void);
void watchers_free(struct watchers *);

/* watch and watch.cancel: answers the request. */
void watchers_request(struct group *, struct request *);
void watchers_gone(struct group *, uint64_t client);

/* So much was applied since the last pass that another is due. */
bool watchers_lag(const struct group *);
/* What was applied since the last pass goes to the live ones. */
void watchers_pass(struct group *);
/* Once a turn; returns when to call again at the latest (mono_ns). */
uint64_t watchers_turn(struct group *);

#endif
