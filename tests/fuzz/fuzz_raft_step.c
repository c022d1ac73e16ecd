/*
 * fuzz_raft_step.c - the core under arbitrary events.
 *
 * The input chooses how the core starts and then one event after another.
 * Numbers are mostly near those that the core has, so that messages fit often
 * enough to go deep; some are anything at all.  Whatever comes, no assertion
 * trips, every invariant holds after each step, and what an output promises
 * never goes back.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/core/raft.h"

#define STEPS_MAX 400
#define RUNS_CAP 4096

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

struct input {
	const uint8_t *p;
	size_t len;
};

static struct raft *raft;
static struct raft_run runs[RUNS_CAP];
static struct raft_output out;
static struct raft_msg msg;

static uint8_t
byte(struct input *in)
{
	if (in->len == 0)
		return 0;
	in->len--;
	return *in->p++;
}

static uint64_t
wide(struct input *in)
{
	uint64_t v = 0;
	int i;

	for (i = 0; i < 8; i++)
		v = v << 8 | byte(in);
	return v;
}

/* Near base, or anything. */
static uint64_t
near(struct input *in, uint64_t base)
{
	uint8_t b = byte(in);

	if (b >= 250)
		return wide(in);
	if (b >= 240)
		return b - 240;
	return base + b % 16 - (base >= 8 ? 8 : base);
}

static uint64_t
server(struct input *in)
{
	uint8_t b = byte(in);

	return b >= 240 ? near(in, 0) : 1 + b % 6;
}

static void
get_config(struct input *in, struct raft_config *c)
{
	uint32_t i;
	uint8_t b = byte(in);

	memset(c, 0, sizeof(*c));
	c->count = b >= 250 ? b : b % 7;
	for (i = 0; i < c->count && i < RAFT_MEMBERS_MAX; i++) {
		b = byte(in);
		c->member[i].id = b >= 250 ? wide(in) : i + 1;
		c->member[i].voter = b >= 240 ? b : b & 3;
		c->joint =
		    c->joint || (c->member[i].voter & RAFT_VOTER_OLD) != 0;
	}
	if (byte(in) >= 250)
		c->joint = !c->joint;
}

static void
get_append(struct input *in, const struct raft_status *s)
{
	uint64_t at, term;
	uint32_t i;
	uint8_t b;

	at = near(in, s->last);
	msg.u.append.prev_index = at;
	term = raft_term_at(raft, at);
	msg.u.append.prev_term = byte(in) < 200 ? term : near(in, term);
	b = byte(in);
	msg.u.append.run_count = b >= 250 ? b : b % 4;
	for (i = 0; i < msg.u.append.run_count && i < RAFT_RUNS_MAX; i++) {
		term += byte(in) % 3 + (term == 0 || i > 0);
		msg.u.append.run[i].first = byte(in) >= 245 ? wide(in) : at + 1;
		msg.u.append.run[i].term = byte(in) >= 245 ? wide(in) : term;
		at += 1 + byte(in) % 5;
	}
	msg.u.append.last = byte(in) >= 245 ? wide(in) : at;
	msg.u.append.commit = near(in, s->commit);
	msg.u.append.round = byte(in) % 2;
	msg.u.append.bytes = byte(in);
	b = byte(in);
	msg.u.append.config_count = b >= 250 ? b : b % 8 == 0;
	for (i = 0;
	     i < msg.u.append.config_count && i < RAFT_APPEND_CONFIGS_MAX;
	     i++) {
		msg.u.append.config_index[i] = near(in, at);
		get_config(in, &msg.u.append.config[i]);
	}
}

static void
get_message(struct input *in, const struct raft_status *s)
{
	/* Whatever a type does not fill is garbage, as in a reused buffer. */
	memset(&msg, 0x5a, sizeof(msg));
	msg.wait = false;
	msg.type = (enum raft_msg_type)(byte(in) % (RAFT_MSG_TYPE_COUNT + 2));
	msg.from = server(in);
	msg.to = byte(in) >= 250 ? wide(in) : s->id;
	msg.term = byte(in) < 180 ? s->hard.term : near(in, s->hard.term);
	switch (msg.type) {
	case RAFT_PREVOTE:
	case RAFT_VOTE:
		msg.u.vote.term = byte(in) < 220
				      ? msg.term + (msg.type == RAFT_PREVOTE)
				      : near(in, msg.term);
		msg.u.vote.last_index = near(in, s->last);
		msg.u.vote.last_term = near(in, s->last_term);
		msg.u.vote.transfer = byte(in) % 2 != 0;
		break;
	case RAFT_PREVOTE_REPLY:
	case RAFT_VOTE_REPLY:
		msg.u.vote_reply.term = near(in, s->hard.term);
		msg.u.vote_reply.granted = byte(in) % 4 != 0;
		break;
	case RAFT_APPEND:
		get_append(in, s);
		break;
	case RAFT_APPEND_REPLY:
		msg.u.append_reply.ok = byte(in) % 4 != 0;
		msg.u.append_reply.match = near(in, s->last);
		msg.u.append_reply.prev_index = near(in, s->last);
		msg.u.append_reply.hint_index = near(in, s->last);
		msg.u.append_reply.hint_term = near(in, s->last_term);
		msg.u.append_reply.last = near(in, s->last);
		msg.u.append_reply.round = near(in, UINT64_C(1) << 40);
		msg.u.append_reply.promise_ns = msg.u.append_reply.round % 5;
		break;
	case RAFT_HEARTBEAT:
		msg.u.heartbeat.commit = near(in, s->commit);
		msg.u.heartbeat.round = byte(in);
		break;
	case RAFT_HEARTBEAT_REPLY:
		msg.u.heartbeat_reply.round = near(in, UINT64_C(1) << 40);
		msg.u.heartbeat_reply.last = near(in, s->last);
		msg.u.heartbeat_reply.promise_ns =
		    msg.u.heartbeat_reply.round % 5;
		break;
	case RAFT_READ_INDEX:
	case RAFT_READ_INDEX_REPLY:
		msg.u.read.boot = 1 + byte(in) / 128;
		msg.u.read.id = byte(in) % 16;
		msg.u.read.index = near(in, s->commit);
		msg.u.read.ok = byte(in) % 2 != 0;
		break;
	case RAFT_SNAPSHOT:
		msg.u.snapshot.index = near(in, s->commit);
		msg.u.snapshot.log_term = near(in, s->last_term);
		break;
	case RAFT_SNAPSHOT_REPLY:
		msg.u.snapshot_reply.ok = byte(in) % 2 != 0;
		msg.u.snapshot_reply.index = near(in, s->commit);
		break;
	case RAFT_TIMEOUT_NOW:
	case RAFT_MSG_TYPE_COUNT:
	default:
		break;
	}
}

static void
get_event(struct input *in, struct raft_event *ev, const struct raft_status *s)
{
	uint8_t b = byte(in);

	/* Half of all events are messages. */
	ev->type = b < 128
		       ? RAFT_EV_MESSAGE
		       : (enum raft_event_type)(b % (RAFT_EV_TYPE_COUNT + 1));
	switch (ev->type) {
	case RAFT_EV_MESSAGE:
		get_message(in, s);
		ev->u.msg = &msg;
		break;
	case RAFT_EV_PROPOSE:
		b = byte(in);
		ev->u.propose.count = b >= 250 ? UINT32_MAX : b % 5;
		ev->u.propose.bytes = near(in, 100);
		break;
	case RAFT_EV_READ:
		ev->u.read.id = byte(in);
		break;
	case RAFT_EV_PERSISTED:
		ev->u.persisted.index = near(in, s->last);
		ev->u.persisted.term =
		    byte(in) < 220 ? raft_term_at(raft, ev->u.persisted.index)
				   : near(in, s->last_term);
		ev->u.persisted.hard = s->hard;
		if (byte(in) >= 200) {
			ev->u.persisted.hard.term = near(in, s->hard.term);
			ev->u.persisted.hard.vote = server(in);
		}
		break;
	case RAFT_EV_APPLIED:
		ev->u.applied.index = near(in, s->commit);
		break;
	case RAFT_EV_PEER_DOWN:
	case RAFT_EV_PEER_UP:
	case RAFT_EV_DISTRUST:
	case RAFT_EV_TRUST:
	case RAFT_EV_TRANSFER:
	case RAFT_EV_STEP_DOWN:
		ev->u.peer.id = server(in);
		break;
	case RAFT_EV_CHANGE:
		get_config(in, &ev->u.config);
		break;
	case RAFT_EV_SNAPSHOT_SAVED:
	case RAFT_EV_SNAPSHOT_RECEIVED:
		ev->u.snapshot.index = near(in, s->commit);
		ev->u.snapshot.term =
		    byte(in) < 100 ? raft_term_at(raft, ev->u.snapshot.index)
				   : near(in, s->last_term);
		ev->u.snapshot.config_index = near(in, s->config_index);
		get_config(in, &ev->u.snapshot.config);
		break;
	case RAFT_EV_TICK:
	case RAFT_EV_TYPE_COUNT:
	default:
		break;
	}
}

static void
invariants(void)
{
	const char *why = raft_check(raft);

	if (why == NULL)
		return;
	fprintf(stderr, "%s\n", why);
	abort();
}

static void
check(const struct raft_status *a, const struct raft_status *b,
    enum raft_event_type type)
{
	uint32_t i;

	invariants();
	assert(b->hard.term >= a->hard.term);
	assert(b->hard.term > a->hard.term || a->hard.vote == RAFT_NONE ||
	       b->hard.vote == a->hard.vote);
	assert(b->commit >= a->commit && b->applied >= a->applied);
	assert(out.hard_changed ==
	       (a->hard.term != b->hard.term || a->hard.vote != b->hard.vote));
	/* A snapshot that takes the place of the log is durable already. */
	assert(b->last == a->last || out.persist_last >= out.persist_first ||
	       type == RAFT_EV_SNAPSHOT_RECEIVED);
	assert(out.msg_count <= RAFT_MSGS_MAX);
	assert(out.read_count <= RAFT_READS_MAX);
	if (out.persist_last >= out.persist_first) {
		assert(out.persist_last == b->last);
		assert(out.persist_first > a->commit);
		assert(out.persist_first <= a->last + 1);
		/* What is already durable is handed over again only where it
		 * was replaced. */
		assert(b->durable < out.persist_first);
	}
	for (i = 0; i < out.msg_count; i++) {
		assert(out.msg[i].from == b->id && out.msg[i].to != b->id);
		assert(out.msg[i].term <= b->hard.term);
	}
}

static void
pull(struct input *in, struct raft_time now)
{
	struct raft_want w;
	uint64_t peer, last;
	uint8_t b;

	for (peer = 1; peer <= 6; peer++) {
		if (!raft_append_wanted(raft, peer, now, &w, &msg))
			continue;
		assert(w.first >= 1 && w.last + 1 >= w.first);
		b = byte(in);
		if (b >= 200)
			continue;
		last = w.last >= w.first ? w.first + b % (w.last - w.first + 1)
					 : w.last;
		raft_appended(
		    raft, &msg, last, (uint64_t)b % 7 * (last + 1 - w.first));
		invariants();
	}
}

static bool
start(struct input *in)
{
	static struct raft_config config[3];
	static uint64_t config_index[3];
	static struct raft_run run[8];
	struct raft_options o = {.boot = 1, .heartbeat = {10}};
	struct raft_boot b = {.config = config, .config_index = config_index};
	uint32_t i;

	o.id = 1 + byte(in) % 6;
	o.seed = byte(in);
	o.election.ns = 11 + byte(in);
	o.inflight_bytes_max = 1 + byte(in);
	o.uncommitted_bytes_max = 1 + byte(in);
	o.append_entries_max = 1 + byte(in) % 8;
	o.pre_vote = byte(in) % 4 != 0;
	o.check_quorum = byte(in) % 4 != 0;
	b.first = 1 + byte(in) % 3;
	b.prev_term = b.first > 1;
	b.last = b.first - 1;
	b.run_count = byte(in) % 6;
	for (i = 0; i < b.run_count; i++) {
		run[i].first = b.last + 1;
		run[i].term = 1 + 2 * i;
		b.last += 1 + byte(in) % 4;
	}
	b.run = run;
	b.commit = near(in, b.last);
	b.hard.term = 12 + byte(in) % 8;
	b.hard.vote = byte(in) % 7;
	b.config_count = byte(in) % 4;
	for (i = 0; i < b.config_count; i++) {
		config_index[i] = near(in, 3 * i);
		get_config(in, &config[i]);
	}
	b.damaged = byte(in) >= 240;
	if (raft == NULL)
		raft = malloc(raft_sizeof());
	return raft_init(raft, &o, &b, runs, RUNS_CAP,
		   (struct raft_time){UINT64_MAX - 500}) == 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	struct raft_time now = {UINT64_MAX - 500};
	struct raft_status before, after;
	struct raft_event ev;
	unsigned n;

	if (!start(&in))
		return 0;
	invariants();
	for (n = 0; n < STEPS_MAX && in.len > 0; n++) {
		memset(&ev, 0x5a, sizeof(ev));
		raft_status(raft, &before);
		get_event(&in, &ev, &before);
		now.ns += byte(&in) / 4;
		ev.now = now;
		raft_step(raft, &ev, &out);
		raft_status(raft, &after);
		check(&before, &after, ev.type);
		pull(&in, now);
	}
	return 0;
}
