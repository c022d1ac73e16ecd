/*
 * walk.c - a whole directory for tools: what stands where, and what is wrong
 * with it.  Changes nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "raftwal/groups.h"
#include "raftwal/scan.h"

struct walk {
	struct scan scan;
	struct groups groups;
	struct wal_report *report;
	wal_walk_cb walk_cb;
	wal_problem_cb problem_cb;
	void *ctx;
	size_t headers; /* of segments before this one have been told of */
};

static int
learn_record(void *ctx, const struct record *r, uint64_t pos,
    const struct scan_batch *b, bool ok)
{
	struct walk *w = ctx;
	int error;

	if (w->report != NULL)
		w->report->records++;
	if (!ok)
		return groups_lost(&w->groups, r, b->head->sequence);
	error = groups_record(&w->groups, r, pos, b->head->sequence);
	return error == -EINVAL || error == 1 ? 0 : error;
}

static int
learn_blind(void *ctx, uint64_t last_sequence, bool state_lost)
{
	struct walk *w = ctx;

	groups_blind(&w->groups, last_sequence, state_lost);
	return 0;
}

/* ---- walking ----------------------------------------------------------- */

static int
tell_headers(struct walk *w, size_t end)
{
	int error = 0;

	for (; w->headers < end && error == 0; w->headers++) {
		const struct segment *g = &w->scan.segments[w->headers];
		struct wal_place p = {.len = SEGMENT_HEADER_LEN,
		    .checksum_ok = g->copies > 0,
		    .what = "header"};

		segment_path(g->number, p.file);
		error = w->walk_cb(&p, NULL, w->ctx);
	}
	return error;
}

static int
tell_batch(void *ctx, const struct scan_batch *b)
{
	struct walk *w = ctx;
	struct wal_place p = {.offset = b->offset,
	    .len = b->len,
	    .checksum_ok = b->valid,
	    .what = b->head->count == 0 ? "mark" : "batch"};
	int error;

	error = tell_headers(w, (size_t)(b->segment - w->scan.segments) + 1);
	if (error != 0)
		return error;
	segment_path(b->segment->number, p.file);
	return w->walk_cb(&p, NULL, w->ctx);
}

static int
tell_record(void *ctx, const struct record *r, uint64_t pos,
    const struct scan_batch *b, bool ok)
{
	struct walk *w = ctx;
	struct wal_place p = {.offset = pos == 0 ? b->offset : pos_offset(pos),
	    .len = record_size(r->len),
	    .checksum_ok = ok && pos != 0,
	    .what = "record"};

	segment_path(b->segment->number, p.file);
	p.hidden = !groups_counts(&w->groups, r, pos);
	return w->walk_cb(&p, r, w->ctx);
}

static const struct scan_visitor learn_visitor = {
    .record = learn_record,
    .blind = learn_blind,
};

static const struct scan_visitor tell_visitor = {
    .batch = tell_batch,
    .record = tell_record,
};

int
wal_walk(struct disk *disk, wal_walk_cb cb, void *ctx, struct errtext *et)
{
	struct walk w = {.walk_cb = cb, .ctx = ctx};
	int error;

	error = scan_init(&w.scan, disk, et);
	if (error < 0)
		return error;
	w.scan.live = true;
	w.groups.headless = scan_is_headless(&w.scan);
	error = scan_run(&w.scan, &learn_visitor, &w, et);
	if (error == 0)
		error = scan_run(&w.scan, &tell_visitor, &w, et);
	if (error == 0)
		error = tell_headers(&w, w.scan.count);
	groups_release(&w.groups);
	scan_release(&w.scan);
	return error;
}

/* ---- checking ---------------------------------------------------------- */

static int
tell_problem(void *ctx, const struct wal_problem *p)
{
	struct walk *w = ctx;

	if (strcmp(p->problem, "torn") == 0)
		w->report->torn_bytes += p->len;
	else
		w->report->damaged++;
	if (w->report->text[0] == '\0')
		(void)snprintf(w->report->text, sizeof(w->report->text),
		    "%s offset %llu: %s: %s", p->file,
		    (unsigned long long)p->offset, p->problem, p->detail);
	return w->problem_cb == NULL ? 0 : w->problem_cb(p, w->ctx);
}

static const struct scan_visitor check_visitor = {
    .record = learn_record,
    .blind = learn_blind,
    .problem = tell_problem,
};

static int
tell_missing(struct walk *w)
{
	int error = 0;

	groups_judge(&w->groups);
	for (size_t i = 0; i < w->groups.count && error == 0; i++) {
		const struct wal_group *g = &w->groups.pub[i];
		struct wal_problem p = {.group = g->group,
		    .index = g->last + 1,
		    .problem = "missing"};

		if (!g->damaged)
			continue;
		if (g->last_known > g->last)
			(void)snprintf(p.detail, sizeof(p.detail),
			    "the log ends at %llu and once had %llu",
			    (unsigned long long)g->last,
			    (unsigned long long)g->last_known);
		else
			(void)snprintf(p.detail, sizeof(p.detail),
			    "the log ends at %llu and may have been longer",
			    (unsigned long long)g->last);
		error = tell_problem(w, &p);
	}
	if (error == 0 && groups_state_lost(&w->groups)) {
		struct wal_problem p = {.problem = "missing"};

		(void)snprintf(p.detail, sizeof(p.detail),
		    "terms and votes may be lost: this server must be "
		    "replaced under a new id");
		error = tell_problem(w, &p);
	}
	return error;
}

int
wal_check(struct disk *disk, wal_problem_cb cb, void *ctx,
    struct wal_report *report, struct errtext *et)
{
	struct walk w = {.report = report, .problem_cb = cb, .ctx = ctx};
	int error;

	memset(report, 0, sizeof(*report));
	error = scan_init(&w.scan, disk, et);
	if (error < 0)
		return error;
	w.scan.live = true;
	w.groups.headless = scan_is_headless(&w.scan);
	report->segments = w.scan.count;
	for (size_t i = 0; i < w.scan.count; i++)
		report->bytes += w.scan.segments[i].size;
	error = scan_run(&w.scan, &check_visitor, &w, et);
	if (error == 0)
		error = tell_missing(&w);
	for (size_t i = 0; i < w.groups.count; i++) {
		const struct wal_group *g = &w.groups.pub[i];

		if (g->last >= g->first &&
		    (report->first == 0 || g->first < report->first))
			report->first = g->first;
		if (g->last > report->last)
			report->last = g->last;
	}
	groups_release(&w.groups);
	scan_release(&w.scan);
	return error;
}
