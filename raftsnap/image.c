/*
 * image.c - the records of a key-value store's state.
 */
#include "raftsnap/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "raftwal/bytes.h"

#define HEAD_LEN 56
#define RECORD_LEN 30
#define TRAILER_LEN 16
#define SECTION_LEN 16
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
	im->tables = head[6] == '1' ? 0 : head[6] == '2' ? 1 : IMAGE_TABLES;
	im->reader = r;
	im->rev = get_le64(head + 16);
	im->time = get_le64(head + 24);
	im->applied = get_le64(head + 32);
	im->keys = im->left = get_le64(head + 40);
	im->bytes = get_le64(head + 48);
	return 0;
}

/* ---- tables ------------------------------------------------------------ */

const char *const image_table_name[IMAGE_TABLES] = {
    "sessions", "leases", "locks"};

/* Bytes of a table: read, and hashed unless hash is NULL. */
struct table {
	struct snap_reader *reader;
	XXH3_state_t *hash;
	uint64_t items;
};

static int
take(struct table *t, void *buf, size_t len, bool counts)
{
	int error = snap_read(t->reader, buf, len);

	if (error == 0 && counts)
		(void)XXH3_128bits_update(t->hash, buf, len);
	return error;
}

static int
take_long(struct table *t, uint64_t len, bool counts)
{
	uint8_t bytes[4096];
	int error = 0;

	while (error == 0 && len > 0) {
		size_t n = len < sizeof(bytes) ? (size_t)len : sizeof(bytes);

		error = take(t, bytes, n, counts);
		len -= n;
	}
	return error;
}

static int
take_session(struct table *t)
{
	uint8_t session[SESSION_LEN], outcome[OUTCOME_LEN];
	int error = take(t, session, sizeof(session), true);

	if (error == 0)
		error = take_long(t, session[0], true);
	for (uint32_t n = error == 0 ? get_le32(session + 4) : 0;
	     error == 0 && n > 0; n--) {
		error = take(t, outcome, sizeof(outcome), true);
		if (error == 0)
			error = take_long(t, get_le32(outcome + 16), true);
	}
	return error;
}

/* Those of leases and locks have their length in front; in the first item
 * are counters, which are no part of what is compared: restore moves them. */
static int
take_item(struct table *t, bool is_first)
{
	uint8_t len[4];
	int error = take(t, len, sizeof(len), !is_first);

	return error < 0 ? error : take_long(t, get_le32(len), !is_first);
}

static int
take_table(struct table *t, uint32_t type)
{
	uint8_t head[SECTION_LEN];
	int error = take(t, head, sizeof(head), false);

	if (error < 0)
		return error;
	if (get_le32(head) != type || get_le64(head + 8) == 0)
		return -EBADMSG;
	t->items = get_le64(head + 8) - 1;
	error = type == 1 ? take_long(t, 8, true) : take_item(t, true);
	for (uint64_t i = 0; error == 0 && i < t->items; i++)
		error = type == 1 ? take_session(t) : take_item(t, false);
	return error;
}

static int
read_tables(struct image *im)
{
	struct table t = {.reader = im->reader, .hash = XXH3_createState()};
	int error = t.hash == NULL ? -ENOMEM : 0;

	for (uint32_t i = 0; error == 0 && i < im->tables; i++) {
		XXH128_canonical_t out;

		(void)XXH3_128bits_reset(t.hash);
		error = take_table(&t, i + 1);
		XXH128_canonicalFromHash(&out, XXH3_128bits_digest(t.hash));
		memcpy(im->table[i].hash, out.digest, sizeof(out.digest));
		im->table[i].items = t.items;
	}
	(void)XXH3_freeState(t.hash);
	return error;
}

static int
read_end(struct image *im)
{
	uint8_t trailer[TRAILER_LEN + 1];
	int64_t n;
	int error = im->ended ? 0 : read_tables(im);

	if (im->ended || error < 0)
		return error;
	im->ended = true;
	error = snap_read(im->reader, trailer, TRAILER_LEN);
	if (error < 0)
		return error;
	n = snap_read_some(im->reader, trailer, 1);
	return n < 0 ? (int)n : n == 0 ? 0 : -EBADMSG;
}

/* ---- records ----------------------------------------------------------- */

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
