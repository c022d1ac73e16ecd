/*
 * linmodel.h - the operations of one key, made ready for the search.
 *
 * Values become states: what the search compares is one number.  Only values
 * that some operation saw or compared with can tell states apart; they are
 * the targets, sorted by their bytes.  A state is
 *
 *	(rank << 32 | len)  the first len bytes of target rank, where rank is
 *			    the first target that begins with them;
 *	LIN_ABSENT	    no value;
 *	LIN_JUNK	    some value that begins no target: nothing can see
 *			    it but a cas that fails;
 *	LIN_ANY		    not known: only before a stretch begins.
 *
 * So equal states have equal numbers, an append is a step among the sorted
 * targets, and no bytes are ever built.
 *
 * Operations of unknown outcome that do the same form a class; within a class
 * the one invoked first is used first.  A class lives from its first
 * invocation until the last completion that could tell of it.
 */
#ifndef LOADGEN_LINMODEL_H
#define LOADGEN_LINMODEL_H

#include "loadgen/history.h"

#define LIN_ABSENT UINT64_MAX
#define LIN_JUNK (UINT64_MAX - 1)
#define LIN_ANY (UINT64_MAX - 2)

#define LIN_NONE UINT32_MAX

enum lin_kind {
	LIN_READ,  /* the state is pre */
	LIN_NREAD, /* the state is not pre: a cas that found something else */
	LIN_SET,   /* becomes post */
	LIN_CAS,   /* the state is pre and becomes post */
	LIN_APPEND /* operand is added; what is absent counts as empty */
};

struct lin_effect {
	enum lin_kind kind;
	uint32_t operand; /* a value of the history */
	uint64_t pre, post;
	uint32_t sees, makes; /* targets, for the counts; or LIN_NONE */
};

/* An operation that certainly took effect between call and ret. */
struct lin_op {
	struct lin_effect e;
	uint64_t call, ret; /* events */
	size_t op;	    /* number in the history */
	uint32_t at;	    /* position of ret among all returns */
	uint32_t slot;	    /* its bit; free again after its return */
	bool is_taken;
};

struct lin_class {
	struct lin_effect e;
	uint32_t first, n; /* members: p->calls[first..first+n) */
	uint32_t used;
	uint32_t birth, death; /* first and last return of its life */
	uint32_t slot;
	bool turns_junk; /* what is unused at the end may hide a state */
};

/* The events of p->ops in order, doubly linked; node 2k is the call of op k,
 * 2k + 1 its return, 2n the head. */
struct lin_node {
	uint32_t prev, next;
};

struct lin_range {
	uint64_t from, to; /* events, inclusive */
	bool initial_any;
};

#define LIN_ALLOCS_MAX 48

struct lin_problem {
	const struct history *h;
	struct lin_op *ops;
	uint32_t ops_n;
	uint32_t *returns; /* ops in the order of ret */
	struct lin_node *nodes;
	uint32_t slots_n, class_slots_n;
	struct lin_class *classes;
	uint32_t classes_n;
	uint64_t *calls;
	uint32_t *births, *deaths; /* classes by birth, by death */
	uint64_t *junk; /* calls of unknown writes that nothing can see */
	uint32_t junk_n;
	/* next_reset[i]: the first return >= i at which a class that may
	 * replace the value is alive */
	uint32_t *next_reset;
	uint32_t *targets; /* values by rank; the null one is targets_n */
	uint32_t targets_n;
	uint32_t *sees_n, *makes_n; /* not yet taken, by target */
	uint32_t nreads_n, appends_n, resets_n;
	bool has_append, has_nread;
	uint64_t initial;
	struct {
		void *p;
		size_t len;
	} allocs[LIN_ALLOCS_MAX];
	unsigned allocs_n;
};

/* The problem of the given operations (of one key, in order of invocation)
 * as far as they touch the range; what stands open at its edges may or may
 * not have happened inside.  -ENOMEM.  Always release. */
int lin_build(struct lin_problem *, const struct history *,
    const size_t *op_numbers, size_t n, const struct lin_range *);
void lin_release(struct lin_problem *);

/* The target that a state equals, or LIN_NONE. */
uint32_t lin_target(const struct lin_problem *, uint64_t state);
/* The state after an append of value to state. */
uint64_t lin_append(const struct lin_problem *, uint64_t state, uint32_t value);
/* Does the target begin with the bytes of the state? */
bool lin_begins(const struct lin_problem *, uint64_t state, uint32_t target);

enum lin_answer {
	LIN_YES,
	LIN_NO,
	LIN_OUT_OF_CONFIGS,
	LIN_OUT_OF_MEMORY,
	LIN_EXPIRED
};

struct lin_search {
	uint64_t configs_max, configs;
	bool (*expired_cb)(void *arg);
	void *expired_arg;
	uint32_t reached; /* the furthest return that could not be passed */
};

/* Searches; the problem is as before afterwards only if released. */
enum lin_answer lin_solve(struct lin_problem *, struct lin_search *);

#endif
