/*
 * fault.h - faults: what they are, and how each is made and unmade.
 *
 * A scene is a lab with the faults that are active in it.  Each fault stands
 * in the journal before anything of it is done, and leaves the journal only
 * when it is undone; so whoever reads the journal can heal, whatever became
 * of the process that broke it.  Undoing is idempotent, and does nothing for
 * what was never done.
 *
 * A kind of fault is a row of the table in kinds.c.  Network faults are not
 * done one by one: net_render() makes the kernel hold what the journal says.
 *
 * Threads: one.  While a scene is locked no other process changes the lab's
 * faults.
 */
#ifndef FAULTS_FAULT_H
#define FAULTS_FAULT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "faults/lab.h"
#include "faults/links.h"
#include "raftctl/errtext.h"

#define FAULTS_MAX 64 /* active in one lab */
#define PPM 1000000u  /* probabilities are in millionths */

/* What undoes first in heal: a frozen disk blocks whoever looks at it. */
enum undo_order {
	UNDO_THAW,
	UNDO_CONTINUE,
	UNDO_LIMIT,
	UNDO_NETWORK,
	UNDO_START,
	UNDO_ORDERS,
};

struct fault;
struct scene;

struct kind {
	const char *name;
	const char *args;
	const char *help;
	enum undo_order order;
	bool hits_process; /* of fault.server; one such fault at a time */
	int (*parse)(const struct lab *, struct fault *, int argc,
	    char *const argv[], struct errtext *);
	/* Also with what is in force already: */
	int (*apply)(struct scene *, struct fault *, struct errtext *);
	int (*undo)(struct scene *, struct fault *, struct errtext *);
};

struct fault {
	uint64_t id;
	const struct kind *kind;
	struct links links; /* network faults */
	unsigned server;    /* others; 0: none */
	uint64_t since_ms, until_ms;
	uint64_t delay_us, jitter_us, ppm, rate_bits;
	bool by_port; /* only what is sent to the peers' port */
	bool here;    /* of this boot of the machine */
	bool ending;  /* being undone: no longer rendered */
	pid_t target; /* the server's process */
	uint64_t target_start;
	pid_t helper; /* a process that keeps it up */
	uint64_t helper_start;
	pid_t owner; /* whoever waits to heal it; 0: nobody */
	uint64_t owner_start;
	char mechanism[32];
	char detail[128];
	char word[64];	       /* which system call, and such */
	char undo[PATH_MAX];   /* what to undo, by its name */
	char before[PATH_MAX]; /* and how it was before */
};

struct scene {
	struct lab lab;
	int lock_fd; /* -1: not locked */
	uint64_t next_id;
	unsigned count;
	struct fault fault[FAULTS_MAX];
};

/* ---- scenes: scene.c ---------------------------------------------------- */

/* Lock the lab and read its journal.  -EBADMSG: the journal is damaged. */
int scene_lock(struct scene *, struct errtext *);
void scene_unlock(struct scene *);

/*
 * Make a fault of the words KIND ARGS..., for_ms 0 without an end.  Prints
 * its event.  On failure nothing of it is left.  -EINVAL wrong words, -EPERM
 * needs root or --really, -EBUSY, -ENOTSUP this lab or kernel cannot.
 */
int fault_begin(const struct lab *, int argc, char *const argv[],
    uint64_t for_ms, bool is_owned, uint64_t *id, struct errtext *);
/* 0 also if it is not there any more. */
int fault_end(const struct lab *, uint64_t id, struct errtext *);
/* Those that match: a server and kind (0, NULL: any), an owner (0: any). */
struct fault_filter {
	unsigned server;
	const char *kind;
	pid_t owner;
	uint64_t owner_start;
};
int fault_end_all(const struct lab *, const struct fault_filter *, bool sweep,
    unsigned *ended, struct errtext *);
/* The public shape; until 0: null. */
json_t *fault_json(const struct fault *, uint64_t until_ms);

/* ---- the journal: journal.c ---------------------------------------------- */

int journal_open(struct scene *, struct errtext *);
/* Write and fsync it; the same fault may be written again. */
int journal_put(const struct scene *, const struct fault *, struct errtext *);
int journal_drop(const struct scene *, const struct fault *, struct errtext *);
/* Append an event for reports; also to stdout. */
void journal_event(const struct scene *, const struct fault *, uint64_t until);
/* DIR/faults/NAME. */
void journal_path(const struct lab *, const char *name, char path[PATH_MAX]);

/* ---- kinds --------------------------------------------------------------- */

extern const struct kind kinds[]; /* kinds.c; ends with a NULL name */
const struct kind *kind_by_name(const char *);

/* net.c: cut the connections between the servers: those that were silent for
 * long come back only when TCP tries again. */
int net_reset(const struct lab *, struct errtext *);
/* Make the kernel's rules those of the active faults. */
int net_render(struct scene *, struct errtext *);
/* Whether this lab's network can be broken at all. */
int net_usable(const struct lab *, struct errtext *);
/* Take away whatever has our name, journal or not. */
int net_sweep(struct scene *, struct errtext *);
/* The chain of this lab. */
void net_chain(const struct lab *, char chain[32]);
int net_apply(struct scene *, struct fault *, struct errtext *);
int net_undo(struct scene *, struct fault *, struct errtext *);
int rate_apply(struct scene *, struct fault *, struct errtext *);
int rate_undo(struct scene *, struct fault *, struct errtext *);

/* process.c */
int kill_apply(struct scene *, struct fault *, struct errtext *);
int start_undo(struct scene *, struct fault *, struct errtext *);
int pause_apply(struct scene *, struct fault *, struct errtext *);
int pause_undo(struct scene *, struct fault *, struct errtext *);
int cpu_apply(struct scene *, struct fault *, struct errtext *);
int cpu_undo(struct scene *, struct fault *, struct errtext *);
const char *cpu_mechanism(void);
/* A program of ours: beside us, in bin of our tree, or on the path. */
void find_program(const char *name, char path[PATH_MAX]);
/* raftlab COMMAND ID. */
int raftlab_do(
    const struct scene *, const char *command, unsigned id, struct errtext *);
/*
 * Fork a process that keeps a fault up.  It is journalled before it does
 * anything; body runs in it and does not return to us.
 */
int helper_start(struct scene *, struct fault *,
    void (*body)(const struct scene *, const struct fault *), struct errtext *);
void helper_stop(struct fault *);

/* clock.c */
int clock_parse(
    const struct lab *, struct fault *, int, char *const[], struct errtext *);
int clock_apply(struct scene *, struct fault *, struct errtext *);
int clock_undo(struct scene *, struct fault *, struct errtext *);
bool clock_usable(void);

/* disk.c */
int disk_parse(
    const struct lab *, struct fault *, int, char *const[], struct errtext *);
int disk_apply(struct scene *, struct fault *, struct errtext *);
int disk_undo(struct scene *, struct fault *, struct errtext *);

#endif
