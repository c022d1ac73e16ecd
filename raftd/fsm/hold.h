/*
 * hold.h - what clients ask of leases and locks.
 *
 *	lease.grant [ms]	-> lease
 *	lease.renew [number]	-> lease, or ABSENT
 *	lease.revoke [number]	-> {"rev", "group", "duplicate", "lease",
 *				    "deleted": keys}, or ABSENT
 *	lease.show [number]	-> lease with "keys", or ABSENT
 *	lease.list [number, {limit}]
 *		-> {"rev", "group", "time", "more", "leases": [...]}, those
 *		with higher numbers
 *	lock [name, {lease | ttl, slots | shared, queue, holder, host, pid}]
 *		-> {"rev", "group", "duplicate", "lease", "ttl_ms",
 *		    "held", "waiting", "token", "order", "position",
 *		    "changed"}
 *		Takes the place that this lease has already, if it has one.
 *		queue false: not if it would have to wait.  ttl: with a lease
 *		of its own, which ends with the place.
 *	unlock [name, {lease}]	-> {..., "succeeded": bool}
 *	lock.list [prefix, {after, limit}]
 *		-> {"rev", "group", "more", "locks": [holder...]}, all holders
 *		of a lock in one page
 *	lock.wait [name, {lease, order, changed, wait}]
 *		With a lease: answered when it holds the lock, or has no
 *		place in it although the place `order` was given already.
 *		Without: when `changed` is another than the one given.
 *		-> {"rev", "group", "held", "waiting", "token", "position",
 *		    "changed", "holders": [holder...]}
 *
 *	lease: {"rev", "group", "duplicate", "lease", "ttl_ms",
 *		"remaining_ms"}
 *	holder: {"name", "token", "lease", "holder", "host", "pid", "slots",
 *		"age_ms", "ttl_ms", "remaining_ms", "waiters"}
 */
#ifndef RAFTD_FSM_HOLD_H
#define RAFTD_FSM_HOLD_H

#include "raftd/fsm/kvargs.h"
#include "raftd/fsm/kvstore.h"

/* 0: none of these. */
unsigned hold_method(struct mp_span name);
enum wire_status hold_apply(struct fsm *, enum kv_method,
    const struct kv_args *, struct mp_buf *reply, struct wire_error *);
enum wire_status hold_query(const struct fsm *, enum kv_method,
    const struct kv_args *, struct mp_buf *reply, struct wire_error *);
enum wire_status hold_wait(const struct fsm *, struct mp_span params, bool now,
    struct mp_buf *reply, struct wire_error *);
uint64_t hold_waits(const struct fsm *);
/* For sessions: what the command is. */
uint64_t hold_print(unsigned method, const struct kv_args *);

/* The lease that a key is to come into; cur is what the key is now, or NULL.
 * WIRE_ABSENT, WIRE_BUSY when it has too many. */
enum wire_status hold_lease_for_key(const struct fsm *, uint64_t id,
    const struct record *cur, struct lease **, struct wire_error *);

#endif
