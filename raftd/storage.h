/*
 * storage.h - runs the host's storage jobs: on a thread of its own, so that
 * the event thread never waits for the disk, or in place where that is
 * cheaper than two wake-ups.
 *
 * A turn of the event thread submits any number of jobs; storage_kick()
 * hands them over together, with at most one wake-up.  The thread takes all
 * that wait into one store_run() (one write, one sync), and returns them
 * together, with at most one wake-up.  Between jobs it makes the next
 * segment ready and, once idle, vouches for the last sync with a mark.
 *
 * Invariants: jobs come back in the order of submission.  At any time one
 * thread at most is inside the log ("busy"), whichever that is.
 * Bounds: the host's, which has STORE_JOBS_MAX jobs at most.
 */
#ifndef RAFTD_STORAGE_H
#define RAFTD_STORAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "raftd/conf.h"
#include "raftd/store.h"

/* A lone batch up to this may be written in place (storage = auto). */
#define STORAGE_INLINE_BYTES_MAX 4096
/* ... while writes take no longer than this: the event thread waits. */
#define STORAGE_INLINE_NS_MAX 2000000

struct event_base;
struct storage;

struct storage_stat {
	uint64_t jobs, runs; /* store_run() calls */
	uint64_t in_place;   /* of them, on the event thread */
	uint64_t wakes_thread, wakes_event;
	uint64_t marks, prepares;
};

/* Jobs are taken from now on; done_cb gets each back. */
int storage_new(struct event_base *, enum conf_storage,
    void (*done_cb)(struct store_job *, void *ctx), void *ctx,
    struct storage **);
/* The log is open: run. */
int storage_start(struct storage *, struct wal *);
void storage_submit(struct storage *, struct store_job *);
/*
 * Hand over what was submitted.  quiet: nothing else waits for the event
 * thread.  True: it is to be run in place, after what the peers need to go
 * on has been sent; storage_run_here() does it.
 */
bool storage_kick(struct storage *, bool quiet);
/* True if the jobs are back; else the log was not free and the thread has
 * them. */
bool storage_run_here(struct storage *);
/* Jobs that are not back. */
uint64_t storage_open_jobs(const struct storage *);
void storage_stat(struct storage *, struct storage_stat *);
/* Runs what was handed over to its end, joins the thread and gives every job
 * back, also those that were never run.  NULL is fine. */
void storage_free(struct storage *);

#endif
