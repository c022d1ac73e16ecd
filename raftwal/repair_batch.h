/*
 * repair_batch.h - a damaged batch, made again byte for byte, in memory.
 *
 * Private to raftwal/.
 */
#ifndef RAFTWAL_REPAIR_BATCH_H
#define RAFTWAL_REPAIR_BATCH_H

#include "raftwal/format.h"
#include "raftwal/repair.h"

struct batch_mend {
	const struct batch_head *head; /* from the head or the foot */
	repair_fetch fetch;	       /* NULL: no peer */
	void *fetch_ctx;
	struct errtext *et;
	unsigned bits, copies, fetched; /* what it took */
};

/*
 * base holds the whole batch as it was found; 0: it is as it was written,
 * which the head's checksum proves.  -ENODATA: that is not to be had; base is
 * then of no use.
 */
int batch_mend(uint8_t *base, struct batch_mend *);

#endif
