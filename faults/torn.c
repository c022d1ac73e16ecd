/*
 * torn.c - a disk that had written some sectors when the power went.
 *
 * What the dead server had written and not synced is kept from the page
 * cache before its file system forgets it; of the sectors that differ then,
 * a random half is put into the files that have survived.
 */
#include "faults/torn.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512
#define BLOCK (128 * SECTOR)
#define FILES_MAX 4096

/* nftw() has no argument for its callback. */
static struct walk {
	const char *from, *to;
	size_t from_len;
	unsigned count, differ, written;
	uint64_t seed;
	int error;
	bool is_back;
} * walking;

/* splitmix64 */
static bool
toss(struct walk *w)
{
	uint64_t z = w->seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return ((z ^ z >> 31) & 1) != 0;
}

static int
copy_file(int from, int to)
{
	static unsigned char block[BLOCK];
	ssize_t n;

	while ((n = read(from, block, sizeof(block))) > 0)
		if (write(to, block, (size_t)n) != n)
			return errno == 0 ? -EIO : -errno;
	return n < 0 ? -errno : 0;
}

/* Only sectors that both have whole: a size is known or it is not. */
static int
tear_file(struct walk *w, int from, int to)
{
	static unsigned char had[BLOCK], has[BLOCK];
	off_t at = 0;

	for (;; at += BLOCK) {
		ssize_t a = pread(from, had, BLOCK, at);
		ssize_t b = pread(to, has, BLOCK, at);
		ssize_t n = a < b ? a : b;

		if (n < 0)
			return -errno;
		for (ssize_t i = 0; i + SECTOR <= n; i += SECTOR) {
			if (memcmp(had + i, has + i, SECTOR) == 0)
				continue;
			w->differ++;
			if (!toss(w))
				continue;
			w->written++;
			if (pwrite(to, had + i, SECTOR, at + i) != SECTOR)
				return -errno;
		}
		if (n < BLOCK)
			return fsync(to) < 0 ? -errno : 0;
	}
}

static int
visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	struct walk *w = walking;
	char other[PATH_MAX];
	int in, out;

	(void)st;
	(void)ftw;
	if (snprintf(other, sizeof(other), "%s%s", w->to, path + w->from_len) >=
	    (int)sizeof(other))
		return w->error = -ENAMETOOLONG;
	if (type == FTW_D && !w->is_back && mkdir(other, 0700) < 0 &&
	    errno != EEXIST)
		return w->error = -errno;
	if (type != FTW_F || !S_ISREG(st->st_mode))
		return 0;
	if (++w->count > FILES_MAX)
		return w->error = -E2BIG;
	in = open(path, O_RDONLY | O_CLOEXEC);
	out = open(other,
	    w->is_back ? O_RDWR | O_CLOEXEC
		       : O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	    0600);
	if (in < 0)
		w->error = -errno;
	else if (out >= 0)
		w->error =
		    w->is_back ? tear_file(w, in, out) : copy_file(in, out);
	else if (!w->is_back)
		w->error = -errno;
	/* else: its name was not synced either */
	if (in >= 0)
		(void)close(in);
	if (out >= 0)
		(void)close(out);
	return w->error;
}

static int
walk(struct walk *w)
{
	w->from_len = strlen(w->from);
	walking = w;
	if (nftw(w->from, visit, 16, FTW_PHYS) != 0 && w->error == 0)
		w->error = errno == ENOENT ? 0 : -errno;
	return w->error;
}

int
torn_keep(const char *data, const char *copy)
{
	struct walk w = {.from = data, .to = copy};

	return walk(&w);
}

static int
forget(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path) < 0 ? -errno : 0;
}

int
torn_write(const char *copy, const char *data, uint64_t seed, unsigned *written,
    unsigned *differ)
{
	struct walk w = {
	    .from = copy, .to = data, .seed = seed, .is_back = true};
	int ret = walk(&w);

	*written = w.written;
	*differ = w.differ;
	return ret;
}

void
torn_forget(const char *copy)
{
	(void)nftw(copy, forget, 16, FTW_PHYS | FTW_DEPTH);
}
