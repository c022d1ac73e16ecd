/*
 * format.h - segments and batches as bytes: raftwal(5).
 *
 * Private to raftwal/.  Nothing here reads or writes a file, and whatever
 * bytes it is given it answers without leaving them.
 */
#ifndef RAFTWAL_FORMAT_H
#define RAFTWAL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftwal/record.h"

#define SECTOR 512u
#define BLOCK 4096u
#define SEGMENT_FORMAT 1
#define SEGMENT_HEADER_LEN BLOCK
#define COPY_WORDS 8 /* of 4 bytes */

struct segment_header {
	uint64_t server_id;
	uint64_t number;
	uint64_t nonce;
	uint64_t size; /* the file is never shorter */
};

void segment_header_put(uint8_t block[BLOCK], const struct segment_header *);
/* Either copy will do: 0, -EBADMSG both bad, -EPROTO a format we do not
 * know.  *copies is how many of the two are good. */
int segment_header_read(
    const uint8_t block[BLOCK], struct segment_header *, unsigned *copies);

/* The first head sector, decoded. */
struct batch_head {
	uint32_t sectors; /* of the head */
	uint64_t nonce;
	uint64_t sequence;
	uint64_t synced;
	uint64_t state;
	uint32_t count;
	uint32_t records_len;
	uint32_t chain;
	uint32_t rest;
	uint32_t check; /* of the sector itself: the next one's chain */
};

/* Head sectors that a batch of so many records and bytes needs. */
uint32_t batch_head_sectors(uint32_t count, uint32_t records_len);
/* Bytes of the whole batch, a multiple of BLOCK. */
uint64_t batch_len(uint32_t head_sectors, uint32_t records_len);
/* Magic, checksum, nonce, and counts that agree with each other. */
bool batch_head_read(
    const uint8_t sector[SECTOR], uint64_t nonce, struct batch_head *);

/* What the head keeps of each record. */
struct record_copy {
	uint32_t group, kind, len, crc;
	uint64_t index, term; /* index: the vote in hard state, and so on */
};

/*
 * Encode a batch around the records at base + h->sectors * SECTOR, count and
 * records_len filled in; computes rest and check.  The records must be whole
 * sealed ones.  Zeroes all that lies between.
 */
void batch_seal(uint8_t *base, struct batch_head *);

bool sector_is_zero(const uint8_t *);
/* A head sector's own checksum. */
bool head_sector_ok(const uint8_t *);

/* Copy number i of the batch at base; false if its sectors are bad. */
bool batch_copy(const uint8_t *base, const struct batch_head *, uint32_t i,
    struct record_copy *);

/* The checksum that sector k of the records ought to have; false if the table
 * does not tell. */
bool batch_sector_sum(
    const uint8_t *base, const struct batch_head *, uint32_t k, uint32_t *sum);

enum batch_state {
	BATCH_VALID,
	BATCH_TORN,    /* sectors are missing, none was changed */
	BATCH_CHANGED, /* a sector is neither whole nor zero */
};

/* Judge the sectors of a batch whose head was read. */
enum batch_state batch_judge(const uint8_t *base, const struct batch_head *);
/* What lies around the records and matters to nobody: true as written. */
bool batch_frame_ok(const uint8_t *base, const struct batch_head *);

#endif
