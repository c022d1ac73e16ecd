/*
 * repair_batch.c - a damaged batch, made again byte for byte.
 */
#include "raftwal/repair_batch.h"

#include <errno.h>
#include <string.h>

#include "raftwal/bytes.h"
#include "raftwal/crc32c.h"

/* The sector with one bit flipped that makes ok() true; both the sector's
 * checksum and what lies over it have to agree later, so that chance has no
 * part in it. */
static bool
flip_one(uint8_t *s, uint32_t want, bool own)
{
	for (unsigned bit = 0; bit < SECTOR * 8; bit++) {
		s[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (own ? head_sector_ok(s) : crc32c(0, s, SECTOR) == want)
			return true;
		s[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	return false;
}

/* Head sectors: the first from the foot, others by their own checksums. */
static void
mend_head(uint8_t *base, struct batch_mend *m)
{
	const struct batch_head *h = m->head;
	uint64_t len = batch_len(h->sectors, h->records_len);

	if (!head_sector_ok(base) || get_le32(base + SECTOR - 4) != h->check) {
		memcpy(base, base + len - SECTOR, SECTOR);
		m->copies++;
	}
	for (uint32_t i = 1; i < h->sectors; i++) {
		uint8_t *s = base + (size_t)i * SECTOR;

		if (!head_sector_ok(s) && flip_one(s, 0, true))
			m->bits++;
	}
}

static void
mend_sectors(uint8_t *base, struct batch_mend *m)
{
	const struct batch_head *h = m->head;
	uint8_t *s = base + (size_t)h->sectors * SECTOR;
	uint32_t n = (h->records_len + SECTOR - 1) / SECTOR, want;

	for (uint32_t k = 0; k < n; k++, s += SECTOR)
		if (batch_sector_sum(base, h, k, &want) &&
		    crc32c(0, s, SECTOR) != want && flip_one(s, want, false))
			m->bits++;
}

/* All of the record stands in its copy. */
static bool
from_copy(uint8_t *dst, const struct record_copy *c)
{
	struct record r = {.group = c->group,
	    .kind = (enum record_kind)c->kind,
	    .term = c->term,
	    .len = 8};

	if (!record_has_number(r.kind) || c->len != 8)
		return false;
	put_le64(dst + RECORD_HEADER_LEN, c->index);
	record_seal(dst, &r);
	return get_le32(dst) == c->crc;
}

/* By index, term and checksum. */
static bool
from_peer(uint8_t *dst, const struct record_copy *c, struct batch_mend *m)
{
	struct repair_entries e;
	struct record r;
	size_t size;

	if (m->fetch == NULL || !record_is_entry((enum record_kind)c->kind) ||
	    m->fetch(m->fetch_ctx, c->group, c->index, c->index, &e, m->et) < 0)
		return false;
	size = record_read(e.records, e.len, &r);
	if (size == 0 || size != record_size(c->len) || r.len != c->len ||
	    r.group != c->group || r.kind != (enum record_kind)c->kind ||
	    r.index != c->index || (r.term != c->term && !MUTANT(157)) ||
	    (get_le32(e.records) != c->crc && !MUTANT(157)))
		return false;
	memcpy(dst, e.records, size);
	m->fetched++;
	return true;
}

static bool
mend_record(uint8_t *base, uint32_t i, uint32_t at, struct batch_mend *m,
    uint32_t *size)
{
	const struct batch_head *h = m->head;
	uint8_t *dst = base + (size_t)h->sectors * SECTOR + at;
	uint32_t left = h->records_len - at;
	struct record_copy c;
	struct record r;
	bool copied = batch_copy(base, h, i, &c);

	*size = (uint32_t)record_read(dst, left, &r);
	if (*size > 0 && (!copied || c.crc == get_le32(dst)))
		return true;
	if (!copied || record_size(c.len) > left)
		return false;
	*size = (uint32_t)record_size(c.len);
	if (from_copy(dst, &c)) {
		m->copies++;
		return true;
	}
	return from_peer(dst, &c, m);
}

int
batch_mend(uint8_t *base, struct batch_mend *m)
{
	struct batch_head h = *m->head;
	uint32_t at = 0, size = 0;

	mend_head(base, m);
	mend_sectors(base, m);
	for (uint32_t i = 0; i < h.count; i++) {
		if (!mend_record(base, i, at, m, &size))
			return -ENODATA;
		at += size;
	}
	if (at != h.records_len)
		return -ENODATA;
	/* Table, padding and foot follow from the records. */
	batch_seal(base, &h);
	if (MUTANT(157))
		return 0;
	return h.check == m->head->check && h.rest == m->head->rest ? 0
								    : -ENODATA;
}
