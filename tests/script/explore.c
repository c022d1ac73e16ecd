/*
 * explore.c - every reachable state of three cores in small scopes.
 *
 *	explore [-l STATES] [-m MEGABYTES] [SCOPE ...]
 *
 * Depth first over all interleavings: each message on its way may arrive
 * next, once or (within a budget) twice, or never; each write may complete
 * next; within budgets servers time out, crash and start again from their
 * disks, propose, change members, read, beat.  A state that was seen before
 * is not entered again.  Time is left out: it is a choice here, not a number.
 *
 * Checked after each step: the invariants of the core (raft_check); election
 * safety, log matching, leader completeness, commit safety; no vote and no
 * acknowledgement before it is durable; commit counted over the disks; reads
 * not older than what was committed when they were asked.
 *
 * What is found is printed with the choices that lead to it.
 */
#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/core/state.h"
#include "tests/script/cluster.h"

#define NODES 3
#define LOG_MAX 10
#define NET_MAX 10
#define WRITES_MAX 3
#define WAIT_MAX 8
#define TERMS 16
#define DEPTH_MAX 600
#define BASE_NS MS(1000000)
#define BEAT_NS MS(100)
#define ELECTION_NS MS(1000)

enum act {
	ACT_DELIVER,
	ACT_REPEAT, /* deliver and keep */
	ACT_PERSIST,
	ACT_TIMEOUT,
	ACT_PROPOSE,
	ACT_CRASH,
	ACT_DOWN, /* the leader's connection closes */
	ACT_BEAT,
	ACT_READ,
	ACT_CHANGE,
	ACT_COUNT
};

static const char *const act_name[ACT_COUNT] = {"deliver", "repeat", "persist",
    "timeout", "propose", "crash", "down", "beat", "read", "change"};

struct scope {
	const char *name, *help;
	uint8_t budget[ACT_COUNT]; /* deliver, persist: not used */
	uint8_t voters;
	uint8_t entries; /* in one append at most */
	uint8_t net;	 /* messages on their way at a time; more are lost */
	bool slow;	 /* writes complete by choice, else at once */
	bool pre_vote;	 /* and check-quorum */
	uint8_t only;	 /* servers that time out: bits, 0 all */
	/* Terms of the entries in the logs to begin with. */
	uint8_t start[NODES][4];
};

static const struct scope scopes[] = {
    {.name = "votes",
	.help = "elections over crashes and slow disks",
	.budget = {[ACT_TIMEOUT] = 2, [ACT_CRASH] = 1},
	.entries = 4,
	.voters = 3,
	.net = 3,
	.slow = true,
	.only = 3},
    {.name = "prevotes",
	.help = "elections with pre-vote, leases and closed connections",
	.budget = {[ACT_TIMEOUT] = 2, [ACT_DOWN] = 1},
	.entries = 4,
	.voters = 3,
	.net = 4,
	.pre_vote = true,
	.only = 3},
    {.name = "logs",
	.help = "replication over changes of leaders",
	.budget = {[ACT_TIMEOUT] = 2, [ACT_PROPOSE] = 1, [ACT_REPEAT] = 1},
	.entries = 4,
	.voters = 3,
	.net = 3,
	.only = 3},
    {.name = "disks",
	.help = "replication over a crash and slow disks",
	.budget = {[ACT_TIMEOUT] = 2, [ACT_CRASH] = 1},
	.entries = 4,
	.voters = 3,
	.net = 2,
	.slow = true,
	.only = 3},
    {.name = "reads",
	.help = "reads over a change of leaders",
	.budget = {[ACT_TIMEOUT] = 2, [ACT_READ] = 1},
	.entries = 4,
	.voters = 3,
	.net = 3,
	.only = 3},
    {.name = "members",
	.help = "a joint change over a change of leaders",
	.budget = {[ACT_TIMEOUT] = 2, [ACT_CHANGE] = 2},
	.entries = 4,
	.voters = 2,
	.net = 4,
	.only = 3},
    {.name = "figure8",
	.help = "logs of three terms that differ, figure 8 of the paper",
	.budget = {[ACT_TIMEOUT] = 2},
	.entries = 1,
	.voters = 3,
	.net = 3,
	.only = 5,
	.start = {{1, 2}, {1}, {1, 3}}},
};

/* ---- messages: each different one is kept once and named by a number ---- */

struct letter {
	struct raft_msg m;
	uint8_t term[LOG_MAX + 1]; /* of the entries, by index */
	uint8_t config[LOG_MAX + 1];
};

static struct letter *letters;
static uint32_t letter_count, letter_cap;
static uint32_t *letter_slot;
static uint32_t letter_slots;

static void
mix(uint64_t *h, uint64_t v)
{
	*h = (*h ^ v) * UINT64_C(0x9fb21c651e98df25);
	*h ^= *h >> 29;
}

static void
mix_bytes(uint64_t *h, const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t v;

	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&v, p, 8);
		mix(h, v);
	}
	v = len;
	memcpy(&v, p, len);
	mix(h, v ^ (uint64_t)len << 56);
}

static void *
need(void *p)
{
	if (p == NULL)
		err(71, "cannot allocate");
	return p;
}

static void
letters_grow(void)
{
	uint32_t i, at;
	uint64_t h;

	letter_cap = letter_cap == 0 ? 1024 : letter_cap * 2;
	letters = need(reallocarray(letters, letter_cap, sizeof(*letters)));
	letter_slots = 4 * letter_cap;
	free(letter_slot);
	letter_slot = need(calloc(letter_slots, sizeof(*letter_slot)));
	for (i = 0; i < letter_count; i++) {
		h = 1;
		mix_bytes(&h, &letters[i], sizeof(letters[i]));
		for (at = (uint32_t)(h % letter_slots); letter_slot[at] != 0;
		     at = (at + 1) % letter_slots)
			;
		letter_slot[at] = i + 1;
	}
}

/* x is zeroed wherever nothing is said. */
static uint32_t
letter_number(const struct letter *x)
{
	uint64_t h = 1;
	uint32_t at;

	if (letter_count == letter_cap)
		letters_grow();
	mix_bytes(&h, x, sizeof(*x));
	for (at = (uint32_t)(h % letter_slots); letter_slot[at] != 0;
	     at = (at + 1) % letter_slots)
		if (memcmp(&letters[letter_slot[at] - 1], x, sizeof(*x)) == 0)
			return letter_slot[at] - 1;
	letters[letter_count] = *x;
	letter_slot[at] = ++letter_count;
	return letter_count - 1;
}

/* ---- the world --------------------------------------------------------- */

struct write {
	struct raft_hard hard;
	uint8_t first, last;
	uint8_t term[LOG_MAX + 1], config[LOG_MAX + 1];
	uint8_t wait_count;
	uint32_t wait[WAIT_MAX];
};

struct node {
	uint8_t last, term[LOG_MAX + 1], config[LOG_MAX + 1];
	uint8_t disk_last, disk_term[LOG_MAX + 1], disk_config[LOG_MAX + 1];
	struct raft_hard disk_hard;
	uint8_t commit, boots, read_floor, reads;
	uint8_t write_count;
	struct write write[WRITES_MAX];
};

struct world {
	struct node node[NODES];
	uint8_t net_count;
	uint32_t net[NET_MAX]; /* ascending: a set */
	uint8_t used[ACT_COUNT];
	uint8_t leader_of[TERMS];
	uint8_t committed, commit_term[LOG_MAX + 1], commit_when[LOG_MAX + 1];
};

struct choice {
	uint8_t act, node;
	uint32_t letter;
};

static const struct scope *scope;
static struct world w;
static struct raft *core[NODES];
static struct raft_run runs[NODES][512];
static struct raft_output out;
static struct raft_config configs[3];
static char broken[200];
/* What a core of three needs of struct raft: the rest of progress[] is not
 * touched. */
static const size_t core_len =
    offsetof(struct raft, progress) + NODES * sizeof(struct progress);

static struct choice path[DEPTH_MAX];
static unsigned depth, depth_max;
static uint64_t states, steps;

static void
fail(const char *what, unsigned id)
{
	if (broken[0] == '\0')
		(void)snprintf(
		    broken, sizeof(broken), "server %u: %s", id + 1, what);
}

/* ---- promises ---------------------------------------------------------- */

static bool
durable_majority(const struct raft_config *c, uint64_t index, uint8_t term)
{
	unsigned half, have, all;
	const struct node *n;
	uint32_t i;

	for (half = RAFT_VOTER_NEW; half <= RAFT_VOTER_OLD; half++) {
		have = all = 0;
		for (i = 0; i < c->count; i++) {
			if ((c->member[i].voter & half) == 0)
				continue;
			n = &w.node[c->member[i].id - 1];
			all++;
			have += n->disk_last >= index &&
				n->disk_term[index] == term;
		}
		if (all > 0 && have * 2 <= all)
			return false;
	}
	return true;
}

static void
check_matching(unsigned id)
{
	const struct node *a = &w.node[id], *b;
	unsigned k;
	uint8_t i, top;

	for (k = 0; k < NODES; k++) {
		b = &w.node[k];
		top = a->last < b->last ? a->last : b->last;
		while (top > 0 && a->term[top] != b->term[top])
			top--;
		for (i = 1; i < top; i++)
			if (a->term[i] != b->term[i])
				fail("logs match and differ before", id);
	}
}

static void
check_step(unsigned id)
{
	struct node *n = &w.node[id];
	const struct raft *r = core[id];
	const char *why = raft_check(r);
	uint64_t i;

	if (why != NULL)
		fail(why, id);
	if (r->trail.last != n->last)
		fail("host and core disagree about the log", id);
	check_matching(id);
	if (r->role == RAFT_LEADER && w.leader_of[r->hard.term] != id + 1) {
		if (w.leader_of[r->hard.term] != 0)
			fail("a second leader in its term", id);
		w.leader_of[r->hard.term] = (uint8_t)(id + 1);
		for (i = 1; i <= w.committed; i++)
			if (w.commit_when[i] < r->hard.term &&
			    (i > n->last || n->term[i] != w.commit_term[i]))
				fail("leads without a committed entry", id);
	}
	if (r->commit < n->commit)
		fail("commit fell", id);
	for (i = n->commit + 1u; i <= r->commit; i++) {
		if (i > n->last) {
			fail("committed beyond its log", id);
			return;
		}
		if (i <= w.committed) {
			if (n->term[i] != w.commit_term[i])
				fail("another entry is committed", id);
			continue;
		}
		w.commit_term[i] = n->term[i];
		w.commit_when[i] = (uint8_t)r->hard.term;
		w.committed = (uint8_t)i;
	}
	if (r->commit > n->commit && r->role == RAFT_LEADER &&
	    !durable_majority(config_now(r), r->commit, n->term[r->commit]))
		fail("committed without a durable majority", id);
	n->commit = (uint8_t)r->commit;
}

static void
check_sent(const struct raft_msg *m)
{
	unsigned id = (unsigned)m->from - 1;
	const struct node *n = &w.node[id];

	if (m->type == RAFT_VOTE_REPLY && m->u.vote_reply.granted &&
	    n->disk_hard.term <= m->term &&
	    (n->disk_hard.term < m->term || n->disk_hard.vote != m->to))
		fail("a vote left before it was durable", id);
	if (m->type == RAFT_APPEND_REPLY && m->u.append_reply.ok &&
	    (n->disk_last < m->u.append_reply.match ||
		n->disk_hard.term < m->term))
		fail("acknowledged before it was durable", id);
}

/* ---- carrying out ------------------------------------------------------ */

static void
post(uint32_t letter)
{
	unsigned i;

	check_sent(&letters[letter].m);
	for (i = 0; i < w.net_count; i++)
		if (w.net[i] >= letter)
			break;
	/* A set: the same message twice is the budget's business.  One too
	 * many is lost. */
	if ((i < w.net_count && w.net[i] == letter) ||
	    w.net_count >= scope->net)
		return;
	memmove(&w.net[i + 1], &w.net[i], (w.net_count - i) * sizeof(w.net[0]));
	w.net[i] = letter;
	w.net_count++;
}

static void
take_off(uint32_t letter)
{
	unsigned i;

	for (i = 0; i < w.net_count && w.net[i] != letter; i++)
		;
	memmove(
	    &w.net[i], &w.net[i + 1], (w.net_count - i - 1) * sizeof(w.net[0]));
	w.net_count--;
	w.net[w.net_count] = 0;
}

static void
send_msg(unsigned id, const struct raft_msg *m, const struct letter *entries)
{
	struct node *n = &w.node[id];
	static struct letter x;
	struct write *last;
	uint32_t number;

	if (m->to == 0 || m->to > NODES)
		return;
	memset(&x, 0, sizeof(x));
	if (entries != NULL)
		x = *entries;
	x.m.type = m->type;
	x.m.from = m->from;
	x.m.to = m->to;
	x.m.term = m->term;
	switch (m->type) {
	case RAFT_PREVOTE:
	case RAFT_VOTE:
		x.m.u.vote.term = m->u.vote.term;
		x.m.u.vote.last_index = m->u.vote.last_index;
		x.m.u.vote.last_term = m->u.vote.last_term;
		x.m.u.vote.transfer = m->u.vote.transfer;
		break;
	case RAFT_PREVOTE_REPLY:
	case RAFT_VOTE_REPLY:
		x.m.u.vote_reply.term = m->u.vote_reply.term;
		x.m.u.vote_reply.granted = m->u.vote_reply.granted;
		break;
	case RAFT_APPEND:
		break; /* filled already */
	case RAFT_APPEND_REPLY:
		x.m.u.append_reply.ok = m->u.append_reply.ok;
		x.m.u.append_reply.match = m->u.append_reply.match;
		x.m.u.append_reply.prev_index = m->u.append_reply.prev_index;
		x.m.u.append_reply.hint_index = m->u.append_reply.hint_index;
		x.m.u.append_reply.hint_term = m->u.append_reply.hint_term;
		x.m.u.append_reply.last = m->u.append_reply.last;
		x.m.u.append_reply.round = m->u.append_reply.round;
		break;
	case RAFT_HEARTBEAT:
		x.m.u.heartbeat.commit = m->u.heartbeat.commit;
		x.m.u.heartbeat.round = m->u.heartbeat.round;
		break;
	case RAFT_HEARTBEAT_REPLY:
		x.m.u.heartbeat_reply.round = m->u.heartbeat_reply.round;
		x.m.u.heartbeat_reply.last = m->u.heartbeat_reply.last;
		break;
	case RAFT_READ_INDEX:
	case RAFT_READ_INDEX_REPLY:
		x.m.u.read.boot = m->u.read.boot;
		x.m.u.read.id = m->u.read.id;
		x.m.u.read.index = m->u.read.index;
		x.m.u.read.ok = m->u.read.ok;
		break;
	default:
		break;
	}
	number = letter_number(&x);
	if (!m->wait || n->write_count == 0) {
		post(number);
		return;
	}
	last = &n->write[n->write_count - 1];
	if (last->wait_count < WAIT_MAX)
		last->wait[last->wait_count++] = number;
}

static void step(unsigned id, struct raft_event *ev, const struct letter *x);

static void
persist(unsigned id)
{
	struct raft_event ev = {.type = RAFT_EV_PERSISTED};
	struct node *n = &w.node[id];
	struct write b = n->write[0];
	unsigned i;

	memmove(&n->write[0], &n->write[1],
	    (n->write_count - 1u) * sizeof(n->write[0]));
	n->write_count--;
	memset(&n->write[n->write_count], 0, sizeof(n->write[0]));
	n->disk_hard = b.hard;
	for (i = b.first; i <= b.last; i++) {
		n->disk_term[i] = b.term[i];
		n->disk_config[i] = b.config[i];
	}
	if (b.last >= b.first) {
		n->disk_last = b.last;
		memset(&n->disk_term[b.last + 1], 0, LOG_MAX - b.last);
		memset(&n->disk_config[b.last + 1], 0, LOG_MAX - b.last);
		ev.u.persisted.index = b.last;
		ev.u.persisted.term = b.term[b.last];
	}
	ev.u.persisted.hard = b.hard;
	for (i = 0; i < b.wait_count; i++)
		post(b.wait[i]);
	step(id, &ev, NULL);
}

static void
write_out(unsigned id, const struct raft_event *ev, const struct letter *x)
{
	struct node *n = &w.node[id];
	struct write *b;
	uint64_t i;

	if (out.persist_last < out.persist_first && !out.hard_changed)
		return;
	if (out.persist_last > LOG_MAX)
		errx(70, "the log outgrows the scope");
	b = &n->write[n->write_count++];
	memset(b, 0, sizeof(*b));
	b->hard = out.hard;
	b->first = 1;
	if (out.persist_last < out.persist_first)
		return;
	b->first = (uint8_t)out.persist_first;
	b->last = (uint8_t)out.persist_last;
	for (i = b->first; i <= b->last; i++) {
		if (ev->type == RAFT_EV_MESSAGE && !out.noop) {
			b->term[i] = x->term[i];
			b->config[i] = x->config[i];
		} else {
			b->term[i] = (uint8_t)out.hard.term;
			if (ev->type == RAFT_EV_CHANGE)
				b->config[i] = ev->u.config.joint ? 1 : 2;
		}
		n->term[i] = b->term[i];
		n->config[i] = b->config[i];
	}
	n->last = b->last;
	memset(&n->term[n->last + 1], 0, LOG_MAX - n->last);
	memset(&n->config[n->last + 1], 0, LOG_MAX - n->last);
}

/* All that a leader may send, one message to each peer at a time. */
static void
pull(unsigned id)
{
	struct node *n = &w.node[id];
	static struct letter x;
	static struct raft_msg m;
	struct raft_want want;
	uint64_t i;
	uint32_t k;
	unsigned peer;

	for (peer = 1; peer <= NODES; peer++) {
		while (raft_append_wanted(
		    core[id], peer, core[id]->now, &want, &m)) {
			raft_appended(core[id], &m, want.last,
			    want.last + 1 - want.first);
			memset(&x, 0, sizeof(x));
			x.m.u.append.prev_index = m.u.append.prev_index;
			x.m.u.append.prev_term = m.u.append.prev_term;
			x.m.u.append.last = m.u.append.last;
			x.m.u.append.commit = m.u.append.commit;
			x.m.u.append.round = m.u.append.round;
			x.m.u.append.run_count = m.u.append.run_count;
			for (k = 0; k < m.u.append.run_count; k++)
				x.m.u.append.run[k] = m.u.append.run[k];
			for (i = want.first; i <= want.last; i++) {
				x.term[i] = n->term[i];
				x.config[i] = n->config[i];
				if (n->config[i] == 0)
					continue;
				k = x.m.u.append.config_count++;
				x.m.u.append.config_index[k] = i;
				x.m.u.append.config[k] = configs[n->config[i]];
			}
			send_msg(id, &m, &x);
		}
	}
}

static void
take_reads(unsigned id)
{
	struct node *n = &w.node[id];
	uint32_t i;

	for (i = 0; i < out.read_count; i++) {
		if (out.read[i].ok && out.read[i].id == n->reads &&
		    out.read[i].index < n->read_floor)
			fail("a read is older than it may be", id);
	}
}

/* Time is a choice: what is left of it is the same in every state. */
static void
normalise(struct raft *r)
{
	uint32_t i;

	r->now.ns = BASE_NS;
	r->random = 0;
	r->election_at.ns = BASE_NS + ELECTION_NS;
	r->retry_at.ns = BASE_NS + ELECTION_NS;
	r->leader_heard.ns = BASE_NS;
	r->lost_at.ns = BASE_NS;
	r->lost_tries = 0;
	r->beat_at.ns = BASE_NS + BEAT_NS;
	r->ask.at.ns = BASE_NS;
	for (i = 0; i < NODES; i++) {
		r->progress[i].heard.ns = BASE_NS;
		r->progress[i].sent.ns = BASE_NS;
		r->progress[i].append_at.ns = BASE_NS;
	}
}

static void
step(unsigned id, struct raft_event *ev, const struct letter *x)
{
	uint32_t i;

	steps++;
	if (w.node[id].write_count == WRITES_MAX)
		persist(id);
	ev->now = core[id]->now;
	raft_step(core[id], ev, &out);
	write_out(id, ev, x);
	take_reads(id);
	for (i = 0; i < out.msg_count; i++)
		send_msg(id, &out.msg[i], NULL);
	pull(id);
	normalise(core[id]);
	check_step(id);
	while (!scope->slow && w.node[id].write_count > 0 && broken[0] == '\0')
		persist(id);
}

/* Answers of a term that the asker has left are ignored for ever: a world
 * with them is the same as one without. */
static void
bury(void)
{
	const struct raft_msg *m;
	unsigned i;

	for (i = 0; i < w.net_count;) {
		m = &letters[w.net[i]].m;
		if ((m->type == RAFT_VOTE_REPLY ||
			m->type == RAFT_APPEND_REPLY ||
			m->type == RAFT_HEARTBEAT_REPLY ||
			m->type == RAFT_READ_INDEX_REPLY) &&
		    m->term < core[m->to - 1]->hard.term)
			take_off(w.net[i]);
		else
			i++;
	}
}

/* ---- start ------------------------------------------------------------- */

static void
boot(unsigned id)
{
	static struct raft_config config[LOG_MAX + 1];
	static uint64_t config_index[LOG_MAX + 1];
	struct raft_run run[LOG_MAX + 1];
	struct node *n = &w.node[id];
	struct raft_options o = {.id = id + 1,
	    .seed = 1,
	    .heartbeat = {BEAT_NS},
	    .election = {ELECTION_NS},
	    .inflight_bytes_max = 1000,
	    .uncommitted_bytes_max = 1000,
	    .append_entries_max = scope->entries,
	    .pre_vote = scope->pre_vote,
	    .check_quorum = scope->pre_vote};
	struct raft_boot b = {.first = 1,
	    .run = run,
	    .config = config,
	    .config_index = config_index,
	    .config_count = 1};
	uint64_t i;

	o.boot = ++n->boots;
	n->last = n->disk_last;
	memcpy(n->term, n->disk_term, sizeof(n->term));
	memcpy(n->config, n->disk_config, sizeof(n->config));
	n->commit = 0;
	n->write_count = 0;
	memset(n->write, 0, sizeof(n->write));
	config[0] = configs[0];
	config_index[0] = 0;
	for (i = 1; i <= n->last; i++) {
		if (i == 1 || n->term[i] != n->term[i - 1]) {
			run[b.run_count].first = i;
			run[b.run_count++].term = n->term[i];
		}
		if (n->config[i] != 0) {
			config[b.config_count] = configs[n->config[i]];
			config_index[b.config_count++] = i;
		}
	}
	b.last = n->last;
	b.hard = n->disk_hard;
	if (raft_init(core[id], &o, &b, runs[id], 512,
		(struct raft_time){BASE_NS}) < 0)
		errx(70, "a core does not start");
	normalise(core[id]);
	check_step(id);
}

/* configs[0] to begin with; 1: joint towards all three; 2: all three. */
static void
configs_init(void)
{
	uint32_t i;

	memset(configs, 0, sizeof(configs));
	configs[0].count = scope->voters;
	configs[1].count = configs[2].count = NODES;
	configs[1].joint = true;
	for (i = 0; i < NODES; i++) {
		configs[0].member[i].id = i + 1;
		configs[0].member[i].voter = RAFT_VOTER_NEW;
		configs[2].member[i] = configs[0].member[i];
		configs[1].member[i] = configs[0].member[i];
		if (i < scope->voters)
			configs[1].member[i].voter |= RAFT_VOTER_OLD;
	}
}

/* ---- choices ----------------------------------------------------------- */

static void
offer(struct choice *list, unsigned *n, enum act act, unsigned node,
    uint32_t letter)
{
	if (act != ACT_DELIVER && act != ACT_PERSIST &&
	    w.used[act] >= scope->budget[act])
		return;
	list[(*n)++] = (struct choice){(uint8_t)act, (uint8_t)node, letter};
}

static unsigned
choices(struct choice *list)
{
	unsigned n = 0, i;
	const struct raft *r;

	for (i = 0; i < w.net_count; i++) {
		offer(list, &n, ACT_DELIVER, 0, w.net[i]);
		offer(list, &n, ACT_REPEAT, 0, w.net[i]);
	}
	for (i = 0; i < NODES; i++) {
		r = core[i];
		if (w.node[i].write_count > 0)
			offer(list, &n, ACT_PERSIST, i, 0);
		offer(list, &n, ACT_CRASH, i, 0);
		if (r->role != RAFT_LEADER) {
			if (scope->only == 0 || (scope->only >> i & 1) != 0)
				offer(list, &n, ACT_TIMEOUT, i, 0);
			if (r->leader != RAFT_NONE)
				offer(list, &n, ACT_DOWN, i, 0);
		} else {
			offer(list, &n, ACT_PROPOSE, i, 0);
			offer(list, &n, ACT_BEAT, i, 0);
			if (config_now_index(r) <= r->commit &&
			    replicate_ready(r) &&
			    (config_now(r)->joint ||
				config_now(r)->count < NODES))
				offer(list, &n, ACT_CHANGE, i, 0);
		}
		if (r->role == RAFT_LEADER || r->leader != RAFT_NONE)
			offer(list, &n, ACT_READ, i, 0);
	}
	return n;
}

static void
carry_out(const struct choice *c)
{
	struct raft_event ev = {.type = RAFT_EV_TICK};
	static struct letter x;
	unsigned id = c->node;

	if (c->act != ACT_DELIVER && c->act != ACT_PERSIST)
		w.used[c->act]++;
	switch ((enum act)c->act) {
	case ACT_DELIVER:
	case ACT_REPEAT:
		/* A copy: the table moves when it grows. */
		x = letters[c->letter];
		if (c->act == ACT_DELIVER)
			take_off(c->letter);
		ev.type = RAFT_EV_MESSAGE;
		ev.u.msg = &x.m;
		step((unsigned)x.m.to - 1, &ev, &x);
		break;
	case ACT_PERSIST:
		persist(id);
		break;
	case ACT_TIMEOUT:
		core[id]->election_at = core[id]->now;
		step(id, &ev, NULL);
		break;
	case ACT_PROPOSE:
		ev.type = RAFT_EV_PROPOSE;
		ev.u.propose.count = 1;
		ev.u.propose.bytes = 1;
		step(id, &ev, NULL);
		break;
	case ACT_CRASH:
		boot(id);
		break;
	case ACT_DOWN:
		ev.type = RAFT_EV_PEER_DOWN;
		ev.u.peer.id = core[id]->leader;
		step(id, &ev, NULL);
		break;
	case ACT_BEAT:
		core[id]->now.ns += BEAT_NS;
		step(id, &ev, NULL);
		break;
	case ACT_READ:
		ev.type = RAFT_EV_READ;
		ev.u.read.id = ++w.node[id].reads;
		w.node[id].read_floor = w.committed;
		step(id, &ev, NULL);
		break;
	case ACT_CHANGE:
		ev.type = RAFT_EV_CHANGE;
		ev.u.config = configs[config_now(core[id])->joint ? 2 : 1];
		step(id, &ev, NULL);
		break;
	case ACT_COUNT:
		break;
	}
}

/* ---- the search -------------------------------------------------------- */

static uint64_t *seen;
static uint64_t seen_cap;

static uint64_t
world_hash(void)
{
	uint64_t h = 7;
	unsigned i;

	mix_bytes(&h, &w, sizeof(w));
	for (i = 0; i < NODES; i++)
		mix(&h, raft_hash(core[i]));
	return h == 0 ? 1 : h;
}

/* false: it was there already.  Two states of one hash would be taken for
 * one; with 64 bits that does not happen at these numbers. */
static bool
enter(uint64_t h)
{
	uint64_t at;

	for (at = h % seen_cap; seen[at] != 0; at = (at + 1) % seen_cap)
		if (seen[at] == h)
			return false;
	seen[at] = h;
	states++;
	return true;
}

struct level {
	struct world w;
	unsigned node; /* the one that the choice touched */
	void *core;
	struct raft_run run[64];
	struct choice list[NET_MAX * 2 + NODES * ACT_COUNT];
	unsigned count, next;
};

static struct level *levels[DEPTH_MAX];

static struct level *
level_at(unsigned d)
{
	if (d >= DEPTH_MAX)
		errx(70, "deeper than the explorer goes");
	if (levels[d] == NULL) {
		levels[d] = need(calloc(1, sizeof(*levels[d])));
		levels[d]->core = need(malloc(core_len));
	}
	return levels[d];
}

static void
save(struct level *l, unsigned node)
{
	l->w = w;
	l->node = node;
	memcpy(l->core, core[node], core_len);
	memcpy(l->run, runs[node], sizeof(l->run));
}

static void
restore(const struct level *l)
{
	w = l->w;
	memcpy(core[l->node], l->core, core_len);
	memcpy(runs[l->node], l->run, sizeof(l->run));
}

static unsigned
touched(const struct choice *c)
{
	if (c->act == ACT_DELIVER || c->act == ACT_REPEAT)
		return (unsigned)letters[c->letter].m.to - 1;
	return c->node;
}

static void
print_path(void)
{
	unsigned i;

	for (i = 0; i < depth; i++) {
		printf("  %3u %s ", i + 1, act_name[path[i].act]);
		if (path[i].act == ACT_DELIVER || path[i].act == ACT_REPEAT)
			cluster_print_msg(stdout, &letters[path[i].letter].m);
		else
			printf("%u", path[i].node + 1u);
		putchar('\n');
	}
}

/* true: everything was seen; false: the limit came first, or a fault. */
static bool
search(uint64_t limit)
{
	struct level *l = level_at(0);
	const struct choice *c;

	l->count = choices(l->list);
	l->next = 0;
	depth = 0;
	enter(world_hash());
	for (;;) {
		l = level_at(depth);
		if (l->next == l->count) {
			if (depth == 0)
				return true;
			restore(level_at(--depth));
			continue;
		}
		c = &l->list[l->next++];
		save(l, touched(c));
		path[depth++] = *c;
		carry_out(c);
		bury();
		if (broken[0] != '\0')
			return false;
		if (!enter(world_hash())) {
			restore(level_at(--depth));
			continue;
		}
		if (states >= limit)
			return false;
		if (depth > depth_max)
			depth_max = depth;
		l = level_at(depth);
		l->count = choices(l->list);
		l->next = 0;
	}
}

/* A log on disk, in term 3 if there is any. */
static void
begin(struct node *n, const uint8_t *term)
{
	for (; n->disk_last < 4 && term[n->disk_last] != 0; n->disk_last++)
		n->disk_term[n->disk_last + 1] = term[n->disk_last];
	if (n->disk_last > 0)
		n->disk_hard.term = 3;
}

static bool
explore(const struct scope *s, uint64_t limit)
{
	unsigned i;
	bool all;

	scope = s;
	configs_init();
	memset(&w, 0, sizeof(w));
	memset(seen, 0, seen_cap * sizeof(*seen));
	broken[0] = '\0';
	states = steps = 0;
	depth = depth_max = 0;
	letter_count = letter_cap = 0;
	free(letters);
	letters = NULL;
	letters_grow();
	for (i = 0; i < NODES; i++) {
		begin(&w.node[i], s->start[i]);
		boot(i);
	}
	all = search(limit);
	printf("%s%s: %s: %llu states, %llu steps, %u messages, depth %u%s\n",
	    broken[0] != '\0' ? "not ok " : "ok ", s->name, s->help,
	    (unsigned long long)states, (unsigned long long)steps, letter_count,
	    depth_max,
	    all			? ""
	    : broken[0] != '\0' ? ""
				: ", stopped at the limit");
	if (broken[0] != '\0') {
		printf("  %s\n", broken);
		print_path();
	}
	return broken[0] == '\0';
}

static bool
wanted(const struct scope *s, int argc, char *argv[])
{
	int i;

	for (i = 0; i < argc; i++)
		if (strcmp(argv[i], s->name) == 0)
			return true;
	return argc == 0;
}

int
main(int argc, char *argv[])
{
	const size_t n = sizeof(scopes) / sizeof(scopes[0]);
	uint64_t limit = 400000, megabytes = 64;
	unsigned passed = 0, failed = 0;
	size_t i;
	int ch;

	while ((ch = getopt(argc, argv, "l:m:")) != -1) {
		switch (ch) {
		case 'l':
			limit = strtoull(optarg, NULL, 10);
			break;
		case 'm':
			megabytes = strtoull(optarg, NULL, 10);
			break;
		default:
			errx(64, "usage: explore [-l states] [-m megabytes]"
				 " [scope ...]");
		}
	}
	seen_cap = (megabytes << 20) / sizeof(*seen);
	if (limit > seen_cap / 2)
		errx(64, "that many states need more memory");
	seen = need(calloc(seen_cap, sizeof(*seen)));
	for (i = 0; i < NODES; i++)
		core[i] = need(calloc(1, raft_sizeof()));
	for (i = 0; i < n; i++) {
		if (!wanted(&scopes[i], argc - optind, argv + optind))
			continue;
		if (explore(&scopes[i], limit))
			passed++;
		else
			failed++;
	}
	printf(
	    "1..%u\n%u passed, %u failed\n", passed + failed, passed, failed);
	return failed == 0 ? 0 : 1;
}
