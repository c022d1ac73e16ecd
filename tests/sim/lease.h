/*
 * lease.h - whoever holds leases, and a watch on their bounds.
 *
 * Each holder asks for a lease, renews it for a while, lets it run out and
 * looks when it is gone.  The world's own clock judges:
 *
 *  - not early: a lease is there for its time to live, by the fastest clock
 *    of a server, after its last renewal that was answered was sent;
 *  - not late: it is gone after its time to live, by the slowest clock, and
 *    a second for each change of the leader, counting only while there is
 *    one who gets entries committed.
 *
 * A jump of a clock that a slow turn could have been counts as time; the wall
 * clock never does.  Some clocks stop for a while.
 */
#ifndef TESTS_SIM_LEASE_H
#define TESTS_SIM_LEASE_H

#include "tests/sim/sim.h"

#define LEASE_CLIENT (UINT64_C(1) << 63) /* in a connection's name */

void leases_sim_init(struct sim *);
void leases_sim_free(struct lease_holders *);
void leases_sim_event(struct sim *, const struct event *);
void leases_sim_reply(
    struct sim *, uint64_t client, const struct piece *, unsigned count);

#endif
