/*
 * kv.c - the key-value store as a replicated state machine.
 */
#include "raftd/fsm/kv.h"

#include <errno.h>
#include <string.h>

#include "raftd/fsm/digest.h"
#include "raftd/fsm/hold.h"
#include "raftd/fsm/kvargs.h"
#include "raftd/fsm/kvlist.h"
#include "raftd/fsm/kvstore.h"
#include "raftd/fsm/txn.h"
#include "raftd/fsm/watch.h"

const struct fsm_method kv_methods[] = {
    {"put", FSM_COMMAND, "key, value, {options}",
	"store a value; options if_absent, if_rev, if_value, if_changed, "
	"append, prev, lease, ttl, if_lock, if_token"},
    {"delete", FSM_COMMAND, "key or [key, ...], {options}",
	"remove keys in one revision; options if_rev, prev, if_lock, "
	"if_token"},
    {"incr", FSM_COMMAND, "key, number, {options}",
	"add to a decimal number, absent is 0; options if_rev, if_lock, "
	"if_token"},
    {"txn", FSM_COMMAND, "{if, then, else}, {options}",
	"compare, then carry out one of two lists of operations"},
    {"get", FSM_QUERY, "key, {options}",
	"the record of a key, or nil; options rev, read, max_stale, state"},
    {"list", FSM_QUERY, "prefix, {options}",
	"a page of records in the order of keys; options from, to, after, "
	"limit, reverse, rev, keys_only, count, read, max_stale"},
    {"watch.next", FSM_WATCH, "key, {options}",
	"wait for changes; options prefix, since, wait, limit, prev"},
    {"lease.grant", FSM_COMMAND, "milliseconds, {options}",
	"a lease that runs out after so long"},
    {"lease.renew", FSM_COMMAND, "lease, {options}",
	"as long again from now on"},
    {"lease.revoke", FSM_COMMAND, "lease, {options}",
	"end a lease, and what was put with it"},
    {"lease.show", FSM_QUERY, "lease, {options}", "a lease and its keys"},
    {"lease.list", FSM_QUERY, "lease, {options}",
	"leases with higher numbers; option limit"},
    {"lock", FSM_COMMAND, "name, {options}",
	"take a lock, or queue for it; options lease or ttl, slots, shared, "
	"queue, holder, host, pid"},
    {"unlock", FSM_COMMAND, "name, {options}",
	"leave a lock or its queue; option lease"},
    {"lock.list", FSM_QUERY, "prefix, {options}",
	"who holds locks; options after, limit"},
    {"lock.wait", FSM_WAIT, "name, {options}",
	"until a lock is ours, or changed; options lease, order, changed, "
	"wait"},
    {NULL, FSM_NOT_MINE, NULL, NULL},
};

/* 0: none of ours. */
static unsigned
method_of(struct mp_span name)
{
	if (mp_span_eq(name, "put"))
		return KV_PUT;
	if (mp_span_eq(name, "get"))
		return KV_GET;
	if (mp_span_eq(name, "delete"))
		return KV_DELETE;
	if (mp_span_eq(name, "list"))
		return KV_LIST;
	if (mp_span_eq(name, "incr"))
		return KV_INCR;
	if (mp_span_eq(name, "txn"))
		return KV_TXN;
	return hold_method(name);
}

static enum wire_status
no_method(struct mp_span name, struct wire_error *err)
{
	return kvargs_fail(err, WIRE_METHOD, "no such method: '%.*s'",
	    (int)(name.len < 64 ? name.len : 64), (const char *)name.p);
}

static enum wire_status
no_memory(struct wire_error *err)
{
	return kvargs_fail(err, WIRE_BUG, "out of memory");
}

/* ---- results ----------------------------------------------------------- */

/* What put, delete and incr answer; deleted stands in the answer of delete,
 * value in that of incr. */
static void
put_outcome(const struct fsm *f, struct mp_buf *b, bool succeeded,
    const struct record *prev, const uint64_t *deleted, const int64_t *value)
{
	if (b == NULL)
		return;
	mp_put_map(b, 5 + (deleted != NULL) + (value != NULL));
	mp_put_kv_u64(b, "rev", f->rev);
	mp_put_kv_u64(b, "group", f->group);
	mp_put_kv_bool(b, "duplicate", false);
	mp_put_kv_bool(b, "succeeded", succeeded);
	mp_put_str(b, "prev");
	kvlist_put_record(f, b, prev, false);
	if (deleted != NULL)
		mp_put_kv_u64(b, "deleted", *deleted);
	if (value != NULL) {
		mp_put_str(b, "value");
		mp_put_i64(b, *value);
	}
}

/* ---- commands ---------------------------------------------------------- */

static bool
value_is(const struct record *r, struct mp_span value)
{
	return r->value_len == value.len &&
	       (value.len == 0 ||
		   memcmp(record_value(r), value.p, value.len) == 0);
}

static bool
conditions_hold(
    const struct fsm *f, const struct kv_args *a, const struct record *cur)
{
	if ((a->given & KV_IF_LOCK) != 0 &&
	    !lock_has_token(f, a->if_lock, a->if_token))
		return false;
	if (a->if_absent && cur != NULL)
		return false;
	if ((a->given & KV_IF_REV) != 0 && !MUTANT(90) &&
	    a->if_rev != (cur == NULL ? 0 : cur->mod_rev))
		return false;
	if ((a->given & KV_IF_VALUE) != 0 &&
	    (cur == NULL || !value_is(cur, a->if_value)))
		return false;
	return true;
}

/* The live record that a path leads to, or NULL. */
static struct record *
current(const struct fsm *f, const struct tree_path *path)
{
	struct record *r = path->found ? tree_record(&f->tree, path) : NULL;

	return record_is_live(r) || MUTANT(91) ? r : NULL;
}

static bool
is_unchanged(const struct kv_args *a, const struct record *cur)
{
	bool lease = (a->given & KV_LEASE) != 0 || !a->append;

	if (cur == NULL || (a->given & KV_TTL) != 0 ||
	    (lease && a->lease != record_lease(cur)))
		return false;
	return a->append ? a->value.len == 0 : value_is(cur, a->value);
}

/* What a key that is changed, not put anew, keeps. */
static struct lease *
lease_kept(const struct record *cur)
{
	return cur != NULL && (cur->flags & RECORD_LEASED) != 0
		   ? record_attachment(cur)->lease
		   : NULL;
}

/* The lease that a put asks for; NULL of an append: the key's own. */
static enum wire_status
lease_wanted(struct fsm *f, const struct kv_args *a, const struct record *cur,
    struct lease **l, struct wire_error *err)
{
	bool full = false;

	*l = a->append ? lease_kept(cur) : NULL;
	if ((a->given & KV_TTL) != 0) {
		*l = lease_grant(f, a->ttl, true, &full);
		if (*l == NULL && !full)
			return no_memory(err);
		if (*l == NULL)
			return kvargs_fail(err, WIRE_BUSY,
			    "there are %u leases, which is the limit",
			    LEASE_COUNT_MAX);
	} else if ((a->given & KV_LEASE) != 0) {
		return hold_lease_for_key(f, a->lease, cur, l, err);
	}
	return WIRE_OK;
}

static enum wire_status
apply_put(struct fsm *f, const struct kv_args *a, struct mp_buf *reply,
    struct wire_error *err)
{
	const struct record *cur;
	struct tree_path path;
	struct lease *lease;
	enum wire_status st;

	tree_find(&f->tree, a->key.p, a->key.len, &path);
	cur = current(f, &path);
	if (!conditions_hold(f, a, cur)) {
		if (MUTANT(98))
			f->rev++;
		put_outcome(f, reply, false, cur, NULL, NULL);
		return WIRE_OK;
	}
	if (a->if_changed && is_unchanged(a, cur)) {
		put_outcome(f, reply, true, a->prev ? cur : NULL, NULL, NULL);
		return WIRE_OK;
	}
	if (a->append && cur != NULL &&
	    a->value.len > WIRE_VALUE_LEN_MAX - cur->value_len)
		return kvargs_fail(err, WIRE_TOO_LARGE,
		    "value too long: %zu bytes, the limit is %u",
		    a->value.len + cur->value_len, WIRE_VALUE_LEN_MAX);
	st = lease_wanted(f, a, cur, &lease, err);
	if (st != WIRE_OK)
		return st;
	if (kvstore_put(
		f, f->rev + 1, &path, a->key, a->value, a->append, lease) < 0)
		return no_memory(err);
	put_outcome(f, reply, true, a->prev ? cur : NULL, NULL, NULL);
	return WIRE_OK;
}

static enum wire_status
apply_delete(struct fsm *f, const struct kv_args *a, struct mp_buf *reply,
    struct wire_error *err)
{
	uint64_t rev = f->rev + 1, deleted = 0;
	const struct record *cur = NULL;
	struct mp_cur keys = a->keys;
	struct tree_path path;
	struct mp_span key;
	uint32_t i;

	for (i = 0; i < a->key_count; i++) {
		if (mp_read_bytes(&keys, &key) < 0)
			return kvargs_fail(err, WIRE_BUG, "keys changed");
		tree_find(&f->tree, key.p, key.len, &path);
		cur = current(f, &path);
		if (!conditions_hold(f, a, cur)) {
			put_outcome(f, reply, false, cur, &deleted, NULL);
			return WIRE_OK;
		}
		if (cur == NULL)
			continue;
		if (kvstore_delete(f, rev, &path, 0) < 0)
			return no_memory(err);
		deleted++;
	}
	put_outcome(f, reply, true, a->prev ? cur : NULL, &deleted, NULL);
	return WIRE_OK;
}

/* A number in decimal, as a person or printf(3) writes it; a newline may
 * follow, as echo(1) leaves one. */
static bool
read_number(const struct record *r, int64_t *number)
{
	const uint8_t *p = record_value(r), *end = p + r->value_len;
	bool negative = p < end && *p == '-';
	int64_t n = 0;

	if (p < end && end[-1] == '\n')
		end--;
	p += negative;
	if (p >= end)
		return false;
	for (; p < end; p++) {
		int digit = *p - '0';

		if (digit < 0 || digit > 9 ||
		    __builtin_mul_overflow(n, 10, &n) ||
		    __builtin_sub_overflow(n, digit, &n))
			return false;
	}
	/* Counted downwards, which has room for one more. */
	if (!negative && __builtin_sub_overflow(0, n, &n))
		return false;
	*number = n;
	return true;
}

static size_t
print_number(int64_t number, char text[24])
{
	uint64_t n = number < 0 ? -(uint64_t)number : (uint64_t)number;
	char digits[24];
	size_t count = 0, len = 0;

	do {
		digits[count++] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	if (number < 0)
		text[len++] = '-';
	while (count > 0)
		text[len++] = digits[--count];
	return len;
}

static enum wire_status
apply_incr(struct fsm *f, const struct kv_args *a, struct mp_buf *reply,
    struct wire_error *err)
{
	const struct record *cur;
	struct tree_path path;
	int64_t number = 0, sum = 0;
	char text[24];
	size_t len;

	tree_find(&f->tree, a->key.p, a->key.len, &path);
	cur = current(f, &path);
	if (cur != NULL && !read_number(cur, &number))
		return kvargs_fail(err, WIRE_DATA,
		    "the value is not a decimal number of 64 bits");
	if (!conditions_hold(f, a, cur)) {
		put_outcome(f, reply, false, cur, NULL, &number);
		return WIRE_OK;
	}
	if (__builtin_add_overflow(number, a->by, &sum))
		return kvargs_fail(
		    err, WIRE_DATA, "the sum does not fit into 64 bits");
	len = print_number(sum, text);
	if (kvstore_put(f, f->rev + 1, &path, a->key, mp_span(text, len), false,
		lease_kept(cur)) < 0)
		return no_memory(err);
	put_outcome(f, reply, true, NULL, NULL, &sum);
	return WIRE_OK;
}

/* Nothing whose time is over is there any more for what comes now. */
static enum wire_status
see_time(struct fsm *f, uint64_t index, uint64_t stamp)
{
	assert(index > f->applied);
	f->applied = index;
	if (stamp > f->time || MUTANT(95))
		f->time = stamp;
	if (f->leases.due <= f->time && leases_expire(f) < 0)
		f->broken = true;
	return f->broken ? WIRE_BUG : WIRE_OK;
}

static enum wire_status
kv_advance(struct fsm *f, uint64_t index, uint64_t stamp)
{
	enum wire_status st = see_time(f, index, stamp);

	kvstore_trim(f);
	return st;
}

static enum wire_status
read_command(const struct fsm_command *c, unsigned *method, struct kv_args *a,
    struct wire_error *err)
{
	enum wire_status st;

	*method = method_of(c->method);
	if ((*method & KV_COMMANDS) == 0)
		return no_method(c->method, err);
	st = kvargs_read((enum kv_method) * method, c->params, a, err);
	if (st == WIRE_OK && *method == KV_TXN)
		st = txn_judge(a->txn, err);
	return st;
}

static enum wire_status
kv_admit(const struct fsm_command *c, struct wire_error *err)
{
	struct kv_args a;
	unsigned method;

	return read_command(c, &method, &a, err);
}

static enum wire_status
carry_out(struct fsm *f, unsigned method, const struct kv_args *a,
    struct mp_buf *reply, struct wire_error *err)
{
	switch (method) {
	case KV_PUT:
		return apply_put(f, a, reply, err);
	case KV_DELETE:
		return apply_delete(f, a, reply, err);
	case KV_INCR:
		return apply_incr(f, a, reply, err);
	case KV_TXN:
		return txn_apply(f, a->txn, reply, err);
	default:
		return hold_apply(f, (enum kv_method)method, a, reply, err);
	}
}

/* What a write is, without how its client asks for it: the same for all
 * copies of one, and hardly ever for two. */
static uint64_t
print_of(unsigned method, const struct kv_args *a)
{
	struct mp_span body = a->key;
	struct fsm_digest key, value;
	uint64_t n[6];

	if ((method & KV_HOLD_COMMANDS) != 0)
		return hold_print(method, a);
	if (method == KV_DELETE)
		body = mp_span(a->keys.p, a->keys_len);
	else if (method == KV_TXN)
		body = mp_span(a->txn.p, a->txn_len);
	key = digest_of(body.p, body.len);
	value = digest_of(a->value.p, a->value.len);
	n[0] = method;
	n[1] = key.lo;
	n[2] = value.lo;
	n[3] = (uint64_t)a->by;
	n[4] = a->append;
	n[5] = 0;
	return digest_of_u64(n, 6).lo;
}

static enum wire_status
carry_out_once(struct fsm *f, unsigned method, const struct kv_args *a,
    struct mp_buf *reply, struct wire_error *err)
{
	uint64_t print = print_of(method, a);
	struct sessions *t = &f->sessions;
	struct wire_error why = {0};
	enum wire_status st = WIRE_OK;
	struct session *s;

	if (!session_begin(t, f->time, a, print, &s, reply, err, &st))
		return st;
	st = carry_out(f, method, a, &t->reply, &why);
	if (st == WIRE_BUG || !session_end(t, s, a, print, st, &why))
		return no_memory(err);
	if (st != WIRE_OK) {
		if (err != NULL)
			*err = why;
	} else if (reply != NULL) {
		mp_put_raw(reply, t->reply.data, t->reply.len);
	}
	return st;
}

static enum wire_status
kv_apply(struct fsm *f, const struct fsm_command *c, struct mp_buf *reply,
    struct wire_error *err)
{
	enum wire_status st;
	struct kv_args a;
	unsigned method;

	st = see_time(f, c->index, c->stamp);
	if (st != WIRE_OK)
		return no_memory(err);
	if (mp_span_eq(c->method, FSM_TICK)) {
		kvstore_trim(f);
		if (reply != NULL)
			mp_put_nil(reply);
		return WIRE_OK;
	}
	st = read_command(c, &method, &a, err);
	if (st != WIRE_OK) {
		kvstore_trim(f);
		return st;
	}
	st = (a.given & KV_SESSION) != 0
		 ? carry_out_once(f, method, &a, reply, err)
		 : carry_out(f, method, &a, reply, err);
	/* Behind the answer: what was replaced is part of it. */
	kvstore_trim(f);
	return st;
}

/* ---- queries ----------------------------------------------------------- */

static enum wire_status
judge_rev(const struct fsm *f, struct kv_args *a, struct wire_error *err)
{
	if ((a->given & KV_REV) == 0 || a->rev == 0)
		a->rev = f->rev;
	if (a->rev < f->floor)
		return kvargs_fail(err, WIRE_COMPACTED,
		    "revision %llu is no longer kept, the oldest is %llu",
		    (unsigned long long)a->rev, (unsigned long long)f->floor);
	if (a->rev > f->rev)
		return kvargs_fail(err, WIRE_USAGE,
		    "revision %llu is yet to come, the last is %llu",
		    (unsigned long long)a->rev, (unsigned long long)f->rev);
	return WIRE_OK;
}

static void
query_get(const struct fsm *f, const struct kv_args *a, struct mp_buf *reply)
{
	struct tree_path path;
	const struct record *r = NULL;

	tree_find(&f->tree, a->key.p, a->key.len, &path);
	if (path.found)
		r = kvstore_at(tree_record(&f->tree, &path), a->rev);
	if (a->state) {
		mp_put_map(reply, 4);
		mp_put_kv_u64(reply, "rev", f->rev);
		mp_put_kv_u64(reply, "group", f->group);
		mp_put_kv_u64(reply, "time", f->time);
		mp_put_str(reply, "record");
	}
	kvlist_put_record(f, reply, r, false);
}

static enum wire_status
kv_query(struct fsm *f, struct mp_span name, struct mp_span params,
    struct mp_buf *reply, struct wire_error *err)
{
	unsigned method = method_of(name);
	enum wire_status st;
	struct kv_args a;

	if (method != KV_GET && method != KV_LIST &&
	    (method & KV_HOLD_QUERIES) == 0)
		return no_method(name, err);
	st = kvargs_read((enum kv_method)method, params, &a, err);
	if (st == WIRE_OK && (method & KV_HOLD_QUERIES) != 0)
		return hold_query(f, (enum kv_method)method, &a, reply, err);
	if (st == WIRE_OK)
		st = judge_rev(f, &a, err);
	if (st != WIRE_OK)
		return st;
	if (method == KV_GET)
		query_get(f, &a, reply);
	else
		kvlist_query(f, &a, reply);
	return WIRE_OK;
}

static uint64_t
kv_rev(const struct fsm *f)
{
	return f->rev;
}

static uint64_t
kv_applied(const struct fsm *f)
{
	return f->applied;
}

static uint64_t
kv_time(const struct fsm *f)
{
	return f->time;
}

static uint64_t
kv_due(const struct fsm *f)
{
	return f->leases.due;
}

void
kv_stat(const struct fsm *f, struct kv_stat *s)
{
	s->keys = f->keys;
	s->bytes = f->bytes;
	s->history_revs = f->rev - f->floor;
	s->history_bytes = f->history.bytes;
	s->time = f->time;
}

const struct fsm_ops kv_ops = {
    .name = "kv",
    .new = kvstore_new,
    .free = kvstore_free,
    .admit = kv_admit,
    .apply = kv_apply,
    .advance = kv_advance,
    .query = kv_query,
    .watch = watch_query,
    .watch_args = watch_args,
    .since = kvstore_since,
    .event = watch_event,
    .put_event = watch_put_event,
    .floor = watch_floor,
    .wait = hold_wait,
    .waits = hold_waits,
    .due = kv_due,
    .digest = kvstore_digest,
    .rev = kv_rev,
    .applied = kv_applied,
    .time = kv_time,
    .save = kvstore_save,
    .load = kvstore_load,
};
