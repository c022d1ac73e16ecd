/*
 * hold.h - take a lock and keep it: for lock and elect.
 *
 * A lease is taken together with a place in the lock's queue, and renewed
 * three times in its time to live.  What is held may be somebody else's as
 * soon as the lease has run out, and that may be a time to live after the
 * last renewal that was answered was sent: whatever runs under the lock is
 * dead before then (guard.h), a twentieth earlier for clocks that differ and
 * processes that are slow to die.
 */
#ifndef RAFTCTL_HOLD_H
#define RAFTCTL_HOLD_H

#include "raftctl/cli.h"

struct hold_options {
	const char *name;
	const char *holder; /* what others are told of us; NULL: the user */
	char **command;	    /* NULL: hold it until a signal comes */
	bool now;	    /* or never */
	bool has_wait;
	uint64_t wait_ms; /* for our turn */
	uint64_t ttl_ms, grace_ms;
	uint64_t slots; /* 0: shared */
	/* What is printed without a command, once it is ours. */
	void (*print)(
	    struct cli *, const struct hold_options *, uint64_t token);
};

int hold_run(struct cli *, const struct hold_options *);

#endif
