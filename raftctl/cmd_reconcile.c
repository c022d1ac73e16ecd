/*
 * cmd_reconcile.c - brings the members of a cluster to a declared state.
 *
 * Each round looks at the cluster anew, finds the first difference, and takes
 * one step towards the declaration; nothing is remembered between rounds that
 * matters, so whoever is killed at any point is resumed by the next one.  The
 * steps, in this order: what has begun comes to its end (the leader sees to
 * that), what is missing is added as learners, they catch up, leadership goes
 * to a voter that stays, all voters change in one joint change, which is
 * entered, committed and left, and names, zones and priorities are set.
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

#define ROUND_MS 50  /* between two looks, */
#define CLOSE_MS 5   /* and while a change is on its way */
#define WATCH_MS 500 /* when all is as declared */
#define RATE_MAX 64  /* changes that a window may hold */

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
	uint64_t cooldown_ms;	/* between two changes, as the cluster has it */
	uint64_t rate, rate_ms; /* so many changes in so long; 0: no limit */
	uint64_t lag_max;	/* so far behind counts as caught up */
	const char *mode;	/* of member.change, raftrpc(5) */
};

enum phase {
	CONVERGED,
	ADD_LEARNER,
	CATCH_UP,
	TRANSFER,
	ENTER_JOINT,
	COMMIT_NEW,
	LEAVE_JOINT,
	NO_JOINT,
	CHANGE_LEARNERS,
	TUNE,
	COOLDOWN,
	RATE_LIMIT,
	REFUSED,
};

struct step {
	enum phase phase;
	json_t *change;	   /* member.change, NULL: only wait */
	uint64_t transfer; /* to whom, 0: to nobody */
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

/* A word that it does not know may be one that matters. */
static bool
knows_all(json_t *o, const char *const *keys)
{
	const char *key;
	json_t *value;
	unsigned i;

	json_object_foreach(o, key, value)
	{
		for (i = 0; keys[i] != NULL && strcmp(key, keys[i]) != 0; i++)
			;
		if (keys[i] == NULL)
			return false;
	}
	return true;
}

static int
read_declared(json_t *o, struct declared *m)
{
	char role[16] = "voter";

	static const char *const keys[] = {
	    "id", "address", "role", "name", "zone", "priority", NULL};

	if (!json_is_object(o) || !knows_all(o, keys) ||
	    copy_number(o, "id", &m->id) < 0 ||
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
read_rate(json_t *rate, struct declaration *d)
{
	if (rate == NULL)
		return 0;
	if (!json_is_object(rate) ||
	    copy_number(rate, "changes", &d->rate) < 0 ||
	    copy_number(rate, "window_ms", &d->rate_ms) < 0)
		return -EINVAL;
	return d->rate == 0 || d->rate > RATE_MAX || d->rate_ms == 0 ? -EINVAL
								     : 0;
}

static int
read_mode(json_t *policy, struct declaration *d)
{
	static const char *const modes[][2] = {{"safe", "safe"},
	    {"unsafe-early-vote", "early-vote"},
	    {"unsafe-no-joint", "no-joint"}};
	char mode[32] = "safe";

	if (copy_text(policy, "mode", mode, sizeof(mode)) < 0)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(mode, modes[i][0]) != 0)
			continue;
		d->mode = modes[i][1];
		return 0;
	}
	return -EINVAL;
}

static int
read_policy(json_t *policy, struct declaration *d)
{
	static const char *const keys[] = {
	    "cooldown_ms", "rate", "catch_up_entries", "mode", NULL};

	d->mode = "safe";
	if (policy == NULL)
		return 0;
	if (!json_is_object(policy) || !knows_all(policy, keys) ||
	    copy_number(policy, "cooldown_ms", &d->cooldown_ms) < 0 ||
	    copy_number(policy, "catch_up_entries", &d->lag_max) < 0 ||
	    read_rate(json_object_get(policy, "rate"), d) < 0 ||
	    read_mode(policy, d) < 0)
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
		s->change = json_pack("{s:s, s:I, s:s, s:b, s:s}", "op", "add",
		    "id", (json_int_t)m->id, "address", m->address, "learner",
		    1, "mode", d->mode);
		(void)snprintf(s->reason, sizeof(s->reason),
		    "server %llu is not a member", (unsigned long long)m->id);
		return true;
	}
	return false;
}

static bool
catch_up(const struct declaration *d, const struct members *now, struct step *s)
{
	if (strcmp(d->mode, "early-vote") == 0)
		return false;
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

/* Does any member vote that shall not, or the reverse? */
static bool
voters_differ(const struct declaration *d, const struct members *now)
{
	for (unsigned i = 0; i < now->count; i++) {
		const struct declared *want =
		    declared_by_id(d, now->member[i].id);

		if ((want != NULL && want->voter) != now->member[i].voter)
			return true;
	}
	return false;
}

/*
 * The leader goes: one that stays leads first, so that what is accepted is
 * answered as ever.  Where none stays, the leader leaves with the change.
 */
static bool
transfer(const struct declaration *d, const struct members *now, struct step *s)
{
	const struct member *best = NULL;

	for (unsigned i = 0; i < now->count; i++) {
		const struct member *m = &now->member[i];
		const struct declared *want = declared_by_id(d, m->id);
		bool stays = want != NULL && want->voter && m->voter;

		if (m->leader && stays)
			return false;
		if (stays && m->in_sync && m->lag <= MEMBERS_LAG_MAX &&
		    (best == NULL || m->priority > best->priority ||
			(m->priority == best->priority && m->lag < best->lag)))
			best = m;
	}
	if (best == NULL)
		return false;
	s->phase = TRANSFER;
	s->transfer = best->id;
	(void)snprintf(s->reason, sizeof(s->reason),
	    "the leader goes, voter %llu stays", (unsigned long long)best->id);
	return true;
}

static bool
change_voters(
    const struct declaration *d, const struct members *now, struct step *s)
{
	json_t *ids = json_array(), *learners = json_array();
	bool voters = voters_differ(d, now), differs = voters;

	for (unsigned i = 0; i < now->count; i++)
		differs |= declared_by_id(d, now->member[i].id) == NULL;
	for (unsigned i = 0; i < d->count; i++)
		(void)json_array_append_new(d->member[i].voter ? ids : learners,
		    json_integer((json_int_t)d->member[i].id));
	if (differs && !(voters && transfer(d, now, s))) {
		s->phase = !voters			      ? CHANGE_LEARNERS
			   : strcmp(d->mode, "no-joint") == 0 ? NO_JOINT
							      : ENTER_JOINT;
		s->change = json_pack("{s:s, s:O, s:O, s:s, s:s}", "op", "set",
		    "ids", ids, "learners", learners, "mode", d->mode, "until",
		    s->phase == ENTER_JOINT ? "entered" : "complete");
		(void)snprintf(s->reason, sizeof(s->reason),
		    voters ? "the voters are not those declared"
			   : "a learner is not declared");
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

/* What has begun: the leader brings it to its end, whoever leads. */
static bool
settle(const struct members *now, struct step *s)
{
	if (!now->joint && now->config_committed)
		return false;
	s->phase =
	    now->joint && !now->config_committed ? COMMIT_NEW : LEAVE_JOINT;
	(void)snprintf(s->reason, sizeof(s->reason),
	    "the %sconfiguration at %llu is %scommitted",
	    now->joint ? "joint " : "", (unsigned long long)now->config_index,
	    now->config_committed ? "" : "not yet ");
	return true;
}

static void
next_step(
    const struct declaration *d, const struct members *now, struct step *s)
{
	memset(s, 0, sizeof(*s));
	if (!settle(now, s) && !add_missing(d, now, s) &&
	    !catch_up(d, now, s) && !change_voters(d, now, s))
		(void)tune_one(d, now, s);
}

/* ---- telling ----------------------------------------------------------- */

static void
say(const struct members *now, enum phase p, const char *state,
    const char *reason)
{
	static const char *const phase[] = {
	    [CONVERGED] = "converged",
	    [ADD_LEARNER] = "add-learner",
	    [CATCH_UP] = "catch-up",
	    [TRANSFER] = "transfer-leadership",
	    [ENTER_JOINT] = "enter-joint",
	    [COMMIT_NEW] = "commit-new",
	    [LEAVE_JOINT] = "leave-joint",
	    [NO_JOINT] = "no-joint",
	    [CHANGE_LEARNERS] = "change-learners",
	    [TUNE] = "tune",
	    [COOLDOWN] = "cooldown",
	    [RATE_LIMIT] = "rate-limit",
	    [REFUSED] = "refused",
	};
	json_t *members = json_array(), *line;

	for (unsigned i = 0; i < now->count; i++)
		(void)json_array_append_new(
		    members, json_pack("{s:I, s:b, s:I, s:b}", "id",
				 (json_int_t)now->member[i].id, "voter",
				 now->member[i].voter, "lag_entries",
				 (json_int_t)now->member[i].lag, "leader",
				 now->member[i].leader));
	line = json_pack("{s:s, s:s, s:o, s:b, s:s}", "phase", phase[p], "step",
	    state, "members", members, "joint", now->joint, "reason", reason);
	(void)json_dumpf(line, stdout, JSON_COMPACT);
	(void)fputc('\n', stdout);
	(void)fflush(stdout);
	json_decref(line);
}

static uint64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
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
	uint64_t entered; /* the joint configuration we began, 0: none */
	enum phase joint; /* how far it was seen to be */
	uint64_t changed_ms[RATE_MAX]; /* ring: when we changed anything */
	unsigned changes;
};

static void
say_once(struct reconcile *rc, const struct members *now, const struct step *s)
{
	bool acts = s->change != NULL || s->transfer != 0;

	if (rc->has_said && rc->said == s->phase && !acts)
		return;
	rc->has_said = true;
	rc->said = s->phase;
	say(now, s->phase,
	    acts		    ? "begin"
	    : s->phase == CONVERGED ? "done"
				    : "wait",
	    s->reason);
}

/* The steps of a joint change that are over, seen or not: it went through
 * each of them. */
static void
follow_joint(struct reconcile *rc, const struct members *now)
{
	enum phase seen;

	if (rc->entered == 0 || now->config_index < rc->entered)
		return;
	seen = now->config_index > rc->entered
		   ? (now->config_committed ? LEAVE_JOINT : COMMIT_NEW)
	       : now->config_committed ? COMMIT_NEW
				       : ENTER_JOINT;
	while (rc->joint < seen) {
		rc->joint++;
		say(now, rc->joint, "done",
		    rc->joint == COMMIT_NEW
			? "both majorities have the joint configuration"
			: "the new voters decide alone");
	}
	if (rc->joint == LEAVE_JOINT)
		rc->entered = 0;
}

/* Not yet: too soon after the change before, whoever made that, or one too
 * many of ours. */
static bool
too_soon(const struct reconcile *rc, const struct declaration *d,
    const struct members *now, struct step *s)
{
	uint64_t first;

	if (s->change == NULL && s->transfer == 0)
		return false;
	if (now->config_age_ms < d->cooldown_ms) {
		s->phase = COOLDOWN;
		(void)snprintf(s->reason, sizeof(s->reason),
		    "the members changed %llu ms ago",
		    (unsigned long long)now->config_age_ms);
	} else if (d->rate > 0 && rc->changes >= d->rate &&
		   now_ms() - (first = rc->changed_ms[(rc->changes - d->rate) %
						      RATE_MAX]) <
		       d->rate_ms) {
		s->phase = RATE_LIMIT;
		(void)snprintf(s->reason, sizeof(s->reason),
		    "%llu changes in %llu ms", (unsigned long long)d->rate,
		    (unsigned long long)(now_ms() - first));
	} else {
		return false;
	}
	json_decref(s->change);
	s->change = NULL;
	s->transfer = 0;
	return true;
}

static enum wire_status
hand_over(struct cli *cli, uint64_t to, struct wire_error *e)
{
	struct client_answer answer;
	struct mp_buf params;

	mp_buf_init(&params);
	mp_put_array(&params, 1);
	mp_put_u64(&params, to);
	(void)cli_ask(
	    cli, "transfer", &params, CLIENT_ONCE, UINT32_MAX, &answer);
	mp_buf_release(&params);
	mp_buf_release(&answer.result);
	*e = answer.error;
	return answer.status;
}

/* Negative: go on. */
static int
take_step(struct cli *cli, struct reconcile *rc, const struct members *now,
    const struct step *s)
{
	struct wire_error e = {0};
	enum wire_status status;
	json_t *answer = NULL;

	if (s->transfer != 0)
		status = hand_over(cli, s->transfer, &e);
	else
		status = members_try(cli, s->change, &answer, &e);
	if (status != WIRE_OK) {
		say(now, s->phase, "failed", e.message);
		/* Who takes over may not have caught up: look again. */
		return status == WIRE_CONDITION && s->transfer == 0
			   ? cli_error(cli, &e)
			   : -1;
	}
	say(now, s->phase, "done", s->reason);
	if (s->change != NULL)
		rc->changed_ms[rc->changes++ % RATE_MAX] = now_ms();
	if (s->phase == ENTER_JOINT) {
		rc->entered = (uint64_t)json_integer_value(
		    json_object_get(answer, "index"));
		rc->joint = ENTER_JOINT;
	}
	json_decref(answer);
	return -1;
}

/* One look and one step.  Negative: go on. */
static int
run_round(struct cli *cli, struct reconcile *rc)
{
	struct wire_error e = {0};
	struct declaration d;
	struct members now;
	struct step s;
	int status = read_file(cli, rc->path, &d);

	if (status >= 0)
		return rc->watch && rc->has_said ? -1 : status;
	if (members_ask(cli, &now, &e) != WIRE_OK)
		return cli_is_late(cli) ? cli_error(cli, &e) : -1;
	follow_joint(rc, &now);
	next_step(&d, &now, &s);
	(void)too_soon(rc, &d, &now, &s);
	say_once(rc, &now, &s);
	status = -1;
	if (s.phase == CONVERGED || rc->dry_run)
		status = 0;
	else if (s.phase == REFUSED)
		status = 1;
	else if (s.change != NULL || s.transfer != 0)
		status = take_step(cli, rc, &now, &s);
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
			nap(status >= 0	      ? WATCH_MS
			    : rc.entered != 0 ? CLOSE_MS
					      : ROUND_MS);
			continue;
		}
		if (status >= 0)
			return status;
		if (cli_is_late(cli))
			return cli_fail(cli, WIRE_TIMEOUT,
			    "time is up before the cluster is as declared");
		nap(rc.entered != 0 ? CLOSE_MS : ROUND_MS);
	}
}
