/*
 * outq.h - bytes on their way out of one connection: copied bytes and
 * references to blobs, in order, taken by the kernel with one writev(2).
 *
 * Invariants: `bytes` is the sum of what the items still hold.  Copied bytes
 * that stand together are one item.  Small pieces of blobs are copied: an
 * entry of an iovec costs more than they do.
 *
 * Threads: the event thread.  Limits are the caller's: it looks at `bytes`.
 */
#ifndef RAFTD_OUTQ_H
#define RAFTD_OUTQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftd/blob.h"

#define OUTQ_COPY_MAX 512   /* a blob's piece up to this is copied */
#define OUTQ_IOV_MAX 128    /* items in one writev */
#define OUTQ_KEEP_MAX 16384 /* an empty queue keeps no more memory */

struct outq_item {
	struct blob *blob; /* NULL: copied */
	uint64_t at;	   /* copied: position, counted from the beginning */
	const uint8_t *p;  /* blob: where */
	size_t len;
};

struct outq {
	struct outq_item *item;
	uint32_t head, end, cap; /* item[head..end) */
	uint8_t *copy;		 /* position copy_base stands at copy[0] */
	size_t copy_len, copy_cap;
	uint64_t copy_base;
	size_t bytes;
	bool failed; /* memory ran out: the stream is broken */
};

void outq_init(struct outq *);
void outq_release(struct outq *);
void outq_add(struct outq *, const struct piece *, unsigned count);
void outq_copy(struct outq *, const void *, size_t len);
/* 0: all is written.  1: the kernel takes no more now.  <0: -errno. */
int outq_flush(struct outq *, int fd);

#endif
