/*
 * shadow.h - what the checker remembers, for its own files.
 *
 * For each server its log as its core has it and as its disk would give it
 * back; for all of them every entry that anybody ever wrote, and what is
 * committed.
 */
#ifndef TESTS_SIM_SHADOW_H
#define TESTS_SIM_SHADOW_H

#include <stdlib.h>
#include <string.h>

#include "raftd/fsm/fsm.h"
#include "tests/sim/check.h"
#include "tests/sim/model.h"

#define TERM_MAX 10000000 /* beyond, terms run away */

/* One entry as some server wrote it: (index, term) names it. */
struct entry {
	uint64_t term, prev_term;
	uint32_t crc;
	uint32_t len;
	uint8_t kind;
	uint64_t op;
	uint8_t *payload; /* kept until it is committed or the run ends */
	struct raft_config *config; /* of a RECORD_CONFIG */
	struct entry *next;	    /* another term at this index */
};

/* The terms of a log, by index. */
struct terms {
	uint64_t *term;
	size_t cap;
	uint64_t last;
};

/* A write job that is not yet known to be durable. */
struct pending {
	struct pending *next;
	uint64_t seq;
	uint64_t first, last;	/* entries, none if last < first */
	uint64_t *term;		/* of first..last */
	struct raft_hard *hard; /* each state record, in order */
	unsigned hard_count;
};

/* What is known of one server. */
struct shadow {
	struct terms log; /* as its core has it */
	uint64_t *config; /* in it: indexes of configurations, ascending */
	size_t config_count, config_cap;
	struct terms durable; /* as its disk would give it back */
	uint64_t durable_term, durable_vote;
	uint64_t *votes; /* on disk at some time, by term */
	size_t votes_cap;
	struct pending *pending, **pending_end;
	/* from the last look */
	struct raft_hard hard;
	uint64_t commit, applied;
	enum raft_role role;
	struct raft_config in_force; /* at the end of the turn before */
	bool looked;
	uint64_t
	    heard[SIM_SERVERS_MAX]; /* simulated time of the last message */
	uint64_t leader_since;
};

struct checker {
	struct entry **at; /* by index */
	size_t at_cap;
	uint64_t last; /* highest index ever written */
	struct terms committed;
	struct digest {
		struct fsm_digest d;
		bool known;
	} * digest; /* by applied index */
	size_t digest_cap;
	uint64_t *leader; /* id, by term */
	size_t leader_cap;
	struct shadow shadow[SIM_SERVERS_MAX];
	struct raft_config first;  /* entry 1, which no server is told */
	struct raft_config config; /* committed, and where */
	uint64_t config_index;
	uint64_t member[SIM_SERVERS_MAX];  /* last index as one; 0 never */
	uint64_t session[SIM_CLIENTS_MAX]; /* the latest write in it */
	struct model *model;
	uint64_t floor; /* place of the latest complete operation */
};

/* Room for [index] in an array of zeroes. */
static inline void *
grow(void *array, size_t *cap, uint64_t index, size_t size)
{
	size_t n = *cap == 0 ? 1024 : *cap;

	if (index < *cap)
		return array;
	while (n <= index)
		n *= 2;
	array = sim_must(realloc(array, n * size));
	memset((char *)array + *cap * size, 0, (n - *cap) * size);
	*cap = n;
	return array;
}

static inline void
terms_set(struct terms *t, uint64_t index, uint64_t term)
{
	t->term = grow(t->term, &t->cap, index, sizeof(t->term[0]));
	t->term[index] = term;
	t->last = index;
}

static inline uint64_t
terms_at(const struct terms *t, uint64_t index)
{
	return index == 0 || index > t->last ? 0 : t->term[index];
}

static inline struct shadow *
shadow_of(const struct server *s)
{
	return &s->sim->checker->shadow[s->number];
}

static inline uint64_t
voted(const struct server *s, uint64_t term)
{
	const struct shadow *sh = shadow_of(s);

	return term < sh->votes_cap ? sh->votes[term] : 0;
}

static inline struct entry *
entry_find(struct checker *c, uint64_t index, uint64_t term)
{
	if (index >= c->at_cap)
		return NULL;
	for (struct entry *e = c->at[index]; e != NULL; e = e->next)
		if (e->term == term)
			return e;
	return NULL;
}

/* configs.c */
void configs_free(struct checker *);
/* An entry stands in a server's log now, which is as long as that. */
void configs_written(struct server *, uint64_t index, uint64_t term);
/* The log was read back, or a snapshot took its place. */
void configs_rebuild(struct server *);
void configs_committed(struct sim *, uint64_t index, const struct entry *);
void configs_look(struct server *, const struct raft_status *);
struct raft_config *configs_read(
    struct sim *, const uint8_t *payload, size_t len);

#endif
