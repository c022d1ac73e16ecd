/*
 * quorum.h - majorities of a configuration, joint or not.
 *
 * Members are named by their position in raft_config.member: bit i of a mask
 * and element i of an array belong to member i.  While joint, a decision
 * needs a majority of both halves (diss. 4.3).  A half without voters decides
 * nothing: it can neither win nor commit.
 */
#ifndef RAFTD_CORE_QUORUM_H
#define RAFTD_CORE_QUORUM_H

#include <stdbool.h>
#include <stdint.h>

#include "raftd/core/raft.h"

enum quorum_vote {
	QUORUM_PENDING,
	QUORUM_WON,
	QUORUM_LOST, /* no majority can come together any more */
};

bool quorum_reached(const struct raft_config *, uint32_t yes);
enum quorum_vote quorum_vote(
    const struct raft_config *, uint32_t yes, uint32_t no);
/* The largest value that a quorum has reached; 0 without voters. */
uint64_t quorum_index(
    const struct raft_config *, const uint64_t value[RAFT_MEMBERS_MAX]);

#endif
