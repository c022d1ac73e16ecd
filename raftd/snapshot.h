/*
 * snapshot.h - the snapshots of one group: taking them, keeping two, cutting
 * the log behind them, beginning with one, and their way to peers that the
 * log cannot help any more.  For the files of ring 2, as inside.h.
 *
 *	snapshot.c	taking, keeping, cutting, installing, requests
 *	snapboot.c	beginning with one
 *	snapship.c	sending and receiving
 *	snapserve.c	to clients
 *
 * The log is cut behind the older of the two that are kept: slow followers
 * find their entries, and a damaged newest one can be done without.  On
 * request it is cut behind the newest.  Whatever fails cuts nothing.
 */
#ifndef RAFTD_SNAPSHOT_H
#define RAFTD_SNAPSHOT_H

#include "raftd/chunk.h"
#include "raftd/inside.h"
#include "raftsnap/snap.h"

#define SNAP_KEEP 2	 /* files */
#define SNAP_HELD_MAX 8	 /* with those that are being sent */
#define SNAP_SENDS_MAX 2 /* peers at a time */
/* A client that reads one comes back for the next piece within this time. */
#define SNAP_READ_KEEP_NS UINT64_C(30000000000)

struct snap_held {
	struct snap_file file;
	struct snap_sum sum;
	uint64_t read_ns; /* by a client, the last time */
};

/* On its way to a peer. */
struct snap_send {
	uint64_t peer; /* 0 unused */
	struct snap_held held;
	uint64_t next;	/* offset to read */
	uint64_t acked; /* the peer has it up to here */
	bool known;	/* it has said what it has */
	bool reading;	/* a job is out */
	uint64_t heard_ns, offered_ns;
	uint64_t sent; /* bytes, all in all */
};

/* On its way from the leader. */
struct snap_receive {
	bool active;
	bool finishing; /* verifying it */
	uint64_t peer;
	uint64_t index, term;
	uint8_t id[SNAP_ID_LEN];
	uint8_t hinted[SNAP_ID_LEN]; /* offered, answered with another one */
	uint64_t total;
	uint64_t have, written;
	unsigned jobs;
	char path[SNAP_PATH_LEN];
	uint64_t retry_ns; /* after a failure: not before */
};

struct snapshots {
	struct snap_held held[SNAP_HELD_MAX]; /* newest first */
	unsigned count;
	/* being taken */
	bool running, done;
	int result;
	uint64_t index, term, started_ns;
	uint64_t bytes_at, index_at; /* applied when the last one began */
	bool requested, cut_requested;
	uint64_t retry_ns;
	unsigned failures;
	/* the log is to be cut */
	bool begun; /* the first turn was */
	bool compacting;
	uint64_t compact_seq; /* once this write is back */
	/* transfers */
	struct snap_send send[SNAP_SENDS_MAX];
	struct snap_receive receive;
	uint64_t tokens, tokens_ns; /* of the rate limit */
	uint64_t sent_bytes, received_bytes;
};

/* ---- snapshot.c -------------------------------------------------------- */

void snapshot_turn(struct group *);
/* When it wants the next turn at the latest. */
uint64_t snapshot_deadline(const struct group *);
void snapshot_request(struct group *, struct request *);
void snapshot_answer(struct group *, struct request *, struct mp_buf *);
/* What there is, as a map: for status. */
void snapshot_put_state(struct group *, struct mp_buf *);
/* A new one is to be taken, whatever is there, and the log cut behind it. */
void snapshot_renew(struct group *);
/* This file has rotted: it is put aside. */
void snapshot_rotted(struct group *, const char *path);
/* Take a verified file over: 0 it is in force, 1 not needed, -errno. */
int snapshot_install(struct group *, const char *path);
/* Holds a file, newest first; the oldest go from disk. */
void snapshot_hold(struct group *, const struct snap_held *);
/* A part of a file that was given up is gone. */
void snapshot_dropped(struct group *, const struct store_job *);
/* The record that says where the log begins, and what has to outlive what
 * stands before it. */
void snapshot_put_start(struct group *, enum record_kind);
/* The load callback of a state machine, for snap_load_once(); ctx is a
 * struct snap_into. */
struct snap_into {
	const struct fsm_ops *ops;
	struct fsm *fsm;
	struct config_entry config;
	struct snap_meta meta;
};
int snapshot_use(void *ctx, struct snap_reader *);

/* Out of the way, not gone. */
void snapshot_quarantine(struct host *, const struct snap_file *);

/* ---- snapboot.c -------------------------------------------------------- */

/* Before the log is read: loads the newest that is valid. */
int snapboot_load(struct group *, struct errtext *);
/* After: is the log behind it, or is it the log that has to go (*reset)?
 * Writes what says so.  The configuration is the snapshot's own.  Fills
 * first and prev_term, and damaged if it is. */
int snapboot_match(struct group *, const struct config_at *,
    const struct raft_run *, uint32_t runs, bool *reset, struct raft_boot *,
    struct errtext *);

/* ---- snapship.c -------------------------------------------------------- */

void snapship_turn(struct group *);
void snapship_wanted(struct group *, uint64_t peer);
void snapship_chunk(struct group *, const struct chunk *, uint64_t peer,
    struct blob *, bool wanted);
void snapship_ack(struct group *, const struct chunk_ack *, uint64_t peer);
void snapship_done(struct group *, struct store_job *);
bool snapship_holds(const struct group *, uint64_t index);
/* "snapshot": how far a peer has it, or nil. */
void snapship_put(const struct group *, struct mp_buf *, uint64_t peer);
bool snapship_active(const struct group *);
/* "receiving": how far we have one, or nil. */
void snapship_put_receiving(const struct group *, struct mp_buf *);

/* ---- snapserve.c ------------------------------------------------------- */

void snapserve_request(struct group *, struct request *);
void snapserve_done(struct group *, struct store_job *);
/* Those of the method snapshot; false: not ours. */
bool snapserve_options(struct mp_span params, bool *newest);
/* "hash": of the newest. */
void snapserve_put(struct group *, struct mp_buf *);
/* It was read lately. */
bool snapserve_holds(const struct group *, const struct snap_held *);

#endif
