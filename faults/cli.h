/*
 * cli.h - the program faults: options, commands, exit statuses.
 */
#ifndef FAULTS_CLI_H
#define FAULTS_CLI_H

/* The whole program; its exit status. */
int faults_main(int argc, char **argv);

#endif
