/*
 * now.h - what the time is, for the host: boot clock and wall clock.
 *
 * The boot clock goes on while the machine sleeps, so that whoever was
 * suspended sees how long.
 */
#ifndef RAFTD_NOW_H
#define RAFTD_NOW_H

#include "raftd/host.h"

struct host_time now(void);

#endif
