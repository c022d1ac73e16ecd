/*
 * cmd_member.c - add, promote, demote, remove, replace, set, tune, transfer:
 * the members changed.
 *
 * The leader judges and carries out; what takes more than one change, or has
 * to wait for a server to catch up, is put together here from calls that may
 * each be repeated.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "raftctl/cli.h"
#include "raftctl/members.h"
#include "raftctl/units.h"

#define POLL_MS 50
#define SAY_EVERY 20 /* polls between two lines of progress */

enum { ADD_LEARNER, ADD_NAME, ADD_ZONE, ADD_PRIORITY, ADD_WAIT, ADD_DRY_RUN };
const struct cli_option cmd_add_options[] = {
    {"learner", 0, NULL, "it stays a learner and never votes"},
    {"name", 0, "NAME", "what people call it"},
    {"zone", 0, "ZONE", "where it stands"},
    {"priority", 0, "N", "the highest that has caught up shall lead"},
    {"wait", 'w', NULL, "until it votes; a learner until it is in sync"},
    {"dry-run", 'n', NULL, "print what would be done"},
    {0},
};

enum { CHANGE_WAIT, CHANGE_DRY_RUN };
const struct cli_option cmd_change_options[] = {
    {"wait", 'w', NULL, "until the servers are ready for it"},
    {"dry-run", 'n', NULL, "print what would be done"},
    {0},
};

enum { TUNE_NAME, TUNE_ZONE, TUNE_PRIORITY };
const struct cli_option cmd_tune_options[] = {
    {"name", 0, "NAME", "what people call it"},
    {"zone", 0, "ZONE", "where it stands"},
    {"priority", 0, "N", "the highest that has caught up shall lead"},
    {0},
};

/* ---- operands ---------------------------------------------------------- */

static int
read_id(struct cli *cli, const char *text, uint64_t *id)
{
	if (units_u64(text, id) == 0 && *id > 0 && *id <= INT64_MAX)
		return -1;
	return cli_usage(cli, "'%s' is not the number of a server", text);
}

/* ID=ADDR; the address stays where it is. */
static int
read_member(struct cli *cli, const char *text, struct member *m)
{
	const char *eq = strchr(text, '=');
	char id[24];

	if (eq == NULL || (size_t)(eq - text) >= sizeof(id) || eq[1] == '\0' ||
	    strlen(eq + 1) >= sizeof(m->address))
		return cli_usage(cli, "'%s' is not ID=ADDR", text);
	memcpy(id, text, (size_t)(eq - text));
	id[eq - text] = '\0';
	memcpy(m->address, eq + 1, strlen(eq + 1) + 1);
	return read_id(cli, id, &m->id);
}

/* ---- printing ---------------------------------------------------------- */

/* What the server answered: wanted as a record, or as the plan of a change
 * that was not made. */
static int
print_answer(struct cli *cli, json_t *answer, bool dry_run)
{
	if (answer == NULL)
		return cli_fail(
		    cli, WIRE_PROTOCOL_ERROR, "the answer is damaged");
	if (dry_run || cli_wants_record(cli))
		cli_print_one(cli, answer, NULL);
	else
		json_decref(answer);
	return 0;
}

static void
nap(void)
{
	struct timespec ts = {0, POLL_MS * 1000000};

	(void)nanosleep(&ts, NULL);
}

static int
late(struct cli *cli, uint64_t id, const char *goal)
{
	return cli_fail(cli, WIRE_TIMEOUT,
	    "time is up, and member %llu is still not %s",
	    (unsigned long long)id, goal);
}

/* Until a member is in sync, or votes.  Negative: it is so. */
static int
wait_member(struct cli *cli, uint64_t id, bool voter)
{
	struct wire_error e = {0};
	struct members m;
	const struct member *at;
	uint64_t lag = UINT64_MAX;
	unsigned polls = 0;
	bool is_so = false;

	for (;;) {
		if (members_ask(cli, &m, &e) == WIRE_OK) {
			at = members_by_id(&m, id);
			if (at == NULL)
				return cli_fail(cli, WIRE_CONDITION,
				    "%llu is not a member",
				    (unsigned long long)id);
			is_so = voter
				    ? at->voter && !m.joint
				    : at->in_sync && at->lag <= MEMBERS_LAG_MAX;
			if (!is_so && at->lag != lag &&
			    polls++ % SAY_EVERY == 0) {
				lag = at->lag;
				fprintf(stderr,
				    "raftctl: member %llu: %s, %llu entries "
				    "behind\n",
				    (unsigned long long)id,
				    at->voter ? "voter" : "learner",
				    (unsigned long long)lag);
			}
		}
		if (is_so)
			return -1;
		if (cli_is_late(cli))
			return late(cli, id, voter ? "a voter" : "in sync");
		nap();
	}
}

/* ---- add --------------------------------------------------------------- */

static int
take_text(struct cli *cli, const char *key, json_t *change)
{
	json_t *text = output_text_json(optarg);

	(void)cli;
	(void)json_object_set_new(change, key, text);
	return -1;
}

static int
take_priority(struct cli *cli, json_t *change)
{
	uint64_t n;

	if (units_u64(optarg, &n) < 0 || n > 1000000)
		return cli_usage(cli, "'%s' is not a priority", optarg);
	(void)json_object_set_new(
	    change, "priority", json_integer((json_int_t)n));
	return -1;
}

/* The options of add and tune; negative: go on. */
static int
take_add_options(struct cli *cli, int argc, char **argv, json_t *change,
    bool tune, bool *wait, bool *dry_run)
{
	int option, status = -1;

	while (status < 0 && (option = cli_next(cli, argc, argv)) >= 0) {
		switch (tune ? option + ADD_NAME : option) {
		case ADD_LEARNER:
			(void)json_object_set_new(
			    change, "learner", json_true());
			break;
		case ADD_NAME:
			status = take_text(cli, "name", change);
			break;
		case ADD_ZONE:
			status = take_text(cli, "zone", change);
			break;
		case ADD_PRIORITY:
			status = take_priority(cli, change);
			break;
		case ADD_WAIT:
			*wait = true;
			break;
		case ADD_DRY_RUN:
			*dry_run = true;
			break;
		}
	}
	return status < 0 && option == CLI_EXIT ? cli->status : status;
}

int
cmd_add(struct cli *cli, int argc, char **argv)
{
	json_t *change = json_pack("{s:s}", "op", "add"), *answer;
	bool wait = false, dry_run = false, learner;
	struct member m;
	int status;

	status =
	    take_add_options(cli, argc, argv, change, false, &wait, &dry_run);
	learner = json_object_get(change, "learner") != NULL;
	if (status < 0 && argc - optind != 1)
		status = cli_usage(cli, "add takes one ID=ADDR");
	if (status < 0)
		status = read_member(cli, argv[optind], &m);
	if (status < 0) {
		(void)json_object_set_new(
		    change, "id", json_integer((json_int_t)m.id));
		(void)json_object_set_new(
		    change, "address", json_string(m.address));
		(void)json_object_set_new(
		    change, "dry_run", json_boolean(dry_run));
		status = change_members(cli, change, &answer);
		if (status == 0)
			status = print_answer(cli, answer, dry_run);
	}
	json_decref(change);
	if (status == 0 && wait && !dry_run) {
		status = wait_member(cli, m.id, !learner);
		status = status < 0 ? 0 : status;
	}
	return status;
}

int
cmd_tune(struct cli *cli, int argc, char **argv)
{
	json_t *change = json_pack("{s:s}", "op", "tune"), *answer;
	bool wait = false, dry_run = false;
	uint64_t id;
	int status;

	status =
	    take_add_options(cli, argc, argv, change, true, &wait, &dry_run);
	if (status < 0 && argc - optind != 1)
		status = cli_usage(cli, "tune takes one ID");
	if (status < 0)
		status = read_id(cli, argv[optind], &id);
	if (status < 0) {
		(void)json_object_set_new(
		    change, "id", json_integer((json_int_t)id));
		status = change_members(cli, change, &answer);
		if (status == 0)
			status = print_answer(cli, answer, false);
	}
	json_decref(change);
	return status;
}

/* ---- promote, demote, remove ------------------------------------------- */

/* Negative: go on. */
static int
take_change_options(
    struct cli *cli, int argc, char **argv, bool *wait, bool *dry_run)
{
	int option;

	*wait = *dry_run = false;
	while ((option = cli_next(cli, argc, argv)) >= 0) {
		*wait = *wait || option == CHANGE_WAIT;
		*dry_run = *dry_run || option == CHANGE_DRY_RUN;
	}
	return option == CLI_EXIT ? cli->status : -1;
}

static int
run_change(struct cli *cli, json_t *change, bool dry_run)
{
	json_t *answer;
	int status;

	(void)json_object_set_new(change, "dry_run", json_boolean(dry_run));
	status = change_members(cli, change, &answer);
	json_decref(change);
	return status == 0 ? print_answer(cli, answer, dry_run) : status;
}

/* promote, demote and remove: the op is the command's name. */
int
cmd_change(struct cli *cli, int argc, char **argv)
{
	const char *op = cli->command->name;
	bool wait, dry_run;
	uint64_t id;
	int status;

	status = take_change_options(cli, argc, argv, &wait, &dry_run);
	if (status >= 0)
		return status;
	if (argc - optind != 1)
		return cli_usage(cli, "%s takes one ID", op);
	status = read_id(cli, argv[optind], &id);
	if (status < 0 && wait && !dry_run && strcmp(op, "promote") == 0)
		status = wait_member(cli, id, false);
	if (status >= 0)
		return status;
	return run_change(cli,
	    json_pack("{s:s, s:I}", "op", op, "id", (json_int_t)id), dry_run);
}

/* ---- replace, set ------------------------------------------------------ */

/* It is a member at least, and in sync.  Negative: it is so. */
static int
bring_in(struct cli *cli, const struct members *now, const struct member *m)
{
	json_t *change, *answer;
	int status;

	if (members_by_id(now, m->id) == NULL) {
		change = json_pack("{s:s, s:I, s:s, s:b}", "op", "add", "id",
		    (json_int_t)m->id, "address", m->address, "learner", 1);
		status = change_members(cli, change, &answer);
		json_decref(change);
		if (status != 0)
			return status;
		json_decref(answer);
	}
	return wait_member(cli, m->id, false);
}

int
cmd_replace(struct cli *cli, int argc, char **argv)
{
	struct wire_error e = {0};
	struct members now;
	struct member m;
	bool wait, dry_run;
	uint64_t old;
	int status;

	status = take_change_options(cli, argc, argv, &wait, &dry_run);
	if (status >= 0)
		return status;
	if (argc - optind != 2)
		return cli_usage(cli, "replace takes an ID and an ID=ADDR");
	status = read_id(cli, argv[optind], &old);
	if (status < 0)
		status = read_member(cli, argv[optind + 1], &m);
	if (status >= 0)
		return status;
	if (members_ask(cli, &now, &e) != WIRE_OK)
		return cli_error(cli, &e);
	if (members_by_id(&now, old) == NULL)
		return cli_fail(cli, WIRE_CONDITION, "%llu is not a member",
		    (unsigned long long)old);
	if (!dry_run)
		status = bring_in(cli, &now, &m);
	if (status >= 0)
		return status;
	return run_change(cli,
	    json_pack("{s:s, s:I, s:I}", "op", "replace", "id", (json_int_t)old,
		"with", (json_int_t)m.id),
	    dry_run);
}

int
cmd_set(struct cli *cli, int argc, char **argv)
{
	struct wire_error e = {0};
	struct members now;
	struct member m;
	json_t *ids = json_array();
	char *item, *rest = NULL;
	bool wait, dry_run;
	int status;

	status = take_change_options(cli, argc, argv, &wait, &dry_run);
	if (status < 0 && argc - optind != 1)
		status = cli_usage(cli, "set takes ID=ADDR,...");
	if (status < 0 && members_ask(cli, &now, &e) != WIRE_OK)
		status = cli_error(cli, &e);
	for (item = status < 0 ? strtok_r(argv[optind], ",", &rest) : NULL;
	     item != NULL && status < 0; item = strtok_r(NULL, ",", &rest)) {
		status = read_member(cli, item, &m);
		if (status < 0 && !dry_run)
			status = bring_in(cli, &now, &m);
		(void)json_array_append_new(
		    ids, json_integer((json_int_t)m.id));
	}
	if (status < 0)
		return run_change(cli,
		    json_pack("{s:s, s:o}", "op", "set", "ids", ids), dry_run);
	json_decref(ids);
	return status;
}

/* ---- transfer ---------------------------------------------------------- */

int
cmd_transfer(struct cli *cli, int argc, char **argv)
{
	struct client_answer answer;
	struct mp_buf params;
	uint64_t id = 0;
	json_t *j;
	int status;

	if (cli_next(cli, argc, argv) == CLI_EXIT)
		return cli->status;
	if (argc - optind > 1)
		return cli_usage(cli, "transfer takes one ID at most");
	status = argc > optind ? read_id(cli, argv[optind], &id) : -1;
	if (status >= 0)
		return status;
	mp_buf_init(&params);
	mp_put_array(&params, id != 0);
	if (id != 0)
		mp_put_u64(&params, id);
	(void)cli_call(cli, "transfer", &params, 0, &answer);
	mp_buf_release(&params);
	if (answer.status != WIRE_OK)
		return wire_status_info(answer.status)->exit;
	j = output_json(
	    mp_span(answer.result.data, answer.result.len), cli->encoding);
	mp_buf_release(&answer.result);
	return print_answer(cli, j, false);
}
