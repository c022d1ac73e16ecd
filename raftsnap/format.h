/*
 * format.h - header, blocks and footer of a snapshot as bytes: raftsnap(5).
 *
 * Private to raftsnap/.  Nothing here reads or writes a file.
 */
#ifndef RAFTSNAP_FORMAT_H
#define RAFTSNAP_FORMAT_H

#include "raftsnap/snap.h"

#define HEADER_FIXED 128 /* before the configuration */
#define HEADER_MAX (HEADER_FIXED + SNAP_CONFIG_LEN_MAX + 16)
#define BLOCK_HEAD 16
#define FOOTER_LEN 64

struct block_head {
	uint32_t crc;
	uint32_t packed_len; /* 0: this is the footer */
	uint32_t plain_len;
	uint32_t number;
};

/* Bytes of the whole header. */
size_t header_len(uint32_t config_len);
void header_put(uint8_t *, const struct snap_meta *);
/* How long the header is that begins so: -EBADMSG, -EPROTO too new. */
int header_peek(const uint8_t fixed[HEADER_FIXED], size_t *len);
/* config points into the bytes. */
int header_read(const uint8_t *, size_t len, struct snap_meta *);

void block_seal(uint8_t *block, uint32_t packed, uint32_t plain, uint32_t num);
void block_head_read(const uint8_t *, struct block_head *);
bool block_ok(const uint8_t *block, const struct block_head *);

void footer_put(uint8_t *, const struct snap_sum *);
int footer_read(const uint8_t *, struct snap_sum *);

#endif
