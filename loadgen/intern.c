/*
 * intern.c - byte strings kept once each, under small numbers.
 */
#include "loadgen/intern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define CHUNK_LEN (64u * 1024)
#define SLOTS_MIN 64u

struct intern_chunk {
	struct intern_chunk *next;
	size_t len, used;
	uint8_t data[];
};

void *
membudget_alloc(struct membudget *b, size_t len)
{
	void *p;

	if (len > b->max - b->used)
		return NULL;
	p = calloc(1, len > 0 ? len : 1);
	if (p != NULL)
		b->used += len;
	return p;
}

void *
membudget_grow(struct membudget *b, void *p, size_t old_len, size_t new_len)
{
	void *q;

	if (new_len < old_len || new_len - old_len > b->max - b->used)
		return NULL;
	q = realloc(p, new_len > 0 ? new_len : 1);
	if (q == NULL)
		return NULL;
	memset((uint8_t *)q + old_len, 0, new_len - old_len);
	b->used += new_len - old_len;
	return q;
}

void
membudget_free(struct membudget *b, void *p, size_t len)
{
	if (p == NULL)
		return;
	free(p);
	b->used -= len;
}

void
intern_init(struct intern *in, struct membudget *budget)
{
	memset(in, 0, sizeof(*in));
	in->budget = budget;
}

void
intern_release(struct intern *in)
{
	struct intern_chunk *c;

	while ((c = in->chunks) != NULL) {
		in->chunks = c->next;
		membudget_free(in->budget, c, sizeof(*c) + c->len);
	}
	membudget_free(
	    in->budget, in->items, in->items_cap * sizeof(*in->items));
	membudget_free(in->budget, in->slots, in->slots_n * sizeof(*in->slots));
	intern_init(in, in->budget);
}

/* The slot that holds these bytes, or the free one where they belong. */
static uint32_t
probe(const struct intern *in, const void *data, size_t len, uint32_t hash)
{
	const struct intern_item *it;
	uint32_t at = hash & (in->slots_n - 1);

	while (in->slots[at] != 0) {
		it = &in->items[in->slots[at] - 1];
		if (it->hash == hash && it->len == len &&
		    memcmp(it->data, data, len) == 0)
			break;
		at = (at + 1) & (in->slots_n - 1);
	}
	return at;
}

static int
grow(struct intern *in)
{
	struct intern_item *items;
	uint32_t *slots, n, i, at;

	if (in->items_n == in->items_cap) {
		n = in->items_cap != 0 ? in->items_cap * 2 : SLOTS_MIN / 2;
		if (n > INTERN_ITEMS_MAX)
			return -ENOMEM;
		items = membudget_grow(in->budget, in->items,
		    in->items_cap * sizeof(*items), n * sizeof(*items));
		if (items == NULL)
			return -ENOMEM;
		in->items = items;
		in->items_cap = n;
	}
	if (in->slots_n != 0 && in->items_n < in->slots_n / 2)
		return 0;
	n = in->slots_n != 0 ? in->slots_n * 2 : SLOTS_MIN;
	slots = membudget_alloc(in->budget, n * sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	membudget_free(in->budget, in->slots, in->slots_n * sizeof(*slots));
	in->slots = slots;
	in->slots_n = n;
	for (i = 0; i < in->items_n; i++) {
		at = in->items[i].hash & (n - 1);
		while (slots[at] != 0)
			at = (at + 1) & (n - 1);
		slots[at] = i + 1;
	}
	return 0;
}

static uint8_t *
room(struct intern *in, size_t len)
{
	struct intern_chunk *c = in->chunks;
	size_t want = len > CHUNK_LEN ? len : CHUNK_LEN;

	if (c == NULL || c->len - c->used < len) {
		c = membudget_alloc(in->budget, sizeof(*c) + want);
		if (c == NULL)
			return NULL;
		c->len = want;
		c->next = in->chunks;
		in->chunks = c;
	}
	return c->data + c->used;
}

int
intern_add(struct intern *in, const void *data, size_t len, uint32_t *id)
{
	struct intern_item *it;
	uint32_t hash, at;
	uint8_t *p;

	if (len > UINT32_MAX)
		return -ENOMEM;
	if (grow(in) < 0)
		return -ENOMEM;
	hash = (uint32_t)XXH3_64bits(data, len);
	at = probe(in, data, len, hash);
	if (in->slots[at] == 0) {
		p = room(in, len);
		if (p == NULL)
			return -ENOMEM;
		memcpy(p, data, len);
		in->chunks->used += len;
		it = &in->items[in->items_n++];
		it->data = p;
		it->len = (uint32_t)len;
		it->hash = hash;
		in->slots[at] = in->items_n;
	}
	*id = in->slots[at] - 1;
	return 0;
}

int
intern_find(const struct intern *in, const void *data, size_t len, uint32_t *id)
{
	uint32_t at;

	if (in->slots_n == 0)
		return -ENOENT;
	at = probe(in, data, len, (uint32_t)XXH3_64bits(data, len));
	if (in->slots[at] == 0)
		return -ENOENT;
	*id = in->slots[at] - 1;
	return 0;
}
