/*
 * txn.h - transactions: compare keys, then carry out one of two lists.
 *
 *	{"if": [{"key": k, "op": "="|"!="|"<"|">", and any of
 *		"rev": n, "create_rev": n, "version": n, "value": bytes,
 *		"exists": bool}
 *	  or {"lock": name, "token": n, "op": "="|"!="}, ...],
 *	 "then": [operation, ...], "else": [operation, ...]}
 *
 * All comparisons must hold for `then`.  op is "=" if it is missing; numbers
 * of an absent key are 0, and its value stands in no relation to any.
 * An operation is a map of one pair:
 *	{"put": {"key", "value", "append": bool, "lease": n}}
 *					-> record without value
 *	{"del": {"key"}}				-> {"deleted": n}
 *	{"get": {"key"}}				-> record or nil
 *	{"range": {"prefix", "from", "to", "limit"}}
 *					-> {"records": [...], "more": bool}
 * A list sees what it changed itself.  All its changes are one revision, so
 * it may write a key once only.  What could fail is looked at before the
 * first change: a transaction is carried out whole or not at all.
 */
#ifndef RAFTD_FSM_TXN_H
#define RAFTD_FSM_TXN_H

#include "raftd/fsm/kvstore.h"

#define TXN_OPS_MAX 128 /* in each of if, then and else */

/* Looks at bytes only. */
enum wire_status txn_judge(struct mp_cur, struct wire_error *);
/* Of one that was judged. */
enum wire_status txn_apply(
    struct fsm *, struct mp_cur, struct mp_buf *reply, struct wire_error *);

#endif
