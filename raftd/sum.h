/*
 * sum.h - the checksum of what peers say to each other.
 *
 * TCP's own checksum of 16 bits lets through what a faulty host or switch
 * changes, and a changed term or index is a vote or an acknowledgement that
 * nobody gave.  So a CRC-32C of what stands before it goes with each message:
 * over everything, or up to bulk data that has checksums of its own.
 */
#ifndef RAFTD_SUM_H
#define RAFTD_SUM_H

#include <stddef.h>
#include <stdint.h>

#include "raftctl/frame.h"
#include "raftctl/mp.h"

/* Begins a notification of so many parameters and a checksum among them:
 * where its sum begins. */
size_t sum_begin(struct mp_buf *, const char *method, uint32_t params);
/* Puts the checksum of what stands in the buffer from start on. */
void sum_put(struct mp_buf *, size_t start);
/* Reads the checksum of what stands from start up to it: 0, or -EPROTO. */
int sum_read(struct mp_cur *, const uint8_t *start);
/* The same of a value that ends with its checksum. */
int sum_check(struct mp_span value);

#endif
