/*
 * kvstore.h - the key-value store's state, and the few ways to change it.
 *
 * Invariants (kvstore_check):
 *  - the tree holds, for each key, its newest version, which may be a
 *    tombstone; what it replaced hangs from it, newest first;
 *  - history holds, in the order of their revisions, all changes behind
 *    floor;
 *  - a reader at revision r >= floor finds what the store held at r: the
 *    first version in a key's chain whose mod_rev is at most r;
 *  - sum is the sum, modulo 2^128, of the digests of all live records, so it
 *    does not depend on their order and a change costs two hashes;
 *  - keys and bytes count the live records.
 *
 * Nothing that a command answers, and nothing in the digest, depends on how
 * much history is kept: after kvstore_load there is none.
 *
 * The saved form, all integers little-endian:
 *
 *	offset	size
 *	0	8	"raftkv2\n", or "raftkv3\n" once there was a lease
 *	8	4	group
 *	12	4	0
 *	16	8	revision
 *	24	8	replicated time, ms
 *	32	8	index applied
 *	40	8	number of records
 *	48	8	bytes of all keys and values
 *	56	...	the records, in the order of their keys:
 *		4	value length
 *		2	key length
 *		8	create_rev
 *		8	mod_rev
 *		8	version
 *		...	key, value
 *	then the sections, all that are named here and in this order, each
 *	with 16 bytes in front:
 *		4	type
 *		4	0
 *		8	number of items
 *	type 1	sessions, each kind from the longest idle on, timed ones
 *		first; before them
 *		8	horizon, counted as an item
 *		and each
 *		1	length of the id
 *		1	kind: 0 timed, 1 lasting
 *		2	0
 *		4	number of outcomes
 *		8	since
 *		8	used
 *		8	ack
 *		...	id, and the outcomes, by seq:
 *			8	seq
 *			8	print
 *			4	length of the data
 *			1	status
 *			3	0
 *			...	data
 *	raftkv3 has two more, in which each item begins with 4 bytes that
 *	count those behind them:
 *	type 2	leases.  The first item is
 *		8	the number given last, at least 1
 *		and the others, by their numbers
 *		8	number
 *		8	time to live, ms
 *		8	deadline, in replicated time
 *		1	1: automatic
 *		3	0
 *		4	number of keys
 *		...	the keys, ascending: 2 bytes of length, and the key
 *	type 3	locks.  The first item is
 *		8	changes
 *		8	order given last
 *		and the others, by their names
 *		2	length of the name
 *		2	0
 *		4	number of holders, at least 1
 *		4	number of waiters
 *		8	changes when the holders last did
 *		...	name, and the places, holders by their tokens and
 *			then waiters by their order:
 *			8	order of arrival
 *			8	lease
 *			8	token, 0 of a waiter
 *			8	since, in replicated time
 *			8	process id
 *			4	slots
 *			2	length of the host
 *			2	length of the holder
 *			...	host, holder
 *	end	16	digest of the state, low half first
 *
 * It is valid if the keys ascend strictly, each revision lies within
 * 1..revision, sections are as session.h, lease.h and lock.h say, and the
 * counts and the digest are what the records and sections give.
 */
#ifndef RAFTD_FSM_KVSTORE_H
#define RAFTD_FSM_KVSTORE_H

#include "raftd/fsm/fsm.h"
#include "raftd/fsm/kv.h"
#include "raftd/fsm/lock.h"
#include "raftd/fsm/session.h"
#include "raftd/fsm/tree.h"

/* Changes whose past is kept: a ring in the order of their revisions. */
struct kv_history {
	struct record **ring; /* the versions that changes made */
	size_t cap;	      /* a power of two, or 0 */
	size_t first, count;
	uint64_t bytes; /* what it holds on to */
};

struct fsm {
	uint32_t group;
	uint64_t applied; /* index */
	uint64_t time;	  /* ms: the largest stamp seen */
	uint64_t rev;	  /* of the last change */
	uint64_t floor;	  /* the oldest revision that can be read */
	uint64_t keys, bytes;
	struct fsm_digest sum;
	struct tree tree;
	struct kv_history history;
	struct sessions sessions;
	struct leases leases;
	struct locks locks;
	bool broken; /* no memory to end a lease: nothing goes on */
};

struct fsm *kvstore_new(uint32_t group);
void kvstore_free(struct fsm *);

/*
 * Make key -> value a change of revision rev.  With append, value is added
 * to what is there.  The key comes into the lease, if there is one, and
 * leaves that of its last version.  path is where tree_find() found the key
 * or not; it is not valid afterwards.  -ENOMEM, nothing changed.
 */
int kvstore_put(struct fsm *, uint64_t rev, struct tree_path *path,
    struct mp_span key, struct mp_span value, bool append, struct lease *);
/* Leave a tombstone in the place of the live record that path found; flags
 * is RECORD_EXPIRED or 0. */
int kvstore_delete(
    struct fsm *, uint64_t rev, struct tree_path *path, unsigned flags);
/* Forget what is older than the limits of kv.h allow. */
void kvstore_trim(struct fsm *);

/*
 * The changes behind floor, in order: the number of the first one behind a
 * revision, and the change of a number, NULL behind the last.  What it
 * replaced hangs from it.
 */
size_t kvstore_since(const struct fsm *, uint64_t rev);
const struct record *kvstore_change(const struct fsm *, size_t i);

/* What a key's chain held at revision rev, or NULL. */
const struct record *kvstore_at(const struct record *newest, uint64_t rev);

struct fsm_digest kvstore_digest(const struct fsm *);
/* The same from the records themselves; for tests. */
struct fsm_digest kvstore_recount(const struct fsm *);
bool kvstore_check(const struct fsm *);

int kvstore_save(const struct fsm *,
    int (*write)(void *ctx, const void *, size_t), void *ctx);
/*
 * read fills all it is asked for or fails.  -EBADMSG not a valid state, and
 * what read returned; the store is then empty.
 */
int kvstore_load(
    struct fsm *, int (*read)(void *ctx, void *, size_t), void *ctx);

/* For kvimage.c: a record is entered without history. */
int kvstore_enter(struct fsm *, struct record *); /* takes it if 0 */
/* flags: what there must be room for, RECORD_OLDER and RECORD_LEASED. */
struct record *kvstore_record_new(
    size_t key_len, size_t value_len, unsigned flags);
/* A record that was entered comes into a lease: -EBADMSG if it cannot. */
int kvstore_enter_lease(struct fsm *, struct mp_span key, struct lease *);
/* Whether there ever was a lease. */
static inline bool
kvstore_has_leases(const struct fsm *f)
{
	return f->leases.last_id != 0;
}
void kvstore_reset(struct fsm *);

/* For whoever begins a cluster with what was loaded: the revision moves on
 * by so many, as if they had been taken and compacted; so do the names of
 * leases. */
void kvstore_advance(struct fsm *, uint64_t revs);

#endif
