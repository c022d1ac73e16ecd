/*
 * play.h - faults that somebody waits for: the process that made them ends
 * them when their time is up, when it is told to stop, or, by a watchdog, when
 * it dies.
 */
#ifndef FAULTS_PLAY_H
#define FAULTS_PLAY_H

#include "faults/fault.h"
#include "faults/plan.h"

/* One fault for a time.  0, -errno, or the number of the signal that ended
 * it early; it is healed in each case. */
int play_one(const struct lab *, int argc, char *const argv[], uint64_t for_ms,
    struct errtext *);
/* The whole plan.  refused counts actions that could not be done; each is
 * told on stderr and the rest goes on. */
int play_plan(const struct lab *, const struct plan *, unsigned *refused,
    struct errtext *);

#endif
