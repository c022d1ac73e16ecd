/*
 * inside.h - what the files of ring 2 share: the host and its groups from
 * within.  Nobody outside the files below includes it; host.h is the way in.
 *
 *	host.c	    input, the turn, storage jobs
 *	boot.c	    opening a directory: identity, bootstrap, replay
 *	group.c	    events to the core, outputs from it, records to the log
 *	feed.c	    entries to the peers
 *	logserve.c  and to clients
 *	apply.c	    committed entries to the state machine, answers
 *	due.c	    replicated time, what is due in it, waiting for locks
 *	dispatch.c  requests: what they are, where they wait
 *	hello.c	    the handshake of peers
 *	members.c   changes of members, who should lead
 *	plan.c	    where a change leads and by which steps
 *	watchers.c  watchers.h: changes to those who want to be told
 *	quarantine.c  servers that came back with an empty or an old directory
 *	status.c    what can be looked at
 *	strain.c    strain.h: a disk that is full or slow
 *	mend.c	    mend.h: rot that was found while it runs
 *	snapshot.c  snapshot.h: snapshots, with snapboot.c and snapship.c
 *
 * Everything is reached from the event thread only.
 */
#ifndef RAFTD_INSIDE_H
#define RAFTD_INSIDE_H

#include "raftd/core/raft.h"
#include "raftd/fsm/fsm.h"
#include "raftd/host.h"
#include "raftd/message.h"
#include "raftd/plan.h"
#include "raftd/request.h"
#include "raftd/tail.h"

#define ARENA_SIZE (256u * 1024)    /* blob that records are put into */
#define PEER_BACKLOG_MAX (8u << 20) /* queued to one peer, then it waits */
#define APPLY_TURN_MAX 4096	    /* entries applied in one turn */
#define PROPOSE_MAX 256		    /* commands in one proposal */
#define FEED_BYTES_MAX (1u << 20)   /* of entries in one message, soft */
#define FEED_PIECES_MAX 32
#define CATCHUP_READ_LEN (1u << 20)  /* old entries read at a time */
#define SWEEP_NS (50u * 1000 * 1000) /* between looks at time limits */
#define GROUP_CONFIGS_MAX 64 /* that wait for their commit, with the last */
#define WATCH_WAIT_DEFAULT_MS 1000
#define WATCH_WAIT_MAX_MS (60u * 1000)
#define FSYNC_SAMPLES 256
#define MS_NS UINT64_C(1000000)
#define IN_SYNC_ENTRIES 1024 /* further behind is not in sync */
/* What a server that was removed hears from those who know. */
#define HELLO_REMOVED "removed from the cluster"
/* What one hears that came back with less than it had. */
#define HELLO_FORGOT "an empty or an old directory under this id"

/* What is known of another server, kept over restarts (RECORD_PEER). */
struct peer {
	uint64_t id;
	uint64_t boot; /* the highest seen; 0: never met */
	uint8_t uuid[IDENTITY_ID_LEN];
	uint64_t nonce; /* of that boot; 0: not known */
	/* The highest that it acknowledged to us, and in which term. */
	uint64_t acked, acked_term;
	/* of this run */
	bool untrusted;	      /* it may have forgotten what it promised */
	uint64_t redeemed_ns; /* told that this is over, the last time */
	char client[4 * HOST_ADDR_MAX];
	char address[HOST_ADDR_MAX]; /* as its hello has it */
	char cause[128]; /* why our link to it could not be made, last */
	uint64_t priority;
	uint64_t linger_ns; /* removed: linked until then, for last answers */
	uint64_t full_ns;   /* has said that its disk is full: until then */
	bool link_up;	    /* ours to it */
	bool linked_in;	    /* its to us */
	uint64_t heard_ns;
};

#define PEER_RECORD_LEN (40 + IDENTITY_ID_LEN)

struct config_at {
	uint64_t index;
	uint64_t stamp; /* when it was proposed; 0 not known */
	struct config_entry e;
};

/* A message that waits for a write. */
struct held_msg {
	STAILQ_ENTRY(held_msg) link;
	uint64_t seq; /* of the job that must be back */
	uint64_t peer;
	size_t len;
	uint8_t data[];
};
STAILQ_HEAD(held_queue, held_msg);

/* Old entries on their way to a peer that is far behind. */
struct catchup {
	uint64_t peer;	   /* 0: unused */
	bool reading;	   /* a job is out */
	uint64_t retry_ns; /* it failed: not before */
	uint64_t from, last;
	struct blob *blob; /* whole records, NULL: none */
};

struct snapshots; /* snapshot.h */
struct watchers;  /* watchers.h */

/* The change of members that this server, leading, carries out. */
struct change_state {
	struct request *request; /* whoever asked; NULL: nobody waits */
	struct change change;
	bool linking;	    /* ADD: the link to it is not up yet */
	uint64_t until_ns;  /* linking */
	uint64_t handed_ns; /* tried to let another leader do it */
	uint64_t index;	    /* of the configuration proposed last, 0: none */
	uint64_t term;
};

struct transfer_state {
	struct request *request; /* NULL: nobody waits */
	uint64_t to;		 /* RAFT_NONE: whoever */
	uint64_t term;		 /* in which it was asked for */
	uint64_t tried_ns;	 /* by us, for a better priority */
};

struct group {
	struct host *host;
	struct snapshots *snap;
	struct watchers *watchers;
	uint32_t id;
	struct raft *raft;
	struct raft_run *runs;
	const struct fsm_ops *ops;
	struct fsm *fsm;
	struct tail tail;
	struct raft_status st; /* as of the last refresh in this turn */
	struct raft_hard hard;
	uint64_t commit, applied;
	uint64_t applied_bytes;	  /* of records, since the start */
	uint64_t applied_stamp;	  /* of the last one */
	uint64_t applied_at_boot; /* that of the snapshot it began with */
	uint64_t commit_logged;	  /* the log names it as committed */
	uint64_t log_last, log_last_term; /* handed to storage so far */
	uint64_t stamp;			  /* of the last entry in the log */
	uint64_t stamp_ns;   /* steady time when it was made here, or came */
	uint64_t tick_index; /* of the last entry made because of the time */
	uint64_t tick_retry_ns;
	uint64_t waits; /* as due_waits() saw it last */
	struct config_at config[GROUP_CONFIGS_MAX]; /* ascending, first is
						       in force at commit */
	unsigned config_count;
	uint64_t read_id;
	struct request_queue queue[REQUEST_STATE_COUNT];
	unsigned queued[REQUEST_STATE_COUNT];
	struct held_queue held;
	unsigned held_count;
	struct catchup catchup[RAFT_MEMBERS_MAX];
	uint64_t fresh_ns;  /* what is applied here is not older; 0 unknown */
	uint64_t watch_rev; /* watches were looked at at this revision */
	uint64_t deadline_ns;
	uint64_t asked;	    /* who led when requests were looked at last */
	uint64_t served_ns; /* when there was a leader to ask, the last time */
	struct change_state change;
	struct transfer_state transfer;
	uint64_t leads_ns;  /* since when we lead; 0: we do not */
	uint64_t linger_ns; /* the last one of the peers', 0: none */
	bool links_stale;   /* whom to link with may have changed */
	bool removed;	    /* were told so: quiet from now on */
	bool dirty;	    /* was stepped in this turn */
	bool damaged;	    /* and the log has a note of it */
	/* We may have forgotten what we promised: who says so, and which
	 * write noted it; peers are told once that is durable. */
	bool untrusted;
	uint64_t untrusted_by, untrusted_seq;
	uint64_t trusted_by, trusted_term; /* who says that this is over */
};

/* What came from a peer, or happened to its link, in order: a message of a
 * closed link is never stepped after the word that it closed. */
struct inbound {
	uint64_t peer;
	struct blob *blob; /* NULL: an event of the link */
	uint32_t offset, len;
	enum raft_event_type event;
};

/* Writes whose age is known; more are never out. */
#define STRAIN_WRITES (4 * STORE_JOBS_MAX)

/* strain.h */
struct strain {
	struct store_queue parked; /* writes that found no room, in order */
	unsigned parked_count;
	unsigned writes_out;
	uint64_t oldest; /* seq of the first of them */
	uint64_t begun_ns[STRAIN_WRITES];
	bool is_short; /* the log cannot grow */
	uint64_t room; /* then: left for entries, as of the last write */
	bool retrying; /* a job looks for space */
	bool is_stalled;
	unsigned handovers; /* tried since it is short */
	uint64_t look_ns;   /* for space */
	uint64_t tell_ns;   /* the peers */
	uint64_t handed_ns; /* no handover before */
};

/* mend.h */
struct mend {
	uint64_t segment; /* up to this one they may have rotted, 0 none */
	bool rolling;	  /* a job begins another segment */
	bool rolled;
	uint64_t need; /* a snapshot of so much will do */
	uint64_t next_ns;
	uint64_t rounds, found; /* of scrubs, by them */
};

struct host {
	struct host_options opt;
	struct host_env env;
	struct disk *disk;
	struct wal *wal;
	struct identity identity;
	uint64_t nonce;
	struct host_time now;
	uint64_t steady_ns; /* since the start, without jumps: due.c */
	uint64_t started_ns;
	struct group *group; /* one, today; every record names it */
	struct peer peer[HOST_MEMBERS_MAX];
	unsigned peer_count;
	struct request_pool pool;
	size_t request_bytes; /* of commands that are in no log yet */
	struct blob *arena;   /* records */
	struct blob *scratch; /* queries, inbound messages */
	struct inbound *inbox;
	size_t inbox_count, inbox_cap;
	/* storage */
	struct store_queue stored; /* back, not yet looked at */
	struct store_queue idle;   /* for reuse */
	struct store_job *fill;	   /* being filled, NULL: nothing to write */
	uint64_t job_seq;	   /* of the last one submitted */
	uint64_t stored_seq;	   /* of the last write that came back */
	unsigned jobs_out;
	size_t bytes_out;
	struct strain strain;
	struct mend mend;
	uint64_t fsync_ns[FSYNC_SAMPLES];
	uint64_t fsync_count;
	/* memory that every turn uses again */
	struct raft_output *out;
	struct raft_msg *msg;
	struct mp_buf reply, wire;
	uint64_t sweep_ns;
	bool stopping, broken;
};

/* host.c */
void host_log(struct host *, enum host_log_level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void host_fail(struct host *, int status, const char *cause);
/* len bytes at *offset of the blob that *arena is or becomes, aligned for a
 * record; NULL without memory.  The caller adds to blob->len what it used. */
struct blob *arena_room(struct blob **arena, size_t len, size_t *offset);
/* A sealed record for the log, in the order of the calls.  The blob is
 * referenced. */
void host_put_record(
    struct host *, struct group *, struct blob *, size_t offset, size_t size);
void host_submit(struct host *, struct store_job *);
struct store_job *host_job(struct host *); /* NULL without memory */
/* An event of a peer for the core, in the order of its messages. */
void host_put_event(struct host *, enum raft_event_type, uint64_t peer);
struct peer *host_peer(struct host *, uint64_t id);
bool host_is_linked(const struct host *, uint64_t peer);
/* Known or new; NULL without room for another one. */
struct peer *host_peer_make(struct host *, uint64_t id);

/* boot.c */
int boot_open(struct host *, struct errtext *);

/* group.c */
int group_start(struct group *, const struct raft_boot *, struct errtext *);
void group_free(struct group *);
void group_step(struct group *, const struct raft_event *);
void group_message(
    struct group *, struct raft_msg *, struct blob *, const uint8_t *records);
void group_propose(struct group *);
void group_read(struct group *);
/* Does the lease hold, by the clock as it is at this moment? */
bool group_lease(struct group *);
void group_stored(struct group *, const struct store_job *);
void group_refresh(struct group *);
void group_flush_held(struct group *);
/* Names what is committed to the log, if the log does not know it. */
void group_put_commit(struct group *);
/* An entry for its stamp alone: false, not now. */
bool group_tick(struct group *);
/* A record to the log; its payload is copied. */
void group_put(struct group *, struct record *);
/* RAFT_EV_SNAPSHOT_RECEIVED: true, the log begins behind it. */
bool group_install(struct group *, const struct raft_event *);
/* A record of what we know of a peer. */
void group_put_peer(struct group *, const struct peer *);
/* Takes over the configuration of an entry, dropping those from index on. */
int group_config_push(
    struct group *, uint64_t index, const struct config_entry *);
void group_peers_changed(struct group *);
/* The configuration in force. */
const struct config_entry *group_config(const struct group *);
/* Proposes a configuration: NULL, or why the core does not take it. */
const char *group_change(struct group *, const struct config_entry *);
/* false: rejected */
bool group_transfer(struct group *, uint64_t to);

/* feed.c */
void feed_peers(struct group *);
void feed_read_done(struct group *, struct store_job *);
void feed_release(struct group *);

/* apply.c */
int apply_committed(struct group *); /* 1: more to do, 0, <0 it cannot */
/* One entry during replay, nobody waits. */
int apply_entry(struct group *, const struct record *);
void apply_reads(struct group *);
/* Events to those who wait for them; late: and to those whose time is over. */
void apply_watches(struct group *, bool late);

/* due.c */
void due_clock(struct host *, uint64_t mono_ns);
uint64_t due_stamp(struct group *);
void due_heard(struct group *, uint64_t stamp);
void due_turn(struct group *);
uint64_t due_deadline(const struct group *);
void due_waits(struct group *, bool late);

/* logserve.c */
void logserve_request(struct group *, struct request *);
void logserve_done(struct group *, struct store_job *);

/* dispatch.c */
void dispatch_call(struct host *, struct request *, struct mp_span call);
void dispatch_move(struct group *, struct request *, enum request_state);
void dispatch_turn(struct group *);
void dispatch_sweep(struct group *);
void dispatch_lost_peer(struct group *, uint64_t peer);
void dispatch_answer(struct host *, const struct answer *, uint64_t peer);
/* Answer and free; the request leaves its queue.  ok: the result stands in
 * host->reply already, behind what answer_begin() put there. */
struct mp_buf *answer_begin(struct host *, const struct request *);
void answer_ok(struct group *, struct request *);
void answer_error(struct group *, struct request *, enum wire_status,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void answer_failed(struct group *, struct request *, const struct wire_error *);
/* Only send: the request is not of the pool. */
void answer_send_error(
    struct host *, const struct request *, const struct wire_error *);

/* members.c */
void members_turn(struct group *);
/* e is no more: the committed configuration follows it. */
void members_part(struct group *, const struct config_entry *e);
/* quarantine.c */
void quarantine_turn(struct group *);
/* A peer refuses us as HELLO_FORGOT. */
void quarantine_lost(struct group *, uint64_t by);
/* Peers may be told that we are not to be counted. */
bool quarantine_is_noted(const struct group *);
void quarantine_put_end(const struct group *, struct host_hello *);
/* The hello of a peer was accepted. */
void quarantine_hello(struct group *, struct peer *, bool untrusted);
void quarantine_message(struct group *, uint64_t from, const struct trust *);
/* What a peer has acknowledged to us, before that is forgotten. */
void quarantine_note_acked(struct group *, uint64_t peer);

/* members.c */
/* A member says that we were removed. */
void members_removed(struct group *, uint64_t by);
void members_forget(struct group *, const struct request *);
/* Is it as good as up to date, as the leader sees it? */
bool members_in_sync(struct group *, uint64_t id, uint64_t lag_max);
/* In sync, by the thresholds that an operator sets. */
bool members_keeps_up(struct group *, uint64_t id);
bool members_enough(struct group *); /* for writes, see min_insync */
/* What a log that ends at match lacks: bytes, and since when. */
uint64_t members_lag_bytes(const struct group *, uint64_t match);
uint64_t members_lag_ms(const struct group *, uint64_t match);
/* Quorums before, during and after, as a map. */
void members_put_plan(struct mp_buf *, struct group *,
    const struct config_entry *now, const struct config_entry *target,
    bool at_once);
uint64_t members_priority(const struct group *, uint32_t at);

/* status.c */
void status_put(struct group *, struct mp_buf *);
void members_put(struct group *, struct mp_buf *);
void discover_put(struct mp_buf *);

#endif
