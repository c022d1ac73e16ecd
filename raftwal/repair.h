/*
 * repair.h - mend the log of a server that has stopped.
 *
 * What can be made again byte for byte is: a batch's checksums prove it, and
 * the log is then what it was before the damage.  Sources are the second
 * copies that the format keeps, the checksums (which find one flipped bit in
 * a sector), and the entries of a peer, taken by index, term and checksum.
 * What cannot be made again stays, and its entries are appended from the
 * peer's committed ones if they follow on what is left.
 *
 * Before a byte is overwritten it stands, synced, in quarantine/.
 * A crash at any point leaves a log that is damaged no more than before.
 */
#ifndef RAFTWAL_REPAIR_H
#define RAFTWAL_REPAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftctl/errtext.h"
#include "raftwal/disk.h"
#include "raftwal/wal.h"

struct repair_entries {
	const uint8_t *records; /* valid until the next call */
	size_t len;
	uint64_t from, to;
	uint64_t prev_term; /* of the entry before, 0 not known */
	uint64_t commit;
};

/* Committed entries of a peer: at least the one at from.  -ENOENT: it has
 * not got it; -EPROTO: it answers nonsense; -errno. */
typedef int (*repair_fetch)(void *ctx, uint32_t group, uint64_t from,
    uint64_t to, struct repair_entries *, struct errtext *);

struct repair_step {
	char file[32]; /* "" in steps that append */
	uint64_t offset, len;
	uint32_t group;	    /* append, whole */
	uint64_t from, to;  /* entries */
	const char *action; /* "restore" "cut" "append" "whole" "leave" */
	char detail[192];
};

struct repair_options {
	struct wal_options wal;
	bool write;
	repair_fetch fetch; /* NULL: no peer */
	void *fetch_ctx;
	/* Each step, before it is taken.  Non-zero ends it all. */
	int (*step)(const struct repair_step *, void *);
	void *step_ctx;
};

struct repair_result {
	uint64_t steps; /* but "leave" */
	uint64_t left;	/* places and groups that stay damaged */
	bool whole;	/* no group lacks an entry; when not writing: would */
};

int repair_run(struct disk *, const struct repair_options *,
    struct repair_result *, struct errtext *);

#endif
