/*
 * record.c - one record: header, payload, padding, checksum.
 */
#include "raftwal/record.h"

#include <assert.h>
#include <string.h>

#include "raftwal/bytes.h"
#include "raftwal/crc32c.h"

void
record_seal(uint8_t *dst, const struct record *r)
{
	size_t end = RECORD_HEADER_LEN + (size_t)r->len;

	assert(r->len <= RECORD_PAYLOAD_MAX);
	assert(r->kind != RECORD_INVALID);
	put_le32(dst + 4, r->len);
	put_le32(dst + 8, r->group);
	put_le32(dst + 12, (uint32_t)r->kind);
	put_le64(dst + 16, r->index);
	put_le64(dst + 24, r->term);
	put_le64(dst + 32, r->stamp);
	memset(dst + end, 0, record_size(r->len) - end);
	put_le32(dst, crc32c(0, dst + 4, end - 4));
}

static bool
kind_is_known(uint32_t kind)
{
	switch (kind) {
	case RECORD_NOOP:
	case RECORD_COMMAND:
	case RECORD_CONFIG:
	case RECORD_STATE:
	case RECORD_PEER:
	case RECORD_DAMAGE:
	case RECORD_COMMIT:
	case RECORD_START:
	case RECORD_RESET:
		return true;
	default:
		return false;
	}
}

size_t
record_read(const uint8_t *data, size_t avail, struct record *r)
{
	uint32_t len, kind;
	size_t end, size;

	if (avail < RECORD_HEADER_LEN)
		return 0;
	len = get_le32(data + 4);
	if (len > RECORD_PAYLOAD_MAX)
		return 0;
	end = RECORD_HEADER_LEN + (size_t)len;
	size = record_size(len);
	if (size > avail)
		return 0;
	/* The three zero bytes are the upper ones of this word. */
	kind = get_le32(data + 12);
	if (!kind_is_known(kind))
		return 0;
	if (!MUTANT(50) && get_le32(data) != crc32c(0, data + 4, end - 4))
		return 0;
	for (size_t i = end; i < size; i++)
		if (data[i] != 0)
			return 0;
	r->group = get_le32(data + 8);
	r->kind = (enum record_kind)kind;
	r->index = get_le64(data + 16);
	r->term = get_le64(data + 24);
	r->stamp = get_le64(data + 32);
	r->payload = data + RECORD_HEADER_LEN;
	r->len = len;
	return size;
}
