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
	im->reader = r;
	im->rev = get_le64(head + 16);
	im->time = get_le64(head + 24);
	im->applied = get_le64(head + 32);
	im->keys = im->left = get_le64(head + 40);
	im->bytes = get_le64(head + 48);
	return 0;
}

/*
 * All behind the records but the trailer: the tables, of which nothing that a
 * user has put is any part.  kvstore.h has their form; here they only are the
 * same as others or not.
 */
static int
read_end(struct image *im)
{
	uint8_t buf[16 * 1024 + TRAILER_LEN];
	XXH3_state_t *hash;
	XXH128_canonical_t out;
	size_t kept = 0;
	int64_t n;

	if (im->ended)
		return 0;
	hash = XXH3_createState();
	if (hash == NULL)
		return -ENOMEM;
	(void)XXH3_128bits_reset(hash);
	while ((n = snap_read_some(
		    im->reader, buf + kept, sizeof(buf) - kept)) > 0) {
		kept += (size_t)n;
		if (kept <= TRAILER_LEN)
			continue;
		(void)XXH3_128bits_update(hash, buf, kept - TRAILER_LEN);
		im->tables_len += kept - TRAILER_LEN;
		memmove(buf, buf + kept - TRAILER_LEN, TRAILER_LEN);
		kept = TRAILER_LEN;
	}
	XXH128_canonicalFromHash(&out, XXH3_128bits_digest(hash));
	(void)XXH3_freeState(hash);
	memcpy(im->tables, out.digest, sizeof(im->tables));
	im->ended = true;
	if (n < 0)
		return (int)n;
	return kept == TRAILER_LEN ? 0 : -EBADMSG;
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
