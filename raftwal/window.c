/*
 * window.c - the segments of a log, and a window on their bytes.
 */
#include "raftwal/scan.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftwal/bytes.h"
#include "raftwal/groups.h"

#define WINDOW_LEN (1024u * 1024) /* read at once */

void
segment_path(uint64_t number, char path[SEGMENT_PATH_LEN])
{
	(void)snprintf(
	    path, SEGMENT_PATH_LEN, "wal/%016" PRIx64 ".wal", number);
}

/* "0000000000000001.wal" and nothing else. */
static bool
name_parse(const char *name, uint64_t *number)
{
	uint64_t n = 0;

	if (strlen(name) != 20 || strcmp(name + 16, ".wal") != 0)
		return false;
	for (int i = 0; i < 16; i++) {
		const char *digits = "0123456789abcdef";
		const char *d = strchr(digits, name[i]);

		if (d == NULL)
			return false;
		n = n << 4 | (uint64_t)(d - digits);
	}
	if (n == 0 || n >= UINT64_C(1) << (64 - POS_OFFSET_BITS))
		return false;
	*number = n;
	return true;
}

static int
segment_add(void *arg, const char *name)
{
	struct scan *s = arg;
	struct segment *more;
	uint64_t number;

	if (!name_parse(name, &number))
		return 0;
	if (s->count == SEGMENTS_MAX)
		return -E2BIG;
	if (s->count == s->cap) {
		s->cap = s->cap == 0 ? 16 : s->cap * 2;
		more = reallocarray(s->segments, s->cap, sizeof(*more));
		if (more == NULL)
			return -ENOMEM;
		s->segments = more;
	}
	memset(&s->segments[s->count], 0, sizeof(*s->segments));
	s->segments[s->count++].number = number;
	return 0;
}

void
scan_close_file(struct scan *s)
{
	if (s->file != NULL)
		s->disk->ops->close(s->disk->ctx, s->file);
	s->file = NULL;
	s->buf_len = 0;
}

static int
file_open(struct scan *s, size_t segment)
{
	char path[SEGMENT_PATH_LEN];
	int error;

	if (s->file != NULL && s->file_segment == segment)
		return 0;
	scan_close_file(s);
	segment_path(s->segments[segment].number, path);
	error = s->disk->ops->open(s->disk->ctx, path, DISK_READ, &s->file);
	if (error < 0) {
		s->file = NULL;
		return error;
	}
	s->file_segment = segment;
	return 0;
}

/* Blocks that the disk cannot read become bytes that no check accepts. */
static int
window_fill_by_block(struct scan *s, size_t len)
{
	for (size_t at = 0; at < len; at += BLOCK) {
		size_t want = len - at < BLOCK ? len - at : BLOCK;
		int64_t n = s->disk->ops->read(s->disk->ctx, s->file,
		    s->buf + at, want, s->buf_offset + at);

		if (n == -EIO) {
			memset(s->buf + at, 0xff, want);
			continue;
		}
		if (n < 0)
			return (int)n;
		memset(s->buf + at + n, 0, want - (size_t)n);
	}
	return 0;
}

static int
window_fill(struct scan *s, uint64_t offset, size_t len)
{
	int64_t n;

	s->buf_len = 0;
	if (len > s->buf_cap) {
		uint8_t *more = aligned_alloc(BLOCK, len);

		if (more == NULL)
			return -ENOMEM;
		free(s->buf);
		s->buf = more;
		s->buf_cap = len;
	}
	s->buf_offset = offset;
	n = s->disk->ops->read(s->disk->ctx, s->file, s->buf, len, offset);
	if (n == -EIO) {
		int error = window_fill_by_block(s, len);

		if (error < 0)
			return error;
	} else if (n < 0) {
		return (int)n;
	} else {
		memset(s->buf + n, 0, len - (size_t)n);
	}
	s->buf_len = len;
	return 0;
}

int
scan_bytes(
    struct scan *s, size_t segment, uint64_t offset, size_t len, uint8_t **out)
{
	uint64_t size = s->segments[segment].size, left;
	size_t want = len;
	int error;

	assert(offset % BLOCK == 0);
	assert(offset <= size && len <= size - offset);
	error = file_open(s, segment);
	if (error < 0)
		return error;
	if (s->buf_len == 0 || offset < s->buf_offset ||
	    offset + len > s->buf_offset + s->buf_len) {
		left = size - offset;
		if (want < WINDOW_LEN)
			want = left < WINDOW_LEN ? (size_t)left : WINDOW_LEN;
		want = (want + BLOCK - 1) / BLOCK * BLOCK;
		error = window_fill(s, offset, want);
		if (error < 0)
			return error;
	}
	*out = s->buf + (offset - s->buf_offset);
	return 0;
}

static int
segment_load(struct scan *s, size_t i, struct errtext *et)
{
	struct segment *g = &s->segments[i];
	struct segment_header h;
	char path[SEGMENT_PATH_LEN];
	uint8_t *p;
	int error;

	segment_path(g->number, path);
	error = file_open(s, i);
	if (error == 0)
		error = s->disk->ops->size(s->disk->ctx, s->file, &g->size);
	if (error < 0)
		return errtext(
		    et, error, "cannot read '%s': %s", path, strerror(-error));
	if (g->size < BLOCK) {
		g->truncated = true;
		g->size = 0;
		return 0;
	}
	g->size -= g->size % BLOCK;
	/* The header and the first batch's head: the rest is read in turn. */
	error = window_fill(s, 0, g->size < 2 * BLOCK ? BLOCK : 2 * BLOCK);
	if (error == 0)
		error = scan_bytes(s, i, 0, BLOCK, &p);
	if (error < 0)
		return errtext(
		    et, error, "cannot read '%s': %s", path, strerror(-error));
	error = segment_header_read(p, &h, &g->copies);
	if (error == -EPROTO)
		return errtext(
		    et, -EBADMSG, "'%s': a format that is not known", path);
	if (error == 0 && h.number != g->number)
		g->copies = 0; /* another segment's: not to be trusted */
	for (unsigned k = SECTOR; k < BLOCK - SECTOR; k += SECTOR)
		g->changed |= !sector_is_zero(p + k);
	if (g->copies > 0) {
		g->nonce = h.nonce;
		g->truncated = g->size < h.size;
		return 0;
	}
	/* The first batch stands at a known place and has the nonce too. */
	if (g->size >= 2 * BLOCK) {
		error = scan_bytes(s, i, BLOCK, BLOCK, &p);
		if (error < 0)
			return error;
		if (head_sector_ok(p))
			g->nonce = get_le64(p + 8);
	}
	return 0;
}

int
scan_init(struct scan *s, struct disk *disk, struct errtext *et)
{
	int error;

	memset(s, 0, sizeof(*s));
	s->disk = disk;
	error = disk->ops->list(disk->ctx, "wal", segment_add, s);
	if (error < 0) {
		errtext(et, error, "cannot list 'wal': %s", strerror(-error));
		goto fail;
	}
	for (size_t i = 0; i < s->count; i++) {
		error = segment_load(s, i, et);
		if (error < 0)
			goto fail;
	}
	return 0;
fail:
	scan_release(s);
	return error;
}

bool
scan_is_headless(const struct scan *s)
{
	return s->count > 0 && s->segments[0].number > 1;
}

void
scan_release(struct scan *s)
{
	scan_close_file(s);
	free(s->segments);
	free(s->buf);
	memset(s, 0, sizeof(*s));
}
