/*
 * request.c - the pool of requests.
 */
#include "raftd/request.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define CHUNK 1024 /* requests allocated at a time */
#define SLOT_BITS 32

int
request_pool_init(struct request_pool *p, uint32_t requests_max)
{
	p->chunk_max = (requests_max + CHUNK - 1) / CHUNK;
	p->chunk = calloc(p->chunk_max, sizeof(*p->chunk));
	if (p->chunk == NULL)
		return -ENOMEM;
	p->chunk_count = 0;
	p->open = 0;
	TAILQ_INIT(&p->unused);
	return 0;
}

void
request_pool_release(struct request_pool *p)
{
	for (uint32_t c = 0; c < p->chunk_count; c++) {
		for (uint32_t i = 0; i < CHUNK; i++)
			blob_unref(p->chunk[c][i].blob);
		free(p->chunk[c]);
	}
	free(p->chunk);
	p->chunk = NULL;
	p->chunk_count = 0;
}

static int
add_chunk(struct request_pool *p)
{
	struct request *r;

	if (p->chunk_count == p->chunk_max)
		return -ENOBUFS;
	r = calloc(CHUNK, sizeof(*r));
	if (r == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < CHUNK; i++) {
		r[i].name = p->chunk_count * (uint64_t)CHUNK + i;
		TAILQ_INSERT_TAIL(&p->unused, &r[i], link);
	}
	p->chunk[p->chunk_count++] = r;
	return 0;
}

struct request *
request_new(struct request_pool *p)
{
	struct request *r = TAILQ_FIRST(&p->unused);

	if (r == NULL) {
		if (add_chunk(p) < 0)
			return NULL;
		r = TAILQ_FIRST(&p->unused);
	}
	TAILQ_REMOVE(&p->unused, r, link);
	p->open++;
	assert(r->state == REQUEST_FREE && r->blob == NULL);
	return r;
}

void
request_free(struct request_pool *p, struct request *r)
{
	uint64_t name = r->name + ((uint64_t)1 << SLOT_BITS);

	assert(p->open > 0);
	blob_unref(r->blob);
	*r = (struct request){.state = REQUEST_FREE, .name = name};
	/* The one used last is in the processor's cache. */
	TAILQ_INSERT_HEAD(&p->unused, r, link);
	p->open--;
}

struct request *
request_by_name(struct request_pool *p, uint64_t name)
{
	uint64_t slot = name & UINT32_MAX;
	struct request *r;

	if (slot / CHUNK >= p->chunk_count)
		return NULL;
	r = &p->chunk[slot / CHUNK][slot % CHUNK];
	return r->name == name && r->state != REQUEST_FREE ? r : NULL;
}
