/*
 * client.c - clients and what they did.
 */
#include "tests/sim/client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/frame.h"
#include "raftctl/wire.h"
#include "tests/sim/admin.h"
#include "tests/sim/check.h"
#include "tests/sim/server.h"

#define SERVERLESS UINT32_MAX
#define PAUSED_WAIT_MS 5
#define TRIES_MAX 20

struct client {
	unsigned server; /* connected to, SERVERLESS none */
	uint32_t epoch;	 /* of the connection */
	uint64_t op;	 /* open one, 0 none */
	uint64_t seq;	 /* of the latest write in its session */
	bool again;	 /* the open one is to be sent once more */
	bool delivered;	 /* its request has reached the server */
	uint32_t life;	 /* of that server */
	uint32_t token;	 /* of the next operation */
	bool timed;	 /* a timer is set, for this operation or before it */
};

/* A request or an answer on its way. */
struct packet {
	unsigned client, server;
	uint32_t epoch;
	uint64_t op;
	uint8_t *data;
	size_t len;
};

struct clients {
	struct prng prng;
	struct client client[SIM_CLIENTS_MAX];
	bool stopped;
	uint32_t servers; /* allowed */
	struct op **chunk;
	size_t op_count, chunk_count;
	struct packet *packet;
	uint32_t *free_packet;
	uint32_t packet_count, free_count;
	struct mp_buf buf;
};

#define OPS_PER_CHUNK 4096

/* ---- operations --------------------------------------------------------- */

struct op *
clients_op(struct sim *sim, uint64_t id)
{
	struct clients *c = sim->clients;

	if (id == 0 || id > c->op_count)
		return NULL;
	return &c->chunk[(id - 1) / OPS_PER_CHUNK][(id - 1) % OPS_PER_CHUNK];
}

uint64_t
clients_op_count(const struct sim *sim)
{
	return sim->clients->op_count;
}

static struct op *
op_new(struct sim *sim)
{
	struct clients *c = sim->clients;

	if (c->op_count == c->chunk_count * OPS_PER_CHUNK) {
		c->chunk = sim_must(realloc(
		    c->chunk, (c->chunk_count + 1) * sizeof(c->chunk[0])));
		c->chunk[c->chunk_count++] =
		    sim_must(calloc(OPS_PER_CHUNK, sizeof(struct op)));
	}
	c->op_count++;
	clients_op(sim, c->op_count)->id = c->op_count;
	return clients_op(sim, c->op_count);
}

size_t
clients_key(unsigned key, char buf[32])
{
	return (size_t)snprintf(buf, 32, "k%u", key);
}

/* "o17." and padding: the value that operation 17 writes. */
static void
put_value(struct sim *sim, struct mp_buf *b, uint64_t id)
{
	uint64_t max = sim->conf.value_max;
	size_t pad = max > 24 ? id * 2654435761u % (max - 24) : 0;
	char head[32];
	int n = snprintf(head, sizeof(head), "o%" PRIu64 ".", id);
	uint8_t *dst;

	if (pad > 64 && id % 8 != 0)
		pad %= 64;
	dst = sim_must(malloc((size_t)n + pad));
	memcpy(dst, head, (size_t)n);
	memset(dst + n, 'x', pad);
	mp_put_bin(b, dst, (size_t)n + pad);
	free(dst);
}

/* Of how many pairs the session's part of the options is. */
#define SESSION_PAIRS 3

static void
put_session(struct mp_buf *b, const struct op *op)
{
	char name[16];

	snprintf(name, sizeof(name), "c%u", op->client);
	mp_put_kv_str(b, "session", name);
	mp_put_kv_u64(b, "seq", op->seq);
	mp_put_kv_u64(b, "ack", op->seq); /* one at a time */
}

/* The request's frame. */
static void
encode(struct sim *sim, const struct op *op, struct mp_buf *b)
{
	static const char *const method[OP_KIND_COUNT] = {
	    "put", "get", "put", "put", "delete"};
	char key[32], name[40];
	size_t len = clients_key(op->key, key);
	uint32_t session = op->seq > 0 ? SESSION_PAIRS : 0;
	bool cond = op->kind == OP_APPEND || op->kind == OP_CAS;

	mp_buf_reset(b);
	frame_put_request(b, (uint32_t)op->id, method[op->kind]);
	switch (op->kind) {
	case OP_GET:
		mp_put_array(b, 2);
		mp_put_bin(b, key, len);
		mp_put_map(b, 1);
		/* Without a draw, so that no other one moves. */
		mp_put_kv_str(b, "read",
		    op->id * 7919 % 1000003 < sim->conf.lease_ppm
			? "lease"
			: "linearizable");
		break;
	case OP_DELETE:
		/* The second key never exists: it names the operation. */
		mp_put_array(b, session > 0 ? 2 : 1);
		mp_put_array(b, 2);
		mp_put_bin(b, key, len);
		snprintf(name, sizeof(name), "~o%" PRIu64 ".", op->id);
		mp_put_bin(b, name, strlen(name));
		if (session > 0)
			mp_put_map(b, session);
		break;
	default:
		mp_put_array(b, cond || session > 0 ? 3 : 2);
		mp_put_bin(b, key, len);
		put_value(sim, b, op->id);
		if (cond || session > 0)
			mp_put_map(b, cond + session);
		if (op->kind == OP_APPEND) {
			mp_put_kv_bool(b, "append", true);
		} else if (op->kind == OP_CAS) {
			if (op->expect == 0) {
				mp_put_kv_bool(b, "if_absent", true);
			} else {
				mp_put_str(b, "if_value");
				put_value(sim, b, op->expect);
			}
		}
		break;
	}
	if (session > 0)
		put_session(b, op);
	if (b->failed)
		abort();
}

/* ---- life --------------------------------------------------------------- */

void
clients_init(struct sim *sim)
{
	struct clients *c = sim_must(calloc(1, sizeof(*c)));

	prng_init(&c->prng, sim->options.seed, PRNG_CLIENT);
	mp_buf_init(&c->buf);
	c->servers = UINT32_MAX;
	for (unsigned i = 0; i < SIM_CLIENTS_MAX; i++)
		c->client[i].server = SERVERLESS;
	sim->clients = c;
	for (unsigned i = 0; i < sim->conf.clients; i++)
		sim_at(sim, prng_below(&c->prng, SIM_S), EV_CLIENT, i, 0, 0);
}

void
clients_free(struct clients *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->chunk_count; i++)
		free(c->chunk[i]);
	free(c->chunk);
	for (uint32_t i = 0; i < c->packet_count; i++)
		free(c->packet[i].data);
	free(c->packet);
	free(c->free_packet);
	mp_buf_release(&c->buf);
	free(c);
}

static uint32_t
packet_new(struct clients *c, struct packet p)
{
	uint32_t i;

	if (c->free_count > 0) {
		i = c->free_packet[--c->free_count];
	} else {
		if (c->packet_count % 256 == 0) {
			size_t cap = c->packet_count + 256;

			c->packet = sim_must(
			    realloc(c->packet, cap * sizeof(*c->packet)));
			c->free_packet = sim_must(realloc(
			    c->free_packet, cap * sizeof(*c->free_packet)));
		}
		i = c->packet_count++;
	}
	c->packet[i] = p;
	return i;
}

static struct packet
packet_take(struct clients *c, uint64_t i)
{
	struct packet p = c->packet[i];

	c->packet[i].data = NULL;
	c->free_packet[c->free_count++] = (uint32_t)i;
	return p;
}

static uint64_t
delay(struct sim *sim)
{
	return sim->conf.delay_floor_us * SIM_US +
	       prng_exp(&sim->clients->prng, sim->conf.delay_us * SIM_US) + 1;
}

/* What a host knows a connection by. */
static uint64_t
connection(unsigned client, uint32_t epoch)
{
	return ((uint64_t)epoch << 8) + client + 1;
}

static void
next_in(struct sim *sim, unsigned i, uint64_t wait)
{
	struct client *c = &sim->clients->client[i];

	c->token++;
	sim_at(sim, wait, EV_CLIENT, i, 0, c->token);
}

static void
finish(struct sim *sim, unsigned i, enum op_outcome outcome)
{
	struct client *c = &sim->clients->client[i];
	struct op *op = clients_op(sim, c->op);

	/* Only a session may ask again; what it asked for may have happened
	 * at any of its attempts. */
	op->maybe |= outcome == OUTCOME_UNKNOWN;
	if (op->seq > 0 && outcome != OUTCOME_DONE && op->tries < TRIES_MAX) {
		mark(MARK_SESSION_AGAIN);
		c->again = true;
		c->delivered = false;
		next_in(sim, i,
		    prng_exp(&sim->clients->prng,
			sim->conf.election_us * SIM_US / 4));
		return;
	}
	if (op->maybe && outcome == OUTCOME_NOT_APPLIED)
		outcome = OUTCOME_UNKNOWN;
	op->outcome = outcome;
	op->returned = sim->now;
	c->op = 0;
	sim_trace(sim, op->id * 4 + outcome);
	if (outcome == OUTCOME_NOT_APPLIED) {
		mark(MARK_OP_NOT_APPLIED);
		check_not_applied(sim, op);
	} else if (outcome == OUTCOME_UNKNOWN) {
		mark(MARK_OP_UNKNOWN);
	} else {
		mark(MARK_OP_DONE);
	}
	next_in(
	    sim, i, prng_exp(&sim->clients->prng, sim->conf.think_us * SIM_US));
}

/* The connection is gone; the server may or may not still work on it. */
static void
disconnect(struct sim *sim, unsigned i, bool tell)
{
	struct client *c = &sim->clients->client[i];
	struct server *s;

	if (c->server == SERVERLESS)
		return;
	s = sim->server[c->server];
	if (tell && server_up(s)) {
		host_client_gone(s->host, connection(i, c->epoch));
		server_wake(s);
	}
	c->server = SERVERLESS;
	c->epoch++;
	c->delivered = false;
}

static void
choose_server(struct sim *sim, unsigned i)
{
	struct clients *cs = sim->clients;
	struct client *c = &cs->client[i];
	unsigned n = sim->server_count, tries = 0;
	bool stay = prng_ppm(&cs->prng, (uint32_t)sim->conf.client_sticky_ppm);
	unsigned pick = (unsigned)prng_below(&cs->prng, n);

	if (c->server != SERVERLESS && stay &&
	    (cs->servers & (1u << c->server)))
		return;
	/* Of those that were ever started, one that is not gone for good. */
	while (tries++ < n && (!(cs->servers & (1u << pick)) ||
				  sim->server[pick]->starts == 0 ||
				  sim->server[pick]->state == SERVER_GONE))
		pick = (pick + 1) % n;
	if (pick == c->server)
		return;
	disconnect(sim, i, true);
	c->server = pick;
}

static enum op_kind
choose_kind(struct sim *sim)
{
	const struct swarm *f = &sim->conf;
	const uint64_t weight[OP_KIND_COUNT] = {
	    f->mix_put, f->mix_get, f->mix_cas, f->mix_append, f->mix_delete};
	uint64_t sum = 0, x;

	for (int k = 0; k < OP_KIND_COUNT; k++)
		sum += weight[k];
	x = prng_below(&sim->clients->prng, sum);
	for (int k = 0; k < OP_KIND_COUNT; k++) {
		if (x < weight[k])
			return (enum op_kind)k;
		x -= weight[k];
	}
	return OP_GET;
}

/* A new one. */
static struct op *
op_next(struct sim *sim, unsigned client)
{
	struct clients *cs = sim->clients;
	struct client *c = &cs->client[client];
	struct op *op = op_new(sim);

	op->kind = choose_kind(sim);
	op->client = client;
	op->key = (unsigned)prng_below(&cs->prng, sim->conf.keys);
	if (op->kind == OP_CAS)
		op->expect = check_key_op(sim, op->key);
	if (op->kind != OP_GET &&
	    prng_ppm(&cs->prng, (uint32_t)sim->conf.session_ppm))
		op->seq = ++c->seq;
	op->invoked = sim->now;
	check_invoked(sim, op);
	c->op = op->id;
	return op;
}

/* One timer a client, which goes on for as long as it finds an operation:
 * most of these are over long before their limit. */
static void
late_in(struct sim *sim, unsigned i, uint64_t wait)
{
	sim->clients->client[i].timed = true;
	sim_at(sim, wait, EV_CLIENT_LATE, i, 0, 0);
}

static void
on_next(struct sim *sim, const struct event *ev)
{
	struct clients *cs = sim->clients;
	struct client *c = &cs->client[ev->who];
	struct packet p = {0};
	struct op *op;

	if (ev->b != c->token || (c->op != 0 && !c->again) ||
	    (c->op == 0 && cs->stopped))
		return;
	choose_server(sim, ev->who);
	op = c->op != 0 ? clients_op(sim, c->op) : op_next(sim, ev->who);
	op->tries++;
	op->sent = sim->now;
	c->again = false;
	c->delivered = false;
	encode(sim, op, &cs->buf);
	p.client = ev->who;
	p.server = c->server;
	p.epoch = c->epoch;
	p.op = op->id;
	p.len = cs->buf.len;
	p.data = sim_must(malloc(p.len));
	memcpy(p.data, cs->buf.data, p.len);
	sim_at(sim, delay(sim), EV_CLIENT_CALL, ev->who, packet_new(cs, p), 0);
	if (!c->timed)
		late_in(sim, ev->who, sim->conf.client_timeout_ms * SIM_MS);
}

static void
on_call(struct sim *sim, const struct event *ev)
{
	struct clients *cs = sim->clients;
	struct client *c = &cs->client[ev->who];
	struct packet *p = &cs->packet[ev->a];
	struct server *s = sim->server[p->server];
	struct frame frame;

	if (c->op == p->op && c->epoch == p->epoch && server_up(s)) {
		/* Sent, as far as its client can know. */
		c->delivered = true;
		if (server_park(s, ev))
			return;
		if (host_pause(s->host) != 0) {
			mark(MARK_CLIENT_HELD_BACK);
			sim_at(sim, PAUSED_WAIT_MS * SIM_MS, EV_CLIENT_CALL,
			    ev->who, ev->a, 0);
			return;
		}
		c->life = s->life;
		if (frame_parse(p->data, p->len, &frame) < 0)
			abort();
		host_client_request(s->host, connection(ev->who, c->epoch),
		    &frame, p->op % 2 == 0);
		server_wake(s);
	} else if (c->op == p->op && c->epoch == p->epoch) {
		/* Refused: it was never sent. */
		disconnect(sim, ev->who, false);
		finish(sim, ev->who, OUTCOME_NOT_APPLIED);
	}
	free(packet_take(cs, ev->a).data);
}

static void
on_late(struct sim *sim, const struct event *ev)
{
	struct client *c = &sim->clients->client[ev->who];
	uint64_t limit;

	c->timed = false;
	if (c->op == 0 || c->again)
		return; /* the next one to be sent sets it again */
	limit =
	    clients_op(sim, c->op)->sent + sim->conf.client_timeout_ms * SIM_MS;
	if (limit > sim->now) {
		late_in(sim, ev->who, limit - sim->now);
		return;
	}
	mark(MARK_OP_LATE);
	disconnect(sim, ev->who, true);
	finish(sim, ev->who, OUTCOME_UNKNOWN);
}

void
clients_drop(struct sim *sim, unsigned client)
{
	struct client *c = &sim->clients->client[client];

	if (c->op == 0 || c->again || !c->delivered)
		return;
	mark(MARK_CLIENT_GONE);
	disconnect(sim, client, true);
	finish(sim, client, OUTCOME_UNKNOWN);
}

void
clients_server_down(struct sim *sim, unsigned server, bool power)
{
	for (unsigned i = 0; i < sim->conf.clients; i++) {
		struct client *c = &sim->clients->client[i];
		bool delivered = c->delivered;

		if (c->server != server)
			continue;
		if (power && c->op != 0 && delivered)
			continue; /* waits until its limit */
		disconnect(sim, i, false);
		if (c->again)
			continue;
		if (c->op != 0 && delivered)
			finish(sim, i, OUTCOME_UNKNOWN);
		else if (c->op != 0)
			finish(sim, i, OUTCOME_NOT_APPLIED);
	}
}

void
clients_stop(struct sim *sim)
{
	sim->clients->stopped = true;
}

void
clients_resume(struct sim *sim, uint32_t servers)
{
	struct clients *cs = sim->clients;

	cs->stopped = false;
	cs->servers = servers != 0 ? servers : UINT32_MAX;
	for (unsigned i = 0; i < sim->conf.clients; i++) {
		struct client *c = &cs->client[i];

		if (c->op != 0) {
			disconnect(sim, i, true);
			clients_op(sim, c->op)->tries = TRIES_MAX;
			c->again = false;
			finish(sim, i, OUTCOME_UNKNOWN);
		}
		next_in(sim, i, prng_below(&cs->prng, 10 * SIM_MS));
	}
}

unsigned
clients_open(const struct sim *sim)
{
	unsigned n = 0;

	for (unsigned i = 0; i < sim->conf.clients; i++)
		n += sim->clients->client[i].op != 0;
	return n;
}

/* ---- answers ------------------------------------------------------------ */

void
clients_reply(struct sim *sim, unsigned server, uint64_t conn,
    const struct piece *pieces, unsigned count)
{
	struct packet p = {0};
	size_t at = 0;

	p.client = (unsigned)((conn & 0xff) - 1);
	p.epoch = (uint32_t)(conn >> 8);
	p.server = server;
	for (unsigned i = 0; i < count; i++)
		p.len += pieces[i].len;
	p.data = sim_must(malloc(p.len));
	for (unsigned i = 0; i < count; i++) {
		memcpy(p.data + at, pieces[i].p, pieces[i].len);
		at += pieces[i].len;
	}
	sim_trace_bytes(sim, p.data, p.len);
	sim_at(sim, delay(sim), EV_CLIENT_REPLY, p.client,
	    packet_new(sim->clients, p), 0);
}

static void
on_error(struct sim *sim, struct op *op, struct mp_span raw)
{
	struct wire_error e;
	const struct wire_status_info *info;

	wire_read_error(raw, &e);
	info = wire_status_info(e.status);
	sim_say(sim, "c%u o%" PRIu64 " %s: %s", op->client + 1, op->id,
	    info->name, e.message);
	if (e.status == WIRE_UNKNOWN) {
		mark(MARK_REPLY_UNKNOWN);
		finish(sim, op->client, OUTCOME_UNKNOWN);
	} else if (info->retry) {
		mark(MARK_REPLY_RETRY);
		finish(sim, op->client, OUTCOME_NOT_APPLIED);
	} else if (op->kind == OP_GET && e.status != WIRE_BUG &&
		   e.status != WIRE_USAGE) {
		/* A read that came to nothing has no effect either way. */
		finish(sim, op->client, OUTCOME_UNKNOWN);
	} else {
		sim_fail(sim, "operation %" PRIu64 " answered %s: %s", op->id,
		    info->name, e.message);
	}
}

static void
on_result(struct sim *sim, struct op *op, struct mp_span raw)
{
	struct mp_cur cur = mp_cur_span(raw);
	struct mp_map map;
	struct mp_span value = {0};
	uint64_t rev;
	bool succeeded, found = false;

	if (op->kind == OP_GET) {
		if (mp_peek(&cur) != MP_NIL) {
			if (mp_read_mapping(&cur, &map) < 0 ||
			    mp_get_bytes(&map, "value", &value, SIZE_MAX) < 0) {
				sim_fail(sim, "get answered by no record");
				return;
			}
			found = true;
		}
		check_read_done(sim, op, found, value.p, value.len);
	} else {
		if (mp_read_mapping(&cur, &map) < 0 ||
		    mp_get_u64(&map, "rev", &rev) < 0 ||
		    mp_get_bool(&map, "succeeded", &succeeded) < 0) {
			sim_fail(sim, "a write answered without rev");
			return;
		}
		check_write_done(sim, op, succeeded, rev);
	}
	if (!sim->failed)
		finish(sim, op->client, OUTCOME_DONE);
}

static void
on_reply(struct sim *sim, const struct event *ev)
{
	struct clients *cs = sim->clients;
	struct packet p = packet_take(cs, ev->a);
	struct client *c = &cs->client[ev->who];
	struct frame frame;
	struct op *op;

	if (ev->who == OPERATOR) {
		admin_answer(sim, p.data, p.len);
		free(p.data);
		return;
	}
	if (c->epoch != p.epoch || c->server != p.server) {
		free(p.data);
		return; /* nobody is there any more */
	}
	if (frame_parse(p.data, p.len, &frame) < 0 ||
	    frame.type != FRAME_RESPONSE) {
		sim_fail(sim, "a client gets what is no response");
	} else if (frame.msgid != (uint32_t)c->op || c->op == 0 || c->again) {
		sim_fail(
		    sim, "operation %u answered twice", (uint32_t)frame.msgid);
	} else {
		struct mp_cur e = mp_cur_span(frame.error);

		op = clients_op(sim, c->op);
		if (mp_peek(&e) != MP_NIL)
			on_error(sim, op, frame.error);
		else
			on_result(sim, op, frame.result);
	}
	free(p.data);
}

void
clients_event(struct sim *sim, const struct event *ev)
{
	switch ((enum what)ev->what) {
	case EV_CLIENT:
		on_next(sim, ev);
		break;
	case EV_CLIENT_CALL:
		on_call(sim, ev);
		break;
	case EV_CLIENT_REPLY:
		on_reply(sim, ev);
		break;
	case EV_CLIENT_LATE:
		on_late(sim, ev);
		break;
	default:
		break;
	}
}
