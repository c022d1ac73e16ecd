/*
 * store.h - the jobs that the host gives to storage.
 *
 * A job belongs to storage from store_submit() until the host gets it back
 * by host_stored(), in the order of submission.  raftd runs jobs on its
 * storage thread, taking all that wait into one write and one sync; the
 * simulator runs them at times it chooses.  store_run() is what both do.
 */
#ifndef RAFTD_STORE_H
#define RAFTD_STORE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include "raftd/blob.h"
#include "raftsnap/snap.h"
#include "raftwal/wal.h"

#define STORE_JOBS_MAX 64	    /* in the queue at once */
#define STORE_BYTES_MAX (64u << 20) /* in the queue at once, soft */
#define STORE_PIECES_MAX 64	    /* of one job */
#define STORE_READ_MAX (4u << 20)   /* one read of old entries */
#define STORE_DROP_MAX (16u << 20)  /* cut from a file at once */

enum store_kind {
	STORE_WRITE,	   /* records, durable when it comes back */
	STORE_READ,	   /* old entries for a peer that is behind */
	STORE_COMPACT,	   /* drop what the log needs no more */
	STORE_RETRY,	   /* is there space for the log again? */
	STORE_ROLL,	   /* go on in a new segment */
	STORE_SNAP_READ,   /* a piece of a snapshot, for a peer */
	STORE_SNAP_WRITE,  /* a piece of one that is received */
	STORE_SNAP_FINISH, /* verify it, and give it its name */
	STORE_SNAP_DROP,   /* a part of one that is not needed any more */
};

struct store_job {
	STAILQ_ENTRY(store_job) link;
	enum store_kind kind;
	int error;	  /* out: 0 or -errno */
	uint64_t seq;	  /* the host's, growing */
	uint64_t sync_ns; /* out, by whoever has a clock: time of the sync */
	uint32_t group;
	/* WRITE */
	int iovcnt;
	struct iovec iov[STORE_PIECES_MAX];  /* whole records */
	struct blob *blob[STORE_PIECES_MAX]; /* what iov points into */
	size_t bytes;
	bool again;		       /* was refused for want of space */
	bool is_short;		       /* out: the next one may be; */
	uint64_t room;		       /* out: what entries may take then */
	uint64_t index, term;	       /* last entry in the log with it */
	uint64_t hard_term, hard_vote; /* in force with it */
	/* READ */
	uint64_t from, to, last; /* last: out; COMPACT: from is the first
				    segment that is left, ROLL: last is the
				    one that is written, out */
	struct blob *out;	 /* the host's, cap is the limit */
	/* SNAP_*: a file of the data directory; from is the offset, iov[0]
	 * the bytes to write. */
	struct disk *disk;
	uint64_t request; /* READ: for a client, 0 for a peer */
	char path[SNAP_PATH_LEN];
	struct snap_meta meta; /* FINISH: out, without configuration */
	struct snap_sum sum;   /* FINISH: in what was promised, out */
};
STAILQ_HEAD(store_queue, store_job);

static inline bool
store_is_nospace(int error)
{
	return error == -ENOSPC || error == -EDQUOT;
}

/*
 * Run jobs[0..n) against the log: writes that stand together become one
 * batch; one sync covers all writes.  Fills error, last and out->len.
 * A failed write or sync is in every write job from there on.  For want of
 * space (-ENOSPC, -EDQUOT) nothing is written from there on, in later calls
 * neither, until a STORE_RETRY comes back without an error.
 */
void store_run(struct wal *, struct store_job **jobs, size_t n);

#endif
