/*
 * record.h - one version of one key, in one allocation: the key and the
 * value stand right behind the header.
 *
 * Immutable once it is in the tree, except for `older` (cut off when the
 * history is trimmed) and RECORD_OLD.
 */
#ifndef RAFTD_FSM_RECORD_H
#define RAFTD_FSM_RECORD_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum record_flag {
	RECORD_TOMBSTONE = 1, /* the key is absent from mod_rev on */
	RECORD_OLD = 2,	      /* replaced: only the history holds it */
};

struct record {
	struct record *older; /* what it replaced, while that is kept */
	uint64_t create_rev;
	uint64_t mod_rev;
	uint64_t version;
	uint32_t value_len;
	uint16_t key_len;
	uint8_t flags;
	uint8_t bytes[]; /* key, then value */
};

static_assert(offsetof(struct record, bytes) == 39,
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

/* Bytes of memory, without what malloc adds. */
static inline size_t
record_size(const struct record *r)
{
	return offsetof(struct record, bytes) + r->key_len + r->value_len;
}

#endif
