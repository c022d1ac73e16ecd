/*
 * format.c - header, blocks and footer of a snapshot as bytes.
 */
#include "raftsnap/format.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "raftwal/bytes.h"
#include "raftwal/crc32c.h"

static const uint8_t header_magic[8] = {'r', 'a', 'f', 't', 's', 'n', 'p', '1'};
static const uint8_t footer_magic[8] = {'r', 'a', 'f', 't', 'e', 'n', 'd', '1'};

/* ---- header ------------------------------------------------------------ */

size_t
header_len(uint32_t config_len)
{
	return HEADER_FIXED + (((size_t)config_len + 7) & ~(size_t)7) + 8;
}

void
header_put(uint8_t *p, const struct snap_meta *m)
{
	size_t len = header_len(m->config_len);

	assert(m->config_len <= SNAP_CONFIG_LEN_MAX);
	memset(p, 0, len);
	memcpy(p, header_magic, sizeof(header_magic));
	put_le32(p + 8, SNAP_FORMAT);
	put_le32(p + 12, (uint32_t)len);
	memcpy(p + 16, m->cluster, SNAP_ID_LEN);
	put_le32(p + 32, m->group);
	put_le32(p + 36, m->config_len);
	put_le64(p + 40, m->index);
	put_le64(p + 48, m->term);
	put_le64(p + 56, m->config_index);
	put_le64(p + 64, m->rev);
	put_le64(p + 72, m->stamp);
	put_le64(p + 80, m->created_ms);
	memcpy(p + 88, m->digest, sizeof(m->digest));
	if (m->config_len > 0)
		memcpy(p + HEADER_FIXED, m->config, m->config_len);
	put_le32(p + len - 4, crc32c(0, p, len - 4));
}

int
header_peek(const uint8_t p[HEADER_FIXED], size_t *len)
{
	uint32_t n = get_le32(p + 12);

	if (memcmp(p, header_magic, sizeof(header_magic)) != 0)
		return -EBADMSG;
	if (get_le32(p + 8) > SNAP_FORMAT)
		return -EPROTO;
	if (get_le32(p + 8) != SNAP_FORMAT || n % 8 != 0 || n < header_len(0) ||
	    n > HEADER_MAX)
		return -EBADMSG;
	*len = n;
	return 0;
}

int
header_read(const uint8_t *p, size_t len, struct snap_meta *out)
{
	struct snap_meta m = {0};

	if (get_le32(p + len - 4) != crc32c(0, p, len - 4))
		return -EBADMSG;
	memcpy(m.cluster, p + 16, SNAP_ID_LEN);
	m.group = get_le32(p + 32);
	m.config_len = get_le32(p + 36);
	m.index = get_le64(p + 40);
	m.term = get_le64(p + 48);
	m.config_index = get_le64(p + 56);
	m.rev = get_le64(p + 64);
	m.stamp = get_le64(p + 72);
	m.created_ms = get_le64(p + 80);
	memcpy(m.digest, p + 88, sizeof(m.digest));
	if (m.config_len > SNAP_CONFIG_LEN_MAX ||
	    header_len(m.config_len) != len)
		return -EBADMSG;
	if (m.index == 0 || m.term == 0 || m.config_index > m.index)
		return -EBADMSG;
	m.config = p + HEADER_FIXED;
	*out = m;
	return 0;
}

/* ---- blocks ------------------------------------------------------------ */

void
block_seal(uint8_t *p, uint32_t packed, uint32_t plain, uint32_t number)
{
	put_le32(p + 4, packed);
	put_le32(p + 8, plain);
	put_le32(p + 12, number);
	put_le32(p, crc32c(0, p + 4, BLOCK_HEAD - 4 + packed));
}

void
block_head_read(const uint8_t *p, struct block_head *h)
{
	h->crc = get_le32(p);
	h->packed_len = get_le32(p + 4);
	h->plain_len = get_le32(p + 8);
	h->number = get_le32(p + 12);
}

bool
block_ok(const uint8_t *p, const struct block_head *h)
{
	return h->crc == crc32c(0, p + 4, BLOCK_HEAD - 4 + h->packed_len);
}

/* ---- footer ------------------------------------------------------------ */

void
footer_put(uint8_t *p, const struct snap_sum *s)
{
	memset(p, 0, FOOTER_LEN);
	memcpy(p + 8, footer_magic, sizeof(footer_magic));
	put_le64(p + 16, s->blocks);
	put_le64(p + 24, s->plain_len);
	put_le64(p + 32, s->file_len);
	memcpy(p + 40, s->id, SNAP_ID_LEN);
	put_le32(p, crc32c(0, p + 4, FOOTER_LEN - 4));
}

int
footer_read(const uint8_t *p, struct snap_sum *out)
{
	if (get_le32(p) != crc32c(0, p + 4, FOOTER_LEN - 4) ||
	    get_le32(p + 4) != 0 ||
	    memcmp(p + 8, footer_magic, sizeof(footer_magic)) != 0)
		return -EBADMSG;
	out->blocks = get_le64(p + 16);
	out->plain_len = get_le64(p + 24);
	out->file_len = get_le64(p + 32);
	memcpy(out->id, p + 40, SNAP_ID_LEN);
	return 0;
}
