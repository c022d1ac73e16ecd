/*
 * record.h - one version of one key, in one allocation: the key and the
 * value stand right behind the header.
 *
 * A version that replaced another has room for a pointer to that behind its
 * value; the many that never replaced any do without, which is 16 bytes of
 * malloc each.  One with a lease (lease.h) has room for the lease's number
 * and for where it stands in the lease behind that.
 *
 * Its digest stays with it: what replaces it takes that out of the state's
 * without a look at the value, which is five cache misses saved.
 *
 * Immutable once it is in the tree, except for the older version (cut off
 * when the history is trimmed), RECORD_OLD, and its place in a lease, which
 * only the newest version of a key has.
 */
#ifndef RAFTD_FSM_RECORD_H
#define RAFTD_FSM_RECORD_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "raftd/fsm/fsm.h"

enum record_flag {
	RECORD_TOMBSTONE = 1, /* the key is absent from mod_rev on */
	RECORD_OLD = 2,	      /* replaced: only the history holds it */
	RECORD_OLDER = 4,     /* room for the version it replaced */
	RECORD_LEASED = 8,    /* room for a lease */
	RECORD_EXPIRED = 16,  /* a tombstone of a lease that ran out */
};

struct record {
	struct fsm_digest digest; /* of all below but flags; live ones */
	uint64_t create_rev;
	uint64_t mod_rev;
	uint64_t version;
	uint32_t value_len;
	uint16_t key_len;
	uint8_t flags;
	uint8_t bytes[]; /* key, value, the older version, the lease */
};

static_assert(offsetof(struct record, bytes) == 47,
    "a million of these are held in memory: no padding before the bytes");

static inline const uint8_t *
record_value(const struct record *r)
{
	return r->bytes + r->key_len;
}

static inline bool
record_is_live(const struct record *r)
{
	return r != NULL && (r->flags & RECORD_TOMBSTONE) == 0;
}

/* What it replaced, while that is kept; else NULL. */
static inline struct record *
record_older(const struct record *r)
{
	struct record *older = NULL;

	if ((r->flags & RECORD_OLDER) != 0)
		memcpy(&older, record_value(r) + r->value_len, sizeof(older));
	return older;
}

static inline void
record_set_older(struct record *r, struct record *older)
{
	assert((r->flags & RECORD_OLDER) != 0);
	memcpy(r->bytes + r->key_len + r->value_len, &older, sizeof(older));
}

struct attachment;

struct record_lease {
	uint64_t id;
	struct attachment *attachment; /* NULL of old versions */
};

static inline struct record_lease
record_lease_tail(const struct record *r)
{
	struct record_lease tail = {0, NULL};
	size_t skip =
	    (r->flags & RECORD_OLDER) != 0 ? sizeof(struct record *) : 0;

	if ((r->flags & RECORD_LEASED) != 0)
		memcpy(
		    &tail, record_value(r) + r->value_len + skip, sizeof(tail));
	return tail;
}

/* The number of its lease, 0 none. */
static inline uint64_t
record_lease(const struct record *r)
{
	return record_lease_tail(r).id;
}

static inline struct attachment *
record_attachment(const struct record *r)
{
	return record_lease_tail(r).attachment;
}

static inline void
record_set_lease(struct record *r, uint64_t id, struct attachment *a)
{
	struct record_lease tail = {id, a};
	size_t skip =
	    (r->flags & RECORD_OLDER) != 0 ? sizeof(struct record *) : 0;

	assert((r->flags & RECORD_LEASED) != 0);
	memcpy(
	    r->bytes + r->key_len + r->value_len + skip, &tail, sizeof(tail));
}

/* Bytes of memory, without what malloc, the older version and a lease add. */
static inline size_t
record_size(const struct record *r)
{
	return offsetof(struct record, bytes) + r->key_len + r->value_len;
}

#endif
