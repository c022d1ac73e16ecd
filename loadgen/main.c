/*
 * main.c - loadgen: load, latency, recorded histories, and their judge.
 */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "loadgen/commands.h"

struct command {
	const char *name;
	const char *args;
	const char *help;
	int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
    {"run", "[-s ADDR,...] [options]", "load servers and print what came of it",
	cmd_run},
    {"check", "[options] HISTORY", "judge the history of a run", cmd_check},
    {"bench", "steady|failover [options]", "measure a cluster of its own",
	cmd_bench},
    {"report", "[--faults FILE] -o FILE RUN ...",
	"draw results as one page of HTML", cmd_report},
    {NULL, NULL, NULL, NULL},
};

static void
usage(FILE *to)
{
	const struct command *c;

	fprintf(to, "usage: loadgen [--help | --version] command ...\n");
	for (c = commands; c->name != NULL; c++)
		fprintf(to, "       loadgen %s %s\n", c->name, c->args);
	for (c = commands; c->name != NULL; c++)
		fprintf(to, "  %-8s %s\n", c->name, c->help);
}

int
main(int argc, char **argv)
{
	const struct command *c;

	if (argc < 2) {
		usage(stderr);
		return EX_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		usage(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("loadgen %s\n", RAFTKIT_VERSION);
		return 0;
	}
	for (c = commands; c->name != NULL; c++)
		if (strcmp(argv[1], c->name) == 0)
			return c->run(argc - 1, argv + 1);
	fprintf(stderr, "loadgen: no such command: '%s'\n", argv[1]);
	usage(stderr);
	return EX_USAGE;
}
