/*
 * kvlist.h - records as MessagePack, alone and in pages.
 */
#ifndef RAFTD_FSM_KVLIST_H
#define RAFTD_FSM_KVLIST_H

#include "raftd/fsm/kvargs.h"
#include "raftd/fsm/kvstore.h"

/* A record, or nil for NULL; with keys_only its value is nil. */
void kvlist_put_record(
    const struct fsm *, struct mp_buf *, const struct record *, bool keys_only);

/* The answer to list; args->rev is a revision that can be read. */
void kvlist_query(
    const struct fsm *, const struct kv_args *args, struct mp_buf *reply);

/* Records and more, of a range inside a transaction; returns how many. */
uint32_t kvlist_range(
    const struct fsm *, const struct kv_args *args, struct mp_buf *reply);

#endif
