/*
 * crc32c.c - CRC-32C: the processor's instruction where it has one, tables
 * (eight bytes a step) where it has none.
 */
#include "raftwal/crc32c.h"

#include <string.h>

#define POLY 0x82f63b78u /* reflected 0x1edc6f41 */

/*
 * The instruction answers after three cycles but can begin each cycle, so a
 * block is three lanes that are worked on side by side.  A record of 300
 * bytes has a short block and some, a sector of the log one long block.
 */
#define LANE_SHORT 64
#define LANE_LONG 168

static uint32_t table[8][256];
/* What a state becomes by a lane of zeros: one table for each of its bytes. */
static uint32_t short_by[4][256], long_by[4][256];

/* It is linear: what a byte becomes is the sum of what its bits become. */
static void
lane_fill(uint32_t by[4][256], size_t lane)
{
	for (unsigned bit = 0; bit < 32; bit++) {
		uint32_t c = (uint32_t)1 << bit, low = 1u << bit % 8;

		for (size_t n = 0; n < lane; n++)
			c = (c >> 8) ^ table[0][c & 0xff];
		for (uint32_t i = 0; i < low; i++)
			by[bit / 8][low + i] = by[bit / 8][i] ^ c;
	}
}

__attribute__((constructor)) static void
table_fill(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int bit = 0; bit < 8; bit++)
			c = (c >> 1) ^ ((c & 1) ? POLY : 0);
		table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int t = 1; t < 8; t++)
			table[t][i] = (table[t - 1][i] >> 8) ^
				      table[0][table[t - 1][i] & 0xff];
	lane_fill(short_by, LANE_SHORT);
	lane_fill(long_by, LANE_LONG);
}

static uint32_t
crc_table(uint32_t c, const uint8_t *p, size_t len)
{
	for (; len >= 8; p += 8, len -= 8) {
		uint32_t lo =
		    c ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 |
			    (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);

		c = table[7][lo & 0xff] ^ table[6][lo >> 8 & 0xff] ^
		    table[5][lo >> 16 & 0xff] ^ table[4][lo >> 24] ^
		    table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^
		    table[0][p[7]];
	}
	for (; len > 0; p++, len--)
		c = (c >> 8) ^ table[0][(c ^ *p) & 0xff];
	return c;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

static uint32_t
behind_zeros(uint32_t by[4][256], uint32_t c)
{
	return by[0][c & 0xff] ^ by[1][c >> 8 & 0xff] ^ by[2][c >> 16 & 0xff] ^
	       by[3][c >> 24];
}

/* Three lanes: what stands before a lane counts as if zeros came behind. */
__attribute__((target("sse4.2"), always_inline)) static inline uint32_t
crc_block(uint32_t c, const uint8_t *p, size_t lane, uint32_t by[4][256])
{
	uint64_t c0 = c, c1 = 0, c2 = 0, w0, w1, w2;

	for (size_t i = 0; i < lane; i += 8) {
		memcpy(&w0, p + i, 8);
		memcpy(&w1, p + lane + i, 8);
		memcpy(&w2, p + 2 * lane + i, 8);
		c0 = _mm_crc32_u64(c0, w0);
		c1 = _mm_crc32_u64(c1, w1);
		c2 = _mm_crc32_u64(c2, w2);
	}
	c = behind_zeros(by, (uint32_t)c0) ^ (uint32_t)c1;
	return behind_zeros(by, c) ^ (uint32_t)c2;
}

__attribute__((target("sse4.2"))) static uint32_t
crc_sse42(uint32_t c, const uint8_t *p, size_t len)
{
	uint64_t wide, word;

	for (; len >= 3 * LANE_LONG; p += 3 * LANE_LONG, len -= 3 * LANE_LONG)
		c = crc_block(c, p, LANE_LONG, long_by);
	for (; len >= 3 * LANE_SHORT;
	     p += 3 * LANE_SHORT, len -= 3 * LANE_SHORT)
		c = crc_block(c, p, LANE_SHORT, short_by);
	wide = c;
	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&word, p, 8);
		wide = _mm_crc32_u64(wide, word);
	}
	c = (uint32_t)wide;
	for (; len > 0; p++, len--)
		c = _mm_crc32_u8(c, *p);
	return c;
}
#endif

uint32_t
crc32c(uint32_t seed, const void *data, size_t len)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return ~crc_sse42(~seed, data, len);
#endif
	return ~crc_table(~seed, data, len);
}

uint32_t
crc32c_portable(uint32_t seed, const void *data, size_t len)
{
	return ~crc_table(~seed, data, len);
}
