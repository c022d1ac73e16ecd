/*
 * client.h - clients and what they did.
 *
 * Each client is one process with one operation open at a time.  A write in
 * a session is sent again, to any server, until it is answered; the others
 * once.  Written
 * values name their operation ("o17."), so that the operation of each entry
 * in a log is known, and what became of it can be compared with what its
 * client was told.
 *
 * The history is judged while it is made.  The order of the log is the
 * witness: a write takes effect at its index, a read between the index of
 * the version it saw and the next one, and both after everything that was
 * complete before they began.  The least such place is always the best, so
 * one pass decides, and a violation shows at the reply that proves it.
 */
#ifndef TESTS_SIM_CLIENT_H
#define TESTS_SIM_CLIENT_H

#include "tests/sim/sim.h"

enum op_kind { OP_PUT, OP_GET, OP_CAS, OP_APPEND, OP_DELETE, OP_KIND_COUNT };

enum op_outcome {
	OUTCOME_OPEN,
	OUTCOME_DONE,
	OUTCOME_NOT_APPLIED,
	OUTCOME_UNKNOWN,
};

struct op {
	uint64_t id;
	enum op_kind kind;
	enum op_outcome outcome;
	unsigned client, key;
	uint64_t expect; /* CAS: the operation whose value it expects */
	uint64_t seq;	 /* in its client's session; 0: in none */
	unsigned tries;	 /* sent so many times, to one server or another */
	bool maybe;	 /* what became of one of them is not known */
	uint64_t invoked, sent, returned;
	uint64_t floor; /* the place of the latest complete before it began */
	uint64_t index; /* where it was committed, 0 nowhere yet */
	bool model_succeeded; /* what it came to there */
	uint64_t model_rev;
};

void clients_init(struct sim *);
void clients_free(struct clients *);
void clients_event(struct sim *, const struct event *);
/* From the host of a server. */
void clients_reply(struct sim *, unsigned server, uint64_t client,
    const struct piece *, unsigned count);
/* A server died or was cut off: connections to it break. */
void clients_server_down(struct sim *, unsigned server, bool power);
void clients_drop(struct sim *, unsigned client);
/* No new operations; those open must be answered. */
void clients_stop(struct sim *);
/* Begin again, on servers of this set only. */
void clients_resume(struct sim *, uint32_t servers);
unsigned clients_open(const struct sim *);

struct op *clients_op(struct sim *, uint64_t id); /* NULL: no such */
uint64_t clients_op_count(const struct sim *);
/* The key and the value that stand for these. */
size_t clients_key(unsigned key, char buf[32]);

#endif
