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
#define CHUNK_LEN (64 * 1024)

static const uint8_t magic[8] = {'r', 'a', 'f', 't', 'k', 'v', '1', '\n'};

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
