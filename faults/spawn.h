/*
 * spawn.h - other programs, run and waited for.
 *
 * While one runs it may hold the lab's lock: if we are killed, whoever comes
 * next waits until what we had started is over.
 */
#ifndef FAULTS_SPAWN_H
#define FAULTS_SPAWN_H

#include <stdbool.h>
#include <stddef.h>

#include "raftctl/errtext.h"

struct spawn {
	const char *netns; /* name of a network namespace, NULL: ours */
	const char *input; /* what it reads, NULL: nothing */
	int hold_fd;	   /* stays open in it; -1: none */
	int hold_as;	   /* under this number; 0: its own */
	char *out;	   /* what it printed, both ways; NULL: dropped */
	size_t out_size;
};

/* Its exit status, 127 if there is no such program, or -errno. */
int spawn_wait(const struct spawn *, const char *const argv[]);
/* The same; a status but 0 is -EIO with its last words. */
int spawn_check(
    const struct spawn *, const char *const argv[], struct errtext *);

/* Enter a namespace of ip-netns(8): 0 or -errno. */
int netns_enter(const char *name);
/* Whether a program stands on the path. */
bool have_program(const char *name);
/* For a new process: default signals, none blocked. */
void signals_default(void);

#endif
