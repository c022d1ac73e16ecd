/*
 * cmd_range.c - ls and del: many keys, page by page at one revision.
 */
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/cli.h"
#include "raftctl/units.h"

/* Keys of one delete: what the server takes at once, in count and bytes. */
#define DELETE_KEYS_MAX 1000
#define DELETE_BYTES_MAX (512u * 1024)

/* ---- pages ------------------------------------------------------------ */

/* What is listed, and how far it has come. */
struct pages {
	const char *prefix;
	struct mp_span from, to; /* p NULL: none */
	bool reverse, keys_only, count;
	struct cli_read read;
	uint64_t left; /* records wanted, UINT64_MAX: all */
	uint64_t rev;  /* pinned by the first page */
	uint64_t counted;
	bool more;
	struct mp_buf after; /* the key behind which the next page begins */
	bool has_after;
	struct client_answer page;
};

static void
pages_init(struct pages *p, const char *prefix)
{
	memset(p, 0, sizeof(*p));
	p->prefix = prefix;
	p->left = UINT64_MAX;
	p->more = true;
}

static void
pages_release(struct pages *p)
{
	mp_buf_release(&p->after);
	mp_buf_release(&p->page.result);
}

static void
pages_start_after(struct pages *p, const void *key, size_t len)
{
	mp_buf_reset(&p->after);
	mp_put_raw(&p->after, key, len);
	p->has_after = true;
}

static void
put_list_params(struct cli *cli, struct mp_buf *b, const struct pages *p)
{
	uint32_t count = (uint32_t)(p->from.p != NULL) + (p->to.p != NULL) +
			 p->has_after + p->reverse + p->keys_only + p->count +
			 (p->rev != 0) + !p->count + cli_read_count(&p->read);

	mp_put_array(b, 2);
	mp_put_bin(b, p->prefix, strlen(p->prefix));
	cli_put_options(cli, b, count);
	cli_put_read(b, &p->read);
	if (p->from.p != NULL)
		mp_put_kv_bin(b, "from", p->from.p, p->from.len);
	if (p->to.p != NULL)
		mp_put_kv_bin(b, "to", p->to.p, p->to.len);
	if (p->has_after)
		mp_put_kv_bin(b, "after", p->after.data, p->after.len);
	if (p->reverse)
		mp_put_kv_bool(b, "reverse", true);
	if (p->keys_only)
		mp_put_kv_bool(b, "keys_only", true);
	if (p->count)
		mp_put_kv_bool(b, "count", true);
	if (p->rev != 0)
		mp_put_kv_u64(b, "rev", p->rev);
	if (!p->count)
		mp_put_kv_u64(b, "limit",
		    p->left < WIRE_LIST_LIMIT_MAX ? p->left
						  : WIRE_LIST_LIMIT_MAX);
}

static int
damaged(struct cli *cli)
{
	return cli_fail(cli, WIRE_PROTOCOL_ERROR, "the answer is not a page");
}

/*
 * Ask for the next page.  *records is at its first record, *count how many
 * there are; valid until the next page.  Negative: go on; else the exit
 * status.
 */
static int
pages_next(
    struct cli *cli, struct pages *p, struct mp_cur *records, uint32_t *count)
{
	struct mp_buf params;
	struct mp_cur c;
	struct mp_map m;
	int status = -1;

	mp_buf_release(&p->page.result);
	mp_buf_init(&params);
	put_list_params(cli, &params, p);
	if (cli_call(cli, "list", &params, CLIENT_READ, &p->page) != WIRE_OK)
		status = wire_status_info(p->page.status)->exit;
	mp_buf_release(&params);
	if (status >= 0)
		return status;
	c = mp_cur(p->page.result.data, p->page.result.len);
	if (mp_read_mapping(&c, &m) < 0 || mp_get_u64(&m, "rev", &p->rev) < 0 ||
	    mp_get_u64(&m, "count", &p->counted) < 0 ||
	    mp_get_bool(&m, "more", &p->more) < 0 ||
	    mp_get(&m, "records", records) < 0 ||
	    mp_read_array(records, count) < 0)
		return damaged(cli);
	/* or it would go on for ever */
	if (p->more && *count == 0 && !p->count)
		return damaged(cli);
	return -1;
}

/* The next record of a page: its bytes and its key. */
static int
next_record(struct pages *p, struct mp_cur *records, struct mp_span *raw,
    struct mp_span *key)
{
	struct mp_cur c;
	struct mp_map m;

	if (mp_read_raw(records, raw) < 0)
		return -EPROTO;
	c = mp_cur_span(*raw);
	if (mp_read_mapping(&c, &m) < 0 ||
	    mp_get_bytes(&m, "key", key, SIZE_MAX) < 0)
		return -EPROTO;
	pages_start_after(p, key->p, key->len);
	p->left--;
	return 0;
}

/* ---- ls --------------------------------------------------------------- */

const struct cli_option cmd_ls_options[] = {
    {"limit", 0, "N", "at most so many"},
    {"after", 0, "KEY", "begin behind this key, in the order of travel"},
    {"reverse", 'r', NULL, "from the last to the first"},
    {"count", 0, NULL, "only how many there are"},
    {"null", '0', NULL, "a NUL behind each key, not a newline"},
    {"read", 0, "MODE", "linearizable, lease or stale"},
    {"max-stale", 0, "TIME", "stale, but no older than this"},
    {0},
};
enum {
	LS_LIMIT,
	LS_AFTER,
	LS_REVERSE,
	LS_COUNT,
	LS_NULL,
	LS_READ,
	LS_MAX_STALE
};

struct ls_args {
	bool null;
	const char *after;
};

static int
take_ls_option(struct cli *cli, int option, struct ls_args *a, struct pages *p)
{
	switch (option) {
	case LS_LIMIT:
		if (units_u64(optarg, &p->left) < 0)
			return cli_usage(
			    cli, "--limit is a number, not '%s'", optarg);
		break;
	case LS_AFTER:
		a->after = optarg;
		break;
	case LS_REVERSE:
		p->reverse = true;
		break;
	case LS_COUNT:
		p->count = true;
		break;
	case LS_NULL:
		a->null = true;
		break;
	case LS_READ:
		return cli_take_read(cli, &p->read, optarg);
	case LS_MAX_STALE:
		return cli_take_max_stale(cli, &p->read, optarg);
	}
	return -1;
}

static int
print_count(struct cli *cli, struct pages *p)
{
	struct mp_cur records;
	uint32_t count;
	char line[32];
	int status;

	status = pages_next(cli, p, &records, &count);
	if (status >= 0)
		return status;
	if (p->counted > p->left)
		p->counted = p->left;
	if (cli_wants_record(cli)) {
		cli_print_one(cli,
		    json_pack("{s:I, s:I}", "count", (json_int_t)p->counted,
			"rev", (json_int_t)p->rev),
		    NULL);
		return 0;
	}
	(void)snprintf(
	    line, sizeof(line), "%llu\n", (unsigned long long)p->counted);
	output_bytes(line, strlen(line));
	return 0;
}

static int
print_page(struct cli *cli, const struct ls_args *a, struct pages *p,
    struct output_table *t, struct mp_cur *records, uint32_t count)
{
	struct mp_span raw, key;

	for (uint32_t i = 0; i < count && output_ok(); i++) {
		if (next_record(p, records, &raw, &key) < 0)
			return damaged(cli);
		if (cli_wants_record(cli)) {
			output_record(t, cli_record_json(cli, raw));
			continue;
		}
		output_bytes(key.p, key.len);
		output_bytes(a->null ? "" : "\n", 1);
	}
	return -1;
}

static int
print_keys(struct cli *cli, const struct ls_args *a, struct pages *p)
{
	struct output_table t;
	struct mp_cur records;
	uint32_t count;
	int status = -1;

	p->keys_only = !cli_wants_record(cli);
	output_begin(&t, cli->format, cli_record_columns);
	while (status < 0 && p->more && p->left > 0 && output_ok()) {
		status = pages_next(cli, p, &records, &count);
		if (status < 0)
			status = print_page(cli, a, p, &t, &records, count);
	}
	if (cli_wants_record(cli))
		output_end(&t);
	else
		output_drop(&t);
	return status < 0 ? 0 : status;
}

int
cmd_ls(struct cli *cli, int argc, char **argv)
{
	struct ls_args a = {0};
	struct pages p;
	int option, status;

	pages_init(&p, "");
	while ((option = cli_next(cli, argc, argv)) >= 0) {
		status = take_ls_option(cli, option, &a, &p);
		if (status >= 0)
			return status;
	}
	if (option == CLI_EXIT)
		return cli->status;
	if (argc - optind > 1)
		return cli_usage(cli, "ls takes one prefix");
	status = cli_judge_read(cli, &p.read);
	if (status >= 0)
		return status;
	if (argc - optind == 1)
		p.prefix = argv[optind];
	if (a.after != NULL)
		pages_start_after(&p, a.after, strlen(a.after));
	status = p.count ? print_count(cli, &p) : print_keys(cli, &a, &p);
	pages_release(&p);
	return status;
}

/* ---- del -------------------------------------------------------------- */

const struct cli_option cmd_del_options[] = {
    {"prefix", 0, "P", "all keys that begin with P"},
    {"range", 0, NULL, "all keys from A up to, and without, B"},
    {"all", 0, NULL, "all keys; an empty prefix needs it"},
    {"dry-run", 'n', NULL, "only count"},
    {"if-rev", 0, "N", "only if N changed the one key last"},
    {"if-lock", 0, "NAME=TOKEN", "only while the lock is held with this token"},
    {"request-id", 0, "ID", "once only under this name, however often asked"},
    {0},
};
enum {
	DEL_PREFIX,
	DEL_RANGE,
	DEL_ALL,
	DEL_DRY_RUN,
	DEL_IF_REV,
	DEL_IF_LOCK,
	DEL_REQUEST_ID
};

struct del_args {
	const char *prefix;
	bool range, all, dry_run, has_rev, refused;
	uint64_t if_rev;
	struct cli_if_lock if_lock;
	const char *request_id;
	uint64_t deleted;
	uint64_t rev;
	json_t *outcome; /* the last answer, for -j */
};

/* Keys that go with one delete. */
struct batch {
	struct mp_buf keys; /* packed, back to back */
	uint32_t count;
};

static int
take_del_option(struct cli *cli, int option, struct del_args *a)
{
	switch (option) {
	case DEL_PREFIX:
		a->prefix = optarg;
		break;
	case DEL_RANGE:
		a->range = true;
		break;
	case DEL_ALL:
		a->all = true;
		break;
	case DEL_DRY_RUN:
		a->dry_run = true;
		break;
	case DEL_IF_REV:
		if (units_u64(optarg, &a->if_rev) < 0)
			return cli_usage(
			    cli, "--if-rev is a revision, not '%s'", optarg);
		a->has_rev = true;
		break;
	case DEL_IF_LOCK:
		return cli_take_if_lock(cli, optarg, &a->if_lock);
	case DEL_REQUEST_ID:
		a->request_id = optarg;
		return cli_judge_request_id(cli, optarg);
	}
	return -1;
}

static int
took(struct cli *cli, struct del_args *a, struct mp_span raw)
{
	struct mp_cur c = mp_cur_span(raw);
	struct mp_map m;
	uint64_t deleted;
	bool succeeded;

	if (mp_read_mapping(&c, &m) < 0 ||
	    mp_get_bool(&m, "succeeded", &succeeded) < 0 ||
	    mp_get_u64(&m, "deleted", &deleted) < 0 ||
	    mp_get_u64(&m, "rev", &a->rev) < 0)
		return cli_fail(cli, WIRE_PROTOCOL_ERROR,
		    "the answer does not say what was deleted");
	a->deleted += deleted;
	a->refused = !succeeded;
	json_decref(a->outcome);
	a->outcome = cli_wants_record(cli) ? cli_outcome_json(cli, raw) : NULL;
	return -1;
}

/* Delete a batch, and empty it. */
static int
flush_batch(struct cli *cli, struct del_args *a, struct batch *b)
{
	bool prev = cli_wants_record(cli) && b->count == 1;
	struct client_answer answer;
	struct mp_buf params;
	int status;

	if (b->count == 0)
		return -1;
	mp_buf_init(&params);
	mp_put_array(&params, 2);
	if (b->count > 1)
		mp_put_array(&params, b->count);
	mp_put_raw(&params, b->keys.data, b->keys.len);
	cli_put_write_options(cli, &params,
	    (uint32_t)prev + a->has_rev +
		(a->if_lock.name != NULL ? CLI_IF_LOCK_PAIRS : 0),
	    a->request_id);
	cli_put_if_lock(&params, &a->if_lock);
	if (prev)
		mp_put_kv_bool(&params, "prev", true);
	if (a->has_rev)
		mp_put_kv_u64(&params, "if_rev", a->if_rev);
	params.failed = params.failed || b->keys.failed;
	if (cli_write(cli, "delete", &params, a->request_id, &answer) ==
	    WIRE_OK)
		status = took(
		    cli, a, mp_span(answer.result.data, answer.result.len));
	else
		status = wire_status_info(answer.status)->exit;
	mp_buf_release(&params);
	mp_buf_release(&answer.result);
	mp_buf_reset(&b->keys);
	b->count = 0;
	return status;
}

static int
add_to_batch(
    struct cli *cli, struct del_args *a, struct batch *b, struct mp_span key)
{
	mp_put_bin(&b->keys, key.p, key.len);
	b->count++;
	if (b->count < DELETE_KEYS_MAX && b->keys.len < DELETE_BYTES_MAX)
		return -1;
	return flush_batch(cli, a, b);
}

/* The keys that are named. */
static int
delete_keys(struct cli *cli, struct del_args *a, int count, char **keys)
{
	struct batch b = {0};
	int status = -1;

	for (int i = 0; i < count && status < 0; i++)
		status =
		    add_to_batch(cli, a, &b, mp_span(keys[i], strlen(keys[i])));
	if (status < 0)
		status = flush_batch(cli, a, &b);
	mp_buf_release(&b.keys);
	return status;
}

/* The keys of a listing: those that were there at its one revision. */
static int
delete_listed(struct cli *cli, struct del_args *a, struct pages *p)
{
	struct batch b = {0};
	struct mp_cur records;
	struct mp_span raw, key;
	uint32_t count = 0;
	int status = -1;

	p->keys_only = true;
	while (p->more && status < 0) {
		status = pages_next(cli, p, &records, &count);
		for (uint32_t i = 0; i < count && status < 0; i++) {
			if (next_record(p, &records, &raw, &key) < 0)
				status = damaged(cli);
			else
				status = add_to_batch(cli, a, &b, key);
		}
	}
	if (status < 0)
		status = flush_batch(cli, a, &b);
	mp_buf_release(&b.keys);
	return status;
}

static int
count_listed(struct cli *cli, struct del_args *a, struct pages *p)
{
	struct mp_cur records;
	uint32_t count;
	int status;

	p->count = true;
	status = pages_next(cli, p, &records, &count);
	a->deleted = p->counted;
	a->rev = p->rev;
	return status;
}

/* Which of the named keys there are; each once. */
static int
count_named(struct cli *cli, struct del_args *a, int count, char **keys)
{
	struct client_answer answer;
	struct mp_buf params;
	int status = -1;

	mp_buf_init(&params);
	for (int i = 0; i < count && status < 0; i++) {
		mp_buf_reset(&params);
		mp_put_array(&params, 2);
		mp_put_bin(&params, keys[i], strlen(keys[i]));
		cli_put_options(cli, &params, 0);
		if (cli_call(cli, "get", &params, CLIENT_READ, &answer) !=
		    WIRE_OK)
			status = wire_status_info(answer.status)->exit;
		else if (answer.result.len > 1) /* more than a nil */
			a->deleted++;
		mp_buf_release(&answer.result);
	}
	mp_buf_release(&params);
	return status;
}

static int
finish_del(struct cli *cli, struct del_args *a)
{
	char line[32];
	json_t *j = a->outcome;

	a->outcome = NULL;
	if (cli_wants_record(cli)) {
		if (j == NULL)
			j = json_pack("{s:I, s:I, s:b, s:b, s:n}", "rev",
			    (json_int_t)a->rev, "group",
			    (json_int_t)(cli->group == 0 ? 1 : cli->group),
			    "duplicate", 0, "succeeded", 1, "prev");
		(void)json_object_set_new(
		    j, "deleted", json_integer((json_int_t)a->deleted));
		cli_print_one(cli, j, NULL);
	} else if (a->dry_run) {
		(void)snprintf(line, sizeof(line), "%llu\n",
		    (unsigned long long)a->deleted);
		output_bytes(line, strlen(line));
	}
	if (a->refused && !cli_wants_record(cli))
		fprintf(stderr, "raftctl: not deleted: another revision "
				"changed the key last\n");
	return a->deleted > 0 ? 0 : 1;
}

static int
del_listed(struct cli *cli, struct del_args *a, char **bounds)
{
	struct pages p;
	int status;

	pages_init(&p, a->prefix == NULL ? "" : a->prefix);
	if (a->range) {
		p.from = mp_span(bounds[0], strlen(bounds[0]));
		p.to = mp_span(bounds[1], strlen(bounds[1]));
	}
	status =
	    a->dry_run ? count_listed(cli, a, &p) : delete_listed(cli, a, &p);
	pages_release(&p);
	return status;
}

/* Negative: the arguments make sense. */
static int
judge_del(struct cli *cli, const struct del_args *a, int count)
{
	bool listed = a->prefix != NULL || a->range || a->all;

	if (a->range && (a->prefix != NULL || a->all))
		return cli_usage(
		    cli, "--range goes with neither --prefix nor --all");
	if (a->range && count != 2)
		return cli_usage(cli, "--range takes two keys");
	if (listed && !a->range && count > 0)
		return cli_usage(
		    cli, "keys are named, or chosen by an option, not both");
	if (a->prefix != NULL && a->prefix[0] == '\0' && !a->all)
		return cli_usage(
		    cli, "an empty prefix is every key: say --all");
	if (!listed && count == 0)
		return cli_usage(cli, "del takes a key");
	if (a->has_rev && (listed || count != 1 || a->dry_run))
		return cli_usage(cli, "--if-rev goes with one key");
	if (a->request_id != NULL && (listed || count > DELETE_KEYS_MAX))
		return cli_usage(cli,
		    "--request-id goes with named keys, at most %d",
		    DELETE_KEYS_MAX);
	return -1;
}

int
cmd_del(struct cli *cli, int argc, char **argv)
{
	struct del_args a = {0};
	int option, status;

	while ((option = cli_next(cli, argc, argv)) >= 0) {
		status = take_del_option(cli, option, &a);
		if (status >= 0)
			return status;
	}
	if (option == CLI_EXIT)
		return cli->status;
	argc -= optind;
	argv += optind;
	status = judge_del(cli, &a, argc);
	if (status >= 0)
		return status;
	if (a.prefix != NULL || a.range || a.all)
		status = del_listed(cli, &a, argv);
	else if (a.dry_run)
		status = count_named(cli, &a, argc, argv);
	else
		status = delete_keys(cli, &a, argc, argv);
	if (status < 0)
		status = finish_del(cli, &a);
	else if (a.deleted > 0 && cli->format != OUTPUT_JSON)
		fprintf(stderr, "raftctl: %llu keys were deleted before that\n",
		    (unsigned long long)a.deleted);
	json_decref(a.outcome);
	return status;
}
