/*
 * main.c - raftd, the consensus daemon: raftd(8).
 */
#include "raftd/conf.h"
#include "raftd/heap.h"
#include "raftd/server.h"

int
main(int argc, char **argv)
{
	static struct conf conf;
	int status;

	heap_init();
	status = conf_load(&conf, argc, argv);
	if (status < 0)
		status = server_run(&conf, argc, argv);
	return status;
}
