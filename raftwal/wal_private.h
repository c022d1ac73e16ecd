/*
 * wal_private.h - the open log, shared by the files of raftwal/.
 */
#ifndef RAFTWAL_WAL_PRIVATE_H
#define RAFTWAL_WAL_PRIVATE_H

#include "raftwal/groups.h"
#include "raftwal/scan.h"
#include "raftwal/wal.h"

#define PREPARE_PATH "wal/prepare.tmp"
#define READERS 4 /* files kept open for reading */

struct reader {
	uint64_t number; /* of the segment, 0 unused */
	struct disk_file *file;
};

struct wal {
	struct disk disk;
	struct wal_options opt;
	struct groups groups;
	bool any_damaged;
	int error; /* of a write or sync that failed: nothing works after */

	/* where the next batch goes */
	struct disk_file *file; /* direct; NULL when read_only */
	uint64_t number, nonce, size, offset;
	uint64_t number_first;
	uint64_t sequence, synced, state;
	uint64_t admission; /* calls of batch_admit() */
	uint32_t chain;
	bool dirty; /* written since the last sync */
	bool last_is_mark;

	/* the next segment */
	bool next_ready;	   /* number + 1 stands in wal/, empty */
	struct disk_file *prepare; /* being filled, or NULL */
	uint64_t prepared;	   /* bytes of it */
	uint64_t prepare_size;	   /* that it shall have */
	bool is_short;		   /* no space for it */
	bool is_full;		   /* and a batch was refused, */
	uint64_t refused_len;	   /* so long */

	uint8_t *buf; /* a batch, DISK_ALIGNed */
	size_t buf_cap;
	uint8_t *window; /* wal_read()'s */
	struct reader readers[READERS];
	unsigned reader_next;
	struct wal_stat stat;
};

/* ---- segment.c --------------------------------------------------------- */

/* Fill, name and sync segment number + 1, one step: 1 more to do, 0 done. */
int segment_prepare(struct wal *);
/* The rest of it. */
int segment_prepare_all(struct wal *);
/* The same, and make it the one that is written; at least `room` bytes are
 * free in it.  small: one of the least size will do if there is no space for
 * another.  -ENOSPC leaves all as it was. */
int segment_advance(struct wal *, uint64_t room, bool small);
/* Open the segment that the scan ended in, or make the first one. */
int segment_resume(struct wal *, struct scan *);
/* Copy to quarantine/ what scan->end calls torn, and overwrite it with
 * zeroes. */
int segment_cut(struct wal *, struct scan *);

/* ---- read.c ------------------------------------------------------------ */

void readers_close(struct wal *);

#endif
