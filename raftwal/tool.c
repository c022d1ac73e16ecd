/*
 * tool.c - the options of the program raftwal, and how it ends.
 */
#include "raftwal/tool.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "raftctl/errtext.h"

#define TAIL_COUNT 10

enum {
	LONG_HELP = 256,
	LONG_VERSION,
	LONG_FROM,
	LONG_TO,
	LONG_ENCODING,
	LONG_WRITE,
	LONG_PLAN,
	LONG_CONFIRM,
	LONG_PEER,
	LONG_HISTORY,
};

static const struct option long_options[] = {
    {"output", required_argument, NULL, 'o'},
    {"json", no_argument, NULL, 'j'},
    {"dir", required_argument, NULL, 'd'},
    {"from", required_argument, NULL, LONG_FROM},
    {"to", required_argument, NULL, LONG_TO},
    {"type", required_argument, NULL, 't'},
    {"group", required_argument, NULL, 'g'},
    {"encoding", required_argument, NULL, LONG_ENCODING},
    {"follow", no_argument, NULL, 'f'},
    {"lines", required_argument, NULL, 'n'},
    {"write", no_argument, NULL, LONG_WRITE},
    {"from-peer", required_argument, NULL, LONG_PEER},
    {"server", required_argument, NULL, 's'},
    {"history", no_argument, NULL, LONG_HISTORY},
    {"plan", required_argument, NULL, LONG_PLAN},
    {"confirm", required_argument, NULL, LONG_CONFIRM},
    {"help", no_argument, NULL, LONG_HELP},
    {"version", no_argument, NULL, LONG_VERSION},
    {NULL, 0, NULL, 0},
};

/* ---- errors ------------------------------------------------------------ */

static const char *
status_name(int status)
{
	switch (status) {
	case EX_USAGE:
		return "USAGE";
	case EX_DATAERR:
		return "DATA";
	case EX_NOINPUT:
		return "NO_INPUT";
	case EX_NOPERM:
		return "DENIED";
	case EX_IOERR:
		return "IO";
	case EX_CANTCREAT:
		return "IN_USE";
	case EX_UNAVAILABLE:
		return "UNREACHABLE";
	default:
		return "OS";
	}
}

int
tool_fail(const struct tool *t, int status, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	json_t *o;
	char *line;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!t->json_errors) {
		fprintf(stderr, "raftwal: %s\n", text);
		return status;
	}
	o = json_pack("{s:{s:s,s:i,s:b,s:s,s:s}}", "error", "code",
	    status_name(status), "exit", status, "retry", 0, "message", text,
	    "cause", text);
	line = o == NULL ? NULL : json_dumps(o, JSON_COMPACT);
	fprintf(stderr, "%s\n", line == NULL ? text : line);
	free(line);
	json_decref(o);
	return status;
}

int
tool_status(int error)
{
	switch (-error) {
	case ENOENT:
	case ENOTDIR:
		return EX_NOINPUT;
	case EBADMSG:
	case EPROTO:
		return EX_DATAERR;
	case EACCES:
	case EPERM:
		return EX_NOPERM;
	case EIO:
		return EX_IOERR;
	case EWOULDBLOCK:
		return EX_CANTCREAT;
	case EHOSTUNREACH:
		return EX_UNAVAILABLE;
	default:
		return EX_OSERR;
	}
}

int
tool_finish(const struct tool *t, int error, const struct errtext *et)
{
	if (error == 0 || error == -EPIPE)
		return 0;
	return tool_fail(t, tool_status(error), "'%s': %s", t->dir,
	    et->text[0] != '\0' ? et->text : strerror(-error));
}

const char *
tool_hex(const uint8_t id[16], char text[33])
{
	for (int i = 0; i < 16; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", id[i]);
	return text;
}

int
tool_print_json(json_t *o)
{
	char *line = o == NULL ? NULL : json_dumps(o, JSON_COMPACT);

	json_decref(o);
	if (line == NULL)
		return -ENOMEM;
	(void)fputs(line, stdout);
	(void)putchar('\n');
	free(line);
	return ferror(stdout) ? -EPIPE : 0;
}

/* ---- usage ------------------------------------------------------------- */

static void
usage(FILE *f)
{
	fprintf(f, "usage: raftwal [-d DIR] [-o FORMAT | -j] COMMAND [OPTIONS] "
		   "[DIR]\n\n");
	for (const struct tool_command *c = tool_commands; c->name != NULL; c++)
		fprintf(f, "  %-6s%s%s\n        %s\n", c->name,
		    c->args[0] == '\0' ? "" : " ", c->args, c->help);
	fputs("\n"
	      "  -d, --dir DIR       the data directory of a server\n"
	      "  -o, --output FORMAT text json raw fields\n"
	      "  -j, --json          the same as -o json\n"
	      "      --from INDEX    entries from this one on\n"
	      "      --to INDEX      entries up to this one\n"
	      "  -t, --type TYPE     entry noop config state peer damage "
	      "commit\n"
	      "  -g, --group GROUP   records of this group\n"
	      "      --encoding FORM base64 hex, for all bytes\n"
	      "  -f, --follow        go on with what is written\n"
	      "  -n, --lines COUNT   how many of the last records\n"
	      "      --write         do it; otherwise say what would be done\n"
	      "      --from-peer ADDR where a server serves clients\n"
	      "  -s, --server ADDR   ask a server that runs\n"
	      "      --history       one that loadgen check reads\n"
	      "      --plan FILE     raftctl recover plan made it\n"
	      "      --confirm ID    the cluster that is given up\n"
	      "      --help --version\n",
	    f);
}

static int
misuse(const struct tool *t, const char *fmt, const char *what)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "%s: '%s'", fmt, what);
	return tool_fail(t, EX_USAGE, "%s", text);
}

static int
number_read(const char *text, uint64_t max, uint64_t *out)
{
	char *end;
	unsigned long long n;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || n > max)
		return -EINVAL;
	*out = n;
	return 0;
}

static int
output_read(const char *text, enum tool_output *out)
{
	static const char *const name[] = {"text", "json", "raw", "fields"};

	for (unsigned i = 0; i < 4; i++)
		if (strcmp(text, name[i]) == 0) {
			*out = (enum tool_output)i;
			return 0;
		}
	return -EINVAL;
}

static int
encoding_read(const char *text, enum show_encoding *out)
{
	if (strcmp(text, "base64") == 0)
		*out = SHOW_BASE64;
	else if (strcmp(text, "hex") == 0)
		*out = SHOW_HEX;
	else
		return -EINVAL;
	return 0;
}

/* ---- options ----------------------------------------------------------- */

/* One option; *used collects what the command must allow.  0, or -EINVAL. */
static int
option_take(struct tool *t, int c, const char *arg, unsigned *used)
{
	uint64_t n;
	int error = 0;

	switch (c) {
	case 'o':
		error = output_read(arg, &t->output);
		t->json_errors = error == 0 && t->output == OUTPUT_JSON;
		break;
	case 'j':
		t->output = OUTPUT_JSON;
		t->json_errors = true;
		break;
	case 'd':
		t->dir = arg;
		break;
	case LONG_FROM:
		error = number_read(arg, UINT64_MAX, &t->from);
		*used |= OPTION_RANGE;
		break;
	case LONG_TO:
		error = number_read(arg, UINT64_MAX, &t->to);
		*used |= OPTION_RANGE;
		break;
	case 't':
		t->type = arg;
		*used |= OPTION_RANGE;
		break;
	case 'g':
		error = number_read(arg, UINT32_MAX, &n);
		t->group = error == 0 ? (uint32_t)n : 0;
		t->has_group = true;
		*used |= OPTION_GROUP;
		break;
	case LONG_ENCODING:
		error = encoding_read(arg, &t->encoding);
		*used |= OPTION_ENCODING;
		break;
	case 'f':
		t->follow = true;
		*used |= OPTION_FOLLOW;
		break;
	case 'n':
		error = number_read(arg, UINT64_MAX, &t->count);
		*used |= OPTION_COUNT;
		break;
	case LONG_WRITE:
		t->write = true;
		*used |= OPTION_WRITE;
		break;
	case 's':
		t->server = arg;
		*used |= OPTION_SERVER;
		break;
	case LONG_HISTORY:
		t->history = true;
		*used |= OPTION_HISTORY;
		break;
	case LONG_PEER:
		t->peer = arg;
		*used |= OPTION_PEER;
		break;
	case LONG_PLAN:
		t->plan = arg;
		*used |= OPTION_PLAN;
		break;
	case LONG_CONFIRM:
		t->confirm = arg;
		*used |= OPTION_PLAN;
		break;
	default:
		break;
	}
	return error;
}

static int
type_check(const char *type)
{
	static const char *const known[] = {"entry", "noop", "config", "state",
	    "peer", "damage", "commit", "start", "reset"};

	if (type == NULL)
		return 0;
	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(type, known[i]) == 0)
			return 0;
	return -EINVAL;
}

static const struct tool_command *
command_find(const char *name)
{
	for (const struct tool_command *c = tool_commands; c->name != NULL; c++)
		if (strcmp(name, c->name) == 0)
			return c;
	return NULL;
}

/* Options may stand before or behind the command.  -1: go on; else the exit
 * status. */
static int
options_read(struct tool *t, int argc, char **argv, unsigned *used)
{
	int c;

	opterr = 0;
	while ((c = getopt_long(
		    argc, argv, ":o:jd:t:g:fn:s:", long_options, NULL)) != -1) {
		if (c == LONG_HELP) {
			usage(stdout);
			return 0;
		}
		if (c == LONG_VERSION) {
			printf("raftwal (raftkit) %s\n", RAFTKIT_VERSION);
			return 0;
		}
		if (c == '?')
			return misuse(t, "no such option", argv[optind - 1]);
		if (c == ':')
			return misuse(
			    t, "the option needs a value", argv[optind - 1]);
		if (option_take(t, c, optarg, used) < 0)
			return misuse(t, "not a value for the option", optarg);
	}
	return -1;
}

/* -d and the operands, which are to be one directory, or two.  -EINVAL: said
 * so. */
static int
dirs_read(struct tool *t, int argc, char **argv, bool two)
{
	if (argc > (two ? 2 : 1)) {
		(void)misuse(t, "a directory too many", argv[two ? 2 : 1]);
		return -EINVAL;
	}
	if (two && t->dir == NULL && argc == 2) {
		t->dir = argv[0];
		t->dir2 = argv[1];
		return 0;
	}
	if (two && argc == 1)
		t->dir2 = argv[0];
	else if (argc == 1 && t->dir != NULL && strcmp(t->dir, argv[0]) != 0) {
		(void)misuse(t, "a directory too many", argv[0]);
		return -EINVAL;
	} else if (argc == 1)
		t->dir = argv[0];
	if (t->server != NULL && t->dir == NULL)
		return 0;
	if (t->dir == NULL || (two && t->dir2 == NULL) || t->server != NULL) {
		(void)tool_fail(t, EX_USAGE,
		    t->server != NULL ? "a directory or -s, not both"
		    : two	      ? "two data directories are needed"
				      : "a data directory is missing");
		return -EINVAL;
	}
	return 0;
}

static int
operands_read(struct tool *t, int argc, char **argv, unsigned used,
    const struct tool_command **out)
{
	const struct tool_command *c;

	if (argc == 0)
		return tool_fail(t, EX_USAGE, "a command is missing");
	c = command_find(argv[0]);
	if (c == NULL)
		return misuse(t, "no such command", argv[0]);
	if (dirs_read(t, argc - 1, argv + 1, (c->options & DIRS_TWO) != 0) < 0)
		return EX_USAGE;
	if ((used & ~c->options) != 0)
		return misuse(t, "an option that is not for", c->name);
	if (t->output == OUTPUT_RAW && (c->options & OPTION_RAW) == 0)
		return misuse(t, "-o raw is not for", c->name);
	if (type_check(t->type) < 0)
		return misuse(t, "no such type of record", t->type);
	*out = c;
	return -1;
}

/* Nothing is to be made, not even a lock file, anywhere else. */
static bool
is_data_dir(const char *dir)
{
	char path[4096];

	if ((size_t)snprintf(path, sizeof(path), "%s/wal", dir) >= sizeof(path))
		return false;
	if (access(path, F_OK) == 0)
		return true;
	(void)snprintf(path, sizeof(path), "%s/identity", dir);
	return access(path, F_OK) == 0;
}

int
tool_main(int argc, char **argv)
{
	struct tool t = {.to = UINT64_MAX, .count = TAIL_COUNT};
	const struct tool_command *c = NULL;
	const char *env = getenv("RAFT_OUTPUT");
	struct errtext et = {""};
	unsigned used = 0;
	int status, error;

	(void)signal(SIGPIPE, SIG_IGN);
	t.output = isatty(STDOUT_FILENO) ? OUTPUT_TEXT : OUTPUT_JSON;
	if (env != NULL && env[0] != '\0' && output_read(env, &t.output) < 0)
		return misuse(&t, "RAFT_OUTPUT is not a format", env);
	status = options_read(&t, argc, argv, &used);
	if (status < 0)
		status =
		    operands_read(&t, argc - optind, argv + optind, used, &c);
	if (status >= 0)
		return status;
	if (t.dir == NULL)
		return c->run(&t);
	if (t.write && !is_data_dir(t.dir))
		return tool_fail(&t, EX_NOINPUT,
		    "'%s' is not the data directory of a server", t.dir);
	error = disk_real_open(t.dir, false, t.write, &t.disk, &et);
	if (error < 0)
		return tool_fail(&t,
		    strcmp(c->name, "check") == 0 ? 8 : tool_status(error),
		    "%s", et.text);
	if (t.dir2 != NULL) {
		error = disk_real_open(t.dir2, false, false, &t.disk2, &et);
		if (error < 0) {
			disk_real_close(&t.disk);
			return tool_fail(&t, tool_status(error), "%s", et.text);
		}
	}
	status = c->run(&t);
	disk_real_close(&t.disk);
	if (t.dir2 != NULL)
		disk_real_close(&t.disk2);
	/* A pipe closed early is no error; a full disk is. */
	errno = 0;
	if (fflush(stdout) != 0 && errno != EPIPE)
		return tool_fail(
		    &t, EX_IOERR, "cannot write: %s", strerror(errno));
	return status;
}
