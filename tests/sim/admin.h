/*
 * admin.h - whoever changes the members of the cluster.
 *
 * One request at a time, to any server: add, promote, demote, remove, replace,
 * set and hand over, drawn by what the committed configuration allows, while
 * the nemesis does its worst.  Servers to add are spares that were never
 * started before.  An answer that says done is compared with what is
 * committed.
 */
#ifndef TESTS_SIM_ADMIN_H
#define TESTS_SIM_ADMIN_H

#include "tests/sim/sim.h"

#define OPERATOR SIM_CLIENTS_MAX /* its number among the clients */

void admin_init(struct sim *);
void admin_free(struct admin *);
void admin_event(struct sim *, const struct event *);
void admin_answer(struct sim *, const uint8_t *data, size_t len);
/* No more changes; what is under way may go on. */
void admin_stop(struct sim *);

#endif
