/*
 * linsight.c - who saw which value, and so until when it can matter whether
 * an operation of unknown outcome took effect.
 *
 * Each bound here may only err to the late side.  Most rest on values being
 * made once: where a single operation can begin to make a value, the state
 * equals it, or continues it, during one stretch only.
 */
#include "loadgen/linbuild.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Bytes of targets searched for appended values; beyond, an appended value
 * counts as seen everywhere. */
#define SCAN_BYTES_MAX (UINT64_C(64) * 1024 * 1024)
/* Lengths of appended values that are looked for. */
#define LENGTHS_MAX 16
/* Operations passed over in search of one that ends a value. */
#define ENDS_MAX 64
/* Rounds of following chains of unknown cas before they are taken to matter
 * for ever; a chain is as long as the values that only unknown cas saw. */
#define CHAIN_ROUNDS_MAX 32

static const struct intern_item *
target_item(const struct lin_builder *b, uint32_t rank)
{
	return &b->p->h->values.items[b->p->targets[rank]];
}

static uint64_t
later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t
earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* --- who saw a target --- */

static void
note_observers(struct lin_builder *b)
{
	const struct lin_raw *r;
	struct lin_sight *s;
	uint32_t i;

	for (i = 0; i <= b->p->targets_n; i++)
		b->sights[i].first = b->sights[i].over = HISTORY_NEVER;
	for (i = 0; i < b->raws_n; i++) {
		r = &b->raws[i];
		if (r->is_unknown || r->e.sees == LIN_NONE)
			continue;
		s = &b->sights[r->e.sees];
		if (r->e.kind == LIN_NREAD) {
			b->p->has_nread = true;
			s->last_nread = later(s->last_nread, r->ret);
			b->last_nread_any = later(b->last_nread_any, r->ret);
			continue;
		}
		s->first = earlier(s->first, r->ret);
		s->last = later(s->last, r->ret);
		b->last_seen_any = later(b->last_seen_any, r->ret);
	}
}

static uint32_t
shared_bytes(const struct intern_item *a, const struct intern_item *b)
{
	uint32_t n = a->len < b->len ? a->len : b->len, i = 0;

	while (i + 64 <= n && memcmp(a->data + i, b->data + i, 64) == 0)
		i += 64;
	while (i < n && a->data[i] == b->data[i])
		i++;
	return i;
}

/* Sorted targets are a trie in disguise: next leads past those below. */
static void
note_shared(struct lin_builder *b)
{
	struct lin_sight *s;
	uint32_t i, t, n = b->p->targets_n;

	for (i = n; i-- > 0;) {
		s = &b->sights[i];
		s->lcp =
		    b->by_bytes && i > 0
			? shared_bytes(target_item(b, i - 1), target_item(b, i))
			: 0;
		s->nread_shared = s->last_nread;
		for (t = i + 1;
		     b->by_bytes && t < n && b->sights[t].lcp > s->lcp;
		     t = b->sights[t].next) {
			s->nread_shared =
			    later(s->nread_shared, b->sights[t].nread_shared);
		}
		s->next = t;
	}
}

/* Counts, for each target, the operations whose outcome is its beginning. */
static void
note_starters(struct lin_builder *b)
{
	const struct lin_problem *p = b->p;
	const struct lin_effect *e;
	uint32_t i, lo, hi, mid, rank;
	uint64_t state;

	for (i = 0; i < b->raws_n; i++) {
		e = &b->raws[i].e;
		if (e->kind == LIN_READ || e->kind == LIN_NREAD)
			continue;
		state = e->kind == LIN_APPEND
			    ? lin_append(p, LIN_ABSENT, e->operand)
			    : e->post;
		if (state >= LIN_ANY)
			continue;
		rank = (uint32_t)(state >> 32);
		lo = rank + 1;
		hi = b->by_bytes ? p->targets_n : lo;
		while (lo < hi) {
			mid = lo + (hi - lo) / 2;
			if (lin_begins(p, state, mid))
				lo = mid + 1;
			else
				hi = mid;
		}
		b->sights[rank].starters++;
		if (lo < p->targets_n)
			b->sights[lo].starters--;
	}
	for (i = 1; i < p->targets_n; i++)
		b->sights[i].starters += b->sights[i - 1].starters;
}

static bool
is_made_once(const struct lin_builder *b, uint32_t target)
{
	return target < b->p->targets_n && b->p->initial != LIN_ANY &&
	       b->sights[target].starters <= 1;
}

/* --- which appended values are to be found in targets --- */

struct lin_operand *
lin_find_operand(const struct lin_builder *b, uint32_t value)
{
	/* value is the first member. */
	return bsearch(&value, b->operands, b->operands_n, sizeof(*b->operands),
	    lin_compare_values);
}

static int
list_operands(struct lin_builder *b)
{
	uint32_t *values, i, n = 0;

	values = lin_alloc(b->p, b->raws_n, sizeof(*values));
	if (values == NULL)
		return -ENOMEM;
	for (i = 0; i < b->raws_n; i++)
		if (b->raws[i].e.kind == LIN_APPEND)
			values[n++] = b->raws[i].e.operand;
	qsort(values, n, sizeof(*values), lin_compare_values);
	b->operands = lin_alloc(b->p, n, sizeof(*b->operands));
	if (b->operands == NULL)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		if (i == 0 || values[i] != values[i - 1])
			b->operands[b->operands_n++].value = values[i];
	return 0;
}

struct scan {
	struct lin_builder *b;
	uint32_t *slots; /* operand + 1, hashed by its bytes */
	uint32_t slots_n;
	uint32_t lengths[LENGTHS_MAX];
	uint32_t lengths_n;
};

static const struct intern_item *
operand_item(const struct lin_builder *b, uint32_t i)
{
	return &b->p->h->values.items[b->operands[i].value];
}

static void
mark_everywhere(struct lin_builder *b, struct lin_operand *o)
{
	o->is_contained = true;
	o->last_seen = b->last_seen_any;
	o->last_nread = b->last_nread_any;
}

static int
scan_start(struct scan *s)
{
	struct lin_builder *b = s->b;
	uint32_t i, k, at;
	uint32_t len;

	for (s->slots_n = 16; s->slots_n < b->operands_n * 2;)
		s->slots_n *= 2;
	s->slots = lin_alloc(b->p, s->slots_n, sizeof(*s->slots));
	if (s->slots == NULL)
		return -ENOMEM;
	for (i = 0; i < b->operands_n; i++) {
		len = operand_item(b, i)->len;
		for (k = 0; k < s->lengths_n && s->lengths[k] != len; k++)
			;
		if (len == 0 || k == LENGTHS_MAX) {
			mark_everywhere(b, &b->operands[i]);
			continue;
		}
		if (k == s->lengths_n)
			s->lengths[s->lengths_n++] = len;
		at = (uint32_t)XXH3_64bits(operand_item(b, i)->data, len);
		for (at &= s->slots_n - 1; s->slots[at] != 0;
		     at = (at + 1) & (s->slots_n - 1))
			;
		s->slots[at] = i + 1;
	}
	return 0;
}

static void
scan_hit(const struct scan *s, struct lin_operand *o, uint32_t rank)
{
	const struct lin_builder *b = s->b;
	const struct lin_sight *t = &b->sights[rank];
	uint64_t seen = b->last_seen_any;

	/* Once someone saw it there, it cannot come there again. */
	if (is_made_once(b, rank) && t->first != HISTORY_NEVER)
		seen = t->first;
	o->is_contained = true;
	o->last_seen = later(o->last_seen, seen);
	o->last_nread = later(o->last_nread, t->nread_shared);
}

/* Looks at what the target does not share with the one before. */
static void
scan_target(const struct scan *s, uint32_t rank, uint32_t len)
{
	const struct intern_item *t = target_item(s->b, rank), *o;
	uint32_t lcp = s->b->sights[rank].lcp, i, at;

	for (i = lcp >= len ? lcp - len + 1 : 0; i + len <= t->len; i++) {
		at = (uint32_t)XXH3_64bits(t->data + i, len);
		for (at &= s->slots_n - 1; s->slots[at] != 0;
		     at = (at + 1) & (s->slots_n - 1)) {
			o = operand_item(s->b, s->slots[at] - 1);
			if (o->len == len &&
			    memcmp(o->data, t->data + i, len) == 0) {
				scan_hit(
				    s, &s->b->operands[s->slots[at] - 1], rank);
				break;
			}
		}
	}
}

static int
scan_targets(struct lin_builder *b)
{
	struct scan s;
	uint64_t bytes = 0;
	uint32_t i, k;

	memset(&s, 0, sizeof(s));
	s.b = b;
	for (i = 0; i < b->p->targets_n; i++)
		bytes += target_item(b, i)->len - b->sights[i].lcp;
	if (bytes > SCAN_BYTES_MAX) {
		for (i = 0; i < b->operands_n; i++)
			mark_everywhere(b, &b->operands[i]);
		return 0;
	}
	if (scan_start(&s) < 0)
		return -ENOMEM;
	for (i = 0; i < b->p->targets_n; i++)
		for (k = 0; k < s.lengths_n; k++)
			scan_target(&s, i, s.lengths[k]);
	return 0;
}

int
lin_find_sights(struct lin_builder *b)
{
	b->sights = lin_alloc(b->p, b->p->targets_n + 1, sizeof(*b->sights));
	if (b->sights == NULL)
		return -ENOMEM;
	note_observers(b);
	note_shared(b);
	note_starters(b);
	if (!b->by_bytes)
		return 0;
	if (list_operands(b) < 0)
		return -ENOMEM;
	return scan_targets(b);
}

/* --- when it is over --- */

/* Is the state certainly another one than the target at some moment of e? */
static bool
ends(const struct lin_effect *e, uint32_t target)
{
	switch (e->kind) {
	case LIN_READ:
		return e->sees != target;
	case LIN_NREAD:
		return e->sees == target;
	case LIN_SET:
		return e->makes != target;
	case LIN_CAS:
		return true;
	case LIN_APPEND:
		break;
	}
	return false;
}

/* For values made once: a certain operation that began after the value was
 * known to be there, and found or made another, ended it. */
static int
note_ends(struct lin_builder *b)
{
	struct lin_problem *p = b->p;
	const struct lin_raw *r;
	uint32_t *certain, n = 0, i, t, lo, hi, mid;
	uint64_t *known;

	certain = lin_alloc(p, b->raws_n, sizeof(*certain));
	known = lin_alloc(p, p->targets_n + 1, sizeof(*known));
	if (certain == NULL || known == NULL)
		return -ENOMEM;
	for (t = 0; t <= p->targets_n; t++)
		known[t] = b->sights[t].first;
	for (i = 0; i < b->raws_n; i++) {
		r = &b->raws[i];
		if (r->is_unknown)
			continue;
		certain[n++] = i;
		if (r->e.makes != LIN_NONE)
			known[r->e.makes] = earlier(known[r->e.makes], r->ret);
	}
	for (t = 0; t < p->targets_n; t++) {
		if (!is_made_once(b, t) || known[t] == HISTORY_NEVER)
			continue;
		for (lo = 0, hi = n; lo < hi;) {
			mid = lo + (hi - lo) / 2;
			if (b->raws[certain[mid]].call <= known[t])
				lo = mid + 1;
			else
				hi = mid;
		}
		for (i = lo; i < n && i < lo + ENDS_MAX; i++) {
			r = &b->raws[certain[i]];
			if (ends(&r->e, t)) {
				b->sights[t].over = r->ret;
				break;
			}
		}
	}
	return 0;
}

/* The last completion that could tell the state, or one that continues it,
 * from others. */
static uint64_t
last_sight(const struct lin_builder *b, uint64_t state)
{
	const struct lin_problem *p = b->p;
	uint64_t last = 0;
	uint32_t t;

	if (state == LIN_JUNK)
		return 0;
	if (state == LIN_ABSENT) {
		if (p->has_append)
			return later(b->last_seen_any, b->last_nread_any);
		t = p->targets_n;
		return later(b->sights[t].last, b->sights[t].last_nread);
	}
	for (t = (uint32_t)(state >> 32);
	     t < p->targets_n && lin_begins(p, state, t); t++) {
		last = later(last, b->sights[t].last);
		last = later(last, b->sights[t].last_nread);
		if (!p->has_append)
			break;
	}
	return last;
}

uint64_t
lin_death(
    const struct lin_builder *b, const struct lin_effect *e, bool *turns_junk)
{
	const struct lin_operand *o;
	uint64_t last;

	*turns_junk = b->p->has_nread;
	switch (e->kind) {
	case LIN_APPEND:
		o = lin_find_operand(b, e->operand);
		return later(o->last_seen, o->last_nread);
	case LIN_CAS:
		*turns_junk = false;
		last = later(last_sight(b, e->post), b->last_nread_any);
		return e->sees < b->p->targets_n
			   ? earlier(last, b->sights[e->sees].over)
			   : last;
	default:
		return last_sight(b, e->post);
	}
}

int
lin_find_ends(struct lin_builder *b)
{
	const struct lin_raw *r;
	struct lin_sight *s;
	bool changed = true, turns_junk;
	uint64_t last;
	uint32_t i, round;

	if (note_ends(b) < 0)
		return -ENOMEM;
	/* An unknown cas may see a value for those that see what it makes. */
	for (round = 0; changed; round++) {
		changed = false;
		for (i = 0; i < b->raws_n; i++) {
			r = &b->raws[i];
			if (!r->is_unknown || r->e.kind != LIN_CAS)
				continue;
			s = &b->sights[r->e.sees];
			last = round < CHAIN_ROUNDS_MAX
				   ? lin_death(b, &r->e, &turns_junk)
				   : HISTORY_NEVER;
			if (last > s->last) {
				s->last = last;
				changed = true;
			}
			b->last_seen_any = later(b->last_seen_any, last);
		}
	}
	return 0;
}
