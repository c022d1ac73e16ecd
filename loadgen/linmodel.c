/*
 * linmodel.c - the operations of one key, made ready for the search.
 */
#include "loadgen/linbuild.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void *
lin_alloc(struct lin_problem *p, size_t n, size_t size)
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
collect(struct lin_builder *b, const size_t *numbers, size_t n,
    const struct lin_range *range)
{
	const struct history_op *op;
	struct lin_raw *raw;
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

int
lin_compare_values(const void *va, const void *vb)
{
	uint32_t a = *(const uint32_t *)va, b = *(const uint32_t *)vb;

	return (a > b) - (a < b);
}

/* All values that operations see or compare with: by bytes where appends
 * make beginnings matter, by number otherwise. */
static int
find_targets(struct lin_builder *b)
{
	struct lin_problem *p = b->p;
	uint32_t i, n = 0;
	struct lin_raw *r;

	p->targets = lin_alloc(p, b->raws_n, sizeof(*p->targets));
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
	qsort(p->targets, n, sizeof(*p->targets), lin_compare_values);
	for (i = 0; i < n; i++)
		if (i == 0 || p->targets[i] != p->targets[i - 1])
			p->targets[p->targets_n++] = p->targets[i];
	if (p->has_append)
		qsort_r(p->targets, p->targets_n, sizeof(*p->targets),
		    compare_bytes, (void *)(uintptr_t)p->h);
	p->sees_n = lin_alloc(p, p->targets_n + 1, sizeof(*p->sees_n));
	p->makes_n = lin_alloc(p, p->targets_n + 1, sizeof(*p->makes_n));
	if (p->sees_n == NULL || p->makes_n == NULL)
		return -ENOMEM;
	return 0;
}

static uint64_t
resolve_value(const struct lin_builder *b, uint64_t value)
{
	const struct lin_problem *p = b->p;
	uint32_t v = (uint32_t)value, *at;

	if (v == HISTORY_NULL)
		return LIN_ABSENT;
	if (b->by_bytes)
		return narrow(p, 0, 0, &p->h->values.items[v]);
	at = bsearch(
	    &v, p->targets, p->targets_n, sizeof(v), lin_compare_values);
	if (at == NULL)
		return LIN_JUNK;
	return state_of((uint32_t)(at - p->targets), p->h->values.items[v].len);
}

static void
resolve(struct lin_builder *b)
{
	struct lin_problem *p = b->p;
	struct lin_effect *e;
	uint32_t i;

	for (i = 0; i < b->raws_n; i++) {
		e = &b->raws[i].e;
		if (e->kind == LIN_READ || e->kind == LIN_NREAD ||
		    e->kind == LIN_CAS) {
			e->pre = resolve_value(b, e->pre);
			e->sees = lin_target(p, e->pre);
		}
		if (e->kind == LIN_SET || e->kind == LIN_CAS) {
			e->post = resolve_value(b, e->post);
			e->makes = lin_target(p, e->post);
		}
		if (e->kind != LIN_APPEND)
			e->operand = 0;
	}
}

/* What is appended and seen by nobody is as good as any other value; and
 * where nothing is appended, beginnings do not matter. */
static void
simplify(struct lin_builder *b)
{
	struct lin_problem *p = b->p;
	struct lin_effect *e;
	uint32_t i;

	p->has_append = false;
	for (i = 0; i < b->raws_n; i++) {
		e = &b->raws[i].e;
		if (e->kind != LIN_APPEND)
			continue;
		if (lin_find_operand(b, e->operand)->is_contained) {
			p->has_append = true;
			continue;
		}
		e->kind = LIN_SET;
		e->post = LIN_JUNK;
		e->operand = 0;
	}
	for (i = 0; i < b->raws_n && !p->has_append; i++) {
		e = &b->raws[i].e;
		if ((e->kind == LIN_SET || e->kind == LIN_CAS) &&
		    e->makes == LIN_NONE)
			e->post = LIN_JUNK;
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

	rets = lin_alloc(p, n, sizeof(*rets));
	free_slots = lin_alloc(p, n, sizeof(*free_slots));
	p->returns = lin_alloc(p, n, sizeof(*p->returns));
	p->nodes = lin_alloc(p, 2 * (size_t)n + 1, sizeof(*p->nodes));
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
	const struct lin_raw *a = va, *b = vb;
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
add_class(struct lin_builder *b, const struct lin_raw *raws, uint32_t n,
    uint32_t *calls_n)
{
	struct lin_problem *p = b->p;
	struct lin_class *c = &p->classes[p->classes_n];
	uint64_t death;
	uint32_t ends, born, i;
	bool turns_junk;

	death = lin_death(b, &raws[0].e, &turns_junk);
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

	p->births = lin_alloc(p, n, sizeof(*p->births));
	p->deaths = lin_alloc(p, n, sizeof(*p->deaths));
	order = lin_alloc(p, n, sizeof(*order));
	free_slots = lin_alloc(p, n, sizeof(*free_slots));
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

	alive = lin_alloc(p, (size_t)p->ops_n + 1, sizeof(*alive));
	p->next_reset =
	    lin_alloc(p, (size_t)p->ops_n + 1, sizeof(*p->next_reset));
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
build_classes(struct lin_builder *b, struct lin_raw *raws, uint32_t n)
{
	struct lin_problem *p = b->p;
	uint32_t i, j, calls_n = 0;

	p->classes = lin_alloc(p, n, sizeof(*p->classes));
	p->calls = lin_alloc(p, n, sizeof(*p->calls));
	p->junk = lin_alloc(p, n, sizeof(*p->junk));
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
build_ops(struct lin_builder *b, uint32_t *certain_n)
{
	struct lin_problem *p = b->p;
	uint32_t i, n = 0;
	struct lin_op *op;
	struct lin_raw tmp;

	p->ops = lin_alloc(p, b->raws_n, sizeof(*p->ops));
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
	struct lin_builder b;
	uint32_t certain_n;

	memset(p, 0, sizeof(*p));
	p->h = h;
	p->initial = range->initial_any ? LIN_ANY : LIN_ABSENT;
	memset(&b, 0, sizeof(b));
	b.p = p;
	if (n > UINT32_MAX / 4)
		return -ENOMEM;
	b.raws = lin_alloc(p, n, sizeof(*b.raws));
	if (b.raws == NULL)
		return -ENOMEM;
	collect(&b, op_numbers, n, range);
	if (find_targets(&b) < 0)
		return -ENOMEM;
	b.by_bytes = p->has_append;
	resolve(&b);
	if (lin_find_sights(&b) < 0)
		return -ENOMEM;
	simplify(&b);
	if (lin_find_ends(&b) < 0 || build_ops(&b, &certain_n) < 0)
		return -ENOMEM;
	return build_classes(&b, b.raws + certain_n, b.raws_n - certain_n);
}
