/*
 * linmodel.c - the operations of one key, made ready for the search.
 */
#include "loadgen/linmodel.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of targets searched for an appended value before it is taken for
 * seen without looking: the search then has more to try, nothing else. */
#define CONTAINS_BYTES_MAX (UINT64_C(64) * 1024 * 1024)
/* Rounds of following chains of unknown cas before they are taken to live
 * for ever; a chain is as long as the values that only unknown cas saw. */
#define CHAIN_ROUNDS_MAX 32

struct raw {
	struct lin_effect e; /* pre and post are values until resolved */
	uint64_t call, ret;
	size_t op;
	bool is_unknown;
};

/* Of the problem being built. */
struct builder {
	struct lin_problem *p;
	struct raw *raws;
	uint32_t raws_n;
	uint64_t *last_seen;  /* by target: the last completion that saw it */
	uint64_t *last_nread; /* by target: or that was told it is not it */
	uint64_t last_seen_any, last_nread_any;
	uint64_t contains_left;
};

static void *
take_mem(struct lin_problem *p, size_t n, size_t size)
{
	size_t len = (n > 0 ? n : 1) * size;
	void *mem;

	assert(p->allocs_n < LIN_ALLOCS_MAX);
	mem = membudget_alloc(p->h->budget, len);
	if (mem == NULL)
		return NULL;
	p->allocs[p->allocs_n].p = mem;
	p->allocs[p->allocs_n++].len = len;
	return mem;
}

void
lin_release(struct lin_problem *p)
{
	while (p->allocs_n > 0) {
		p->allocs_n--;
		membudget_free(p->h->budget, p->allocs[p->allocs_n].p,
		    p->allocs[p->allocs_n].len);
	}
	memset(p, 0, sizeof(*p));
}

static const struct intern_item *
target_bytes(const struct lin_problem *p, uint32_t rank)
{
	return &p->h->values.items[p->targets[rank]];
}

static uint64_t
state_of(uint32_t rank, size_t len)
{
	return (uint64_t)rank << 32 | (uint32_t)len;
}

uint32_t
lin_target(const struct lin_problem *p, uint64_t state)
{
	uint32_t rank;

	if (state == LIN_ABSENT)
		return p->targets_n;
	if (state >= LIN_ANY)
		return LIN_NONE;
	rank = (uint32_t)(state >> 32);
	if (target_bytes(p, rank)->len != (uint32_t)state)
		return LIN_NONE;
	return rank;
}

bool
lin_begins(const struct lin_problem *p, uint64_t state, uint32_t target)
{
	const struct intern_item *t, *s;
	uint32_t len = (uint32_t)state;

	if (state >= LIN_ANY)
		return state == LIN_ANY ||
		       (state == LIN_ABSENT && target != LIN_NONE);
	if (target == p->targets_n)
		return false;
	t = target_bytes(p, target);
	s = target_bytes(p, (uint32_t)(state >> 32));
	return t == s || (t->len >= len && memcmp(t->data, s->data, len) == 0);
}

/* How a target stands to the first len bytes of head with tail behind them:
 * before (< 0), begins with them (0), after. */
static int
compare_start(const struct intern_item *t, const struct intern_item *head,
    uint32_t len, const struct intern_item *tail)
{
	uint32_t n = t->len < len ? t->len : len;
	int c = 0;

	if (t != head)
		c = memcmp(t->data, head->data, n);
	if (c != 0)
		return c;
	if (t->len < len)
		return -1;
	n = t->len - len < tail->len ? t->len - len : tail->len;
	c = memcmp(t->data + len, tail->data, n);
	return c != 0 ? c : n < tail->len ? -1 : 0;
}

static uint64_t
narrow(const struct lin_problem *p, uint32_t rank, uint32_t len,
    const struct intern_item *tail)
{
	const struct intern_item *head;
	uint32_t lo = rank, hi = p->targets_n, mid;

	if (lo >= hi)
		return LIN_JUNK;
	head = target_bytes(p, rank);
	if (compare_start(head, head, len, tail) == 0)
		return state_of(rank, (size_t)len + tail->len);
	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (compare_start(target_bytes(p, mid), head, len, tail) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == p->targets_n ||
	    compare_start(target_bytes(p, lo), head, len, tail) != 0)
		return LIN_JUNK;
	return state_of(lo, (size_t)len + tail->len);
}

uint64_t
lin_append(const struct lin_problem *p, uint64_t state, uint32_t value)
{
	const struct intern_item *tail = &p->h->values.items[value];

	if (state == LIN_ANY || state == LIN_JUNK)
		return state;
	if (state == LIN_ABSENT)
		return narrow(p, 0, 0, tail);
	return narrow(p, (uint32_t)(state >> 32), (uint32_t)state, tail);
}

/* The effect, with values for states.  False: there is none to speak of. */
static bool
effect_of(const struct history_op *op, bool is_unknown, struct lin_effect *e)
{
	e->operand = op->arg;
	e->pre = e->post = HISTORY_NULL;
	e->sees = e->makes = LIN_NONE;
	switch (op->f) {
	case HISTORY_GET:
		e->kind = LIN_READ;
		e->pre = op->out;
		return !is_unknown;
	case HISTORY_PUT:
		e->kind = LIN_SET;
		e->post = op->arg;
		return true;
	case HISTORY_DELETE:
		e->kind = LIN_SET;
		return true;
	case HISTORY_APPEND:
		e->kind = LIN_APPEND;
		return true;
	default:
		e->pre = op->arg;
		e->post = op->arg2;
		if (op->result == HISTORY_OK && !op->swapped) {
			e->kind = LIN_NREAD;
			return !is_unknown;
		}
		e->kind = op->arg == op->arg2 ? LIN_READ : LIN_CAS;
		return !is_unknown || e->kind == LIN_CAS;
	}
}

static void
collect(struct builder *b, const size_t *numbers, size_t n,
    const struct lin_range *range)
{
	const struct history_op *op;
	struct raw *raw;
	size_t i;

	for (i = 0; i < n; i++) {
		op = &b->p->h->ops[numbers[i]];
		if (op->call > range->to || op->result == HISTORY_FAIL)
			continue;
		if (op->result == HISTORY_OK && op->ret < range->from)
			continue;
		raw = &b->raws[b->raws_n];
		raw->is_unknown = op->result != HISTORY_OK ||
				  op->ret > range->to || op->call < range->from;
		if (!effect_of(op, raw->is_unknown, &raw->e))
			continue;
		raw->call = op->call;
		raw->ret = raw->is_unknown ? HISTORY_NEVER : op->ret;
		raw->op = numbers[i];
		b->raws_n++;
	}
}

static int
compare_bytes(const void *va, const void *vb, void *arg)
{
	const struct history *h = arg;
	const struct intern_item *a, *b;
	uint32_t n;
	int c;

	a = &h->values.items[*(const uint32_t *)va];
	b = &h->values.items[*(const uint32_t *)vb];
	n = a->len < b->len ? a->len : b->len;
	c = memcmp(a->data, b->data, n);
	return c != 0 ? c : (a->len > b->len) - (a->len < b->len);
}

static int
compare_values(const void *va, const void *vb)
{
	uint32_t a = *(const uint32_t *)va, b = *(const uint32_t *)vb;

	return (a > b) - (a < b);
}

/* All values that operations see or compare with: by bytes where appends
 * make beginnings matter, by number otherwise. */
static int
find_targets(struct builder *b)
{
	struct lin_problem *p = b->p;
	uint32_t i, n = 0;
	struct raw *r;

	p->targets = take_mem(p, b->raws_n, sizeof(*p->targets));
	if (p->targets == NULL)
		return -ENOMEM;
	for (i = 0; i < b->raws_n; i++) {
		r = &b->raws[i];
		if (r->e.kind == LIN_APPEND)
			p->has_append = true;
		if ((r->e.kind == LIN_READ || r->e.kind == LIN_NREAD ||
			r->e.kind == LIN_CAS) &&
		    r->e.pre != HISTORY_NULL)
			p->targets[n++] = (uint32_t)r->e.pre;
	}
	qsort(p->targets, n, sizeof(*p->targets), compare_values);
	for (i = 0; i < n; i++)
		if (i == 0 || p->targets[i] != p->targets[i - 1])
			p->targets[p->targets_n++] = p->targets[i];
	if (p->has_append)
		qsort_r(p->targets, p->targets_n, sizeof(*p->targets),
		    compare_bytes, (void *)(uintptr_t)p->h);
	p->sees_n = take_mem(p, p->targets_n + 1, sizeof(*p->sees_n));
	p->makes_n = take_mem(p, p->targets_n + 1, sizeof(*p->makes_n));
	b->last_seen = take_mem(p, p->targets_n + 1, sizeof(*b->last_seen));
	b->last_nread = take_mem(p, p->targets_n + 1, sizeof(*b->last_nread));
	if (p->sees_n == NULL || p->makes_n == NULL || b->last_seen == NULL ||
	    b->last_nread == NULL)
		return -ENOMEM;
	return 0;
}

/* May the value stand inside some target? */
static bool
is_contained(struct builder *b, uint32_t value)
{
	const struct intern_item *w = &b->p->h->values.items[value], *t;
	uint32_t i;

	for (i = 0; i < b->p->targets_n; i++) {
		t = target_bytes(b->p, i);
		/* The next one contains all that its beginning does. */
		if (i + 1 < b->p->targets_n &&
		    target_bytes(b->p, i + 1)->len >= t->len &&
		    memcmp(target_bytes(b->p, i + 1)->data, t->data, t->len) ==
			0)
			continue;
		if (b->contains_left < t->len)
			return true;
		b->contains_left -= t->len;
		if (memmem(t->data, t->len, w->data, w->len) != NULL)
			return true;
	}
	return false;
}

static uint64_t
resolve_value(const struct lin_problem *p, uint64_t value, bool by_bytes)
{
	uint32_t v = (uint32_t)value, *at;
	uint64_t state;

	if (v == HISTORY_NULL)
		return LIN_ABSENT;
	if (!by_bytes) {
		at = bsearch(
		    &v, p->targets, p->targets_n, sizeof(v), compare_values);
		if (at == NULL)
			return LIN_JUNK;
		return state_of(
		    (uint32_t)(at - p->targets), p->h->values.items[v].len);
	}
	state = narrow(p, 0, 0, &p->h->values.items[v]);
	if (!p->has_append && lin_target(p, state) == LIN_NONE)
		return LIN_JUNK;
	return state;
}

static void
resolve(struct builder *b)
{
	struct lin_problem *p = b->p;
	bool by_bytes = p->has_append;
	struct lin_effect *e;
	uint32_t i;

	/* What is appended and never read is as good as gone. */
	p->has_append = false;
	for (i = 0; i < b->raws_n; i++) {
		e = &b->raws[i].e;
		if (e->kind == LIN_APPEND && !is_contained(b, e->operand)) {
			e->kind = LIN_SET;
			e->post = LIN_JUNK;
		} else if (e->kind == LIN_APPEND) {
			p->has_append = true;
		}
	}
	for (i = 0; i < b->raws_n; i++) {
		e = &b->raws[i].e;
		if (e->kind == LIN_READ || e->kind == LIN_NREAD ||
		    e->kind == LIN_CAS) {
			e->pre = resolve_value(p, e->pre, by_bytes);
			e->sees = lin_target(p, e->pre);
		}
		if ((e->kind == LIN_SET || e->kind == LIN_CAS) &&
		    e->post != LIN_JUNK) {
			e->post = resolve_value(p, e->post, by_bytes);
			e->makes = lin_target(p, e->post);
		}
		if (e->kind != LIN_APPEND)
			e->operand = 0;
	}
}

struct by_event {
	uint64_t event;
	uint32_t what;
};

static int
compare_events(const void *va, const void *vb)
{
	const struct by_event *a = va, *b = vb;

	return (a->event > b->event) - (a->event < b->event);
}

static int
compare_u64(const void *va, const void *vb)
{
	uint64_t a = *(const uint64_t *)va, b = *(const uint64_t *)vb;

	return (a > b) - (a < b);
}

/* The events of the certain operations: linked in order, each operation with
 * a bit that nothing else uses between its call and its return. */
static int
lay_out(struct lin_problem *p)
{
	uint32_t n = p->ops_n, c = 0, r = 0, last = 2 * n, node, free_n = 0;
	struct by_event *rets;
	uint32_t *free_slots, i;

	rets = take_mem(p, n, sizeof(*rets));
	free_slots = take_mem(p, n, sizeof(*free_slots));
	p->returns = take_mem(p, n, sizeof(*p->returns));
	p->nodes = take_mem(p, 2 * (size_t)n + 1, sizeof(*p->nodes));
	if (rets == NULL || free_slots == NULL || p->returns == NULL ||
	    p->nodes == NULL)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		rets[i].event = p->ops[i].ret;
		rets[i].what = i;
	}
	qsort(rets, n, sizeof(*rets), compare_events);
	for (i = 0; i < n; i++) {
		p->returns[i] = rets[i].what;
		p->ops[rets[i].what].at = i;
	}
	while (r < n) {
		if (c < n && p->ops[c].call < rets[r].event) {
			p->ops[c].slot =
			    free_n > 0 ? free_slots[--free_n] : p->slots_n++;
			node = 2 * c++;
		} else {
			free_slots[free_n++] = p->ops[p->returns[r]].slot;
			node = 2 * p->returns[r++] + 1;
		}
		p->nodes[last].next = node;
		p->nodes[node].prev = last;
		last = node;
	}
	p->nodes[last].next = 2 * n;
	p->nodes[2 * n].prev = last;
	return 0;
}

/* The last event at which a state that stands for certain operations may be
 * told from others by what was read; *is_compared: or by a cas that failed
 * because of just this value. */
static uint64_t
last_sight(const struct builder *b, uint64_t state, bool *is_compared)
{
	const struct lin_problem *p = b->p;
	uint64_t last = 0;
	uint32_t t;

	*is_compared = false;
	if (state == LIN_JUNK)
		return 0;
	if (state == LIN_ABSENT) {
		t = p->targets_n;
		*is_compared = p->has_append || b->last_nread[t] > 0;
		return p->has_append ? b->last_seen_any : b->last_seen[t];
	}
	for (t = (uint32_t)(state >> 32);
	     t < p->targets_n && lin_begins(p, state, t); t++) {
		if (b->last_seen[t] > last)
			last = b->last_seen[t];
		if (b->last_nread[t] > 0)
			*is_compared = true;
		if (!p->has_append)
			break;
	}
	return last;
}

/* The last event that could tell whether an unknown operation took effect. */
static uint64_t
death_of(const struct builder *b, const struct lin_effect *e, bool *turns_junk)
{
	bool is_compared = true;
	uint64_t last;

	*turns_junk = false;
	if (e->kind == LIN_APPEND)
		last = b->last_seen_any;
	else
		last = last_sight(b, e->post, &is_compared);
	if (!b->p->has_nread)
		return last;
	if (e->kind == LIN_SET && !is_compared) {
		*turns_junk = true;
		return last;
	}
	return last > b->last_nread_any ? last : b->last_nread_any;
}

/* When each value was seen last, by certain operations and through chains of
 * unknown cas that could have seen it for others. */
static void
find_sights(struct builder *b)
{
	struct lin_problem *p = b->p;
	bool changed = true, turns_junk;
	struct raw *r;
	uint64_t last;
	uint32_t i, round;

	for (i = 0; i < b->raws_n; i++) {
		r = &b->raws[i];
		if (r->is_unknown || r->e.sees == LIN_NONE)
			continue;
		if (r->e.kind == LIN_NREAD) {
			p->has_nread = true;
			if (r->ret > b->last_nread[r->e.sees])
				b->last_nread[r->e.sees] = r->ret;
			if (r->ret > b->last_nread_any)
				b->last_nread_any = r->ret;
			continue;
		}
		if (r->ret > b->last_seen[r->e.sees])
			b->last_seen[r->e.sees] = r->ret;
		if (r->ret > b->last_seen_any)
			b->last_seen_any = r->ret;
	}
	for (round = 0; changed; round++) {
		changed = false;
		for (i = 0; i < b->raws_n; i++) {
			r = &b->raws[i];
			if (!r->is_unknown || r->e.kind != LIN_CAS)
				continue;
			last = round < CHAIN_ROUNDS_MAX
				   ? death_of(b, &r->e, &turns_junk)
				   : HISTORY_NEVER;
			if (last > b->last_seen[r->e.sees]) {
				b->last_seen[r->e.sees] = last;
				changed = true;
			}
			if (last > b->last_seen_any)
				b->last_seen_any = last;
		}
	}
}

static int
compare_effects(const struct lin_effect *a, const struct lin_effect *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->pre != b->pre)
		return a->pre < b->pre ? -1 : 1;
	if (a->post != b->post)
		return a->post < b->post ? -1 : 1;
	return (a->operand > b->operand) - (a->operand < b->operand);
}

static int
compare_raws(const void *va, const void *vb)
{
	const struct raw *a = va, *b = vb;
	int c = compare_effects(&a->e, &b->e);

	return c != 0 ? c : (a->call > b->call) - (a->call < b->call);
}

/* The number of returns at or before the event. */
static uint32_t
returns_until(const struct lin_problem *p, uint64_t event)
{
	uint32_t lo = 0, hi = p->ops_n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (p->ops[p->returns[mid]].ret <= event)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* One class of raws that do the same; those that nothing can see any more
 * when they are invoked are left out, or are junk from the start. */
static void
add_class(
    struct builder *b, const struct raw *raws, uint32_t n, uint32_t *calls_n)
{
	struct lin_problem *p = b->p;
	struct lin_class *c = &p->classes[p->classes_n];
	uint64_t death;
	uint32_t ends, born, i;
	bool turns_junk;

	death = death_of(b, &raws[0].e, &turns_junk);
	ends = returns_until(p, death);
	memset(c, 0, sizeof(*c));
	c->e = raws[0].e;
	c->first = *calls_n;
	c->turns_junk = turns_junk;
	for (i = 0; i < n; i++) {
		born = returns_until(p, raws[i].call);
		if (born < ends) {
			if (c->n++ == 0)
				c->birth = born;
			p->calls[(*calls_n)++] = raws[i].call;
		} else if (turns_junk && raws[i].call < b->last_nread_any) {
			p->junk[p->junk_n++] = raws[i].call;
		}
	}
	if (c->n == 0)
		return;
	c->death = ends - 1;
	p->classes_n++;
	if (c->e.makes != LIN_NONE)
		p->makes_n[c->e.makes] += c->n;
	if (c->e.kind == LIN_APPEND)
		p->appends_n += c->n;
	else
		p->resets_n += c->n;
}

/* Orders the classes by birth and by death, and gives each a place among
 * those alive. */
static int
schedule_classes(struct lin_problem *p)
{
	uint32_t n = p->classes_n, i, d, *free_slots, free_n = 0;
	struct by_event *order;

	p->births = take_mem(p, n, sizeof(*p->births));
	p->deaths = take_mem(p, n, sizeof(*p->deaths));
	order = take_mem(p, n, sizeof(*order));
	free_slots = take_mem(p, n, sizeof(*free_slots));
	if (p->births == NULL || p->deaths == NULL || order == NULL ||
	    free_slots == NULL)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		order[i] = (struct by_event){p->classes[i].birth, i};
	qsort(order, n, sizeof(*order), compare_events);
	for (i = 0; i < n; i++)
		p->births[i] = order[i].what;
	for (i = 0; i < n; i++)
		order[i] = (struct by_event){p->classes[i].death, i};
	qsort(order, n, sizeof(*order), compare_events);
	for (i = 0; i < n; i++)
		p->deaths[i] = order[i].what;
	for (i = d = 0; i < n; i++) {
		struct lin_class *c = &p->classes[p->births[i]];

		while (p->classes[p->deaths[d]].death < c->birth)
			free_slots[free_n++] = p->classes[p->deaths[d++]].slot;
		c->slot =
		    free_n > 0 ? free_slots[--free_n] : p->class_slots_n++;
	}
	return 0;
}

/* Where unknown operations that replace the value are about. */
static int
find_resets(struct lin_problem *p)
{
	uint32_t i, *alive;
	const struct lin_class *c;

	alive = take_mem(p, (size_t)p->ops_n + 1, sizeof(*alive));
	p->next_reset =
	    take_mem(p, (size_t)p->ops_n + 1, sizeof(*p->next_reset));
	if (alive == NULL || p->next_reset == NULL)
		return -ENOMEM;
	for (i = 0; i < p->classes_n; i++) {
		c = &p->classes[i];
		if (c->e.kind == LIN_APPEND)
			continue;
		alive[c->birth]++;
		alive[c->death + 1]--;
	}
	for (i = 1; i <= p->ops_n; i++)
		alive[i] += alive[i - 1];
	p->next_reset[p->ops_n] = p->ops_n;
	for (i = p->ops_n; i-- > 0;)
		p->next_reset[i] = alive[i] > 0 ? i : p->next_reset[i + 1];
	return 0;
}

static int
build_classes(struct builder *b, struct raw *raws, uint32_t n)
{
	struct lin_problem *p = b->p;
	uint32_t i, j, calls_n = 0;

	p->classes = take_mem(p, n, sizeof(*p->classes));
	p->calls = take_mem(p, n, sizeof(*p->calls));
	p->junk = take_mem(p, n, sizeof(*p->junk));
	if (p->classes == NULL || p->calls == NULL || p->junk == NULL)
		return -ENOMEM;
	qsort(raws, n, sizeof(*raws), compare_raws);
	for (i = 0; i < n; i = j) {
		for (j = i + 1;
		     j < n && compare_effects(&raws[i].e, &raws[j].e) == 0; j++)
			;
		add_class(b, raws + i, j - i, &calls_n);
	}
	qsort(p->junk, p->junk_n, sizeof(*p->junk), compare_u64);
	if (schedule_classes(p) < 0)
		return -ENOMEM;
	return find_resets(p);
}

/* Certain operations first, in place; the count of them is returned. */
static int
build_ops(struct builder *b, uint32_t *certain_n)
{
	struct lin_problem *p = b->p;
	uint32_t i, n = 0;
	struct lin_op *op;
	struct raw tmp;

	p->ops = take_mem(p, b->raws_n, sizeof(*p->ops));
	if (p->ops == NULL)
		return -ENOMEM;
	for (i = 0; i < b->raws_n; i++) {
		if (b->raws[i].is_unknown)
			continue;
		tmp = b->raws[i];
		b->raws[i] = b->raws[n];
		b->raws[n++] = tmp;
		op = &p->ops[p->ops_n++];
		op->e = tmp.e;
		op->call = tmp.call;
		op->ret = tmp.ret;
		op->op = tmp.op;
		if (op->e.kind == LIN_NREAD)
			p->nreads_n++;
		else if (op->e.sees != LIN_NONE)
			p->sees_n[op->e.sees]++;
		if (op->e.makes != LIN_NONE)
			p->makes_n[op->e.makes]++;
		if (op->e.kind == LIN_APPEND)
			p->appends_n++;
		if ((op->e.kind == LIN_SET && op->e.post != LIN_JUNK) ||
		    op->e.kind == LIN_CAS)
			p->resets_n++;
	}
	*certain_n = n;
	return lay_out(p);
}

int
lin_build(struct lin_problem *p, const struct history *h,
    const size_t *op_numbers, size_t n, const struct lin_range *range)
{
	struct builder b;
	uint32_t certain_n;

	memset(p, 0, sizeof(*p));
	p->h = h;
	p->initial = range->initial_any ? LIN_ANY : LIN_ABSENT;
	memset(&b, 0, sizeof(b));
	b.p = p;
	b.contains_left = CONTAINS_BYTES_MAX;
	if (n > UINT32_MAX / 4)
		return -ENOMEM;
	b.raws = take_mem(p, n, sizeof(*b.raws));
	if (b.raws == NULL)
		return -ENOMEM;
	collect(&b, op_numbers, n, range);
	if (find_targets(&b) < 0)
		return -ENOMEM;
	resolve(&b);
	find_sights(&b);
	if (build_ops(&b, &certain_n) < 0)
		return -ENOMEM;
	return build_classes(&b, b.raws + certain_n, b.raws_n - certain_n);
}
