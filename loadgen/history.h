/*
 * history.h - what clients asked and were told: the input of the judge.
 *
 * A history is a sequence of events, invocations and completions, in the
 * order in which they happened; loadgen-history(5) is the format in a file.
 * Here each operation is one struct with the positions of its two events.
 * Events are numbered from 1; in a history that was read the number of an
 * event is the number of its line.
 *
 * Invariants: operations stand in the order of their invocation; call < ret;
 * a process has one operation open at a time; call and ret are distinct over
 * all operations.
 *
 * Owner: the caller; all that a history points to belongs to it.  No clock,
 * and no input or output except in history_read.
 */
#ifndef LOADGEN_HISTORY_H
#define LOADGEN_HISTORY_H

#include "loadgen/intern.h"
#include "raftctl/errtext.h"

#include <stdbool.h>
#include <stdint.h>

/* A line longer than this is refused: the longest value that the store takes
 * (1M) in the worst notation (base64 of two of them, or six bytes a byte),
 * and appended values that grew many times beyond it. */
#define HISTORY_LINE_LEN_MAX (64u * 1024 * 1024)

#define HISTORY_NEVER UINT64_MAX /* ret: no completion was seen */
#define HISTORY_NO_TIME UINT64_MAX
#define HISTORY_NULL UINT32_MAX /* a value: the key is absent */

enum history_f {
	HISTORY_GET,
	HISTORY_PUT,
	HISTORY_APPEND,
	HISTORY_DELETE,
	HISTORY_CAS,
	HISTORY_F_N
};

enum history_result {
	HISTORY_UNKNOWN, /* may take effect at any later time, or never */
	HISTORY_OK,	 /* took effect between call and ret */
	HISTORY_FAIL	 /* never took effect; says nothing of the state */
};

struct history_op {
	uint64_t process;
	uint64_t call, ret;	  /* event numbers; ret may be HISTORY_NEVER */
	uint64_t call_ns, ret_ns; /* or HISTORY_NO_TIME */
	uint64_t rev;		  /* claimed by the server, if has_rev */
	uint32_t group;		  /* which rev belongs to */
	uint32_t key;		  /* number in keys */
	uint32_t arg;	/* number in values: what is put, appended, expected */
	uint32_t arg2;	/* cas: the new value */
	uint32_t out;	/* get, ok: what was read */
	uint8_t f;	/* enum history_f */
	uint8_t result; /* enum history_result */
	bool swapped;	/* cas, ok: it met the expected value */
	bool has_rev;
};

struct history_open;

struct history {
	struct membudget *budget;
	struct history_op *ops;
	size_t ops_n, ops_cap;
	uint64_t events; /* the number of the last event */
	struct intern keys, values;
	struct history_open *open; /* by process, hashed */
	size_t open_n, open_cap;
};

/* Bytes of a key or value; data NULL is null. */
struct history_bytes {
	const void *data;
	size_t len;
};

struct history_call {
	uint64_t process;
	uint64_t time_ns; /* or HISTORY_NO_TIME */
	struct history_bytes key;
	struct history_bytes arg, arg2; /* as in history_op */
	enum history_f f;
};

struct history_done {
	uint64_t process;
	uint64_t time_ns;
	uint64_t rev;
	uint32_t group;
	struct history_bytes out; /* get, ok */
	enum history_result result;
	bool swapped; /* cas, ok */
	bool has_rev;
};

void history_init(struct history *, struct membudget *);
void history_release(struct history *);

/* The next event.  -EBADMSG, with the reason: a process with an operation
 * open invokes another, or one without completes; a value is missing.
 * -ENOMEM: the budget is used up.  The history stays as it was. */
int history_invoke(
    struct history *, const struct history_call *, struct errtext *);
int history_complete(
    struct history *, const struct history_done *, struct errtext *);

/* Adds what the descriptor gives until its end, one event a line.
 * keyless: lines may lack "key"; they then speak of the empty one.
 * expired_cb, if not NULL, is asked now and then and ends reading.
 * -EBADMSG: "line 12: ...", -ENOMEM, -ETIMEDOUT, or the errno of read(2). */
struct history_read_opts {
	bool keyless;
	bool register_only; /* append and delete are refused */
	bool (*expired_cb)(void *arg);
	void *expired_arg;
};
int history_read(struct history *, int fd, const struct history_read_opts *,
    struct errtext *);

/* "get", "put"...; NULL when out of range. */
const char *history_f_name(unsigned f);

#endif
