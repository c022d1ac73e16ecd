/*
 * cli.c - the frame of the commands: options, calls, the ways to end.
 */
#include "raftctl/cli.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "raftctl/units.h"

#define TIMEOUT_MS_DEFAULT 5000

static const struct command commands[] = {
    {"get", "KEY", "print the value of a key", cmd_get, cmd_get_options},
    {"put", "KEY VALUE|-|@FILE", "set the value of a key", cmd_put,
	cmd_put_options},
    {"del", "KEY... | --prefix P | --range A B | --all", "remove keys", cmd_del,
	cmd_del_options},
    {"ls", "[PREFIX]", "list keys in order", cmd_ls, cmd_ls_options},
    {"incr", "KEY [N]", "add to a number and print it", cmd_incr,
	cmd_incr_options},
    {"edit", "KEY", "change a value in an editor", cmd_edit, cmd_none_options},
    {"txn", "[FILE|-]", "compare, then do one of two things", cmd_txn,
	cmd_write_options},
    {"watch", "KEY [-- COMMAND...]", "changes as they happen", cmd_watch,
	cmd_watch_options},
    {"lease", "grant TIME | ls | show ID | renew ID | revoke ID",
	"what goes away by itself unless it is renewed", cmd_lease,
	cmd_lease_options},
    {"lock", "NAME [-- COMMAND...] | --list [PREFIX]",
	"hold a lock, while a command runs", cmd_lock, cmd_lock_options},
    {"elect", "NAME VALUE [-- COMMAND...] | --observe NAME",
	"lead under a name, or see who does", cmd_elect, cmd_elect_options},
    {"status", "", "the state of the server asked, or of all", cmd_status,
	cmd_all_options},
    {"members", "", "the members, as the leader sees them", cmd_members,
	cmd_none_options},
    {"add", "ID=ADDR", "a new server, which votes once it has caught up",
	cmd_add, cmd_add_options},
    {"promote", "ID", "a learner votes", cmd_change, cmd_change_options},
    {"demote", "ID", "a voter becomes a learner", cmd_change,
	cmd_change_options},
    {"remove", "ID", "a server leaves for good", cmd_change,
	cmd_change_options},
    {"replace", "OLD NEW=ADDR", "one server takes the place of another",
	cmd_replace, cmd_change_options},
    {"set", "ID=ADDR,...", "these servers vote, all others leave", cmd_set,
	cmd_change_options},
    {"tune", "ID", "the name, zone or priority of a member", cmd_tune,
	cmd_tune_options},
    {"reconcile", "FILE", "bring the members to a declared state",
	cmd_reconcile, cmd_reconcile_options},
    {"recover", "plan DIR|ADDR...",
	"what can be made of the servers that are left", cmd_recover,
	cmd_none_options},
    {"transfer", "[ID]", "hand leadership over", cmd_transfer,
	cmd_none_options},
    {"wait",
	"leader | ready | healthy | applied REV | member ID voter | key KEY",
	"until it is so", cmd_wait, cmd_none_options},
    {"health", "", "whether all is well", cmd_health, cmd_none_options},
    {"doctor", "", "why it is not", cmd_doctor, cmd_none_options},
    {"hash", "", "name the state of the server asked, or compare all", cmd_hash,
	cmd_all_options},
    {"snapshot", "", "have the server asked take a snapshot", cmd_snapshot,
	cmd_none_options},
    {"compact", "", "the same, and cut its log behind it", cmd_compact,
	cmd_none_options},
    {"shell", "", "the same commands at a prompt", cmd_shell, cmd_none_options},
    {"complete", "[WORD...]", "what the last word may become", cmd_complete,
	cmd_none_options},
    {0},
};

/* Options of raftctl itself, before or after the command's name. */
static const struct cli_option globals[] = {
    {"endpoints", 's', "ADDR,...", "servers to ask (RAFT_ENDPOINTS)"},
    {"group", 'g', "GROUP", "the Raft group (RAFT_GROUP)"},
    {"output", 'o', "FORMAT", "text, json, raw or fields (RAFT_OUTPUT)"},
    {"json", 'j', NULL, "the same as -o json"},
    {"timeout", 't', "TIMEOUT", "for the whole command, 5s (RAFT_TIMEOUT)"},
    {"encoding", 0, "FORM", "bytes in JSON: auto, base64 or hex"},
    {"help", 'h', NULL, "print this and end"},
    {"version", 'V', NULL, "print the version and end"},
    {0},
};
enum { ENDPOINTS, GROUP, OUTPUT, JSON, TIMEOUT, ENCODING, HELP, VERSION };

const struct cli_option cmd_none_options[] = {{0}};

/* ---- usage ------------------------------------------------------------ */

static void
print_options(const struct cli_option *options)
{
	char left[64], letter[8];

	for (; options->name != NULL; options++) {
		(void)snprintf(letter, sizeof(letter), "-%c,",
		    options->letter != 0 ? options->letter : ' ');
		(void)snprintf(left, sizeof(left), "%s --%s%s%s",
		    options->letter != 0 ? letter : "   ", options->name,
		    options->arg == NULL     ? ""
		    : options->arg[0] == '[' ? ""
					     : " ",
		    options->arg == NULL ? "" : options->arg);
		printf("  %-28s %s\n", left, options->help);
	}
}

static void
print_help(const struct cli *cli)
{
	const struct command *c = cli->command;

	if (c != NULL) {
		printf("usage: raftctl [OPTIONS] %s%s%s%s\n\n%s\n", c->name,
		    c->options->name != NULL ? " [OPTIONS]" : "",
		    c->args[0] != '\0' ? " " : "", c->args, c->help);
		if (c->options->name != NULL)
			printf("\noptions of %s:\n", c->name);
		print_options(c->options);
		printf("\noptions of raftctl:\n");
		print_options(globals);
		return;
	}
	printf("usage: raftctl [-s ADDR,...] [-g GROUP] [-o FORMAT | -j] "
	       "[-t TIMEOUT] COMMAND ...\n\ncommands:\n");
	for (c = commands; c->name != NULL; c++)
		printf("  %s%s%s\n      %s\n", c->name,
		    c->args[0] != '\0' ? " " : "", c->args, c->help);
	printf("\noptions:\n");
	print_options(globals);
}

/* ---- the ends --------------------------------------------------------- */

static void
print_error_json(json_t *error)
{
	json_t *j = json_pack("{s:o}", "error", error);
	char *text = j == NULL ? NULL : json_dumps(j, JSON_COMPACT);

	fprintf(stderr, "%s\n",
	    text == NULL ? "{\"error\":{\"code\":\"BUG\"}}" : text);
	free(text);
	json_decref(j);
}

int
cli_error(struct cli *cli, const struct wire_error *e)
{
	fflush(stdout);
	if (cli->format == OUTPUT_JSON)
		print_error_json(output_error(e));
	else if (e->cause[0] == '\0' || strstr(e->message, e->cause) != NULL)
		fprintf(stderr, "raftctl: %s\n", e->message);
	else if (strstr(e->cause, e->message) != NULL)
		fprintf(stderr, "raftctl: %s\n", e->cause);
	else
		fprintf(stderr, "raftctl: %s: %s\n", e->message, e->cause);
	return wire_status_info(e->status)->exit;
}

int
cli_fail_file(struct cli *cli, int status, const char *verb, const char *name)
{
	struct wire_error e = {.status = WIRE_USAGE};
	char reason[64];
	json_t *j;

	(void)snprintf(reason, sizeof(reason), "%s", strerror(errno));
	reason[0] = (char)tolower((unsigned char)reason[0]);
	(void)snprintf(e.message, sizeof(e.message), "cannot %s '%.150s': %s",
	    verb, name, reason);
	if (cli->format != OUTPUT_JSON) {
		(void)cli_error(cli, &e);
		return status;
	}
	j = output_error(&e);
	(void)json_object_set_new(
	    j, "code", json_string(status == CLI_EXIT_IO ? "IO" : "INPUT"));
	(void)json_object_set_new(j, "exit", json_integer(status));
	print_error_json(j);
	return status;
}

int
cli_fail(struct cli *cli, enum wire_status status, const char *fmt, ...)
{
	struct wire_error e = {.status = status};
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(e.message, sizeof(e.message), fmt, ap);
	va_end(ap);
	return cli_error(cli, &e);
}

int
cli_usage(struct cli *cli, const char *fmt, ...)
{
	struct wire_error e = {.status = WIRE_USAGE};
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(e.message, sizeof(e.message), fmt, ap);
	va_end(ap);
	cli_error(cli, &e);
	if (cli->format != OUTPUT_JSON)
		fprintf(stderr, "raftctl: try 'raftctl%s%s --help'\n",
		    cli->command == NULL ? "" : " ",
		    cli->command == NULL ? "" : cli->command->name);
	return wire_status_info(WIRE_USAGE)->exit;
}

bool
cli_wants_record(const struct cli *cli)
{
	return cli->format == OUTPUT_JSON || cli->format == OUTPUT_FIELDS;
}

/* ---- options ---------------------------------------------------------- */

static uint64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* from: "-t" or "RAFT_TIMEOUT", for the message.  Negative: go on. */
static int
set_timeout(struct cli *cli, const char *from, const char *value)
{
	uint64_t ms;

	if (units_duration_ms(value, &ms) < 0 || ms == 0 || ms > UINT32_MAX)
		return cli_usage(cli,
		    "%s is a time as in 250ms, 5s or 2m, not '%s'", from,
		    value);
	cli->timeout_ms = ms;
	return -1;
}

static int
set_group(struct cli *cli, const char *from, const char *value)
{
	uint64_t group;

	if (units_u64(value, &group) < 0 || group == 0 || group > UINT32_MAX)
		return cli_usage(
		    cli, "%s is the number of a group, not '%s'", from, value);
	cli->group = group;
	return -1;
}

static int
set_format(struct cli *cli, const char *from, const char *value)
{
	if (output_format_by_name(value, &cli->format) < 0)
		return cli_usage(cli,
		    "%s is text, json, raw or fields, not '%s'", from, value);
	return -1;
}

/* Negative: go on; else the exit status. */
static int
take_global(struct cli *cli, int option, const char *value)
{
	switch (option) {
	case ENDPOINTS:
		cli->endpoints = value;
		return -1;
	case GROUP:
		return set_group(cli, "-g", value);
	case OUTPUT:
		return set_format(cli, "-o", value);
	case JSON:
		cli->format = OUTPUT_JSON;
		return -1;
	case TIMEOUT:
		return set_timeout(cli, "-t", value);
	case ENCODING:
		if (output_encoding_by_name(value, &cli->encoding) < 0)
			return cli_usage(cli,
			    "--encoding is auto, base64 or hex, not '%s'",
			    value);
		return -1;
	case HELP:
		print_help(cli);
		return output_close();
	default:
		printf("raftctl %s\n", RAFTKIT_VERSION);
		return output_close();
	}
}

#define GLOBAL_BASE 256	 /* what getopt gives for globals[i] */
#define COMMAND_BASE 512 /* and for command->options[i] */

/* What getopt_long() wants to know, out of both tables. */
struct getopt_tables {
	struct option longs[2 * CLI_OPTIONS_MAX + 1];
	char shorts[4 * CLI_OPTIONS_MAX + 4];
};

static void
add_options(struct getopt_tables *t, size_t *count, size_t *letters,
    const struct cli_option *options, int base)
{
	for (int i = 0; options[i].name != NULL; i++) {
		const struct cli_option *o = &options[i];
		int arg = o->arg == NULL     ? no_argument
			  : o->arg[0] == '[' ? optional_argument
					     : required_argument;

		assert(i < CLI_OPTIONS_MAX);
		t->longs[(*count)++] =
		    (struct option){o->name, arg, NULL, base + i};
		/* A letter of the command's own hides that of a global. */
		if (o->letter == 0 ||
		    memchr(t->shorts, o->letter, *letters) != NULL)
			continue;
		t->shorts[(*letters)++] = (char)o->letter;
		if (arg == required_argument)
			t->shorts[(*letters)++] = ':';
	}
}

static int
by_letter(const struct cli_option *options, int letter, int base)
{
	for (int i = 0; options != NULL && options[i].name != NULL; i++)
		if (options[i].letter == letter)
			return base + i;
	return -1;
}

static int
next_option(struct cli *cli, int argc, char **argv)
{
	const struct cli_option *own =
	    cli->command == NULL ? cmd_none_options : cli->command->options;
	struct getopt_tables t = {0};
	size_t count = 0, letters = 0;
	int c, found;

	/* '+': options stand before operands; ':': we complain ourselves */
	t.shorts[letters++] = '+';
	t.shorts[letters++] = ':';
	add_options(&t, &count, &letters, own, COMMAND_BASE);
	add_options(&t, &count, &letters, globals, GLOBAL_BASE);
	c = getopt_long(argc, argv, t.shorts, t.longs, NULL);
	if (c < 0 || c >= GLOBAL_BASE || c == ':' || c == '?')
		return c;
	found = by_letter(own, c, COMMAND_BASE);
	return found >= 0 ? found : by_letter(globals, c, GLOBAL_BASE);
}

int
cli_next(struct cli *cli, int argc, char **argv)
{
	int c;

	for (;;) {
		c = next_option(cli, argc, argv);
		if (c < 0)
			return CLI_OPERANDS;
		if (c >= COMMAND_BASE)
			return c - COMMAND_BASE;
		if (c == ':')
			cli->status = cli_usage(
			    cli, "'%s' wants a value", argv[optind - 1]);
		else if (c == '?' && optopt > 0 && optopt < GLOBAL_BASE)
			cli->status =
			    cli_usage(cli, "no such option '-%c'", optopt);
		else if (c == '?')
			cli->status = cli_usage(
			    cli, "no such option '%s'", argv[optind - 1]);
		else {
			cli->status = take_global(cli, c - GLOBAL_BASE, optarg);
			if (cli->status < 0)
				continue;
		}
		return CLI_EXIT;
	}
}

/* Negative: go on. */
static int
take_environment(struct cli *cli)
{
	const char *v;
	int r = -1;

	cli->endpoints = getenv("RAFT_ENDPOINTS");
	v = getenv("RAFT_OUTPUT");
	if (v != NULL && *v != '\0')
		r = set_format(cli, "RAFT_OUTPUT", v);
	v = getenv("RAFT_TIMEOUT");
	if (r < 0 && v != NULL && *v != '\0')
		r = set_timeout(cli, "RAFT_TIMEOUT", v);
	v = getenv("RAFT_GROUP");
	if (r < 0 && v != NULL && *v != '\0')
		r = set_group(cli, "RAFT_GROUP", v);
	return r;
}

/* ---- calls ------------------------------------------------------------ */

bool
cli_is_late(const struct cli *cli)
{
	return now_ns() - cli->started_ns >= cli->timeout_ms * 1000000;
}

void
cli_restart_clock(struct cli *cli)
{
	cli->started_ns = now_ns();
}

uint32_t
cli_left_ms(const struct cli *cli)
{
	uint64_t spent_ms = (now_ns() - cli->started_ns) / 1000000;

	return spent_ms >= cli->timeout_ms
		   ? 1
		   : (uint32_t)(cli->timeout_ms - spent_ms);
}

static enum wire_status
refuse(struct client_answer *a, enum wire_status status, const char *text)
{
	memset(a, 0, sizeof(*a));
	a->status = a->error.status = status;
	(void)snprintf(a->error.message, sizeof(a->error.message), "%s", text);
	return status;
}

/* The connection of this command, made when it is needed. */
static enum wire_status
connection(struct cli *cli, struct client_answer *a)
{
	struct client_config config = {.endpoints = cli->endpoints};
	struct errtext et = {""};
	int r;

	if (cli->sync != NULL)
		return WIRE_OK;
	if (cli->endpoints == NULL || cli->endpoints[0] == '\0')
		return refuse(a, WIRE_USAGE,
		    "no server is named: -s ADDR or RAFT_ENDPOINTS");
	r = client_sync_open(&config, &cli->sync, &et);
	if (r == 0)
		return WIRE_OK;
	return refuse(a, r == -EINVAL ? WIRE_USAGE : WIRE_BUG,
	    et.text[0] != '\0' ? et.text : strerror(-r));
}

enum wire_status
cli_ask(struct cli *cli, const char *method, const struct mp_buf *params,
    unsigned flags, uint64_t limit_ms, struct client_answer *a)
{
	struct mp_span span = {NULL, 0};
	uint32_t left;

	if (connection(cli, a) != WIRE_OK)
		return a->status;
	if (params != NULL) {
		if (params->failed)
			return refuse(a, WIRE_BUG, "no memory");
		span = mp_span(params->data, params->len);
	}
	left = cli_left_ms(cli);
	if (left > limit_ms)
		left = (uint32_t)limit_ms;
	return client_sync_call(cli->sync, method, span, flags, left, a);
}

enum wire_status
cli_call(struct cli *cli, const char *method, const struct mp_buf *params,
    unsigned flags, struct client_answer *a)
{
	if (cli_ask(cli, method, params, flags, UINT32_MAX, a) != WIRE_OK)
		cli_error(cli, &a->error);
	return a->status;
}

void
cli_put_options(struct cli *cli, struct mp_buf *b, uint32_t count)
{
	mp_put_map(b, count + (cli->group != 0));
	if (cli->group != 0)
		mp_put_kv_u64(b, "group", cli->group);
}

int
cli_judge_request_id(struct cli *cli, const char *id)
{
	if (id[0] == '\0' || strlen(id) > CLI_REQUEST_ID_MAX)
		return cli_usage(
		    cli, "--request-id is 1 to %d bytes", CLI_REQUEST_ID_MAX);
	return -1;
}

void
cli_put_write_options(
    struct cli *cli, struct mp_buf *b, uint32_t count, const char *request_id)
{
	char session[CLI_REQUEST_ID_MAX + 4];

	cli_put_options(cli, b, count + (request_id == NULL ? 0 : 2));
	if (request_id == NULL)
		return;
	(void)snprintf(session, sizeof(session), "id:%s", request_id);
	mp_put_kv_str(b, "session", session);
	mp_put_kv_u64(b, "seq", 1);
}

int
cli_take_if_lock(struct cli *cli, const char *arg, struct cli_if_lock *l)
{
	const char *at = strrchr(arg, '=');

	if (at == NULL || at == arg || units_u64(at + 1, &l->token) < 0)
		return cli_usage(cli, "--if-lock is NAME=TOKEN, not '%s'", arg);
	l->name = arg;
	l->name_len = (size_t)(at - arg);
	return -1;
}

void
cli_put_if_lock(struct mp_buf *b, const struct cli_if_lock *l)
{
	if (l->name == NULL)
		return;
	mp_put_kv_bin(b, "if_lock", l->name, l->name_len);
	mp_put_kv_u64(b, "if_token", l->token);
}

enum wire_status
cli_write(struct cli *cli, const char *method, const struct mp_buf *params,
    const char *request_id, struct client_answer *a)
{
	return cli_call(cli, method, params,
	    request_id == NULL ? CLIENT_SESSION : CLIENT_IDEMPOTENT, a);
}

/* ---- reads ------------------------------------------------------------ */

int
cli_take_read(struct cli *cli, struct cli_read *r, const char *mode)
{
	if (strcmp(mode, "linearizable") != 0 && strcmp(mode, "lease") != 0 &&
	    strcmp(mode, "stale") != 0)
		return cli_usage(cli,
		    "--read is linearizable, lease or stale, not '%s'", mode);
	r->mode = mode;
	return -1;
}

int
cli_take_max_stale(struct cli *cli, struct cli_read *r, const char *value)
{
	if (units_duration_ms(value, &r->max_stale_ms) < 0)
		return cli_usage(cli,
		    "--max-stale is a time as in 250ms, 5s or 2m, not '%s'",
		    value);
	r->bounded = true;
	return -1;
}

bool
cli_reads_stale(const struct cli_read *r)
{
	return r->bounded || (r->mode != NULL && strcmp(r->mode, "stale") == 0);
}

int
cli_judge_read(struct cli *cli, const struct cli_read *r)
{
	if (r->bounded && r->mode != NULL && strcmp(r->mode, "stale") != 0)
		return cli_usage(cli, "--max-stale goes with --read=stale");
	return -1;
}

uint32_t
cli_read_count(const struct cli_read *r)
{
	return (uint32_t)(r->mode != NULL || r->bounded) + r->bounded;
}

void
cli_put_read(struct mp_buf *b, const struct cli_read *r)
{
	if (r->mode != NULL || r->bounded)
		mp_put_kv_str(b, "read", r->mode != NULL ? r->mode : "stale");
	if (r->bounded)
		mp_put_kv_u64(b, "max_stale", r->max_stale_ms);
}

/* ---- the program ------------------------------------------------------ */

const struct command *
cli_commands(void)
{
	return commands;
}

const struct cli_option *
cli_globals(void)
{
	return globals;
}

const struct command *
cli_find_command(const char *name)
{
	for (const struct command *c = commands; c->name != NULL; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

static int
run(struct cli *cli, int argc, char **argv)
{
	int first;

	if (cli_next(cli, argc, argv) == CLI_EXIT)
		return cli->status;
	if (optind == argc)
		return cli_usage(cli, "no command is given");
	cli->command = cli_find_command(argv[optind]);
	if (cli->command == NULL)
		return cli_usage(cli, "no such command '%s'", argv[optind]);
	/* getopt starts anew behind the command's name */
	first = optind;
	optind = 0;
	return cli->command->run(cli, argc - first, argv + first);
}

int
cli_main(int argc, char **argv)
{
	struct cli cli = {.timeout_ms = TIMEOUT_MS_DEFAULT};
	int status, closed;

	opterr = 0;
	cli.started_ns = now_ns();
	(void)sigaction(
	    SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	status = take_environment(&cli);
	if (status < 0)
		status = run(&cli, argc, argv);
	client_sync_close(cli.sync);
	closed = output_close();
	return closed != 0 ? closed : status;
}

int
cli_run_line(const struct cli *base, int argc, char **argv)
{
	struct cli cli = *base;
	int status, closed;

	cli.command = NULL;
	cli.sync = NULL;
	cli.started_ns = now_ns();
	optind = 0;
	status = run(&cli, argc, argv);
	client_sync_close(cli.sync);
	closed = output_close();
	return closed != 0 ? closed : status;
}
