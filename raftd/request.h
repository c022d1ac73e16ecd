/*
 * request.h - requests between arrival and answer.
 *
 * A request stands in exactly one queue of its group at any time; its state
 * names which.  Allowed moves:
 *
 *	WAITING   -> PENDING | FORWARDED | READING | CHANGING | answered
 *	PENDING   -> WAITING (certainly not applied) | answered
 *	FORWARDED -> WAITING (certainly not applied, or in a session, which
 *		     makes another copy harmless) | answered
 *	READING   -> READY | WAITING | answered
 *	CHANGING  -> WAITING (certainly not applied) | answered
 *	READY     -> WAITING (read too late for the lease) | answered
 *	WATCHING  -> answered
 *	AWAITING  -> answered
 *
 * WAITING	nothing has been done; needs a leader, a link or the next turn
 * PENDING	in our log at (index, term), not known to be committed
 * FORWARDED	sent to the leader, who has not answered
 * READING	waits for the read index
 * CHANGING	the change of members, or of leaders, that is under way
 * READY	waits until the read index is applied
 * WATCHING	waits for a change, or until its time is over
 * AWAITING	the same for a lock
 *
 * The bytes of the call were copied once, behind room for a record's header:
 * a command that goes into the log is sealed where it stands.
 *
 * Requests come from a pool of HOST_REQUESTS_MAX; a slot's name carries a
 * generation, so that a late answer never meets a later request.
 */
#ifndef RAFTD_REQUEST_H
#define RAFTD_REQUEST_H

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

#include "raftctl/mp.h"
#include "raftd/blob.h"

enum request_state {
	REQUEST_FREE,
	REQUEST_WAITING,
	REQUEST_PENDING,
	REQUEST_FORWARDED,
	REQUEST_READING,
	REQUEST_READY,
	REQUEST_WATCHING,
	REQUEST_AWAITING,
	REQUEST_CHANGING,
	REQUEST_STATE_COUNT
};

enum request_kind {
	REQUEST_COMMAND, /* goes through the log */
	REQUEST_QUERY,	 /* linearizable read of the state machine */
	REQUEST_STALE,	 /* read of whatever is applied here */
	REQUEST_STATUS,	 /* this server's status */
	REQUEST_MEMBERS, /* answered by the leader */
	REQUEST_CHANGE,	 /* of members, by the leader */
	REQUEST_TRANSFER,
	REQUEST_DISCOVER,
	REQUEST_SUBSCRIBE,     /* watch: watchers.h */
	REQUEST_UNSUBSCRIBE,   /* watch.cancel */
	REQUEST_WATCH,	       /* changes, as they are applied here */
	REQUEST_AWAIT,	       /* a lock, the same */
	REQUEST_SNAPSHOT,      /* take one; READY when it is there */
	REQUEST_COMPACT,       /* and cut the log behind it */
	REQUEST_LOG_READ,      /* entries, for raftwal repair */
	REQUEST_SNAPSHOT_READ, /* a piece of one that is there */
};

struct request {
	TAILQ_ENTRY(request) link;
	enum request_state state;
	enum request_kind kind;
	uint64_t name; /* generation and slot */
	/* who asked: a client, or a peer on behalf of one */
	uint64_t client; /* 0: a peer */
	uint64_t msgid;	 /* the client's, or the peer's name for it */
	uint64_t peer, peer_boot;
	bool as_map;	/* style of errors */
	bool is_notify; /* nobody wants the answer */
	/* the call: method and params, at blob->data + offset */
	struct blob *blob;
	uint32_t offset, len;
	struct mp_span method, params;
	uint64_t arrived_ns;
	uint64_t retry_ns;     /* WAITING: not before this */
	bool doubt;	       /* a copy may have been applied: it has a
				 session, and another copy will tell */
	bool counted;	       /* its bytes are in host->request_bytes */
	uint64_t index, term;  /* PENDING; READY: index */
	uint64_t read_id;      /* READING */
	bool leased;	       /* a read that a lease will do for */
	uint64_t asked_ns;     /* a read: what it finds is not older */
	uint64_t max_stale_ns; /* STALE: how old may it be; 0 any age */
	uint64_t sent_to;      /* FORWARDED */
	uint64_t since;	       /* WATCHING: looked at up to this revision */
	uint64_t until_ns;     /* WATCHING, AWAITING: answered by then */
};
TAILQ_HEAD(request_queue, request);

struct request_pool {
	struct request **chunk;
	uint32_t chunk_count, chunk_max;
	struct request_queue unused;
	uint32_t open; /* not free */
};

int request_pool_init(struct request_pool *, uint32_t requests_max);
void request_pool_release(struct request_pool *);
/* NULL: requests_max are open, or no memory.  State REQUEST_FREE. */
struct request *request_new(struct request_pool *);
/* Drops the blob; the request must stand in no queue. */
void request_free(struct request_pool *, struct request *);
/* NULL if that one is long gone. */
struct request *request_by_name(struct request_pool *, uint64_t name);

#endif
