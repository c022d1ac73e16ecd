/*
 * segment.c - segments as files: made ready ahead of their use, entered, cut.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftwal/wal_private.h"

#define PREPARE_STEP (512u * 1024) /* zeroes written in one step */
#define CUT_STEP (256u * 1024)
#define QUARANTINE_NAMES_MAX 1000 /* for one place */

/* What an earlier use of the space, or a payload, does not happen to hold. */
static uint64_t
nonce_make(const struct wal *w, uint64_t number)
{
	uint64_t x = w->opt.nonce ^ w->opt.server_id * 0x9e3779b97f4a7c15u;

	x ^= number * 0xbf58476d1ce4e5b9u + w->chain +
	     (w->sequence << 32 | w->sequence >> 32);
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static int
header_write(struct wal *w, struct disk_file *f, uint64_t number, uint64_t size)
{
	static const size_t len = SEGMENT_HEADER_LEN;
	struct segment_header h = {.server_id = w->opt.server_id,
	    .number = number,
	    .nonce = nonce_make(w, number),
	    .size = size};
	uint8_t *block = aligned_alloc(DISK_ALIGN, len);
	int error;

	if (block == NULL)
		return -ENOMEM;
	segment_header_put(block, &h);
	error = w->disk.ops->write(w->disk.ctx, f, block, len, 0);
	free(block);
	return error;
}

static int
header_read(struct wal *w, struct disk_file *f, struct segment_header *h)
{
	uint8_t *block = aligned_alloc(DISK_ALIGN, SEGMENT_HEADER_LEN);
	unsigned copies;
	int64_t n;
	int error;

	if (block == NULL)
		return -ENOMEM;
	n = w->disk.ops->read(w->disk.ctx, f, block, SEGMENT_HEADER_LEN, 0);
	if (n < 0)
		error = (int)n;
	else if (n < (int64_t)SEGMENT_HEADER_LEN)
		error = -EBADMSG;
	else
		error = segment_header_read(block, h, &copies);
	free(block);
	return error;
}

/* Durably, before another one takes its name: a crash that loses this and
 * keeps the rename of the other would make the wrong file a segment. */
static int
prepare_remove(struct wal *w)
{
	int error = w->disk.ops->unlink(w->disk.ctx, PREPARE_PATH);

	if (error == 0 && !MUTANT(89))
		error = w->disk.ops->sync_dir(w->disk.ctx, "wal");
	return error == -ENOENT ? 0 : error;
}

static int
prepare_open(struct wal *w)
{
	int error = prepare_remove(w);

	if (error < 0)
		return error;
	w->prepared = 0;
	w->prepare_size = w->opt.segment_size;
	error = w->disk.ops->open(w->disk.ctx, PREPARE_PATH,
	    DISK_WRITE | DISK_CREATE | DISK_DIRECT, &w->prepare);
	if (error < 0)
		w->prepare = NULL;
	return error;
}

/* All is zero: header, sync, final name, and the name made durable. */
static int
prepare_finish(struct wal *w)
{
	const struct disk_ops *ops = w->disk.ops;
	char path[SEGMENT_PATH_LEN];
	int error;

	error = header_write(w, w->prepare, w->number + 1, w->prepared);
	if (error == 0)
		error = ops->sync(w->disk.ctx, w->prepare);
	if (error < 0)
		return error;
	ops->close(w->disk.ctx, w->prepare);
	w->prepare = NULL;
	segment_path(w->number + 1, path);
	error = ops->rename(w->disk.ctx, PREPARE_PATH, path);
	if (error == 0 && !MUTANT(63))
		error = ops->sync_dir(w->disk.ctx, "wal");
	if (error == 0)
		w->next_ready = true;
	return error;
}

static bool
is_nospace(int error)
{
	return error == -ENOSPC || error == -EDQUOT;
}

/*
 * A file whose write or sync failed is never synced again: a success would
 * mean nothing.  For want of space another one is begun when asked again,
 * and what this one took is given back meanwhile; anything else is the
 * disk's fault, and final.
 */
static int
prepare_failed(struct wal *w, int error)
{
	int failed;

	if (w->prepare != NULL)
		w->disk.ops->close(w->disk.ctx, w->prepare);
	w->prepare = NULL;
	if (!is_nospace(error)) {
		w->error = error;
		return error;
	}
	w->is_short = true;
	failed = prepare_remove(w);
	if (failed < 0)
		w->error = error = failed;
	return error;
}

int
segment_prepare(struct wal *w)
{
	uint64_t to;
	int error;

	if (w->next_ready)
		return 0;
	if (w->prepare == NULL) {
		error = prepare_open(w);
		if (error < 0)
			return prepare_failed(w, error);
	}
	if (w->prepared >= w->prepare_size) {
		error = prepare_finish(w);
		return error < 0 ? prepare_failed(w, error) : 0;
	}
	to = w->prepared + PREPARE_STEP;
	if (to > w->prepare_size)
		to = w->prepare_size;
	error = w->disk.ops->truncate(w->disk.ctx, w->prepare, to);
	if (error < 0)
		return prepare_failed(w, error);
	w->prepared = to;
	return 1;
}

int
segment_prepare_all(struct wal *w)
{
	int more;

	do {
		more = segment_prepare(w);
	} while (more > 0);
	return more;
}

/* As small as a segment may be. */
static int
prepare_small(struct wal *w)
{
	int error = prepare_open(w);

	if (error < 0)
		return prepare_failed(w, error);
	w->prepare_size = WAL_SEGMENT_SIZE_MIN;
	return segment_prepare_all(w);
}

/* Make the file that is entered now the one that is written. */
static void
enter(struct wal *w, struct disk_file *f, uint64_t number, uint64_t nonce,
    uint64_t size, uint64_t offset)
{
	if (w->file != NULL)
		w->disk.ops->close(w->disk.ctx, w->file);
	w->file = f;
	w->number = number;
	w->nonce = nonce;
	w->size = size;
	w->offset = offset;
}

/* Zeroes, and a length, that are durable before anything relies on them. */
static int
enlarge(struct wal *w, struct disk_file *f, uint64_t *size, uint64_t room)
{
	uint64_t want = (SEGMENT_HEADER_LEN + room + BLOCK - 1) / BLOCK * BLOCK;
	int error;

	if (*size >= want)
		return 0;
	error = w->disk.ops->truncate(w->disk.ctx, f, want);
	if (error == 0)
		error = w->disk.ops->sync(w->disk.ctx, f);
	if (error == 0)
		*size = want;
	return error;
}

int
segment_advance(struct wal *w, uint64_t room, bool small)
{
	const struct disk_ops *ops = w->disk.ops;
	struct segment_header h = {0};
	char path[SEGMENT_PATH_LEN];
	struct disk_file *f;
	uint64_t size = 0;
	int error;

	error = small && w->is_short && !w->next_ready ? -ENOSPC
						       : segment_prepare_all(w);
	if (small && is_nospace(error))
		error = prepare_small(w);
	if (error < 0)
		return error;
	segment_path(w->number + 1, path);
	error = ops->open(w->disk.ctx, path, DISK_WRITE | DISK_DIRECT, &f);
	if (error < 0)
		return error;
	error = header_read(w, f, &h);
	if (error == 0)
		error = ops->size(w->disk.ctx, f, &size);
	if (error == 0)
		error = enlarge(w, f, &size, room);
	if (error < 0 && !is_nospace(error))
		w->error = error;
	/* raftwal(5): a segment is synced before the next one is used, so
	 * that anything in the next one vouches for all of this one. */
	if (error == 0 && w->file != NULL && w->dirty && !w->opt.no_sync &&
	    !MUTANT(66)) {
		error = ops->sync(w->disk.ctx, w->file);
		if (error < 0)
			w->error = error;
		else
			w->synced = w->sequence;
	}
	if (error < 0) {
		ops->close(w->disk.ctx, f);
		return error;
	}
	enter(w, f, w->number + 1, h.nonce, size, SEGMENT_HEADER_LEN);
	w->next_ready = false;
	w->dirty = false;
	w->stat.segments++;
	return 0;
}

/* A segment behind the end whose header is bad holds nothing: it goes. */
static int
remove_behind(struct wal *w, struct scan *s, size_t from)
{
	char path[SEGMENT_PATH_LEN];
	int error = 0;

	scan_close_file(s);
	for (size_t i = from; i < s->count && error == 0; i++) {
		segment_path(s->segments[i].number, path);
		error = w->disk.ops->unlink(w->disk.ctx, path);
	}
	return error;
}

/*
 * Write what nothing vouches for once more.  If the last server stopped
 * because a sync had failed, the kernel calls these pages clean: they can be
 * read, and a second sync alone would promise what is not so.
 */
static int
write_again(struct wal *w, struct scan *s)
{
	uint64_t at = s->end.vouched, end = s->end.offset;
	int error = 0;

	while (error == 0 && at < end) {
		size_t n =
		    end - at < w->buf_cap ? (size_t)(end - at) : w->buf_cap;
		uint8_t *p;

		error = scan_bytes(s, s->end.segment, at, n, &p);
		if (error < 0)
			break;
		memcpy(w->buf, p, n); /* a direct write wants it aligned */
		error = w->disk.ops->write(w->disk.ctx, w->file, w->buf, n, at);
		at += n;
	}
	return error;
}

int
segment_resume(struct wal *w, struct scan *s)
{
	const struct disk_ops *ops = w->disk.ops;
	char path[SEGMENT_PATH_LEN];
	const struct segment *g;
	struct disk_file *f;
	size_t keep = s->end.segment + 1;
	int error;

	w->number_first = s->count > 0 ? s->segments[0].number : 1;
	if (s->count == 0)
		return 0;
	g = &s->segments[s->end.segment];
	segment_path(g->number, path);
	error = ops->open(w->disk.ctx, path, DISK_WRITE | DISK_DIRECT, &f);
	if (error < 0)
		return error;
	enter(w, f, g->number, g->nonce, g->size, s->end.offset);
	/* Without a good header, or cut short, it is not written any more. */
	if (g->copies == 0 || g->truncated)
		w->offset = w->size;
	/* A killed server's last writes may be in the cache only. */
	error = write_again(w, s);
	if (error == 0 && !MUTANT(67))
		error = ops->sync(w->disk.ctx, f);
	if (error < 0)
		return error;
	if (keep < s->count && s->segments[keep].copies > 0 &&
	    !s->segments[keep].truncated &&
	    s->segments[keep].number == g->number + 1) {
		w->next_ready = true;
		keep++;
	}
	return remove_behind(w, s, keep);
}

/* ---- cutting ----------------------------------------------------------- */

static int
quarantine_open(
    struct wal *w, uint64_t number, uint64_t offset, struct disk_file **f)
{
	const struct disk_ops *ops = w->disk.ops;
	int error;

	error = ops->mkdir(w->disk.ctx, "quarantine");
	if (error == 0)
		error = ops->sync_dir(w->disk.ctx, ".");
	if (error < 0 && error != -EEXIST)
		return error;
	for (int i = 0; i < QUARANTINE_NAMES_MAX; i++) {
		char path[96];

		(void)snprintf(path, sizeof(path),
		    "quarantine/wal-%016" PRIx64 "-%08" PRIx64 "-%d.cut",
		    number, offset, i);
		error =
		    ops->open(w->disk.ctx, path, DISK_WRITE | DISK_CREATE, f);
		if (error != -EEXIST)
			return error;
	}
	return -EEXIST;
}

static int
quarantine_copy(struct wal *w, struct scan *s)
{
	const struct disk_ops *ops = w->disk.ops;
	uint64_t at = 0, len = s->end.torn_len;
	struct disk_file *f;
	int error;

	error = quarantine_open(
	    w, s->segments[s->end.segment].number, s->end.offset, &f);
	if (error < 0)
		return error;
	while (error == 0 && at < len) {
		size_t n = len - at < CUT_STEP ? (size_t)(len - at) : CUT_STEP;
		uint8_t *p;

		error =
		    scan_bytes(s, s->end.segment, s->end.offset + at, n, &p);
		if (error == 0)
			error = ops->write(w->disk.ctx, f, p, n, at);
		at += n;
	}
	if (error == 0)
		error = ops->sync(w->disk.ctx, f);
	ops->close(w->disk.ctx, f);
	if (error == 0)
		error = ops->sync_dir(w->disk.ctx, "quarantine");
	return error;
}

int
segment_cut(struct wal *w, struct scan *s)
{
	const struct disk_ops *ops = w->disk.ops;
	char path[SEGMENT_PATH_LEN];
	struct disk_file *f;
	uint8_t *zero;
	uint64_t at = s->end.offset, end = at + s->end.torn_len;
	int error;

	if (s->end.torn_len == 0 || MUTANT(68))
		return 0;
	error = quarantine_copy(w, s);
	/* Nothing in a torn tail was ever acknowledged: a full disk is no
	 * reason to stay down. */
	if (error < 0 && !is_nospace(error))
		return error;
	segment_path(s->segments[s->end.segment].number, path);
	error = ops->open(w->disk.ctx, path, DISK_WRITE | DISK_DIRECT, &f);
	if (error < 0)
		return error;
	zero = aligned_alloc(DISK_ALIGN, CUT_STEP);
	if (zero == NULL)
		error = -ENOMEM;
	else
		memset(zero, 0, CUT_STEP);
	end = (end + BLOCK - 1) / BLOCK * BLOCK;
	while (error == 0 && at < end) {
		size_t n = end - at < CUT_STEP ? (size_t)(end - at) : CUT_STEP;

		error = ops->write(w->disk.ctx, f, zero, n, at);
		at += n;
	}
	if (error == 0)
		error = ops->sync(w->disk.ctx, f);
	free(zero);
	ops->close(w->disk.ctx, f);
	return error;
}
