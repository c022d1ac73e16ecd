/*
 * tool.c - raftsnap: options, the table of commands, errors.
 */
#include "raftsnap/tool.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "raftctl/units.h"

/* Further than any cluster gets while a snapshot is of use. */
#define ADVANCE UINT64_C(1000000000000)
#define TIMEOUT_MS 10000

struct tool_options snaptool;

static const struct command {
	const char *name, *args, *help;
	int (*run)(int argc, char **argv);
} commands[] = {
    {"save", "FILE|-", "copy one of a server or directory, verified",
	snapcmd_save},
    {"verify", "FILE|-", "read all of it", snapcmd_verify},
    {"info", "FILE|-", "what it is, verified", snapcmd_info},
    {"ls", "FILE|- [PREFIX]", "its keys", snapcmd_ls},
    {"cat", "FILE|- KEY", "the value of a key", snapcmd_cat},
    {"export", "FILE|-", "its records, JSON lines", snapcmd_export},
    {"import", "LINES|- FILE|-", "a snapshot of such lines", snapcmd_import},
    {"diff", "FILE|- FILE|-", "what differs in their records", snapcmd_diff},
    {"restore", "-m ID=ADDR ... FILE|- DIR",
	"a new cluster that begins with it", snapcmd_restore},
    {0},
};

int
snaptool_fail(int error, const char *name, const char *why)
{
	fprintf(stderr, "raftsnap: '%s': %s\n", name,
	    why != NULL && why[0] != '\0' ? why : strerror(-error));
	switch (error) {
	case -EBADMSG:
	case -EPROTO:
	case -EINVAL:
	case -EOVERFLOW:
		return TOOL_DATA;
	case -ENOENT:
		return TOOL_INPUT;
	case -EEXIST:
	case -ENOTEMPTY:
	case -ENOTDIR:
	case -EWOULDBLOCK:
		return TOOL_CREATE;
	case -ENOMEM:
		return TOOL_OS;
	default:
		return TOOL_IO;
	}
}

/* ---- options ----------------------------------------------------------- */

static void
usage(FILE *f)
{
	fprintf(f, "usage: raftsnap [options] command operands\n");
	for (const struct command *c = commands; c->name != NULL; c++)
		fprintf(f, "  %-8s %-26s %s\n", c->name, c->args, c->help);
	fprintf(f,
	    "  -s, --endpoints ADDR,...  a server, in the place of FILE "
	    "(save: RAFT_ENDPOINTS)\n"
	    "  -d, --dir DIR        a data directory, in the place of FILE\n"
	    "      --newest         of a server: one that it has\n"
	    "  -t, --timeout TIME   for an answer of a server (10s)\n"
	    "  -m, --member ID=ADDR a member of the new cluster\n"
	    "  -n, --id ID          DIR is for this one alone\n"
	    "      --cluster NAME   enters the new cluster id\n"
	    "      --advance N      revisions to move forward (10^12)\n"
	    "  -j, --json           info, ls: JSON\n"
	    "  -0, --zero           ls: keys end with NUL\n"
	    "      --progress HOW   text, json or none\n"
	    "  -h, --help           print this and end\n"
	    "  -V, --version        print the version and end\n");
}

static int
bad(const char *name, const char *value)
{
	fprintf(stderr, "raftsnap: --%s: '%s' is none\n", name, value);
	return TOOL_USAGE;
}

static int
add_member(const char *arg)
{
	unsigned n = 0;

	while (snaptool.member[n] != NULL)
		n++;
	if (n == TOOL_MEMBERS_MAX) {
		fprintf(stderr, "raftsnap: more than %d members\n",
		    TOOL_MEMBERS_MAX);
		return TOOL_USAGE;
	}
	snaptool.member[n] = arg;
	return -1;
}

/* Those with a value that has to make sense. */
static int
option(int c)
{
	switch (c) {
	case 'm':
		return add_member(optarg);
	case 'a':
		return units_u64(optarg, &snaptool.advance) < 0
			   ? bad("advance", optarg)
			   : -1;
	case 't':
		return units_duration_ms(optarg, &snaptool.timeout_ms) < 0 ||
			       snaptool.timeout_ms == 0 ||
			       snaptool.timeout_ms > INT32_MAX
			   ? bad("timeout", optarg)
			   : -1;
	case 'P':
		snaptool.progress = optarg;
		return strcmp(optarg, "text") != 0 &&
			       strcmp(optarg, "json") != 0 &&
			       strcmp(optarg, "none") != 0
			   ? bad("progress", optarg)
			   : -1;
	case 'h':
		usage(stdout);
		return TOOL_OK;
	case 'V':
		printf("raftsnap %s\n", RAFTKIT_VERSION);
		return TOOL_OK;
	default:
		fprintf(stderr, "raftsnap: try 'raftsnap --help'\n");
		return TOOL_USAGE;
	}
}

/* -1: go on, else the exit status. */
static int
options(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"advance", required_argument, NULL, 'a'},
	    {"cluster", required_argument, NULL, 'c'},
	    {"dir", required_argument, NULL, 'd'},
	    {"endpoints", required_argument, NULL, 's'},
	    {"help", no_argument, NULL, 'h'},
	    {"id", required_argument, NULL, 'n'},
	    {"json", no_argument, NULL, 'j'},
	    {"member", required_argument, NULL, 'm'},
	    {"newest", no_argument, NULL, 'N'},
	    {"progress", required_argument, NULL, 'P'},
	    {"timeout", required_argument, NULL, 't'},
	    {"version", no_argument, NULL, 'V'},
	    {"zero", no_argument, NULL, '0'}, {0}};
	int c, status = -1;

	optind = 0; /* a test calls this more than once */
	while (status < 0 && (c = getopt_long(argc, argv, "0d:hjm:n:s:t:V",
				  longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			snaptool.dir = optarg;
			break;
		case 's':
			snaptool.server = optarg;
			break;
		case 'n':
			snaptool.id = optarg;
			break;
		case 'c':
			snaptool.cluster = optarg;
			break;
		case 'N':
			snaptool.newest = true;
			break;
		case 'j':
			snaptool.json = true;
			break;
		case '0':
			snaptool.zero = true;
			break;
		default:
			status = option(c);
		}
	}
	if (status < 0 && snaptool.dir != NULL && snaptool.server != NULL) {
		fprintf(stderr, "raftsnap: --dir and --endpoints: both\n");
		return TOOL_USAGE;
	}
	return status;
}

static int
run(const struct command *c, int argc, char **argv)
{
	int status;

	snaptool.command = c->name;
	/* Elsewhere an operand says where it comes from. */
	if (c->run == snapcmd_save && !snaptool_has_source())
		snaptool.server = getenv("RAFT_ENDPOINTS");
	progress_init();
	status = c->run(argc, argv);
	if (status == TOOL_USAGE)
		fprintf(stderr, "usage: raftsnap %s %s\n", c->name, c->args);
	if (fflush(stdout) != 0 && errno != EPIPE && status == TOOL_OK)
		status = snaptool_fail(-errno, "standard output", NULL);
	if (snaptool_signal != 0) {
		/* All is tidied up: end as if it had not been caught. */
		(void)signal(snaptool_signal, SIG_DFL);
		(void)raise(snaptool_signal);
	}
	return status;
}

int
snaptool_main(int argc, char **argv)
{
	const char *name;
	int status;

	snaptool =
	    (struct tool_options){.advance = ADVANCE, .timeout_ms = TIMEOUT_MS};
	status = options(argc, argv);
	if (status >= 0)
		return status;
	name = optind < argc ? argv[optind] : NULL;
	if (name == NULL) {
		usage(stderr);
		return TOOL_USAGE;
	}
	for (const struct command *c = commands; c->name != NULL; c++)
		if (strcmp(c->name, name) == 0)
			return run(c, argc - optind - 1, argv + optind + 1);
	fprintf(stderr, "raftsnap: no such command '%s'\n", name);
	return TOOL_USAGE;
}
