/*
 * kvimage.c - the key-value store's saved form, out and in.
 *
 * The form is described in kvstore.h.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/fsm/kvstore.h"

#define HEADER_LEN 56
#define RECORD_LEN 30
#define TRAILER_LEN 16
#define SECTION_LEN 16
#define SESSION_LEN 32
#define OUTCOME_LEN 24
#define LEASE_LEN 36
#define LOCK_LEN 24
#define PLACE_LEN 48
#define CHUNK_LEN (64 * 1024)

static const uint8_t magic[8] = {'r', 'a', 'f', 't', 'k', 'v', '2', '\n'};
static const uint8_t magic3[8] = {'r', 'a', 'f', 't', 'k', 'v', '3', '\n'};

static void
put16(uint8_t *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static void
put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static void
put64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

static uint16_t
get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static uint32_t
get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint64_t
get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

/* Small pieces are gathered, so that write() sees few. */
struct out {
	int (*write)(void *ctx, const void *, size_t);
	void *ctx;
	uint8_t *chunk;
	size_t len;
};

static int
out_flush(struct out *o)
{
	int r = o->len == 0 ? 0 : o->write(o->ctx, o->chunk, o->len);

	o->len = 0;
	return r;
}

static int
out_put(struct out *o, const void *data, size_t len)
{
	int r;

	if (len > CHUNK_LEN - o->len) {
		r = out_flush(o);
		if (r < 0)
			return r;
	}
	if (len > CHUNK_LEN)
		return o->write(o->ctx, data, len);
	if (len > 0)
		memcpy(o->chunk + o->len, data, len);
	o->len += len;
	return 0;
}

static int
out_record(struct out *o, const struct record *rec)
{
	uint8_t head[RECORD_LEN];
	int r;

	put32(head, rec->value_len);
	put16(head + 4, rec->key_len);
	put64(head + 6, rec->create_rev);
	put64(head + 14, rec->mod_rev);
	put64(head + 22, rec->version);
	r = out_put(o, head, sizeof(head));
	if (r < 0)
		return r;
	return out_put(o, rec->bytes, (size_t)rec->key_len + rec->value_len);
}

enum section {
	SECTION_SESSIONS = 1,
	SECTION_LEASES = 2,
	SECTION_LOCKS = 3,
};

static int
out_section(struct out *o, enum section type, uint64_t items)
{
	uint8_t head[SECTION_LEN] = {0};

	put32(head, type);
	put64(head + 8, items);
	return out_put(o, head, sizeof(head));
}

static int
out_session(struct out *o, const struct session *s)
{
	uint8_t head[SESSION_LEN] = {s->id_len, (uint8_t)s->kind};
	const struct outcome *c;
	int r;

	put32(head + 4, s->outcome_count);
	put64(head + 8, s->since);
	put64(head + 16, s->used);
	put64(head + 24, s->ack);
	r = out_put(o, head, sizeof(head));
	if (r == 0)
		r = out_put(o, s->id, s->id_len);
	TAILQ_FOREACH (c, &s->outcomes, link) {
		uint8_t row[OUTCOME_LEN] = {0};

		put64(row, c->seq);
		put64(row + 8, c->print);
		put32(row + 16, c->len);
		row[20] = c->status;
		if (r == 0)
			r = out_put(o, row, sizeof(row));
		if (r == 0)
			r = out_put(o, c->data, c->len);
	}
	return r;
}

static int
out_sessions(struct out *o, const struct sessions *t)
{
	uint64_t items =
	    1 + (uint64_t)t->count[SESSION_TIMED] + t->count[SESSION_LASTING];
	int r = out_section(o, SECTION_SESSIONS, MUTANT(103) ? 1 : items);
	const struct session *s;
	uint8_t horizon[8];

	put64(horizon, t->horizon);
	if (r == 0)
		r = out_put(o, horizon, sizeof(horizon));
	for (int kind = 0; kind < SESSION_KINDS && !MUTANT(103); kind++)
		TAILQ_FOREACH (s, &t->idle[kind], link)
			if (r == 0)
				r = out_session(o, s);
	return r;
}

static int
out_lease(struct out *o, const struct lease *l)
{
	uint8_t head[LEASE_LEN] = {0}, len[2];
	const struct record *rec = NULL;
	uint64_t size = LEASE_LEN - 4;
	int r;

	while ((rec = lease_key_after(l, rec)) != NULL)
		size += sizeof(len) + rec->key_len;
	put32(head, (uint32_t)size);
	put64(head + 4, l->id);
	put64(head + 12, l->ttl);
	put64(head + 20, l->due);
	head[28] = l->automatic;
	put32(head + 32, l->key_count);
	r = out_put(o, head, sizeof(head));
	while (r == 0 && (rec = lease_key_after(l, rec)) != NULL) {
		put16(len, rec->key_len);
		r = out_put(o, len, sizeof(len));
		if (r == 0)
			r = out_put(o, rec->bytes, rec->key_len);
	}
	return r;
}

static int
out_leases(struct out *o, const struct fsm *f)
{
	int r = out_section(o, SECTION_LEASES, 1 + (uint64_t)f->leases.count);
	const struct lease *l;
	uint8_t first[12];
	uint64_t id = 0;

	put32(first, 8);
	put64(first + 4, f->leases.last_id);
	if (r == 0)
		r = out_put(o, first, sizeof(first));
	for (; r == 0 && (l = lease_next(f, id)) != NULL; id = l->id)
		r = out_lease(o, l);
	return r;
}

static int
out_place(struct out *o, const struct lock_entry *e)
{
	uint8_t head[PLACE_LEN];
	int r;

	put64(head, e->order);
	put64(head + 8, e->lease->id);
	put64(head + 16, e->token);
	put64(head + 24, e->since);
	put64(head + 32, e->pid);
	put32(head + 40, e->slots);
	put16(head + 44, e->host_len);
	put16(head + 46, e->holder_len);
	r = out_put(o, head, sizeof(head));
	return r < 0 ? r
		     : out_put(o, e->data, (size_t)e->host_len + e->holder_len);
}

static int
out_lock(struct out *o, const struct lock *l)
{
	const struct lock_entry_list *lists[] = {&l->holders, &l->waiters};
	uint64_t size = LOCK_LEN - 4 + (uint64_t)l->name_len;
	uint8_t head[LOCK_LEN] = {0};
	const struct lock_entry *e;
	int r, i;

	for (i = 0; i < 2; i++)
		TAILQ_FOREACH (e, lists[i], link)
			size +=
			    PLACE_LEN + (uint64_t)e->host_len + e->holder_len;
	put32(head, (uint32_t)size);
	put16(head + 4, l->name_len);
	put32(head + 8, l->holder_count);
	put32(head + 12, MUTANT(138) ? 0 : l->waiter_count);
	put64(head + 16, l->changed);
	r = out_put(o, head, sizeof(head));
	if (r == 0)
		r = out_put(o, l->name, l->name_len);
	for (i = 0; i < 2; i++)
		TAILQ_FOREACH (e, lists[i], link)
			if (r == 0 && (i == 0 || !MUTANT(138)))
				r = out_place(o, e);
	return r;
}

static int
out_locks(struct out *o, const struct fsm *f)
{
	const struct lock *first = lock_seek(f, mp_span(NULL, 0), false), *l;
	uint64_t items = 1;
	uint8_t head[20];
	int r;

	for (l = first; l != NULL; l = lock_next(f, l))
		items++;
	r = out_section(o, SECTION_LOCKS, items);
	put32(head, 16);
	put64(head + 4, f->locks.changes);
	put64(head + 12, f->locks.last_order);
	if (r == 0)
		r = out_put(o, head, sizeof(head));
	for (l = first; r == 0 && l != NULL; l = lock_next(f, l))
		r = out_lock(o, l);
	return r;
}

int
kvstore_save(const struct fsm *f, int (*write)(void *ctx, const void *, size_t),
    void *ctx)
{
	struct out o = {.write = write, .ctx = ctx};
	struct tree_pos pos = tree_seek(&f->tree, NULL, 0);
	struct fsm_digest digest = kvstore_digest(f);
	uint8_t head[HEADER_LEN], trailer[TRAILER_LEN];
	const struct record *rec;
	int r;

	o.chunk = malloc(CHUNK_LEN);
	if (o.chunk == NULL)
		return -ENOMEM;
	/* Without leases it is what older programs read as well. */
	memcpy(head, kvstore_has_leases(f) ? magic3 : magic, sizeof(magic));
	put32(head + 8, f->group);
	put32(head + 12, 0);
	put64(head + 16, f->rev);
	put64(head + 24, MUTANT(93) ? 0 : f->time);
	put64(head + 32, f->applied);
	put64(head + 40, f->keys);
	put64(head + 48, f->bytes);
	r = out_put(&o, head, sizeof(head));
	while (r == 0 && (rec = tree_next(&pos)) != NULL)
		if (record_is_live(rec))
			r = out_record(&o, rec);
	if (r == 0)
		r = out_sessions(&o, &f->sessions);
	if (r == 0 && kvstore_has_leases(f))
		r = out_leases(&o, f);
	if (r == 0 && kvstore_has_leases(f))
		r = out_locks(&o, f);
	put64(trailer, digest.lo);
	put64(trailer + 8, digest.hi);
	if (r == 0)
		r = out_put(&o, trailer, sizeof(trailer));
	if (r == 0)
		r = out_flush(&o);
	free(o.chunk);
	return r;
}

/* The next record, judged against the one before it. */
static int
load_record(struct fsm *f, int (*read)(void *ctx, void *, size_t), void *ctx,
    const struct record **last)
{
	uint8_t head[RECORD_LEN];
	uint32_t value_len;
	uint16_t key_len;
	struct record *rec;
	int r;

	r = read(ctx, head, sizeof(head));
	if (r < 0)
		return r;
	value_len = get32(head);
	key_len = get16(head + 4);
	if (key_len == 0 || key_len > WIRE_KEY_LEN_MAX ||
	    value_len > WIRE_VALUE_LEN_MAX)
		return -EBADMSG;
	rec = kvstore_record_new(key_len, value_len, 0);
	if (rec == NULL)
		return -ENOMEM;
	rec->create_rev = get64(head + 6);
	rec->mod_rev = get64(head + 14);
	rec->version = get64(head + 22);
	r = read(ctx, rec->bytes, (size_t)key_len + value_len);
	if (r < 0)
		goto out;
	r = -EBADMSG;
	if (rec->create_rev == 0 || rec->create_rev > rec->mod_rev ||
	    rec->mod_rev > f->rev || rec->version == 0)
		goto out;
	if (*last != NULL && tree_compare((*last)->bytes, (*last)->key_len,
				 rec->bytes, rec->key_len) >= 0)
		goto out;
	r = kvstore_enter(f, rec);
	if (r == 0)
		*last = rec;
out:
	if (r < 0)
		free(rec);
	return r;
}

/* Where bytes come from. */
struct in {
	int (*read)(void *ctx, void *, size_t);
	void *ctx;
};

static int
in_get(const struct in *in, void *data, size_t len)
{
	return len == 0 ? 0 : in->read(in->ctx, data, len);
}

static int
in_section(const struct in *in, enum section type, uint64_t *items)
{
	uint8_t head[SECTION_LEN];
	int r = in_get(in, head, sizeof(head));

	if (r < 0)
		return r;
	*items = get64(head + 8);
	return get32(head) == (uint32_t)type && get32(head + 4) == 0 ? 0
								     : -EBADMSG;
}

/* What is kept of an outcome: a reply that can be told again, or text. */
static bool
is_outcome(const uint8_t *row, struct mp_span data)
{
	size_t flag;

	if (row[20] >= WIRE_STATUS_COUNT || row[21] != 0 || row[22] != 0 ||
	    row[23] != 0)
		return false;
	if (row[20] != WIRE_OK)
		return memchr(data.p, 0, data.len) == NULL;
	return mp_scan(data.p, data.len) == 0 &&
	       session_reply_flag(data, &flag) == 0;
}

static int
load_outcome(
    const struct in *in, struct sessions *t, struct session *s, uint64_t *next)
{
	uint8_t row[OUTCOME_LEN], data[2 * SESSION_REPLY_MAX];
	struct mp_span span = mp_span(data, 0);
	uint64_t seq;
	int r = in_get(in, row, sizeof(row));

	if (r < 0)
		return r;
	span.len = get32(row + 16);
	seq = get64(row);
	if (span.len > sizeof(data) || seq < *next || seq > INT64_MAX)
		return -EBADMSG;
	r = in_get(in, data, span.len);
	if (r < 0)
		return r;
	if (!is_outcome(row, span))
		return -EBADMSG;
	*next = seq + 1;
	return session_add(t, s, seq, get64(row + 8), (enum wire_status)row[20],
		   span) == NULL
		   ? -ENOMEM
		   : 0;
}

static int
load_session(
    const struct in *in, struct fsm *f, enum session_kind *kind, uint64_t *used)
{
	uint8_t head[SESSION_LEN], id[SESSION_ID_LEN_MAX];
	struct sessions *t = &f->sessions;
	struct session *s;
	uint32_t count;
	uint64_t next;
	int r = in_get(in, head, sizeof(head));

	if (r < 0)
		return r;
	count = get32(head + 4);
	if (head[0] == 0 || head[0] > SESSION_ID_LEN_MAX ||
	    head[1] >= SESSION_KINDS || head[1] < *kind || head[2] != 0 ||
	    head[3] != 0 || count > SESSION_OUTCOMES_MAX)
		return -EBADMSG;
	if (head[1] > *kind)
		*used = 0;
	*kind = (enum session_kind)head[1];
	if (get64(head + 16) < *used || get64(head + 16) > f->time ||
	    get64(head + 8) > f->time || t->count[*kind] >= SESSION_COUNT_MAX ||
	    (*kind == SESSION_LASTING && get64(head + 8) != 0))
		return -EBADMSG;
	*used = get64(head + 16);
	r = in_get(in, id, head[0]);
	if (r < 0)
		return r;
	next = get64(head + 24);
	s = session_enter(
	    t, *kind, mp_span(id, head[0]), get64(head + 8), *used, next);
	if (s == NULL)
		return -EBADMSG;
	while (r == 0 && count-- > 0)
		r = load_outcome(in, t, s, &next);
	return r;
}

static int
load_sessions(const struct in *in, struct fsm *f)
{
	enum session_kind kind = SESSION_TIMED;
	uint64_t items = 0, used = 0;
	uint8_t horizon[8];
	int r = in_section(in, SECTION_SESSIONS, &items);

	if (r == 0 && items == 0)
		r = -EBADMSG;
	if (r == 0)
		r = in_get(in, horizon, sizeof(horizon));
	if (r == 0)
		f->sessions.horizon = get64(horizon);
	while (r == 0 && --items > 0)
		r = load_session(in, f, &kind, &used);
	return r;
}

/* The length in front of an item, of which so many bytes are counted off. */
static int
in_head(const struct in *in, void *head, size_t len, uint64_t *left)
{
	int r = in_get(in, head, len);

	if (r < 0)
		return r;
	*left = get32(head);
	if (*left < len - 4)
		return -EBADMSG;
	*left -= len - 4;
	return 0;
}

static int
in_counted(const struct in *in, void *data, size_t len, uint64_t *left)
{
	if (*left < len)
		return -EBADMSG;
	*left -= len;
	return in_get(in, data, len);
}

static int
load_lease_keys(const struct in *in, struct fsm *f, struct lease *l,
    uint32_t count, uint64_t *left)
{
	uint8_t key[WIRE_KEY_LEN_MAX], last[WIRE_KEY_LEN_MAX], len[2];
	size_t key_len, last_len = 0;
	int r = 0;

	while (r == 0 && count-- > 0) {
		r = in_counted(in, len, sizeof(len), left);
		if (r < 0)
			return r;
		key_len = get16(len);
		if (key_len == 0 || key_len > sizeof(key))
			return -EBADMSG;
		r = in_counted(in, key, key_len, left);
		if (r < 0)
			return r;
		if (last_len > 0 &&
		    tree_compare(last, last_len, key, key_len) >= 0)
			return -EBADMSG;
		memcpy(last, key, key_len);
		last_len = key_len;
		r = kvstore_enter_lease(f, mp_span(key, key_len), l);
	}
	return r < 0 ? r : *left == 0 ? 0 : -EBADMSG;
}

static int
load_lease(const struct in *in, struct fsm *f, uint64_t *last_id)
{
	uint8_t head[LEASE_LEN];
	struct leases *t = &f->leases;
	uint64_t id, ttl, due, left = 0;
	struct lease *l;
	int r = in_head(in, head, sizeof(head), &left);

	if (r < 0)
		return r;
	id = get64(head + 4);
	ttl = get64(head + 12);
	due = MUTANT(137) ? f->time + ttl : get64(head + 20);
	if (id <= *last_id || id > t->last_id || ttl == 0 ||
	    ttl > LEASE_TTL_MAX_MS || due == UINT64_MAX || head[28] > 1 ||
	    head[29] != 0 || head[30] != 0 || head[31] != 0 ||
	    get32(head + 32) > LEASE_KEYS_MAX || t->count >= LEASE_COUNT_MAX)
		return -EBADMSG;
	*last_id = id;
	l = lease_enter(t, id, ttl, due, head[28] != 0);
	if (l == NULL)
		return -ENOMEM;
	return load_lease_keys(in, f, l, get32(head + 32), &left);
}

static int
load_leases(const struct in *in, struct fsm *f)
{
	uint64_t items = 0, last_id = 0, left = 0;
	uint8_t first[12];
	int r = in_section(in, SECTION_LEASES, &items);

	if (r == 0 && items == 0)
		r = -EBADMSG;
	if (r == 0)
		r = in_head(in, first, sizeof(first), &left);
	if (r < 0)
		return r;
	f->leases.last_id = get64(first + 4);
	if (left != 0 || f->leases.last_id == 0 ||
	    f->leases.last_id > INT64_MAX)
		return -EBADMSG;
	while (r == 0 && --items > 0)
		r = load_lease(in, f, &last_id);
	return r;
}

/* Of a lease in whatever state: one that is due is still here. */
static struct lease *
any_lease(const struct fsm *f, uint64_t id)
{
	const struct lease *l = id == 0 ? NULL : lease_next(f, id - 1);

	return l != NULL && l->id == id ? (struct lease *)(uintptr_t)l : NULL;
}

static int
load_place(const struct in *in, struct fsm *f, struct lock *lock, bool holds,
    uint64_t *left)
{
	uint8_t head[PLACE_LEN];
	uint8_t data[LOCK_HOST_LEN_MAX + LOCK_HOLDER_LEN_MAX];
	struct locks *t = &f->locks;
	struct lock_place p = {.pid = 0};
	struct lease *l;
	int r = in_counted(in, head, sizeof(head), left);

	if (r < 0)
		return r;
	p.pid = get64(head + 32);
	p.slots = get32(head + 40);
	p.host = mp_span(data, get16(head + 44));
	p.holder = mp_span(data + p.host.len, get16(head + 46));
	l = any_lease(f, get64(head + 8));
	if (l == NULL || p.host.len > LOCK_HOST_LEN_MAX ||
	    p.holder.len > LOCK_HOLDER_LEN_MAX || get64(head) == 0 ||
	    get64(head) > t->last_order || get64(head + 16) > f->rev ||
	    (get64(head + 16) != 0) != holds || get64(head + 24) > f->time ||
	    t->places >= LOCK_PLACES_MAX || lock_place_of(lock, l) != NULL)
		return -EBADMSG;
	r = in_counted(in, data, p.host.len + p.holder.len, left);
	if (r < 0)
		return r;
	return lock_enter_place(t, lock, l, &p, get64(head), get64(head + 16),
		   get64(head + 24)) == NULL
		   ? -ENOMEM
		   : 0;
}

static int
load_lock(const struct in *in, struct fsm *f, const struct lock **last)
{
	uint8_t head[LOCK_LEN], name[WIRE_KEY_LEN_MAX];
	uint32_t holders, waiters, i;
	struct lock *lock;
	uint64_t left = 0;
	size_t len;
	int r = in_head(in, head, sizeof(head), &left);

	if (r < 0)
		return r;
	len = get16(head + 4);
	holders = get32(head + 8);
	waiters = get32(head + 12);
	if (len == 0 || len > sizeof(name) || get16(head + 6) != 0 ||
	    get64(head + 16) > f->locks.changes)
		return -EBADMSG;
	r = in_counted(in, name, len, &left);
	if (r < 0)
		return r;
	if (*last != NULL &&
	    tree_compare((*last)->name, (*last)->name_len, name, len) >= 0)
		return -EBADMSG;
	lock = lock_enter(&f->locks, mp_span(name, len), get64(head + 16));
	if (lock == NULL)
		return -ENOMEM;
	*last = lock;
	for (i = 0; r == 0 && i < holders; i++)
		r = load_place(in, f, lock, true, &left);
	for (i = 0; r == 0 && i < waiters; i++)
		r = load_place(in, f, lock, false, &left);
	if (r == 0 && (left != 0 || !lock_is_sound(lock)))
		r = -EBADMSG;
	return r;
}

/* An automatic lease holds something. */
static bool
leases_hold(const struct fsm *f)
{
	const struct lease *l;
	uint64_t id = 0;

	for (; (l = lease_next(f, id)) != NULL; id = l->id)
		if (l->automatic && l->key_count == 0 &&
		    TAILQ_EMPTY(&l->places))
			return false;
	return true;
}

static int
load_locks(const struct in *in, struct fsm *f)
{
	const struct lock *last = NULL;
	uint64_t items = 0, left = 0;
	uint8_t first[20];
	int r = in_section(in, SECTION_LOCKS, &items);

	if (r == 0 && items == 0)
		r = -EBADMSG;
	if (r == 0)
		r = in_head(in, first, sizeof(first), &left);
	if (r < 0)
		return r;
	if (left != 0)
		return -EBADMSG;
	f->locks.changes = get64(first + 4);
	f->locks.last_order = get64(first + 12);
	while (r == 0 && --items > 0)
		r = load_lock(in, f, &last);
	return r < 0 ? r : leases_hold(f) ? 0 : -EBADMSG;
}

int
kvstore_load(struct fsm *f, int (*read)(void *ctx, void *, size_t), void *ctx)
{
	uint8_t head[HEADER_LEN], trailer[TRAILER_LEN];
	const struct record *last = NULL;
	struct fsm_digest digest;
	uint64_t keys, i;
	bool is3;
	int r;

	assert(f->tree.count == 0 && f->rev == 0);
	r = read(ctx, head, sizeof(head));
	if (r < 0)
		return r;
	is3 = memcmp(head, magic3, sizeof(magic3)) == 0;
	if ((!is3 && memcmp(head, magic, sizeof(magic)) != 0) ||
	    get32(head + 8) != f->group || get32(head + 12) != 0)
		return -EBADMSG;
	if (get64(head + 16) > INT64_MAX)
		return -EBADMSG;
	f->rev = f->floor = get64(head + 16);
	f->time = get64(head + 24);
	f->applied = MUTANT(99) ? 0 : get64(head + 32);
	keys = get64(head + 40);
	for (i = 0; r == 0 && i < keys; i++)
		r = load_record(f, read, ctx, &last);
	if (r == 0)
		r = load_sessions(&(struct in){read, ctx}, f);
	if (r == 0 && is3)
		r = load_leases(&(struct in){read, ctx}, f);
	if (r == 0 && is3)
		r = load_locks(&(struct in){read, ctx}, f);
	if (r == 0)
		r = read(ctx, trailer, sizeof(trailer));
	digest = kvstore_digest(f);
	if (r == 0 &&
	    (f->bytes != get64(head + 48) || digest.lo != get64(trailer) ||
		digest.hi != get64(trailer + 8)))
		r = -EBADMSG;
	if (r < 0)
		kvstore_reset(f);
	return r;
}
