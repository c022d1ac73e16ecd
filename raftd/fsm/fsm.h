/*
 * fsm.h - a replicated state machine, as raftd sees it.
 *
 * Deterministic: the same entries in the same order give the same state, the
 * same results and the same digest on every server, whatever the clock, the
 * address space or the order of queries.  No clock, no I/O, no randomness:
 * time is the largest stamp seen in applied entries.  Memory comes from
 * malloc; without it apply cannot go on and says so with WIRE_BUG, upon which
 * raftd stops, because a replica that skips an entry is no replica.
 *
 * apply is total: whatever bytes a committed command holds, it has a result,
 * and that result is the same everywhere.
 *
 * Ownership: spans are borrowed during the call.
 */
#ifndef RAFTD_FSM_FSM_H
#define RAFTD_FSM_FSM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftctl/mp.h"
#include "raftctl/wire.h"

struct fsm; /* the implementation's */

struct fsm_command {
	uint64_t index;
	uint64_t term;
	uint64_t stamp;	       /* ms of replicated time, from the leader */
	struct mp_span method; /* contents of the str */
	struct mp_span params; /* raw MessagePack array */
};

/* 128 bits that name the whole state; equal states, equal digests. */
struct fsm_digest {
	uint64_t hi, lo;
};

/* What a client wants to be told of. */
struct fsm_watch {
	struct mp_span key;
	bool prefix, prev;
	uint64_t since;	      /* changes behind it; UINT64_MAX: from now on */
	uint64_t progress_ms; /* 0: no signs of life */
};

/* One change, by the number that it has in the history. */
struct fsm_event {
	uint64_t rev;
	struct mp_span key;
};

struct fsm_ops {
	const char *name;
	/* NULL without memory. */
	struct fsm *(*new)(uint32_t group);
	void (*free)(struct fsm *);
	/*
	 * May this command go into the log?  WIRE_OK, or why not, before
	 * anything is appended.  Looks at the bytes only, never at state.
	 */
	enum wire_status (*admit)(
	    const struct fsm_command *, struct wire_error *);
	/*
	 * Apply a command.  WIRE_OK: one MessagePack value, the result, was
	 * packed into reply unless that is NULL (nobody waits here).
	 * Otherwise nothing was packed and *err (may be NULL) says why.
	 */
	enum wire_status (*apply)(struct fsm *, const struct fsm_command *,
	    struct mp_buf *reply, struct wire_error *err);
	/* A command without effect of its own (no-op, configuration): time
	 * only, and what time brings.  WIRE_OK or WIRE_BUG. */
	enum wire_status (*advance)(
	    struct fsm *, uint64_t index, uint64_t stamp);
	/* The same for reads; changes nothing. */
	enum wire_status (*query)(struct fsm *, struct mp_span method,
	    struct mp_span params, struct mp_buf *reply,
	    struct wire_error *err);
	/*
	 * What changed behind revision *since that params ask for; a *since
	 * of UINT64_MAX stands for what params say.  WIRE_OK: the answer was
	 * packed.  WIRE_ABSENT, unless `now` is set: nothing yet, and *since
	 * is how far that was looked at.
	 */
	enum wire_status (*watch)(const struct fsm *, struct mp_span params,
	    uint64_t *since, bool now, struct mp_buf *reply,
	    struct wire_error *err);
	/*
	 * The same for what methods of FSM_WAIT wait for; waits() counts up
	 * whenever the answer to one may have become another.
	 */
	enum wire_status (*wait)(const struct fsm *, struct mp_span params,
	    bool now, struct mp_buf *reply, struct wire_error *err);
	uint64_t (*waits)(const struct fsm *);
	/* The replicated time at which an entry is wanted, whatever it is:
	 * something ends then.  UINT64_MAX: never. */
	uint64_t (*due)(const struct fsm *);
	/*
	 * The same by hand: what params ask for; the number of the first
	 * change behind a revision, which is at least floor(); the change of
	 * a number, false behind the last one; and that change in full.
	 */
	enum wire_status (*watch_args)(
	    struct mp_span params, struct fsm_watch *, struct wire_error *err);
	size_t (*since)(const struct fsm *, uint64_t rev);
	bool (*event)(const struct fsm *, size_t i, struct fsm_event *);
	void (*put_event)(
	    const struct fsm *, size_t i, bool prev, struct mp_buf *);
	uint64_t (*floor)(const struct fsm *);
	struct fsm_digest (*digest)(const struct fsm *);
	uint64_t (*rev)(const struct fsm *); /* current revision */
	uint64_t (*applied)(const struct fsm *);
	uint64_t (*time)(const struct fsm *); /* replicated, ms */
	/* Whole state out and in, as a stream of bytes; -errno. */
	int (*save)(const struct fsm *,
	    int (*write)(void *ctx, const void *, size_t), void *ctx);
	int (*load)(
	    struct fsm *, int (*read)(void *ctx, void *, size_t), void *ctx);
};

/* What a method is to the host: does it go through the log? */
enum fsm_method_kind {
	FSM_NOT_MINE,
	FSM_COMMAND,
	FSM_QUERY,
	FSM_WATCH,
	FSM_WAIT,
};

/* The command that a leader proposes of itself when something is due; it has
 * no parameters and no effect but its stamp's. */
#define FSM_TICK "tick"

struct fsm_method {
	const char *name;
	enum fsm_method_kind kind;
	const char *params; /* for rpc.discover: "key, value, {options}" */
	const char *help;
};

#endif
