/*
 * scan.c - read a whole log in order, and judge it.
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

/* How a step of the scan ends, beside 0 and what visitors return. */
enum {
	SEGMENT_DONE = -1000001,
	LOG_DONE = -1000002,
};

/* ---- problems ---------------------------------------------------------- */

static int
problem(struct scan *s, uint64_t offset, uint64_t len, const char *what,
    const struct record_copy *c, const char *detail)
{
	struct wal_problem p;

	if (s->visitor->problem == NULL)
		return 0;
	memset(&p, 0, sizeof(p));
	if (s->at < s->count)
		segment_path(s->segments[s->at].number, p.file);
	p.offset = offset;
	p.len = len;
	p.problem = what;
	if (c != NULL) {
		p.group = c->group;
		p.index = c->kind < RECORD_STATE ? c->index : 0;
		p.term = c->term;
	}
	(void)snprintf(p.detail, sizeof(p.detail), "%s", detail);
	return s->visitor->problem(s->ctx, &p);
}

static int
blind(struct scan *s, uint64_t last, bool state_lost)
{
	return s->visitor->blind == NULL
		   ? 0
		   : s->visitor->blind(s->ctx, last, state_lost);
}

/* ---- one batch --------------------------------------------------------- */

static int
deliver(struct scan *s, const struct record *r, uint64_t pos,
    const struct scan_batch *b, bool ok)
{
	if (r->kind == RECORD_STATE)
		s->state = b->head->sequence;
	return s->visitor->record == NULL
		   ? 0
		   : s->visitor->record(s->ctx, r, pos, b, ok);
}

/* A record whose own bytes are bad: what its copy tells of it. */
static int
deliver_copy(struct scan *s, const struct record_copy *c, uint64_t offset,
    const struct scan_batch *b)
{
	struct record r = {.group = c->group,
	    .kind = (enum record_kind)c->kind,
	    .index = c->index,
	    .term = c->term};
	uint8_t payload[8];
	int error;

	error = problem(s, offset, record_size(c->len), "damaged", c,
	    "the record's checksum does not fit");
	if (error != 0)
		return error;
	if (!record_has_number(r.kind)) {
		r.len = c->len;
		return deliver(s, &r, 0, b, false);
	}
	put_le64(payload, c->index);
	r.index = 0;
	r.payload = payload;
	r.len = sizeof(payload);
	return deliver(s, &r, 0, b, true);
}

/* Each record of a batch stands or falls by itself. */
static int
batch_records(struct scan *s, const uint8_t *base, const struct scan_batch *b)
{
	const struct batch_head *h = b->head;
	uint64_t start = (uint64_t)h->sectors * SECTOR, at = 0;
	const uint8_t *records = base + start;

	for (uint32_t i = 0; i < h->count; i++) {
		size_t left = (size_t)(h->records_len - at), size;
		uint64_t offset = b->offset + start + at;
		struct record_copy c;
		struct record r;
		bool copied;
		int error;

		size = record_read(records + at, left, &r);
		if (size == 0 || !b->valid) {
			copied = batch_copy(base, h, i, &c);
			if (size != 0 && copied &&
			    c.crc != get_le32(records + at))
				size = 0;
			if (size == 0 && copied) {
				size = record_size(c.len);
				error = deliver_copy(s, &c, offset, b);
				if (error != 0)
					return error;
				if (size > left)
					return 0;
				at += size;
				continue;
			}
		}
		if (size == 0) {
			error = problem(s, offset, left, "damaged", NULL,
			    "neither the records nor their copies are whole");
			return error != 0 ? error : blind(s, h->sequence, true);
		}
		error = deliver(
		    s, &r, pos_make(b->segment->number, offset), b, true);
		if (error != 0)
			return error;
		at += size;
	}
	return 0;
}

/* The batch at the scan's place counts, whole or in part. */
static int
batch_take(
    struct scan *s, const uint8_t *base, const struct batch_head *h, bool valid)
{
	struct scan_batch b = {.segment = &s->segments[s->at],
	    .offset = s->offset,
	    .len = batch_len(h->sectors, h->records_len),
	    .head = h,
	    .valid = valid};
	int error;

	s->sequence = h->sequence;
	s->chain = h->check;
	s->chain_known = true;
	s->last_is_mark = h->count == 0;
	s->batches++;
	if (h->state > s->state)
		s->state = h->state;
	/* A segment was synced before a batch went into the next one. */
	if (h->synced + 1 >= h->sequence || s->vouched_at != s->at) {
		s->vouched_at = s->at;
		s->vouched = b.offset;
	}
	if (valid && !batch_frame_ok(base, h)) {
		error = problem(s, b.offset, b.len, "damaged", NULL,
		    "the padding or the foot was changed; nothing is lost");
		if (error != 0)
			return error;
	}
	if (s->visitor->batch != NULL) {
		error = s->visitor->batch(s->ctx, &b);
		if (error != 0)
			return error;
	}
	error = batch_records(s, base, &b);
	s->offset += b.len;
	return error;
}

static bool
fits(const struct segment *g, uint64_t offset, const struct batch_head *h)
{
	return batch_len(h->sectors, h->records_len) <= g->size - offset;
}

/* ---- where no valid batch stands --------------------------------------- */

/* *end: behind the last byte from offset on that is not zero, in whole
 * sectors; offset if there is none. */
static int
written_end(struct scan *s, size_t segment, uint64_t offset, uint64_t *end)
{
	uint64_t size = s->segments[segment].size;

	*end = offset;
	for (; offset < size; offset += BLOCK) {
		uint8_t *p;
		int error = scan_bytes(s, segment, offset, BLOCK, &p);

		if (error < 0)
			return error;
		if (p[0] == 0 && memcmp(p, p + 1, BLOCK - 1) == 0)
			continue;
		for (unsigned k = 0; k < BLOCK; k += SECTOR)
			if (!sector_is_zero(p + k))
				*end = offset + k + SECTOR;
	}
	return 0;
}

/* What the rest of the log says about a place without a valid batch. */
struct evidence {
	uint64_t end;	    /* the segment's, as by written_end() */
	uint64_t synced;    /* the highest that any later head vouches for */
	bool later_segment; /* something was written into one */
	bool next_known;    /* the next valid head: */
	bool next_here;	    /* it is in this segment, at next_offset */
	uint64_t next_offset;
	struct batch_head next;
};

static int
heads_after(struct scan *s, size_t segment, uint64_t offset, uint64_t end,
    struct evidence *e)
{
	const struct segment *g = &s->segments[segment];

	for (; offset < end && offset + BLOCK <= g->size; offset += BLOCK) {
		struct batch_head h;
		uint8_t *p;
		int error = scan_bytes(s, segment, offset, BLOCK, &p);

		if (error < 0)
			return error;
		if (!batch_head_read(p, g->nonce, &h) ||
		    h.sequence <= s->sequence || !fits(g, offset, &h))
			continue;
		if (h.synced > e->synced)
			e->synced = h.synced;
		if (!e->next_known) {
			e->next_known = true;
			e->next_here = segment == s->at;
			e->next_offset = offset;
			e->next = h;
		}
	}
	return 0;
}

/* from: where later batches may begin. */
static int
evidence_find(struct scan *s, uint64_t from, struct evidence *e)
{
	uint64_t end;
	int error;

	error = heads_after(s, s->at, from, e->end, e);
	for (size_t i = s->at + 1; error == 0 && i < s->count; i++) {
		if (s->segments[i].size < 2 * BLOCK)
			continue;
		error = written_end(s, i, SEGMENT_HEADER_LEN, &end);
		if (error < 0 || end == SEGMENT_HEADER_LEN)
			continue;
		e->later_segment = true;
		if (!e->next_known)
			error = heads_after(s, i, SEGMENT_HEADER_LEN, end, e);
	}
	return error;
}

/* The foot of the batch that ought to stand here, whose head is bad. */
static int
foot_find(struct scan *s, uint64_t end, struct batch_head *h, bool *found)
{
	const struct segment *g = &s->segments[s->at];

	*found = false;
	for (uint64_t at = s->offset + BLOCK; at <= end; at += BLOCK) {
		uint8_t *p;
		int error = scan_bytes(s, s->at, at - BLOCK, BLOCK, &p);

		if (error < 0)
			return error;
		if (batch_head_read(p + BLOCK - SECTOR, g->nonce, h) &&
		    h->sequence == s->sequence + 1 &&
		    s->offset + batch_len(h->sectors, h->records_len) == at) {
			*found = true;
			return 0;
		}
	}
	return 0;
}

/*
 * A batch that was finished has a foot in the last sector of one of the
 * blocks from here on.  With zeroes in all of them none was, whatever may
 * have become of the other sectors: space that was never used rots too.
 */
static int
foot_possible(struct scan *s, uint64_t end, bool *possible)
{
	*possible = false;
	for (uint64_t at = s->offset; at < end && !*possible; at += BLOCK) {
		uint8_t *p;
		int error = scan_bytes(s, s->at, at, BLOCK, &p);

		if (error < 0)
			return error;
		*possible = !sector_is_zero(p + BLOCK - SECTOR);
	}
	return 0;
}

static int
torn(struct scan *s, const struct evidence *e)
{
	s->end.torn_len = e->end - s->offset;
	return problem(s, s->offset, s->end.torn_len, "torn", NULL,
	    "a write that never finished; nothing in it was acknowledged");
}

/* Nothing tells what the lost batches held. */
static int
lost_blind(struct scan *s, const struct evidence *e, const char *why)
{
	uint64_t last = s->sequence + 1, to = e->end;
	bool state_lost = true;
	int error;

	if (e->next_known) {
		last = e->next.sequence - 1;
		state_lost = e->next.state > s->sequence;
		to = e->next_here ? e->next_offset : to;
	}
	error = problem(s, s->offset, to - s->offset, "damaged", NULL, why);
	if (error == 0)
		error = blind(s, last, state_lost);
	if (last > s->sequence)
		s->sequence = last;
	if (e->next_known && e->next.state > s->state)
		s->state = e->next.state;
	s->chain_known = false;
	s->last_is_mark = false;
	s->offset = (to + BLOCK - 1) / BLOCK * BLOCK;
	return error;
}

static int
chain_check(struct scan *s, const struct batch_head *h)
{
	int error;

	if (MUTANT(61) || !s->chain_known || h->chain == s->chain)
		return 0;
	error = problem(s, s->offset, batch_len(h->sectors, h->records_len),
	    "chain", NULL, "does not follow on the batch before");
	return error != 0 ? error : blind(s, s->sequence, true);
}

static int
damaged(struct scan *s, const struct evidence *e, struct batch_head *h,
    bool known, bool proven)
{
	const char *why = proven
			      ? "a batch that had been synced lacks sectors or "
				"has changed ones"
			      : "a batch was changed after it had been written";
	bool from_foot = !known;
	uint64_t len;
	uint8_t *base;
	int error;

	if (!known) {
		error = foot_find(s,
		    e->next_here ? e->next_offset
				 : (e->end + BLOCK - 1) / BLOCK * BLOCK,
		    h, &known);
		if (error < 0)
			return error;
	}
	if (!known)
		return lost_blind(s, e, why);
	len = batch_len(h->sectors, h->records_len);
	error = scan_bytes(s, s->at, s->offset, (size_t)len, &base);
	if (error < 0)
		return error;
	error = problem(s, s->offset, len, "damaged", NULL, why);
	if (error != 0)
		return error;
	/* The window is ours: the foot may stand in for the head, for now. */
	if (from_foot)
		memcpy(base, base + len - SECTOR, SECTOR);
	error = chain_check(s, h);
	if (error == 0)
		error = batch_take(s, base, h, false);
	if (from_foot)
		s->buf_len = 0;
	return error;
}

/*
 * No valid batch stands at the scan's place.  0: the place has moved on.
 */
static int
trouble(
    struct scan *s, struct batch_head *h, bool known, enum batch_state state)
{
	const struct segment *g = &s->segments[s->at];
	struct evidence e = {0};
	struct batch_head other;
	uint64_t from = s->offset;
	bool proven, stale, missing, finished = true;
	uint8_t *p;
	int error;

	error = written_end(s, s->at, s->offset, &e.end);
	if (error < 0)
		return error;
	if (e.end == s->offset)
		return SEGMENT_DONE;
	if (known)
		from += batch_len(h->sectors, h->records_len);
	error = evidence_find(s, from, &e);
	if (error == 0 && !known)
		error = foot_possible(s, e.end, &finished);
	if (error < 0)
		return error;
	error = scan_bytes(s, s->at, s->offset, BLOCK, &p);
	if (error < 0)
		return error;
	proven = !MUTANT(60) && (e.synced > s->sequence || e.later_segment);
	missing =
	    sector_is_zero(p) || !finished || (known && state == BATCH_TORN);
	stale = g->copies > 0 && get_le64(p + 8) != g->nonce &&
		head_sector_ok(p) &&
		batch_head_read(p, get_le64(p + 8), &other);
	if (MUTANT(59) || (!proven && (missing || stale || s->follow))) {
		error = torn(s, &e);
		return error != 0 ? error : LOG_DONE;
	}
	return damaged(s, &e, h, known, proven);
}

/* A segment that is shorter than it was made may have held batches. */
static int
truncated(struct scan *s)
{
	struct evidence e = {.end = s->offset};
	int error;

	error = evidence_find(s, s->segments[s->at].size, &e);
	if (error < 0)
		return error;
	if (e.next_known && e.next.sequence == s->sequence + 1)
		return problem(s, s->offset, 0, "damaged", NULL,
		    "the file is shorter than it was made; nothing is lost");
	return lost_blind(s, &e, "the file is shorter than it was made");
}

/* ---- the whole log ----------------------------------------------------- */

static int
step(struct scan *s)
{
	const struct segment *g = &s->segments[s->at];
	enum batch_state state = BATCH_CHANGED;
	struct batch_head h;
	uint8_t *p;
	bool known;
	int error;

	if (g->size < s->offset + BLOCK)
		return SEGMENT_DONE;
	error = scan_bytes(s, s->at, s->offset, BLOCK, &p);
	if (error < 0)
		return error;
	known = batch_head_read(p, g->nonce, &h) &&
		(MUTANT(62) || h.sequence == s->sequence + 1) &&
		fits(g, s->offset, &h);
	if (known) {
		error = scan_bytes(s, s->at, s->offset,
		    (size_t)batch_len(h.sectors, h.records_len), &p);
		if (error < 0)
			return error;
		state = batch_judge(p, &h);
	}
	if (!known || state != BATCH_VALID)
		return trouble(s, &h, known, state);
	error = chain_check(s, &h);
	return error != 0 ? error : batch_take(s, p, &h, true);
}

static void
end_here(struct scan *s)
{
	s->end.segment = s->at;
	s->end.offset = s->offset;
	s->end.sequence = s->sequence;
	s->end.state = s->state;
	s->end.chain = s->chain;
	s->end.last_is_mark = s->last_is_mark;
	s->end.batches = s->batches;
	s->end.vouched = s->vouched_at == s->at && s->vouched < s->offset
			     ? s->vouched
			     : s->offset;
}

/*
 * Segments before this one were dropped: the sequence goes on at its first
 * batch, whose foot may stand in for its head.
 */
static int
sequence_begin(struct scan *s)
{
	const struct segment *g = &s->segments[s->at];
	struct batch_head h;
	uint8_t *p;
	int error;

	s->chain_known = false;
	for (uint64_t at = s->offset; at + BLOCK <= g->size; at += BLOCK) {
		uint64_t end = at + BLOCK - s->offset;
		bool head;

		error = scan_bytes(s, s->at, at, BLOCK, &p);
		if (error < 0)
			return error;
		head = batch_head_read(p, g->nonce, &h);
		/* The second batch: of the first neither end is left. */
		if (head && at > s->offset)
			return 0;
		if (head ||
		    (batch_head_read(p + BLOCK - SECTOR, g->nonce, &h) &&
			batch_len(h.sectors, h.records_len) == end)) {
			s->sequence = h.sequence - 1;
			s->state = h.state;
			return 0;
		}
	}
	return 0;
}

static int
segment_begin(struct scan *s)
{
	const struct segment *g = &s->segments[s->at];
	int error = 0;

	s->offset = SEGMENT_HEADER_LEN;
	if (g->copies < 2 || g->changed)
		error = problem(s, 0, BLOCK, "damaged", NULL,
		    g->copies == 0
			? "both copies of the segment's header were changed"
			: "the segment's header was changed; nothing is lost");
	if (error == 0 && s->at > 0 &&
	    g->number != s->segments[s->at - 1].number + 1)
		error = problem(s, 0, 0, "missing", NULL,
		    "the segment before this one is not there");
	if (error == 0 && s->at == 0 && g->number > 1)
		error = sequence_begin(s);
	return error;
}

/* A step that stays where it is has found the batch that stands there, and
 * the next one takes it: this ends. */
static int
steps(struct scan *s)
{
	int error = 0;

	while (error == 0) {
		error = step(s);
		if (error == 0)
			end_here(s);
	}
	return error;
}

/*
 * A server may have written more here, and then into the next segment, since
 * the end of this one was read.  Once the next one is begun this one is
 * final: look at them in that order.
 */
static int
steps_again(struct scan *s)
{
	bool begun = false;
	uint8_t *p;
	int error;

	if (s->at + 1 < s->count && s->segments[s->at + 1].size >= 2 * BLOCK) {
		error = scan_bytes(s, s->at + 1, SEGMENT_HEADER_LEN, BLOCK, &p);
		if (error < 0)
			return error;
		begun = !sector_is_zero(p);
		scan_close_file(s);
	}
	error = steps(s);
	return error == SEGMENT_DONE && s->follow && !begun ? LOG_DONE : error;
}

static int
segment_scan(struct scan *s, bool from_start)
{
	int error = from_start ? segment_begin(s) : 0;

	if (error == 0)
		error = steps(s);
	if (error == SEGMENT_DONE && s->live)
		error = steps_again(s);
	if (error != SEGMENT_DONE)
		return error;
	if (!s->segments[s->at].truncated)
		return 0;
	error = truncated(s);
	if (error == 0)
		end_here(s);
	return error;
}

static int
segments_scan(struct scan *s, bool from_start, struct errtext *et)
{
	int error = 0;

	for (; s->at < s->count && error == 0; s->at++) {
		error = segment_scan(s, from_start);
		from_start = true;
		if (error == LOG_DONE) {
			end_here(s);
			return 0;
		}
	}
	if (error < 0 && error != -ENOMEM)
		errtext(et, error, "cannot read the log: %s", strerror(-error));
	return error;
}

int
scan_run(
    struct scan *s, const struct scan_visitor *v, void *ctx, struct errtext *et)
{
	s->visitor = v;
	s->ctx = ctx;
	s->at = 0;
	s->offset = SEGMENT_HEADER_LEN;
	s->sequence = 0;
	s->state = 0;
	s->chain = 0;
	s->chain_known = true;
	s->last_is_mark = false;
	s->batches = 0;
	s->vouched_at = SIZE_MAX;
	memset(&s->end, 0, sizeof(s->end));
	s->end.offset = SEGMENT_HEADER_LEN;
	return segments_scan(s, true, et);
}

int
scan_more(
    struct scan *s, const struct scan_visitor *v, void *ctx, struct errtext *et)
{
	struct scan fresh;
	uint64_t number = 0;
	size_t at = 0;
	int error;

	error = scan_init(&fresh, s->disk, et);
	if (error < 0)
		return error;
	if (s->count > 0)
		number = s->segments[s->end.segment].number;
	while (number != 0 && at < fresh.count &&
	       fresh.segments[at].number < number)
		at++;
	fresh.visitor = v;
	fresh.ctx = ctx;
	fresh.live = s->live;
	fresh.follow = s->follow;
	fresh.end = s->end;
	fresh.end.segment = at;
	fresh.at = at;
	fresh.offset = s->end.offset;
	fresh.sequence = s->end.sequence;
	fresh.state = s->end.state;
	fresh.chain = s->end.chain;
	fresh.chain_known = s->end.sequence > 0;
	fresh.batches = s->end.batches;
	fresh.vouched_at = SIZE_MAX;
	scan_release(s);
	*s = fresh;
	return segments_scan(s, false, et);
}
