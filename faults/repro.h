/*
 * repro.h - faults repro: why two safe ways are needed, shown on a cluster
 * that goes without them and on one that does not.
 */
#ifndef FAULTS_REPRO_H
#define FAULTS_REPRO_H

#include <stdbool.h>

#include "raftctl/errtext.h"

/* "early-vote", "no-joint"; NULL behind the last. */
const char *repro_name(unsigned i);

/*
 * Both ways, so many times, with a report on stdout.  1: something came out
 * otherwise than it should; -errno: a cluster could not be had.
 */
int repro_run(
    const char *name, unsigned rounds, bool is_json, struct errtext *);

#endif
