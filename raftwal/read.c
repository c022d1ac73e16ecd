/*
 * read.c - entries of the past, for peers that are behind.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftwal/bytes.h"
#include "raftwal/wal_private.h"

#define WINDOW_LEN (256u * 1024)

void
readers_close(struct wal *w)
{
	for (unsigned i = 0; i < READERS; i++) {
		if (w->readers[i].file != NULL)
			w->disk.ops->close(w->disk.ctx, w->readers[i].file);
		w->readers[i].file = NULL;
		w->readers[i].number = 0;
	}
}

static int
reader_get(struct wal *w, uint64_t number, struct disk_file **f)
{
	char path[SEGMENT_PATH_LEN];
	struct reader *r;
	int error;

	for (unsigned i = 0; i < READERS; i++)
		if (w->readers[i].number == number) {
			*f = w->readers[i].file;
			return 0;
		}
	r = &w->readers[w->reader_next];
	segment_path(number, path);
	error = w->disk.ops->open(w->disk.ctx, path, DISK_READ, f);
	if (error < 0)
		return error;
	if (r->file != NULL)
		w->disk.ops->close(w->disk.ctx, r->file);
	r->file = *f;
	r->number = number;
	w->reader_next = (w->reader_next + 1) % READERS;
	return 0;
}

/* One call's view of the disk: what was read last. */
struct window {
	uint64_t number, offset;
	size_t len;
};

/* Bring at least `need` bytes at (number, offset) into the window. */
static int
window_get(struct wal *w, struct window *v, uint64_t number, uint64_t offset,
    size_t need, const uint8_t **out)
{
	struct disk_file *f;
	int64_t n;
	int error;

	if (v->number != number || offset < v->offset ||
	    offset + need > v->offset + v->len) {
		error = reader_get(w, number, &f);
		if (error < 0)
			return error;
		v->number = 0;
		n = w->disk.ops->read(
		    w->disk.ctx, f, w->window, WINDOW_LEN, offset);
		if (n == -EIO)
			return -EBADMSG;
		if (n < 0)
			return (int)n;
		v->number = number;
		v->offset = offset;
		v->len = (size_t)n;
		if (v->len < need)
			return -EBADMSG;
	}
	*out = w->window + (offset - v->offset);
	return 0;
}

/* Bytes of a record too large for the window, straight into place. */
static int
read_large(struct wal *w, uint64_t pos, uint8_t *dst, size_t size)
{
	struct disk_file *f;
	int64_t n;
	int error;

	error = reader_get(w, pos_number(pos), &f);
	if (error < 0)
		return error;
	n = w->disk.ops->read(w->disk.ctx, f, dst, size, pos_offset(pos));
	if (n == -EIO || (n >= 0 && n < (int64_t)size))
		return -EBADMSG;
	return n < 0 ? (int)n : 0;
}

/* Entry `index`, which stands at pos, to dst.  -EMSGSIZE: *size has what it
 * takes. */
static int
read_one(struct wal *w, struct window *v, uint32_t group, uint64_t index,
    uint64_t pos, uint8_t *dst, size_t cap, size_t *size)
{
	struct record r;
	const uint8_t *p;
	uint32_t len;
	int error;

	error = window_get(
	    w, v, pos_number(pos), pos_offset(pos), RECORD_HEADER_LEN, &p);
	if (error < 0)
		return error;
	len = get_le32(p + 4);
	if (len > RECORD_PAYLOAD_MAX)
		return -EBADMSG;
	*size = record_size(len);
	if (*size > cap)
		return -EMSGSIZE;
	if (*size <= WINDOW_LEN) {
		error = window_get(
		    w, v, pos_number(pos), pos_offset(pos), *size, &p);
		if (error < 0)
			return error;
		memcpy(dst, p, *size);
	} else {
		error = read_large(w, pos, dst, *size);
		if (error < 0)
			return error;
	}
	if (record_read(dst, *size, &r) != *size || r.group != group ||
	    r.index != index || !record_is_entry(r.kind))
		return -EBADMSG;
	return 0;
}

int
wal_read(struct wal *w, uint32_t group, uint64_t from, uint64_t to,
    uint8_t *buf, size_t cap, size_t *len, uint64_t *last)
{
	struct window v = {0};
	const struct wal_group *g;
	size_t i, at = 0, size = 0;
	uint64_t index;
	int error;

	if (groups_find(&w->groups, group, &i) < 0)
		return -ENOENT;
	g = &w->groups.pub[i];
	if (from < g->first || from > g->last || to < from)
		return -ENOENT;
	if (to > g->last)
		to = g->last;
	if (w->window == NULL) {
		w->window = malloc(WINDOW_LEN);
		if (w->window == NULL)
			return -ENOMEM;
	}
	for (index = from;; index++) {
		uint64_t pos = w->groups.log[i].pos[index - g->first];

		error = read_one(
		    w, &v, group, index, pos, buf + at, cap - at, &size);
		if (error < 0)
			break;
		at += size;
		if (index == to)
			break;
	}
	if (error < 0 && index == from) {
		if (error == -EMSGSIZE)
			*len = size;
		return error;
	}
	/* What could not be had is asked for again, and judged then. */
	*last = error < 0 ? index - 1 : to;
	*len = at;
	return 0;
}
