/*
 * recorder.h - writes a history: one JSON object a line, for each operation
 * that begins and for each that ends.
 *
 * The format is described in loadgen(1) under check.  Lines are formatted by
 * hand into one buffer, which is written when it is full: a recorded
 * operation costs a fraction of a microsecond.
 */
#ifndef LOADGEN_RECORDER_H
#define LOADGEN_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftctl/mp.h"

#define RECORDER_BUFFER (1u << 20)

struct recorder;

enum record_type { RECORD_INVOKE, RECORD_OK, RECORD_FAIL, RECORD_INFO };

enum record_value {
	RECORD_NO_VALUE,
	RECORD_NULL, /* what was read: nothing */
	RECORD_ONE,  /* value[0] */
	RECORD_PAIR, /* value[0], value[1]: of a cas */
};

struct record_line {
	uint64_t time_ns;
	uint64_t process;
	enum record_type type;
	const char *f;	 /* put get append delete cas */
	const char *key; /* printable ASCII without quotes */
	enum record_value kind;
	struct mp_span value[2];
	uint64_t rev;	  /* 0: not known */
	bool not_swapped; /* an ok of a cas that met another value */
};

/* -errno of open(2). */
int recorder_open(const char *path, struct recorder **);
void recorder_write(struct recorder *, const struct record_line *);
/* Writes what is left; the first error that occurred since open. */
int recorder_close(struct recorder *);

#endif
