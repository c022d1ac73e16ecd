/*
 * input.c - what a command reads: values, files, standard input.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/cli.h"

/* All that a stream holds.  Negative: go on; else the exit status. */
static int
read_stream(struct cli *cli, FILE *f, const char *name, struct cli_bytes *v)
{
	size_t cap = 65536, len = 0, n;
	uint8_t *data = malloc(cap), *more;

	while (data != NULL && (n = fread(data + len, 1, cap - len, f)) > 0) {
		len += n;
		if (len > WIRE_VALUE_LEN_MAX) {
			free(data);
			return cli_fail(cli, WIRE_TOO_LARGE,
			    "'%s' is longer than any value may be, %u bytes",
			    name, WIRE_VALUE_LEN_MAX);
		}
		if (len < cap)
			continue;
		cap *= 2;
		more = realloc(data, cap);
		if (more == NULL)
			free(data);
		data = more;
	}
	if (data == NULL)
		return cli_fail(cli, WIRE_BUG, "no memory");
	if (ferror(f)) {
		free(data);
		return cli_fail_file(cli, CLI_EXIT_IO, "read", name);
	}
	*v = (struct cli_bytes){data, len, data};
	return -1;
}

int
cli_read_file(struct cli *cli, const char *name, struct cli_bytes *v)
{
	FILE *f;
	int status;

	if (strcmp(name, "-") == 0)
		return read_stream(cli, stdin, "-", v);
	f = fopen(name, "re");
	if (f == NULL)
		return cli_fail_file(cli, CLI_EXIT_INPUT, "open", name);
	status = read_stream(cli, f, name, v);
	fclose(f);
	return status;
}

int
cli_read_value(struct cli *cli, const char *arg, bool raw, struct cli_bytes *v)
{
	*v = (struct cli_bytes){arg, strlen(arg), NULL};
	if (raw || (arg[0] != '@' && strcmp(arg, "-") != 0))
		return -1;
	return cli_read_file(cli, arg[0] == '@' ? arg + 1 : arg, v);
}
