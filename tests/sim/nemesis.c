/*
 * nemesis.c - what goes wrong, and when.
 */
#include "tests/sim/nemesis.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/check.h"
#include "tests/sim/client.h"
#include "tests/sim/net.h"
#include "tests/sim/server.h"

struct nemesis {
	uint32_t step;
	bool stopped;
	struct simdisk *old[SIM_SERVERS_MAX]; /* copies of disks, to restore */
	uint64_t old_starts[SIM_SERVERS_MAX]; /* of their servers then */
};

enum undo {
	UNDO_HEAL,
	UNDO_SPACE,
	UNDO_FLAP,
	UNDO_OLD_DISK,
};

static const uint32_t weights[FAULT_COUNT] = {
#define FAULT(name, text, beyond, weight) weight,
#include "tests/sim/faults.def"
#undef FAULT
};

void
nemesis_init(struct sim *sim)
{
	struct nemesis *n = sim_must(calloc(1, sizeof(*n)));
	unsigned victims = (unsigned)(sim->conf.servers - 1) / 2;
	unsigned first = (unsigned)(sim->conf.victims % sim->conf.servers);

	sim->nemesis = n;
	for (unsigned i = 0; i < victims; i++)
		sim->server[(first + i) % sim->conf.servers]->victim = true;
	if (sim->conf.faults != 0)
		sim_at(sim, SIM_S, EV_NEMESIS, 0, 0, 0);
}

void
nemesis_free(struct nemesis *n)
{
	if (n == NULL)
		return;
	for (int i = 0; i < SIM_SERVERS_MAX; i++)
		simdisk_free(n->old[i]);
	free(n);
}

uint32_t
nemesis_steps(const struct sim *sim)
{
	return sim->nemesis->step;
}

/* ---- picking ------------------------------------------------------------ */

static struct server *
any_server(struct sim *sim, struct prng *p)
{
	unsigned n = sim->server_count, i = (unsigned)prng_below(p, n);

	/* Those that were never started have nothing to lose. */
	for (unsigned tries = 0; tries < n && sim->server[i]->starts == 0;
	     tries++)
		i = (i + 1) % n;
	return sim->server[i];
}

/* One that is up, or NULL. */
static struct server *
any_up(struct sim *sim, struct prng *p)
{
	unsigned n = sim->server_count;
	unsigned first = (unsigned)prng_below(p, n);

	for (unsigned i = 0; i < n; i++)
		if (server_up(sim->server[(first + i) % n]))
			return sim->server[(first + i) % n];
	return NULL;
}

static struct server *
any_victim(struct sim *sim, struct prng *p)
{
	unsigned n = (unsigned)sim->conf.servers; /* no other is one */
	unsigned first = (unsigned)prng_below(p, n);

	for (unsigned i = 0; i < n; i++)
		if (sim->server[(first + i) % n]->victim)
			return sim->server[(first + i) % n];
	return NULL;
}

static uint64_t
length(struct sim *sim, struct prng *p)
{
	return prng_exp(p, sim->conf.fault_length_ms * SIM_MS) + SIM_MS;
}

static void
undo_in(struct sim *sim, uint64_t wait, enum undo what, uint64_t a)
{
	sim_at(sim, wait, EV_UNDO, (unsigned)what, a, 0);
}

/* ---- processes ---------------------------------------------------------- */

static void
crash(struct sim *sim, struct server *s, struct prng *p, bool power,
    bool midwrite)
{
	if (s == NULL)
		return;
	server_crash(s, power, midwrite);
	server_start_in(s, prng_exp(p, sim->conf.restart_ms * SIM_MS));
}

static void
crash_all(struct sim *sim, struct prng *p, bool power)
{
	mark(MARK_CRASH_ALL);
	for (unsigned i = 0; i < sim->server_count; i++)
		if (server_up(sim->server[i]))
			crash(sim, sim->server[i], p, power,
			    power && prng_ppm(p, 500000));
}

static void
crash_midwrite(struct sim *sim, struct prng *p)
{
	struct server *s = any_up(sim, p);
	bool power = prng_ppm(p, 700000);

	if (s == NULL)
		return;
	if (server_storing(s))
		crash(sim, s, p, power, true);
	else
		s->midwrite = power ? 2 : 1; /* at its next job */
}

static void
crash_recovery(struct sim *sim, struct prng *p)
{
	struct server *s = any_up(sim, p);

	if (s == NULL)
		return;
	s->recovery_crash = 1 + (unsigned)prng_below(p, 12);
	crash(sim, s, p, prng_ppm(p, 500000), true);
}

/* Half of those stopped in good order lead: what a user does to upgrade. */
static void
stop(struct sim *sim, struct prng *p)
{
	struct server *leader = server_leader(sim);
	struct server *any = any_server(sim, p);

	server_stop(leader != NULL && prng_ppm(p, 500000) ? leader : any);
}

/* ---- the network -------------------------------------------------------- */

static void
cut_both(struct sim *sim, unsigned a, unsigned b)
{
	net_cut(sim, a, b, true);
	net_cut(sim, b, a, true);
}

/* keep(i, k, arg) says which pairs stay connected. */
static void
graph(struct sim *sim, bool (*keep)(unsigned, unsigned, const unsigned *),
    const unsigned *arg)
{
	for (unsigned i = 0; i < sim->server_count; i++)
		for (unsigned k = 0; k < i; k++)
			if (!keep(i, k, arg))
				cut_both(sim, i, k);
}

/* arg: group of each server */
static bool
keep_groups(unsigned i, unsigned k, const unsigned *arg)
{
	return arg[i] == arg[k];
}

/* arg: side of each server, 2: the bridge */
static bool
keep_bridge(unsigned i, unsigned k, const unsigned *arg)
{
	return arg[i] == arg[k] || arg[i] == 2 || arg[k] == 2;
}

/* arg: place of each server in the row, and their number behind */
static bool
keep_chain(unsigned i, unsigned k, const unsigned *arg)
{
	return arg[i] + 1 == arg[k] || arg[k] + 1 == arg[i];
}

static bool
keep_ring(unsigned i, unsigned k, const unsigned *arg)
{
	unsigned n = arg[SIM_SERVERS_MAX];

	return (arg[i] + 1) % n == arg[k] || (arg[k] + 1) % n == arg[i];
}

static void
shuffle(struct sim *sim, struct prng *p, unsigned *place)
{
	unsigned who[SIM_SERVERS_MAX], n = 0;

	for (unsigned i = 0; i < sim->server_count; i++) {
		struct server *s = sim->server[i];

		place[i] = 3 * SIM_SERVERS_MAX + 2 * i; /* stands aside */
		if (s->starts > 0 && s->state != SERVER_GONE)
			who[n++] = i;
	}
	for (unsigned i = n; i > 1; i--) {
		unsigned k = (unsigned)prng_below(p, i), t = who[k];

		who[k] = who[i - 1];
		who[i - 1] = t;
	}
	for (unsigned i = 0; i < n; i++)
		place[who[i]] = i;
	place[SIM_SERVERS_MAX] = n > 0 ? n : 1;
}

static void
topology(struct sim *sim, enum fault f, struct prng *p)
{
	unsigned arg[SIM_SERVERS_MAX + 1] = {0};
	unsigned n = sim->server_count;

	if (prng_ppm(p, 500000))
		net_heal(sim);
	switch (f) {
	case FAULT_PARTITION:
		for (unsigned i = 0; i < n; i++)
			arg[i] =
			    (unsigned)prng_below(p, 2 + sim->conf.servers / 4);
		graph(sim, keep_groups, arg);
		mark(MARK_PARTITION);
		break;
	case FAULT_BRIDGE:
		for (unsigned i = 0; i < n; i++)
			arg[i] = (unsigned)prng_below(p, 2);
		arg[any_server(sim, p)->number] = 2;
		graph(sim, keep_bridge, arg);
		mark(MARK_BRIDGE);
		break;
	case FAULT_CHAIN:
		shuffle(sim, p, arg);
		graph(sim, keep_chain, arg);
		mark(MARK_CHAIN);
		break;
	default:
		shuffle(sim, p, arg);
		graph(sim, keep_ring, arg);
		mark(MARK_RING);
		break;
	}
	undo_in(sim, length(sim, p), UNDO_HEAL, 0);
}

static void
isolate(struct sim *sim, struct server *s, struct prng *p)
{
	if (s == NULL)
		return;
	for (unsigned i = 0; i < sim->server_count; i++)
		if (i != s->number)
			cut_both(sim, i, s->number);
	mark(MARK_ISOLATED);
	undo_in(sim, length(sim, p), UNDO_HEAL, 0);
}

static void
one_way(struct sim *sim, struct prng *p)
{
	unsigned s = any_server(sim, p)->number;
	bool out = prng_ppm(p, 500000), all = prng_ppm(p, 500000);
	unsigned other = any_server(sim, p)->number;

	for (unsigned i = 0; i < sim->server_count; i++)
		if (all || i == other)
			net_cut(sim, out ? s : i, out ? i : s, true);
	mark(MARK_ONE_WAY);
	undo_in(sim, length(sim, p), UNDO_HEAL, 0);
}

static void
pair_fault(struct sim *sim, enum fault f, struct prng *p)
{
	unsigned a = any_server(sim, p)->number;
	unsigned b = any_server(sim, p)->number;

	switch (f) {
	case FAULT_FLAP:
		mark(MARK_FLAP);
		undo_in(sim, SIM_MS, UNDO_FLAP, (12ull << 16) | (a << 8) | b);
		break;
	case FAULT_CLOG:
		net_clog(sim, a, b, length(sim, p));
		break;
	case FAULT_RESET:
		net_reset(sim, a, b);
		if (prng_ppm(p, 500000))
			net_reset(sim, b, a);
		break;
	default:
		for (unsigned i = 0; i < sim->server_count; i++)
			for (unsigned k = 0; k < sim->server_count; k++)
				net_garbage(sim, i, k);
		break;
	}
}

/* ---- disks and clocks --------------------------------------------------- */

static void
rot(struct sim *sim, struct server *s)
{
	char path[SIMDISK_PATH_MAX];
	uint64_t offset;

	if (s == NULL || s->state == SERVER_HALTED ||
	    !simdisk_rot(s->disk, "", path, sizeof(path), &offset))
		return;
	s->damaged = true;
	mark(MARK_ROT);
	sim_say(
	    sim, "s%u bit rot in %s at %" PRIu64, s->number + 1, path, offset);
}

static void
old_disk(struct sim *sim, struct prng *p)
{
	struct server *s = any_victim(sim, p);
	struct nemesis *n = sim->nemesis;

	if (s == NULL || n->old[s->number] != NULL)
		return;
	n->old[s->number] =
	    simdisk_clone(s->disk, sim->options.seed, s->number);
	n->old_starts[s->number] = s->starts;
	undo_in(sim, length(sim, p), UNDO_OLD_DISK, s->number);
}

static void
lost_disk(struct sim *sim, struct prng *p)
{
	struct server *s = any_victim(sim, p);

	if (s == NULL)
		return;
	server_crash(s, true, false);
	simdisk_wipe(s->disk);
	s->damaged = true;
	if (s->state == SERVER_HALTED)
		s->state = SERVER_DOWN;
	check_forget(s);
	mark(MARK_DISK_LOST);
	sim_say(sim, "s%u loses its disk", s->number + 1);
	server_start_in(s, length(sim, p));
}

static void
disk_fault(struct sim *sim, enum fault f, struct prng *p)
{
	struct server *s = any_server(sim, p);
	unsigned after = (unsigned)prng_below(p, 20);

	switch (f) {
	case FAULT_STALL:
		s->stalled_until = sim->now + length(sim, p);
		mark(MARK_DISK_STALL);
		break;
	case FAULT_NOSPACE:
		simdisk_space(s->disk, prng_below(p, 300000));
		mark(MARK_DISK_FULL);
		undo_in(sim, length(sim, p) * 2, UNDO_SPACE, s->number);
		break;
	case FAULT_WRITE_FAIL:
		simdisk_fail_write(s->disk, after);
		break;
	case FAULT_SYNC_FAIL:
		simdisk_fail_sync(s->disk, after);
		break;
	case FAULT_READ_FAIL:
		simdisk_fail_read(s->disk, after);
		break;
	case FAULT_ROT:
		rot(sim, any_victim(sim, p));
		break;
	case FAULT_ROT_MANY:
		rot(sim, s);
		break;
	case FAULT_OLD_DISK:
		old_disk(sim, p);
		break;
	default:
		lost_disk(sim, p);
		break;
	}
}

static void
clock_fault(struct sim *sim, enum fault f, struct prng *p)
{
	struct server *s = any_server(sim, p);
	uint64_t spread = sim->conf.drift_ppm;

	mark(MARK_CLOCK);
	switch (f) {
	case FAULT_CLOCK_JUMP:
		/* A clock that jumps is beyond any bound on its drift; what
		 * a sound clock shows instead is that time passed. */
		if (sim->conf.lease_drift_ppm != 0)
			server_pause(s, length(sim, p));
		else
			server_clock_jump(s, length(sim, p));
		break;
	case FAULT_CLOCK_DRIFT:
		server_clock_drift(s,
		    (int64_t)prng_below(p, 2 * spread + 1) - (int64_t)spread);
		break;
	default:
		s->wall_ms += prng_below(p, 20000000) - 10000000;
		break;
	}
}

/* ---- steps -------------------------------------------------------------- */

static enum fault
draw_fault(struct sim *sim, struct prng *p)
{
	uint64_t sum = 0, x;

	for (int f = 0; f < FAULT_COUNT; f++)
		if (sim->conf.faults & (1ull << f))
			sum += weights[f];
	if (sum == 0)
		return FAULT_HEAL;
	x = prng_below(p, sum);
	for (int f = 0; f < FAULT_COUNT; f++) {
		if (!(sim->conf.faults & (1ull << f)))
			continue;
		if (x < weights[f])
			return (enum fault)f;
		x -= weights[f];
	}
	return FAULT_HEAL;
}

static void
strike(struct sim *sim, enum fault f, struct prng *p)
{
	uint64_t wait;

	switch (f) {
	case FAULT_KILL:
	case FAULT_POWER:
		crash(sim, any_up(sim, p), p, f == FAULT_POWER, false);
		break;
	case FAULT_KILL_ALL:
	case FAULT_POWER_ALL:
		crash_all(sim, p, f == FAULT_POWER_ALL);
		break;
	case FAULT_MIDWRITE:
		crash_midwrite(sim, p);
		break;
	case FAULT_RECOVERY:
		crash_recovery(sim, p);
		break;
	case FAULT_KILL_LEADER:
		crash(sim, server_leader(sim), p, prng_ppm(p, 500000), true);
		break;
	case FAULT_PAUSE:
		/* One draw a statement: compilers choose their own order. */
		wait = length(sim, p);
		server_pause(any_server(sim, p), wait);
		break;
	case FAULT_ISOLATE:
		isolate(sim, any_server(sim, p), p);
		break;
	case FAULT_ISOLATE_LEADER:
		isolate(sim, server_leader(sim), p);
		break;
	case FAULT_ONEWAY:
		one_way(sim, p);
		break;
	case FAULT_PARTITION:
	case FAULT_BRIDGE:
	case FAULT_CHAIN:
	case FAULT_RING:
		topology(sim, f, p);
		break;
	case FAULT_FLAP:
	case FAULT_CLOG:
	case FAULT_RESET:
	case FAULT_GARBAGE:
		pair_fault(sim, f, p);
		break;
	case FAULT_HEAL:
		net_heal(sim);
		break;
	case FAULT_CLOCK_JUMP:
	case FAULT_CLOCK_DRIFT:
	case FAULT_WALL_JUMP:
		clock_fault(sim, f, p);
		break;
	case FAULT_CLIENT_GONE:
		clients_drop(sim, (unsigned)prng_below(p, sim->conf.clients));
		break;
	case FAULT_STOP:
		stop(sim, p);
		break;
	default:
		disk_fault(sim, f, p);
		break;
	}
}

static void
on_step(struct sim *sim)
{
	struct nemesis *n = sim->nemesis;
	uint32_t step = n->step++;
	struct prng p;
	enum fault f;
	uint64_t wait;

	prng_init(&p, sim->options.seed, ((uint64_t)PRNG_NEMESIS << 32) + step);
	wait = prng_exp(&p, sim->conf.nemesis_ms * SIM_MS) + SIM_MS;
	sim_at(sim, wait, EV_NEMESIS, 0, 0, 0);
	f = draw_fault(sim, &p);
	if (swarm_dropped(&sim->options, step))
		return;
	sim_say(sim, "step %" PRIu32 ": %s", step, fault_name(f));
	strike(sim, f, &p);
}

static void
on_undo(struct sim *sim, const struct event *ev)
{
	struct nemesis *n = sim->nemesis;
	struct server *s;
	unsigned a = (unsigned)(ev->a >> 8) & 0xff, b = ev->a & 0xff;

	switch ((enum undo)ev->who) {
	case UNDO_HEAL:
		net_heal(sim);
		break;
	case UNDO_SPACE:
		simdisk_space(sim->server[ev->a]->disk, UINT64_MAX);
		break;
	case UNDO_FLAP:
		if (ev->a >> 16 == 0)
			break;
		net_cut(sim, a, b, (ev->a >> 16) % 2 == 0);
		net_cut(sim, b, a, (ev->a >> 16) % 2 == 0);
		undo_in(sim, sim->conf.election_us * SIM_US / 2, UNDO_FLAP,
		    ev->a - (1 << 16));
		break;
	case UNDO_OLD_DISK:
		s = sim->server[ev->a];
		/* What tells an old copy from the disk that was there is its
		 * boot counter: the server has started since. */
		if (s->starts == n->old_starts[ev->a]) {
			server_crash(s, false, false);
			server_start_in(s, SIM_MS);
			undo_in(sim, sim->conf.election_us * SIM_US * 4,
			    UNDO_OLD_DISK, ev->a);
			break;
		}
		server_crash(s, true, false);
		simdisk_free(s->disk);
		s->disk = n->old[ev->a];
		n->old[ev->a] = NULL;
		s->damaged = true;
		if (s->state == SERVER_HALTED)
			s->state = SERVER_DOWN;
		check_forget(s);
		mark(MARK_DISK_OLD);
		sim_say(sim, "s%u gets an old disk", s->number + 1);
		server_start_in(s, SIM_MS);
		break;
	}
}

void
nemesis_event(struct sim *sim, const struct event *ev)
{
	if (sim->nemesis->stopped)
		return;
	if (ev->what == EV_UNDO)
		on_undo(sim, ev);
	else
		on_step(sim);
}

/* A server of the quorum has no fault left. */
static void
heal_server(struct sim *sim, struct server *s, uint32_t quorum)
{
	simdisk_heal(s->disk);
	server_unstall(s);
	s->midwrite = 0;
	s->recovery_crash = 0;
	server_resume(s);
	for (unsigned i = 0; i < sim->server_count; i++) {
		if (!(quorum & (1u << i)))
			continue;
		net_cut(sim, s->number, i, false);
		net_clog(sim, s->number, i, 0);
	}
	if (s->stopping)
		server_crash(s, false, false);
	if (s->state == SERVER_DOWN)
		server_start_in(s, prng_below(&s->crash_prng, SIM_MS));
}

/*
 * Who must be live from now on: enough for a majority of the committed
 * configuration, and of each that stands behind it in some log and may yet
 * come into force.  With a change under way all of their members: which of
 * them get a vote is for the leader to say.
 */
static bool
suffices(struct sim *sim, uint32_t quorum)
{
	const struct raft_config *c;

	for (unsigned i = 0; (c = check_config(sim, i)) != NULL; i++)
		if (!config_majority(sim, c, quorum))
			return false;
	return true;
}

static uint32_t
members_of_all(struct sim *sim)
{
	const struct raft_config *c;
	uint32_t who = 0;

	for (unsigned i = 0; (c = check_config(sim, i)) != NULL; i++)
		for (unsigned k = 0; k < sim->server_count; k++)
			if (config_has(c, sim->server[k]->id))
				who |= 1u << k;
	return who;
}

static bool
can_be_live(const struct server *s)
{
	return !s->damaged && s->state != SERVER_HALTED &&
	       s->state != SERVER_GONE && s->starts > 0;
}

uint32_t
nemesis_heal_quorum(struct sim *sim)
{
	struct prng p;
	uint32_t quorum = 0, members = members_of_all(sim);
	bool with_all;

	prng_init(&p, sim->options.seed, PRNG_LIVENESS);
	sim->nemesis->stopped = true;
	net_calm(sim);
	with_all = prng_ppm(&p, 300000) || sim->conf.spares > 0;
	for (unsigned tries = 0; tries < 1000 && !suffices(sim, quorum);
	     tries++) {
		struct server *s = any_server(sim, &p);

		if (can_be_live(s) && (members & (1u << s->number)))
			quorum |= 1u << s->number;
	}
	if (!suffices(sim, quorum))
		return 0; /* beyond the promises: nothing must be live */
	for (unsigned i = 0; with_all && i < sim->server_count; i++)
		if (can_be_live(sim->server[i]) && (members & (1u << i)))
			quorum |= 1u << i;
	for (unsigned i = 0; i < sim->server_count; i++)
		if (quorum & (1u << i))
			heal_server(sim, sim->server[i], quorum);
	return quorum;
}
