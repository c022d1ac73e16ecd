/*
 * client.h - the client library: calls to a cluster, from one event loop.
 *
 * A client_set holds what many clients share: the addresses, one timer, one
 * flush per loop turn.  A client is one user of the cluster with one
 * connection at a time (a second only while answers are still due on the one
 * before), over which any number of calls are in flight.
 *
 * Every call ends once, through its callback, before or at its deadline, in
 * one of three ways:
 *	done		WIRE_OK, or an answer of the server that is final
 *	not applied	any other status but WIRE_UNKNOWN
 *	unknown		WIRE_UNKNOWN: a write was sent and no answer came
 * What is certainly not applied (never sent, or the server says so) is tried
 * again, elsewhere if that may help, until the deadline.  A read is tried
 * again in any case.  So is a write in a session (CLIENT_SESSION): it carries
 * the client's session and a number, by which the servers carry it out once,
 * however often it comes; it is unknown only if no server says what became of
 * it before the deadline.  Any other write that was sent is never tried again.
 *
 * Any server will do: a follower forwards to the leader itself.
 *
 * Ownership: spans given to client_call() are copied.  Those in a reply are
 * valid during the callback.  A callback may make calls; it may not free its
 * client or set.
 * Threads: everything of a set belongs to the thread of its event_base.
 */
#ifndef RAFTCTL_CLIENT_H
#define RAFTCTL_CLIENT_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftctl/errtext.h"
#include "raftctl/frame.h"
#include "raftctl/mp.h"
#include "raftctl/wire.h"

struct client;
struct client_set;

struct client_config {
	const char *endpoints; /* "host:port,/path": endpoint.h */
	uint32_t connect_ms;   /* limit of one connect, 0: 1000 */
	uint32_t stall_ms;     /* a silent server is left, 0: 1000 */
	size_t frame_len_max;  /* of an answer, 0: the protocol's */
};

enum client_flags {
	CLIENT_READ = 1, /* changes nothing: may be sent twice */
	CLIENT_ONCE = 2, /* the first failure is final */
	/* A write whose params end with a map of options, to which those of
	 * the session are added.  Servers that know no sessions get it as it
	 * is, and it is then like any other write. */
	CLIENT_SESSION = 4,
	/* A write that names a session and a number itself. */
	CLIENT_IDEMPOTENT = 8,
};

struct client_reply {
	enum wire_status status;
	struct mp_span result;		/* raw; WIRE_OK only */
	const struct wire_error *error; /* NULL with WIRE_OK */
	const char *endpoint;		/* the last one tried, or NULL */
	uint32_t attempts;		/* times it was sent */
};

typedef void client_cb(const struct client_reply *, void *ctx);

/* 0, -EINVAL with a reason for the user, -ENOMEM. */
int client_set_new(struct event_base *, const struct client_config *,
    struct client_set **, struct errtext *);
void client_set_free(struct client_set *); /* after its clients */

/* first is the number of the address to begin with, of any size: clients
 * that count up spread themselves.  NULL without memory. */
struct client *client_new(struct client_set *, unsigned first);
/* Callbacks of calls that have not ended are not called. */
void client_free(struct client *);

/*
 * Begin a call.  params is a raw MessagePack array, or empty for [].  The
 * callback never runs before this returns.  -ENOMEM: nothing was begun.
 */
int client_call(struct client *, const char *method, struct mp_span params,
    unsigned flags, uint32_t timeout_ms, client_cb *, void *ctx);

/* Calls begun and not ended. */
size_t client_pending(const struct client *);

/*
 * Notifications of the server, and, with frame NULL, the news that a
 * connection which stood has gone, and with it whatever was to come on it.
 * The callback may not make calls.  The frame is valid during it.
 */
typedef void client_notify_cb(const struct frame *, void *ctx);
void client_on_notify(struct client *, client_notify_cb *, void *ctx);
/* Leave the server for the next one. */
void client_leave(struct client *);

/* ---- one call after the other, for commands --------------------------- */

struct client_answer {
	enum wire_status status;
	struct mp_buf result;
	struct wire_error error;
	char endpoint[256];
};

struct client_sync;

/* A notification, kept until it is asked for. */
struct client_notice {
	struct mp_buf method, params; /* contents of the str; raw array */
};

int client_sync_open(
    const struct client_config *, struct client_sync **, struct errtext *);
void client_sync_close(struct client_sync *);
/* Runs the loop until the call has ended.  The result's memory is the
 * caller's: mp_buf_release(). */
enum wire_status client_sync_call(struct client_sync *, const char *method,
    struct mp_span params, unsigned flags, uint32_t timeout_ms,
    struct client_answer *);
/*
 * The next notification, in the order in which they came: 1 and *notice, to
 * be released by its two buffers; 0: none came within wait_ms; -EPIPE, behind
 * all that came: a connection has gone since client_sync_found() was called,
 * and nothing more will come of it.
 */
int client_sync_next(
    struct client_sync *, uint64_t wait_ms, struct client_notice *);
void client_sync_found(struct client_sync *);
void client_sync_leave(struct client_sync *);

#endif
