/*
 * write.c - state into a stream of compressed blocks.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "raftsnap/format.h"

#define LEVEL_DEFAULT 1 /* the disk and the network are slower than this */

struct snap_writer {
	snap_put put;
	void *ctx;
	ZSTD_CCtx *zstd;
	XXH3_state_t *hash;
	uint8_t *plain, *packed;
	size_t plain_len, packed_cap;
	struct snap_sum sum;
	int level;
	int error; /* the first one; nothing is written after it */
};

static int
emit(struct snap_writer *w, const void *p, size_t len)
{
	if (w->error == 0)
		w->error = w->put(w->ctx, p, len);
	if (w->error < 0)
		return w->error;
	(void)XXH3_128bits_update(w->hash, p, len);
	w->sum.file_len += len;
	return 0;
}

static int
emit_block(struct snap_writer *w)
{
	size_t n;

	if (w->plain_len == 0)
		return w->error;
	n = ZSTD_compressCCtx(w->zstd, w->packed + BLOCK_HEAD,
	    w->packed_cap - BLOCK_HEAD, w->plain, w->plain_len, w->level);
	if (ZSTD_isError(n)) {
		w->error = -ENOMEM;
		return w->error;
	}
	block_seal(w->packed, (uint32_t)n, (uint32_t)w->plain_len,
	    (uint32_t)w->sum.blocks);
	w->sum.blocks++;
	w->sum.plain_len += w->plain_len;
	w->plain_len = 0;
	return emit(w, w->packed, BLOCK_HEAD + n);
}

int
snap_writer_new(const struct snap_meta *m, int level, snap_put put, void *ctx,
    struct snap_writer **out)
{
	struct snap_writer *w;
	uint8_t *head = NULL;
	int error = -ENOMEM;

	if (m->config_len > SNAP_CONFIG_LEN_MAX)
		return -EINVAL;
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return -ENOMEM;
	w->put = put;
	w->ctx = ctx;
	w->level = level != 0 ? level : LEVEL_DEFAULT;
	w->packed_cap = BLOCK_HEAD + ZSTD_compressBound(SNAP_BLOCK_LEN);
	w->zstd = ZSTD_createCCtx();
	w->hash = XXH3_createState();
	w->plain = malloc(SNAP_BLOCK_LEN);
	w->packed = malloc(w->packed_cap);
	head = malloc(header_len(m->config_len));
	if (w->zstd == NULL || w->hash == NULL || w->plain == NULL ||
	    w->packed == NULL || head == NULL)
		goto out;
	(void)XXH3_128bits_reset(w->hash);
	header_put(head, m);
	error = emit(w, head, header_len(m->config_len));
out:
	free(head);
	if (error < 0)
		snap_writer_free(w);
	else
		*out = w;
	return error;
}

int
snap_write(void *writer, const void *data, size_t len)
{
	struct snap_writer *w = writer;
	const uint8_t *p = data;

	while (len > 0 && w->error == 0) {
		size_t n = SNAP_BLOCK_LEN - w->plain_len;

		n = n < len ? n : len;
		memcpy(w->plain + w->plain_len, p, n);
		w->plain_len += n;
		p += n;
		len -= n;
		if (w->plain_len == SNAP_BLOCK_LEN)
			(void)emit_block(w);
	}
	return w->error;
}

int
snap_writer_finish(struct snap_writer *w, struct snap_sum *sum)
{
	uint8_t footer[FOOTER_LEN];
	XXH128_canonical_t id;

	if (emit_block(w) < 0)
		return w->error;
	XXH128_canonicalFromHash(&id, XXH3_128bits_digest(w->hash));
	memcpy(w->sum.id, id.digest, SNAP_ID_LEN);
	w->sum.file_len += FOOTER_LEN;
	footer_put(footer, &w->sum);
	w->error = w->put(w->ctx, footer, sizeof(footer));
	if (w->error == 0 && sum != NULL)
		*sum = w->sum;
	return w->error;
}

void
snap_writer_free(struct snap_writer *w)
{
	if (w == NULL)
		return;
	(void)ZSTD_freeCCtx(w->zstd);
	(void)XXH3_freeState(w->hash);
	free(w->plain);
	free(w->packed);
	free(w);
}
