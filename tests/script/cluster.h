/*
 * cluster.h - cores in memory, for the interpreter of scenarios and for unit
 * tests: a network whose messages are delivered, lost, repeated and reordered
 * one by one, disks whose writes are completed one by one, and a clock for
 * each server.
 *
 * After each step it looks for broken promises: invariants of one core
 * (raft_check), election safety, leader completeness, state machine safety,
 * commit counted over disks, votes and acknowledgements only after
 * durability, reads not older than what was committed when they were asked.
 * The first one found stands in `broken`.
 */
#ifndef TESTS_SCRIPT_CLUSTER_H
#define TESTS_SCRIPT_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "raftd/core/raft.h"

#define CLUSTER_NODES_MAX 9 /* ids 1.. */
#define CLUSTER_LOG_MAX 2048
#define CLUSTER_NET_MAX 4096
#define CLUSTER_BATCHES_MAX 512
#define CLUSTER_TERMS_MAX 1024
#define CLUSTER_CONFIGS_MAX 64
#define CLUSTER_ENTRY_BYTES 100

struct cluster_entry {
	uint64_t term;
	uint64_t tag;	 /* no two entries are the same */
	unsigned config; /* number of the configuration, 0: none */
};

struct cluster_msg {
	struct raft_msg m;
	struct cluster_entry *entry; /* of an append */
};

struct cluster_batch {
	struct raft_hard hard;
	uint64_t first, last; /* none if last < first */
	uint64_t report_index, report_term;
	struct cluster_entry *entry;
	struct cluster_msg *wait; /* what leaves when it is durable */
	unsigned wait_count;
	bool durable;
};

struct cluster_disk {
	struct raft_hard hard;
	uint64_t last;
	struct cluster_entry entry[CLUSTER_LOG_MAX + 1];
};

struct cluster_node {
	struct raft *raft;
	struct raft_run *runs;
	uint32_t runs_cap;
	struct raft_options opt;
	struct raft_time now;
	struct raft_time deadline;
	bool alive;
	bool manual; /* writes are completed by cluster_persist() only */
	uint64_t commit;
	/* The log in memory, as a host would cache it. */
	uint64_t last;
	struct cluster_entry entry[CLUSTER_LOG_MAX + 1];
	struct cluster_disk disk;
	struct cluster_batch batch[CLUSTER_BATCHES_MAX];
	unsigned batch_count;
	uint64_t read_floor[256]; /* by read id */
	uint64_t read_index[256]; /* answers: index + 1, 0 none, ~0 refused */
};

struct cluster {
	FILE *trace; /* NULL: silent */
	unsigned count;
	struct cluster_node *node[CLUSTER_NODES_MAX + 1];
	struct cluster_msg net[CLUSTER_NET_MAX];
	unsigned net_count;
	struct cluster_msg held[CLUSTER_NET_MAX]; /* see cluster_hold() */
	unsigned held_count;
	bool cut[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1];
	uint64_t tags;
	struct raft_config config[CLUSTER_CONFIGS_MAX];
	unsigned config_count;
	uint64_t rejected; /* events refused */
	/* What has been promised. */
	uint64_t leader_of[CLUSTER_TERMS_MAX];
	uint64_t committed;
	struct cluster_entry commit_entry[CLUSTER_LOG_MAX + 1];
	uint64_t commit_term[CLUSTER_LOG_MAX + 1]; /* when it was seen */
	char broken[256];
	struct raft_output out;
};

struct cluster_options {
	unsigned count;
	unsigned voters; /* ids 1..voters; the rest up to members learn */
	unsigned members;
	uint64_t seed;
	uint32_t append_entries_max;
	uint64_t inflight_bytes_max;
	uint64_t uncommitted_bytes_max;
	uint64_t start_ns;
	bool no_pre_vote, no_check_quorum;
};

#define MS(n) (UINT64_C(1000000) * (n))

struct cluster *cluster_new(const struct cluster_options *, FILE *trace);
void cluster_free(struct cluster *);

/* One event to one server; its output is carried out. */
void cluster_step(struct cluster *, unsigned id, struct raft_event *);
void cluster_tick(struct cluster *, unsigned id, uint64_t ns);
void cluster_timeout(struct cluster *, unsigned id); /* its clock to deadline */
void cluster_propose(struct cluster *, unsigned id, uint32_t count);
void cluster_read(struct cluster *, unsigned id, uint64_t read);
void cluster_peer(
    struct cluster *, unsigned id, enum raft_event_type, uint64_t peer);
void cluster_change(struct cluster *, unsigned id, const struct raft_config *);
void cluster_crash(struct cluster *, unsigned id);
void cluster_restart(struct cluster *, unsigned id, bool damaged);
/* Lose entries after `last` on a disk: only while it is down. */
void cluster_lose(struct cluster *, unsigned id, uint64_t last);
/* Append entries of a term to memory and disk of a server that is down. */
void cluster_write(
    struct cluster *, unsigned id, uint64_t term, uint64_t count);
void cluster_hard(struct cluster *, unsigned id, uint64_t term, uint64_t vote);

/* Complete the nth of the writes on the way: it and all before are durable,
 * it alone is reported. */
void cluster_persist(struct cluster *, unsigned id, unsigned nth);

/* Messages that match; 0 and RAFT type 0 match all. */
struct cluster_match {
	unsigned from, to;
	int type;
	unsigned nth; /* only the nth that matches, from 1; 0: all */
};
unsigned cluster_deliver(struct cluster *, const struct cluster_match *);
unsigned cluster_drop(struct cluster *, const struct cluster_match *);
unsigned cluster_repeat(struct cluster *, const struct cluster_match *);
/* Messages that match are late: they wait aside until released. */
unsigned cluster_hold(struct cluster *, const struct cluster_match *);
void cluster_release(struct cluster *);
/* Deliver and complete everything until nothing is left: false if that does
 * not end. */
bool cluster_settle(struct cluster *);
/* Let time pass for all, settling after each step. */
void cluster_run(struct cluster *, uint64_t ns, uint64_t step_ns);

void cluster_cut(struct cluster *, unsigned from, unsigned to, bool cut);
unsigned cluster_leader(const struct cluster *); /* of the highest term */
void cluster_status(const struct cluster *, unsigned id, struct raft_status *);
void cluster_print_msg(FILE *, const struct raft_msg *);
const char *cluster_msg_name(enum raft_msg_type);

#endif
