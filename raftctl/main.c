/*
 * main.c - raftctl, the control program.
 */
#include "raftctl/cli.h"

int
main(int argc, char **argv)
{
	return cli_main(argc, argv);
}
