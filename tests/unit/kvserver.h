/*
 * kvserver.h - a server of one for tests of clients: the key-value store
 * behind a Unix socket, in a child process, without Raft, and with the
 * faults that a test asks for.
 */
#ifndef TESTS_UNIT_KVSERVER_H
#define TESTS_UNIT_KVSERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct kvserver_faults {
	uint32_t refuse_every; /* answers BUSY to each n-th request */
	uint32_t drop_every;   /* closes instead of answering each n-th */
	uint32_t mute_every;   /* never answers each n-th */
	uint32_t stale_every;  /* each n-th get finds a value of long ago */
	bool follower;	       /* says so in status */
};

struct kvserver {
	char dir[64];
	char path[96];
	pid_t pid;
};

/* Listens when it returns. */
void kvserver_start(struct kvserver *, const struct kvserver_faults *);
void kvserver_stop(struct kvserver *);

#endif
