/*
 * workload.c - what a load consists of: the mix of operations and the
 * distribution of keys.
 */
#include "loadgen/workload.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SHARE_MAX 1000000u
/* zeta(n) is summed term by term up to here, the rest by its integral. */
#define ZETA_TERMS 1000000u

static const char *const op_names[WORK_OPS] = {
    "put", "get", "delete", "cas", "append", "insert", "scan", "rmw"};
static const char *const dist_names[WORK_DISTS] = {
    "uniform", "zipf", "seq", "latest"};

/* Cooper et al., Benchmarking Cloud Serving Systems with YCSB, table 2;
 * the shares as in its core workloads. */
static const struct {
	const char *name;
	enum work_dist dist;
	enum work_op op[2];
	unsigned share[2];
} presets[] = {
    {"ycsb-a", WORK_ZIPF, {WORK_GET, WORK_PUT}, {50, 50}},
    {"ycsb-b", WORK_ZIPF, {WORK_GET, WORK_PUT}, {95, 5}},
    {"ycsb-c", WORK_ZIPF, {WORK_GET, WORK_PUT}, {100, 0}},
    {"ycsb-d", WORK_LATEST, {WORK_GET, WORK_INSERT}, {95, 5}},
    {"ycsb-e", WORK_ZIPF, {WORK_SCAN, WORK_INSERT}, {95, 5}},
    {"ycsb-f", WORK_ZIPF, {WORK_GET, WORK_RMW}, {50, 50}},
};

const char *
work_op_name(enum work_op op)
{
	return op_names[op];
}

const char *
work_dist_name(enum work_dist dist)
{
	return dist_names[dist];
}

static int
parse_share(const char *item, size_t len, unsigned *share, struct errtext *et)
{
	const char *whole = item;
	size_t whole_len = len, name;
	unsigned long v;
	unsigned op;
	char *end;

	for (op = 0; op < WORK_OPS; op++) {
		name = strlen(op_names[op]);
		if (len <= name || item[name] != '=' ||
		    memcmp(item, op_names[op], name) != 0)
			continue;
		item += name + 1;
		len -= name + 1;
		if (len == 0 || *item < '0' || *item > '9')
			break;
		errno = 0;
		v = strtoul(item, &end, 10);
		if (errno != 0 || end != item + len || v > SHARE_MAX)
			break;
		share[op] = (unsigned)v;
		return 0;
	}
	return errtext(
	    et, -EINVAL, "not a share of a mix: '%.*s'", (int)whole_len, whole);
}

int
work_parse_mix(const char *text, struct work_options *o, struct errtext *et)
{
	unsigned share[WORK_OPS] = {0}, total = 0, i;
	size_t len;
	int r;

	for (;;) {
		len = strcspn(text, ",");
		r = parse_share(text, len, share, et);
		if (r < 0)
			return r;
		if (text[len] == '\0')
			break;
		text += len + 1;
	}
	for (i = 0; i < WORK_OPS; i++)
		total += share[i];
	if (total == 0)
		return errtext(et, -EINVAL, "the mix is empty");
	memcpy(o->share, share, sizeof(share));
	return 0;
}

int
work_parse_dist(const char *text, struct work_options *o, struct errtext *et)
{
	unsigned i;

	for (i = 0; i < WORK_DISTS; i++) {
		if (strcmp(text, dist_names[i]) == 0) {
			o->dist = (enum work_dist)i;
			return 0;
		}
	}
	return errtext(et, -EINVAL, "no such distribution: '%s'", text);
}

int
work_parse_preset(const char *text, struct work_options *o, struct errtext *et)
{
	size_t i;

	for (i = 0; i < sizeof(presets) / sizeof(presets[0]); i++) {
		if (strcmp(text, presets[i].name) != 0)
			continue;
		memset(o->share, 0, sizeof(o->share));
		o->share[presets[i].op[0]] = presets[i].share[0];
		o->share[presets[i].op[1]] = presets[i].share[1];
		o->dist = presets[i].dist;
		return 0;
	}
	return errtext(et, -EINVAL, "no such preset: '%s'", text);
}

/* splitmix64, to fill the state from a seed */
static uint64_t
mix(uint64_t *x)
{
	uint64_t z = *x += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static uint64_t
rotate(uint64_t x, unsigned k)
{
	return x << k | x >> (64 - k);
}

/* xoshiro256** of Blackman and Vigna */
static uint64_t
rand_u64(struct work *w)
{
	uint64_t *s = w->rng, r = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return r;
}

static double
rand_unit(struct work *w)
{
	return (double)(rand_u64(w) >> 11) * 0x1p-53;
}

/* The high half of a product, which spares the division. */
uint64_t
work_below(struct work *w, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)rand_u64(w) * n) >> 64);
}

static double
zeta(uint64_t n)
{
	uint64_t terms = n < ZETA_TERMS ? n : ZETA_TERMS, i;
	double sum = 0, s = 1 - WORK_ZIPF_THETA;

	for (i = 1; i <= terms; i++)
		sum += pow(1 / (double)i, WORK_ZIPF_THETA);
	if (n > terms)
		sum += (pow((double)n, s) - pow((double)terms, s)) / s;
	return sum;
}

void
work_init(struct work *w, const struct work_options *o)
{
	uint64_t seed = o->seed, n = o->keys;
	unsigned i;

	assert(n > 0 && n <= WORK_KEYS_MAX);
	memset(w, 0, sizeof(*w));
	w->opt = *o;
	w->keys = n;
	for (i = 0; i < 4; i++)
		w->rng[i] = mix(&seed);
	for (i = 0; i < WORK_OPS; i++)
		w->total += o->share[i];
	assert(w->total > 0);
	if (o->dist != WORK_ZIPF && o->dist != WORK_LATEST)
		return;
	w->zetan = zeta(n);
	w->half = pow(0.5, WORK_ZIPF_THETA);
	w->alpha = 1 / (1 - WORK_ZIPF_THETA);
	w->eta = (1 - pow(2.0 / (double)n, 1 - WORK_ZIPF_THETA)) /
		 (1 - (1 + w->half) / w->zetan);
}

/* Gray et al., Quickly Generating Billion-Record Synthetic Databases: the
 * rank of a key, 0 the hottest. */
static uint64_t
zipf_rank(struct work *w)
{
	double u = rand_unit(w), uz = u * w->zetan;
	uint64_t n = w->opt.keys, r;

	if (uz < 1 || n == 1)
		return 0;
	if (uz < 1 + w->half || n == 2)
		return 1;
	r = (uint64_t)((double)n * pow(w->eta * u - w->eta + 1, w->alpha));
	return r < n ? r : n - 1;
}

/* Hot keys must not be neighbours: a prime step walks over all of them. */
static uint64_t
spread(uint64_t rank, uint64_t n)
{
	const uint64_t step = 11400714819323198549u;

	return (uint64_t)((unsigned __int128)rank * step % n);
}

static uint64_t
next_key(struct work *w)
{
	switch (w->opt.dist) {
	case WORK_ZIPF:
		return spread(zipf_rank(w), w->opt.keys);
	case WORK_LATEST:
		return w->keys - 1 - zipf_rank(w);
	case WORK_SEQ:
		return w->next++ % w->opt.keys;
	case WORK_UNIFORM:
	case WORK_DISTS:
		break;
	}
	return work_below(w, w->opt.keys);
}

enum work_op
work_next(struct work *w, uint64_t *key)
{
	uint64_t pick = work_below(w, w->total);
	unsigned op = 0;

	while (pick >= w->opt.share[op])
		pick -= w->opt.share[op++];
	*key = op == WORK_INSERT ? w->keys++ : next_key(w);
	return (enum work_op)op;
}
