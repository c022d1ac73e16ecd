/*
 * peer.h - the links between servers.
 *
 * Each server dials every other one and sends on the connection it made;
 * whoever accepted answers the handshake and otherwise only reads.  So two
 * servers have two connections, and the death of one process closes both:
 * the accepting side tells the host at once (host_peer_gone), without
 * waiting for any timeout.
 *
 * Handshake: the dialling side sends the request hello [map], the accepting
 * side judges it and answers with its own map, or with an error; the dialling
 * side judges the answer.  Until then a connection is a stranger: its
 * messages are limited to PEER_HELLO_LEN_MAX bytes, its time to the handshake
 * limit, and strangers to PEER_STRANGERS_MAX, the oldest of which makes room.
 *
 * A link that breaks is dialled again at once, then ever more slowly, up to
 * a quarter of the election timeout.
 *
 * Bounds: what waits for one peer is at most backlog_bytes_max; a peer that
 * does not take it loses its link, and whatever was on it.
 * Threads: the event thread.  Format: raftrpc(5).
 */
#ifndef RAFTD_PEER_H
#define RAFTD_PEER_H

#include <stddef.h>
#include <stdint.h>

#include "raftctl/errtext.h"
#include "raftd/host.h"
#include "raftd/net.h"

#define PEER_HELLO_LEN_MAX 4096
#define PEER_STRANGERS_MAX 64
#define PEER_BACKOFF_MIN_NS 5000000ull
#define PEER_HANDSHAKE_MIN_NS 200000000ull
#define PEER_HANDSHAKE_MAX_NS 5000000000ull
#define PEER_READS_MAX 4 /* of one connection in one turn */

struct peers_options {
	uint64_t id; /* ours */
	uint64_t election_ns;
	size_t frame_len_max; /* of a linked peer's message */
	size_t backlog_bytes_max;
};

struct event_base;
struct peers;

struct peers_stat {
	uint64_t dials, links, accepted, refused;
	uint64_t messages; /* received */
};

/* Takes ownership of the listener, also on failure. */
int peers_new(struct event_base *, const struct peers_options *,
    struct net_listener *, struct peers **);
/* The host is there: accept and dial. */
int peers_start(struct peers *, struct host *);
void peers_free(struct peers *);
void peers_backlog_set(struct peers *, size_t backlog_bytes_max);

/* host_env: peers_changed, peer_send, peer_backlog */
void peers_set(struct peers *, const struct host_member *, unsigned count);
void peers_send(
    struct peers *, uint64_t id, const struct piece *, unsigned count);
size_t peers_backlog(struct peers *, uint64_t id);

/* After each turn: write what was queued. */
void peers_flush(struct peers *);
/* Dial, give up, forget; returns the next deadline (mono_ns). */
uint64_t peers_tick(struct peers *, struct host_time);
void peers_stat(const struct peers *, struct peers_stat *);

#endif
