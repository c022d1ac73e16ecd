/*
 * test_scrub.c - a round over log and snapshots on a disk in memory: what it
 * finds, what it keeps to itself, when it ends.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/now.h"
#include "raftd/scrub.h"
#include "tests/crash/logmodel.h"

static struct memdisk *mem;
static struct disk disk;
static struct wal *wal;
static struct scrub_limit limit;
static struct scrub_result result;

static void
setup(void)
{
	const struct wal_options opt = {
	    .segment_size = WAL_SEGMENT_SIZE_MIN, .server_id = 1};
	struct wal_report report;
	struct errtext et = {""};
	static uint8_t buf[8192];

	mem = mem_new();
	disk = mem_disk(mem);
	memset(&limit, 0, sizeof(limit));
	ck_assert_int_eq(
	    wal_open(&disk, &opt, NULL, NULL, &wal, &report, &et), 0);
	for (uint64_t i = 1; i <= 30; i++) {
		struct iovec iov = {buf,
		    model_record(buf, 1, RECORD_COMMAND, i, 1, 3000, i + 1)};

		ck_assert_int_eq(wal_write(wal, &iov, 1), 0);
		ck_assert_int_eq(wal_sync(wal), 0);
	}
}

static void
teardown(void)
{
	wal_close(wal);
	mem_free(mem);
}

static void
flip(const char *path, uint64_t offset)
{
	const struct mem_name *n = mem_find(mem, path);

	ck_assert_ptr_nonnull(n);
	mem->file[n->file].data[offset] ^= 1;
}

START_TEST(test_whole_log_is_whole)
{
	scrub_round(&disk, 1, &limit, &result);
	ck_assert_int_eq(result.error, 0);
	ck_assert(!result.log_damaged);
	ck_assert_uint_eq(result.snapshots, 0);
	ck_assert_uint_gt(result.bytes, 90000);
}
END_TEST

START_TEST(test_rot_is_found)
{
	flip("wal/0000000000000001.wal", 4096 + 600);
	scrub_round(&disk, 1, &limit, &result);
	ck_assert_int_eq(result.error, 0);
	ck_assert(result.log_damaged);
	ck_assert_str_eq(result.problem.file, "wal/0000000000000001.wal");
	ck_assert_uint_eq(result.problem.offset, 4096);
}
END_TEST

/* The last write, not yet finished: nobody's fault. */
START_TEST(test_torn_end_is_no_finding)
{
	uint64_t at;

	/* The last batch, each being of one block. */
	at = 4096;
	for (const struct mem_name *n =
		 mem_find(mem, "wal/0000000000000002.wal");
	     memcmp(mem->file[n->file].data + at, "RAWB", 4) == 0; at += 4096)
		;
	at -= 4096;
	memset(mem->file[mem_find(mem, "wal/0000000000000002.wal")->file].data +
		   at,
	    0, 512);
	scrub_round(&disk, 1, &limit, &result);
	ck_assert_int_eq(result.error, 0);
	ck_assert(!result.log_damaged);
}
END_TEST

static bool
always(void *ctx)
{
	(void)ctx;
	return true;
}

/* Whoever stops the server does not wait, nor is that a finding. */
START_TEST(test_stop_ends_it)
{
	limit.stopped = always;
	flip("wal/0000000000000001.wal", 4096 + 600);
	scrub_round(&disk, 1, &limit, &result);
	ck_assert(!result.log_damaged);
	ck_assert_uint_eq(result.snapshots, 0);
}
END_TEST

START_TEST(test_rate_is_kept)
{
	uint64_t from = now().mono_ns;

	limit.rate = 1000000;
	scrub_round(&disk, 1, &limit, &result);
	/* The last piece is not waited for. */
	ck_assert_uint_gt(result.bytes, 100000);
	ck_assert_uint_ge(now().mono_ns - from, 30 * UINT64_C(1000000));
}
END_TEST

/* raftwal: what is written after a roll stands in another segment. */
START_TEST(test_roll_leaves_the_segment)
{
	struct wal_stat a, b;

	wal_stat(wal, &a);
	ck_assert_int_eq(wal_roll(wal), 0);
	wal_stat(wal, &b);
	ck_assert_uint_eq(b.segments, a.segments + 1);
	/* An empty one will do. */
	ck_assert_int_eq(wal_roll(wal), 0);
	wal_stat(wal, &b);
	ck_assert_uint_eq(b.segments, a.segments + 1);
	scrub_round(&disk, 1, &limit, &result);
	ck_assert(!result.log_damaged);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("scrub");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_whole_log_is_whole);
	tcase_add_test(t, test_rot_is_found);
	tcase_add_test(t, test_torn_end_is_no_finding);
	tcase_add_test(t, test_stop_ends_it);
	tcase_add_test(t, test_rate_is_kept);
	tcase_add_test(t, test_roll_leaves_the_segment);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
