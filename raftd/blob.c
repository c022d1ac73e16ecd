/*
 * blob.c - counted bytes.
 */
#include "raftd/blob.h"

#include <assert.h>
#include <stdlib.h>

struct blob *
blob_new(size_t cap)
{
	struct blob *b = malloc(sizeof(*b) + cap);

	if (b == NULL)
		return NULL;
	b->refs = 1;
	b->len = 0;
	b->cap = cap;
	return b;
}

struct blob *
blob_ref(struct blob *b)
{
	assert(b->refs > 0);
	b->refs++;
	return b;
}

void
blob_unref(struct blob *b)
{
	if (b == NULL)
		return;
	assert(b->refs > 0);
	if (--b->refs == 0)
		free(b);
}
