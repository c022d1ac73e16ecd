/*
 * lease.c - whoever holds leases, and a watch on their bounds.
 */
#include "tests/sim/lease.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/frame.h"
#include "raftctl/wire.h"
#include "tests/sim/check.h"
#include "tests/sim/server.h"

#define HOLDERS_MAX 8
#define SAMPLE_NS (10 * SIM_MS)

enum { STEP, SAMPLE, CLOCK_STOPS, CLOCK_GOES };

enum ask { GRANT, RENEW, SHOW };

struct holder {
	uint64_t lease; /* 0: none */
	uint64_t ttl_ms;
	unsigned renewals; /* to come */
	/* the request that is out */
	bool open;
	enum ask ask;
	uint32_t msgid;
	uint64_t sent, sent_jumps;
	/* the last renewal, or the grant */
	uint64_t good_sent; /* of the last one that was answered */
	uint64_t leaders, jumps, snapshots; /* as of then */
	bool blurred;  /* one was not answered: it may come late yet */
	uint64_t work; /* as of the last answer */
	uint64_t work_leaders;
};

struct lease_holders {
	struct prng prng;
	unsigned count;
	struct holder holder[HOLDERS_MAX];
	uint64_t requests;
	/* the world, sampled */
	uint64_t work; /* time in which a leader got entries committed */
	uint64_t commit;
	uint64_t term;	  /* the highest of a leader */
	uint64_t leaders; /* how many there were */
	struct mp_buf buf;
};

void
leases_sim_init(struct sim *sim)
{
	struct lease_holders *w = sim_must(calloc(1, sizeof(*w)));

	prng_init(&w->prng, sim->options.seed, PRNG_LEASE + 1);
	w->count = sim->conf.leases < HOLDERS_MAX ? (unsigned)sim->conf.leases
						  : HOLDERS_MAX;
	mp_buf_init(&w->buf);
	sim->leases = w;
	if (w->count == 0)
		return;
	for (unsigned i = 0; i < w->count; i++)
		sim_at(sim, SIM_S + prng_below(&w->prng, SIM_S), EV_LEASE, i,
		    STEP, 0);
	sim_at(sim, SAMPLE_NS, EV_LEASE, 0, SAMPLE, 0);
	/* Reads by a lease rest on a bound that such a clock breaks. */
	if (sim->conf.lease_ppm == 0 && prng_below(&w->prng, 2) == 0)
		sim_at(sim, 5 * SIM_S, EV_LEASE, 0, CLOCK_STOPS, 0);
}

void
leases_sim_free(struct lease_holders *w)
{
	if (w == NULL)
		return;
	mp_buf_release(&w->buf);
	free(w);
}

/* ---- the world --------------------------------------------------------- */

/* Does somebody get entries committed?  While it is so time goes on. */
static void
sample(struct sim *sim)
{
	struct lease_holders *w = sim->leases;
	struct server *s = server_leader(sim);
	struct raft_status st;
	bool works = false;

	if (s != NULL && server_status(s, &st)) {
		if (st.hard.term > w->term) {
			w->term = st.hard.term;
			w->leaders++;
		}
		works = st.ready && s->paused_until == 0 &&
			s->drift_ppm > -1000000 &&
			(st.commit == st.last || st.commit > w->commit);
		if (st.commit > w->commit)
			w->commit = st.commit;
	}
	if (works)
		w->work += SAMPLE_NS;
	sim_at(sim, SAMPLE_NS, EV_LEASE, 0, SAMPLE, 0);
}

static void
clock_stops(struct sim *sim, const struct event *ev)
{
	struct lease_holders *w = sim->leases;
	struct server *s = sim->server[ev->who];

	if (ev->a == CLOCK_GOES) {
		server_clock_drift(s, (int64_t)ev->b - 1000000);
	} else if (sim->phase == PHASE_CHAOS) {
		unsigned n = (unsigned)prng_below(&w->prng, sim->conf.servers);
		uint64_t end = sim->conf.duration_ms * SIM_MS;
		uint64_t wait =
		    prng_exp(&w->prng, 4 * sim->conf.election_us * SIM_US);

		s = sim->server[n];
		if (s->drift_ppm > -1000000) {
			mark(MARK_CLOCK_STOPPED);
			sim_say(sim, "s%u clock stops", n + 1);
			if (sim->now + wait > end)
				wait = end - sim->now;
			sim_at(sim, wait, EV_LEASE, n, CLOCK_GOES,
			    (uint32_t)(s->drift_ppm + 1000000));
			server_clock_drift(s, -1000000);
		}
		sim_at(sim, prng_exp(&w->prng, 10 * SIM_S), EV_LEASE, 0,
		    CLOCK_STOPS, 0);
	}
}

/* ---- requests ---------------------------------------------------------- */

static struct server *
any_up(struct sim *sim)
{
	struct lease_holders *w = sim->leases;
	unsigned n = (unsigned)prng_below(&w->prng, sim->conf.servers);

	for (unsigned i = 0; i < sim->conf.servers; i++) {
		struct server *s =
		    sim->server[(n + i) % (unsigned)sim->conf.servers];

		if (server_up(s) && s->paused_until == 0)
			return s;
	}
	return NULL;
}

static void
send_request(struct sim *sim, unsigned i, enum ask ask)
{
	static const char *const method[] = {
	    "lease.grant", "lease.renew", "lease.show"};
	struct lease_holders *w = sim->leases;
	struct holder *h = &w->holder[i];
	struct server *s = any_up(sim);
	struct frame frame;

	if (s == NULL || host_pause(s->host) != 0)
		return;
	h->open = true;
	h->ask = ask;
	h->msgid = (uint32_t)++w->requests;
	h->sent = sim->now;
	h->sent_jumps = sim->clock_jumps;
	mp_buf_reset(&w->buf);
	frame_put_request(&w->buf, h->msgid, method[ask]);
	mp_put_array(&w->buf, 1);
	mp_put_u64(&w->buf, ask == GRANT ? h->ttl_ms : h->lease);
	if (w->buf.failed || frame_parse(w->buf.data, w->buf.len, &frame) < 0)
		abort();
	host_client_request(s->host, LEASE_CLIENT | i, &frame, true);
	server_wake(s);
}

static uint64_t
draw_ttl(struct lease_holders *w)
{
	return 50 + (UINT64_C(1) << prng_below(&w->prng, 15)) +
	       prng_below(&w->prng, 1000);
}

/* What a holder does next, and when it looks again. */
static void
step(struct sim *sim, unsigned i)
{
	struct lease_holders *w = sim->leases;
	struct holder *h = &w->holder[i];
	uint64_t wait = h->ttl_ms / 4 + 1;

	/* Members converge on a log that comes to rest. */
	if (sim->phase == PHASE_CONVERGE)
		return;
	if (h->open &&
	    sim->now - h->sent < sim->conf.client_timeout_ms * SIM_MS) {
		wait = 5;
	} else {
		if (h->open && h->ask == RENEW)
			h->blurred = true;
		h->open = false;
		if (h->lease == 0) {
			h->ttl_ms = draw_ttl(w);
			h->renewals = (unsigned)prng_below(&w->prng, 6);
			h->blurred = false;
			send_request(sim, i, GRANT);
			wait = 5;
		} else if (h->renewals > 0) {
			h->renewals--;
			send_request(sim, i, RENEW);
			wait = prng_below(&w->prng, h->ttl_ms) + 1;
		} else {
			send_request(sim, i, SHOW);
			wait = prng_below(&w->prng, h->ttl_ms / 8 + 10) + 1;
		}
	}
	sim_at(sim, wait * SIM_MS, EV_LEASE, i, STEP, 0);
}

void
leases_sim_event(struct sim *sim, const struct event *ev)
{
	if (ev->a == STEP)
		step(sim, ev->who);
	else if (ev->a == SAMPLE)
		sample(sim);
	else
		clock_stops(sim, ev);
}

/* ---- the bounds -------------------------------------------------------- */

/* As many ms by a clock that goes ppm too fast, or too slow. */
static uint64_t
scaled_ns(uint64_t ms, int64_t ppm)
{
	return (uint64_t)((__int128)ms * SIM_MS * 1000000 / (1000000 + ppm));
}

/* What a jump may pass for without being told from a slow turn. */
static uint64_t
jump_ns(const struct sim *sim)
{
	return 2 * sim->conf.election_us * SIM_US + SIM_S;
}

static void
gone(struct sim *sim, struct holder *h)
{
	struct lease_holders *w = sim->leases;
	uint64_t there = sim->now - h->good_sent, least;
	uint64_t excuse = (sim->clock_jumps - h->jumps) * jump_ns(sim);

	least = scaled_ns(h->ttl_ms, (int64_t)sim->conf.drift_ppm);
	/* Stamps are whole milliseconds: one may be had at each end. */
	if (there + excuse + 2 * SIM_MS < least)
		sim_fail(sim,
		    "lease %" PRIu64 " of %" PRIu64 " ms was gone %" PRIu64
		    " ms after it was renewed",
		    h->lease, h->ttl_ms, there / SIM_MS);
	mark(MARK_LEASE_ENDED);
	if (w->leaders - h->leaders >= 10)
		mark(MARK_LEASE_TEN_LEADERS);
	if (mark_count(MARK_SNAPSHOT_BEGUN_WITH) +
		mark_count(MARK_SNAPSHOT_INSTALLED) >
	    h->snapshots)
		mark(MARK_LEASE_SNAPSHOT);
	h->lease = 0;
}

/* It is there, as of a read that began when this was sent. */
static void
there(struct sim *sim, const struct holder *h)
{
	struct lease_holders *w = sim->leases;
	uint64_t worked = w->work - h->work, most;
	uint64_t changes = w->leaders - h->work_leaders;
	uint64_t jumps = sim->clock_jumps - h->jumps;

	if (h->blurred || worked == 0)
		return;
	/* What was sampled since it was sent says nothing. */
	worked -= sim->now - h->sent < worked ? sim->now - h->sent : worked;
	most = scaled_ns(h->ttl_ms, -(int64_t)sim->conf.drift_ppm) +
	       (changes + jumps + 1) * jump_ns(sim) +
	       (changes + 1) * 4 * sim->conf.election_us * SIM_US;
	if (worked > most)
		sim_fail(sim,
		    "lease %" PRIu64 " of %" PRIu64
		    " ms is there after %" PRIu64
		    " ms with a leader, and %" PRIu64 " changes",
		    h->lease, h->ttl_ms, worked / SIM_MS, changes);
}

static void
renewed(struct sim *sim, struct holder *h)
{
	struct lease_holders *w = sim->leases;

	h->good_sent = h->sent;
	h->leaders = w->leaders;
	/* A clock may have jumped between the stamp and its answer. */
	h->jumps = h->sent_jumps;
	h->snapshots = mark_count(MARK_SNAPSHOT_BEGUN_WITH) +
		       mark_count(MARK_SNAPSHOT_INSTALLED);
	h->work = w->work;
	h->work_leaders = w->leaders;
}

static void
on_result(struct sim *sim, struct holder *h, struct mp_span raw)
{
	struct mp_cur c = mp_cur_span(raw);
	struct mp_map m;
	uint64_t lease = 0;

	if (mp_read_mapping(&c, &m) < 0 ||
	    mp_get_u64(&m, "lease", &lease) < 0 ||
	    (h->lease != 0 && lease != h->lease)) {
		sim_fail(sim, "a lease is answered by something else");
		return;
	}
	if (h->ask != GRANT)
		there(sim, h);
	h->lease = lease;
	if (h->ask == GRANT)
		mark(MARK_LEASE_GRANTED);
	if (h->ask != SHOW)
		renewed(sim, h);
}

void
leases_sim_reply(struct sim *sim, uint64_t client, const struct piece *pieces,
    unsigned count)
{
	struct lease_holders *w = sim->leases;
	struct holder *h = &w->holder[client & 0xff];
	struct wire_error e = {.status = WIRE_OK};
	struct frame f;
	struct mp_cur cur;

	mp_buf_reset(&w->buf);
	for (unsigned i = 0; i < count; i++)
		mp_put_raw(&w->buf, pieces[i].p, pieces[i].len);
	if (w->buf.failed || frame_parse(w->buf.data, w->buf.len, &f) < 0) {
		sim_fail(sim, "a holder gets what is no answer");
		return;
	}
	if (!h->open || f.msgid != h->msgid)
		return; /* too late */
	h->open = false;
	sim_trace(sim, f.msgid);
	cur = mp_cur_span(f.error);
	if (mp_peek(&cur) == MP_NIL) {
		on_result(sim, h, f.result);
		return;
	}
	wire_read_error(f.error, &e);
	if (e.status == WIRE_ABSENT && h->lease != 0)
		gone(sim, h);
	else if (h->ask == RENEW && !wire_status_info(e.status)->retry)
		h->blurred = true;
}
