/*
 * fuzz_frame.c - any bytes as a stream of MessagePack-RPC messages.
 *
 * The stream cut into pieces must give the messages that it gives whole, and
 * end the same; a message that is taken apart and put together again must be
 * taken apart into the same parts.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool condition)
{
	if (!condition)
		abort();
}

static void
put_back(struct mp_buf *b, const struct frame *f)
{
	switch (f->type) {
	case FRAME_REQUEST:
		mp_put_array(b, 4);
		mp_put_u64(b, FRAME_REQUEST);
		mp_put_u64(b, f->msgid);
		mp_put_raw(b, f->call.p, f->call.len);
		return;
	case FRAME_NOTIFY:
		mp_put_array(b, 3);
		mp_put_u64(b, FRAME_NOTIFY);
		mp_put_raw(b, f->call.p, f->call.len);
		return;
	case FRAME_RESPONSE:
		frame_put_error(b, f->msgid);
		mp_put_raw(b, f->error.p, f->error.len);
		mp_put_raw(b, f->result.p, f->result.len);
		return;
	}
	abort();
}

static bool
span_same(struct mp_span a, struct mp_span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static void
check_frame(const struct frame *f)
{
	struct mp_cur params = mp_cur_span(f->params);
	struct mp_buf b;
	struct frame g;

	must(f->type == FRAME_RESPONSE || mp_peek(&params) == MP_ARRAY);
	mp_buf_init(&b);
	put_back(&b, f);
	must(!b.failed && mp_scan(b.data, b.len) == 0);
	must(frame_parse(b.data, b.len, &g) == 0);
	must(g.type == f->type && g.msgid == f->msgid);
	must(span_same(g.method, f->method) && span_same(g.params, f->params));
	must(span_same(g.error, f->error) && span_same(g.result, f->result));
	mp_buf_release(&b);
}

/* All messages of the stream, put back together one behind the other, and
 * how it ended. */
static int
drain(const uint8_t *data, size_t size, size_t step, size_t frame_len_max,
    struct mp_buf *all)
{
	struct frame_reader r;
	struct frame f;
	size_t room, n;
	uint8_t *p;
	int ret = 0;

	frame_reader_init(&r, frame_len_max);
	while (size > 0 && ret == 0) {
		p = frame_room(&r, &room);
		must(p != NULL && room > 0);
		n = size < step ? size : step;
		n = n < room ? n : room;
		memcpy(p, data, n);
		frame_filled(&r, n);
		data += n;
		size -= n;
		while ((ret = frame_next(&r, &f)) == 1) {
			check_frame(&f);
			put_back(all, &f);
		}
		must(r.end - r.start <= frame_len_max || ret < 0);
		must(r.cap <= frame_len_max + FRAME_READ_SIZE);
	}
	frame_reader_release(&r);
	return ret;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mp_buf whole, pieces;
	size_t step, frame_len_max;
	int a, b;

	if (size < 2)
		return 0;
	step = 1 + data[0] % 32;
	frame_len_max = 16 + (size_t)data[1] * 8;
	data += 2;
	size -= 2;
	mp_buf_init(&whole);
	mp_buf_init(&pieces);
	a = drain(data, size, size + 1, frame_len_max, &whole);
	b = drain(data, size, step, frame_len_max, &pieces);
	must(a == b && (a == 0 || a == -EPROTO || a == -E2BIG));
	must(whole.len == pieces.len);
	must(whole.len == 0 || memcmp(whole.data, pieces.data, whole.len) == 0);
	mp_buf_release(&whole);
	mp_buf_release(&pieces);
	return 0;
}
