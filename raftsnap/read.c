/*
 * read.c - a stream of compressed blocks back into state.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "raftsnap/format.h"

struct snap_reader {
	snap_get get;
	void *ctx;
	ZSTD_DCtx *zstd;
	XXH3_state_t *hash;
	uint8_t *header;
	struct snap_meta meta;
	uint8_t *packed, *plain;
	size_t packed_cap;
	size_t at, len; /* of plain */
	struct snap_sum sum;
	bool ended; /* the footer was taken */
	uint8_t footer[FOOTER_LEN];
	int error;
};

/* All of it: -EBADMSG when the stream ends before. */
static int
take(struct snap_reader *r, void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len > 0) {
		int64_t n = r->get(r->ctx, p, len);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EBADMSG;
		p += n;
		len -= (size_t)n;
		r->sum.file_len += (uint64_t)n;
	}
	return 0;
}

static int
read_header(struct snap_reader *r, struct errtext *et)
{
	uint8_t fixed[HEADER_FIXED];
	size_t len = 0;
	int error = take(r, fixed, sizeof(fixed));

	if (error == 0)
		error = header_peek(fixed, &len);
	if (error == -EPROTO)
		return errtext(et, error,
		    "the snapshot's format is newer than this program knows "
		    "(%d)",
		    SNAP_FORMAT);
	if (error < 0)
		return errtext(et, error, "not a snapshot");
	r->header = malloc(len);
	if (r->header == NULL)
		return errtext(et, -ENOMEM, "out of memory");
	memcpy(r->header, fixed, sizeof(fixed));
	error = take(r, r->header + sizeof(fixed), len - sizeof(fixed));
	if (error == 0)
		error = header_read(r->header, len, &r->meta);
	if (error < 0)
		return errtext(et, error, "the header: checksum");
	(void)XXH3_128bits_update(r->hash, r->header, len);
	return 0;
}

int
snap_reader_new(
    snap_get get, void *ctx, struct snap_reader **out, struct errtext *et)
{
	struct snap_reader *r = calloc(1, sizeof(*r));
	int error = -ENOMEM;

	if (r == NULL)
		return errtext(et, -ENOMEM, "out of memory");
	r->get = get;
	r->ctx = ctx;
	r->packed_cap = BLOCK_HEAD + ZSTD_compressBound(SNAP_BLOCK_LEN);
	r->zstd = ZSTD_createDCtx();
	r->hash = XXH3_createState();
	r->packed = malloc(r->packed_cap);
	r->plain = malloc(SNAP_BLOCK_LEN);
	if (r->zstd == NULL || r->hash == NULL || r->packed == NULL ||
	    r->plain == NULL) {
		(void)errtext(et, error, "out of memory");
	} else {
		(void)XXH3_128bits_reset(r->hash);
		error = read_header(r, et);
	}
	if (error < 0)
		snap_reader_free(r);
	else
		*out = r;
	return error;
}

const struct snap_meta *
snap_reader_meta(const struct snap_reader *r)
{
	return &r->meta;
}

uint64_t
snap_reader_taken(const struct snap_reader *r)
{
	return r->sum.file_len;
}

/* The next block, or the footer: then len stays 0. */
static int
next_block(struct snap_reader *r)
{
	struct block_head h;
	size_t n;
	int error = take(r, r->packed, BLOCK_HEAD);

	r->at = r->len = 0;
	if (error < 0)
		return error;
	block_head_read(r->packed, &h);
	if (h.packed_len == 0) {
		memcpy(r->footer, r->packed, BLOCK_HEAD);
		r->ended = true;
		return take(r, r->footer + BLOCK_HEAD, FOOTER_LEN - BLOCK_HEAD);
	}
	if (h.packed_len > r->packed_cap - BLOCK_HEAD ||
	    h.plain_len > SNAP_BLOCK_LEN || h.plain_len == 0 ||
	    h.number != (uint32_t)r->sum.blocks)
		return -EBADMSG;
	error = take(r, r->packed + BLOCK_HEAD, h.packed_len);
	if (error < 0)
		return error;
	if (!block_ok(r->packed, &h))
		return -EBADMSG;
	n = ZSTD_decompressDCtx(r->zstd, r->plain, SNAP_BLOCK_LEN,
	    r->packed + BLOCK_HEAD, h.packed_len);
	if (ZSTD_isError(n) || n != h.plain_len)
		return -EBADMSG;
	(void)XXH3_128bits_update(
	    r->hash, r->packed, BLOCK_HEAD + h.packed_len);
	r->sum.blocks++;
	r->sum.plain_len += n;
	r->len = n;
	return 0;
}

int64_t
snap_read_some(struct snap_reader *r, void *buf, size_t len)
{
	size_t n;

	if (r->error == 0 && r->at == r->len && !r->ended)
		r->error = next_block(r);
	if (r->error < 0)
		return r->error;
	n = r->len - r->at;
	n = n < len ? n : len;
	memcpy(buf, r->plain + r->at, n);
	r->at += n;
	return (int64_t)n;
}

int
snap_read(void *reader, void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len > 0) {
		int64_t n = snap_read_some(reader, p, len);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EBADMSG;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int
snap_reader_finish(
    struct snap_reader *r, struct snap_sum *out, struct errtext *et)
{
	XXH128_canonical_t id;
	struct snap_sum want;
	uint8_t more;
	int64_t n;

	while (r->error == 0 && !r->ended)
		r->error = next_block(r);
	if (r->error < 0)
		return errtext(et, r->error, "block %llu: %s",
		    (unsigned long long)r->sum.blocks,
		    r->error == -EBADMSG ? "damaged, or the end is missing"
					 : strerror(-r->error));
	if (footer_read(r->footer, &want) < 0)
		return errtext(et, -EBADMSG, "the footer: checksum");
	XXH128_canonicalFromHash(&id, XXH3_128bits_digest(r->hash));
	memcpy(r->sum.id, id.digest, SNAP_ID_LEN);
	if ((memcmp(want.id, r->sum.id, SNAP_ID_LEN) != 0 && !MUTANT(168)) ||
	    want.blocks != r->sum.blocks ||
	    want.plain_len != r->sum.plain_len ||
	    want.file_len != r->sum.file_len)
		return errtext(
		    et, -EBADMSG, "the footer does not fit what is before it");
	n = MUTANT(169) ? 0 : r->get(r->ctx, &more, 1);
	if (n != 0)
		return n < 0 ? (int)n
			     : errtext(et, -EBADMSG, "bytes behind the footer");
	if (out != NULL)
		*out = r->sum;
	return 0;
}

void
snap_reader_free(struct snap_reader *r)
{
	if (r == NULL)
		return;
	(void)ZSTD_freeDCtx(r->zstd);
	(void)XXH3_freeState(r->hash);
	free(r->header);
	free(r->packed);
	free(r->plain);
	free(r);
}
