/*
 * kvstore.c - the key-value store's state: changes, history, digest.
 */
#include "raftd/fsm/kvstore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/fsm/digest.h"

/* Distance between what is fetched and what is touched, in changes. */
#define FORESEE 4

static struct fsm_digest
record_digest(const struct record *r)
{
	struct fsm_digest bytes;
	uint64_t n[7];

	bytes = digest_of(r->bytes, (size_t)r->key_len + r->value_len);
	n[0] = bytes.lo;
	n[1] = bytes.hi;
	n[2] = r->create_rev;
	n[3] = r->mod_rev;
	n[4] = r->version;
	n[5] = r->key_len;
	n[6] = record_lease(r);
	return digest_of_u64(n, n[6] == 0 ? 6 : 7);
}

/* Without leases it is what it was before there were any. */
static struct fsm_digest
state_digest(const struct fsm *f, struct fsm_digest sum, uint64_t keys,
    struct fsm_digest sessions, struct fsm_digest leases,
    struct fsm_digest locks)
{
	uint64_t n[11] = {sum.lo, sum.hi, keys, f->rev, f->time, sessions.lo,
	    sessions.hi, leases.lo, leases.hi, locks.lo, locks.hi};

	return digest_of_u64(n, kvstore_has_leases(f) ? 11 : 7);
}

struct fsm_digest
kvstore_digest(const struct fsm *f)
{
	return state_digest(f, f->sum, f->keys, sessions_digest(&f->sessions),
	    leases_digest(&f->leases), locks_digest(&f->locks));
}

struct fsm_digest
kvstore_recount(const struct fsm *f)
{
	struct tree_pos pos = tree_seek(&f->tree, NULL, 0);
	struct fsm_digest sum = {0, 0};
	const struct record *r;
	uint64_t keys = 0;

	while ((r = tree_next(&pos)) != NULL) {
		if (!record_is_live(r))
			continue;
		digest_add(&sum, record_digest(r));
		keys++;
	}
	return state_digest(f, sum, keys, sessions_recount(&f->sessions),
	    leases_recount(&f->leases), locks_recount(&f->locks));
}

struct fsm *
kvstore_new(uint32_t group)
{
	struct fsm *f = calloc(1, sizeof(*f));

	if (f != NULL) {
		f->group = group;
		tree_init(&f->tree);
		sessions_init(&f->sessions);
		leases_init(&f->leases);
		locks_init(&f->locks);
	}
	return f;
}

void
kvstore_reset(struct fsm *f)
{
	struct tree_pos pos = tree_seek(&f->tree, NULL, 0);
	struct record *r, *older;
	uint32_t group = f->group;

	while ((r = tree_next(&pos)) != NULL) {
		for (; r != NULL; r = older) {
			older = record_older(r);
			free(r);
		}
	}
	tree_release(&f->tree);
	free(f->history.ring);
	sessions_release(&f->sessions);
	locks_release(&f->locks);
	leases_release(&f->leases);
	memset(f, 0, sizeof(*f));
	f->group = group;
	tree_init(&f->tree);
	sessions_init(&f->sessions);
	leases_init(&f->leases);
	locks_init(&f->locks);
}

void
kvstore_free(struct fsm *f)
{
	if (f == NULL)
		return;
	kvstore_reset(f);
	free(f);
}

/* ---- history ----------------------------------------------------------- */

/* What a change keeps in memory beyond the newest values. */
static uint64_t
history_charge(const struct record *r)
{
	const struct record *older = record_older(r);

	return sizeof(r) + (older == NULL ? 0 : record_size(older)) +
	       ((r->flags & RECORD_TOMBSTONE) != 0 ? record_size(r) : 0);
}

/* Room for one more, so that history_push() cannot fail. */
static int
history_reserve(struct kv_history *h)
{
	struct record **ring;
	size_t cap, i;

	if (h->count < h->cap)
		return 0;
	cap = h->cap == 0 ? 64 : h->cap * 2;
	ring = malloc(cap * sizeof(*ring));
	if (ring == NULL)
		return -ENOMEM;
	for (i = 0; i < h->count; i++)
		ring[i] = h->ring[(h->first + i) & (h->cap - 1)];
	free(h->ring);
	h->ring = ring;
	h->cap = cap;
	h->first = 0;
	return 0;
}

static void
history_push(struct kv_history *h, struct record *r)
{
	assert(h->count < h->cap);
	h->ring[(h->first + h->count++) & (h->cap - 1)] = r;
	h->bytes += history_charge(r);
}

/*
 * What history_pop() will touch soon.  In a large store each of these is a
 * cache miss that nothing else hides: the record, the pointer behind its
 * value, and what that points to; each needs the one before.
 */
static void
history_foresee(const struct kv_history *h)
{
	const struct record *r;

	if (h->count <= 3 * FORESEE)
		return;
	__builtin_prefetch(h->ring[(h->first + 3 * FORESEE) & (h->cap - 1)]);
	r = h->ring[(h->first + 2 * FORESEE) & (h->cap - 1)];
	__builtin_prefetch(record_value(r) + r->value_len);
	r = h->ring[(h->first + FORESEE) & (h->cap - 1)];
	__builtin_prefetch(record_older(r), 1);
}

static void
history_pop(struct fsm *f)
{
	struct kv_history *h = &f->history;
	struct record *r = h->ring[h->first & (h->cap - 1)];
	struct tree_path path;

	assert(h->count > 0);
	history_foresee(h);
	h->first++;
	h->count--;
	h->bytes -= history_charge(r);
	if (!MUTANT(97))
		f->floor = r->mod_rev;
	if ((r->flags & RECORD_OLDER) != 0) {
		free(record_older(r));
		record_set_older(r, NULL);
	}
	if ((r->flags & (RECORD_TOMBSTONE | RECORD_OLD)) == RECORD_TOMBSTONE) {
		/* Nobody can look behind it any more. */
		tree_find(&f->tree, r->bytes, r->key_len, &path);
		assert(tree_record(&f->tree, &path) == r);
		tree_remove(&f->tree, &path);
		free(r);
	}
}

void
kvstore_trim(struct fsm *f)
{
	struct kv_history *h = &f->history;

	while (h->count > 0 &&
	       (h->bytes > KV_HISTORY_BYTES_MAX ||
		   f->rev - h->ring[h->first & (h->cap - 1)]->mod_rev >=
		       KV_HISTORY_REVS_MAX))
		history_pop(f);
}

size_t
kvstore_since(const struct fsm *f, uint64_t rev)
{
	const struct kv_history *h = &f->history;
	size_t low = 0, high = h->count, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (h->ring[(h->first + mid) & (h->cap - 1)]->mod_rev > rev)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

const struct record *
kvstore_change(const struct fsm *f, size_t i)
{
	const struct kv_history *h = &f->history;

	return i < h->count ? h->ring[(h->first + i) & (h->cap - 1)] : NULL;
}

const struct record *
kvstore_at(const struct record *newest, uint64_t rev)
{
	const struct record *r = newest;

	while (r != NULL && r->mod_rev > rev)
		r = record_older(r);
	return record_is_live(r) ? r : NULL;
}

/* ---- changes ----------------------------------------------------------- */

struct record *
kvstore_record_new(size_t key_len, size_t value_len, unsigned flags)
{
	struct record *r;

	assert(key_len > 0 && key_len <= WIRE_KEY_LEN_MAX);
	assert(value_len <= WIRE_VALUE_LEN_MAX);
	r = malloc(
	    offsetof(struct record, bytes) + key_len + value_len +
	    ((flags & RECORD_OLDER) != 0 ? sizeof(r) : 0) +
	    ((flags & RECORD_LEASED) != 0 ? sizeof(struct record_lease) : 0));
	if (r == NULL)
		return NULL;
	r->create_rev = r->mod_rev = r->version = 0;
	r->value_len = (uint32_t)value_len;
	r->key_len = (uint16_t)key_len;
	r->flags = (uint8_t)flags;
	if ((flags & RECORD_OLDER) != 0)
		record_set_older(r, NULL);
	if ((flags & RECORD_LEASED) != 0)
		record_set_lease(r, 0, NULL);
	return r;
}

/* r takes the place of what path found, if it found anything. */
static int
enter(struct fsm *f, struct tree_path *path, struct record *r)
{
	struct record *cur;

	if (history_reserve(&f->history) < 0)
		return -ENOMEM;
	if (!path->found) {
		if (tree_insert(&f->tree, path, r) < 0)
			return -ENOMEM;
		history_push(&f->history, r);
		return 0;
	}
	cur = tree_record(&f->tree, path);
	if (record_is_live(cur)) {
		if (!MUTANT(92))
			digest_sub(&f->sum, cur->digest);
		f->keys--;
		f->bytes -= (uint64_t)cur->key_len + cur->value_len;
	}
	record_set_older(r, cur);
	cur->flags |= RECORD_OLD;
	tree_replace(&f->tree, path, r);
	history_push(&f->history, r);
	if (record_is_live(cur) && (cur->flags & RECORD_LEASED) != 0)
		lease_detach(f, cur);
	return 0;
}

static void
count_in(struct fsm *f, struct record *r)
{
	r->digest = record_digest(r);
	digest_add(&f->sum, r->digest);
	f->keys++;
	f->bytes += (uint64_t)r->key_len + r->value_len;
}

int
kvstore_put(struct fsm *f, uint64_t rev, struct tree_path *path,
    struct mp_span key, struct mp_span value, bool append, struct lease *lease)
{
	const struct record *cur =
	    path->found ? tree_record(&f->tree, path) : NULL;
	struct attachment *a = lease == NULL ? NULL : attachment_new();
	struct record *r = NULL;
	size_t head;

	if (!record_is_live(cur))
		cur = NULL;
	head = append && cur != NULL ? cur->value_len : 0;
	if (lease == NULL || a != NULL)
		r = kvstore_record_new(key.len, head + value.len,
		    (path->found ? RECORD_OLDER : 0) |
			(lease != NULL ? RECORD_LEASED : 0));
	if (r == NULL) {
		free(a);
		return -ENOMEM;
	}
	memcpy(r->bytes, key.p, key.len);
	if (head > 0)
		memcpy(r->bytes + key.len, record_value(cur), head);
	if (value.len > 0)
		memcpy(r->bytes + key.len + head, value.p, value.len);
	r->create_rev = cur != NULL && !MUTANT(94) ? cur->create_rev : rev;
	r->version = cur != NULL ? cur->version + 1 : 1;
	r->mod_rev = rev;
	/* An automatic lease would end when the last version leaves it. */
	if (lease != NULL)
		lease->ending = true;
	if (enter(f, path, r) < 0) {
		free(r);
		free(a);
		return -ENOMEM;
	}
	if (lease != NULL) {
		lease_attach(lease, a, r);
		lease->ending = false;
	}
	count_in(f, r);
	f->rev = rev;
	return 0;
}

int
kvstore_delete(
    struct fsm *f, uint64_t rev, struct tree_path *path, unsigned flags)
{
	const struct record *cur = tree_record(&f->tree, path);
	struct record *r;

	assert(record_is_live(cur));
	r = kvstore_record_new(cur->key_len, 0, RECORD_OLDER);
	if (r == NULL)
		return -ENOMEM;
	memcpy(r->bytes, cur->bytes, cur->key_len);
	r->mod_rev = rev;
	r->flags |= (uint8_t)(RECORD_TOMBSTONE | flags);
	if (enter(f, path, r) < 0) {
		free(r);
		return -ENOMEM;
	}
	f->rev = rev;
	return 0;
}

int
kvstore_enter(struct fsm *f, struct record *r)
{
	struct tree_path path;

	tree_find(&f->tree, r->bytes, r->key_len, &path);
	assert(!path.found);
	if (tree_insert(&f->tree, &path, r) < 0)
		return -ENOMEM;
	count_in(f, r);
	return 0;
}

void
kvstore_advance(struct fsm *f, uint64_t revs)
{
	assert(f->history.count == 0);
	assert(revs <= INT64_MAX - f->rev);
	f->rev += revs;
	f->floor = f->rev;
	/* Nor may a lease of now have the name of one that was lost. */
	if (kvstore_has_leases(f) && revs <= INT64_MAX - f->leases.last_id)
		f->leases.last_id += revs;
	if (kvstore_has_leases(f) && revs <= INT64_MAX - f->locks.changes)
		f->locks.changes += revs;
}

int
kvstore_enter_lease(struct fsm *f, struct mp_span key, struct lease *lease)
{
	struct record *cur, *r;
	struct tree_path path;
	struct attachment *a;

	tree_find(&f->tree, key.p, key.len, &path);
	cur = path.found ? tree_record(&f->tree, &path) : NULL;
	if (cur == NULL || (cur->flags & RECORD_LEASED) != 0)
		return -EBADMSG;
	r = kvstore_record_new(cur->key_len, cur->value_len, RECORD_LEASED);
	a = attachment_new();
	if (r == NULL || a == NULL) {
		free(r);
		free(a);
		return -ENOMEM;
	}
	memcpy(r->bytes, cur->bytes, (size_t)cur->key_len + cur->value_len);
	r->create_rev = cur->create_rev;
	r->mod_rev = cur->mod_rev;
	r->version = cur->version;
	digest_sub(&f->sum, cur->digest);
	tree_replace(&f->tree, &path, r);
	free(cur);
	lease_attach(lease, a, r);
	r->digest = record_digest(r);
	digest_add(&f->sum, r->digest);
	return 0;
}

/* ---- the invariants ---------------------------------------------------- */

/* All that name a lease are in it. */
static bool
leases_are_whole(const struct fsm *f, uint64_t leased)
{
	uint64_t attached = 0, id = 0;
	const struct lease *l;

	for (; (l = lease_next(f, id)) != NULL; id = l->id)
		attached += l->key_count;
	return attached == leased && leases_check(f) && locks_check(f);
}

bool
kvstore_check(const struct fsm *f)
{
	struct tree_pos pos = tree_seek(&f->tree, NULL, 0);
	const struct kv_history *h = &f->history;
	uint64_t keys = 0, bytes = 0, charge = 0, kept = 0, last = 0;
	uint64_t leased = 0;
	const struct record *r, *older;
	size_t i;

	while ((r = tree_next(&pos)) != NULL) {
		if ((r->flags & RECORD_OLD) != 0 || r->mod_rev > f->rev)
			return false;
		if (record_is_live(r)) {
			keys++;
			bytes += (uint64_t)r->key_len + r->value_len;
			leased += (r->flags & RECORD_LEASED) != 0;
		}
		for (; r != NULL; r = older) {
			older = record_older(r);
			kept++;
			if (older != NULL && older->mod_rev >= r->mod_rev)
				return false;
		}
	}
	for (i = 0; i < h->count; i++) {
		r = h->ring[(h->first + i) & (h->cap - 1)];
		if (r->mod_rev < last || r->mod_rev < f->floor)
			return false;
		last = r->mod_rev;
		charge += history_charge(r);
	}
	/* A trimmed tombstone may hang on in the chain of its successor. */
	return keys == f->keys && bytes == f->bytes && charge == h->bytes &&
	       h->count <= kept && tree_check(&f->tree) &&
	       sessions_check(&f->sessions) && leases_are_whole(f, leased) &&
	       h->bytes <= KV_HISTORY_BYTES_MAX;
}
