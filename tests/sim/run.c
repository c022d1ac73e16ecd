/*
 * run.c - many runs, each in a process of its own.
 */
#include "tests/sim/run.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/check.h"
#include "tests/sim/client.h"
#include "tests/sim/nemesis.h"
#include "tests/sim/sim.h"

#define RUN_CPU_MAX_S 120 /* of one seed: more is a loop without end */

static double
cpu_now(int who)
{
	struct rusage u;

	(void)getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

void
run_here(const struct swarm_options *o, unsigned verbose, struct run_result *r)
{
	struct sim *sim;
	double start = cpu_now(RUSAGE_SELF);

	*r = (struct run_result){0};
	marks_reset();
	sim = sim_new(o, verbose);
	r->failed = sim_run(sim) != 0;
	snprintf(r->failure, sizeof(r->failure), "%s", sim->failure);
	r->trace = sim->trace;
	r->simulated_ns = sim->now;
	r->events = sim->event_count;
	r->ops = clients_op_count(sim);
	r->committed = check_committed(sim);
	r->steps = nemesis_steps(sim);
	sim_free(sim);
	marks_get(r->marks);
	r->cpu_s = cpu_now(RUSAGE_SELF) - start;
}

static void
child(const struct swarm_options *o, unsigned verbose, int fd)
{
	struct rlimit limit = {RUN_CPU_MAX_S, RUN_CPU_MAX_S};
	struct rlimit no_core = {0, 0};
	struct run_result r;
	const char *p = (const char *)&r;
	size_t left = sizeof(r);

	(void)setrlimit(RLIMIT_CPU, &limit);
	(void)setrlimit(RLIMIT_CORE, &no_core);
	run_here(o, verbose, &r);
	fflush(stdout);
	while (left > 0) {
		ssize_t n = write(fd, p, left);

		if (n <= 0)
			_exit(70);
		p += n;
		left -= (size_t)n;
	}
	exit(0); /* not _exit: the leak checker speaks at exit */
}

void
run_child(const struct swarm_options *o, unsigned verbose, struct run_result *r)
{
	int fd[2], status;
	size_t got = 0;
	pid_t pid;

	fflush(stdout);
	if (pipe(fd) < 0)
		err(71, "pipe");
	pid = fork();
	if (pid < 0)
		err(71, "fork");
	if (pid == 0) {
		close(fd[0]);
		child(o, verbose, fd[1]);
	}
	close(fd[1]);
	while (got < sizeof(*r)) {
		ssize_t n = read(fd[0], (char *)r + got, sizeof(*r) - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	close(fd[0]);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			err(71, "waitpid");
	if (got < sizeof(*r))
		*r = (struct run_result){.failed = true};
	if (WIFSIGNALED(status)) {
		r->failed = true;
		snprintf(r->failure, sizeof(r->failure), "died of signal %d%s",
		    WTERMSIG(status),
		    WTERMSIG(status) == SIGABRT	  ? " (assertion)"
		    : WTERMSIG(status) == SIGXCPU ? " (no end)"
						  : "");
	} else if (got < sizeof(*r) || WEXITSTATUS(status) != 0) {
		r->failed = true;
		snprintf(r->failure, sizeof(r->failure),
		    "exit status %d (a sanitizer's finding?)",
		    WEXITSTATUS(status));
	}
}

void
run_command(const char *program, const struct swarm_options *o)
{
	printf("%s --seed %" PRIu64 "%s", program, o->seed,
	    o->profile == PROFILE_BEYOND ? " --profile beyond" : "");
	for (unsigned i = 0; i < o->set_count; i++)
		printf(" --set %s=%" PRIu64, o->set[i].name, o->set[i].value);
	for (int f = 0; f < FAULT_COUNT; f++)
		if (o->without & (1ull << f))
			printf(" --without %s", fault_name((enum fault)f));
	for (unsigned i = 0; i < o->drop_count;) {
		unsigned k = i;

		while (
		    k + 1 < o->drop_count && o->drop[k + 1] == o->drop[k] + 1)
			k++;
		printf("%s%" PRIu32, i == 0 ? " --drop " : ",", o->drop[i]);
		if (k > i)
			printf("-%" PRIu32, o->drop[k]);
		i = k + 1;
	}
	printf("\n");
}

struct totals {
	uint64_t seeds, failures, ops, events;
	double hours, cpu_s;
};

static void
report(const struct totals *t, const struct run_plan *plan)
{
	if (plan->marks) {
		unsigned zero = marks_print(stdout);

		printf("marks %d, at zero %u\n", MARK_COUNT, zero);
	}
	printf("seeds %" PRIu64 " failed %" PRIu64 " hours %.3f operations "
	       "%" PRIu64 " events %" PRIu64
	       " cpu_s %.1f hours_per_cpu_minute %.2f\n",
	    t->seeds, t->failures, t->hours, t->ops, t->events, t->cpu_s,
	    t->cpu_s > 0 ? t->hours * 60 / t->cpu_s : 0);
}

static void
on_failure(const struct run_plan *plan, struct swarm_options *o,
    const struct run_result *r)
{
	struct swarm conf;

	swarm_draw(&conf, o);
	printf("FAILED seed %" PRIu64 " at %.3f s: %s\n", o->seed,
	    (double)r->simulated_ns / 1e9, r->failure);
	if (!plan->quiet)
		swarm_print(&conf, o, stdout);
	printf("replay: ");
	run_command(plan->program, o);
	fflush(stdout);
	if (plan->shrink)
		run_shrink(plan->program, o, r);
}

int
run_many(const struct run_plan *plan)
{
	struct swarm_options *o = malloc(sizeof(*o));
	struct totals t = {0};
	static uint64_t marks_sum[MARK_COUNT];

	if (o == NULL)
		err(71, "malloc");
	*o = plan->options;
	for (;; o->seed++) {
		struct run_result r, again;

		if (plan->count > 0 && t.seeds >= plan->count)
			break;
		if (plan->hours > 0 && t.hours >= plan->hours)
			break;
		if (plan->budget_s > 0 && t.cpu_s >= plan->budget_s)
			break;
		run_child(o, 0, &r);
		if (!r.failed && plan->twice > 0 &&
		    o->seed % plan->twice == 0) {
			run_child(o, 0, &again);
			if (again.trace != r.trace) {
				r.failed = true;
				snprintf(r.failure, sizeof(r.failure),
				    "two runs differ: trace %016" PRIx64
				    " and %016" PRIx64,
				    r.trace, again.trace);
			}
		}
		t.seeds++;
		t.ops += r.ops;
		t.events += r.events;
		t.hours += (double)r.simulated_ns / 3600e9;
		t.cpu_s += r.cpu_s;
		for (int i = 0; i < MARK_COUNT; i++)
			marks_sum[i] += r.marks[i];
		if (r.failed) {
			struct swarm_options copy = *o;

			t.failures++;
			on_failure(plan, &copy, &r);
			if (t.failures >= plan->keep_going)
				break;
		}
	}
	marks_reset();
	marks_add(marks_sum);
	report(&t, plan);
	free(o);
	return t.failures > 0 ? 1 : 0;
}
