/*
 * kvargs.c - the parameters of the key-value store's methods, taken apart
 * and judged.
 */
#include "raftd/fsm/kvargs.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "raftd/fsm/kv.h"
#include "raftd/fsm/lock.h"
#include "raftd/fsm/session.h"

enum option_type { OPT_BOOL, OPT_U64, OPT_KEY, OPT_VALUE, OPT_NAME, OPT_SKIP };

static const struct option {
	const char *name;
	unsigned methods; /* enum kv_method */
	enum kv_option bit;
	enum option_type type;
	size_t at;
} options[] = {
#define AT(field) offsetof(struct kv_args, field)
    {"if_absent", KV_PUT, KV_IF_ABSENT, OPT_BOOL, AT(if_absent)},
    {"if_rev", KV_PUT | KV_DELETE | KV_INCR, KV_IF_REV, OPT_U64, AT(if_rev)},
    {"if_value", KV_PUT, KV_IF_VALUE, OPT_VALUE, AT(if_value)},
    {"if_changed", KV_PUT, KV_IF_CHANGED, OPT_BOOL, AT(if_changed)},
    {"append", KV_PUT, KV_APPEND, OPT_BOOL, AT(append)},
    {"prev", KV_PUT | KV_DELETE | KV_WATCH, KV_PREV, OPT_BOOL, AT(prev)},
    {"from", KV_LIST, KV_FROM, OPT_KEY, AT(from)},
    {"to", KV_LIST, KV_TO, OPT_KEY, AT(to)},
    {"after", KV_LIST | KV_LOCK_LIST, KV_AFTER, OPT_KEY, AT(after)},
    {"limit", KV_LIST | KV_WATCH | KV_LEASE_LIST | KV_LOCK_LIST, KV_LIMIT,
	OPT_U64, AT(limit)},
    {"reverse", KV_LIST, KV_REVERSE, OPT_BOOL, AT(reverse)},
    {"rev", KV_LIST | KV_GET, KV_REV, OPT_U64, AT(rev)},
    {"keys_only", KV_LIST, KV_KEYS_ONLY, OPT_BOOL, AT(keys_only)},
    {"count", KV_LIST, KV_COUNT, OPT_BOOL, AT(count)},
    {"read", KV_LIST | KV_GET | KV_HOLD_QUERIES, KV_OPT_HOST_READ, OPT_SKIP, 0},
    {"max_stale", KV_LIST | KV_GET, KV_OPT_HOST_STALE, OPT_SKIP, 0},
    {"state", KV_GET, KV_STATE, OPT_BOOL, AT(state)},
    {"group",
	KV_COMMANDS | KV_LIST | KV_GET | KV_WATCH | KV_HOLD_QUERIES |
	    KV_LOCK_WAIT,
	KV_OPT_HOST_GROUP, OPT_SKIP, 0},
    {"session", KV_COMMANDS, KV_SESSION, OPT_NAME, AT(session)},
    {"seq", KV_COMMANDS, KV_SEQ, OPT_U64, AT(seq)},
    {"ack", KV_COMMANDS, KV_ACK, OPT_U64, AT(ack)},
    {"since", KV_COMMANDS | KV_WATCH, KV_SINCE, OPT_U64, AT(since)},
    {"progress", KV_WATCH, KV_PROGRESS, OPT_U64, AT(progress)},
    {"prefix", KV_WATCH, KV_PREFIX, OPT_BOOL, AT(prefix)},
    {"wait", KV_WATCH | KV_LOCK_WAIT, KV_WAIT, OPT_U64, AT(wait)},
    {"lease", KV_PUT | KV_LOCK | KV_UNLOCK | KV_LOCK_WAIT, KV_LEASE, OPT_U64,
	AT(lease)},
    {"ttl", KV_PUT | KV_LOCK, KV_TTL, OPT_U64, AT(ttl)},
    {"if_lock", KV_PUT | KV_DELETE | KV_INCR, KV_IF_LOCK, OPT_KEY, AT(if_lock)},
    {"if_token", KV_PUT | KV_DELETE | KV_INCR, KV_IF_TOKEN, OPT_U64,
	AT(if_token)},
    {"slots", KV_LOCK, KV_SLOTS, OPT_U64, AT(slots)},
    {"shared", KV_LOCK, KV_JUST, OPT_BOOL, AT(shared)},
    {"queue", KV_LOCK, KV_JUST, OPT_BOOL, AT(queue)},
    {"holder", KV_LOCK, KV_JUST, OPT_KEY, AT(holder)},
    {"host", KV_LOCK, KV_JUST, OPT_KEY, AT(host)},
    {"pid", KV_LOCK, KV_JUST, OPT_U64, AT(pid)},
    {"order", KV_LOCK_WAIT, KV_JUST, OPT_U64, AT(order)},
    {"changed", KV_LOCK_WAIT, KV_CHANGED, OPT_U64, AT(changed)},
#undef AT
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

struct text {
	char *at;
	size_t left;
};

static void
text_put(struct text *t, const char *s, size_t len)
{
	if (len > t->left)
		len = t->left;
	memcpy(t->at, s, len);
	t->at += len;
	t->left -= len;
}

static void
text_number(struct text *t, unsigned long long v)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	text_put(t, digits + i, sizeof(digits) - i);
}

/* Bytes from outside, of which only what every terminal shows is shown. */
static void
text_foreign(struct text *t, const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		text_put(t, s[i] >= ' ' && s[i] <= '~' ? s + i : "?", 1);
}

/* What of printf is used here: %s %.*s %u %zu %llu.  A state machine needs
 * no stdio, whose output may depend on the locale. */
static void
text_format(struct text *t, const char *fmt, va_list ap)
{
	size_t len;

	for (; *fmt != '\0'; fmt++) {
		if (*fmt != '%') {
			text_put(t, fmt, 1);
		} else if (*++fmt == 's') {
			const char *s = va_arg(ap, const char *);

			text_put(t, s, strlen(s));
		} else if (*fmt == '.') {
			fmt += 2;
			len = (size_t)va_arg(ap, int);
			text_foreign(t, va_arg(ap, const char *), len);
		} else if (*fmt == 'u') {
			text_number(t, va_arg(ap, unsigned));
		} else if (*fmt == 'z') {
			fmt++;
			text_number(t, va_arg(ap, size_t));
		} else {
			assert(*fmt == 'l');
			fmt += 2;
			text_number(t, va_arg(ap, unsigned long long));
		}
	}
}

enum wire_status
kvargs_fail(
    struct wire_error *err, enum wire_status status, const char *fmt, ...)
{
	struct text t;
	va_list ap;

	if (err == NULL)
		return status;
	memset(err, 0, sizeof(*err));
	err->status = status;
	t.at = err->message;
	t.left = sizeof(err->message) - 1;
	va_start(ap, fmt);
	text_format(&t, fmt, ap);
	va_end(ap);
	return status;
}

static enum wire_status
too_long(struct wire_error *err, const char *what, size_t len, size_t max)
{
	return kvargs_fail(err, WIRE_TOO_LARGE,
	    "%s too long: %zu bytes, the limit is %zu", what, len, max);
}

static enum wire_status
judge_key(
    struct mp_span key, size_t min, const char *what, struct wire_error *err)
{
	if (key.len < min)
		return kvargs_fail(err, WIRE_USAGE, "%s is empty", what);
	if (key.len > WIRE_KEY_LEN_MAX)
		return too_long(err, what, key.len, WIRE_KEY_LEN_MAX);
	return WIRE_OK;
}

enum wire_status
kvargs_key(struct mp_cur *c, size_t min, const char *what, struct mp_span *key,
    struct wire_error *err)
{
	if (mp_read_bytes(c, key) < 0)
		return kvargs_fail(
		    err, WIRE_USAGE, "%s must be str or bin", what);
	return judge_key(*key, min, what, err);
}

enum wire_status
kvargs_value(struct mp_cur *c, const char *what, struct mp_span *value,
    struct wire_error *err)
{
	if (mp_read_bytes(c, value) < 0)
		return kvargs_fail(
		    err, WIRE_USAGE, "%s must be str or bin", what);
	if (value->len > WIRE_VALUE_LEN_MAX)
		return too_long(err, what, value->len, WIRE_VALUE_LEN_MAX);
	return WIRE_OK;
}

static const struct option *
option_find(enum kv_method method, struct mp_span name)
{
	size_t i;

	for (i = 0; i < OPTIONS; i++)
		if ((options[i].methods & method) != 0 &&
		    mp_span_eq(name, options[i].name))
			return &options[i];
	return NULL;
}

/* The value of one option goes to where its row says. */
static enum wire_status
read_option(struct mp_cur *c, const struct option *o, struct kv_args *a,
    struct wire_error *err)
{
	uint8_t *to = (uint8_t *)a + o->at;
	struct mp_span s;
	enum wire_status st;
	uint64_t n;
	bool b;

	switch (o->type) {
	case OPT_BOOL:
		if (mp_read_bool(c, &b) < 0)
			return kvargs_fail(err, WIRE_USAGE,
			    "option %s must be true or false", o->name);
		memcpy(to, &b, sizeof(b));
		break;
	case OPT_U64:
		if (mp_read_u64(c, &n) < 0)
			return kvargs_fail(err, WIRE_USAGE,
			    "option %s must be a number, 0 or more", o->name);
		memcpy(to, &n, sizeof(n));
		break;
	case OPT_KEY:
	case OPT_VALUE:
		st = o->type == OPT_KEY ? kvargs_key(c, 0, o->name, &s, err)
					: kvargs_value(c, o->name, &s, err);
		if (st != WIRE_OK)
			return st;
		memcpy(to, &s, sizeof(s));
		break;
	case OPT_NAME:
		if (mp_read_bytes(c, &s) < 0 || s.len == 0 ||
		    s.len > SESSION_ID_LEN_MAX)
			return kvargs_fail(err, WIRE_USAGE,
			    "option %s must be 1 to %u bytes", o->name,
			    (unsigned)SESSION_ID_LEN_MAX);
		memcpy(to, &s, sizeof(s));
		break;
	case OPT_SKIP:
		if (mp_skip(c) < 0)
			return kvargs_fail(
			    err, WIRE_USAGE, "option %s is cut", o->name);
		break;
	}
	a->given |= (unsigned)o->bit;
	return WIRE_OK;
}

static enum wire_status
read_options(struct mp_cur *c, enum kv_method method, struct kv_args *a,
    struct wire_error *err)
{
	const struct option *o;
	struct mp_span name;
	enum wire_status st;
	uint32_t count, i;
	uint64_t seen = 0, bit;

	static_assert(OPTIONS <= 64, "a bit for each row");
	if (mp_read_map(c, &count) < 0)
		return kvargs_fail(err, WIRE_USAGE, "options must be a map");
	for (i = 0; i < count; i++) {
		if (mp_read_bytes(c, &name) < 0)
			return kvargs_fail(err, WIRE_USAGE,
			    "the name of an option must be str or bin");
		o = option_find(method, name);
		if (o == NULL)
			return kvargs_fail(err, WIRE_USAGE,
			    "no such option: '%.*s'",
			    (int)(name.len < 64 ? name.len : 64),
			    (const char *)name.p);
		bit = 1ull << (o - options);
		if ((seen & bit) != 0)
			return kvargs_fail(
			    err, WIRE_USAGE, "option %s twice", o->name);
		seen |= bit;
		if (mp_read_nil(c) == 0)
			continue; /* as if it were not there */
		st = read_option(c, o, a, err);
		if (st != WIRE_OK)
			return st;
	}
	return WIRE_OK;
}

/* delete takes one key or an array of them. */
static enum wire_status
read_delete_keys(struct mp_cur *c, struct kv_args *a, struct wire_error *err)
{
	struct mp_span key;
	enum wire_status st;
	uint32_t i;

	a->key_count = 1;
	if (mp_peek(c) == MP_ARRAY) {
		if (mp_read_array(c, &a->key_count) < 0)
			return kvargs_fail(err, WIRE_USAGE, "keys are cut");
		if (a->key_count == 0)
			return kvargs_fail(err, WIRE_USAGE, "no keys");
		if (a->key_count > KV_DELETE_KEYS_MAX)
			return kvargs_fail(err, WIRE_TOO_LARGE,
			    "too many keys: %u, the limit is %u", a->key_count,
			    (unsigned)KV_DELETE_KEYS_MAX);
	}
	a->keys = *c;
	for (i = 0; i < a->key_count; i++) {
		st = kvargs_key(c, 1, "key", &key, err);
		if (st != WIRE_OK)
			return st;
	}
	a->keys_len = (size_t)(c->p - a->keys.p);
	return WIRE_OK;
}

/* What stands in it is judged by txn.c. */
static enum wire_status
read_txn(struct mp_cur *c, struct kv_args *a, struct wire_error *err)
{
	a->txn = *c;
	if (mp_peek(c) != MP_MAP || mp_skip(c) < 0)
		return kvargs_fail(err, WIRE_USAGE,
		    "a transaction is a map of if, then and else");
	a->txn_len = (size_t)(c->p - a->txn.p);
	return WIRE_OK;
}

static enum wire_status
judge_session(const struct kv_args *a, struct wire_error *err)
{
	if ((a->given & KV_SESSION) == 0)
		return kvargs_fail(
		    err, WIRE_USAGE, "seq, ack and since go with a session");
	if ((a->given & KV_SEQ) == 0 || a->seq == 0 || a->seq > INT64_MAX)
		return kvargs_fail(
		    err, WIRE_USAGE, "a session wants seq, a number from 1 on");
	if (a->ack > a->seq)
		return kvargs_fail(err, WIRE_USAGE,
		    "ack is the lowest number waited for, so not above seq");
	return WIRE_OK;
}

static enum wire_status
judge_ttl(uint64_t ttl, struct wire_error *err)
{
	if (ttl == 0 || ttl > LEASE_TTL_MAX_MS)
		return kvargs_fail(err, WIRE_USAGE,
		    "a time to live is 1 to %llu ms",
		    (unsigned long long)LEASE_TTL_MAX_MS);
	return WIRE_OK;
}

/* What concerns leases and locks. */
static enum wire_status
judge_hold(
    enum kv_method method, const struct kv_args *a, struct wire_error *err)
{
	unsigned pair = a->given & (KV_LEASE | KV_TTL);

	if (method == KV_LEASE_GRANT && judge_ttl(a->number, err) != WIRE_OK)
		return WIRE_USAGE;
	if ((a->given & KV_TTL) != 0 && judge_ttl(a->ttl, err) != WIRE_OK)
		return WIRE_USAGE;
	if (pair == (KV_LEASE | KV_TTL) || (method == KV_LOCK && pair == 0))
		return kvargs_fail(
		    err, WIRE_USAGE, "either a lease or a ttl, not both");
	if (method == KV_UNLOCK && pair == 0)
		return kvargs_fail(err, WIRE_USAGE, "whose lease?");
	if (((a->given & KV_IF_LOCK) == 0) != ((a->given & KV_IF_TOKEN) == 0))
		return kvargs_fail(
		    err, WIRE_USAGE, "if_lock and if_token go together");
	if ((a->given & KV_SLOTS) != 0 &&
	    (a->shared || a->slots == 0 || a->slots >= LOCK_ANY))
		return kvargs_fail(err, WIRE_USAGE,
		    "slots is a number from 1 on, and not of a shared lock");
	if (a->holder.len > LOCK_HOLDER_LEN_MAX)
		return too_long(
		    err, "holder", a->holder.len, LOCK_HOLDER_LEN_MAX);
	if (a->host.len > LOCK_HOST_LEN_MAX)
		return too_long(err, "host", a->host.len, LOCK_HOST_LEN_MAX);
	return WIRE_OK;
}

/* What no single option shows. */
static enum wire_status
judge_together(
    enum kv_method method, const struct kv_args *a, struct wire_error *err)
{
	if ((method & (KV_PUT | KV_DELETE | KV_INCR | KV_HOLD_COMMANDS)) != 0 &&
	    judge_hold(method, a, err) != WIRE_OK)
		return err == NULL ? WIRE_USAGE : err->status;
	if (method != KV_WATCH &&
	    (a->given & (KV_SESSION | KV_SEQ | KV_ACK | KV_SINCE)) != 0 &&
	    judge_session(a, err) != WIRE_OK)
		return WIRE_USAGE;
	if (method == KV_DELETE && a->key_count > 1 &&
	    ((a->given & KV_IF_REV) != 0 || a->prev))
		return kvargs_fail(
		    err, WIRE_USAGE, "if_rev and prev go with a single key");
	if (method == KV_WATCH && a->key.len == 0 && !a->prefix)
		return kvargs_fail(err, WIRE_USAGE, "key is empty");
	if ((a->given & KV_LIMIT) != 0 &&
	    (a->limit == 0 || a->limit > WIRE_LIST_LIMIT_MAX))
		return kvargs_fail(err, WIRE_USAGE, "limit must be 1 to %u",
		    WIRE_LIST_LIMIT_MAX);
	return WIRE_OK;
}

enum wire_status
kvargs_read(enum kv_method method, struct mp_span params, struct kv_args *a,
    struct wire_error *err)
{
	uint32_t min = (method & (KV_PUT | KV_INCR)) != 0 ? 2 : 1, count;
	struct mp_cur c = mp_cur_span(params);
	enum wire_status st = WIRE_OK;

	memset(a, 0, sizeof(*a));
	a->queue = true;
	if (mp_read_array(&c, &count) < 0)
		return kvargs_fail(err, WIRE_USAGE, "params must be an array");
	if (count < min || count > min + 1)
		return kvargs_fail(err, WIRE_USAGE,
		    "%u parameters, and perhaps options, but %u came", min,
		    count);
	if (method == KV_DELETE)
		st = read_delete_keys(&c, a, err);
	else if (method == KV_TXN)
		st = read_txn(&c, a, err);
	else if ((method & KV_NUMBERED) != 0)
		st = mp_read_u64(&c, &a->number) == 0
			 ? WIRE_OK
			 : kvargs_fail(err, WIRE_USAGE,
			       "a number, 0 or more, comes first");
	else
		st = kvargs_key(&c,
		    (method & (KV_LIST | KV_WATCH | KV_LOCK_LIST)) != 0 ? 0 : 1,
		    (method & (KV_LIST | KV_LOCK_LIST)) != 0 ? "prefix" : "key",
		    &a->key, err);
	if (st == WIRE_OK && method == KV_PUT)
		st = kvargs_value(&c, "value", &a->value, err);
	if (st == WIRE_OK && method == KV_INCR && mp_read_i64(&c, &a->by) < 0)
		st = kvargs_fail(
		    err, WIRE_USAGE, "what to add must be a number of 64 bits");
	if (st == WIRE_OK && count > min && mp_read_nil(&c) < 0)
		st = read_options(&c, method, a, err);
	if (st != WIRE_OK)
		return st;
	if (!mp_done(&c))
		return kvargs_fail(err, WIRE_USAGE, "bytes behind the params");
	return judge_together(method, a, err);
}
