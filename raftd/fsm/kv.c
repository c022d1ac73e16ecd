/*
 * kv.c - the key-value store as a replicated state machine.
 */
#include "raftd/fsm/kv.h"

#include <errno.h>
#include <string.h>

#include "raftd/fsm/kvargs.h"
#include "raftd/fsm/kvlist.h"
#include "raftd/fsm/kvstore.h"

const struct fsm_method kv_methods[] = {
    {"put", FSM_COMMAND, "key, value, {options}",
	"store a value; options if_absent, if_rev, if_value, if_changed, "
	"append, prev"},
    {"delete", FSM_COMMAND, "key or [key, ...], {options}",
	"remove keys in one revision; options if_rev, prev"},
    {"get", FSM_QUERY, "key, {options}",
	"the record of a key, or nil; option rev"},
    {"list", FSM_QUERY, "prefix, {options}",
	"a page of records in the order of keys; options from, to, after, "
	"limit, reverse, rev, keys_only, count"},
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
	return 0;
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

/* What put and delete answer; deleted stands in the answer of delete. */
static void
put_outcome(const struct fsm *f, struct mp_buf *b, bool succeeded,
    const struct record *prev, const uint64_t *deleted)
{
	if (b == NULL)
		return;
	mp_put_map(b, deleted == NULL ? 5 : 6);
	mp_put_kv_u64(b, "rev", f->rev);
	mp_put_kv_u64(b, "group", f->group);
	mp_put_kv_bool(b, "duplicate", false);
	mp_put_kv_bool(b, "succeeded", succeeded);
	mp_put_str(b, "prev");
	kvlist_put_record(f, b, prev, false);
	if (deleted != NULL)
		mp_put_kv_u64(b, "deleted", *deleted);
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
conditions_hold(const struct kv_args *a, const struct record *cur)
{
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
	if (cur == NULL)
		return false;
	return a->append ? a->value.len == 0 : value_is(cur, a->value);
}

static enum wire_status
apply_put(struct fsm *f, const struct kv_args *a, struct mp_buf *reply,
    struct wire_error *err)
{
	const struct record *cur;
	struct tree_path path;

	tree_find(&f->tree, a->key.p, a->key.len, &path);
	cur = current(f, &path);
	if (!conditions_hold(a, cur)) {
		if (MUTANT(98))
			f->rev++;
		put_outcome(f, reply, false, cur, NULL);
		return WIRE_OK;
	}
	if (a->if_changed && is_unchanged(a, cur)) {
		put_outcome(f, reply, true, a->prev ? cur : NULL, NULL);
		return WIRE_OK;
	}
	if (a->append && cur != NULL &&
	    a->value.len > WIRE_VALUE_LEN_MAX - cur->value_len)
		return kvargs_fail(err, WIRE_TOO_LARGE,
		    "value too long: %zu bytes, the limit is %u",
		    a->value.len + cur->value_len, WIRE_VALUE_LEN_MAX);
	if (kvstore_put(f, f->rev + 1, &path, a->key, a->value, a->append) < 0)
		return no_memory(err);
	put_outcome(f, reply, true, a->prev ? cur : NULL, NULL);
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
		if (!conditions_hold(a, cur)) {
			put_outcome(f, reply, false, cur, &deleted);
			return WIRE_OK;
		}
		if (cur == NULL)
			continue;
		if (kvstore_delete(f, rev, &path) < 0)
			return no_memory(err);
		deleted++;
	}
	put_outcome(f, reply, true, a->prev ? cur : NULL, &deleted);
	return WIRE_OK;
}

static void
see_time(struct fsm *f, uint64_t index, uint64_t stamp)
{
	assert(index > f->applied);
	f->applied = index;
	if (stamp > f->time || MUTANT(95))
		f->time = stamp;
}

static void
kv_advance(struct fsm *f, uint64_t index, uint64_t stamp)
{
	see_time(f, index, stamp);
}

static enum wire_status
read_command(const struct fsm_command *c, unsigned *method, struct kv_args *a,
    struct wire_error *err)
{
	*method = method_of(c->method);
	if (*method != KV_PUT && *method != KV_DELETE)
		return no_method(c->method, err);
	return kvargs_read((enum kv_method) * method, c->params, a, err);
}

static enum wire_status
kv_admit(const struct fsm_command *c, struct wire_error *err)
{
	struct kv_args a;
	unsigned method;

	return read_command(c, &method, &a, err);
}

static enum wire_status
kv_apply(struct fsm *f, const struct fsm_command *c, struct mp_buf *reply,
    struct wire_error *err)
{
	enum wire_status st;
	struct kv_args a;
	unsigned method;

	see_time(f, c->index, c->stamp);
	st = read_command(c, &method, &a, err);
	if (st != WIRE_OK)
		return st;
	st = method == KV_PUT ? apply_put(f, &a, reply, err)
			      : apply_delete(f, &a, reply, err);
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
	kvlist_put_record(f, reply, r, false);
}

static enum wire_status
kv_query(struct fsm *f, struct mp_span name, struct mp_span params,
    struct mp_buf *reply, struct wire_error *err)
{
	unsigned method = method_of(name);
	enum wire_status st;
	struct kv_args a;

	if (method != KV_GET && method != KV_LIST)
		return no_method(name, err);
	st = kvargs_read((enum kv_method)method, params, &a, err);
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
    .digest = kvstore_digest,
    .rev = kv_rev,
    .applied = kv_applied,
    .save = kvstore_save,
    .load = kvstore_load,
};
