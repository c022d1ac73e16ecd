/*
 * compact.h - cut the log of a server that has stopped behind a snapshot
 * that somebody has verified: the start of raftwal(5), and then the segments
 * that no group needs.
 */
#ifndef RAFTWAL_COMPACT_H
#define RAFTWAL_COMPACT_H

#include <stdint.h>

#include "raftctl/errtext.h"
#include "raftwal/disk.h"
#include "raftwal/wal.h"

struct compact_result {
	uint64_t first;	   /* index where the log begins then */
	uint64_t segments; /* dropped; when not writing: would be */
};

/*
 * index and term are the snapshot's.  -EBADMSG: the log and the snapshot do
 * not fit, the group is damaged, or nothing tells the members at index.
 */
int compact_run(struct disk *, const struct wal_options *, uint32_t group,
    uint64_t index, uint64_t term, bool write, struct compact_result *,
    struct errtext *);

#endif
