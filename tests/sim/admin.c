/*
 * admin.c - whoever changes the members of the cluster.
 */
#include "tests/sim/admin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "raftctl/frame.h"
#include "raftctl/wire.h"
#include "tests/sim/check.h"
#include "tests/sim/server.h"

enum action {
	ACT_ADD,
	ACT_PROMOTE,
	ACT_DEMOTE,
	ACT_REMOVE,
	ACT_REPLACE,
	ACT_SET,
	ACT_TRANSFER,
	ACT_COUNT,
};

struct admin {
	struct prng prng;
	bool stopped;
	uint32_t msgid;
	uint32_t epoch; /* of its connection */
	bool open;
	uint64_t until;
	enum action action;
	uint64_t id; /* whom the open request is about, 0 several */
	struct mp_buf buf;
};

/* What the committed configuration offers. */
struct view {
	uint64_t voter[SIM_SERVERS_MAX], learner[SIM_SERVERS_MAX];
	unsigned voters, learners;
	struct server *spare; /* may be added; NULL none */
};

void
admin_init(struct sim *sim)
{
	struct admin *o = sim_must(calloc(1, sizeof(*o)));

	sim->admin = o;
	prng_init(&o->prng, sim->options.seed, PRNG_OPERATOR);
	mp_buf_init(&o->buf);
	if (sim->conf.operator_ms > 0)
		sim_at(sim, SIM_S, EV_OPERATOR, 0, 0, 0);
}

void
admin_free(struct admin *o)
{
	if (o == NULL)
		return;
	mp_buf_release(&o->buf);
	free(o);
}

void
admin_stop(struct sim *sim)
{
	sim->admin->stopped = true;
}

static void
look_around(struct sim *sim, struct view *v)
{
	const struct raft_config *c = check_config(sim, 0);

	*v = (struct view){.spare = NULL};
	for (uint32_t i = 0; i < c->count; i++) {
		if (c->member[i].voter & RAFT_VOTER_NEW)
			v->voter[v->voters++] = c->member[i].id;
		else
			v->learner[v->learners++] = c->member[i].id;
	}
	/* Who was a member can never be one again. */
	for (unsigned i = 0; i < sim->server_count && v->spare == NULL; i++) {
		struct server *s = sim->server[i];

		if (!check_was_member(sim, i) && !s->removed &&
		    s->state != SERVER_GONE && s->state != SERVER_HALTED)
			v->spare = s;
	}
}

static uint64_t
any_of(struct prng *p, const uint64_t *ids, unsigned count)
{
	return count > 0 ? ids[prng_below(p, count)] : 0;
}

/* A cluster of two or three shall rather grow. */
static enum action
choose(struct prng *p, const struct view *v)
{
	const unsigned less = v->voters > 3 ? 6 : v->voters > 1 ? 2 : 0;
	const unsigned weight[ACT_COUNT] = {
	    [ACT_ADD] = v->spare != NULL && v->voters < 7 ? 12 : 0,
	    [ACT_PROMOTE] = v->learners > 0 ? 6 : 0,
	    [ACT_DEMOTE] = less / 2,
	    [ACT_REMOVE] = less + (v->learners > 0 ? 2 : 0),
	    [ACT_REPLACE] = v->learners > 0 ? 4 : 0,
	    [ACT_SET] = v->voters + v->learners > 2 ? 2 : 0,
	    [ACT_TRANSFER] = 6,
	};
	uint64_t sum = 0, x;

	for (int a = 0; a < ACT_COUNT; a++)
		sum += weight[a];
	x = prng_below(p, sum);
	for (int a = 0; a < ACT_COUNT; a++) {
		if (x < weight[a])
			return (enum action)a;
		x -= weight[a];
	}
	return ACT_TRANSFER;
}

/* ids: those who vote from now on, ascending as in the configuration. */
static void
put_set(struct prng *p, struct mp_buf *b, const struct view *v)
{
	bool in[SIM_SERVERS_MAX];
	uint32_t n = 0;

	for (unsigned i = 0; i < v->voters; i++)
		n += in[i] = prng_ppm(p, 800000);
	if (n == 0)
		n += in[0] = true;
	mp_put_map(b, 3);
	mp_put_kv_str(b, "op", "set");
	mp_put_str(b, "ids");
	mp_put_array(b, n);
	for (unsigned i = 0; i < v->voters; i++)
		if (in[i])
			mp_put_u64(b, v->voter[i]);
	mp_put_str(b, "learners");
	mp_put_array(b, v->learners);
	for (unsigned i = 0; i < v->learners; i++)
		mp_put_u64(b, v->learner[i]);
}

static void
put_add(struct prng *p, struct mp_buf *b, const struct server *s)
{
	char address[32];

	snprintf(address, sizeof(address), "peer%u:1", s->number + 1);
	mp_put_map(b, 4);
	mp_put_kv_str(b, "op", "add");
	mp_put_kv_u64(b, "id", s->id);
	mp_put_kv_str(b, "address", address);
	mp_put_kv_bool(b, "learner", prng_ppm(p, 300000));
}

static void
put_one(struct mp_buf *b, const char *op, uint64_t id, uint64_t with)
{
	mp_put_map(b, with != 0 ? 3 : 2);
	mp_put_kv_str(b, "op", op);
	mp_put_kv_u64(b, "id", id);
	if (with != 0)
		mp_put_kv_u64(b, "with", with);
}

static void
encode(struct admin *o, const struct view *v)
{
	struct prng *p = &o->prng;
	struct mp_buf *b = &o->buf;
	uint64_t voter = any_of(p, v->voter, v->voters);
	uint64_t learner = any_of(p, v->learner, v->learners);
	bool of_learners = v->learners > 0 && prng_ppm(p, 300000);

	mp_buf_reset(b);
	frame_put_request(b, ++o->msgid,
	    o->action == ACT_TRANSFER ? "transfer" : "member.change");
	mp_put_array(
	    b, o->action == ACT_TRANSFER && prng_ppm(p, 300000) ? 0 : 1);
	o->id = o->action == ACT_PROMOTE ? learner : voter;
	switch (o->action) {
	case ACT_ADD:
		o->id = v->spare->id;
		put_add(p, b, v->spare);
		break;
	case ACT_PROMOTE:
		put_one(b, "promote", learner, 0);
		break;
	case ACT_DEMOTE:
		put_one(b, "demote", voter, 0);
		break;
	case ACT_REMOVE:
		o->id = of_learners || v->voters < 2 ? learner : voter;
		put_one(b, "remove", o->id, 0);
		break;
	case ACT_REPLACE:
		put_one(b, "replace", voter, learner);
		break;
	case ACT_SET:
		o->id = 0;
		put_set(p, b, v);
		break;
	default:
		if (b->data[b->len - 1] != 0x90)
			mp_put_u64(b, voter);
		break;
	}
}

/* One that runs, so that the request is not lost on the way. */
static struct server *
whom_to_ask(struct sim *sim)
{
	unsigned n = sim->server_count;
	unsigned first = (unsigned)prng_below(&sim->admin->prng, n);

	for (unsigned i = 0; i < n; i++) {
		struct server *s = sim->server[(first + i) % n];

		if (server_up(s) && s->paused_until == 0 && !s->stopping &&
		    check_was_member(sim, s->number))
			return s;
	}
	return NULL;
}

static void
ask(struct sim *sim)
{
	static const char *const names[ACT_COUNT] = {
	    "add", "promote", "demote", "remove", "replace", "set", "transfer"};
	struct admin *o = sim->admin;
	struct server *s = whom_to_ask(sim);
	struct frame frame;
	struct view v;

	if (s == NULL)
		return;
	look_around(sim, &v);
	o->action = choose(&o->prng, &v);
	encode(o, &v);
	if (o->action == ACT_ADD && v.spare->starts == 0)
		server_start(v.spare);
	sim_say(sim, "operator: %s %" PRIu64 " at s%u", names[o->action], o->id,
	    s->number + 1);
	mark(MARK_CHANGE_ASKED);
	if (o->buf.failed || frame_parse(o->buf.data, o->buf.len, &frame) < 0)
		abort();
	o->open = true;
	o->until = sim->now + 2 * sim->conf.request_timeout_ms * SIM_MS;
	host_client_request(
	    s->host, ((uint64_t)o->epoch << 8) | (OPERATOR + 1), &frame, true);
	server_wake(s);
}

void
admin_event(struct sim *sim, const struct event *ev)
{
	struct admin *o = sim->admin;

	(void)ev;
	if (o->stopped)
		return;
	sim_at(sim, prng_exp(&o->prng, sim->conf.operator_ms * SIM_MS) + SIM_MS,
	    EV_OPERATOR, 0, 0, 0);
	if (o->open && sim->now < o->until)
		return;
	if (o->open) {
		mark(MARK_CHANGE_UNKNOWN);
		o->epoch++;
		o->open = false;
	}
	ask(sim);
}

/* What was done stands in the committed configuration. */
static void
judge_done(struct sim *sim)
{
	const struct admin *o = sim->admin;
	const struct raft_config *c = check_config(sim, 0);
	bool is_member = config_has(c, o->id);

	mark(MARK_CHANGE_DONE);
	/* Nobody else changes anything, but a learner may be promoted. */
	if ((o->action == ACT_ADD || o->action == ACT_PROMOTE ||
		o->action == ACT_DEMOTE) &&
	    !is_member)
		sim_fail(sim,
		    "the operator is told that %" PRIu64
		    " is a member, committed is that it is none",
		    o->id);
	if ((o->action == ACT_REMOVE || o->action == ACT_REPLACE) && is_member)
		sim_fail(sim,
		    "the operator is told that %" PRIu64
		    " was removed, committed is that it is a member",
		    o->id);
}

void
admin_answer(struct sim *sim, const uint8_t *data, size_t len)
{
	struct admin *o = sim->admin;
	struct frame frame;
	struct wire_error e;
	struct mp_cur cur;

	if (frame_parse(data, len, &frame) < 0 ||
	    frame.type != FRAME_RESPONSE) {
		sim_fail(sim, "the operator gets what is no response");
		return;
	}
	if (!o->open || frame.msgid != o->msgid)
		return; /* of a request that was given up */
	o->open = false;
	cur = mp_cur_span(frame.error);
	if (mp_peek(&cur) == MP_NIL) {
		sim_say(sim, "operator: done");
		judge_done(sim);
		return;
	}
	wire_read_error(frame.error, &e);
	sim_say(sim, "operator: %s: %s", wire_status_info(e.status)->name,
	    e.message);
	if (e.status == WIRE_USAGE || e.status == WIRE_BUG)
		sim_fail(sim, "a change of members is answered %s: %s",
		    wire_status_info(e.status)->name, e.message);
	mark(e.status == WIRE_UNKNOWN ? MARK_CHANGE_UNKNOWN
				      : MARK_CHANGE_REFUSED);
}
