/*
 * histline.h - one line of a history file, loadgen-history(5), taken apart.
 *
 * A parser of its own and not jansson: a million operations are two million
 * lines, and no line needs a tree.  Strict: what is not JSON, a field of the
 * wrong type, a field twice, or an unknown word is an error; unknown fields
 * are skipped, but must be JSON too.
 */
#ifndef LOADGEN_HISTLINE_H
#define LOADGEN_HISTLINE_H

#include "loadgen/history.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTLINE_DEPTH_MAX 16
/* JSON numbers are read exactly up to here, as jq and others do. */
#define HISTLINE_NUMBER_MAX ((UINT64_C(1) << 53) - 1)

enum histline_field {
	HISTLINE_INDEX = 1 << 0,
	HISTLINE_TIME = 1 << 1,
	HISTLINE_PROCESS = 1 << 2,
	HISTLINE_TYPE = 1 << 3,
	HISTLINE_F = 1 << 4,
	HISTLINE_KEY = 1 << 5,
	HISTLINE_VALUE = 1 << 6,
	HISTLINE_SWAPPED = 1 << 7,
	HISTLINE_REV = 1 << 8,
	HISTLINE_GROUP = 1 << 9,
};

enum histline_type {
	HISTLINE_INVOKE,
	HISTLINE_OK,
	HISTLINE_FAIL,
	HISTLINE_INFO
};

/* Strings point into the line or into the scratch area. */
struct histline {
	unsigned seen; /* bits of enum histline_field */
	enum histline_type type;
	enum history_f f;
	bool swapped;
	uint64_t index, time_ns, process, rev, group;
	struct history_bytes key;
	unsigned values_n; /* 1, or 2 of a cas */
	struct history_bytes values[2];
};

/* For strings with escapes or in base64; grows as needed. */
struct histline_scratch {
	uint8_t *data;
	size_t cap;
};

/* line need not end with NUL.  -EBADMSG with the reason, -ENOMEM.  The result
 * is valid until the line or the scratch area changes. */
int histline_parse(const char *line, size_t len, struct histline_scratch *,
    struct histline *, struct errtext *);
void histline_scratch_release(struct histline_scratch *);

#endif
