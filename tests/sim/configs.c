/*
 * configs.c - what must always hold of configurations, watched from outside.
 *
 * Which one is in force on a server is read from what it wrote: the last one
 * in its log.  What its core believes is compared with that.
 */
#include <inttypes.h>

#include "raftd/message.h"
#include "tests/sim/shadow.h"

bool
config_has(const struct raft_config *c, uint64_t id)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (c->member[i].id == id)
			return true;
	return false;
}

static uint8_t
voter_bits(const struct raft_config *c, uint64_t id)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (c->member[i].id == id)
			return c->member[i].voter;
	return 0;
}

bool
config_majority(
    const struct sim *sim, const struct raft_config *c, uint32_t servers)
{
	static const uint8_t sets[] = {RAFT_VOTER_NEW, RAFT_VOTER_OLD};

	for (size_t k = 0; k < sizeof(sets); k++) {
		unsigned voters = 0, have = 0;

		for (uint32_t i = 0; i < c->count; i++)
			voters += (c->member[i].voter & sets[k]) != 0;
		for (unsigned i = 0; i < sim->server_count; i++)
			have += (servers & (1u << i)) != 0 &&
				(voter_bits(c, sim->server[i]->id) & sets[k]);
		if (voters > 0 && have * 2 <= voters)
			return false;
	}
	return c->count > 0;
}

/* Those of the one set and of the other are the same. */
static bool
same_voters(const struct raft_config *a, uint8_t a_set,
    const struct raft_config *b, uint8_t b_set)
{
	for (uint32_t i = 0; i < a->count; i++)
		if ((a->member[i].voter & a_set) &&
		    !(voter_bits(b, a->member[i].id) & b_set))
			return false;
	for (uint32_t i = 0; i < b->count; i++)
		if ((b->member[i].voter & b_set) &&
		    !(voter_bits(a, b->member[i].id) & a_set))
			return false;
	return true;
}

bool
check_was_member(const struct sim *sim, unsigned server)
{
	return sim->checker->member[server] > 0;
}

void
check_bootstrap(struct sim *sim)
{
	struct checker *c = sim->checker;

	/* Sorted by id, as in a log. */
	for (unsigned n = 0; n < sim->conf.servers; n++) {
		uint32_t at = c->first.count++;

		while (
		    at > 0 && c->first.member[at - 1].id > sim->server[n]->id) {
			c->first.member[at] = c->first.member[at - 1];
			at--;
		}
		c->first.member[at] =
		    (struct raft_member){sim->server[n]->id, RAFT_VOTER_NEW};
		c->member[n] = 1;
	}
	c->config = c->first;
	c->config_index = 1;
}

struct raft_config *
configs_read(struct sim *sim, const uint8_t *payload, size_t len)
{
	static struct config_entry e;
	struct raft_config *c = sim_must(malloc(sizeof(*c)));

	if (config_read(mp_span(payload, len), &e) < 0)
		sim_fail(sim, "a configuration is written that none can be");
	*c = e.config;
	return c;
}

/* The one at an index of a server's log. */
static const struct raft_config *
config_at(const struct server *s, uint64_t index)
{
	struct checker *c = s->sim->checker;
	const struct shadow *sh = shadow_of(s);
	const struct entry *e;

	if (index <= 1)
		return &c->first;
	e = entry_find(c, index, terms_at(&sh->log, index));
	return e != NULL && e->config != NULL ? e->config : &c->first;
}

static uint64_t
config_last(const struct shadow *sh)
{
	return sh->config_count > 0 ? sh->config[sh->config_count - 1] : 0;
}

static void
config_push(struct shadow *sh, uint64_t index)
{
	sh->config = grow(sh->config, &sh->config_cap, sh->config_count,
	    sizeof(sh->config[0]));
	sh->config[sh->config_count++] = index;
}

/* What changed, for people. */
static void
mark_step(const struct raft_config *old, const struct raft_config *new)
{
	if (new->joint) {
		mark(MARK_JOINT_ENTERED);
		return;
	}
	if (old->joint)
		mark(MARK_JOINT_LEFT);
	for (uint32_t i = 0; i < new->count; i++) {
		uint64_t id = new->member[i].id;
		bool voted = voter_bits(old, id) & RAFT_VOTER_OLD;

		if (!config_has(old, id))
			mark(MARK_MEMBER_ADDED);
		else if (old->joint && new->member[i].voter != 0 && !voted)
			mark(MARK_MEMBER_PROMOTED);
		else if (old->joint && new->member[i].voter == 0 && voted)
			mark(MARK_MEMBER_DEMOTED);
	}
	for (uint32_t i = 0; i < old->count; i++)
		if (!config_has(new, old->member[i].id))
			mark(old->member[i].voter != 0 ? MARK_VOTER_REMOVED
						       : MARK_LEARNER_REMOVED);
}

/* Joint consensus, diss. 4.3: nothing else ever changes who votes. */
static void
judge_step(struct server *s, uint64_t index, const struct raft_config *old,
    const struct raft_config *new)
{
	bool good;

	if (new->joint)
		good = !old->joint &&
		       same_voters(old, RAFT_VOTER_NEW, new, RAFT_VOTER_OLD);
	else
		good = same_voters(old, RAFT_VOTER_NEW, new, RAFT_VOTER_NEW);
	if (!good)
		sim_fail(s->sim,
		    "configuration %" PRIu64 " of s%u changes the voters "
		    "without being joint",
		    index, s->number + 1);
}

/* A leader begins a change: 4.1 of the dissertation, and what was added to it
 * on raft-dev in 2015 (raft-bugs 35, 36). */
static void
judge_proposal(
    struct server *s, uint64_t index, uint64_t term, uint64_t old_index)
{
	const struct raft *core = host_core(s->host, SERVER_GROUP);
	struct raft_status st;

	raft_status(core, &st);
	if (st.role != RAFT_LEADER || st.hard.term != term)
		return;
	if (old_index > st.commit)
		sim_fail(s->sim,
		    "s%u proposes configuration %" PRIu64 " while %" PRIu64
		    " is not committed: commit %" PRIu64,
		    s->number + 1, index, old_index, st.commit);
	else if (st.commit == 0 || raft_term_at(core, st.commit) != term)
		sim_fail(s->sim,
		    "s%u proposes configuration %" PRIu64
		    " before an entry of its own term is committed",
		    s->number + 1, index);
}

void
configs_written(struct server *s, uint64_t index, uint64_t term)
{
	struct shadow *sh = shadow_of(s);
	const struct entry *e = entry_find(s->sim->checker, index, term);

	while (config_last(sh) >= index && sh->config_count > 0) {
		mark(MARK_CONFIG_ROLLED_BACK);
		sh->config_count--;
	}
	if (e == NULL || e->config == NULL)
		return;
	if (index > 1) {
		const struct raft_config *old = config_at(s, config_last(sh));

		judge_step(s, index, old, e->config);
		judge_proposal(s, index, term, config_last(sh));
		if (host_core(s->host, SERVER_GROUP) != NULL &&
		    sh->role == RAFT_LEADER)
			mark_step(old, e->config);
	}
	config_push(sh, index);
}

void
configs_rebuild(struct server *s)
{
	struct checker *c = s->sim->checker;
	struct shadow *sh = shadow_of(s);

	sh->config_count = 0;
	for (uint64_t i = 1; i <= sh->log.last; i++) {
		const struct entry *e = entry_find(c, i, terms_at(&sh->log, i));

		if (i == 1 || (e != NULL && e->config != NULL))
			config_push(sh, i);
	}
}

void
configs_committed(struct sim *sim, uint64_t index, const struct entry *e)
{
	struct checker *c = sim->checker;

	if (e == NULL || e->config == NULL)
		return;
	c->config = *e->config;
	c->config_index = index;
	for (unsigned i = 0; i < sim->server_count; i++)
		if (config_has(&c->config, sim->server[i]->id))
			c->member[i] = index;
}

void
configs_look(struct server *s, const struct raft_status *st)
{
	const struct shadow *sh = shadow_of(s);
	uint64_t index = config_last(sh);
	const struct raft_config *c = config_at(s, index);

	if (st->last == 0 && st->config.count == 0)
		return; /* waits to be added */
	if (host_fills(s->host))
		return; /* more is in its log than it could hand over */
	if (st->role == RAFT_LEADER && !config_has(c, s->id))
		mark(MARK_LEADER_REMOVED);
	if (st->config_index != index) {
		sim_fail(s->sim,
		    "s%u uses the configuration of %" PRIu64
		    ", its log has one at %" PRIu64,
		    s->number + 1, st->config_index, index);
		return;
	}
	if (st->config.count != c->count || st->config.joint != c->joint ||
	    !same_voters(&st->config, RAFT_VOTER_NEW, c, RAFT_VOTER_NEW) ||
	    !same_voters(&st->config, RAFT_VOTER_OLD, c, RAFT_VOTER_OLD))
		sim_fail(s->sim,
		    "s%u uses another configuration than that of %" PRIu64
		    " in its log",
		    s->number + 1, index);
}

const struct raft_config *
check_config(const struct sim *sim, unsigned n)
{
	const struct checker *c = sim->checker;

	if (n == 0)
		return &c->config;
	for (unsigned i = 0; i < sim->server_count; i++) {
		const struct shadow *sh = &c->shadow[i];

		for (size_t k = sh->config_count; k-- > 0;)
			if (sh->config[k] > c->config_index && --n == 0)
				return config_at(sim->server[i], sh->config[k]);
	}
	return NULL;
}
