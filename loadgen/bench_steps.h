/*
 * bench_steps.h - loadgen bench snapshot and reconfigure: what clients notice
 * while a cluster of our own takes snapshots and changes its members.
 */
#ifndef LOADGEN_BENCH_STEPS_H
#define LOADGEN_BENCH_STEPS_H

#include <stdbool.h>

bool bench_steps_knows(const char *name);
/* argv[1] is the name.  The exit status of the program. */
int bench_steps(int argc, char **argv);

#endif
