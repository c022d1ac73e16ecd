/*
 * linbuild.h - how a lin_problem comes about; for linmodel.c and linsight.c.
 *
 * linsight.c finds out until when it can matter whether an operation of
 * unknown outcome took effect.  Without that bound each of them would stay a
 * choice to the end of the history.
 */
#ifndef LOADGEN_LINBUILD_H
#define LOADGEN_LINBUILD_H

#include "loadgen/linmodel.h"

struct lin_raw {
	struct lin_effect e; /* pre and post are values until resolved */
	uint64_t call, ret;
	size_t op;
	bool is_unknown;
};

/* What is known of a target. */
struct lin_sight {
	uint64_t first;	     /* completion that saw it; NEVER if none */
	uint64_t last;	     /* the same; 0 if none */
	uint64_t last_nread; /* that was told it is something else */
	/* The same over all targets that share more with this one than this
	 * one does with the target before. */
	uint64_t nread_shared;
	uint64_t over;	   /* certainly not the state from then on */
	uint32_t lcp;	   /* bytes shared with the target before */
	uint32_t next;	   /* the first after those that share more */
	uint32_t starters; /* operations that can begin to make it */
};

/* An appended value. */
struct lin_operand {
	uint32_t value;
	bool is_contained; /* in some target, as far as was looked */
	uint64_t last_seen, last_nread;
};

struct lin_builder {
	struct lin_problem *p;
	struct lin_raw *raws;
	uint32_t raws_n;
	bool by_bytes;		      /* targets are sorted so */
	struct lin_sight *sights;     /* by target, and of null */
	struct lin_operand *operands; /* by value */
	uint32_t operands_n;
	uint64_t last_seen_any, last_nread_any;
};

void *lin_alloc(struct lin_problem *, size_t n, size_t size);
int lin_compare_values(const void *, const void *);

/* After states are known: fills sights and operands.  -ENOMEM. */
int lin_find_sights(struct lin_builder *);
/* After has_append and has_nread are settled: when values are over, and the
 * chains of unknown cas.  -ENOMEM. */
int lin_find_ends(struct lin_builder *);
/* NULL: was never appended. */
struct lin_operand *lin_find_operand(
    const struct lin_builder *, uint32_t value);
/* The last completion that could tell whether the unknown operation took
 * effect; *turns_junk: later on it can still hide a value from failing cas,
 * like any other. */
uint64_t lin_death(
    const struct lin_builder *, const struct lin_effect *, bool *turns_junk);

#endif
