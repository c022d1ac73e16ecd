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
};

enum kv_option { /* bits of kv_args.given */
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
};

struct kv_args {
	struct mp_span key;   /* put, get; the prefix of list */
	struct mp_span value; /* put */
	struct mp_cur keys;   /* delete: key_count str or bin */
	uint32_t key_count;

	unsigned given; /* enum kv_option */
	bool if_absent, if_changed, append, prev;
	bool reverse, keys_only, count;
	uint64_t if_rev, rev, limit;
	struct mp_span if_value, from, to, after;
};

/* WIRE_OK, or why not in *err, which may be NULL. */
enum wire_status kvargs_read(enum kv_method, struct mp_span params,
    struct kv_args *, struct wire_error *err);

/* Fills *err, if it is not NULL, and returns the status. */
enum wire_status kvargs_fail(struct wire_error *err, enum wire_status,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
