/*
 * txn.c - transactions.
 */
#include "raftd/fsm/txn.h"

#include <assert.h>
#include <string.h>

#include "raftd/fsm/hold.h"
#include "raftd/fsm/kvlist.h"

enum relation { EQUAL, UNEQUAL, LESS, GREATER };

enum {
	HAS_REV = 1,
	HAS_CREATE = 2,
	HAS_VERSION = 4,
	HAS_VALUE = 8,
	HAS_EXISTS = 16,
	HAS_TOKEN = 32,
};

struct compare {
	struct mp_span key, value, lock;
	enum relation relation;
	unsigned has;
	uint64_t rev, create_rev, version, token;
	bool exists;
};

enum op_kind { OP_PUT, OP_DEL, OP_GET, OP_RANGE };

struct op {
	enum op_kind kind;
	struct mp_span key, value;
	bool append;
	uint64_t lease; /* 0: none */
	struct kv_args range;
};

/* The three lists, each at its first element. */
struct lists {
	struct mp_cur cond, yes, no;
	uint32_t conds, yes_ops, no_ops;
};

/* ---- reading ----------------------------------------------------------- */

static enum wire_status
unknown_word(const char *where, struct mp_span word, struct wire_error *err)
{
	return kvargs_fail(err, WIRE_USAGE, "%s has no '%.*s'", where,
	    (int)(word.len < 64 ? word.len : 64), (const char *)word.p);
}

static int
read_relation(struct mp_cur *c, enum relation *r)
{
	static const char *const names[] = {"=", "!=", "<", ">"};
	struct mp_span word;
	unsigned i;

	if (mp_read_bytes(c, &word) < 0)
		return -1;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (mp_span_eq(word, names[i])) {
			*r = (enum relation)i;
			return 0;
		}
	return -1;
}

/* A number of a comparison; a bit that says it is there. */
static int
read_number(struct mp_cur *c, unsigned bit, uint64_t *n, unsigned *has)
{
	if ((*has & bit) != 0 || mp_read_u64(c, n) < 0)
		return -1;
	*has |= bit;
	return 0;
}

static enum wire_status
read_compare_pair(struct mp_cur *c, struct mp_span name, struct compare *m,
    struct wire_error *err)
{
	int r = 0;

	if (mp_span_eq(name, "key"))
		return kvargs_key(c, 1, "key", &m->key, err);
	if (mp_span_eq(name, "value")) {
		m->has |= HAS_VALUE;
		return kvargs_value(c, "value", &m->value, err);
	}
	if (mp_span_eq(name, "lock"))
		return kvargs_key(c, 1, "lock", &m->lock, err);
	if (mp_span_eq(name, "token"))
		r = read_number(c, HAS_TOKEN, &m->token, &m->has);
	else if (mp_span_eq(name, "op"))
		r = read_relation(c, &m->relation);
	else if (mp_span_eq(name, "rev") || mp_span_eq(name, "mod_rev"))
		r = read_number(c, HAS_REV, &m->rev, &m->has);
	else if (mp_span_eq(name, "create_rev"))
		r = read_number(c, HAS_CREATE, &m->create_rev, &m->has);
	else if (mp_span_eq(name, "version"))
		r = read_number(c, HAS_VERSION, &m->version, &m->has);
	else if (mp_span_eq(name, "exists")) {
		r = mp_read_bool(c, &m->exists);
		m->has |= HAS_EXISTS;
	} else
		return unknown_word("a comparison", name, err);
	if (r < 0)
		return kvargs_fail(err, WIRE_USAGE,
		    "a comparison's '%.*s' is wrong", (int)name.len,
		    (const char *)name.p);
	return WIRE_OK;
}

static enum wire_status
read_compare(struct mp_cur *c, struct compare *m, struct wire_error *err)
{
	struct mp_span name;
	enum wire_status st;
	uint32_t count, i;

	memset(m, 0, sizeof(*m));
	if (mp_read_map(c, &count) < 0)
		return kvargs_fail(err, WIRE_USAGE, "a comparison is a map");
	for (i = 0; i < count; i++) {
		if (mp_read_bytes(c, &name) < 0)
			return kvargs_fail(
			    err, WIRE_USAGE, "a comparison has names");
		st = read_compare_pair(c, name, m, err);
		if (st != WIRE_OK)
			return st;
	}
	if (m->lock.len > 0 || (m->has & HAS_TOKEN) != 0) {
		if (m->lock.len == 0 || m->has != HAS_TOKEN || m->key.len > 0 ||
		    m->relation > UNEQUAL)
			return kvargs_fail(err, WIRE_USAGE,
			    "a lock is compared with a token, by = or !=");
		return WIRE_OK;
	}
	if (m->key.len == 0 || m->has == 0)
		return kvargs_fail(err, WIRE_USAGE,
		    "a comparison wants a key and something to compare");
	if ((m->has & HAS_EXISTS) != 0 && m->relation > UNEQUAL)
		return kvargs_fail(
		    err, WIRE_USAGE, "exists is compared with = or !=");
	return WIRE_OK;
}

static enum wire_status
read_op_pair(struct mp_cur *c, struct mp_span name, struct op *o,
    unsigned *seen, struct wire_error *err)
{
	bool range = o->kind == OP_RANGE;

	if (!range && mp_span_eq(name, "key"))
		return kvargs_key(c, 1, "key", &o->key, err);
	if (range && mp_span_eq(name, "prefix"))
		return kvargs_key(c, 0, "prefix", &o->range.key, err);
	if (range && mp_span_eq(name, "from")) {
		o->range.given |= KV_FROM;
		return kvargs_key(c, 0, "from", &o->range.from, err);
	}
	if (range && mp_span_eq(name, "to")) {
		o->range.given |= KV_TO;
		return kvargs_key(c, 0, "to", &o->range.to, err);
	}
	if (range && mp_span_eq(name, "limit")) {
		o->range.given |= KV_LIMIT;
		if (mp_read_u64(c, &o->range.limit) < 0 ||
		    o->range.limit == 0 || o->range.limit > WIRE_LIST_LIMIT_MAX)
			return kvargs_fail(err, WIRE_USAGE,
			    "limit must be 1 to %u", WIRE_LIST_LIMIT_MAX);
		return WIRE_OK;
	}
	if (o->kind == OP_PUT && mp_span_eq(name, "value")) {
		*seen = 1;
		return kvargs_value(c, "value", &o->value, err);
	}
	if (o->kind == OP_PUT && mp_span_eq(name, "lease")) {
		if (mp_read_u64(c, &o->lease) < 0 || o->lease == 0)
			return kvargs_fail(
			    err, WIRE_USAGE, "lease is the number of one");
		return WIRE_OK;
	}
	if (o->kind == OP_PUT && mp_span_eq(name, "append")) {
		if (mp_read_bool(c, &o->append) < 0)
			return kvargs_fail(
			    err, WIRE_USAGE, "append must be true or false");
		return WIRE_OK;
	}
	return unknown_word("an operation", name, err);
}

static enum wire_status
read_op(struct mp_cur *c, struct op *o, struct wire_error *err)
{
	static const char *const names[] = {"put", "del", "get", "range"};
	struct mp_span name;
	enum wire_status st;
	unsigned seen = 0, kind = 0;
	uint32_t count, i;

	memset(o, 0, sizeof(*o));
	if (mp_read_map(c, &count) < 0 || count != 1 ||
	    mp_read_bytes(c, &name) < 0)
		return kvargs_fail(err, WIRE_USAGE,
		    "an operation is a map of put, del, get or range");
	while (kind < 4 && !mp_span_eq(name, names[kind]))
		kind++;
	if (kind == 4)
		return unknown_word("a transaction", name, err);
	o->kind = (enum op_kind)kind;
	if (mp_read_map(c, &count) < 0)
		return kvargs_fail(
		    err, WIRE_USAGE, "what %s takes is a map", names[kind]);
	for (i = 0; i < count; i++) {
		if (mp_read_bytes(c, &name) < 0)
			return kvargs_fail(
			    err, WIRE_USAGE, "%s takes names", names[kind]);
		st = read_op_pair(c, name, o, &seen, err);
		if (st != WIRE_OK)
			return st;
	}
	if (o->kind != OP_RANGE && o->key.len == 0)
		return kvargs_fail(
		    err, WIRE_USAGE, "%s wants a key", names[kind]);
	if (o->kind == OP_PUT && seen == 0)
		return kvargs_fail(err, WIRE_USAGE, "put wants a value");
	return WIRE_OK;
}

static enum wire_status
read_lists(struct mp_cur c, struct lists *l, struct wire_error *err)
{
	uint32_t pairs, i, *count;
	struct mp_span name;
	struct mp_cur *at;

	memset(l, 0, sizeof(*l));
	if (mp_read_map(&c, &pairs) < 0)
		return kvargs_fail(err, WIRE_USAGE, "not a map");
	for (i = 0; i < pairs; i++) {
		if (mp_read_bytes(&c, &name) < 0)
			return kvargs_fail(
			    err, WIRE_USAGE, "a transaction has names");
		if (mp_span_eq(name, "if")) {
			at = &l->cond;
			count = &l->conds;
		} else if (mp_span_eq(name, "then")) {
			at = &l->yes;
			count = &l->yes_ops;
		} else if (mp_span_eq(name, "else")) {
			at = &l->no;
			count = &l->no_ops;
		} else {
			return unknown_word("a transaction", name, err);
		}
		*at = c;
		if (mp_skip(&c) < 0 || mp_read_array(at, count) < 0)
			return kvargs_fail(
			    err, WIRE_USAGE, "if, then and else are arrays");
		if (*count > TXN_OPS_MAX)
			return kvargs_fail(err, WIRE_TOO_LARGE,
			    "%u in one list, the limit is %u", *count,
			    (unsigned)TXN_OPS_MAX);
	}
	return WIRE_OK;
}

static enum wire_status
judge_ops(struct mp_cur c, uint32_t count, struct wire_error *err)
{
	struct mp_span written[TXN_OPS_MAX];
	uint32_t writes = 0, i, j;
	enum wire_status st;
	struct op o;

	for (i = 0; i < count; i++) {
		st = read_op(&c, &o, err);
		if (st != WIRE_OK)
			return st;
		if (o.kind != OP_PUT && o.kind != OP_DEL)
			continue;
		for (j = 0; j < writes; j++)
			if (tree_compare(written[j].p, written[j].len, o.key.p,
				o.key.len) == 0)
				return kvargs_fail(err, WIRE_USAGE,
				    "a key is written twice: '%.*s'",
				    (int)(o.key.len < 64 ? o.key.len : 64),
				    (const char *)o.key.p);
		written[writes++] = o.key;
	}
	return WIRE_OK;
}

enum wire_status
txn_judge(struct mp_cur c, struct wire_error *err)
{
	enum wire_status st;
	struct compare m;
	struct lists l;
	uint32_t i;

	st = read_lists(c, &l, err);
	for (i = 0; st == WIRE_OK && i < l.conds; i++)
		st = read_compare(&l.cond, &m, err);
	if (st == WIRE_OK)
		st = judge_ops(l.yes, l.yes_ops, err);
	if (st == WIRE_OK)
		st = judge_ops(l.no, l.no_ops, err);
	return st;
}

/* ---- applying ---------------------------------------------------------- */

static struct record *
find(const struct fsm *f, struct mp_span key, struct tree_path *path)
{
	struct record *r;

	tree_find(&f->tree, key.p, key.len, path);
	r = path->found ? tree_record(&f->tree, path) : NULL;
	return record_is_live(r) ? r : NULL;
}

static bool
relates(enum relation r, int order)
{
	switch (r) {
	case EQUAL:
		return order == 0;
	case UNEQUAL:
		return order != 0;
	case LESS:
		return order < 0;
	default:
		return order > 0;
	}
}

static int
order_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int
order_bytes(const struct record *r, struct mp_span value)
{
	size_t len = r->value_len < value.len ? r->value_len : value.len;
	int c = len == 0 ? 0 : memcmp(record_value(r), value.p, len);

	return c != 0 ? c : order_u64(r->value_len, value.len);
}

static bool
compare_holds(const struct fsm *f, const struct compare *m)
{
	struct tree_path path;
	const struct record *r;

	if (m->lock.len > 0)
		return relates(
		    m->relation, !lock_has_token(f, m->lock, m->token));
	r = find(f, m->key, &path);
	if ((m->has & HAS_REV) != 0 &&
	    !relates(m->relation, order_u64(r ? r->mod_rev : 0, m->rev)))
		return false;
	if ((m->has & HAS_CREATE) != 0 &&
	    !relates(
		m->relation, order_u64(r ? r->create_rev : 0, m->create_rev)))
		return false;
	if ((m->has & HAS_VERSION) != 0 &&
	    !relates(m->relation, order_u64(r ? r->version : 0, m->version)))
		return false;
	if ((m->has & HAS_EXISTS) != 0 &&
	    !relates(m->relation, (r != NULL) != m->exists))
		return false;
	if ((m->has & HAS_VALUE) == 0)
		return true;
	if (r == NULL)
		return m->relation == UNEQUAL;
	return relates(m->relation, order_bytes(r, m->value));
}

/* Whether all can be done, before anything is. */
static enum wire_status
check_ops(const struct fsm *f, struct mp_cur c, uint32_t count,
    struct wire_error *err)
{
	const struct record *r;
	struct tree_path path;
	uint64_t told = 0, len;
	uint32_t i;
	struct op o;

	for (i = 0; i < count; i++) {
		if (read_op(&c, &o, err) != WIRE_OK)
			return WIRE_USAGE;
		r = o.kind == OP_RANGE ? NULL : find(f, o.key, &path);
		len = r == NULL ? 0 : r->value_len;
		if (o.kind == OP_PUT && o.lease != 0) {
			struct lease *l = NULL;
			enum wire_status st =
			    hold_lease_for_key(f, o.lease, NULL, &l, err);

			/* Each of the list may be new to it. */
			if (st == WIRE_OK &&
			    l->key_count > LEASE_KEYS_MAX - TXN_OPS_MAX)
				st = kvargs_fail(err, WIRE_BUSY,
				    "lease %llu has too many keys",
				    (unsigned long long)o.lease);
			if (st != WIRE_OK)
				return st;
		}
		if (o.kind == OP_GET)
			told += len;
		if (o.kind == OP_PUT && o.append &&
		    len + o.value.len > WIRE_VALUE_LEN_MAX)
			return kvargs_fail(err, WIRE_TOO_LARGE,
			    "value too long, the limit is %u",
			    WIRE_VALUE_LEN_MAX);
		if (told > WIRE_VALUE_LEN_MAX)
			return kvargs_fail(err, WIRE_TOO_LARGE,
			    "the values asked for are too long together");
	}
	return WIRE_OK;
}

/* Records that ranges may still give. */
static void
range_op(const struct fsm *f, struct op *o, uint64_t *left, struct mp_buf *b)
{
	/* As of this operation, with what was changed before it. */
	o->range.rev = UINT64_MAX;
	if ((o->range.given & KV_LIMIT) == 0 || o->range.limit > *left)
		o->range.limit = *left;
	o->range.given |= KV_LIMIT;
	*left -= kvlist_range(f, &o->range, b);
}

/* One operation; false without memory. */
static bool
op_apply(
    struct fsm *f, uint64_t rev, struct op *o, uint64_t *left, struct mp_buf *b)
{
	struct tree_path path;
	struct record *r;

	if (o->kind == OP_RANGE) {
		range_op(f, o, left, b);
		return true;
	}
	r = find(f, o->key, &path);
	if (o->kind == OP_GET) {
		kvlist_put_record(f, b, r, false);
		return true;
	}
	if (o->kind == OP_PUT) {
		struct lease *l = NULL;

		if (o->lease != 0)
			l = lease_find(f, o->lease);
		else if (o->append && r != NULL &&
			 (r->flags & RECORD_LEASED) != 0)
			l = record_attachment(r)->lease;
		if (kvstore_put(f, rev, &path, o->key, o->value, o->append, l) <
		    0)
			return false;
		kvlist_put_record(f, b, find(f, o->key, &path), true);
		return true;
	}
	if (r != NULL && kvstore_delete(f, rev, &path, 0) < 0)
		return false;
	mp_put_map(b, 1);
	mp_put_kv_u64(b, "deleted", r != NULL);
	return true;
}

enum wire_status
txn_apply(struct fsm *f, struct mp_cur c, struct mp_buf *reply,
    struct wire_error *err)
{
	uint64_t rev = f->rev + 1, left = WIRE_LIST_LIMIT_MAX;
	struct mp_buf *b = reply == NULL ? &f->sessions.brief : reply;
	struct compare m;
	struct lists l;
	struct op o;
	uint32_t i;
	bool holds = true;
	enum wire_status st = read_lists(c, &l, err);

	for (i = 0; st == WIRE_OK && i < l.conds; i++) {
		st = read_compare(&l.cond, &m, err);
		holds = holds && compare_holds(f, &m);
	}
	if (!holds && !MUTANT(104)) {
		l.yes = l.no;
		l.yes_ops = l.no_ops;
	}
	if (st == WIRE_OK)
		st = check_ops(f, l.yes, l.yes_ops, err);
	if (st != WIRE_OK)
		return st;
	if (reply == NULL)
		mp_buf_reset(b);
	mp_put_map(b, 5);
	mp_put_kv_u64(b, "group", f->group);
	mp_put_kv_bool(b, "duplicate", false);
	mp_put_kv_bool(b, "succeeded", holds);
	mp_put_str(b, "results");
	mp_put_array(b, l.yes_ops);
	for (i = 0; i < l.yes_ops; i++)
		if (read_op(&l.yes, &o, err) != WIRE_OK ||
		    !op_apply(f, rev, &o, &left, b))
			return kvargs_fail(err, WIRE_BUG, "out of memory");
	mp_put_kv_u64(b, "rev", f->rev);
	return WIRE_OK;
}
