/*
 * digest.h - 128-bit digests that can be summed.
 *
 * The digest of a set is the sum, modulo 2^128, of those of its elements:
 * independent of their order, and a change costs two hashes.  Numbers are
 * hashed as little-endian, so that all machines agree.
 */
#ifndef RAFTD_FSM_DIGEST_H
#define RAFTD_FSM_DIGEST_H

#include <endian.h>

#include "raftd/fsm/fsm.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

static inline struct fsm_digest
digest_of(const void *data, size_t len)
{
	XXH128_hash_t h = XXH3_128bits(data, len);

	return (struct fsm_digest){.hi = h.high64, .lo = h.low64};
}

static inline struct fsm_digest
digest_of_u64(uint64_t *n, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		n[i] = htole64(n[i]);
	return digest_of(n, count * sizeof(*n));
}

static inline void
digest_add(struct fsm_digest *sum, struct fsm_digest d)
{
	sum->hi += d.hi + __builtin_add_overflow(sum->lo, d.lo, &sum->lo);
}

static inline void
digest_sub(struct fsm_digest *sum, struct fsm_digest d)
{
	sum->hi -= d.hi + __builtin_sub_overflow(sum->lo, d.lo, &sum->lo);
}

#endif
