/*
 * image.c - the records of a key-value store's state.
 */
#include "raftsnap/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftwal/bytes.h"

#define HEAD_LEN 56
#define RECORD_LEN 30
#define TRAILER_LEN 16
#define SECTION_LEN 16
#define SECTION_SESSIONS 1
#define SECTION_LEASES 2
#define SECTION_LOCKS 3
#define SESSION_LEN 32
#define OUTCOME_LEN 24

int
image_open(struct image *im, struct snap_reader *r)
{
	uint8_t head[HEAD_LEN];
	int error = snap_read(r, head, sizeof(head));

	if (error < 0)
		return error;
	if (memcmp(head, "raftkv", 6) != 0 || head[7] != '\n')
		return -EBADMSG;
	if (head[6] < '1' || head[6] > '3')
		return -EPROTO;
	memset(im, 0, sizeof(*im));
	im->has_sections = head[6] >= '2';
	im->has_leases = head[6] >= '3';
	im->reader = r;
	im->rev = get_le64(head + 16);
	im->time = get_le64(head + 24);
	im->applied = get_le64(head + 32);
	im->keys = im->left = get_le64(head + 40);
	im->bytes = get_le64(head + 48);
	return 0;
}

static int
skip(struct image *im, size_t len)
{
	uint8_t bytes[256];
	int error = 0;

	while (error == 0 && len > 0) {
		size_t n = len < sizeof(bytes) ? len : sizeof(bytes);

		error = snap_read(im->reader, bytes, n);
		len -= n;
	}
	return error;
}

/* The sessions, which hold nothing that a user has put: kvstore.h. */
static int
skip_sessions(struct image *im)
{
	uint8_t head[SECTION_LEN], session[SESSION_LEN], outcome[OUTCOME_LEN];
	int error = snap_read(im->reader, head, sizeof(head));
	uint64_t items;

	if (error < 0)
		return error;
	items = get_le64(head + 8);
	if (get_le32(head) != SECTION_SESSIONS || items == 0)
		return -EBADMSG;
	error = skip(im, 8); /* the horizon */
	while (error == 0 && --items > 0) {
		error = snap_read(im->reader, session, sizeof(session));
		if (error == 0)
			error = skip(im, session[0]);
		for (uint32_t n = get_le32(session + 4); error == 0 && n > 0;
		     n--) {
			error = snap_read(im->reader, outcome, sizeof(outcome));
			if (error == 0)
				error = skip(im, get_le32(outcome + 16));
		}
	}
	return error;
}

/* Leases, or locks: each item says how long it is. */
static int
skip_items(struct image *im, uint32_t type)
{
	uint8_t head[SECTION_LEN], len[4];
	int error = snap_read(im->reader, head, sizeof(head));

	if (error == 0 && get_le32(head) != type)
		error = -EBADMSG;
	for (uint64_t n = 0; error == 0 && n < get_le64(head + 8); n++) {
		error = snap_read(im->reader, len, sizeof(len));
		if (error == 0)
			error = skip(im, get_le32(len));
	}
	return error;
}

static int
read_end(struct image *im)
{
	uint8_t trailer[TRAILER_LEN];
	int error = im->has_sections ? skip_sessions(im) : 0;

	if (error == 0 && im->has_leases)
		error = skip_items(im, SECTION_LEASES);
	if (error == 0 && im->has_leases)
		error = skip_items(im, SECTION_LOCKS);
	im->has_sections = im->has_leases = false;
	return error < 0 ? error
			 : snap_read(im->reader, trailer, sizeof(trailer));
}

int
image_next(struct image *im, struct image_record *rec, uint8_t *key)
{
	uint8_t head[RECORD_LEN];
	size_t key_len, value_len;
	int error;

	if (im->left == 0)
		return read_end(im);
	error = snap_read(im->reader, head, sizeof(head));
	if (error < 0)
		return error;
	value_len = get_le32(head);
	key_len = (size_t)(head[4] | head[5] << 8);
	if (key_len == 0 || key_len > IMAGE_KEY_MAX ||
	    value_len > IMAGE_VALUE_MAX)
		return -EBADMSG;
	if (value_len > im->value_cap) {
		uint8_t *more = realloc(im->value, value_len);

		if (more == NULL)
			return -ENOMEM;
		im->value = more;
		im->value_cap = value_len;
	}
	error = snap_read(im->reader, key, key_len);
	if (error == 0)
		error = snap_read(im->reader, im->value, value_len);
	if (error < 0)
		return error;
	rec->key = key;
	rec->key_len = key_len;
	rec->value = im->value;
	rec->value_len = value_len;
	rec->create_rev = get_le64(head + 6);
	rec->mod_rev = get_le64(head + 14);
	rec->version = get_le64(head + 22);
	im->left--;
	return 1;
}

void
image_close(struct image *im)
{
	free(im->value);
	im->value = NULL;
	im->value_cap = 0;
}
