/*
 * wire.h - the words of the protocol: status codes, errors, limits, and the
 * names of the methods that clients call.
 *
 * Everything here is documented in raftrpc(5).  What peers say to each other
 * stands in raftd/message.h.
 */
#ifndef RAFTCTL_WIRE_H
#define RAFTCTL_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftctl/mp.h"

#define WIRE_PROTOCOL 1	    /* version of the client protocol */
#define WIRE_PROTOCOL_MIN 1 /* oldest that this build speaks */

/* Hard limits; raftd may be told to use smaller ones. */
#define WIRE_KEY_LEN_MAX 4096
#define WIRE_VALUE_LEN_MAX (64u * 1024 * 1024)
#define WIRE_VALUE_LEN_DEFAULT (1024u * 1024)
/* What an envelope, a key and options may add to a value. */
#define WIRE_OVERHEAD_MAX (64u * 1024)
#define WIRE_LIST_LIMIT_MAX 1000       /* records in one answer to list */
#define WIRE_LIST_BYTES_MAX (1u << 20) /* soft: an answer stops past it */

/*
 * What a request can come to.  The name is what stands on the wire and in
 * JSON; the exit status is what raftctl makes of it.  Exactly one class each:
 * done, not applied (safe to retry), unknown.
 */
enum wire_status {
	WIRE_OK = 0,
	WIRE_ABSENT,	     /* ABSENT 1: no such key */
	WIRE_CONDITION,	     /* CONDITION 1: a condition was false */
	WIRE_UNKNOWN,	     /* UNKNOWN 3: may or may not have been applied */
	WIRE_SESSION,	     /* SESSION 3: forgotten, so unknown */
	WIRE_USAGE,	     /* USAGE 64: bad parameters */
	WIRE_TOO_LARGE,	     /* TOO_LARGE 64: key, value or request too long */
	WIRE_DATA,	     /* DATA 65: malformed content */
	WIRE_NO_LEADER,	     /* NO_LEADER 69: none known; not applied */
	WIRE_NO_QUORUM,	     /* NO_QUORUM 69: a leader without a majority */
	WIRE_UNREACHABLE,    /* UNREACHABLE 69: nobody answered; not sent */
	WIRE_BUG,	     /* BUG 70 */
	WIRE_BUSY,	     /* BUSY 75: queue full, not applied */
	WIRE_NOSPACE,	     /* NOSPACE 75: disk full, not applied */
	WIRE_STOPPING,	     /* STOPPING 75: the server is going down */
	WIRE_COMPACTED,	     /* COMPACTED 75: revision no longer kept */
	WIRE_NOT_APPLIED,    /* NOT_APPLIED 75: dropped before any log had it */
	WIRE_PROTOCOL_ERROR, /* PROTOCOL 76 */
	WIRE_METHOD,	     /* METHOD 76: no such method */
	WIRE_DENIED,	     /* DENIED 77 */
	WIRE_TIMEOUT,	     /* TIMEOUT 124: a wait ran out */
	WIRE_STATUS_COUNT
};

struct wire_status_info {
	const char *name; /* "NO_LEADER" */
	int exit;	  /* 69 */
	bool retry;	  /* certainly not applied: safe to try again */
};

/* Never NULL; WIRE_BUG's row for a value out of range. */
const struct wire_status_info *wire_status_info(enum wire_status);
/* WIRE_BUG for a name that this build does not know. */
enum wire_status wire_status_by_name(struct mp_span name);

/*
 * Error values.  A server packs one with wire_put_error() in the style that
 * the connection asked for with hello: [0, "CODE: text"], or a map of code,
 * message, retry, leader, cause.
 */
struct wire_error {
	enum wire_status status;
	char message[256];
	char leader[128]; /* where the leader takes clients, "" unknown */
	char cause[256];  /* the last real cause, "" none */
};

void wire_put_error(struct mp_buf *, const struct wire_error *, bool as_map);
/* Either style; anything else becomes WIRE_BUG with the bytes described. */
void wire_read_error(struct mp_span raw, struct wire_error *);

#endif
