/*
 * cmd_lock.c - lock and elect: what only so many may do at a time.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/cli.h"
#include "raftctl/hold.h"
#include "raftctl/units.h"

#define TTL_MS_DEFAULT 10000
#define TTL_MS_MIN 100
#define TTL_MS_MAX (24 * 3600 * 1000u)
#define OBSERVE_MS 700 /* below the time that a silent server has */

const struct cli_option cmd_lock_options[] = {
    {"nonblock", 'n', NULL, "now or not at all: status 1"},
    {"wait", 'w', "TIME", "wait no longer: status 124"},
    {"shared", 's', NULL, "together with all others who share"},
    {"slots", 0, "N", "as one of N"},
    {"ttl", 0, "TIME", "how long it is ours without a sign of life, 10s"},
    {"grace", 0, "TIME", "between SIGTERM and SIGKILL, a quarter of that"},
    {"list", 0, NULL, "who holds locks, and how many wait"},
    {0},
};
enum { NOW, WAIT, SHARED, SLOTS, TTL, GRACE, LIST };

const struct cli_option cmd_elect_options[] = {
    {"nonblock", 'n', NULL, "now or not at all: status 1"},
    {"wait", 'w', "TIME", "wait no longer: status 124"},
    {"ttl", 0, "TIME", "how long it is ours without a sign of life, 10s"},
    {"grace", 0, "TIME", "between SIGTERM and SIGKILL, a quarter of that"},
    {"observe", 0, NULL, "print who is elected, and whoever follows"},
    {0},
};
enum { E_NOW, E_WAIT, E_TTL, E_GRACE, E_OBSERVE };

/* As of both commands; negative: go on. */
static int
take_time(struct cli *cli, const char *name, uint64_t *ms)
{
	uint64_t seconds;

	/* As flock(1) takes it. */
	if (strcmp(name, "--wait") == 0 && units_u64(optarg, &seconds) == 0 &&
	    seconds <= UINT32_MAX) {
		*ms = seconds * 1000;
		return -1;
	}
	if (units_duration_ms(optarg, ms) < 0)
		return cli_usage(cli,
		    "%s is a time as in 250ms, 5s or 2m, not '%s'", name,
		    optarg);
	return -1;
}

static int
judge(struct cli *cli, struct hold_options *o, bool has_grace)
{
	if (o->ttl_ms < TTL_MS_MIN || o->ttl_ms > TTL_MS_MAX)
		return cli_usage(cli, "--ttl is 100ms to 24h");
	if (!has_grace)
		o->grace_ms = o->ttl_ms / 4;
	/* A renewal in each third: what is left must be more than one. */
	if (o->grace_ms > o->ttl_ms / 2)
		return cli_usage(cli, "--grace is at most half of --ttl");
	if (o->now && o->has_wait)
		return cli_usage(cli, "-n and -w exclude each other");
	if (o->name[0] == '\0' || strlen(o->name) > WIRE_KEY_LEN_MAX)
		return cli_usage(cli, "a name has 1 to 4096 bytes");
	return -1;
}

/* ---- records ---------------------------------------------------------- */

static const struct output_column columns[] = {
    {"NAME", "name"},
    {"NAME_B64", "name_b64"},
    {"TOKEN", "token"},
    {"HOLDER", "holder"},
    {"HOST", "host"},
    {"PID", "pid"},
    {"AGE_MS", "age_ms"},
    {"TTL_MS", "ttl_ms"},
    {"WAITERS", "waiters"},
    {0},
};

/* "more", and the array of a name; false: not such an answer. */
static bool
read_rows(struct mp_span raw, const char *name, bool *more, struct mp_cur *rows,
    uint32_t *count)
{
	struct mp_cur c = mp_cur_span(raw);
	struct mp_map m;

	return mp_read_mapping(&c, &m) == 0 &&
	       (more == NULL || mp_get_bool(&m, "more", more) == 0) &&
	       mp_get(&m, name, rows) == 0 && mp_read_array(rows, count) == 0;
}

static enum wire_status
ask_page(struct cli *cli, const char *prefix, const struct mp_buf *after,
    struct client_answer *a)
{
	struct mp_buf b;
	enum wire_status st;

	mp_buf_init(&b);
	mp_put_array(&b, 2);
	mp_put_bin(&b, prefix, strlen(prefix));
	cli_put_options(cli, &b, after->len > 0);
	if (after->len > 0)
		mp_put_kv_bin(&b, "after", after->data, after->len);
	st = cli_call(cli, "lock.list", &b, CLIENT_READ, a);
	mp_buf_release(&b);
	return st;
}

static int
list(struct cli *cli, const char *prefix)
{
	struct output_table t;
	struct client_answer a;
	struct mp_buf after;
	struct mp_span row, name;
	struct mp_cur rows, one;
	struct mp_map m;
	uint32_t count;
	bool more = true;
	int status = 0;

	mp_buf_init(&after);
	output_begin(&t, cli->format, columns);
	while (more && status == 0 && output_ok()) {
		if (ask_page(cli, prefix, &after, &a) != WIRE_OK)
			status = wire_status_info(a.status)->exit;
		else if (!read_rows(mp_span(a.result.data, a.result.len),
			     "locks", &more, &rows, &count))
			status = cli_fail(cli, WIRE_PROTOCOL_ERROR,
			    "the answer is not a page");
		while (status == 0 && count-- > 0 &&
		       mp_read_raw(&rows, &row) == 0) {
			one = mp_cur_span(row);
			if (mp_read_mapping(&one, &m) == 0 &&
			    mp_get_bytes(&m, "name", &name, SIZE_MAX) == 0) {
				mp_buf_reset(&after);
				mp_put_raw(&after, name.p, name.len);
			}
			output_record(&t, cli_record_json(cli, row));
		}
		mp_buf_release(&a.result);
	}
	output_end(&t);
	mp_buf_release(&after);
	return status;
}

/* ---- lock ------------------------------------------------------------- */

static void
print_token(struct cli *cli, const struct hold_options *o, uint64_t token)
{
	char line[32];

	if (cli_wants_record(cli)) {
		cli_print_one(cli,
		    json_pack("{s:s, s:I, s:o}", "name", o->name, "token",
			(json_int_t)token, "value",
			o->holder == NULL ? json_null()
					  : json_string(o->holder)),
		    NULL);
		return;
	}
	(void)snprintf(line, sizeof(line), "%llu\n", (unsigned long long)token);
	output_bytes(line, strlen(line));
}

/* What follows the operands: a command, or nothing.  Negative: go on. */
static int
take_command(
    struct cli *cli, int argc, char **argv, int at, struct hold_options *o)
{
	if (at < argc && strcmp(argv[at], "--") == 0)
		at++;
	else if (at < argc)
		return cli_usage(cli, "a command stands behind '--'");
	else
		return -1;
	if (at == argc)
		return cli_usage(cli, "no command behind '--'");
	o->command = argv + at;
	return -1;
}

static int
take_lock_option(struct cli *cli, int option, struct hold_options *o,
    bool *has_grace, bool *has_list)
{
	switch (option) {
	case NOW:
		o->now = true;
		break;
	case WAIT:
		o->has_wait = true;
		return take_time(cli, "--wait", &o->wait_ms);
	case SHARED:
		o->slots = 0;
		break;
	case SLOTS:
		if (units_u64(optarg, &o->slots) < 0 || o->slots == 0 ||
		    o->slots >= UINT32_MAX)
			return cli_usage(cli,
			    "--slots is a number from 1 on, not '%s'", optarg);
		break;
	case TTL:
		return take_time(cli, "--ttl", &o->ttl_ms);
	case GRACE:
		*has_grace = true;
		return take_time(cli, "--grace", &o->grace_ms);
	case LIST:
		*has_list = true;
		break;
	}
	return -1;
}

int
cmd_lock(struct cli *cli, int argc, char **argv)
{
	struct hold_options o = {
	    .ttl_ms = TTL_MS_DEFAULT, .slots = 1, .print = print_token};
	bool has_grace = false, has_list = false;
	int option, status;

	while ((option = cli_next(cli, argc, argv)) >= 0) {
		status =
		    take_lock_option(cli, option, &o, &has_grace, &has_list);
		if (status >= 0)
			return status;
	}
	if (option == CLI_EXIT)
		return cli->status;
	if (has_list && argc - optind > 1)
		return cli_usage(cli, "--list takes one prefix at most");
	if (has_list)
		return list(cli, optind < argc ? argv[optind] : "");
	if (optind == argc)
		return cli_usage(cli, "lock takes a name");
	o.name = argv[optind];
	status = take_command(cli, argc, argv, optind + 1, &o);
	if (status < 0)
		status = judge(cli, &o, has_grace);
	return status < 0 ? hold_run(cli, &o) : status;
}

/* ---- elect ------------------------------------------------------------ */

static enum wire_status
ask_change(struct cli *cli, const char *name, bool placed, uint64_t changed,
    struct client_answer *a)
{
	enum wire_status st;
	struct mp_buf b;

	cli_restart_clock(cli);
	mp_buf_init(&b);
	mp_put_array(&b, 2);
	mp_put_bin(&b, name, strlen(name));
	cli_put_options(cli, &b, 1u + placed);
	mp_put_kv_u64(&b, "wait", placed ? OBSERVE_MS : 0);
	if (placed)
		mp_put_kv_u64(&b, "changed", changed);
	st = cli_call(cli, "lock.wait", &b, CLIENT_READ, a);
	mp_buf_release(&b);
	return st;
}

static void
print_elected(
    struct cli *cli, const char *name, struct mp_cur rows, uint32_t count)
{
	static const struct output_column elected[] = {
	    {"VALUE", "value"}, {"TOKEN", "token"}, {"HOST", "host"}, {0}};
	struct mp_span row;
	json_t *j;

	if (count == 0) {
		cli_print_one(cli,
		    json_pack(
			"{s:s, s:n, s:n}", "name", name, "token", "value"),
		    elected);
	} else if (mp_read_raw(&rows, &row) == 0) {
		j = cli_record_json(cli, row);
		if (json_object_get(j, "holder") != NULL)
			(void)json_object_set(
			    j, "value", json_object_get(j, "holder"));
		cli_print_one(cli, j, elected);
	}
	(void)fflush(stdout);
}

/* For ever, until nobody reads or nobody answers. */
static int
observe(struct cli *cli, const char *name)
{
	struct client_answer a;
	struct mp_cur c, rows;
	struct mp_map m;
	uint64_t changed = 0, now;
	uint32_t count;
	bool placed = false;
	int status = -1;

	while (status < 0 && output_ok()) {
		if (ask_change(cli, name, placed, changed, &a) != WIRE_OK) {
			status = wire_status_info(a.status)->exit;
		} else {
			c = mp_cur(a.result.data, a.result.len);
			if (mp_read_mapping(&c, &m) < 0 ||
			    mp_get_u64(&m, "changed", &now) < 0 ||
			    mp_get(&m, "holders", &rows) < 0 ||
			    mp_read_array(&rows, &count) < 0)
				status = cli_fail(cli, WIRE_PROTOCOL_ERROR,
				    "the answer names no holders");
			else if (!placed || now != changed)
				print_elected(cli, name, rows, count);
			placed = true;
			changed = now;
		}
		mp_buf_release(&a.result);
	}
	return status < 0 ? 0 : status;
}

static int
take_elect_option(struct cli *cli, int option, struct hold_options *o,
    bool *has_grace, bool *observes)
{
	switch (option) {
	case E_NOW:
		o->now = true;
		break;
	case E_WAIT:
		o->has_wait = true;
		return take_time(cli, "--wait", &o->wait_ms);
	case E_TTL:
		return take_time(cli, "--ttl", &o->ttl_ms);
	case E_GRACE:
		*has_grace = true;
		return take_time(cli, "--grace", &o->grace_ms);
	case E_OBSERVE:
		*observes = true;
		break;
	}
	return -1;
}

int
cmd_elect(struct cli *cli, int argc, char **argv)
{
	struct hold_options o = {
	    .ttl_ms = TTL_MS_DEFAULT, .slots = 1, .print = print_token};
	bool has_grace = false, observes = false;
	int option, status;

	while ((option = cli_next(cli, argc, argv)) >= 0) {
		status =
		    take_elect_option(cli, option, &o, &has_grace, &observes);
		if (status >= 0)
			return status;
	}
	if (option == CLI_EXIT)
		return cli->status;
	if (argc - optind < (observes ? 1 : 2))
		return cli_usage(cli, observes
					  ? "elect --observe takes a name"
					  : "elect takes a name and a value");
	o.name = argv[optind];
	if (observes && argc - optind > 1)
		return cli_usage(cli, "elect --observe takes a name alone");
	if (observes)
		return observe(cli, o.name);
	o.holder = argv[optind + 1];
	if (strlen(o.holder) > 1024)
		return cli_usage(cli, "a value has at most 1024 bytes");
	status = take_command(cli, argc, argv, optind + 2, &o);
	if (status < 0)
		status = judge(cli, &o, has_grace);
	return status < 0 ? hold_run(cli, &o) : status;
}
