/*
 * lincheck.h - is a history linearizable?
 *
 * The judge.  Each key is an object of its own (linearizability is local), so
 * the history is cut by key.  Each part is searched for an order of its
 * operations that respects real time and explains every answer: the algorithm
 * of Wing and Gong as improved by Lowe ("Testing for linearizability"), with
 * configurations that were seen remembered, and operations taken only when
 * the next completion asks for it.  loadgen/linsearch.c tells what prunes it.
 *
 * Operations of unknown outcome may take effect at any time after their
 * invocation, or never; failed ones never did.
 *
 * Pure: no clock, no input or output; the same history gives the same answer
 * and the same count of configurations.  The history is only read.
 */
#ifndef LOADGEN_LINCHECK_H
#define LOADGEN_LINCHECK_H

#include "loadgen/history.h"

enum lincheck_verdict { LINCHECK_OK, LINCHECK_VIOLATION, LINCHECK_UNDECIDED };

enum lincheck_limit {
	LINCHECK_NO_LIMIT,
	LINCHECK_TIME,
	LINCHECK_MEMORY,
	LINCHECK_CONFIGS
};

struct lincheck_opts {
	/* Any value may stand under a key when the history begins; otherwise
	 * none does. */
	bool initial_any;
	/* Configurations to visit in all before giving up; 0: no limit. */
	uint64_t configs_max;
	/* Asked now and then; true ends the search.  May be NULL. */
	bool (*expired_cb)(void *arg);
	void *expired_arg;
};

struct lincheck_result {
	enum lincheck_verdict verdict;
	enum lincheck_limit limit; /* that was met first, if undecided */
	size_t ops, keys;
	size_t keys_undecided;
	uint64_t configs; /* visited */
	/* Of a violation: the key, and the shortest stretch of events (both
	 * inclusive) which alone cannot be explained, whatever value stood
	 * under the key before; from is 0 when the start matters. */
	uint32_t key;
	uint64_t from, to;
	/* The operations of the key that matter there, as numbers in ops, in
	 * order of invocation. */
	size_t *window;
	size_t window_n, window_cap;
	/* The completion at which every order fails, as a number in ops. */
	size_t culprit;
};

/* Judges; memory is taken from the budget of the history and given back but
 * for the window, which lincheck_release frees. */
void lincheck(const struct history *, const struct lincheck_opts *,
    struct lincheck_result *);
void lincheck_release(const struct history *, struct lincheck_result *);

const char *lincheck_verdict_name(enum lincheck_verdict);

#endif
