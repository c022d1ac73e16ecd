/*
 * scan.h - read a whole log in order, and judge it by the rules of
 * raftwal(5): what counts, what is torn, what is damaged.
 *
 * Private to raftwal/.  Changes nothing on disk.
 */
#ifndef RAFTWAL_SCAN_H
#define RAFTWAL_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftctl/errtext.h"
#include "raftwal/disk.h"
#include "raftwal/format.h"
#include "raftwal/wal.h"

#define SEGMENTS_MAX 1000000
#define SEGMENT_PATH_LEN 32

struct segment {
	uint64_t number;
	uint64_t size; /* of the file, cut to blocks */
	uint64_t nonce;
	unsigned copies; /* good ones of the header: 0 to 2 */
	bool changed;	 /* the header's block, outside of the copies */
	bool truncated;	 /* shorter than it was made */
};

void segment_path(uint64_t number, char path[SEGMENT_PATH_LEN]);

struct scan_batch {
	const struct segment *segment;
	uint64_t offset, len;
	const struct batch_head *head;
	bool valid; /* false: damaged, some of it may have been saved */
};

/* Any may be NULL.  Non-zero stops the scan and is its result. */
struct scan_visitor {
	int (*batch)(void *ctx, const struct scan_batch *);
	/*
	 * pos as in groups.h, 0 if the record was made up from its copy.
	 * ok false: only the copy is left, and payload is NULL; hard state
	 * is ok even then.
	 */
	int (*record)(void *ctx, const struct record *, uint64_t pos,
	    const struct scan_batch *, bool ok);
	/* Batches up to last_sequence are gone and nothing is known of what
	 * they held. */
	int (*blind)(void *ctx, uint64_t last_sequence, bool state_lost);
	int (*problem)(void *ctx, const struct wal_problem *);
};

struct scan_end {
	size_t segment;	 /* index of it; none exist: 0 */
	uint64_t offset; /* where the next batch goes */
	uint64_t sequence;
	uint64_t state;
	uint32_t chain;
	bool last_is_mark;
	uint64_t torn_len; /* bytes from offset that are to be cut */
	uint64_t vouched;  /* before it, in this segment, all was synced */
	uint64_t batches;
};

struct scan {
	struct disk *disk;
	bool live;   /* somebody may be writing */
	bool follow; /* and what is not finished is not there yet */
	struct segment *segments;
	size_t count, cap;
	/* a window on one file */
	struct disk_file *file;
	size_t file_segment;
	uint8_t *buf;
	size_t buf_cap, buf_len;
	uint64_t buf_offset;
	/* where the scan stands */
	const struct scan_visitor *visitor;
	void *ctx;
	size_t at; /* index of the segment */
	uint64_t offset;
	uint64_t sequence, state;
	uint32_t chain;
	bool chain_known, last_is_mark;
	uint64_t batches;
	size_t vouched_at; /* end.vouched, and in which segment */
	uint64_t vouched;
	struct scan_end end;
};

/* Lists the segments.  -ENOENT without a directory wal. */
int scan_init(struct scan *, struct disk *, struct errtext *);
void scan_release(struct scan *);
/* Segments from the first one on were dropped, or are lost. */
bool scan_is_headless(const struct scan *);
/* Reads all of it; may be called again. */
int scan_run(
    struct scan *, const struct scan_visitor *, void *ctx, struct errtext *);
/* Reads what was written since. */
int scan_more(
    struct scan *, const struct scan_visitor *, void *ctx, struct errtext *);
/* Bytes [offset, offset + len) of a segment, valid until the next call;
 * what cannot be read comes as 0xff, what is not there as 0. */
int scan_bytes(
    struct scan *, size_t segment, uint64_t offset, size_t len, uint8_t **);
/* Close the file that is open for the window. */
void scan_close_file(struct scan *);

#endif
