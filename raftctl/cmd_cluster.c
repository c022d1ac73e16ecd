/*
 * cmd_cluster.c - status, members and hash: the cluster, looked at.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "raftctl/cli.h"
#include "raftctl/survey.h"

#define HASH_POLL_MS 20

const struct cli_option cmd_all_options[] = {
    {"all", 'a', NULL, "every member, not only the server asked"},
    {0},
};

static const struct output_column status_columns[] = {
    {"ID", "id"},
    {"ENDPOINT", "endpoint"},
    {"CLIENT", "client"},
    {"ROLE", "role"},
    {"LEADER", "leader"},
    {"TERM", "term"},
    {"LAST", "last"},
    {"COMMIT", "commit"},
    {"APPLIED", "applied"},
    {"REV", "rev"},
    {"DIGEST", "digest"},
    {"UNSAFE", "unsafe"},
    {"OK", "ok"},
    {"ERROR", "error.message"},
    {"CAUSE", "error.cause"},
    {0},
};

static const struct output_column member_columns[] = {
    {"ID", "id"},
    {"NAME", "name"},
    {"ROLE", "role"},
    {"VOTER", "voter"},
    {"MATCH", "match"},
    {"LAG", "lag_entries"},
    {"LAG_BYTES", "lag_bytes"},
    {"IN_SYNC", "in_sync"},
    {"CONTACT_MS", "contact_ms"},
    {"ADDRESS", "address"},
    {"CLIENT", "client"},
    {0},
};

static const struct output_column hash_columns[] = {
    {"ID", "id"},
    {"ENDPOINT", "endpoint"},
    {"GROUP", "group"},
    {"REV", "rev"},
    {"DIGEST", "digest"},
    {"OK", "ok"},
    {"ERROR", "error.message"},
    {"CAUSE", "error.cause"},
    {0},
};

/* Commands that take --all at most.  Negative: go on. */
static int
take_all(struct cli *cli, int argc, char **argv, bool *all)
{
	int option;

	*all = false;
	while ((option = cli_next(cli, argc, argv)) >= 0)
		*all = true;
	if (option == CLI_EXIT)
		return cli->status;
	if (argc != optind)
		return cli_usage(
		    cli, "%s takes no operands", cli->command->name);
	return -1;
}

/* ---- status ----------------------------------------------------------- */

static int
status_all(struct cli *cli)
{
	struct survey s;
	struct wire_error e;
	struct output_table t;
	bool ok = true;

	if (survey_run(cli, &s, &e) != WIRE_OK) {
		survey_release(&s);
		return cli_error(cli, &e);
	}
	output_begin(&t, cli->format, status_columns);
	for (unsigned i = 0; i < s.count; i++) {
		ok = ok && s.rows[i].status != NULL;
		output_record(&t, survey_record(&s.rows[i]));
	}
	output_end(&t);
	survey_release(&s);
	return ok ? 0 : 1;
}

int
cmd_status(struct cli *cli, int argc, char **argv)
{
	struct client_answer answer;
	json_t *j;
	bool all;
	int status;

	status = take_all(cli, argc, argv, &all);
	if (status >= 0)
		return status;
	if (all)
		return status_all(cli);
	if (cli_call(cli, "status", NULL, CLIENT_READ, &answer) != WIRE_OK)
		return wire_status_info(answer.status)->exit;
	j = output_json(
	    mp_span(answer.result.data, answer.result.len), cli->encoding);
	mp_buf_release(&answer.result);
	if (!json_is_object(j)) {
		json_decref(j);
		return cli_fail(
		    cli, WIRE_PROTOCOL_ERROR, "the answer is no status");
	}
	cli_print_one(cli, j, status_columns);
	return 0;
}

/* ---- members ---------------------------------------------------------- */

int
cmd_members(struct cli *cli, int argc, char **argv)
{
	struct client_answer answer;
	struct output_table t;
	json_t *list, *row;
	size_t i;
	bool all;
	int status;

	status = take_all(cli, argc, argv, &all);
	if (status >= 0)
		return status;
	if (cli_call(cli, "members", NULL, CLIENT_READ, &answer) != WIRE_OK)
		return wire_status_info(answer.status)->exit;
	list = output_json(
	    mp_span(answer.result.data, answer.result.len), cli->encoding);
	mp_buf_release(&answer.result);
	if (!json_is_array(list)) {
		json_decref(list);
		return cli_fail(
		    cli, WIRE_PROTOCOL_ERROR, "the answer is no list");
	}
	output_begin(&t, cli->format, member_columns);
	json_array_foreach(list, i, row) output_record(&t, json_incref(row));
	output_end(&t);
	json_decref(list);
	return 0;
}

/* ---- hash ------------------------------------------------------------- */

static json_t *
hash_record(json_t *status, bool ok)
{
	return json_pack("{s:O?, s:O?, s:O?, s:O?, s:b}", "id",
	    json_object_get(status, "id"), "group",
	    json_object_get(status, "group"), "rev",
	    json_object_get(status, "rev"), "digest",
	    json_object_get(status, "digest"), "ok", ok);
}

static bool
same(const struct survey_row *a, const struct survey_row *b, const char *key)
{
	return json_equal(json_object_get(a->status, key),
		   json_object_get(b->status, key)) == 1;
}

/* Whether all that answered have applied the same entries. */
static bool
stand_still(const struct survey *s)
{
	const struct survey_row *first = NULL;

	for (unsigned i = 0; i < s->count; i++) {
		if (s->rows[i].status == NULL)
			continue;
		if (first == NULL)
			first = &s->rows[i];
		if (!same(first, &s->rows[i], "applied"))
			return false;
	}
	return true;
}

/* Whether more than half of those that answered have this digest. */
static bool
is_majority(const struct survey *s, const struct survey_row *row)
{
	unsigned equal = 0, answered = 0;

	for (unsigned i = 0; i < s->count; i++) {
		if (s->rows[i].status == NULL)
			continue;
		answered++;
		equal += same(row, &s->rows[i], "digest");
	}
	return equal * 2 > answered;
}

static int
print_hashes(struct cli *cli, const struct survey *s)
{
	struct output_table t;
	const struct survey_row *row;
	bool ok, all_ok = true;

	output_begin(&t, cli->format, hash_columns);
	for (unsigned i = 0; i < s->count; i++) {
		row = &s->rows[i];
		ok = row->status != NULL && is_majority(s, row);
		all_ok = all_ok && ok;
		output_record(&t, row->status == NULL
				      ? survey_record(row)
				      : hash_record(row->status, ok));
	}
	output_end(&t);
	return all_ok ? 0 : 1;
}

static int
hash_all(struct cli *cli)
{
	struct timespec nap = {0, HASH_POLL_MS * 1000000};
	struct survey s;
	struct wire_error e;
	int status = -1;

	while (status < 0) {
		if (survey_run(cli, &s, &e) != WIRE_OK)
			status = cli_error(cli, &e);
		else if (stand_still(&s))
			status = print_hashes(cli, &s);
		else if (cli_is_late(cli))
			status = cli_fail(cli, WIRE_TIMEOUT,
			    "the servers were not seen at one revision");
		survey_release(&s);
		if (status < 0)
			(void)nanosleep(&nap, NULL);
	}
	return status;
}

int
cmd_hash(struct cli *cli, int argc, char **argv)
{
	struct client_answer answer;
	json_t *j;
	bool all;
	int status;

	status = take_all(cli, argc, argv, &all);
	if (status >= 0)
		return status;
	if (all)
		return hash_all(cli);
	if (cli_call(cli, "status", NULL, CLIENT_READ, &answer) != WIRE_OK)
		return wire_status_info(answer.status)->exit;
	j = output_json(
	    mp_span(answer.result.data, answer.result.len), cli->encoding);
	mp_buf_release(&answer.result);
	cli_print_one(cli, hash_record(j, true), hash_columns);
	json_decref(j);
	return 0;
}
