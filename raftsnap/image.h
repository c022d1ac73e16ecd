/*
 * image.h - the records of a key-value store's state, out of a snapshot in
 * order, with bounded memory: raftsnap(5).
 */
#ifndef RAFTSNAP_IMAGE_H
#define RAFTSNAP_IMAGE_H

#include "raftsnap/snap.h"

#define IMAGE_KEY_MAX 4096
#define IMAGE_VALUE_MAX (64u * 1024 * 1024)

/* What stands behind the records: kvstore.h. */
#define IMAGE_TABLES 3
extern const char *const image_table_name[IMAGE_TABLES];

struct image {
	struct snap_reader *reader;
	uint64_t rev, time, applied;
	uint64_t keys, bytes;
	uint64_t left;	 /* records */
	uint32_t tables; /* behind them */
	struct {
		uint64_t items;
		uint8_t hash[16];
	} table[IMAGE_TABLES]; /* once there are no more records */
	bool ended;
	uint8_t *value; /* grown as needed */
	size_t value_cap;
};

struct image_record {
	const uint8_t *key, *value; /* until the next one */
	size_t key_len, value_len;
	uint64_t create_rev, mod_rev, version;
};

/* The header: -EBADMSG not such a state, -EPROTO a newer form. */
int image_open(struct image *, struct snap_reader *);
/* 1 a record, 0 there are no more, -errno. */
int image_next(struct image *, struct image_record *, uint8_t *key);
void image_close(struct image *);

#endif
