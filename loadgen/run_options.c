/*
 * run_options.c - what `loadgen run` was asked to do.
 */
#include "loadgen/run_options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "raftctl/wire.h"

const char *const run_read_names[RUN_READS] = {
    "linearizable", "lease", "stale"};
const char *const run_target_names[RUN_TARGETS] = {"any", "leader"};
static const char *const progress_names[RUN_PROGRESSES] = {
    "text", "json", "none"};

enum {
	OPT_CLIENTS = 256,
	OPT_PIPELINE,
	OPT_CONNECTIONS,
	OPT_RATE,
	OPT_TIME,
	OPT_OPS,
	OPT_WARMUP,
	OPT_TIMEOUT,
	OPT_MIX,
	OPT_PRESET,
	OPT_DIST,
	OPT_KEYS,
	OPT_PREFIX,
	OPT_VALUE_SIZE,
	OPT_LOAD,
	OPT_READ,
	OPT_TARGET,
	OPT_SEED,
	OPT_HISTORY,
	OPT_PROGRESS,
	OPT_HELP,
};

static const struct {
	struct option opt;
	const char *arg, *help;
} rows[] = {
    {{"endpoints", required_argument, NULL, 's'}, "ADDR,...",
	"servers (RAFT_ENDPOINTS)"},
    {{"clients", required_argument, NULL, OPT_CLIENTS}, "N",
	"clients, each waits for its answers (1)"},
    {{"pipeline", required_argument, NULL, OPT_PIPELINE}, "N",
	"operations a client has open (1)"},
    {{"connections", required_argument, NULL, OPT_CONNECTIONS}, "N",
	"connections that the clients share (16, or fewer clients)"},
    {{"rate", required_argument, NULL, OPT_RATE}, "R",
	"open loop: so many operations start each second"},
    {{"time", required_argument, NULL, OPT_TIME}, "D",
	"how long to measure (10s)"},
    {{"ops", required_argument, NULL, OPT_OPS}, "N",
	"measure so many operations instead"},
    {{"warmup", required_argument, NULL, OPT_WARMUP}, "D",
	"run so long before measuring (1s; with --ops 0s)"},
    {{"timeout", required_argument, NULL, OPT_TIMEOUT}, "D",
	"an operation is given up after (5s)"},
    {{"mix", required_argument, NULL, OPT_MIX}, "OP=N,...",
	"put get delete cas append insert scan rmw (put=50,get=50)"},
    {{"preset", required_argument, NULL, OPT_PRESET}, "NAME",
	"ycsb-a to ycsb-f: mix and distribution, with --load"},
    {{"dist", required_argument, NULL, OPT_DIST}, "NAME",
	"keys: uniform, zipf, seq, latest (uniform)"},
    {{"keys", required_argument, NULL, OPT_KEYS}, "N",
	"how many keys there are (100000)"},
    {{"prefix", required_argument, NULL, OPT_PREFIX}, "TEXT",
	"keys are this and a number of eight digits"},
    {{"value-size", required_argument, NULL, OPT_VALUE_SIZE}, "SIZE",
	"bytes of a value (256)"},
    {{"load", no_argument, NULL, OPT_LOAD}, NULL,
	"put every key once before anything else"},
    {{"read", required_argument, NULL, OPT_READ}, "MODE",
	"linearizable, lease or stale (linearizable)"},
    {{"target", required_argument, NULL, OPT_TARGET}, "WHICH",
	"connect to any server or to the leader (any)"},
    {{"seed", required_argument, NULL, OPT_SEED}, "N",
	"of the random choices (1)"},
    {{"history", required_argument, NULL, OPT_HISTORY}, "FILE",
	"record all operations for loadgen check"},
    {{"progress", required_argument, NULL, OPT_PROGRESS}, "HOW",
	"text, json or none, each second on stderr (text)"},
    {{"help", no_argument, NULL, OPT_HELP}, NULL, "this text"},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

void
run_usage(FILE *to)
{
	char left[48];
	size_t i;

	fprintf(to, "usage: loadgen run [-s ADDR,...] [options]\n");
	for (i = 0; i < ROWS; i++) {
		(void)snprintf(left, sizeof(left), "--%s%s%s", rows[i].opt.name,
		    rows[i].arg != NULL ? " " : "",
		    rows[i].arg != NULL ? rows[i].arg : "");
		fprintf(to, "  %-22s %s\n", left, rows[i].help);
	}
}

static int
bad(const char *option, const char *arg, const char *why)
{
	fprintf(stderr, "loadgen: --%s '%s': %s\n", option, arg, why);
	return EX_USAGE;
}

/* Digits and an optional unit; *rest is what stands behind the digits. */
static int
number(const char *text, uint64_t *v, const char **rest)
{
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*v = strtoull(text, &end, 10);
	*rest = end;
	return errno != 0 ? -EINVAL : 0;
}

static int
parse_count(const char *name, const char *arg, uint64_t min, uint64_t max,
    uint64_t *out)
{
	const char *rest;
	uint64_t v;

	if (number(arg, &v, &rest) < 0 || *rest != '\0')
		return bad(name, arg, "not a number");
	if (v < min || v > max) {
		fprintf(stderr, "loadgen: --%s '%s': not in %llu..%llu\n", name,
		    arg, (unsigned long long)min, (unsigned long long)max);
		return EX_USAGE;
	}
	*out = v;
	return -1;
}

static int
parse_count32(const char *name, const char *arg, uint32_t min, uint32_t max,
    uint32_t *out)
{
	uint64_t v;
	int r = parse_count(name, arg, min, max, &v);

	if (r < 0)
		*out = (uint32_t)v;
	return r;
}

static int
parse_duration(const char *name, const char *arg, uint64_t *ms)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
	const char *rest;
	uint64_t v;
	size_t i;

	if (number(arg, &v, &rest) < 0 || v > UINT32_MAX)
		return bad(name, arg, "not a duration, such as 250ms or 5s");
	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(rest, units[i].unit) == 0) {
			*ms = v * units[i].ms;
			return -1;
		}
	}
	return bad(name, arg, "a duration needs its unit: ms, s, m or h");
}

static int
parse_size(const char *name, const char *arg, uint32_t max, uint32_t *out)
{
	static const char units[] = "KMG";
	const char *rest, *unit;
	uint64_t v;

	if (number(arg, &v, &rest) < 0)
		return bad(name, arg, "not a size, such as 256 or 4K");
	if (*rest != '\0') {
		unit = strchr(units, *rest);
		if (unit == NULL || rest[1] != '\0' || v > max)
			return bad(name, arg, "not a size, such as 256 or 4K");
		v <<= 10 * (unit - units + 1);
	}
	if (v > max)
		return bad(name, arg, "too large");
	*out = (uint32_t)v;
	return -1;
}

static int
parse_name(const char *name, const char *arg, const char *const *names,
    unsigned count, unsigned *out)
{
	unsigned i;

	for (i = 0; i < count; i++) {
		if (strcmp(arg, names[i]) == 0) {
			*out = i;
			return -1;
		}
	}
	return bad(name, arg, "no such choice");
}

static int
parse_rate(const char *arg, double *rate)
{
	char *end;

	errno = 0;
	*rate = strtod(arg, &end);
	if (errno != 0 || end == arg || *end != '\0' || !(*rate > 0) ||
	    *rate > 1e9)
		return bad("rate", arg, "not operations a second");
	return -1;
}

/* Keys stand in histories as they are. */
static int
parse_prefix(const char *arg, const char **prefix)
{
	const char *p;

	for (p = arg; *p != '\0'; p++)
		if (*p < ' ' || *p > '~' || *p == '"' || *p == '\\')
			return bad("prefix", arg,
			    "only printable ASCII without \" and \\");
	if (strlen(arg) > RUN_PREFIX_MAX)
		return bad("prefix", arg, "too long");
	*prefix = arg;
	return -1;
}

static int
parse_work(int c, const char *arg, struct run_options *o)
{
	struct errtext et;
	int r;

	if (c == OPT_MIX) {
		r = work_parse_mix(arg, &o->work, &et);
	} else if (c == OPT_DIST) {
		r = work_parse_dist(arg, &o->work, &et);
	} else {
		r = work_parse_preset(arg, &o->work, &et);
		o->load = true;
	}
	if (r == 0)
		return -1;
	fprintf(stderr, "loadgen: %s\n", et.text);
	return EX_USAGE;
}

static int
parse_one(int c, const char *name, const char *arg, struct run_options *o)
{
	unsigned pick;
	uint64_t n;
	int r;

	switch (c) {
	case 's':
		o->endpoints = arg;
		return -1;
	case OPT_CLIENTS:
		return parse_count32(name, arg, 1, RUN_SLOTS_MAX, &o->clients);
	case OPT_PIPELINE:
		return parse_count32(name, arg, 1, RUN_SLOTS_MAX, &o->pipeline);
	case OPT_CONNECTIONS:
		return parse_count32(
		    name, arg, 1, RUN_LINKS_MAX, &o->connections);
	case OPT_RATE:
		return parse_rate(arg, &o->rate);
	case OPT_TIME:
		return parse_duration(name, arg, &o->time_ms);
	case OPT_OPS:
		return parse_count(name, arg, 1, INT64_MAX, &o->ops);
	case OPT_WARMUP:
		return parse_duration(name, arg, &o->warmup_ms);
	case OPT_TIMEOUT:
		r = parse_duration(name, arg, &n);
		if (r < 0 && (n == 0 || n > 3600000))
			return bad(name, arg, "not in 1ms..1h");
		o->timeout_ms = r < 0 ? (uint32_t)n : o->timeout_ms;
		return r;
	case OPT_KEYS:
		return parse_count(name, arg, 1, WORK_KEYS_MAX, &o->work.keys);
	case OPT_SEED:
		return parse_count(name, arg, 0, UINT64_MAX, &o->work.seed);
	case OPT_VALUE_SIZE:
		return parse_size(
		    name, arg, WIRE_VALUE_LEN_MAX, &o->value_size);
	case OPT_PREFIX:
		return parse_prefix(arg, &o->prefix);
	case OPT_HISTORY:
		o->history = arg;
		return -1;
	case OPT_LOAD:
		o->load = true;
		return -1;
	case OPT_READ:
		r = parse_name(name, arg, run_read_names, RUN_READS, &pick);
		o->read = r < 0 ? (enum run_read)pick : o->read;
		return r;
	case OPT_TARGET:
		r = parse_name(name, arg, run_target_names, RUN_TARGETS, &pick);
		o->target = r < 0 ? (enum run_target)pick : o->target;
		return r;
	case OPT_PROGRESS:
		r = parse_name(
		    name, arg, progress_names, RUN_PROGRESSES, &pick);
		o->progress = r < 0 ? (enum run_progress)pick : o->progress;
		return r;
	case OPT_HELP:
		run_usage(stdout);
		return 0;
	default: /* mix, preset, dist */
		return parse_work(c, arg, o);
	}
}

static void
defaults(struct run_options *o)
{
	memset(o, 0, sizeof(*o));
	o->endpoints = getenv("RAFT_ENDPOINTS");
	o->clients = o->pipeline = 1;
	o->time_ms = 10000;
	o->warmup_ms = UINT64_MAX;
	o->timeout_ms = 5000;
	o->work.share[WORK_PUT] = o->work.share[WORK_GET] = 50;
	o->work.keys = 100000;
	o->work.seed = 1;
	o->value_size = 256;
	o->prefix = "";
}

/* What no single option shows. */
static int
judge(struct run_options *o)
{
	if (o->endpoints == NULL || o->endpoints[0] == '\0') {
		fprintf(stderr,
		    "loadgen: no servers: give -s or set RAFT_ENDPOINTS\n");
		return EX_USAGE;
	}
	if ((uint64_t)o->clients * o->pipeline > RUN_SLOTS_MAX) {
		fprintf(stderr,
		    "loadgen: clients times pipeline is at most %u\n",
		    RUN_SLOTS_MAX);
		return EX_USAGE;
	}
	if (o->history != NULL && o->work.share[WORK_SCAN] > 0) {
		fprintf(stderr, "loadgen: a scan cannot be recorded\n");
		return EX_USAGE;
	}
	if (o->connections == 0)
		o->connections = 16;
	if (o->connections > o->clients)
		o->connections = o->clients;
	if (o->warmup_ms == UINT64_MAX)
		o->warmup_ms = o->ops > 0 ? 0 : 1000;
	return -1;
}

int
run_options_parse(int argc, char **argv, struct run_options *o)
{
	struct option opts[ROWS + 1] = {0};
	int c, at = 0, r;
	size_t i;

	for (i = 0; i < ROWS; i++)
		opts[i] = rows[i].opt;
	defaults(o);
	optind = 0; /* main has not used it, but another call may have */
	while ((c = getopt_long(argc, argv, "s:", opts, &at)) != -1) {
		if (c == '?') {
			run_usage(stderr);
			return EX_USAGE;
		}
		r = parse_one(
		    c, c == 's' ? "endpoints" : opts[at].name, optarg, o);
		if (r >= 0)
			return r;
	}
	if (optind < argc) {
		fprintf(stderr, "loadgen: '%s' is one argument too many\n",
		    argv[optind]);
		return EX_USAGE;
	}
	return judge(o);
}
