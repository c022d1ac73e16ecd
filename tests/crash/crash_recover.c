/*
 * crash_recover.c - raftwal recover on a disk that crashes: before its last
 * step a directory is what it was, or starts nowhere, or leads nobody; the
 * same call goes on from there; and what was replaced is in quarantine.
 *
 *	crash_recover [SAMPLES]
 */
#include <inttypes.h>

#include "raftctl/mp.h"
#include "raftwal/bytes.h"
#include "raftwal/facts.h"
#include "raftwal/recover.h"
#include "tests/crash/memdisk.h"

#define LAST 40
#define LAST_TERM 3
#define TERM 9
#define SEGMENT1 "wal/0000000000000001.wal"
#define KEPT "quarantine/recover-1/"

static uint64_t states, again;
static struct recover_plan plan;
static const char plan_text[] =
    "{\"format\":1,\"cluster\":\"0101010101010101010101010101010101\"}";
static const struct wal_options options = {
    .segment_size = WAL_SEGMENT_SIZE_MIN, .server_id = 1, .nonce = 77};
static const uint8_t uuid[IDENTITY_ID_LEN] = {9, 9, 9};

static _Noreturn void
fail(size_t at, unsigned variant, const char *why)
{
	fprintf(
	    stderr, "crash_recover: op %zu variant %u: %s\n", at, variant, why);
	exit(1);
}

static size_t
put(uint8_t *buf, struct record r, const void *payload)
{
	r.group = 1;
	if (r.len > 0)
		memcpy(buf + RECORD_HEADER_LEN, payload, r.len);
	record_seal(buf, &r);
	return record_size(r.len);
}

static size_t
put_config(uint8_t *buf)
{
	struct record r = {.kind = RECORD_CONFIG, .index = 1, .term = 1};
	struct mp_buf b;
	size_t len;

	mp_buf_init(&b);
	mp_put_map(&b, 2);
	mp_put_kv_bool(&b, "joint", false);
	mp_put_str(&b, "members");
	mp_put_array(&b, 3);
	for (unsigned i = 1; i <= 3; i++) {
		mp_put_map(&b, 3);
		mp_put_kv_u64(&b, "id", i);
		mp_put_kv_u64(&b, "voter", 1);
		mp_put_kv_str(&b, "address", "x");
	}
	r.len = (uint32_t)b.len;
	len = put(buf, r, b.data);
	mp_buf_release(&b);
	return len;
}

/* A server with a log, a snapshot's file and an identity. */
static struct memdisk *
make(uint64_t id)
{
	struct identity who = {.id = id, .format = IDENTITY_FORMAT, .boot = 4};
	struct memdisk *m = mem_new();
	struct disk disk = mem_disk(m);
	struct errtext et = {""};
	uint8_t buf[16384], eight[32] = {2};
	struct disk_file *f;
	struct iovec iov = {buf, 0};
	struct wal *wal;

	m->recording = true;
	if (wal_open(&disk, &options, NULL, NULL, &wal, NULL, &et) != 0)
		fail(0, 0, et.text);
	iov.iov_len = put_config(buf);
	for (uint64_t i = 2; i <= LAST; i++)
		iov.iov_len += put(buf + iov.iov_len,
		    (struct record){.kind = RECORD_NOOP,
			.index = i,
			.term = i < 20 ? 1 : LAST_TERM},
		    "");
	iov.iov_len += put(buf + iov.iov_len,
	    (struct record){.kind = RECORD_STATE, .term = 5, .len = 8}, eight);
	eight[8] = 3;
	iov.iov_len += put(buf + iov.iov_len,
	    (struct record){.kind = RECORD_PEER, .len = 32}, eight);
	if (wal_write(wal, &iov, 1) != 0 || wal_sync(wal) != 0)
		fail(0, 0, "cannot write the log");
	wal_close(wal);
	memset(who.cluster, 1, sizeof(who.cluster));
	memset(who.uuid, 2, sizeof(who.uuid));
	if (mem_mkdir(m, "snap") != 0 || mem_sync_dir(m, ".") != 0 ||
	    mem_open(m, "snap/1-1-9.snap", DISK_WRITE | DISK_CREATE, &f) != 0 ||
	    mem_write(m, f, "old", 3, 0) != 0 || mem_sync(m, f) != 0 ||
	    mem_sync_dir(m, "snap") != 0)
		fail(0, 0, "cannot write a snapshot");
	mem_close(m, f);
	if (identity_write(&disk, &who, &et) != 0)
		fail(0, 0, et.text);
	return m;
}

static bool
same_file(
    struct memdisk *a, const char *pa, const struct memdisk *b, unsigned file)
{
	const struct mem_name *n = mem_find(a, pa);

	return n != NULL && a->file[n->file].size == b->file[file].size &&
	       memcmp(a->file[n->file].data, b->file[file].data,
		   b->file[file].size) == 0;
}

static bool
is_old(const struct identity *id)
{
	return id->cluster[0] == 1 && id->epoch == 0;
}

/* What a crash left, before anything is done about it. */
static void
judge_crash(struct memdisk *m, const struct memdisk *before, bool donor,
    size_t at, unsigned v)
{
	struct disk disk = mem_disk(m);
	struct errtext et = {""};
	struct identity id;
	struct facts f;
	const struct group_facts *g;
	unsigned wal =
	    mem_find((struct memdisk *)(uintptr_t)before, SEGMENT1)->file;
	int error;

	if (identity_read(&disk, &id, &et) != 0)
		fail(at, v, et.text);
	if (!donor) {
		if (!same_file(m, SEGMENT1, before, wal) &&
		    !same_file(m, KEPT SEGMENT1, before, wal))
			fail(at, v, "the old log is nowhere");
		if (!is_old(&id) && !same_file(m, KEPT SEGMENT1, before, wal))
			fail(at, v, "renewed before the old log was kept");
	}
	error = facts_read(&disk, &f, &et);
	g = error == 0 ? facts_group(&f, 1) : NULL;
	if (!donor && is_old(&id) && g != NULL && g->log.last != LAST &&
	    g->log.last != 0)
		fail(at, v, "a member with a part of its log");
	if (donor && (g == NULL || g->log.last < LAST))
		fail(at, v, "the donor lost entries");
	if (donor && is_old(&id) && g->log.last != LAST)
		fail(at, v, "new members under the old cluster id");
	if (error == 0)
		facts_release(&f);
}

/* All is done: what must be there. */
static void
judge_end(struct memdisk *m, const struct memdisk *before, bool donor,
    size_t at, unsigned v)
{
	struct memdisk *old = (struct memdisk *)(uintptr_t)before;
	struct disk disk = mem_disk(m);
	const json_t *member;
	const struct group_facts *g;
	struct errtext et = {""};
	struct identity id;
	struct facts f;

	if (facts_read(&disk, &f, &et) != 0)
		fail(at, v, et.text);
	id = f.identity;
	g = facts_group(&f, 1);
	if (id.epoch != 1 || id.cluster[0] != 7 || id.former_count != 1 ||
	    f.report.damaged != 0)
		fail(at, v, "not renewed");
	if (!same_file(
		m, KEPT "identity", before, mem_find(old, "identity")->file))
		fail(at, v, "the identity was not kept");
	if (!donor) {
		if (f.report.records != 1 || g == NULL || g->log.last != 0 ||
		    id.uuid[0] != 9)
			fail(at, v, "the member is not empty");
		if (!same_file(m, KEPT SEGMENT1, before,
			mem_find(old, SEGMENT1)->file) ||
		    mem_find(m, KEPT "snap/1-1-9.snap") == NULL)
			fail(at, v, "the member's state was not kept");
		facts_release(&f);
		return;
	}
	if (mem_find(m, KEPT "0000000000000001.wal") == NULL)
		fail(at, v, "the end of the log was not kept");
	if (g == NULL || g->log.last != LAST + 1 || g->last_term != TERM ||
	    g->log.term != TERM || g->log.vote != 0 || g->commit != LAST + 1 ||
	    g->config_index != LAST + 1)
		fail(at, v, "the log does not begin the new cluster");
	member = json_array_get(json_object_get(g->config, "members"), 0);
	if (json_array_size(json_object_get(g->config, "members")) != 2 ||
	    json_integer_value(json_object_get(member, "voter")) != 1 ||
	    json_integer_value(json_object_get(
		json_array_get(json_object_get(g->config, "members"), 1),
		"voter")) != 0 ||
	    json_integer_value(
		json_array_get(json_object_get(g->config, "removed"), 0)) != 3)
		fail(at, v, "not the members of the plan");
	facts_release(&f);
}

static void
go_on(struct memdisk *m, const struct memdisk *before, bool donor, size_t at,
    unsigned v)
{
	struct disk disk = mem_disk(m);
	struct recover_job job;
	struct errtext et = {""};
	size_t ops;

	m->recording = true;
	if (recover_run(&disk, &plan, &options, uuid, &job, &et) != 0)
		fail(at, v, et.text);
	judge_end(m, before, donor, at, v);
	ops = m->ops;
	if (recover_run(&disk, &plan, &options, uuid, &job, &et) != 0 ||
	    !job.done || m->ops != ops)
		fail(at, v, "done, and yet something is done");
	again++;
}

static void
crashes(bool donor, unsigned samples)
{
	struct memdisk *m = make(donor ? 1 : 2), *before = mem_clone(m);
	struct disk disk = mem_disk(m);
	size_t begin = m->ops;
	struct mem_world world;
	struct recover_job job;
	struct errtext et = {""};

	if (recover_run(&disk, &plan, &options, uuid, &job, &et) != 0)
		fail(0, 0, et.text);
	judge_end(m, before, donor, m->ops, 0);
	mem_world_init(&world, m);
	for (;; mem_world_step(&world)) {
		for (unsigned v = 0; world.at >= begin && v <= samples; v++) {
			struct memdisk *c =
			    mem_world_crash(&world, v, v * 256 / samples);

			states++;
			judge_crash(c, before, donor, world.at, v);
			go_on(c, before, donor, world.at, v);
			mem_free(c);
		}
		if (world.at == m->ops)
			break;
	}
	mem_world_release(&world);
	mem_free(before);
	mem_free(m);
}

/* A plan that is not for this directory, as changed by whoever calls. */
static void
refused(struct memdisk *m, const struct recover_plan *p, const char *what)
{
	struct disk disk = mem_disk(m);
	struct recover_job job;
	struct errtext et = {""};
	size_t ops = m->ops;

	if (recover_run(&disk, p, &options, uuid, &job, &et) != -EBADMSG ||
	    et.text[0] == '\0' || m->ops != ops)
		fail(0, 0, what);
}

static void
refusals(void)
{
	struct memdisk *donor = make(1), *member = make(2), *third = make(3);
	struct recover_plan p = plan;

	p.donor_last_term--;
	refused(donor, &p, "another term at the end of the log");
	p = plan;
	p.donor_last--;
	refused(donor, &p, "another end of the log");
	p = plan;
	p.donor_uuid[3]++;
	refused(donor, &p, "another directory");
	p = plan;
	p.term = 5;
	refused(donor, &p, "a term that is in use");
	p = plan;
	p.cluster[3]++;
	refused(donor, &p, "another cluster");
	refused(member, &p, "another cluster, of a member");
	refused(third, &plan, "a server that is not in the plan");
	mem_free(donor);
	mem_free(member);
	mem_free(third);
}

int
main(int argc, char **argv)
{
	unsigned samples = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 6;

	memset(plan.cluster, 1, sizeof(plan.cluster));
	memset(plan.renewed, 7, sizeof(plan.renewed));
	memset(plan.donor_uuid, 2, sizeof(plan.donor_uuid));
	plan.has_uuid = true;
	plan.epoch = 1;
	plan.term = TERM;
	plan.group = 1;
	plan.donor = 1;
	plan.donor_last = LAST;
	plan.donor_last_term = LAST_TERM;
	plan.members = 2;
	plan.member[0] = (struct recover_member){.id = 1, .address = "x"};
	plan.member[1] = (struct recover_member){.id = 2, .address = "y"};
	plan.text = plan_text;
	plan.len = sizeof(plan_text) - 1;
	refusals();
	crashes(true, samples == 0 ? 1 : samples);
	crashes(false, samples == 0 ? 1 : samples);
	printf("crash_recover: %" PRIu64 " crash states, %" PRIu64
	       " went on to the end\n",
	    states, again);
	return 0;
}
