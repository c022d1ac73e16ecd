/*
 * kvhelp.h - commands for the key-value store and what they answer, for its
 * tests, its fuzzer and its benchmark.
 */
#ifndef TESTS_UNIT_KVHELP_H
#define TESTS_UNIT_KVHELP_H

#include <stdlib.h>
#include <string.h>

#include "raftd/fsm/kv.h"
#include "raftd/fsm/kvstore.h"

/* A store, the next index for it, and where answers go. */
struct kvhelp {
	struct fsm *f;
	uint64_t index, stamp;
	struct mp_buf params, reply;
	struct wire_error err;
};

static inline void
kvhelp_init(struct kvhelp *h)
{
	memset(h, 0, sizeof(*h));
	h->f = kv_ops.new(1);
	h->stamp = 1000;
	mp_buf_init(&h->params);
	mp_buf_init(&h->reply);
}

static inline void
kvhelp_release(struct kvhelp *h)
{
	kv_ops.free(h->f);
	mp_buf_release(&h->params);
	mp_buf_release(&h->reply);
}

/* The params that were packed go to the log as this method. */
static inline enum wire_status
kvhelp_apply(struct kvhelp *h, const char *method)
{
	struct fsm_command c = {
	    .index = ++h->index,
	    .term = 1,
	    .stamp = h->stamp,
	    .method = mp_span(method, strlen(method)),
	    .params = mp_span(h->params.data, h->params.len),
	};

	mp_buf_reset(&h->reply);
	return kv_ops.apply(h->f, &c, &h->reply, &h->err);
}

static inline enum wire_status
kvhelp_query(struct kvhelp *h, const char *method)
{
	mp_buf_reset(&h->reply);
	return kv_ops.query(h->f, mp_span(method, strlen(method)),
	    mp_span(h->params.data, h->params.len), &h->reply, &h->err);
}

#endif
