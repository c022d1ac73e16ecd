/*
 * kvargs.h - the parameters of the key-value store's methods, taken apart
 * and judged.  Looks at bytes only: admit and apply come to the same end.
 *
 * Spans and cursors borrow from the params.
 */
#ifndef RAFTD_FSM_KVARGS_H
#define RAFTD_FSM_KVARGS_H

#include "raftctl/mp.h"
#include "raftctl/wire.h"

enum kv_method { /* bits, for tables of what goes with what */
	KV_PUT = 1,
	KV_DELETE = 2,
	KV_GET = 4,
	KV_LIST = 8,
	KV_INCR = 16,
	KV_TXN = 32,
	KV_WATCH = 64,
	KV_LEASE_GRANT = 1 << 8,
	KV_LEASE_RENEW = 1 << 9,
	KV_LEASE_REVOKE = 1 << 10,
	KV_LEASE_SHOW = 1 << 11,
	KV_LEASE_LIST = 1 << 12,
	KV_LOCK = 1 << 13,
	KV_UNLOCK = 1 << 14,
	KV_LOCK_LIST = 1 << 15,
	KV_LOCK_WAIT = 1 << 16,
};
/* What leases and locks have of their own (hold.h). */
#define KV_HOLD_COMMANDS                                               \
	(KV_LEASE_GRANT | KV_LEASE_RENEW | KV_LEASE_REVOKE | KV_LOCK | \
	    KV_UNLOCK)
#define KV_HOLD_QUERIES (KV_LEASE_SHOW | KV_LEASE_LIST | KV_LOCK_LIST)
#define KV_COMMANDS (KV_PUT | KV_DELETE | KV_INCR | KV_TXN | KV_HOLD_COMMANDS)
/* Whose first parameter is a number. */
#define KV_NUMBERED                                                          \
	(KV_LEASE_GRANT | KV_LEASE_RENEW | KV_LEASE_REVOKE | KV_LEASE_SHOW | \
	    KV_LEASE_LIST)

enum kv_option { /* bits of kv_args.given, of those that need one */
	KV_JUST = 0,
	KV_IF_ABSENT = 1 << 0,
	KV_IF_REV = 1 << 1,
	KV_IF_VALUE = 1 << 2,
	KV_IF_CHANGED = 1 << 3,
	KV_APPEND = 1 << 4,
	KV_PREV = 1 << 5,
	KV_FROM = 1 << 6,
	KV_TO = 1 << 7,
	KV_AFTER = 1 << 8,
	KV_LIMIT = 1 << 9,
	KV_REVERSE = 1 << 10,
	KV_REV = 1 << 11,
	KV_KEYS_ONLY = 1 << 12,
	KV_COUNT = 1 << 13,
	KV_OPT_HOST_READ = 1 << 14, /* the host's own, skipped here */
	KV_OPT_HOST_GROUP = 1 << 15,
	KV_SESSION = 1 << 16,
	KV_SEQ = 1 << 17,
	KV_ACK = 1 << 18,
	KV_SINCE = 1 << 19, /* of a session, or of a watch */
	KV_PREFIX = 1 << 20,
	KV_WAIT = 1 << 21,
	KV_PROGRESS = 1 << 28,
	KV_OPT_HOST_STALE = 1 << 29,
	KV_STATE = 1 << 30,
	KV_LEASE = 1 << 22,
	KV_TTL = 1 << 23,
	KV_IF_LOCK = 1 << 24,
	KV_IF_TOKEN = 1 << 25,
	KV_SLOTS = 1 << 26,
	KV_CHANGED = 1 << 27,
};

struct kv_args {
	struct mp_span key;   /* put, get; the prefix of list */
	struct mp_span value; /* put */
	struct mp_cur keys;   /* delete: key_count str or bin */
	uint32_t key_count;
	int64_t by;	   /* incr */
	struct mp_cur txn; /* at its map */
	size_t keys_len, txn_len;
	uint64_t number; /* of a lease, or a time to live */

	unsigned given; /* enum kv_option */
	bool if_absent, if_changed, append, prev;
	bool reverse, keys_only, count, prefix, state;
	uint64_t if_rev, rev, limit;
	struct mp_span if_value, from, to, after;
	struct mp_span session; /* session.h */
	uint64_t seq, ack, since, wait, progress;
	uint64_t lease, ttl, if_token, slots, pid, order, changed;
	struct mp_span if_lock, holder, host;
	bool shared, queue;
};

/* WIRE_OK, or why not in *err, which may be NULL. */
enum wire_status kvargs_read(enum kv_method, struct mp_span params,
    struct kv_args *, struct wire_error *err);

/* One key of at least min bytes, or one value, called `what` in errors. */
enum wire_status kvargs_key(struct mp_cur *, size_t min, const char *what,
    struct mp_span *key, struct wire_error *err);
enum wire_status kvargs_value(struct mp_cur *, const char *what,
    struct mp_span *value, struct wire_error *err);

/* Fills *err, if it is not NULL, and returns the status. */
enum wire_status kvargs_fail(struct wire_error *err, enum wire_status,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
