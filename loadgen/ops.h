/*
 * ops.h - single operations of a load: how they are asked, what their
 * answers mean, and what the history says of them.
 *
 * A value is a number that no other write has, then filler up to the size
 * asked for; in a history it is the number alone, after the filler was found
 * whole.  Where values are appended there is no filler.
 */
#ifndef LOADGEN_OPS_H
#define LOADGEN_OPS_H

#include <stdbool.h>
#include <stdint.h>

#include "loadgen/recorder.h"
#include "loadgen/run_options.h"
#include "raftctl/mp.h"
#include "raftctl/wire.h"

struct op {
	enum work_op kind;
	bool second;  /* of an rmw: the put */
	uint64_t key; /* its number */
	uint64_t id;  /* what it writes */
	uint64_t old; /* cas: what it expects */
	uint64_t process;
};

struct ops {
	const struct run_options *opt;
	struct work *work;
	struct recorder *recorder; /* NULL: nothing is recorded */
	uint64_t next_id;
	uint64_t absent;      /* gets that found nothing */
	uint64_t not_swapped; /* cas that met another value */
	uint64_t *known;      /* by key: the id last seen, for cas; or NULL */
	uint8_t *value;	      /* scratch: value_size bytes of filler */
	uint8_t *old;	      /* the same, for the other value of a cas */
	uint32_t value_size;  /* 0: no filler */
	char key[RUN_PREFIX_MAX + 24];
	struct mp_buf reads; /* {"read": mode}, empty when linearizable */
};

/* recorder is borrowed.  -ENOMEM. */
int ops_init(
    struct ops *, const struct run_options *, struct work *, struct recorder *);
void ops_release(struct ops *);

bool op_is_write(const struct op *);

/* Pack the request and record its invocation; key and kind are set. */
void ops_ask(struct ops *, struct op *, uint32_t msgid, uint64_t time_ns,
    struct mp_buf *out);
/*
 * A result came.  WIRE_OK, or WIRE_PROTOCOL_ERROR if it is none.  *again: the
 * operation has a second part, to be asked next.
 */
enum wire_status ops_answered(struct ops *, struct op *, struct mp_span result,
    uint64_t time_ns, bool *again);
/* It did not take effect (WIRE_* but WIRE_UNKNOWN), or nobody knows. */
void ops_failed(struct ops *, struct op *, enum wire_status, uint64_t time_ns);

#endif
