/*
 * lease.c - leases: the table, what hangs from a lease, and its end.
 */
#include "raftd/fsm/lease.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/fsm/digest.h"
#include "raftd/fsm/kvstore.h"

static int
compare_id(const struct lease *a, const struct lease *b)
{
	return (a->id > b->id) - (a->id < b->id);
}

static int
compare_due(const struct lease *a, const struct lease *b)
{
	return a->due != b->due ? (a->due > b->due) - (a->due < b->due)
				: compare_id(a, b);
}

static int
compare_key(const struct attachment *a, const struct attachment *b)
{
	return tree_compare(a->record->bytes, a->record->key_len,
	    b->record->bytes, b->record->key_len);
}

/* clang-format off */
RB_GENERATE_INTERNAL(lease_id_tree, lease, id_node, compare_id,
    __attribute__((unused)) static)
RB_GENERATE_INTERNAL(lease_due_tree, lease, due_node, compare_due,
    __attribute__((unused)) static)
RB_GENERATE_INTERNAL(attachment_tree, attachment, node, compare_key,
    __attribute__((unused)) static)
/* clang-format on */

/* ---- digests ----------------------------------------------------------- */

/* Which keys a lease has is part of the digests of the records. */
static struct fsm_digest
lease_digest(const struct lease *l)
{
	uint64_t n[4] = {l->id, l->ttl, l->due, l->automatic};

	return digest_of_u64(n, 4);
}

static struct fsm_digest
total_digest(const struct leases *t, struct fsm_digest sum)
{
	uint64_t n[4] = {sum.lo, sum.hi, t->count, t->last_id};

	return digest_of_u64(n, 4);
}

struct fsm_digest
leases_digest(const struct leases *t)
{
	return total_digest(t, t->sum);
}

struct fsm_digest
leases_recount(const struct leases *t)
{
	struct fsm_digest sum = {0, 0};
	struct leases *table = (struct leases *)(uintptr_t)t;
	struct lease *l;

	RB_FOREACH (l, lease_id_tree, &table->by_id)
		digest_add(&sum, lease_digest(l));
	return total_digest(t, sum);
}

/* ---- the table --------------------------------------------------------- */

void
leases_init(struct leases *t)
{
	memset(t, 0, sizeof(*t));
	RB_INIT(&t->by_id);
	RB_INIT(&t->by_due);
	t->due = UINT64_MAX;
}

static void
set_due(struct leases *t)
{
	const struct lease *l = RB_MIN(lease_due_tree, &t->by_due);

	t->due = l == NULL ? UINT64_MAX : l->due;
}

static void
drop(struct leases *t, struct lease *l)
{
	digest_sub(&t->sum, lease_digest(l));
	RB_REMOVE(lease_id_tree, &t->by_id, l);
	RB_REMOVE(lease_due_tree, &t->by_due, l);
	t->count--;
	set_due(t);
	free(l);
}

void
leases_release(struct leases *t)
{
	struct attachment *a;
	struct lease *l;

	while ((l = RB_ROOT(&t->by_id)) != NULL) {
		while ((a = RB_ROOT(&l->keys)) != NULL) {
			/* The record may be gone: nothing is compared. */
			RB_REMOVE(attachment_tree, &l->keys, a);
			free(a);
		}
		drop(t, l);
	}
}

struct lease *
lease_enter(
    struct leases *t, uint64_t id, uint64_t ttl, uint64_t due, bool automatic)
{
	struct lease *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->id = id;
	l->ttl = ttl;
	l->due = due;
	l->automatic = automatic;
	RB_INIT(&l->keys);
	TAILQ_INIT(&l->places);
	RB_INSERT(lease_id_tree, &t->by_id, l);
	RB_INSERT(lease_due_tree, &t->by_due, l);
	t->count++;
	set_due(t);
	digest_add(&t->sum, lease_digest(l));
	return l;
}

/* Deadlines beyond the end of time are that end. */
static uint64_t
due_in(const struct fsm *f, uint64_t ttl)
{
	uint64_t due;

	return __builtin_add_overflow(f->time, ttl, &due) ? UINT64_MAX - 1
							  : due;
}

struct lease *
lease_grant(struct fsm *f, uint64_t ttl, bool automatic, bool *full)
{
	struct leases *t = &f->leases;

	assert(ttl > 0 && ttl <= LEASE_TTL_MAX_MS);
	*full = t->count >= LEASE_COUNT_MAX;
	if (*full)
		return NULL;
	return lease_enter(t, ++t->last_id, ttl, due_in(f, ttl), automatic);
}

bool
lease_is_live(const struct fsm *f, const struct lease *l)
{
	return l->due > f->time || MUTANT(131);
}

struct lease *
lease_find(const struct fsm *f, uint64_t id)
{
	struct lease *l = RB_ROOT(&f->leases.by_id);

	while (l != NULL && l->id != id)
		l = id < l->id ? RB_LEFT(l, id_node) : RB_RIGHT(l, id_node);
	return l != NULL && lease_is_live(f, l) ? l : NULL;
}

const struct lease *
lease_next(const struct fsm *f, uint64_t id)
{
	const struct lease *l = RB_ROOT(&f->leases.by_id), *found = NULL;

	while (l != NULL) {
		if (l->id > id) {
			found = l;
			l = RB_LEFT(l, id_node);
		} else {
			l = RB_RIGHT(l, id_node);
		}
	}
	return found;
}

void
lease_renew(struct fsm *f, struct lease *l)
{
	struct leases *t = &f->leases;
	uint64_t due = due_in(f, l->ttl);

	if (due <= l->due)
		return;
	digest_sub(&t->sum, lease_digest(l));
	RB_REMOVE(lease_due_tree, &t->by_due, l);
	l->due = due;
	RB_INSERT(lease_due_tree, &t->by_due, l);
	digest_add(&t->sum, lease_digest(l));
	set_due(t);
}

/* ---- keys -------------------------------------------------------------- */

struct attachment *
attachment_new(void)
{
	return calloc(1, sizeof(struct attachment));
}

void
lease_attach(struct lease *l, struct attachment *a, struct record *r)
{
	a->lease = l;
	a->record = r;
	record_set_lease(r, l->id, a);
	RB_INSERT(attachment_tree, &l->keys, a);
	l->key_count++;
}

void
lease_detach(struct fsm *f, struct record *r)
{
	struct attachment *a = record_attachment(r);
	struct lease *l = a->lease;

	RB_REMOVE(attachment_tree, &l->keys, a);
	l->key_count--;
	record_set_lease(r, l->id, NULL);
	free(a);
	lease_settle(f, l);
}

const struct record *
lease_key_after(const struct lease *l, const struct record *r)
{
	struct lease *lease = (struct lease *)(uintptr_t)l;
	struct attachment *a = r == NULL ? RB_MIN(attachment_tree, &lease->keys)
					 : record_attachment(r);

	if (r != NULL)
		a = RB_NEXT(attachment_tree, &lease->keys, a);
	return a == NULL ? NULL : a->record;
}

/* ---- the end ----------------------------------------------------------- */

void
lease_settle(struct fsm *f, struct lease *l)
{
	if (l->automatic && !l->ending && l->key_count == 0 &&
	    TAILQ_EMPTY(&l->places))
		drop(&f->leases, l);
}

int
lease_end(struct fsm *f, struct lease *l, bool expired)
{
	uint64_t rev = f->rev + 1;
	struct attachment *a;
	struct tree_path path;
	int count = 0;

	l->ending = true;
	while ((a = RB_MIN(attachment_tree, &l->keys)) != NULL) {
		tree_find(
		    &f->tree, a->record->bytes, a->record->key_len, &path);
		assert(path.found);
		if (kvstore_delete(
			f, rev, &path, expired ? RECORD_EXPIRED : 0) < 0)
			return -ENOMEM;
		count++;
	}
	locks_leave(f, l);
	drop(&f->leases, l);
	return count;
}

int
leases_expire(struct fsm *f)
{
	struct leases *t = &f->leases;
	struct lease *l;
	int work = 0, r;

	while (work < LEASE_WORK_MAX && t->due <= f->time) {
		l = RB_MIN(lease_due_tree, &t->by_due);
		r = lease_end(f, l, true);
		if (r < 0)
			return r;
		work += 1 + r;
	}
	return 0;
}

/* ---- the invariants ---------------------------------------------------- */

static bool
lease_is_sound(const struct lease *lease)
{
	struct lease *l = (struct lease *)(uintptr_t)lease;
	struct attachment *a;
	uint32_t keys = 0;

	RB_FOREACH (a, attachment_tree, &l->keys) {
		if (a->lease != l || !record_is_live(a->record) ||
		    (a->record->flags & RECORD_OLD) != 0 ||
		    record_lease(a->record) != l->id ||
		    record_attachment(a->record) != a)
			return false;
		keys++;
	}
	return keys == l->key_count && !l->ending &&
	       (!l->automatic || keys > 0 || !TAILQ_EMPTY(&l->places));
}

bool
leases_check(const struct fsm *f)
{
	struct leases *t = (struct leases *)(uintptr_t)&f->leases;
	struct fsm_digest a = leases_digest(t), b = leases_recount(t);
	uint64_t due = UINT64_MAX;
	uint32_t ids = 0, dues = 0;
	struct lease *l;

	RB_FOREACH (l, lease_id_tree, &t->by_id) {
		if (!lease_is_sound(l) || l->id > t->last_id)
			return false;
		ids++;
	}
	RB_FOREACH (l, lease_due_tree, &t->by_due) {
		if (dues++ == 0)
			due = l->due;
	}
	return ids == t->count && dues == t->count && due == t->due &&
	       a.hi == b.hi && a.lo == b.lo;
}
