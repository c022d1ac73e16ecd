/*
 * cmd_recover.c - recover plan: a majority is lost; what can be made of what
 * is left.
 *
 * It looks at the survivors, data directories (through raftwal stat) or
 * servers that still run, names the one that has most, what of that cannot be
 * proven to have been committed, and who must never start again, and prints
 * the plan of raftkit-recover(5).  It changes nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raftctl/cli.h"
#include "raftctl/client.h"

#define SURVIVORS_MAX 16
#define STAT_LEN_MAX (4u << 20) /* what raftwal stat may say */
#define ASK_MS_MAX 2000

extern char **environ;

struct survivor {
	const char *where;
	uint64_t id, epoch, term, last, last_term, commit;
	char cluster[40], uuid[40];
	json_t *config; /* NULL: its log has none */
	bool damaged, leads, ok;
	char detail[256];
};

struct recovery {
	struct survivor s[SURVIVORS_MAX];
	unsigned count;
	const struct survivor *donor;
	uint64_t commit;	   /* proven: the highest that anybody names */
	unsigned voters, survived; /* of the donor's configuration, by half: */
	unsigned old_voters, old_survived;
};

static uint64_t
number(json_t *o, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(o, key));

	return n > 0 ? (uint64_t)n : 0;
}

static void
copy_text(char *out, size_t size, json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	(void)snprintf(out, size, "%s", s != NULL ? s : "");
}

/* ---- a directory ------------------------------------------------------- */

/* raftwal, beside this program or on the path. */
static void
find_raftwal(char *path, size_t size)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	(void)snprintf(path, size, "raftwal");
	if (n <= 0)
		return;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (slash == NULL)
		return;
	(void)snprintf(path, size, "%.*s/raftwal", (int)(slash - self), self);
	if (access(path, X_OK) != 0)
		(void)snprintf(path, size, "raftwal");
}

/* All of it, up to len_max bytes: the length, or -1. */
static ssize_t
read_all(int fd, char *buf, size_t len_max)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, buf + len, len_max - len)) != 0) {
		if (n < 0 && errno != EINTR)
			return -1;
		len += n > 0 ? (size_t)n : 0;
		if (len == len_max)
			return -1;
	}
	return (ssize_t)len;
}

/* NULL: it could not be asked. */
static json_t *
ask_raftwal(const char *dir)
{
	char path[PATH_MAX], *buf = malloc(STAT_LEN_MAX);
	char stat_word[] = "stat", json[] = "-j", end[] = "--";
	char *name = strdup(dir);
	char *argv[] = {path, stat_word, json, end, name, NULL};
	posix_spawn_file_actions_t actions;
	int fd[2] = {-1, -1}, status;
	json_t *out = NULL;
	ssize_t len = -1;
	pid_t pid;

	find_raftwal(path, sizeof(path));
	if (buf == NULL || name == NULL || pipe2(fd, O_CLOEXEC) < 0)
		goto out;
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, fd[1], 1);
	(void)posix_spawn_file_actions_addopen(
	    &actions, 2, "/dev/null", O_WRONLY, 0);
	if (posix_spawnp(&pid, path, &actions, NULL, argv, environ) == 0) {
		(void)close(fd[1]);
		fd[1] = -1;
		len = read_all(fd[0], buf, STAT_LEN_MAX);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	(void)posix_spawn_file_actions_destroy(&actions);
	if (len > 0)
		out =
		    json_loadb(buf, (size_t)len, JSON_DISABLE_EOF_CHECK, NULL);
out:
	if (fd[0] >= 0)
		(void)close(fd[0]);
	if (fd[1] >= 0)
		(void)close(fd[1]);
	free(name);
	free(buf);
	return out;
}

static void
look_at_dir(struct survivor *s)
{
	json_t *stat = ask_raftwal(s->where), *id, *group;

	id = json_object_get(stat, "identity");
	group = json_array_get(json_object_get(stat, "groups"), 0);
	if (stat == NULL)
		(void)snprintf(
		    s->detail, sizeof(s->detail), "raftwal cannot read it");
	else if (!json_is_object(id))
		(void)snprintf(s->detail, sizeof(s->detail),
		    "its identity is gone: it is of no use");
	else if (!json_is_object(group) || number(group, "last") == 0)
		(void)snprintf(
		    s->detail, sizeof(s->detail), "its log has no entries");
	else
		s->ok = true;
	s->id = number(id, "id");
	s->epoch = number(id, "epoch");
	copy_text(s->cluster, sizeof(s->cluster), id, "cluster");
	copy_text(s->uuid, sizeof(s->uuid), id, "uuid");
	s->term = number(group, "term");
	s->last = number(group, "last");
	s->last_term = number(group, "last_term");
	s->commit = number(group, "commit");
	s->damaged = json_is_true(json_object_get(group, "damaged"));
	s->config = json_incref(json_object_get(group, "config"));
	json_decref(stat);
}

/* ---- a server that runs ------------------------------------------------ */

static void
look_at_server(struct cli *cli, struct survivor *s)
{
	struct client_config config = {.endpoints = s->where};
	uint32_t left = cli_left_ms(cli);
	struct client_sync *sync = NULL;
	struct client_answer a;
	struct errtext et = {""};
	json_t *st;

	if (client_sync_open(&config, &sync, &et) < 0) {
		(void)snprintf(s->detail, sizeof(s->detail), "%.200s", et.text);
		return;
	}
	(void)client_sync_call(sync, "status", mp_span(NULL, 0), CLIENT_READ,
	    left < ASK_MS_MAX ? left : ASK_MS_MAX, &a);
	if (a.status != WIRE_OK) {
		(void)snprintf(s->detail, sizeof(s->detail), "%.200s",
		    a.error.cause[0] != '\0' ? a.error.cause : a.error.message);
	} else {
		st = output_json(
		    mp_span(a.result.data, a.result.len), OUTPUT_AUTO);
		s->ok = number(st, "last") > 0;
		s->id = number(st, "id");
		s->epoch = number(st, "epoch");
		copy_text(s->cluster, sizeof(s->cluster), st, "cluster");
		copy_text(s->uuid, sizeof(s->uuid), st, "uuid");
		s->term = number(st, "term");
		s->last = number(st, "last");
		s->last_term = number(st, "last_term");
		s->commit = number(st, "commit");
		s->damaged = json_is_true(json_object_get(st, "damaged"));
		s->leads = json_is_integer(json_object_get(st, "leader"));
		s->config = json_incref(json_object_get(st, "config"));
		(void)snprintf(s->detail, sizeof(s->detail),
		    "it runs: stop it before raftwal recover");
		json_decref(st);
	}
	mp_buf_release(&a.result);
	client_sync_close(sync);
}

/* ---- what follows ------------------------------------------------------ */

/* As in an election; damaged only if there is no other. */
static bool
is_better(const struct survivor *a, const struct survivor *b)
{
	if (a->damaged != b->damaged)
		return b->damaged;
	if (a->last_term != b->last_term)
		return a->last_term > b->last_term;
	return a->last > b->last;
}

static const struct survivor *
by_id(const struct recovery *r, uint64_t id)
{
	for (unsigned i = 0; i < r->count; i++)
		if (r->s[i].ok && r->s[i].id == id)
			return &r->s[i];
	return NULL;
}

static bool
is_member(json_t *config, uint64_t id)
{
	json_t *m;
	size_t i;

	json_array_foreach(json_object_get(config, "members"), i,
	    m) if (number(m, "id") == id) return true;
	return false;
}

/* Who is of use, and who has most.  Negative: there is a donor. */
static int
judge(struct cli *cli, struct recovery *r)
{
	for (unsigned i = 0; i < r->count; i++) {
		struct survivor *s = &r->s[i];

		if (!s->ok)
			continue;
		for (unsigned k = 0; k < i; k++) {
			if (!r->s[k].ok)
				continue;
			if (strcmp(r->s[k].cluster, s->cluster) != 0)
				return cli_fail(cli, WIRE_DATA,
				    "'%.100s' is of cluster %s, '%.100s' of %s",
				    r->s[k].where, r->s[k].cluster, s->where,
				    s->cluster);
			if (r->s[k].id == s->id)
				return cli_fail(cli, WIRE_DATA,
				    "'%.100s' and '%.100s' are both of server "
				    "%llu",
				    r->s[k].where, s->where,
				    (unsigned long long)s->id);
		}
		if (s->config != NULL &&
		    (r->donor == NULL || is_better(s, r->donor)))
			r->donor = s;
		if (s->commit > r->commit)
			r->commit = s->commit;
	}
	if (r->donor == NULL)
		return cli_fail(cli, WIRE_CONDITION,
		    "no survivor has a log to begin with: %.150s",
		    r->count > 0 ? r->s[0].detail : "");
	for (unsigned i = 0; i < r->count; i++) {
		struct survivor *s = &r->s[i];

		if (!s->ok || is_member(r->donor->config, s->id))
			continue;
		s->ok = false;
		(void)snprintf(s->detail, sizeof(s->detail),
		    "not a member any more, as the donor has it");
	}
	return -1;
}

/* Where a majority is left nothing must be recovered, and where somebody
 * leads there is one.  Negative: it is lost. */
static int
judge_quorum(struct cli *cli, struct recovery *r)
{
	json_t *m;
	size_t i;

	json_array_foreach(json_object_get(r->donor->config, "members"), i, m)
	{
		uint64_t votes = number(m, "voter");
		bool here = by_id(r, number(m, "id")) != NULL;

		r->voters += (votes & 1) != 0;
		r->survived += (votes & 1) != 0 && here;
		r->old_voters += (votes & 2) != 0;
		r->old_survived += (votes & 2) != 0 && here;
	}
	for (unsigned k = 0; k < r->count; k++)
		if (r->s[k].leads)
			return cli_fail(cli, WIRE_CONDITION,
			    "'%.100s' knows a leader: the quorum is not lost",
			    r->s[k].where);
	if (r->survived * 2 > r->voters &&
	    (r->old_voters == 0 || r->old_survived * 2 > r->old_voters))
		return cli_fail(cli, WIRE_CONDITION,
		    "%u of %u voters have survived, a majority: start them, "
		    "nothing need be recovered",
		    r->survived, r->voters);
	return -1;
}

/* ---- the plan ---------------------------------------------------------- */

static json_t *
plan_members(const struct recovery *r)
{
	json_t *list = json_array(), *m, *row, *v;
	static const char *const optional[] = {"name", "zone", "priority"};
	size_t i;

	json_array_foreach(json_object_get(r->donor->config, "members"), i, m)
	{
		if (by_id(r, number(m, "id")) == NULL)
			continue;
		row = json_pack("{s:O, s:O}", "id", json_object_get(m, "id"),
		    "address", json_object_get(m, "address"));
		for (size_t k = 0; k < 3; k++) {
			v = json_object_get(m, optional[k]);
			if (json_string_length(v) > 0 ||
			    json_integer_value(v) > 0)
				(void)json_object_set(row, optional[k], v);
		}
		(void)json_array_append_new(list, row);
	}
	return list;
}

static json_t *
plan_destroy(const struct recovery *r)
{
	json_t *list = json_array(), *m;
	size_t i;

	json_array_foreach(json_object_get(r->donor->config, "members"), i, m)
	{
		if (by_id(r, number(m, "id")) == NULL)
			(void)json_array_append_new(
			    list, json_pack("{s:O, s:O}", "id",
				      json_object_get(m, "id"), "address",
				      json_object_get(m, "address")));
	}
	return list;
}

static int
compare_ids(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

/* Those that the donor's log names, and those that are lost now. */
static json_t *
plan_removed(const struct recovery *r)
{
	json_t *list = json_array(), *m;
	uint64_t id[128];
	size_t n = 0, i;

	json_array_foreach(json_object_get(r->donor->config, "removed"), i, m)
	{
		if (n < 64)
			id[n++] = (uint64_t)json_integer_value(m);
	}
	json_array_foreach(json_object_get(r->donor->config, "members"), i, m)
	{
		if (by_id(r, number(m, "id")) == NULL && n < 128)
			id[n++] = number(m, "id");
	}
	qsort(id, n, sizeof(id[0]), compare_ids);
	for (i = n > 64 ? n - 64 : 0; i < n; i++)
		(void)json_array_append_new(
		    list, json_integer((json_int_t)id[i]));
	return list;
}

static json_t *
plan_survivors(const struct recovery *r)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < r->count; i++) {
		const struct survivor *s = &r->s[i];

		(void)json_array_append_new(list,
		    json_pack("{s:o, s:I, s:o, s:I, s:I, s:I, s:I, s:b, s:b, "
			      "s:o}",
			"where", output_text_json(s->where), "id",
			(json_int_t)s->id, "uuid",
			s->uuid[0] != '\0' ? json_string(s->uuid) : json_null(),
			"term", (json_int_t)s->term, "last",
			(json_int_t)s->last, "last_term",
			(json_int_t)s->last_term, "commit",
			(json_int_t)s->commit, "damaged", s->damaged, "ok",
			s->ok, "detail", output_text_json(s->detail)));
	}
	return list;
}

/* NULL: the system gives no random numbers. */
static json_t *
make_plan(const struct recovery *r)
{
	const struct survivor *d = r->donor;
	uint64_t epoch = 0, term = 0;
	uint8_t random[16];
	char renewed[33];
	json_t *unproven = json_null();

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return NULL;
	for (unsigned i = 0; i < sizeof(random); i++)
		(void)snprintf(renewed + 2 * i, 3, "%02x", random[i]);
	for (unsigned i = 0; i < r->count; i++) {
		epoch = r->s[i].epoch > epoch ? r->s[i].epoch : epoch;
		term = r->s[i].term > term ? r->s[i].term : term;
	}
	if (r->commit < d->last)
		unproven = json_pack("{s:I, s:I}", "from",
		    (json_int_t)r->commit + 1, "to", (json_int_t)d->last);
	return json_pack("{s:i, s:s, s:s, s:I, s:i, s:I, "
			 "s:{s:I, s:o, s:I, s:I}, s:o, s:o, s:o, s:o, s:o}",
	    "format", 1, "cluster", d->cluster, "new_cluster", renewed, "epoch",
	    (json_int_t)epoch + 1, "group", 1, "term", (json_int_t)term + 1,
	    "donor", "id", (json_int_t)d->id, "uuid",
	    d->uuid[0] != '\0' ? json_string(d->uuid) : json_null(), "last",
	    (json_int_t)d->last, "last_term", (json_int_t)d->last_term,
	    "members", plan_members(r), "removed", plan_removed(r), "survivors",
	    plan_survivors(r), "unproven", unproven, "destroy",
	    plan_destroy(r));
}

static void
print_text(const struct recovery *r, json_t *plan)
{
	json_t *u = json_object_get(plan, "unproven"), *m;
	const struct survivor *d = r->donor;
	size_t i;

	for (unsigned k = 0; k < r->count; k++) {
		const struct survivor *s = &r->s[k];

		printf("%s %s: server %llu, term %llu, last %llu of term %llu, "
		       "commit %llu%s%s%s\n",
		    s == d  ? "donor"
		    : s->ok ? "survivor"
			    : "useless",
		    s->where, (unsigned long long)s->id,
		    (unsigned long long)s->term, (unsigned long long)s->last,
		    (unsigned long long)s->last_term,
		    (unsigned long long)s->commit,
		    s->damaged ? ", damaged" : "",
		    s->detail[0] != '\0' ? "; " : "", s->detail);
	}
	printf("quorum: %u of %u voters are left, %u are needed\n", r->survived,
	    r->voters, r->voters / 2 + 1);
	if (json_is_object(u))
		printf(
		    "unproven: entries %llu to %llu may or may not have been "
		    "committed, and will be\n",
		    (unsigned long long)number(u, "from"),
		    (unsigned long long)number(u, "to"));
	printf("lost: whatever was committed after entry %llu\n",
	    (unsigned long long)d->last);
	json_array_foreach(json_object_get(plan, "destroy"), i, m)
	    printf("destroy: server %llu at %s must never start again\n",
		(unsigned long long)number(m, "id"),
		json_string_value(json_object_get(m, "address")));
	printf("next: raftctl -j recover plan ... >FILE, then on each of "
	       "these, the donor first:\n"
	       "      raftwal recover --plan FILE --write --confirm %s DIR\n",
	    d->cluster);
}

/* ---- the command ------------------------------------------------------- */

static int
print_plan(struct cli *cli, const struct recovery *r)
{
	json_t *plan = make_plan(r);

	if (plan == NULL)
		return cli_fail(cli, WIRE_BUG, "no random numbers");
	if (cli->format == OUTPUT_TEXT)
		print_text(r, plan);
	else
		cli_print_one(cli, json_incref(plan), NULL);
	json_decref(plan);
	return 0;
}

int
cmd_recover(struct cli *cli, int argc, char **argv)
{
	struct recovery r = {.count = 0};
	struct stat st;
	int status = -1;

	if (cli_next(cli, argc, argv) == CLI_EXIT)
		return cli->status;
	argc -= optind;
	argv += optind;
	if (argc < 1 || strcmp(argv[0], "plan") != 0)
		return cli_usage(cli, "recover plan is all there is");
	if (argc < 2 || argc - 1 > SURVIVORS_MAX)
		return cli_usage(cli,
		    "recover plan takes 1 to %d directories or addresses",
		    SURVIVORS_MAX);
	for (int i = 1; i < argc; i++) {
		struct survivor *s = &r.s[r.count++];

		s->where = argv[i];
		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			look_at_dir(s);
		else
			look_at_server(cli, s);
	}
	status = judge(cli, &r);
	if (status < 0)
		status = judge_quorum(cli, &r);
	if (status < 0)
		status = print_plan(cli, &r);
	for (unsigned i = 0; i < r.count; i++)
		json_decref(r.s[i].config);
	return status;
}
