/*
 * cmd_check.c - loadgen check: judges a history.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "loadgen/commands.h"
#include "loadgen/history.h"
#include "loadgen/lincheck.h"
#include "loadgen/linhtml.h"
#include "loadgen/ordercheck.h"
#include "raftctl/output.h"
#include "raftctl/units.h"

#define MEM_DEFAULT ((size_t)2 << 30)
#define TIME_DEFAULT_MS (5u * 60 * 1000)
#define EX_VIOLATION 1

struct check {
	const char *file;
	const char *html;
	bool json, order, initial_any, is_register;
	size_t mem_max;
	uint64_t time_max_ms;
	uint64_t start_ns;
	struct membudget budget;
	struct history h;
};

/* The answer of either judge. */
struct answer {
	enum lincheck_verdict verdict;
	const char *why;
	const char *limit; /* that was reached, or NULL */
	size_t keys_undecided;
	uint64_t configs;
	const size_t *window;
	size_t window_n, culprit;
};

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static bool
is_expired(void *arg)
{
	const struct check *c = arg;

	return (now_ns() - c->start_ns) / 1000000u >= c->time_max_ms;
}

/* An error as the line that scripts or people read; returns the status. */
static int __attribute__((format(printf, 4, 5)))
fail(const struct check *c, int status, const char *code, const char *fmt, ...)
{
	char text[512];
	json_t *o;
	va_list ap;
	char *s;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!c->json) {
		fprintf(stderr, "loadgen: %s\n", text);
		return status;
	}
	o = json_pack("{s:{s:s,s:i,s:b,s:s,s:s}}", "error", "code", code,
	    "exit", status, "retry", 0, "message", text, "cause", text);
	s = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
	fprintf(stderr, "%s\n", s != NULL ? s : "{\"error\":{}}");
	free(s);
	json_decref(o);
	return status;
}

/* --- arguments --- */

static int
parse_size(const char *s, size_t *out)
{
	uint64_t v;

	if (units_size(s, &v) < 0 || v > SIZE_MAX / 2)
		return -EINVAL;
	*out = (size_t)v;
	return 0;
}

static int
set_output(struct check *c, const char *s)
{
	if (strcmp(s, "json") == 0)
		c->json = true;
	else if (strcmp(s, "text") == 0)
		c->json = false;
	else
		return -EINVAL;
	return 0;
}

static int
choose_word(const char *s, const char *no, const char *yes, bool *out)
{
	if (strcmp(s, no) != 0 && strcmp(s, yes) != 0)
		return -EINVAL;
	*out = strcmp(s, yes) == 0;
	return 0;
}

enum {
	OPT_HTML = 256,
	OPT_INITIAL,
	OPT_MAX_MEM,
	OPT_MAX_TIME,
	OPT_MODEL,
	OPT_ORDER,
	OPT_HELP,
};

static const struct {
	struct option opt;
	const char *arg, *help;
} rows[] = {
    {{"json", no_argument, NULL, 'j'}, NULL, "-j: the result as JSON"},
    {{"output", required_argument, NULL, 'o'}, "FORMAT",
	"-o: text or json (text on a terminal)"},
    {{"html", required_argument, NULL, OPT_HTML}, "FILE",
	"write a page that shows the violation"},
    {{"initial", required_argument, NULL, OPT_INITIAL}, "WHAT",
	"stood under the keys before: absent or any (absent)"},
    {{"max-mem", required_argument, NULL, OPT_MAX_MEM}, "SIZE",
	"use no more memory (2G)"},
    {{"max-time", required_argument, NULL, OPT_MAX_TIME}, "D",
	"take no more time (5m)"},
    {{"model", required_argument, NULL, OPT_MODEL}, "NAME",
	"kv or register (kv)"},
    {{"order", no_argument, NULL, OPT_ORDER}, NULL,
	"check the order that servers claim by revisions"},
    {{"help", no_argument, NULL, OPT_HELP}, NULL, "this text"},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static void
usage(FILE *to)
{
	char left[48];
	size_t i;

	fprintf(to, "usage: loadgen check [options] HISTORY\n");
	for (i = 0; i < ROWS; i++) {
		(void)snprintf(left, sizeof(left), "--%s%s%s", rows[i].opt.name,
		    rows[i].arg != NULL ? " " : "",
		    rows[i].arg != NULL ? rows[i].arg : "");
		fprintf(to, "  %-22s %s\n", left, rows[i].help);
	}
}

static int
parse_option(struct check *c, int opt)
{
	switch (opt) {
	case 'j':
		c->json = true;
		return 0;
	case 'o':
		return set_output(c, optarg);
	case OPT_HTML:
		c->html = optarg;
		return 0;
	case OPT_INITIAL:
		return choose_word(optarg, "absent", "any", &c->initial_any);
	case OPT_MAX_MEM:
		return parse_size(optarg, &c->mem_max);
	case OPT_MAX_TIME:
		return units_duration_ms(optarg, &c->time_max_ms);
	case OPT_MODEL:
		return choose_word(optarg, "kv", "register", &c->is_register);
	case OPT_ORDER:
		c->order = true;
		return 0;
	default:
		return -ENOENT;
	}
}

/* -1: go on; else the exit status. */
static int
parse(struct check *c, int argc, char **argv)
{
	const char *output = getenv("RAFT_OUTPUT");
	struct option opts[ROWS + 1] = {0};
	int opt, at = 0, err;
	size_t i;

	for (i = 0; i < ROWS; i++)
		opts[i] = rows[i].opt;
	c->json = !isatty(STDOUT_FILENO);
	if (output != NULL && set_output(c, output) < 0) {
		warnx("unknown RAFT_OUTPUT '%s'", output);
		return EX_USAGE;
	}
	optind = 0; /* main has not used it, but another call may have */
	while ((opt = getopt_long(argc, argv, "+jo:", opts, &at)) != -1) {
		if (opt == OPT_HELP) {
			usage(stdout);
			return 0;
		}
		err = parse_option(c, opt);
		if (err == -EINVAL)
			warnx("bad value '%s' of --%s", optarg,
			    opt == 'o' ? "output" : opts[at].name);
		if (err < 0) {
			usage(stderr);
			return EX_USAGE;
		}
	}
	if (argc - optind != 1) {
		usage(stderr);
		return EX_USAGE;
	}
	c->file = argv[optind];
	return -1;
}

/* --- what is printed --- */

static bool
is_utf8(const struct intern_item *it)
{
	json_t *s = json_stringn((const char *)it->data, it->len);
	bool yes = s != NULL;

	json_decref(s);
	return yes;
}

/* The bytes as one JSON value, or null. */
static json_t *
item_json(const struct intern_item *it, bool as_b64)
{
	json_t *o, *v = NULL;

	if (it == NULL)
		return json_null();
	o = json_object();
	if (o != NULL && output_set_bytes(o, "v", mp_span(it->data, it->len),
			     as_b64 ? OUTPUT_BASE64 : OUTPUT_AUTO) == 0)
		v = json_incref(json_object_get(o, as_b64 ? "v_b64" : "v"));
	json_decref(o);
	return v;
}

static const struct intern_item *
value_of(const struct history *h, uint32_t value)
{
	return value != HISTORY_NULL ? &h->values.items[value] : NULL;
}

static void
set_value(json_t *o, const struct history *h, const struct history_op *op)
{
	const struct intern_item *a, *b = NULL;
	bool as_b64;
	json_t *v;

	a = value_of(h, op->f == HISTORY_GET ? op->out : op->arg);
	if (op->f == HISTORY_CAS)
		b = value_of(h, op->arg2);
	as_b64 = (a != NULL && !is_utf8(a)) || (b != NULL && !is_utf8(b));
	v = item_json(a, as_b64);
	if (op->f == HISTORY_CAS)
		v = json_pack("[o,o]", v, item_json(b, as_b64));
	json_object_set_new(o, as_b64 ? "value_b64" : "value", v);
}

static json_t *
time_json(uint64_t ns)
{
	return ns != HISTORY_NO_TIME ? json_integer((json_int_t)ns)
				     : json_null();
}

static json_t *
op_json(const struct history *h, const struct history_op *op)
{
	static const char *const results[] = {"info", "ok", "fail"};
	json_t *o = json_object();

	json_object_set_new(
	    o, "process", json_integer((json_int_t)op->process));
	json_object_set_new(o, "f", json_string(history_f_name(op->f)));
	set_value(o, h, op);
	json_object_set_new(o, "type", json_string(results[op->result]));
	json_object_set_new(o, "swapped",
	    op->f == HISTORY_CAS && op->result == HISTORY_OK
		? json_boolean(op->swapped)
		: json_null());
	json_object_set_new(o, "rev",
	    op->has_rev ? json_integer((json_int_t)op->rev) : json_null());
	json_object_set_new(
	    o, "invoke_line", json_integer((json_int_t)op->call));
	json_object_set_new(o, "complete_line",
	    op->ret != HISTORY_NEVER ? json_integer((json_int_t)op->ret)
				     : json_null());
	json_object_set_new(o, "invoke_time", time_json(op->call_ns));
	json_object_set_new(o, "complete_time", time_json(op->ret_ns));
	return o;
}

static json_t *
detail_json(const struct check *c, const struct answer *a)
{
	const struct intern_item *key;
	json_t *o, *window;
	size_t i;

	if (a->window_n == 0)
		return json_null();
	o = json_object();
	key = &c->h.keys.items[c->h.ops[a->culprit].key];
	json_object_set_new(
	    o, is_utf8(key) ? "key" : "key_b64", item_json(key, !is_utf8(key)));
	json_object_set_new(o, "why", json_string(a->why));
	json_object_set_new(o, "line",
	    json_integer((json_int_t)(c->h.ops[a->culprit].ret != HISTORY_NEVER
					  ? c->h.ops[a->culprit].ret
					  : c->h.ops[a->culprit].call)));
	window = json_array();
	for (i = 0; i < a->window_n; i++)
		json_array_append_new(
		    window, op_json(&c->h, &c->h.ops[a->window[i]]));
	json_object_set_new(o, "window", window);
	return o;
}

static double
seconds(const struct check *c)
{
	return (double)((now_ns() - c->start_ns) / 1000) / 1e6;
}

static void
print_json(const struct check *c, const struct answer *a)
{
	json_t *o = json_object();

	json_object_set_new(
	    o, "verdict", json_string(lincheck_verdict_name(a->verdict)));
	json_object_set_new(
	    o, "mode", json_string(c->order ? "order" : "search"));
	json_object_set_new(o, "ops", json_integer((json_int_t)c->h.ops_n));
	json_object_set_new(
	    o, "keys", json_integer((json_int_t)c->h.keys.items_n));
	json_object_set_new(
	    o, "keys_undecided", json_integer((json_int_t)a->keys_undecided));
	json_object_set_new(o, "configs", json_integer((json_int_t)a->configs));
	json_object_set_new(o, "seconds", json_real(seconds(c)));
	json_object_set_new(
	    o, "limit", a->limit != NULL ? json_string(a->limit) : json_null());
	json_object_set_new(o, "detail", detail_json(c, a));
	json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
	putchar('\n');
	json_decref(o);
}

static void
print_text(const struct check *c, const struct answer *a)
{
	json_t *value;
	size_t i;
	char *s;

	printf("%s: %zu operations, %u keys, %.2f s\n",
	    lincheck_verdict_name(a->verdict), c->h.ops_n, c->h.keys.items_n,
	    seconds(c));
	if (a->limit != NULL)
		printf("limit: %s, %zu keys undecided\n", a->limit,
		    a->keys_undecided);
	if (a->window_n == 0)
		return;
	value = item_json(&c->h.keys.items[c->h.ops[a->culprit].key],
	    !is_utf8(&c->h.keys.items[c->h.ops[a->culprit].key]));
	s = json_dumps(value, JSON_ENCODE_ANY);
	printf("key %s: %s\n", s != NULL ? s : "", a->why);
	free(s);
	json_decref(value);
	for (i = 0; i < a->window_n; i++) {
		value = op_json(&c->h, &c->h.ops[a->window[i]]);
		s = json_dumps(value, JSON_COMPACT);
		printf("%s%s\n", a->window[i] == a->culprit ? "> " : "  ",
		    s != NULL ? s : "");
		free(s);
		json_decref(value);
	}
}

static int
write_html(const struct check *c, const struct answer *a)
{
	struct linhtml_view view;
	FILE *f;
	int err;

	memset(&view, 0, sizeof(view));
	view.title = c->file;
	view.verdict = lincheck_verdict_name(a->verdict);
	view.why = a->why;
	view.window = a->window;
	view.window_n = a->window_n;
	view.culprit = a->culprit;
	f = fopen(c->html, "we");
	if (f == NULL)
		return fail(c, EX_CANTCREAT, "CANNOT_CREATE",
		    "cannot create '%s': %s", c->html, strerror(errno));
	err = linhtml_write(f, &c->h, &view);
	if (fclose(f) != 0 || err < 0)
		return fail(c, EX_IOERR, "IO", "cannot write '%s'", c->html);
	return 0;
}

/* --- judging --- */

static int
finish(const struct check *c, const struct answer *a)
{
	int status = 0;

	if (c->html != NULL)
		status = write_html(c, a);
	if (c->json)
		print_json(c, a);
	else
		print_text(c, a);
	if (fflush(stdout) != 0 && errno != EPIPE)
		status = fail(
		    c, EX_IOERR, "IO", "cannot write: %s", strerror(errno));
	if (status != 0)
		return status;
	switch (a->verdict) {
	case LINCHECK_OK:
		return 0;
	case LINCHECK_VIOLATION:
		return EX_VIOLATION;
	case LINCHECK_UNDECIDED:
		break;
	}
	return fail(c, EX_TEMPFAIL, "UNDECIDED", "undecided: %s",
	    a->limit != NULL ? a->limit : a->why);
}

static int
judge_search(struct check *c)
{
	static const char *const limits[] = {NULL, "max-time", "max-mem", NULL};
	struct lincheck_opts opts;
	struct lincheck_result res;
	struct answer a;
	int status;

	memset(&opts, 0, sizeof(opts));
	opts.initial_any = c->initial_any;
	opts.expired_cb = is_expired;
	opts.expired_arg = c;
	lincheck(&c->h, &opts, &res);
	memset(&a, 0, sizeof(a));
	a.verdict = res.verdict;
	a.limit = limits[res.limit];
	a.keys_undecided = res.keys_undecided;
	a.configs = res.configs;
	a.window = res.window;
	a.window_n = res.window_n;
	a.culprit = res.culprit;
	if (res.verdict == LINCHECK_VIOLATION)
		a.why = "no order of these operations explains their answers";
	else if (res.verdict == LINCHECK_UNDECIDED)
		a.why = "a limit was reached before all keys were judged";
	status = finish(c, &a);
	lincheck_release(&c->h, &res);
	return status;
}

static int
judge_order(struct check *c)
{
	struct ordercheck_result res;
	struct answer a;

	memset(&a, 0, sizeof(a));
	if (ordercheck(&c->h, &res) < 0) {
		a.verdict = LINCHECK_UNDECIDED;
		a.limit = "max-mem";
		a.why = "a limit was reached";
		a.keys_undecided = c->h.keys.items_n;
		return finish(c, &a);
	}
	a.verdict = res.verdict;
	a.why = res.why;
	a.window = res.window;
	a.window_n = res.window_n;
	a.keys_undecided = res.verdict == LINCHECK_UNDECIDED;
	if (res.window_n > 0)
		a.culprit = res.window[res.window_n - 1];
	return finish(c, &a);
}

static int
read_history(struct check *c, int fd)
{
	struct history_read_opts opts;
	struct errtext et = {""};
	struct answer a;
	int err;

	memset(&opts, 0, sizeof(opts));
	opts.keyless = opts.register_only = c->is_register;
	opts.expired_cb = is_expired;
	opts.expired_arg = c;
	err = history_read(&c->h, fd, &opts, &et);
	switch (err) {
	case 0:
		return c->order ? judge_order(c) : judge_search(c);
	case -EBADMSG:
		return fail(
		    c, EX_DATAERR, "BAD_DATA", "'%s': %s", c->file, et.text);
	case -ENOMEM:
	case -ETIMEDOUT:
		memset(&a, 0, sizeof(a));
		a.verdict = LINCHECK_UNDECIDED;
		a.limit = err == -ENOMEM ? "max-mem" : "max-time";
		a.why = "a limit was reached while reading";
		a.keys_undecided = c->h.keys.items_n;
		return finish(c, &a);
	case -EISDIR:
		return fail(c, EX_NOINPUT, "NO_INPUT", "cannot read '%s': %s",
		    c->file, strerror(-err));
	default:
		return fail(c, EX_IOERR, "IO", "cannot read '%s': %s", c->file,
		    strerror(-err));
	}
}

int
cmd_check(int argc, char **argv)
{
	struct check c;
	int status, fd = STDIN_FILENO;

	memset(&c, 0, sizeof(c));
	c.mem_max = MEM_DEFAULT;
	c.time_max_ms = TIME_DEFAULT_MS;
	c.start_ns = now_ns();
	status = parse(&c, argc, argv);
	if (status >= 0)
		return status;
	if (strcmp(c.file, "-") != 0)
		fd = open(c.file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(&c, EX_NOINPUT, "NO_INPUT", "cannot open '%s': %s",
		    c.file, strerror(errno));
	c.budget.max = c.mem_max;
	history_init(&c.h, &c.budget);
	status = read_history(&c, fd);
	history_release(&c.h);
	if (fd != STDIN_FILENO)
		(void)close(fd);
	return status;
}
