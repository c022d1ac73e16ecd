/*
 * kv.h - the key-value store.
 *
 * Keys are byte strings of 1..WIRE_KEY_LEN_MAX bytes, ordered as memcmp
 * does; values are bytes.  Each change of any key takes the next revision.
 * A record has the revision that created it (create_rev), the one that last
 * changed it (mod_rev) and the number of changes since its creation
 * (version, 1 at creation).
 *
 * The versions that recent changes replaced are kept, KV_HISTORY_REVS_MAX
 * revisions and KV_HISTORY_BYTES_MAX bytes of them, so that a listing can go
 * on over many pages at the revision it began with.  Older: WIRE_COMPACTED.
 *
 * Methods (str values are taken as bytes; the trailing map may be missing;
 * an unknown option is WIRE_USAGE, so that a misspelt condition never turns
 * into an unconditional write):
 *
 * The options "read" and "group" are the host's and are skipped here.  An
 * option that is nil is not given.
 *
 *   put [key, value, {if_absent: bool, if_rev: n, if_value: bytes,
 *	if_changed: bool, append: bool, prev: bool}]
 *	-> {"rev", "group", "duplicate": false, "succeeded": bool,
 *	    "prev": record|nil}
 *	Conditions are and-ed.  if_rev 0 means absent.  succeeded false: a
 *	condition did not hold and nothing changed; rev is then the current
 *	revision and prev the record that stood against it.  Else prev is
 *	what the key held before, if asked for.  if_changed with an equal
 *	value changes nothing and succeeds.
 *   delete [key | [key, ...], {if_rev: n, prev: bool}]
 *	-> the same and "deleted": count.  All keys in one revision;
 *	if_rev and prev go with a single key.  Nothing there: succeeded true,
 *	deleted 0.
 *   get [key, {rev: n}]
 *	-> record or nil
 *   list [prefix, {from: key, to: key, after: key, limit: n, reverse: bool,
 *	rev: n, keys_only: bool, count: bool}]
 *	-> {"rev", "group", "more": bool, "count": n, "records": [record...]}
 *	A page of at most limit (1..WIRE_LIST_LIMIT_MAX, default that)
 *	records and about WIRE_LIST_BYTES_MAX bytes; the next page is asked
 *	with after = last key and the same rev.  from inclusive, to
 *	exclusive; after is exclusive in the direction of travel.  count:
 *	only the number, of all that match.  keys_only: value is nil.
 *   record: {"key": bin, "value": bin, "create_rev", "mod_rev", "version",
 *	"lease": 0, "group"}
 */
#ifndef RAFTD_FSM_KV_H
#define RAFTD_FSM_KV_H

#include "raftd/fsm/fsm.h"

#define KV_HISTORY_REVS_MAX 65536
#define KV_HISTORY_BYTES_MAX (16u * 1024 * 1024)
#define KV_DELETE_KEYS_MAX 1024 /* in one delete */

extern const struct fsm_ops kv_ops;
extern const struct fsm_method kv_methods[]; /* ends with a NULL name */

/* For tests and benchmarks. */
struct kv_stat {
	uint64_t keys, bytes; /* of keys and values */
	uint64_t history_revs, history_bytes;
	uint64_t time; /* replicated, ms */
};
void kv_stat(const struct fsm *, struct kv_stat *);

#endif
