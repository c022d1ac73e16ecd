/*
 * cmd_export.c - raftwal export: what the log says was done, entry by entry,
 * as JSON, or as a history that loadgen check reads.
 *
 * A history is one of writes: each began and ended where it stands in the
 * log.  What depends on the state is told as undecided (info), and a key that
 * was counted up is left out, as nobody can tell its values without the
 * state.  A second copy of a write in a session did nothing.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/mp.h"

#include "raftwal/facts.h"
#include "raftwal/tool.h"

#define NS_PER_MS 1000000 /* a hundred days stay below 2^53 */
#define OPS_MAX 1024 /* keys of one delete, operations of one transaction */

/* Hashes, open addressing; 0 is never one. */
struct hashes {
	uint64_t *slot;
	size_t cap, count;
};

struct export
{
	struct tool *tool;
	struct facts facts;
	bool counting;		/* the first pass: which keys are counted up */
	struct hashes counters; /* keys that incr changed */
	struct hashes seen;	/* writes of sessions */
	uint64_t event, process;
	uint64_t stamp; /* of the first write; times count from it */
};

static uint64_t
hash(uint64_t h, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 1099511628211u;
	h ^= h >> 29;
	return h == 0 ? 1 : h;
}

static bool
hashes_has(const struct hashes *h, uint64_t x)
{
	if (h->cap == 0)
		return false;
	for (size_t i = x & (h->cap - 1); h->slot[i] != 0;
	     i = (i + 1) & (h->cap - 1))
		if (h->slot[i] == x)
			return true;
	return false;
}

static void
insert(uint64_t *slot, size_t cap, uint64_t x)
{
	size_t i = x & (cap - 1);

	while (slot[i] != 0)
		i = (i + 1) & (cap - 1);
	slot[i] = x;
}

static int
hashes_add(struct hashes *h, uint64_t x)
{
	size_t cap = h->cap == 0 ? 1024 : h->cap * 2;
	uint64_t *more;

	if (hashes_has(h, x))
		return 0;
	if (h->count * 2 >= h->cap) {
		more = calloc(cap, sizeof(*more));
		if (more == NULL)
			return -ENOMEM;
		for (size_t i = 0; i < h->cap; i++)
			if (h->slot[i] != 0)
				insert(more, cap, h->slot[i]);
		free(h->slot);
		h->slot = more;
		h->cap = cap;
	}
	insert(h->slot, h->cap, x);
	h->count++;
	return 0;
}

/* ---- entries ----------------------------------------------------------- */

static bool
is_wanted(const struct tool *t, const struct record *r)
{
	return record_is_entry(r->kind) &&
	       (!t->has_group || r->group == t->group) &&
	       (t->type == NULL || strcmp(t->type, show_kind(r->kind)) == 0) &&
	       r->index >= t->from && r->index <= t->to;
}

static bool
is_committed(const struct export *e, const struct record *r)
{
	const struct group_facts *g = facts_group(&e->facts, r->group);

	return g != NULL && r->index <= g->commit;
}

static int
export_entry(const struct record *r, void *ctx)
{
	struct export *e = ctx;
	char line[160];

	if (!is_wanted(e->tool, r))
		return 0;
	if (e->tool->output == OUTPUT_JSON)
		return tool_print_json(json_pack(
		    "{s:I,s:I,s:I,s:I,s:b,s:s,s:o}", "group",
		    (json_int_t)r->group, "index", (json_int_t)r->index, "term",
		    (json_int_t)r->term, "stamp", (json_int_t)r->stamp,
		    "committed", is_committed(e, r), "kind", show_kind(r->kind),
		    "op", show_op(r, e->tool->encoding)));
	show_op_line(r, line, sizeof(line));
	printf("%" PRIu32 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64
	       "\t%s\t%s\t%s\n",
	    r->group, r->index, r->term, r->stamp,
	    is_committed(e, r) ? "committed" : "-", show_kind(r->kind), line);
	return ferror(stdout) ? -EPIPE : 0;
}

/* ---- a history --------------------------------------------------------- */

struct write_op {
	const char *f;
	struct mp_span key, value, old;
	bool has_value, has_old, sure;
};

static json_t *
event_json(struct export *e, const struct record *r, const struct write_op *w,
    const char *type)
{
	enum show_encoding how =
	    e->tool->encoding == SHOW_HEX ? SHOW_AUTO : e->tool->encoding;
	json_t *o =
	    json_pack("{s:I,s:I,s:I,s:s,s:s}", "index", (json_int_t)e->event++,
		"time", (json_int_t)((r->stamp - e->stamp) * NS_PER_MS),
		"process", (json_int_t)e->process, "type", type, "f", w->f);

	(void)show_bytes(o, "key", w->key.p, w->key.len, how);
	if (w->has_value)
		(void)show_bytes(o, "value", w->value.p, w->value.len, how);
	return o;
}

static int
put_write(struct export *e, const struct record *r, const struct write_op *w)
{
	bool sure = w->sure && is_committed(e, r);
	int error;

	if (hashes_has(&e->counters,
		hash(14695981039346656037u, w->key.p, w->key.len)))
		return 0;
	error = tool_print_json(event_json(e, r, w, "invoke"));
	if (error == 0)
		error =
		    tool_print_json(event_json(e, r, w, sure ? "ok" : "info"));
	/* Whatever may come yet is another process's. */
	if (!sure)
		e->process++;
	return error;
}

/* Was this write of a session here before?  Adds it. */
static int
is_copy(struct export *e, const struct mp_map *opts, bool *copy)
{
	struct mp_span session = mp_span("", 0);
	uint64_t seq = 0, x;

	*copy = false;
	if (mp_opt_bytes(opts, "session", &session, 64) < 0 ||
	    mp_opt_u64(opts, "seq", &seq) < 0 || session.len == 0 || seq == 0)
		return 0;
	x = hash(hash(14695981039346656037u, session.p, session.len), &seq,
	    sizeof(seq));
	*copy = hashes_has(&e->seen, x);
	return hashes_add(&e->seen, x);
}

static bool
has_condition(const struct mp_map *opts)
{
	static const char *const word[] = {"if_absent", "if_rev", "if_value",
	    "if_changed", "if_lock", "lease", "ttl"};
	struct mp_cur c;

	for (size_t i = 0; i < sizeof(word) / sizeof(word[0]); i++)
		if (mp_get(opts, word[i], &c) == 0)
			return true;
	return false;
}

static int
put_op(struct export *e, const struct record *r, struct mp_cur *c,
    const struct mp_map *opts)
{
	struct write_op w = {.f = "put", .sure = !has_condition(opts)};
	bool append = false;

	(void)mp_opt_bool(opts, "append", &append);
	if (append)
		w.f = "append";
	if (mp_read_bytes(c, &w.key) < 0 || mp_read_bytes(c, &w.value) < 0)
		return 0; /* refused by whoever applied it */
	w.has_value = true;
	return put_write(e, r, &w);
}

static int
delete_op(struct export *e, const struct record *r, struct mp_cur *c,
    const struct mp_map *opts)
{
	struct write_op w = {.f = "delete", .sure = !has_condition(opts)};
	uint32_t n = 1;
	int error = 0;

	if (mp_peek(c) == MP_ARRAY && mp_read_array(c, &n) < 0)
		return 0;
	for (uint32_t i = 0; i < n && i < OPS_MAX && error == 0; i++) {
		if (mp_read_bytes(c, &w.key) < 0)
			return 0;
		error = put_write(e, r, &w);
	}
	return error;
}

/* One operation of a transaction; the first pass looks for what incr does. */
static int
txn_list(struct export *e, const struct record *r, const struct mp_map *m,
    const char *which)
{
	struct mp_cur list, c;
	struct mp_map op, args;
	uint32_t n;
	int error = 0;

	if (mp_get(m, which, &list) < 0 || mp_read_array(&list, &n) < 0)
		return 0;
	for (uint32_t i = 0; i < n && i < OPS_MAX && error == 0; i++) {
		struct write_op w = {.f = "put", .has_value = true};
		bool append = false;

		if (mp_read_mapping(&list, &op) < 0)
			return 0;
		if (mp_get(&op, "put", &c) == 0 &&
		    mp_read_mapping(&c, &args) == 0 &&
		    mp_get_bytes(&args, "key", &w.key, SIZE_MAX) == 0 &&
		    mp_get_bytes(&args, "value", &w.value, SIZE_MAX) == 0) {
			(void)mp_opt_bool(&args, "append", &append);
			w.f = append ? "append" : "put";
			error = put_write(e, r, &w);
		} else if (mp_get(&op, "del", &c) == 0 &&
			   mp_read_mapping(&c, &args) == 0 &&
			   mp_get_bytes(&args, "key", &w.key, SIZE_MAX) == 0) {
			w.f = "delete";
			w.has_value = false;
			error = put_write(e, r, &w);
		}
	}
	return error;
}

static int
history_entry(const struct record *r, void *ctx)
{
	static const uint8_t none[1] = {0x80}; /* no options */
	struct export *e = ctx;
	struct mp_cur c = mp_cur(r->payload, r->len), at, rest;
	struct mp_cur empty = mp_cur(none, sizeof(none));
	struct mp_span method, params;
	struct mp_map opts;
	uint32_t n;
	bool copy;
	int error;

	if (r->kind != RECORD_COMMAND || !is_wanted(e->tool, r) ||
	    mp_read_bytes(&c, &method) < 0 || mp_read_raw(&c, &params) < 0 ||
	    mp_scan(params.p, params.len) < 0)
		return 0;
	at = mp_cur_span(params);
	if (mp_read_array(&at, &n) < 0 || n == 0)
		return 0;
	rest = at;
	for (uint32_t i = 1; i < n; i++)
		if (mp_skip(&rest) < 0)
			return 0;
	if (mp_peek(&rest) != MP_MAP || n < 2)
		rest = empty;
	if (mp_read_mapping(&rest, &opts) < 0)
		return 0;
	if (e->counting) {
		struct mp_span key;

		if (!mp_span_eq(method, "incr") || mp_read_bytes(&at, &key) < 0)
			return 0;
		return hashes_add(
		    &e->counters, hash(14695981039346656037u, key.p, key.len));
	}
	if (e->event == 0)
		e->stamp = r->stamp;
	error = is_copy(e, &opts, &copy);
	if (error < 0 || copy)
		return error;
	if (mp_span_eq(method, "put"))
		return put_op(e, r, &at, &opts);
	if (mp_span_eq(method, "delete"))
		return delete_op(e, r, &at, &opts);
	if (mp_span_eq(method, "txn") && mp_read_mapping(&at, &opts) == 0) {
		error = txn_list(e, r, &opts, "then");
		return error == 0 ? txn_list(e, r, &opts, "else") : error;
	}
	return 0;
}

static int
pass(struct export *e, wal_replay_cb cb, struct errtext *et)
{
	const struct wal_options opt = {.read_only = true};
	struct wal *wal = NULL;
	int error = wal_open(&e->tool->disk, &opt, cb, e, &wal, NULL, et);

	wal_close(wal);
	return error;
}

int
run_export(struct tool *t)
{
	struct export e = {.tool = t};
	struct errtext et = {""};
	int error = facts_read(&t->disk, &e.facts, &et);

	if (error != 0)
		return tool_finish(t, error, &et);
	if (t->history) {
		e.counting = true;
		error = pass(&e, history_entry, &et);
		e.counting = false;
		if (error == 0)
			error = pass(&e, history_entry, &et);
	} else
		error = pass(&e, export_entry, &et);
	facts_release(&e.facts);
	free(e.counters.slot);
	free(e.seen.slot);
	return tool_finish(t, error, &et);
}
