/*
 * commands.h - the commands of loadgen.
 *
 * Each takes its own argc and argv (argv[0] is the command's name), parses
 * its options with getopt_long, and returns the program's exit status.
 */
#ifndef LOADGEN_COMMANDS_H
#define LOADGEN_COMMANDS_H

int cmd_run(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_report(int argc, char **argv);

#endif
