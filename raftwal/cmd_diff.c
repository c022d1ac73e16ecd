/*
 * cmd_diff.c - raftwal diff: where the logs of two servers begin to differ.
 *
 * An entry has the same bytes in every log that holds it, so that bytes are
 * compared, from the first index that both have to the last.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "raftwal/facts.h"
#include "raftwal/tool.h"

#define READ_LEN (1u << 20)
#define DIFFERS 1

/* One log, read entry by entry. */
struct side {
	const char *dir;
	struct wal *wal;
	struct facts facts;
	uint8_t *buf;
	size_t cap, len, at;
	uint64_t next; /* index of the entry at `at` */
};

struct verdict {
	uint32_t group;
	uint64_t from, to; /* what both have */
	uint64_t last[2], commit[2];
	uint64_t at; /* where they differ, 0 nowhere */
	struct record r[2];
};

static int
side_open(struct side *s, struct disk *disk, struct errtext *et)
{
	const struct wal_options opt = {.read_only = true};
	int error = facts_read(disk, &s->facts, et);

	if (error < 0)
		return error;
	error = wal_open(disk, &opt, NULL, NULL, &s->wal, NULL, et);
	s->cap = READ_LEN;
	s->buf = malloc(s->cap);
	return error == 0 && s->buf == NULL ? -ENOMEM : error;
}

static void
side_close(struct side *s)
{
	wal_close(s->wal);
	facts_release(&s->facts);
	free(s->buf);
}

static int
side_fill(struct side *s, uint32_t group, uint64_t to)
{
	uint64_t last;
	uint8_t *more;
	size_t need = 0;
	int error =
	    wal_read(s->wal, group, s->next, to, s->buf, s->cap, &need, &last);

	if (error == -EMSGSIZE) {
		more = realloc(s->buf, need);
		if (more == NULL)
			return -ENOMEM;
		s->buf = more;
		s->cap = need;
		error = wal_read(
		    s->wal, group, s->next, to, s->buf, s->cap, &need, &last);
	}
	s->len = error == 0 ? need : 0;
	s->at = 0;
	return error;
}

/* The next entry, valid until the one after it. */
static int
side_next(struct side *s, uint32_t group, uint64_t to, struct record *r,
    const uint8_t **bytes, size_t *size)
{
	int error = s->at == s->len ? side_fill(s, group, to) : 0;

	if (error < 0)
		return error;
	*bytes = s->buf + s->at;
	*size = record_read(*bytes, s->len - s->at, r);
	if (*size == 0)
		return -EBADMSG;
	s->at += *size;
	s->next++;
	return 0;
}

static int
compare(struct side side[2], struct verdict *v)
{
	const uint8_t *bytes[2];
	size_t size[2];
	int error = 0;

	for (int i = 0; i < 2; i++) {
		side[i].next = v->from;
		side[i].len = side[i].at = 0;
	}
	for (uint64_t x = v->from; x <= v->to && error == 0; x++) {
		for (int i = 0; i < 2 && error == 0; i++)
			error = side_next(&side[i], v->group, v->to, &v->r[i],
			    &bytes[i], &size[i]);
		if (error == 0 &&
		    (size[0] != size[1] ||
			memcmp(bytes[0], bytes[1], size[0]) != 0)) {
			v->at = x;
			return 0;
		}
	}
	return error;
}

static json_t *
record_json(const struct tool *t, const struct record *r)
{
	return json_pack("{s:s,s:I,s:I,s:o}", "kind", show_kind(r->kind),
	    "term", (json_int_t)r->term, "stamp", (json_int_t)r->stamp, "op",
	    show_op(r, t->encoding));
}

static int
verdict_print(const struct tool *t, const struct verdict *v)
{
	bool committed =
	    v->at > 0 && v->at <= v->commit[0] && v->at <= v->commit[1];
	json_t *a = NULL, *b = NULL;

	if (t->output == OUTPUT_JSON) {
		if (v->at > 0) {
			a = record_json(t, &v->r[0]);
			b = record_json(t, &v->r[1]);
		}
		return tool_print_json(
		    json_pack("{s:I,s:b,s:I,s:I,s:I,s:I,s:I,s:b,s:o?,s:o?}",
			"group", (json_int_t)v->group, "ok", v->at == 0, "from",
			(json_int_t)v->from, "to", (json_int_t)v->to, "last",
			(json_int_t)v->last[0], "last2", (json_int_t)v->last[1],
			"index", (json_int_t)v->at, "committed", committed,
			"entry", a, "entry2", b));
	}
	if (t->output == OUTPUT_FIELDS)
		printf("%" PRIu32 "\t%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64
		       "\t%" PRIu64 "\t%" PRIu64 "\n",
		    v->group, v->at == 0 ? "same" : "differs", v->from, v->to,
		    v->last[0], v->last[1], v->at);
	else if (v->at == 0)
		printf("group %" PRIu32 ": the same from %" PRIu64
		       " to %" PRIu64 "; they end at %" PRIu64 " and %" PRIu64
		       "\n",
		    v->group, v->from, v->to, v->last[0], v->last[1]);
	else
		printf("group %" PRIu32 ": they differ from index %" PRIu64
		       " on: terms %" PRIu64 " and %" PRIu64 "%s\n",
		    v->group, v->at, v->r[0].term, v->r[1].term,
		    committed ? "; both call it committed" : "");
	return ferror(stdout) ? -EPIPE : 0;
}

/* A group of the first; NULL: the second has no such group. */
static int
diff_group(struct tool *t, struct side side[2], const struct group_facts *a,
    const struct group_facts *b, bool *differs)
{
	struct verdict v = {.group = a->log.group};
	int error;

	v.last[0] = a->log.last;
	v.commit[0] = a->commit;
	v.from = a->log.first;
	if (b != NULL) {
		v.last[1] = b->log.last;
		v.commit[1] = b->commit;
		if (b->log.first > v.from)
			v.from = b->log.first;
	}
	v.to = v.last[0] < v.last[1] ? v.last[0] : v.last[1];
	error = compare(side, &v);
	if (error < 0)
		return error;
	*differs |= v.at > 0;
	return verdict_print(t, &v);
}

int
run_diff(struct tool *t)
{
	struct side side[2] = {{.dir = t->dir}, {.dir = t->dir2}};
	struct errtext et = {""};
	bool differs = false;
	int error = side_open(&side[0], &t->disk, &et);

	if (error == 0) {
		error = side_open(&side[1], &t->disk2, &et);
		if (error < 0)
			t->dir = t->dir2; /* it is the one to blame */
	}
	for (size_t i = 0; i < side[0].facts.count && error == 0; i++) {
		const struct group_facts *g = &side[0].facts.group[i];

		if (!t->has_group || g->log.group == t->group)
			error = diff_group(t, side, g,
			    facts_group(&side[1].facts, g->log.group),
			    &differs);
	}
	side_close(&side[0]);
	side_close(&side[1]);
	if (error != 0)
		return tool_finish(t, error, &et);
	return differs ? DIFFERS : 0;
}
