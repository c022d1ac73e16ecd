/*
 * wal.c - the write-ahead log: open and recover, write, sync, mark, close.
 */
#include "raftwal/wal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftwal/bytes.h"
#include "raftwal/wal_private.h"

#define BUF_MIN (256u * 1024)

static void
judge(struct wal *w)
{
	groups_judge(&w->groups);
	w->any_damaged = false;
	for (size_t i = 0; i < w->groups.count; i++)
		w->any_damaged |= w->groups.pub[i].damaged;
}

static int batch_write(struct wal *, struct batch_head *);

/* ---- recovery ---------------------------------------------------------- */

struct recovery {
	struct wal *wal;
	struct wal_report *report;
	wal_replay_cb replay;
	void *ctx;
};

static int
found_record(void *ctx, const struct record *r, uint64_t pos,
    const struct scan_batch *b, bool ok)
{
	struct recovery *rec = ctx;
	struct groups *gs = &rec->wal->groups;
	int error;

	rec->report->records++;
	if (!ok)
		return groups_lost(gs, r, b->head->sequence);
	error = groups_record(gs, r, pos, b->head->sequence);
	/* Only we write: an index that no entry has is damage like another,
	 * and the entry is as good as lost. */
	return error == -EINVAL || error == 1 ? 0 : error;
}

static int
found_blind(void *ctx, uint64_t last_sequence, bool state_lost)
{
	struct recovery *rec = ctx;

	groups_blind(&rec->wal->groups, last_sequence, state_lost);
	return 0;
}

static int
found_problem(void *ctx, const struct wal_problem *p)
{
	struct recovery *rec = ctx;
	struct wal_report *report = rec->report;

	if (strcmp(p->problem, "torn") == 0)
		report->torn_bytes += p->len;
	else
		report->damaged++;
	if (report->text[0] == '\0')
		(void)snprintf(report->text, sizeof(report->text),
		    "%s offset %llu: %s: %s", p->file,
		    (unsigned long long)p->offset, p->problem, p->detail);
	return 0;
}

static const struct scan_visitor recover_visitor = {
    .record = found_record,
    .blind = found_blind,
    .problem = found_problem,
};

static int
replay_record(void *ctx, const struct record *r, uint64_t pos,
    const struct scan_batch *b, bool ok)
{
	struct recovery *rec = ctx;

	(void)b;
	if (!ok || r->kind == RECORD_DAMAGE ||
	    !groups_counts(&rec->wal->groups, r, pos))
		return 0;
	return rec->replay(r, rec->ctx);
}

static const struct scan_visitor replay_visitor = {
    .record = replay_record,
};

/* The directories, and what an interrupted start left in them. */
static int
tidy(struct disk *disk)
{
	const struct disk_ops *ops = disk->ops;
	int error;

	error = ops->mkdir(disk->ctx, "wal");
	if (error < 0 && error != -EEXIST)
		return error;
	/* Also when it was there: the server that made it may have been
	 * killed before it got here. */
	error = ops->sync_dir(disk->ctx, ".");
	if (error < 0)
		return error;
	error = ops->unlink(disk->ctx, PREPARE_PATH);
	if (error < 0 && error != -ENOENT)
		return error;
	return MUTANT(63) ? 0 : ops->sync_dir(disk->ctx, "wal");
}

/* Notes for the groups whose log was shortened by damage. */
static int
notes_write(struct wal *w)
{
	uint8_t *buf;
	size_t len = 0, one = record_size(8);
	struct iovec iov;
	int error = 0;

	if (w->groups.count == 0)
		return 0;
	buf = calloc(w->groups.count, one);
	if (buf == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < w->groups.count; i++) {
		struct record r;
		uint64_t known;

		if (!groups_note(&w->groups, i, &r, &known))
			continue;
		put_le64(buf + len + RECORD_HEADER_LEN, known);
		record_seal(buf + len, &r);
		len += one;
	}
	if (len > 0) {
		iov.iov_base = buf;
		iov.iov_len = len;
		error = wal_write(w, &iov, 1);
		if (error == 0)
			error = wal_sync(w);
	}
	free(buf);
	return error;
}

/*
 * The segment that the log ends in is shorter than it was made, or has no
 * header, and is not written any more.  Only a batch in the next one proves
 * that nothing stood behind its end: now, not when there is something to say.
 */
static int
prove_end(struct wal *w, const struct scan *s)
{
	const struct segment *g = &s->segments[s->end.segment];
	struct batch_head h = {.sequence = w->sequence + 1, .sectors = 1};
	int error;

	if (s->count == 0 || w->sequence == 0 ||
	    (!g->truncated && g->copies > 0))
		return 0;
	error = segment_advance(w, BLOCK, true);
	if (error == 0)
		error = batch_write(w, &h);
	return error < 0 ? error : wal_sync(w);
}

/* Make the log writable after what the scan found. */
static int
resume(struct wal *w, struct scan *s, struct errtext *et)
{
	int error;

	if (s->end.sequence >= UINT64_MAX - 1)
		return errtext(et, -EBADMSG, "wal: the sequence is used up");
	error = segment_cut(w, s);
	if (error < 0)
		return errtext(et, error, "cannot cut the torn tail: %s",
		    strerror(-error));
	w->sequence = s->end.sequence;
	w->state = s->end.state;
	w->chain = s->end.chain;
	w->last_is_mark = s->end.last_is_mark;
	error = segment_resume(w, s);
	if (error == 0) {
		w->synced = w->sequence;
		if (w->file == NULL)
			error = segment_advance(w, BLOCK, true);
		else
			error = prove_end(w, s);
	}
	if (error == 0)
		error = notes_write(w);
	if (error < 0)
		return errtext(et, error, "cannot go on with the log: %s",
		    strerror(-error));
	return 0;
}

static int
recover(struct wal *w, wal_replay_cb replay, void *ctx,
    struct wal_report *report, struct errtext *et)
{
	struct recovery rec = {w, report, replay, ctx};
	struct scan s;
	int error;

	error = scan_init(&s, &w->disk, et);
	if (error < 0)
		return error;
	s.live = w->opt.read_only;
	w->groups.headless = scan_is_headless(&s);
	error = scan_run(&s, &recover_visitor, &rec, et);
	if (error != 0)
		goto out;
	judge(w);
	report->segments = s.count;
	for (size_t i = 0; i < s.count; i++)
		report->bytes += s.segments[i].size;
	if (!w->opt.read_only && groups_state_lost(&w->groups)) {
		error = errtext(et, -EBADMSG,
		    "terms and votes may be lost: replace this server under "
		    "a new id: %.120s",
		    report->text);
		goto out;
	}
	w->stat.segments = s.count;
	w->stat.records = report->records;
	w->stat.batches = s.end.batches;
	if (!w->opt.read_only) {
		error = resume(w, &s, et);
		if (error < 0)
			goto out;
	}
	if (replay != NULL) {
		struct scan again;

		/* Notes and the cut have changed what the scan knew. */
		error = scan_init(&again, &w->disk, et);
		if (error < 0)
			goto out;
		error = scan_run(&again, &replay_visitor, &rec, et);
		scan_release(&again);
	}
out:
	scan_release(&s);
	return error;
}

static int
options_check(
    const struct wal_options *in, struct wal_options *out, struct errtext *et)
{
	*out = *in;
	if (out->segment_size == 0)
		out->segment_size = WAL_SEGMENT_SIZE_DEFAULT;
	if (out->segment_size < WAL_SEGMENT_SIZE_MIN ||
	    out->segment_size > WAL_SEGMENT_SIZE_MAX)
		return errtext(et, -EINVAL,
		    "a segment of %u bytes: not within %u and %u",
		    out->segment_size, WAL_SEGMENT_SIZE_MIN,
		    WAL_SEGMENT_SIZE_MAX);
	out->segment_size -= out->segment_size % BLOCK;
	return 0;
}

int
wal_open(struct disk *disk, const struct wal_options *opt, wal_replay_cb replay,
    void *ctx, struct wal **out, struct wal_report *report, struct errtext *et)
{
	struct wal_report unused;
	struct wal *w;
	int error;

	if (report == NULL)
		report = &unused;
	memset(report, 0, sizeof(*report));
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return errtext(et, -ENOMEM, "out of memory");
	w->disk = *disk;
	error = options_check(opt, &w->opt, et);
	if (error < 0)
		goto fail;
	if (!opt->read_only) {
		error = tidy(disk);
		if (error < 0) {
			errtext(et, error, "cannot make 'wal': %s",
			    strerror(-error));
			goto fail;
		}
		w->buf_cap = BUF_MIN;
		w->buf = aligned_alloc(DISK_ALIGN, w->buf_cap);
		if (w->buf == NULL) {
			error = errtext(et, -ENOMEM, "out of memory");
			goto fail;
		}
	}
	error = recover(w, replay, ctx, report, et);
	if (error != 0)
		goto fail;
	*out = w;
	return 0;
fail:
	w->error = -EBADMSG; /* no mark on a log that did not open */
	wal_close(w);
	return error;
}

void
wal_close(struct wal *w)
{
	const struct disk_ops *ops;

	if (w == NULL)
		return;
	ops = w->disk.ops;
	if (w->file != NULL && w->error == 0 && !w->opt.no_sync &&
	    wal_mark(w) == 0 && w->last_is_mark)
		(void)ops->sync(w->disk.ctx, w->file);
	if (w->file != NULL)
		ops->close(w->disk.ctx, w->file);
	if (w->prepare != NULL)
		ops->close(w->disk.ctx, w->prepare);
	readers_close(w);
	groups_release(&w->groups);
	free(w->buf);
	free(w->window);
	free(w);
}

size_t
wal_groups(const struct wal *w, const struct wal_group **out)
{
	*out = w->groups.pub;
	return w->groups.count;
}

/* ---- writing ----------------------------------------------------------- */

static int
buf_reserve(struct wal *w, size_t len)
{
	size_t cap = w->buf_cap;
	uint8_t *more;

	if (len <= cap)
		return 0;
	while (cap < len)
		cap *= 2;
	more = aligned_alloc(DISK_ALIGN, cap);
	if (more == NULL)
		return -ENOMEM;
	free(w->buf);
	w->buf = more;
	w->buf_cap = cap;
	return 0;
}

static bool
kind_may_be_written(uint32_t kind)
{
	return record_is_entry((enum record_kind)kind) ||
	       (kind >= RECORD_STATE && kind <= RECORD_RESET);
}

/* The fields of a record that somebody else has sealed. */
static size_t
record_peek(const uint8_t *p, size_t avail, struct record *r)
{
	size_t size;

	if (avail < RECORD_HEADER_LEN)
		return 0;
	r->len = get_le32(p + 4);
	if (r->len > RECORD_PAYLOAD_MAX)
		return 0;
	size = record_size(r->len);
	if (size > avail || !kind_may_be_written(get_le32(p + 12)))
		return 0;
	r->group = get_le32(p + 8);
	r->kind = (enum record_kind)get_le32(p + 12);
	r->index = get_le64(p + 16);
	r->term = get_le64(p + 24);
	r->payload = p + RECORD_HEADER_LEN;
	return size;
}

/* Counts the records, and finds those that may not stand here. */
static int
batch_admit(struct wal *w, const struct iovec *iov, int iovcnt,
    struct batch_head *h, bool *entries)
{
	uint64_t len = 0;

	/* A number of its own: a batch that came to nothing, for want of
	 * space say, leaves its sequence to the next one. */
	w->admission++;
	for (int i = 0; i < iovcnt; i++) {
		const uint8_t *p = iov[i].iov_base;
		size_t left = iov[i].iov_len;

		len += left;
		if (len > WAL_BATCH_LEN_MAX)
			return -EMSGSIZE;
		while (left > 0) {
			struct record r;
			size_t size = record_peek(p, left, &r);
			int error;

			if (size == 0)
				return -EINVAL;
			error = groups_admit(&w->groups, &r, w->admission);
			if (error < 0)
				return error;
			*entries |= record_is_entry(r.kind);
			h->count++;
			p += size;
			left -= size;
		}
	}
	h->records_len = (uint32_t)len;
	h->sectors = batch_head_sectors(h->count, h->records_len);
	return 0;
}

/* The records stand in the log now. */
static void
batch_learn(struct wal *w, const uint8_t *records, const struct batch_head *h,
    uint64_t offset)
{
	uint32_t at = 0;

	while (at < h->records_len) {
		struct record r;
		size_t size =
		    record_peek(records + at, h->records_len - at, &r);
		int error;

		assert(size > 0);
		error = groups_record(&w->groups, &r,
		    pos_make(w->number, offset + at), h->sequence);
		assert(error == 0); /* batch_admit() saw to that */
		if (r.kind == RECORD_STATE)
			w->state = h->sequence;
		at += (uint32_t)size;
	}
	/* Entries mend a damaged group. */
	if (w->any_damaged)
		judge(w);
}

/* Write the batch whose records stand in buf. */
static int
batch_write(struct wal *w, struct batch_head *h)
{
	uint64_t len = batch_len(h->sectors, h->records_len);
	int error;

	h->nonce = w->nonce;
	h->synced = w->synced;
	h->state = w->state;
	h->chain = w->chain;
	batch_seal(w->buf, h);
	error = w->disk.ops->write(
	    w->disk.ctx, w->file, w->buf, (size_t)len, w->offset);
	if (error < 0) {
		w->error = error;
		return error;
	}
	w->dirty = true;
	w->sequence = h->sequence;
	w->chain = h->check;
	w->last_is_mark = h->count == 0;
	w->stat.batches++;
	w->stat.records += h->count;
	batch_learn(w, w->buf + (size_t)h->sectors * SECTOR, h,
	    w->offset + (uint64_t)h->sectors * SECTOR);
	w->offset += len;
	w->stat.bytes += len;
	return 0;
}

static bool
is_nospace(int error)
{
	return error == -ENOSPC || error == -EDQUOT;
}

/* What only hard state and the like may take. */
static uint64_t
reserve_of(const struct wal *w)
{
	uint64_t quarter = w->size / 4;

	return quarter < WAL_RESERVE_MAX ? quarter : WAL_RESERVE_MAX;
}

/*
 * Room for a batch.  From the middle of a segment on the next one is made
 * ready before entries go on, so that whoever writes learns of a full disk
 * while there is room for all that is on its way; and the last part of the
 * segment is not theirs.
 */
static int
room_make(struct wal *w, uint64_t len, bool entries)
{
	uint64_t rest = w->size - w->offset;
	uint64_t left = rest < len ? 0 : rest - len;
	int error = 0;

	if (entries && !w->next_ready && left < w->size / 2 && !MUTANT(78)) {
		error = w->is_short ? -ENOSPC : segment_prepare_all(w);
		if (is_nospace(error) && rest >= len && left >= reserve_of(w))
			error = 0;
	}
	if (error == 0 && rest < len)
		error = segment_advance(w, len, !entries);
	return error;
}

int
wal_write(struct wal *w, const struct iovec *iov, int iovcnt)
{
	struct batch_head h = {.sequence = w->sequence + 1};
	bool entries = false;
	uint64_t len;
	uint8_t *dst;
	int error;

	if (w->error < 0)
		return w->error;
	if (w->opt.read_only)
		return -EROFS;
	if (w->is_full && !MUTANT(79))
		return -ENOSPC;
	error = batch_admit(w, iov, iovcnt, &h, &entries);
	if (error < 0)
		return error;
	if (h.count == 0)
		return 0;
	len = batch_len(h.sectors, h.records_len);
	error = buf_reserve(w, (size_t)len);
	if (error < 0)
		return error;
	error = room_make(w, len, entries);
	if (error < 0) {
		w->is_full = is_nospace(error);
		w->refused_len = len;
		return error;
	}
	dst = w->buf + (size_t)h.sectors * SECTOR;
	for (int i = 0; i < iovcnt; i++) {
		memcpy(dst, iov[i].iov_base, iov[i].iov_len);
		dst += iov[i].iov_len;
	}
	return batch_write(w, &h);
}

int
wal_sync(struct wal *w)
{
	int error;

	if (w->error < 0)
		return w->error;
	if (w->opt.read_only)
		return -EROFS;
	if (!w->dirty || w->opt.no_sync)
		return 0;
	error = w->disk.ops->sync(w->disk.ctx, w->file);
	/* Never again: the kernel may have dropped the pages, and a second
	 * sync would report a success that means nothing. */
	if (error < 0) {
		w->error = MUTANT(64) ? 0 : error;
		return error;
	}
	w->dirty = false;
	w->synced = w->sequence;
	w->stat.syncs++;
	return 0;
}

int
wal_mark(struct wal *w)
{
	struct batch_head h = {.sequence = w->sequence + 1, .sectors = 1};

	if (w->error < 0)
		return w->error;
	if (w->opt.read_only)
		return -EROFS;
	/* Nothing to vouch for, or not yet; and a full segment's last batch
	 * is vouched for by the next segment's first. */
	if (w->last_is_mark || w->sequence == 0 || w->synced != w->sequence ||
	    w->size - w->offset < BLOCK || MUTANT(65))
		return 0;
	return batch_write(w, &h);
}

int
wal_prepare(struct wal *w)
{
	if (w->error < 0)
		return w->error;
	if (w->opt.read_only)
		return -EROFS;
	return w->is_short && !w->next_ready ? -ENOSPC : segment_prepare(w);
}

bool
wal_is_short(const struct wal *w)
{
	return w->is_short || w->is_full;
}

uint64_t
wal_room(const struct wal *w)
{
	uint64_t rest = w->size - w->offset, kept = reserve_of(w);

	return w->next_ready ? rest : rest > kept ? rest - kept : 0;
}

int
wal_retry(struct wal *w)
{
	int error;

	if (w->error < 0)
		return w->error;
	if (w->opt.read_only)
		return -EROFS;
	error = segment_prepare_all(w);
	/* One that no segment holds finds out here, not when it is written. */
	if (error == 0 && w->is_full &&
	    w->refused_len > w->opt.segment_size - SEGMENT_HEADER_LEN &&
	    w->refused_len > w->size - w->offset) {
		error = segment_advance(w, w->refused_len, false);
		if (error == 0)
			error = segment_prepare_all(w);
	}
	if (error == 0)
		w->is_short = w->is_full = false;
	return error;
}

/* The lowest segment that any group needs. */
static uint64_t
keep_from(const struct wal *w)
{
	uint64_t keep = w->number;

	for (size_t i = 0; i < w->groups.count; i++) {
		const struct wal_group *g = &w->groups.pub[i];
		const struct group_log *l = &w->groups.log[i];
		uint64_t pos[] = {l->start_pos, l->state_pos,
		    g->last >= g->first ? l->pos[0] : l->start_pos};

		/* Never begun behind a snapshot, or not trusted: all of it. */
		if (!l->started || g->damaged)
			return w->number_first;
		for (size_t k = 0; k < sizeof(pos) / sizeof(pos[0]); k++)
			if (pos_number(pos[k]) < keep)
				keep = pos_number(pos[k]);
	}
	return w->groups.count == 0 ? w->number_first : keep;
}

int
wal_compact(struct wal *w, uint64_t *dropped)
{
	const struct disk_ops *ops = w->disk.ops;
	char path[SEGMENT_PATH_LEN];
	uint64_t keep;
	int error;

	*dropped = 0;
	/* What says that they are not needed is durable first. */
	error = MUTANT(77) ? 0 : wal_sync(w);
	if (error < 0)
		return error;
	keep = keep_from(w);
	if (w->number_first < keep)
		readers_close(w);
	/* Oldest first and one by one: a crash leaves no gap. */
	if (w->number_first < keep) {
		segment_path(w->number_first, path);
		error = ops->unlink(w->disk.ctx, path);
		if (error == 0 || error == -ENOENT)
			error = ops->sync_dir(w->disk.ctx, "wal");
		if (error < 0)
			return error;
		w->number_first++;
		w->stat.segments--;
		(*dropped)++;
	}
	return 0;
}

uint64_t
wal_first_segment(const struct wal *w)
{
	return w->number_first;
}

uint64_t
wal_last_segment(const struct wal *w)
{
	return w->number;
}

int
wal_roll(struct wal *w)
{
	if (w->error < 0)
		return w->error;
	if (w->opt.read_only)
		return -EROFS;
	if (w->is_full)
		return -ENOSPC;
	return w->offset == SEGMENT_HEADER_LEN
		   ? 0
		   : segment_advance(w, BLOCK, false);
}

void
wal_stat(const struct wal *w, struct wal_stat *out)
{
	*out = w->stat;
}
