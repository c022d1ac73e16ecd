/*
 * chunk.h - a snapshot on its way between two servers, in bytes.
 *
 *	[2, "snapshot", [group, term, index, log_term, id, total, offset,
 *	    sum, data]]
 *	[2, "snapshot.ack", [group, index, id, offset, sum]]
 *
 * id is the hash of the whole file, index and log_term are what it ends with.
 * A chunk without data asks how much the receiver has, and is answered by an
 * ack like any other: offset is the next byte that is wanted.
 */
#ifndef RAFTD_CHUNK_H
#define RAFTD_CHUNK_H

#include <stdint.h>

#include "raftctl/frame.h"
#include "raftctl/mp.h"
#include "raftsnap/snap.h"

#define CHUNK_LEN_MAX (256u * 1024)

struct chunk {
	uint32_t group;
	uint64_t term; /* of the leader that sends it */
	uint64_t index, log_term;
	uint8_t id[SNAP_ID_LEN];
	uint64_t total, offset;
	struct mp_span data;
};
/* Up to where data.len bytes of data follow. */
void chunk_put(struct mp_buf *, const struct chunk *);
int chunk_read(const struct frame *, struct chunk *);

struct chunk_ack {
	uint32_t group;
	uint64_t index;
	uint8_t id[SNAP_ID_LEN];
	uint64_t offset;
};
void chunk_ack_put(struct mp_buf *, const struct chunk_ack *); /* a frame */
int chunk_ack_read(const struct frame *, struct chunk_ack *);

#endif
