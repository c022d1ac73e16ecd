/*
 * disk.c - the real disk: a directory, and what is common to all disks.
 *
 * Names are resolved from the directory's descriptor, so that renaming or
 * moving the directory, or changing the working directory, disturbs nobody.
 */
#include "raftwal/disk.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "raftctl/errtext.h"

#define ZERO_STEP (256u * 1024) /* written at once when a file grows */
#define NAMES_MAX 1000000	/* in one directory */

struct disk_file {
	int fd;
	bool direct;
	bool once;
};

struct real {
	int dir;
	int lock; /* -1: not held */
};

static int
real_open(void *ctx, const char *path, int flags, struct disk_file **out)
{
	struct real *r = ctx;
	struct disk_file *f;
	int oflags = O_CLOEXEC | O_NOFOLLOW, fd = -1;
	bool direct = false;

	oflags |= (flags & DISK_WRITE) ? O_RDWR : O_RDONLY;
	if (flags & DISK_CREATE)
		oflags |= O_CREAT | O_EXCL;
	f = malloc(sizeof(*f));
	if (f == NULL)
		return -ENOMEM;
	fd = openat(r->dir, path, oflags, 0600);
	if (fd < 0) {
		int error = -errno;

		free(f);
		return error;
	}
	/* A filesystem without O_DIRECT (tmpfs) refuses the flag here, and
	 * the file works through the cache. */
	if (flags & DISK_DIRECT) {
		int fl = fcntl(fd, F_GETFL);

		direct = fl >= 0 && fcntl(fd, F_SETFL, fl | O_DIRECT) == 0;
	}
	f->fd = fd;
	f->direct = direct;
	f->once = (flags & DISK_ONCE) != 0;
	*out = f;
	return 0;
}

static void
real_close(void *ctx, struct disk_file *f)
{
	(void)ctx;
	if (f->once)
		(void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
	(void)close(f->fd);
	free(f);
}

static int64_t
read_fd(int fd, uint8_t *buf, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n =
		    pread(fd, buf + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (int64_t)done;
}

/* A direct file wants aligned memory, offset and length; whoever reads need
 * not know. */
static int64_t
read_direct(struct disk_file *f, void *buf, size_t len, uint64_t offset)
{
	uint64_t start = offset & ~(uint64_t)(DISK_ALIGN - 1);
	size_t skip = (size_t)(offset - start), whole;
	uint8_t *tmp;
	int64_t n;

	if (__builtin_add_overflow(len, skip + DISK_ALIGN - 1, &whole))
		return -EINVAL;
	whole &= ~(size_t)(DISK_ALIGN - 1);
	tmp = aligned_alloc(DISK_ALIGN, whole);
	if (tmp == NULL)
		return -ENOMEM;
	n = read_fd(f->fd, tmp, whole, start);
	if (n >= 0) {
		n = n > (int64_t)skip ? n - (int64_t)skip : 0;
		if (n > (int64_t)len)
			n = (int64_t)len;
		memcpy(buf, tmp + skip, (size_t)n);
	}
	free(tmp);
	return n;
}

static int64_t
real_read(
    void *ctx, struct disk_file *f, void *buf, size_t len, uint64_t offset)
{
	(void)ctx;
	if (len == 0)
		return 0;
	if (f->direct &&
	    (((uintptr_t)buf | offset | len) & (DISK_ALIGN - 1)) != 0)
		return read_direct(f, buf, len, offset);
	return read_fd(f->fd, buf, len, offset);
}

static int
real_write(void *ctx, struct disk_file *f, const void *buf, size_t len,
    uint64_t offset)
{
	const uint8_t *p = buf;

	(void)ctx;
	while (len > 0) {
		ssize_t n = pwrite(f->fd, p, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		p += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int
real_sync(void *ctx, struct disk_file *f)
{
	(void)ctx;
	return fdatasync(f->fd) < 0 ? -errno : 0;
}

static int
real_size(void *ctx, struct disk_file *f, uint64_t *size)
{
	struct stat st;

	(void)ctx;
	if (fstat(f->fd, &st) < 0)
		return -errno;
	*size = (uint64_t)st.st_size;
	return 0;
}

static int
real_truncate(void *ctx, struct disk_file *f, uint64_t size)
{
	static const uint8_t zero[ZERO_STEP]
	    __attribute__((aligned(DISK_ALIGN)));
	uint64_t old;
	int error;

	error = real_size(ctx, f, &old);
	if (error < 0)
		return error;
	if (f->direct && ((old | size) & (DISK_ALIGN - 1)) != 0)
		return -EINVAL;
	while (old < size) {
		size_t n =
		    size - old < ZERO_STEP ? (size_t)(size - old) : ZERO_STEP;

		error = real_write(ctx, f, zero, n, old);
		if (error < 0)
			return error;
		old += n;
	}
	if (size < old && ftruncate(f->fd, (off_t)size) < 0)
		return -errno;
	return 0;
}

static int
real_rename(void *ctx, const char *from, const char *to)
{
	struct real *r = ctx;

	return renameat(r->dir, from, r->dir, to) < 0 ? -errno : 0;
}

static int
real_unlink(void *ctx, const char *path)
{
	struct real *r = ctx;

	return unlinkat(r->dir, path, 0) < 0 ? -errno : 0;
}

static int
real_mkdir(void *ctx, const char *path)
{
	struct real *r = ctx;

	return mkdirat(r->dir, path, 0700) < 0 ? -errno : 0;
}

static int
open_dir(const struct real *r, const char *path)
{
	int fd = openat(r->dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int
real_sync_dir(void *ctx, const char *path)
{
	int fd = open_dir(ctx, path), error = 0;

	if (fd < 0)
		return fd;
	if (fsync(fd) < 0)
		error = -errno;
	(void)close(fd);
	return error;
}

static int
name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int
names_read(DIR *d, char ***out, size_t *count_out)
{
	char **names = NULL, **more;
	size_t count = 0, cap = 0;
	struct dirent *e;
	int error = 0;

	for (;;) {
		errno = 0;
		e = readdir(d);
		if (e == NULL) {
			error = -errno;
			break;
		}
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (count == NAMES_MAX) {
			error = -E2BIG;
			break;
		}
		if (count == cap) {
			cap = cap == 0 ? 64 : cap * 2;
			more = reallocarray(names, cap, sizeof(*names));
			if (more == NULL) {
				error = -ENOMEM;
				break;
			}
			names = more;
		}
		names[count] = strdup(e->d_name);
		if (names[count] == NULL) {
			error = -ENOMEM;
			break;
		}
		count++;
	}
	*out = names;
	*count_out = count;
	return error;
}

static int
real_list(void *ctx, const char *path, int (*fn)(void *arg, const char *name),
    void *arg)
{
	char **names;
	size_t count;
	int fd = open_dir(ctx, path), error;
	DIR *d;

	if (fd < 0)
		return fd;
	d = fdopendir(fd);
	if (d == NULL) {
		error = -errno;
		(void)close(fd);
		return error;
	}
	error = names_read(d, &names, &count);
	(void)closedir(d);
	if (error == 0 && count > 0)
		qsort(names, count, sizeof(*names), name_cmp);
	for (size_t i = 0; i < count; i++) {
		if (error == 0)
			error = fn(arg, names[i]);
		free(names[i]);
	}
	free(names);
	return error;
}

static const struct disk_ops real_ops = {
    .open = real_open,
    .close = real_close,
    .read = real_read,
    .write = real_write,
    .sync = real_sync,
    .size = real_size,
    .truncate = real_truncate,
    .rename = real_rename,
    .unlink = real_unlink,
    .mkdir = real_mkdir,
    .sync_dir = real_sync_dir,
    .list = real_list,
};

/* The directory's own name must survive a crash too. */
static int
sync_parent(int dir)
{
	int fd = openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		error = -errno;
	(void)close(fd);
	return error;
}

int
disk_real_open(const char *dir, bool create, bool lock, struct disk *disk,
    struct errtext *et)
{
	struct real *r;
	bool made = false;
	int error;

	r = malloc(sizeof(*r));
	if (r == NULL)
		return errtext(et, -ENOMEM, "out of memory");
	r->lock = -1;
	if (create) {
		made = mkdir(dir, 0700) == 0;
		if (!made && errno != EEXIST) {
			error = -errno;
			free(r);
			return errtext(et, error, "cannot create '%s': %s", dir,
			    strerror(-error));
		}
	}
	r->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->dir < 0) {
		error = errtext(
		    et, -errno, "cannot open '%s': %s", dir, strerror(errno));
		goto fail;
	}
	if (made && (error = sync_parent(r->dir)) < 0) {
		errtext(et, error, "cannot sync the directory of '%s': %s", dir,
		    strerror(-error));
		goto fail;
	}
	if (lock) {
		r->lock = openat(r->dir, "LOCK",
		    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (r->lock < 0) {
			error = errtext(et, -errno, "cannot open '%s/LOCK': %s",
			    dir, strerror(errno));
			goto fail;
		}
		if (flock(r->lock, LOCK_EX | LOCK_NB) < 0) {
			error =
			    errno == EWOULDBLOCK
				? errtext(et, -EWOULDBLOCK,
				      "'%s' is in use by another process", dir)
				: errtext(et, -errno,
				      "cannot lock '%s/LOCK': %s", dir,
				      strerror(errno));
			goto fail;
		}
	}
	disk->ops = &real_ops;
	disk->ctx = r;
	return 0;
fail:
	if (r->lock >= 0)
		(void)close(r->lock);
	if (r->dir >= 0)
		(void)close(r->dir);
	free(r);
	return error;
}

void
disk_real_close(struct disk *disk)
{
	struct real *r = disk->ctx;

	if (r == NULL)
		return;
	assert(disk->ops == &real_ops);
	if (r->lock >= 0)
		(void)close(r->lock);
	(void)close(r->dir);
	free(r);
	disk->ctx = NULL;
	disk->ops = NULL;
}

/* ---- on any disk ------------------------------------------------------- */

/* "a/b" -> "a"; "b" -> ".". */
static int
path_parent(const char *path, char *dir, size_t size)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash == NULL ? 1 : (size_t)(slash - path);

	if (len >= size)
		return -ENAMETOOLONG;
	memcpy(dir, slash == NULL ? "." : path, len);
	dir[len] = '\0';
	return 0;
}

int
disk_replace(struct disk *disk, const char *path, const void *data, size_t len)
{
	const struct disk_ops *ops = disk->ops;
	struct disk_file *f = NULL;
	char tmp[256], dir[256];
	int error, n;

	n = snprintf(tmp, sizeof(tmp), "%s.tmp", path);
	if (n < 0 || (size_t)n >= sizeof(tmp))
		return -ENAMETOOLONG;
	error = path_parent(path, dir, sizeof(dir));
	if (error < 0)
		return error;
	error = ops->unlink(disk->ctx, tmp);
	if (error < 0 && error != -ENOENT)
		return error;
	error = ops->open(disk->ctx, tmp, DISK_WRITE | DISK_CREATE, &f);
	if (error < 0)
		return error;
	error = ops->write(disk->ctx, f, data, len, 0);
	if (error == 0)
		error = ops->sync(disk->ctx, f);
	ops->close(disk->ctx, f);
	if (error == 0)
		error = ops->rename(disk->ctx, tmp, path);
	if (error == 0)
		return ops->sync_dir(disk->ctx, dir);
	(void)ops->unlink(disk->ctx, tmp);
	return error;
}

int
disk_slurp(struct disk *disk, const char *path, size_t len_max, uint8_t **data,
    size_t *len)
{
	const struct disk_ops *ops = disk->ops;
	struct disk_file *f = NULL;
	uint8_t *buf = NULL;
	uint64_t size;
	int64_t n;
	int error;

	error = ops->open(disk->ctx, path, DISK_READ, &f);
	if (error < 0)
		return error;
	error = ops->size(disk->ctx, f, &size);
	if (error == 0 && size > len_max)
		error = -EFBIG;
	if (error < 0)
		goto out;
	buf = malloc(size == 0 ? 1 : (size_t)size);
	if (buf == NULL) {
		error = -ENOMEM;
		goto out;
	}
	n = ops->read(disk->ctx, f, buf, (size_t)size, 0);
	if (n < 0) {
		error = (int)n;
		goto out;
	}
	*data = buf;
	*len = (size_t)n;
	buf = NULL;
	error = 0;
out:
	free(buf);
	ops->close(disk->ctx, f);
	return error;
}
