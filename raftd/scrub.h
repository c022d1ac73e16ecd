/*
 * scrub.h - reads the log and the snapshots of a running server now and then
 * and tells of what has rotted.
 *
 * A thread of its own, with its own view of the directory, at a low rate; it
 * shares nothing with the server but its findings.  What looks like damage
 * is looked at twice, as the log is written and cut meanwhile.
 */
#ifndef RAFTD_SCRUB_H
#define RAFTD_SCRUB_H

#include <stdbool.h>
#include <stdint.h>

#include "raftsnap/snap.h"
#include "raftwal/wal.h"

#define SCRUB_SNAPSHOTS_MAX 4 /* damaged ones told of in one round */

struct scrub_result {
	int error;	/* it could not be read to its end */
	uint64_t bytes; /* read */
	uint64_t ms;
	bool log_damaged;
	struct wal_problem problem; /* the first */
	unsigned snapshots;
	char snapshot[SCRUB_SNAPSHOTS_MAX][SNAP_PATH_LEN];
};

struct event_base;
struct scrub;

/* A round every interval, at so many bytes a second; done_cb comes on the
 * event thread. */
int scrub_start(struct event_base *, const char *dir, uint64_t interval_ns,
    uint64_t rate, uint32_t group,
    void (*done_cb)(const struct scrub_result *, void *ctx), void *ctx,
    struct scrub **);
void scrub_free(struct scrub *); /* ends the round in hand; NULL is fine */

/* One round, for tests and for the thread. */
struct scrub_limit {
	uint64_t rate; /* bytes a second, 0 none */
	uint64_t bytes, begun_ns;
	bool (*stopped)(void *ctx);
	void *ctx;
};
void scrub_round(
    struct disk *, uint32_t group, struct scrub_limit *, struct scrub_result *);

#endif
