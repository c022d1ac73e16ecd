/*
 * cmd_watch.c - watch: changes as they happen, printed or handed to a
 * command.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "raftctl/cli.h"
#include "raftctl/units.h"

/* Signs of life that we want, and how long we live without. */
#define PROGRESS_MS 500
#define SILENCE_MS 2000
#define RETRY_MS_MIN 100 /* of a handler that failed */
#define RETRY_MS_MAX 5000

const struct cli_option cmd_watch_options[] = {
    {"prefix", 0, NULL, "all keys that begin with KEY"},
    {"since", 0, "REV", "begin behind this revision"},
    {"cursor", 0, "FILE", "begin where the file says, and keep it up to date"},
    {"initial", 0, NULL, "first what is there already"},
    {"once", 0, NULL, "end after the first event"},
    {"count", 0, "N", "end after N events"},
    {"stall", 0, "TIME", "end with status 124 when nothing comes for so long"},
    {"progress", 0, "TIME", "so often how far it has come, if nothing else"},
    {"on-compacted", 0, "fail|resync", "when events are no longer kept"},
    {0},
};
enum {
	PREFIX,
	SINCE,
	CURSOR,
	INITIAL,
	ONCE,
	COUNT,
	STALL,
	PROGRESS,
	ON_COMPACTED
};

struct watch {
	struct cli *cli;
	const char *key, *cursor;
	char **handler; /* NULL: print */
	bool prefix, initial, resync;
	bool placed; /* since is known */
	bool synced; /* said so */
	bool subscribed;
	uint64_t id; /* of the watch, at its server */
	uint64_t progress_ms;
	struct timespec heard, told;
	struct mp_span raw; /* the event in hand, as it came */
	uint64_t since;
	uint64_t left; /* events, UINT64_MAX: no end */
	uint64_t stall_ms;
	struct timespec last;
};

/* ---- options ---------------------------------------------------------- */

static int
take_option(struct cli *cli, int option, struct watch *w)
{
	switch (option) {
	case PREFIX:
		w->prefix = true;
		break;
	case SINCE:
		if (units_u64(optarg, &w->since) < 0)
			return cli_usage(
			    cli, "--since is a revision, not '%s'", optarg);
		w->placed = true;
		break;
	case CURSOR:
		w->cursor = optarg;
		break;
	case INITIAL:
		w->initial = true;
		break;
	case ONCE:
		w->left = 1;
		break;
	case COUNT:
		if (units_u64(optarg, &w->left) < 0 || w->left == 0)
			return cli_usage(cli,
			    "--count is a number from 1, not '%s'", optarg);
		break;
	case STALL:
		if (units_duration_ms(optarg, &w->stall_ms) < 0 ||
		    w->stall_ms == 0)
			return cli_usage(cli,
			    "--stall is a time as in 250ms, 5s or 2m, not '%s'",
			    optarg);
		break;
	case PROGRESS:
		if (units_duration_ms(optarg, &w->progress_ms) < 0 ||
		    w->progress_ms == 0)
			return cli_usage(cli,
			    "--progress is a time as in 250ms, 5s or 2m, "
			    "not '%s'",
			    optarg);
		break;
	case ON_COMPACTED:
		w->resync = strcmp(optarg, "resync") == 0;
		if (!w->resync && strcmp(optarg, "fail") != 0)
			return cli_usage(cli,
			    "--on-compacted is fail or resync, not '%s'",
			    optarg);
		break;
	}
	return -1;
}

static uint64_t
since_ms(const struct timespec *then)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)((now.tv_sec - then->tv_sec) * 1000 +
			  (now.tv_nsec - then->tv_nsec) / 1000000);
}

/* ---- the cursor ------------------------------------------------------- */

/* A file that is not there yet means from now on. */
static int
read_cursor(struct watch *w)
{
	char line[32] = "";
	FILE *f;

	if (w->cursor == NULL || w->placed)
		return -1;
	f = fopen(w->cursor, "re");
	if (f == NULL && errno == ENOENT)
		return -1;
	if (f == NULL)
		return cli_fail_file(w->cli, CLI_EXIT_INPUT, "open", w->cursor);
	if (fgets(line, sizeof(line), f) != NULL)
		line[strcspn(line, "\n")] = '\0';
	fclose(f);
	if (units_u64(line, &w->since) < 0)
		return cli_fail(
		    w->cli, WIRE_DATA, "'%s' holds no revision", w->cursor);
	w->placed = true;
	return -1;
}

/* The whole new file, or the whole old one, whenever we die. */
static int
write_cursor(struct watch *w)
{
	char path[PATH_MAX], line[32];
	int fd, len;
	bool good;

	if (w->cursor == NULL)
		return -1;
	if ((size_t)snprintf(path, sizeof(path), "%s.new", w->cursor) >=
	    sizeof(path))
		return cli_usage(w->cli, "the name of the cursor is too long");
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return cli_fail_file(w->cli, CLI_EXIT_IO, "create", path);
	len = snprintf(
	    line, sizeof(line), "%llu\n", (unsigned long long)w->since);
	good = write(fd, line, (size_t)len) == len && fsync(fd) == 0;
	good = close(fd) == 0 && good;
	if (!good || rename(path, w->cursor) < 0)
		return cli_fail_file(w->cli, CLI_EXIT_IO, "write", path);
	return -1;
}

/* ---- handlers --------------------------------------------------------- */

/* The very bytes; those with a NUL cannot stand in a variable, and nil is
 * none.  They are on standard input. */
static void
set_bytes(const char *name, const struct mp_map *event, const char *key)
{
	struct mp_span b;
	char *text;

	if (mp_get_bytes(event, key, &b, SIZE_MAX) < 0 ||
	    memchr(b.p, '\0', b.len) != NULL ||
	    (text = strndup((const char *)b.p, b.len)) == NULL) {
		(void)unsetenv(name);
		return;
	}
	(void)setenv(name, text, 1);
	free(text);
}

static void
set_environment(const struct watch *w, json_t *event)
{
	struct mp_cur c = mp_cur_span(w->raw);
	struct mp_map m;
	char rev[24];

	(void)snprintf(rev, sizeof(rev), "%lld",
	    (long long)json_integer_value(json_object_get(event, "rev")));
	(void)setenv("RAFT_WATCH_REV", rev, 1);
	(void)setenv("RAFT_WATCH_TYPE",
	    json_string_value(json_object_get(event, "type")), 1);
	if (mp_read_mapping(&c, &m) < 0)
		return;
	set_bytes("RAFT_WATCH_KEY", &m, "key");
	set_bytes("RAFT_WATCH_VALUE", &m, "value");
}

/* The line goes through a file, so that a handler that does not read cannot
 * hold us up.  The status of the handler, or 127. */
static int
run_handler(struct watch *w, json_t *event)
{
	FILE *f = tmpfile();
	int status;
	pid_t pid;

	if (f == NULL || json_dumpf(event, f, JSON_COMPACT) < 0 ||
	    fputc('\n', f) == EOF || fflush(f) == EOF ||
	    lseek(fileno(f), 0, SEEK_SET) < 0) {
		if (f != NULL)
			fclose(f);
		return 127;
	}
	pid = fork();
	if (pid == 0) {
		set_environment(w, event);
		if (dup2(fileno(f), STDIN_FILENO) >= 0)
			execvp(w->handler[0], w->handler);
		fprintf(stderr, "raftctl: cannot run '%s': %s\n", w->handler[0],
		    strerror(errno));
		_exit(errno == ENOENT ? 127 : 126);
	}
	fclose(f);
	if (pid < 0)
		return 127;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Until it succeeds; nothing behind it is handled before. */
static int
handle(struct watch *w, json_t *event)
{
	uint64_t wait_ms = RETRY_MS_MIN;
	int status;

	while ((status = run_handler(w, event)) != 0) {
		if (status == 126 || status == 127)
			return status;
		fprintf(stderr,
		    "raftctl: the handler ended with %d, it is run again\n",
		    status);
		(void)nanosleep(&(struct timespec){(time_t)(wait_ms / 1000),
				    (long)(wait_ms % 1000) * 1000000},
		    NULL);
		if (wait_ms < RETRY_MS_MAX)
			wait_ms *= 2;
	}
	return -1;
}

/* ---- events ----------------------------------------------------------- */

static int
print_line(struct watch *w, json_t *event)
{
	static const struct output_column columns[] = {
	    {"TYPE", "type"},
	    {"REV", "rev"},
	    {"KEY", "key"},
	    {"VALUE", "value"},
	    {0},
	};

	cli_print_one(w->cli, event,
	    w->cli->format == OUTPUT_JSON || w->cli->format == OUTPUT_FIELDS
		? NULL
		: columns);
	(void)fflush(stdout);
	return output_ok() ? -1 : 0;
}

/* Takes the reference.  Negative: go on; else the exit status. */
static int
deliver(struct watch *w, json_t *event)
{
	int status;

	(void)clock_gettime(CLOCK_MONOTONIC, &w->last);
	if (w->handler != NULL) {
		status = handle(w, event);
		json_decref(event);
	} else {
		status = print_line(w, event);
	}
	if (status < 0 && w->left != UINT64_MAX && --w->left == 0)
		status = 0;
	return status;
}

/* A line about the watch itself; handlers get events only. */
static int
say(struct watch *w, const char *type)
{
	json_t *j;

	if (w->handler != NULL)
		return -1;
	j = json_pack("{s:s, s:I, s:I, s:n, s:n, s:n}", "type", type, "rev",
	    (json_int_t)w->since, "group",
	    (json_int_t)(w->cli->group == 0 ? 1 : w->cli->group), "key",
	    "value", "prev");
	return print_line(w, j);
}

/* ---- asking ----------------------------------------------------------- */

/* Have a server begin where we stand; w->id is how it calls that. */
static enum wire_status
subscribe(struct watch *w, struct client_answer *a)
{
	struct mp_buf b;
	struct mp_cur c;
	enum wire_status status;

	cli_restart_clock(w->cli);
	mp_buf_init(&b);
	mp_put_array(&b, 2);
	mp_put_bin(&b, w->key, strlen(w->key));
	cli_put_options(
	    w->cli, &b, 2u + (w->prefix ? 1 : 0) + (w->placed ? 1 : 0));
	mp_put_kv_u64(&b, "progress", PROGRESS_MS);
	mp_put_kv_bool(&b, "prev", true);
	if (w->prefix)
		mp_put_kv_bool(&b, "prefix", true);
	if (w->placed)
		mp_put_kv_u64(&b, "since", w->since);
	status = cli_ask(w->cli, "watch", &b, CLIENT_READ, UINT32_MAX, a);
	mp_buf_release(&b);
	if (status != WIRE_OK)
		return status;
	client_sync_found(w->cli->sync);
	c = mp_cur(a->result.data, a->result.len);
	if (mp_read_u64(&c, &w->id) < 0) {
		a->error.status = WIRE_PROTOCOL_ERROR;
		(void)snprintf(a->error.message, sizeof(a->error.message),
		    "the answer is not the number of a watch");
		return WIRE_PROTOCOL_ERROR;
	}
	w->subscribed = true;
	(void)clock_gettime(CLOCK_MONOTONIC, &w->heard);
	return WIRE_OK;
}

/* The cursor stands at a revision when all of that were dealt with. */
static int
reached(struct watch *w, uint64_t rev)
{
	if (w->placed && rev <= w->since)
		return -1;
	w->since = rev;
	w->placed = true;
	return write_cursor(w);
}

/* A change.  more: others of the same revision follow. */
static int
take_change(struct watch *w, struct mp_span raw, uint64_t rev, bool more)
{
	int status, written;

	/* Everything before it is behind us. */
	if (rev > 0 && (status = reached(w, rev - 1)) >= 0)
		return status;
	w->raw = raw;
	status = deliver(w, cli_outcome_json(w->cli, raw));
	/* An end by --count inside a revision leaves it for the next run. */
	if (more || status > 0)
		return status;
	written = reached(w, rev);
	return written >= 0 ? written : status;
}

/* Its rev tells how far the watch has come, if nothing is half done. */
static int
take_sign(struct watch *w, const char *type, uint64_t rev)
{
	int status = reached(w, rev);

	if (status >= 0)
		return status;
	if (strcmp(type, "sync") == 0 && !w->synced) {
		w->synced = true;
		return say(w, "sync");
	}
	if (strcmp(type, "progress") == 0 && w->progress_ms != 0 &&
	    since_ms(&w->told) >= w->progress_ms) {
		(void)clock_gettime(CLOCK_MONOTONIC, &w->told);
		return say(w, "progress");
	}
	return -1;
}

static int compacted(struct watch *, const struct wire_error *);

/* The server has dropped us: it says where we stand, and why. */
static int
take_end(struct watch *w, const char *type, uint64_t rev)
{
	struct wire_error e = {.status = WIRE_COMPACTED};

	w->subscribed = false;
	if (strcmp(type, "end") == 0) {
		/* Behind what it could not send in time it is still there;
		 * a server that lost its leader may be alone with that. */
		client_sync_leave(w->cli->sync);
		return -1;
	}
	(void)snprintf(e.message, sizeof(e.message),
	    "revision %llu is no longer kept, the oldest is %llu",
	    (unsigned long long)w->since, (unsigned long long)rev);
	return compacted(w, &e);
}

/* [id, event, more] */
static int
take_notice(struct watch *w, const struct client_notice *n)
{
	struct mp_cur c = mp_cur(n->params.data, n->params.len), e;
	struct mp_span raw, type;
	uint32_t count;
	uint64_t id, rev;
	struct mp_map m;
	bool more = false;
	char name[16];

	if (!mp_span_eq(
		mp_span(n->method.data, n->method.len), "watch.event") ||
	    mp_read_array(&c, &count) < 0 || count < 2 ||
	    mp_read_u64(&c, &id) < 0 || mp_read_raw(&c, &raw) < 0 ||
	    (count > 2 && mp_read_bool(&c, &more) < 0))
		return -1; /* unknown ones are ignored */
	if (!w->subscribed || id != w->id)
		return -1;
	e = mp_cur_span(raw);
	if (mp_read_mapping(&e, &m) < 0 || mp_get_u64(&m, "rev", &rev) < 0 ||
	    mp_get_bytes(&m, "type", &type, sizeof(name) - 1) < 0)
		return cli_fail(
		    w->cli, WIRE_PROTOCOL_ERROR, "that is not an event");
	(void)clock_gettime(CLOCK_MONOTONIC, &w->heard);
	(void)snprintf(
	    name, sizeof(name), "%.*s", (int)type.len, (const char *)type.p);
	if (strcmp(name, "sync") == 0 || strcmp(name, "progress") == 0)
		return take_sign(w, name, rev);
	if (strcmp(name, "end") == 0 || strcmp(name, "compacted") == 0)
		return take_end(w, name, rev);
	return take_change(w, raw, rev, more);
}

/* What is there at one revision, as events; the watch goes on behind it. */
static int
list_all(struct watch *w)
{
	struct mp_buf after, b;
	struct client_answer a;
	struct mp_cur c, records, keys;
	struct mp_span raw, key = {NULL, 0};
	struct mp_map m, record;
	uint64_t rev = 0;
	uint32_t count = 0;
	bool more = true;
	int status = -1;

	mp_buf_init(&after);
	while (more && status < 0) {
		cli_restart_clock(w->cli);
		mp_buf_init(&b);
		mp_put_array(&b, 2);
		mp_put_bin(&b, w->key, strlen(w->key));
		cli_put_options(
		    w->cli, &b, (uint32_t)(rev != 0) + (after.len > 0 ? 1 : 0));
		if (rev != 0)
			mp_put_kv_u64(&b, "rev", rev);
		if (after.len > 0)
			mp_put_kv_bin(&b, "after", after.data, after.len);
		if (cli_call(w->cli, "list", &b, CLIENT_READ, &a) != WIRE_OK)
			status = wire_status_info(a.status)->exit;
		mp_buf_release(&b);
		c = mp_cur(a.result.data, a.result.len);
		if (status < 0 && (mp_read_mapping(&c, &m) < 0 ||
				      mp_get_u64(&m, "rev", &rev) < 0 ||
				      mp_get_bool(&m, "more", &more) < 0 ||
				      mp_get(&m, "records", &records) < 0 ||
				      mp_read_array(&records, &count) < 0))
			status = cli_fail(w->cli, WIRE_PROTOCOL_ERROR,
			    "the answer is not a page");
		while (status < 0 && count-- > 0 &&
		       mp_read_raw(&records, &raw) == 0) {
			json_t *j = cli_record_json(w->cli, raw);

			keys = mp_cur_span(raw);
			if (mp_read_mapping(&keys, &record) == 0)
				(void)mp_get_bytes(
				    &record, "key", &key, SIZE_MAX);
			mp_buf_reset(&after);
			mp_put_raw(&after, key.p, key.len);
			if (!w->prefix && (key.len != strlen(w->key))) {
				json_decref(j);
				more = false;
				continue;
			}
			(void)json_object_set_new(
			    j, "type", json_string("put"));
			(void)json_object_set(
			    j, "rev", json_object_get(j, "mod_rev"));
			(void)json_object_set_new(j, "prev", json_null());
			w->raw = raw;
			status = deliver(w, j);
		}
		mp_buf_release(&a.result);
	}
	mp_buf_release(&after);
	if (status >= 0)
		return status;
	w->since = rev;
	w->placed = true;
	w->synced = true;
	status = write_cursor(w);
	return status < 0 ? say(w, "sync") : status;
}

static int
compacted(struct watch *w, const struct wire_error *e)
{
	int status = say(w, "compacted");

	if (status >= 0)
		return status;
	return w->resync ? list_all(w) : cli_error(w->cli, e);
}

/* How long to wait for the next notification. */
static uint64_t
patience(const struct watch *w)
{
	uint64_t spent = since_ms(&w->last);

	if (w->stall_ms == 0 || w->stall_ms > spent + PROGRESS_MS)
		return PROGRESS_MS;
	return w->stall_ms > spent ? w->stall_ms - spent : 0;
}

/* Let go of a server of which nothing comes any more. */
static void
lose(struct watch *w)
{
	w->subscribed = false;
	client_sync_leave(w->cli->sync);
}

static int
listen_once(struct watch *w)
{
	struct client_notice n;
	int got = client_sync_next(w->cli->sync, patience(w), &n), status = -1;

	if (got == 1) {
		status = take_notice(w, &n);
		mp_buf_release(&n.method);
		mp_buf_release(&n.params);
		return status;
	}
	if (got < 0)
		w->subscribed = false;
	else if (since_ms(&w->heard) > SILENCE_MS)
		lose(w);
	return -1;
}

static int
follow(struct watch *w)
{
	struct client_answer a;
	int status = -1;

	while (status < 0) {
		if (w->subscribed) {
			status = listen_once(w);
		} else {
			if (subscribe(w, &a) != WIRE_OK)
				status = cli_error(w->cli, &a.error);
			mp_buf_release(&a.result);
		}
		if (status < 0 && w->stall_ms != 0 &&
		    since_ms(&w->last) >= w->stall_ms)
			status = cli_fail(
			    w->cli, WIRE_TIMEOUT, "nothing came in time");
	}
	return status;
}

int
cmd_watch(struct cli *cli, int argc, char **argv)
{
	struct watch w = {.cli = cli, .left = UINT64_MAX};
	int option, status;

	while ((option = cli_next(cli, argc, argv)) >= 0) {
		status = take_option(cli, option, &w);
		if (status >= 0)
			return status;
	}
	if (option == CLI_EXIT)
		return cli->status;
	if (optind == argc)
		return cli_usage(cli, "watch takes a key");
	w.key = argv[optind++];
	if (optind < argc && strcmp(argv[optind], "--") == 0)
		optind++;
	if (optind < argc)
		w.handler = argv + optind;
	if (w.key[0] == '\0' && !w.prefix)
		return cli_usage(cli, "an empty key goes with --prefix");
	(void)clock_gettime(CLOCK_MONOTONIC, &w.last);
	w.told = w.last;
	status = read_cursor(&w);
	if (status < 0 && w.initial && !w.placed)
		status = list_all(&w);
	if (status < 0)
		status = follow(&w);
	return status;
}
