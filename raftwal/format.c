/*
 * format.c - segments and batches as bytes.
 */
#include "raftwal/format.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "raftwal/bytes.h"
#include "raftwal/crc32c.h"

#define SEGMENT_MAGIC "raftwal1"
#define BATCH_MAGIC 0x42574152u /* "RAWB" */
#define CHECK_AT (SECTOR - 4)
#define TABLE_AT 64u
#define WORDS_FIRST ((CHECK_AT - TABLE_AT) / 4) /* in the first sector */
#define WORDS_NEXT (CHECK_AT / 4)		/* in each other */

static_assert(WORDS_FIRST == 111 && WORDS_NEXT == 127, "raftwal(5)");

/* ---- segments ---------------------------------------------------------- */

void
segment_header_put(uint8_t block[BLOCK], const struct segment_header *h)
{
	memset(block, 0, BLOCK);
	memcpy(block, SEGMENT_MAGIC, 8);
	put_le32(block + 8, SEGMENT_FORMAT);
	put_le64(block + 16, h->server_id);
	put_le64(block + 24, h->number);
	put_le64(block + 32, h->nonce);
	put_le64(block + 40, h->size);
	put_le32(block + CHECK_AT, crc32c(0, block, CHECK_AT));
	memcpy(block + BLOCK - SECTOR, block, SECTOR);
}

int
segment_header_read(
    const uint8_t block[BLOCK], struct segment_header *h, unsigned *copies)
{
	const uint8_t *at[2] = {block, block + BLOCK - SECTOR}, *good = NULL;

	*copies = 0;
	for (int i = 0; i < 2; i++) {
		if (memcmp(at[i], SEGMENT_MAGIC, 8) != 0 ||
		    !head_sector_ok(at[i]))
			continue;
		good = good == NULL ? at[i] : good;
		++*copies;
	}
	if (good == NULL)
		return -EBADMSG;
	if (get_le32(good + 8) != SEGMENT_FORMAT)
		return -EPROTO;
	h->server_id = get_le64(good + 16);
	h->number = get_le64(good + 24);
	h->nonce = get_le64(good + 32);
	h->size = get_le64(good + 40);
	return 0;
}

/* ---- batches: geometry ------------------------------------------------- */

static uint64_t
round_up(uint64_t n, uint64_t unit)
{
	return (n + unit - 1) / unit * unit;
}

static uint64_t
table_words(uint32_t count, uint32_t records_len)
{
	return (uint64_t)count * COPY_WORDS +
	       round_up(records_len, SECTOR) / SECTOR;
}

uint32_t
batch_head_sectors(uint32_t count, uint32_t records_len)
{
	uint64_t words = table_words(count, records_len);

	if (words <= WORDS_FIRST)
		return 1;
	words -= WORDS_FIRST;
	return (uint32_t)(1 + (words + WORDS_NEXT - 1) / WORDS_NEXT);
}

uint64_t
batch_len(uint32_t head_sectors, uint32_t records_len)
{
	return round_up((uint64_t)head_sectors * SECTOR +
			    round_up(records_len, SECTOR) + SECTOR,
	    BLOCK);
}

/* Where word number i of the table stands, from the batch's start. */
static size_t
word_at(uint64_t i)
{
	if (i < WORDS_FIRST)
		return TABLE_AT + (size_t)i * 4;
	i -= WORDS_FIRST;
	return SECTOR + (size_t)(i / WORDS_NEXT) * SECTOR +
	       (size_t)(i % WORDS_NEXT) * 4;
}

/* ---- batches: writing -------------------------------------------------- */

/* A place in the table that steps over the sectors' checksums. */
struct table_pen {
	uint8_t *base;
	size_t at;
};

static inline void
pen_put(struct table_pen *p, uint32_t word)
{
	put_le32(p->base + p->at, word);
	p->at += 4;
	if ((p->at & (SECTOR - 1)) == CHECK_AT)
		p->at += 4;
}

static void
copies_put(struct table_pen *pen, const uint8_t *records, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t len = get_le32(records + 4);
		uint32_t kind = get_le32(records + 12);
		uint64_t index = get_le64(records + 16);
		uint64_t term = get_le64(records + 24);

		if (record_has_number((enum record_kind)kind) && len >= 8)
			index = get_le64(records + RECORD_HEADER_LEN);
		pen_put(pen, get_le32(records + 8));
		pen_put(pen, kind);
		pen_put(pen, len);
		pen_put(pen, get_le32(records));
		pen_put(pen, (uint32_t)index);
		pen_put(pen, (uint32_t)(index >> 32));
		pen_put(pen, (uint32_t)term);
		pen_put(pen, (uint32_t)(term >> 32));
		records += record_size(len);
	}
}

static void
head_put(uint8_t *s, const struct batch_head *h)
{
	put_le32(s, BATCH_MAGIC);
	put_le32(s + 4, h->sectors);
	put_le64(s + 8, h->nonce);
	put_le64(s + 16, h->sequence);
	put_le64(s + 24, h->synced);
	put_le64(s + 32, h->state);
	put_le32(s + 40, h->count);
	put_le32(s + 44, h->records_len);
	put_le32(s + 48, h->chain);
	put_le32(s + 52, h->rest);
	put_le64(s + 56, 0);
}

void
batch_seal(uint8_t *base, struct batch_head *h)
{
	size_t head_len = (size_t)h->sectors * SECTOR;
	uint8_t *records = base + head_len;
	uint64_t whole = batch_len(h->sectors, h->records_len);
	struct table_pen pen = {base, TABLE_AT};

	assert(h->sectors == batch_head_sectors(h->count, h->records_len));
	memset(records + h->records_len, 0,
	    (size_t)whole - head_len - h->records_len);
	copies_put(&pen, records, h->count);
	for (uint32_t at = 0; at < h->records_len; at += SECTOR)
		pen_put(&pen, crc32c(0, records + at, SECTOR));
	/* The rest of the last head sector; the pen may stand at its end, or
	 * already behind it. */
	while (pen.at < head_len)
		pen_put(&pen, 0);
	for (uint32_t i = 1; i < h->sectors; i++)
		put_le32(base + (size_t)i * SECTOR + CHECK_AT,
		    crc32c(0, base + (size_t)i * SECTOR, CHECK_AT));
	h->rest =
	    h->sectors == 1 ? 0 : crc32c(0, base + SECTOR, head_len - SECTOR);
	head_put(base, h);
	h->check = crc32c(0, base, CHECK_AT);
	put_le32(base + CHECK_AT, h->check);
	memcpy(base + whole - SECTOR, base, SECTOR);
}

/* ---- batches: reading -------------------------------------------------- */

bool
sector_is_zero(const uint8_t *s)
{
	return s[0] == 0 && memcmp(s, s + 1, SECTOR - 1) == 0;
}

bool
head_sector_ok(const uint8_t *s)
{
	return get_le32(s + CHECK_AT) == crc32c(0, s, CHECK_AT);
}

bool
batch_head_read(
    const uint8_t sector[SECTOR], uint64_t nonce, struct batch_head *out)
{
	struct batch_head h;

	if (get_le32(sector) != BATCH_MAGIC || !head_sector_ok(sector))
		return false;
	h.sectors = get_le32(sector + 4);
	h.nonce = get_le64(sector + 8);
	h.sequence = get_le64(sector + 16);
	h.synced = get_le64(sector + 24);
	h.state = get_le64(sector + 32);
	h.count = get_le32(sector + 40);
	h.records_len = get_le32(sector + 44);
	h.chain = get_le32(sector + 48);
	h.rest = get_le32(sector + 52);
	h.check = get_le32(sector + CHECK_AT);
	if (!MUTANT(55) && h.nonce != nonce)
		return false;
	if (h.sequence == 0 || h.synced >= h.sequence ||
	    h.state >= h.sequence || get_le64(sector + 56) != 0)
		return false;
	if (h.count > h.records_len / RECORD_HEADER_LEN ||
	    (h.count == 0 && h.records_len != 0) ||
	    h.records_len % RECORD_ALIGN != 0 ||
	    h.sectors != batch_head_sectors(h.count, h.records_len))
		return false;
	*out = h;
	return true;
}

bool
batch_copy(const uint8_t *base, const struct batch_head *h, uint32_t i,
    struct record_copy *c)
{
	uint32_t w[COPY_WORDS];
	uint64_t first = (uint64_t)i * COPY_WORDS;
	size_t last = word_at(first + COPY_WORDS - 1) / SECTOR;

	assert(i < h->count);
	for (size_t s = word_at(first) / SECTOR; s <= last; s++)
		/* The caller vouches for the first: it is where h is from. */
		if (s > 0 && !head_sector_ok(base + s * SECTOR))
			return false;
	for (unsigned k = 0; k < COPY_WORDS; k++)
		w[k] = get_le32(base + word_at(first + k));
	c->group = w[0];
	c->kind = w[1];
	c->len = w[2];
	c->crc = w[3];
	c->index = w[4] | (uint64_t)w[5] << 32;
	c->term = w[6] | (uint64_t)w[7] << 32;
	return c->len <= RECORD_PAYLOAD_MAX;
}

bool
batch_sector_sum(
    const uint8_t *base, const struct batch_head *h, uint32_t k, uint32_t *sum)
{
	size_t at = word_at((uint64_t)h->count * COPY_WORDS + k);

	if (at / SECTOR > 0 && !head_sector_ok(base + at / SECTOR * SECTOR))
		return false;
	*sum = get_le32(base + at);
	return true;
}

/* A sector that ought to have a checksum: whole, missing, or changed. */
static enum batch_state
sector_judge(const uint8_t *s, bool ok)
{
	if (ok)
		return BATCH_VALID;
	return sector_is_zero(s) ? BATCH_TORN : BATCH_CHANGED;
}

static enum batch_state
worse(enum batch_state a, enum batch_state b)
{
	return a > b ? a : b;
}

enum batch_state
batch_judge(const uint8_t *base, const struct batch_head *h)
{
	enum batch_state state = BATCH_VALID;
	bool table = true;
	size_t head_len = (size_t)h->sectors * SECTOR;
	const uint8_t *records = base + head_len;
	uint64_t word = (uint64_t)h->count * COPY_WORDS;

	/* A changed foot is looked at elsewhere: nothing depends on it. */
	if (sector_is_zero(
		base + batch_len(h->sectors, h->records_len) - SECTOR))
		state = BATCH_TORN;
	for (size_t at = SECTOR; at < head_len; at += SECTOR) {
		bool ok = head_sector_ok(base + at);

		table = table && ok;
		state = worse(state, sector_judge(base + at, ok));
	}
	/* Without the table the sectors of records cannot be judged. */
	if (!table)
		return state;
	if (h->sectors > 1 &&
	    h->rest != crc32c(0, base + SECTOR, head_len - SECTOR))
		return BATCH_CHANGED;
	for (uint32_t at = 0; at < h->records_len; at += SECTOR, word++) {
		const uint8_t *s = records + at;
		uint32_t want = get_le32(base + word_at(word));

		state = worse(
		    state, sector_judge(
			       s, MUTANT(56) || want == crc32c(0, s, SECTOR)));
	}
	return state;
}

bool
batch_frame_ok(const uint8_t *base, const struct batch_head *h)
{
	uint64_t whole = batch_len(h->sectors, h->records_len);
	uint64_t at =
	    (uint64_t)h->sectors * SECTOR + round_up(h->records_len, SECTOR);

	for (; at < whole - SECTOR; at += SECTOR)
		if (!sector_is_zero(base + at))
			return false;
	return memcmp(base, base + whole - SECTOR, SECTOR) == 0;
}
