/*
 * progress.c - how far long work has come: on a terminal, on SIGUSR1, or as
 * JSON lines; and the signals that end it.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "raftsnap/tool.h"

#define TERMINAL_MS 200
#define JSON_MS 1000
#define COLUMNS 60

volatile sig_atomic_t snaptool_signal;
static volatile sig_atomic_t asked;

static struct {
	const char *what; /* NULL: nothing is under way */
	uint64_t done, total;
	uint64_t began_ms, told_ms;
	bool is_terminal, is_json, is_quiet;
	bool drawn; /* a line stands on the terminal */
} progress;

static uint64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void
signal_cb(int sig)
{
	if (sig == SIGUSR1)
		asked = 1;
	else
		snaptool_signal = sig;
}

void
progress_init(void)
{
	struct sigaction sa = {.sa_handler = signal_cb};
	const char *how = snaptool.progress;

	(void)sigemptyset(&sa.sa_mask);
	(void)sigaction(SIGUSR1, &sa, NULL);
	sa.sa_flags = (int)SA_RESETHAND; /* the second one ends it at once */
	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
	(void)sigaction(SIGHUP, &sa, NULL);
	progress.is_json = how != NULL && strcmp(how, "json") == 0;
	progress.is_quiet = how != NULL && strcmp(how, "none") == 0;
	progress.is_terminal = !progress.is_json && !progress.is_quiet &&
			       isatty(STDERR_FILENO) == 1;
}

static void
tell_json(uint64_t ms, bool done)
{
	json_t *o = json_pack("{s:s,s:I,s:o,s:f,s:b}", "what", progress.what,
	    "bytes", (json_int_t)progress.done, "total",
	    progress.total > 0 ? json_integer((json_int_t)progress.total)
			       : json_null(),
	    "seconds", (double)ms / 1e3, "done", (int)done);

	(void)json_dumpf(o, stderr, JSON_COMPACT | JSON_REAL_PRECISION(6));
	(void)fputc('\n', stderr);
	json_decref(o);
}

static void
tell_text(uint64_t ms, const char *end)
{
	double mb = (double)progress.done / 1e6;
	char line[COLUMNS + 1];
	int n;

	n = snprintf(line, sizeof(line), "%s: %.1f MB", progress.what, mb);
	if (progress.total > 0)
		n += snprintf(line + n, sizeof(line) - (size_t)n,
		    " of %.1f, %d%%", (double)progress.total / 1e6,
		    (int)(100 * (double)progress.done /
			  (double)progress.total));
	if (ms > 0)
		(void)snprintf(line + n, sizeof(line) - (size_t)n,
		    ", %.1f MB/s", mb * 1e3 / (double)ms);
	fprintf(
	    stderr, "%s%-*s%s", *end == '\0' ? "\r" : "", COLUMNS, line, end);
}

void
progress_poke(void)
{
	if (asked == 0 || progress.what == NULL)
		return;
	asked = 0;
	if (progress.drawn)
		(void)fputc('\r', stderr);
	tell_text(now_ms() - progress.began_ms, "\n");
	progress.drawn = false;
}

void
progress_begin(const char *what, uint64_t total)
{
	progress.what = what;
	progress.done = 0;
	progress.total = total;
	progress.began_ms = progress.told_ms = now_ms();
}

void
progress_add(uint64_t bytes)
{
	uint64_t now, wait = progress.is_json ? JSON_MS : TERMINAL_MS;

	progress.done += bytes;
	progress_poke();
	if (!progress.is_json && !progress.is_terminal)
		return;
	now = now_ms();
	if (progress.what == NULL || now - progress.told_ms < wait)
		return;
	progress.told_ms = now;
	if (progress.is_json) {
		tell_json(now - progress.began_ms, false);
	} else {
		tell_text(now - progress.began_ms, "");
		progress.drawn = true;
	}
}

void
progress_end(void)
{
	if (progress.what == NULL)
		return;
	if (progress.is_json)
		tell_json(now_ms() - progress.began_ms, true);
	if (progress.drawn)
		fprintf(stderr, "\r%*s\r", COLUMNS, "");
	progress.drawn = false;
	progress.what = NULL;
}
