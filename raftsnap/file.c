/*
 * file.c - snapshots as files of a data directory.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftsnap/format.h"

#define TMP_SUFFIX ".tmp"

/* ---- names ------------------------------------------------------------- */

void
snap_path(
    uint32_t group, uint64_t term, uint64_t index, char path[SNAP_PATH_LEN])
{
	(void)snprintf(path, SNAP_PATH_LEN,
	    "snap/%" PRIu32 "-%" PRIu64 "-%" PRIu64 ".snap", group, term,
	    index);
}

static bool
name_parse(const char *name, struct snap_file *f)
{
	char want[SNAP_PATH_LEN];

	if (sscanf(name, "%" SCNu32 "-%" SCNu64 "-%" SCNu64, &f->group,
		&f->term, &f->index) != 3)
		return false;
	snap_path(f->group, f->term, f->index, want);
	(void)snprintf(f->path, sizeof(f->path), "snap/%.80s", name);
	return strcmp(want, f->path) == 0;
}

struct listing {
	uint32_t group;
	struct snap_file *file;
	size_t count, max;
};

/* Newest first; the oldest falls out when there are too many. */
static int
list_one(void *arg, const char *name)
{
	struct listing *l = arg;
	struct snap_file f;
	size_t at = 0;

	if (!name_parse(name, &f) || f.group != l->group)
		return 0;
	while (at < l->count &&
	       (l->file[at].index > f.index ||
		   (l->file[at].index == f.index && l->file[at].term > f.term)))
		at++;
	if (at == l->max)
		return 0;
	if (l->count == l->max)
		l->count--;
	memmove(
	    l->file + at + 1, l->file + at, (l->count - at) * sizeof(*l->file));
	l->file[at] = f;
	l->count++;
	return 0;
}

int
snap_list(struct disk *d, uint32_t group, struct snap_file *file, size_t max)
{
	struct listing l = {.group = group, .file = file, .max = max};
	int error = d->ops->list(d->ctx, "snap", list_one, &l);

	if (error == -ENOENT)
		return 0;
	return error < 0 ? error : (int)l.count;
}

/* ---- streams ----------------------------------------------------------- */

int64_t
snap_stream_get(void *stream, void *buf, size_t len)
{
	struct snap_stream *s = stream;
	int64_t n =
	    s->disk->ops->read(s->disk->ctx, s->file, buf, len, s->offset);

	if (n > 0)
		s->offset += (uint64_t)n;
	return n;
}

int
snap_stream_put(void *stream, const void *data, size_t len)
{
	struct snap_stream *s = stream;
	int error =
	    s->disk->ops->write(s->disk->ctx, s->file, data, len, s->offset);

	if (error == 0)
		s->offset += len;
	return error;
}

/* ---- saving ------------------------------------------------------------ */

static int
make_dir(struct disk *d)
{
	int error = d->ops->mkdir(d->ctx, "snap");

	if (error < 0 && error != -EEXIST)
		return error;
	return d->ops->sync_dir(d->ctx, ".");
}

int
snap_save(struct disk *d, const struct snap_meta *m, int level, snap_fill fill,
    void *ctx, struct snap_sum *sum)
{
	struct snap_stream s = {.disk = d};
	struct snap_writer *w = NULL;
	char path[SNAP_PATH_LEN], tmp[SNAP_PATH_LEN + sizeof(TMP_SUFFIX)];
	int error = make_dir(d);

	if (error < 0)
		return error;
	snap_path(m->group, m->term, m->index, path);
	(void)snprintf(tmp, sizeof(tmp), "%s" TMP_SUFFIX, path);
	error = d->ops->unlink(d->ctx, tmp);
	if (error < 0 && error != -ENOENT)
		return error;
	error = d->ops->open(d->ctx, tmp, DISK_WRITE | DISK_CREATE, &s.file);
	if (error < 0)
		return error;
	error = snap_writer_new(m, level, snap_stream_put, &s, &w);
	if (error == 0)
		error = fill(ctx, w);
	if (error == 0)
		error = snap_writer_finish(w, sum);
	snap_writer_free(w);
	if (error == 0)
		error = d->ops->sync(d->ctx, s.file);
	d->ops->close(d->ctx, s.file);
	if (error == 0)
		error = d->ops->rename(d->ctx, tmp, path);
	if (error == 0)
		return d->ops->sync_dir(d->ctx, "snap");
	(void)d->ops->unlink(d->ctx, tmp);
	return error;
}

int
snap_adopt(struct disk *d, const char *from, const struct snap_meta *m)
{
	struct disk_file *f;
	char path[SNAP_PATH_LEN];
	int error = d->ops->open(d->ctx, from, DISK_WRITE, &f);

	if (error < 0)
		return error;
	error = d->ops->sync(d->ctx, f);
	d->ops->close(d->ctx, f);
	snap_path(m->group, m->term, m->index, path);
	if (error == 0)
		error = d->ops->rename(d->ctx, from, path);
	if (error == 0)
		error = d->ops->sync_dir(d->ctx, "snap");
	return error;
}

struct tidy {
	struct disk *disk;
	const char *keep;
	const char *suffix; /* of those that go; NULL all but snapshots */
	char found[SNAP_FILES_MAX][SNAP_PATH_LEN];
	size_t count;
};

static bool
ends_in(const char *name, const char *suffix)
{
	size_t len = strlen(name), n = strlen(suffix);

	return len >= n && strcmp(name + len - n, suffix) == 0;
}

static int
tidy_one(void *arg, const char *name)
{
	struct tidy *t = arg;
	char path[SNAP_PATH_LEN];

	if (strlen(name) > 80 || t->count == SNAP_FILES_MAX ||
	    ends_in(name, ".snap") ||
	    (t->suffix != NULL && !ends_in(name, t->suffix)))
		return 0;
	(void)snprintf(path, sizeof(path), "snap/%.80s", name);
	if (t->keep == NULL || strcmp(t->keep, path) != 0)
		memcpy(t->found[t->count++], path, sizeof(path));
	return 0;
}

static int
tidy(struct disk *d, const char *keep, const char *suffix)
{
	struct tidy *t = calloc(1, sizeof(*t));
	int error;

	if (t == NULL)
		return -ENOMEM;
	t->keep = keep;
	t->suffix = suffix;
	error = d->ops->list(d->ctx, "snap", tidy_one, t);
	if (error == -ENOENT)
		error = 0;
	for (size_t i = 0; i < t->count && error == 0; i++)
		error = d->ops->unlink(d->ctx, t->found[i]);
	free(t);
	return error;
}

int
snap_tidy(struct disk *d, const char *keep)
{
	return tidy(d, keep, NULL);
}

int
snap_tidy_tmp(struct disk *d)
{
	return tidy(d, NULL, TMP_SUFFIX);
}

/* ---- loading ----------------------------------------------------------- */

/* One pass over the file: use it, or only look. */
static int
pass(struct disk *d, const char *path, snap_use use, void *ctx,
    struct snap_meta *m, struct snap_sum *sum, struct errtext *et)
{
	struct snap_stream s = {.disk = d};
	struct snap_reader *r = NULL;
	int error = d->ops->open(d->ctx, path, DISK_READ, &s.file);

	if (error < 0)
		return errtext(
		    et, error, "cannot open '%s': %s", path, strerror(-error));
	error = snap_reader_new(snap_stream_get, &s, &r, et);
	if (error == 0 && use != NULL) {
		error = use(ctx, r);
		if (error < 0)
			(void)errtext(et, error, "'%s': the state in it", path);
	}
	if (error == 0)
		error = snap_reader_finish(r, sum, et);
	if (error == 0 && m != NULL) {
		*m = *snap_reader_meta(r);
		m->config = NULL;
	}
	snap_reader_free(r);
	d->ops->close(d->ctx, s.file);
	return error;
}

int
snap_load(struct disk *d, const char *path, snap_use use, void *ctx,
    struct snap_meta *m, struct snap_sum *sum, struct errtext *et)
{
	int error = pass(d, path, NULL, NULL, m, sum, et);

	if (error < 0 || use == NULL)
		return error;
	return pass(d, path, use, ctx, NULL, NULL, et);
}

int
snap_load_once(struct disk *d, const char *path, snap_use use, void *ctx,
    struct snap_meta *m, struct errtext *et)
{
	return pass(d, path, use, ctx, m, NULL, et);
}

int
snap_peek(struct disk *d, const char *path, struct snap_meta *m,
    struct snap_sum *sum, struct errtext *et)
{
	struct snap_stream s = {.disk = d};
	struct snap_reader *r = NULL;
	uint8_t footer[FOOTER_LEN];
	uint64_t size = 0;
	int64_t n;
	int error = d->ops->open(d->ctx, path, DISK_READ, &s.file);

	if (error < 0)
		return errtext(
		    et, error, "cannot open '%s': %s", path, strerror(-error));
	error = snap_reader_new(snap_stream_get, &s, &r, et);
	if (error == 0)
		error = d->ops->size(d->ctx, s.file, &size);
	if (error == 0 && size < FOOTER_LEN)
		error = -EBADMSG;
	if (error == 0) {
		n = d->ops->read(
		    d->ctx, s.file, footer, FOOTER_LEN, size - FOOTER_LEN);
		if (n == FOOTER_LEN)
			error = footer_read(footer, sum);
		else
			error = n < 0 ? (int)n : -EBADMSG;
	}
	if (error == 0 && sum->file_len != size)
		error = -EBADMSG;
	if (error == 0 && m != NULL) {
		*m = *snap_reader_meta(r);
		m->config = NULL;
	}
	if (error == -EBADMSG)
		(void)errtext(et, error, "'%s': damaged", path);
	snap_reader_free(r);
	d->ops->close(d->ctx, s.file);
	return error;
}
