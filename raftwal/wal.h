/*
 * wal.h - the write-ahead log: one per server, for all of its groups.
 *
 * What it holds: Raft entries, each group's hard state (term and vote) and
 * small facts about peers, as the records of record.h, in batches.  A batch
 * is what one call of wal_write() was given: it is written with one write
 * and made durable with one sync, or it was never there.
 *
 * Append-only: a suffix that a new leader overwrites is not cut in place.
 * An entry hides every earlier record of its group with the same or a higher
 * index.
 *
 * How a crash is told from damage stands in raftwal(5).  In short: space is
 * zero before it is written, so that after a crash a sector is zero or whole;
 * each batch says which batches before it are known to be synced, and
 * wal_mark() says so of the last one.  At open,
 *	- a batch that lacks sectors, and that nothing proves to have been
 *	  synced, is a torn tail: cut, after its bytes were copied to
 *	  quarantine/;
 *	- one that is proven, or that has changed sectors, is damage:
 *	  wal_open() says so in the report, never shortens a group's log
 *	  behind its caller's back, and notes it in the log, so that the next
 *	  start says so too until the group has its entries again.  A caller
 *	  that knows better ends it with a RECORD_DAMAGE of payload 0.
 *
 * Segments are written over space that was filled with zeroes, never over
 * merely allocated extents; the next one is made ready ahead of its use.
 *
 * A full disk: entries never take the last part of a segment before the next
 * one is ready, so that hard state can be written when nothing else can; and
 * of that wal_is_short() tells early.  Whatever is refused for want of space
 * was not written, and nothing is until wal_retry() found some.
 *
 * Ownership: the caller's batches are borrowed during the call.
 * Threads: wal_write(), wal_sync(), wal_mark(), wal_prepare() belong to one
 * thread (raftd: the storage thread), and so does wal_read().
 * Errors: -errno.  After a failed write or sync the log accepts nothing.
 */
#ifndef RAFTWAL_WAL_H
#define RAFTWAL_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "raftctl/errtext.h"
#include "raftwal/disk.h"
#include "raftwal/record.h"

#define WAL_SEGMENT_SIZE_DEFAULT (16u * 1024 * 1024)
#define WAL_SEGMENT_SIZE_MIN (64u * 1024)
#define WAL_SEGMENT_SIZE_MAX (1u << 30)
#define WAL_RESERVE_MAX (1u << 20) /* a quarter of a segment at most */
#define WAL_BATCH_LEN_MAX (RECORD_PAYLOAD_MAX + 64u * 1024) /* one batch */

struct wal;

struct wal_options {
	uint32_t segment_size; /* 0: default; a batch may exceed it and then
				  has a segment of its own size */
	bool read_only;	       /* tools: nothing is cut, nothing is created */
	bool no_sync;	       /* --unsafe-no-fsync */
	uint64_t server_id;    /* in each segment's header; 0 when read_only */
	uint64_t nonce;	       /* random if there is randomness: payloads of
				  clients cannot then imitate a batch */
};

/* What recovery found for one group. */
struct wal_group {
	uint32_t group;
	uint64_t term;	     /* hard state; 0 if none was ever written */
	uint64_t vote;	     /* server id, 0 nobody */
	uint64_t first;	     /* first index kept; 1 without compaction */
	uint64_t prev_term;  /* of first - 1; 0 if first is 1 */
	uint64_t last;	     /* last index, first - 1 when there is no entry */
	bool damaged;	     /* entries that were once durable are missing: the
			   caller must not vote on this log as it stands */
	uint64_t last_known; /* the last index it is known to have had */
};

struct wal_report {
	uint64_t segments, records, bytes;
	uint64_t torn_bytes;  /* cut, or would be cut when read_only */
	uint64_t damaged;     /* problems that are not a torn tail */
	char text[256];	      /* the first problem, "" if none */
	uint64_t first, last; /* wal_check: lowest and highest index of any
				 group, 0 without entries */
};

/*
 * Opens the log below DIR/wal, creating it if the directory has none, and
 * recovers.  replay_cb is called for every record that counts, entries in
 * index order within a group, in one pass, before wal_open() returns; the
 * record is valid during the call; non-zero stops and is returned.
 * -EBADMSG only when nothing sensible can be read (report->text says what).
 */
typedef int (*wal_replay_cb)(const struct record *, void *ctx);
int wal_open(struct disk *, const struct wal_options *, wal_replay_cb,
    void *ctx, struct wal **, struct wal_report *, struct errtext *);
void wal_close(struct wal *); /* writes a mark if all is synced */

/* Groups found at open, by group number. */
size_t wal_groups(const struct wal *, const struct wal_group **);

/* Append one batch: each iovec holds whole sealed records back to back.
 * Written, not yet durable.  -ENOSPC, -EDQUOT: not written, nor is any other
 * until wal_retry() succeeds, as it might depend on this one. */
int wal_write(struct wal *, const struct iovec *, int iovcnt);
/* Everything written is durable when this returns 0. */
int wal_sync(struct wal *);
/* Vouch for the last sync on disk; call when idle.  Cheap, not synced. */
int wal_mark(struct wal *);
/* Make the next segment ready, a bounded piece of work a call: 1 there is
 * more to do, 0 it is ready. */
int wal_prepare(struct wal *);
/* There was no room for the next segment when it was tried last. */
bool wal_is_short(const struct wal *);
/* Then: how long a batch with entries may be, head and all. */
uint64_t wal_room(const struct wal *);
/* Makes the next segment ready, all of it: 0, there is space again.  Costs
 * as much as is free. */
int wal_retry(struct wal *);

/*
 * Drops the oldest segment if no group needs it any more: one a call, as
 * removing takes its time.  *dropped: 1, and there may be more.  What a group
 * needs: entries from the one behind its last RECORD_START (or RESET)
 * on, that record, its last hard state, and what stands behind these; so
 * whoever writes a START writes in the same batch what else is to outlive the
 * segments before.  A group without START keeps everything, and so does a
 * damaged one.  An error leaves a log that is whole.
 */
int wal_compact(struct wal *, uint64_t *dropped);
/* The first segment that is there, and the one that is written. */
uint64_t wal_first_segment(const struct wal *);
uint64_t wal_last_segment(const struct wal *);
/* What is written from now on stands in another segment than what was: so
 * that a cut can drop all of that. */
int wal_roll(struct wal *);

/*
 * Entries [from..to] of a group as sealed records back to back into buf, as
 * many whole ones as fit (at least the first, or -EMSGSIZE with *len the
 * size it needs).  -ENOENT: from is not in the log (any more).
 * -EBADMSG: the bytes on disk are damaged.
 */
int wal_read(struct wal *, uint32_t group, uint64_t from, uint64_t to,
    uint8_t *buf, size_t cap, size_t *len, uint64_t *last);

struct wal_stat {
	uint64_t segments, bytes, records, batches, syncs;
};
void wal_stat(const struct wal *, struct wal_stat *);

/* ---- walking a directory, for tools: read-only, nothing is judged ------ */

struct wal_place {
	char file[32]; /* "wal/0000000000000001.wal" */
	uint64_t offset;
	uint64_t len; /* with padding */
	bool checksum_ok;
	bool hidden;	  /* a later record overwrote it */
	const char *what; /* "record", "batch", "mark", "header" */
};

typedef int (*wal_walk_cb)(
    const struct wal_place *, const struct record *, void *ctx);
int wal_walk(struct disk *, wal_walk_cb, void *ctx, struct errtext *);

struct wal_problem {
	char file[32];
	uint64_t offset, len;
	uint32_t group;
	uint64_t index, term; /* 0 when unknown */
	const char *problem;  /* "torn" "damaged" "missing" "chain" */
	char detail[192];
};

typedef int (*wal_problem_cb)(const struct wal_problem *, void *ctx);
/* Judges a whole directory; 0 when it was read, whatever it found. */
int wal_check(struct disk *, wal_problem_cb, void *ctx, struct wal_report *,
    struct errtext *);

#endif
