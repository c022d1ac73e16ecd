/*
 * quorum.c - majorities of a configuration, joint or not.
 */
#include "raftd/core/quorum.h"

static unsigned
bits(uint32_t mask)
{
	unsigned n = 0;

	for (; mask != 0; mask &= mask - 1)
		n++;
	return n;
}

/* Which members have a vote in one half. */
static uint32_t
voters(const struct raft_config *c, unsigned half)
{
	uint32_t i, mask = 0;

	for (i = 0; i < c->count; i++)
		if ((c->member[i].voter & half) != 0 || MUTANT(10))
			mask |= UINT32_C(1) << i;
	return mask;
}

static unsigned
majority(uint32_t mask)
{
	unsigned n = bits(mask);

	return MUTANT(9) ? (n + 1) / 2 : n / 2 + 1;
}

static bool
is_joint(const struct raft_config *c)
{
	return c->joint && !MUTANT(11);
}

static bool
half_reached(const struct raft_config *c, unsigned half, uint32_t yes)
{
	uint32_t mask = voters(c, half);

	return mask != 0 && bits(mask & yes) >= majority(mask);
}

bool
quorum_reached(const struct raft_config *c, uint32_t yes)
{
	return half_reached(c, RAFT_VOTER_NEW, yes) &&
	       (!is_joint(c) || half_reached(c, RAFT_VOTER_OLD, yes));
}

enum quorum_vote
quorum_vote(const struct raft_config *c, uint32_t yes, uint32_t no)
{
	if (quorum_reached(c, yes))
		return QUORUM_WON;
	if (!quorum_reached(c, ~no))
		return QUORUM_LOST;
	return QUORUM_PENDING;
}

static uint64_t
half_index(const struct raft_config *c, unsigned half, const uint64_t *value)
{
	uint64_t sorted[RAFT_MEMBERS_MAX], v;
	uint32_t mask = voters(c, half), i, j, n = 0;

	if (mask == 0)
		return 0;
	/* Descending; insertion, since there are three or five of them. */
	for (i = 0; i < c->count; i++) {
		if ((mask >> i & 1) == 0)
			continue;
		v = value[i];
		for (j = n++; j > 0 && sorted[j - 1] < v; j--)
			sorted[j] = sorted[j - 1];
		sorted[j] = v;
	}
	return sorted[majority(mask) - 1];
}

uint64_t
quorum_index(
    const struct raft_config *c, const uint64_t value[RAFT_MEMBERS_MAX])
{
	uint64_t a, b;

	a = half_index(c, RAFT_VOTER_NEW, value);
	if (!is_joint(c))
		return a;
	b = half_index(c, RAFT_VOTER_OLD, value);
	return a < b ? a : b;
}
