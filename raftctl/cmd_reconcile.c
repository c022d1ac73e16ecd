/*
 * cmd_reconcile.c - brings the members of a cluster to a declared state.
 *
 * Each round looks at the cluster anew, finds the first difference, and takes
 * one step towards the declaration; nothing is remembered between rounds, so
 * whoever is killed at any point is resumed by the next one.  The steps, in
 * this order: leave a joint configuration (the leader does), add what is
 * missing as learners, wait until they have caught up, change all voters in
 * one joint change, set names, zones and priorities.
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

#define ROUND_MS 50
#define WATCH_MS 500
#define FILE_LEN_MAX (1u << 20)

enum { RECONCILE_WATCH, RECONCILE_DRY_RUN };
const struct cli_option cmd_reconcile_options[] = {
    {"watch", 'w', NULL, "go on, whenever cluster or file change"},
    {"dry-run", 'n', NULL, "print the first step, take none"},
    {0},
};

struct declared {
	uint64_t id, priority;
	char address[128], name[64], zone[32];
	bool voter;
};

struct declaration {
	struct declared member[MEMBERS_MAX];
	unsigned count;
	uint64_t cooldown_ms; /* between two changes */
	uint64_t lag_max;     /* so far behind counts as caught up */
};

enum phase {
	CONVERGED,
	ADD_LEARNER,
	CATCH_UP,
	LEAVE_JOINT,
	CHANGE_VOTERS,
	TUNE,
	REFUSED,
};

struct step {
	enum phase phase;
	json_t *change; /* member.change, NULL: only wait */
	char reason[200];
};

/* ---- the file ---------------------------------------------------------- */

static int
copy_text(json_t *o, const char *key, char *out, size_t size)
{
	json_t *v = json_object_get(o, key);

	if (v == NULL)
		return 0;
	if (!json_is_string(v) || json_string_length(v) >= size)
		return -EINVAL;
	memcpy(out, json_string_value(v), json_string_length(v) + 1);
	return 0;
}

static int
copy_number(json_t *o, const char *key, uint64_t *out)
{
	json_t *v = json_object_get(o, key);

	if (v == NULL)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return -EINVAL;
	*out = (uint64_t)json_integer_value(v);
	return 0;
}

static int
read_declared(json_t *o, struct declared *m)
{
	char role[16] = "voter";

	if (!json_is_object(o) || copy_number(o, "id", &m->id) < 0 ||
	    copy_text(o, "address", m->address, sizeof(m->address)) < 0 ||
	    copy_text(o, "name", m->name, sizeof(m->name)) < 0 ||
	    copy_text(o, "zone", m->zone, sizeof(m->zone)) < 0 ||
	    copy_number(o, "priority", &m->priority) < 0 ||
	    copy_text(o, "role", role, sizeof(role)) < 0)
		return -EINVAL;
	m->voter = strcmp(role, "voter") == 0;
	if (!m->voter && strcmp(role, "learner") != 0)
		return -EINVAL;
	return m->id == 0 || m->address[0] == '\0' ? -EINVAL : 0;
}

static int
read_policy(json_t *policy, struct declaration *d)
{
	if (policy == NULL)
		return 0;
	if (!json_is_object(policy) ||
	    copy_number(policy, "cooldown_ms", &d->cooldown_ms) < 0 ||
	    copy_number(policy, "catch_up_entries", &d->lag_max) < 0)
		return -EINVAL;
	return 0;
}

/* Negative: read. */
static int
read_file(struct cli *cli, const char *path, struct declaration *d)
{
	json_error_t je;
	json_t *root, *list, *row;
	unsigned voters = 0;
	size_t i;
	int err = 0;

	memset(d, 0, sizeof(*d));
	d->lag_max = MEMBERS_LAG_MAX;
	root = json_load_file(path, JSON_REJECT_DUPLICATES, &je);
	if (root == NULL)
		return cli_fail(cli, WIRE_DATA, "'%.100s' line %d: %.80s", path,
		    je.line, je.text);
	list = json_object_get(root, "members");
	if (!json_is_array(list) || json_array_size(list) == 0 ||
	    json_array_size(list) > MEMBERS_MAX ||
	    read_policy(json_object_get(root, "policy"), d) < 0)
		err = -EINVAL;
	for (i = 0; err == 0 && i < json_array_size(list); i++) {
		row = json_array_get(list, i);
		err = read_declared(row, &d->member[d->count]);
		voters += d->member[d->count].voter;
		for (unsigned k = 0; k < d->count; k++)
			if (d->member[k].id == d->member[d->count].id)
				err = -EINVAL;
		d->count++;
	}
	json_decref(root);
	if (err < 0 || voters == 0)
		return cli_fail(cli, WIRE_DATA,
		    "'%.150s': not members as raftctl(1) has them", path);
	return -1;
}

/* ---- the difference ---------------------------------------------------- */

static const struct declared *
declared_by_id(const struct declaration *d, uint64_t id)
{
	for (unsigned i = 0; i < d->count; i++)
		if (d->member[i].id == id)
			return &d->member[i];
	return NULL;
}

static bool
add_missing(
    const struct declaration *d, const struct members *now, struct step *s)
{
	for (unsigned i = 0; i < d->count; i++) {
		const struct declared *m = &d->member[i];
		const struct member *at = members_by_id(now, m->id);

		if (at != NULL && strcmp(at->address, m->address) != 0) {
			s->phase = REFUSED;
			(void)snprintf(s->reason, sizeof(s->reason),
			    "member %llu has another address: a server that "
			    "moves is a new one",
			    (unsigned long long)m->id);
			return true;
		}
		if (at != NULL)
			continue;
		s->phase = ADD_LEARNER;
		s->change = json_pack("{s:s, s:I, s:s, s:b}", "op", "add", "id",
		    (json_int_t)m->id, "address", m->address, "learner", 1);
		(void)snprintf(s->reason, sizeof(s->reason),
		    "server %llu is not a member", (unsigned long long)m->id);
		return true;
	}
	return false;
}

static bool
catch_up(const struct declaration *d, const struct members *now, struct step *s)
{
	for (unsigned i = 0; i < now->count; i++) {
		const struct member *m = &now->member[i];
		const struct declared *want = declared_by_id(d, m->id);

		if (want == NULL || !want->voter || m->voter ||
		    (m->in_sync && m->lag <= d->lag_max))
			continue;
		s->phase = CATCH_UP;
		(void)snprintf(s->reason, sizeof(s->reason),
		    "learner %llu is %llu entries behind",
		    (unsigned long long)m->id, (unsigned long long)m->lag);
		return true;
	}
	return false;
}

static bool
change_voters(
    const struct declaration *d, const struct members *now, struct step *s)
{
	json_t *ids = json_array(), *learners = json_array();
	bool differs = false;

	for (unsigned i = 0; i < now->count; i++) {
		const struct member *m = &now->member[i];
		const struct declared *want = declared_by_id(d, m->id);

		differs |= want == NULL || want->voter != m->voter;
	}
	for (unsigned i = 0; i < d->count; i++)
		(void)json_array_append_new(d->member[i].voter ? ids : learners,
		    json_integer((json_int_t)d->member[i].id));
	if (differs) {
		s->phase = CHANGE_VOTERS;
		s->change = json_pack("{s:s, s:O, s:O}", "op", "set", "ids",
		    ids, "learners", learners);
		(void)snprintf(s->reason, sizeof(s->reason),
		    "the voters are not those declared");
	}
	json_decref(ids);
	json_decref(learners);
	return differs;
}

static bool
tune_one(const struct declaration *d, const struct members *now, struct step *s)
{
	for (unsigned i = 0; i < d->count; i++) {
		const struct declared *m = &d->member[i];
		const struct member *at = members_by_id(now, m->id);

		if ((m->name[0] == '\0' || strcmp(m->name, at->name) == 0) &&
		    (m->zone[0] == '\0' || strcmp(m->zone, at->zone) == 0) &&
		    (m->priority == 0 || m->priority == at->priority))
			continue;
		s->phase = TUNE;
		s->change = json_pack(
		    "{s:s, s:I}", "op", "tune", "id", (json_int_t)m->id);
		if (m->name[0] != '\0')
			(void)json_object_set_new(
			    s->change, "name", json_string(m->name));
		if (m->zone[0] != '\0')
			(void)json_object_set_new(
			    s->change, "zone", json_string(m->zone));
		if (m->priority != 0)
			(void)json_object_set_new(s->change, "priority",
			    json_integer((json_int_t)m->priority));
		(void)snprintf(s->reason, sizeof(s->reason),
		    "member %llu is described otherwise",
		    (unsigned long long)m->id);
		return true;
	}
	return false;
}

static void
next_step(
    const struct declaration *d, const struct members *now, struct step *s)
{
	memset(s, 0, sizeof(*s));
	if (now->joint) {
		s->phase = LEAVE_JOINT;
		(void)snprintf(
		    s->reason, sizeof(s->reason), "the configuration is joint");
		return;
	}
	if (!add_missing(d, now, s) && !catch_up(d, now, s) &&
	    !change_voters(d, now, s))
		(void)tune_one(d, now, s);
}

/* ---- telling ----------------------------------------------------------- */

static void
say(const struct declaration *d, const struct members *now,
    const struct step *s, const char *state, const char *reason)
{
	static const char *const phase[] = {
	    [CONVERGED] = "converged",
	    [ADD_LEARNER] = "add-learner",
	    [CATCH_UP] = "catch-up",
	    [LEAVE_JOINT] = "leave-joint",
	    [CHANGE_VOTERS] = "change-voters",
	    [TUNE] = "tune",
	    [REFUSED] = "refused",
	};
	json_t *members = json_array(), *line;

	(void)d;
	for (unsigned i = 0; i < now->count; i++)
		(void)json_array_append_new(
		    members, json_pack("{s:I, s:b, s:I, s:b}", "id",
				 (json_int_t)now->member[i].id, "voter",
				 now->member[i].voter, "lag_entries",
				 (json_int_t)now->member[i].lag, "leader",
				 now->member[i].leader));
	line = json_pack("{s:s, s:s, s:o, s:b, s:s}", "phase", phase[s->phase],
	    "step", state, "members", members, "joint", now->joint, "reason",
	    reason);
	(void)json_dumpf(line, stdout, JSON_COMPACT);
	(void)fputc('\n', stdout);
	(void)fflush(stdout);
	json_decref(line);
}

static void
nap(uint64_t ms)
{
	struct timespec ts = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

	(void)nanosleep(&ts, NULL);
}

/* ---- rounds ------------------------------------------------------------ */

struct reconcile {
	const char *path;
	bool watch, dry_run;
	enum phase said; /* the phase that was told last */
	bool has_said;
};

static void
say_once(struct reconcile *rc, const struct declaration *d,
    const struct members *now, const struct step *s)
{
	if (rc->has_said && rc->said == s->phase && s->change == NULL)
		return;
	rc->has_said = true;
	rc->said = s->phase;
	say(d, now, s, s->change != NULL ? "begin" : "wait", s->reason);
}

/* One look and one step.  Negative: go on. */
static int
run_round(struct cli *cli, struct reconcile *rc)
{
	struct wire_error e = {0};
	struct declaration d;
	struct members now;
	struct step s;
	json_t *answer;
	int status = read_file(cli, rc->path, &d);

	if (status >= 0)
		return rc->watch && rc->has_said ? -1 : status;
	if (members_ask(cli, &now, &e) != WIRE_OK)
		return cli_is_late(cli) ? cli_error(cli, &e) : -1;
	next_step(&d, &now, &s);
	say_once(rc, &d, &now, &s);
	status = -1;
	if (s.phase == CONVERGED || rc->dry_run)
		status = 0;
	else if (s.phase == REFUSED)
		status = 1;
	else if (s.change != NULL) {
		if (members_try(cli, s.change, &answer, &e) == WIRE_OK) {
			json_decref(answer);
			say(&d, &now, &s, "done", s.reason);
			nap(d.cooldown_ms);
		} else {
			say(&d, &now, &s, "failed", e.message);
			status = e.status == WIRE_CONDITION ? cli_error(cli, &e)
							    : -1;
		}
	}
	json_decref(s.change);
	return status;
}

int
cmd_reconcile(struct cli *cli, int argc, char **argv)
{
	struct reconcile rc = {.path = NULL};
	int option, status;

	while ((option = cli_next(cli, argc, argv)) >= 0) {
		rc.watch |= option == RECONCILE_WATCH;
		rc.dry_run |= option == RECONCILE_DRY_RUN;
	}
	if (option == CLI_EXIT)
		return cli->status;
	if (argc - optind != 1)
		return cli_usage(cli, "reconcile takes one FILE");
	rc.path = argv[optind];
	for (;;) {
		status = run_round(cli, &rc);
		if (rc.watch) {
			/* What is refused now may be right later; the time
			 * limit is that of each round. */
			cli_restart_clock(cli);
			nap(status < 0 ? ROUND_MS : WATCH_MS);
			continue;
		}
		if (status >= 0)
			return status;
		if (cli_is_late(cli))
			return cli_fail(cli, WIRE_TIMEOUT,
			    "time is up before the cluster is as declared");
		nap(ROUND_MS);
	}
}
