/*
 * state.h - the inside of the core: struct raft and what its files ask of
 * each other.  For raftd/core and its tests only.
 *
 *	raft.c		start, dispatch, changes of role
 *	election.c	timers, pre-votes, votes
 *	replicate.c	appends, acknowledgements, heartbeats, commit
 *	snapshot.c	snapshots instead of entries
 *	read.c		read rounds of a leader, reads of a follower
 *	members.c	configurations in force, changes of them
 *	transfer.c	handing leadership over
 *	trust.c		servers that may have forgotten their promises
 *	check.c		invariants, hash
 *	trail, quorum, progress: pure helpers
 */
#ifndef RAFTD_CORE_STATE_H
#define RAFTD_CORE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftd/core/progress.h"
#include "raftd/core/quorum.h"
#include "raftd/core/raft.h"
#include "raftd/core/trail.h"

/* Numbers from outside beyond this are nonsense; sums stay in range. */
#define RAFT_NUMBER_MAX (UINT64_C(1) << 62)
/* Longest period or timeout: leaves the difference of times signed. */
#define RAFT_PERIOD_MAX (UINT64_C(1) << 50)
/* Buckets for the bytes of uncommitted proposals; when they are all in use
 * the youngest takes the rest. */
#define RAFT_PENDING_MAX 256

/* Rounds whose beginning is remembered; answers to older ones come too late
 * to be of use for a lease. */
#define RAFT_ROUNDS_KEPT 16

struct pending {
	uint64_t last; /* index */
	uint64_t bytes;
};

/* Reads that share a round: our own, and those that followers asked for. */
struct read_set {
	bool has_local;
	uint64_t local; /* all of ours up to this id */
	uint32_t count;
	struct {
		uint64_t from, boot, id;
	} ask[RAFT_MEMBERS_MAX];
};

struct raft {
	struct raft_options opt;
	uint64_t random;
	struct raft_time now;
	struct raft_output *out; /* of the step in hand, else NULL */
	struct raft_msg spill;	 /* where messages beyond the limit go */

	enum raft_role role;
	uint64_t leader; /* RAFT_NONE: unknown */
	struct raft_hard hard;
	struct raft_hard saved; /* what of it is durable */
	bool damaged;
	/* Who may have forgotten, ourselves included; since: the end of our
	 * log when we, leading, first knew, 0 not yet. */
	uint32_t untrusted_count;
	struct {
		uint64_t id, since, term;
	} untrusted[RAFT_MEMBERS_MAX];

	struct trail trail;
	uint64_t durable; /* our log is durable up to here */
	/* Term in which a suffix was last replaced: a completion of an older
	 * batch says nothing about the log as it is now. */
	uint64_t rewrite_term;
	uint64_t commit, applied;

	/* Configurations from one that is committed, ascending.  The last is
	 * in force. */
	struct raft_config config[1 + RAFT_CONFIGS_MAX];
	uint64_t config_index[1 + RAFT_CONFIGS_MAX];
	uint32_t config_count;
	int self; /* our position in the one in force, -1: not in it */
	const char *change_refusal;

	/* Elections. */
	struct raft_time election_at; /* deadline, unless leading */
	struct raft_time retry_at;    /* (pre-)candidate: ask again */
	struct raft_time leader_heard;
	uint32_t yes, no; /* who answered what */
	bool transfer;	  /* this candidacy was asked for by the leader */
	/* The leader whose connection closed: its lease is void. */
	uint64_t lost;
	struct raft_time lost_at;
	uint32_t lost_tries;

	/* Follower, about the leader of the current term. */
	uint64_t verified;   /* our log equals the leader's up to here */
	uint64_t acked;	     /* highest match sent */
	uint64_t told;	     /* highest commit index that it has named */
	uint64_t round_seen; /* highest read round */
	struct {
		bool busy, more;
		uint64_t id;	  /* asked for */
		uint64_t more_id; /* arrived since */
		struct raft_time at;
	} ask;

	/* Leader. */
	uint64_t term_start; /* index of the no-op */
	struct raft_time beat_at;
	uint64_t pending_bytes;
	uint32_t pending_head, pending_count;
	struct pending pending[RAFT_PENDING_MAX];
	struct {
		uint64_t to; /* RAFT_NONE: no transfer */
		struct raft_time until;
		bool told;
	} handover;
	uint64_t round_seq; /* last round id given out */
	struct {
		uint64_t round;
		struct raft_time at;
	} began[RAFT_ROUNDS_KEPT];
	bool lease_barred; /* in this term somebody was invited to take over */
	bool round_open;
	uint64_t round_index;
	uint32_t round_yes;
	struct read_set reads_now, reads_next;
	uint64_t snapshot_to;
	/* Aligned with the members of the configuration in force. */
	struct progress progress[RAFT_MEMBERS_MAX];
};

/* ---- time -------------------------------------------------------------- */

/* Differences wrap; times are never compared otherwise. */
static inline bool
time_reached(struct raft_time now, struct raft_time at)
{
	return (int64_t)(now.ns - at.ns) >= 0;
}

static inline struct raft_time
time_after(struct raft_time at, uint64_t ns)
{
	return (struct raft_time){at.ns + ns};
}

static inline bool
time_within(struct raft_time now, struct raft_time since, struct raft_time len)
{
	return (int64_t)(now.ns - since.ns) < (int64_t)len.ns;
}

static inline struct raft_time
time_first(struct raft_time a, struct raft_time b)
{
	return (int64_t)(a.ns - b.ns) < 0 ? a : b;
}

/* ---- raft.c ------------------------------------------------------------ */

uint64_t raft_random(struct raft *, uint64_t below);
/* A message to fill; one too many goes nowhere, as if the network had lost
 * it. */
struct raft_msg *raft_send(struct raft *, enum raft_msg_type, uint64_t to);
/* Follow `leader` (maybe unknown) in `term`, which is not below ours. */
void raft_follow(struct raft *, uint64_t term, uint64_t leader);
/* Entries first..last are to be handed to the log. */
void raft_persist(struct raft *, uint64_t first, uint64_t last);

/* ---- members.c --------------------------------------------------------- */

static inline const struct raft_config *
config_now(const struct raft *r)
{
	return &r->config[r->config_count - 1];
}

static inline uint64_t
config_now_index(const struct raft *r)
{
	return r->config_index[r->config_count - 1];
}

/* Position in the configuration in force, -1 if not there. */
int members_find(const struct raft_config *, uint64_t id);
bool members_valid(const struct raft_config *);
bool members_is_voter(const struct raft_config *, uint64_t id);
/* In force from now on. */
void members_push(struct raft *, const struct raft_config *, uint64_t index);
void members_truncate(struct raft *, uint64_t last);
/* The commit index has grown. */
void members_commit(struct raft *);
/* Voter in any configuration that may yet decide. */
bool members_may_lead(const struct raft *);
void members_change(struct raft *, const struct raft_config *);

static inline struct progress *
members_progress(struct raft *r, uint64_t id)
{
	int at = members_find(config_now(r), id);

	return at < 0 ? NULL : &r->progress[at];
}

/* ---- election.c -------------------------------------------------------- */

void election_start(struct raft *); /* after a start */
void election_reset(struct raft *); /* a full random timeout from now */
void election_heard(struct raft *); /* from the leader */
void election_tick(struct raft *);
void election_campaign(struct raft *, bool transfer);
void election_persisted(struct raft *);
void election_peer_down(struct raft *, uint64_t peer);
void election_peer_up(struct raft *, uint64_t peer);
void election_prevote(struct raft *, const struct raft_msg *);
void election_prevote_reply(struct raft *, const struct raft_msg *);
void election_vote(struct raft *, const struct raft_msg *);
void election_vote_reply(struct raft *, const struct raft_msg *);
struct raft_time election_deadline(const struct raft *);
/* What we promise the leader from when we heard of it; 0 nothing. */
uint64_t election_promise(const struct raft *);

/* ---- replicate.c ------------------------------------------------------- */

void replicate_lead(struct raft *); /* the leader's state, its no-op */
void replicate_tick(struct raft *);
void replicate_propose(struct raft *, uint32_t count, uint64_t bytes);
void replicate_persisted(struct raft *);
void replicate_commit(struct raft *);
void replicate_peer_down(struct raft *, uint64_t peer);
void replicate_peer_up(struct raft *, uint64_t peer);
void replicate_append(struct raft *, const struct raft_msg *);
void replicate_append_reply(struct raft *, const struct raft_msg *);
void replicate_heartbeat(struct raft *, const struct raft_msg *);
void replicate_heartbeat_reply(struct raft *, const struct raft_msg *);
void replicate_beat(struct raft *, struct progress *);
/* Who was heard within an election timeout, ourselves included. */
uint32_t replicate_heard(const struct raft *);
/* An entry of our own term is committed (5.4.2, diss. 6.4). */
static inline bool
replicate_ready(const struct raft *r)
{
	return r->role == RAFT_LEADER && r->commit >= r->term_start;
}

/* ---- snapshot.c -------------------------------------------------------- */

void snapshot_piece(struct raft *, const struct raft_msg *);
void snapshot_reply(struct raft *, const struct raft_msg *);
void snapshot_saved(struct raft *, uint64_t index);
void snapshot_received(struct raft *, const struct raft_event *);

/* ---- read.c ------------------------------------------------------------ */

void read_event(struct raft *, uint64_t id);
void read_tick(struct raft *);
void read_begin(struct raft *); /* if one may begin and is wanted */
void read_acked(struct raft *, int member, uint64_t round, uint64_t promise_ns);
void read_renew(struct raft *);	  /* begin a round if the lease wants one */
void read_recount(struct raft *); /* the members have changed */
void read_fail_leading(struct raft *);
void read_fail_following(struct raft *);
void read_index(struct raft *, const struct raft_msg *);
void read_index_reply(struct raft *, const struct raft_msg *);

/* ---- trust.c ----------------------------------------------------------- */

bool trust_is(const struct raft *, uint64_t id);
void trust_event(struct raft *, uint64_t id, bool trusted);
/* Leader: everything that counts was committed without it since. */
bool trust_redeemed(const struct raft *, const struct progress *);
void trust_tick(struct raft *);
/* The match that counts of each member. */
void trust_matches(const struct raft *, uint64_t match[RAFT_MEMBERS_MAX]);

/* ---- transfer.c -------------------------------------------------------- */

void transfer_event(struct raft *, uint64_t to);
void transfer_tick(struct raft *);
void transfer_acked(struct raft *, const struct progress *);
/* The voter, other than us, that holds most; RAFT_NONE if none is near. */
uint64_t transfer_best(const struct raft *);
/* Stop leading, inviting the best voter to take over. */
void transfer_step_down(struct raft *);
void transfer_timeout_now(struct raft *, const struct raft_msg *);

#endif
