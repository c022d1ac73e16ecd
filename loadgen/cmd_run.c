/*
 * cmd_run.c - loadgen run.
 */
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>

#include "loadgen/commands.h"
#include "loadgen/conditions.h"
#include "loadgen/run.h"

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
	(void)signal(SIGPIPE, SIG_IGN);
	/* An open loop starts operations on the microsecond. */
	(void)prctl(PR_SET_TIMERSLACK, 1000);
}

static int
print_result(const struct run *r)
{
	json_t *j = conditions_result(r, stop != 0);
	int failed;

	if (j == NULL) {
		warnx("out of memory");
		return EX_OSERR;
	}
	failed = json_dumpf(j, stdout, JSON_COMPACT | JSON_REAL_PRECISION(7));
	json_decref(j);
	if (failed < 0 || putchar('\n') == EOF || fflush(stdout) != 0) {
		warn("cannot write the result");
		return EX_IOERR;
	}
	return 0;
}

/* The options are good and the servers known. */
static int
run(const struct run_options *o, struct endpoint *endpoints, unsigned count)
{
	static struct run r;
	struct recorder *recorder = NULL;
	int err, status = EX_OK;

	if (o->history != NULL) {
		err = recorder_open(o->history, &recorder);
		if (err < 0) {
			warnx("cannot create '%s': %s", o->history,
			    strerror(-err));
			return EX_CANTCREAT;
		}
	}
	err = run_init(&r, o, endpoints, count, recorder);
	if (err < 0) {
		warnx("cannot start: %s", strerror(-err));
		(void)recorder_close(recorder);
		return EX_OSERR;
	}
	catch_signals();
	err = run_go(&r, &stop);
	if (err == -EHOSTUNREACH) {
		warnx("no server answers: %s", r.why);
		status = EX_UNAVAILABLE;
	} else {
		status = print_result(&r);
	}
	err = recorder_close(recorder);
	if (err < 0) {
		warnx("cannot write '%s': %s", o->history, strerror(-err));
		status = EX_IOERR;
	}
	run_release(&r);
	return status;
}

int
cmd_run(int argc, char **argv)
{
	struct run_options o;
	struct endpoint *endpoints;
	struct errtext et;
	unsigned count;
	int status;

	status = run_options_parse(argc, argv, &o);
	if (status >= 0)
		return status;
	if (endpoint_parse_list(o.endpoints, &endpoints, &count, &et) < 0) {
		warnx("%s", et.text);
		return EX_USAGE;
	}
	status = run(&o, endpoints, count);
	free(endpoints);
	return status;
}
