/*
 * corehelp.h - one core under test: start it, step it, look at its output.
 */
#ifndef TESTS_UNIT_COREHELP_H
#define TESTS_UNIT_COREHELP_H

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/core/raft.h"

#define ME 1
#define HEARTBEAT_NS UINT64_C(100000000)
#define ELECTION_NS UINT64_C(1000000000)

struct core {
	struct raft *raft;
	struct raft_run run[1024];
	struct raft_options opt;
	struct raft_boot boot;
	struct raft_config config;
	uint64_t config_index;
	struct raft_run log[64];
	struct raft_time now;
	struct raft_output out;
};

/* Servers 1..n vote; we are 1.  Fill core.opt and core.boot further before
 * core_start(). */
static inline void
core_init(struct core *c, uint32_t n)
{
	uint32_t i;

	memset(c, 0, sizeof(*c));
	c->config.count = n;
	for (i = 0; i < n; i++) {
		c->config.member[i].id = i + 1;
		c->config.member[i].voter = RAFT_VOTER_NEW;
	}
	c->opt = (struct raft_options){.id = ME,
	    .boot = 3,
	    .seed = 1,
	    .heartbeat = {HEARTBEAT_NS},
	    .election = {ELECTION_NS},
	    .inflight_bytes_max = 1000,
	    .uncommitted_bytes_max = 1000,
	    .append_entries_max = 16,
	    .pre_vote = true,
	    .check_quorum = true};
	c->boot.first = 1;
	c->boot.config = &c->config;
	c->boot.config_index = &c->config_index;
	c->boot.config_count = 1;
	c->boot.run = c->log;
}

/* `count` entries of `term` at the end of the log to boot from. */
static inline void
core_log(struct core *c, uint64_t term, uint64_t count)
{
	c->log[c->boot.run_count].first = c->boot.last + 1;
	c->log[c->boot.run_count++].term = term;
	c->boot.last += count;
	if (c->boot.hard.term < term)
		c->boot.hard.term = term;
}

static inline void
core_start(struct core *c)
{
	if (c->boot.last < c->boot.first - 1)
		c->boot.last = c->boot.first - 1;
	if (c->boot.commit < c->boot.first - 1)
		c->boot.commit = c->boot.first - 1;
	c->raft = calloc(1, raft_sizeof());
	ck_assert_ptr_nonnull(c->raft);
	ck_assert_int_eq(
	    raft_init(c->raft, &c->opt, &c->boot, c->run, 1024, c->now), 0);
}

static inline void
core_stop(struct core *c)
{
	free(c->raft);
}

static inline struct raft_status
core_status(const struct core *c)
{
	struct raft_status s;

	raft_status(c->raft, &s);
	return s;
}

static inline void
core_step(struct core *c, struct raft_event ev)
{
	ev.now = c->now;
	raft_step(c->raft, &ev, &c->out);
	ck_assert_ptr_null(raft_check(c->raft));
}

static inline void
core_message(struct core *c, struct raft_msg m)
{
	m.to = ME;
	core_step(c, (struct raft_event){.type = RAFT_EV_MESSAGE, .u.msg = &m});
}

/* Everything handed to the log so far is durable. */
static inline void
core_persist(struct core *c)
{
	struct raft_status s = core_status(c);
	struct raft_event ev = {.type = RAFT_EV_PERSISTED};

	ev.u.persisted.index = s.last;
	ev.u.persisted.term = s.last_term;
	ev.u.persisted.hard = s.hard;
	core_step(c, ev);
}

static inline void
core_tick(struct core *c, uint64_t ns)
{
	c->now.ns += ns;
	core_step(c, (struct raft_event){.type = RAFT_EV_TICK});
}

static inline void
core_peer(struct core *c, enum raft_event_type type, uint64_t id)
{
	core_step(c, (struct raft_event){.type = type, .u.peer.id = id});
}

static inline void
core_propose(struct core *c, uint32_t count, uint64_t bytes)
{
	core_step(c, (struct raft_event){
			 .type = RAFT_EV_PROPOSE, .u.propose = {count, bytes}});
}

static inline void
core_read(struct core *c, uint64_t id)
{
	core_step(
	    c, (struct raft_event){.type = RAFT_EV_READ, .u.read.id = id});
}

/* The nth message of a type in the last output; NULL if there is none. */
static inline const struct raft_msg *
core_sent(const struct core *c, enum raft_msg_type type, unsigned nth)
{
	uint32_t i;

	for (i = 0; i < c->out.msg_count; i++)
		if (c->out.msg[i].type == type && nth-- == 0)
			return &c->out.msg[i];
	return NULL;
}

static inline void
core_reply(struct core *c, enum raft_msg_type type, uint64_t from,
    uint64_t term, uint64_t asked, bool granted)
{
	struct raft_msg m = {.type = type, .from = from, .term = term};

	m.u.vote_reply.term = asked;
	m.u.vote_reply.granted = granted;
	core_message(c, m);
}

static inline void
core_ask(struct core *c, enum raft_msg_type type, uint64_t from, uint64_t term,
    uint64_t last, uint64_t last_term)
{
	struct raft_msg m = {.type = type, .from = from, .term = term};

	m.u.vote.term = type == RAFT_PREVOTE ? term + 1 : term;
	m.u.vote.last_index = last;
	m.u.vote.last_term = last_term;
	core_message(c, m);
}

static inline void
core_heartbeat(struct core *c, uint64_t from, uint64_t term, uint64_t commit)
{
	struct raft_msg m = {
	    .type = RAFT_HEARTBEAT, .from = from, .term = term};

	m.u.heartbeat.commit = commit;
	m.u.heartbeat.round = 0;
	core_message(c, m);
}

/* Entries prev+1..last, all of entry_term. */
static inline void
core_append(struct core *c, uint64_t from, uint64_t term, uint64_t prev,
    uint64_t prev_term, uint64_t last, uint64_t entry_term, uint64_t commit)
{
	struct raft_msg m = {.type = RAFT_APPEND, .from = from, .term = term};

	m.u.append.prev_index = prev;
	m.u.append.prev_term = prev_term;
	m.u.append.last = last;
	m.u.append.commit = commit;
	m.u.append.round = 1;
	m.u.append.run_count = last > prev;
	m.u.append.run[0].first = prev + 1;
	m.u.append.run[0].term = entry_term;
	core_message(c, m);
}

static inline void
core_ack(struct core *c, uint64_t from, uint64_t term, uint64_t match)
{
	struct raft_msg m = {
	    .type = RAFT_APPEND_REPLY, .from = from, .term = term};

	m.u.append_reply.ok = true;
	m.u.append_reply.match = match;
	m.u.append_reply.last = match;
	core_message(c, m);
}

/* Up to the candidacy: term, vote and all.  The hard state it has is durable:
 * without that it would not stand for another term. */
static inline void
core_candidate(struct core *c)
{
	struct raft_status s = core_status(c);
	struct raft_event ev = {.type = RAFT_EV_PERSISTED};
	uint64_t i;

	ev.u.persisted.hard = s.hard;
	core_step(c, ev);
	core_tick(c, 2 * ELECTION_NS);
	s = core_status(c);
	for (i = 2; s.role == RAFT_PRECANDIDATE; i++) {
		core_reply(c, RAFT_PREVOTE_REPLY, i, s.hard.term,
		    s.hard.term + 1, true);
		s = core_status(c);
	}
	ck_assert_int_eq(s.role, RAFT_CANDIDATE);
}

/* Leader, its no-op handed to the log and not yet durable. */
static inline void
core_lead(struct core *c)
{
	struct raft_status s;
	uint64_t i;

	core_candidate(c);
	core_persist(c);
	for (i = 2; (s = core_status(c)).role == RAFT_CANDIDATE; i++)
		core_reply(
		    c, RAFT_VOTE_REPLY, i, s.hard.term, s.hard.term, true);
	ck_assert_int_eq(s.role, RAFT_LEADER);
}

/* What the core would send to a peer, sent in full. */
static inline bool
core_pull(struct core *c, uint64_t peer, struct raft_msg *m)
{
	struct raft_want w;

	if (!raft_append_wanted(c->raft, peer, c->now, &w, m))
		return false;
	raft_appended(c->raft, m, w.last, (w.last + 1 - w.first) * 10);
	ck_assert_ptr_null(raft_check(c->raft));
	return true;
}

/* Leader, its no-op durable and committed by server 2's answer. */
static inline void
core_ready(struct core *c)
{
	struct raft_status s;
	struct raft_msg m;
	uint64_t i;

	core_lead(c);
	core_persist(c);
	s = core_status(c);
	for (i = 2; i <= s.config.count; i++) {
		ck_assert(core_pull(c, i, &m));
		core_ack(c, i, s.hard.term, s.last);
		while (core_pull(c, i, &m))
			;
	}
	ck_assert(core_status(c).ready);
}

#endif
