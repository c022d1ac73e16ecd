/*
 * mend.h - what is done about rot that was found while the server runs.  For
 * the files of ring 2, as inside.h.
 */
#ifndef RAFTD_MEND_H
#define RAFTD_MEND_H

#include "raftd/snapshot.h"

/* The log on disk has rotted somewhere. */
void mend_log(struct host *);
void mend_turn(struct group *);
uint64_t mend_deadline(const struct group *);
/* The answer to a STORE_ROLL. */
void mend_rolled(struct host *, const struct store_job *);
/* A cut was made: the log begins with this segment. */
void mend_compacted(struct host *, uint64_t first);

#endif
