/*
 * blob.h - counted bytes: encoded once, shared by the log, the peers and the
 * cache of recent entries.
 *
 * Only the event thread takes and drops references.  The storage thread
 * reads bytes of a job whose references the event thread holds until the job
 * is back.  Bytes below len never change once somebody else holds a
 * reference; the filler may go on appending behind them.
 */
#ifndef RAFTD_BLOB_H
#define RAFTD_BLOB_H

#include <stddef.h>
#include <stdint.h>

struct blob {
	uint32_t refs;
	size_t len, cap;
	uint8_t data[];
};

struct blob *blob_new(size_t cap); /* one reference; NULL without memory */
struct blob *blob_ref(struct blob *);
void blob_unref(struct blob *); /* NULL is fine */

/* A piece of an outgoing message.  blob NULL: the receiver of the piece
 * copies the bytes before it returns; else it takes a reference of its own
 * for as long as it needs them. */
struct piece {
	struct blob *blob;
	const void *p;
	size_t len;
};

#endif
