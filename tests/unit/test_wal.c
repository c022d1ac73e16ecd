/*
 * test_wal.c - the log on a disk in memory: what is written is read back,
 * what fails stays failed, and the bytes are those of raftwal(5).
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftwal/crc32c.h"
#include "raftwal/format.h"
#include "tests/crash/logmodel.h"

#define SEEN_LEN 512

static struct memdisk *mem;
static struct disk disk;
static struct wal *wal;
static struct wal_report report;
static uint8_t buf[512 * 1024];

static void
open_with(wal_replay_cb cb, void *ctx)
{
	const struct wal_options opt = {
	    .segment_size = WAL_SEGMENT_SIZE_MIN, .server_id = 1};
	struct errtext et = {""};

	ck_assert_msg(wal_open(&disk, &opt, cb, ctx, &wal, &report, &et) == 0,
	    "%s", et.text);
}

static void
setup(void)
{
	mem = mem_new();
	disk = mem_disk(mem);
	open_with(NULL, NULL);
}

static void
teardown(void)
{
	wal_close(wal);
	mem_free(mem);
}

static int
put(uint32_t group, enum record_kind kind, uint64_t index, uint64_t term,
    uint32_t len)
{
	struct iovec iov = {
	    buf, model_record(buf, group, kind, index, term, len, index + 1)};

	return wal_write(wal, &iov, 1);
}

static const struct wal_group *
group(uint32_t number)
{
	const struct wal_group *g;
	size_t n = wal_groups(wal, &g);

	for (size_t i = 0; i < n; i++)
		if (g[i].group == number)
			return &g[i];
	ck_abort_msg("no such group");
}

/* What is replayed, in order, into 512 bytes. */
static int
note_record(const struct record *r, void *ctx)
{
	char *s = ctx;

	size_t at = strlen(s);

	(void)snprintf(s + at, SEEN_LEN - at, "%u:%d:%llu/%llu ", r->group,
	    (int)r->kind, (unsigned long long)r->index,
	    (unsigned long long)r->term);
	return 0;
}

START_TEST(test_replay_gives_what_counts_in_order)
{
	char seen[SEEN_LEN] = "";

	ck_assert_int_eq(put(1, RECORD_STATE, 0, 1, 8), 0);
	ck_assert_int_eq(put(1, RECORD_NOOP, 1, 1, 0), 0);
	ck_assert_int_eq(put(2, RECORD_NOOP, 1, 1, 0), 0);
	ck_assert_int_eq(put(1, RECORD_COMMAND, 2, 1, 10), 0);
	ck_assert_int_eq(put(1, RECORD_COMMAND, 3, 1, 10), 0);
	ck_assert_int_eq(put(1, RECORD_STATE, 0, 2, 8), 0);
	ck_assert_int_eq(put(1, RECORD_NOOP, 2, 2, 0), 0);
	ck_assert_int_eq(put(1, RECORD_PEER, 0, 0, 32), 0);
	ck_assert_int_eq(wal_sync(wal), 0);
	wal_close(wal);
	open_with(note_record, seen);
	ck_assert_str_eq(seen, "1:1:1/1 2:1:1/1 1:16:0/2 1:1:2/2 1:17:0/0 ");
	ck_assert_uint_eq(group(1)->last, 2);
	ck_assert_uint_eq(group(1)->term, 2);
	ck_assert_uint_eq(group(2)->last, 1);
	ck_assert_uint_eq(report.damaged, 0);
	ck_assert_uint_eq(report.torn_bytes, 0);
}
END_TEST

START_TEST(test_gap_is_refused)
{
	ck_assert_int_eq(put(1, RECORD_NOOP, 2, 1, 0), -EINVAL);
	ck_assert_int_eq(put(1, RECORD_NOOP, 0, 1, 0), -EINVAL);
	ck_assert_int_eq(put(1, RECORD_NOOP, 1, 1, 0), 0);
	ck_assert_int_eq(put(1, RECORD_NOOP, 3, 1, 0), -EINVAL);
	ck_assert_int_eq(put(1, RECORD_NOOP, 2, 1, 0), 0);
}
END_TEST

START_TEST(test_bytes_that_are_no_record_are_refused)
{
	struct iovec iov = {buf, 48};

	memset(buf, 0, 48);
	ck_assert_int_eq(wal_write(wal, &iov, 1), -EINVAL);
	memset(buf, 0xff, 48);
	ck_assert_int_eq(wal_write(wal, &iov, 1), -EINVAL);
	iov.iov_len = model_record(buf, 1, RECORD_NOOP, 1, 1, 0, 0) - 8;
	ck_assert_int_eq(wal_write(wal, &iov, 1), -EINVAL);
	ck_assert_int_eq(put(1, RECORD_NOOP, 1, 1, 0), 0);
}
END_TEST

START_TEST(test_read_gives_entries_as_written)
{
	static uint8_t out[400 * 1024], want[400 * 1024];
	size_t len, want_len = 0;
	uint64_t last;

	/* The last is larger than the window that is read at once. */
	for (uint64_t i = 1; i <= 40; i++) {
		uint32_t n = i == 40 ? 300 * 1024 : (uint32_t)(i * 97);

		ck_assert_int_eq(put(1, RECORD_COMMAND, i, 1, n), 0);
		ck_assert_int_eq(put(2, RECORD_COMMAND, i, 1, 9), 0);
		if (i >= 10 && i < 40)
			want_len += model_record(
			    want + want_len, 1, RECORD_COMMAND, i, 1, n, i + 1);
	}
	ck_assert_int_eq(
	    wal_read(wal, 1, 10, 39, out, sizeof(out), &len, &last), 0);
	ck_assert_uint_eq(last, 39);
	ck_assert_uint_eq(len, want_len);
	ck_assert_mem_eq(out, want, len);
	/* As many whole ones as fit. */
	ck_assert_int_eq(
	    wal_read(wal, 1, 10, 39, out, want_len - 1, &len, &last), 0);
	ck_assert_uint_eq(last, 38);
	ck_assert_int_eq(
	    wal_read(wal, 1, 40, 99, out, sizeof(out), &len, &last), 0);
	ck_assert_uint_eq(last, 40);
	ck_assert_uint_eq(len, record_size(300 * 1024));
	ck_assert_int_eq(
	    wal_read(wal, 1, 40, 40, out, 100, &len, &last), -EMSGSIZE);
	ck_assert_uint_eq(len, record_size(300 * 1024));
	ck_assert_int_eq(
	    wal_read(wal, 1, 41, 41, out, 100, &len, &last), -ENOENT);
	ck_assert_int_eq(
	    wal_read(wal, 1, 0, 1, out, 100, &len, &last), -ENOENT);
	ck_assert_int_eq(
	    wal_read(wal, 3, 1, 1, out, 100, &len, &last), -ENOENT);
}
END_TEST

START_TEST(test_read_of_changed_bytes_says_so)
{
	uint8_t out[256];
	size_t len;
	uint64_t last;

	ck_assert_int_eq(put(1, RECORD_COMMAND, 1, 1, 100), 0);
	/* Head sector, record header, a byte of the payload. */
	mem->file[0].data[4096 + 512 + 40 + 5] ^= 1;
	ck_assert_int_eq(
	    wal_read(wal, 1, 1, 1, out, sizeof(out), &len, &last), -EBADMSG);
}
END_TEST

/* Nothing is retried: the kernel may have dropped the pages. */
START_TEST(test_failed_sync_is_final)
{
	ck_assert_int_eq(put(1, RECORD_NOOP, 1, 1, 0), 0);
	mem->fail_sync = -EIO;
	ck_assert_int_eq(wal_sync(wal), -EIO);
	ck_assert_int_eq(wal_sync(wal), -EIO);
	ck_assert_int_eq(put(1, RECORD_NOOP, 2, 1, 0), -EIO);
	ck_assert_int_eq(wal_mark(wal), -EIO);
	ck_assert_int_eq(wal_prepare(wal), -EIO);
}
END_TEST

START_TEST(test_failed_write_is_final)
{
	ck_assert_int_eq(put(1, RECORD_NOOP, 1, 1, 0), 0);
	mem->fail_write = -EIO;
	ck_assert_int_eq(put(1, RECORD_NOOP, 2, 1, 0), -EIO);
	ck_assert_int_eq(put(1, RECORD_NOOP, 2, 1, 0), -EIO);
	ck_assert_int_eq(wal_sync(wal), -EIO);
}
END_TEST

/* Neither is the sync of a segment that is made ready. */
START_TEST(test_failed_sync_of_the_next_segment_is_final)
{
	int more;

	do {
		mem->fail_sync = -EIO;
		more = wal_prepare(wal);
	} while (more == 1);
	ck_assert_int_eq(more, -EIO);
	mem->fail_sync = 0;
	ck_assert_int_eq(wal_prepare(wal), -EIO);
	ck_assert_int_eq(put(1, RECORD_NOOP, 1, 1, 0), -EIO);
}
END_TEST

/* raft-bugs 67: no space is no failure; it goes on when there is some. */
START_TEST(test_full_disk_is_not_final)
{
	int error = 0;
	uint64_t i = 0;

	mem->space_left = 0;
	while (error == 0)
		error = put(1, RECORD_COMMAND, ++i, 1, 5000);
	ck_assert_int_eq(error, -ENOSPC);
	ck_assert_uint_gt(i, 5);
	ck_assert_int_eq(wal_sync(wal), 0);
	ck_assert_int_eq(wal_prepare(wal), -ENOSPC);
	ck_assert(wal_is_short(wal));
	/* Nothing overtakes what was refused. */
	ck_assert_int_eq(put(1, RECORD_STATE, 0, 1, 8), -ENOSPC);
	ck_assert_int_eq(wal_retry(wal), -ENOSPC);
	mem->space_left = UINT64_MAX;
	ck_assert_int_eq(put(1, RECORD_COMMAND, i, 1, 5000), -ENOSPC);
	ck_assert_int_eq(wal_retry(wal), 0);
	ck_assert(!wal_is_short(wal));
	ck_assert_int_eq(put(1, RECORD_COMMAND, i, 1, 5000), 0);
	ck_assert_int_eq(wal_sync(wal), 0);
	wal_close(wal);
	open_with(NULL, NULL);
	ck_assert_uint_eq(group(1)->last, i);
	ck_assert_uint_eq(report.damaged, 0);
}
END_TEST

START_TEST(test_prepare_makes_the_next_segment_in_steps)
{
	int more, steps = 0;

	while ((more = wal_prepare(wal)) == 1)
		ck_assert_int_lt(++steps, 1000);
	ck_assert_int_eq(more, 0);
	ck_assert_ptr_nonnull(mem_find(mem, "wal/0000000000000002.wal"));
	/* Now the disk may be full: seven of these fit into a segment, five
	 * if a quarter of it is not theirs. */
	mem->space_left = 0;
	for (uint64_t i = 1; i <= 12; i++)
		ck_assert_int_eq(put(1, RECORD_COMMAND, i, 1, 5000), 0);
	ck_assert_int_eq(put(1, RECORD_COMMAND, 13, 1, 5000), -ENOSPC);
}
END_TEST

/* Of a full disk one is told early, and what is kept back is for votes. */
START_TEST(test_reserve_is_not_for_entries)
{
	uint64_t i = 0, told_at = 0;
	int votes = 0;

	mem->space_left = 0;
	while (i < 5) {
		ck_assert_int_eq(put(1, RECORD_COMMAND, ++i, 1, 5000), 0);
		if (told_at == 0 && wal_is_short(wal))
			told_at = i;
	}
	ck_assert_uint_gt(told_at, 2);
	ck_assert_uint_lt(told_at, 5);
	while (put(1, RECORD_STATE, 0, (uint64_t)votes + 2, 8) == 0)
		votes++;
	ck_assert_int_ge(votes, 4);
	ck_assert_int_eq(wal_sync(wal), 0);
	wal_close(wal);
	open_with(NULL, NULL);
	ck_assert_uint_eq(group(1)->last, i);
	ck_assert_uint_eq(group(1)->term, (uint64_t)votes + 1);
}
END_TEST

/* A few kilobytes are enough for a vote. */
START_TEST(test_last_resort_is_a_small_segment)
{
	uint64_t term = 0;

	wal_close(wal);
	mem_free(mem);
	mem = mem_new();
	disk = mem_disk(mem);
	wal = NULL;
	const struct wal_options opt = {
	    .segment_size = 1 << 20, .server_id = 1};
	struct errtext et = {""};

	ck_assert_int_eq(
	    wal_open(&disk, &opt, NULL, NULL, &wal, &report, &et), 0);
	mem->space_left = WAL_SEGMENT_SIZE_MIN;
	for (int i = 0; i < 260; i++)
		ck_assert_int_eq(put(1, RECORD_STATE, 0, ++term, 8), 0);
	ck_assert(wal_is_short(wal));
	ck_assert_int_eq(wal_sync(wal), 0);
	wal_close(wal);
	open_with(NULL, NULL);
	ck_assert_uint_eq(group(1)->term, term);
}
END_TEST

/* A batch that no segment holds makes one that does. */
START_TEST(test_large_batch_gets_room)
{
	ck_assert_int_eq(put(1, RECORD_COMMAND, 1, 1, 100), 0);
	ck_assert_int_eq(put(1, RECORD_COMMAND, 2, 1, 400 * 1024), 0);
	ck_assert_int_eq(put(1, RECORD_COMMAND, 3, 1, 100), 0);
	ck_assert_int_eq(wal_sync(wal), 0);
	wal_close(wal);
	open_with(NULL, NULL);
	ck_assert_uint_eq(group(1)->last, 3);
	ck_assert_uint_eq(report.damaged, 0);
	ck_assert_uint_eq(report.torn_bytes, 0);
}
END_TEST

START_TEST(test_marks_do_not_pile_up)
{
	struct wal_stat a, b;

	ck_assert_int_eq(wal_mark(wal), 0);
	wal_stat(wal, &a);
	ck_assert_uint_eq(a.batches, 0);
	ck_assert_int_eq(put(1, RECORD_NOOP, 1, 1, 0), 0);
	/* Not synced: nothing to vouch for. */
	ck_assert_int_eq(wal_mark(wal), 0);
	wal_stat(wal, &a);
	ck_assert_uint_eq(a.batches, 1);
	ck_assert_int_eq(wal_sync(wal), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(wal_mark(wal), 0);
	wal_stat(wal, &b);
	ck_assert_uint_eq(b.batches, 2);
}
END_TEST

/* Batches of an earlier use of the space, whole and in their places. */
START_TEST(test_batches_of_another_use_do_not_count)
{
	struct memdisk *other = mem_new();
	struct disk other_disk = mem_disk(other);
	const struct wal_options opt = {
	    .segment_size = WAL_SEGMENT_SIZE_MIN, .server_id = 1, .nonce = 9};
	struct errtext et = {""};
	struct wal *w;
	struct iovec iov = {buf, 0};

	ck_assert_int_eq(
	    wal_open(&other_disk, &opt, NULL, NULL, &w, &report, &et), 0);
	for (uint64_t i = 1; i <= 3; i++) {
		iov.iov_len =
		    model_record(buf, 1, RECORD_COMMAND, i, 7, 100, 3);
		ck_assert_int_eq(wal_write(w, &iov, 1), 0);
		ck_assert_int_eq(wal_sync(w), 0);
	}
	wal_close(w);
	ck_assert_int_eq(put(1, RECORD_COMMAND, 1, 1, 100), 0);
	ck_assert_int_eq(wal_sync(wal), 0);
	wal_close(wal);
	/* Ours has one batch and a mark; then comes what was there before. */
	memcpy(mem->file[0].data + 12288, other->file[0].data + 12288, 8192);
	mem_free(other);
	open_with(NULL, NULL);
	ck_assert_uint_eq(group(1)->last, 1);
	ck_assert(!group(1)->damaged);
	ck_assert_uint_eq(report.damaged, 0);
	ck_assert_uint_eq(report.torn_bytes, 8192);
}
END_TEST

static void
two_batches(void)
{
	ck_assert_int_eq(put(1, RECORD_COMMAND, 1, 1, 100), 0);
	ck_assert_int_eq(put(1, RECORD_COMMAND, 2, 1, 100), 0);
	ck_assert_int_eq(wal_sync(wal), 0);
	wal_close(wal);
}

/* A whole batch in the place of another: misdirected, or an old copy. */
START_TEST(test_batch_out_of_its_turn_does_not_count)
{
	const struct wal_options opt = {
	    .segment_size = WAL_SEGMENT_SIZE_MIN, .server_id = 1};
	struct errtext et = {""};

	two_batches();
	memcpy(mem->file[0].data + 16384, mem->file[0].data + 4096, BLOCK);
	wal = NULL;
	/* It may have taken the place of a batch with a vote in it. */
	ck_assert_int_eq(
	    wal_open(&disk, &opt, NULL, NULL, &wal, &report, &et), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(report.text, "offset 16384: damaged"));
}
END_TEST

START_TEST(test_batch_that_follows_another_past_is_noticed)
{
	struct memdisk *other = mem;
	struct iovec iov = {buf, 0};

	two_batches();
	mem = mem_new();
	disk = mem_disk(mem);
	open_with(NULL, NULL);
	iov.iov_len = model_record(buf, 1, RECORD_COMMAND, 1, 1, 100, 99);
	ck_assert_int_eq(wal_write(wal, &iov, 1), 0);
	ck_assert_int_eq(wal_sync(wal), 0);
	wal_close(wal);
	/* The same nonce, the same sequence, another content. */
	memcpy(other->file[0].data + 4096, mem->file[0].data + 4096, BLOCK);
	mem_free(mem);
	mem = other;
	disk = mem_disk(mem);
	wal = NULL;
	ck_assert_int_eq(wal_check(&disk, NULL, NULL, &report, NULL), 0);
	ck_assert_uint_gt(report.damaged, 0);
}
END_TEST

static int
keep_going(const struct record *r, void *ctx)
{
	(void)r;
	return *(int *)ctx;
}

START_TEST(test_callback_may_stop_the_open)
{
	const struct wal_options opt = {
	    .segment_size = WAL_SEGMENT_SIZE_MIN, .server_id = 1};
	struct errtext et = {""};
	int stop[] = {1, 2, -ECANCELED};

	ck_assert_int_eq(put(1, RECORD_NOOP, 1, 1, 0), 0);
	ck_assert_int_eq(wal_sync(wal), 0);
	wal_close(wal);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(wal_open(&disk, &opt, keep_going, &stop[i],
				     &wal, &report, &et),
		    stop[i]);
	open_with(NULL, NULL);
}
END_TEST

START_TEST(test_read_only_changes_nothing)
{
	const struct wal_options opt = {.read_only = true};
	struct errtext et = {""};
	struct wal *w;

	ck_assert_int_eq(put(1, RECORD_COMMAND, 1, 1, 100), 0);
	ck_assert_int_eq(wal_sync(wal), 0);
	wal_close(wal);
	mem->file[0].data[12288 + 600] = 1; /* a torn tail */
	mem->recording = true;
	ck_assert_int_eq(
	    wal_open(&disk, &opt, NULL, NULL, &w, &report, &et), 0);
	ck_assert_uint_eq(report.torn_bytes, 1024);
	ck_assert_int_eq(wal_write(w, NULL, 0), -EROFS);
	wal_close(w);
	ck_assert_uint_eq(mem->ops, 0);
	mem->recording = false;
	open_with(NULL, NULL);
}
END_TEST

/* What is cut is kept. */
START_TEST(test_torn_tail_goes_to_quarantine)
{
	struct mem_name *n;

	ck_assert_int_eq(put(1, RECORD_COMMAND, 1, 1, 100), 0);
	ck_assert_int_eq(wal_sync(wal), 0);
	wal_close(wal);
	mem->file[0].data[12288 + 600] = 0x5a;
	open_with(NULL, NULL);
	n = mem_find(mem, "quarantine/wal-0000000000000001-00003000-0.cut");
	ck_assert_ptr_nonnull(n);
	ck_assert_uint_eq(mem->file[n->file].size, 1024);
	ck_assert_uint_eq(mem->file[n->file].data[600], 0x5a);
	ck_assert_uint_eq(mem->file[0].data[12288 + 600], 0);
	wal_close(wal);
	open_with(NULL, NULL);
	ck_assert_uint_eq(report.torn_bytes, 0);
}
END_TEST

/* The worked example of raftwal(5). */
/* A file that became shorter, and the last write in it never finished: one
 * start after the other opens it. */
START_TEST(test_short_file_with_a_torn_end_opens_again)
{
	struct mem_file *f;

	ck_assert_int_eq(put(1, RECORD_STATE, 0, 3, 8), 0);
	ck_assert_int_eq(put(1, RECORD_NOOP, 1, 3, 0), 0);
	ck_assert_int_eq(wal_sync(wal), 0);
	ck_assert_int_eq(put(1, RECORD_COMMAND, 2, 3, 3000), 0);
	ck_assert_int_eq(put(1, RECORD_COMMAND, 3, 3, 3000), 0);
	/* As a crash leaves it, and then it is cut short. */
	f = &mem->file[mem_find(mem, "wal/0000000000000001.wal")->file];
	memset(f->data + 4096 + 3 * 4096, 0, 512);
	f->size = 4096 + 4 * 4096;
	for (int i = 0; i < 3; i++) {
		struct memdisk *was = mem;

		/* An orderly end would say more; it is not seen. */
		mem = mem_clone(was);
		wal_close(wal);
		mem_free(was);
		disk = mem_disk(mem);
		open_with(NULL, NULL);
		ck_assert_uint_eq(group(1)->last, 2);
		ck_assert_uint_eq(group(1)->term, 3);
		ck_assert(!group(1)->damaged);
	}
}
END_TEST

START_TEST(test_bytes_are_those_of_the_page)
{
	static const uint8_t payload[] = "\xa3put\x92\xc4\x01k\xc4\x01v";
	struct record r = {.group = 1,
	    .kind = RECORD_COMMAND,
	    .index = 1,
	    .term = 1,
	    .stamp = 1700000000000,
	    .len = 11};
	struct iovec iov = {buf, record_size(11)};
	const uint8_t *p = mem->file[0].data;

	memcpy(buf + RECORD_HEADER_LEN, payload, 11);
	record_seal(buf, &r);
	ck_assert_int_eq(wal_write(wal, &iov, 1), 0);
	ck_assert_int_eq(wal_sync(wal), 0);
	ck_assert_int_eq(wal_mark(wal), 0);
	ck_assert_mem_eq(p, "raftwal1\1\0\0\0\0\0\0\0\1", 17);
	ck_assert_uint_eq(get_le64(p + 32), 0xf14c4df09bb9a32eu);
	ck_assert_uint_eq(get_le32(p + 508), crc32c(0, p, 508));
	ck_assert_mem_eq(p, p + 3584, 512);
	ck_assert_mem_eq(p + 4096, "RAWB\1\0\0\0\x2e\xa3\xb9\x9b", 12);
	ck_assert_uint_eq(get_le32(p + 4096 + 508), 0xafe1978fu);
	ck_assert_mem_eq(p + 4096, p + 8192 - 512, 512);
	ck_assert_uint_eq(get_le32(p + 4608), 0xa8471383u);
	ck_assert_uint_eq(get_le32(p + 8192 + 48), 0xafe1978fu);
	ck_assert_uint_eq(get_le32(p + 8192 + 508), 0xdeae6642u);
}
END_TEST

/* raft-bugs 62: names are durable before the first acknowledgement. */
START_TEST(test_names_are_synced_before_the_first_sync)
{
	bool dir_synced = false, root_synced = false;

	wal_close(wal);
	mem_free(mem);
	mem = mem_new();
	mem->recording = true;
	disk = mem_disk(mem);
	open_with(NULL, NULL);
	ck_assert_int_eq(put(1, RECORD_NOOP, 1, 1, 0), 0);
	for (size_t i = 0; i < mem->ops; i++) {
		const struct mem_op *op = &mem->op[i];

		if (op->kind == MEM_MKDIR)
			root_synced = false;
		if (op->kind == MEM_RENAME || op->kind == MEM_CREATE)
			dir_synced = false;
		if (op->kind == MEM_SYNC_DIR && strcmp(op->to, ".") == 0)
			root_synced = true;
		if (op->kind == MEM_SYNC_DIR && strcmp(op->to, "wal") == 0)
			dir_synced = true;
	}
	ck_assert(root_synced);
	ck_assert(dir_synced);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("wal");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_replay_gives_what_counts_in_order);
	tcase_add_test(t, test_gap_is_refused);
	tcase_add_test(t, test_bytes_that_are_no_record_are_refused);
	tcase_add_test(t, test_read_gives_entries_as_written);
	tcase_add_test(t, test_read_of_changed_bytes_says_so);
	tcase_add_test(t, test_failed_sync_is_final);
	tcase_add_test(t, test_failed_sync_of_the_next_segment_is_final);
	tcase_add_test(t, test_failed_write_is_final);
	tcase_add_test(t, test_full_disk_is_not_final);
	tcase_add_test(t, test_prepare_makes_the_next_segment_in_steps);
	tcase_add_test(t, test_reserve_is_not_for_entries);
	tcase_add_test(t, test_last_resort_is_a_small_segment);
	tcase_add_test(t, test_large_batch_gets_room);
	tcase_add_test(t, test_marks_do_not_pile_up);
	tcase_add_test(t, test_batches_of_another_use_do_not_count);
	tcase_add_test(t, test_batch_out_of_its_turn_does_not_count);
	tcase_add_test(t, test_batch_that_follows_another_past_is_noticed);
	tcase_add_test(t, test_callback_may_stop_the_open);
	tcase_add_test(t, test_read_only_changes_nothing);
	tcase_add_test(t, test_torn_tail_goes_to_quarantine);
	tcase_add_test(t, test_short_file_with_a_torn_end_opens_again);
	tcase_add_test(t, test_bytes_are_those_of_the_page);
	tcase_add_test(t, test_names_are_synced_before_the_first_sync);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
