/*
 * ordercheck.h - is the order that the servers claim a legal one?
 *
 * Completions may carry the revision that the server gave.  Writes in the
 * order of their revisions are replayed, and
 *
 * - no two writes that took effect share a revision of one group;
 * - a write has a higher revision than all that was answered before it began;
 * - a read, or a cas that found something else, has at least the revision of
 *   what was answered on its key before it began, and finds what the replay
 *   has under the key at its revision;
 * - a read without revision (of an absent key, say) finds what stood there at
 *   some revision between, unless an unknown operation could have made it.
 *
 * A get may give the store's revision or that of the record.  Writes of
 * unknown outcome take effect where an answer shows that they must have.
 *
 * Independent of lincheck.h: it shares no code with the search, needs no
 * search, and so judges any length of history in one pass; but it believes
 * the servers' order where that explains all answers.
 */
#ifndef LOADGEN_ORDERCHECK_H
#define LOADGEN_ORDERCHECK_H

#include "loadgen/history.h"
#include "loadgen/lincheck.h"

struct ordercheck_result {
	enum lincheck_verdict verdict;
	size_t with_rev; /* completions that claimed a revision */
	size_t keys;
	/* Of a violation or the first doubt: the key, what is wrong, and the
	 * operations that show it, in order of invocation. */
	uint32_t key;
	const char *why;
	size_t window[3];
	size_t window_n;
};

/* -ENOMEM: the budget of the history is used up.  Undecided: answers need
 * operations of unknown outcome in more ways than one could be followed. */
int ordercheck(const struct history *, struct ordercheck_result *);

#endif
