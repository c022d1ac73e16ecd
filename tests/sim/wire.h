/*
 * wire.h - the messages on their way, as the checker reads them.
 */
#ifndef TESTS_SIM_WIRE_H
#define TESTS_SIM_WIRE_H

#include "raftctl/frame.h"
#include "raftctl/wire.h"
#include "tests/sim/sim.h"

#define WIRE_FRAME_LEN_MAX (WIRE_VALUE_LEN_MAX + WIRE_OVERHEAD_MAX)

/* The frame at the start of data: its length, 0 if it is not whole or not
 * one of those between peers. */
size_t wire_frame(const uint8_t *data, size_t len, struct frame *);
/* A message that Raft itself bears to lose, to meet twice and out of order;
 * the others rest on the order of their link. */
bool wire_is_raft(const struct frame *);
/* Whole messages only: false when some byte of it must be refused. */
bool wire_is_valid(const uint8_t *data, size_t len);
/* The checker reads what leaves.  True when there is something in it that
 * may not even arrive twice: a forwarded request or its answer. */
bool wire_inspect(
    struct sim *, unsigned from, unsigned to, const uint8_t *data, size_t len);

#endif
