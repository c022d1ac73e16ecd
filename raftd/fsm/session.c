/*
 * session.c - sessions: writes that are carried out once.
 */
#include "raftd/fsm/session.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/fsm/digest.h"

/* Beside the id and the data; the same on every machine, since it decides
 * when a session is forgotten. */
#define SESSION_CHARGE 256
#define OUTCOME_CHARGE 64
#define SHORT_LEN 256 /* a part of a reply that is kept when it is shortened */

static int
session_compare(const struct session *a, const struct session *b)
{
	size_t len = a->id_len < b->id_len ? a->id_len : b->id_len;
	int c = memcmp(a->id, b->id, len);

	return c != 0 ? c : (int)a->id_len - (int)b->id_len;
}

/* clang-format off */
RB_GENERATE_INTERNAL(session_tree, session, node, session_compare,
    __attribute__((unused)) static)
/* clang-format on */

/* ---- digests ----------------------------------------------------------- */

static struct fsm_digest
session_digest(const struct session *s)
{
	uint64_t n[6] = {s->name.lo, s->name.hi, (uint64_t)s->kind, s->since,
	    s->used, s->ack};

	return digest_of_u64(n, 6);
}

static struct fsm_digest
outcome_digest(const struct session *s, const struct outcome *o)
{
	struct fsm_digest data = digest_of(o->data, o->len);
	uint64_t n[7] = {s->name.lo, s->name.hi, o->seq, o->print, o->status,
	    data.lo, data.hi};

	return digest_of_u64(n, 7);
}

static struct fsm_digest
total_digest(const struct sessions *t, struct fsm_digest sum)
{
	uint64_t n[5] = {sum.lo, sum.hi, t->horizon, t->count[SESSION_TIMED],
	    t->count[SESSION_LASTING]};

	return digest_of_u64(n, 5);
}

struct fsm_digest
sessions_digest(const struct sessions *t)
{
	return total_digest(t, t->sum);
}

struct fsm_digest
sessions_recount(const struct sessions *t)
{
	struct fsm_digest sum = {0, 0};
	const struct session *s;
	const struct outcome *o;
	int kind;

	for (kind = 0; kind < SESSION_KINDS; kind++) {
		TAILQ_FOREACH (s, &t->idle[kind], link) {
			digest_add(&sum, session_digest(s));
			TAILQ_FOREACH (o, &s->outcomes, link)
				digest_add(&sum, outcome_digest(s, o));
		}
	}
	return total_digest(t, sum);
}

/* ---- the table --------------------------------------------------------- */

void
sessions_init(struct sessions *t)
{
	int kind;

	memset(t, 0, sizeof(*t));
	RB_INIT(&t->tree);
	for (kind = 0; kind < SESSION_KINDS; kind++)
		TAILQ_INIT(&t->idle[kind]);
	mp_buf_init(&t->reply);
	mp_buf_init(&t->brief);
}

static uint64_t
session_charge(const struct session *s)
{
	return SESSION_CHARGE + (uint64_t)s->id_len;
}

static uint64_t
outcome_charge(const struct outcome *o)
{
	return OUTCOME_CHARGE + (uint64_t)o->len;
}

static void
outcome_drop(struct sessions *t, struct session *s, struct outcome *o)
{
	digest_sub(&t->sum, outcome_digest(s, o));
	t->bytes[s->kind] -= outcome_charge(o);
	s->outcome_count--;
	TAILQ_REMOVE(&s->outcomes, o, link);
	free(o);
}

static void
session_drop(struct sessions *t, struct session *s)
{
	struct outcome *o;

	while ((o = TAILQ_FIRST(&s->outcomes)) != NULL)
		outcome_drop(t, s, o);
	digest_sub(&t->sum, session_digest(s));
	t->bytes[s->kind] -= session_charge(s);
	t->count[s->kind]--;
	TAILQ_REMOVE(&t->idle[s->kind], s, link);
	RB_REMOVE(session_tree, &t->tree, s);
	free(s);
}

void
sessions_release(struct sessions *t)
{
	struct session *s;
	int kind;

	for (kind = 0; kind < SESSION_KINDS; kind++)
		while ((s = TAILQ_FIRST(&t->idle[kind])) != NULL)
			session_drop(t, s);
	mp_buf_release(&t->reply);
	mp_buf_release(&t->brief);
}

/* What it wrote can no longer be told: nobody may begin it anew. */
static void
session_forget(struct sessions *t, struct session *s)
{
	if (s->kind == SESSION_TIMED && s->since >= t->horizon && !MUTANT(100))
		t->horizon = s->since + 1;
	session_drop(t, s);
}

static void
expire(struct sessions *t, uint64_t now)
{
	static const uint64_t idle_ms[SESSION_KINDS] = {
	    SESSION_IDLE_MS, SESSION_LASTING_MS};
	struct session *s;
	int kind;

	for (kind = 0; kind < SESSION_KINDS; kind++)
		while ((s = TAILQ_FIRST(&t->idle[kind])) != NULL &&
		       now - s->used >= idle_ms[kind])
			session_forget(t, s);
}

static bool
is_full(const struct sessions *t, enum session_kind kind)
{
	return t->count[kind] >= SESSION_COUNT_MAX ||
	       t->bytes[kind] >= SESSION_BYTES_MAX;
}

/* A new session, or an outcome more, may cost others that were idle for
 * longer. */
static void
make_room(struct sessions *t, const struct session *keep)
{
	uint32_t max = SESSION_COUNT_MAX - (keep == NULL);
	struct session *s;

	while ((t->count[SESSION_TIMED] > max ||
		   t->bytes[SESSION_TIMED] > SESSION_BYTES_MAX) &&
	       (s = TAILQ_FIRST(&t->idle[SESSION_TIMED])) != keep)
		session_forget(t, s);
}

static struct session *
session_find(struct sessions *t, struct mp_span id)
{
	struct session *s = RB_ROOT(&t->tree);
	size_t len;
	int c;

	while (s != NULL) {
		len = id.len < s->id_len ? id.len : s->id_len;
		c = memcmp(id.p, s->id, len);
		if (c == 0)
			c = (id.len > s->id_len) - (id.len < s->id_len);
		if (c == 0)
			return s;
		s = c < 0 ? RB_LEFT(s, node) : RB_RIGHT(s, node);
	}
	return NULL;
}

struct session *
session_enter(struct sessions *t, enum session_kind kind, struct mp_span id,
    uint64_t since, uint64_t used, uint64_t ack)
{
	struct session *s;

	assert(id.len > 0 && id.len <= SESSION_ID_LEN_MAX);
	s = calloc(1, sizeof(*s) + id.len);
	if (s == NULL)
		return NULL;
	TAILQ_INIT(&s->outcomes);
	s->kind = kind;
	s->since = since;
	s->used = used;
	s->ack = ack;
	s->id_len = (uint8_t)id.len;
	memcpy(s->id, id.p, id.len);
	s->name = digest_of(s->id, s->id_len);
	if (RB_INSERT(session_tree, &t->tree, s) != NULL) {
		free(s);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&t->idle[kind], s, link);
	t->count[kind]++;
	t->bytes[kind] += session_charge(s);
	digest_add(&t->sum, session_digest(s));
	return s;
}

struct outcome *
session_add(struct sessions *t, struct session *s, uint64_t seq, uint64_t print,
    enum wire_status status, struct mp_span data)
{
	struct outcome *at = TAILQ_LAST(&s->outcomes, outcome_list), *o;

	while (at != NULL && at->seq > seq)
		at = TAILQ_PREV(at, outcome_list, link);
	if (at != NULL && at->seq == seq)
		return NULL;
	o = malloc(sizeof(*o) + data.len);
	if (o == NULL)
		return NULL;
	o->seq = seq;
	o->print = print;
	o->status = (uint8_t)status;
	o->len = (uint32_t)data.len;
	if (data.len > 0)
		memcpy(o->data, data.p, data.len);
	if (at == NULL)
		TAILQ_INSERT_HEAD(&s->outcomes, o, link);
	else
		TAILQ_INSERT_AFTER(&s->outcomes, at, o, link);
	s->outcome_count++;
	t->bytes[s->kind] += outcome_charge(o);
	digest_add(&t->sum, outcome_digest(s, o));
	return o;
}

/* ---- a write ----------------------------------------------------------- */

int
session_reply_flag(struct mp_span reply, size_t *at)
{
	struct mp_cur c = mp_cur_span(reply), value;
	struct mp_map m;
	bool said;

	if (mp_read_mapping(&c, &m) < 0 || !mp_done(&c) ||
	    mp_get(&m, "duplicate", &value) < 0)
		return -EPROTO;
	*at = (size_t)(value.p - reply.p);
	return mp_read_bool(&value, &said) == 0 && !said ? 0 : -EPROTO;
}

/* The first outcome once more. */
static enum wire_status
repeat(const struct outcome *o, struct mp_buf *reply, struct wire_error *err)
{
	size_t flag = 0, from;

	if (o->status != WIRE_OK)
		return kvargs_fail(err, (enum wire_status)o->status, "%.*s",
		    (int)o->len, (const char *)o->data);
	if (reply == NULL)
		return WIRE_OK;
	from = reply->len;
	mp_put_raw(reply, o->data, o->len);
	if (!reply->failed &&
	    session_reply_flag(mp_span(o->data, o->len), &flag) == 0)
		reply->data[from + flag] = 0xc3; /* true */
	return WIRE_OK;
}

static void
touch(struct sessions *t, struct session *s, uint64_t now, uint64_t ack)
{
	struct outcome *o;

	digest_sub(&t->sum, session_digest(s));
	s->used = now;
	if (ack > s->ack)
		s->ack = ack;
	digest_add(&t->sum, session_digest(s));
	while ((o = TAILQ_FIRST(&s->outcomes)) != NULL && o->seq < s->ack)
		outcome_drop(t, s, o);
	if (MUTANT(101))
		return;
	TAILQ_REMOVE(&t->idle[s->kind], s, link);
	TAILQ_INSERT_TAIL(&t->idle[s->kind], s, link);
}

/* A session that is not in the table: may it begin? */
static enum wire_status
open_session(struct sessions *t, uint64_t now, const struct kv_args *a,
    struct session **s, struct wire_error *err)
{
	enum session_kind kind =
	    (a->given & KV_SINCE) != 0 ? SESSION_TIMED : SESSION_LASTING;

	if (kind == SESSION_TIMED && (a->since < t->horizon || a->since > now))
		return kvargs_fail(err, WIRE_SESSION,
		    "no such session: what it wrote was forgotten, or it "
		    "claims another beginning");
	if (kind == SESSION_LASTING && is_full(t, kind))
		return kvargs_fail(err, WIRE_BUSY,
		    "too many request ids are remembered: %u", t->count[kind]);
	if (kind == SESSION_TIMED)
		make_room(t, NULL);
	*s = session_enter(t, kind, a->session, a->since, now, a->ack);
	return *s == NULL ? WIRE_BUG : WIRE_OK;
}

static const struct outcome *
outcome_find(const struct session *s, uint64_t seq)
{
	const struct outcome *o;

	/* A new one is behind all others nearly always. */
	TAILQ_FOREACH_REVERSE(o, &s->outcomes, outcome_list, link)
	if (o->seq <= seq)
		return o->seq == seq ? o : NULL;
	return NULL;
}

bool
session_begin(struct sessions *t, uint64_t now, const struct kv_args *a,
    uint64_t print, struct session **session, struct mp_buf *reply,
    struct wire_error *err, enum wire_status *status)
{
	const struct outcome *o;
	struct session *s;

	expire(t, now);
	s = session_find(t, a->session);
	if (s == NULL) {
		*status = open_session(t, now, a, &s, err);
		if (*status == WIRE_BUG)
			kvargs_fail(err, WIRE_BUG, "out of memory");
		if (*status != WIRE_OK)
			return false;
	}
	if (a->seq < s->ack) {
		*status = kvargs_fail(err, WIRE_SESSION,
		    "number %llu of the session was acknowledged",
		    (unsigned long long)a->seq);
		return false;
	}
	o = outcome_find(s, a->seq);
	if (o != NULL && o->print != print) {
		*status = kvargs_fail(err, WIRE_USAGE,
		    "number %llu of the session was another request",
		    (unsigned long long)a->seq);
		return false;
	}
	touch(t, s, now, a->ack);
	if (o != NULL && !MUTANT(102)) {
		*status = repeat(o, reply, err);
		return false;
	}
	if (s->outcome_count >= SESSION_OUTCOMES_MAX) {
		*status = kvargs_fail(err, WIRE_BUSY,
		    "%u outcomes of the session are not acknowledged",
		    s->outcome_count);
		return false;
	}
	*session = s;
	mp_buf_reset(&t->reply);
	return true;
}

/* The reply without its long parts. */
static struct mp_span
shorten(struct sessions *t, struct mp_span reply)
{
	struct mp_cur c = mp_cur_span(reply);
	struct mp_span key, value;
	uint32_t count = 0, i;
	int r;

	mp_buf_reset(&t->brief);
	r = mp_read_map(&c, &count);
	assert(r == 0);
	mp_put_map(&t->brief, count + 1);
	for (i = 0; i < count; i++) {
		r = mp_read_raw(&c, &key) < 0 ? -1 : mp_read_raw(&c, &value);
		assert(r == 0);
		mp_put_raw(&t->brief, key.p, key.len);
		if (value.len <= SHORT_LEN)
			mp_put_raw(&t->brief, value.p, value.len);
		else
			mp_put_nil(&t->brief);
	}
	mp_put_kv_bool(&t->brief, "shortened", true);
	return mp_span(t->brief.data, t->brief.len);
}

bool
session_end(struct sessions *t, struct session *s, const struct kv_args *a,
    uint64_t print, enum wire_status status, const struct wire_error *err)
{
	struct mp_span data = mp_span(t->reply.data, t->reply.len);
	const struct outcome *o;

	if (t->reply.failed)
		return false;
	if (status != WIRE_OK)
		data = mp_span(err->message, strlen(err->message));
	else if (data.len > SESSION_REPLY_MAX)
		data = shorten(t, data);
	o = t->brief.failed ? NULL
			    : session_add(t, s, a->seq, print, status, data);
	if (s->kind == SESSION_TIMED)
		make_room(t, s);
	return o != NULL;
}

/* ---- the invariants ---------------------------------------------------- */

static bool
session_is_sound(const struct session *s)
{
	const struct outcome *o;
	uint64_t next = s->ack;
	uint32_t count = 0;

	TAILQ_FOREACH (o, &s->outcomes, link) {
		if (o->seq < next)
			return false;
		next = o->seq + 1;
		count++;
	}
	return count == s->outcome_count && count <= SESSION_OUTCOMES_MAX;
}

bool
sessions_check(const struct sessions *t)
{
	struct fsm_digest a = sessions_digest(t), b = sessions_recount(t);
	const struct session *s;
	const struct outcome *o;
	uint64_t bytes, used;
	uint32_t count;
	int kind;

	for (kind = 0; kind < SESSION_KINDS; kind++) {
		bytes = used = 0;
		count = 0;
		TAILQ_FOREACH (s, &t->idle[kind], link) {
			if ((int)s->kind != kind || s->used < used ||
			    !session_is_sound(s))
				return false;
			used = s->used;
			count++;
			bytes += session_charge(s);
			TAILQ_FOREACH (o, &s->outcomes, link)
				bytes += outcome_charge(o);
		}
		if (count != t->count[kind] || bytes != t->bytes[kind])
			return false;
	}
	return a.hi == b.hi && a.lo == b.lo;
}
