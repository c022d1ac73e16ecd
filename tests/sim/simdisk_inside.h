/*
 * simdisk_inside.h - the parts of the simulated disk, for its own files.
 *
 * simdisk_page.c: bytes, what of them is durable, what a crash leaves.
 * simdisk_name.c: the same of names.  simdisk.c: the table of operations and
 * the faults.
 */
#ifndef TESTS_SIM_SIMDISK_INSIDE_H
#define TESTS_SIM_SIMDISK_INSIDE_H

#include <stdlib.h>
#include <string.h>

#include "tests/sim/simdisk.h"

#define PAGE_SECTORS (SIMDISK_PAGE / SIMDISK_SECTOR)
#define NEVER UINT64_MAX

/*
 * One page: what reads see, and for the sectors in `dirty` what was durable
 * before.  `lost` are sectors whose sync failed: they stay readable, no
 * later sync makes them durable, and a power failure takes them back.
 */
struct page {
	uint8_t *now; /* NULL: zeroes */
	uint8_t *old; /* NULL: zeroes, or nothing is dirty */
	uint8_t dirty, lost;
	bool listed; /* in the inode's list of dirty pages */
};

struct inode {
	struct page *page;
	size_t pages; /* room in page[] */
	uint64_t size, durable_size;
	uint32_t *dirty; /* pages that may be dirty */
	size_t dirty_count, dirty_cap;
	unsigned refs; /* names, pending operations, open files */
};

struct entry {
	char path[SIMDISK_PATH_MAX];
	struct inode *inode; /* NULL: a directory */
};

/* A list of names sorted by path. */
struct names {
	struct entry *entry;
	size_t count, cap;
};

enum op_kind {
	OP_CREATE,
	OP_MKDIR,
	OP_RENAME,
	OP_UNLINK,
};

struct op {
	enum op_kind kind;
	char path[SIMDISK_PATH_MAX];
	char to[SIMDISK_PATH_MAX];
	struct inode *inode; /* CREATE */
};

struct disk_file {
	struct simdisk *disk;
	struct inode *inode;
	int flags;
	struct disk_file *next, **prev;
};

struct simdisk {
	struct disk table;
	struct prng prng;
	struct names now, durable;
	struct op *op; /* on names, not yet durable, in order */
	size_t op_count;
	struct disk_file *files; /* open */
	uint8_t **pool;		 /* free page buffers */
	size_t pool_count, pool_cap;
	size_t memory;
	bool frozen;
	uint64_t freeze_in; /* changes until it freezes */
	uint64_t write_fails_in, sync_fails_in, read_fails_in;
	uint64_t space;
	struct simdisk_stat stat;
};

static inline void *
must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

uint8_t *buffer_new(struct simdisk *d);
struct page *page_at(struct inode *n, size_t i);
void inode_synced(struct simdisk *d, struct inode *n, bool fails);
void inode_cut(struct simdisk *d, struct inode *n, uint64_t size);
void inode_crash(struct simdisk *d, struct inode *n);
struct inode *inode_ref(struct inode *n);
void inode_unref(struct simdisk *d, struct inode *n);
void page_write(struct simdisk *d, struct inode *n, size_t i, size_t at,
    const uint8_t *src, size_t len);
bool is_zero(const uint8_t *p, size_t len);

struct entry *names_get(const struct names *t, const char *path);
void names_set(
    struct simdisk *d, struct names *t, const char *path, struct inode *inode);
void names_drop(struct simdisk *d, struct names *t, const char *path);
void names_clear(struct simdisk *d, struct names *t);
void names_copy(struct simdisk *d, struct names *to, const struct names *from);
bool in_dir(const char *path, const char *dir);
bool dir_exists(const struct names *t, const char *dir);
bool parent_exists(const struct names *t, const char *path);
void op_apply(struct simdisk *d, struct names *t, const struct op *op);
bool op_in_dir(const struct op *op, const char *dir);
void op_add(struct simdisk *d, enum op_kind kind, const char *path,
    const char *to, struct inode *inode);
void ops_crash(struct simdisk *d);

#endif
