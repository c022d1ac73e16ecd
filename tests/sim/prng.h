/*
 * prng.h - the simulator's randomness: one seed, many independent streams.
 *
 * Every source of chance (network, each disk, clients, nemesis ...) draws
 * from a stream of its own, so that one more draw in one of them does not
 * move the others, and a shrunk run stays as close as it can to the first.
 *
 * xoshiro256** seeded by splitmix64 (Blackman and Vigna).
 */
#ifndef TESTS_SIM_PRNG_H
#define TESTS_SIM_PRNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct prng {
	uint64_t s[4];
};

/* The names of the streams; a server's own are name + its number. */
enum prng_stream {
	PRNG_SWARM = 1,
	PRNG_NEMESIS,
	PRNG_LIVENESS,
	PRNG_OPERATOR,
	PRNG_NET = 100,
	PRNG_DISK = 200,
	PRNG_STORE = 300,
	PRNG_CLIENT = 400,
	PRNG_CRASH = 500,
	PRNG_CLOCK = 600,
	PRNG_READS = 700,
	PRNG_LEASE = 800,
};

void prng_init(struct prng *, uint64_t seed, uint64_t stream);
uint64_t prng_next(struct prng *);
/* Uniform in [0, n); 0 if n is 0. */
uint64_t prng_below(struct prng *, uint64_t n);
/* Uniform in [lo, hi]. */
uint64_t prng_range(struct prng *, uint64_t lo, uint64_t hi);
/* True with probability ppm in a million. */
bool prng_ppm(struct prng *, uint32_t ppm);
/* Exponential with this mean, never above 20 times it. */
uint64_t prng_exp(struct prng *, uint64_t mean);
void prng_bytes(struct prng *, void *, size_t);

/* A hash of bytes that is the same everywhere: for traces. */
uint64_t prng_mix(uint64_t hash, uint64_t word);

#endif
