/*
 * host.h - one server without its sockets: the cores of all groups, their
 * state machines, the log, the requests of clients and the messages of
 * peers.
 *
 * Deterministic.  Time comes with each call, the disk through struct disk
 * and storage jobs, the network through struct host_env.  raftd's shell
 * (ring 3) supplies the real ones, the simulator its own.
 *
 * A turn: the shell feeds whatever arrived (host_client_request,
 * host_peer_message, host_stored ...), which only queues, and then calls
 * host_turn() once.  The turn steps every group that has input, hands
 * storage one batch, sends what may be sent, applies what is committed and
 * answers.
 *
 * Threads: all of it belongs to the event thread.
 * Limits: HOST_* below, and those in struct host_options.
 */
#ifndef RAFTD_HOST_H
#define RAFTD_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftctl/errtext.h"
#include "raftctl/frame.h"
#include "raftd/blob.h"
#include "raftd/store.h"
#include "raftwal/disk.h"
#include "raftwal/identity.h"

#define HOST_GROUP_DEFAULT 1
#define HOST_MEMBERS_MAX 16
#define HOST_ADDR_MAX 128
#define HOST_REQUESTS_MAX 65536		   /* waiting for anything at all */
#define HOST_REQUEST_BYTES_MAX (64u << 20) /* queued and not yet in a log */

/* Monotonic nanoseconds and wall-clock milliseconds, read once a turn. */
struct host_time {
	uint64_t mono_ns;
	uint64_t wall_ms;
};

struct host_member {
	uint64_t id;
	char address[HOST_ADDR_MAX]; /* for peers */
};

/* A linearizable read that a follower is asked. */
enum follower_reads {
	FOLLOWER_READS_LOCAL,	/* confirmed by the leader, read here */
	FOLLOWER_READS_FORWARD, /* read by the leader */
	FOLLOWER_READS_REFUSE,	/* the client is told who leads */
};

struct host_options {
	uint64_t id;
	char name[64];
	char address[HOST_ADDR_MAX];   /* ours, as peers dial it */
	char client[4][HOST_ADDR_MAX]; /* where clients are served */
	unsigned client_count;
	char version[32];
	uint64_t seed;
	uint64_t heartbeat_ns, election_ns;
	uint64_t request_timeout_ns; /* the longest that a request waits */
	size_t key_len_max, value_len_max;
	size_t cache_bytes_max; /* recent entries in memory, per group */
	size_t inflight_bytes_max, uncommitted_bytes_max;
	uint32_t append_entries_max;
	uint32_t wal_segment_size;
	bool no_fsync; /* --unsafe-no-fsync */
	/* A snapshot after so many bytes or entries applied; 0 never. */
	uint64_t snapshot_bytes, snapshot_entries;
	uint64_t snapshot_rate; /* bytes a second to peers, 0 no limit */
	/* Used only if the directory is empty. */
	const char *cluster; /* name, enters the cluster id; may be NULL */
	struct host_member bootstrap[HOST_MEMBERS_MAX];
	unsigned bootstrap_count;
	/* Or, instead: members of a cluster that will add this server. */
	char join[HOST_MEMBERS_MAX][HOST_ADDR_MAX];
	unsigned join_count;
	uint64_t priority;   /* ours, where the configuration says nothing */
	uint64_t min_insync; /* voters; with fewer writes are refused, 0 off */
	/* Clocks differ by at most so many millionths; 0: no lease reads. */
	uint32_t lease_drift_ppm;
	enum follower_reads follower_reads;
	/* Who lags further is not in sync.  0: entries 1024, others no
	 * limit. */
	uint64_t in_sync_entries, in_sync_bytes, in_sync_ms;
	bool early_vote; /* --unsafe-early-vote */
	bool no_joint;	 /* --unsafe-no-joint */
};

enum host_log_level { HOST_ERROR, HOST_WARN, HOST_INFO, HOST_DEBUG };

/* What the host asks of whoever runs it.  None of these calls back. */
struct host_env {
	void *ctx;
	/* Takes the job; host_stored() brings it back. */
	void (*store_submit)(void *ctx, struct store_job *);
	/* Queue a message (whole frames) to a peer.  Dropped if not linked. */
	void (*peer_send)(
	    void *ctx, uint64_t peer, const struct piece *, unsigned count);
	/* Bytes queued to it and not yet taken by the kernel; SIZE_MAX when
	 * there is no link. */
	size_t (*peer_backlog)(void *ctx, uint64_t peer);
	/* The members changed, or were read: links to make and to drop, those
	 * in the other direction too.  Not only members: whoever may be added
	 * and whoever linked to us without our knowing it yet. */
	void (*peers_changed)(
	    void *ctx, const struct host_member *, unsigned count);
	/* Answer (a whole frame).  Dropped if the client has gone. */
	void (*client_send)(
	    void *ctx, uint64_t client, const struct piece *, unsigned count);
	/* Bytes queued to a client that it has not taken yet, of all clients
	 * for 0.  NULL: nobody is ever slow. */
	size_t (*client_backlog)(void *ctx, uint64_t client);
	/* mono_ns as of this moment, not of the turn. */
	uint64_t (*clock)(void *ctx);
	/* One event: "event=leader term=7", without ts, level. */
	void (*log)(void *ctx, enum host_log_level, const char *fields);
	/*
	 * Have host_snapshot_write() called on the state as it is now, in a
	 * copy of the process or at once; host_snapshot_done() follows.
	 * 0 or -errno.  NULL: no snapshots are taken.
	 */
	int (*snapshot_start)(void *ctx);
	/* The log cannot be trusted any more: stop with this exit status. */
	void (*fatal)(void *ctx, int status, const char *cause);
};

struct host;

/*
 * Open the directory: identity (created and bootstrapped if the directory is
 * empty), log, state machines.  Blocks on the disk; only at start.
 * -EBADMSG damaged, -EINVAL options contradict what the directory says,
 * -errno of the disk; et says more.
 */
int host_open(const struct host_options *, struct disk *,
    const struct host_env *, struct host_time, struct host **,
    struct errtext *);
void host_close(struct host *);

struct wal *host_wal(struct host *); /* for whoever runs the jobs */
const struct identity *host_identity(const struct host *);

/* ---- input: queues only ------------------------------------------------ */

/*
 * A request or notification from a client.  errors_as_map: what its hello
 * asked for.  Every request is answered exactly once through client_send,
 * unless client_gone comes first.
 */
void host_client_request(
    struct host *, uint64_t client, const struct frame *, bool errors_as_map);
void host_client_gone(struct host *, uint64_t client);
/* Stop reading from clients while this is not zero: PAUSE_* bits. */
enum host_pause {
	PAUSE_REQUESTS = 1, /* too many, or too many bytes, wait */
	PAUSE_STORE = 2,    /* storage is behind */
};
unsigned host_pause(const struct host *);
/* Requests that came first wait for longer than this: what comes on top of
 * all that is held already had better be refused. */
#define HOST_OVERDUE_NS 250000000ull
bool host_overdue(const struct host *);

/*
 * A peer's side of the handshake was read: may it be linked?  NULL yes, else
 * why not (static text), which is sent back and logged.  Nothing changes
 * when it is refused.  A server that was started to join takes the cluster's
 * identity here, from the first member that was told to add it, and makes it
 * durable before it answers.
 */
struct host_hello {
	uint64_t protocol_min, protocol_max;
	uint8_t cluster[IDENTITY_ID_LEN];
	uint8_t uuid[IDENTITY_ID_LEN];
	uint64_t id, to; /* who speaks, whom it believes it speaks to */
	uint64_t boot;	 /* boot counter */
	uint64_t nonce;	 /* random, of this boot */
	/* Where its log ends, durably, and the term it has reached; 0 unknown:
	 * it may lack what it acknowledged, and knows. */
	uint64_t last, term;
	bool untrusted; /* it follows without a vote, see trust.c */
	uint64_t priority;
	char address[HOST_ADDR_MAX];
	/* where its clients are served, comma-separated */
	char client[4 * HOST_ADDR_MAX];
};
void host_hello_self(const struct host *, uint64_t to, struct host_hello *);
const char *host_hello_judge(
    struct host *, const struct host_hello *, struct host_time);
void host_hello_put(struct mp_buf *, const struct host_hello *);
int host_hello_read(struct mp_span params, struct host_hello *);

/* The link on which a peer sends to us stands: its handshake was accepted. */
void host_peer_linked(struct host *, uint64_t peer, struct host_time);
/* Our link to a peer is up (messages may be sent), or has gone. */
void host_link_up(struct host *, uint64_t peer);
void host_link_down(struct host *, uint64_t peer);
/* Why our link to a peer could not be made. */
void host_link_failed(struct host *, uint64_t peer, const char *cause);
/* The link on which a peer sends to us has closed. */
void host_peer_gone(struct host *, uint64_t peer, struct host_time);
/* A message from a linked peer: 0, or -EPROTO: close the link. */
int host_peer_message(struct host *, uint64_t peer, const struct frame *);

void host_stored(struct host *, struct store_job *);

/* ---- the turn ---------------------------------------------------------- */

/* Returns when to call again at the latest (mono_ns). */
uint64_t host_turn(struct host *, struct host_time);
/* Input waits that a turn would take up. */
bool host_busy(const struct host *);

/* Going down: new requests are refused with STOPPING. */
void host_stop(struct host *);
/* This server was removed from its cluster and has no business any more. */
bool host_removed(const struct host *);
/* Nothing of what was accepted before host_stop() is open any more. */
bool host_drained(const struct host *);

/* ---- snapshots --------------------------------------------------------- */

/* Writes the snapshot that was asked for; looks at the host only.  disk: the
 * same directory. */
int host_snapshot_write(const struct host *, struct disk *);
/* It is written, or -errno; queues only. */
void host_snapshot_done(struct host *, int error);

/* ---- rot ---------------------------------------------------------------- */

struct scrub_result;
/* What reading all of the directory has shown (scrub.h). */
void host_scrubbed(struct host *, const struct scrub_result *);

/* ---- looking ----------------------------------------------------------- */

struct fsm_digest;
struct raft;
struct raft_status;
/* Replicated time in ms, as of what is applied here. */
uint64_t host_replicated_ms(const struct host *);
/* The state of a group; applied is what the digest belongs to.  -ENOENT. */
int host_inspect(const struct host *, uint32_t group, struct raft_status *,
    struct fsm_digest *, uint64_t *applied);
/* Records wait until storage takes more jobs. */
bool host_fills(const struct host *);
/* Its core, for raft_check(); NULL if there is no such group. */
const struct raft *host_core(const struct host *, uint32_t group);
/* One JSON object: what SIGUSR1 prints. */
void host_describe(const struct host *, char *buf, size_t size);

#endif
