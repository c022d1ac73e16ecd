/*
 * lab.h - a lab of raftlab, as its files tell it.
 *
 * Nothing here changes the lab.  A server's process is known by its pid and
 * its start time within one boot of the machine, as raftlab knows it, so that
 * no other process is ever signalled.
 *
 * The files are documented in raftlab(1).
 */
#ifndef FAULTS_LAB_H
#define FAULTS_LAB_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "raftctl/errtext.h"

#define LAB_SERVERS_MAX 16 /* a group has no more members */

struct lab_server {
	char host[64];	  /* of its peers' address; empty: a Unix socket */
	char client[256]; /* where it is served, as raftctl -s wants it */
	unsigned port;
};

struct lab {
	char dir[PATH_MAX];
	char boot[64];	/* of the machine, now */
	bool same_boot; /* the lab was started since */
	unsigned count; /* servers have the ids 1 to count */
	struct lab_server server[LAB_SERVERS_MAX + 1]; /* by id */
	char netns[32]; /* prefix of its namespaces' names; empty: none */
	bool disk;	/* each server has a file system of its own */
	char run[16];	/* names our chains and cgroups: from dir */
	bool really;	/* addresses outside the lab are allowed */
};

/* dir NULL: $RAFT_LAB.  -ENOENT no such lab, -EBADMSG not one. */
int lab_open(struct lab *, const char *dir, struct errtext *);

/* A process and since when; ESRCH: none, or a zombie. */
int proc_start(pid_t, char *state, uint64_t *start);
/* Of a server: -ESRCH while it does not run. */
int lab_pid(const struct lab *, unsigned id, pid_t *, uint64_t *start);
bool proc_is(pid_t, uint64_t start);
/* Waits until it is gone: -ETIMEDOUT. */
int proc_wait_gone(pid_t, uint64_t start, unsigned limit_ms);

void sleep_ms(unsigned);
/* Since 1970, for people and reports. */
uint64_t wall_ms(void);
uint64_t mono_ms(void);

#endif
