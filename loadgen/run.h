/*
 * run.h - the engine of `loadgen run`: many clients over few connections, in
 * one thread.
 *
 * Closed loop: each slot (a client has one for each operation it may have
 * open) asks again as soon as it was answered.  Open loop: operation k is
 * meant to start at begin + k / rate, whether or not earlier ones came back;
 * it waits for a free slot if there is none, and its latency counts from
 * when it was meant to start.
 *
 * A slot belongs to one link.  While that is down its operation waits, and
 * the waiting counts.
 */
#ifndef LOADGEN_RUN_H
#define LOADGEN_RUN_H

#include "loadgen/link.h"
#include "loadgen/ops.h"
#include "loadgen/run_options.h"
#include "loadgen/tally.h"

/* A refused client of a closed loop asks again after this. */
#define RUN_PAUSE_NS 5000000u
#define RUN_SWEEP_NS 20000000u	  /* how often timeouts are looked for */
#define RUN_FINISH_NS 1000000000u /* for what is open when it is stopped */
/* An open loop starts what is due together at least this far apart: a system
 * call for each operation would cost the servers their processor. */
#define RUN_TICK_NS 50000u

struct run_slot {
	struct op op;
	uint64_t start_ns; /* meant to start */
	uint64_t sent_ns;  /* of the part that is open */
	uint32_t msgid;
	uint32_t next; /* in its link's list of free slots, or the pauses */
	uint16_t link;
	bool busy;
	bool measured;
	bool loading;
};

#define RUN_NO_SLOT UINT32_MAX

struct run_link {
	struct link link;
	uint32_t free; /* first of its free slots */
	bool leaving;  /* its server is stopping: nothing new, then away */
};

enum run_phase { RUN_LOADING, RUN_WARMUP, RUN_MEASURE, RUN_DRAIN };

struct run {
	const struct run_options *opt;
	struct link_set set;
	struct run_link *links;
	struct run_slot *slots;
	uint32_t slot_count;
	uint32_t open; /* operations asked and not answered */
	uint32_t pause_first, pause_last;
	struct work work;
	struct ops ops;
	struct tally tally;
	enum run_phase phase;
	uint64_t zero_ns;	   /* times of the history count from here */
	uint64_t phase_ns;	   /* when the phase began */
	uint64_t begin_ns, end_ns; /* of measuring */
	uint64_t last_ns;	   /* the last measured answer */
	uint64_t loaded;	   /* keys asked to be put */
	uint64_t issued;	   /* measured operations */
	uint64_t arrivals;	   /* open loop, of this phase */
	uint64_t next_turn_ns, next_sweep_ns;
	uint64_t pumped_ns; /* open loop: when operations were last begun */
	uint64_t stray;	    /* answers to what had been given up */
	unsigned turn_link;
	bool answered;	   /* anybody ever */
	uint64_t began_ms; /* measuring, since the epoch */
	/* When a phase begins; set after run_init(), or NULL. */
	void (*phase_cb)(enum run_phase, void *ctx);
	void *phase_ctx;
	char why[128]; /* a link failed the last time */
};

/* recorder may be NULL.  -ENOMEM, -errno. */
int run_init(struct run *, const struct run_options *, struct endpoint *,
    unsigned endpoint_count, struct recorder *);
void run_release(struct run *);

/* Until the end, or *stop is set by a signal.  0, or -EHOSTUNREACH if nobody
 * could be reached within the time limit of an operation (why in ->why). */
int run_go(struct run *, const volatile int *stop);

double run_seconds(const struct run *); /* of measuring */
/* Open loop: operations that were due and never started. */
uint64_t run_late(const struct run *);

#endif
