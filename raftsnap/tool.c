/*
 * tool.c - raftsnap: options, input, errors.
 */
#include "raftsnap/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEMBERS_MAX 16

const char *tool_dir, *tool_id, *tool_cluster;
const char *tool_member[MEMBERS_MAX + 1];

static const struct command {
	const char *name, *args, *help;
	int (*run)(int argc, char **argv);
} commands[] = {
    {"save", "-d DIR FILE|-", "copy the newest of a directory, verified",
	cmd_save},
    {"verify", "FILE|-", "read all of it", cmd_verify},
    {"info", "FILE|-", "what it is, verified", cmd_info},
    {"ls", "FILE|- [PREFIX]", "its keys", cmd_ls},
    {"cat", "FILE|- KEY", "the value of a key", cmd_cat},
    {"export", "FILE|-", "its records, JSON lines", cmd_export},
    {"diff", "A B", "what differs: -, + and ! before the key", cmd_diff},
    {"restore", "-n ID -m ID=ADDR ... FILE DIR",
	"a directory of a new cluster that begins with it", cmd_restore},
    {0},
};

/* ---- input ------------------------------------------------------------- */

int
tool_open(const char *name, struct tool_input *in)
{
	*in = (struct tool_input){.name = name, .fd = STDIN_FILENO, .copy = -1};
	if (strcmp(name, "-") == 0)
		return 0;
	in->fd = open(name, O_RDONLY | O_CLOEXEC);
	if (in->fd >= 0)
		return 0;
	fprintf(
	    stderr, "raftsnap: cannot open '%s': %s\n", name, strerror(errno));
	return TOOL_INPUT;
}

void
tool_close(struct tool_input *in)
{
	if (in->fd > STDIN_FILENO)
		(void)close(in->fd);
}

static int
copy_out(int fd, const uint8_t *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int64_t
tool_get(void *input, void *buf, size_t len)
{
	struct tool_input *in = input;
	ssize_t n;
	int error = 0;

	do {
		n = read(in->fd, buf, len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	in->taken += (uint64_t)n;
	if (in->copy >= 0 && n > 0)
		error = copy_out(in->copy, buf, (size_t)n);
	return error < 0 ? error : n;
}

int
tool_fail(int error, const char *name, const char *why)
{
	fprintf(stderr, "raftsnap: '%s': %s\n", name,
	    why != NULL && why[0] != '\0' ? why : strerror(-error));
	switch (error) {
	case -EBADMSG:
	case -EPROTO:
	case -EINVAL:
		return TOOL_DATA;
	case -ENOENT:
		return TOOL_INPUT;
	case -EEXIST:
	case -ENOTEMPTY:
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
		fprintf(f, "  %-8s %-31s %s\n", c->name, c->args, c->help);
	fprintf(f, "  -d, --dir DIR        data directory to save from\n"
		   "  -m, --member ID=ADDR a member of the new cluster\n"
		   "  -n, --id ID          whose directory it will be\n"
		   "      --cluster NAME   enters the new cluster id\n"
		   "  -h, --help           print this and end\n"
		   "  -V, --version        print the version and end\n");
}

/* -1: go on, else the exit status. */
static int
options(int argc, char **argv)
{
	static const struct option longs[] = {
	    {"dir", required_argument, NULL, 'd'},
	    {"member", required_argument, NULL, 'm'},
	    {"id", required_argument, NULL, 'n'},
	    {"cluster", required_argument, NULL, 'c'},
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'}, {0}};
	unsigned members = 0;
	int c;

	while ((c = getopt_long(argc, argv, "d:m:n:hV", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			tool_dir = optarg;
			break;
		case 'n':
			tool_id = optarg;
			break;
		case 'c':
			tool_cluster = optarg;
			break;
		case 'm':
			if (members == MEMBERS_MAX) {
				fprintf(stderr,
				    "raftsnap: more than %d members\n",
				    MEMBERS_MAX);
				return TOOL_USAGE;
			}
			tool_member[members++] = optarg;
			break;
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
	return -1;
}

int
tool_main(int argc, char **argv)
{
	int status = options(argc, argv);
	const char *name = optind < argc ? argv[optind] : NULL;

	if (status >= 0)
		return status;
	if (name == NULL) {
		usage(stderr);
		return TOOL_USAGE;
	}
	for (const struct command *c = commands; c->name != NULL; c++) {
		if (strcmp(c->name, name) != 0)
			continue;
		status = c->run(argc - optind - 1, argv + optind + 1);
		if (status == TOOL_USAGE)
			fprintf(stderr, "usage: raftsnap %s %s\n", c->name,
			    c->args);
		if (fflush(stdout) != 0 && errno != EPIPE && status == TOOL_OK)
			return TOOL_IO;
		return status;
	}
	fprintf(stderr, "raftsnap: no such command '%s'\n", name);
	return TOOL_USAGE;
}
