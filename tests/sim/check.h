/*
 * check.h - what must always hold, watched from outside.
 *
 * The checker believes nothing that a server says about itself without
 * having seen it happen.  It reads every record handed to storage and keeps,
 * for each server, a shadow of its log as it would be read back now, and of
 * what is durable of it; it reads every message sent; and it looks into the
 * server after each turn.
 *
 * Broken promises end the run (sim_fail) with their name:
 *	election safety, leader append-only, log matching, leader
 *	completeness, state machine safety, monotonic term / vote / commit /
 *	applied, commit without a durable majority, vote or acknowledgement
 *	before it is durable, recovery of something else than was written,
 *	linearizability, exactly one of three outcomes, no operation twice;
 *	of configurations: one change at a time, voters only by a joint one,
 *	none before an entry of the leader's own term is committed, in force
 *	from the moment it is written until it is replaced.
 */
#ifndef TESTS_SIM_CHECK_H
#define TESTS_SIM_CHECK_H

#include "raftd/core/raft.h"
#include "raftd/store.h"
#include "tests/sim/client.h"
#include "tests/sim/server.h"
#include "tests/sim/sim.h"

void check_init(struct sim *);
void check_free(struct checker *);

/* A write job was submitted; it was synced. */
void check_submitted(struct server *, const struct store_job *);
void check_synced(struct server *, const struct store_job *);
void check_started(struct server *);
/* Its clock stood still, and goes again: it knows of no time that passed. */
void check_clock_goes(struct server *);
/* It died: nothing it had is known any more but what is durable. */
void check_crashed(struct server *, bool power);
void check_turn(struct server *);
void check_sent(
    struct server *from, unsigned to, const struct raft_msg *, uint32_t group);
/* Some message of another server was delivered to it. */
void check_heard(struct server *, unsigned from);
/* The disk was replaced by hand: forget what was durable on it. */
void check_forget(struct server *);

/* Operations: called as the client learns of it. */
void check_invoked(struct sim *, struct op *);
void check_write_done(struct sim *, struct op *, bool succeeded, uint64_t rev);
void check_read_done(
    struct sim *, struct op *, bool found, const uint8_t *value, size_t len);
void check_not_applied(struct sim *, struct op *);

uint64_t check_committed(const struct sim *); /* known anywhere */
/* The servers have their ids: what they are told to begin with. */
void check_bootstrap(struct sim *);
/* The committed configuration (0), and those that stand behind it in the log
 * of some server, in no order; NULL: no more. */
const struct raft_config *check_config(const struct sim *, unsigned n);
/* Was it ever in a committed configuration? */
bool check_was_member(const struct sim *, unsigned server);
bool config_has(const struct raft_config *, uint64_t id);
/* A majority of each of its sets of voters is among these. */
bool config_majority(
    const struct sim *, const struct raft_config *, uint32_t servers);
/* All of these servers have applied everything and agree. */
bool check_converged(struct sim *, uint32_t servers);
/* The value of a key as of now: the operation that last set it, 0 none. */
uint64_t check_key_op(const struct sim *, unsigned key);

#endif
