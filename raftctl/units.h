/*
 * units.h - numbers, durations and sizes as people write them.
 */
#ifndef RAFTCTL_UNITS_H
#define RAFTCTL_UNITS_H

#include <stdint.h>

/* All: 0, or -EINVAL; nothing but digits (and the unit) is accepted. */

int units_u64(const char *, uint64_t *);
/* "250ms" "5s" "2m" "1h" "7d"; a bare number is refused.  In ms. */
int units_duration_ms(const char *, uint64_t *);
/* "64K" "8M" "1G", and bare bytes. */
int units_size(const char *, uint64_t *);

#endif
