/*
 * model.c - the key-value store written a second time.
 */
#include "tests/sim/model.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

#define KEYS_MAX 256

struct version {
	uint64_t index; /* in force from here */
	uint64_t hash;	/* of the value */
	size_t len;
	bool exists;
};

struct key {
	struct version *version;
	size_t count, cap;
	uint8_t *value; /* the present one */
	size_t len, value_cap;
	bool exists;
	uint64_t mod_rev, op;
};

struct model {
	struct key key[KEYS_MAX];
	uint64_t applied, rev;
};

struct model *
model_new(void)
{
	return sim_must(calloc(1, sizeof(struct model)));
}

void
model_free(struct model *m)
{
	if (m == NULL)
		return;
	for (unsigned i = 0; i < KEYS_MAX; i++) {
		free(m->key[i].version);
		free(m->key[i].value);
	}
	free(m);
}

uint64_t
model_applied(const struct model *m)
{
	return m->applied;
}

static uint64_t
hash_bytes(const uint8_t *p, size_t len)
{
	uint64_t h = len, w;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&w, p, 8);
		h = prng_mix(h, w);
	}
	for (; len > 0; p++, len--)
		h = prng_mix(h, *p);
	return h;
}

/* "k7" -> 7 */
static bool
read_key(struct mp_span s, unsigned *key)
{
	unsigned k = 0;

	if (s.len < 2 || s.len > 4 || s.p[0] != 'k')
		return false;
	for (size_t i = 1; i < s.len; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		k = k * 10 + (unsigned)(s.p[i] - '0');
	}
	*key = k;
	return k < KEYS_MAX;
}

/* "o17.xxx" -> 17 */
static uint64_t
read_op(struct mp_span s)
{
	uint64_t op = 0;

	if (s.len < 3 || s.p[0] != 'o')
		return 0;
	for (size_t i = 1; i < s.len && s.p[i] != '.'; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return 0;
		op = op * 10 + (uint64_t)(s.p[i] - '0');
	}
	return op;
}

struct command {
	bool is_delete;
	unsigned key;
	struct mp_span value, if_value;
	bool append, if_absent, has_if_value;
	uint64_t op;
};

static bool
read_delete(struct mp_cur *cur, struct command *c)
{
	struct mp_span key, name;
	uint32_t count;

	if (mp_read_array(cur, &count) < 0 || count != 2 ||
	    mp_read_bytes(cur, &key) < 0 || mp_read_bytes(cur, &name) < 0 ||
	    name.len < 1 || name.p[0] != '~')
		return false;
	c->is_delete = true;
	c->op = read_op(mp_span(name.p + 1, name.len - 1));
	return read_key(key, &c->key);
}

static bool
read_put(struct mp_cur *cur, uint32_t count, struct command *c)
{
	struct mp_map map = {0};
	struct mp_span key;

	if (mp_read_bytes(cur, &key) < 0 || mp_read_bytes(cur, &c->value) < 0)
		return false;
	if (count == 3) {
		if (mp_read_mapping(cur, &map) < 0)
			return false;
		(void)mp_opt_bool(&map, "append", &c->append);
		(void)mp_opt_bool(&map, "if_absent", &c->if_absent);
		c->has_if_value =
		    mp_get_bytes(&map, "if_value", &c->if_value, SIZE_MAX) == 0;
	}
	c->op = read_op(c->value);
	return read_key(key, &c->key);
}

static bool
read_command(const uint8_t *payload, size_t len, struct command *c)
{
	struct mp_cur cur = mp_cur(payload, len);
	struct mp_span method;
	uint32_t count;

	*c = (struct command){0};
	if (mp_read_bytes(&cur, &method) < 0 || mp_read_array(&cur, &count) < 0)
		return false;
	if (mp_span_eq(method, "delete"))
		return read_delete(&cur, c);
	if (mp_span_eq(method, "put"))
		return read_put(&cur, count, c);
	return false;
}

void
model_parse(const uint8_t *payload, size_t len, struct model_command *out)
{
	struct command c;

	out->known = read_command(payload, len, &c);
	out->op = out->known ? c.op : 0;
}

static void
value_set(struct key *k, const struct command *c)
{
	size_t keep = c->append && k->exists ? k->len : 0;

	if (keep + c->value.len > k->value_cap) {
		k->value_cap = (keep + c->value.len) * 2;
		k->value = sim_must(realloc(k->value, k->value_cap));
	}
	memcpy(k->value + keep, c->value.p, c->value.len);
	k->len = keep + c->value.len;
	k->op = c->op;
}

static void
version_add(struct model *m, struct key *k, uint64_t index, bool exists)
{
	if (k->count == k->cap) {
		k->cap = k->cap == 0 ? 16 : k->cap * 2;
		k->version = sim_must(
		    realloc(k->version, k->cap * sizeof(k->version[0])));
	}
	k->exists = exists;
	k->mod_rev = ++m->rev;
	if (!exists)
		k->len = 0;
	k->version[k->count++] = (struct version){
	    index, hash_bytes(k->value, k->len), k->len, exists};
}

void
model_apply(struct model *m, uint64_t index, const uint8_t *payload, size_t len,
    struct model_result *r)
{
	struct command c;
	struct key *k;

	m->applied = index;
	*r = (struct model_result){false, m->rev};
	if (payload == NULL || !read_command(payload, len, &c))
		return;
	k = &m->key[c.key];
	if (c.is_delete) {
		if (k->exists)
			version_add(m, k, index, false);
		*r = (struct model_result){true, m->rev};
		return;
	}
	if (c.if_absent && k->exists)
		return;
	if (c.has_if_value && (!k->exists || k->len != c.if_value.len ||
				  memcmp(k->value, c.if_value.p, k->len) != 0))
		return;
	value_set(k, &c);
	version_add(m, k, index, true);
	*r = (struct model_result){true, m->rev};
}

uint64_t
model_when(const struct model *m, unsigned key, bool found,
    const uint8_t *value, size_t len, uint64_t floor)
{
	const struct key *k = &m->key[key];
	uint64_t hash = found ? hash_bytes(value, len) : hash_bytes(NULL, 0);
	size_t lo = 0, hi = k->count;

	/* The version in force at floor is the last with index <= floor. */
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (k->version[mid].index <= floor)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0 && !found)
		return floor == 0 ? 1 : floor; /* not yet written */
	for (size_t i = lo == 0 ? 0 : lo - 1; i < k->count; i++) {
		const struct version *v = &k->version[i];

		if (v->exists == found && v->len == (found ? len : 0) &&
		    v->hash == hash)
			return v->index > floor ? v->index
			       : floor == 0	? 1
						: floor;
	}
	return 0;
}

uint64_t
model_key_op(const struct model *m, unsigned key)
{
	return m->key[key].exists ? m->key[key].op : 0;
}
