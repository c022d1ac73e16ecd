/*
 * lock.h - locks: queues for what only so many may have at a time.
 *
 * A lock is a name with holders and waiters; it is there while somebody
 * holds it.  Each of them has a place, tied to a lease, which says how many
 * holders it puts up with, itself included: 1 is alone, N one of N, LOCK_ANY
 * shared with all that are content with it.  A place is held while there are
 * no more holders than any of them puts up with.
 *
 * Waiters get their turn in the order in which they came: nobody overtakes,
 * so that one who wants to be alone is not kept waiting by those who share.
 * Whoever gets it is given a token, the revision of that moment, which is
 * higher than any earlier one of any lock: the fencing token.
 *
 * A lease that ends leaves all its places; what was waiting moves up at the
 * same entry.
 *
 * Invariants (locks_check): a lock has a holder; holders ascend by token,
 * waiters by order of arrival; the first waiter is kept waiting by the
 * holders; limit is the least that a holder puts up with; counts and sum are
 * those of what is there.
 */
#ifndef RAFTD_FSM_LOCK_H
#define RAFTD_FSM_LOCK_H

#include "raftd/fsm/lease.h"

#define LOCK_PLACES_MAX 16384 /* of all locks together */
#define LOCK_HOLDER_LEN_MAX 1024
#define LOCK_HOST_LEN_MAX 255
#define LOCK_ANY UINT32_MAX /* slots: shared */

struct lock;

/* A place in the queue of a lock. */
struct lock_entry {
	TAILQ_ENTRY(lock_entry) link;	    /* in the lock */
	TAILQ_ENTRY(lock_entry) lease_link; /* in the lease, by order */
	struct lock *lock;
	struct lease *lease;
	uint64_t order; /* of arrival, 1.. over all locks */
	uint64_t token; /* 0: it waits */
	uint64_t since; /* when it came, or got its turn */
	uint64_t pid;	/* what the holder says of itself */
	uint32_t slots;
	uint16_t host_len, holder_len;
	uint8_t data[]; /* host, holder */
};

struct lock {
	RB_ENTRY(lock) node;
	struct lock_entry_list holders, waiters;
	uint32_t holder_count, waiter_count;
	uint32_t limit;
	uint64_t changed; /* locks.changes when its holders last did */
	struct fsm_digest name_digest;
	uint16_t name_len;
	uint8_t name[];
};
RB_HEAD(lock_tree, lock);

struct locks {
	struct lock_tree tree;
	uint32_t places;
	uint64_t changes;    /* of anybody's place, but for coming */
	uint64_t last_order; /* of a place */
	struct fsm_digest sum;
};

/* What stands in a place. */
struct lock_place {
	struct mp_span host, holder;
	uint64_t pid;
	uint32_t slots;
};

void locks_init(struct locks *);
void locks_release(struct locks *);

const struct lock *lock_find(const struct fsm *, struct mp_span name);
/* The first lock whose name is at least this one, or behind it. */
const struct lock *lock_seek(
    const struct fsm *, struct mp_span name, bool behind);
const struct lock *lock_next(const struct fsm *, const struct lock *);
/* The place of a lease in a lock, or NULL. */
struct lock_entry *lock_place_of(const struct lock *, const struct lease *);
/* Would it be held at once? */
bool lock_is_free(const struct lock *, uint32_t slots);
/* Does some holder have this token, and its lease time left? */
bool lock_has_token(const struct fsm *, struct mp_span name, uint64_t token);

/* Come to a lock: held if its turn is now.  NULL: no memory. */
struct lock_entry *lock_come(struct fsm *, struct mp_span name, struct lease *,
    const struct lock_place *);
/* Leave it; the lease stays. */
void lock_leave(struct fsm *, struct lock_entry *);
/* All places of a lease. */
void locks_leave(struct fsm *, struct lease *);

struct fsm_digest locks_digest(const struct locks *);
struct fsm_digest locks_recount(const struct locks *);
bool locks_check(const struct fsm *);

/* For kvimage.c.  NULL: no memory, or it is there already. */
struct lock *lock_enter(struct locks *, struct mp_span name, uint64_t changed);
/* Behind those that are there.  A token: it holds. */
struct lock_entry *lock_enter_place(struct locks *, struct lock *,
    struct lease *, const struct lock_place *, uint64_t order, uint64_t token,
    uint64_t since);
/* Is the lock as locks_check() wants it? */
bool lock_is_sound(const struct lock *);

#endif
