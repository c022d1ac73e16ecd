/*
 * restore.c - raftsnap: save and restore: snapshots out of a data directory
 * and into a new one.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "raftctl/mp.h"
#include "raftsnap/tool.h"
#include "raftwal/identity.h"

#define ADDRESS_MAX 127
#define MEMBERS_MAX 16

/* ---- save -------------------------------------------------------------- */

/* The newest valid one. */
static int
newest(char *path, size_t size)
{
	struct snap_file file[SNAP_FILES_MAX];
	struct errtext et = {""};
	struct disk disk;
	uint32_t group = 1;
	int n, error = disk_real_open(tool_dir, false, false, &disk, &et);

	if (error < 0)
		return tool_fail(error, tool_dir, et.text);
	n = snap_list(&disk, group, file, SNAP_FILES_MAX);
	error = n < 0 ? n : -ENOENT;
	(void)errtext(&et, error, "has no snapshot");
	for (int i = 0; i < n && error < 0; i++)
		error =
		    snap_load(&disk, file[i].path, NULL, NULL, NULL, NULL, &et);
	if (error == 0)
		(void)snprintf(path, size, "%s/%s", tool_dir, file[0].path);
	disk_real_close(&disk);
	return error < 0 ? tool_fail(error, tool_dir, et.text) : TOOL_OK;
}

/* Copies and verifies at once. */
static int
copy(const char *path, int fd)
{
	struct tool_input in;
	struct snap_reader *r = NULL;
	struct errtext et = {""};
	int status = tool_open(path, &in), error;

	if (status != TOOL_OK)
		return status;
	in.copy = fd;
	error = snap_reader_new(tool_get, &in, &r, &et);
	if (error == 0)
		error = snap_reader_finish(r, NULL, &et);
	snap_reader_free(r);
	tool_close(&in);
	return error < 0 ? tool_fail(error, path, et.text) : TOOL_OK;
}

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

static int
save_file(const char *from, const char *to)
{
	char tmp[4096];
	int fd, status, error = 0;

	if ((size_t)snprintf(tmp, sizeof(tmp), "%s.tmp", to) >= sizeof(tmp))
		return tool_fail(-ENAMETOOLONG, to, NULL);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0) {
		(void)tool_fail(-errno, tmp, NULL);
		return TOOL_CREATE;
	}
	status = copy(from, fd);
	if (status == TOOL_OK && fsync(fd) < 0)
		error = -errno;
	(void)close(fd);
	if (status == TOOL_OK && error == 0 && rename(tmp, to) < 0)
		error = -errno;
	if (status == TOOL_OK && error == 0)
		error = sync_parent(to);
	if (error < 0)
		status = tool_fail(error, to, NULL);
	if (status != TOOL_OK)
		(void)unlink(tmp);
	return status;
}

int
cmd_save(int argc, char **argv)
{
	char path[4096];
	int status;

	if (argc != 1 || tool_dir == NULL)
		return TOOL_USAGE;
	status = newest(path, sizeof(path));
	if (status != TOOL_OK)
		return status;
	return strcmp(argv[0], "-") == 0 ? copy(path, STDOUT_FILENO)
					 : save_file(path, argv[0]);
}

/* ---- restore ----------------------------------------------------------- */

struct member {
	uint64_t id;
	const char *address;
};

static int
compare_members(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

/* ID=ADDR of each --member, sorted; 0 if one is none. */
static unsigned
members_read(struct member *m, uint64_t self)
{
	unsigned n = 0;
	bool found = false;
	char *end;

	for (; tool_member[n] != NULL; n++) {
		m[n].id = strtoull(tool_member[n], &end, 10);
		if (m[n].id == 0 || *end != '=' || end[1] == '\0' ||
		    strlen(end + 1) > ADDRESS_MAX)
			return 0;
		m[n].address = end + 1;
		found |= m[n].id == self;
	}
	if (!found)
		return 0;
	qsort(m, n, sizeof(m[0]), compare_members);
	for (unsigned i = 1; i < n; i++)
		if (m[i].id == m[i - 1].id)
			return 0;
	return n;
}

static void
config_put(struct mp_buf *b, const struct member *m, unsigned n)
{
	mp_put_map(b, 2);
	mp_put_kv_bool(b, "joint", false);
	mp_put_str(b, "members");
	mp_put_array(b, n);
	for (unsigned i = 0; i < n; i++) {
		mp_put_map(b, 3);
		mp_put_kv_u64(b, "id", m[i].id);
		mp_put_kv_u64(b, "voter", 1);
		mp_put_kv_str(b, "address", m[i].address);
	}
}

/* The same for all members that are given the same, and never that of the
 * cluster it comes from. */
static void
cluster_id(const struct snap_sum *sum, const struct mp_buf *config, uint8_t *id)
{
	const char *name = tool_cluster != NULL ? tool_cluster : "";
	XXH128_canonical_t out;
	XXH3_state_t *s = XXH3_createState();

	if (s == NULL)
		abort();
	(void)XXH3_128bits_reset(s);
	(void)XXH3_128bits_update(s, sum->id, sizeof(sum->id));
	(void)XXH3_128bits_update(s, name, strlen(name) + 1);
	(void)XXH3_128bits_update(s, config->data, config->len);
	XXH128_canonicalFromHash(&out, XXH3_128bits_digest(s));
	(void)XXH3_freeState(s);
	memcpy(id, out.digest, SNAP_ID_LEN);
}

static int
copy_state(void *ctx, struct snap_writer *w)
{
	static uint8_t buf[64 * 1024];
	struct snap_reader *r = ctx;
	int64_t n;
	int error = 0;

	while (error == 0 && (n = snap_read_some(r, buf, sizeof(buf))) != 0)
		error = n < 0 ? (int)n : snap_write(w, buf, (size_t)n);
	return error;
}

/* Not there, or empty. */
static int
dir_judge(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int error = 0;

	if (d == NULL)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			error = -ENOTEMPTY;
	(void)closedir(d);
	return error;
}

static int
write_dir(const char *dir, struct snap_reader *r, const struct snap_meta *m,
    uint64_t id, struct errtext *et)
{
	struct identity who = {.id = id, .format = IDENTITY_FORMAT};
	struct disk disk;
	int error = disk_real_open(dir, true, true, &disk, et);

	if (error < 0)
		return error;
	memcpy(who.cluster, m->cluster, sizeof(who.cluster));
	if (getrandom(who.uuid, sizeof(who.uuid), 0) != sizeof(who.uuid))
		error = errtext(et, -EIO, "no randomness");
	/* Without its identity a directory is begun anew: that comes last. */
	if (error == 0)
		error = snap_save(&disk, m, 0, copy_state, r, NULL);
	if (error == 0)
		error = identity_write(&disk, &who, et);
	disk_real_close(&disk);
	return error;
}

static int
restore(const char *file, const char *dir, const struct snap_sum *sum,
    const struct mp_buf *config, uint64_t id)
{
	struct tool_input in;
	struct snap_reader *r = NULL;
	struct errtext et = {""};
	struct snap_meta m;
	int status = tool_open(file, &in), error;

	if (status != TOOL_OK)
		return status;
	error = snap_reader_new(tool_get, &in, &r, &et);
	if (error == 0) {
		m = *snap_reader_meta(r);
		cluster_id(sum, config, m.cluster);
		m.config = config->data;
		m.config_len = (uint32_t)config->len;
		m.config_index = m.index;
		error = write_dir(dir, r, &m, id, &et);
	}
	snap_reader_free(r);
	tool_close(&in);
	return error < 0 ? tool_fail(error, dir, et.text) : TOOL_OK;
}

int
cmd_restore(int argc, char **argv)
{
	struct member m[MEMBERS_MAX + 1];
	struct tool_input in;
	struct snap_reader *r = NULL;
	struct snap_sum sum;
	struct errtext et = {""};
	struct mp_buf config;
	uint64_t id = tool_id != NULL ? strtoull(tool_id, NULL, 10) : 0;
	unsigned n = members_read(m, id);
	int status, error;

	if (argc != 2 || n == 0 || strcmp(argv[0], "-") == 0)
		return TOOL_USAGE;
	error = dir_judge(argv[1]);
	if (error < 0) {
		(void)tool_fail(error, argv[1], NULL);
		return TOOL_CREATE;
	}
	/* All of it is judged before anything is made. */
	status = tool_open(argv[0], &in);
	if (status != TOOL_OK)
		return status;
	error = snap_reader_new(tool_get, &in, &r, &et);
	if (error == 0)
		error = snap_reader_finish(r, &sum, &et);
	snap_reader_free(r);
	tool_close(&in);
	if (error < 0)
		return tool_fail(error, argv[0], et.text);
	mp_buf_init(&config);
	config_put(&config, m, n);
	status = config.failed ? TOOL_OS
			       : restore(argv[0], argv[1], &sum, &config, id);
	mp_buf_release(&config);
	return status;
}
