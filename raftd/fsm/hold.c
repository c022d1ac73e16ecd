/*
 * hold.c - what clients ask of leases and locks.
 */
#include "raftd/fsm/hold.h"

#include <string.h>

#include "raftd/fsm/digest.h"

unsigned
hold_method(struct mp_span name)
{
	static const struct {
		const char *name;
		enum kv_method method;
	} methods[] = {
	    {"lease.renew", KV_LEASE_RENEW},
	    {"lease.grant", KV_LEASE_GRANT},
	    {"lease.revoke", KV_LEASE_REVOKE},
	    {"lease.show", KV_LEASE_SHOW},
	    {"lease.list", KV_LEASE_LIST},
	    {"lock", KV_LOCK},
	    {"unlock", KV_UNLOCK},
	    {"lock.list", KV_LOCK_LIST},
	};
	size_t i;

	for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (mp_span_eq(name, methods[i].name))
			return methods[i].method;
	return 0;
}

uint64_t
hold_print(unsigned method, const struct kv_args *a)
{
	struct fsm_digest key = digest_of(a->key.p, a->key.len);
	struct fsm_digest who = digest_of(a->holder.p, a->holder.len);
	uint64_t n[10] = {method, key.lo, who.lo, a->number, a->lease, a->ttl,
	    a->slots, a->shared, a->queue, a->pid};

	return digest_of_u64(n, 10).lo;
}

static enum wire_status
no_memory(struct wire_error *err)
{
	return kvargs_fail(err, WIRE_BUG, "out of memory");
}

static enum wire_status
no_lease(uint64_t id, struct wire_error *err)
{
	return kvargs_fail(
	    err, WIRE_ABSENT, "no such lease: %llu", (unsigned long long)id);
}

enum wire_status
hold_lease_for_key(const struct fsm *f, uint64_t id, const struct record *cur,
    struct lease **l, struct wire_error *err)
{
	*l = lease_find(f, id);
	if (*l == NULL)
		return no_lease(id, err);
	if ((*l)->key_count >= LEASE_KEYS_MAX &&
	    (cur == NULL || record_lease(cur) != id))
		return kvargs_fail(err, WIRE_BUSY,
		    "a lease has at most %u keys", (unsigned)LEASE_KEYS_MAX);
	return WIRE_OK;
}

/* ---- results ----------------------------------------------------------- */

static void
put_head(const struct fsm *f, struct mp_buf *b, uint32_t pairs)
{
	mp_put_map(b, 3 + pairs);
	mp_put_kv_u64(b, "rev", f->rev);
	mp_put_kv_u64(b, "group", f->group);
	mp_put_kv_bool(b, "duplicate", false);
}

static uint64_t
remaining(const struct fsm *f, const struct lease *l)
{
	return l->due > f->time ? l->due - f->time : 0;
}

static void
put_lease(const struct fsm *f, struct mp_buf *b, const struct lease *l)
{
	mp_put_kv_u64(b, "lease", l->id);
	mp_put_kv_u64(b, "ttl_ms", l->ttl);
	mp_put_kv_u64(b, "remaining_ms", remaining(f, l));
}

static void
put_lease_keys(struct mp_buf *b, const struct lease *l)
{
	const struct record *r = NULL;

	mp_put_str(b, "keys");
	mp_put_array(b, l->key_count);
	while ((r = lease_key_after(l, r)) != NULL)
		mp_put_bin(b, r->bytes, r->key_len);
}

static void
put_holder(const struct fsm *f, struct mp_buf *b, const struct lock_entry *e)
{
	mp_put_map(b, 11);
	mp_put_kv_bin(b, "name", e->lock->name, e->lock->name_len);
	mp_put_kv_u64(b, "token", e->token);
	put_lease(f, b, e->lease);
	mp_put_kv_bin(b, "holder", e->data + e->host_len, e->holder_len);
	mp_put_kv_bin(b, "host", e->data, e->host_len);
	mp_put_kv_u64(b, "pid", e->pid);
	if (e->slots == LOCK_ANY)
		mp_put_kv_nil(b, "slots");
	else
		mp_put_kv_u64(b, "slots", e->slots);
	mp_put_kv_u64(b, "age_ms", f->time - e->since);
	mp_put_kv_u64(b, "waiters", e->lock->waiter_count);
}

/* How many came before it and still wait. */
static uint64_t
position(const struct lock_entry *e)
{
	const struct lock_entry *at;
	uint64_t n = 0;

	if (e == NULL || e->token != 0)
		return 0;
	TAILQ_FOREACH (at, &e->lock->waiters, link) {
		if (at == e)
			break;
		n++;
	}
	return n;
}

/* Six pairs about a place, which may not be there, or not yet. */
static void
put_place(struct mp_buf *b, const struct lock *l, const struct lock_entry *e,
    bool yet)
{
	mp_put_kv_bool(b, "held", e != NULL && e->token != 0);
	mp_put_kv_bool(b, "waiting", yet || (e != NULL && e->token == 0));
	mp_put_kv_u64(b, "token", e == NULL ? 0 : e->token);
	mp_put_kv_u64(b, "order", e == NULL ? 0 : e->order);
	mp_put_kv_u64(b, "position", position(e));
	mp_put_kv_u64(b, "changed", l == NULL ? 0 : l->changed);
}

/* ---- leases ------------------------------------------------------------ */

static enum wire_status
leases_full(struct wire_error *err)
{
	return kvargs_fail(err, WIRE_BUSY,
	    "there are %u leases, which is the limit", LEASE_COUNT_MAX);
}

static enum wire_status
apply_lease(struct fsm *f, enum kv_method method, const struct kv_args *a,
    struct mp_buf *reply, struct wire_error *err)
{
	struct lease *l;
	bool full = false;

	if (method == KV_LEASE_GRANT) {
		l = lease_grant(f, a->number, false, &full);
		if (l == NULL)
			return full ? leases_full(err) : no_memory(err);
	} else {
		l = lease_find(f, a->number);
		if (l == NULL)
			return no_lease(a->number, err);
		lease_renew(f, l);
	}
	if (reply != NULL) {
		put_head(f, reply, 3);
		put_lease(f, reply, l);
	}
	return WIRE_OK;
}

static enum wire_status
apply_revoke(struct fsm *f, const struct kv_args *a, struct mp_buf *reply,
    struct wire_error *err)
{
	struct lease *l = lease_find(f, a->number);
	int keys;

	if (l == NULL)
		return no_lease(a->number, err);
	keys = lease_end(f, l, false);
	if (keys < 0)
		return no_memory(err);
	if (reply != NULL) {
		put_head(f, reply, 2);
		mp_put_kv_u64(reply, "lease", a->number);
		mp_put_kv_u64(reply, "deleted", (uint64_t)keys);
	}
	return WIRE_OK;
}

/* ---- locks ------------------------------------------------------------- */

/* The lease that the command names, or a new one. */
static enum wire_status
lease_for_lock(struct fsm *f, const struct kv_args *a, struct lease **l,
    struct wire_error *err)
{
	bool full = false;

	if ((a->given & KV_LEASE) != 0)
		*l = lease_find(f, a->lease);
	else
		*l = lease_grant(f, a->ttl, true, &full);
	if (*l != NULL)
		return WIRE_OK;
	if ((a->given & KV_LEASE) != 0)
		return no_lease(a->lease, err);
	return full ? leases_full(err) : no_memory(err);
}

static enum wire_status
apply_lock(struct fsm *f, const struct kv_args *a, struct mp_buf *reply,
    struct wire_error *err)
{
	struct lock_place place = {.host = a->host,
	    .holder = a->holder,
	    .pid = a->pid,
	    .slots = a->shared			  ? LOCK_ANY
		     : (a->given & KV_SLOTS) != 0 ? (uint32_t)a->slots
						  : 1};
	const struct lock *lock = lock_find(f, a->key);
	struct lock_entry *e = NULL;
	struct lease *l = NULL;
	enum wire_status st;

	if ((a->given & KV_LEASE) != 0 && lock != NULL &&
	    (l = lease_find(f, a->lease)) != NULL)
		e = lock_place_of(lock, l);
	if (e == NULL && (a->queue || lock_is_free(lock, place.slots))) {
		if (f->locks.places >= LOCK_PLACES_MAX)
			return kvargs_fail(err, WIRE_BUSY,
			    "too many hold locks or wait: %u",
			    (unsigned)LOCK_PLACES_MAX);
		st = lease_for_lock(f, a, &l, err);
		if (st != WIRE_OK)
			return st;
		e = lock_come(f, a->key, l, &place);
		if (e == NULL)
			return no_memory(err);
		lock = e->lock;
	}
	if (reply == NULL)
		return WIRE_OK;
	put_head(f, reply, 8);
	mp_put_kv_u64(reply, "lease", e == NULL ? 0 : e->lease->id);
	mp_put_kv_u64(reply, "ttl_ms", e == NULL ? 0 : e->lease->ttl);
	put_place(reply, lock, e, false);
	return WIRE_OK;
}

static enum wire_status
apply_unlock(struct fsm *f, const struct kv_args *a, struct mp_buf *reply)
{
	const struct lock *lock = lock_find(f, a->key);
	struct lease *l = lease_find(f, a->lease);
	struct lock_entry *e = NULL;

	if (lock != NULL && l != NULL)
		e = lock_place_of(lock, l);
	if (e != NULL) {
		lock_leave(f, e);
		lease_settle(f, l);
	}
	if (reply != NULL) {
		put_head(f, reply, 1);
		mp_put_kv_bool(reply, "succeeded", e != NULL);
	}
	return WIRE_OK;
}

enum wire_status
hold_apply(struct fsm *f, enum kv_method method, const struct kv_args *a,
    struct mp_buf *reply, struct wire_error *err)
{
	switch (method) {
	case KV_LEASE_GRANT:
	case KV_LEASE_RENEW:
		return apply_lease(f, method, a, reply, err);
	case KV_LEASE_REVOKE:
		return apply_revoke(f, a, reply, err);
	case KV_LOCK:
		return apply_lock(f, a, reply, err);
	default:
		return apply_unlock(f, a, reply);
	}
}

/* ---- queries ----------------------------------------------------------- */

static enum wire_status
query_show(const struct fsm *f, const struct kv_args *a, struct mp_buf *reply,
    struct wire_error *err)
{
	const struct lease *l = lease_find(f, a->number);

	if (l == NULL)
		return no_lease(a->number, err);
	put_head(f, reply, 4);
	put_lease(f, reply, l);
	put_lease_keys(reply, l);
	return WIRE_OK;
}

static uint64_t
limit_of(const struct kv_args *a)
{
	return (a->given & KV_LIMIT) != 0 ? a->limit : WIRE_LIST_LIMIT_MAX;
}

/* How many bytes its keys take in an answer, or about. */
static size_t
lease_size(const struct lease *l)
{
	const struct record *r = NULL;
	size_t size = 64;

	while ((r = lease_key_after(l, r)) != NULL)
		size += r->key_len + 3u;
	return size;
}

static void
query_leases(const struct fsm *f, const struct kv_args *a, struct mp_buf *reply)
{
	const struct lease *l;
	uint64_t id = a->number, limit = limit_of(a);
	uint32_t count = 0, i;
	size_t size = 0;

	for (; (l = lease_next(f, id)) != NULL && count < limit &&
	       size < WIRE_LIST_BYTES_MAX;
	     id = l->id) {
		size += lease_size(l);
		count++;
	}
	mp_put_map(reply, 5);
	mp_put_kv_u64(reply, "rev", f->rev);
	mp_put_kv_u64(reply, "group", f->group);
	mp_put_kv_u64(reply, "time", f->time);
	mp_put_kv_bool(reply, "more", l != NULL);
	mp_put_str(reply, "leases");
	mp_put_array(reply, count);
	id = a->number;
	for (i = 0; i < count; i++) {
		l = lease_next(f, id);
		id = l->id;
		mp_put_map(reply, 4);
		put_lease(f, reply, l);
		put_lease_keys(reply, l);
	}
}

static bool
begins_with(const struct lock *l, struct mp_span prefix)
{
	return l->name_len >= prefix.len &&
	       (prefix.len == 0 || memcmp(l->name, prefix.p, prefix.len) == 0);
}

static void
query_locks(const struct fsm *f, const struct kv_args *a, struct mp_buf *reply)
{
	bool after = (a->given & KV_AFTER) != 0;
	const struct lock *first = lock_seek(f, a->key, false), *l;
	const struct lock_entry *e;
	uint64_t rows = 0, limit = limit_of(a);
	uint32_t locks = 0;

	if (after)
		first = lock_seek(f, a->after, true);
	for (l = first; l != NULL && begins_with(l, a->key) && rows < limit;
	     l = lock_next(f, l)) {
		rows += l->holder_count;
		locks++;
	}
	mp_put_map(reply, 4);
	mp_put_kv_u64(reply, "rev", f->rev);
	mp_put_kv_u64(reply, "group", f->group);
	mp_put_kv_bool(reply, "more", l != NULL && begins_with(l, a->key));
	mp_put_str(reply, "locks");
	mp_put_array(reply, (uint32_t)rows);
	for (l = first; locks > 0; locks--, l = lock_next(f, l))
		TAILQ_FOREACH (e, &l->holders, link)
			put_holder(f, reply, e);
}

enum wire_status
hold_query(const struct fsm *f, enum kv_method method, const struct kv_args *a,
    struct mp_buf *reply, struct wire_error *err)
{
	if (method == KV_LEASE_SHOW)
		return query_show(f, a, reply, err);
	if (method == KV_LEASE_LIST)
		query_leases(f, a, reply);
	else
		query_locks(f, a, reply);
	return WIRE_OK;
}

/* ---- waiting ----------------------------------------------------------- */

uint64_t
hold_waits(const struct fsm *f)
{
	/* A place that was given here while somebody waits for it. */
	return f->locks.changes + f->locks.last_order;
}

enum wire_status
hold_wait(const struct fsm *f, struct mp_span params, bool now,
    struct mp_buf *reply, struct wire_error *err)
{
	const struct lock_entry *e = NULL;
	const struct lock *lock;
	const struct lease *l;
	struct kv_args a;
	enum wire_status st = kvargs_read(KV_LOCK_WAIT, params, &a, err);
	bool ours, yet;

	if (st != WIRE_OK)
		return st;
	lock = lock_find(f, a.key);
	ours = (a.given & KV_LEASE) != 0;
	l = ours ? lease_find(f, a.lease) : NULL;
	if (l != NULL && lock != NULL)
		e = lock_place_of(lock, l);
	/* This server may not have come to where the place was given. */
	yet = ours && e == NULL && f->locks.last_order < a.order;
	if (!now) {
		if (yet || (e != NULL && e->token == 0))
			return WIRE_ABSENT;
		if (!ours && (a.given & KV_CHANGED) != 0 &&
		    a.changed == (lock == NULL ? 0 : lock->changed))
			return WIRE_ABSENT;
	}
	mp_put_map(reply, 9);
	mp_put_kv_u64(reply, "rev", f->rev);
	mp_put_kv_u64(reply, "group", f->group);
	put_place(reply, lock, e, yet);
	mp_put_str(reply, "holders");
	mp_put_array(reply, ours || lock == NULL ? 0 : lock->holder_count);
	if (!ours && lock != NULL)
		TAILQ_FOREACH (e, &lock->holders, link)
			put_holder(f, reply, e);
	return WIRE_OK;
}
