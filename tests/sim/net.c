/*
 * net.c - the network between servers.
 */
#include "tests/sim/net.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/frame.h"
#include "tests/sim/check.h"
#include "tests/sim/server.h"
#include "tests/sim/wire.h"

#define SLOTS_MAX 65536 /* datagrams on the way */
#define REPLAY_MAX 256	/* old messages kept for replay */

struct segment {
	uint64_t at;
	uint8_t *data;
	size_t len;
	bool garbage;
};

/* A connection from one server to another, and what each end believes. */
struct link {
	unsigned from, to;
	uint32_t gen; /* of the connection */
	bool alive;   /* bytes get through */
	bool from_up; /* the dialler believes it is up */
	bool to_up;   /* the acceptor does */
	bool dial_queued;
	bool deliver_queued;
	bool cut;
	bool closing; /* by the dialler: ends behind what is on its way */
	uint64_t clogged_until;
	struct segment *seg; /* ring */
	size_t head, count, cap;
	size_t backlog;
	uint64_t last_at;
	struct frame_reader reader;
};

struct datagram {
	unsigned from, to;
	uint8_t *data;
	size_t len;
	uint32_t gen;
};

struct net {
	struct prng prng;
	struct link link[SIM_SERVERS_MAX][SIM_SERVERS_MAX];
	uint32_t wanted[SIM_SERVERS_MAX]; /* whom each one dials */
	bool calm;
	struct datagram *slot;
	uint32_t *free_slot;
	uint32_t slot_count, free_count;
	struct datagram replay[REPLAY_MAX];
	unsigned replay_count;
};

void
net_init(struct sim *sim)
{
	struct net *n = sim_must(calloc(1, sizeof(*n)));

	prng_init(&n->prng, sim->options.seed, PRNG_NET);
	for (unsigned i = 0; i < SIM_SERVERS_MAX; i++) {
		for (unsigned k = 0; k < SIM_SERVERS_MAX; k++) {
			n->link[i][k].from = i;
			n->link[i][k].to = k;
			frame_reader_init(
			    &n->link[i][k].reader, WIRE_FRAME_LEN_MAX);
		}
	}
	sim->net = n;
}

static void
link_empty(struct link *l)
{
	for (; l->count > 0; l->count--) {
		free(l->seg[l->head].data);
		l->head = (l->head + 1) % l->cap;
	}
	l->backlog = 0;
}

void
net_free(struct net *n)
{
	if (n == NULL)
		return;
	for (unsigned i = 0; i < SIM_SERVERS_MAX; i++) {
		for (unsigned k = 0; k < SIM_SERVERS_MAX; k++) {
			struct link *l = &n->link[i][k];

			link_empty(l);
			free(l->seg);
			frame_reader_release(&l->reader);
		}
	}
	for (uint32_t i = 0; i < n->slot_count; i++)
		free(n->slot[i].data);
	for (unsigned i = 0; i < n->replay_count; i++)
		free(n->replay[i].data);
	free(n->slot);
	free(n->free_slot);
	free(n);
}

static uint64_t
delay(struct sim *sim)
{
	const struct swarm *c = &sim->conf;

	return c->delay_floor_us * SIM_US +
	       prng_exp(&sim->net->prng, c->delay_us * SIM_US) + 1;
}

static struct link *
link_of(struct sim *sim, unsigned from, unsigned to)
{
	return &sim->net->link[from][to];
}

static uint64_t
link_key(const struct link *l)
{
	return (uint64_t)l->from * SIM_SERVERS_MAX + l->to;
}

/* ---- connections -------------------------------------------------------- */

static void
dial_in(struct sim *sim, struct link *l, uint64_t wait)
{
	if (l->dial_queued || l->from == l->to ||
	    !(sim->net->wanted[l->from] & (1u << l->to)))
		return;
	l->dial_queued = true;
	sim_at(sim, wait, EV_LINK_DIAL, l->from, link_key(l), 0);
}

static uint64_t
dial_wait(struct sim *sim)
{
	uint64_t ns = sim->conf.dial_ms * SIM_MS;

	return ns / 2 + prng_below(&sim->net->prng, ns);
}

static void
from_learns(struct sim *sim, struct link *l)
{
	struct server *s = sim->server[l->from];

	if (!l->from_up)
		return;
	l->from_up = false;
	if (server_up(s)) {
		host_link_down(s->host, sim->server[l->to]->id);
		server_wake(s);
		dial_in(sim, l, dial_wait(sim));
	}
}

static void
to_learns(struct sim *sim, struct link *l)
{
	struct server *s = sim->server[l->to];

	if (!l->to_up)
		return;
	l->to_up = false;
	if (server_up(s)) {
		host_peer_gone(
		    s->host, sim->server[l->from]->id, server_time(s));
		server_wake(s);
	}
}

/* The connection is no more; each end learns of it in its own time.  A
 * long wait: nobody tells it, its own timers must. */
static void
link_break(struct sim *sim, struct link *l, bool silently)
{
	uint64_t slow = silently ? sim->conf.link_timeout_ms * SIM_MS : 0;
	struct prng *p = &sim->net->prng;

	if (!l->alive)
		return;
	mark(MARK_LINK_BROKEN);
	if (l->count > 0)
		mark(MARK_LINK_LOST_SUFFIX);
	l->alive = false;
	link_empty(l);
	sim_at(sim, delay(sim) + prng_below(p, slow + 1), EV_LINK_NOTICE,
	    l->from, link_key(l), l->gen);
	sim_at(sim, delay(sim) + prng_below(p, slow + 1), EV_LINK_NOTICE, l->to,
	    link_key(l), l->gen);
}

static void
on_notice(struct sim *sim, const struct event *ev)
{
	struct link *l = link_of(sim, (unsigned)(ev->a / SIM_SERVERS_MAX),
	    (unsigned)(ev->a % SIM_SERVERS_MAX));
	struct server *s = sim->server[ev->who];

	if (l->gen != ev->b || l->alive || s == NULL)
		return;
	if (server_park(s, ev))
		return;
	if (ev->who == l->from)
		from_learns(sim, l);
	else
		to_learns(sim, l);
}

static bool
reachable(struct sim *sim, struct link *l)
{
	struct server *to = sim->server[l->to];

	return server_up(to) && !to->stopping && to->paused_until == 0 &&
	       !l->cut && !link_of(sim, l->to, l->from)->cut;
}

static void
on_dial(struct sim *sim, struct link *l)
{
	struct server *from = sim->server[l->from], *to = sim->server[l->to];
	struct host_hello hello = {0};
	const char *why;
	char cause[128];

	l->dial_queued = false;
	if (!server_up(from) || from->stopping || l->from_up ||
	    !(sim->net->wanted[l->from] & (1u << l->to)))
		return;
	if (!reachable(sim, l)) {
		dial_in(sim, l, dial_wait(sim));
		return;
	}
	to_learns(sim, l); /* of the end of an earlier one */
	host_hello_self(from->host, to->id, &hello);
	why = host_hello_judge(to->host, &hello, server_time(to));
	if (why != NULL) {
		snprintf(cause, sizeof(cause), "refused: %s", why);
	} else {
		host_hello_self(to->host, from->id, &hello);
		why = host_hello_judge(from->host, &hello, server_time(from));
		snprintf(cause, sizeof(cause), "%s", why != NULL ? why : "");
	}
	server_wake(to);
	server_wake(from);
	if (why != NULL) {
		sim_say(
		    sim, "s%u -> s%u refused: %s", l->from + 1, l->to + 1, why);
		mark(MARK_HELLO_REFUSED);
		if (from->removed)
			mark(MARK_REMOVED_ASKS);
		host_link_failed(from->host, to->id, cause);
		dial_in(sim, l, sim->conf.election_us * SIM_US / 4);
		return;
	}
	l->gen++;
	l->alive = l->from_up = l->to_up = true;
	l->last_at = 0;
	l->closing = false;
	link_empty(l);
	frame_reader_release(&l->reader);
	frame_reader_init(&l->reader, WIRE_FRAME_LEN_MAX);
	mark(MARK_LINK_UP);
	host_peer_linked(to->host, from->id, server_time(to));
	host_link_up(from->host, to->id);
}

/* Closed by its dialler, whose host need not be told. */
static void
link_close(struct sim *sim, struct link *l)
{
	uint64_t wait = l->last_at > sim->now ? l->last_at - sim->now : 0;

	l->from_up = false;
	if (!l->alive || l->closing)
		return;
	l->closing = true;
	sim_at(sim, wait + 1, EV_LINK_BROKEN, l->from, link_key(l), l->gen);
}

void
net_wanted(struct sim *sim, unsigned number, uint32_t wanted)
{
	sim->net->wanted[number] = wanted;
	if (!server_up(sim->server[number]))
		return;
	for (unsigned i = 0; i < sim->server_count; i++) {
		struct link *l = link_of(sim, number, i);

		if (!(wanted & (1u << i)))
			link_close(sim, l);
		else if (!l->from_up)
			dial_in(sim, l, delay(sim));
	}
}

void
net_server_up(struct sim *sim, unsigned number)
{
	for (unsigned i = 0; i < sim->server_count; i++)
		if (i != number)
			dial_in(sim, link_of(sim, number, i), delay(sim));
}

void
net_server_down(struct sim *sim, unsigned number, bool power)
{
	for (unsigned i = 0; i < sim->server_count; i++) {
		struct link *out = link_of(sim, number, i);
		struct link *in = link_of(sim, i, number);

		if (i == number)
			continue;
		link_break(sim, out, power);
		link_break(sim, in, power);
		out->from_up = false;
		in->to_up = false;
	}
}

/* ---- sending ------------------------------------------------------------ */

static void
deliver_at(struct sim *sim, struct link *l, uint64_t at)
{
	if (l->deliver_queued)
		return;
	l->deliver_queued = true;
	events_add(
	    &sim->events, at, EV_DELIVER, (uint16_t)l->to, link_key(l), 0);
}

static void
stream_send(struct sim *sim, struct link *l, uint8_t *data, size_t len)
{
	struct segment *s;
	uint64_t at = sim->now + delay(sim);

	if (!l->alive) {
		free(data);
		return;
	}
	if (l->count == l->cap) {
		size_t cap = l->cap == 0 ? 16 : l->cap * 2;
		struct segment *seg = sim_must(malloc(cap * sizeof(*seg)));

		for (size_t i = 0; i < l->count; i++)
			seg[i] = l->seg[(l->head + i) % l->cap];
		free(l->seg);
		l->seg = seg;
		l->head = 0;
		l->cap = cap;
	}
	if (at < l->last_at)
		at = l->last_at;
	l->last_at = at;
	s = &l->seg[(l->head + l->count++) % l->cap];
	*s = (struct segment){at, data, len, false};
	l->backlog += len;
	deliver_at(sim, l, at);
}

static uint32_t
slot_new(struct net *n)
{
	if (n->free_count > 0)
		return n->free_slot[--n->free_count];
	if (n->slot_count % 1024 == 0) {
		size_t cap = n->slot_count + 1024;

		n->slot = sim_must(realloc(n->slot, cap * sizeof(*n->slot)));
		n->free_slot = sim_must(
		    realloc(n->free_slot, cap * sizeof(*n->free_slot)));
	}
	return n->slot_count++;
}

static void
datagram_at(struct sim *sim, unsigned from, unsigned to, const uint8_t *data,
    size_t len, uint64_t wait)
{
	struct net *n = sim->net;
	uint32_t i;
	uint8_t *copy;

	if (n->slot_count - n->free_count >= SLOTS_MAX)
		return;
	i = slot_new(n);
	copy = sim_must(malloc(len));
	memcpy(copy, data, len);
	n->slot[i] =
	    (struct datagram){from, to, copy, len, link_of(sim, from, to)->gen};
	sim_at(sim, wait, EV_DATAGRAM, to, i, 0);
}

static void
datagram_send(struct sim *sim, struct link *l, uint8_t *data, size_t len,
    bool stream_only)
{
	struct net *n = sim->net;
	const struct swarm *c = &sim->conf;
	uint64_t wait = delay(sim);
	struct datagram *old;

	if (!n->calm && prng_ppm(&n->prng, (uint32_t)c->loss_ppm)) {
		mark(MARK_NET_LOST);
		free(data);
		return;
	}
	if (!n->calm && prng_ppm(&n->prng, 20000)) {
		wait *= 1 + prng_below(&n->prng, 100);
		mark(MARK_NET_LATE);
	}
	datagram_at(sim, l->from, l->to, data, len, wait);
	if (stream_only || n->calm) {
		free(data);
		return;
	}
	if (prng_ppm(&n->prng, (uint32_t)c->dup_ppm)) {
		mark(MARK_NET_DOUBLED);
		datagram_at(sim, l->from, l->to, data, len,
		    delay(sim) * (1 + prng_below(&n->prng, 10)));
	}
	if (c->replay_ppm > 0) {
		unsigned i = n->replay_count < REPLAY_MAX
				 ? n->replay_count++
				 : (unsigned)prng_below(&n->prng, REPLAY_MAX);

		free(n->replay[i].data);
		n->replay[i] = (struct datagram){l->from, l->to, data, len, 0};
		data = NULL;
		if (prng_ppm(&n->prng, (uint32_t)c->replay_ppm)) {
			old = &n->replay[prng_below(&n->prng, n->replay_count)];
			mark(MARK_NET_REPLAYED);
			datagram_at(sim, old->from, old->to, old->data,
			    old->len, delay(sim));
		}
	}
	free(data);
}

void
net_send(struct sim *sim, unsigned from, uint64_t to_id,
    const struct piece *pieces, unsigned count)
{
	struct server *to = server_by_id(sim, to_id);
	struct link *l;
	uint8_t *data;
	size_t len = 0, at = 0;
	bool stream_only;

	for (unsigned i = 0; i < count; i++)
		len += pieces[i].len;
	if (to == NULL || len == 0)
		return;
	l = link_of(sim, from, to->number);
	if (!l->from_up)
		return;
	if (!l->alive && reachable(sim, l)) {
		/* Its end is gone, and the machine there says so. */
		sim_at(sim, 2 * delay(sim), EV_LINK_NOTICE, from, link_key(l),
		    l->gen);
	}
	data = sim_must(malloc(len));
	for (unsigned i = 0; i < count; i++) {
		memcpy(data + at, pieces[i].p, pieces[i].len);
		at += pieces[i].len;
	}
	sim_trace_bytes(sim, data, len);
	stream_only = wire_inspect(sim, from, to->number, data, len);
	if (sim->conf.datagram)
		datagram_send(sim, l, data, len, stream_only);
	else
		stream_send(sim, l, data, len);
}

size_t
net_backlog(struct sim *sim, unsigned from, uint64_t to_id)
{
	struct server *to = server_by_id(sim, to_id);
	struct link *l;

	if (to == NULL)
		return SIZE_MAX;
	l = link_of(sim, from, to->number);
	if (!l->from_up)
		return SIZE_MAX;
	return l->backlog;
}

/* ---- receiving ---------------------------------------------------------- */

/* Bytes of a connection arrive; false: the receiver closes it. */
static bool
receive(struct sim *sim, struct link *l, const struct segment *seg)
{
	struct server *to = sim->server[l->to];
	uint64_t from_id = sim->server[l->from]->id;
	size_t done = 0;

	while (done < seg->len) {
		struct frame frame;
		size_t room, n = seg->len - done;
		uint8_t *dst = frame_room(&l->reader, &room);
		int r;

		if (dst == NULL)
			return false;
		if (n > room)
			n = room;
		/* Streams are cut anywhere. */
		if (n > 1 && prng_ppm(&sim->net->prng, 50000))
			n = 1 + prng_below(&sim->net->prng, n - 1);
		memcpy(dst, seg->data + done, n);
		frame_filled(&l->reader, n);
		done += n;
		while ((r = frame_next(&l->reader, &frame)) == 1)
			if (host_peer_message(to->host, from_id, &frame) < 0)
				return false;
		if (r < 0)
			return false;
	}
	return true;
}

static void
on_deliver(struct sim *sim, struct link *l, const struct event *ev)
{
	struct server *to = sim->server[l->to];
	bool ok = true, garbage = false;

	l->deliver_queued = false;
	if (!l->alive || l->count == 0 || l->cut)
		return;
	if (l->clogged_until > sim->now) {
		deliver_at(sim, l, l->clogged_until);
		return;
	}
	if (server_park(to, ev)) {
		l->deliver_queued = true;
		return;
	}
	while (ok && l->count > 0 && l->seg[l->head].at <= sim->now) {
		struct segment seg = l->seg[l->head];

		l->head = (l->head + 1) % l->cap;
		l->count--;
		l->backlog -= seg.len;
		check_heard(to, l->from);
		ok = receive(sim, l, &seg);
		garbage = garbage || seg.garbage;
		free(seg.data);
		if (garbage)
			break;
	}
	server_wake(to);
	if (!ok || garbage) {
		if (!garbage) {
			sim_fail(sim, "s%u refuses what s%u sent", l->to + 1,
			    l->from + 1);
			return;
		}
		mark(ok ? MARK_GARBAGE_PENDING : MARK_GARBAGE_REFUSED);
		link_break(sim, l, false);
		return;
	}
	if (l->count > 0)
		deliver_at(sim, l, l->seg[l->head].at);
}

static void
on_datagram(struct sim *sim, const struct event *ev)
{
	struct net *n = sim->net;
	uint32_t i = (uint32_t)ev->a;
	struct datagram d = n->slot[i];
	struct link *l = link_of(sim, d.from, d.to);
	struct server *to = sim->server[d.to];
	struct frame frame;

	if (server_park(to, ev))
		return;
	n->slot[i].data = NULL;
	n->free_slot[n->free_count++] = i;
	if (l->to_up && !l->cut && l->clogged_until <= sim->now &&
	    server_up(to)) {
		check_heard(to, d.from);
		for (size_t at = 0; at < d.len;) {
			size_t k = wire_frame(d.data + at, d.len - at, &frame);

			/* What rests on the stream does not outlive it. */
			if (k == 0 ||
			    (d.gen != l->gen && !wire_is_raft(&frame)))
				break;
			if (host_peer_message(
				to->host, sim->server[d.from]->id, &frame) < 0)
				sim_fail(sim, "s%u refuses what s%u sent",
				    d.to + 1, d.from + 1);
			at += k;
		}
		server_wake(to);
	}
	free(d.data);
}

void
net_event(struct sim *sim, const struct event *ev)
{
	struct link *l;

	if (ev->what == EV_DATAGRAM) {
		on_datagram(sim, ev);
		return;
	}
	if (ev->what == EV_LINK_NOTICE) {
		on_notice(sim, ev);
		return;
	}
	l = link_of(sim, (unsigned)(ev->a / SIM_SERVERS_MAX),
	    (unsigned)(ev->a % SIM_SERVERS_MAX));
	if (ev->what == EV_LINK_DIAL) {
		on_dial(sim, l);
	} else if (ev->what == EV_DELIVER) {
		on_deliver(sim, l, ev);
	} else if (ev->what == EV_LINK_BROKEN && l->gen == ev->b &&
		   l->closing) {
		link_break(sim, l, false);
	} else if (ev->what == EV_LINK_BROKEN && l->gen == ev->b &&
		   (l->cut || link_of(sim, l->to, l->from)->cut)) {
		link_break(sim, l, true);
	}
}

/* ---- faults ------------------------------------------------------------- */

bool
net_is_cut(struct sim *sim, unsigned from, unsigned to)
{
	const struct link *l = link_of(sim, from, to);

	return l->cut || l->clogged_until > sim->now;
}

void
net_cut(struct sim *sim, unsigned from, unsigned to, bool cut)
{
	struct link *l = link_of(sim, from, to);
	struct link *back = link_of(sim, to, from);
	uint64_t limit = sim->conf.link_timeout_ms * SIM_MS;

	if (from == to || l->cut == cut)
		return;
	l->cut = cut;
	if (!cut) {
		if (l->count > 0)
			deliver_at(sim, l, sim->now + delay(sim));
		return;
	}
	mark(MARK_NET_CUT);
	/* Neither bytes nor what acknowledges them gets through: either
	 * connection of the pair times out some day. */
	sim_at(sim, prng_exp(&sim->net->prng, limit), EV_LINK_BROKEN, l->from,
	    link_key(l), l->gen);
	sim_at(sim, prng_exp(&sim->net->prng, limit), EV_LINK_BROKEN,
	    back->from, link_key(back), back->gen);
}

/* What waits is not to wait for the end of the clogging. */
static void
unclog(struct sim *sim, struct link *l)
{
	if (l->clogged_until <= sim->now)
		return;
	l->clogged_until = 0;
	l->deliver_queued = false;
	deliver_at(sim, l, sim->now + delay(sim));
}

void
net_heal(struct sim *sim)
{
	for (unsigned i = 0; i < sim->server_count; i++) {
		for (unsigned k = 0; k < sim->server_count; k++) {
			struct link *l = link_of(sim, i, k);

			net_cut(sim, i, k, false);
			unclog(sim, l);
		}
	}
}

void
net_clog(struct sim *sim, unsigned from, unsigned to, uint64_t length)
{
	if (length == 0) {
		unclog(sim, link_of(sim, from, to));
		return;
	}
	mark(MARK_NET_CLOGGED);
	link_of(sim, from, to)->clogged_until = sim->now + length;
}

void
net_reset(struct sim *sim, unsigned from, unsigned to)
{
	link_break(sim, link_of(sim, from, to), false);
}

void
net_garbage(struct sim *sim, unsigned from, unsigned to)
{
	struct link *l = link_of(sim, from, to);
	struct prng *p = &sim->net->prng;
	struct segment *s;
	uint8_t *copy;
	size_t i;

	if (!l->alive || l->count == 0)
		return;
	i = prng_below(p, l->count);
	s = &l->seg[(l->head + i) % l->cap];
	copy = sim_must(malloc(s->len));
	memcpy(copy, s->data, s->len);
	switch (prng_below(p, 3)) {
	case 0:
		prng_bytes(p, copy, s->len);
		break;
	case 1:
		copy[prng_below(p, s->len)] ^=
		    (uint8_t)(1 + prng_below(p, 255));
		break;
	default:
		prng_bytes(p, copy + s->len / 2, s->len - s->len / 2);
		break;
	}
	/* Bytes that a changed message still makes a valid one of are not
	 * what the protocol promises to notice: TCP's own checksum is. */
	if (wire_is_valid(copy, s->len)) {
		free(copy);
		return;
	}
	free(s->data);
	s->data = copy;
	s->garbage = true;
}

void
net_calm(struct sim *sim)
{
	sim->net->calm = true;
}
