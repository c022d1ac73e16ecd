/*
 * cli.c - the commands of faults.
 */
#include "faults/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "faults/fault.h"
#include "faults/plan.h"
#include "faults/play.h"
#include "faults/repro.h"
#include "faults/spawn.h"
#include "raftctl/units.h"

#define EXIT_REFUSED 75
#define EXIT_TIME 124
#define ROUNDS_MAX 1000

struct options {
	struct lab lab;
	const char *lab_dir;
	bool really, all, dry_run, json, reset;
	uint64_t for_ms, seed, rounds;
	const char *kinds;
};

struct command {
	const char *name, *args, *help;
	int (*run)(struct options *, int argc, char **argv);
};

static int cmd_heal(struct options *, int, char **);
static int cmd_list(struct options *, int, char **);
static int cmd_probe(struct options *, int, char **);
static int cmd_resume(struct options *, int, char **);
static int cmd_restart(struct options *, int, char **);
static int cmd_run(struct options *, int, char **);
static int cmd_nemesis(struct options *, int, char **);
static int cmd_repro(struct options *, int, char **);

static const struct command commands[] = {
    {"resume", "N", "end a pause of N", cmd_resume},
    {"restart", "N", "start N again, after a kill or at once", cmd_restart},
    {"heal", "[--reset] [--all | ID ...]", "end faults, all of them or these",
	cmd_heal},
    {"list", "", "the active faults; status 1 if there are any", cmd_list},
    {"probe", "", "which faults work here, and by what", cmd_probe},
    {"run", "[--dry-run] FILE", "do what a scenario says", cmd_run},
    {"nemesis", "--seed S --for D [--kinds K,...] [--dry-run]",
	"draw a scenario and do it", cmd_nemesis},
    {"repro", "early-vote|no-joint [--rounds N] [-j]",
	"break a cluster of its own that goes an unsafe way", cmd_repro},
    {NULL, NULL, NULL, NULL},
};

static void
usage(FILE *to)
{
	(void)fprintf(to,
	    "usage: faults [--lab DIR] [--really] [--for D] FAULT ...\n"
	    "       faults [--lab DIR] COMMAND ...\n\n"
	    "  -d, --lab DIR  the lab of raftlab (default $RAFT_LAB)\n"
	    "      --for D    wait so long and heal; otherwise return, healed\n"
	    "                 by heal\n"
	    "      --really   also addresses that are not of a lab\n"
	    "      --all      with heal: also what no journal knows\n"
	    "      --reset    with heal: cut the servers' connections, too\n"
	    "      --seed S   of nemesis: the same plan for the same number\n"
	    "      --kinds K  of nemesis: network, process, disk, or faults\n"
	    "      --dry-run  print the scenario\n"
	    "      --rounds N of repro: so many times (1)\n"
	    "  -j, --json     of repro: a JSON object a run\n"
	    "      --help     print this\n"
	    "      --version  print the version\n\n"
	    "LINKS are N (what N sends), A>B, or A,B|C,D (both ways).\n\n");
	for (const struct kind *k = kinds; k->name != NULL; k++)
		(void)fprintf(
		    to, "  %s %s\n\t\t%s\n", k->name, k->args, k->help);
	for (const struct command *c = commands; c->name != NULL; c++)
		(void)fprintf(
		    to, "  %s %s\n\t\t%s\n", c->name, c->args, c->help);
}

static int
fail_usage(const char *why, const char *word)
{
	(void)fprintf(stderr, "faults: %s%s%s%s\n", why,
	    word != NULL ? " '" : "", word != NULL ? word : "",
	    word != NULL ? "'" : "");
	(void)fprintf(stderr, "Try 'faults --help'.\n");
	return EX_USAGE;
}

static int
status_of(int err)
{
	static const struct {
		int err, status;
	} table[] = {{-EINVAL, EX_USAGE}, {-ENOENT, EX_NOINPUT},
	    {-EBADMSG, EX_DATAERR}, {-EPERM, EX_NOPERM}, {-EACCES, EX_NOPERM},
	    {-EBUSY, EXIT_REFUSED}, {-ESRCH, EXIT_REFUSED},
	    {-ENOTSUP, EX_CONFIG}, {-ETIMEDOUT, EXIT_TIME}};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].err == err)
			return table[i].status;
	return EX_OSERR;
}

static int
fail(int err, const struct errtext *et)
{
	(void)fprintf(stderr, "faults: %s\n",
	    et->text[0] != '\0' ? et->text : strerror(-err));
	return status_of(err);
}

static int
open_lab(struct options *o, int *status)
{
	struct errtext et = {""};
	int ret = lab_open(&o->lab, o->lab_dir, &et);

	o->lab.really = o->really;
	if (ret < 0)
		*status = fail(ret, &et);
	return ret;
}

/* ---- commands ------------------------------------------------------------ */

static int
heal_filtered(struct options *o, const struct fault_filter *filter, bool sweep,
    unsigned *ended)
{
	struct errtext et = {""};
	int ret = fault_end_all(&o->lab, filter, sweep, ended, &et);

	return ret < 0 ? fail(ret, &et) : 0;
}

static int
cmd_heal(struct options *o, int argc, char **argv)
{
	struct fault_filter all = {0};
	struct errtext et = {""};
	unsigned ended;
	uint64_t id;
	int ret;

	if (o->all && argc > 0)
		return fail_usage("heal: --all or ids, not", argv[0]);
	if (argc == 0 && (ret = heal_filtered(o, &all, o->all, &ended)) != 0)
		return ret;
	for (int i = 0; i < argc; i++)
		if (units_u64(argv[i], &id) < 0)
			return fail_usage("heal: not an id:", argv[i]);
	for (int i = 0; i < argc; i++) {
		(void)units_u64(argv[i], &id);
		if ((ret = fault_end(&o->lab, id, &et)) < 0)
			return fail(ret, &et);
	}
	if (o->reset && (ret = net_reset(&o->lab, &et)) < 0)
		return fail(ret, &et);
	return 0;
}

static int
cmd_list(struct options *o, int argc, char **argv)
{
	static struct scene s;
	struct errtext et = {""};
	int ret;

	if (argc > 0)
		return fail_usage("list: unexpected", argv[0]);
	s.lab = o->lab;
	ret = scene_lock(&s, &et);
	if (ret < 0)
		return fail(ret, &et);
	scene_unlock(&s);
	for (unsigned i = 0; i < s.count; i++) {
		json_t *j = fault_json(&s.fault[i], s.fault[i].until_ms);
		int put = json_dumpf(j, stdout, JSON_COMPACT);

		(void)putchar('\n');
		json_decref(j);
		if (put < 0)
			return EX_IOERR;
	}
	return s.count > 0 ? 1 : 0;
}

static void
probe_line(const char *kind, const char *mechanism, bool ok, const char *why)
{
	json_t *j = json_pack("{s:s s:s s:b s:s}", "kind", kind, "mechanism",
	    mechanism, "ok", (int)ok, "detail", why);

	(void)json_dumpf(j, stdout, JSON_COMPACT);
	(void)putchar('\n');
	json_decref(j);
}

static int
cmd_probe(struct options *o, int argc, char **argv)
{
	struct errtext why = {""};
	bool has_net, has_strace = have_program("strace"), has_disk;

	if (argc > 0)
		return fail_usage("probe: unexpected", argv[0]);
	has_net = net_usable(&o->lab, &why) == 0;
	probe_line("partition isolate oneway cut bridge ring loss reset",
	    "iptables", has_net, why.text);
	probe_line("delay dup reorder corrupt", "nfqueue", has_net, why.text);
	probe_line("rate", o->lab.netns[0] != '\0' ? "tbf" : "nfqueue", has_net,
	    why.text);
	probe_line("kill stop pause", "signals", true, "");
	probe_line("cpu", cpu_mechanism(), true, "");
	probe_line("clock", "preload", clock_usable(),
	    clock_usable() ? "" : "no faults-clock.so");
	probe_line("disk slow, disk eio", "strace", has_strace,
	    has_strace ? "" : "strace is not installed");
	has_disk = o->lab.disk && geteuid() == 0;
	probe_line("disk full, disk stall, disk torn, disk powerloss", "loop",
	    has_disk,
	    has_disk	  ? ""
	    : o->lab.disk ? "needs root"
			  : "use raftlab up --disk SIZE");
	return 0;
}

static int
one_server(struct options *o, const char *what, int argc, char **argv,
    unsigned *id, int *status)
{
	struct errtext et = {""};
	int ret;

	if (argc != 1) {
		*status =
		    fail_usage(what, argc == 0 ? "which server?" : argv[1]);
		return -EINVAL;
	}
	ret = links_server(o->lab.count, argv[0], id, &et);
	if (ret < 0)
		*status = fail(ret, &et);
	return ret;
}

static int
cmd_resume(struct options *o, int argc, char **argv)
{
	struct fault_filter filter = {.kind = "pause"};
	unsigned ended;
	int status;

	if (one_server(o, "resume:", argc, argv, &filter.server, &status) < 0)
		return status;
	status = heal_filtered(o, &filter, false, &ended);
	if (status == 0 && ended == 0) {
		(void)fprintf(
		    stderr, "faults: server %s is not paused\n", argv[0]);
		return 1;
	}
	return status;
}

static int
cmd_restart(struct options *o, int argc, char **argv)
{
	struct fault_filter filter = {0};
	char *kill_it[] = {(char[]){"kill"}, NULL, NULL};
	struct errtext et = {""};
	unsigned ended, healed = 0;
	uint64_t id;
	int status, ret;

	if (one_server(o, "restart:", argc, argv, &filter.server, &status) < 0)
		return status;
	for (int i = 0; i < 2; i++) {
		filter.kind = i == 0 ? "kill" : "stop";
		status = heal_filtered(o, &filter, false, &ended);
		if (status != 0)
			return status;
		healed += ended;
	}
	if (healed > 0)
		return 0;
	kill_it[1] = argv[0];
	ret = fault_begin(&o->lab, 2, kill_it, 0, false, &id, &et);
	if (ret == 0)
		ret = fault_end(&o->lab, id, &et);
	return ret < 0 ? fail(ret, &et) : 0;
}

static int
play(struct options *o, const struct plan *plan)
{
	struct errtext et = {""};
	unsigned refused = 0;
	int ret;

	if (o->dry_run) {
		plan_write(plan, stdout);
		return 0;
	}
	ret = play_plan(&o->lab, plan, &refused, &et);
	if (ret < 0)
		return fail(ret, &et);
	if (ret > 0)
		return 128 + ret;
	return refused > 0 ? 1 : 0;
}

static int
cmd_run(struct options *o, int argc, char **argv)
{
	static struct plan plan;
	struct errtext et = {""};
	FILE *f = stdin;
	int ret;

	if (argc != 1)
		return fail_usage("run: want one scenario", NULL);
	if (strcmp(argv[0], "-") != 0 && (f = fopen(argv[0], "re")) == NULL) {
		(void)fprintf(stderr, "faults: cannot open '%s': %s\n", argv[0],
		    strerror(errno));
		return EX_NOINPUT;
	}
	ret = plan_read(&plan, f, &et);
	if (f != stdin)
		(void)fclose(f);
	for (unsigned i = 0; ret == 0 && i < plan.count; i++)
		if (kind_by_name(plan.action[i].word[0]) == NULL &&
		    strcmp(plan.action[i].word[0], "heal") != 0)
			ret = errtext(&et, -EBADMSG, "no such fault: '%s'",
			    plan.action[i].word[0]);
	return ret < 0 ? fail(ret, &et) : play(o, &plan);
}

static int
cmd_nemesis(struct options *o, int argc, char **argv)
{
	static struct plan plan;
	const char *kinds_drawn[NEMESIS_KINDS_MAX], *words = o->kinds;
	struct nemesis n = {.seed = o->seed, .for_ms = o->for_ms};
	struct errtext et = {""}, why;
	bool has_net = net_usable(&o->lab, &why) == 0;
	int ret;

	if (argc > 0)
		return fail_usage("nemesis: unexpected", argv[0]);
	if (n.for_ms == 0)
		return fail_usage("nemesis: for how long? --for D", NULL);
	if (words == NULL)
		words = !has_net && !o->lab.disk ? "process"
			: !has_net		 ? "process,disk"
			: !o->lab.disk		 ? "network,process"
						 : "network,process,disk";
	ret = nemesis_kinds(words, kinds_drawn, &et);
	if (ret < 0)
		return fail(ret, &et);
	n.servers = o->lab.count;
	n.kinds = kinds_drawn;
	nemesis_draw(&plan, &n);
	return play(o, &plan);
}

/* It has a lab of its own. */
static int
cmd_repro(struct options *o, int argc, char **argv)
{
	struct errtext et = {""};
	unsigned i = 0;
	int ret;

	if (argc != 1)
		return fail_usage("repro: one of early-vote, no-joint", NULL);
	while (repro_name(i) != NULL && strcmp(repro_name(i), argv[0]) != 0)
		i++;
	if (repro_name(i) == NULL)
		return fail_usage("repro: no such:", argv[0]);
	ret = repro_run(
	    argv[0], o->rounds == 0 ? 1 : (unsigned)o->rounds, o->json, &et);
	return ret < 0 ? fail(ret, &et) : ret;
}

static int
make(struct options *o, int argc, char **argv)
{
	struct errtext et = {""};
	uint64_t id;
	int ret;

	/* pause N D is pause N with an end */
	if (strcmp(argv[0], "pause") == 0 && argc == 3 && o->for_ms == 0) {
		if (units_duration_ms(argv[2], &o->for_ms) < 0 ||
		    o->for_ms == 0)
			return fail_usage("pause: not a time:", argv[2]);
		argc--;
	}
	if (o->for_ms > 0)
		ret = play_one(&o->lab, argc, argv, o->for_ms, &et);
	else
		ret = fault_begin(&o->lab, argc, argv, 0, false, &id, &et);
	if (ret < 0)
		return fail(ret, &et);
	return ret > 0 ? 128 + ret : 0;
}

/* ---- options ------------------------------------------------------------- */

enum {
	OPT_FOR = 256,
	OPT_REALLY,
	OPT_ALL,
	OPT_SEED,
	OPT_KINDS,
	OPT_DRY_RUN,
	OPT_ROUNDS,
	OPT_RESET,
};

static const struct option long_options[] = {
    {"lab", required_argument, NULL, 'd'},
    {"for", required_argument, NULL, OPT_FOR},
    {"really", no_argument, NULL, OPT_REALLY},
    {"all", no_argument, NULL, OPT_ALL},
    {"seed", required_argument, NULL, OPT_SEED},
    {"kinds", required_argument, NULL, OPT_KINDS},
    {"dry-run", no_argument, NULL, OPT_DRY_RUN},
    {"reset", no_argument, NULL, OPT_RESET},
    {"rounds", required_argument, NULL, OPT_ROUNDS},
    {"json", no_argument, NULL, 'j'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

/* -1: go on; otherwise the exit status. */
static int
take_option(struct options *o, int c)
{
	switch (c) {
	case 'd':
		o->lab_dir = optarg;
		return -1;
	case OPT_FOR:
		if (units_duration_ms(optarg, &o->for_ms) < 0 || o->for_ms == 0)
			return fail_usage("--for: not a time:", optarg);
		return -1;
	case OPT_REALLY:
		o->really = true;
		return -1;
	case OPT_ALL:
		o->all = true;
		return -1;
	case OPT_SEED:
		if (units_u64(optarg, &o->seed) < 0)
			return fail_usage("--seed: not a number:", optarg);
		return -1;
	case OPT_KINDS:
		o->kinds = optarg;
		return -1;
	case OPT_DRY_RUN:
		o->dry_run = true;
		return -1;
	case OPT_RESET:
		o->reset = true;
		return -1;
	case OPT_ROUNDS:
		if (units_u64(optarg, &o->rounds) < 0 || o->rounds == 0 ||
		    o->rounds > ROUNDS_MAX)
			return fail_usage("--rounds: not a number:", optarg);
		return -1;
	case 'j':
		o->json = true;
		return -1;
	case 'h':
		usage(stdout);
		return 0;
	case 'V':
		(void)printf("faults %s\n", RAFTKIT_VERSION);
		return 0;
	default:
		return EX_USAGE;
	}
}

/* An option that the command has no use for is a mistake. */
static const char *
stray_option(const struct options *o, const char *name)
{
	bool is_nemesis = strcmp(name, "nemesis") == 0;
	bool is_command = kind_by_name(name) == NULL;

	if ((o->all || o->reset) && strcmp(name, "heal") != 0)
		return "--all or --reset";
	if ((o->kinds != NULL || o->seed != 0) && !is_nemesis)
		return "--seed or --kinds";
	if (o->dry_run && !is_nemesis && strcmp(name, "run") != 0)
		return "--dry-run";
	if (o->for_ms > 0 && is_command && !is_nemesis)
		return "--for";
	if ((o->rounds > 0 || o->json) && strcmp(name, "repro") != 0)
		return "--rounds or -j";
	return NULL;
}

/*
 * "-5m" is an offset of a clock, but an option to getopt: no option of ours
 * is a digit, so that a mark before it makes it an operand.
 */
#define MARK '\001'

static int
mark_numbers(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		char *marked;

		if (argv[i][0] != '-' ||
		    (argv[i][1] != '.' &&
			(argv[i][1] < '0' || argv[i][1] > '9')))
			continue;
		/* the program's own to the end */
		if (asprintf(&marked, "%c%s", MARK, argv[i]) < 0)
			return -ENOMEM;
		argv[i] = marked;
	}
	return 0;
}

int
faults_main(int argc, char **argv)
{
	static struct options o;
	const struct command *c = commands;
	const char *stray;
	int opt, status;

	if (mark_numbers(argc, argv) < 0)
		return EX_OSERR;
	while (
	    (opt = getopt_long(argc, argv, "d:hj", long_options, NULL)) != -1)
		if ((status = take_option(&o, opt)) >= 0)
			return status;
	argc -= optind;
	argv += optind;
	for (int i = 0; i < argc; i++)
		argv[i] += argv[i][0] == MARK;
	if (argc == 0)
		return fail_usage("no command", NULL);
	while (c->name != NULL && strcmp(c->name, argv[0]) != 0)
		c++;
	if (c->name == NULL && kind_by_name(argv[0]) == NULL)
		return fail_usage("no such command:", argv[0]);
	stray = stray_option(&o, argv[0]);
	if (stray != NULL)
		return fail_usage("not an option of this command:", stray);
	if (c->run != cmd_repro && open_lab(&o, &status) < 0)
		return status;
	if (c->name == NULL)
		return make(&o, argc, argv);
	return c->run(&o, argc - 1, argv + 1);
}
