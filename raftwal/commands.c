/*
 * commands.c - ls, stat, dump, tail, check.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "raftctl/errtext.h"

#include "raftwal/facts.h"
#include "raftwal/groups.h"
#include "raftwal/scan.h"
#include "raftwal/tool.h"

/* fsck(8) */
#define CHECK_CLEAN 0
#define CHECK_DAMAGE 4
#define CHECK_ERROR 8
#define CHECK_TRIES 5 /* on a directory that is being written */
#define POLL_NS 100000000L

/* ---- printing ---------------------------------------------------------- */

static void
print_head(const struct tool *t)
{
	if (t->output == OUTPUT_TEXT)
		printf("%-24s %10s %8s %5s %-6s %8s %6s %-3s %s\n", "FILE",
		    "OFFSET", "LEN", "GROUP", "KIND", "INDEX", "TERM", "SUM",
		    "OPERATION");
}

static int
print_record(
    const struct tool *t, const struct wal_place *p, const struct record *r)
{
	char line[160];

	switch (t->output) {
	case OUTPUT_JSON:
		return tool_print_json(show_record(p, r, t->encoding));
	case OUTPUT_RAW:
		if (r->payload != NULL)
			(void)fwrite(r->payload, 1, r->len, stdout);
		break;
	case OUTPUT_TEXT:
	case OUTPUT_FIELDS:
		show_op_line(r, line, sizeof(line));
		printf(t->output == OUTPUT_TEXT
			   ? "%-24s %10" PRIu64 " %8" PRIu64 " %5" PRIu32
			     " %-6s %8" PRIu64 " %6" PRIu64 " %-3s %s%s\n"
			   : "%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu32
			     "\t%s\t%" PRIu64 "\t%" PRIu64 "\t%s\t%s%s\n",
		    p->file, p->offset, p->len, r->group, show_kind(r->kind),
		    r->index, r->term, p->checksum_ok ? "ok" : "bad",
		    p->hidden ? "(hidden) " : "", line);
		break;
	}
	return ferror(stdout) ? -EPIPE : 0;
}

/* ---- dump -------------------------------------------------------------- */

static bool
is_wanted(const struct tool *t, const struct record *r)
{
	if (t->has_group && r->group != t->group)
		return false;
	if (t->type != NULL && strcmp(t->type, show_kind(r->kind)) != 0)
		return false;
	if (t->from == 0 && t->to == UINT64_MAX)
		return true;
	return record_is_entry(r->kind) && r->index >= t->from &&
	       r->index <= t->to;
}

static int
dump_place(const struct wal_place *p, const struct record *r, void *ctx)
{
	const struct tool *t = ctx;

	if (r == NULL || !is_wanted(t, r))
		return 0;
	return print_record(t, p, r);
}

static int
run_dump(struct tool *t)
{
	struct errtext et = {""};

	print_head(t);
	return tool_finish(t, wal_walk(&t->disk, dump_place, t, &et), &et);
}

/* ---- tail -------------------------------------------------------------- */

struct tail {
	struct tool *tool;
	uint64_t seen, skip;
	bool count_only;
};

static int
tail_record(void *ctx, const struct record *r, uint64_t pos,
    const struct scan_batch *b, bool ok)
{
	struct tail *tail = ctx;
	struct wal_place p = {.offset = pos == 0 ? b->offset : pos_offset(pos),
	    .len = record_size(r->len),
	    .checksum_ok = ok && pos != 0,
	    .what = "record"};

	if (!is_wanted(tail->tool, r) || tail->seen++ < tail->skip ||
	    tail->count_only)
		return 0;
	segment_path(b->segment->number, p.file);
	return print_record(tail->tool, &p, r);
}

static const struct scan_visitor tail_visitor = {.record = tail_record};

static int
tail_follow(struct tail *tail, struct scan *s, struct errtext *et)
{
	const struct timespec pause = {.tv_nsec = POLL_NS};
	int error = 0;

	while (error == 0) {
		if (fflush(stdout) != 0)
			return -EPIPE;
		(void)nanosleep(&pause, NULL);
		error = scan_more(s, &tail_visitor, tail, et);
	}
	return error;
}

static int
run_tail(struct tool *t)
{
	struct tail tail = {.tool = t, .count_only = true};
	struct errtext et = {""};
	struct scan s;
	int error;

	error = scan_init(&s, &t->disk, &et);
	if (error < 0)
		return tool_finish(t, error, &et);
	s.live = true;
	s.follow = t->follow;
	error = scan_run(&s, &tail_visitor, &tail, &et);
	if (error == 0) {
		tail.skip = tail.seen > t->count ? tail.seen - t->count : 0;
		tail.seen = 0;
		tail.count_only = false;
		print_head(t);
		error = scan_run(&s, &tail_visitor, &tail, &et);
	}
	if (error == 0 && t->follow)
		error = tail_follow(&tail, &s, &et);
	scan_release(&s);
	return tool_finish(t, error, &et);
}

/* ---- ls ---------------------------------------------------------------- */

struct listing {
	struct tool *tool;
	char file[32]; /* "" before the first */
	uint64_t used, batches, records, first, last;
	bool ok;
};

static int
listing_print(struct listing *l)
{
	enum tool_output o = l->tool->output;

	if (l->file[0] == '\0')
		return 0;
	if (o == OUTPUT_JSON)
		return tool_print_json(
		    json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:b}", "file", l->file,
			"used", (json_int_t)l->used, "batches",
			(json_int_t)l->batches, "records",
			(json_int_t)l->records, "first", (json_int_t)l->first,
			"last", (json_int_t)l->last, "ok", l->ok));
	printf(o == OUTPUT_TEXT ? "%-24s %10" PRIu64 " %8" PRIu64 " %8" PRIu64
				  " %10" PRIu64 " %10" PRIu64 " %s\n"
				: "%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64
				  "\t%" PRIu64 "\t%" PRIu64 "\t%s\n",
	    l->file, l->used, l->batches, l->records, l->first, l->last,
	    l->ok ? "ok" : "bad");
	return ferror(stdout) ? -EPIPE : 0;
}

static int
ls_place(const struct wal_place *p, const struct record *r, void *ctx)
{
	struct listing *l = ctx;
	int error;

	if (strcmp(l->file, p->file) != 0) {
		struct tool *t = l->tool;

		error = listing_print(l);
		if (error < 0)
			return error;
		memset(l, 0, sizeof(*l));
		l->tool = t;
		l->ok = true;
		(void)snprintf(l->file, sizeof(l->file), "%s", p->file);
	}
	l->ok = l->ok && p->checksum_ok;
	if (p->offset + p->len > l->used)
		l->used = p->offset + p->len;
	if (strcmp(p->what, "batch") == 0)
		l->batches++;
	if (r == NULL)
		return 0;
	l->records++;
	if (!record_is_entry(r->kind))
		return 0;
	if (l->first == 0 || r->index < l->first)
		l->first = r->index;
	if (r->index > l->last)
		l->last = r->index;
	return 0;
}

static int
run_ls(struct tool *t)
{
	struct listing l = {.tool = t};
	struct errtext et = {""};
	int error;

	if (t->output == OUTPUT_TEXT)
		printf("%-24s %10s %8s %8s %10s %10s %s\n", "FILE", "USED",
		    "BATCHES", "RECORDS", "FIRST", "LAST", "SUM");
	error = wal_walk(&t->disk, ls_place, &l, &et);
	if (error == 0)
		error = listing_print(&l);
	return tool_finish(t, error, &et);
}

/* ---- stat -------------------------------------------------------------- */

static int
stat_place(const struct wal_place *p, const struct record *r, void *ctx)
{
	uint64_t *batches = ctx;

	(void)r;
	*batches += strcmp(p->what, "batch") == 0;
	return 0;
}

static json_t *
group_json(const struct group_facts *g)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:I,s:O?}", "group",
	    (json_int_t)g->log.group, "first", (json_int_t)g->log.first, "last",
	    (json_int_t)g->log.last, "last_term", (json_int_t)g->last_term,
	    "term", (json_int_t)g->log.term, "vote", (json_int_t)g->log.vote,
	    "commit", (json_int_t)g->commit, "damaged", g->log.damaged,
	    "last_known", (json_int_t)g->log.last_known, "config", g->config);
}

static json_t *
identity_json(const struct facts *f)
{
	char cluster[33], uuid[33];

	if (!f->has_identity)
		return json_null();
	return json_pack("{s:s,s:s,s:I,s:I,s:I}", "cluster",
	    tool_hex(f->identity.cluster, cluster), "uuid",
	    tool_hex(f->identity.uuid, uuid), "id", (json_int_t)f->identity.id,
	    "boot", (json_int_t)f->identity.boot, "epoch",
	    (json_int_t)f->identity.epoch);
}

static int
stat_json(const struct facts *f, uint64_t batches)
{
	json_t *list = json_array();

	for (size_t i = 0; i < f->count; i++)
		json_array_append_new(list, group_json(&f->group[i]));
	return tool_print_json(
	    json_pack("{s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "identity",
		identity_json(f), "segments", (json_int_t)f->report.segments,
		"bytes", (json_int_t)f->report.bytes, "batches",
		(json_int_t)batches, "records", (json_int_t)f->report.records,
		"torn_bytes", (json_int_t)f->report.torn_bytes, "problems",
		(json_int_t)f->report.damaged, "groups", list));
}

static void
stat_head(const struct facts *f, uint64_t batches)
{
	char cluster[33];

	if (f->has_identity)
		printf("server %" PRIu64 "  cluster %s  boot %" PRIu64
		       "  epoch %" PRIu64 "\n",
		    f->identity.id, tool_hex(f->identity.cluster, cluster),
		    f->identity.boot, f->identity.epoch);
	else
		printf("no identity: %s\n", f->identity_error.text);
	printf("segments %" PRIu64 "  bytes %" PRIu64 "  batches %" PRIu64
	       "  records %" PRIu64 "  torn %" PRIu64 "  problems %" PRIu64
	       "\n%5s %8s %10s %8s %8s %8s %s\n",
	    f->report.segments, f->report.bytes, batches, f->report.records,
	    f->report.torn_bytes, f->report.damaged, "GROUP", "FIRST", "LAST",
	    "TERM", "VOTE", "COMMIT", "STATE");
}

static int
stat_print(const struct tool *t, const struct facts *f, uint64_t batches)
{
	if (t->output == OUTPUT_JSON)
		return stat_json(f, batches);
	if (t->output == OUTPUT_TEXT)
		stat_head(f, batches);
	for (size_t i = 0; i < f->count; i++) {
		const struct group_facts *g = &f->group[i];

		printf(t->output == OUTPUT_TEXT
			   ? "%5" PRIu32 " %8" PRIu64 " %10" PRIu64 " %8" PRIu64
			     " %8" PRIu64 " %8" PRIu64 " %s\n"
			   : "%" PRIu32 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64
			     "\t%" PRIu64 "\t%" PRIu64 "\t%s\n",
		    g->log.group, g->log.first, g->log.last, g->log.term,
		    g->log.vote, g->commit,
		    g->log.damaged ? "damaged" : "whole");
	}
	return ferror(stdout) ? -EPIPE : 0;
}

static int
run_stat(struct tool *t)
{
	struct errtext et = {""};
	uint64_t batches = 0;
	struct facts f;
	int error;

	error = wal_walk(&t->disk, stat_place, &batches, &et);
	if (error == 0)
		error = facts_read(&t->disk, &f, &et);
	if (error != 0)
		return tool_finish(t, error, &et);
	error = stat_print(t, &f, batches);
	facts_release(&f);
	return tool_finish(t, error, &et);
}

/* ---- check ------------------------------------------------------------- */

struct problems {
	struct wal_problem *p;
	size_t count, cap;
	uint64_t unsaid; /* beyond PROBLEMS_MAX */
};

#define PROBLEMS_MAX 100000

static int
problem_keep(const struct wal_problem *p, void *ctx)
{
	struct problems *all = ctx;
	struct wal_problem *more;

	if (all->count == PROBLEMS_MAX) {
		all->unsaid++;
		return 0;
	}
	if (all->count == all->cap) {
		all->cap = all->cap == 0 ? 16 : all->cap * 2;
		more = reallocarray(all->p, all->cap, sizeof(*more));
		if (more == NULL)
			return -ENOMEM;
		all->p = more;
	}
	all->p[all->count++] = *p;
	return 0;
}

static int
problem_print(const struct tool *t, const struct wal_problem *p)
{
	if (t->output == OUTPUT_JSON)
		return tool_print_json(json_pack(
		    "{s:s,s:I,s:I,s:I,s:I,s:I,s:s,s:s}", "file", p->file,
		    "offset", (json_int_t)p->offset, "len", (json_int_t)p->len,
		    "group", (json_int_t)p->group, "index",
		    (json_int_t)p->index, "term", (json_int_t)p->term,
		    "problem", p->problem, "detail", p->detail));
	printf(t->output == OUTPUT_TEXT
		   ? "%s offset %" PRIu64 " len %" PRIu64 " group %" PRIu32
		     " index %" PRIu64 " term %" PRIu64 ": %s: %s\n"
		   : "%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu32 "\t%" PRIu64
		     "\t%" PRIu64 "\t%s\t%s\n",
	    p->file, p->offset, p->len, p->group, p->index, p->term, p->problem,
	    p->detail);
	return ferror(stdout) ? -EPIPE : 0;
}

static int
verdict_print(const struct tool *t, const struct wal_report *r, bool ok)
{
	if (t->output == OUTPUT_JSON)
		return tool_print_json(json_pack("{s:b,s:I,s:I,s:I,s:I,s:I}",
		    "ok", ok, "segments", (json_int_t)r->segments, "records",
		    (json_int_t)r->records, "first", (json_int_t)r->first,
		    "last", (json_int_t)r->last, "bytes",
		    (json_int_t)r->bytes));
	printf(t->output == OUTPUT_TEXT ? "%s: %" PRIu64 " segments, %" PRIu64
					  " records, entries %" PRIu64
					  " to %" PRIu64 ", %" PRIu64 " bytes\n"
					: "%s\t%" PRIu64 "\t%" PRIu64
					  "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64
					  "\n",
	    ok ? "ok" : "damaged", r->segments, r->records, r->first, r->last,
	    r->bytes);
	return ferror(stdout) ? -EPIPE : 0;
}

/* Somebody holds the lock: what is seen may be half of a write. */
static bool
is_live(const struct tool *t)
{
	char path[4096];
	bool live;
	int fd, n = snprintf(path, sizeof(path), "%s/LOCK", t->dir);

	if (n < 0 || (size_t)n >= sizeof(path))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	live = flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	(void)close(fd);
	return live;
}

static int
run_check(struct tool *t)
{
	const struct timespec pause = {.tv_nsec = POLL_NS};
	struct problems all = {0};
	struct wal_report report;
	struct errtext et = {""};
	int error, tries = 0;
	bool ok;

	for (;;) {
		all.count = 0;
		all.unsaid = 0;
		error = wal_check(&t->disk, problem_keep, &all, &report, &et);
		if (error != 0 || all.count == 0 || ++tries == CHECK_TRIES ||
		    !is_live(t))
			break;
		(void)nanosleep(&pause, NULL);
	}
	if (error != 0) {
		free(all.p);
		return tool_fail(t, CHECK_ERROR, "'%s': %s", t->dir,
		    et.text[0] != '\0' ? et.text : strerror(-error));
	}
	ok = report.damaged == 0;
	for (size_t i = 0; i < all.count && error == 0; i++)
		error = problem_print(t, &all.p[i]);
	if (all.unsaid > 0)
		fprintf(
		    stderr, "raftwal: %" PRIu64 " more problems\n", all.unsaid);
	free(all.p);
	if (error == 0)
		error = verdict_print(t, &report, ok);
	if (ok || error == -EPIPE)
		return ok ? CHECK_CLEAN : CHECK_DAMAGE;
	return tool_fail(t, CHECK_DAMAGE, "'%s': the log is damaged", t->dir);
}

const struct tool_command tool_commands[] = {
    {"ls", "[DIR]", "segments: what is in each", 0, run_ls},
    {"stat", "[DIR]", "the log in figures, and its groups", 0, run_stat},
    {"dump", "[--from I] [--to I] [-t TYPE] [-g GROUP] [DIR]",
	"records, decoded",
	OPTION_RANGE | OPTION_GROUP | OPTION_ENCODING | OPTION_RAW, run_dump},
    {"tail", "[-f] [-n COUNT] [-t TYPE] [-g GROUP] [DIR]",
	"the last records, and with -f those that come",
	OPTION_RANGE | OPTION_GROUP | OPTION_ENCODING | OPTION_RAW |
	    OPTION_FOLLOW | OPTION_COUNT,
	run_tail},
    {"check", "[DIR]", "is the log whole? 0 yes, 4 no, 8 cannot tell", 0,
	run_check},
    {"diff", "[-g GROUP] DIR1 DIR2",
	"where two logs begin to differ; 0 nowhere, 1 somewhere",
	DIRS_TWO | OPTION_GROUP | OPTION_ENCODING, run_diff},
    {"export", "[--history] [--from I] [--to I] [-t TYPE] [-g GROUP] [DIR]",
	"what was done, as JSON, or as loadgen check reads it",
	OPTION_RANGE | OPTION_GROUP | OPTION_ENCODING | OPTION_HISTORY,
	run_export},
    {"compact", "[-g GROUP] [--write] [DIR] | -s ADDR",
	"cut the log behind the newest snapshot",
	OPTION_WRITE | OPTION_GROUP | OPTION_SERVER, run_compact},
    {"repair", "[--write] [--from-peer ADDR] [DIR]",
	"mend what is damaged, as far as that can be proven right",
	OPTION_WRITE | OPTION_PEER, run_repair},
    {"recover", "--plan FILE [--write --confirm CLUSTER] [DIR]",
	"make the directory part of a new cluster", OPTION_PLAN | OPTION_WRITE,
	run_recover},
    {NULL, NULL, NULL, 0, NULL},
};
