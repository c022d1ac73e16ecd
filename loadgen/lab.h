/*
 * lab.h - a cluster of our own for a bench, by raftlab(1), in a scratch
 * directory.
 *
 * A process of its own, the keeper, starts it, and takes it down as soon as
 * nobody holds the other end of its pipe: whatever becomes of us, also by
 * SIGKILL, neither servers nor files stay behind.
 */
#ifndef LOADGEN_LAB_H
#define LOADGEN_LAB_H

#include <jansson.h>
#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#include "raftctl/errtext.h"

#define LAB_SERVERS_MAX 16 /* as raftlab has it */
#define LAB_OUT_MAX 65536  /* of what raftlab prints */

struct lab_config {
	const char *parent; /* where the scratch directory is made */
	unsigned servers;
	char **raftd_args;	     /* NULL at the end */
	const char *raftlab_args[3]; /* of up; NULL at the end */
};

struct lab {
	char dir[PATH_MAX]; /* scratch; the lab is below */
	char *endpoints;
	pid_t keeper;
	int control;
};

/* 0; -EINTR if *stop was set meanwhile; else the reason in errtext, or on
 * standard error by raftlab itself.  On failure nothing is left. */
int lab_start(struct lab *, const struct lab_config *, const volatile int *stop,
    struct errtext *);
/* 0 if all went away; harmless after a lab_start() that failed. */
int lab_stop(struct lab *);

/* SIGKILL to a server at the time that is returned, on CLOCK_MONOTONIC;
 * 0 if it does not run. */
uint64_t lab_kill(struct lab *, unsigned id);
int lab_start_server(struct lab *, unsigned id);
/* One more server, added to the cluster. */
int lab_add(struct lab *);
/* raftctl with these words, NULL at the end, within a minute; -ECHILD if it
 * fails, which it says itself. */
int lab_raftctl(struct lab *, const char *const words[]);
/* faults(8) with these words, NULL at the end; -ECHILD if it fails, which it
 * says itself. */
int lab_faults(struct lab *, const char *const words[]);
/* Until every server is up and has caught up. */
int lab_wait_healthy(struct lab *);
/* User and system time of all servers so far, in seconds. */
double lab_cpu_s(struct lab *);

/* {"p50", "p99", ...} in ms: pwrite + fdatasync over written space, in the
 * scratch directory. */
json_t *lab_fsync(struct lab *);

#endif
