/*
 * simdisk.c - a disk in memory that forgets what was not synced.
 */
#include <errno.h>
#include <stdio.h>

#include "tests/sim/simdisk_inside.h"

/* ---- the table ---------------------------------------------------------- */

/*
 * Before anything changes: -EIO when the disk is frozen, or freezes here.
 * *part: the operation is the one during which it froze.
 */
static int
change(struct simdisk *d, bool *part)
{
	if (part != NULL)
		*part = false;
	if (d->frozen)
		return -EIO;
	if (d->freeze_in == 0) {
		d->frozen = true;
		d->freeze_in = NEVER;
		if (part != NULL)
			*part = true;
		return -EIO;
	}
	if (d->freeze_in != NEVER)
		d->freeze_in--;
	return 0;
}

/* Counts an armed fault down: true when it strikes. */
static bool
strikes(struct simdisk *d, uint64_t *in)
{
	if (*in == NEVER)
		return false;
	if (*in > 0) {
		(*in)--;
		return false;
	}
	*in = NEVER;
	d->stat.faults++;
	return true;
}

static int
sim_open(void *ctx, const char *path, int flags, struct disk_file **out)
{
	struct simdisk *d = ctx;
	struct entry *e = names_get(&d->now, path);
	struct inode *n;
	struct disk_file *f;
	int err;

	if (strlen(path) >= SIMDISK_PATH_MAX)
		return -ENAMETOOLONG;
	if (d->frozen)
		return -EIO;
	if (flags & DISK_CREATE) {
		if (!(flags & DISK_WRITE))
			return -EINVAL;
		if (e != NULL)
			return -EEXIST;
		if (!parent_exists(&d->now, path))
			return -ENOENT;
		if (d->now.count >= SIMDISK_FILES_MAX)
			return -ENFILE;
		err = change(d, NULL);
		if (err < 0)
			return err;
		n = must(calloc(1, sizeof(*n)));
		names_set(d, &d->now, path, n);
		op_add(d, OP_CREATE, path, "", n);
	} else {
		if (e == NULL)
			return -ENOENT;
		if (e->inode == NULL)
			return -EISDIR;
		n = e->inode;
	}
	f = must(malloc(sizeof(*f)));
	f->disk = d;
	f->inode = inode_ref(n);
	f->flags = flags;
	f->next = d->files;
	f->prev = &d->files;
	if (f->next != NULL)
		f->next->prev = &f->next;
	d->files = f;
	*out = f;
	return 0;
}

static void
sim_close(void *ctx, struct disk_file *f)
{
	struct simdisk *d = ctx;

	if (f == NULL)
		return;
	*f->prev = f->next;
	if (f->next != NULL)
		f->next->prev = f->prev;
	inode_unref(d, f->inode);
	free(f);
}

static int64_t
sim_read(void *ctx, struct disk_file *f, void *buf, size_t len, uint64_t offset)
{
	struct simdisk *d = ctx;
	struct inode *n = f->inode;
	uint8_t *dst = buf;
	size_t done = 0;

	d->stat.reads++;
	if (d->frozen || strikes(d, &d->read_fails_in))
		return -EIO;
	if (offset >= n->size)
		return 0;
	if (len > n->size - offset)
		len = n->size - offset;
	while (done < len) {
		size_t i = (offset + done) / SIMDISK_PAGE;
		size_t at = (offset + done) % SIMDISK_PAGE;
		size_t part = SIMDISK_PAGE - at;

		if (part > len - done)
			part = len - done;
		if (i < n->pages && n->page[i].now != NULL)
			memcpy(dst + done, n->page[i].now + at, part);
		else
			memset(dst + done, 0, part);
		done += part;
	}
	return (int64_t)len;
}

static int
grow(struct simdisk *d, struct inode *n, uint64_t size)
{
	if (size <= n->size)
		return 0;
	if (size - n->size > d->space) {
		d->stat.faults++;
		return -ENOSPC;
	}
	if (d->space != NEVER)
		d->space -= size - n->size;
	n->size = size;
	return 0;
}

static void
write_bytes(struct simdisk *d, struct inode *n, const uint8_t *src, size_t len,
    uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		size_t i = (offset + done) / SIMDISK_PAGE;
		size_t at = (offset + done) % SIMDISK_PAGE;
		size_t part = SIMDISK_PAGE - at;

		if (part > len - done)
			part = len - done;
		page_write(d, n, i, at, src + done, part);
		done += part;
	}
}

/* How far a write that did not end well got: whole sectors. */
static size_t
part_of(struct simdisk *d, size_t len, uint64_t offset)
{
	uint64_t end = offset + prng_below(&d->prng, len + 1);

	if (end < offset + len)
		end -= end % SIMDISK_SECTOR;
	return end > offset ? (size_t)(end - offset) : 0;
}

static int
sim_write(void *ctx, struct disk_file *f, const void *buf, size_t len,
    uint64_t offset)
{
	struct simdisk *d = ctx;
	uint64_t end;
	bool part;
	int err;

	if (!(f->flags & DISK_WRITE))
		return -EBADF;
	if ((f->flags & DISK_DIRECT) &&
	    (offset % DISK_ALIGN != 0 || len % DISK_ALIGN != 0 ||
		(uintptr_t)buf % DISK_ALIGN != 0))
		return -EINVAL;
	if (len == 0)
		return 0;
	if (__builtin_add_overflow(offset, len, &end))
		return -EFBIG;
	err = change(d, &part);
	if (err < 0) {
		/* Died within: some of it went to the cache. */
		len = part ? part_of(d, len, offset) : 0;
		if (len > 0 && grow(d, f->inode, offset + len) == 0)
			write_bytes(d, f->inode, buf, len, offset);
		return err;
	}
	if (strikes(d, &d->write_fails_in)) {
		len = part_of(d, len, offset);
		if (len > 0 && grow(d, f->inode, offset + len) == 0)
			write_bytes(d, f->inode, buf, len, offset);
		return -EIO;
	}
	err = grow(d, f->inode, end);
	if (err < 0)
		return err;
	write_bytes(d, f->inode, buf, len, offset);
	d->stat.writes++;
	d->stat.bytes_written += len;
	return 0;
}

static int
sim_sync(void *ctx, struct disk_file *f)
{
	struct simdisk *d = ctx;
	int err = change(d, NULL);

	if (err < 0)
		return err;
	if (strikes(d, &d->sync_fails_in)) {
		inode_synced(d, f->inode, true);
		return -EIO;
	}
	inode_synced(d, f->inode, false);
	d->stat.syncs++;
	return 0;
}

static int
sim_size(void *ctx, struct disk_file *f, uint64_t *size)
{
	struct simdisk *d = ctx;

	if (d->frozen)
		return -EIO;
	*size = f->inode->size;
	return 0;
}

static int
sim_truncate(void *ctx, struct disk_file *f, uint64_t size)
{
	struct simdisk *d = ctx;
	struct inode *n = f->inode;
	int err;

	if (!(f->flags & DISK_WRITE))
		return -EBADF;
	err = change(d, NULL);
	if (err < 0)
		return err;
	if (size > n->size)
		return grow(d, n, size);
	if (d->space != NEVER)
		d->space += n->size - size;
	inode_cut(d, n, size);
	n->size = size;
	return 0;
}

static int
sim_rename(void *ctx, const char *from, const char *to)
{
	struct simdisk *d = ctx;
	struct entry *e = names_get(&d->now, from);
	struct inode *n;
	int err;

	if (strlen(to) >= SIMDISK_PATH_MAX)
		return -ENAMETOOLONG;
	if (d->frozen)
		return -EIO;
	if (e == NULL || !parent_exists(&d->now, to))
		return -ENOENT;
	if (e->inode == NULL)
		return -EISDIR;
	err = change(d, NULL);
	if (err < 0)
		return err;
	n = inode_ref(e->inode);
	names_drop(d, &d->now, from);
	names_set(d, &d->now, to, n);
	op_add(d, OP_RENAME, from, to, n);
	inode_unref(d, n);
	return 0;
}

static int
sim_unlink(void *ctx, const char *path)
{
	struct simdisk *d = ctx;
	struct entry *e = names_get(&d->now, path);
	int err;

	if (d->frozen)
		return -EIO;
	if (e == NULL)
		return -ENOENT;
	if (e->inode == NULL)
		return -EISDIR;
	err = change(d, NULL);
	if (err < 0)
		return err;
	if (d->space != NEVER)
		d->space += e->inode->size;
	names_drop(d, &d->now, path);
	op_add(d, OP_UNLINK, path, "", NULL);
	return 0;
}

static int
sim_mkdir(void *ctx, const char *path)
{
	struct simdisk *d = ctx;
	int err;

	if (strlen(path) >= SIMDISK_PATH_MAX)
		return -ENAMETOOLONG;
	if (d->frozen)
		return -EIO;
	if (names_get(&d->now, path) != NULL)
		return -EEXIST;
	if (!parent_exists(&d->now, path))
		return -ENOENT;
	err = change(d, NULL);
	if (err < 0)
		return err;
	names_set(d, &d->now, path, NULL);
	op_add(d, OP_MKDIR, path, "", NULL);
	return 0;
}

static int
sim_sync_dir(void *ctx, const char *path)
{
	struct simdisk *d = ctx;
	size_t keep = 0;
	int err;

	if (d->frozen)
		return -EIO;
	if (!dir_exists(&d->now, path))
		return -ENOENT;
	err = change(d, NULL);
	if (err < 0)
		return err;
	for (size_t i = 0; i < d->op_count; i++) {
		struct op *op = &d->op[i];

		if (!op_in_dir(op, path)) {
			d->op[keep++] = *op;
			continue;
		}
		op_apply(d, &d->durable, op);
		inode_unref(d, op->inode);
	}
	d->op_count = keep;
	d->stat.sync_dirs++;
	return 0;
}

static int
sim_list(void *ctx, const char *path, int (*fn)(void *arg, const char *name),
    void *arg)
{
	struct simdisk *d = ctx;
	size_t skip = strcmp(path, ".") == 0 ? 0 : strlen(path) + 1;
	struct names copy = {0};
	int err = 0;

	if (d->frozen)
		return -EIO;
	if (!dir_exists(&d->now, path))
		return -ENOENT;
	names_copy(d, &copy, &d->now); /* fn may rename and unlink */
	for (size_t i = 0; i < copy.count && err == 0; i++)
		if (in_dir(copy.entry[i].path, path))
			err = fn(arg, copy.entry[i].path + skip);
	names_clear(d, &copy);
	free(copy.entry);
	return err;
}

static const struct disk_ops sim_ops = {
    .open = sim_open,
    .close = sim_close,
    .read = sim_read,
    .write = sim_write,
    .sync = sim_sync,
    .size = sim_size,
    .truncate = sim_truncate,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .mkdir = sim_mkdir,
    .sync_dir = sim_sync_dir,
    .list = sim_list,
};

/* ---- the disk ----------------------------------------------------------- */

struct simdisk *
simdisk_new(uint64_t seed, unsigned number)
{
	struct simdisk *d = must(calloc(1, sizeof(*d)));

	d->table.ops = &sim_ops;
	d->table.ctx = d;
	prng_init(&d->prng, seed, PRNG_DISK + number);
	d->freeze_in = NEVER;
	simdisk_heal(d);
	return d;
}

void
simdisk_free(struct simdisk *d)
{
	if (d == NULL)
		return;
	simdisk_wipe(d);
	free(d->now.entry);
	free(d->durable.entry);
	free(d->op);
	for (size_t i = 0; i < d->pool_count; i++)
		free(d->pool[i]);
	free(d->pool);
	free(d);
}

struct disk *
simdisk_table(struct simdisk *d)
{
	return &d->table;
}

static void
close_all(struct simdisk *d)
{
	while (d->files != NULL)
		sim_close(d, d->files);
}

void
simdisk_wipe(struct simdisk *d)
{
	close_all(d);
	for (size_t i = 0; i < d->op_count; i++)
		inode_unref(d, d->op[i].inode);
	d->op_count = 0;
	names_clear(d, &d->now);
	names_clear(d, &d->durable);
	d->frozen = false;
	d->freeze_in = NEVER;
}

void
simdisk_crash(struct simdisk *d, bool power)
{
	close_all(d);
	d->frozen = false;
	d->freeze_in = NEVER;
	if (!power)
		return;
	ops_crash(d);
	names_copy(d, &d->now, &d->durable);
	for (size_t i = 0; i < d->now.count; i++)
		if (d->now.entry[i].inode != NULL)
			inode_crash(d, d->now.entry[i].inode);
}

void
simdisk_freeze(struct simdisk *d)
{
	d->frozen = true;
}

void
simdisk_freeze_after(struct simdisk *d, unsigned n)
{
	d->freeze_in = n;
}

void
simdisk_disarm(struct simdisk *d)
{
	d->freeze_in = NEVER;
}

bool
simdisk_frozen(const struct simdisk *d)
{
	return d->frozen;
}

bool
simdisk_dirty(const struct simdisk *d)
{
	if (d->op_count > 0)
		return true;
	for (size_t i = 0; i < d->now.count; i++) {
		const struct inode *n = d->now.entry[i].inode;

		if (n != NULL &&
		    (n->dirty_count > 0 || n->size != n->durable_size))
			return true;
	}
	return false;
}

struct simdisk *
simdisk_clone(const struct simdisk *from, uint64_t seed, unsigned number)
{
	struct simdisk *d = simdisk_new(seed, number);

	for (size_t k = 0; k < from->durable.count; k++) {
		const struct entry *e = &from->durable.entry[k];
		struct inode *n = NULL;

		if (e->inode == NULL) {
			names_set(d, &d->durable, e->path, NULL);
			continue;
		}
		n = must(calloc(1, sizeof(*n)));
		n->size = n->durable_size = e->inode->durable_size;
		for (size_t i = 0; i < e->inode->pages; i++) {
			const struct page *p = &e->inode->page[i];

			if (p->now == NULL && p->old == NULL)
				continue;
			page_at(n, i)->now = buffer_new(d);
			for (unsigned s = 0; s < PAGE_SECTORS; s++) {
				bool old = p->dirty & (1u << s);
				const uint8_t *src = old ? p->old : p->now;
				uint8_t *dst =
				    n->page[i].now + s * SIMDISK_SECTOR;

				if (src == NULL)
					memset(dst, 0, SIMDISK_SECTOR);
				else
					memcpy(dst, src + s * SIMDISK_SECTOR,
					    SIMDISK_SECTOR);
			}
		}
		names_set(d, &d->durable, e->path, n);
	}
	names_copy(d, &d->now, &d->durable);
	return d;
}

void
simdisk_fail_write(struct simdisk *d, unsigned after)
{
	d->write_fails_in = after;
}

void
simdisk_fail_sync(struct simdisk *d, unsigned after)
{
	d->sync_fails_in = after;
}

void
simdisk_fail_read(struct simdisk *d, unsigned after)
{
	d->read_fails_in = after;
}

void
simdisk_heal(struct simdisk *d)
{
	d->write_fails_in = d->sync_fails_in = d->read_fails_in = NEVER;
	d->space = NEVER;
}

void
simdisk_space(struct simdisk *d, uint64_t bytes)
{
	d->space = bytes;
}

bool
simdisk_rot(struct simdisk *d, const char *prefix, char *path, size_t size,
    uint64_t *offset)
{
	size_t candidates = 0, pick;
	struct page *p = NULL;

	/* Only pages that hold bytes: damage to zeroes that nobody reads
	 * proves nothing. */
	for (int round = 0; round < 2; round++) {
		pick = round == 0 ? 0 : prng_below(&d->prng, candidates);
		for (size_t k = 0; k < d->now.count; k++) {
			struct inode *n = d->now.entry[k].inode;

			if (n == NULL || strncmp(d->now.entry[k].path, prefix,
					     strlen(prefix)) != 0)
				continue;
			for (size_t i = 0; i < n->pages; i++) {
				if (n->page[i].now == NULL ||
				    n->page[i].dirty != 0)
					continue;
				if (round == 0) {
					candidates++;
				} else if (pick-- == 0) {
					p = &n->page[i];
					snprintf(path, size, "%s",
					    d->now.entry[k].path);
					*offset = i * SIMDISK_PAGE;
				}
			}
		}
		if (candidates == 0)
			return false;
	}
	for (int tries = 0; tries < 64; tries++) {
		size_t at = prng_below(&d->prng, SIMDISK_PAGE);

		if (p->now[at] == 0 && tries < 63)
			continue;
		p->now[at] ^= (uint8_t)(1u << prng_below(&d->prng, 8));
		*offset += at;
		break;
	}
	d->stat.faults++;
	return true;
}

void
simdisk_stat(const struct simdisk *d, struct simdisk_stat *st)
{
	*st = d->stat;
}

size_t
simdisk_memory(const struct simdisk *d)
{
	return d->memory;
}

uint64_t
simdisk_hash(const struct simdisk *d)
{
	uint64_t h = 0;

	for (size_t k = 0; k < d->durable.count; k++) {
		const struct entry *e = &d->durable.entry[k];

		for (const char *c = e->path; *c != '\0'; c++)
			h = prng_mix(h, (uint8_t)*c);
		if (e->inode == NULL)
			continue;
		h = prng_mix(h, e->inode->durable_size);
		for (size_t i = 0; i < e->inode->pages; i++) {
			const struct page *p = &e->inode->page[i];

			for (unsigned s = 0; s < PAGE_SECTORS; s++) {
				bool old = p->dirty & (1u << s);
				const uint8_t *b = old ? p->old : p->now;
				uint64_t w;

				if (b == NULL || is_zero(b + s * SIMDISK_SECTOR,
						     SIMDISK_SECTOR))
					continue;
				h = prng_mix(h, i * PAGE_SECTORS + s);
				for (size_t o = 0; o < SIMDISK_SECTOR; o += 8) {
					memcpy(
					    &w, b + s * SIMDISK_SECTOR + o, 8);
					h = prng_mix(h, w);
				}
			}
		}
	}
	return h;
}
