/*
 * nemesis.h - what goes wrong, and when.
 *
 * A seed's plan is a row of numbered steps.  Each step draws from a stream
 * of its own, so that leaving one out (`--drop 3,17`) leaves the others as
 * they were; a step that does not apply does nothing.
 *
 * The profile "normal" keeps within the faults under which guarantees.md
 * promises everything: damage only on a minority of disks.
 */
#ifndef TESTS_SIM_NEMESIS_H
#define TESTS_SIM_NEMESIS_H

#include "tests/sim/sim.h"

void nemesis_init(struct sim *);
void nemesis_free(struct nemesis *);
void nemesis_event(struct sim *, const struct event *);
/* Stop, heal everything among a random quorum, start its servers; the
 * others stay as they are.  Returns the set that must now be live. */
uint32_t nemesis_heal_quorum(struct sim *);
uint32_t nemesis_steps(const struct sim *); /* planned so far */

#endif
