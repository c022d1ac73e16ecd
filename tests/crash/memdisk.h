/*
 * memdisk.h - a disk in memory that remembers in which order what was done
 * to it, and builds what a crash at any moment may leave.
 *
 * What survives a crash: all that was synced, and of the rest any subset of
 * 512-byte sectors, any of the sizes, any of the names that were not synced
 * with their directory.
 */
#ifndef TESTS_CRASH_MEMDISK_H
#define TESTS_CRASH_MEMDISK_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftwal/disk.h"

#define MEM_FILES_MAX 512
#define MEM_SECTOR 512u
#define MEM_PATH 96

enum mem_op_kind {
	MEM_WRITE,
	MEM_TRUNCATE,
	MEM_SYNC,
	MEM_CREATE,
	MEM_MKDIR,
	MEM_RENAME,
	MEM_UNLINK,
	MEM_SYNC_DIR,
};

struct mem_op {
	enum mem_op_kind kind;
	unsigned file;
	uint64_t offset, len;
	uint8_t *data;
	char from[MEM_PATH], to[MEM_PATH];
};

struct mem_file {
	uint8_t *data;
	uint64_t size, cap;
};

struct mem_name {
	char path[MEM_PATH];
	bool used, is_dir;
	unsigned file;
};

struct memdisk {
	struct mem_file file[MEM_FILES_MAX];
	unsigned files;
	struct mem_name name[MEM_FILES_MAX];
	bool recording;
	struct mem_op *op;
	size_t ops, ops_cap;
	/* faults */
	int fail_sync; /* -errno of the next sync, 0 none */
	int fail_write;
	uint64_t space_left; /* bytes by which files may grow */
};

struct disk_file {
	unsigned file;
	bool write, direct;
};

static inline void *
mem_must(void *p)
{
	if (p == NULL) {
		fprintf(stderr, "out of memory\n");
		exit(71);
	}
	return p;
}

static inline struct memdisk *
mem_new(void)
{
	struct memdisk *m = mem_must(calloc(1, sizeof(*m)));

	m->space_left = UINT64_MAX;
	return m;
}

static inline void
mem_free(struct memdisk *m)
{
	for (unsigned i = 0; i < m->files; i++)
		free(m->file[i].data);
	for (size_t i = 0; i < m->ops; i++)
		free(m->op[i].data);
	free(m->op);
	free(m);
}

static inline struct mem_op *
mem_record(struct memdisk *m, enum mem_op_kind kind)
{
	static struct mem_op unused;
	struct mem_op *op;

	if (!m->recording)
		return &unused;
	if (m->ops == m->ops_cap) {
		m->ops_cap = m->ops_cap == 0 ? 256 : m->ops_cap * 2;
		m->op =
		    mem_must(reallocarray(m->op, m->ops_cap, sizeof(*m->op)));
	}
	op = &m->op[m->ops++];
	memset(op, 0, sizeof(*op));
	op->kind = kind;
	return op;
}

static inline struct mem_name *
mem_find(struct memdisk *m, const char *path)
{
	for (unsigned i = 0; i < MEM_FILES_MAX; i++)
		if (m->name[i].used && strcmp(m->name[i].path, path) == 0)
			return &m->name[i];
	return NULL;
}

static inline struct mem_name *
mem_name_add(struct memdisk *m, const char *path, unsigned file, bool is_dir)
{
	for (unsigned i = 0; i < MEM_FILES_MAX; i++) {
		struct mem_name *n = &m->name[i];

		if (n->used)
			continue;
		n->used = true;
		n->is_dir = is_dir;
		n->file = file;
		(void)snprintf(n->path, sizeof(n->path), "%s", path);
		return n;
	}
	fprintf(stderr, "memdisk: too many names\n");
	exit(70);
}

static inline void
mem_file_resize(struct mem_file *f, uint64_t size)
{
	if (size > f->cap) {
		f->cap = size * 2;
		f->data = mem_must(realloc(f->data, f->cap));
	}
	if (size > f->size)
		memset(f->data + f->size, 0, size - f->size);
	f->size = size;
}

static inline unsigned
mem_file_add(struct memdisk *m)
{
	if (m->files == MEM_FILES_MAX) {
		fprintf(stderr, "memdisk: too many files\n");
		exit(70);
	}
	return m->files++;
}

static inline void
mem_dir_of(const char *path, char dir[MEM_PATH])
{
	const char *slash = strrchr(path, '/');

	(void)snprintf(dir, MEM_PATH, "%.*s",
	    slash == NULL ? 1 : (int)(slash - path),
	    slash == NULL ? "." : path);
}

static inline bool
mem_dir_exists(struct memdisk *m, const char *path)
{
	char dir[MEM_PATH];
	struct mem_name *n;

	mem_dir_of(path, dir);
	if (strcmp(dir, ".") == 0)
		return true;
	n = mem_find(m, dir);
	return n != NULL && n->is_dir;
}

static inline int
mem_open(void *ctx, const char *path, int flags, struct disk_file **out)
{
	struct memdisk *m = ctx;
	struct mem_name *n = mem_find(m, path);

	if (flags & DISK_CREATE) {
		struct mem_op *op;

		if (n != NULL)
			return -EEXIST;
		if (!mem_dir_exists(m, path))
			return -ENOENT;
		n = mem_name_add(m, path, mem_file_add(m), false);
		op = mem_record(m, MEM_CREATE);
		op->file = n->file;
		(void)snprintf(op->to, sizeof(op->to), "%s", path);
	}
	if (n == NULL)
		return -ENOENT;
	if (n->is_dir)
		return -EISDIR;
	*out = mem_must(calloc(1, sizeof(**out)));
	(*out)->file = n->file;
	(*out)->write = (flags & DISK_WRITE) != 0;
	(*out)->direct = (flags & DISK_DIRECT) != 0;
	return 0;
}

static inline void
mem_close(void *ctx, struct disk_file *f)
{
	(void)ctx;
	free(f);
}

static inline int64_t
mem_read(void *ctx, struct disk_file *h, void *buf, size_t len, uint64_t offset)
{
	struct memdisk *m = ctx;
	struct mem_file *f = &m->file[h->file];

	if (offset >= f->size)
		return 0;
	if (len > f->size - offset)
		len = (size_t)(f->size - offset);
	memcpy(buf, f->data + offset, len);
	return (int64_t)len;
}

static inline int
mem_write(void *ctx, struct disk_file *h, const void *buf, size_t len,
    uint64_t offset)
{
	struct memdisk *m = ctx;
	struct mem_file *f = &m->file[h->file];
	struct mem_op *op;

	assert(h->write);
	/* The promise of DISK_DIRECT is kept to the letter. */
	if (h->direct)
		assert(
		    (((uintptr_t)buf | len | offset) & (DISK_ALIGN - 1)) == 0);
	if (m->fail_write != 0) {
		int error = m->fail_write;

		m->fail_write = 0;
		return error;
	}
	if (offset + len > f->size) {
		uint64_t more = offset + len - f->size;

		if (more > m->space_left)
			return -ENOSPC;
		m->space_left -= more;
		mem_file_resize(f, offset + len);
	}
	if (len == 0)
		return 0;
	memcpy(f->data + offset, buf, len);
	op = mem_record(m, MEM_WRITE);
	op->file = h->file;
	op->offset = offset;
	op->len = len;
	if (m->recording) {
		op->data = mem_must(malloc(len == 0 ? 1 : len));
		memcpy(op->data, buf, len);
	}
	return 0;
}

static inline int
mem_sync(void *ctx, struct disk_file *h)
{
	struct memdisk *m = ctx;

	if (m->fail_sync != 0) {
		int error = m->fail_sync;

		m->fail_sync = 0;
		return error;
	}
	mem_record(m, MEM_SYNC)->file = h->file;
	return 0;
}

static inline int
mem_size(void *ctx, struct disk_file *h, uint64_t *size)
{
	struct memdisk *m = ctx;

	*size = m->file[h->file].size;
	return 0;
}

static inline int
mem_truncate(void *ctx, struct disk_file *h, uint64_t size)
{
	struct memdisk *m = ctx;
	struct mem_file *f = &m->file[h->file];
	struct mem_op *op;

	assert(h->write);
	if (size > f->size) {
		if (size - f->size > m->space_left)
			return -ENOSPC;
		m->space_left -= size - f->size;
	}
	mem_file_resize(f, size);
	op = mem_record(m, MEM_TRUNCATE);
	op->file = h->file;
	op->len = size;
	return 0;
}

static inline bool
mem_rename_apply(struct memdisk *m, const char *from, const char *to)
{
	struct mem_name *a = mem_find(m, from), *b;

	if (a == NULL)
		return false;
	b = mem_find(m, to);
	if (b != NULL)
		b->used = false;
	(void)snprintf(a->path, sizeof(a->path), "%s", to);
	return true;
}

static inline int
mem_rename(void *ctx, const char *from, const char *to)
{
	struct memdisk *m = ctx;
	struct mem_op *op;

	if (!mem_rename_apply(m, from, to))
		return -ENOENT;
	op = mem_record(m, MEM_RENAME);
	(void)snprintf(op->from, sizeof(op->from), "%s", from);
	(void)snprintf(op->to, sizeof(op->to), "%s", to);
	return 0;
}

static inline int
mem_unlink(void *ctx, const char *path)
{
	struct memdisk *m = ctx;
	struct mem_name *n = mem_find(m, path);
	struct mem_op *op;

	if (n == NULL)
		return -ENOENT;
	n->used = false;
	op = mem_record(m, MEM_UNLINK);
	(void)snprintf(op->to, sizeof(op->to), "%s", path);
	return 0;
}

static inline int
mem_mkdir(void *ctx, const char *path)
{
	struct memdisk *m = ctx;
	struct mem_op *op;

	if (mem_find(m, path) != NULL)
		return -EEXIST;
	(void)mem_name_add(m, path, 0, true);
	op = mem_record(m, MEM_MKDIR);
	(void)snprintf(op->to, sizeof(op->to), "%s", path);
	return 0;
}

static inline int
mem_sync_dir(void *ctx, const char *path)
{
	struct memdisk *m = ctx;
	struct mem_op *op;

	if (strcmp(path, ".") != 0 && mem_find(m, path) == NULL)
		return -ENOENT;
	op = mem_record(m, MEM_SYNC_DIR);
	(void)snprintf(op->to, sizeof(op->to), "%s", path);
	return 0;
}

static inline int
mem_name_cmp(const void *a, const void *b)
{
	return strcmp(a, b);
}

static inline int
mem_list(void *ctx, const char *path, int (*fn)(void *arg, const char *name),
    void *arg)
{
	struct memdisk *m = ctx;
	char(*found)[MEM_PATH];
	size_t count = 0;
	int error = 0;

	if (strcmp(path, ".") != 0 && mem_find(m, path) == NULL)
		return -ENOENT;
	found = mem_must(calloc(MEM_FILES_MAX, sizeof(*found)));
	for (unsigned i = 0; i < MEM_FILES_MAX; i++) {
		char dir[MEM_PATH];
		const char *base;

		if (!m->name[i].used)
			continue;
		mem_dir_of(m->name[i].path, dir);
		if (strcmp(dir, path) != 0)
			continue;
		base = strrchr(m->name[i].path, '/');
		(void)snprintf(found[count++], MEM_PATH, "%s",
		    base == NULL ? m->name[i].path : base + 1);
	}
	qsort(found, count, sizeof(*found), mem_name_cmp);
	for (size_t i = 0; i < count && error == 0; i++)
		error = fn(arg, found[i]);
	free(found);
	return error;
}

static const struct disk_ops mem_ops = {
    .open = mem_open,
    .close = mem_close,
    .read = mem_read,
    .write = mem_write,
    .sync = mem_sync,
    .size = mem_size,
    .truncate = mem_truncate,
    .rename = mem_rename,
    .unlink = mem_unlink,
    .mkdir = mem_mkdir,
    .sync_dir = mem_sync_dir,
    .list = mem_list,
};

static inline struct disk
mem_disk(struct memdisk *m)
{
	return (struct disk){&mem_ops, m};
}

/* A copy of what stands there now, without the journal. */
static inline struct memdisk *
mem_clone(const struct memdisk *m)
{
	struct memdisk *c = mem_new();

	c->files = m->files;
	memcpy(c->name, m->name, sizeof(c->name));
	for (unsigned i = 0; i < m->files; i++) {
		mem_file_resize(&c->file[i], m->file[i].size);
		if (m->file[i].size > 0)
			memcpy(
			    c->file[i].data, m->file[i].data, m->file[i].size);
	}
	return c;
}

/* ---- what a crash leaves ----------------------------------------------- */

static inline uint64_t
mem_random(uint64_t *seed)
{
	uint64_t x = *seed += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* Follows a journal: what is durable, and what is pending since. */
struct mem_world {
	const struct memdisk *source;
	struct memdisk *durable;
	size_t at;	 /* ops before it have been done */
	bool *done;	 /* per op: durable by a later sync */
	size_t *pending; /* ops that are not, in order */
	size_t pending_count;
};

static inline void
mem_apply_names(struct memdisk *m, const struct mem_op *op)
{
	struct mem_name *n;

	switch (op->kind) {
	case MEM_CREATE:
		if (mem_find(m, op->to) == NULL)
			(void)mem_name_add(m, op->to, op->file, false);
		break;
	case MEM_MKDIR:
		if (mem_find(m, op->to) == NULL)
			(void)mem_name_add(m, op->to, 0, true);
		break;
	case MEM_RENAME:
		(void)mem_rename_apply(m, op->from, op->to);
		break;
	case MEM_UNLINK:
		n = mem_find(m, op->to);
		if (n != NULL)
			n->used = false;
		break;
	default:
		break;
	}
}

static inline void
mem_apply_sectors(struct memdisk *m, const struct mem_op *op, uint64_t *seed,
    unsigned keep_of_256)
{
	struct mem_file *f = &m->file[op->file];

	for (uint64_t at = 0; at < op->len; at += MEM_SECTOR) {
		uint64_t n =
		    op->len - at < MEM_SECTOR ? op->len - at : MEM_SECTOR;

		if (keep_of_256 < 256 &&
		    (mem_random(seed) & 255) >= keep_of_256)
			continue;
		if (op->offset + at + n > f->size)
			mem_file_resize(f, op->offset + at + n);
		memcpy(f->data + op->offset + at, op->data + at, n);
	}
}

static inline void
mem_apply(struct memdisk *m, const struct mem_op *op, uint64_t *seed,
    unsigned keep_of_256)
{
	if (op->kind == MEM_WRITE)
		mem_apply_sectors(m, op, seed, keep_of_256);
	else if (op->kind == MEM_TRUNCATE &&
		 (keep_of_256 == 256 || (mem_random(seed) & 255) < keep_of_256))
		mem_file_resize(&m->file[op->file], op->len);
	else if (op->kind != MEM_TRUNCATE &&
		 (keep_of_256 == 256 || (mem_random(seed) & 255) < keep_of_256))
		mem_apply_names(m, op);
}

static inline void
mem_world_init(struct mem_world *w, const struct memdisk *source)
{
	memset(w, 0, sizeof(*w));
	w->source = source;
	w->durable = mem_new();
	w->durable->files = source->files;
	w->pending = mem_must(
	    calloc(source->ops == 0 ? 1 : source->ops, sizeof(*w->pending)));
}

static inline void
mem_world_release(struct mem_world *w)
{
	mem_free(w->durable);
	free(w->pending);
}

static inline bool
mem_covers(const struct mem_op *sync, const struct mem_op *op)
{
	char dir[MEM_PATH];

	if (sync->kind == MEM_SYNC)
		return (op->kind == MEM_WRITE || op->kind == MEM_TRUNCATE) &&
		       op->file == sync->file;
	if (op->kind == MEM_WRITE || op->kind == MEM_TRUNCATE)
		return false;
	mem_dir_of(op->to, dir);
	return strcmp(dir, sync->to) == 0;
}

/* One more op of the journal happens. */
static inline void
mem_world_step(struct mem_world *w)
{
	const struct mem_op *op = &w->source->op[w->at];
	size_t kept = 0;
	uint64_t seed = 0;

	if (op->kind != MEM_SYNC && op->kind != MEM_SYNC_DIR) {
		w->pending[w->pending_count++] = w->at++;
		return;
	}
	for (size_t i = 0; i < w->pending_count; i++) {
		const struct mem_op *p = &w->source->op[w->pending[i]];

		if (mem_covers(op, p))
			mem_apply(w->durable, p, &seed, 256);
		else
			w->pending[kept++] = w->pending[i];
	}
	w->pending_count = kept;
	w->at++;
}

/* What may be found after a crash now.  keep_of_256: how likely each piece
 * that is pending survives; 0 none of them, 256 all. */
static inline struct memdisk *
mem_world_crash(struct mem_world *w, uint64_t seed, unsigned keep_of_256)
{
	struct memdisk *m = mem_clone(w->durable);

	if (keep_of_256 == 0)
		return m;
	for (size_t i = 0; i < w->pending_count; i++)
		mem_apply(m, &w->source->op[w->pending[i]], &seed, keep_of_256);
	return m;
}

#endif
