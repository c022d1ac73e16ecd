/*
 * test_identity.c - two copies: a crash or damage in one leaves the other.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "raftwal/bytes.h"
#include "raftwal/crc32c.h"
#include "raftwal/identity.h"

static char dir[64];
static struct disk disk;
static struct identity sample;

static void
setup(void)
{
	struct errtext et;

	strcpy(dir, "/tmp/test_identity.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(disk_real_open(dir, false, false, &disk, &et), 0);
	for (int i = 0; i < IDENTITY_ID_LEN; i++) {
		sample.cluster[i] = (uint8_t)(0xc0 + i);
		sample.uuid[i] = (uint8_t)(0x40 + i);
	}
	sample.id = 3;
	sample.boot = 1;
	sample.format = IDENTITY_FORMAT;
}

static void
teardown(void)
{
	(void)disk.ops->unlink(disk.ctx, "identity");
	disk_real_close(&disk);
	(void)rmdir(dir);
}

static void
must_write(uint64_t boot)
{
	struct errtext et = {""};

	sample.boot = boot;
	ck_assert_msg(identity_write(&disk, &sample, &et) == 0, "%s", et.text);
}

/* The boot counter that is read, or the error. */
static int64_t
boot_read(void)
{
	struct identity id = {.boot = 99};
	struct errtext et = {""};
	int error = identity_read(&disk, &id, &et);

	if (error < 0) {
		ck_assert_uint_eq(id.boot, 99);
		ck_assert_str_ne(et.text, "");
		return error;
	}
	ck_assert_mem_eq(id.cluster, sample.cluster, IDENTITY_ID_LEN);
	ck_assert_mem_eq(id.uuid, sample.uuid, IDENTITY_ID_LEN);
	ck_assert_uint_eq(id.id, sample.id);
	ck_assert_uint_eq(id.format, IDENTITY_FORMAT);
	return (int64_t)id.boot;
}

static uint64_t
boots_missed(void)
{
	struct identity id = {.boots_missed = 99};
	struct errtext et;

	ck_assert_int_eq(identity_read(&disk, &id, &et), 0);
	return id.boots_missed;
}

static void
poke(uint64_t offset, uint8_t mask)
{
	struct disk_file *f;
	uint8_t b;

	ck_assert_int_eq(
	    disk.ops->open(disk.ctx, "identity", DISK_WRITE, &f), 0);
	ck_assert_int_eq(disk.ops->read(disk.ctx, f, &b, 1, offset), 1);
	b ^= mask;
	ck_assert_int_eq(disk.ops->write(disk.ctx, f, &b, 1, offset), 0);
	disk.ops->close(disk.ctx, f);
}

START_TEST(test_new_directory_has_none)
{
	ck_assert_int_eq(boot_read(), -ENOENT);
}
END_TEST

START_TEST(test_written_identity_reads_back)
{
	for (uint64_t boot = 1; boot < 6; boot++) {
		must_write(boot);
		ck_assert_int_eq(boot_read(), (int64_t)boot);
	}
}
END_TEST

START_TEST(test_update_spares_the_copy_that_counts)
{
	uint8_t *before, *after;
	size_t len;
	int changed = 0;

	for (uint64_t boot = 1; boot < 5; boot++) {
		must_write(boot);
		ck_assert_int_eq(disk_slurp(&disk, "identity",
				     2 * IDENTITY_BLOCK_LEN, &before, &len),
		    0);
		must_write(boot + 1);
		ck_assert_int_eq(disk_slurp(&disk, "identity",
				     2 * IDENTITY_BLOCK_LEN, &after, &len),
		    0);
		for (int i = 0; i < 2; i++)
			if (memcmp(before + i * IDENTITY_BLOCK_LEN,
				after + i * IDENTITY_BLOCK_LEN,
				IDENTITY_BLOCK_LEN) != 0) {
				uint8_t *mine = before + i * IDENTITY_BLOCK_LEN;
				uint8_t *other =
				    before + (1 - i) * IDENTITY_BLOCK_LEN;

				changed++;
				ck_assert_uint_lt(
				    get_le64(mine + 16), get_le64(other + 16));
			}
		free(before);
		free(after);
	}
	ck_assert_int_eq(changed, 4);
}
END_TEST

START_TEST(test_damage_in_one_copy_falls_back)
{
	must_write(1);
	must_write(2); /* goes to copy 0: a new file counts copy 1 */
	for (uint64_t off = 0; off < IDENTITY_BLOCK_LEN; off += 61) {
		poke(off, 0x10);
		ck_assert_int_eq(boot_read(), 1);
		poke(off, 0x10);
		poke(IDENTITY_BLOCK_LEN + off, 0x10);
		ck_assert_int_eq(boot_read(), 2);
		poke(IDENTITY_BLOCK_LEN + off, 0x10);
	}
}
END_TEST

START_TEST(test_a_boot_may_stand_in_the_copy_that_is_damaged)
{
	must_write(1);
	must_write(2);
	ck_assert_uint_eq(boots_missed(), 0);
	poke(100, 1);
	ck_assert_int_eq(boot_read(), 1);
	ck_assert_uint_eq(boots_missed(), 1);
	poke(100, 1);
	ck_assert_uint_eq(boots_missed(), 0);
}
END_TEST

START_TEST(test_a_new_cluster_stands_in_both_copies)
{
	must_write(1);
	must_write(2);
	sample.cluster[0] ^= 1;
	must_write(2);
	for (uint64_t off = 100; off < 2 * IDENTITY_BLOCK_LEN;
	     off += IDENTITY_BLOCK_LEN) {
		poke(off, 1);
		ck_assert_int_eq(boot_read(), 2); /* compares the cluster */
		poke(off, 1);
	}
}
END_TEST

START_TEST(test_both_copies_damaged_is_final)
{
	struct errtext et = {""};

	must_write(1);
	poke(20, 1);
	poke(IDENTITY_BLOCK_LEN + 57, 1);
	ck_assert_int_eq(boot_read(), -EBADMSG);
	ck_assert_int_eq(identity_write(&disk, &sample, &et), -EBADMSG);
	ck_assert_int_eq(boot_read(), -EBADMSG);
}
END_TEST

START_TEST(test_every_truncation_is_survived)
{
	must_write(1);
	must_write(2);
	for (int64_t len = 2 * IDENTITY_BLOCK_LEN - 1; len >= 0; len -= 97) {
		struct disk_file *f;

		ck_assert_int_eq(
		    disk.ops->open(disk.ctx, "identity", DISK_WRITE, &f), 0);
		ck_assert_int_eq(
		    disk.ops->truncate(disk.ctx, f, (uint64_t)len), 0);
		disk.ops->close(disk.ctx, f);
		ck_assert_int_eq(
		    boot_read(), len >= IDENTITY_BLOCK_LEN ? 2 : -EBADMSG);
	}
}
END_TEST

START_TEST(test_newer_format_is_refused)
{
	must_write(1);
	sample.format = IDENTITY_FORMAT_MAX + 1;
	must_write(2);
	ck_assert_int_eq(boot_read(), -EBADMSG);
}
END_TEST

START_TEST(test_former_ids_are_kept)
{
	uint8_t first[IDENTITY_ID_LEN], next[IDENTITY_ID_LEN];
	struct identity id;
	struct errtext et;

	must_write(1);
	memcpy(first, sample.cluster, sizeof(first));
	for (unsigned i = 1; i <= IDENTITY_FORMERS_MAX + 1; i++) {
		memset(next, (int)i, sizeof(next));
		ck_assert(!identity_was(&sample, next));
		identity_renew(&sample, next, i);
		ck_assert_int_eq(identity_write(&disk, &sample, &et), 0);
		ck_assert_int_eq(identity_read(&disk, &id, &et), 0);
		ck_assert_uint_eq(id.epoch, i);
		ck_assert_uint_eq(id.format, IDENTITY_FORMAT_RECOVERED);
		ck_assert_mem_eq(id.cluster, next, sizeof(next));
		/* The oldest is forgotten when there is no room. */
		ck_assert(
		    identity_was(&id, first) == (i <= IDENTITY_FORMERS_MAX));
		ck_assert(!identity_was(&id, next));
	}
	memset(next, IDENTITY_FORMERS_MAX, sizeof(next));
	ck_assert(identity_was(&id, next));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("identity");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_new_directory_has_none);
	tcase_add_test(t, test_written_identity_reads_back);
	tcase_add_test(t, test_update_spares_the_copy_that_counts);
	tcase_add_test(t, test_damage_in_one_copy_falls_back);
	tcase_add_test(t, test_a_boot_may_stand_in_the_copy_that_is_damaged);
	tcase_add_test(t, test_a_new_cluster_stands_in_both_copies);
	tcase_add_test(t, test_both_copies_damaged_is_final);
	tcase_add_test(t, test_every_truncation_is_survived);
	tcase_add_test(t, test_newer_format_is_refused);
	tcase_add_test(t, test_former_ids_are_kept);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
