/*
 * repair.c - mend the log of a server that has stopped.
 */
#include "raftwal/repair.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftwal/bytes.h"
#include "raftwal/facts.h"
#include "raftwal/repair_batch.h"
#include "raftwal/scan.h"

#define PLACES_MAX 100000
#define QUARANTINE_NAMES_MAX 1000

enum place_kind {
	PLACE_BATCH,
	PLACE_HEADER, /* of a segment */
	PLACE_TORN,
	PLACE_LOST, /* nothing tells what stood there */
};

struct place {
	enum place_kind kind;
	size_t segment; /* of the scan */
	uint64_t offset, len;
	struct batch_head head;
	char detail[192];
};

struct repair {
	struct disk *disk;
	const struct repair_options *opt;
	struct repair_result *result;
	struct errtext *et;
	struct scan scan;
	struct place *place;
	size_t count, cap;
};

/* ---- what is wrong, and where ------------------------------------------ */

static struct place *
place_add(struct repair *r)
{
	struct place *more;

	if (r->count == PLACES_MAX)
		return NULL;
	if (r->count == r->cap) {
		r->cap = r->cap == 0 ? 16 : r->cap * 2;
		more = reallocarray(r->place, r->cap, sizeof(*more));
		if (more == NULL)
			return NULL;
		r->place = more;
	}
	memset(&r->place[r->count], 0, sizeof(*r->place));
	return &r->place[r->count++];
}

static int
saw_problem(void *ctx, const struct wal_problem *p)
{
	struct repair *r = ctx;
	struct place *last = r->count > 0 ? &r->place[r->count - 1] : NULL;
	struct place *new;

	/* Records of a batch that is known to be damaged. */
	if (last != NULL && last->kind == PLACE_BATCH &&
	    last->segment == r->scan.at && p->offset > last->offset &&
	    p->offset < last->offset + last->len)
		return 0;
	new = place_add(r);
	if (new == NULL)
		return -ENOMEM;
	new->kind = PLACE_LOST;
	new->segment = r->scan.at;
	new->offset = p->offset;
	new->len = p->len;
	(void)snprintf(new->detail, sizeof(new->detail), "%s", p->detail);
	if (strcmp(p->problem, "torn") == 0)
		new->kind = PLACE_TORN;
	else if (p->offset == 0 && p->len == BLOCK)
		new->kind = PLACE_HEADER;
	return 0;
}

static int
saw_batch(void *ctx, const struct scan_batch *b)
{
	struct repair *r = ctx;
	struct place *last = r->count > 0 ? &r->place[r->count - 1] : NULL;

	if (last == NULL || last->kind != PLACE_LOST ||
	    last->segment != (size_t)(b->segment - r->scan.segments) ||
	    last->offset != b->offset || last->len != b->len)
		return 0;
	last->kind = PLACE_BATCH;
	last->head = *b->head;
	return 0;
}

static const struct scan_visitor visitor = {
    .batch = saw_batch,
    .problem = saw_problem,
};

static int
tell(struct repair *r, struct repair_step *s, const char *action)
{
	s->action = action;
	if (strcmp(action, "leave") == 0)
		r->result->left++;
	else
		r->result->steps++;
	return r->opt->step == NULL ? 0 : r->opt->step(s, r->opt->step_ctx);
}

static void
step_at(const struct repair *r, const struct place *p, struct repair_step *s)
{
	memset(s, 0, sizeof(*s));
	if (p->segment < r->scan.count)
		segment_path(r->scan.segments[p->segment].number, s->file);
	s->offset = p->offset;
	s->len = p->len;
	(void)snprintf(s->detail, sizeof(s->detail), "%s", p->detail);
}

/* ---- in place ---------------------------------------------------------- */

/* The bytes as they are, synced, before any of them is overwritten. */
static int
quarantine(struct repair *r, const struct place *p, const uint8_t *bytes)
{
	const struct disk_ops *ops = r->disk->ops;
	struct disk_file *f = NULL;
	char path[96];
	int error = ops->mkdir(r->disk->ctx, "quarantine");

	if (error == 0)
		error = ops->sync_dir(r->disk->ctx, ".");
	if (error < 0 && error != -EEXIST)
		return error;
	error = -EEXIST;
	for (int i = 0; i < QUARANTINE_NAMES_MAX && error == -EEXIST; i++) {
		(void)snprintf(path, sizeof(path),
		    "quarantine/repair-%016" PRIx64 "-%08" PRIx64 "-%d.cut",
		    r->scan.segments[p->segment].number, p->offset, i);
		error =
		    ops->open(r->disk->ctx, path, DISK_WRITE | DISK_CREATE, &f);
	}
	if (error < 0)
		return error;
	error = ops->write(r->disk->ctx, f, bytes, (size_t)p->len, 0);
	if (error == 0)
		error = ops->sync(r->disk->ctx, f);
	ops->close(r->disk->ctx, f);
	return error == 0 ? ops->sync_dir(r->disk->ctx, "quarantine") : error;
}

static int
overwrite(struct repair *r, const struct place *p, const uint8_t *bytes)
{
	const struct disk_ops *ops = r->disk->ops;
	char path[SEGMENT_PATH_LEN];
	struct disk_file *f;
	int error;

	segment_path(r->scan.segments[p->segment].number, path);
	error = ops->open(r->disk->ctx, path, DISK_WRITE, &f);
	if (error < 0)
		return error;
	error = ops->write(r->disk->ctx, f, bytes, (size_t)p->len, p->offset);
	if (error == 0)
		error = ops->sync(r->disk->ctx, f);
	ops->close(r->disk->ctx, f);
	return error;
}

static int
restore_header(struct repair *r, const struct place *p, uint8_t *now,
    struct repair_step *s)
{
	const struct segment *g = &r->scan.segments[p->segment];
	struct segment_header h = {.server_id = r->opt->wal.server_id,
	    .number = g->number,
	    .nonce = g->nonce,
	    .size = g->size};
	unsigned copies;

	if (segment_header_read(now, &h, &copies) < 0 ||
	    h.number != g->number) {
		h.number = g->number;
		/* The batches of the segment know its nonce. */
		if (g->nonce == 0 || h.server_id == 0)
			return -ENODATA;
	}
	segment_header_put(now, &h);
	(void)snprintf(s->detail, sizeof(s->detail),
	    "the segment's header, from %s",
	    g->copies > 0 ? "its other copy" : "what its batches tell");
	return 0;
}

static int
restore_batch(struct repair *r, const struct place *p, uint8_t *now,
    struct repair_step *s)
{
	struct batch_mend m = {.head = &p->head,
	    .fetch = r->opt->fetch,
	    .fetch_ctx = r->opt->fetch_ctx,
	    .et = r->et};
	int error = batch_mend(now, &m);

	if (error < 0)
		return error;
	(void)snprintf(s->detail, sizeof(s->detail),
	    "the batch as it was written: %u sectors by their checksum, %u "
	    "from copies, %u entries from the peer",
	    m.bits, m.copies, m.fetched);
	return 0;
}

/* One place: made again, or left. */
static int
restore(struct repair *r, const struct place *p)
{
	uint8_t *old = NULL, *now = NULL, *bytes;
	struct repair_step s;
	uint64_t size;
	int error = -ENODATA;

	step_at(r, p, &s);
	/* A file may end before what it ought to hold. */
	size =
	    p->segment < r->scan.count ? r->scan.segments[p->segment].size : 0;
	if (p->kind == PLACE_LOST || p->len == 0 || p->offset > size ||
	    p->len > size - p->offset)
		return tell(r, &s, "leave");
	old = malloc((size_t)p->len);
	now = aligned_alloc(DISK_ALIGN, (size_t)p->len);
	if (old == NULL || now == NULL) {
		error = -ENOMEM;
		goto out;
	}
	error =
	    scan_bytes(&r->scan, p->segment, p->offset, (size_t)p->len, &bytes);
	if (error < 0)
		goto out;
	memcpy(old, bytes, (size_t)p->len);
	memcpy(now, bytes, (size_t)p->len);
	error = p->kind == PLACE_HEADER ? restore_header(r, p, now, &s)
					: restore_batch(r, p, now, &s);
	if (error == -ENODATA) {
		error = tell(r, &s, "leave");
		goto out;
	}
	error = tell(r, &s, "restore");
	if (error == 0 && r->opt->write && !MUTANT(159))
		error = quarantine(r, p, old);
	if (error == 0 && r->opt->write)
		error = overwrite(r, p, now);
	if (error < 0 && r->et != NULL && r->et->text[0] == '\0')
		(void)errtext(r->et, error, "cannot restore '%s': %s", s.file,
		    strerror(-error));
out:
	free(old);
	free(now);
	return error;
}

static int
restore_all(struct repair *r, bool *torn)
{
	struct repair_step s;
	int error = scan_init(&r->scan, r->disk, r->et);

	if (error < 0)
		return error;
	error = scan_run(&r->scan, &visitor, r, r->et);
	for (size_t i = 0; i < r->count && error == 0; i++) {
		if (r->place[i].kind != PLACE_TORN) {
			error = restore(r, &r->place[i]);
			continue;
		}
		*torn = true;
		step_at(r, &r->place[i], &s);
		error = tell(r, &s, "cut");
	}
	scan_release(&r->scan);
	return error;
}

/* ---- at the end -------------------------------------------------------- */

struct problems {
	uint64_t places;	/* of damage */
	bool votes;		/* may be lost */
	struct wal_problem why; /* the last one about them */
};

static int
count_places(const struct wal_problem *p, void *ctx)
{
	struct problems *all = ctx;

	if (p->file[0] == '\0' && p->group == 0) {
		all->votes = true;
		all->why = *p;
	}
	all->places += p->file[0] != '\0' && strcmp(p->problem, "torn") != 0;
	return 0;
}

/* Sealed records as they came, after a hard state if their term demands. */
static int
append(struct wal *wal, const struct wal_group *g,
    const struct repair_entries *e, size_t len, uint64_t term)
{
	uint8_t state[64];
	struct record r = {
	    .group = g->group, .kind = RECORD_STATE, .term = term, .len = 8};
	struct iovec iov[2] = {{state, 0}, {NULL, len}};

	if (term > g->term) {
		put_le64(state + RECORD_HEADER_LEN, 0);
		record_seal(state, &r);
		iov[0].iov_len = record_size(8);
	}
	memcpy(&iov[1].iov_base, &e->records, sizeof(e->records));
	return wal_write(wal, iov, 2);
}

/* What came is what was asked for: whole, in order, of this group. */
static int
judge_entries(const struct repair_entries *e, uint32_t group, uint64_t from,
    uint64_t to, size_t *len, uint64_t *last, uint64_t *term)
{
	struct record r;
	size_t at = 0;

	*last = from - 1;
	*term = 0;
	while (at < e->len && *last < to) {
		size_t size = record_read(e->records + at, e->len - at, &r);

		if (size == 0 || r.group != group || r.index != *last + 1 ||
		    !record_is_entry(r.kind) || r.term < *term ||
		    (r.index > e->commit && !MUTANT(158)))
			return -EPROTO;
		*last = r.index;
		*term = r.term;
		at += size;
	}
	*len = at;
	return at == 0 ? -EPROTO : 0;
}

static const struct wal_group *
find_group(const struct wal *wal, uint32_t group)
{
	const struct wal_group *list;
	size_t n = wal_groups(wal, &list);

	for (size_t i = 0; i < n; i++)
		if (list[i].group == group)
			return &list[i];
	return NULL;
}

/* Does the peer's log go on where ours ends?  last_term 0: not known. */
static bool
follows(uint64_t last, uint64_t last_term, const struct repair_entries *e)
{
	return last == 0 || (e->prev_term == last_term && last_term != 0) ||
	       MUTANT(160);
}

/* Entries from the peer, until the group is whole or the peer has no more. */
static int
mend_group(
    struct repair *r, struct wal *wal, uint32_t group, uint64_t last_term)
{
	const struct wal_group *g = find_group(wal, group);
	struct repair_step s = {.group = group};
	struct repair_entries e;
	uint64_t last, term;
	size_t len;
	int error;

	while (g->damaged) {
		uint64_t from = g->last + 1;

		error = r->opt->fetch(
		    r->opt->fetch_ctx, group, from, UINT64_MAX, &e, r->et);
		if (error < 0)
			return error;
		error = judge_entries(
		    &e, group, from, UINT64_MAX, &len, &last, &term);
		if (error == 0 && !follows(g->last, last_term, &e))
			error = -ENOENT;
		if (error < 0)
			return error;
		s.from = from;
		s.to = last;
		(void)snprintf(s.detail, sizeof(s.detail),
		    "committed entries of the peer");
		error = tell(r, &s, "append");
		if (error == 0)
			error = append(wal, g, &e, len, term);
		if (error < 0)
			return error;
		last_term = term;
		g = find_group(wal, group);
	}
	return wal_sync(wal);
}

/* All bytes are as they were written: what once was lost is there again. */
static int
tell_whole(struct repair *r, const struct wal_group *g)
{
	struct repair_step s = {.group = g->group, .to = g->last};

	(void)snprintf(s.detail, sizeof(s.detail),
	    "the note of its damage, now that nothing is missing");
	return tell(r, &s, "whole");
}

static int
put_whole(struct repair *r, struct wal *wal, const struct wal_group *g)
{
	uint8_t buf[64];
	struct record note = {
	    .group = g->group, .kind = RECORD_DAMAGE, .len = 8};
	struct iovec iov = {buf, record_size(8)};
	int error = tell_whole(r, g);

	if (error != 0)
		return error;
	put_le64(buf + RECORD_HEADER_LEN, 0);
	record_seal(buf, &note);
	error = wal_write(wal, &iov, 1);
	return error == 0 ? wal_sync(wal) : error;
}

static int
left_group(struct repair *r, const struct wal_group *g, const char *why)
{
	struct repair_step s = {.group = g->group, .from = g->last + 1};

	r->result->whole = false;
	if (g->last_known > g->last)
		s.to = g->last_known;
	(void)snprintf(s.detail, sizeof(s.detail),
	    "the log ends at %" PRIu64 ": raftd fetches the rest from a leader"
	    "%s%s",
	    g->last, why[0] != '\0' ? "; the peer: " : "", why);
	return tell(r, &s, "leave");
}

/* Without writing: would the peer's entries follow? */
static int
would_mend(struct repair *r, const struct group_facts *g)
{
	struct repair_step s = {.group = g->log.group};
	struct repair_entries e;
	uint64_t last, term;
	size_t len;

	if (r->opt->fetch == NULL ||
	    r->opt->fetch(r->opt->fetch_ctx, g->log.group, g->log.last + 1,
		UINT64_MAX, &e, r->et) < 0 ||
	    judge_entries(&e, g->log.group, g->log.last + 1, UINT64_MAX, &len,
		&last, &term) < 0 ||
	    !follows(g->log.last, g->last_term, &e))
		return left_group(r, &g->log, r->et != NULL ? r->et->text : "");
	s.from = g->log.last + 1;
	s.to = e.commit;
	(void)snprintf(
	    s.detail, sizeof(s.detail), "committed entries of the peer");
	return tell(r, &s, "append");
}

/* Without writing: what would be left to do behind what is in place. */
static int
end_dry(struct repair *r)
{
	struct problems problems = {0};
	struct repair_step s = {.file = ""};
	struct wal_report report;
	struct facts f;
	int error = wal_check(r->disk, count_places, &problems, &report, r->et);

	if (error == 0)
		error = facts_read(r->disk, &f, r->et);
	if (error != 0)
		return error;
	for (size_t i = 0; i < f.count && error == 0; i++) {
		if (!f.group[i].log.damaged)
			continue;
		/* A note alone is left of what has been mended. */
		error = problems.places == 0 ? tell_whole(r, &f.group[i].log)
					     : would_mend(r, &f.group[i]);
	}
	facts_release(&f);
	if (error == 0 && problems.votes) {
		r->result->whole = false;
		(void)snprintf(
		    s.detail, sizeof(s.detail), "%s", problems.why.detail);
		error = tell(r, &s, "leave");
	}
	return error;
}

/*
 * Terms and votes once more, as they are.  Behind a tail that was cut in a
 * file that had become shorter only a later batch tells that no more is
 * missing.
 */
static int
put_states(struct wal *wal)
{
	const struct wal_group *list;
	size_t n = wal_groups(wal, &list), len = 0, one = record_size(8);
	uint8_t *buf = calloc(n + 1, one);
	struct iovec iov = {buf, 0};
	int error = 0;

	if (buf == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct record r = {.group = list[i].group,
		    .kind = RECORD_STATE,
		    .term = list[i].term,
		    .len = 8};

		if (list[i].term == 0 && list[i].vote == 0)
			continue;
		put_le64(buf + len + RECORD_HEADER_LEN, list[i].vote);
		record_seal(buf + len, &r);
		len += one;
	}
	iov.iov_len = len;
	if (len > 0)
		error = wal_write(wal, &iov, 1);
	free(buf);
	return error == 0 ? wal_sync(wal) : error;
}

static int
end_write(struct repair *r, const struct facts *f, bool clean, bool torn)
{
	const struct wal_group *g;
	struct errtext why = {""};
	struct wal *wal;
	int error =
	    wal_open(r->disk, &r->opt->wal, NULL, NULL, &wal, NULL, r->et);

	if (error < 0)
		return error;
	if (torn)
		error = put_states(wal);
	for (size_t i = 0; i < f->count && error == 0; i++) {
		uint32_t group = f->group[i].log.group;

		g = find_group(wal, group);
		if (g == NULL || !g->damaged)
			continue;
		if (clean) {
			error = put_whole(r, wal, g);
			g = find_group(wal, group);
		} else if (r->opt->fetch != NULL) {
			error =
			    mend_group(r, wal, group, f->group[i].last_term);
			if (error == -ENOENT || error == -EPROTO) {
				if (r->et != NULL)
					why = *r->et;
				error = 0;
			}
			g = find_group(wal, group);
		}
		if (error == 0 && g->damaged)
			error = left_group(r, g, why.text);
	}
	wal_close(wal);
	if (error < 0 && r->et != NULL && r->et->text[0] == '\0')
		(void)errtext(r->et, error, "the log: %s", strerror(-error));
	return error;
}

/* What the next start will find, whatever was meant to come of it. */
static int
judge_end(struct repair *r)
{
	struct problems problems = {0};
	struct repair_step s = {.file = ""};
	bool told = !r->result->whole;
	struct wal_report report;
	struct facts f;
	int error = wal_check(r->disk, count_places, &problems, &report, r->et);

	if (error == 0)
		error = facts_read(r->disk, &f, r->et);
	if (error != 0)
		return error;
	for (size_t i = 0; i < f.count && error == 0 && !told; i++)
		if (f.group[i].log.damaged)
			error = left_group(r, &f.group[i].log, "");
	facts_release(&f);
	if (error == 0 && problems.votes) {
		r->result->whole = false;
		(void)snprintf(
		    s.detail, sizeof(s.detail), "%s", problems.why.detail);
		error = tell(r, &s, "leave");
	}
	return error;
}

int
repair_run(struct disk *disk, const struct repair_options *opt,
    struct repair_result *result, struct errtext *et)
{
	struct repair r = {
	    .disk = disk, .opt = opt, .result = result, .et = et};
	struct problems problems = {0};
	struct wal_report report;
	struct facts f;
	bool torn = false, damaged = false;
	int error;

	memset(result, 0, sizeof(*result));
	result->whole = true;
	error = restore_all(&r, &torn);
	free(r.place);
	if (error != 0)
		return error;
	if (!opt->write)
		/* Where all is restored the entries are there, too. */
		return result->steps > 0 && result->left == 0 ? 0 : end_dry(&r);
	error = wal_check(disk, count_places, &problems, &report, et);
	if (error == 0)
		error = facts_read(disk, &f, et);
	if (error != 0)
		return error;
	for (size_t i = 0; i < f.count; i++)
		damaged |= f.group[i].log.damaged;
	if (torn || damaged)
		error = end_write(&r, &f, problems.places == 0, torn);
	facts_release(&f);
	return error == 0 ? judge_end(&r) : error;
}
