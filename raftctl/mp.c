/*
 * mp.c - bounded MessagePack: scanning, reading in place, packing.
 */
#include "raftctl/mp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The first bytes of a value: what it is, before its contents. */
struct head {
	enum mp_type type;
	size_t len;	/* of the head itself */
	uint64_t value; /* integer, bits of a float, length, count */
};

static uint64_t
load_be(const uint8_t *p, size_t len)
{
	uint64_t v = 0;

	for (size_t i = 0; i < len; i++)
		v = v << 8 | p[i];
	return v;
}

/* The heads that begin with 0xc0..0xdf: type and size of what follows.  In
 * this table MP_INT is a signed integer of either sign. */
static const struct {
	uint8_t type;
	uint8_t extra;
} heads[32] = {
    {MP_NIL, 0},
    {MP_INVALID, 0},
    {MP_BOOL, 0},
    {MP_BOOL, 0},
    {MP_BIN, 1},
    {MP_BIN, 2},
    {MP_BIN, 4},
    {MP_INVALID, 0}, /* ext 8, 16, 32 */
    {MP_INVALID, 0},
    {MP_INVALID, 0},
    {MP_FLOAT, 4},
    {MP_FLOAT, 8},
    {MP_UINT, 1},
    {MP_UINT, 2},
    {MP_UINT, 4},
    {MP_UINT, 8},
    {MP_INT, 1},
    {MP_INT, 2},
    {MP_INT, 4},
    {MP_INT, 8},
    {MP_INVALID, 0}, /* fixext 1, 2, 4, 8, 16 */
    {MP_INVALID, 0},
    {MP_INVALID, 0},
    {MP_INVALID, 0},
    {MP_INVALID, 0},
    {MP_STR, 1},
    {MP_STR, 2},
    {MP_STR, 4},
    {MP_ARRAY, 2},
    {MP_ARRAY, 4},
    {MP_MAP, 2},
    {MP_MAP, 4},
};

static uint64_t
sign_extend(uint64_t v, size_t len)
{
	uint64_t sign = (uint64_t)1 << (8 * len - 1);

	return (v ^ sign) - sign;
}

/* 1: *h is read.  0: bytes are missing.  -EPROTO: no value begins so. */
static inline int
head_read(const uint8_t *p, size_t len, struct head *h)
{
	uint8_t b;
	size_t extra;

	if (len == 0)
		return 0;
	b = p[0];
	h->len = 1;
	if (b < 0x80) {
		h->type = MP_UINT;
		h->value = b;
	} else if (b < 0x90) {
		h->type = MP_MAP;
		h->value = b & 0x0f;
	} else if (b < 0xa0) {
		h->type = MP_ARRAY;
		h->value = b & 0x0f;
	} else if (b < 0xc0) {
		h->type = MP_STR;
		h->value = b & 0x1f;
	} else if (b >= 0xe0) {
		h->type = MP_INT;
		h->value = sign_extend(b, 1);
	} else {
		h->type = (enum mp_type)heads[b - 0xc0].type;
		extra = heads[b - 0xc0].extra;
		if (h->type == MP_INVALID)
			return -EPROTO;
		if (len - 1 < extra)
			return 0;
		h->len += extra;
		h->value = extra == 0 ? b & 1 : load_be(p + 1, extra);
		if (h->type == MP_INT) {
			h->value = sign_extend(h->value, extra);
			if (h->value <= INT64_MAX)
				h->type = MP_UINT;
		}
	}
	return 1;
}

/* ---- scanning --------------------------------------------------------- */

/* Inside this file -EMSGSIZE says that len_max was passed, so that a value
 * cut short is told from one that is too much. */

void
mp_scan_init(struct mp_scan *s, size_t len_max, uint32_t objects_max)
{
	memset(s, 0, sizeof(*s));
	s->len_max = len_max;
	s->objects_max = objects_max == 0 ? MP_OBJECTS_MAX : objects_max;
}

/* A container opens: each of its objects takes a byte at least. */
static int
scan_open(struct mp_scan *s, uint64_t count)
{
	if (s->depth == MP_DEPTH_MAX)
		return -E2BIG;
	if (count > s->len_max - s->pos)
		return -EMSGSIZE;
	if (count > s->objects_max - s->objects)
		return -E2BIG;
	s->left[s->depth++] = (uint32_t)count;
	return 1;
}

/* An object is complete, and so may be the containers that it ends. */
static void
scan_close(struct mp_scan *s)
{
	while (s->depth > 0) {
		if (s->left[s->depth - 1] > 0)
			s->left[s->depth - 1]--;
		if (s->left[s->depth - 1] > 0)
			return;
		s->depth--;
	}
}

/* Judge one head.  1: went on.  0: bytes are missing.  <0: refused. */
static int
scan_object(struct mp_scan *s, const uint8_t *data, size_t len)
{
	struct head h;
	uint64_t count;
	int r;

	r = head_read(data + s->pos, len - s->pos, &h);
	if (r < 0)
		return r;
	if (r == 0)
		return len < s->len_max ? 0 : -EMSGSIZE;
	if (s->objects == s->objects_max)
		return -E2BIG;
	s->objects++;
	s->pos += h.len;
	if (h.type == MP_ARRAY || h.type == MP_MAP) {
		count = h.type == MP_MAP ? h.value * 2 : h.value;
		r = scan_open(s, count);
		if (r < 0)
			return r;
		if (count > 0)
			return 1;
		s->depth--;
	} else if (h.type == MP_STR || h.type == MP_BIN) {
		if (h.value > s->len_max - s->pos)
			return -EMSGSIZE;
		s->pos += (size_t)h.value;
	}
	scan_close(s);
	return 1;
}

/*
 * What most objects are: integers of one byte, by which none of the open
 * containers ends.  Says no more of them than scan_object() would.
 */
static void
scan_small(struct mp_scan *s, const uint8_t *data, size_t len)
{
	size_t pos = s->pos, n = 0, most;

	if (s->depth == 0 || s->left[s->depth - 1] < 2)
		return;
	most = s->left[s->depth - 1] - 1;
	if (most > s->objects_max - s->objects)
		most = s->objects_max - s->objects;
	while (n < most && pos < len && (data[pos] < 0x80 || data[pos] >= 0xe0))
		pos++, n++;
	s->pos = pos;
	s->objects += (uint32_t)n;
	s->left[s->depth - 1] -= (uint32_t)n;
}

static int
scan_run(struct mp_scan *s, const uint8_t *data, size_t len, size_t *value_len)
{
	int r;

	/* What stands behind the limit has no say in how the scan ends. */
	if (len > s->len_max)
		len = s->len_max;
	for (;;) {
		if (s->pos > len) /* inside a str or bin */
			return 0;
		if (s->objects > 0 && s->depth == 0) {
			*value_len = s->pos;
			return 1;
		}
		r = scan_object(s, data, len);
		if (r <= 0)
			return r;
		if (s->pos < len)
			scan_small(s, data, len);
	}
}

int
mp_scan_feed(
    struct mp_scan *s, const uint8_t *data, size_t len, size_t *value_len)
{
	int r;

	r = scan_run(s, data, len, value_len);
	return r == -EMSGSIZE ? -E2BIG : r;
}

int
mp_scan(const uint8_t *data, size_t len)
{
	struct mp_scan s;
	size_t value_len = 0;
	int r;

	mp_scan_init(&s, len, 0);
	r = scan_run(&s, data, len, &value_len);
	if (r == -E2BIG)
		return r;
	return r == 1 && value_len == len ? 0 : -EPROTO;
}

/* ---- reading ---------------------------------------------------------- */

struct mp_cur
mp_cur(const void *data, size_t len)
{
	const uint8_t *p = data;

	/* NULL + 0 is undefined in C */
	return (struct mp_cur){p, len == 0 ? p : p + len};
}

/* The head at the cursor; 0 or -EPROTO. */
static int
cur_head(const struct mp_cur *c, struct head *h)
{
	size_t len = (size_t)(c->end - c->p);

	if (head_read(c->p, len, h) != 1)
		return -EPROTO;
	if ((h->type == MP_STR || h->type == MP_BIN) && h->value > len - h->len)
		return -EPROTO;
	return 0;
}

enum mp_type
mp_peek(const struct mp_cur *c)
{
	struct head h;

	return cur_head(c, &h) < 0 ? MP_INVALID : h.type;
}

bool
mp_done(const struct mp_cur *c)
{
	return c->p == c->end;
}

int
mp_read_nil(struct mp_cur *c)
{
	struct head h;

	if (cur_head(c, &h) < 0 || h.type != MP_NIL)
		return -EPROTO;
	c->p += h.len;
	return 0;
}

int
mp_read_bool(struct mp_cur *c, bool *v)
{
	struct head h;

	if (cur_head(c, &h) < 0 || h.type != MP_BOOL)
		return -EPROTO;
	*v = h.value != 0;
	c->p += h.len;
	return 0;
}

int
mp_read_u64(struct mp_cur *c, uint64_t *v)
{
	struct head h;

	if (cur_head(c, &h) < 0 || h.type != MP_UINT)
		return -EPROTO;
	*v = h.value;
	c->p += h.len;
	return 0;
}

int
mp_read_i64(struct mp_cur *c, int64_t *v)
{
	struct head h;

	if (cur_head(c, &h) < 0 || (h.type != MP_UINT && h.type != MP_INT))
		return -EPROTO;
	if (h.type == MP_UINT && h.value > INT64_MAX)
		return -EPROTO;
	*v = (int64_t)h.value;
	c->p += h.len;
	return 0;
}

int
mp_read_double(struct mp_cur *c, double *v)
{
	struct head h;
	uint32_t bits;
	float f;

	if (cur_head(c, &h) < 0)
		return -EPROTO;
	switch (h.type) {
	case MP_UINT:
		*v = (double)h.value;
		break;
	case MP_INT:
		*v = (double)(int64_t)h.value;
		break;
	case MP_FLOAT:
		if (h.len == 1 + sizeof(f)) {
			bits = (uint32_t)h.value;
			memcpy(&f, &bits, sizeof(f));
			*v = (double)f;
		} else
			memcpy(v, &h.value, sizeof(*v));
		break;
	default:
		return -EPROTO;
	}
	c->p += h.len;
	return 0;
}

int
mp_read_bytes(struct mp_cur *c, struct mp_span *s)
{
	struct head h;

	if (cur_head(c, &h) < 0 || (h.type != MP_STR && h.type != MP_BIN))
		return -EPROTO;
	*s = mp_span(c->p + h.len, (size_t)h.value);
	c->p += h.len + (size_t)h.value;
	return 0;
}

static int
read_count(struct mp_cur *c, enum mp_type type, uint32_t *count)
{
	struct head h;

	if (cur_head(c, &h) < 0 || h.type != type)
		return -EPROTO;
	*count = (uint32_t)h.value;
	c->p += h.len;
	return 0;
}

int
mp_read_array(struct mp_cur *c, uint32_t *count)
{
	return read_count(c, MP_ARRAY, count);
}

int
mp_read_map(struct mp_cur *c, uint32_t *count)
{
	return read_count(c, MP_MAP, count);
}

int
mp_skip(struct mp_cur *c)
{
	struct mp_cur at = *c;
	struct head h;
	uint64_t pending = 1;

	/* Each turn takes a byte at least: the loop ends with the bytes. */
	while (pending > 0) {
		if (cur_head(&at, &h) < 0)
			return -EPROTO;
		at.p += h.len;
		pending--;
		if (h.type == MP_ARRAY)
			pending += h.value;
		else if (h.type == MP_MAP)
			pending += h.value * 2;
		else if (h.type == MP_STR || h.type == MP_BIN)
			at.p += (size_t)h.value;
	}
	*c = at;
	return 0;
}

int
mp_read_raw(struct mp_cur *c, struct mp_span *s)
{
	const uint8_t *p = c->p;

	if (mp_skip(c) < 0)
		return -EPROTO;
	*s = mp_span(p, (size_t)(c->p - p));
	return 0;
}

bool
mp_span_eq(struct mp_span s, const char *str)
{
	return s.len == strlen(str) && memcmp(s.p, str, s.len) == 0;
}

int
mp_read_mapping(struct mp_cur *c, struct mp_map *m)
{
	struct mp_cur at = *c, body;
	uint32_t count;

	if (mp_read_map(&at, &count) < 0)
		return -EPROTO;
	body = at;
	for (uint64_t i = 0; i < (uint64_t)count * 2; i++)
		if (mp_skip(&at) < 0)
			return -EPROTO;
	body.end = at.p;
	m->body = body;
	m->count = count;
	*c = at;
	return 0;
}

int
mp_get(const struct mp_map *m, const char *key, struct mp_cur *value)
{
	struct mp_cur at = m->body;
	struct mp_span k, v, found = {NULL, 0};

	for (uint32_t i = 0; i < m->count; i++) {
		k = mp_span(NULL, 0);
		if (mp_read_bytes(&at, &k) < 0 && mp_skip(&at) < 0)
			return -EPROTO;
		if (mp_read_raw(&at, &v) < 0)
			return -EPROTO;
		if (k.p == NULL || !mp_span_eq(k, key))
			continue;
		if (found.p != NULL)
			return -EPROTO;
		found = v;
	}
	if (found.p == NULL)
		return -ENOENT;
	*value = mp_cur_span(found);
	return 0;
}

int
mp_get_u64(const struct mp_map *m, const char *key, uint64_t *v)
{
	struct mp_cur c;
	int r;

	r = mp_get(m, key, &c);
	return r < 0 ? r : mp_read_u64(&c, v);
}

int
mp_get_bool(const struct mp_map *m, const char *key, bool *v)
{
	struct mp_cur c;
	int r;

	r = mp_get(m, key, &c);
	return r < 0 ? r : mp_read_bool(&c, v);
}

int
mp_get_bytes(
    const struct mp_map *m, const char *key, struct mp_span *v, size_t len_max)
{
	struct mp_cur c;
	struct mp_span s;
	int r;

	r = mp_get(m, key, &c);
	if (r == 0)
		r = mp_read_bytes(&c, &s);
	if (r < 0)
		return r;
	if (s.len > len_max)
		return -E2BIG;
	*v = s;
	return 0;
}

/* 1: there is a value.  0: absent or nil.  <0: the map is no map. */
static int
opt(const struct mp_map *m, const char *key, struct mp_cur *c)
{
	int r;

	r = mp_get(m, key, c);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	return mp_peek(c) != MP_NIL;
}

int
mp_opt_u64(const struct mp_map *m, const char *key, uint64_t *v)
{
	struct mp_cur c;
	int r;

	r = opt(m, key, &c);
	return r <= 0 ? r : mp_read_u64(&c, v);
}

int
mp_opt_bool(const struct mp_map *m, const char *key, bool *v)
{
	struct mp_cur c;
	int r;

	r = opt(m, key, &c);
	return r <= 0 ? r : mp_read_bool(&c, v);
}

int
mp_opt_bytes(
    const struct mp_map *m, const char *key, struct mp_span *v, size_t len_max)
{
	struct mp_cur c;
	int r;

	r = opt(m, key, &c);
	return r <= 0 ? r : mp_get_bytes(m, key, v, len_max);
}

int
mp_tree(
    const uint8_t *data, size_t len, msgpack_zone *zone, msgpack_object *tree)
{
	msgpack_object o;
	size_t off = 0;
	int r;

	r = mp_scan(data, len);
	if (r < 0)
		return r;
	/* msgpack-c gives an extra byte at the end its own answer */
	switch (msgpack_unpack((const char *)data, len, &off, zone, &o)) {
	case MSGPACK_UNPACK_SUCCESS:
		*tree = o;
		return 0;
	case MSGPACK_UNPACK_NOMEM_ERROR:
		return -ENOMEM;
	default:
		return -EPROTO;
	}
}

/* ---- writing ---------------------------------------------------------- */

#define MP_BUF_CAP_MIN 256

void
mp_buf_init(struct mp_buf *b)
{
	memset(b, 0, sizeof(*b));
}

void
mp_buf_release(struct mp_buf *b)
{
	free(b->data);
	mp_buf_init(b);
}

void
mp_buf_reset(struct mp_buf *b)
{
	b->len = 0;
	b->failed = false;
}

uint8_t *
mp_buf_reserve(struct mp_buf *b, size_t len)
{
	size_t need, cap = b->cap;
	uint8_t *p;

	if (b->failed)
		return NULL;
	if (b->data != NULL && len <= b->cap - b->len)
		return b->data + b->len;
	if (__builtin_add_overflow(b->len, len, &need) || need > SIZE_MAX / 2)
		goto fail;
	if (cap < MP_BUF_CAP_MIN)
		cap = MP_BUF_CAP_MIN;
	while (cap < need)
		cap *= 2;
	p = realloc(b->data, cap);
	if (p == NULL)
		goto fail;
	b->data = p;
	b->cap = cap;
	return p + b->len;
fail:
	b->failed = true;
	return NULL;
}

static int
buf_write(void *ctx, const char *data, size_t len)
{
	struct mp_buf *b = ctx;
	uint8_t *p;

	p = mp_buf_reserve(b, len);
	if (p == NULL)
		return -1;
	memcpy(p, data, len);
	b->len += len;
	return 0;
}

/* Whether a write worked stands in b->failed. */
static msgpack_packer
packer(struct mp_buf *b)
{
	msgpack_packer pk;

	msgpack_packer_init(&pk, b, buf_write);
	return pk;
}

void
mp_put_nil(struct mp_buf *b)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_nil(&pk);
}

void
mp_put_bool(struct mp_buf *b, bool v)
{
	msgpack_packer pk = packer(b);

	if (v)
		msgpack_pack_true(&pk);
	else
		msgpack_pack_false(&pk);
}

void
mp_put_u64(struct mp_buf *b, uint64_t v)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_uint64(&pk, v);
}

void
mp_put_i64(struct mp_buf *b, int64_t v)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_int64(&pk, v);
}

void
mp_put_double(struct mp_buf *b, double v)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_double(&pk, v);
}

void
mp_put_str(struct mp_buf *b, const char *s)
{
	mp_put_strn(b, s, strlen(s));
}

void
mp_put_strn(struct mp_buf *b, const void *p, size_t len)
{
	msgpack_packer pk = packer(b);

	if (len > UINT32_MAX) {
		b->failed = true;
		return;
	}
	msgpack_pack_str(&pk, len);
	if (len > 0)
		msgpack_pack_str_body(&pk, p, len);
}

void
mp_put_bin(struct mp_buf *b, const void *p, size_t len)
{
	msgpack_packer pk = packer(b);

	if (len > UINT32_MAX) {
		b->failed = true;
		return;
	}
	msgpack_pack_bin(&pk, len);
	if (len > 0)
		msgpack_pack_bin_body(&pk, p, len);
}

void
mp_put_array(struct mp_buf *b, uint32_t count)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_array(&pk, count);
}

void
mp_put_map(struct mp_buf *b, uint32_t count)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_map(&pk, count);
}

void
mp_put_raw(struct mp_buf *b, const void *p, size_t len)
{
	if (len > 0)
		(void)buf_write(b, p, len);
}

void
mp_put_kv_u64(struct mp_buf *b, const char *key, uint64_t v)
{
	mp_put_str(b, key);
	mp_put_u64(b, v);
}

void
mp_put_kv_bool(struct mp_buf *b, const char *key, bool v)
{
	mp_put_str(b, key);
	mp_put_bool(b, v);
}

void
mp_put_kv_str(struct mp_buf *b, const char *key, const char *v)
{
	mp_put_str(b, key);
	mp_put_str(b, v);
}

void
mp_put_kv_bin(struct mp_buf *b, const char *key, const void *p, size_t len)
{
	mp_put_str(b, key);
	mp_put_bin(b, p, len);
}

void
mp_put_kv_nil(struct mp_buf *b, const char *key)
{
	mp_put_str(b, key);
	mp_put_nil(b);
}
