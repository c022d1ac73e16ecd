/*
 * disk.h - the disk as a table of operations.
 *
 * Everything that raftkit keeps on disk goes through this table, so that the
 * same log and snapshot code runs on a real directory, on the simulator's
 * disk, and on the recorder of the crash tests.  Paths are relative to the
 * directory the table was opened on; '/' separates; nobody uses "..".
 *
 * Durability: data written is durable after sync() of that file; a name is
 * durable after sync_dir() of the directory that holds it.  Nothing else
 * promises anything.
 *
 * Errors: 0 (or a count) or -errno.  A failed write or sync of the log is
 * fatal to the caller: the kernel may have dropped the pages.
 * Threads: a table may be used by one thread at a time per file.
 */
#ifndef RAFTWAL_DISK_H
#define RAFTWAL_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define DISK_ALIGN 4096 /* offset, length and memory for direct writes */

struct disk_file; /* the implementation's */

enum disk_open_flags {
	DISK_READ = 0,
	DISK_WRITE = 1,	 /* and read */
	DISK_CREATE = 2, /* with DISK_WRITE; fails with -EEXIST if it exists */
	DISK_DIRECT = 4, /* writes are DISK_ALIGNed; they bypass the cache
			    where the filesystem can, silently not elsewhere */
	DISK_ONCE = 8,	 /* what is read is not kept in the cache */
};

struct disk {
	const struct disk_ops *ops;
	void *ctx;
};

struct disk_ops {
	int (*open)(
	    void *ctx, const char *path, int flags, struct disk_file **);
	void (*close)(void *ctx, struct disk_file *);
	/* Reads up to len; short only at the end of the file. */
	int64_t (*read)(void *ctx, struct disk_file *, void *buf, size_t len,
	    uint64_t offset);
	/* All of it or an error. */
	int (*write)(void *ctx, struct disk_file *, const void *buf, size_t len,
	    uint64_t offset);
	int (*sync)(void *ctx, struct disk_file *); /* fdatasync */
	int (*size)(void *ctx, struct disk_file *, uint64_t *);
	/* Grows with zeroes that are written, not holes; or shrinks. */
	int (*truncate)(void *ctx, struct disk_file *, uint64_t size);
	int (*rename)(void *ctx, const char *from, const char *to);
	int (*unlink)(void *ctx, const char *path);
	int (*mkdir)(void *ctx, const char *path);    /* -EEXIST is an error */
	int (*sync_dir)(void *ctx, const char *path); /* "." is the root */
	/* Calls fn for each name but . and .., in byte order. */
	int (*list)(void *ctx, const char *path,
	    int (*fn)(void *arg, const char *name), void *arg);
};

/*
 * The real one.  Opens (with create: makes) the directory.  With lock, takes
 * its LOCK file; -EWOULDBLOCK when another process holds it.
 */
struct errtext;
int disk_real_open(
    const char *dir, bool create, bool lock, struct disk *, struct errtext *);
void disk_real_close(struct disk *);

/*
 * Replace a small file whole: temporary name, write, sync, rename, sync of
 * its directory.  After a crash the old or the new content stands, never a
 * mixture.
 */
int disk_replace(struct disk *, const char *path, const void *, size_t len);
/* The whole of a file of at most len_max bytes; *data is malloc'd. */
int disk_slurp(struct disk *, const char *path, size_t len_max, uint8_t **data,
    size_t *len);

#endif
