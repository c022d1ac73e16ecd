/*
 * bench_lincheck.c - what judging a history costs.
 *
 *	bench_lincheck [-u PERMILLE] [-k KEYS] [-c CLIENTS] [-v VALUES] \
 *	    [-s SEED] [-p] [OPS]
 *
 * Generates a linearizable history (by default 100,000 operations of 50
 * clients over 1,000 keys, 50 in 1,000 of unknown outcome), writes it to a
 * file as a load run would, reads it back and judges it.  One JSON object on
 * stdout; with -p the history itself, for other programs.
 */
#include "loadgen/historygen.h"
#include "loadgen/lincheck.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MEM_MAX ((size_t)4 << 30)

static double
now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* The history as a file, read from its start. */
static FILE *
generate(const struct historygen_opts *o, bool print)
{
	struct membudget budget = {0, MEM_MAX};
	struct history h;
	FILE *f = print ? stdout : tmpfile();

	history_init(&h, &budget);
	if (f == NULL || historygen_run(&h, o) != 0 ||
	    historygen_print(&h, f) != 0 || fflush(f) != 0) {
		perror("bench_lincheck");
		exit(74);
	}
	history_release(&h);
	return f;
}

static void
measure(const struct historygen_opts *o, FILE *f)
{
	struct membudget budget = {0, MEM_MAX};
	struct history_read_opts read_opts;
	struct lincheck_opts opts;
	struct lincheck_result res;
	struct rusage usage;
	struct history h;
	struct errtext et;
	double start, read_s, judge_s;
	size_t history_bytes;

	memset(&read_opts, 0, sizeof(read_opts));
	memset(&opts, 0, sizeof(opts));
	history_init(&h, &budget);
	start = now_s();
	if (lseek(fileno(f), 0, SEEK_SET) != 0 ||
	    history_read(&h, fileno(f), &read_opts, &et) != 0) {
		fprintf(stderr, "bench_lincheck: %s\n", et.text);
		exit(65);
	}
	read_s = now_s() - start;
	history_bytes = budget.used;
	start = now_s();
	lincheck(&h, &opts, &res);
	judge_s = now_s() - start;
	getrusage(RUSAGE_SELF, &usage);
	printf("{\"ops\":%zu,\"keys\":%u,\"clients\":%u,"
	       "\"unknown_permille\":%u,\"verdict\":\"%s\","
	       "\"read_s\":%.2f,\"judge_s\":%.2f,\"configs\":%llu,"
	       "\"history_bytes\":%zu,\"max_rss_bytes\":%llu}\n",
	    res.ops, o->keys, o->clients, o->unknown_permille,
	    lincheck_verdict_name(res.verdict), read_s, judge_s,
	    (unsigned long long)res.configs, history_bytes,
	    (unsigned long long)usage.ru_maxrss * 1024);
	lincheck_release(&h, &res);
	history_release(&h);
}

int
main(int argc, char **argv)
{
	struct historygen_opts o;
	bool print = false;
	FILE *f;
	int c;

	historygen_defaults(&o);
	o.ops = 100000;
	o.keys = 1000;
	o.clients = 50;
	while ((c = getopt(argc, argv, "u:k:c:v:s:p")) != -1) {
		uint64_t n = optarg != NULL ? strtoull(optarg, NULL, 10) : 0;

		switch (c) {
		case 'u':
			o.unknown_permille = (uint32_t)n;
			break;
		case 'k':
			o.keys = (uint32_t)n;
			break;
		case 'c':
			o.clients = (uint32_t)n;
			break;
		case 'v':
			o.values = (uint32_t)n;
			break;
		case 's':
			o.seed = n;
			break;
		case 'p':
			print = true;
			break;
		default:
			return 64;
		}
	}
	if (argc > optind)
		o.ops = (size_t)strtoull(argv[optind], NULL, 10);
	if (o.keys == 0 || o.clients == 0)
		return 64;
	f = generate(&o, print);
	if (!print)
		measure(&o, f);
	return 0;
}
