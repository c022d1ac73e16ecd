/*
 * historygen.h - histories whose verdict is known by construction.
 *
 * Clients work at random on a store that is linearizable by definition: each
 * operation takes effect at one moment between its call and its completion.
 * Some outcomes stay unknown, of operations that did happen, will happen
 * later, or never do.  Such a history is linearizable.  Into it one anomaly
 * can be planted, which no order explains.  Appended and written values are
 * unique unless asked otherwise.
 *
 * The same options give the same history.
 */
#ifndef LOADGEN_HISTORYGEN_H
#define LOADGEN_HISTORYGEN_H

#include "loadgen/history.h"

#include <stdio.h>

enum historygen_anomaly {
	HISTORYGEN_NONE,
	/* changes of one answer in the midst of the work */
	HISTORYGEN_STALE_READ,	  /* a value that was replaced before */
	HISTORYGEN_NEVER_WRITTEN, /* a value that nobody wrote */
	HISTORYGEN_LOST_WRITE,	  /* nothing, though a write was told ok */
	HISTORYGEN_DUPLICATE_APPEND,
	HISTORYGEN_LOST_APPEND,
	HISTORYGEN_FAILED_WRITE_SEEN, /* told fail, yet it was read */
	HISTORYGEN_WRONG_SWAP,	      /* a cas that met a replaced value */
	/* a few operations on a key of their own, among the others */
	HISTORYGEN_REVIVED,	     /* a value comes back after a delete */
	HISTORYGEN_LOST_UPDATE,	     /* two cas from the same value */
	HISTORYGEN_BACKWARDS,	     /* two readers see two writes in turn */
	HISTORYGEN_UNKNOWN_VANISHES, /* an unknown write, seen and then not */
	HISTORYGEN_WRONG_REFUSAL,    /* a cas fails although it fits */
	HISTORYGEN_REORDERED_APPENDS,
	HISTORYGEN_TWICE_UNKNOWN, /* an unknown append, there twice */
	HISTORYGEN_ANOMALIES
};

struct historygen_opts {
	uint64_t seed;
	size_t ops;
	uint32_t keys, clients;
	uint32_t mix[HISTORY_F_N]; /* weights */
	uint32_t unknown_permille, fail_permille;
	/* 0: written values are unique; else drawn from so many. */
	uint32_t values;
	bool with_rev;
	enum historygen_anomaly anomaly;
};

/* A million operations by many clients, or a few: see the defaults. */
void historygen_defaults(struct historygen_opts *);

/* Fills an empty history.  -ENOMEM; -EAGAIN: no place for the anomaly (one
 * of those that change an answer) was found, and the history is a good one. */
int historygen_run(struct history *, const struct historygen_opts *);

/* As a file, loadgen-history(5).  0 or -errno. */
int historygen_print(const struct history *, FILE *);

const char *historygen_anomaly_name(unsigned anomaly);

#endif
