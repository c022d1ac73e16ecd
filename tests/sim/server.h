/*
 * server.h - one simulated server: a host on a simulated disk and clock.
 *
 * Storage: jobs that wait are taken together, up to a number the seed draws,
 * and stay in work for a while.  At its end store_run() runs whole, and its
 * completions reach the host a little later.  That is honest because nobody
 * but the disk can tell when within its time a job did what: a crash in
 * between runs the jobs in work on a disk that freezes at a random
 * operation, and may then lose any part of what was not synced.
 *
 * Clocks: monotonic = base + time x (1 + drift) + jumps; a pause lets it
 * run on.  Wall clocks are anything.
 *
 * Life: a number that grows with each start; events of a former life are
 * ignored.
 */
#ifndef TESTS_SIM_SERVER_H
#define TESTS_SIM_SERVER_H

#include "raftd/core/raft.h"
#include "tests/sim/sim.h"

#define SERVER_GROUP HOST_GROUP_DEFAULT
#define SERVER_BATCH_MAX STORE_JOBS_MAX
#define SERVER_JOBS_MAX 16384 /* out at once: beyond, nothing holds back */

enum server_state {
	SERVER_DOWN,
	SERVER_UP,
	SERVER_HALTED, /* refuses to start, as it must on such a disk */
	SERVER_GONE,   /* never comes back */
};

struct server {
	struct sim *sim;
	unsigned number;
	uint64_t id;
	enum server_state state;
	uint32_t life;
	struct simdisk *disk;
	struct host *host;
	struct prng store_prng, crash_prng, clock_prng;
	/* turns */
	bool turn_soon;
	uint64_t turn_token;
	uint64_t timer_at, timer_queued, timer_token;
	uint64_t start_token;
	uint64_t paused_until; /* 0: it runs */
	uint64_t stale_ns;    /* the time as of which its next turn is; 0 now */
	struct event *parked; /* while it is paused */
	size_t parked_count, parked_cap;
	bool stopping;
	bool removed;	  /* knows that it is no member any more */
	bool leaving;	  /* ends for good when it stops */
	uint64_t stop_by; /* patience of whoever stops it */
	/* storage */
	struct store_queue waiting;
	struct store_job *batch[SERVER_BATCH_MAX]; /* in work */
	struct store_queue done;		   /* completions on the way */
	unsigned batch_count, jobs_out;
	uint64_t batch_token;
	bool idle_queued;
	uint64_t worked_at; /* the latest batch was done */
	uint64_t stalled_until;
	/* clock */
	uint64_t clock_base, clock_synced_at;
	int64_t drift_ppm;
	uint64_t wall_ms;
	/* what faults its disk has met */
	bool victim;		 /* of damage: never more than a minority */
	bool damaged;		 /* its log may lack what was durable */
	bool replaced;		 /* its disk was, by an old or an empty one */
	bool untrusted;		 /* beyond the promises: checks of it are off */
	int fatal;		 /* exit status it asked for, 0 none */
	unsigned recovery_crash; /* next start dies at this change + 1 */
	unsigned midwrite;	 /* dies at its next job: 1, or 2 with power */
	uint64_t starts, fatal_count;
	int snapshot_result;
};

void server_init(struct sim *, unsigned number);
void server_free(struct server *);

void server_event(struct sim *, const struct event *);
/* Soon: input has arrived. */
void server_wake(struct server *);
struct host_time server_time(const struct server *);

/* Start now.  A server that cannot start stays down and says why. */
void server_start(struct server *);
void server_start_in(struct server *, uint64_t delay);
/* It dies.  power: with the machine it runs on.  midwrite: in the middle of
 * its storage jobs. */
void server_crash(struct server *, bool power, bool midwrite);
void server_pause(struct server *, uint64_t length);
void server_resume(struct server *);
/* True while it is paused: the event will happen when it is not any more. */
bool server_park(struct server *, const struct event *);
/* The disk answers again. */
void server_unstall(struct server *);
void server_clock_jump(struct server *, uint64_t ns);
void server_clock_drift(struct server *, int64_t ppm);
/* Orderly: leadership over, drained, closed. */
void server_stop(struct server *);

bool server_up(const struct server *);
bool server_status(const struct server *, struct raft_status *);
struct server *server_by_id(struct sim *, uint64_t id);
/* The one that leads with the highest term; NULL if none does. */
struct server *server_leader(struct sim *);
/* Jobs wait or are in work. */
bool server_storing(const struct server *);

#endif
