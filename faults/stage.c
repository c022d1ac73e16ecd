/*
 * stage.c - a cluster for a demonstration.
 */
#include "faults/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults/fault.h"
#include "faults/spawn.h"

#define WORDS_MAX 16
#define WORD_LEN 32
#define OUT_LEN 16384
#define ENDPOINTS_LEN (STAGE_SERVERS * 260)
#define LEADER_MAX_MS 4000  /* several elections */
#define STATES_MAX_MS 3000  /* until equal logs are equal states */
#define SETTLE_MAX_MS 20000 /* until a healthy cluster says so */
#define ANSWER_MAX "2s"
#define KEY "x"

extern char **environ;

/* ---- other programs ----------------------------------------------------- */

static int
spawn_words(const char *program, const char *const argv[], char *out)
{
	const char *args[WORDS_MAX + 8];
	char path[PATH_MAX];
	struct spawn with = {.hold_fd = -1, .out = out, .out_size = OUT_LEN};
	unsigned n = 1;

	find_program(program, path);
	args[0] = path;
	for (; *argv != NULL && n + 1 < sizeof(args) / sizeof(args[0]); argv++)
		args[n++] = *argv;
	args[n] = NULL;
	out[0] = '\0';
	return spawn_wait(&with, args);
}

/* Blanks between words; they stay where the caller keeps them. */
static unsigned
split(const char *text, char word[WORDS_MAX][WORD_LEN])
{
	unsigned n = 0;

	while (*text != '\0' && n < WORDS_MAX) {
		size_t len = strcspn(text, " ");

		if (len > 0 && len < WORD_LEN)
			(void)snprintf(
			    word[n++], WORD_LEN, "%.*s", (int)len, text);
		text += len + (text[len] == ' ');
	}
	return n;
}

/* raftlab -d LAB WORDS... [-- MORE...] */
static int
raftlab(const struct stage *s, const char *words, const char *const more[],
    char *out)
{
	char word[WORDS_MAX][WORD_LEN], lab[PATH_MAX + 8];
	const char *argv[WORDS_MAX + STAGE_ARGS_MAX + 4];
	unsigned count = split(words, word), n = 0;

	(void)snprintf(lab, sizeof(lab), "%s/lab", s->dir);
	argv[n++] = "-d";
	argv[n++] = lab;
	for (unsigned i = 0; i < count; i++)
		argv[n++] = word[i];
	if (more != NULL && *more != NULL) {
		argv[n++] = "--";
		for (unsigned i = 0; more[i] != NULL && i < STAGE_ARGS_MAX; i++)
			argv[n++] = more[i];
	}
	argv[n] = NULL;
	return spawn_words("raftlab", argv, out);
}

static void
endpoints(const struct stage *s, const char *ids, char text[ENDPOINTS_LEN])
{
	char word[WORDS_MAX][WORD_LEN];
	unsigned count = split(ids, word);
	size_t len = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < count; i++) {
		unsigned id = (unsigned)strtoul(word[i], NULL, 10);

		if (id < 1 || id > STAGE_SERVERS)
			continue;
		len += (size_t)snprintf(text + len, ENDPOINTS_LEN - len, "%s%s",
		    len > 0 ? "," : "", s->client[id]);
	}
}

static int
raftctl(const struct stage *s, const char *ids, const char *limit,
    const char *const words[], char *out)
{
	char at[ENDPOINTS_LEN];
	const char *argv[WORDS_MAX + 5] = {"-s", at, "-t", limit};
	unsigned n = 4;

	endpoints(s, ids, at);
	for (; *words != NULL && n + 1 < sizeof(argv) / sizeof(argv[0]);)
		argv[n++] = *words++;
	argv[n] = NULL;
	return spawn_words("raftctl", argv, out);
}

/* ---- steps --------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void
note(struct stage *s, const char *what, const char *fmt, ...)
{
	struct stage_step *step;
	va_list ap;

	if (s->count == STAGE_STEPS_MAX)
		return;
	step = &s->step[s->count++];
	(void)snprintf(step->what, sizeof(step->what), "%s", what);
	va_start(ap, fmt);
	(void)vsnprintf(step->outcome, sizeof(step->outcome), fmt, ap);
	va_end(ap);
}

/* The first line, without the program's name and addresses. */
static const char *
first_line(char *out)
{
	char *colon;

	out[strcspn(out, "\n")] = '\0';
	colon = strstr(out, ": unix:");
	if (colon != NULL)
		*colon = '\0';
	colon = strncmp(out, "raft", 4) == 0 ? strstr(out, ": ") : NULL;
	return colon != NULL ? colon + 2 : out;
}

int
stage_lab(struct stage *s, const char *words)
{
	char out[OUT_LEN];
	int status = raftlab(s, words, NULL, out);

	note(s, words, "%s", status == 0 ? "done" : out);
	if (status != 0)
		s->failed = s->count;
	return status == 0 ? 0 : -EIO;
}

int
stage_ask(
    struct stage *s, unsigned at, const char *what, const char *const words[])
{
	char out[OUT_LEN], id[16];
	int status;

	(void)snprintf(id, sizeof(id), "%u", at);
	status = raftctl(s, id, ANSWER_MAX, words, out);
	note(s, what, "%s", status == 0 ? "done" : first_line(out));
	return status;
}

struct state {
	unsigned leader;
	bool leads;
	json_int_t term, last;
	char digest[64];
};

/* What a server says of itself. */
static int
look(const struct stage *s, unsigned id, struct state *st)
{
	static const char *const words[] = {"status", "-j", NULL};
	const char *role, *digest;
	char out[OUT_LEN], at[16];
	json_int_t leader = 0;
	json_t *j, *l;
	int ret = -EIO;

	memset(st, 0, sizeof(*st));
	(void)snprintf(at, sizeof(at), "%u", id);
	if (raftctl(s, at, "1s", words, out) != 0)
		return -EIO;
	j = json_loads(out, JSON_DISABLE_EOF_CHECK, NULL);
	if (j != NULL &&
	    json_unpack(j, "{s:s,s:o,s:I,s:I,s:s}", "role", &role, "leader", &l,
		"term", &st->term, "last", &st->last, "digest", &digest) == 0) {
		leader = json_integer_value(l);
		st->leader = leader > 0 && leader <= STAGE_SERVERS
				 ? (unsigned)leader
				 : 0;
		st->leads = strcmp(role, "leader") == 0;
		(void)snprintf(st->digest, sizeof(st->digest), "%s", digest);
		ret = 0;
	}
	json_decref(j);
	return ret;
}

/* One leads, the others say so and have what it has. */
static unsigned
agreed(const struct stage *s, const char *ids, json_int_t *term)
{
	char word[WORDS_MAX][WORD_LEN];
	unsigned count = split(ids, word), leader = 0;
	struct state first = {0}, st;

	for (unsigned i = 0; i < count; i++) {
		unsigned id = (unsigned)strtoul(word[i], NULL, 10);

		if (look(s, id, &st) < 0 || st.leader == 0)
			return 0;
		if (i == 0)
			first = st;
		if (st.leader != first.leader || st.term != first.term ||
		    st.last != first.last)
			return 0;
		if (st.leads)
			leader = id;
	}
	*term = first.term;
	return leader;
}

unsigned
stage_leader(struct stage *s, const char *ids)
{
	uint64_t end = mono_ms() + LEADER_MAX_MS;
	json_int_t term = 0;
	unsigned leader;
	char what[64];

	(void)snprintf(what, sizeof(what), "who leads %s?", ids);
	while ((leader = agreed(s, ids, &term)) == 0 && mono_ms() < end)
		sleep_ms(20);
	if (leader == 0)
		note(s, what, "nobody");
	else
		note(s, what, "%u, in term %lld", leader, (long long)term);
	return leader;
}

int
stage_lead(struct stage *s, unsigned id)
{
	static const char *const healthy[] = {"wait", "healthy", NULL};
	char out[OUT_LEN], number[16];
	const char *words[] = {"transfer", number, NULL};
	uint64_t end = mono_ms() + SETTLE_MAX_MS;
	json_int_t term;

	(void)snprintf(number, sizeof(number), "%u", id);
	for (;;) {
		if (raftctl(s, "1 2 3", "5s", healthy, out) == 0 &&
		    agreed(s, "1 2 3 4 5", &term) == id)
			return 0;
		if (mono_ms() > end)
			return -ETIMEDOUT;
		(void)raftctl(s, "1 2 3", ANSWER_MAX, words, out);
	}
}

/* ---- reads and writes ---------------------------------------------------- */

/* Each operation is a process of its own: none of them waits for another. */
static void
record(struct stage *s, const char *type, const char *f, const char *value)
{
	if (value == NULL)
		(void)fprintf(s->history,
		    "{\"process\":%u,\"type\":\"%s\",\"f\":\"%s\","
		    "\"key\":\"" KEY "\",\"value\":null}\n",
		    s->ops, type, f);
	else
		(void)fprintf(s->history,
		    "{\"process\":%u,\"type\":\"%s\",\"f\":\"%s\","
		    "\"key\":\"" KEY "\",\"value\":\"%s\"}\n",
		    s->ops, type, f, value);
	(void)fflush(s->history);
}

void
stage_put(struct stage *s, const char *ids, const char *value)
{
	const char *words[] = {"put", KEY, value, NULL};
	char out[OUT_LEN], what[64];
	int status;

	(void)snprintf(what, sizeof(what), "put " KEY "=%s at %s", value, ids);
	s->ops++;
	record(s, "invoke", "put", value);
	status = raftctl(s, ids, ANSWER_MAX, words, out);
	/* 69 and 75 promise that it was not applied */
	record(s,
	    status == 0			   ? "ok"
	    : status == 69 || status == 75 ? "fail"
					   : "info",
	    "put", value);
	note(s, what, "%s%s",
	    status == 0			   ? "acknowledged"
	    : status == 69 || status == 75 ? "refused: "
					   : "outcome unknown: ",
	    status == 0 ? "" : first_line(out));
	if (status == 0)
		(void)snprintf(
		    s->acknowledged, sizeof(s->acknowledged), "%s", value);
}

void
stage_get(struct stage *s, const char *ids)
{
	static const char *const words[] = {"get", KEY, NULL};
	char out[OUT_LEN], what[64];
	int status;

	(void)snprintf(what, sizeof(what), "get " KEY " at %s", ids);
	s->ops++;
	record(s, "invoke", "get", NULL);
	status = raftctl(s, ids, "10s", words, out);
	out[strcspn(out, "\n")] = '\0';
	if (status == 0) {
		(void)snprintf(s->read, sizeof(s->read), "%.31s", out);
		record(s, "ok", "get", s->read);
		note(s, what, "%s", s->read);
	} else {
		record(s, status == 1 ? "ok" : "fail", "get", NULL);
		note(s, what, "%s", status == 1 ? "absent" : first_line(out));
	}
}

/* ---- the verdict --------------------------------------------------------- */

/* Servers log when they begin to lead; two of one term are one too many. */
static void
find_leaders(const struct stage *s, struct stage_verdict *v)
{
	struct {
		uint64_t term;
		unsigned id;
	} seen[STAGE_TERMS_MAX];
	unsigned count = 0;
	char path[PATH_MAX + 32], line[1024];

	for (unsigned id = 1; id <= STAGE_SERVERS; id++) {
		FILE *f;

		(void)snprintf(path, sizeof(path), "%s/lab/%u.log", s->dir, id);
		f = fopen(path, "re");
		while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
			const char *term = strstr(line, " term=");

			if (strstr(line, " event=role ") == NULL ||
			    strstr(line, " role=leader ") == NULL ||
			    term == NULL || count == STAGE_TERMS_MAX)
				continue;
			seen[count].term = strtoull(term + 6, NULL, 10);
			seen[count++].id = id;
		}
		if (f != NULL)
			(void)fclose(f);
	}
	for (unsigned i = 0; i < count; i++)
		for (unsigned j = 0; j < i; j++)
			if (seen[i].term == seen[j].term &&
			    seen[i].id != seen[j].id &&
			    seen[i].term > v->term) {
				v->term = seen[i].term;
				v->leader[0] = seen[j].id;
				v->leader[1] = seen[i].id;
			}
}

/* After a while: what a healthy cluster makes equal is equal by then. */
static unsigned
count_states(const struct stage *s)
{
	uint64_t end = mono_ms() + STATES_MAX_MS;
	struct state st[STAGE_SERVERS + 1];
	unsigned states;

	do {
		states = 0;
		for (unsigned i = 1; i <= STAGE_SERVERS; i++) {
			bool is_new = true;

			if (look(s, i, &st[i]) < 0)
				(void)snprintf(
				    st[i].digest, sizeof(st[i].digest), "none");
			for (unsigned k = 1; k < i; k++)
				if (strcmp(st[k].digest, st[i].digest) == 0)
					is_new = false;
			states += is_new;
		}
	} while (states > 1 && mono_ms() < end);
	return states;
}

int
stage_judge(struct stage *s, struct stage_verdict *v, struct errtext *et)
{
	char path[PATH_MAX + 16], out[OUT_LEN];
	const char *argv[] = {"check", "-j", path, NULL};
	const char *why = NULL;
	int status;
	json_t *j;

	memset(v, 0, sizeof(*v));
	v->states = count_states(s);
	find_leaders(s, v);
	(void)snprintf(path, sizeof(path), "%s/history", s->dir);
	status = spawn_words("loadgen", argv, out);
	if (status != 0 && status != 1)
		return errtext(
		    et, -EIO, "loadgen check: %.200s", first_line(out));
	v->is_linearizable = status == 0;
	j = json_loads(out, JSON_DISABLE_EOF_CHECK, NULL);
	why = json_string_value(
	    json_object_get(json_object_get(j, "detail"), "why"));
	(void)snprintf(v->why, sizeof(v->why), "%s", why != NULL ? why : "");
	json_decref(j);
	return 0;
}

/* ---- open and close ------------------------------------------------------ */

/* Waits until nobody holds the pipe; then nothing may stay. */
static void
keep(const struct stage *s, int fd)
{
	static const char *const files[] = {"history", "lab"};
	char out[OUT_LEN], path[PATH_MAX + 16];
	int err = 0;
	char byte;

	(void)setsid();
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	while (read(fd, &byte, 1) < 0 && errno == EINTR)
		continue;
	(void)snprintf(path, sizeof(path), "%s/lab/lab", s->dir);
	/* one that is just being started takes itself down */
	if (access(path, F_OK) == 0)
		err = raftlab(s, "down", NULL, out);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", s->dir, files[i]);
		(void)remove(path);
	}
	_exit(rmdir(s->dir) < 0 || err != 0);
}

static int
keeper_start(struct stage *s, struct errtext *et)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC) < 0)
		return errtext(et, -errno, "cannot make a pipe");
	s->keeper = fork();
	if (s->keeper < 0) {
		(void)close(fd[0]);
		(void)close(fd[1]);
		return errtext(et, -errno, "cannot fork");
	}
	if (s->keeper == 0) {
		(void)close(fd[1]);
		keep(s, fd[0]);
	}
	(void)close(fd[0]);
	s->control = fd[1];
	return 0;
}

/* Options that stand in our environment are not for these servers. */
static void
forget_environment(void)
{
	char name[64];

	for (unsigned i = 0; environ[i] != NULL;) {
		size_t len = strcspn(environ[i], "=");

		if (strncmp(environ[i], "RAFT_", 5) != 0 ||
		    len >= sizeof(name)) {
			i++;
			continue;
		}
		(void)snprintf(
		    name, sizeof(name), "%.*s", (int)len, environ[i]);
		(void)unsetenv(name);
	}
}

static int
read_servers(struct stage *s)
{
	const char *client, *peer;
	char out[OUT_LEN], *p = out;
	json_int_t id;
	json_t *j;

	if (raftlab(s, "ps -j", NULL, out) != 0)
		return -EIO;
	for (unsigned i = 1; i <= STAGE_SERVERS && p != NULL; i++) {
		j = json_loads(p, JSON_DISABLE_EOF_CHECK, NULL);
		if (j == NULL ||
		    json_unpack(j, "{s:I,s:s,s:s}", "id", &id, "client",
			&client, "peer", &peer) < 0 ||
		    id != (json_int_t)i) {
			json_decref(j);
			return -EPROTO;
		}
		(void)snprintf(
		    s->client[i], sizeof(s->client[i]), "%s", client);
		(void)snprintf(s->peer[i], sizeof(s->peer[i]), "%s", peer);
		json_decref(j);
		p = strchr(p, '\n');
		p = p != NULL ? p + 1 : NULL;
	}
	return 0;
}

int
stage_open(struct stage *s, const char *const raftd_args[], struct errtext *et)
{
	static const char *const learner[] = {"--learner", NULL};
	const char *parent = getenv("TMPDIR");
	char out[OUT_LEN], path[PATH_MAX + 16];
	int ret;

	memset(s, 0, sizeof(*s));
	s->control = -1;
	forget_environment();
	(void)snprintf(s->dir, sizeof(s->dir), "%s/faults.XXXXXX",
	    parent != NULL && *parent != '\0' ? parent : "/tmp");
	if (mkdtemp(s->dir) == NULL)
		return errtext(et, -errno, "cannot create '%s'", s->dir);
	if ((ret = keeper_start(s, et)) < 0) {
		(void)rmdir(s->dir);
		return ret;
	}
	(void)snprintf(path, sizeof(path), "%s/history", s->dir);
	s->history = fopen(path, "we");
	if (s->history == NULL) {
		ret = errtext(et, -errno, "cannot create '%s'", path);
		goto fail;
	}
	ret = raftlab(s, "up -n 3", raftd_args, out);
	for (unsigned i = STAGE_VOTERS; ret == 0 && i < STAGE_SERVERS; i++)
		ret = raftlab(s, "add", learner, out);
	if (ret != 0) {
		ret = errtext(et, -EIO, "cannot start a cluster: %.200s",
		    first_line(out));
		goto fail;
	}
	if ((ret = read_servers(s)) == 0)
		return 0;
	(void)errtext(et, ret, "cannot read what raftlab ps says");
fail:
	stage_close(s);
	return ret;
}

void
stage_close(struct stage *s)
{
	if (s->history != NULL)
		(void)fclose(s->history);
	s->history = NULL;
	if (s->control < 0)
		return;
	(void)close(s->control);
	s->control = -1;
	while (waitpid(s->keeper, NULL, 0) < 0 && errno == EINTR)
		continue;
}
