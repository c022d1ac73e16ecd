/*
 * test_store.c - jobs of the host against the log: what is durable, what
 * fails, what is read.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "raftd/store.h"
#include "tests/crash/logmodel.h"

#define JOBS 4

static struct memdisk *mem;
static struct disk disk;
static struct wal *wal;
static struct store_job job[JOBS];
static struct store_job *jobs[JOBS];
static uint8_t bytes[JOBS][2][512];

static void
setup(void)
{
	const struct wal_options opt = {
	    .segment_size = WAL_SEGMENT_SIZE_MIN, .server_id = 1};
	struct wal_report report;
	struct errtext et = {""};

	mem = mem_new();
	disk = mem_disk(mem);
	ck_assert_int_eq(
	    wal_open(&disk, &opt, NULL, NULL, &wal, &report, &et), 0);
	memset(job, 0, sizeof(job));
	for (int i = 0; i < JOBS; i++)
		jobs[i] = &job[i];
}

static void
teardown(void)
{
	wal_close(wal);
	mem_free(mem);
}

/* Job i writes two entries, from index on, in two pieces. */
static void
write_job(int i, uint64_t index)
{
	job[i].kind = STORE_WRITE;
	job[i].error = 1;
	for (int k = 0; k < 2; k++) {
		job[i].iov[k].iov_base = bytes[i][k];
		job[i].iov[k].iov_len = model_record(bytes[i][k], 1,
		    RECORD_COMMAND, index + (uint64_t)k, 1, 100, index);
		job[i].bytes += job[i].iov[k].iov_len;
	}
	job[i].iovcnt = 2;
}

START_TEST(test_writes_share_a_batch_and_a_sync)
{
	struct wal_stat st;

	for (int i = 0; i < JOBS; i++)
		write_job(i, 1 + 2 * (uint64_t)i);
	store_run(wal, jobs, JOBS);
	for (int i = 0; i < JOBS; i++)
		ck_assert_int_eq(job[i].error, 0);
	wal_stat(wal, &st);
	ck_assert_uint_eq(st.batches, 1);
	ck_assert_uint_eq(st.syncs, 1);
	ck_assert_uint_eq(st.records, 2 * JOBS);
}
END_TEST

START_TEST(test_read_sees_the_writes_before_it)
{
	struct blob *out = malloc(sizeof(*out) + 4096);

	ck_assert_ptr_nonnull(out);
	out->cap = 4096;
	write_job(0, 1);
	job[1].kind = STORE_READ;
	job[1].group = 1;
	job[1].from = 2;
	job[1].to = 9;
	job[1].out = out;
	write_job(2, 3);
	store_run(wal, jobs, 3);
	ck_assert_int_eq(job[1].error, 0);
	ck_assert_uint_eq(job[1].last, 2);
	ck_assert_uint_eq(out->len, record_size(100));
	ck_assert_int_eq(job[2].error, 0);
	/* Not there: an error and no bytes. */
	job[1].from = 50;
	store_run(wal, jobs + 1, 1);
	ck_assert_int_eq(job[1].error, -ENOENT);
	ck_assert_uint_eq(out->len, 0);
	free(out);
}
END_TEST

START_TEST(test_failed_sync_fails_all_writes)
{
	for (int i = 0; i < JOBS; i++)
		write_job(i, 1 + 2 * (uint64_t)i);
	mem->fail_sync = -EIO;
	store_run(wal, jobs, JOBS);
	for (int i = 0; i < JOBS; i++)
		ck_assert_int_eq(job[i].error, -EIO);
}
END_TEST

/* raft-bugs 67: what is refused is not lost, and nothing overtakes it. */
START_TEST(test_refused_writes_wait_their_turn)
{
	struct store_job retry = {.kind = STORE_RETRY}, *r = &retry;
	int refused = 0;
	uint64_t i = 1;

	mem->space_left = 0;
	while (refused == 0) {
		for (int k = 0; k < JOBS; k++)
			write_job(k, i + 2 * (uint64_t)k);
		store_run(wal, jobs, 1);
		store_run(wal, jobs + 1, JOBS - 1);
		for (int k = 0; k < JOBS; k++) {
			ck_assert(job[k].error == 0 || job[k].error == -ENOSPC);
			/* From the first one on, all. */
			ck_assert(refused == 0 || job[k].error != 0);
			refused += job[k].error != 0;
			i += job[k].error == 0 ? 2 : 0;
		}
	}
	ck_assert(job[JOBS - 1].is_short);
	store_run(wal, &r, 1);
	ck_assert_int_eq(retry.error, -ENOSPC);
	mem->space_left = UINT64_MAX;
	store_run(wal, jobs + JOBS - 1, 1);
	ck_assert_int_eq(job[JOBS - 1].error, -ENOSPC);
	store_run(wal, &r, 1);
	ck_assert_int_eq(retry.error, 0);
	for (int k = JOBS - refused; k < JOBS; k++) {
		store_run(wal, jobs + k, 1);
		ck_assert_int_eq(job[k].error, 0);
		ck_assert(!job[k].is_short);
	}
}
END_TEST

START_TEST(test_failed_write_fails_those_before_it_too)
{
	struct blob *out = malloc(sizeof(*out) + 4096);

	ck_assert_ptr_nonnull(out);
	out->cap = 4096;
	write_job(0, 1);
	job[1].kind = STORE_READ;
	job[1].group = 1;
	job[1].from = 1;
	job[1].to = 1;
	job[1].out = out;
	write_job(2, 9); /* leaves a gap: refused */
	store_run(wal, jobs, 3);
	ck_assert_int_eq(job[0].error, -EINVAL);
	ck_assert_int_eq(job[2].error, -EINVAL);
	free(out);
}
END_TEST

START_TEST(test_large_files_go_in_steps)
{
	struct disk_file *f;
	uint64_t size;

	ck_assert_int_eq(mem_open(mem, "old", DISK_WRITE | DISK_CREATE, &f), 0);
	ck_assert_int_eq(
	    disk.ops->truncate(disk.ctx, f, STORE_DROP_MAX + 5), 0);
	mem_close(mem, f);
	job[0].kind = STORE_SNAP_DROP;
	job[0].disk = &disk;
	(void)snprintf(job[0].path, sizeof(job[0].path), "old");
	store_run(wal, jobs, 1);
	ck_assert_int_eq(job[0].error, 0);
	ck_assert_uint_eq(job[0].last, 5);
	ck_assert_int_eq(mem_open(mem, "old", DISK_READ, &f), 0);
	ck_assert_int_eq(disk.ops->size(disk.ctx, f, &size), 0);
	ck_assert_uint_eq(size, 5);
	mem_close(mem, f);
	/* The last one takes the name away, and one more finds nothing. */
	for (int i = 0; i < 2; i++) {
		store_run(wal, jobs, 1);
		ck_assert_int_eq(job[0].error, 0);
		ck_assert_uint_eq(job[0].last, 0);
		ck_assert_int_eq(mem_open(mem, "old", DISK_READ, &f), -ENOENT);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("store");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_writes_share_a_batch_and_a_sync);
	tcase_add_test(t, test_read_sees_the_writes_before_it);
	tcase_add_test(t, test_failed_sync_fails_all_writes);
	tcase_add_test(t, test_refused_writes_wait_their_turn);
	tcase_add_test(t, test_failed_write_fails_those_before_it_too);
	tcase_add_test(t, test_large_files_go_in_steps);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
