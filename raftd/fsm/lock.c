/*
 * lock.c - locks: holders and queues.
 */
#include "raftd/fsm/lock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/fsm/digest.h"
#include "raftd/fsm/kvstore.h"

static int
compare_lock(const struct lock *a, const struct lock *b)
{
	return tree_compare(a->name, a->name_len, b->name, b->name_len);
}

/* clang-format off */
RB_GENERATE_INTERNAL(lock_tree, lock, node, compare_lock,
    __attribute__((unused)) static)
/* clang-format on */

/* ---- digests ----------------------------------------------------------- */

static struct fsm_digest
place_digest(const struct lock_entry *e)
{
	struct fsm_digest data =
	    digest_of(e->data, (size_t)e->host_len + e->holder_len);
	uint64_t n[11] = {e->lock->name_digest.lo, e->lock->name_digest.hi,
	    e->lease->id, e->order, e->token, e->since, e->pid, e->slots,
	    (uint64_t)e->host_len << 16 | e->holder_len, data.lo, data.hi};

	return digest_of_u64(n, 11);
}

static struct fsm_digest
lock_digest(const struct lock *l)
{
	uint64_t n[3] = {l->name_digest.lo, l->name_digest.hi, l->changed};

	return digest_of_u64(n, 3);
}

static struct fsm_digest
total_digest(const struct locks *t, struct fsm_digest sum)
{
	uint64_t n[5] = {sum.lo, sum.hi, t->places, t->changes, t->last_order};

	return digest_of_u64(n, 5);
}

struct fsm_digest
locks_digest(const struct locks *t)
{
	return total_digest(t, t->sum);
}

struct fsm_digest
locks_recount(const struct locks *t)
{
	struct lock_tree *tree = (struct lock_tree *)(uintptr_t)&t->tree;
	struct fsm_digest sum = {0, 0};
	const struct lock_entry *e;
	struct lock *l;

	RB_FOREACH (l, lock_tree, tree) {
		digest_add(&sum, lock_digest(l));
		TAILQ_FOREACH (e, &l->holders, link)
			digest_add(&sum, place_digest(e));
		TAILQ_FOREACH (e, &l->waiters, link)
			digest_add(&sum, place_digest(e));
	}
	return total_digest(t, sum);
}

/* ---- the table --------------------------------------------------------- */

void
locks_init(struct locks *t)
{
	memset(t, 0, sizeof(*t));
	RB_INIT(&t->tree);
}

static void
free_places(struct lock_entry_list *list)
{
	struct lock_entry *e;

	while ((e = TAILQ_FIRST(list)) != NULL) {
		TAILQ_REMOVE(list, e, link);
		free(e);
	}
}

void
locks_release(struct locks *t)
{
	struct lock *l;

	while ((l = RB_ROOT(&t->tree)) != NULL) {
		RB_REMOVE(lock_tree, &t->tree, l);
		free_places(&l->holders);
		free_places(&l->waiters);
		free(l);
	}
}

const struct lock *
lock_seek(const struct fsm *f, struct mp_span name, bool behind)
{
	const struct lock *l = RB_ROOT(&f->locks.tree), *found = NULL;
	int c;

	while (l != NULL) {
		c = name.len == 0
			? 1
			: tree_compare(l->name, l->name_len, name.p, name.len);
		if (behind ? c > 0 : c >= 0) {
			found = l;
			l = RB_LEFT(l, node);
		} else {
			l = RB_RIGHT(l, node);
		}
	}
	return found;
}

const struct lock *
lock_next(const struct fsm *f, const struct lock *l)
{
	return lock_seek(f, mp_span(l->name, l->name_len), true);
}

const struct lock *
lock_find(const struct fsm *f, struct mp_span name)
{
	const struct lock *l = lock_seek(f, name, false);

	return l != NULL && l->name_len == name.len &&
		       memcmp(l->name, name.p, name.len) == 0
		   ? l
		   : NULL;
}

struct lock *
lock_enter(struct locks *t, struct mp_span name, uint64_t changed)
{
	struct lock *l = calloc(1, sizeof(*l) + name.len);

	if (l == NULL)
		return NULL;
	assert(name.len > 0 && name.len <= WIRE_KEY_LEN_MAX);
	TAILQ_INIT(&l->holders);
	TAILQ_INIT(&l->waiters);
	l->limit = LOCK_ANY;
	l->changed = changed;
	l->name_len = (uint16_t)name.len;
	memcpy(l->name, name.p, name.len);
	l->name_digest = digest_of(l->name, l->name_len);
	if (RB_INSERT(lock_tree, &t->tree, l) != NULL) {
		free(l);
		return NULL;
	}
	digest_add(&t->sum, lock_digest(l));
	return l;
}

/* Its holders changed. */
static void
set_changed(struct locks *t, struct lock *l)
{
	digest_sub(&t->sum, lock_digest(l));
	l->changed = ++t->changes;
	digest_add(&t->sum, lock_digest(l));
}

/* ---- places ------------------------------------------------------------ */

static void
enter_lease(struct lease *lease, struct lock_entry *e)
{
	struct lock_entry *at = TAILQ_LAST(&lease->places, lock_entry_list);

	while (at != NULL && at->order > e->order)
		at = TAILQ_PREV(at, lock_entry_list, lease_link);
	if (at == NULL)
		TAILQ_INSERT_HEAD(&lease->places, e, lease_link);
	else
		TAILQ_INSERT_AFTER(&lease->places, at, e, lease_link);
}

static void
enter_holders(struct lock *l, struct lock_entry *e)
{
	TAILQ_INSERT_TAIL(&l->holders, e, link);
	l->holder_count++;
	if (e->slots < l->limit)
		l->limit = e->slots;
}

struct lock_entry *
lock_enter_place(struct locks *t, struct lock *l, struct lease *lease,
    const struct lock_place *p, uint64_t order, uint64_t token, uint64_t since)
{
	struct lock_entry *e =
	    calloc(1, sizeof(*e) + p->host.len + p->holder.len);

	if (e == NULL)
		return NULL;
	assert(p->host.len <= LOCK_HOST_LEN_MAX);
	assert(p->holder.len <= LOCK_HOLDER_LEN_MAX);
	e->lock = l;
	e->lease = lease;
	e->order = order;
	e->token = token;
	e->since = since;
	e->pid = p->pid;
	e->slots = p->slots;
	e->host_len = (uint16_t)p->host.len;
	e->holder_len = (uint16_t)p->holder.len;
	if (p->host.len > 0)
		memcpy(e->data, p->host.p, p->host.len);
	if (p->holder.len > 0)
		memcpy(e->data + p->host.len, p->holder.p, p->holder.len);
	if (token != 0) {
		enter_holders(l, e);
	} else {
		TAILQ_INSERT_TAIL(&l->waiters, e, link);
		l->waiter_count++;
	}
	enter_lease(lease, e);
	t->places++;
	digest_add(&t->sum, place_digest(e));
	return e;
}

struct lock_entry *
lock_place_of(const struct lock *l, const struct lease *lease)
{
	struct lock_entry *e;

	TAILQ_FOREACH (e, &lease->places, lease_link)
		if (e->lock == l)
			return e;
	return NULL;
}

/* Do the holders, and one that puts up with so many, go together? */
static bool
fits(const struct lock *l, uint32_t slots)
{
	uint32_t limit = slots < l->limit ? slots : l->limit;

	return l->holder_count < limit;
}

bool
lock_is_free(const struct lock *l, uint32_t slots)
{
	return l == NULL || (TAILQ_EMPTY(&l->waiters) && fits(l, slots));
}

bool
lock_has_token(const struct fsm *f, struct mp_span name, uint64_t token)
{
	const struct lock *l = lock_find(f, name);
	const struct lock_entry *e;

	if (l == NULL)
		return false;
	TAILQ_FOREACH (e, &l->holders, link)
		if (e->token == token || MUTANT(132))
			return lease_is_live(f, e->lease);
	return false;
}

/* ---- changes ----------------------------------------------------------- */

/* Those whose turn it is. */
static void
move_up(struct fsm *f, struct lock *l)
{
	struct locks *t = &f->locks;
	struct lock_entry *e;

	while ((e = MUTANT(133) ? TAILQ_LAST(&l->waiters, lock_entry_list)
				: TAILQ_FIRST(&l->waiters)) != NULL &&
	       (fits(l, e->slots) || MUTANT(134))) {
		digest_sub(&t->sum, place_digest(e));
		TAILQ_REMOVE(&l->waiters, e, link);
		l->waiter_count--;
		e->token = MUTANT(135) ? 1 : ++f->rev;
		e->since = f->time;
		enter_holders(l, e);
		digest_add(&t->sum, place_digest(e));
		set_changed(t, l);
	}
}

struct lock_entry *
lock_come(struct fsm *f, struct mp_span name, struct lease *lease,
    const struct lock_place *p)
{
	struct lock *l = (struct lock *)(uintptr_t)lock_find(f, name);
	struct locks *t = &f->locks;
	struct lock_entry *e;
	bool made = l == NULL;

	if (made)
		l = lock_enter(t, name, t->changes);
	if (l == NULL)
		return NULL;
	e = lock_enter_place(t, l, lease, p, ++t->last_order, 0, f->time);
	if (e == NULL)
		return NULL;
	move_up(f, l);
	return e;
}

static void
free_lock(struct locks *t, struct lock *l)
{
	digest_sub(&t->sum, lock_digest(l));
	RB_REMOVE(lock_tree, &t->tree, l);
	t->changes++;
	free(l);
}

/* What the holders put up with, after one of them has left. */
static void
find_limit(struct lock *l)
{
	const struct lock_entry *e;

	l->limit = LOCK_ANY;
	TAILQ_FOREACH (e, &l->holders, link)
		if (e->slots < l->limit)
			l->limit = e->slots;
}

void
lock_leave(struct fsm *f, struct lock_entry *e)
{
	struct locks *t = &f->locks;
	struct lock *l = e->lock;
	bool held = e->token != 0;

	digest_sub(&t->sum, place_digest(e));
	t->places--;
	TAILQ_REMOVE(&e->lease->places, e, lease_link);
	if (held) {
		TAILQ_REMOVE(&l->holders, e, link);
		l->holder_count--;
		if (e->slots == l->limit)
			find_limit(l);
	} else {
		TAILQ_REMOVE(&l->waiters, e, link);
		l->waiter_count--;
	}
	free(e);
	if (l->holder_count == 0 && l->waiter_count == 0) {
		free_lock(t, l);
		return;
	}
	if (held)
		set_changed(t, l);
	else
		t->changes++;
	if (!MUTANT(136))
		move_up(f, l);
}

void
locks_leave(struct fsm *f, struct lease *lease)
{
	struct lock_entry *e;

	while ((e = TAILQ_FIRST(&lease->places)) != NULL)
		lock_leave(f, e);
}

/* ---- the invariants ---------------------------------------------------- */

bool
lock_is_sound(const struct lock *l)
{
	uint64_t token = 0, order = 0;
	uint32_t holders = 0, waiters = 0, limit = LOCK_ANY;
	const struct lock_entry *e;

	TAILQ_FOREACH (e, &l->holders, link) {
		if (e->token <= token || e->slots == 0)
			return false;
		token = e->token;
		limit = e->slots < limit ? e->slots : limit;
		holders++;
	}
	TAILQ_FOREACH (e, &l->waiters, link) {
		if (e->order <= order || e->token != 0 || e->slots == 0)
			return false;
		order = e->order;
		waiters++;
	}
	if (holders == 0 || holders > limit || limit != l->limit ||
	    holders != l->holder_count || waiters != l->waiter_count)
		return false;
	e = TAILQ_FIRST(&l->waiters);
	return e == NULL || !fits(l, e->slots);
}

bool
locks_check(const struct fsm *f)
{
	struct locks *t = (struct locks *)(uintptr_t)&f->locks;
	struct fsm_digest a = locks_digest(t), b = locks_recount(t);
	struct lock *l;
	uint32_t places = 0;

	RB_FOREACH (l, lock_tree, &t->tree) {
		if (!lock_is_sound(l) || l->changed > t->changes)
			return false;
		places += l->holder_count + l->waiter_count;
	}
	return places == t->places && a.hi == b.hi && a.lo == b.lo;
}
