/*
 * test_snap.c - snapshots: what is written is read back, every changed bit
 * and every cut is found, and a crash leaves the old files or the new one.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftsnap/snap.h"
#include "raftwal/bytes.h"
#include "raftwal/crc32c.h"
#include "tests/crash/memdisk.h"

#define PATH "snap/1-3-77.snap"

static struct memdisk *mem;
static struct disk disk;
static uint8_t state[700000];
static size_t state_len;

static const uint8_t config[] = "a configuration";

static struct snap_meta
meta(uint64_t term, uint64_t index)
{
	struct snap_meta m = {.group = 1,
	    .index = index,
	    .term = term,
	    .config_index = 5,
	    .config = config,
	    .config_len = sizeof(config),
	    .rev = 70,
	    .stamp = 1700000000000,
	    .created_ms = 1700000000001};

	memset(m.cluster, 0xc1, sizeof(m.cluster));
	memset(m.digest, 0xd2, sizeof(m.digest));
	return m;
}

static void
setup(void)
{
	uint64_t seed = 7;

	mem = mem_new();
	disk = mem_disk(mem);
	state_len = sizeof(state);
	for (size_t i = 0; i < sizeof(state); i++)
		state[i] = (uint8_t)(mem_random(&seed) % 7);
}

static void
teardown(void)
{
	mem_free(mem);
}

static int
fill(void *ctx, struct snap_writer *w)
{
	size_t at = 0, step = 1;
	int error = 0;

	(void)ctx;
	while (error == 0 && at < state_len) {
		size_t n = step < state_len - at ? step : state_len - at;

		error = snap_write(w, state + at, n);
		at += n;
		step = step * 3 % 100003 + 1;
	}
	return error;
}

static int
use(void *ctx, struct snap_reader *r)
{
	uint8_t *got = malloc(state_len + 1);
	int error = snap_read(r, got, state_len);

	ck_assert_int_eq(snap_reader_meta(r)->config_len, sizeof(config));
	ck_assert_mem_eq(snap_reader_meta(r)->config, config, sizeof(config));
	if (error == 0) {
		ck_assert_mem_eq(got, state, state_len);
		ck_assert_int_eq(snap_read_some(r, got, 1), 0);
		(*(int *)ctx)++;
	}
	free(got);
	return error;
}

static void
save(uint64_t term, uint64_t index, struct snap_sum *sum)
{
	struct snap_meta m = meta(term, index);

	ck_assert_int_eq(snap_save(&disk, &m, 0, fill, NULL, sum), 0);
}

START_TEST(test_saved_state_is_loaded)
{
	struct snap_sum sum, again, peek;
	struct snap_meta m;
	struct errtext et = {""};
	int used = 0;

	save(3, 77, &sum);
	ck_assert_int_eq(
	    snap_load(&disk, PATH, use, &used, &m, &again, &et), 0);
	ck_assert_int_eq(used, 1);
	ck_assert_uint_eq(m.index, 77);
	ck_assert_uint_eq(m.rev, 70);
	ck_assert_mem_eq(sum.id, again.id, SNAP_ID_LEN);
	ck_assert_uint_eq(again.plain_len, state_len);
	ck_assert_uint_eq(again.blocks, 3);
	ck_assert_int_eq(snap_peek(&disk, PATH, &m, &peek, &et), 0);
	ck_assert_mem_eq(&peek, &sum, sizeof(sum));
	ck_assert_uint_eq(peek.file_len, mem->file[0].size);
}
END_TEST

START_TEST(test_empty_state_is_a_snapshot)
{
	int used = 0;
	struct errtext et = {""};

	state_len = 0;
	save(3, 77, NULL);
	ck_assert_int_eq(
	    snap_load(&disk, PATH, use, &used, NULL, NULL, &et), 0);
	ck_assert_int_eq(used, 1);
}
END_TEST

/* Exhaustive: no bit of a file is without meaning. */
START_TEST(test_every_flipped_bit_is_found)
{
	uint64_t trials = 0, silent = 0;
	struct mem_file *f;
	int used = 0;

	state_len = 900;
	save(3, 77, NULL);
	f = &mem->file[0];
	for (uint64_t at = 0; at < f->size; at++) {
		for (int bit = 0; bit < 8; bit++) {
			f->data[at] ^= (uint8_t)(1 << bit);
			silent += snap_load(&disk, PATH, use, &used, NULL, NULL,
				      NULL) == 0;
			f->data[at] ^= (uint8_t)(1 << bit);
			trials++;
		}
	}
	ck_assert_uint_eq(silent, 0);
	ck_assert_int_eq(used, 0);
	ck_assert_uint_gt(trials, 2000);
	ck_assert_int_eq(
	    snap_load(&disk, PATH, use, &used, NULL, NULL, NULL), 0);
}
END_TEST

START_TEST(test_every_cut_and_addition_is_found)
{
	struct mem_file *f;
	uint64_t size;
	uint8_t more[1] = {0};
	struct disk_file *h;
	int used = 0;

	state_len = 900;
	save(3, 77, NULL);
	f = &mem->file[0];
	size = f->size;
	for (f->size = 0; f->size < size; f->size++)
		ck_assert_int_lt(
		    snap_load(&disk, PATH, use, &used, NULL, NULL, NULL), 0);
	ck_assert_int_eq(mem_open(mem, PATH, DISK_WRITE, &h), 0);
	ck_assert_int_eq(mem_write(mem, h, more, 1, size), 0);
	mem_close(mem, h);
	ck_assert_int_eq(
	    snap_load(&disk, PATH, use, &used, NULL, NULL, NULL), -EBADMSG);
	ck_assert_int_eq(used, 0);
}
END_TEST

/* Each part has its own checksum; that they belong together is the hash's. */
START_TEST(test_parts_of_two_are_no_snapshot)
{
	struct mem_file *a, *b;
	struct errtext et = {""};
	uint32_t header;
	int used = 0;

	state_len = 900;
	save(3, 77, NULL);
	save(3, 78, NULL);
	a = &mem->file[0];
	b = &mem->file[1];
	ck_assert_uint_eq(a->size, b->size);
	header = get_le32(a->data + 12);
	memcpy(a->data + header, b->data + header, a->size - header);
	ck_assert_int_eq(
	    snap_load(&disk, PATH, use, &used, NULL, NULL, &et), -EBADMSG);
	ck_assert_int_eq(used, 0);
}
END_TEST

START_TEST(test_newer_format_is_refused_by_name)
{
	struct errtext et = {""};
	struct mem_file *f;

	save(3, 77, NULL);
	f = &mem->file[0];
	f->data[8] = 2;
	ck_assert_int_eq(
	    snap_load(&disk, PATH, NULL, NULL, NULL, NULL, &et), -EPROTO);
	ck_assert_ptr_nonnull(strstr(et.text, "newer"));
}
END_TEST

START_TEST(test_list_is_newest_first_and_knows_its_names)
{
	struct snap_file f[3];
	struct disk_file *h;

	ck_assert_int_eq(snap_list(&disk, 1, f, 3), 0);
	state_len = 10;
	for (uint64_t i = 1; i <= 5; i++)
		save(3, i * 100, NULL);
	ck_assert_int_eq(
	    mem_open(mem, "snap/1-3-0900.snap", DISK_WRITE | DISK_CREATE, &h),
	    0);
	mem_close(mem, h);
	ck_assert_int_eq(
	    mem_open(mem, "snap/1-3-77.snap.tmp", DISK_WRITE | DISK_CREATE, &h),
	    0);
	mem_close(mem, h);
	ck_assert_int_eq(snap_list(&disk, 1, f, 3), 3);
	ck_assert_uint_eq(f[0].index, 500);
	ck_assert_uint_eq(f[2].index, 300);
	ck_assert_str_eq(f[0].path, "snap/1-3-500.snap");
	ck_assert_int_eq(snap_list(&disk, 2, f, 3), 0);
	ck_assert_int_eq(
	    mem_open(mem, "snap/1-ab.part", DISK_WRITE | DISK_CREATE, &h), 0);
	mem_close(mem, h);
	ck_assert_int_eq(snap_tidy_tmp(&disk), 0);
	ck_assert_int_eq(
	    mem_open(mem, "snap/1-3-77.snap.tmp", DISK_READ, &h), -ENOENT);
	ck_assert_int_eq(mem_open(mem, "snap/1-ab.part", DISK_READ, &h), 0);
	mem_close(mem, h);
	ck_assert_int_eq(snap_tidy(&disk, NULL), 0);
	ck_assert_int_eq(
	    mem_open(mem, "snap/1-ab.part", DISK_READ, &h), -ENOENT);
	ck_assert_int_eq(snap_list(&disk, 1, f, 3), 3);
}
END_TEST

/* ENOSPC at any point: the old file stands, no temporary one is left. */
START_TEST(test_full_disk_leaves_what_was)
{
	struct snap_meta m = meta(3, 99);
	struct snap_file f[8];
	struct disk_file *h;

	save(3, 77, NULL);
	for (uint64_t room = 0; room < 2000; room += 97) {
		mem->space_left = room;
		ck_assert_int_eq(
		    snap_save(&disk, &m, 0, fill, NULL, NULL), -ENOSPC);
		ck_assert_int_eq(snap_list(&disk, 1, f, 8), 1);
		ck_assert_int_eq(
		    mem_open(mem, "snap/1-3-99.snap.tmp", DISK_READ, &h),
		    -ENOENT);
	}
	mem->space_left = UINT64_MAX;
	mem->fail_sync = -EIO;
	ck_assert_int_eq(snap_save(&disk, &m, 0, fill, NULL, NULL), -EIO);
	ck_assert_int_eq(snap_list(&disk, 1, f, 8), 1);
	ck_assert_int_eq(snap_save(&disk, &m, 0, fill, NULL, NULL), 0);
	ck_assert_int_eq(snap_list(&disk, 1, f, 8), 2);
}
END_TEST

/* Whatever a crash keeps: each listed file is whole, the first one stays,
 * and after the call returned the second one is there. */
START_TEST(test_crash_leaves_whole_files)
{
	struct mem_world world;
	unsigned states = 0;

	state_len = 5000;
	mem->recording = true;
	save(3, 77, NULL);
	size_t first_done = mem->ops;
	save(4, 99, NULL);
	mem_world_init(&world, mem);
	for (;;) {
		for (unsigned v = 0; v < 6; v++) {
			struct memdisk *m = mem_world_crash(
			    &world, world.at * 31 + v, v * 256 / 5);
			struct disk d = mem_disk(m);
			struct snap_file f[8];
			int n = snap_list(&d, 1, f, 8);

			ck_assert_int_ge(n, 0);
			for (int i = 0; i < n; i++)
				ck_assert_int_eq(snap_load(&d, f[i].path, NULL,
						     NULL, NULL, NULL, NULL),
				    0);
			ck_assert_int_ge(n, world.at >= first_done);
			if (world.at == mem->ops)
				ck_assert_int_eq(n, 2);
			mem_free(m);
			states++;
		}
		if (world.at == mem->ops)
			break;
		mem_world_step(&world);
	}
	mem_world_release(&world);
	ck_assert_uint_gt(states, 60);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("snap");
	TCase *t = tcase_create("snap");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_saved_state_is_loaded);
	tcase_add_test(t, test_empty_state_is_a_snapshot);
	tcase_add_test(t, test_every_flipped_bit_is_found);
	tcase_add_test(t, test_every_cut_and_addition_is_found);
	tcase_add_test(t, test_parts_of_two_are_no_snapshot);
	tcase_add_test(t, test_newer_format_is_refused_by_name);
	tcase_add_test(t, test_list_is_newest_first_and_knows_its_names);
	tcase_add_test(t, test_full_disk_leaves_what_was);
	tcase_add_test(t, test_crash_leaves_whole_files);
	tcase_set_timeout(t, 120);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
