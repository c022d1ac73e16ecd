/*
 * swarm.h - what one seed decides before anything happens.
 *
 * Each seed draws its own cluster, rates and set of faults: a run in which
 * everything goes wrong at once hides bugs that need a quiet corner.  Every
 * field has a name, is printed, and can be overridden with `--set name=n`,
 * which is also how shrinking works.
 */
#ifndef TESTS_SIM_SWARM_H
#define TESTS_SIM_SWARM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SIM_SERVERS_MAX 16
#define SIM_CLIENTS_MAX 32
#define SWARM_OVERRIDES_MAX 128
#define SWARM_DROPS_MAX 4096

/* What the nemesis may do; the order is part of what a seed means. */
enum fault {
#define FAULT(name, text, beyond, weight) FAULT_##name,
#include "tests/sim/faults.def"
#undef FAULT
	FAULT_COUNT
};
const char *fault_name(enum fault);
/* FAULT_COUNT: no such fault. */
enum fault fault_by_name(const char *);

enum profile {
	PROFILE_NORMAL, /* guarantees.md holds */
	PROFILE_BEYOND, /* more than it promises: a safe halt will do */
};

struct swarm {
#define KNOB(name) uint64_t name;
#include "tests/sim/knobs.def"
#undef KNOB
};

struct swarm_override {
	char name[32];
	uint64_t value;
};

struct swarm_options {
	uint64_t seed;
	enum profile profile;
	struct swarm_override set[SWARM_OVERRIDES_MAX];
	unsigned set_count;
	uint64_t without; /* faults, by bit, that do not happen */
	/* Steps of the nemesis, by number, that do not happen. */
	uint32_t drop[SWARM_DROPS_MAX];
	unsigned drop_count;
};

void swarm_draw(struct swarm *, const struct swarm_options *);
void swarm_print(const struct swarm *, const struct swarm_options *, FILE *);
bool swarm_knob(const char *name); /* does such a knob exist? */
bool swarm_get(const struct swarm *, const char *name, uint64_t *);
/* Replaces an earlier override of the same name; false when full. */
bool swarm_set(struct swarm_options *, const char *name, uint64_t value);
bool swarm_dropped(const struct swarm_options *, uint32_t step);

#endif
