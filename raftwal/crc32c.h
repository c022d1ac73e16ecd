/*
 * crc32c.h - the checksum of everything raftkit writes: CRC-32C (Castagnoli,
 * RFC 3720 appendix B.4), with the processor's instruction where it has one.
 */
#ifndef RAFTWAL_CRC32C_H
#define RAFTWAL_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* crc of the bytes that follow those whose crc was seed (0 at the start). */
uint32_t crc32c(uint32_t seed, const void *, size_t len);
/* The same without the instruction; tests compare the two. */
uint32_t crc32c_portable(uint32_t seed, const void *, size_t len);

#endif
