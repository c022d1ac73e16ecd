/*
 * watch.h - what changed: events out of the history.
 *
 *	watch.next [key, {prefix: bool, since: rev, wait: ms, limit: n,
 *	    prev: bool}]
 *	-> {"rev", "group", "events": [{"type": "put"|"delete", "rev",
 *	    "group", "key", "value", "prev": record|nil}]}
 *
 * Events behind since, in order and without gaps; all of one revision are in
 * one answer.  The next call asks with since = rev.  Without since there are
 * no events, only the present rev to begin at.
 */
#ifndef RAFTD_FSM_WATCH_H
#define RAFTD_FSM_WATCH_H

#include "raftd/fsm/kvstore.h"

/* As in fsm_ops. */
enum wire_status watch_args(
    struct mp_span params, struct fsm_watch *, struct wire_error *err);
bool watch_event(const struct fsm *, size_t i, struct fsm_event *);
void watch_put_event(const struct fsm *, size_t i, bool prev, struct mp_buf *);
uint64_t watch_floor(const struct fsm *);
enum wire_status watch_query(const struct fsm *, struct mp_span params,
    uint64_t *since, bool now, struct mp_buf *reply, struct wire_error *err);

#endif
