/*
 * swarm.c - what one seed decides before anything happens.
 */
#include "tests/sim/swarm.h"

#include <inttypes.h>
#include <string.h>

#include "tests/sim/prng.h"

static const struct {
	const char *name;
	bool beyond;
} faults[FAULT_COUNT] = {
#define FAULT(name, text, beyond, weight) {text, beyond},
#include "tests/sim/faults.def"
#undef FAULT
};

static const char *const knobs[] = {
#define KNOB(name) #name,
#include "tests/sim/knobs.def"
#undef KNOB
};
#define KNOBS (sizeof(knobs) / sizeof(knobs[0]))

_Static_assert(sizeof(struct swarm) == KNOBS * sizeof(uint64_t),
    "struct swarm is an array of knobs");
_Static_assert(FAULT_COUNT <= 64, "the set of faults is one word");

const char *
fault_name(enum fault f)
{
	return faults[f].name;
}

enum fault
fault_by_name(const char *name)
{
	int f;

	for (f = 0; f < FAULT_COUNT; f++)
		if (strcmp(faults[f].name, name) == 0)
			break;
	return (enum fault)f;
}

static uint64_t *
knob(struct swarm *s, const char *name)
{
	for (size_t i = 0; i < KNOBS; i++)
		if (strcmp(knobs[i], name) == 0)
			return (uint64_t *)s + i;
	return NULL;
}

bool
swarm_knob(const char *name)
{
	struct swarm s;

	return knob(&s, name) != NULL;
}

bool
swarm_get(const struct swarm *s, const char *name, uint64_t *value)
{
	struct swarm copy = *s;
	uint64_t *k = knob(&copy, name);

	if (k == NULL)
		return false;
	*value = *k;
	return true;
}

bool
swarm_set(struct swarm_options *o, const char *name, uint64_t value)
{
	for (unsigned i = 0; i < o->set_count; i++) {
		if (strcmp(o->set[i].name, name) == 0) {
			o->set[i].value = value;
			return true;
		}
	}
	if (o->set_count == SWARM_OVERRIDES_MAX)
		return false;
	snprintf(o->set[o->set_count].name, sizeof(o->set[0].name), "%s", name);
	o->set[o->set_count++].value = value;
	return true;
}

bool
swarm_dropped(const struct swarm_options *o, uint32_t step)
{
	for (unsigned i = 0; i < o->drop_count; i++)
		if (o->drop[i] == step)
			return true;
	return false;
}

/* One of n values. */
static uint64_t
one_of(struct prng *p, const uint64_t *values, size_t n)
{
	return values[prng_below(p, n)];
}
#define ONE_OF(p, ...)                             \
	one_of(p, (const uint64_t[]){__VA_ARGS__}, \
	    sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

/* lo..hi, each order of magnitude as likely as the next. */
static uint64_t
magnitude(struct prng *p, uint64_t lo, uint64_t hi)
{
	unsigned doublings = 0;
	uint64_t base;

	while ((lo << doublings) < hi)
		doublings++;
	base = lo << prng_below(p, doublings + 1);
	base += prng_below(p, base);
	return base > hi ? hi : base;
}

static void
draw_cluster(struct swarm *s, struct prng *p)
{
	s->servers = ONE_OF(p, 3, 3, 3, 5, 5, 5, 1, 2, 4, 7);
	s->clients = prng_range(p, 1, 10);
	s->duration_ms = magnitude(p, 10000, 80000);
	s->heartbeat_us = magnitude(p, 10000, 200000);
	s->election_us = s->heartbeat_us * prng_range(p, 5, 15);
	s->request_timeout_ms = magnitude(p, 200, 20000);
	s->think_us = magnitude(p, 500, 500000);
	s->client_timeout_ms = magnitude(p, 100, 10000);
	s->client_sticky_ppm = ONE_OF(p, 0, 500000, 900000, 1000000);
	s->keys = magnitude(p, 1, 64);
	s->value_max = ONE_OF(p, 16, 16, 16, 100, 1000, 20000);
	s->mix_put = prng_range(p, 0, 10) + 1;
	s->mix_get = prng_range(p, 0, 10) + 1;
	s->mix_cas = prng_range(p, 0, 5);
	s->mix_append = prng_range(p, 0, 5);
	s->mix_delete = prng_range(p, 0, 2);
	s->append_entries_max = ONE_OF(p, 1, 2, 16, 256, 1024);
	s->inflight_bytes_max = ONE_OF(p, 4096, 65536, 1 << 20, 8 << 20);
	s->uncommitted_bytes_max = ONE_OF(p, 65536, 1 << 20, 64 << 20);
	s->cache_bytes_max = ONE_OF(p, 4096, 65536, 1 << 20, 16 << 20);
	s->segment_size = ONE_OF(p, 65536, 65536, 131072, 1 << 18);
	s->ids = prng_below(p, 4) == 0;
	s->victims = prng_below(p, 1u << 31);
	s->snapshot_entries = ONE_OF(p, 0, 20, 100, 500);
	s->spares = ONE_OF(p, 0, 0, 2, 5, 7);
	s->operator_ms = s->spares > 0 ? magnitude(p, 200, 5000) : 0;
	s->removed_stay = prng_below(p, 2);
	s->session_ppm = ONE_OF(p, 0, 0, 300000, 1000000);
}

static void
draw_network(struct swarm *s, struct prng *p)
{
	uint64_t cap = s->heartbeat_us / 4;

	s->delay_us = magnitude(p, 20, cap < 40 ? 40 : cap);
	s->delay_floor_us = prng_below(p, s->delay_us + 1);
	s->datagram = prng_below(p, 3) == 0;
	s->loss_ppm = ONE_OF(p, 0, 1000, 10000, 100000, 300000);
	s->dup_ppm = ONE_OF(p, 0, 1000, 50000, 500000);
	s->replay_ppm = ONE_OF(p, 0, 0, 1000, 20000);
	s->dial_ms = magnitude(p, 1, 500);
	/* raftd dials anew after a quarter of the election timeout at the
	 * latest, and asks the kernel to give up on silence after one. */
	if (s->dial_ms > s->election_us / 4000)
		s->dial_ms = s->election_us / 4000;
	s->link_timeout_ms = s->election_us / 1000 * prng_range(p, 1, 4);
}

static void
draw_machines(struct swarm *s, struct prng *p)
{
	s->store_us = magnitude(p, 20, s->heartbeat_us / 4);
	s->store_spike_ppm = ONE_OF(p, 0, 0, 1000, 10000);
	s->store_batch_max = ONE_OF(p, 1, 4, 64);
	s->turn_us = ONE_OF(p, 1, 10, 100, 1000);
	/* Just before a counter of milliseconds passes 31, 32 or 53 bits, or
	 * one of nanoseconds 63. */
	s->clock_base = ONE_OF(p, 0, 1000000, (1ull << 31) * 1000000,
	    (1ull << 32) * 1000000, 0x7fffffffffffffffull);
	s->drift_ppm = ONE_OF(p, 0, 100, 10000, 50000);
}

static void
draw_faults(struct swarm *s, struct prng *p, enum profile profile)
{
	s->nemesis_ms = magnitude(p, 50, 5000);
	s->fault_length_ms = magnitude(p, 50, 10000);
	s->restart_ms = magnitude(p, 1, 5000);
	/* Each fault is in with a chance that the seed draws too, and one
	 * seed in sixteen has none at all. */
	uint32_t ppm = (uint32_t)ONE_OF(p, 100000, 300000, 500000, 900000);
	bool none = prng_below(p, 16) == 0;

	for (int f = 0; f < FAULT_COUNT; f++) {
		bool in = prng_ppm(p, ppm);

		if (in && !none && !(faults[f].beyond && profile == 0))
			s->faults |= 1ull << f;
	}
	s->faults |= 1ull << FAULT_HEAL;
}

/*
 * Leases in half of the runs, from a stream of their own so that the seeds
 * that are kept stay what they are.  The bound is the drift that the clocks
 * have, or a little more; beyond the promises no lease is of any use.
 */
static void
draw_reads(struct swarm *s, const struct swarm_options *o)
{
	struct prng p;

	prng_init(&p, o->seed, PRNG_READS);
	s->forward_reads = prng_below(&p, 4) == 0;
	if (o->profile != PROFILE_NORMAL || prng_below(&p, 2) == 0)
		return;
	s->lease_drift_ppm = s->drift_ppm + ONE_OF(&p, 1, 100, 20000);
	s->lease_ppm = ONE_OF(&p, 300000, 1000000);
}

/* Streams of their own again: what was drawn before stays what it was. */
static void
draw_leases(struct swarm *s, const struct swarm_options *o)
{
	struct prng p;

	prng_init(&p, o->seed, PRNG_LEASE);
	if (o->profile == PROFILE_NORMAL)
		s->leases = ONE_OF(&p, 0, 0, 0, 2, 4, 8);
}

/*
 * Each restart reads the whole log, so many restarts of a long log would eat
 * the time of many other seeds: a busy nemesis has a shorter run, and one
 * run has operations in the tens of thousands at most.
 */
static void
bound_work(struct swarm *s)
{
	uint64_t ops_max = 30000, least_us;

	/* Client, follower, leader, followers, and all the way back: who gives
	 * up before that is never answered. */
	least_us = 2 * 6 * (s->delay_floor_us + s->delay_us);
	if (s->client_timeout_ms < least_us / 1000)
		s->client_timeout_ms = least_us / 1000;
	if (s->duration_ms > s->nemesis_ms * 200)
		s->duration_ms = s->nemesis_ms * 200;
	least_us = s->duration_ms * 1000 * s->clients / ops_max;
	if (s->think_us < least_us)
		s->think_us = least_us;
}

void
swarm_draw(struct swarm *s, const struct swarm_options *o)
{
	struct prng p;

	prng_init(&p, o->seed, PRNG_SWARM + (o->profile << 16));
	*s = (struct swarm){0};
	draw_cluster(s, &p);
	draw_network(s, &p);
	draw_machines(s, &p);
	draw_faults(s, &p, o->profile);
	draw_reads(s, o);
	draw_leases(s, o);
	/* Which servers' disks may go bad is a minority of those at the
	 * beginning, and need not be one of those that are left. */
	if (o->profile != PROFILE_NORMAL)
		s->spares = s->operator_ms = 0;
	if (s->spares > 0)
		s->faults &= ~(1ull << FAULT_ROT);
	s->checks = 1;
	bound_work(s);
	for (unsigned i = 0; i < o->set_count; i++) {
		uint64_t *k = knob(s, o->set[i].name);

		if (k != NULL)
			*k = o->set[i].value;
	}
	s->faults &= ~o->without;
	if (s->servers < 1)
		s->servers = 1;
	if (s->servers > SIM_SERVERS_MAX / 2)
		s->servers = SIM_SERVERS_MAX / 2;
	if (s->spares > SIM_SERVERS_MAX / 2)
		s->spares = SIM_SERVERS_MAX / 2;
	if (s->clients > SIM_CLIENTS_MAX)
		s->clients = SIM_CLIENTS_MAX;
}

void
swarm_print(const struct swarm *s, const struct swarm_options *o, FILE *f)
{
	struct swarm copy = *s;

	fprintf(f, "seed %" PRIu64 " profile %s\n", o->seed,
	    o->profile == PROFILE_NORMAL ? "normal" : "beyond");
	for (size_t i = 0; i < KNOBS; i++)
		fprintf(f, "%s%s=%" PRIu64 "%s", i % 6 == 0 ? "  " : " ",
		    knobs[i], ((uint64_t *)&copy)[i],
		    i % 6 == 5 || i + 1 == KNOBS ? "\n" : "");
	fprintf(f, "  faults:");
	for (int i = 0; i < FAULT_COUNT; i++)
		if (s->faults & (1ull << i))
			fprintf(f, " %s", faults[i].name);
	fprintf(f, "\n");
}
