/*
 * client_impl.h - what client.c and conn.c share.
 *
 * A call is in exactly one place:
 *	queued	in client.queue, for the next connection that is open
 *	waiting	in client.waiting, until its deadline entry brings it back
 *	sent	in conn.calls and conn.slots, until an answer, the end of
 *		the connection, or its deadline entry
 */
#ifndef RAFTCTL_CLIENT_IMPL_H
#define RAFTCTL_CLIENT_IMPL_H

#include <event2/event_struct.h>
#include <sys/queue.h>

#include "raftctl/client.h"
#include "raftctl/deadline.h"
#include "raftctl/endpoint.h"
#include "raftctl/frame.h"

#define CLIENT_OUT_MAX (1024 * 1024) /* unsent bytes; more waits queued */
#define CLIENT_READS_MAX 8	     /* read(2) of one connection in a turn */

enum call_place {
	CALL_QUEUED,
	CALL_WAITING,
	CALL_SENT,
};

struct call {
	struct deadline wake; /* earlier than the limit while waiting */
	uint64_t limit_ns;    /* the caller's deadline */
	uint64_t sent_ns;
	uint64_t out_end; /* where it ends in the connection's output */
	TAILQ_ENTRY(call) link;
	struct client *client;
	struct conn *conn; /* sent */
	client_cb *cb;
	void *ctx;
	uint32_t msgid; /* sent */
	uint32_t attempts;
	uint8_t flags;
	uint8_t place;	     /* enum call_place */
	uint8_t last_status; /* of the last attempt, WIRE_OK: none */
	bool doubt;	     /* an attempt may have been carried out */
	TAILQ_ENTRY(call) session_link; /* while seq is not 0 */
	uint64_t seq, since;		/* in the session `epoch` */
	uint32_t epoch;
	size_t len;
	uint8_t data[]; /* method and params, packed */
};
TAILQ_HEAD(call_list, call);

enum session_state {
	SESSION_WANTED, /* the next answer to hello tells the time */
	SESSION_READY,
	SESSION_NONE, /* the servers know no such thing */
};

enum conn_state {
	CONN_CLOSED,
	CONN_CONNECTING,
	CONN_OPEN,
};

struct conn {
	enum conn_state state;
	struct client *client;
	struct endpoint *endpoint;
	struct event on_read, on_write;
	bool write_armed;
	bool answered;	 /* it answered a call: no need to be wary of it */
	bool complained; /* about a malformed request; it will hang up */
	int fd;
	unsigned addr; /* of the endpoint, being tried */
	struct deadline connect_limit;
	struct frame_reader reader;
	struct mp_buf out; /* out.data[out_sent..len) is to be written */
	size_t out_sent;
	uint64_t out_total;	/* bytes ever put into out */
	uint64_t written_total; /* bytes ever taken by the system */
	uint64_t heard_ns;
	uint32_t next_msgid;
	uint32_t hello_msgid;
	struct call_list calls;
	struct call **slots; /* by msgid & (slot_count - 1) */
	uint32_t slot_count, slots_used;
};

struct client {
	struct client_set *set;
	TAILQ_ENTRY(client) kick_link;
	bool kicked;
	bool moved; /* a connection may be idle now */
	struct call_list queue, waiting;
	size_t pending;
	struct conn *conns; /* one for each endpoint */
	unsigned current;
	unsigned failed; /* endpoints that failed in a row */
	unsigned rounds; /* times that all of them did */
	uint64_t connect_after_ns;
	struct wire_error last;	  /* the last thing that went wrong */
	client_notify_cb *notify; /* NULL: nobody listens */
	void *notify_ctx;
	/* the session: client_session.c */
	enum session_state session_state;
	char session_base[20];
	uint32_t epoch; /* of the session in use */
	uint64_t since; /* when it began, in replicated time */
	uint64_t last_seq;
	struct call_list session_calls; /* by epoch and seq */
};
TAILQ_HEAD(client_list, client);

struct client_set {
	struct event_base *base;
	struct endpoint *endpoints;
	unsigned endpoint_count;
	uint64_t connect_ns, stall_ns;
	size_t frame_len_max;
	struct event timer, flush;
	uint64_t timer_ns; /* when it fires, UINT64_MAX: not armed */
	struct deadlines deadlines;
	size_t deadline_users; /* for which room is reserved */
	unsigned client_count;
	struct client_list kicked;
	uint64_t rng;
};

/* client.c */
uint64_t client_now(void);
void client_wake_at(struct client_set *, struct deadline *, uint64_t at_ns);
void client_kick(struct client *); /* look after it in this turn */
/* Say what went wrong, for whom it may concern at its deadline. */
__attribute__((format(printf, 3, 4))) void client_blame(
    struct client *, enum wire_status, const char *fmt, ...);
void client_endpoint_failed(struct client *, struct conn *);
void client_connection_lost(struct client *, struct conn *);
void call_answered(struct call *, const struct frame *);

/* client_session.c */
void session_init(struct client *);
/* An answer to hello; empty if it was an error. */
void session_hello(struct client *, struct mp_span result);
/* May this call be sent?  Gives it its number. */
bool session_admit(struct client *, struct call *);
/* Method and params with the options of the session. */
void session_put_call(struct mp_buf *, struct call *);
void session_leave(struct call *);
/* The servers have forgotten the session: the next call begins another. */
void session_lost(struct client *, struct call *);
/* May it be sent again although it may have been carried out? */
bool call_is_repeatable(const struct call *);

/* conn.c */
void conn_hello(struct conn *); /* say it once more */
void conn_init(struct conn *, struct client *, struct endpoint *);
void conn_release(struct conn *);
void conn_open(struct conn *);
void conn_close(struct conn *); /* its calls must have left */
/* Put a queued call into the output; false: no room or memory for now. */
bool conn_send(struct conn *, struct call *);
void conn_flush(struct conn *);
void conn_forget(struct conn *, struct call *); /* it is no longer sent */

#endif
