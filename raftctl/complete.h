/*
 * complete.h - what a word on the command line may become.
 */
#ifndef RAFTCTL_COMPLETE_H
#define RAFTCTL_COMPLETE_H

#include "raftctl/cli.h"

#define COMPLETE_MAX 100 /* candidates */

typedef void complete_cb(const char *candidate, void *ctx);

/* argv are the words behind the program's name, the last of them to be
 * completed, maybe empty.  Asks the servers named there or in *cli, for a
 * short time; says nothing of failures. */
void complete_words(
    struct cli *, int argc, char **argv, complete_cb *, void *ctx);

#endif
