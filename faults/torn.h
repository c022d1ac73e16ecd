/*
 * torn.h - some sectors of what a file system has forgotten.
 *
 * Both directories hold the same names.  All: 0 or -errno.
 */
#ifndef FAULTS_TORN_H
#define FAULTS_TORN_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* Copy the files of data as they are read now. */
int torn_keep(const char *data, const char *copy);
/* Write a random half of the sectors of 512 bytes that differ into the files
 * of data that are still there; both counted. */
int torn_write(const char *copy, const char *data, uint64_t seed,
    unsigned *written, unsigned *differ);
void torn_forget(const char *copy);

#endif
