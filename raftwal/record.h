/*
 * record.h - one record: what stands in the log, and, byte for byte the
 * same, in what a leader sends its followers.
 *
 * A leader encodes an entry once.  The same bytes go into its log, over the
 * network, into each follower's log, and are what apply reads.  The checksum
 * made by the leader therefore covers the whole way.
 *
 * A record is a header of RECORD_HEADER_LEN bytes, little-endian, and len
 * payload bytes; the next record starts at the next multiple of
 * RECORD_ALIGN, the gap being zero.  Format: raftwal(5).
 *
 *	offset size
 *	     0    4 crc	   crc32c of bytes 4..RECORD_HEADER_LEN+len
 *	     4    4 len	   payload bytes
 *	     8    4 group
 *	    12    1 kind   enum record_kind
 *	    13    3 zero
 *	    16    8 index  of the entry; 0 in records that are no entries
 *	    24    8 term   of the entry
 *	    32    8 stamp  milliseconds of replicated time; 0 if none
 */
#ifndef RAFTWAL_RECORD_H
#define RAFTWAL_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_HEADER_LEN 40
#define RECORD_ALIGN 8
#define RECORD_PAYLOAD_MAX (64u * 1024 * 1024 + 128u * 1024)

/* Raft entries are the kinds below RECORD_STATE. */
enum record_kind {
	RECORD_INVALID = 0,
	RECORD_NOOP = 1,    /* start of a term (8 of the paper) */
	RECORD_COMMAND = 2, /* payload: method and params as the client sent
			       them, two MessagePack values back to back */
	RECORD_CONFIG = 3,  /* payload: members, raftwal(5) */
	RECORD_STATE = 16,  /* hard state: term is the current term, payload
			       u64 vote, a server id or 0 for nobody */
	RECORD_PEER = 17,   /* what is known of a peer; payload u64 id, u64
			       boot counter, 16 bytes uuid, and perhaps u64
			       nonce, term and index acknowledged */
	RECORD_DAMAGE = 18, /* the group's log lost entries that were durable,
			       or has them again: raftwal(5) */
	RECORD_COMMIT = 19, /* payload u64 index known to be committed, so
			       that a restart can apply while it replays */
	RECORD_START = 20,  /* the log begins behind a snapshot: payload u64
			       index and u64 of the configuration, which
			       follows; term is that of the index */
	RECORD_RESET = 21,  /* the same, and no entry before it counts */
};

struct record {
	uint32_t group;
	enum record_kind kind;
	uint64_t index;
	uint64_t term;
	uint64_t stamp;
	const uint8_t *payload; /* borrowed */
	uint32_t len;
};

static inline bool
record_is_entry(enum record_kind k)
{
	return k > RECORD_INVALID && k < RECORD_STATE;
}

/* Kinds whose payload begins with a number that counts for recovery: the
 * batch's head keeps a copy of it. */
static inline bool
record_has_number(enum record_kind k)
{
	return k == RECORD_STATE || k == RECORD_DAMAGE || k == RECORD_START ||
	       k == RECORD_RESET;
}

/* Bytes that a record with len payload bytes occupies, padding included. */
static inline size_t
record_size(uint32_t len)
{
	return (RECORD_HEADER_LEN + (size_t)len + RECORD_ALIGN - 1) &
	       ~(size_t)(RECORD_ALIGN - 1);
}

/*
 * Finish the record at dst, whose payload of r->len bytes stands already at
 * dst + RECORD_HEADER_LEN (r->payload is ignored): header, padding, crc.
 * dst has room for record_size(r->len).
 */
void record_seal(uint8_t *dst, const struct record *);

/*
 * Read the record at the start of data[0..avail).  Returns its size with
 * padding, or 0 if it is not a whole valid record: too short, bad length,
 * bad kind, bad checksum, padding not zero.
 */
size_t record_read(const uint8_t *data, size_t avail, struct record *);

#endif
