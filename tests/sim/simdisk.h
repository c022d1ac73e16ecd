/*
 * simdisk.h - a disk in memory that forgets what was not synced.
 *
 * Files are rows of sectors of 512 bytes with two images: the volatile one,
 * which reads see, and the durable one, which a power failure leaves.  Only
 * pages that hold something other than zeroes take memory, and only sectors
 * written since the last sync have two images, so that a preallocated log
 * costs what was written into it.  Names have two images as well: the
 * operations on names since the last sync_dir() of their directory.
 *
 * simdisk_crash() with power keeps, sector by sector, old or new of all that
 * was not synced (old sizes or new, any part of the growth zero), and of the
 * name operations either a prefix or any subset in order; a rename happens
 * or does not, but is never half.  Without power (the process died, the
 * kernel lives) nothing is lost, and nothing becomes durable either.
 *
 * A frozen disk answers -EIO to everything and changes nothing: it is how a
 * server dies in the middle of a storage job.  simdisk_freeze_after(n)
 * freezes at the n-th operation from now that would change something; the
 * operation at which it freezes may be carried out in part.
 *
 * Faults are armed by the nemesis and counted when they strike.
 */
#ifndef TESTS_SIM_SIMDISK_H
#define TESTS_SIM_SIMDISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftwal/disk.h"
#include "tests/sim/prng.h"

#define SIMDISK_SECTOR 512
#define SIMDISK_PAGE 4096
#define SIMDISK_FILES_MAX 4096
#define SIMDISK_PATH_MAX 64
#define SIMDISK_OPS_MAX 1024 /* on names, waiting for a sync */

struct simdisk;

struct simdisk_stat {
	uint64_t writes, syncs, sync_dirs, reads;
	uint64_t bytes_written;
	uint64_t sectors_lost; /* reverted by crashes */
	uint64_t sectors_kept; /* unsynced, and survived */
	uint64_t names_lost;
	uint64_t faults; /* that struck */
};

struct simdisk *simdisk_new(uint64_t seed, unsigned number);
void simdisk_free(struct simdisk *);
/* The table to hand to the code under test. */
struct disk *simdisk_table(struct simdisk *);

/* The server died; the files it had open are closed.  power: what was not
 * synced is at risk.  Thaws the disk. */
void simdisk_crash(struct simdisk *, bool power);
void simdisk_freeze(struct simdisk *);
void simdisk_freeze_after(struct simdisk *, unsigned n);
void simdisk_disarm(struct simdisk *); /* no freeze waits any more */
bool simdisk_frozen(const struct simdisk *);
/* Something was written or named that is not yet durable. */
bool simdisk_dirty(const struct simdisk *);

/* A copy of the durable image, all there is: for old and cloned disks. */
struct simdisk *simdisk_clone(
    const struct simdisk *, uint64_t seed, unsigned number);
/* Everything on it is gone. */
void simdisk_wipe(struct simdisk *);

/* ---- faults ------------------------------------------------------------ */

/* The next write or sync fails with -EIO; a failed sync leaves its pages
 * clean, readable and not durable, as Linux does. */
void simdisk_fail_write(struct simdisk *, unsigned after);
void simdisk_fail_sync(struct simdisk *, unsigned after);
void simdisk_fail_read(struct simdisk *, unsigned after);
/* Nothing armed any more, no limit of space. */
void simdisk_heal(struct simdisk *);
/* Files may grow by this many bytes and then -ENOSPC; UINT64_MAX: no limit. */
void simdisk_space(struct simdisk *, uint64_t bytes);
/* Flip one bit of what is durable in a file whose name begins so and which
 * holds something; false if there is none.  *offset is where. */
bool simdisk_rot(struct simdisk *, const char *prefix, char *path, size_t size,
    uint64_t *offset);

void simdisk_stat(const struct simdisk *, struct simdisk_stat *);
/* Memory held, for the budget of the simulator itself. */
size_t simdisk_memory(const struct simdisk *);
/* A hash of everything durable. */
uint64_t simdisk_hash(const struct simdisk *);

#endif
