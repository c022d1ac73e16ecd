/*
 * cmd_report.c - loadgen report.
 */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "loadgen/commands.h"
#include "loadgen/report.h"

#define NAME_MAX_BYTES 200

enum { OPT_FAULTS = 256, OPT_HELP };

static void
usage(FILE *to)
{
	fprintf(to, "usage: loadgen report [--faults FILE] -o FILE RUN ...\n"
		    "  -o, --output FILE  the page, - is standard output\n"
		    "      --faults FILE  faults as JSON lines, to be shaded\n"
		    "      --help         this text\n");
}

/* Values of a file, one after the other; take() says whether it will do. */
static int
read_values(const char *path, struct report *r,
    int (*take)(struct report *, const char *path, unsigned n, json_t *))
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	json_error_t je;
	json_t *j;
	unsigned n = 0;
	int err, c;

	if (f == NULL) {
		warn("cannot open '%s'", path);
		return EX_NOINPUT;
	}
	for (;;) {
		do {
			c = getc(f);
		} while (c == ' ' || c == '\n' || c == '\r' || c == '\t');
		if (c == EOF)
			break;
		(void)ungetc(c, f);
		j = json_loadf(f, JSON_DISABLE_EOF_CHECK, &je);
		err = j == NULL ? -EBADMSG : take(r, path, n++, j);
		if (err < 0) {
			json_decref(j);
			warnx("'%s': value %u: %s", path, n + (j == NULL),
			    j == NULL	    ? je.text
			    : err == -E2BIG ? "too many"
					    : "not what is drawn here");
			break;
		}
	}
	err = c == EOF && !ferror(f) ? 0 : ferror(f) ? EX_IOERR : EX_DATAERR;
	if (f != stdin)
		(void)fclose(f);
	return err;
}

static int
take_run(struct report *r, const char *path, unsigned n, json_t *j)
{
	static char names[REPORT_RUNS_MAX][NAME_MAX_BYTES];
	const char *base = strrchr(path, '/');
	struct report_run *run;

	if (report_judge_run(j) < 0)
		return -EBADMSG;
	if (r->run_count == REPORT_RUNS_MAX)
		return -E2BIG;
	run = &r->run[r->run_count];
	base = base != NULL ? base + 1 : path;
	if (n == 0)
		(void)snprintf(names[r->run_count], NAME_MAX_BYTES, "%s", base);
	else
		(void)snprintf(
		    names[r->run_count], NAME_MAX_BYTES, "%s %u", base, n + 1);
	run->name = names[r->run_count++];
	run->json = j;
	return 0;
}

/* faults(8) prints the beginning, and the end with the same id. */
static bool
is_end_of(json_t *begin, json_t *j)
{
	json_t *id = json_object_get(j, "id");

	return id != NULL && json_equal(id, json_object_get(begin, "id")) &&
	       json_equal(json_object_get(j, "since"),
		   json_object_get(begin, "since")) &&
	       json_is_null(json_object_get(begin, "until"));
}

static int
take_fault(struct report *r, const char *path, unsigned n, json_t *j)
{
	(void)path;
	(void)n;
	if (report_judge_fault(j) < 0)
		return -EBADMSG;
	for (unsigned i = 0; i < r->fault_count; i++)
		if (is_end_of(r->fault[i], j)) {
			json_decref(r->fault[i]);
			r->fault[i] = j;
			return 0;
		}
	if (r->fault_count == REPORT_FAULTS_MAX)
		return -E2BIG;
	r->fault[r->fault_count++] = j;
	return 0;
}

static int
write_page(const struct report *r, const char *path)
{
	FILE *out = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
	int err;

	if (out == NULL) {
		warn("cannot create '%s'", path);
		return EX_CANTCREAT;
	}
	err = report_write(out, r);
	if ((out == stdout ? fflush(out) : fclose(out)) != 0 || err < 0) {
		warn("cannot write '%s'", path);
		return EX_IOERR;
	}
	return 0;
}

int
cmd_report(int argc, char **argv)
{
	static const struct option opts[] = {
	    {"output", required_argument, NULL, 'o'},
	    {"faults", required_argument, NULL, OPT_FAULTS},
	    {"help", no_argument, NULL, OPT_HELP}, {NULL, 0, NULL, 0}};
	static struct report r;
	const char *faults = NULL, *output = NULL;
	int c, status = 0;
	unsigned n;

	optind = 0;
	while ((c = getopt_long(argc, argv, "o:", opts, NULL)) != -1) {
		switch (c) {
		case 'o':
			output = optarg;
			break;
		case OPT_FAULTS:
			faults = optarg;
			break;
		case OPT_HELP:
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return EX_USAGE;
		}
	}
	if (output == NULL || optind == argc) {
		usage(stderr);
		return EX_USAGE;
	}
	for (; optind < argc && status == 0; optind++)
		status = read_values(argv[optind], &r, take_run);
	if (status == 0 && faults != NULL)
		status = read_values(faults, &r, take_fault);
	if (status == 0 && r.run_count == 0) {
		warnx("nothing to draw");
		status = EX_DATAERR;
	}
	if (status == 0)
		status = write_page(&r, output);
	for (n = 0; n < r.run_count; n++)
		json_decref(r.run[n].json);
	for (n = 0; n < r.fault_count; n++)
		json_decref(r.fault[n]);
	return status;
}
