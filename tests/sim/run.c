/*
 * run.c - many runs, in a process beside this one.
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

/* Seeds of one process.  A leak is found when it ends: then one seed each. */
#if defined(__SANITIZE_ADDRESS__)
#define WORKER_RUNS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WORKER_RUNS 1
#endif
#endif
#ifndef WORKER_RUNS
#define WORKER_RUNS 250
#endif

#define BEYOND_EVERY 10 /* seeds: one of these is beyond the promises */

struct worker {
	pid_t pid; /* 0: none */
	int to, from;
	unsigned runs;
};

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

/* ---- a process that runs seeds ------------------------------------------- */

/* Both: false when the other side is gone. */
static bool
put_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

static bool
get_all(int fd, void *data, size_t len)
{
	char *p = data;

	while (len > 0) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= (size_t)n;
	}
	return true;
}

/* One seed after the other, as they come. */
static void
worker(int in, int out, unsigned verbose)
{
	static struct swarm_options o;
	struct rlimit no_core = {0, 0};
	struct run_result r;

	(void)setrlimit(RLIMIT_CORE, &no_core);
	while (get_all(in, &o, sizeof(o))) {
		rlim_t until = (rlim_t)cpu_now(RUSAGE_SELF) + RUN_CPU_MAX_S;
		struct rlimit limit = {until, RLIM_INFINITY};

		(void)setrlimit(RLIMIT_CPU, &limit);
		run_here(&o, verbose, &r);
		fflush(stdout);
		if (!put_all(out, &r, sizeof(r)))
			_exit(70);
	}
	exit(0); /* not _exit: the leak checker speaks at exit */
}

static void
worker_start(struct worker *w, unsigned verbose)
{
	int to[2], from[2];

	fflush(stdout);
	if (pipe(to) < 0 || pipe(from) < 0)
		err(71, "pipe");
	w->pid = fork();
	if (w->pid < 0)
		err(71, "fork");
	if (w->pid == 0) {
		close(to[1]);
		close(from[0]);
		worker(to[0], from[1], verbose);
	}
	close(to[0]);
	close(from[1]);
	w->to = to[1];
	w->from = from[0];
	w->runs = 0;
}

/* Its wait status. */
static int
worker_end(struct worker *w)
{
	int status = 0;

	if (w->pid == 0)
		return 0;
	close(w->to);
	close(w->from);
	while (waitpid(w->pid, &status, 0) < 0)
		if (errno != EINTR)
			err(71, "waitpid");
	w->pid = 0;
	return status;
}

static void
died(struct run_result *r, int status)
{
	r->failed = true;
	if (WIFSIGNALED(status))
		snprintf(r->failure, sizeof(r->failure), "died of signal %d%s",
		    WTERMSIG(status),
		    WTERMSIG(status) == SIGABRT	  ? " (assertion)"
		    : WTERMSIG(status) == SIGXCPU ? " (no end)"
						  : "");
	else
		snprintf(r->failure, sizeof(r->failure),
		    "exit status %d (a sanitizer's finding?)",
		    WEXITSTATUS(status));
}

/*
 * One run in w.  A process has many seeds, so that its memory is faulted in
 * once and not once a seed; how it ends is the last one's failure.
 */
static void
worker_run(struct worker *w, const struct swarm_options *o, unsigned verbose,
    struct run_result *r)
{
	int status;

	*r = (struct run_result){0};
	if (w->pid == 0)
		worker_start(w, verbose);
	if (!put_all(w->to, o, sizeof(*o)) ||
	    !get_all(w->from, r, sizeof(*r))) {
		*r = (struct run_result){0};
		died(r, worker_end(w));
	} else if (++w->runs == WORKER_RUNS) {
		status = worker_end(w);
		if (status != 0)
			died(r, status);
	}
}

void
run_child(const struct swarm_options *o, unsigned verbose, struct run_result *r)
{
	struct worker w = {.runs = 0};
	int status;

	worker_run(&w, o, verbose, r);
	status = worker_end(&w);
	if (status != 0 && !r->failed)
		died(r, status);
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

/*
 * The seed once more, in a process that has done nothing else: now and then
 * one that held, and always one that failed.
 */
static void
run_again(const struct run_plan *plan, const struct swarm_options *o,
    struct run_result *r)
{
	struct run_result again;

	if (!r->failed && (plan->twice == 0 || o->seed % plan->twice != 0))
		return;
	run_child(o, 0, &again);
	if (again.failed == r->failed && again.trace == r->trace)
		return;
	r->failed = true;
	snprintf(r->failure, sizeof(r->failure),
	    "two runs differ: trace %016" PRIx64 " and %016" PRIx64, r->trace,
	    again.trace);
}

static void
totals_add(struct totals *t, const struct run_result *r)
{
	t->seeds++;
	t->ops += r->ops;
	t->events += r->events;
	t->hours += (double)r->simulated_ns / 3600e9;
	t->cpu_s += r->cpu_s;
	marks_add(r->marks);
}

static bool
enough(const struct run_plan *plan, const struct totals *t)
{
	return (plan->count > 0 && t->seeds >= plan->count) ||
	       (plan->hours > 0 && t->hours >= plan->hours) ||
	       (plan->budget_s > 0 && t->cpu_s >= plan->budget_s) ||
	       t->failures >= plan->keep_going;
}

int
run_many(const struct run_plan *plan)
{
	struct swarm_options *o = malloc(sizeof(*o));
	struct worker w = {.runs = 0};
	struct totals t = {0};

	if (o == NULL)
		err(71, "malloc");
	(void)signal(SIGPIPE, SIG_IGN); /* a worker that died says why */
	marks_reset();
	*o = plan->options;
	for (; !enough(plan, &t); o->seed++) {
		struct run_result r;

		if (plan->mixed)
			o->profile = o->seed % BEYOND_EVERY == 0
					 ? PROFILE_BEYOND
					 : PROFILE_NORMAL;
		worker_run(&w, o, 0, &r);
		totals_add(&t, &r);
		if (plan->traces)
			printf("seed %" PRIu64 " trace %016" PRIx64 "\n",
			    o->seed, r.trace);
		run_again(plan, o, &r);
		if (r.failed) {
			struct swarm_options copy = *o;

			t.failures++;
			on_failure(plan, &copy, &r);
		}
	}
	(void)worker_end(&w);
	report(&t, plan);
	free(o);
	return t.failures > 0 ? 1 : 0;
}
