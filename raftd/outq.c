/*
 * outq.c - bytes on their way out of one connection.
 */
#include "raftd/outq.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

void
outq_init(struct outq *q)
{
	memset(q, 0, sizeof(*q));
}

void
outq_release(struct outq *q)
{
	for (; q->head < q->end; q->head++)
		blob_unref(q->item[q->head].blob);
	free(q->item);
	free(q->copy);
	outq_init(q);
}

/* Where the first copied byte stands that is still needed. */
static uint64_t
copy_needed(const struct outq *q)
{
	uint32_t i;

	for (i = q->head; i < q->end; i++)
		if (q->item[i].blob == NULL)
			return q->item[i].at;
	return q->copy_base + q->copy_len;
}

static bool
copy_room(struct outq *q, size_t len)
{
	size_t used, cap;
	uint8_t *p;

	if (q->copy_cap - q->copy_len >= len)
		return true;
	used = (size_t)(copy_needed(q) - q->copy_base);
	/* Half of it must be free for a move to pay. */
	if (used > 0 && used >= q->copy_len / 2) {
		memmove(q->copy, q->copy + used, q->copy_len - used);
		q->copy_len -= used;
		q->copy_base += used;
		if (q->copy_cap - q->copy_len >= len)
			return true;
	}
	cap = q->copy_cap == 0 ? 1024 : q->copy_cap;
	while (cap - q->copy_len < len)
		if (__builtin_mul_overflow(cap, (size_t)2, &cap))
			return false;
	p = realloc(q->copy, cap);
	if (p == NULL)
		return false;
	q->copy = p;
	q->copy_cap = cap;
	return true;
}

static struct outq_item *
item_new(struct outq *q)
{
	struct outq_item *p;
	uint32_t cap;

	if (q->end == q->cap && q->head > q->cap / 2) {
		memmove(q->item, q->item + q->head,
		    (q->end - q->head) * sizeof(*q->item));
		q->end -= q->head;
		q->head = 0;
	}
	if (q->end == q->cap) {
		cap = q->cap == 0 ? 4 : q->cap * 2;
		if (cap < q->cap)
			return NULL;
		p = realloc(q->item, cap * sizeof(*p));
		if (p == NULL)
			return NULL;
		q->item = p;
		q->cap = cap;
	}
	return &q->item[q->end++];
}

void
outq_copy(struct outq *q, const void *p, size_t len)
{
	struct outq_item *it;

	if (len == 0 || q->failed)
		return;
	if (!copy_room(q, len)) {
		q->failed = true;
		return;
	}
	if (q->head < q->end && q->item[q->end - 1].blob == NULL) {
		it = &q->item[q->end - 1];
	} else {
		it = item_new(q);
		if (it == NULL) {
			q->failed = true;
			return;
		}
		*it = (struct outq_item){.at = q->copy_base + q->copy_len};
	}
	memcpy(q->copy + q->copy_len, p, len);
	q->copy_len += len;
	it->len += len;
	q->bytes += len;
}

static void
add_blob(struct outq *q, const struct piece *piece)
{
	struct outq_item *it = item_new(q);

	if (it == NULL) {
		q->failed = true;
		return;
	}
	*it = (struct outq_item){
	    .blob = blob_ref(piece->blob),
	    .p = piece->p,
	    .len = piece->len,
	};
	q->bytes += piece->len;
}

void
outq_add(struct outq *q, const struct piece *piece, unsigned count)
{
	unsigned i;

	for (i = 0; i < count && !q->failed; i++) {
		if (piece[i].blob == NULL || piece[i].len <= OUTQ_COPY_MAX)
			outq_copy(q, piece[i].p, piece[i].len);
		else
			add_blob(q, &piece[i]);
	}
}

static void
advance(struct outq *q, size_t n)
{
	struct outq_item *it;
	size_t len;

	assert(n <= q->bytes);
	q->bytes -= n;
	while (n > 0) {
		it = &q->item[q->head];
		len = n < it->len ? n : it->len;
		it->len -= len;
		n -= len;
		if (it->blob == NULL)
			it->at += len;
		else
			it->p += len;
		if (it->len > 0)
			break;
		blob_unref(it->blob);
		q->head++;
	}
	if (q->head < q->end)
		return;
	q->head = q->end = 0;
	q->copy_base += q->copy_len;
	q->copy_len = 0;
	if (q->copy_cap > OUTQ_KEEP_MAX) {
		free(q->copy);
		q->copy = NULL;
		q->copy_cap = 0;
	}
	if (q->cap * sizeof(*q->item) > OUTQ_KEEP_MAX) {
		free(q->item);
		q->item = NULL;
		q->cap = 0;
	}
}

int
outq_flush(struct outq *q, int fd)
{
	struct iovec iov[OUTQ_IOV_MAX];
	const struct outq_item *it;
	size_t want;
	ssize_t n;
	int i;

	if (q->failed)
		return -ENOMEM;
	while (q->bytes > 0) {
		want = 0;
		for (i = 0; i < OUTQ_IOV_MAX && q->head + (uint32_t)i < q->end;
		     i++) {
			it = &q->item[q->head + (uint32_t)i];
			iov[i].iov_base =
			    it->blob == NULL ? q->copy + (it->at - q->copy_base)
					     : (uint8_t *)(uintptr_t)it->p;
			iov[i].iov_len = it->len;
			want += it->len;
		}
		do
			n = writev(fd, iov, i);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			return errno == EAGAIN ? 1 : -errno;
		advance(q, (size_t)n);
		if ((size_t)n < want)
			return 1;
	}
	return 0;
}
