/*
 * lease.h - leases: what goes away by itself unless somebody renews it.
 *
 * A lease has a time to live and a deadline in replicated time.  Keys that
 * were put with it, and places in the queues of locks (lock.h), go with it.
 * A record with a lease has room for the lease's number and for where it
 * stands in the lease behind its bytes (record.h); a record without one
 * costs nothing.
 *
 * Time is the stamp of entries, so expiry happens at the same entry on every
 * server.  No entry finds a lease whose deadline its stamp has reached in
 * force: those are ended before the entry is looked at, earliest deadline
 * first, up to LEASE_WORK_MAX of them and their keys at one entry; of what is
 * left behind nothing counts any more that asks for a lease (lease_find).
 *
 * Numbers of leases ascend from 1 and are never used again.  An automatic
 * lease is one that a put or a lock made for itself: it ends with the last
 * thing that it holds.
 *
 * Invariants (leases_check): both trees hold the same leases, `due` is the
 * earliest deadline; each lease's tree of keys holds exactly the newest
 * versions that name it; an automatic one holds something; sum is that of the
 * digests.
 *
 * Ownership: the table owns the leases, a lease its attachments.
 */
#ifndef RAFTD_FSM_LEASE_H
#define RAFTD_FSM_LEASE_H

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include "raftd/fsm/fsm.h"
#include "raftd/fsm/record.h"

#define LEASE_COUNT_MAX (1u << 20)
#define LEASE_KEYS_MAX 4096 /* of one lease */
#define LEASE_TTL_MAX_MS (366u * 24 * 3600 * 1000ull)
#define LEASE_WORK_MAX 4096 /* keys and leases that end at one entry, soft */

struct lease;
struct lock_entry; /* lock.h */

/* A key in its lease. */
struct attachment {
	RB_ENTRY(attachment) node; /* by key */
	struct lease *lease;
	struct record *record;
};
RB_HEAD(attachment_tree, attachment);
TAILQ_HEAD(lock_entry_list, lock_entry);

struct lease {
	RB_ENTRY(lease) id_node, due_node;
	uint64_t id;
	uint64_t ttl, due; /* ms, of replicated time */
	struct attachment_tree keys;
	uint32_t key_count;
	struct lock_entry_list places; /* in queues, by order of arrival */
	bool automatic;
	bool ending;
};
RB_HEAD(lease_id_tree, lease);
RB_HEAD(lease_due_tree, lease);

struct leases {
	struct lease_id_tree by_id;
	struct lease_due_tree by_due;
	uint32_t count;
	uint64_t last_id;
	uint64_t due; /* the earliest deadline, UINT64_MAX none */
	struct fsm_digest sum;
};

void leases_init(struct leases *);
void leases_release(struct leases *); /* when records and locks are gone */

/* NULL: no memory, or *full.  ttl is 1..LEASE_TTL_MAX_MS. */
struct lease *lease_grant(
    struct fsm *, uint64_t ttl, bool automatic, bool *full);
/* One that is in force, or NULL. */
struct lease *lease_find(const struct fsm *, uint64_t id);
/* The first whose number is above id, in force or not; NULL behind all. */
const struct lease *lease_next(const struct fsm *, uint64_t id);
bool lease_is_live(const struct fsm *, const struct lease *);
/* Another ttl from now on; a deadline never moves back. */
void lease_renew(struct fsm *, struct lease *);
/* With all it holds; the number of keys, or -ENOMEM. */
int lease_end(struct fsm *, struct lease *, bool expired);
/* End an automatic lease that holds nothing any more. */
void lease_settle(struct fsm *, struct lease *);
/* Ends what is due; -ENOMEM. */
int leases_expire(struct fsm *);

/* The newest version of a key comes into its lease, or leaves it. */
struct attachment *attachment_new(void); /* NULL without memory */
void lease_attach(struct lease *, struct attachment *, struct record *);
void lease_detach(struct fsm *, struct record *);

struct fsm_digest leases_digest(const struct leases *);
struct fsm_digest leases_recount(const struct leases *);
bool leases_check(const struct fsm *);

/* For kvimage.c: one of the saved form, numbers ascending. */
struct lease *lease_enter(
    struct leases *, uint64_t id, uint64_t ttl, uint64_t due, bool automatic);
/* The keys of a lease in order: the first if r is NULL; NULL behind all. */
const struct record *lease_key_after(
    const struct lease *, const struct record *r);

#endif
