/*
 * test_golden.c - files of this version of the formats, kept as bytes, are
 * read; files of a later version are refused, and it is said why.
 *
 * tests/unit/golden was written by flip_all --golden; identity-recovered is
 * its identity after raftwal recover.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/fsm/kv.h"
#include "raftsnap/snap.h"
#include "raftwal/bytes.h"
#include "raftwal/crc32c.h"
#include "raftwal/facts.h"
#include "raftwal/recover.h"
#include "tests/crash/memdisk.h"

#define GOLDEN "tests/unit/golden/"
#define SEGMENT "wal/0000000000000001.wal"
#define SNAP "snap/1-2-6.snap"
#define FILE_MAX (1u << 20)

static struct memdisk *m;
static struct disk disk;
static struct errtext et;

/* The file of the tree, as `name` of the disk in memory. */
static void
load(const char *from, const char *name)
{
	static uint8_t buf[FILE_MAX];
	struct disk_file *f;
	char path[128];
	size_t len;
	FILE *in;

	(void)snprintf(path, sizeof(path), GOLDEN "%s", from);
	in = fopen(path, "rb");
	ck_assert_msg(in != NULL, "%s: run from the top of the tree", path);
	len = fread(buf, 1, sizeof(buf), in);
	(void)fclose(in);
	ck_assert_int_eq(mem_open(m, name, DISK_WRITE | DISK_CREATE, &f), 0);
	ck_assert_int_eq(mem_write(m, f, buf, len, 0), 0);
	mem_close(m, f);
}

static uint8_t *
bytes(const char *name)
{
	return m->file[mem_find(m, name)->file].data;
}

static void
setup(void)
{
	m = mem_new();
	disk = mem_disk(m);
	et.text[0] = '\0';
	ck_assert_int_eq(mem_mkdir(m, "wal"), 0);
	ck_assert_int_eq(mem_mkdir(m, "snap"), 0);
	load("identity", "identity");
	load(SEGMENT, SEGMENT);
	load(SNAP, SNAP);
}

static void
teardown(void)
{
	mem_free(m);
}

START_TEST(test_log_is_read)
{
	const struct group_facts *g;
	struct facts f;

	ck_assert_int_eq(facts_read(&disk, &f, &et), 0);
	ck_assert_uint_eq(f.report.damaged, 0);
	ck_assert_uint_eq(f.report.torn_bytes, 0);
	ck_assert_uint_eq(f.report.records, 20);
	g = facts_group(&f, 1);
	ck_assert_ptr_nonnull(g);
	ck_assert_uint_eq(g->log.first, 7);
	ck_assert_uint_eq(g->log.last, 8);
	ck_assert_uint_eq(g->log.term, 2);
	ck_assert_uint_eq(g->log.vote, 1);
	ck_assert_uint_eq(g->last_term, 2);
	ck_assert_uint_eq(g->commit, 7);
	ck_assert_uint_eq(g->config_index, 1);
	ck_assert_uint_eq(
	    json_array_size(json_object_get(g->config, "members")), 1);
	facts_release(&f);
}
END_TEST

START_TEST(test_identity_is_read)
{
	static const uint8_t cluster[IDENTITY_ID_LEN] = {0x3d, 0xe3, 0xd9, 0x89,
	    0x72, 0x0a, 0x20, 0x5c, 0x5b, 0xf5, 0xd2, 0xa4, 0x8c, 0x58, 0xcc,
	    0x23};
	struct identity id;

	ck_assert_int_eq(identity_read(&disk, &id, &et), 0);
	ck_assert_mem_eq(id.cluster, cluster, sizeof(cluster));
	ck_assert_uint_eq(id.id, 1);
	ck_assert_uint_eq(id.boot, 1);
	ck_assert_uint_eq(id.format, 1);
	ck_assert_uint_eq(id.epoch, 0);
	load("identity-recovered", "identity-recovered");
	ck_assert_int_eq(mem_rename(m, "identity-recovered", "identity"), 0);
	ck_assert_int_eq(identity_read(&disk, &id, &et), 0);
	ck_assert_uint_eq(id.cluster[1], 0x11);
	ck_assert_uint_eq(id.id, 1);
	ck_assert_uint_eq(id.format, 2);
	ck_assert_uint_eq(id.epoch, 1);
	ck_assert(identity_was(&id, cluster));
}
END_TEST

static int
use(void *ctx, struct snap_reader *r)
{
	return kv_ops.load(ctx, snap_read, r);
}

START_TEST(test_snapshot_is_read)
{
	struct fsm *f = kv_ops.new(1);
	struct fsm_digest digest;
	struct snap_meta meta;
	struct snap_sum sum;
	uint8_t hash[16];

	ck_assert_int_eq(snap_load(&disk, SNAP, use, f, &meta, &sum, &et), 0);
	ck_assert_uint_eq(meta.index, 6);
	ck_assert_uint_eq(meta.term, 2);
	ck_assert_uint_eq(meta.config_index, 1);
	ck_assert_uint_eq(meta.rev, 4);
	ck_assert_uint_eq(kv_ops.rev(f), 4);
	/* It holds what it was written from. */
	digest = kv_ops.digest(f);
	for (int i = 0; i < 8; i++) {
		hash[i] = (uint8_t)(digest.hi >> (56 - 8 * i));
		hash[8 + i] = (uint8_t)(digest.lo >> (56 - 8 * i));
	}
	ck_assert_mem_eq(hash, meta.digest, sizeof(hash));
	kv_ops.free(f);
}
END_TEST

/* ---- a later version --------------------------------------------------- */

static void
must_say_format(void)
{
	ck_assert_msg(strstr(et.text, "format") != NULL, "'%s'", et.text);
}

START_TEST(test_newer_log_is_refused)
{
	const struct wal_options opt = {.read_only = false};
	struct wal_report report;
	struct wal *wal;

	for (int i = 0; i < 2; i++) {
		uint8_t *p = bytes(SEGMENT) + i * (4096 - 512);

		put_le32(p + 8, 2);
		put_le32(p + 508, crc32c(0, p, 508));
	}
	ck_assert_int_lt(wal_check(&disk, NULL, NULL, &report, &et), 0);
	must_say_format();
	ck_assert_int_eq(
	    wal_open(&disk, &opt, NULL, NULL, &wal, NULL, &et), -EBADMSG);
	must_say_format();
}
END_TEST

START_TEST(test_newer_identity_is_refused)
{
	struct identity id;

	for (int i = 0; i < 2; i++) {
		uint8_t *p = bytes("identity") + i * IDENTITY_BLOCK_LEN;

		put_le32(p + 12, IDENTITY_FORMAT_MAX + 1);
		put_le32(p + 8, crc32c(0, p + 12, IDENTITY_BLOCK_LEN - 12));
	}
	ck_assert_int_eq(identity_read(&disk, &id, &et), -EBADMSG);
	must_say_format();
}
END_TEST

START_TEST(test_newer_snapshot_is_refused)
{
	uint8_t *p = bytes(SNAP);
	uint32_t len = get_le32(p + 12);

	put_le32(p + 8, SNAP_FORMAT + 1);
	put_le32(p + len - 4, crc32c(0, p, len - 4));
	ck_assert_int_eq(
	    snap_load(&disk, SNAP, NULL, NULL, NULL, NULL, &et), -EPROTO);
	must_say_format();
}
END_TEST

START_TEST(test_newer_plan_is_refused)
{
	static const char text[] = "{\"format\":2}";
	struct recover_plan p;

	ck_assert_int_eq(
	    recover_plan_read(text, sizeof(text) - 1, &p, &et), -EBADMSG);
	must_say_format();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("golden");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_log_is_read);
	tcase_add_test(t, test_identity_is_read);
	tcase_add_test(t, test_snapshot_is_read);
	tcase_add_test(t, test_newer_log_is_refused);
	tcase_add_test(t, test_newer_identity_is_refused);
	tcase_add_test(t, test_newer_snapshot_is_refused);
	tcase_add_test(t, test_newer_plan_is_refused);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
