/*
 * simdisk_name.c - the names on a simulated disk.
 */
#include <stdio.h>

#include "tests/sim/simdisk_inside.h"

/* Index of path, or of where it belongs; *found says which. */
static size_t
names_find(const struct names *t, const char *path, bool *found)
{
	size_t lo = 0, hi = t->count;

	*found = false;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = strcmp(t->entry[mid].path, path);

		if (c == 0) {
			*found = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct entry *
names_get(const struct names *t, const char *path)
{
	bool found;
	size_t i = names_find(t, path, &found);

	return found ? &t->entry[i] : NULL;
}

/* Takes a reference of its own; a name that exists changes its file. */
void
names_set(
    struct simdisk *d, struct names *t, const char *path, struct inode *inode)
{
	bool found;
	size_t i = names_find(t, path, &found);

	inode_ref(inode);
	if (found) {
		inode_unref(d, t->entry[i].inode);
		t->entry[i].inode = inode;
		return;
	}
	if (t->count == t->cap) {
		t->cap = t->cap == 0 ? 32 : t->cap * 2;
		t->entry =
		    must(realloc(t->entry, t->cap * sizeof(t->entry[0])));
	}
	memmove(&t->entry[i + 1], &t->entry[i],
	    (t->count - i) * sizeof(t->entry[0]));
	t->count++;
	snprintf(t->entry[i].path, SIMDISK_PATH_MAX, "%s", path);
	t->entry[i].inode = inode;
}

void
names_drop(struct simdisk *d, struct names *t, const char *path)
{
	bool found;
	size_t i = names_find(t, path, &found);

	if (!found)
		return;
	inode_unref(d, t->entry[i].inode);
	t->count--;
	memmove(&t->entry[i], &t->entry[i + 1],
	    (t->count - i) * sizeof(t->entry[0]));
}

void
names_clear(struct simdisk *d, struct names *t)
{
	for (size_t i = 0; i < t->count; i++)
		inode_unref(d, t->entry[i].inode);
	t->count = 0;
}

void
names_copy(struct simdisk *d, struct names *to, const struct names *from)
{
	names_clear(d, to);
	for (size_t i = 0; i < from->count; i++)
		names_set(d, to, from->entry[i].path, from->entry[i].inode);
}

/* The directory that holds path: "." or what stands before the last '/'. */
static void
parent_of(const char *path, char dir[SIMDISK_PATH_MAX])
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		snprintf(dir, SIMDISK_PATH_MAX, ".");
	else
		snprintf(
		    dir, SIMDISK_PATH_MAX, "%.*s", (int)(slash - path), path);
}

bool
in_dir(const char *path, const char *dir)
{
	char parent[SIMDISK_PATH_MAX];

	parent_of(path, parent);
	return strcmp(parent, dir) == 0;
}

bool
dir_exists(const struct names *t, const char *dir)
{
	struct entry *e;

	if (strcmp(dir, ".") == 0)
		return true;
	e = names_get(t, dir);
	return e != NULL && e->inode == NULL;
}

bool
parent_exists(const struct names *t, const char *path)
{
	char dir[SIMDISK_PATH_MAX];

	parent_of(path, dir);
	return dir_exists(t, dir);
}

void
op_apply(struct simdisk *d, struct names *t, const struct op *op)
{
	switch (op->kind) {
	case OP_CREATE:
		names_set(d, t, op->path, op->inode);
		break;
	case OP_MKDIR:
		names_set(d, t, op->path, NULL);
		break;
	case OP_RENAME:
		/* The file moves with its name; that its creation was lost
		 * does not matter then. */
		names_drop(d, t, op->path);
		names_set(d, t, op->to, op->inode);
		break;
	case OP_UNLINK:
		names_drop(d, t, op->path);
		break;
	}
}

bool
op_in_dir(const struct op *op, const char *dir)
{
	return in_dir(op->path, dir) ||
	       (op->kind == OP_RENAME && in_dir(op->to, dir));
}

void
op_add(struct simdisk *d, enum op_kind kind, const char *path, const char *to,
    struct inode *inode)
{
	struct op *op;

	if (d->op == NULL)
		d->op = must(malloc(SIMDISK_OPS_MAX * sizeof(d->op[0])));
	if (d->op_count == SIMDISK_OPS_MAX) {
		/* Longer than any journal waits: the oldest is durable. */
		op_apply(d, &d->durable, &d->op[0]);
		inode_unref(d, d->op[0].inode);
		memmove(&d->op[0], &d->op[1], --d->op_count * sizeof(d->op[0]));
	}
	op = &d->op[d->op_count++];
	op->kind = kind;
	snprintf(op->path, SIMDISK_PATH_MAX, "%s", path);
	snprintf(op->to, SIMDISK_PATH_MAX, "%s", to);
	op->inode = inode_ref(inode);
}

void
ops_crash(struct simdisk *d)
{
	uint64_t mode = prng_below(&d->prng, 4);
	size_t prefix = prng_below(&d->prng, d->op_count + 1);

	for (size_t i = 0; i < d->op_count; i++) {
		struct op *op = &d->op[i];
		bool keep = mode == 0	? false
			    : mode == 1 ? true
			    : mode == 2 ? i < prefix
					: prng_ppm(&d->prng, 500000);

		if (keep)
			op_apply(d, &d->durable, op);
		else
			d->stat.names_lost++;
		inode_unref(d, op->inode);
	}
	d->op_count = 0;
	/* What stood in a directory that never was is nowhere. */
	for (size_t i = 0; i < d->durable.count;) {
		if (parent_exists(&d->durable, d->durable.entry[i].path)) {
			i++;
			continue;
		}
		names_drop(d, &d->durable, d->durable.entry[i].path);
		i = 0;
	}
}
