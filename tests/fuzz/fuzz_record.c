/*
 * fuzz_record.c - arbitrary bytes as records back to back, with their
 * checksum as it is and mended.
 *
 * What is read is sealed again as the same bytes.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "raftwal/bytes.h"
#include "raftwal/crc32c.h"
#include "raftwal/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
again(const uint8_t *p, size_t size, const struct record *r)
{
	uint8_t *copy = malloc(size);

	assert(copy != NULL);
	memset(copy, 0xaa, size);
	memcpy(copy + RECORD_HEADER_LEN, r->payload, r->len);
	record_seal(copy, r);
	assert(memcmp(copy, p, size) == 0);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *p = malloc(size == 0 ? 1 : size);
	size_t at = 0, one;
	struct record r;

	assert(p != NULL);
	if (size > 0)
		memcpy(p, data, size);
	while (at < size) {
		one = record_read(p + at, size - at, &r);
		if (one == 0 && size - at >= RECORD_HEADER_LEN) {
			uint32_t len = get_le32(p + at + 4);

			if (len <= size - at - RECORD_HEADER_LEN)
				put_le32(
				    p + at, crc32c(0, p + at + 4,
						RECORD_HEADER_LEN - 4 + len));
			one = record_read(p + at, size - at, &r);
		}
		if (one == 0)
			break;
		assert(one <= size - at && one == record_size(r.len));
		again(p + at, one, &r);
		at += one;
	}
	free(p);
	return 0;
}
