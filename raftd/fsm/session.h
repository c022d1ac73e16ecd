/*
 * session.h - what became of the writes of clients that may ask again.
 *
 * A write may name a session, a sequence number in it, and the lowest number
 * that its client still waits for.  The first such write is carried out and
 * its outcome kept; each later one of the same number gets that outcome, on
 * any server, because the table is part of the replicated state.  Outcomes
 * below the lowest number waited for are dropped.
 *
 * Sessions begin with their first write.  So that a late copy of a write can
 * never begin a session anew that was forgotten, there are two kinds:
 *
 *  - timed: the write also says since when the session exists, in replicated
 *    time as a server told it.  Idle ones are forgotten after SESSION_IDLE_MS
 *    or, longest idle first, when the table is full; the latest beginning of
 *    any that was forgotten is remembered as the horizon, and an unknown
 *    session that began before it is refused;
 *  - lasting: nothing is said, as by a script that was started again and
 *    remembers only the name of its request.  They are kept for
 *    SESSION_LASTING_MS after their last use, no matter what; when the table
 *    is full of them a new one is refused with BUSY.
 *
 * Everything here happens at the same entry on every server, by stamped time.
 *
 * Invariants (session_check): each list ascends by `used`; outcomes ascend
 * by seq, none is below ack; counts, bytes and the sum of digests are those
 * of what is there.
 */
#ifndef RAFTD_FSM_SESSION_H
#define RAFTD_FSM_SESSION_H

#include <bsd/sys/queue.h>
#include <bsd/sys/tree.h>

#include "raftd/fsm/fsm.h"
#include "raftd/fsm/kvargs.h"

#define SESSION_ID_LEN_MAX 64
#define SESSION_COUNT_MAX 65536		       /* of each kind */
#define SESSION_BYTES_MAX (64u * 1024 * 1024)  /* of each kind */
#define SESSION_OUTCOMES_MAX 1024	       /* of one session */
#define SESSION_REPLY_MAX 1024		       /* longer ones are shortened */
#define SESSION_IDLE_MS (3600u * 1000)	       /* timed */
#define SESSION_LASTING_MS (24u * 3600 * 1000) /* lasting */

enum session_kind { SESSION_TIMED, SESSION_LASTING, SESSION_KINDS };

struct outcome {
	TAILQ_ENTRY(outcome) link;
	uint64_t seq;
	uint64_t print; /* of the write, to tell another one */
	uint8_t status; /* enum wire_status */
	uint32_t len;
	uint8_t data[]; /* the packed reply, or the text of the error */
};

TAILQ_HEAD(outcome_list, outcome);

struct session {
	RB_ENTRY(session) node;
	TAILQ_ENTRY(session) link;
	struct outcome_list outcomes;
	uint32_t outcome_count;
	enum session_kind kind;
	uint64_t since, used; /* replicated time, ms */
	uint64_t ack;	      /* nothing below is asked for any more */
	struct fsm_digest name;
	uint8_t id_len;
	uint8_t id[];
};
RB_HEAD(session_tree, session);
TAILQ_HEAD(session_list, session);

struct sessions {
	struct session_tree tree;
	struct session_list idle[SESSION_KINDS]; /* longest idle first */
	uint32_t count[SESSION_KINDS];
	uint64_t bytes[SESSION_KINDS];
	uint64_t horizon; /* timed ones that began before are forgotten */
	struct fsm_digest sum;
	struct mp_buf reply; /* of the command under way */
	struct mp_buf brief;
};

void sessions_init(struct sessions *);
void sessions_release(struct sessions *);

/*
 * Before a write that names a session, at replicated time `now`.  true: carry
 * it out, with its answer in ->reply, and call session_end() with *s.  false:
 * it is over, with *status as for apply.
 */
bool session_begin(struct sessions *, uint64_t now, const struct kv_args *,
    uint64_t print, struct session **s, struct mp_buf *reply,
    struct wire_error *err, enum wire_status *status);
/* Keep the outcome; false without memory. */
bool session_end(struct sessions *, struct session *, const struct kv_args *,
    uint64_t print, enum wire_status, const struct wire_error *);

struct fsm_digest sessions_digest(const struct sessions *);
/* The same from the sessions themselves; for tests. */
struct fsm_digest sessions_recount(const struct sessions *);
bool sessions_check(const struct sessions *);

/* For kvimage.c: both append what they make at the end.  NULL: no memory, or
 * it is there already or out of order. */
struct session *session_enter(struct sessions *, enum session_kind,
    struct mp_span id, uint64_t since, uint64_t used, uint64_t ack);
struct outcome *session_add(struct sessions *, struct session *, uint64_t seq,
    uint64_t print, enum wire_status, struct mp_span data);
/* Where in a reply "duplicate" is said to be false; -EPROTO: nowhere. */
int session_reply_flag(struct mp_span reply, size_t *at);

#endif
