/*
 * fuzz_snap.c - any bytes as a snapshot: refused, or read whole; with the
 * header's and the blocks' checksums made right, so that what is behind them
 * is reached too.
 */
#include <assert.h>
#include <string.h>

#include "raftsnap/snap.h"
#include "raftwal/bytes.h"
#include "raftwal/crc32c.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define INPUT_MAX 65536
#define FIXED 128
#define BLOCK_HEAD 16

struct bytes {
	const uint8_t *p;
	size_t len, at;
};

static int64_t
get(void *ctx, void *buf, size_t len)
{
	struct bytes *b = ctx;
	size_t n = b->len - b->at < len ? b->len - b->at : len;

	memcpy(buf, b->p + b->at, n);
	b->at += n;
	return (int64_t)n;
}

static void
mend(uint8_t *p, size_t size)
{
	size_t at;
	uint32_t len;

	if (size < FIXED + 8)
		return;
	len = get_le32(p + 12);
	if (len < 8 || len > size)
		return;
	put_le32(p + len - 4, crc32c(0, p, len - 4));
	for (at = len; size - at >= BLOCK_HEAD; at += BLOCK_HEAD + len) {
		len = get_le32(p + at + 4);
		if (len > size - at - BLOCK_HEAD)
			return;
		if (len == 0)
			return;
		put_le32(p + at,
		    crc32c(0, p + at + 4, BLOCK_HEAD - 4 + (size_t)len));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t copy[INPUT_MAX], out[4096];
	struct bytes b = {copy, 0, 0};
	struct snap_reader *r;
	struct snap_sum sum;
	struct errtext et = {""};
	uint64_t total = 0;
	int64_t n;

	if (size < 1 || size > INPUT_MAX)
		return 0;
	b.len = size - 1;
	memcpy(copy, data + 1, b.len);
	if (data[0] & 1)
		mend(copy, b.len);
	if (snap_reader_new(get, &b, &r, &et) < 0)
		return 0;
	while ((n = snap_read_some(r, out, sizeof(out))) > 0)
		total += (uint64_t)n;
	if (snap_reader_finish(r, &sum, &et) == 0) {
		assert(n == 0);
		assert(sum.plain_len == total);
		assert(sum.file_len == b.len);
	}
	snap_reader_free(r);
	return 0;
}
