/*
 * chunk.c - a snapshot on its way between two servers, in bytes.
 */
#include "raftd/chunk.h"

#include <errno.h>
#include <string.h>

#include "raftd/sum.h"

#define NUMBER_MAX (UINT64_C(1) << 53)

void
chunk_put(struct mp_buf *b, const struct chunk *c)
{
	uint8_t head[5] = {0xc6, (uint8_t)(c->data.len >> 24),
	    (uint8_t)(c->data.len >> 16), (uint8_t)(c->data.len >> 8),
	    (uint8_t)c->data.len};

	size_t start = sum_begin(b, "snapshot", 8);

	mp_put_u64(b, c->group);
	mp_put_u64(b, c->term);
	mp_put_u64(b, c->index);
	mp_put_u64(b, c->log_term);
	mp_put_bin(b, c->id, sizeof(c->id));
	mp_put_u64(b, c->total);
	mp_put_u64(b, c->offset);
	sum_put(b, start);
	mp_put_raw(b, head, sizeof(head));
}

static int
read_id(struct mp_cur *cur, uint8_t *id)
{
	struct mp_span s;

	if (mp_read_bytes(cur, &s) < 0 || s.len != SNAP_ID_LEN)
		return -EPROTO;
	memcpy(id, s.p, SNAP_ID_LEN);
	return 0;
}

int
chunk_read(const struct frame *f, struct chunk *out)
{
	struct mp_cur cur = mp_cur_span(f->params);
	uint32_t fields;
	uint64_t group;
	struct chunk c;

	if (mp_read_array(&cur, &fields) < 0 || mp_read_u64(&cur, &group) < 0 ||
	    group > UINT32_MAX || mp_read_u64(&cur, &c.term) < 0 ||
	    mp_read_u64(&cur, &c.index) < 0 ||
	    mp_read_u64(&cur, &c.log_term) < 0 || read_id(&cur, c.id) < 0 ||
	    mp_read_u64(&cur, &c.total) < 0 ||
	    mp_read_u64(&cur, &c.offset) < 0 ||
	    sum_read(&cur, f->params.p) < 0 || mp_read_bytes(&cur, &c.data) < 0)
		return -EPROTO;
	if (c.index == 0 || c.index >= NUMBER_MAX || c.total == 0 ||
	    c.total >= NUMBER_MAX || c.offset > c.total ||
	    c.data.len > CHUNK_LEN_MAX || c.data.len > c.total - c.offset)
		return -EPROTO;
	c.group = (uint32_t)group;
	*out = c;
	return 0;
}

void
chunk_ack_put(struct mp_buf *b, const struct chunk_ack *a)
{
	size_t start = sum_begin(b, "snapshot.ack", 4);

	mp_put_u64(b, a->group);
	mp_put_u64(b, a->index);
	mp_put_bin(b, a->id, sizeof(a->id));
	mp_put_u64(b, a->offset);
	sum_put(b, start);
}

int
chunk_ack_read(const struct frame *f, struct chunk_ack *out)
{
	struct mp_cur cur = mp_cur_span(f->params);
	struct chunk_ack a;
	uint32_t fields;
	uint64_t group;

	if (mp_read_array(&cur, &fields) < 0 || mp_read_u64(&cur, &group) < 0 ||
	    group > UINT32_MAX || mp_read_u64(&cur, &a.index) < 0 ||
	    read_id(&cur, a.id) < 0 || mp_read_u64(&cur, &a.offset) < 0 ||
	    sum_read(&cur, f->params.p) < 0 || a.offset >= NUMBER_MAX)
		return -EPROTO;
	a.group = (uint32_t)group;
	*out = a;
	return 0;
}
