/*
 * cmd_wait.c - wait, health and doctor: is it so, and if not, why.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "raftctl/cli.h"
#include "raftctl/survey.h"
#include "raftctl/units.h"

#define POLL_MS_MIN 10
#define POLL_MS_MAX 100
#define ASK_MS_MAX 1000 /* one question of a poll */
#define FSYNC_SLOW_MS 100.0

/* ---- findings --------------------------------------------------------- */

struct findings {
	json_t *list;
	bool bad;
};

__attribute__((format(printf, 4, 5))) static void
find(struct findings *f, const char *what, bool ok, const char *fmt, ...)
{
	char detail[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	f->bad = f->bad || !ok;
	(void)json_array_append_new(
	    f->list, json_pack("{s:s, s:b, s:o}", "what", what, "ok", ok,
			 "detail", output_text_json(detail)));
}

static const char *
why(const struct wire_error *e)
{
	return e->cause[0] != '\0' ? e->cause : e->message;
}

static json_int_t
number(json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* A status or a list of members, or NULL with the reason in *e. */
static json_t *
ask(struct cli *cli, const char *method, struct wire_error *e)
{
	struct client_answer answer;
	json_t *j = NULL;

	memset(e, 0, sizeof(*e));
	if (cli_ask(cli, method, NULL, CLIENT_READ, ASK_MS_MAX, &answer) ==
	    WIRE_OK)
		j = output_json(mp_span(answer.result.data, answer.result.len),
		    OUTPUT_AUTO);
	else
		*e = answer.error;
	mp_buf_release(&answer.result);
	if (j == NULL && e->status == WIRE_OK) {
		e->status = WIRE_PROTOCOL_ERROR;
		(void)snprintf(e->message, sizeof(e->message),
		    "the answer to %s is damaged", method);
	}
	return j;
}

static void
judge_member(struct findings *f, json_t *m)
{
	char what[32];
	bool in_sync = json_is_true(json_object_get(m, "in_sync"));
	json_t *contact = json_object_get(m, "contact_ms");

	(void)snprintf(
	    what, sizeof(what), "member %lld", (long long)number(m, "id"));
	if (in_sync)
		find(f, what, true, "in sync, %lld entries behind",
		    (long long)number(m, "lag_entries"));
	else if (!json_is_integer(contact))
		find(f, what, false, "the leader has never heard of it");
	else
		find(f, what, false,
		    "%lld entries behind, last heard of %lld ms ago",
		    (long long)number(m, "lag_entries"),
		    (long long)json_integer_value(contact));
}

/* What health tells: a leader that serves, members that follow. */
static void
examine(struct cli *cli, struct findings *f, struct wire_error *e)
{
	json_t *status, *members, *m;
	size_t i;
	bool ready;

	status = ask(cli, "status", e);
	if (status == NULL) {
		find(f, "server", false, "%s", why(e));
		return;
	}
	if (json_is_integer(json_object_get(status, "leader")))
		find(f, "leader", true, "server %lld in term %lld",
		    (long long)number(status, "leader"),
		    (long long)number(status, "term"));
	else
		find(f, "leader", false,
		    "server %lld knows of none in term %lld",
		    (long long)number(status, "id"),
		    (long long)number(status, "term"));
	ready = json_is_true(json_object_get(status, "ready"));
	find(f, "ready", ready,
	    ready ? "requests are served" : "requests are not served");
	json_decref(status);
	if (f->bad)
		return;
	members = ask(cli, "members", e);
	if (members == NULL) {
		find(f, "members", false, "%s", why(e));
		return;
	}
	json_array_foreach(members, i, m) judge_member(f, m);
	json_decref(members);
}

static int
print_findings(struct cli *cli, struct findings *f)
{
	static const struct output_column columns[] = {
	    {"WHAT", "what"}, {"OK", "ok"}, {"DETAIL", "detail"}, {0}};
	struct output_table t;
	json_t *row;
	size_t i;

	output_begin(&t, cli->format, columns);
	json_array_foreach(f->list, i, row) output_record(&t, json_incref(row));
	output_end(&t);
	return f->bad ? 1 : 0;
}

/* Negative: no operands, no options. */
static int
take_nothing(struct cli *cli, int argc, char **argv)
{
	if (cli_next(cli, argc, argv) == CLI_EXIT)
		return cli->status;
	if (argc != optind)
		return cli_usage(
		    cli, "%s takes no operands", cli->command->name);
	return -1;
}

int
cmd_health(struct cli *cli, int argc, char **argv)
{
	struct findings f = {json_array(), false};
	struct wire_error e = {0};
	int status;

	status = take_nothing(cli, argc, argv);
	if (status < 0) {
		examine(cli, &f, &e);
		if (e.status == WIRE_USAGE || e.status == WIRE_UNREACHABLE)
			status = cli_error(cli, &e);
		else
			status = print_findings(cli, &f);
	}
	json_decref(f.list);
	return status;
}

/* ---- doctor ----------------------------------------------------------- */

static void
examine_server(struct findings *f, const struct survey_row *row)
{
	json_t *st = row->status, *unsafe, *p99;
	const char *disk;
	char what[300];

	if (row->id != 0)
		(void)snprintf(what, sizeof(what), "server %llu",
		    (unsigned long long)row->id);
	else
		(void)snprintf(what, sizeof(what), "server %s", row->endpoint);
	if (st == NULL) {
		find(f, what, false, "%s", why(&row->error));
		return;
	}
	find(f, what, true, "%s in term %lld, %lld entries to apply",
	    json_string_value(json_object_get(st, "role")),
	    (long long)number(st, "term"),
	    (long long)(number(st, "commit") - number(st, "applied")));
	p99 = json_object_get(json_object_get(st, "fsync_ms"), "p99");
	if (json_is_number(p99) && json_number_value(p99) > FSYNC_SLOW_MS)
		find(f, what, false,
		    "slow disk: one fsync in a hundred takes %.0f ms",
		    json_number_value(p99));
	disk = json_string_value(json_object_get(st, "disk"));
	if (disk != NULL && strcmp(disk, "ok") != 0)
		find(f, what, false, "its disk is %s", disk);
	if (json_is_true(json_object_get(st, "quarantined")))
		find(f, what, false,
		    "it came back with an empty or an old directory, and has "
		    "no vote until it has caught up");
	unsafe = json_object_get(st, "unsafe");
	if (json_array_size(unsafe) > 0)
		find(f, what, false, "runs with --unsafe-%s",
		    json_string_value(json_array_get(unsafe, 0)));
}

/* Two servers that call themselves leader in one term, or of states that
 * differ where they may not. */
static void
examine_agreement(struct findings *f, const struct survey *s)
{
	for (unsigned i = 0; i < s->count; i++)
		for (unsigned j = 0; j < i; j++) {
			json_t *a = s->rows[i].status, *b = s->rows[j].status;

			if (a == NULL || b == NULL ||
			    number(a, "applied") != number(b, "applied") ||
			    json_equal(json_object_get(a, "digest"),
				json_object_get(b, "digest")) == 1)
				continue;
			find(f, "state", false,
			    "servers %lld and %lld differ at index %lld",
			    (long long)number(b, "id"),
			    (long long)number(a, "id"),
			    (long long)number(a, "applied"));
		}
}

/* How many servers answer, against how many it takes. */
static void
examine_quorum(struct findings *f, const struct survey *s)
{
	unsigned up = 0, members = s->count;

	for (unsigned i = 0; i < s->count; i++) {
		if (s->rows[i].status == NULL)
			continue;
		up++;
		if (!s->members_known)
			members =
			    (unsigned)number(s->rows[i].status, "members");
	}
	find(f, "quorum", up * 2 > members, "%u of %u servers answer, %u must",
	    up, members, members / 2 + 1);
}

int
cmd_doctor(struct cli *cli, int argc, char **argv)
{
	struct findings f = {json_array(), false};
	struct survey s = {0};
	struct wire_error e = {0};
	int status;

	status = take_nothing(cli, argc, argv);
	if (status < 0 && survey_run(cli, &s, &e) != WIRE_OK)
		status = cli_error(cli, &e);
	if (status < 0) {
		for (unsigned i = 0; i < s.count; i++)
			examine_server(&f, &s.rows[i]);
		examine_quorum(&f, &s);
		examine_agreement(&f, &s);
		examine(cli, &f, &e);
		status = print_findings(cli, &f);
	}
	survey_release(&s);
	json_decref(f.list);
	return status;
}

/* ---- wait ------------------------------------------------------------- */

struct goal {
	const char *name;
	int operands; /* behind the name */
	/* 1: it is so.  0: not yet, *e says why if it can. */
	int (*reached)(struct cli *, const struct goal *, struct wire_error *e);
	uint64_t number;  /* REV, ID */
	const char *text; /* KEY, voter */
};

static int
status_says(struct cli *cli, struct wire_error *e,
    bool (*test)(json_t *, uint64_t), uint64_t n)
{
	json_t *status = ask(cli, "status", e);
	int r;

	if (status == NULL)
		return 0;
	r = test(status, n);
	json_decref(status);
	return r;
}

static bool
has_leader(json_t *status, uint64_t n)
{
	(void)n;
	return json_is_integer(json_object_get(status, "leader"));
}

static bool
is_ready(json_t *status, uint64_t n)
{
	(void)n;
	return json_is_true(json_object_get(status, "ready"));
}

static bool
has_rev(json_t *status, uint64_t n)
{
	return (uint64_t)number(status, "rev") >= n;
}

static int
reached_leader(struct cli *cli, const struct goal *g, struct wire_error *e)
{
	return status_says(cli, e, has_leader, g->number);
}

static int
reached_ready(struct cli *cli, const struct goal *g, struct wire_error *e)
{
	return status_says(cli, e, is_ready, g->number);
}

static int
reached_applied(struct cli *cli, const struct goal *g, struct wire_error *e)
{
	return status_says(cli, e, has_rev, g->number);
}

static int
reached_healthy(struct cli *cli, const struct goal *g, struct wire_error *e)
{
	struct findings f = {json_array(), false};

	(void)g;
	examine(cli, &f, e);
	json_decref(f.list);
	return !f.bad;
}

static int
reached_member(struct cli *cli, const struct goal *g, struct wire_error *e)
{
	json_t *members = ask(cli, "members", e), *m;
	size_t i;
	int r = 0;

	json_array_foreach(
	    members, i, m) if ((uint64_t)number(m, "id") == g->number &&
			       json_is_true(json_object_get(m, "voter"))) r = 1;
	json_decref(members);
	return r;
}

static int
reached_key(struct cli *cli, const struct goal *g, struct wire_error *e)
{
	struct client_answer answer;
	struct mp_buf params;
	int r = 0;

	mp_buf_init(&params);
	mp_put_array(&params, 2);
	mp_put_bin(&params, g->text, strlen(g->text));
	cli_put_options(cli, &params, 0);
	memset(e, 0, sizeof(*e));
	if (cli_ask(cli, "get", &params, CLIENT_READ, ASK_MS_MAX, &answer) ==
	    WIRE_OK)
		r = answer.result.len > 1; /* more than a nil */
	else
		*e = answer.error;
	mp_buf_release(&params);
	mp_buf_release(&answer.result);
	return r;
}

static const struct goal goals[] = {
    {"leader", 0, reached_leader, 0, NULL},
    {"ready", 0, reached_ready, 0, NULL},
    {"healthy", 0, reached_healthy, 0, NULL},
    {"applied", 1, reached_applied, 0, NULL},
    {"member", 2, reached_member, 0, NULL},
    {"key", 1, reached_key, 0, NULL},
};

/* Negative: *g is what to wait for. */
static int
read_goal(struct cli *cli, int argc, char **argv, struct goal *g)
{
	if (argc == 0)
		return cli_usage(cli, "wait for what?");
	g->name = NULL;
	for (size_t i = 0; i < sizeof(goals) / sizeof(goals[0]); i++)
		if (strcmp(goals[i].name, argv[0]) == 0)
			*g = goals[i];
	if (g->name == NULL)
		return cli_usage(cli, "'%s' is nothing to wait for", argv[0]);
	if (argc - 1 != g->operands)
		return cli_usage(
		    cli, "wait %s takes %d operands", g->name, g->operands);
	if (g->reached == reached_key)
		g->text = argv[1];
	else if (g->operands > 0 && units_u64(argv[1], &g->number) < 0)
		return cli_usage(
		    cli, "wait %s takes a number, not '%s'", g->name, argv[1]);
	if (g->reached == reached_member && strcmp(argv[2], "voter") != 0)
		return cli_usage(
		    cli, "a member may become voter, not '%s'", argv[2]);
	return -1;
}

static int
wait_for(struct cli *cli, const struct goal *g, const char *what)
{
	struct wire_error e = {0};
	struct timespec nap = {0, 0};
	uint32_t ms = POLL_MS_MIN, left;

	while (!g->reached(cli, g, &e)) {
		if (e.status == WIRE_USAGE || e.status == WIRE_DENIED ||
		    e.status == WIRE_METHOD)
			return cli_error(cli, &e); /* time will not help */
		if (cli_is_late(cli)) {
			e.status = WIRE_TIMEOUT;
			if (e.cause[0] == '\0')
				memcpy(e.cause, e.message, sizeof(e.cause));
			(void)snprintf(e.message, sizeof(e.message),
			    "time is up, and still not '%.150s'", what);
			return cli_error(cli, &e);
		}
		left = cli_left_ms(cli);
		nap.tv_nsec = (ms < left ? ms : left) * 1000000;
		(void)nanosleep(&nap, NULL);
		ms = ms * 2 < POLL_MS_MAX ? ms * 2 : POLL_MS_MAX;
	}
	if (cli_wants_record(cli))
		cli_print_one(cli,
		    json_pack(
			"{s:s, s:b, s:s}", "what", what, "ok", 1, "detail", ""),
		    NULL);
	return 0;
}

int
cmd_wait(struct cli *cli, int argc, char **argv)
{
	struct goal g;
	char what[256];
	size_t used = 0;
	int status;

	if (cli_next(cli, argc, argv) == CLI_EXIT)
		return cli->status;
	argc -= optind;
	argv += optind;
	status = read_goal(cli, argc, argv, &g);
	if (status >= 0)
		return status;
	for (int i = 0; i < argc && used < sizeof(what); i++)
		used += (size_t)snprintf(what + used, sizeof(what) - used,
		    "%s%s", i > 0 ? " " : "", argv[i]);
	return wait_for(cli, &g, what);
}
