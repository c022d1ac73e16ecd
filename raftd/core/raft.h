/*
 * raft.h - Raft for one group, sans I/O: a state machine.
 *
 *	raft_step(raft, event, output)
 *
 * No clock, I/O, allocation, globals, logging; randomness is a seeded state
 * inside.  Same events, same outputs, byte for byte.  `make lint` checks the
 * undefined symbols of this folder.
 *
 * What the core knows of the log is runs of (index, term), the trail; the
 * payloads are the host's, who attaches them by range.
 *
 * The contract with the host, all of it:
 *
 *   1. After each raft_step() the host takes the output before the next
 *	step.  Entries of an append that the core accepted (persist_first ..
 *	persist_last) and changed hard state go to the log, in the order of
 *	the steps; any number of steps may share one batch.
 *   2. When a batch is durable the host steps RAFT_PERSISTED with the last
 *	(index, term) and the hard state that batch carried.  (index, term)
 *	names a whole prefix (log matching), so completions may come late, out
 *	of order, or for a suffix that was since replaced.  The hard state is
 *	that of the last step in the batch: its term tells a suffix that was
 *	replaced and came back (ABA) from what the disk holds.
 *   3. A message with wait set leaves only after everything handed to the
 *	log by this step and all before it is durable.  The others may leave
 *	at once.
 *   4. Entries are sent by pulling: when the steps of a turn are done, the
 *	host asks raft_append_wanted() for each peer, builds as large a
 *	message as it sees fit within the answer, and reports raft_appended().
 *	So appends are batched by turn, and the window counts real bytes.
 *   5. commit only grows; entries up to it may be applied.  After applying,
 *	RAFT_APPLIED tells the core.
 *   6. RAFT_TICK comes at the latest when `deadline` is reached.
 *
 * raft_step is total: every message in every state is handled or dropped
 * and trips no assertion, whatever bytes it was decoded from.
 *
 * Sources: Ongaro and Ousterhout, "In Search of an Understandable Consensus
 * Algorithm (Extended Version)", called "paper" below; Ongaro's dissertation,
 * called "diss."; Howard and Abraham, "Raft does not Guarantee Liveness in
 * the face of Network Faults", for why pre-vote and check-quorum go together.
 */
#ifndef RAFTD_CORE_RAFT_H
#define RAFTD_CORE_RAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No server; ids start at 1. */
#define RAFT_NONE 0
/* Voters and learners, both halves of a joint configuration together. */
#define RAFT_MEMBERS_MAX 16
/* Messages in one output: two broadcasts and a few answers. */
#define RAFT_MSGS_MAX (2 * RAFT_MEMBERS_MAX + 4)
/* Terms in one append message. */
#define RAFT_RUNS_MAX 64
/* Configuration entries in one append: the sending host ends a message before
 * the one too many. */
#define RAFT_APPEND_CONFIGS_MAX 2
/* Answers to reads in one output. */
#define RAFT_READS_MAX 64
/* Appends on the way to one peer. */
#define RAFT_INFLIGHT_MAX 256
/* Configurations after the one committed last. */
#define RAFT_CONFIGS_MAX 4
/* A clock that is wrong by more than a fifth is none. */
#define RAFT_DRIFT_PPM_MAX 200000

/* Monotonic time in nanoseconds; only differences mean anything. */
struct raft_time {
	uint64_t ns;
};

enum raft_role {
	RAFT_FOLLOWER,
	RAFT_PRECANDIDATE,
	RAFT_CANDIDATE,
	RAFT_LEADER,
};
const char *raft_role_name(enum raft_role);

/* What a member counts for.  Neither bit: a learner. */
enum raft_voter {
	RAFT_VOTER_NEW = 1, /* in the configuration, or C_new while joint */
	RAFT_VOTER_OLD = 2, /* in C_old; set only while joint */
};

struct raft_member {
	uint64_t id;
	uint8_t voter; /* enum raft_voter bits */
};

/* Sorted by id; joint exactly while any two sets are in force. */
struct raft_config {
	uint32_t count;
	bool joint;
	struct raft_member member[RAFT_MEMBERS_MAX];
};

/* Entries first.. of one term; a run ends where the next one begins. */
struct raft_run {
	uint64_t first;
	uint64_t term;
};

struct raft_hard {
	uint64_t term;
	uint64_t vote;
};

/* ---- messages --------------------------------------------------------- */

enum raft_msg_type {
	RAFT_PREVOTE = 1,
	RAFT_PREVOTE_REPLY,
	RAFT_VOTE,
	RAFT_VOTE_REPLY,
	RAFT_APPEND,
	RAFT_APPEND_REPLY,
	RAFT_HEARTBEAT,
	RAFT_HEARTBEAT_REPLY,
	RAFT_READ_INDEX,       /* follower to leader */
	RAFT_READ_INDEX_REPLY, /* leader to follower */
	RAFT_TIMEOUT_NOW,      /* leadership transfer, diss. 3.10 */
	RAFT_SNAPSHOT,	       /* a piece of one; the bytes are the host's */
	RAFT_SNAPSHOT_REPLY,
	RAFT_MSG_TYPE_COUNT
};

struct raft_msg {
	enum raft_msg_type type;
	uint64_t from, to;
	uint64_t term;
	bool wait; /* contract 3 */
	union {
		struct {	       /* RAFT_PREVOTE, RAFT_VOTE */
			uint64_t term; /* that the candidate stands for; equal
					  to msg.term for a vote */
			uint64_t last_index, last_term;
			bool transfer; /* the leader asked for it: ignore the
					  leader's lease */
		} vote;
		struct {	       /* both replies */
			uint64_t term; /* the one that was asked for */
			bool granted;
		} vote_reply;
		struct {
			uint64_t prev_index, prev_term;
			uint64_t last; /* last entry; prev_index if none */
			uint64_t commit;
			/* Read round.  0 and no entries: only tells the
			 * commit index and is not answered. */
			uint64_t round;
			uint64_t bytes; /* of the entries, records included */
			uint32_t run_count; /* runs cover prev_index+1..last */
			struct raft_run run[RAFT_RUNS_MAX];
			/* Configurations among the entries, by index; the
			 * receiving host reads them from the payloads. */
			uint32_t config_count;
			uint64_t config_index[RAFT_APPEND_CONFIGS_MAX];
			struct raft_config config[RAFT_APPEND_CONFIGS_MAX];
		} append;
		struct {
			bool ok;
			uint64_t match; /* ok: durable and equal up to here */
			uint64_t prev_index; /* not ok: the one refused */
			uint64_t hint_index, hint_term; /* not ok: raftrpc(5) */
			uint64_t last; /* last index of the follower */
			uint64_t round;
			uint64_t promise_ns; /* raft_lease(); 0 none */
		} append_reply;
		struct {
			uint64_t commit; /* never beyond the peer's match */
			uint64_t round;
		} heartbeat;
		struct {
			uint64_t round;
			uint64_t last; /* the follower knows its log to equal
					  this term's leader's up to here */
			uint64_t promise_ns;
		} heartbeat_reply;
		struct {
			uint64_t boot;	/* of the asking server */
			uint64_t id;	/* the asker's, unique in its boot */
			uint64_t index; /* reply only */
			bool ok;	/* reply only */
		} read;
		struct {
			uint64_t index, log_term; /* what it ends with */
		} snapshot;
		struct {
			bool ok;
			uint64_t index;
		} snapshot_reply;
	} u;
};

/* ---- events ----------------------------------------------------------- */

enum raft_event_type {
	RAFT_EV_TICK = 1,
	RAFT_EV_MESSAGE,
	RAFT_EV_PROPOSE,
	RAFT_EV_READ,
	RAFT_EV_PERSISTED,
	RAFT_EV_APPLIED,
	/* Its connection closed: it has certainly gone or been cut off just
	 * now.  Also whenever its boot counter changed.  Nothing that it sent
	 * on the old connection may be stepped afterwards. */
	RAFT_EV_PEER_DOWN,
	RAFT_EV_PEER_UP,
	/* What a server has promised it may have forgotten: it came back with
	 * an empty or an old directory.  Or not any more.  See trust.c. */
	RAFT_EV_DISTRUST,
	RAFT_EV_TRUST,
	/* Propose a configuration.  Voters change in two steps: a joint one,
	 * whose old half is the one in force, and, once that is committed, a
	 * plain one with the voters of its new half.  Learners may change in
	 * one step.  The leader's host proposes the second step, too: also
	 * after a change of leaders, whenever the configuration in force is
	 * joint and committed and the status says ready. */
	RAFT_EV_CHANGE,
	RAFT_EV_TRANSFER,  /* hand leadership to id, RAFT_NONE picks one */
	RAFT_EV_STEP_DOWN, /* stop leading now (sick disk, clock jump) */
	/* A snapshot of an applied index is durable, and the log is to begin
	 * behind it. */
	RAFT_EV_SNAPSHOT_SAVED,
	/* One that the leader sent is whole and durable: a restart would
	 * begin with it. */
	RAFT_EV_SNAPSHOT_RECEIVED,
	RAFT_EV_TYPE_COUNT
};

struct raft_event {
	enum raft_event_type type;
	struct raft_time now; /* every event carries the time */
	union {
		const struct raft_msg *msg; /* borrowed */
		struct {
			uint32_t count;
			uint64_t bytes; /* of their records */
		} propose;
		struct {
			uint64_t id; /* the host's, growing; answered by
					read_done, all ids up to it at once */
		} read;
		struct {
			uint64_t index, term; /* 0, 0: no entries yet */
			struct raft_hard hard;
		} persisted;
		struct {
			uint64_t index;
		} applied;
		struct {
			uint64_t id;
		} peer; /* PEER_DOWN, PEER_UP, DISTRUST, TRUST, TRANSFER */
		struct raft_config config; /* CHANGE */
		struct {
			uint64_t index, term;
			/* RECEIVED only: in force at index */
			uint64_t config_index;
			struct raft_config config;
		} snapshot;
	} u;
};

/* ---- output ----------------------------------------------------------- */

struct raft_read_done {
	uint64_t id;	/* all reads up to and with this id ... */
	uint64_t index; /* ... may be served once this index is applied */
	bool ok;	/* false: ask again, nothing is known */
};

struct raft_output {
	bool hard_changed;
	struct raft_hard hard; /* current, whether changed or not */
	/*
	 * Entries to hand to the log, none if last < first.  For PROPOSE and
	 * CHANGE they are the new ones, with term hard.term; for an append
	 * they are the tail of that message.  persist_first at or below the
	 * last index known before says that a suffix is replaced.  A no-op
	 * that starts a term is written by the host: noop is set and
	 * persist_first == persist_last.
	 */
	uint64_t persist_first, persist_last;
	bool noop;
	bool rejected; /* PROPOSE, CHANGE, READ, TRANSFER: not taken; nothing
			  was appended.  CHANGE: see raft_change_refusal() */
	uint64_t commit;
	uint32_t msg_count;
	struct raft_msg msg[RAFT_MSGS_MAX];
	uint32_t read_count;
	struct raft_read_done read[RAFT_READS_MAX];
	uint64_t snapshot_to;	   /* a peer needs what the log has no more */
	bool snapshot_wanted;	   /* RAFT_SNAPSHOT: take its bytes */
	bool snapshot_installed;   /* RECEIVED: the log begins behind it now,
				      and so must the state machine */
	bool leader_changed;	   /* role, leader or term differ from before */
	struct raft_time deadline; /* next TICK at the latest */
};

/* ---- the machine ------------------------------------------------------ */

struct raft_options {
	uint64_t id;
	uint64_t boot; /* boot counter: makes identifiers unique */
	uint64_t seed;
	struct raft_time heartbeat;	/* period */
	struct raft_time election;	/* timeout, drawn from [1, 2) of it */
	uint64_t inflight_bytes_max;	/* window to one peer */
	uint64_t uncommitted_bytes_max; /* proposals beyond are rejected */
	uint32_t append_entries_max;	/* in one message */
	bool pre_vote, check_quorum;	/* true but in tests */
	/* Promise the leader not to help another one for an election timeout
	 * after each word of it, and count on such promises: raft_lease().
	 * No clock gains or loses more than drift_ppm millionths. */
	bool lease;
	uint32_t drift_ppm;
	/* Wrong on purpose, to show why: learners count in elections; voters
	 * change without a joint configuration. */
	bool unsafe_early_vote, unsafe_no_joint;
};

/* What the log holds at start-up. */
struct raft_boot {
	struct raft_hard hard;
	uint64_t first;	    /* first index in the log */
	uint64_t prev_term; /* term of first - 1, 0 if first is 1 */
	uint64_t commit;    /* known to be committed; first - 1 at least */
	const struct raft_run *run;
	uint32_t run_count;
	uint64_t last;
	/* The configuration in force at each place, ascending; the first is
	 * in force at first - 1 or from the earliest entry on. */
	const struct raft_config *config;
	const uint64_t *config_index;
	uint32_t config_count;
	bool damaged;	/* follow only: no campaign, no vote, until caught up */
	bool untrusted; /* as by RAFT_EV_DISTRUST of this server itself */
};

struct raft;

/* Memory that a core needs: the caller's, aligned like malloc's. */
size_t raft_sizeof(void);
/*
 * Start.  runs[runs_cap] is the trail's memory, lent until raft_runs_give()
 * replaces it; runs_cap >= boot->run_count + 2 * RAFT_RUNS_MAX.
 * -EINVAL: options or boot contradict themselves.
 */
int raft_init(struct raft *, const struct raft_options *,
    const struct raft_boot *, struct raft_run *runs, uint32_t runs_cap,
    struct raft_time now);

void raft_step(struct raft *, const struct raft_event *, struct raft_output *);

/*
 * Contract 4.  true: the peer may be sent entries first..last (last ==
 * first - 1: an empty append that probes or carries the commit index), at
 * most bytes_max of them but at least one.  msg is filled but for last, runs
 * and bytes.  The host then calls raft_appended() with what it chose, which
 * completes msg (runs, last), or does nothing and is asked again next turn.
 */
struct raft_want {
	uint64_t first, last;
	uint64_t bytes_max;
};
bool raft_append_wanted(struct raft *, uint64_t peer, struct raft_time now,
    struct raft_want *, struct raft_msg *);
void raft_appended(
    struct raft *, struct raft_msg *, uint64_t last, uint64_t bytes);

/* More room for the trail is wise before the next step. */
bool raft_runs_low(const struct raft *);
/* Lends a larger array; returns the old one. */
struct raft_run *raft_runs_give(
    struct raft *, struct raft_run *, uint32_t runs_cap);

/* Every invariant; NULL, or which one is broken.  For tests. */
const char *raft_check(const struct raft *);
/* A hash of the whole state, for the explorer and the simulator. */
uint64_t raft_hash(const struct raft *);

/* ---- looking ---------------------------------------------------------- */

struct raft_status {
	uint64_t id;
	enum raft_role role;
	bool learner;	 /* in the configuration, without a vote */
	bool member;	 /* in the configuration at all */
	uint64_t leader; /* RAFT_NONE: unknown */
	struct raft_hard hard;
	uint64_t first, last, last_term, durable, commit, applied;
	uint64_t term_start; /* leader: index of its no-op */
	bool ready;	     /* leader: an entry of its own term is committed */
	bool quorum; /* leader: heard a majority within an election timeout */
	uint64_t uncommitted_bytes;
	uint64_t transfer_to; /* leader: hands over to it, else RAFT_NONE */
	bool damaged;	/* follows only, not yet caught up: raft_boot.damaged */
	bool untrusted; /* so does who may have forgotten its promises */
	uint64_t config_index;
	struct raft_config config;
};
void raft_status(const struct raft *, struct raft_status *);

enum raft_progress_state {
	RAFT_PROBE,
	RAFT_REPLICATE,
	RAFT_SNAPSHOTTING,
};

struct raft_peer_status {
	uint64_t id;
	enum raft_progress_state state;
	uint64_t match, next;
	uint64_t inflight_count, inflight_bytes;
	struct raft_time heard; /* last message in this term; 0 never */
	bool untrusted;		/* what it acknowledges does not count, */
	bool redeemed;		/* and could from now on: RAFT_EV_TRUST */
};
/* The leader's view of a peer: 0, or -ENOENT (negative) if not leading or
 * no such peer. */
int raft_peer_status(
    const struct raft *, uint64_t peer, struct raft_peer_status *);

/*
 * Diss. 6.4.1: this server leads at `now`, and nobody else can, so whatever
 * was acknowledged to anybody is at or before its commit index.  A majority
 * has promised so, and each promise counts from when the question left here,
 * shortened by what two clocks may differ in.  Whoever reads by it asks again
 * with a fresh clock when the state was read.  False from the moment that a
 * transfer begins, and to the end of the term if the target was invited.
 */
bool raft_lease(const struct raft *, struct raft_time now);

/* Term of an index: 0 if the trail does not reach there. */
uint64_t raft_term_at(const struct raft *, uint64_t index);

/* Why the last CHANGE was refused: "a change is in flight" ... */
const char *raft_change_refusal(const struct raft *);

#endif
