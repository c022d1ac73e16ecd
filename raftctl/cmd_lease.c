/*
 * cmd_lease.c - lease: what goes away by itself unless it is renewed.
 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "raftctl/cli.h"
#include "raftctl/units.h"

const struct cli_option cmd_lease_options[] = {
    {"request-id", 0, "ID", "once only under this name, however often asked"},
    {0},
};

static const struct output_column columns[] = {
    {"LEASE", "lease"},
    {"TTL_MS", "ttl_ms"},
    {"REMAINING_MS", "remaining_ms"},
    {"KEYS", "keys"},
    {0},
};

struct lease_args {
	const char *verb;
	const char *operand; /* NULL: none */
	const char *request_id;
};

/* ---- writes ----------------------------------------------------------- */

static int
print_write(struct cli *cli, const struct lease_args *a, struct mp_span raw)
{
	struct mp_cur c = mp_cur_span(raw);
	struct mp_map m;
	uint64_t id;
	char line[32];

	if (mp_read_mapping(&c, &m) < 0 || mp_get_u64(&m, "lease", &id) < 0)
		return cli_fail(
		    cli, WIRE_PROTOCOL_ERROR, "the answer names no lease");
	if (cli_wants_record(cli)) {
		cli_print_one(cli, cli_record_json(cli, raw), NULL);
	} else if (strcmp(a->verb, "grant") == 0) {
		(void)snprintf(
		    line, sizeof(line), "%llu\n", (unsigned long long)id);
		output_bytes(line, strlen(line));
	}
	return 0;
}

static int
do_write(struct cli *cli, const struct lease_args *a, const char *method,
    uint64_t number)
{
	struct client_answer answer;
	struct mp_buf params;
	int status;

	mp_buf_init(&params);
	mp_put_array(&params, 2);
	mp_put_u64(&params, number);
	cli_put_write_options(cli, &params, 0, a->request_id);
	if (cli_write(cli, method, &params, a->request_id, &answer) == WIRE_OK)
		status = print_write(
		    cli, a, mp_span(answer.result.data, answer.result.len));
	else
		status = wire_status_info(answer.status)->exit;
	mp_buf_release(&params);
	mp_buf_release(&answer.result);
	return status;
}

static int
lease_grant(struct cli *cli, const struct lease_args *a)
{
	uint64_t ttl_ms;

	if (a->operand == NULL || units_duration_ms(a->operand, &ttl_ms) < 0 ||
	    ttl_ms == 0)
		return cli_usage(
		    cli, "lease grant takes a time as in 250ms, 5s or 2m");
	return do_write(cli, a, "lease.grant", ttl_ms);
}

/* Negative: go on. */
static int
read_id(struct cli *cli, const struct lease_args *a, uint64_t *id)
{
	if (a->operand == NULL || units_u64(a->operand, id) < 0)
		return cli_usage(
		    cli, "lease %s takes the number of a lease", a->verb);
	return -1;
}

static int
lease_renew(struct cli *cli, const struct lease_args *a)
{
	uint64_t id;
	int status = read_id(cli, a, &id);

	return status < 0 ? do_write(cli, a, "lease.renew", id) : status;
}

static int
lease_revoke(struct cli *cli, const struct lease_args *a)
{
	uint64_t id;
	int status = read_id(cli, a, &id);

	return status < 0 ? do_write(cli, a, "lease.revoke", id) : status;
}

/* ---- reads ------------------------------------------------------------ */

static int
lease_show(struct cli *cli, const struct lease_args *a)
{
	struct client_answer answer;
	struct mp_buf params;
	uint64_t id;
	int status = read_id(cli, a, &id);

	if (status >= 0)
		return status;
	mp_buf_init(&params);
	mp_put_array(&params, 2);
	mp_put_u64(&params, id);
	cli_put_options(cli, &params, 0);
	if (cli_call(cli, "lease.show", &params, CLIENT_READ, &answer) ==
	    WIRE_OK)
		cli_print_one(cli,
		    cli_record_json(
			cli, mp_span(answer.result.data, answer.result.len)),
		    columns);
	status = wire_status_info(answer.status)->exit;
	mp_buf_release(&params);
	mp_buf_release(&answer.result);
	return status;
}

/* The leases of one page; *id is the last one's.  Negative: go on. */
static int
take_page(struct cli *cli, struct output_table *t, struct mp_span raw,
    uint64_t *id, bool *more)
{
	struct mp_cur c = mp_cur_span(raw), leases, one;
	struct mp_map m, lease;
	struct mp_span item;
	uint32_t count;

	if (mp_read_mapping(&c, &m) < 0 || mp_get_bool(&m, "more", more) < 0 ||
	    mp_get(&m, "leases", &leases) < 0 ||
	    mp_read_array(&leases, &count) < 0)
		return cli_fail(
		    cli, WIRE_PROTOCOL_ERROR, "the answer is not a page");
	while (count-- > 0 && mp_read_raw(&leases, &item) == 0) {
		one = mp_cur_span(item);
		if (mp_read_mapping(&one, &lease) < 0 ||
		    mp_get_u64(&lease, "lease", id) < 0)
			return cli_fail(cli, WIRE_PROTOCOL_ERROR,
			    "the answer has what is no lease");
		output_record(t, cli_record_json(cli, item));
	}
	return -1;
}

static int
lease_ls(struct cli *cli, const struct lease_args *a)
{
	struct client_answer answer;
	struct output_table t;
	struct mp_buf params;
	uint64_t id = 0;
	bool more = true;
	int status = -1;

	if (a->operand != NULL)
		return cli_usage(cli, "lease ls takes no operand");
	output_begin(&t, cli->format, columns);
	while (status < 0 && more && output_ok()) {
		mp_buf_init(&params);
		mp_put_array(&params, 2);
		mp_put_u64(&params, id);
		cli_put_options(cli, &params, 0);
		if (cli_call(cli, "lease.list", &params, CLIENT_READ,
			&answer) == WIRE_OK)
			status = take_page(cli, &t,
			    mp_span(answer.result.data, answer.result.len), &id,
			    &more);
		else
			status = wire_status_info(answer.status)->exit;
		mp_buf_release(&params);
		mp_buf_release(&answer.result);
	}
	output_end(&t);
	return status < 0 ? 0 : status;
}

/* ---- the command ------------------------------------------------------ */

static const struct verb {
	const char *name;
	int (*run)(struct cli *, const struct lease_args *);
} verbs[] = {
    {"grant", lease_grant},
    {"ls", lease_ls},
    {"show", lease_show},
    {"renew", lease_renew},
    {"revoke", lease_revoke},
};

/* Options before or behind the verb. */
static int
take_options(struct cli *cli, int argc, char **argv, struct lease_args *a)
{
	int option, status;

	while ((option = cli_next(cli, argc, argv)) >= 0) {
		a->request_id = optarg;
		status = cli_judge_request_id(cli, optarg);
		if (status >= 0)
			return status;
	}
	return option == CLI_EXIT ? cli->status : -1;
}

int
cmd_lease(struct cli *cli, int argc, char **argv)
{
	struct lease_args a = {NULL, NULL, NULL};
	int status = take_options(cli, argc, argv, &a), first;

	if (status >= 0)
		return status;
	if (optind == argc)
		return cli_usage(
		    cli, "lease grant, ls, show, renew or revoke?");
	a.verb = argv[optind];
	first = optind;
	optind = 0;
	argc -= first;
	argv += first;
	status = take_options(cli, argc, argv, &a);
	if (status >= 0)
		return status;
	if (argc - optind > 1)
		return cli_usage(
		    cli, "lease %s takes one operand at most", a.verb);
	a.operand = argc > optind ? argv[optind] : NULL;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(a.verb, verbs[i].name) == 0)
			return verbs[i].run(cli, &a);
	return cli_usage(
	    cli, "lease grant, ls, show, renew or revoke, not '%s'", a.verb);
}
