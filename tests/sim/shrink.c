/*
 * shrink.c - a failing seed made smaller while it fails in the same way.
 *
 * First time (nothing after the failure matters), then the steps of the
 * nemesis by halving, then clients and servers, then every rate that can be
 * zero.  What counts as the same way: the words of the failure up to its
 * first number.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/sim/run.h"

#define SHRINK_RUNS_MAX 400
#define SHRINK_CPU_MAX 120.0

struct shrink {
	struct swarm_options best;
	struct run_result result; /* of best */
	unsigned runs;
	double cpu_s;
};

static size_t
kind_len(const char *failure)
{
	size_t n = 0;

	while (failure[n] != '\0' && !isdigit((unsigned char)failure[n]))
		n++;
	return n;
}

static bool
same_kind(const char *a, const char *b)
{
	size_t n = kind_len(a);

	return n == kind_len(b) && strncmp(a, b, n) == 0;
}

static bool
tired(const struct shrink *s)
{
	return s->runs >= SHRINK_RUNS_MAX || s->cpu_s >= SHRINK_CPU_MAX;
}

/* Keep it if it fails in the same way. */
static bool
try_options(struct shrink *s, const struct swarm_options *o)
{
	struct run_result r;

	if (tired(s))
		return false;
	run_child(o, 0, &r);
	s->runs++;
	s->cpu_s += r.cpu_s;
	if (!r.failed || !same_kind(s->result.failure, r.failure))
		return false;
	s->best = *o;
	s->result = r;
	return true;
}

static bool
try_knob(struct shrink *s, const char *name, uint64_t value)
{
	static struct swarm_options o;
	struct swarm conf;
	uint64_t now = 0;

	swarm_draw(&conf, &s->best);
	(void)swarm_get(&conf, name, &now);
	if (now == value)
		return false;
	o = s->best;
	return swarm_set(&o, name, value) && try_options(s, &o);
}

static void
shrink_time(struct shrink *s)
{
	struct swarm conf;
	uint64_t ms = s->result.simulated_ns / 1000000 + 1;

	swarm_draw(&conf, &s->best);
	if (ms > 1 && ms < conf.duration_ms)
		(void)try_knob(s, "duration_ms", ms);
	/* A failure of liveness: less chaos before it may do. */
	for (;;) {
		swarm_draw(&conf, &s->best);
		if (conf.duration_ms < 2 ||
		    !try_knob(s, "duration_ms", conf.duration_ms / 2))
			break;
	}
}

static void
drop_add(struct swarm_options *o, uint32_t step)
{
	unsigned i;

	if (o->drop_count == SWARM_DROPS_MAX || swarm_dropped(o, step))
		return;
	for (i = o->drop_count++; i > 0 && o->drop[i - 1] > step; i--)
		o->drop[i] = o->drop[i - 1];
	o->drop[i] = step;
}

static void
shrink_steps(struct shrink *s)
{
	static struct swarm_options o;
	uint32_t chunk = s->result.steps;

	for (; chunk > 0 && !tired(s); chunk /= 2) {
		for (uint32_t at = 0; at < s->result.steps; at += chunk) {
			unsigned before = s->best.drop_count;

			o = s->best;
			for (uint32_t k = at; k < at + chunk; k++)
				drop_add(&o, k);
			if (o.drop_count != before)
				(void)try_options(s, &o);
		}
	}
}

static void
shrink_knobs(struct shrink *s)
{
	static const struct {
		const char *name;
		uint64_t value;
	} simpler[] = {{"clients", 1}, {"clients", 2}, {"clients", 3},
	    {"servers", 2}, {"servers", 3}, {"keys", 1}, {"loss_ppm", 0},
	    {"dup_ppm", 0}, {"replay_ppm", 0}, {"datagram", 0},
	    {"store_spike_ppm", 0}, {"drift_ppm", 0}, {"clock_base", 0},
	    {"mix_delete", 0}, {"mix_append", 0}, {"mix_cas", 0},
	    {"mix_get", 0}, {"value_max", 16}, {"ids", 0},
	    {"client_sticky_ppm", 1000000}};

	for (size_t i = 0; i < sizeof(simpler) / sizeof(simpler[0]); i++)
		(void)try_knob(s, simpler[i].name, simpler[i].value);
}

void
run_shrink(
    const char *program, struct swarm_options *o, const struct run_result *r)
{
	static struct shrink s;

	s = (struct shrink){.best = *o, .result = *r};
	shrink_time(&s);
	shrink_steps(&s);
	shrink_knobs(&s);
	shrink_steps(&s);
	shrink_time(&s);
	*o = s.best;
	printf("shrunk in %u runs: at %.3f s: %s\nshrunk: ", s.runs,
	    (double)s.result.simulated_ns / 1e9, s.result.failure);
	run_command(program, o);
	fflush(stdout);
}
