/*
 * main.c - raftsnap: look at snapshots, copy them, begin a cluster with one.
 */
#include "raftsnap/tool.h"

int
main(int argc, char **argv)
{
	return tool_main(argc, argv);
}
