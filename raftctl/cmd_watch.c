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

/* Below the time after which the library takes a silent server for lost. */
#define WAIT_MS 700
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
    {"on-compacted", 0, "fail|resync", "when events are no longer kept"},
    {0},
};
enum { PREFIX, SINCE, CURSOR, INITIAL, ONCE, COUNT, STALL, ON_COMPACTED };

struct watch {
	struct cli *cli;
	const char *key, *cursor;
	char **handler; /* NULL: print */
	bool prefix, initial, resync;
	bool placed;	/* since is known */
	bool caught_up; /* an answer had no events */
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

static void
set_bytes(const char *name, json_t *event, const char *key)
{
	json_t *v = json_object_get(event, key);

	/* What is no text, or holds a NUL, cannot stand in a variable: it is
	 * on standard input. */
	if (json_is_string(v) &&
	    strlen(json_string_value(v)) == json_string_length(v))
		(void)setenv(name, json_string_value(v), 1);
	else
		(void)unsetenv(name);
}

static void
set_environment(json_t *event)
{
	char rev[24];

	(void)snprintf(rev, sizeof(rev), "%lld",
	    (long long)json_integer_value(json_object_get(event, "rev")));
	(void)setenv("RAFT_WATCH_REV", rev, 1);
	set_bytes("RAFT_WATCH_TYPE", event, "type");
	set_bytes("RAFT_WATCH_KEY", event, "key");
	set_bytes("RAFT_WATCH_VALUE", event, "value");
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
		set_environment(event);
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

static enum wire_status
ask_next(struct watch *w, struct client_answer *a)
{
	struct mp_buf b;
	enum wire_status status;

	cli_restart_clock(w->cli);
	mp_buf_init(&b);
	mp_put_array(&b, 2);
	mp_put_bin(&b, w->key, strlen(w->key));
	cli_put_options(
	    w->cli, &b, 2u + (w->prefix ? 1 : 0) + (w->placed ? 1 : 0));
	mp_put_kv_u64(&b, "wait", w->caught_up ? WAIT_MS : 0);
	mp_put_kv_bool(&b, "prev", true);
	if (w->prefix)
		mp_put_kv_bool(&b, "prefix", true);
	if (w->placed)
		mp_put_kv_u64(&b, "since", w->since);
	status = cli_ask(w->cli, "watch.next", &b, CLIENT_READ, UINT32_MAX, a);
	mp_buf_release(&b);
	return status;
}

/* The revision of the next event, without taking it; 0 if there is none. */
static uint64_t
next_rev(struct mp_cur events)
{
	struct mp_map m;
	uint64_t rev = 0;

	if (mp_read_mapping(&events, &m) == 0)
		(void)mp_get_u64(&m, "rev", &rev);
	return rev;
}

/* The events of an answer.  The cursor stands at a revision when all of that
 * were dealt with. */
static int
take_events(struct watch *w, struct mp_span raw)
{
	struct mp_cur c = mp_cur_span(raw), events;
	struct mp_map m;
	struct mp_span one;
	uint64_t rev, at = 0, before = w->since;
	uint32_t count = 0;
	bool was_placed = w->placed;
	int status = -1;

	if (mp_read_mapping(&c, &m) < 0 || mp_get_u64(&m, "rev", &rev) < 0 ||
	    mp_get(&m, "events", &events) < 0 ||
	    mp_read_array(&events, &count) < 0)
		return cli_fail(
		    w->cli, WIRE_PROTOCOL_ERROR, "the answer has no events");
	w->caught_up = count == 0;
	for (uint32_t i = 0; i < count && status < 0; i++) {
		json_t *event;

		if (mp_read_raw(&events, &one) < 0)
			break;
		event = cli_outcome_json(w->cli, one);
		at =
		    (uint64_t)json_integer_value(json_object_get(event, "rev"));
		if (at > w->since + 1) {
			w->since = at - 1;
			status = i == 0 ? -1 : write_cursor(w);
		}
		if (status < 0)
			status = deliver(w, event);
		else
			json_decref(event);
	}
	/* An end by --count leaves the rest for the next run. */
	if (status == 0 && w->left == 0)
		w->since = mp_done(&events)	   ? rev
			   : next_rev(events) > at ? at
						   : w->since;
	if (status < 0)
		w->since = rev;
	w->placed = true;
	if (w->since != before || !was_placed) {
		int written = write_cursor(w);

		if (written >= 0)
			return written;
	}
	return status;
}

static bool
is_stalled(const struct watch *w)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return w->stall_ms != 0 &&
	       (uint64_t)(now.tv_sec - w->last.tv_sec) * 1000 +
		       (uint64_t)(now.tv_nsec / 1000000) -
		       (uint64_t)(w->last.tv_nsec / 1000000) >=
		   w->stall_ms;
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
			status = deliver(w, j);
		}
		mp_buf_release(&a.result);
	}
	mp_buf_release(&after);
	if (status >= 0)
		return status;
	w->since = rev;
	w->placed = true;
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

static int
follow(struct watch *w)
{
	struct client_answer a;
	bool synced = w->initial;
	int status = -1;

	while (status < 0) {
		if (ask_next(w, &a) == WIRE_OK)
			status = take_events(
			    w, mp_span(a.result.data, a.result.len));
		else if (a.status == WIRE_COMPACTED)
			status = compacted(w, &a.error);
		else
			status = cli_error(w->cli, &a.error);
		mp_buf_release(&a.result);
		if (status < 0 && !synced && w->caught_up) {
			synced = true;
			status = say(w, "sync");
		}
		if (status < 0 && is_stalled(w))
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
	status = read_cursor(&w);
	if (status < 0 && w.initial && !w.placed)
		status = list_all(&w);
	if (status < 0)
		status = follow(&w);
	return status;
}
