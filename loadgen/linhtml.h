/*
 * linhtml.h - a verdict as a page: who did what when, and what cannot be.
 *
 * The page stands alone: no script, nothing fetched.  What clients wrote is
 * escaped; bytes that are not printable text are shown as \xNN.
 */
#ifndef LOADGEN_LINHTML_H
#define LOADGEN_LINHTML_H

#include "loadgen/history.h"

#include <stdio.h>

/* Operations of the key shown before and after the window, each. */
#define LINHTML_CONTEXT_MAX 50
/* Operations shown in all. */
#define LINHTML_OPS_MAX 2000

struct linhtml_view {
	const char *title; /* the name of the history */
	const char *verdict;
	const char *why;      /* a sentence, or NULL */
	const size_t *window; /* operations, by invocation; none: no drawing */
	size_t window_n;
	size_t culprit; /* one of them */
};

/* 0 or -EIO. */
int linhtml_write(FILE *, const struct history *, const struct linhtml_view *);

#endif
