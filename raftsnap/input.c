/*
 * input.c - where a snapshot comes from: a file, standard input, a data
 * directory, a server.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "raftsnap/tool.h"

#define GROUP 1

bool
snaptool_has_source(void)
{
	return snaptool.dir != NULL || snaptool.server != NULL;
}

/* The newest valid one. */
static int
newest(const char *dir, char *path, size_t size)
{
	struct snap_file file[SNAP_FILES_MAX];
	struct errtext et = {""};
	struct disk disk;
	int n, error = disk_real_open(dir, false, false, &disk, &et);

	if (error < 0)
		return snaptool_fail(error, dir, et.text);
	n = snap_list(&disk, GROUP, file, SNAP_FILES_MAX);
	error = n < 0 ? n : -ENOENT;
	(void)errtext(&et, error, "has no snapshot");
	for (int i = 0; i < n; i++) {
		error =
		    snap_load(&disk, file[i].path, NULL, NULL, NULL, NULL, &et);
		if (error == 0 && (size_t)snprintf(path, size, "%s/%s", dir,
				      file[i].path) >= size)
			error = -ENAMETOOLONG;
		if (error == 0)
			break;
		/* A server drops old ones at any time. */
		if (error != -ENOENT)
			fprintf(stderr, "raftsnap: '%s/%s': %s\n", dir,
			    file[i].path, et.text);
	}
	disk_real_close(&disk);
	return error < 0 ? snaptool_fail(error, dir, et.text) : TOOL_OK;
}

static int
open_file(struct tool_input *in, const char *path)
{
	struct stat st;
	int error;

	in->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (in->fd < 0) {
		error = -errno;
		fprintf(stderr, "raftsnap: cannot open '%s': %s\n", path,
		    strerror(-error));
		return error == -ENOENT || error == -EACCES ? TOOL_INPUT
							    : TOOL_IO;
	}
	if (fstat(in->fd, &st) == 0 && S_ISREG(st.st_mode))
		in->total = (uint64_t)st.st_size;
	return TOOL_OK;
}

static bool
is_dir(const char *name)
{
	struct stat st;

	return stat(name, &st) == 0 && S_ISDIR(st.st_mode);
}

int
snaptool_open(const char *name, struct tool_input *in)
{
	const char *dir = name == NULL ? snaptool.dir : name;
	int status;

	memset(in, 0, sizeof(*in));
	in->fd = in->copy = -1;
	in->name = name != NULL ? name : dir != NULL ? dir : snaptool.server;
	if (name == NULL && dir == NULL)
		return remote_open(snaptool.server, &in->remote, &in->total);
	if (name != NULL && strcmp(name, "-") == 0) {
		in->fd = STDIN_FILENO;
		return TOOL_OK;
	}
	if (name != NULL && !is_dir(name))
		return open_file(in, name);
	status = newest(dir, in->path, sizeof(in->path));
	if (status != TOOL_OK)
		return status;
	in->name = in->path;
	return open_file(in, in->path);
}

void
snaptool_close(struct tool_input *in)
{
	if (in->fd > STDIN_FILENO)
		(void)close(in->fd);
	remote_close(in->remote);
	in->remote = NULL;
}

int
snaptool_write(int fd, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR && snaptool_signal == 0) {
			progress_poke();
			continue;
		}
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int
snaptool_put(void *fd, const void *data, size_t len)
{
	return snaptool_write(*(const int *)fd, data, len);
}

int64_t
snaptool_get(void *input, void *buf, size_t len)
{
	struct tool_input *in = input;
	int64_t n;
	int error = 0;

	do {
		if (snaptool_signal != 0)
			return -EINTR;
		n = in->remote != NULL ? remote_get(in->remote, buf, len)
				       : read(in->fd, buf, len);
		progress_poke();
	} while (in->remote == NULL && n < 0 && errno == EINTR);
	if (n < 0)
		return in->remote != NULL ? n : -errno;
	progress_add((uint64_t)n);
	if (in->copy >= 0 && n > 0)
		error = snaptool_write(in->copy, buf, (size_t)n);
	return error < 0 ? error : n;
}

int
snaptool_input_fail(const struct tool_input *in, int error, const char *why)
{
	if (in->remote != NULL && remote_status(in->remote) != TOOL_OK) {
		fprintf(stderr, "raftsnap: '%s': %s\n", in->name,
		    remote_why(in->remote));
		return remote_status(in->remote);
	}
	/* What is read badly is not what is missing. */
	if (error == -EINTR && snaptool_signal != 0)
		return TOOL_IO;
	return snaptool_fail(error, in->name, why);
}
