/*
 * save.c - raftsnap: save, and files that appear whole or not at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "raftsnap/tool.h"

static int
sync_parent(const char *path)
{
	char *dir = strdup(path), *slash;
	int fd, error = 0;

	if (dir == NULL)
		return -ENOMEM;
	slash = strrchr(dir, '/');
	if (slash == dir)
		slash[1] = '\0';
	else if (slash != NULL)
		*slash = '\0';
	fd = open(slash != NULL ? dir : ".", O_RDONLY | O_DIRECTORY);
	if (fd < 0 || fsync(fd) < 0)
		error = -errno;
	if (fd >= 0)
		(void)close(fd);
	free(dir);
	return error;
}

/* What is no regular file is written in place: it is no file to replace. */
static bool
is_special(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

static int
save_in_place(const char *to, save_fill fill, void *ctx)
{
	int fd = open(to, O_WRONLY | O_CLOEXEC), status;

	if (fd < 0) {
		(void)snaptool_fail(-errno, to, NULL);
		return TOOL_CREATE;
	}
	status = fill(ctx, fd);
	if (close(fd) < 0 && status == TOOL_OK)
		status = snaptool_fail(-errno, to, NULL);
	return status;
}

int
snaptool_save(const char *to, save_fill fill, void *ctx)
{
	char tmp[4096];
	int fd, status, error = 0;

	if (strcmp(to, "-") == 0)
		return fill(ctx, STDOUT_FILENO);
	if (is_special(to))
		return save_in_place(to, fill, ctx);
	if ((size_t)snprintf(tmp, sizeof(tmp), "%s.tmp", to) >= sizeof(tmp))
		return snaptool_fail(-ENAMETOOLONG, to, NULL);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0) {
		(void)snaptool_fail(-errno, tmp, NULL);
		return TOOL_CREATE;
	}
	status = fill(ctx, fd);
	if (status == TOOL_OK && fsync(fd) < 0)
		error = -errno;
	if (close(fd) < 0 && error == 0)
		error = -errno;
	if (status == TOOL_OK && error == 0 && snaptool_signal != 0)
		status = TOOL_IO;
	if (status == TOOL_OK && error == 0 && rename(tmp, to) < 0)
		error = -errno;
	if (status == TOOL_OK && error == 0)
		error = sync_parent(to);
	if (status == TOOL_OK && error < 0)
		status = snaptool_fail(error, to, NULL);
	if (status != TOOL_OK)
		(void)unlink(tmp);
	return status;
}

/* Copies and verifies at once. */
static int
copy(void *ctx, int fd)
{
	struct tool_input *in = ctx;
	struct snap_reader *r = NULL;
	struct errtext et = {""};
	int error;

	in->copy = fd;
	progress_begin("save", in->total);
	error = snap_reader_new(snaptool_get, in, &r, &et);
	if (error == 0)
		error = snap_reader_finish(r, NULL, &et);
	snap_reader_free(r);
	progress_end();
	return error < 0 ? snaptool_input_fail(in, error, et.text) : TOOL_OK;
}

int
snapcmd_save(int argc, char **argv)
{
	struct tool_input in;
	int status;

	if (argc != 1 || !snaptool_has_source())
		return TOOL_USAGE;
	status = snaptool_open(NULL, &in);
	if (status != TOOL_OK)
		return status;
	status = snaptool_save(argv[0], copy, &in);
	snaptool_close(&in);
	return status;
}
