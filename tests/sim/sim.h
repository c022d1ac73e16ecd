/*
 * sim.h - the simulated world: servers, their disks and clocks, the network
 * between them, clients, the nemesis, and the checker that watches.
 *
 * One thread, one heap of events.  The code under test is everything of
 * raftd below its sockets (raftd/host.h), run on struct disk_ops and struct
 * host_env of our own.  What an event does to one server is: feed input, run
 * turns; after each turn the checker compares that server with everything
 * it has ever seen.
 *
 * Who owns what: struct sim owns all of it.  A file of the simulator changes
 * only its own part: net.c the links, server.c the servers, client.c clients
 * and operations, check.c the shadow of logs and the model, nemesis.c the
 * plan of faults, admin.c the changes of members.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftctl/mp.h"
#include "raftd/host.h"
#include "tests/sim/events.h"
#include "tests/sim/marks.h"
#include "tests/sim/prng.h"
#include "tests/sim/simdisk.h"
#include "tests/sim/swarm.h"

#define SIM_US UINT64_C(1000)
#define SIM_MS UINT64_C(1000000)
#define SIM_S UINT64_C(1000000000)

enum what {
	EV_TURN,	 /* who: server, a: token */
	EV_TIMER,	 /* who: server, a: token; b: life */
	EV_STORE,	 /* the batch in work is done; b: life */
	EV_STORED,	 /* its completions reach the host; b: life */
	EV_STORE_IDLE,	 /* nothing to write for a while; b: life */
	EV_RESUME,	 /* a pause ends; a: until when it was to last */
	EV_SNAPSHOT,	 /* one was written; b: life */
	EV_START,	 /* start a server; a: token */
	EV_DELIVER,	 /* a: link, b: its generation */
	EV_DATAGRAM,	 /* a: slot of the message */
	EV_LINK_DIAL,	 /* a: link, b: generation */
	EV_LINK_BROKEN,	 /* a: link, b: generation: times out if still cut */
	EV_LINK_NOTICE,	 /* who: end that learns; a: link, b: generation */
	EV_CLIENT,	 /* who: client: next operation */
	EV_CLIENT_CALL,	 /* request reaches its server; a: operation */
	EV_CLIENT_REPLY, /* a: slot of the message */
	EV_CLIENT_LATE,	 /* who: client: has its operation been too long? */
	EV_OPERATOR,	 /* next change of members; a: token */
	EV_LEASE,	 /* who: holder of leases, a: what */
	EV_NEMESIS,	 /* next step */
	EV_UNDO,	 /* who, a, b: the nemesis' own */
	EV_PHASE,	 /* a: enum phase */
};

enum phase {
	PHASE_CHAOS,
	PHASE_LIVENESS, /* healed a quorum, waiting for a leader */
	PHASE_ANSWERS,	/* every operation must be answered */
	PHASE_CONVERGE, /* members converge */
	PHASE_DONE,
};

struct server;
struct net;
struct clients;
struct checker;
struct nemesis;
struct lease_holders;
struct admin;

struct sim {
	struct swarm_options options;
	struct swarm conf;
	struct events events;
	uint64_t now; /* nanoseconds since the start */
	enum phase phase;
	uint64_t converged;   /* entries applied, the most seen */
	uint64_t phase_until; /* the phase's time limit */
	uint32_t quorum;      /* servers that must be live, PHASE_LIVENESS on */
	unsigned server_count; /* conf.servers, and those that may join */
	struct server *server[SIM_SERVERS_MAX];
	struct net *net;
	struct clients *clients;
	struct checker *checker;
	struct nemesis *nemesis;
	struct admin *admin;
	struct lease_holders *leases;
	uint64_t clock_jumps; /* of any server's */
	uint64_t trace;	      /* hash of all that happened */
	uint64_t event_count;
	unsigned verbose; /* 1 events, 2 messages too */
	bool failed;
	char failure[512]; /* the first one */
};

/* One run: 0, or 1 when something is wrong, which is in sim->failure. */
struct sim *sim_new(const struct swarm_options *, unsigned verbose);
int sim_run(struct sim *);
void sim_free(struct sim *);

/* Something promised does not hold.  The first one counts; the run ends. */
void sim_fail(struct sim *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* What happens, for people; nothing unless verbose. */
void sim_say(struct sim *, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
#define sim_say_more(sim, ...)                     \
	do {                                       \
		if ((sim)->verbose > 1)            \
			sim_say(sim, __VA_ARGS__); \
	} while (0)
void sim_trace(struct sim *, uint64_t word);
void sim_trace_bytes(struct sim *, const void *, size_t);
void sim_at(struct sim *, uint64_t delay, enum what, unsigned who, uint64_t a,
    uint32_t b);

void *sim_must(void *); /* aborts on NULL: the simulator's own memory */

#endif
