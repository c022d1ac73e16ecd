/*
 * recover.c - carries out the plan of a recovery in one data directory.
 *
 * The order of the steps makes every crash harmless.  The donor gets its new
 * cluster id before the log gets the new members: in between it is a server
 * whose old members are refused by it, so it leads nobody.  Another member
 * has no log while it still has its old identity, and does not start.
 */
#include "raftwal/recover.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/mp.h"

#include "raftwal/bytes.h"
#include "raftwal/facts.h"

#define COPY_STEP (256u * 1024)
#define MOVED "moved" /* all of the old state is in quarantine */
#define FILE_NAME_LEN 64
#define FILES_MAX 1000000

/* ---- judging ----------------------------------------------------------- */

static const struct recover_member *
member_of(const struct recover_plan *p, uint64_t id)
{
	for (unsigned i = 0; i < p->members; i++)
		if (p->member[i].id == id)
			return &p->member[i];
	return NULL;
}

/* The donor's log must be the one that the plan was made from. */
static int
judge_log(struct disk *disk, const struct recover_plan *p, bool renewed,
    struct recover_job *job, struct errtext *et)
{
	const struct group_facts *g;
	struct facts f;
	int error = facts_read(disk, &f, et);

	if (error < 0)
		return error;
	g = facts_group(&f, p->group);
	job->index = p->donor_last + 1;
	if (g == NULL)
		error = errtext(et, -EBADMSG, "the log has no such group");
	else if (renewed && g->log.last >= job->index &&
		 (g->last_term >= p->term || g->log.first > job->index))
		job->done = true;
	else if (g->log.last != p->donor_last ||
		 (g->last_term != p->donor_last_term && !MUTANT(150)))
		error = errtext(et, -EBADMSG,
		    "the log ends with index %llu of term %llu, the plan says "
		    "%llu of %llu: it was used since",
		    (unsigned long long)g->log.last,
		    (unsigned long long)g->last_term,
		    (unsigned long long)p->donor_last,
		    (unsigned long long)p->donor_last_term);
	else if (g->log.term >= p->term)
		error = errtext(et, -EBADMSG,
		    "the directory knows of term %llu, the plan begins with "
		    "%llu",
		    (unsigned long long)g->log.term,
		    (unsigned long long)p->term);
	facts_release(&f);
	return error;
}

int
recover_judge(struct disk *disk, const struct recover_plan *p,
    struct recover_job *job, struct errtext *et)
{
	struct identity id;
	bool renewed;
	int error = identity_read(disk, &id, et);

	if (error < 0)
		return error;
	memset(job, 0, sizeof(*job));
	job->id = id.id;
	job->role = id.id == p->donor ? RECOVER_DONOR : RECOVER_MEMBER;
	(void)snprintf(job->quarantine, sizeof(job->quarantine),
	    "quarantine/recover-%" PRIu64, p->epoch);
	renewed = memcmp(id.cluster, p->renewed, IDENTITY_ID_LEN) == 0;
	if (!renewed && !MUTANT(151) &&
	    memcmp(id.cluster, p->cluster, IDENTITY_ID_LEN) != 0)
		return errtext(et, -EBADMSG,
		    "the directory is of another cluster than the plan");
	if (member_of(p, id.id) == NULL)
		return errtext(et, -EBADMSG, "server %llu is not in the plan",
		    (unsigned long long)id.id);
	if (id.epoch >= p->epoch && !renewed)
		return errtext(et, -EBADMSG,
		    "the directory has epoch %llu already",
		    (unsigned long long)id.epoch);
	if (job->role == RECOVER_MEMBER) {
		job->done = renewed;
		return 0;
	}
	if (p->has_uuid && !MUTANT(152) &&
	    memcmp(id.uuid, p->donor_uuid, IDENTITY_ID_LEN) != 0)
		return errtext(et, -EBADMSG,
		    "not the directory that the plan was made from");
	return judge_log(disk, p, renewed, job, et);
}

/* ---- quarantine -------------------------------------------------------- */

static int
make_dir(struct disk *disk, const char *path, const char *parent)
{
	int error = disk->ops->mkdir(disk->ctx, path);

	if (error < 0 && error != -EEXIST)
		return error;
	return disk->ops->sync_dir(disk->ctx, parent);
}

static int
inside(const struct recover_job *job, const char *name, char *path, size_t size)
{
	int n = snprintf(path, size, "%s/%s", job->quarantine, name);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int
copy_bytes(struct disk *disk, struct disk_file *from, struct disk_file *to)
{
	uint8_t *buf = malloc(COPY_STEP);
	uint64_t at = 0;
	int64_t n = 0;
	int error = 0;

	if (buf == NULL)
		return -ENOMEM;
	while (error == 0) {
		n = disk->ops->read(disk->ctx, from, buf, COPY_STEP, at);
		if (n <= 0)
			break;
		error = disk->ops->write(disk->ctx, to, buf, (size_t)n, at);
		at += (uint64_t)n;
	}
	free(buf);
	if (error == 0 && n < 0)
		error = (int)n;
	return error == 0 ? disk->ops->sync(disk->ctx, to) : error;
}

/* A copy that is there is whole: it was made under another name. */
static int
keep_copy(struct disk *disk, const struct recover_job *job, const char *path,
    const char *name)
{
	const struct disk_ops *ops = disk->ops;
	char to[RECOVER_PATH_LEN + FILE_NAME_LEN], tmp[sizeof(to) + 4];
	struct disk_file *in = NULL, *out = NULL;
	int error = inside(job, name, to, sizeof(to));

	if (error < 0)
		return error;
	(void)snprintf(tmp, sizeof(tmp), "%s.tmp", to);
	if (ops->open(disk->ctx, to, DISK_READ, &in) == 0) {
		ops->close(disk->ctx, in);
		return 0;
	}
	error = ops->unlink(disk->ctx, tmp);
	if (error < 0 && error != -ENOENT)
		return error;
	error = ops->open(disk->ctx, path, DISK_READ, &in);
	if (error < 0)
		return error;
	error = ops->open(disk->ctx, tmp, DISK_WRITE | DISK_CREATE, &out);
	if (error == 0)
		error = copy_bytes(disk, in, out);
	if (out != NULL)
		ops->close(disk->ctx, out);
	ops->close(disk->ctx, in);
	if (error == 0)
		error = ops->rename(disk->ctx, tmp, to);
	return error == 0 ? ops->sync_dir(disk->ctx, job->quarantine) : error;
}

/* The directory, the plan and the identity. */
static int
keep_begin(
    struct disk *disk, const struct recover_plan *p, struct recover_job *job)
{
	char path[RECOVER_PATH_LEN + FILE_NAME_LEN];
	int error = make_dir(disk, "quarantine", ".");

	if (error == 0)
		error = make_dir(disk, job->quarantine, "quarantine");
	if (error == 0)
		error = inside(job, "plan.json", path, sizeof(path));
	if (error == 0)
		error = disk_replace(disk, path, p->text, p->len);
	if (error == 0)
		error = keep_copy(disk, job, "identity", "identity");
	return error;
}

/* Names come in byte order, and what is not used yet holds only zeroes: the
 * last two hold whatever is going to be written to. */
struct two {
	char last[FILE_NAME_LEN], before[FILE_NAME_LEN];
};

static int
two_names(void *arg, const char *name)
{
	struct two *t = arg;

	if (strlen(name) != 20 || strcmp(name + 16, ".wal") != 0)
		return 0;
	memcpy(t->before, t->last, sizeof(t->before));
	(void)snprintf(t->last, sizeof(t->last), "%s", name);
	return 0;
}

static int
keep_log_end(struct disk *disk, const struct recover_job *job)
{
	struct two t = {"", ""};
	char path[FILE_NAME_LEN + 8];
	const char *name[2] = {t.before, t.last};
	int error = disk->ops->list(disk->ctx, "wal", two_names, &t);

	for (int i = 0; i < 2 && error == 0; i++) {
		if (name[i][0] == '\0')
			continue;
		(void)snprintf(path, sizeof(path), "wal/%s", name[i]);
		error = keep_copy(disk, job, path, name[i]);
	}
	return error;
}

/* ---- the donor --------------------------------------------------------- */

static void
put_member(
    struct mp_buf *b, const struct recover_member *m, bool voter, bool promote)
{
	mp_put_map(b, 3 + (m->name[0] != '\0') + (m->zone[0] != '\0') +
			  (m->priority != 0) + promote);
	mp_put_kv_u64(b, "id", m->id);
	mp_put_kv_u64(b, "voter", voter);
	mp_put_kv_str(b, "address", m->address);
	if (m->name[0] != '\0')
		mp_put_kv_str(b, "name", m->name);
	if (m->zone[0] != '\0')
		mp_put_kv_str(b, "zone", m->zone);
	if (m->priority != 0)
		mp_put_kv_u64(b, "priority", m->priority);
	if (promote)
		mp_put_kv_bool(b, "promote", true);
}

static int
compare_ids(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

struct removed {
	uint64_t id[4 * RECOVER_REMOVED_MAX];
	unsigned count;
	uint64_t floor;
};

static void
removed_add(struct removed *r, const struct recover_plan *p, uint64_t id)
{
	if (id == 0 || id <= r->floor || member_of(p, id) != NULL)
		return;
	for (unsigned i = 0; i < r->count; i++)
		if (r->id[i] == id)
			return;
	if (r->count < sizeof(r->id) / sizeof(r->id[0]))
		r->id[r->count++] = id;
}

/* Whoever was a member, as the plan and the log have it, and is none now. */
static void
removed_collect(
    struct removed *r, const struct recover_plan *p, const json_t *config)
{
	const json_t *list = json_object_get(config, "removed"), *j;
	size_t i;

	memset(r, 0, sizeof(*r));
	r->floor = (uint64_t)json_integer_value(
	    json_object_get(config, "removed_floor"));
	for (i = 0; i < p->removed_count; i++)
		removed_add(r, p, p->removed[i]);
	json_array_foreach(list, i, j)
	    removed_add(r, p, (uint64_t)json_integer_value(j));
	list = json_object_get(config, "members");
	json_array_foreach(list, i, j) removed_add(
	    r, p, (uint64_t)json_integer_value(json_object_get(j, "id")));
	qsort(r->id, r->count, sizeof(r->id[0]), compare_ids);
	/* So many are named; of those below the floor all are meant. */
	while (r->count > RECOVER_REMOVED_MAX) {
		r->floor = r->id[0];
		r->count--;
		memmove(r->id, r->id + 1, r->count * sizeof(r->id[0]));
	}
}

static void
put_config(struct mp_buf *b, const struct recover_plan *p, const json_t *config)
{
	struct removed r;

	removed_collect(&r, p, config);
	mp_put_map(b, 2 + (r.count > 0) + (r.floor > 0));
	mp_put_kv_bool(b, "joint", false);
	mp_put_str(b, "members");
	mp_put_array(b, p->members);
	for (unsigned i = 0; i < p->members; i++) {
		bool donor = p->member[i].id == p->donor || MUTANT(153);

		put_member(b, &p->member[i], donor, !donor);
	}
	if (r.count > 0) {
		mp_put_str(b, "removed");
		mp_put_array(b, r.count);
		for (unsigned i = 0; i < r.count; i++)
			mp_put_u64(b, r.id[i]);
	}
	if (r.floor > 0)
		mp_put_kv_u64(b, "removed_floor", r.floor);
}

/* One more sealed record behind those that stand in b. */
static void
put_record(struct mp_buf *b, const struct record *r)
{
	size_t size = record_size(r->len);
	uint8_t *p = mp_buf_reserve(b, size);

	if (p == NULL)
		return;
	if (r->len > 0)
		memcpy(p + RECORD_HEADER_LEN, r->payload, r->len);
	record_seal(p, r);
	b->len += size;
}

static void
put_number(struct mp_buf *b, struct record r, uint64_t number)
{
	uint8_t payload[8];

	put_le64(payload, number);
	r.payload = payload;
	r.len = sizeof(payload);
	put_record(b, &r);
}

/* The batch that begins the new cluster. */
static int
put_beginning(struct mp_buf *b, const struct recover_plan *p, uint64_t index,
    const struct facts *f)
{
	const struct group_facts *g = facts_group(f, p->group);
	struct mp_buf config;
	struct record r = {.group = p->group, .term = p->term};

	mp_buf_init(&config);
	put_config(&config, p, g->config);
	if (config.failed) {
		mp_buf_release(&config);
		return -ENOMEM;
	}
	r.kind = RECORD_CONFIG;
	r.index = index;
	r.payload = config.data;
	r.len = (uint32_t)config.len;
	put_record(b, &r);
	mp_buf_release(&config);
	r.index = 0;
	r.kind = RECORD_STATE;
	put_number(b, r, 0);
	r.term = 0;
	r.kind = RECORD_COMMIT;
	put_number(b, r, index);
	/* Directories that come anew under an id are no clones of the old. */
	for (size_t i = 0; i < f->peer_count; i++) {
		uint8_t payload[16 + IDENTITY_ID_LEN] = {0};

		put_le64(payload, f->peer[i]);
		r.kind = RECORD_PEER;
		r.payload = payload;
		r.len = sizeof(payload);
		put_record(b, &r);
	}
	return b->failed ? -ENOMEM : 0;
}

static int
append_beginning(struct disk *disk, const struct recover_plan *p,
    const struct recover_job *job, const struct wal_options *opt,
    struct errtext *et)
{
	struct wal *wal = NULL;
	struct mp_buf b;
	struct iovec iov;
	struct facts f;
	int error = facts_read(disk, &f, et);

	if (error < 0)
		return error;
	mp_buf_init(&b);
	error = put_beginning(&b, p, job->index, &f);
	if (error == 0)
		error = wal_open(disk, opt, NULL, NULL, &wal, NULL, et);
	if (error == 0) {
		iov = (struct iovec){b.data, b.len};
		error = wal_write(wal, &iov, 1);
		if (error == 0)
			error = wal_sync(wal);
		wal_close(wal);
		if (error < 0)
			(void)errtext(et, error, "cannot write the log: %s",
			    strerror(-error));
	}
	mp_buf_release(&b);
	facts_release(&f);
	return error;
}

static int
renew(struct disk *disk, const struct recover_plan *p, const uint8_t *uuid,
    struct errtext *et)
{
	struct identity id;
	int error = identity_read(disk, &id, et);

	if (error < 0)
		return error;
	if (memcmp(id.cluster, p->renewed, IDENTITY_ID_LEN) == 0)
		return 0;
	identity_renew(&id, MUTANT(154) ? p->cluster : p->renewed, p->epoch);
	if (uuid != NULL)
		memcpy(id.uuid, uuid, IDENTITY_ID_LEN);
	return identity_write(disk, &id, et);
}

static int
run_donor(struct disk *disk, const struct recover_plan *p,
    const struct wal_options *opt, struct recover_job *job, struct errtext *et)
{
	int error = keep_begin(disk, p, job);

	if (error == 0)
		error = keep_log_end(disk, job);
	if (error < 0)
		return errtext(et, error, "cannot fill '%s': %s",
		    job->quarantine, strerror(-error));
	if (!MUTANT(155))
		error = renew(disk, p, NULL, et);
	if (error == 0)
		error = append_beginning(disk, p, job, opt, et);
	if (error == 0 && MUTANT(155))
		error = renew(disk, p, NULL, et);
	return error;
}

/* ---- another member ---------------------------------------------------- */

struct names {
	char (*name)[FILE_NAME_LEN];
	size_t count, cap;
};

static int
name_add(void *arg, const char *name)
{
	struct names *n = arg;
	char(*more)[FILE_NAME_LEN];

	if (strlen(name) >= FILE_NAME_LEN || n->count == FILES_MAX)
		return -ENAMETOOLONG;
	if (n->count == n->cap) {
		n->cap = n->cap == 0 ? 64 : n->cap * 2;
		more = reallocarray(n->name, n->cap, FILE_NAME_LEN);
		if (more == NULL)
			return -ENOMEM;
		n->name = more;
	}
	(void)snprintf(n->name[n->count++], FILE_NAME_LEN, "%s", name);
	return 0;
}

/* Every file of a directory goes to the one of the same name in quarantine,
 * or, with job NULL, for good. */
static int
empty_dir(struct disk *disk, const char *dir, const struct recover_job *job)
{
	const struct disk_ops *ops = disk->ops;
	char to[RECOVER_PATH_LEN], from[2 * FILE_NAME_LEN];
	char path[sizeof(to) + FILE_NAME_LEN];
	struct names n = {0};
	int error = ops->list(disk->ctx, dir, name_add, &n);

	if (error == -ENOENT)
		return 0;
	if (error == 0 && job != NULL) {
		error = inside(job, dir, to, sizeof(to));
		if (error == 0)
			error = make_dir(disk, to, job->quarantine);
	}
	for (size_t i = 0; i < n.count && error == 0; i++) {
		(void)snprintf(from, sizeof(from), "%s/%s", dir, n.name[i]);
		if (job == NULL) {
			error = ops->unlink(disk->ctx, from);
			continue;
		}
		(void)snprintf(path, sizeof(path), "%s/%s", to, n.name[i]);
		error = ops->rename(disk->ctx, from, path);
	}
	free(n.name);
	if (error == 0 && job != NULL)
		error = ops->sync_dir(disk->ctx, to);
	return error == 0 ? ops->sync_dir(disk->ctx, dir) : error;
}

/* Once all of it is away whatever stands there is ours, and half done. */
static int
move_away(struct disk *disk, const struct recover_job *job)
{
	char path[RECOVER_PATH_LEN + FILE_NAME_LEN];
	struct disk_file *f;
	int error = inside(job, MOVED, path, sizeof(path));

	if (error < 0)
		return error;
	if (disk->ops->open(disk->ctx, path, DISK_READ, &f) == 0) {
		disk->ops->close(disk->ctx, f);
		return empty_dir(disk, "wal", NULL);
	}
	error = empty_dir(disk, "wal", MUTANT(156) ? NULL : job);
	if (error == 0)
		error = empty_dir(disk, "snap", job);
	return error == 0 ? disk_replace(disk, path, "", 0) : error;
}

/* A log that says that nothing was there: an empty one would be lost. */
static int
begin_empty(struct disk *disk, const struct recover_plan *p,
    const struct wal_options *opt, struct errtext *et)
{
	struct record r = {.group = p->group, .kind = RECORD_STATE};
	struct wal *wal = NULL;
	struct mp_buf b;
	struct iovec iov;
	int error;

	mp_buf_init(&b);
	put_number(&b, r, 0);
	error = b.failed ? -ENOMEM
			 : wal_open(disk, opt, NULL, NULL, &wal, NULL, et);
	if (error == 0) {
		iov = (struct iovec){b.data, b.len};
		error = wal_write(wal, &iov, 1);
		if (error == 0)
			error = wal_sync(wal);
		wal_close(wal);
	}
	mp_buf_release(&b);
	return error;
}

static int
run_member(struct disk *disk, const struct recover_plan *p,
    const struct wal_options *opt, const uint8_t *uuid, struct recover_job *job,
    struct errtext *et)
{
	int error = keep_begin(disk, p, job);

	if (error == 0)
		error = move_away(disk, job);
	if (error < 0)
		return errtext(et, error, "cannot move all to '%s': %s",
		    job->quarantine, strerror(-error));
	error = begin_empty(disk, p, opt, et);
	return error == 0 ? renew(disk, p, uuid, et) : error;
}

int
recover_run(struct disk *disk, const struct recover_plan *p,
    const struct wal_options *options, const uint8_t uuid[IDENTITY_ID_LEN],
    struct recover_job *job, struct errtext *et)
{
	struct wal_options opt = *options;
	int error = recover_judge(disk, p, job, et);

	if (error < 0 || job->done)
		return error;
	opt.server_id = job->id;
	opt.read_only = false;
	error = job->role == RECOVER_DONOR
		    ? run_donor(disk, p, &opt, job, et)
		    : run_member(disk, p, &opt, uuid, job, et);
	job->done = error == 0;
	return error;
}
