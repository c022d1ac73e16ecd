/*
 * sim.c - one run of the simulated world.
 */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/admin.h"
#include "tests/sim/check.h"
#include "tests/sim/client.h"
#include "tests/sim/lease.h"
#include "tests/sim/nemesis.h"
#include "tests/sim/net.h"
#include "tests/sim/server.h"

/* In election timeouts, as design/testing.md asks. */
#define LEADER_WITHIN 10
#define ANSWERS_WITHIN 20
#define CONVERGE_WITHIN 20
#define ABREAST_ENTRIES 256
#define EVENTS_MAX 400000000ull /* of one run: beyond, it is a storm */

void *
sim_must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

void
sim_fail(struct sim *sim, const char *fmt, ...)
{
	va_list ap;

	if (sim->failed)
		return;
	sim->failed = true;
	va_start(ap, fmt);
	(void)vsnprintf(sim->failure, sizeof(sim->failure), fmt, ap);
	va_end(ap);
	sim_say(sim, "FAILED: %s", sim->failure);
}

void
sim_say(struct sim *sim, const char *fmt, ...)
{
	va_list ap;

	if (!sim->verbose)
		return;
	printf("%10.6f ", (double)sim->now / (double)SIM_S);
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void
sim_trace(struct sim *sim, uint64_t word)
{
	sim->trace = prng_mix(sim->trace, word);
}

void
sim_trace_bytes(struct sim *sim, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t w;

	sim_trace(sim, len);
	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&w, p, 8);
		sim_trace(sim, w);
	}
	for (w = 0; len > 0; p++, len--)
		w = w << 8 | *p;
	sim_trace(sim, w);
}

void
sim_at(struct sim *sim, uint64_t delay, enum what what, unsigned who,
    uint64_t a, uint32_t b)
{
	uint64_t at;

	if (__builtin_add_overflow(sim->now, delay, &at))
		return; /* never */
	events_add(&sim->events, at, (uint16_t)what, (uint16_t)who, a, b);
}

struct sim *
sim_new(const struct swarm_options *options, unsigned verbose)
{
	struct sim *sim = sim_must(calloc(1, sizeof(*sim)));

	sim->options = *options;
	sim->verbose = verbose;
	swarm_draw(&sim->conf, options);
	sim->server_count = (unsigned)(sim->conf.servers + sim->conf.spares);
	events_init(&sim->events);
	check_init(sim);
	net_init(sim);
	for (unsigned i = 0; i < sim->server_count; i++)
		server_init(sim, i);
	check_bootstrap(sim);
	clients_init(sim);
	admin_init(sim);
	leases_sim_init(sim);
	nemesis_init(sim);
	for (unsigned i = 0; i < sim->conf.servers; i++)
		server_start_in(sim->server[i],
		    prng_below(&sim->server[i]->crash_prng, 100 * SIM_MS));
	sim_at(sim, sim->conf.duration_ms * SIM_MS, EV_PHASE, 0, PHASE_LIVENESS,
	    0);
	return sim;
}

void
sim_free(struct sim *sim)
{
	if (sim == NULL)
		return;
	for (unsigned i = 0; i < sim->server_count; i++)
		server_free(sim->server[i]);
	nemesis_free(sim->nemesis);
	admin_free(sim->admin);
	leases_sim_free(sim->leases);
	clients_free(sim->clients);
	net_free(sim->net);
	check_free(sim->checker);
	events_release(&sim->events);
	free(sim);
}

/* ---- liveness ----------------------------------------------------------- */

static uint64_t
elections(const struct sim *sim, uint64_t n)
{
	return sim->conf.election_us * SIM_US * n;
}

/* Neither direction between them is cut: what is outside the quorum keeps
 * its faults, and may lead nevertheless. */
static bool
connected(struct sim *sim, unsigned a, unsigned b)
{
	return !net_is_cut(sim, a, b) && !net_is_cut(sim, b, a);
}

/* Those of the quorum that are its members and that the leader can talk to; 0
 * if there is none. */
static uint32_t
followers(struct sim *sim)
{
	struct server *leader = server_leader(sim);
	struct raft_status st;
	uint32_t who = 0;

	if (leader == NULL || !server_status(leader, &st))
		return 0;

	for (unsigned i = 0; i < sim->server_count; i++)
		if ((sim->quorum & (1u << i)) &&
		    config_has(&st.config, sim->server[i]->id) &&
		    connected(sim, i, leader->number))
			who |= 1u << i;
	return who;
}

/*
 * A leader, in the quorum or not, whom a majority follows, and with it all
 * of the quorum who can hear it.
 */
static bool
has_ready_leader(struct sim *sim)
{
	struct server *leader = server_leader(sim);
	struct raft_status st, mine;
	uint32_t follow = 0;

	if (leader == NULL || !server_status(leader, &st) || !st.ready)
		return false;
	for (unsigned i = 0; i < sim->server_count; i++) {
		bool follows = server_status(sim->server[i], &mine) &&
			       mine.hard.term == st.hard.term &&
			       mine.leader == leader->id;

		if (follows)
			follow |= 1u << i;
		if ((sim->quorum & (1u << i)) &&
		    config_has(&st.config, sim->server[i]->id) &&
		    connected(sim, i, leader->number) && !follows)
			return false;
	}
	return config_majority(sim, &st.config, follow) && followers(sim) != 0;
}

/* Those of them that are not far behind: who is may still converge, but to
 * read there takes its time. */
static uint32_t
abreast(struct sim *sim, uint32_t who)
{
	struct raft_status st;
	uint32_t near = 0;

	for (unsigned i = 0; i < sim->server_count; i++)
		if ((who & (1u << i)) && server_status(sim->server[i], &st) &&
		    st.applied + ABREAST_ENTRIES >= check_committed(sim))
			near |= 1u << i;
	return near != 0 ? near : who;
}

static void
describe(struct sim *sim)
{
	struct raft_status st;

	for (unsigned i = 0; i < sim->server_count; i++) {
		if (server_status(sim->server[i], &st))
			sim_say(sim,
			    "s%u %s term %" PRIu64 " vote %" PRIu64
			    " leader %" PRIu64 " last %" PRIu64 "/%" PRIu64
			    " commit %" PRIu64 " applied %" PRIu64 "%s",
			    i + 1, raft_role_name(st.role), st.hard.term,
			    st.hard.vote, st.leader, st.last, st.last_term,
			    st.commit, st.applied,
			    sim->quorum & (1u << i) ? " quorum" : "");
		else
			sim_say(sim, "s%u down, state %d", i + 1,
			    sim->server[i]->state);
	}
}

static void
phase_liveness(struct sim *sim)
{
	if (sim->phase == PHASE_CHAOS) {
		sim->phase = PHASE_LIVENESS;
		clients_stop(sim);
		admin_stop(sim);
		sim->quorum = nemesis_heal_quorum(sim);
		sim_say(sim, "healed quorum %#x", sim->quorum);
		sim->phase_until = sim->now + elections(sim, LEADER_WITHIN);
		if (sim->quorum == 0) {
			mark(MARK_NO_QUORUM);
			sim->phase = PHASE_DONE;
			return;
		}
	} else if (has_ready_leader(sim)) {
		mark(MARK_LIVE_LEADER);
		sim->phase = PHASE_ANSWERS;
		clients_resume(sim, abreast(sim, followers(sim)));
		sim->phase_until = sim->now + elections(sim, ANSWERS_WITHIN);
		sim_at(sim, elections(sim, ANSWERS_WITHIN / 2), EV_PHASE, 0,
		    PHASE_ANSWERS, 0);
		return;
	} else if (sim->now > sim->phase_until) {
		describe(sim);
		sim_fail(sim,
		    "liveness: no leader within %d election "
		    "timeouts of healing",
		    LEADER_WITHIN);
		return;
	}
	sim_at(sim, elections(sim, 1) / 4, EV_PHASE, 0, PHASE_LIVENESS, 0);
}

static void
phase_answers(struct sim *sim)
{
	clients_stop(sim);
	if (clients_open(sim) == 0) {
		mark(MARK_LIVE_ANSWERS);
		sim->phase = PHASE_CONVERGE;
		sim->phase_until = sim->now + elections(sim, CONVERGE_WITHIN);
		sim_at(sim, 0, EV_PHASE, 0, PHASE_CONVERGE, 0);
	} else if (sim->now > sim->phase_until) {
		describe(sim);
		sim_fail(sim,
		    "liveness: %u operations not answered within "
		    "%d election timeouts",
		    clients_open(sim), ANSWERS_WITHIN);
	} else {
		sim_at(
		    sim, elections(sim, 1) / 4, EV_PHASE, 0, PHASE_ANSWERS, 0);
	}
}

/* The entries that these have applied, all together. */
static uint64_t
applied_by(struct sim *sim, uint32_t who)
{
	struct raft_status st;
	uint64_t sum = 0;

	for (unsigned i = 0; i < sim->server_count; i++)
		if ((who & (1u << i)) && server_status(sim->server[i], &st))
			sum += st.applied;
	return sum;
}

/* A joint configuration is left, by whoever leads. */
static bool
change_done(struct sim *sim)
{
	struct raft_status st;

	return server_status(server_leader(sim), &st) && !st.config.joint;
}

static void
phase_converge(struct sim *sim)
{
	uint32_t who = followers(sim);
	uint64_t applied = applied_by(sim, who);

	/* Who is thousands of entries behind, two in a message, may take its
	 * time as long as it gets on. */
	if (applied > sim->converged) {
		sim->converged = applied;
		sim->phase_until = sim->now + elections(sim, CONVERGE_WITHIN);
	}

	if (who != 0 && has_ready_leader(sim) && change_done(sim) &&
	    check_converged(sim, who)) {
		mark(MARK_LIVE_CONVERGED);
		sim->phase = PHASE_DONE;
	} else if (sim->now > sim->phase_until) {
		describe(sim);
		sim_fail(sim,
		    "liveness: members did not converge within %d "
		    "election timeouts",
		    CONVERGE_WITHIN);
	} else {
		sim_at(
		    sim, elections(sim, 1) / 4, EV_PHASE, 0, PHASE_CONVERGE, 0);
	}
}

/* ---- the loop ----------------------------------------------------------- */

static void
dispatch(struct sim *sim, const struct event *ev)
{
	switch ((enum what)ev->what) {
	case EV_TURN:
	case EV_TIMER:
	case EV_STORE:
	case EV_STORED:
	case EV_STORE_IDLE:
	case EV_SNAPSHOT:
	case EV_START:
	case EV_RESUME:
		server_event(sim, ev);
		break;
	case EV_DELIVER:
	case EV_DATAGRAM:
	case EV_LINK_DIAL:
	case EV_LINK_BROKEN:
	case EV_LINK_NOTICE:
		net_event(sim, ev);
		break;
	case EV_CLIENT:
	case EV_CLIENT_CALL:
	case EV_CLIENT_REPLY:
	case EV_CLIENT_LATE:
		clients_event(sim, ev);
		break;
	case EV_OPERATOR:
		admin_event(sim, ev);
		break;
	case EV_LEASE:
		leases_sim_event(sim, ev);
		break;
	case EV_NEMESIS:
	case EV_UNDO:
		nemesis_event(sim, ev);
		break;
	case EV_PHASE:
		if (ev->a == PHASE_LIVENESS)
			phase_liveness(sim);
		else if (ev->a == PHASE_ANSWERS)
			phase_answers(sim);
		else
			phase_converge(sim);
		break;
	}
}

int
sim_run(struct sim *sim)
{
	struct event ev;

	while (!sim->failed && sim->phase != PHASE_DONE &&
	       events_next(&sim->events, &ev)) {
		sim->now = ev.at;
		sim->event_count++;
		sim_trace(sim, ev.at ^ (uint64_t)ev.what << 56);
		dispatch(sim, &ev);
		if (sim->event_count > EVENTS_MAX)
			sim_fail(sim, "more than %llu events", EVENTS_MAX);
	}
	return sim->failed ? 1 : 0;
}
