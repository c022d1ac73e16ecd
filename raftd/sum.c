/*
 * sum.c - the checksum of what peers say to each other.
 */
#include "raftd/sum.h"

#include <errno.h>

#include "raftwal/crc32c.h"

#define SUM_LEN 5 /* uint32, always in its full width */

size_t
sum_begin(struct mp_buf *b, const char *method, uint32_t params)
{
	size_t start;

	frame_put_notify(b, method);
	start = b->len;
	mp_put_array(b, params + 1);
	return start;
}

void
sum_put(struct mp_buf *b, size_t start)
{
	uint32_t sum;
	uint8_t *p;

	if (mp_buf_reserve(b, SUM_LEN) == NULL)
		return;
	sum = crc32c(0, b->data + start, b->len - start);
	p = b->data + b->len;
	p[0] = 0xce;
	p[1] = (uint8_t)(sum >> 24);
	p[2] = (uint8_t)(sum >> 16);
	p[3] = (uint8_t)(sum >> 8);
	p[4] = (uint8_t)sum;
	b->len += SUM_LEN;
}

int
sum_read(struct mp_cur *cur, const uint8_t *start)
{
	const uint8_t *p = cur->p;
	uint32_t sum;

	if (cur->end - p < SUM_LEN || p[0] != 0xce)
		return -EPROTO;
	sum = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 |
	      (uint32_t)p[3] << 8 | p[4];
	if (sum != crc32c(0, start, (size_t)(p - start)) && !MUTANT(186))
		return -EPROTO;
	cur->p += SUM_LEN;
	return 0;
}

int
sum_check(struct mp_span value)
{
	struct mp_cur cur;

	if (value.len < SUM_LEN)
		return -EPROTO;
	cur = mp_cur(value.p + value.len - SUM_LEN, SUM_LEN);
	return sum_read(&cur, value.p);
}
