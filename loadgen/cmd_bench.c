/*
 * cmd_bench.c - loadgen bench: a cluster of its own, measured.
 */
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "loadgen/bench_steps.h"
#include "loadgen/commands.h"
#include "loadgen/conditions.h"
#include "loadgen/lab.h"
#include "loadgen/run.h"
#include "loadgen/writers.h"
#include "raftctl/client.h"
#include "raftctl/endpoint.h"

#define SERVERS 3
#define KILLS 10
#define KILLS_MAX 10000
#define WRITERS "4"
#define ARGS_MAX 256
#define PUT_MS 30000
#define PUT_SILENT_MS 2000 /* where a server may be there and silent */
#define FAILOVER_MS 30000  /* by then a put must have succeeded */
#define NO_ENDPOINTS "unix:/of-a-cluster-of-its-own"

struct bench {
	const char *name;
	unsigned servers, kills;
	const char *fault; /* of faults[] */
	struct lab_config lab_config;
	struct run_options run;
	struct lab lab;
	json_t *fsync, *result;
	double cpu_begin_s, cpu_end_s;
};

static volatile int stop;

static void
stop_cb(int sig)
{
	stop = sig;
}

static void
catch_signals(void)
{
	struct sigaction sa = {.sa_handler = stop_cb};

	(void)sigemptyset(&sa.sa_mask);
	sa.sa_flags = (int)SA_RESETHAND; /* the second one ends it at once */
	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
	(void)sigaction(SIGHUP, &sa, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)prctl(PR_SET_TIMERSLACK, 1000);
}

static void
usage(FILE *to)
{
	fprintf(to,
	    "usage: loadgen bench steady [--servers N] [--dir DIR] "
	    "[run's options] [-- raftd's options]\n"
	    "       loadgen bench failover [--servers N] [--dir DIR] "
	    "[--fault KIND] [--kills N] [options] [-- raftd's options]\n"
	    "       loadgen bench snapshot|reconfigure [--servers N] "
	    "[--dir DIR] [run's options] [-- raftd's options]\n"
	    "  --servers N            servers of the cluster (3)\n"
	    "  --dir DIR              scratch directory there (TMPDIR, /tmp)\n"
	    "  --kills N              leaders to be hit (10)\n"
	    "  --fault KIND           how: kill, pause, isolate, oneway, deaf "
	    "or "
	    "stall (kill)\n"
	    "  --clients N            failover: clients that write (4)\n"
	    "  --value-size SIZE      failover: bytes of a value (256)\n"
	    "  --progress HOW         failover: text, json or none (text)\n"
	    "  --help                 this text\n");
}

/* ---- options ------------------------------------------------------------ */

/* Whether argv[i] is this option: its value, and how many words it has. */
static int
matches(char **argv, int i, int argc, const char *name, const char **value)
{
	size_t len = strlen(name);

	if (strncmp(argv[i], name, len) != 0)
		return 0;
	if (argv[i][len] == '=') {
		*value = argv[i] + len + 1;
		return 1;
	}
	if (argv[i][len] != '\0')
		return 0;
	*value = i + 1 < argc ? argv[i + 1] : NULL;
	return 2;
}

static int
number(const char *name, const char *text, unsigned max, unsigned *out)
{
	unsigned long v;
	char *end;

	v = text != NULL ? strtoul(text, &end, 10) : 0;
	if (text == NULL || *text < '0' || *text > '9' || *end != '\0' ||
	    v < 1 || v > max) {
		fprintf(
		    stderr, "loadgen: %s: not a number in 1..%u\n", name, max);
		return EX_USAGE;
	}
	*out = (unsigned)v;
	return -1;
}

static bool
is_failover(const struct bench *b)
{
	return strcmp(b->name, "failover") == 0;
}

/* How a leader is hit, and what the lab needs for it. */
static const struct {
	const char *name, *lab_args[3];
} fault_kinds[] = {{"kill", {NULL}}, {"pause", {NULL}},
    {"isolate", {"--tcp", NULL}}, {"oneway", {"--tcp", NULL}},
    {"deaf", {"--tcp", NULL}}, {"stall", {"--disk", "64M", NULL}}};

/* -1, or the exit status. */
static int
choose_fault(struct bench *b, const char *name)
{
	size_t n = sizeof(fault_kinds) / sizeof(fault_kinds[0]), i = 0;

	while (
	    i < n && (name == NULL || strcmp(fault_kinds[i].name, name) != 0))
		i++;
	if (i == n) {
		fprintf(stderr, "loadgen: --fault: not a kind of fault\n");
		return EX_USAGE;
	}
	b->fault = fault_kinds[i].name;
	memcpy(b->lab_config.raftlab_args, fault_kinds[i].lab_args,
	    sizeof(fault_kinds[i].lab_args));
	return -1;
}

/* An option that is ours: its words, or 0.  *status as in parse(). */
static int
own_option(struct bench *b, char **argv, int i, int argc, int *status)
{
	const char *value;
	int n;

	*status = -1;
	if ((n = matches(argv, i, argc, "--servers", &value)) > 0) {
		*status =
		    number("--servers", value, LAB_SERVERS_MAX, &b->servers);
	} else if ((n = matches(argv, i, argc, "--dir", &value)) > 0) {
		b->lab_config.parent = value;
		if (value == NULL || value[0] == '\0') {
			fprintf(stderr, "loadgen: --dir needs a directory\n");
			*status = EX_USAGE;
		}
	} else if (is_failover(b) &&
		   (n = matches(argv, i, argc, "--kills", &value)) > 0) {
		*status = number("--kills", value, KILLS_MAX, &b->kills);
	} else if (is_failover(b) &&
		   (n = matches(argv, i, argc, "--fault", &value)) > 0) {
		*status = choose_fault(b, value);
	} else if (is_failover(b)) {
		/* of run's options those that mean something here */
		if (matches(argv, i, argc, "--clients", &value) == 0 &&
		    matches(argv, i, argc, "--value-size", &value) == 0 &&
		    matches(argv, i, argc, "--progress", &value) == 0) {
			fprintf(stderr, "loadgen: bench failover: no '%s'\n",
			    argv[i]);
			*status = EX_USAGE;
		}
	}
	return n;
}

static int
judge(const struct bench *b)
{
	if (strcmp(b->run.endpoints, NO_ENDPOINTS) != 0) {
		fprintf(stderr, "loadgen: bench starts its own servers\n");
		return EX_USAGE;
	}
	if (is_failover(b) && b->run.clients > WRITERS_MAX) {
		fprintf(
		    stderr, "loadgen: --clients: at most %d\n", WRITERS_MAX);
		return EX_USAGE;
	}
	if (is_failover(b) && b->servers < 3) {
		fprintf(stderr,
		    "loadgen: nobody takes over in a cluster of %u\n",
		    b->servers);
		return EX_USAGE;
	}
	return -1;
}

/* -1: go on.  Else the exit status. */
static int
parse(struct bench *b, int argc, char **argv)
{
	static char clients[] = "--clients", four[] = WRITERS;
	char *rest[ARGS_MAX + 4];
	int i, n, k = 0, status;

	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0) {
			usage(stdout);
			return 0;
		}
	if (argc < 2 || (strcmp(argv[1], "steady") != 0 &&
			    strcmp(argv[1], "failover") != 0)) {
		usage(stderr);
		return EX_USAGE;
	}
	b->name = argv[1];
	b->servers = SERVERS;
	b->kills = KILLS;
	b->fault = fault_kinds[0].name;
	b->lab_config.parent = getenv("TMPDIR");
	if (b->lab_config.parent == NULL || b->lab_config.parent[0] == '\0')
		b->lab_config.parent = "/tmp";
	if (argc > ARGS_MAX) {
		fprintf(stderr, "loadgen: too many arguments\n");
		return EX_USAGE;
	}
	rest[k++] = argv[0];
	if (is_failover(b)) {
		rest[k++] = clients;
		rest[k++] = four;
	}
	for (i = 2; i < argc && strcmp(argv[i], "--") != 0; i += n) {
		n = own_option(b, argv, i, argc, &status);
		if (status >= 0)
			return status;
		if (n > 0)
			continue;
		rest[k++] = argv[i];
		n = 1;
		/* its value goes along */
		if (is_failover(b) && strchr(argv[i], '=') == NULL &&
		    i + 1 < argc) {
			rest[k++] = argv[i + 1];
			n = 2;
		}
	}
	rest[k] = NULL;
	b->lab_config.raftd_args = i < argc ? argv + i + 1 : argv + argc;
	b->lab_config.servers = b->servers;
	if (setenv("RAFT_ENDPOINTS", NO_ENDPOINTS, 1) < 0)
		return EX_OSERR;
	status = run_options_parse(k, rest, &b->run);
	return status >= 0 ? status : judge(b);
}

/* ---- steady ------------------------------------------------------------- */

static void
phase_cb(enum run_phase phase, void *ctx)
{
	struct bench *b = ctx;

	if (phase == RUN_MEASURE)
		b->cpu_begin_s = lab_cpu_s(&b->lab);
	if (phase == RUN_DRAIN)
		b->cpu_end_s = lab_cpu_s(&b->lab);
}

/* What all benches say of where they ran. */
static void
add_conditions(struct bench *b, json_t *c)
{
	json_t *args = json_array();
	char **a;

	for (a = b->lab_config.raftd_args; *a != NULL; a++)
		json_array_append_new(args, json_string(*a));
	json_object_set_new(c, "server_count", json_integer(b->servers));
	json_object_set_new(c, "raftd_options", args);
	json_object_set(c, "fsync_ms", b->fsync);
}

static int
steady(struct bench *b)
{
	static struct run r;
	struct endpoint *endpoints;
	unsigned count;
	int err;

	if (endpoint_parse_list(b->run.endpoints, &endpoints, &count, NULL) < 0)
		return EX_SOFTWARE;
	err = run_init(&r, &b->run, endpoints, count, NULL);
	if (err < 0) {
		warnx("cannot start: %s", strerror(-err));
		free(endpoints);
		return EX_OSERR;
	}
	r.phase_cb = phase_cb;
	r.phase_ctx = b;
	err = run_go(&r, &stop);
	if (err == -EHOSTUNREACH) {
		warnx("no server answers: %s", r.why);
	} else {
		b->result = conditions_result(&r, stop != 0);
		if (b->result != NULL && stop == 0)
			json_object_set_new(b->result, "server_cpu_us",
			    r.tally.all.count == 0
				? json_null()
				: json_real((b->cpu_end_s - b->cpu_begin_s) *
					    1e6 / (double)r.tally.all.count));
		if (b->result != NULL)
			add_conditions(
			    b, json_object_get(b->result, "conditions"));
	}
	run_release(&r);
	free(endpoints);
	return err < 0 ? EX_UNAVAILABLE : 0;
}

/* ---- failover ----------------------------------------------------------- */

static unsigned
leader_id(const char *endpoints)
{
	json_t *all = conditions_servers(endpoints), *s;
	json_int_t id, found = 0;
	const char *role;
	size_t i;

	json_array_foreach(all, i,
	    s) if (json_unpack(s, "{s:I,s:s}", "id", &id, "role", &role) == 0 &&
		   strcmp(role, "leader") == 0) found = id;
	json_decref(all);
	return found > 0 && found <= LAB_SERVERS_MAX ? (unsigned)found : 0;
}

static void
progress(const struct bench *b, unsigned n, double ms, double all_ms)
{
	if (b->run.progress == RUN_TEXT)
		fprintf(stderr, "%s %u of %u: %.1f ms, all clients %.1f ms\n",
		    b->fault, n, b->kills, ms, all_ms);
	if (b->run.progress == RUN_JSON)
		fprintf(stderr, "{\"kill\":%u,\"ms\":%.3f,\"all_ms\":%.3f}\n",
		    n, ms, all_ms);
}

static int
one_fault(struct bench *b, const char *kind, unsigned from, unsigned to)
{
	char a[16], c[16];
	const char *const words[] = {strcmp(kind, "stall") == 0 ? "disk" : kind,
	    strcmp(kind, "stall") == 0 ? "stall" : a,
	    strcmp(kind, "stall") == 0 ? a
	    : to != 0		       ? c
				       : NULL,
	    NULL};

	(void)snprintf(a, sizeof(a), "%u", from);
	(void)snprintf(c, sizeof(c), "%u", to);
	return lab_faults(&b->lab, words);
}

/* oneway: what it sends is lost; deaf: what is sent to it. */
static int
hit(struct bench *b, unsigned leader)
{
	bool is_deaf = strcmp(b->fault, "deaf") == 0;
	unsigned id;
	int err = 0;

	if (!is_deaf && strcmp(b->fault, "oneway") != 0)
		return one_fault(b, b->fault, leader, 0);
	for (id = 1; id <= b->servers && err == 0; id++)
		if (id != leader)
			err = one_fault(b, "oneway", is_deaf ? id : leader,
			    is_deaf ? leader : id);
	return err;
}

/* When it began; 0: not done. */
static uint64_t
begin_fault(struct bench *b, struct writers *w, unsigned leader)
{
	struct timespec ts;

	writers_gap_begin(w);
	if (strcmp(b->fault, "kill") == 0)
		return lab_kill(&b->lab, leader);
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	if (hit(b, leader) < 0)
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int
end_fault(struct bench *b, unsigned leader)
{
	static const char *const heal[] = {"heal", "--all", NULL};

	if (strcmp(b->fault, "kill") == 0)
		return lab_start_server(&b->lab, leader);
	return lab_faults(&b->lab, heal);
}

struct lists {
	json_t *failover, *all, *outage;
};

/* A negative number: not done. */
static int
hit_once(
    struct bench *b, struct writers *w, unsigned n, const struct lists *lists)
{
	struct timespec ts;
	uint64_t t, first, all;
	double ms, all_ms;
	unsigned id;
	int err, healed;

	/* servers and clients are all at work again */
	if (lab_wait_healthy(&b->lab) < 0)
		return stop != 0 ? -EINTR : -ETIMEDOUT;
	err = writers_await(w, FAILOVER_MS, &first, &all);
	if (err < 0)
		return err;
	id = leader_id(b->lab.endpoints);
	t = id != 0 ? begin_fault(b, w, id) : 0;
	if (t == 0)
		return -ESRCH;
	/* by now it is in force; what began before may have passed */
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	writers_mark(
	    w, strcmp(b->fault, "kill") == 0
		   ? t
		   : (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec);
	err = writers_await(w, FAILOVER_MS, &first, &all);
	healed = end_fault(b, id);
	if (err < 0)
		return err;
	ms = (double)(first - t) / 1e6;
	all_ms = (double)(all - t) / 1e6;
	json_array_append_new(lists->failover, json_real(ms));
	json_array_append_new(lists->all, json_real(all_ms));
	json_array_append_new(
	    lists->outage, json_real((double)writers_gap_ns(w) / 1e6));
	progress(b, n, ms, all_ms);
	return healed;
}

static int
compare_double(const void *va, const void *vb)
{
	double a = *(const double *)va, b = *(const double *)vb;

	return (a > b) - (a < b);
}

/* Takes the list: {"median", "worst", "list"}. */
static json_t *
summary(json_t *list)
{
	size_t n = json_array_size(list), i;
	double *v = calloc(n + 1, sizeof(*v)), median = 0;

	if (v == NULL) {
		json_decref(list);
		return NULL;
	}
	for (i = 0; i < n; i++)
		v[i] = json_real_value(json_array_get(list, i));
	qsort(v, n, sizeof(*v), compare_double);
	if (n > 0)
		median = (v[n / 2] + v[(n - 1) / 2]) / 2;
	list = json_pack("{s:f,s:f,s:o}", "median", median, "worst",
	    n > 0 ? v[n - 1] : 0.0, "list", list);
	free(v);
	return list;
}

static json_t *
failover_conditions(struct bench *b)
{
	struct utsname un = {0};
	json_t *c;

	(void)uname(&un);
	c = json_pack("{s:s,s:i,s:s,s:I,s:I,s:o}", "version", RAFTKIT_VERSION,
	    "cores", (int)sysconf(_SC_NPROCESSORS_ONLN), "kernel", un.release,
	    "clients", (json_int_t)b->run.clients, "value_size",
	    (json_int_t)b->run.value_size, "servers",
	    conditions_servers(b->lab.endpoints));
	if (c != NULL)
		add_conditions(b, c);
	return c;
}

static int
failover(struct bench *b)
{
	struct lists lists = {json_array(), json_array(), json_array()};
	bool is_kill = strcmp(b->fault, "kill") == 0;
	struct writers_count count;
	struct writers *w;
	struct errtext et;
	unsigned n;
	int err, failed = 0;

	/* a server that is there and silent: a session lets others try again */
	if (writers_new(b->lab.endpoints, b->run.clients, b->run.value_size,
		is_kill ? PUT_MS : PUT_SILENT_MS, is_kill ? 0 : CLIENT_SESSION,
		&stop, &w, &et) < 0) {
		warnx("%s", et.text);
		return EX_OSERR;
	}
	writers_mark(w, 1);
	for (n = 1; n <= b->kills && failed == 0 && stop == 0; n++)
		failed = hit_once(b, w, n, &lists);
	writers_end(w);
	err = stop != 0 ? 0 : writers_check(w, &count, &et);
	writers_free(w);
	if (err < 0 || (failed < 0 && stop == 0)) {
		warnx("%s", err < 0 ? et.text : strerror(-failed));
		json_decref(lists.failover);
		json_decref(lists.all);
		json_decref(lists.outage);
		return EX_UNAVAILABLE;
	}
	b->result = json_pack("{s:s,s:s,s:I,s:o,s:o,s:o,s:b}", "bench", b->name,
	    "fault", b->fault, "kills",
	    (json_int_t)json_array_size(lists.failover), "failover_ms",
	    summary(lists.failover), "all_clients_ms", summary(lists.all),
	    "outage_ms", summary(lists.outage), "interrupted",
	    (int)(stop != 0));
	/* what was not read back is not known to be there */
	if (b->result != NULL && stop == 0)
		json_object_update_new(
		    b->result, json_pack("{s:I,s:I,s:I,s:I}", "acknowledged",
				   (json_int_t)count.acknowledged, "unknown",
				   (json_int_t)count.unknown, "errors",
				   (json_int_t)count.errors, "lost",
				   (json_int_t)count.lost));
	if (b->result != NULL)
		json_object_set_new(
		    b->result, "conditions", failover_conditions(b));
	return stop == 0 && count.lost > 0 ? 1 : 0;
}

/* ---- both --------------------------------------------------------------- */

static int
print(struct bench *b)
{
	int failed;

	if (b->result == NULL) {
		warnx("out of memory");
		return EX_OSERR;
	}
	json_object_set_new(b->result, "bench", json_string(b->name));
	failed = json_dumpf(
	    b->result, stdout, JSON_COMPACT | JSON_REAL_PRECISION(7));
	json_decref(b->result);
	if (failed < 0 || putchar('\n') == EOF || fflush(stdout) != 0) {
		warn("cannot write the result");
		return EX_IOERR;
	}
	return 0;
}

int
cmd_bench(int argc, char **argv)
{
	static struct bench b;
	struct errtext et;
	int status, err;

	if (argc > 1 && bench_steps_knows(argv[1]))
		return bench_steps(argc, argv);
	status = parse(&b, argc, argv);
	if (status >= 0)
		return status;
	if (b.run.history != NULL) {
		fprintf(stderr, "loadgen: bench records no history\n");
		return EX_USAGE;
	}
	catch_signals();
	err = lab_start(&b.lab, &b.lab_config, &stop, &et);
	if (err < 0) {
		if (err != -EINTR)
			warnx("%s", et.text);
		return err == -EINTR ? 128 + stop : EX_UNAVAILABLE;
	}
	b.run.endpoints = b.lab.endpoints;
	b.fsync = lab_fsync(&b.lab);
	status = is_failover(&b) ? failover(&b) : steady(&b);
	if (status <= 1) {
		err = print(&b);
		status = err != 0 ? err : status;
	}
	json_decref(b.fsync);
	if (lab_stop(&b.lab) < 0)
		warnx("cannot remove '%s'", b.lab.dir);
	return status;
}
