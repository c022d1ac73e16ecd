/*
 * cmd_snapshot.c - snapshot and compact: asked of one server.
 */
#include <getopt.h>

#include "raftctl/cli.h"

static const struct output_column columns[] = {
    {"ID", "id"},
    {"INDEX", "index"},
    {"TERM", "term"},
    {"BYTES", "bytes"},
    {"FIRST", "first"},
    {"FILE", "file"},
    {0},
};

static int
call(struct cli *cli, int argc, char **argv, const char *method)
{
	struct client_answer answer;
	json_t *j;

	if (cli_next(cli, argc, argv) == CLI_EXIT)
		return cli->status;
	if (argc != optind)
		return cli_usage(
		    cli, "%s takes no operands", cli->command->name);
	if (cli_call(cli, method, NULL, CLIENT_READ, &answer) != WIRE_OK)
		return wire_status_info(answer.status)->exit;
	j = output_json(
	    mp_span(answer.result.data, answer.result.len), cli->encoding);
	mp_buf_release(&answer.result);
	if (!json_is_object(j)) {
		json_decref(j);
		return cli_fail(
		    cli, WIRE_PROTOCOL_ERROR, "the answer is no snapshot");
	}
	cli_print_one(cli, j, columns);
	return 0;
}

int
cmd_snapshot(struct cli *cli, int argc, char **argv)
{
	return call(cli, argc, argv, "snapshot");
}

int
cmd_compact(struct cli *cli, int argc, char **argv)
{
	return call(cli, argc, argv, "compact");
}
