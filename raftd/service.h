/*
 * service.h - the clients: listeners, connections, requests in and answers
 * out.
 *
 * A callback reads at most one buffer, cuts it into frames and gives them to
 * host_client_request(), which queues.  Answers are queued at the connection
 * and written by service_flush(), one writev(2) per connection and turn.
 *
 * Invariants: a connection is known to the host by a number that is never
 * used again.  It has at most requests_max open requests and does not read
 * further when it has, nor when its answers are not read, nor when the host
 * says so: each is a PAUSE_CONN_* bit, and it reads again once none is set.
 * When those that came first wait for long, it reads and refuses instead.
 * An idle connection holds no buffer: bytes are read into one that all
 * share, and only an unfinished message is kept by its connection.
 *
 * A malformed message is answered with [1, 0, error, nil]; the connection is
 * closed when that has gone out.  Format: raftrpc(5).
 *
 * Threads: the event thread.
 */
#ifndef RAFTD_SERVICE_H
#define RAFTD_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftctl/errtext.h"
#include "raftd/host.h"
#include "raftd/net.h"

#define SERVICE_LISTENERS_MAX 4
/* All that clients have not read yet; whoever adds to more is closed. */
#define SERVICE_OUTPUT_TOTAL_MAX (1024u << 20)
/* All unfinished messages; the connection that goes beyond is refused. */
#define SERVICE_INPUT_TOTAL_MAX (512u << 20)
/* A part of a message up to this leaves the shared buffer by a copy. */
#define SERVICE_STASH_MAX 4096
/* After a refusal: so long, so much is still read and dropped, so that the
 * kernel does not discard the answer with a reset. */
#define SERVICE_LINGER_NS 2000000000ull
#define SERVICE_LINGER_BYTES (8u << 20)

enum {
	PAUSE_CONN_REQUESTS = 1, /* too many of its requests are open */
	PAUSE_CONN_OUTPUT = 2,	 /* it does not read its answers */
	PAUSE_CONN_HOST = 4,	 /* host_pause() */
};

struct service_options {
	size_t frame_len_max;
	uint32_t connections_max;
	uint32_t requests_max;	 /* of one connection */
	size_t output_bytes_max; /* of one connection; reading stops at 1/16 */
};

struct event_base;
struct service;

struct service_stat {
	uint64_t connections, accepted, refused;
	uint64_t requests, malformed, slow; /* slow: closed for not reading */
	uint64_t flooded; /* requests refused because of too many others */
	size_t output_bytes, input_bytes;
};

/* Takes ownership of the listeners, also on failure. */
int service_new(struct event_base *, struct host *,
    const struct service_options *, struct net_listener *, unsigned count,
    struct service **);
void service_free(struct service *);
void service_options_set(struct service *, const struct service_options *);

/* host_env.client_send */
void service_send(
    struct service *, uint64_t client, const struct piece *, unsigned count);
/* host_env.client_backlog */
size_t service_backlog(const struct service *, uint64_t client);
/* After each turn: write what was queued, read on where that is possible. */
void service_flush(struct service *);
/* Deadlines; returns the next one (mono_ns), UINT64_MAX for none. */
uint64_t service_tick(struct service *, struct host_time);
/* Where it listens, comma-separated, with the ports that were chosen. */
void service_addresses(const struct service *, char *buf, size_t size);
/* No new connections from now on. */
void service_stop_listening(struct service *);
/* Everything queued has been written. */
bool service_flushed(const struct service *);
void service_stat(const struct service *, struct service_stat *);

#endif
