/*
 * main.c - raftwal: look at a log, and judge it.
 */
#include "raftwal/tool.h"

int
main(int argc, char **argv)
{
	return tool_main(argc, argv);
}
