/*
 * frame.c - MessagePack-RPC messages out of a byte stream, and envelopes.
 */
#include "raftctl/frame.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* An empty buffer that grew past this for one large message is given back. */
#define FRAME_CAP_KEEP_MAX (1024 * 1024)

void
frame_reader_init(struct frame_reader *r, size_t frame_len_max)
{
	memset(r, 0, sizeof(*r));
	r->frame_len_max = frame_len_max;
	mp_scan_init(&r->scan, frame_len_max, 0);
}

void
frame_reader_release(struct frame_reader *r)
{
	free(r->data);
	frame_reader_init(r, r->frame_len_max);
}

uint8_t *
frame_room(struct frame_reader *r, size_t *room)
{
	size_t cap_max, cap;
	uint8_t *p;

	/* A whole message and the read that brings its last byte. */
	if (__builtin_add_overflow(
		r->frame_len_max, (size_t)FRAME_READ_SIZE, &cap_max))
		cap_max = SIZE_MAX;
	if (r->start == r->end) {
		r->start = r->end = 0;
		if (r->cap > FRAME_CAP_KEEP_MAX) {
			free(r->data);
			r->data = NULL;
			r->cap = 0;
		}
	}
	/* At most once for a message: from then on it stands at 0. */
	if (r->start > 0 && r->cap - r->end < FRAME_READ_SIZE) {
		memmove(r->data, r->data + r->start, r->end - r->start);
		r->end -= r->start;
		r->start = 0;
	}
	if (r->cap - r->end < FRAME_READ_SIZE && r->cap < cap_max) {
		cap = r->cap == 0 ? FRAME_READ_SIZE : r->cap * 2;
		if (cap > cap_max)
			cap = cap_max;
		p = realloc(r->data, cap);
		if (p == NULL)
			return NULL;
		r->data = p;
		r->cap = cap;
	}
	if (r->cap == r->end)
		return NULL;
	*room = r->cap - r->end;
	return r->data + r->end;
}

void
frame_filled(struct frame_reader *r, size_t len)
{
	assert(len <= r->cap - r->end);
	r->end += len;
}

int
frame_next(struct frame_reader *r, struct frame *f)
{
	const uint8_t *p;
	size_t avail = r->end - r->start, len = 0;
	int ret;

	if (avail == 0)
		return 0;
	p = r->data + r->start;
	/* No message begins with anything but an array: say so at once,
	 * not after waiting for the end of whatever it is. */
	if ((p[0] & 0xf0) != 0x90 && p[0] != 0xdc && p[0] != 0xdd)
		return -EPROTO;
	ret = mp_scan_feed(&r->scan, p, avail, &len);
	if (ret <= 0)
		return ret;
	ret = frame_parse_scanned(p, len, f);
	if (ret < 0)
		return ret;
	r->start += len;
	mp_scan_init(&r->scan, r->frame_len_max, 0);
	return 1;
}

/*
 * The last value of a message that was scanned whole is all that is left of
 * it; in other bytes its end must be found.
 */
static int
read_last(struct mp_cur *c, bool scanned, struct mp_span *s)
{
	if (!scanned)
		return mp_read_raw(c, s);
	if (mp_done(c))
		return -EPROTO;
	*s = mp_span(c->p, (size_t)(c->end - c->p));
	c->p = c->end;
	return 0;
}

/* method and params, the rest of a request and of a notification */
static int
parse_call(struct mp_cur *c, bool scanned, struct frame *f)
{
	const uint8_t *p = c->p;

	if (mp_read_bytes(c, &f->method) < 0 || mp_peek(c) != MP_ARRAY ||
	    read_last(c, scanned, &f->params) < 0)
		return -EPROTO;
	f->call = mp_span(p, (size_t)(c->p - p));
	return 0;
}

static int
parse(const uint8_t *data, size_t len, bool scanned, struct frame *out)
{
	struct mp_cur c = mp_cur(data, len);
	struct frame f = {0};
	uint64_t type;
	uint32_t count;

	if (mp_read_array(&c, &count) < 0 || mp_read_u64(&c, &type) < 0)
		return -EPROTO;
	if (type == FRAME_REQUEST && count == 4) {
		if (mp_read_u64(&c, &f.msgid) < 0 ||
		    parse_call(&c, scanned, &f) < 0)
			return -EPROTO;
	} else if (type == FRAME_RESPONSE && count == 4) {
		if (mp_read_u64(&c, &f.msgid) < 0 ||
		    mp_read_raw(&c, &f.error) < 0 ||
		    read_last(&c, scanned, &f.result) < 0)
			return -EPROTO;
	} else if (type == FRAME_NOTIFY && count == 3) {
		if (parse_call(&c, scanned, &f) < 0)
			return -EPROTO;
	} else
		return -EPROTO;
	if (!mp_done(&c))
		return -EPROTO;
	f.type = (enum frame_type)type;
	*out = f;
	return 0;
}

int
frame_parse(const uint8_t *data, size_t len, struct frame *out)
{
	return parse(data, len, false, out);
}

int
frame_parse_scanned(const uint8_t *data, size_t len, struct frame *out)
{
	return parse(data, len, true, out);
}

void
frame_put_request(struct mp_buf *b, uint32_t msgid, const char *method)
{
	mp_put_array(b, 4);
	mp_put_u64(b, FRAME_REQUEST);
	mp_put_u64(b, msgid);
	mp_put_str(b, method);
}

void
frame_put_notify(struct mp_buf *b, const char *method)
{
	mp_put_array(b, 3);
	mp_put_u64(b, FRAME_NOTIFY);
	mp_put_str(b, method);
}

void
frame_put_ok(struct mp_buf *b, uint64_t msgid)
{
	mp_put_array(b, 4);
	mp_put_u64(b, FRAME_RESPONSE);
	mp_put_u64(b, msgid);
	mp_put_nil(b);
}

void
frame_put_error(struct mp_buf *b, uint64_t msgid)
{
	mp_put_array(b, 4);
	mp_put_u64(b, FRAME_RESPONSE);
	mp_put_u64(b, msgid);
}
