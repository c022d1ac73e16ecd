/*
 * ordercheck.c - is the order that the servers claim a legal one?
 */
#include "loadgen/ordercheck.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Steps of working out which unknown operations an answer needs. */
#define EXPLAIN_STEPS_MAX 10000u

enum role {
	ROLE_NONE,
	ROLE_WRITE,   /* takes effect at its revision */
	ROLE_READ,    /* finds what stands at its revision */
	ROLE_BETWEEN, /* a read without revision */
	ROLE_FLOATING /* a write whose revision, if any, is not known */
};

struct item {
	uint64_t rev;	/* BETWEEN: the lowest; FLOATING: 0 */
	uint64_t until; /* BETWEEN: the highest */
	size_t op;
	uint32_t key, group;
	uint8_t role;
	bool is_done;	/* BETWEEN: satisfied; FLOATING: used */
	bool is_shared; /* a delete whose revision other deletes claim too */
};

struct claim {
	uint64_t rev;
	uint32_t group;
	uint32_t item;
	/* Claims before it that are no deletes: of a delete it is not known
	 * whether the revision is its own. */
	size_t before;
};

/* What stands under a key in the replay. */
struct text {
	uint8_t *data;
	size_t len, cap;
	bool is_null;
};

struct order {
	const struct history *h;
	struct ordercheck_result *res;
	struct membudget *budget;
	struct item *items; /* of each operation, later sorted by key */
	size_t items_n;
	uint32_t *at;	      /* operation + 1 by event */
	uint64_t *floor;      /* by key: the highest revision answered so far */
	struct claim *claims; /* of writes, by group and revision */
	size_t claims_n;
	struct claim *groups; /* the highest revision answered so far */
	size_t groups_n;
	/* of the key under replay */
	struct text state;
	/* What was certain last: since then, only the appends of tail are
	 * known, and unknown operations may have come between. */
	struct text anchor;
	uint64_t anchor_rev;
	size_t *tail;
	size_t tail_n;
	size_t writer; /* operation that made the state, or SIZE_MAX */
	struct item *first, *oldest; /* of the key; still to look at */
	struct item *floating_end;   /* those without revision come first */
	bool is_doubtful; /* unknown operations could be used otherwise */
	unsigned steps;
	size_t *chain;
	size_t chain_n;
};

static int
violation(struct order *o, size_t op, size_t other, const char *why)
{
	struct ordercheck_result *r = o->res;

	r->verdict = LINCHECK_VIOLATION;
	r->key = o->h->ops[op].key;
	r->why = why;
	r->window_n = 0;
	if (other != SIZE_MAX && other < op)
		r->window[r->window_n++] = other;
	r->window[r->window_n++] = op;
	if (other != SIZE_MAX && other > op)
		r->window[r->window_n++] = other;
	return 1;
}

static void
doubt(struct order *o, size_t op, const char *why)
{
	if (o->res->verdict != LINCHECK_OK)
		return;
	(void)violation(o, op, SIZE_MAX, why);
	o->res->verdict = LINCHECK_UNDECIDED;
}

static bool
is_refused(const struct history_op *op)
{
	return op->f == HISTORY_CAS && op->result == HISTORY_OK && !op->swapped;
}

static enum role
role_of(const struct history_op *op)
{
	bool is_read = op->f == HISTORY_GET || is_refused(op);

	if (op->result == HISTORY_FAIL ||
	    (op->result == HISTORY_UNKNOWN && op->f == HISTORY_GET))
		return ROLE_NONE;
	if (op->result == HISTORY_UNKNOWN || (!is_read && !op->has_rev))
		return ROLE_FLOATING;
	if (is_read)
		return op->has_rev ? ROLE_READ : ROLE_BETWEEN;
	return ROLE_WRITE;
}

static int
compare_claims(const void *va, const void *vb)
{
	const struct claim *a = va, *b = vb;

	if (a->group != b->group)
		return a->group < b->group ? -1 : 1;
	if (a->rev != b->rev)
		return a->rev < b->rev ? -1 : 1;
	return (a->item > b->item) - (a->item < b->item);
}

/* --- revisions against each other and against time --- */

/* The writes that claim one revision: one that is no delete, at most.  A
 * delete that found nothing takes no revision of its own, but tells the
 * store's: beside another write it is a read of nothing, and among deletes
 * one at most found something. */
static int
check_run(struct order *o, size_t first, size_t end, size_t *keeps)
{
	size_t i, others = 0;
	struct item *it;

	*keeps = first;
	for (i = first; i < end; i++) {
		it = &o->items[o->claims[i].item];
		if (o->h->ops[it->op].f == HISTORY_DELETE)
			continue;
		if (others++ > 0)
			return violation(o, it->op,
			    o->items[o->claims[*keeps].item].op,
			    "two writes claim the same revision");
		*keeps = i;
	}
	for (i = first; i < end && end - first > 1; i++) {
		it = &o->items[o->claims[i].item];
		if (others == 0)
			it->is_shared = true;
		else if (i != *keeps)
			it->role = ROLE_READ;
	}
	return 0;
}

static int
check_unique(struct order *o)
{
	size_t i, end, keeps, n = 0, others = 0;

	for (i = 0; i < o->items_n; i++)
		if (o->items[i].role == ROLE_WRITE)
			o->claims[o->claims_n++] = (struct claim){
			    o->items[i].rev, o->items[i].group, (uint32_t)i, 0};
	if (o->claims_n > 0)
		qsort(
		    o->claims, o->claims_n, sizeof(*o->claims), compare_claims);
	for (i = 0; i < o->claims_n; i = end) {
		for (end = i + 1; end < o->claims_n &&
				  o->claims[end].rev == o->claims[i].rev &&
				  o->claims[end].group == o->claims[i].group;
		     end++)
			;
		if (check_run(o, i, end, &keeps) != 0)
			return 1;
		o->claims[n] = o->claims[keeps];
		o->claims[n++].before = others;
		others += o->h->ops[o->claims[n - 1].item].f != HISTORY_DELETE;
	}
	o->claims_n = n;
	o->claims[n].before = others;
	return 0;
}

static struct claim *
group_of(struct order *o, uint32_t group)
{
	size_t lo = 0, hi = o->groups_n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (o->groups[mid].group < group)
			lo = mid + 1;
		else
			hi = mid;
	}
	return &o->groups[lo];
}

static void
list_groups(struct order *o)
{
	size_t i, n = 0;

	for (i = 0; i < o->items_n; i++)
		o->groups[i] = (struct claim){0, o->items[i].group, 0, 0};
	if (o->items_n > 0)
		qsort(
		    o->groups, o->items_n, sizeof(*o->groups), compare_claims);
	for (i = 0; i < o->items_n; i++)
		if (n == 0 || o->groups[n - 1].group != o->groups[i].group)
			o->groups[n++] = o->groups[i];
	o->groups_n = n;
}

/* At its call: nothing answered before may have a higher revision. */
static int
check_floor(struct order *o, struct item *it)
{
	const struct history_op *op = &o->h->ops[it->op];
	const struct claim *g = group_of(o, it->group);
	uint64_t floor = o->floor[op->key];

	switch (it->role) {
	case ROLE_WRITE:
		if (it->rev < g->rev || (it->rev == g->rev && g->rev > 0 &&
					    op->f != HISTORY_DELETE))
			return violation(o, it->op, g->item,
			    "a write does not come after what was answered "
			    "before it began");
		break;
	case ROLE_READ:
		if (it->rev < floor)
			return violation(o, it->op, SIZE_MAX,
			    "a read is older than what was answered on its key "
			    "before it began");
		break;
	case ROLE_BETWEEN:
		it->rev = floor;
		break;
	default:
		break;
	}
	return 0;
}

static int
check_time(struct order *o)
{
	const struct history *h = o->h;
	const struct history_op *op;
	struct item *it;
	struct claim *g;
	uint64_t e, rev;

	for (e = 1; e <= h->events; e++) {
		it = &o->items[o->at[e] - 1];
		op = &h->ops[it->op];
		if (e == op->call) {
			if (check_floor(o, it) != 0)
				return 1;
			continue;
		}
		if (op->result != HISTORY_OK || !op->has_rev)
			continue;
		g = group_of(o, op->group);
		if (op->rev > g->rev) {
			g->rev = op->rev;
			g->item = (uint32_t)it->op;
		}
		/* A refused cas tells the store's revision; a get after it may
		 * tell the record's, which is lower. */
		if (op->rev > o->floor[op->key] && !is_refused(op))
			o->floor[op->key] = op->rev;
	}
	/* Backwards: what began after a read returned is above what it saw,
	 * but for a delete of nothing. */
	for (e = 0; e < h->keys.items_n; e++)
		o->floor[e] = UINT64_MAX;
	for (e = h->events; e > 0; e--) {
		it = &o->items[o->at[e] - 1];
		op = &h->ops[it->op];
		if (e == op->ret && it->role == ROLE_BETWEEN)
			it->until = o->floor[op->key] - 1;
		if (e != op->call || it->role != ROLE_WRITE)
			continue;
		rev = it->rev + (op->f == HISTORY_DELETE);
		if (rev > 0 && rev < o->floor[op->key])
			o->floor[op->key] = rev;
	}
	return 0;
}

/* --- replay of one key --- */

static bool
equals(const struct order *o, const struct text *t, uint32_t value)
{
	const struct intern_item *v;

	if (value == HISTORY_NULL || t->is_null)
		return value == HISTORY_NULL && t->is_null;
	v = &o->h->values.items[value];
	return v->len == t->len &&
	       (v->len == 0 || memcmp(v->data, t->data, v->len) == 0);
}

static int
assign(struct order *o, struct text *t, uint32_t value, bool append)
{
	const struct intern_item *v;
	size_t keep, cap;
	uint8_t *p;

	if (value == HISTORY_NULL) {
		t->is_null = true;
		t->len = 0;
		return 0;
	}
	v = &o->h->values.items[value];
	keep = append && !t->is_null ? t->len : 0;
	if (keep + v->len > t->cap) {
		cap = (keep + v->len) * 2;
		p = membudget_grow(o->budget, t->data, t->cap, cap);
		if (p == NULL)
			return -ENOMEM;
		t->data = p;
		t->cap = cap;
	}
	if (v->len > 0)
		memcpy(t->data + keep, v->data, v->len);
	t->len = keep + v->len;
	t->is_null = false;
	return 0;
}

/* The first claim that is not below the key. */
static struct claim *
claim_at(const struct order *o, const struct claim *key)
{
	size_t lo = 0, hi = o->claims_n, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (o->claims[mid].group < key->group ||
		    (o->claims[mid].group == key->group &&
			o->claims[mid].rev < key->rev))
			lo = mid + 1;
		else
			hi = mid;
	}
	return &o->claims[lo];
}

/* How many revisions of (lo, hi] no known write of the group has. */
static uint64_t
unclaimed(const struct order *o, uint32_t group, uint64_t lo, uint64_t hi)
{
	struct claim from = {lo + 1, group, 0, 0}, to = {hi + 1, group, 0, 0};

	if (hi <= lo)
		return 0;
	if (hi == UINT64_MAX)
		return hi;
	return hi - lo -
	       (claim_at(o, &to)->before - claim_at(o, &from)->before);
}

/* What a chain of unknown operations is to end in: len bytes of value, or
 * null. */
struct goal {
	const uint8_t *data;
	size_t len;
	bool is_null;
};

static struct goal
goal_of(const struct order *o, uint32_t value)
{
	struct goal g = {NULL, 0, true};

	if (value != HISTORY_NULL) {
		g.data = o->h->values.items[value].data;
		g.len = o->h->values.items[value].len;
		g.is_null = false;
	}
	return g;
}

static bool
goal_is(const struct goal *a, const struct goal *b)
{
	return a->is_null == b->is_null && a->len == b->len &&
	       (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static unsigned explain(struct order *, const struct goal *, size_t tail_n,
    uint64_t before, uint64_t room);

/* The ways to what must stand there for an append of w to give the goal. */
static unsigned
explain_append(struct order *o, const struct goal *goal, const struct goal *w,
    size_t tail_n, uint64_t before, uint64_t room)
{
	struct goal rest = *goal;
	unsigned n;

	if (goal->is_null || goal->len < w->len ||
	    (w->len > 0 && memcmp(goal->data + (goal->len - w->len), w->data,
			       w->len) != 0))
		return 0;
	rest.len -= w->len;
	n = explain(o, &rest, tail_n, before, room);
	if (n == 0 && rest.len == 0) {
		rest.is_null = true;
		n = explain(o, &rest, tail_n, before, room);
	}
	return n;
}

/* Works backwards from the goal, through the appends of the tail and unused
 * unknown operations that were invoked before the event: which of them turn
 * the anchor into it?  The number of ways, two at most; the first one stays in
 * chain, last operation first. */
static unsigned
explain(struct order *o, const struct goal *goal, size_t tail_n,
    uint64_t before, uint64_t room)
{
	struct goal w = {o->anchor.data, o->anchor.len, o->anchor.is_null};
	size_t depth = o->chain_n, first_n = 0;
	const struct history_op *op;
	struct goal rest;
	struct item *it;
	unsigned ways = 0, n;

	if (o->steps == 0)
		return 0;
	o->steps--;
	if (tail_n == 0) {
		ways = goal_is(goal, &w);
	} else {
		w = goal_of(o, o->h->ops[o->tail[tail_n - 1]].arg);
		ways = explain_append(o, goal, &w, tail_n - 1, before, room);
	}
	first_n = o->chain_n;
	for (it = o->first; it < o->floating_end && ways < 2; it++) {
		op = &o->h->ops[it->op];
		if (it->role != ROLE_FLOATING || it->is_done || room == 0 ||
		    op->call > before || o->steps == 0)
			continue;
		w = goal_of(o, op->f == HISTORY_CAS ? op->arg2 : op->arg);
		n = 0;
		it->is_done = true;
		o->chain[o->chain_n++] = it->op;
		if (op->f == HISTORY_APPEND) {
			n = explain_append(
			    o, goal, &w, tail_n, before, room - 1);
		} else if (goal_is(goal, &w) && op->f == HISTORY_CAS) {
			rest = goal_of(o, op->arg);
			n = explain(o, &rest, tail_n, before, room - 1);
		} else {
			n = goal_is(goal, &w);
		}
		it->is_done = false;
		if (n > 0 && ways == 0)
			first_n = o->chain_n;
		ways += n;
		o->chain_n = ways > 0 ? first_n : depth;
	}
	return ways < 2 ? ways : 2;
}

static int
settle(struct order *o, uint64_t rev)
{
	struct text *a = &o->anchor;
	const struct text *s = &o->state;
	uint8_t *p;

	if (s->len > a->cap) {
		p = membudget_grow(o->budget, a->data, a->cap, s->cap);
		if (p == NULL)
			return -ENOMEM;
		a->data = p;
		a->cap = s->cap;
	}
	if (s->len > 0)
		memcpy(a->data, s->data, s->len);
	a->len = s->len;
	a->is_null = s->is_null;
	o->anchor_rev = rev;
	o->tail_n = 0;
	return 0;
}

static int
use_chain(struct order *o, uint32_t value)
{
	struct item *it;
	size_t i;

	for (i = 0; i < o->chain_n; i++) {
		for (it = o->first; it < o->floating_end; it++)
			if (it->op == o->chain[i])
				it->is_done = true;
	}
	if (o->chain_n > 0)
		o->writer = o->chain[0];
	return assign(o, &o->state, value, false);
}

/* An answer says that value stands there now.  0, 1 or -ENOMEM. */
static int
demand(struct order *o, const struct item *it, uint32_t value, uint64_t rev,
    const char *why)
{
	struct goal goal = goal_of(o, value);
	unsigned ways;

	if (equals(o, &o->state, value))
		return o->tail_n > 0 ? settle(o, rev) : 0;
	o->steps = EXPLAIN_STEPS_MAX;
	o->chain_n = 0;
	ways = explain(o, &goal, o->tail_n, o->h->ops[it->op].ret,
	    unclaimed(o, it->group, o->anchor_rev, rev));
	if (ways == 0 && !o->is_doubtful && o->steps > 0)
		return violation(o, it->op, o->writer, why);
	if (ways == 0) {
		doubt(o, it->op, why);
		return 2;
	}
	if (ways > 1 || o->steps == 0)
		o->is_doubtful = true;
	if (use_chain(o, value) < 0)
		return -ENOMEM;
	return settle(o, rev);
}

static bool
has_floating(const struct order *o, uint64_t before)
{
	const struct item *it;

	for (it = o->first; it < o->floating_end; it++)
		if (it->role == ROLE_FLOATING && !it->is_done &&
		    o->h->ops[it->op].call < before)
			return true;
	return false;
}

static int
replay_read(struct order *o, struct item *it)
{
	const struct history_op *op = &o->h->ops[it->op];
	static const char why[] =
	    "a read did not find what stands at its revision";

	if (op->f == HISTORY_GET)
		return demand(o, it, op->out, it->rev, why);
	if (op->f == HISTORY_DELETE)
		return demand(o, it, HISTORY_NULL, it->rev,
		    "a delete shares a revision, yet there was a value");
	if (!equals(o, &o->state, op->arg))
		return 0;
	if (o->is_doubtful || has_floating(o, op->ret)) {
		doubt(o, it->op, "a cas refused what stands at its revision");
		return 2;
	}
	return violation(
	    o, it->op, o->writer, "a cas refused what stands at its revision");
}

/* May an unknown operation, wherever it was placed, have made for a while
 * something that no revision marks? */
static bool
is_uncertain(const struct order *o, uint64_t before)
{
	const struct item *it;

	for (it = o->first; it < o->floating_end; it++)
		if (it->role == ROLE_FLOATING &&
		    o->h->ops[it->op].call < before)
			return true;
	return false;
}

/* Reads without revision: satisfied by what stands now, or due before the
 * next revision. */
static int
replay_between(
    struct order *o, struct item *from, struct item *upto, uint64_t next_rev)
{
	const struct history_op *op;
	struct item *it;
	bool is_met;

	for (it = from; it < upto; it++) {
		if (it->role != ROLE_BETWEEN || it->is_done)
			continue;
		op = &o->h->ops[it->op];
		is_met = op->f == HISTORY_GET ? equals(o, &o->state, op->out)
					      : !equals(o, &o->state, op->arg);
		if (is_met) {
			it->is_done = true;
			continue;
		}
		if (it->until >= next_rev)
			continue;
		it->is_done = true;
		if (!is_uncertain(o, op->ret))
			return violation(o, it->op, o->writer,
			    "a read found what stood there at no revision "
			    "between");
	}
	return 0;
}

/* A delete found something, and others claim its revision. */
static int
found_shared(struct order *o, const struct item *it)
{
	static const char why[] = "two deletes of one revision found something";
	struct claim key = {it->rev, it->group, 0, 0}, *c;

	/* An unknown operation may have left nothing to find. */
	if (o->is_doubtful || has_floating(o, o->h->ops[it->op].ret))
		return 0;
	c = claim_at(o, &key);
	if (c->item == UINT32_MAX)
		return violation(o, it->op, o->writer, why);
	c->item = UINT32_MAX;
	return 0;
}

static int
replay_write(struct order *o, struct item *it)
{
	const struct history_op *op = &o->h->ops[it->op];
	int err = 0;

	if (op->f == HISTORY_CAS)
		err = demand(o, it, op->arg, it->rev - 1,
		    "a cas swapped what does not stand before its revision");
	if (op->f == HISTORY_CAS && err == 0)
		err = replay_between(o, o->oldest, it, 0);
	else if (it->is_shared && !o->state.is_null)
		err = found_shared(o, it);
	if (err == 0)
		err = assign(o, &o->state,
		    op->f == HISTORY_CAS ? op->arg2 : op->arg,
		    op->f == HISTORY_APPEND);
	o->writer = it->op;
	if (err != 0)
		return err;
	if (op->f == HISTORY_APPEND) {
		o->tail[o->tail_n++] = it->op;
		return 0;
	}
	return settle(o, it->rev);
}

static int
compare_items(const void *va, const void *vb)
{
	const struct item *a = va, *b = vb;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	if (a->rev != b->rev)
		return a->rev < b->rev ? -1 : 1;
	if (a->role != b->role)
		return a->role < b->role ? -1 : 1;
	return (a->op > b->op) - (a->op < b->op);
}

static int
replay_key(struct order *o, struct item *first, struct item *end)
{
	struct item *it, *next;
	int err;

	o->first = o->oldest = first;
	o->floating_end = first;
	while (o->floating_end < end && o->floating_end->rev == 0)
		o->floating_end++;
	o->state.is_null = true;
	o->state.len = 0;
	o->anchor.is_null = true;
	o->anchor.len = 0;
	o->anchor_rev = 0;
	o->tail_n = 0;
	o->writer = SIZE_MAX;
	o->is_doubtful = false;
	for (it = first; it < end; it++) {
		err = it->role == ROLE_WRITE  ? replay_write(o, it)
		      : it->role == ROLE_READ ? replay_read(o, it)
					      : 0;
		if (err != 0)
			return err;
		for (next = it + 1;
		     next < end &&
		     (next->role == ROLE_FLOATING || next->role == ROLE_NONE);
		     next++)
			;
		err = replay_between(
		    o, o->oldest, it + 1, next < end ? next->rev : UINT64_MAX);
		if (err != 0)
			return err;
		while (o->oldest < it &&
		       (o->oldest->role != ROLE_BETWEEN || o->oldest->is_done))
			o->oldest++;
	}
	return 0;
}

static int
replay(struct order *o)
{
	size_t i, k;
	int err;

	if (o->items_n > 0)
		qsort(o->items, o->items_n, sizeof(*o->items), compare_items);
	for (i = 0; i < o->items_n; i = k) {
		for (k = i;
		     k < o->items_n && o->items[k].key == o->items[i].key; k++)
			;
		err = replay_key(o, &o->items[i], &o->items[k]);
		if (err == 1 || err == -ENOMEM)
			return err;
	}
	return 0;
}

static int
prepare(struct order *o)
{
	const struct history *h = o->h;
	const struct history_op *op;
	struct item *it;
	size_t i;

	o->items_n = h->ops_n;
	for (i = 0; i < h->ops_n; i++) {
		op = &h->ops[i];
		it = &o->items[i];
		it->op = i;
		it->key = op->key;
		it->role = (uint8_t)role_of(op);
		if (it->role == ROLE_WRITE || it->role == ROLE_READ) {
			it->rev = op->rev;
			it->group = op->group;
			o->res->with_rev++;
		}
		o->at[op->call] = (uint32_t)i + 1;
		if (op->ret != HISTORY_NEVER)
			o->at[op->ret] = (uint32_t)i + 1;
	}
	list_groups(o);
	return check_unique(o);
}

int
ordercheck(const struct history *h, struct ordercheck_result *res)
{
	struct order o;
	size_t n = h->ops_n + 1;
	int err = -ENOMEM;

	memset(res, 0, sizeof(*res));
	memset(&o, 0, sizeof(o));
	o.h = h;
	o.res = res;
	o.budget = h->budget;
	res->keys = h->keys.items_n;
	o.items = membudget_alloc(o.budget, n * sizeof(*o.items));
	o.claims = membudget_alloc(o.budget, n * sizeof(*o.claims));
	o.groups = membudget_alloc(o.budget, n * sizeof(*o.groups));
	o.chain = membudget_alloc(o.budget, n * sizeof(*o.chain));
	o.tail = membudget_alloc(o.budget, n * sizeof(*o.tail));
	o.at =
	    membudget_alloc(o.budget, (size_t)(h->events + 1) * sizeof(*o.at));
	o.floor = membudget_alloc(o.budget, (res->keys + 1) * sizeof(*o.floor));
	if (o.items != NULL && o.claims != NULL && o.groups != NULL &&
	    o.chain != NULL && o.tail != NULL && o.at != NULL &&
	    o.floor != NULL)
		err = prepare(&o);
	if (err == 0 && res->with_rev == 0 && h->ops_n > 0) {
		doubt(&o, 0, "no completion claims a revision");
		err = 1;
	}
	if (err == 0)
		err = check_time(&o);
	if (err == 0)
		err = replay(&o);
	membudget_free(o.budget, o.state.data, o.state.cap);
	membudget_free(o.budget, o.anchor.data, o.anchor.cap);
	membudget_free(o.budget, o.floor, (res->keys + 1) * sizeof(*o.floor));
	membudget_free(o.budget, o.at, (size_t)(h->events + 1) * sizeof(*o.at));
	membudget_free(o.budget, o.tail, n * sizeof(*o.tail));
	membudget_free(o.budget, o.chain, n * sizeof(*o.chain));
	membudget_free(o.budget, o.groups, n * sizeof(*o.groups));
	membudget_free(o.budget, o.claims, n * sizeof(*o.claims));
	membudget_free(o.budget, o.items, n * sizeof(*o.items));
	return err == -ENOMEM ? -ENOMEM : 0;
}
