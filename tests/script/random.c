/*
 * random.c - cores under random faults: loss, repetition, reordering, crashes,
 * slow disks with completions out of order, one-way cuts, closed connections,
 * changes of members, transfers.  Then everything heals, and a leader must
 * come and all must be applied.
 *
 *	random [-v] [-s SEED] [-n RUNS]
 *
 * Finer than what the whole-server simulator can afford, and with nothing but
 * the core in it.
 */
#include <err.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "tests/script/cluster.h"

#define STEPS 1500
#define RUNS 60

static uint64_t state;

static uint64_t
draw(uint64_t below)
{
	uint64_t x = state += UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (x ^ x >> 31) % below;
}

static bool
chance(unsigned percent)
{
	return draw(100) < percent;
}

struct rates {
	unsigned loss, repeat, reorder, crash, down, cut, change;
	unsigned slow; /* servers whose disk is slow, percent */
};

static void
propose_change(struct cluster *c, unsigned leader)
{
	struct raft_config new = {.count = 0};
	struct raft_status s;
	unsigned i, voters = 0;

	cluster_status(c, leader, &s);
	if (c->config_count > CLUSTER_CONFIGS_MAX - 4)
		return;
	new = s.config;
	if (s.config.joint) {
		new.joint = false;
		new.count = 0;
		for (i = 0; i < s.config.count; i++) {
			if ((s.config.member[i].voter & RAFT_VOTER_NEW) == 0 &&
			    chance(50))
				continue;
			new.member[new.count] = s.config.member[i];
			new.member[new.count].voter &= RAFT_VOTER_NEW;
			new.count++;
		}
		cluster_change(c, leader, &new);
		return;
	}
	new.joint = true;
	new.count = 0;
	for (i = 1; i <= c->count; i++) {
		unsigned k, old = 0;

		for (k = 0; k < s.config.count; k++)
			if (s.config.member[k].id == i &&
			    (s.config.member[k].voter & RAFT_VOTER_NEW) != 0)
				old = RAFT_VOTER_OLD;
		new.member[new.count].id = i;
		new.member[new.count].voter =
		    (uint8_t)(old | (chance(70) ? RAFT_VOTER_NEW : 0));
		voters += new.member[new.count].voter &RAFT_VOTER_NEW;
		if (new.member[new.count].voter != 0 || chance(50))
			new.count++;
	}
	if (voters >= 2)
		cluster_change(c, leader, &new);
}

static void
carry(struct cluster *c, const struct rates *r)
{
	struct cluster_match f = {.nth = 1};

	if (c->net_count == 0)
		return;
	if (chance(r->reorder))
		f.nth = 1 + (unsigned)draw(c->net_count);
	if (chance(r->loss)) {
		cluster_drop(c, &f);
		return;
	}
	if (chance(r->repeat))
		cluster_repeat(c, &f);
	cluster_deliver(c, &f);
}

static void
peers(struct cluster *c, unsigned id, enum raft_event_type type)
{
	unsigned i;

	for (i = 1; i <= c->count; i++)
		if (i != id && c->node[i]->alive && !chance(10))
			cluster_peer(c, i, type, id);
}

static void
act(struct cluster *c, const struct rates *r, uint64_t *read)
{
	unsigned id = 1 + (unsigned)draw(c->count), i;
	struct cluster_node *n = c->node[id];
	uint64_t kind = draw(1000);

	if (kind < 520) {
		carry(c, r);
	} else if (kind < 700) {
		if (n->batch_count > 0)
			cluster_persist(c, id,
			    chance(80) ? 1
				       : 1 + (unsigned)draw(n->batch_count));
	} else if (kind < 790) {
		for (i = 1; i <= c->count; i++)
			c->node[i]->now.ns += MS(1) * draw(60);
		if (n->alive)
			cluster_tick(c, id, 0);
	} else if (kind < 800) {
		cluster_timeout(c, id);
	} else if (kind < 860) {
		if ((i = cluster_leader(c)) != 0 && c->node[i]->last < 1500)
			cluster_propose(c, i, 1 + (uint32_t)draw(5));
	} else if (kind < 890) {
		if (n->alive && *read < 250)
			cluster_read(c, id, ++*read);
	} else if (kind < 890 + r->crash) {
		if (n->alive) {
			cluster_crash(c, id);
			if (chance(r->down))
				peers(c, id, RAFT_EV_PEER_DOWN);
		}
	} else if (kind < 930) {
		if (!n->alive) {
			cluster_restart(c, id, false);
			if (chance(50))
				peers(c, id, RAFT_EV_PEER_UP);
		}
	} else if (kind < 930 + r->cut) {
		cluster_cut(c, id, 1 + (unsigned)draw(c->count), chance(50));
	} else if (kind < 950 + r->change) {
		if ((i = cluster_leader(c)) != 0)
			propose_change(c, i);
	} else if (kind < 965) {
		if ((i = cluster_leader(c)) != 0)
			cluster_peer(c, i, RAFT_EV_TRANSFER,
			    chance(30) ? RAFT_NONE : id);
	} else if (kind < 968) {
		cluster_peer(c, id, RAFT_EV_STEP_DOWN, 0);
	} else if (kind < 972) {
		peers(c, id, RAFT_EV_PEER_DOWN);
	}
}

static bool
converged(const struct cluster *c)
{
	struct raft_status s, l;
	unsigned leader = cluster_leader(c), i;

	if (leader == 0)
		return false;
	cluster_status(c, leader, &l);
	if (!l.ready || l.commit != l.last)
		return false;
	for (i = 0; i < l.config.count; i++) {
		cluster_status(c, (unsigned)l.config.member[i].id, &s);
		if (s.commit != l.commit || s.leader != leader)
			return false;
	}
	return true;
}

/* Every fault ends: a leader, and everybody up to date, within ten election
 * timeouts; the term settles. */
static const char *
heal(struct cluster *c)
{
	unsigned i, k, turn;

	for (i = 1; i <= c->count; i++) {
		for (k = 1; k <= c->count; k++)
			cluster_cut(c, i, k, false);
		c->node[i]->manual = false;
		if (!c->node[i]->alive)
			cluster_restart(c, i, false);
	}
	for (turn = 0; turn < 100 && c->broken[0] == '\0'; turn++) {
		cluster_run(c, MS(100), MS(10));
		if (converged(c))
			return NULL;
	}
	return c->broken[0] != '\0' ? c->broken : "no agreement after healing";
}

static bool
run(uint64_t seed, FILE *trace)
{
	struct cluster_options o = {.seed = seed};
	struct rates r;
	struct cluster *c;
	const char *why = NULL;
	uint64_t read = 0;
	unsigned i;
	bool ok;

	state = seed * UINT64_C(0x2545f4914f6cdd1d) + 1;
	o.count = 1 + (unsigned)draw(5);
	if (o.count == 2 || o.count == 1)
		o.count = chance(80) ? 3 : o.count;
	o.voters = o.count > 3 && chance(40) ? 3 : o.count;
	o.members = o.count > 3 && chance(50) ? o.count : o.voters;
	o.append_entries_max = chance(50) ? 1 + (uint32_t)draw(4) : 64;
	o.inflight_bytes_max = chance(50) ? 300 : 100000;
	o.uncommitted_bytes_max = chance(50) ? 1000 : 100000;
	o.no_pre_vote = chance(15);
	o.no_check_quorum = o.no_pre_vote && chance(50);
	o.start_ns = chance(30)	  ? (UINT64_C(1) << 63) - MS(3000)
		     : chance(30) ? UINT64_MAX - MS(3000)
				  : MS(draw(100000));
	r = (struct rates){.loss = (unsigned)draw(30),
	    .repeat = (unsigned)draw(30),
	    .reorder = (unsigned)draw(100),
	    .crash = (unsigned)draw(12),
	    .down = (unsigned)draw(100),
	    .cut = (unsigned)draw(8),
	    .change = (unsigned)draw(12),
	    .slow = (unsigned)draw(100)};
	c = cluster_new(&o, trace);
	for (i = 1; i <= o.count; i++)
		c->node[i]->manual = chance(r.slow);
	for (i = 0; i < STEPS && c->broken[0] == '\0'; i++)
		act(c, &r, &read);
	if (c->broken[0] != '\0')
		why = c->broken;
	else
		why = heal(c);
	ok = why == NULL;
	if (!ok)
		printf("seed %llu: %s\n", (unsigned long long)seed, why);
	cluster_free(c);
	return ok;
}

int
main(int argc, char *argv[])
{
	unsigned long long seed = 1, runs = RUNS, i, passed = 0;
	bool verbose = false;
	int ch;

	while ((ch = getopt(argc, argv, "s:n:v")) != -1) {
		switch (ch) {
		case 's':
			seed = strtoull(optarg, NULL, 10);
			break;
		case 'n':
			runs = strtoull(optarg, NULL, 10);
			break;
		case 'v':
			verbose = true;
			break;
		default:
			errx(64, "usage: random [-v] [-s seed] [-n runs]");
		}
	}
	for (i = 0; i < runs; i++)
		passed += run(seed + i, verbose ? stdout : NULL);
	printf("%llu passed, %llu failed\n", passed, runs - passed);
	return passed == runs ? 0 : 1;
}
