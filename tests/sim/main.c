/*
 * main.c - the simulator: whole servers on simulated disk, network, clock.
 */
#include <err.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/run.h"
#include "tests/sim/selftest.h"

static const char usage_text[] =
    "usage: sim [--seed N | --seeds A..B | --hours H | --budget SECONDS]\n"
    "           [--first N] [--profile normal|beyond] [--set KNOB=N] ...\n"
    "           [--drop STEPS] [--without FAULT] ... [--twice N] [--keep-going "
    "N] [--no-shrink]\n"
    "           [--marks] [--traces] [--quiet] [--verbose] [--here]\n"
    "       sim --selftest\n";

enum {
	OPT_SEED = 256,
	OPT_SEEDS,
	OPT_HOURS,
	OPT_BUDGET,
	OPT_FIRST,
	OPT_PROFILE,
	OPT_SET,
	OPT_DROP,
	OPT_WITHOUT,
	OPT_TWICE,
	OPT_KEEP_GOING,
	OPT_NO_SHRINK,
	OPT_MARKS,
	OPT_TRACES,
	OPT_QUIET,
	OPT_VERBOSE,
	OPT_HERE,
	OPT_SELFTEST,
	OPT_HELP,
};

static const struct option long_options[] = {
    {"seed", required_argument, NULL, OPT_SEED},
    {"seeds", required_argument, NULL, OPT_SEEDS},
    {"hours", required_argument, NULL, OPT_HOURS},
    {"budget", required_argument, NULL, OPT_BUDGET},
    {"first", required_argument, NULL, OPT_FIRST},
    {"profile", required_argument, NULL, OPT_PROFILE},
    {"set", required_argument, NULL, OPT_SET},
    {"drop", required_argument, NULL, OPT_DROP},
    {"without", required_argument, NULL, OPT_WITHOUT},
    {"twice", required_argument, NULL, OPT_TWICE},
    {"keep-going", required_argument, NULL, OPT_KEEP_GOING},
    {"no-shrink", no_argument, NULL, OPT_NO_SHRINK},
    {"marks", no_argument, NULL, OPT_MARKS},
    {"traces", no_argument, NULL, OPT_TRACES},
    {"quiet", no_argument, NULL, OPT_QUIET},
    {"verbose", no_argument, NULL, OPT_VERBOSE},
    {"here", no_argument, NULL, OPT_HERE},
    {"selftest", no_argument, NULL, OPT_SELFTEST},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

struct arguments {
	struct run_plan plan;
	unsigned verbose;
	bool one, here, selftest;
};

static uint64_t
number(const char *text)
{
	char *end;
	uint64_t n = strtoull(text, &end, 0);

	if (end == text || *end != '\0')
		errx(64, "not a number: '%s'", text);
	return n;
}

static void
parse_set(struct swarm_options *o, const char *text)
{
	const char *eq = strchr(text, '=');
	char name[32];

	if (eq == NULL || (size_t)(eq - text) >= sizeof(name))
		errx(64, "not KNOB=N: '%s'", text);
	snprintf(name, sizeof(name), "%.*s", (int)(eq - text), text);
	if (!swarm_knob(name))
		errx(64, "no such knob: '%s'", name);
	if (!swarm_set(o, name, number(eq + 1)))
		errx(64, "too many --set");
}

/* "1,3-7" */
static void
parse_drop(struct swarm_options *o, const char *text)
{
	while (*text != '\0') {
		char *end;
		uint64_t a = strtoull(text, &end, 10), b = a;

		if (end == text)
			errx(64, "not a list of steps: '%s'", text);
		if (*end == '-') {
			text = end + 1;
			b = strtoull(text, &end, 10);
		}
		for (; a <= b && o->drop_count < SWARM_DROPS_MAX; a++)
			o->drop[o->drop_count++] = (uint32_t)a;
		text = *end == ',' ? end + 1 : end;
	}
}

static void
parse_seeds(struct run_plan *plan, const char *text)
{
	char *end;
	uint64_t a = strtoull(text, &end, 0), b;

	if (strncmp(end, "..", 2) != 0)
		errx(64, "not A..B: '%s'", text);
	b = number(end + 2);
	if (b < a)
		errx(64, "no seeds in '%s'", text);
	plan->options.seed = a;
	plan->count = b - a + 1;
}

static void
parse_one(struct arguments *a, int c)
{
	struct run_plan *p = &a->plan;

	switch (c) {
	case OPT_SEED:
		p->options.seed = number(optarg);
		p->count = 1;
		a->one = true;
		break;
	case OPT_SEEDS:
		parse_seeds(p, optarg);
		break;
	case OPT_HOURS:
		p->hours = strtod(optarg, NULL);
		break;
	case OPT_BUDGET:
		p->budget_s = strtod(optarg, NULL);
		break;
	case OPT_FIRST:
		p->options.seed = number(optarg);
		break;
	case OPT_PROFILE:
		p->mixed = false;
		if (strcmp(optarg, "beyond") == 0)
			p->options.profile = PROFILE_BEYOND;
		else if (strcmp(optarg, "normal") != 0)
			errx(64, "no such profile: '%s'", optarg);
		break;
	case OPT_SET:
		parse_set(&p->options, optarg);
		break;
	case OPT_DROP:
		parse_drop(&p->options, optarg);
		break;
	case OPT_WITHOUT:
		if (fault_by_name(optarg) == FAULT_COUNT)
			errx(64, "no such fault: '%s'", optarg);
		p->options.without |= 1ull << fault_by_name(optarg);
		break;
	case OPT_TWICE:
		p->twice = (unsigned)number(optarg);
		break;
	case OPT_KEEP_GOING:
		p->keep_going = (unsigned)number(optarg);
		break;
	case OPT_NO_SHRINK:
		p->shrink = false;
		break;
	case OPT_MARKS:
		p->marks = true;
		break;
	case OPT_TRACES:
		p->traces = true;
		break;
	case OPT_QUIET:
		p->quiet = true;
		break;
	case OPT_VERBOSE:
		a->verbose++;
		break;
	case OPT_HERE:
		a->here = true;
		break;
	case OPT_SELFTEST:
		a->selftest = true;
		break;
	case OPT_HELP:
		fputs(usage_text, stdout);
		exit(0);
	default:
		fputs(usage_text, stderr);
		exit(64);
	}
}

static int
run_one(const struct arguments *a)
{
	const struct swarm_options *o = &a->plan.options;
	struct run_result r;
	struct swarm conf;

	swarm_draw(&conf, o);
	swarm_print(&conf, o, stdout);
	if (a->here)
		run_here(o, a->verbose, &r);
	else
		run_child(o, a->verbose, &r);
	marks_reset();
	marks_add(r.marks);
	if (a->plan.marks)
		(void)marks_print(stdout);
	printf("trace %016" PRIx64 " simulated_s %.3f events %" PRIu64
	       " operations %" PRIu64 " committed %" PRIu64 " steps %" PRIu32
	       " cpu_s %.3f\n",
	    r.trace, (double)r.simulated_ns / 1e9, r.events, r.ops, r.committed,
	    r.steps, r.cpu_s);
	if (r.failed)
		printf("FAILED seed %" PRIu64 ": %s\n", o->seed, r.failure);
	return r.failed ? 1 : 0;
}

int
main(int argc, char **argv)
{
	static struct arguments a;
	int c;

	/* Memory stays ours: a run asks for the same sizes again and again. */
	(void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 28);
	(void)mallopt(M_TOP_PAD, 1 << 22);
	a.plan.shrink = true;
	a.plan.twice = 100;
	a.plan.mixed = true;
	a.plan.keep_going = 1;
	a.plan.program = argv[0];
	a.plan.options.seed = 1;
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		parse_one(&a, c);
	if (optind < argc) {
		fputs(usage_text, stderr);
		return 64;
	}
	if (a.selftest)
		return selftest();
	if (a.one)
		a.plan.mixed = false;
	if (a.one && !a.plan.quiet)
		return run_one(&a);
	if (a.plan.count == 0 && a.plan.hours == 0 && a.plan.budget_s == 0)
		a.plan.count = 100;
	return run_many(&a.plan);
}
