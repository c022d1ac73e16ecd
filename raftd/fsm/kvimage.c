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
#define CHUNK_LEN (64 * 1024)

static const uint8_t magic[8] = {'r', 'a', 'f', 't', 'k', 'v', '2', '\n'};

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
	memcpy(head, magic, sizeof(magic));
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
	rec = kvstore_record_new(key_len, value_len, false);
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

int
kvstore_load(struct fsm *f, int (*read)(void *ctx, void *, size_t), void *ctx)
{
	uint8_t head[HEADER_LEN], trailer[TRAILER_LEN];
	const struct record *last = NULL;
	struct fsm_digest digest;
	uint64_t keys, i;
	int r;

	assert(f->tree.count == 0 && f->rev == 0);
	r = read(ctx, head, sizeof(head));
	if (r < 0)
		return r;
	if (memcmp(head, magic, sizeof(magic)) != 0 ||
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
