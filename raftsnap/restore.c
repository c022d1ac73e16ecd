/*
 * restore.c - raftsnap restore: the data directories of a new cluster that
 * begins with a snapshot.
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

#include "raftctl/units.h"
#include "raftd/fsm/kvstore.h"
#include "raftsnap/tool.h"
#include "raftwal/identity.h"

#define ADDRESS_MAX 127
#define REV_MAX (UINT64_C(1) << 53) /* what JSON carries */

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
members_read(struct member *m)
{
	unsigned n = 0;
	char *end;

	for (; snaptool.member[n] != NULL; n++) {
		m[n].id = strtoull(snaptool.member[n], &end, 10);
		if (m[n].id == 0 || m[n].id > INT64_MAX || *end != '=' ||
		    snaptool.member[n][0] == '-' || end[1] == '\0' ||
		    strlen(end + 1) > ADDRESS_MAX)
			return 0;
		m[n].address = end + 1;
	}
	qsort(m, n, sizeof(m[0]), compare_members);
	for (unsigned i = 1; i < n; i++)
		if (m[i].id == m[i - 1].id)
			return 0;
	return n;
}

/* Whose directory: 0 of all of them, UINT64_MAX of none. */
static uint64_t
self_read(const struct member *m, unsigned n)
{
	uint64_t id;

	if (snaptool.id == NULL)
		return 0;
	if (units_u64(snaptool.id, &id) == 0)
		for (unsigned i = 0; i < n; i++)
			if (m[i].id == id)
				return id;
	return UINT64_MAX;
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

/*
 * Never that of the cluster it comes from.  With a name the same wherever
 * the same is restored for the same members, so that each may do it at home;
 * for a whole cluster at once without a name it is random: nobody who was
 * restored before may meet it.
 */
static int
cluster_id(const struct snap_sum *sum, const struct mp_buf *config,
    bool is_alone, uint8_t *id)
{
	const char *name = snaptool.cluster != NULL ? snaptool.cluster : "";
	XXH128_canonical_t out;
	XXH3_state_t *s;

	if (MUTANT(166))
		return 0;
	if (!is_alone && snaptool.cluster == NULL)
		return getrandom(id, SNAP_ID_LEN, 0) == SNAP_ID_LEN ? 0 : -EIO;
	s = XXH3_createState();
	if (s == NULL)
		return -ENOMEM;
	(void)XXH3_128bits_reset(s);
	(void)XXH3_128bits_update(s, sum->id, sizeof(sum->id));
	(void)XXH3_128bits_update(s, name, strlen(name) + 1);
	(void)XXH3_128bits_update(s, config->data, config->len);
	XXH128_canonicalFromHash(&out, XXH3_128bits_digest(s));
	(void)XXH3_freeState(s);
	memcpy(id, out.digest, SNAP_ID_LEN);
	return 0;
}

/* ---- directories ------------------------------------------------------- */

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

struct made {
	const char *dir;
	bool was_there; /* empty */
};

/* What a failure leaves must not look like a directory to begin with. */
static void
dir_undo(const struct made *m)
{
	static const char *const in[] = {"snap", "LOCK", "identity"};
	char path[4096];
	DIR *d;
	struct dirent *e;

	(void)snprintf(path, sizeof(path), "%s/snap", m->dir);
	d = opendir(path);
	while (d != NULL && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			(void)unlinkat(dirfd(d), e->d_name, 0);
	if (d != NULL)
		(void)closedir(d);
	for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", m->dir, in[i]);
		(void)(i == 0 ? rmdir(path) : unlink(path));
	}
	if (!m->was_there)
		(void)rmdir(m->dir);
}

static int
write_dir(
    const char *dir, const struct state *s, uint64_t id, struct errtext *et)
{
	struct identity who = {.id = id, .format = IDENTITY_FORMAT};
	struct snap_sum sum;
	struct disk disk;
	int error = disk_real_open(dir, true, true, &disk, et);

	if (error < 0)
		return error;
	memcpy(who.cluster, s->meta.cluster, sizeof(who.cluster));
	if (getrandom(who.uuid, sizeof(who.uuid), 0) != sizeof(who.uuid))
		error = errtext(et, -EIO, "no randomness");
	/* Without its identity a directory is begun anew: that comes last. */
	if (error == 0)
		error = snap_save(
		    &disk, &s->meta, 0, state_fill, (void *)(uintptr_t)s, &sum);
	if (error == 0)
		error = identity_write(&disk, &who, et);
	disk_real_close(&disk);
	return error;
}

static int
make_dir(const char *dir, const struct state *s, uint64_t id)
{
	struct made made = {.dir = dir, .was_there = access(dir, F_OK) == 0};
	struct errtext et = {""};
	struct kv_stat kv;
	int error;

	kv_stat(s->fsm, &kv);
	progress_begin("restore", 0);
	error = write_dir(dir, s, id, &et);
	progress_end();
	if (error < 0) {
		dir_undo(&made);
		return snaptool_fail(error, dir, et.text);
	}
	json_print(json_pack("{s:s,s:I,s:I,s:o,s:I,s:I,s:I,s:I,s:o,s:b}", "dir",
	    dir, "id", (json_int_t)id, "group", (json_int_t)s->meta.group,
	    "cluster", json_hex(s->meta.cluster, SNAP_ID_LEN), "index",
	    (json_int_t)s->meta.index, "term", (json_int_t)s->meta.term, "rev",
	    (json_int_t)s->meta.rev, "keys", (json_int_t)kv.keys, "digest",
	    json_hex(s->meta.digest, sizeof(s->meta.digest)), "ok", 1));
	return TOOL_OK;
}

/* DIR/ID for each member. */
static int
make_all(
    const char *dir, const struct state *s, const struct member *m, unsigned n)
{
	bool was_there = access(dir, F_OK) == 0;
	char path[4096];
	unsigned i;
	int status = TOOL_OK;

	if (!was_there && mkdir(dir, 0700) < 0) {
		(void)snaptool_fail(-errno, dir, NULL);
		return TOOL_CREATE;
	}
	for (i = 0; i < n && status == TOOL_OK; i++) {
		(void)snprintf(path, sizeof(path), "%s/%llu", dir,
		    (unsigned long long)m[i].id);
		status = make_dir(path, s, m[i].id);
	}
	if (status == TOOL_OK)
		return TOOL_OK;
	/* A part of a cluster is none. */
	for (unsigned k = 0; k + 1 < i; k++) {
		(void)snprintf(path, sizeof(path), "%s/%llu", dir,
		    (unsigned long long)m[k].id);
		dir_undo(&(struct made){path, false});
	}
	if (!was_there)
		(void)rmdir(dir);
	return status;
}

/* ---- the command ------------------------------------------------------- */

static int
restore(const char *file, const char *dir, const struct member *m, unsigned n,
    uint64_t self)
{
	struct state s;
	struct mp_buf config;
	int status = state_load(file, &s), error = 0;

	/* All of it is judged before anything is made. */
	if (status != TOOL_OK)
		return status;
	mp_buf_init(&config);
	config_put(&config, m, n);
	if (config.failed)
		error = -ENOMEM;
	if (error == 0)
		error = cluster_id(&s.sum, &config, self != 0, s.meta.cluster);
	if (error == 0 &&
	    (s.meta.rev >= REV_MAX || snaptool.advance >= REV_MAX - s.meta.rev))
		error = -EOVERFLOW;
	if (error < 0) {
		status = snaptool_fail(error, file,
		    error == -EOVERFLOW ? "no revisions are left" : NULL);
	} else {
		if (!MUTANT(216))
			kvstore_advance(s.fsm, snaptool.advance);
		if (!MUTANT(167)) {
			s.meta.config = config.data;
			s.meta.config_len = (uint32_t)config.len;
		}
		s.meta.config_index = s.meta.index;
		state_seal(&s);
		status = self == 0 ? make_all(dir, &s, m, n)
				   : make_dir(dir, &s, self);
	}
	mp_buf_release(&config);
	state_release(&s);
	return status;
}

int
snapcmd_restore(int argc, char **argv)
{
	struct member m[TOOL_MEMBERS_MAX + 1];
	unsigned n = members_read(m), files = snaptool_has_source() ? 0 : 1;
	uint64_t self = self_read(m, n);
	const char *dir;
	int error;

	if (argc != (int)files + 1 || n == 0 || self == UINT64_MAX)
		return TOOL_USAGE;
	dir = argv[files];
	error = MUTANT(217) ? 0 : dir_judge(dir);
	if (error < 0) {
		(void)snaptool_fail(error, dir, NULL);
		return TOOL_CREATE;
	}
	return restore(files == 1 ? argv[0] : NULL, dir, m, n, self);
}
