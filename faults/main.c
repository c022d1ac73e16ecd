/*
 * main.c - faults: break a cluster in known ways, and heal it for certain.
 */
#include "faults/cli.h"

int
main(int argc, char **argv)
{
	return faults_main(argc, argv);
}
