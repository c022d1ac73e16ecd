/*
 * net.h - the network between servers.
 *
 * Two kinds, of which a seed has one.
 *
 * Streams are what raftd has: for each ordered pair a connection that the
 * one dials and the other accepts, with the handshake of both hellos.  Bytes
 * arrive in order, in pieces cut anywhere; a reset loses a suffix and both
 * ends learn of it, each in its own time; a cut holds bytes back until it
 * heals or the connection times out.  A clog holds them back and leaves the
 * connection up.
 *
 * Datagrams are nastier than anything a kernel offers: each message on its
 * own is lost, delayed, doubled, overtaken, and replayed long after.  Raft
 * must hold under it.  Forwarded requests and answers are not doubled: they
 * rest on the stream's promise, and say so.
 *
 * Cuts are per direction and known by pair.
 */
#ifndef TESTS_SIM_NET_H
#define TESTS_SIM_NET_H

#include "raftd/host.h"
#include "tests/sim/sim.h"

void net_init(struct sim *);
void net_free(struct net *);
void net_event(struct sim *, const struct event *);

/* From the host of server `from`. */
void net_send(struct sim *, unsigned from, uint64_t to_id, const struct piece *,
    unsigned count);
size_t net_backlog(struct sim *, unsigned from, uint64_t to_id);

void net_server_up(struct sim *, unsigned number);
/* power: nobody tells its peers. */
void net_server_down(struct sim *, unsigned number, bool power);

/* Faults. */
void net_cut(struct sim *, unsigned from, unsigned to, bool cut);
void net_heal(struct sim *); /* all cuts and clogs */
void net_clog(struct sim *, unsigned from, unsigned to, uint64_t length);
void net_reset(struct sim *, unsigned from, unsigned to);
/* What is on the way turns into garbage, which the receiver must notice. */
void net_garbage(struct sim *, unsigned from, unsigned to);
/* From now on nothing is lost, doubled or replayed. */
void net_calm(struct sim *);
bool net_is_cut(struct sim *, unsigned from, unsigned to);

/* Whom this server dials from now on, by number. */
void net_wanted(struct sim *, unsigned number, uint32_t wanted);

#endif
