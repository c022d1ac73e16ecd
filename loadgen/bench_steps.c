/*
 * bench_steps.c - loadgen bench snapshot and reconfigure.
 *
 * The same load runs twice: first on a cluster that is left alone, then while
 * a thread carries out the steps, one after the other.  What the second run
 * lost against the first is what the steps cost.
 */
#include "loadgen/bench_steps.h"

#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <time.h>

#include "loadgen/conditions.h"
#include "loadgen/lab.h"
#include "loadgen/run.h"
#include "raftctl/client.h"
#include "raftctl/endpoint.h"

#define SERVERS 3
#define ARGS_MAX 256
#define STEP_MS 120000
#define SETTLE_MS 1000 /* of load behind the last step */
#define NO_ENDPOINTS "unix:/of-a-cluster-of-its-own"

struct bench {
	const struct kind *kind;
	unsigned servers;
	struct lab_config lab_config;
	struct lab lab;
	struct run_options run;
	json_t *steps; /* what the thread did */
	char why[400]; /* it failed */
};

struct kind {
	const char *name;
	const char *const *run; /* options of the load, before the user's */
	int (*steps)(struct bench *);
};

/* A signal came, or the steps are done. */
static volatile int signalled, ended;

static void
signal_cb(int sig)
{
	signalled = ended = sig;
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- steps -------------------------------------------------------------- */

static int
failed(struct bench *b, const char *what, const char *why)
{
	if (signalled == 0)
		(void)snprintf(
		    b->why, sizeof(b->why), "%.64s: %.300s", what, why);
	return -1;
}

/* Takes the details, which may be NULL. */
static void
note(struct bench *b, const char *what, uint64_t since_ns, json_t *details)
{
	json_t *o = json_pack("{s:s,s:f}", "what", what, "ms",
	    (double)(now_ns() - since_ns) / 1e6);

	if (o != NULL && details != NULL)
		json_object_update(o, details);
	json_decref(details);
	json_array_append_new(b->steps, o);
}

static int
by_raftctl(struct bench *b, const char *what, const char *const words[])
{
	uint64_t t = now_ns();

	if (signalled != 0 || lab_raftctl(&b->lab, words) < 0)
		return failed(b, what, "failed");
	note(b, what, t, NULL);
	return 0;
}

/* A call to one server; its answer as a map of numbers. */
static int
call(struct bench *b, const char *endpoint, const char *method,
    const char *const keys[], json_int_t *values)
{
	const struct client_config c = {
	    .endpoints = endpoint, .stall_ms = STEP_MS};
	struct client_answer a;
	struct client_sync *sync;
	struct errtext et = {""};
	struct mp_cur cur;
	struct mp_map m;
	int r = 0;

	if (client_sync_open(&c, &sync, &et) < 0)
		return failed(b, method, et.text);
	if (client_sync_call(sync, method, mp_span("\x90", 1), CLIENT_READ,
		STEP_MS, &a) != WIRE_OK)
		r = failed(b, method,
		    a.error.message[0] != '\0' ? a.error.message
					       : a.error.cause);
	cur = mp_cur(a.result.data, a.result.len);
	if (r == 0 && mp_read_mapping(&cur, &m) < 0)
		r = failed(b, method, "the answer is no map");
	if (r == 0 && strcmp(method, "status") == 0) {
		struct mp_cur inner;

		if (mp_get(&m, "snapshots", &inner) < 0 ||
		    mp_read_mapping(&inner, &m) < 0)
			r = failed(b, method, "nothing of snapshots");
	}
	for (int i = 0; r == 0 && keys[i] != NULL; i++) {
		uint64_t v;

		if (mp_get_u64(&m, keys[i], &v) < 0)
			r = failed(b, method, keys[i]);
		else
			values[i] = (json_int_t)v;
	}
	mp_buf_release(&a.result);
	client_sync_close(sync);
	return r;
}

/* Calls fn with each address of the lab. */
static int
each_server(
    struct bench *b, int (*fn)(struct bench *, const char *, void *), void *ctx)
{
	char *list = strdup(b->lab.endpoints), *rest;
	int r = list == NULL ? failed(b, "servers", "out of memory") : 0;

	for (char *e = list != NULL ? strtok_r(list, ",", &rest) : NULL;
	     r == 0 && e != NULL; e = strtok_r(NULL, ",", &rest))
		r = signalled != 0 ? -1 : fn(b, e, ctx);
	free(list);
	return r;
}

static int
take_one(struct bench *b, const char *endpoint, void *ctx)
{
	static const char *const keys[] = {"id", "index", "bytes", NULL};
	uint64_t t = now_ns();
	json_int_t v[3];

	(void)ctx;
	if (call(b, endpoint, "snapshot", keys, v) < 0)
		return -1;
	note(b, "snapshot", t,
	    json_pack(
		"{s:I,s:I,s:I}", "id", v[0], "index", v[1], "bytes", v[2]));
	return 0;
}

static int
cut_one(struct bench *b, const char *endpoint, void *ctx)
{
	static const char *const keys[] = {"bytes", NULL};

	return call(b, endpoint, "compact", keys, ctx);
}

static int
sum_one(struct bench *b, const char *endpoint, void *ctx)
{
	static const char *const keys[] = {"sent_bytes", NULL};
	json_int_t *sum = ctx, v;

	if (call(b, endpoint, "status", keys, &v) < 0)
		return -1;
	*sum += v;
	return 0;
}

/* One more, until it votes. */
static int
add_one(struct bench *b, json_t *details)
{
	char id[16];
	const char *const wait[] = {"wait", "member", id, "voter", NULL};
	uint64_t t = now_ns();

	(void)snprintf(id, sizeof(id), "%u", b->servers + 1);
	if (signalled != 0 || lab_add(&b->lab) < 0 ||
	    lab_raftctl(&b->lab, wait) < 0) {
		json_decref(details);
		return failed(b, "add", "failed");
	}
	note(b, "add", t, details);
	return 0;
}

static int
snapshot_steps(struct bench *b)
{
	json_int_t bytes = 0, before = 0, after = 0;
	json_t *details = json_object();

	if (each_server(b, take_one, NULL) < 0 ||
	    each_server(b, cut_one, &bytes) < 0 ||
	    each_server(b, sum_one, &before) < 0 ||
	    add_one(b, json_incref(details)) < 0 ||
	    each_server(b, sum_one, &after) < 0) {
		json_decref(details);
		return -1;
	}
	json_decref(details);
	json_object_update_new(
	    json_array_get(b->steps, json_array_size(b->steps) - 1),
	    json_pack("{s:I,s:I}", "snapshot_bytes", bytes, "sent_bytes",
		after - before));
	return 0;
}

static int
reconfigure_steps(struct bench *b)
{
	char id[16];
	const char *const demote[] = {"demote", id, NULL};
	const char *const promote[] = {"promote", id, NULL};
	const char *const give_up[] = {"remove", id, NULL};
	const char *const transfer[] = {"transfer", NULL};

	(void)snprintf(id, sizeof(id), "%u", b->servers + 1);
	return add_one(b, NULL) < 0 ||
		       by_raftctl(b, "transfer", transfer) < 0 ||
		       by_raftctl(b, "demote", demote) < 0 ||
		       by_raftctl(b, "promote", promote) < 0 ||
		       by_raftctl(b, "remove", give_up) < 0
		   ? -1
		   : 0;
}

static void *
steps_main(void *arg)
{
	struct bench *b = arg;
	struct timespec settle = {
	    SETTLE_MS / 1000, SETTLE_MS % 1000 * 1000000L};

	if (b->kind->steps(b) == 0)
		(void)nanosleep(&settle, NULL);
	ended = 1;
	return NULL;
}

/* ---- the load ------------------------------------------------------------ */

struct measuring {
	struct bench *bench;
	bool with_steps, started;
	pthread_t thread;
};

static void
phase_cb(enum run_phase phase, void *ctx)
{
	struct measuring *m = ctx;
	sigset_t all, before;

	if (phase != RUN_MEASURE || !m->with_steps || m->started)
		return;
	/* Signals are for the loop. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	m->started =
	    pthread_create(&m->thread, NULL, steps_main, m->bench) == 0;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!m->started) {
		(void)failed(m->bench, "thread", "cannot be made");
		ended = 1;
	}
}

/* Of a result what is compared. */
static json_t *
figures(json_t *result)
{
	static const char *const keys[] = {"ops", "seconds", "ops_per_s",
	    "errors", "unknown", "latency_ms", "by_op", "intervals"};
	json_t *o = json_object();

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		json_object_set(o, keys[i], json_object_get(result, keys[i]));
	return o;
}

/* NULL: it was not possible. */
static json_t *
measure(struct bench *b, const struct run_options *opt, bool with_steps,
    json_t **conditions)
{
	static struct run r;
	struct measuring m = {.bench = b, .with_steps = with_steps};
	struct endpoint *endpoints;
	json_t *result = NULL, *out = NULL;
	unsigned count;
	int error;

	if (endpoint_parse_list(opt->endpoints, &endpoints, &count, NULL) < 0)
		return NULL;
	error = run_init(&r, opt, endpoints, count, NULL);
	if (error < 0) {
		warnx("cannot start: %s", strerror(-error));
		free(endpoints);
		return NULL;
	}
	r.phase_cb = phase_cb;
	r.phase_ctx = &m;
	error = run_go(&r, &ended);
	if (m.started)
		(void)pthread_join(m.thread, NULL);
	if (error == -EHOSTUNREACH)
		warnx("no server answers: %s", r.why);
	else if (b->why[0] == '\0' && signalled == 0)
		result = conditions_result(&r, false);
	if (result != NULL) {
		out = figures(result);
		*conditions =
		    json_incref(json_object_get(result, "conditions"));
	}
	json_decref(result);
	run_release(&r);
	free(endpoints);
	return out;
}

static int
go(struct bench *b)
{
	struct run_options opt = b->run;
	json_t *quiet, *during = NULL, *c = NULL, *o, *args = json_array();
	int failed_at;

	opt.endpoints = b->lab.endpoints;
	quiet = measure(b, &opt, false, &c);
	json_decref(c);
	c = NULL;
	/* Until the steps are done, however long that takes. */
	opt.load = false;
	opt.ops = 0;
	opt.time_ms = UINT64_C(3600) * 1000;
	if (quiet != NULL)
		during = measure(b, &opt, true, &c);
	if (during == NULL) {
		if (b->why[0] != '\0')
			warnx("%s", b->why);
		json_decref(quiet);
		json_decref(args);
		return signalled != 0 ? 128 + signalled : EX_UNAVAILABLE;
	}
	for (char **a = b->lab_config.raftd_args; *a != NULL; a++)
		json_array_append_new(args, json_string(*a));
	json_object_set_new(c, "server_count", json_integer(b->servers));
	json_object_set_new(c, "raftd_options", args);
	json_object_set_new(c, "fsync_ms", lab_fsync(&b->lab));
	o = json_pack("{s:s,s:O,s:o,s:o,s:o}", "bench", b->kind->name, "steps",
	    b->steps, "quiet", quiet, "during", during, "conditions", c);
	if (o == NULL) {
		warnx("out of memory");
		return EX_OSERR;
	}
	failed_at =
	    json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(7));
	json_decref(o);
	if (failed_at < 0 || putchar('\n') == EOF || fflush(stdout) != 0) {
		warn("cannot write the result");
		return EX_IOERR;
	}
	return 0;
}

/* ---- options ------------------------------------------------------------- */

static const char *const snapshot_run[] = {"--load", "--keys", "100000",
    "--mix", "put=50,get=50", "--clients", "64", "--rate", "1000", "--time",
    "3s", "--warmup", "500ms", NULL};
static const char *const reconfigure_run[] = {"--keys", "10000", "--mix",
    "put=50,get=50", "--clients", "8", "--time", "3s", "--warmup", "500ms",
    NULL};

static const struct kind kinds[] = {{"snapshot", snapshot_run, snapshot_steps},
    {"reconfigure", reconfigure_run, reconfigure_steps}};

static const struct kind *
kind_of(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

bool
bench_steps_knows(const char *name)
{
	return kind_of(name) != NULL;
}

/* An option of ours and its value: how many words, 0 it is none. */
static int
own(struct bench *b, char **argv, int i, int *status)
{
	bool servers = strncmp(argv[i], "--servers", 9) == 0;
	size_t len = servers ? 9 : 5;
	const char *value = NULL;
	unsigned long n;
	char *end;

	if (!servers && strncmp(argv[i], "--dir", 5) != 0)
		return 0;
	if (argv[i][len] == '=')
		value = argv[i] + len + 1;
	else if (argv[i][len] == '\0')
		value = argv[i + 1];
	else
		return 0;
	if (value == NULL || value[0] == '\0') {
		fprintf(stderr, "loadgen: %s needs a value\n", argv[i]);
		*status = EX_USAGE;
	} else if (!servers) {
		b->lab_config.parent = value;
	} else {
		n = strtoul(value, &end, 10);
		if (*value < '0' || *value > '9' || *end != '\0' || n < 1 ||
		    n >= LAB_SERVERS_MAX) {
			fprintf(stderr,
			    "loadgen: --servers: not a number in 1..%d\n",
			    LAB_SERVERS_MAX - 1);
			*status = EX_USAGE;
		}
		b->servers = (unsigned)n;
	}
	return argv[i][len] == '=' ? 1 : 2;
}

/* -1: go on.  Else the exit status. */
static int
parse(struct bench *b, int argc, char **argv)
{
	char *rest[ARGS_MAX + 32], *tmp = getenv("TMPDIR");
	int i, k = 0, status = -1;

	b->kind = kind_of(argv[1]);
	b->servers = SERVERS;
	b->lab_config.parent = tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp";
	if (argc > ARGS_MAX) {
		fprintf(stderr, "loadgen: too many arguments\n");
		return EX_USAGE;
	}
	rest[k++] = argv[0];
	for (const char *const *o = b->kind->run; *o != NULL; o++)
		rest[k++] = (char *)(uintptr_t)*o;
	for (i = 2; i < argc && strcmp(argv[i], "--") != 0;) {
		int n = own(b, argv, i, &status);

		if (status >= 0)
			return status;
		if (n == 0)
			rest[k++] = argv[i++];
		i += n;
	}
	rest[k] = NULL;
	b->lab_config.raftd_args = i < argc ? argv + i + 1 : argv + argc;
	b->lab_config.servers = b->servers;
	if (setenv("RAFT_ENDPOINTS", NO_ENDPOINTS, 1) < 0)
		return EX_OSERR;
	status = run_options_parse(k, rest, &b->run);
	if (status < 0 && (strcmp(b->run.endpoints, NO_ENDPOINTS) != 0 ||
			      b->run.history != NULL)) {
		fprintf(stderr, "loadgen: bench starts its own servers, and "
				"records no history\n");
		return EX_USAGE;
	}
	return status;
}

int
bench_steps(int argc, char **argv)
{
	static struct bench b;
	struct sigaction sa = {.sa_handler = signal_cb};
	struct errtext et;
	int status = parse(&b, argc, argv), error;

	if (status >= 0)
		return status;
	(void)sigemptyset(&sa.sa_mask);
	sa.sa_flags = (int)SA_RESETHAND; /* the second one ends it at once */
	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
	(void)sigaction(SIGHUP, &sa, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)prctl(PR_SET_TIMERSLACK, 1000);
	b.steps = json_array();
	error = lab_start(&b.lab, &b.lab_config, &signalled, &et);
	if (error < 0) {
		if (error != -EINTR)
			warnx("%s", et.text);
		status = error == -EINTR ? 128 + signalled : EX_UNAVAILABLE;
	} else {
		status = go(&b);
	}
	json_decref(b.steps);
	if (lab_stop(&b.lab) < 0)
		warnx("cannot remove '%s'", b.lab.dir);
	return status;
}
