/*
 * cmd_keys.c - get and put: one key.
 */
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/cli.h"
#include "raftctl/units.h"

/* ---- get -------------------------------------------------------------- */

const struct cli_option cmd_get_options[] = {
    {"read", 0, "MODE", "linearizable, lease or stale"},
    {"max-stale", 0, "TIME", "stale, but no older than this"},
    {"rev", 0, "[=N]", "show the record; with N, as it was at revision N"},
    {0},
};
enum { GET_READ, GET_MAX_STALE, GET_REV };

struct get_args {
	struct cli_read read;
	bool show_record;
	uint64_t rev; /* 0: now */
};

static int
take_get_option(struct cli *cli, int option, struct get_args *a)
{
	switch (option) {
	case GET_READ:
		return cli_take_read(cli, &a->read, optarg);
	case GET_MAX_STALE:
		return cli_take_max_stale(cli, &a->read, optarg);
	case GET_REV:
		a->show_record = true;
		if (optarg != NULL &&
		    (units_u64(optarg, &a->rev) < 0 || a->rev == 0))
			return cli_usage(cli, "'%s' is not a revision", optarg);
		break;
	}
	return -1;
}

static void
put_get_params(struct cli *cli, struct mp_buf *b, const char *key,
    const struct get_args *a)
{
	bool state = cli_reads_stale(&a->read);

	mp_put_array(b, 2);
	mp_put_bin(b, key, strlen(key));
	cli_put_options(
	    cli, b, cli_read_count(&a->read) + (a->rev != 0) + state);
	cli_put_read(b, &a->read);
	if (state)
		mp_put_kv_bool(b, "state", true);
	if (a->rev != 0)
		mp_put_kv_u64(b, "rev", a->rev);
}

/* What a stale read answered is taken out of what it says about itself. */
static int
take_state(struct cli *cli, struct mp_span *raw, uint64_t *rev)
{
	struct mp_cur c = mp_cur_span(*raw), record;
	struct mp_map m;

	if (mp_read_mapping(&c, &m) < 0 || mp_get_u64(&m, "rev", rev) < 0 ||
	    mp_get(&m, "record", &record) < 0 || mp_read_raw(&record, raw) < 0)
		return cli_fail(cli, WIRE_PROTOCOL_ERROR,
		    "the answer does not say how old it is");
	return -1;
}

/* Print what get answered: the bytes, or the record. */
static int
print_get(struct cli *cli, const struct get_args *a, const char *key,
    struct mp_span raw)
{
	bool state = cli_reads_stale(&a->read);
	uint64_t rev = 0;
	struct mp_cur c;
	struct mp_span value;
	struct mp_map m;
	json_t *j;
	int status = state ? take_state(cli, &raw, &rev) : -1;

	if (status >= 0)
		return status;
	c = mp_cur_span(raw);
	if (mp_peek(&c) == MP_NIL && state && cli->format == OUTPUT_JSON)
		return cli_fail(cli, WIRE_ABSENT,
		    "no such key '%s' at revision %llu", key,
		    (unsigned long long)rev);
	if (mp_peek(&c) == MP_NIL) {
		/* the answer is no, which a text needs no words for */
		if (cli->format == OUTPUT_JSON)
			return cli_fail(
			    cli, WIRE_ABSENT, "no such key '%s'", key);
		return 1;
	}
	if (mp_read_mapping(&c, &m) < 0 ||
	    mp_get_bytes(&m, "value", &value, SIZE_MAX) < 0)
		return cli_fail(
		    cli, WIRE_PROTOCOL_ERROR, "the answer is not a record");
	if (!cli_wants_record(cli) && !a->show_record) {
		output_bytes(value.p, value.len);
		return 0;
	}
	j = cli_record_json(cli, raw);
	if (state)
		(void)json_object_set_new(
		    j, "rev", json_integer((json_int_t)rev));
	cli_print_one(cli, j, cli_record_columns);
	return 0;
}

int
cmd_get(struct cli *cli, int argc, char **argv)
{
	struct get_args a = {0};
	struct client_answer answer;
	struct mp_buf params;
	int option, status;

	while ((option = cli_next(cli, argc, argv)) >= 0) {
		status = take_get_option(cli, option, &a);
		if (status >= 0)
			return status;
	}
	if (option == CLI_EXIT)
		return cli->status;
	if (argc - optind != 1)
		return cli_usage(cli, "get takes one key");
	status = cli_judge_read(cli, &a.read);
	if (status >= 0)
		return status;
	mp_buf_init(&params);
	put_get_params(cli, &params, argv[optind], &a);
	if (cli_call(cli, "get", &params, CLIENT_READ, &answer) == WIRE_OK)
		status = print_get(cli, &a, argv[optind],
		    mp_span(answer.result.data, answer.result.len));
	else
		status = wire_status_info(answer.status)->exit;
	mp_buf_release(&params);
	mp_buf_release(&answer.result);
	return status;
}

/* ---- put -------------------------------------------------------------- */

const struct cli_option cmd_put_options[] = {
    {"if-absent", 0, NULL, "only if there is no such key"},
    {"if-rev", 0, "N", "only if N changed the key last; 0: if absent"},
    {"if-value", 0, "VALUE", "only if this is its value"},
    {"if-changed", 0, NULL, "no new revision if it has this value already"},
    {"if-lock", 0, "NAME=TOKEN", "only while the lock is held with this token"},
    {"append", 0, NULL, "behind the value that is there"},
    {"ttl", 0, "TIME", "the key goes away after so long"},
    {"lease", 0, "ID", "the key goes away with this lease"},
    {"raw-value", 0, NULL, "take '-' and '@FILE' as they are"},
    {"request-id", 0, "ID", "once only under this name, however often asked"},
    {0},
};
enum {
	IF_ABSENT,
	IF_REV,
	IF_VALUE,
	IF_CHANGED,
	IF_LOCK,
	APPEND,
	TTL,
	LEASE,
	RAW_VALUE,
	REQUEST_ID
};

struct put_args {
	bool if_absent, if_changed, append, raw_value, has_rev, has_lease;
	uint64_t if_rev, ttl_ms, lease;
	struct cli_if_lock if_lock;
	const char *if_value;
	const char *key, *value;
	const char *request_id;
};

static int
take_put_option(struct cli *cli, int option, struct put_args *a)
{
	switch (option) {
	case IF_ABSENT:
		a->if_absent = true;
		break;
	case IF_REV:
		if (units_u64(optarg, &a->if_rev) < 0)
			return cli_usage(
			    cli, "--if-rev is a revision, not '%s'", optarg);
		a->has_rev = true;
		break;
	case IF_VALUE:
		a->if_value = optarg;
		break;
	case IF_CHANGED:
		a->if_changed = true;
		break;
	case IF_LOCK:
		return cli_take_if_lock(cli, optarg, &a->if_lock);
	case APPEND:
		a->append = true;
		break;
	case TTL:
		if (units_duration_ms(optarg, &a->ttl_ms) < 0 || a->ttl_ms == 0)
			return cli_usage(cli,
			    "--ttl is a time as in 250ms, 5s or 2m, not '%s'",
			    optarg);
		break;
	case LEASE:
		if (units_u64(optarg, &a->lease) < 0)
			return cli_usage(cli,
			    "--lease is the number of a lease, not '%s'",
			    optarg);
		a->has_lease = true;
		break;
	case RAW_VALUE:
		a->raw_value = true;
		break;
	case REQUEST_ID:
		a->request_id = optarg;
		return cli_judge_request_id(cli, optarg);
	}
	return -1;
}

static void
put_put_params(struct cli *cli, struct mp_buf *b, const struct put_args *a,
    const struct cli_bytes *value, const struct cli_bytes *if_value)
{
	bool prev = cli_wants_record(cli);
	uint32_t count = (uint32_t)a->if_absent + a->if_changed + a->append +
			 a->has_rev + (a->if_value != NULL) + prev +
			 (a->ttl_ms != 0) + a->has_lease +
			 (a->if_lock.name != NULL ? CLI_IF_LOCK_PAIRS : 0);

	mp_put_array(b, 3);
	mp_put_bin(b, a->key, strlen(a->key));
	mp_put_bin(b, value->p, value->len);
	cli_put_write_options(cli, b, count, a->request_id);
	if (a->if_absent)
		mp_put_kv_bool(b, "if_absent", true);
	if (a->if_changed)
		mp_put_kv_bool(b, "if_changed", true);
	if (a->append)
		mp_put_kv_bool(b, "append", true);
	if (a->has_rev)
		mp_put_kv_u64(b, "if_rev", a->if_rev);
	if (a->if_value != NULL)
		mp_put_kv_bin(b, "if_value", if_value->p, if_value->len);
	if (a->ttl_ms != 0)
		mp_put_kv_u64(b, "ttl", a->ttl_ms);
	if (a->has_lease)
		mp_put_kv_u64(b, "lease", a->lease);
	cli_put_if_lock(b, &a->if_lock);
	if (prev)
		mp_put_kv_bool(b, "prev", true);
}

/* Why a condition did not hold, for people. */
static void
explain_refusal(const struct put_args *a, const struct mp_map *m)
{
	struct mp_cur c;
	struct mp_map prev;
	uint64_t rev = 0;

	if (mp_get(m, "prev", &c) == 0 && mp_read_mapping(&c, &prev) == 0 &&
	    mp_get_u64(&prev, "mod_rev", &rev) == 0)
		fprintf(stderr,
		    "raftctl: not put: '%s' is at revision %llu%s\n", a->key,
		    (unsigned long long)rev,
		    a->if_lock.name == NULL ? "" : ", or the lock is lost");
	else
		fprintf(stderr, "raftctl: not put: '%s' is absent%s\n", a->key,
		    a->if_lock.name == NULL ? "" : ", or the lock is lost");
}

static int
print_put(struct cli *cli, const struct put_args *a, struct mp_span raw)
{
	struct mp_cur c = mp_cur_span(raw);
	struct mp_map m;
	bool succeeded;

	if (mp_read_mapping(&c, &m) < 0 ||
	    mp_get_bool(&m, "succeeded", &succeeded) < 0)
		return cli_fail(cli, WIRE_PROTOCOL_ERROR,
		    "the answer does not say whether it was put");
	if (cli_wants_record(cli))
		cli_print_outcome(cli, raw);
	else if (!succeeded)
		explain_refusal(a, &m);
	return succeeded ? 0 : 1;
}

/* Values are read: ask. */
static int
do_put(struct cli *cli, const struct put_args *a, const struct cli_bytes *value,
    const struct cli_bytes *if_value)
{
	struct client_answer answer;
	struct mp_buf params;
	int status;

	mp_buf_init(&params);
	put_put_params(cli, &params, a, value, if_value);
	if (cli_write(cli, "put", &params, a->request_id, &answer) == WIRE_OK)
		status = print_put(
		    cli, a, mp_span(answer.result.data, answer.result.len));
	else
		status = wire_status_info(answer.status)->exit;
	mp_buf_release(&params);
	mp_buf_release(&answer.result);
	return status;
}

int
cmd_put(struct cli *cli, int argc, char **argv)
{
	struct put_args a = {0};
	struct cli_bytes value = {0}, if_value = {0};
	int option, status;

	while ((option = cli_next(cli, argc, argv)) >= 0) {
		status = take_put_option(cli, option, &a);
		if (status >= 0)
			return status;
	}
	if (option == CLI_EXIT)
		return cli->status;
	if (argc - optind != 2)
		return cli_usage(cli, "put takes a key and a value");
	if (a.ttl_ms != 0 && a.has_lease)
		return cli_usage(cli, "--ttl and --lease exclude each other");
	a.key = argv[optind];
	a.value = argv[optind + 1];
	status = cli_read_value(cli, a.value, a.raw_value, &value);
	if (status < 0 && a.if_value != NULL)
		status =
		    cli_read_value(cli, a.if_value, a.raw_value, &if_value);
	if (status < 0)
		status = do_put(cli, &a, &value, &if_value);
	free(value.owned);
	free(if_value.owned);
	return status;
}
