/*
 * crc32c.c - CRC-32C: the processor's instruction where it has one, tables
 * (eight bytes a step) where it has none.
 */
#include "raftwal/crc32c.h"

#include <string.h>

#define POLY 0x82f63b78u /* reflected 0x1edc6f41 */

static uint32_t table[8][256];

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

__attribute__((target("sse4.2"))) static uint32_t
crc_sse42(uint32_t c, const uint8_t *p, size_t len)
{
	uint64_t wide = c, word;

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
