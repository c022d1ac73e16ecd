/*
 * test_disk.c - the real disk: a directory, its lock, whole-file replace.
 */
#include <sys/wait.h>

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "raftctl/errtext.h"
#include "raftwal/disk.h"

static char dir[64];
static struct disk disk;

static void
setup(void)
{
	struct errtext et;

	strcpy(dir, "/tmp/test_disk.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(disk_real_open(dir, false, false, &disk, &et), 0);
}

static int
remove_one(void *arg, const char *name)
{
	(void)arg;
	return disk.ops->unlink(disk.ctx, name);
}

static void
teardown(void)
{
	(void)disk.ops->unlink(disk.ctx, "sub/x");
	(void)disk.ops->unlink(disk.ctx, "sub/x.tmp");
	if (access(dir, F_OK) == 0) {
		char sub[80];

		(void)snprintf(sub, sizeof(sub), "%s/sub", dir);
		(void)rmdir(sub);
		(void)disk.ops->list(disk.ctx, ".", remove_one, NULL);
	}
	disk_real_close(&disk);
	(void)rmdir(dir);
}

START_TEST(test_written_bytes_read_back_at_any_alignment)
{
	static uint8_t block[2 * DISK_ALIGN]
	    __attribute__((aligned(DISK_ALIGN)));
	const int flags[] = {
	    DISK_WRITE | DISK_CREATE, DISK_WRITE | DISK_CREATE | DISK_DIRECT};

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(i * 31 >> 3);
	for (int k = 0; k < 2; k++) {
		struct disk_file *f;
		uint8_t out[100];
		uint64_t size;

		ck_assert_int_eq(
		    disk.ops->open(disk.ctx, "f", flags[k], &f), 0);
		ck_assert_int_eq(
		    disk.ops->write(disk.ctx, f, block, sizeof(block), 0), 0);
		ck_assert_int_eq(disk.ops->sync(disk.ctx, f), 0);
		ck_assert_int_eq(disk.ops->size(disk.ctx, f, &size), 0);
		ck_assert_uint_eq(size, sizeof(block));
		ck_assert_int_eq(
		    disk.ops->read(disk.ctx, f, out, 100, 4050), 100);
		ck_assert_mem_eq(out, block + 4050, 100);
		/* Short only at the end. */
		ck_assert_int_eq(
		    disk.ops->read(disk.ctx, f, out, 100, sizeof(block) - 10),
		    10);
		ck_assert_int_eq(
		    disk.ops->read(disk.ctx, f, out, 100, 1 << 20), 0);
		disk.ops->close(disk.ctx, f);
		ck_assert_int_eq(disk.ops->unlink(disk.ctx, "f"), 0);
	}
}
END_TEST

START_TEST(test_create_refuses_what_exists)
{
	struct disk_file *f, *g;

	ck_assert_int_eq(
	    disk.ops->open(disk.ctx, "f", DISK_WRITE, &f), -ENOENT);
	ck_assert_int_eq(
	    disk.ops->open(disk.ctx, "f", DISK_WRITE | DISK_CREATE, &f), 0);
	ck_assert_int_eq(
	    disk.ops->open(disk.ctx, "f", DISK_WRITE | DISK_CREATE, &g),
	    -EEXIST);
	disk.ops->close(disk.ctx, f);
}
END_TEST

START_TEST(test_truncate_grows_with_written_zeroes)
{
	struct disk_file *f;
	uint8_t out[DISK_ALIGN];
	uint64_t size;

	ck_assert_int_eq(
	    disk.ops->open(disk.ctx, "f", DISK_WRITE | DISK_CREATE, &f), 0);
	ck_assert_int_eq(disk.ops->truncate(disk.ctx, f, 1000000), 0);
	ck_assert_int_eq(disk.ops->size(disk.ctx, f, &size), 0);
	ck_assert_uint_eq(size, 1000000);
	ck_assert_int_eq(disk.ops->read(disk.ctx, f, out, sizeof(out), 500000),
	    (int)sizeof(out));
	for (size_t i = 0; i < sizeof(out); i++)
		ck_assert_uint_eq(out[i], 0);
	ck_assert_int_eq(disk.ops->truncate(disk.ctx, f, 10), 0);
	ck_assert_int_eq(disk.ops->size(disk.ctx, f, &size), 0);
	ck_assert_uint_eq(size, 10);
	disk.ops->close(disk.ctx, f);
}
END_TEST

START_TEST(test_second_process_finds_the_lock_taken)
{
	struct disk a, b;
	struct errtext et = {""};
	pid_t pid;
	int status;

	ck_assert_int_eq(disk_real_open(dir, false, true, &a, &et), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(disk_real_open(dir, false, true, &b, &et) == -EWOULDBLOCK
			  ? 0
			  : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	disk_real_close(&a);
	ck_assert_int_eq(disk_real_open(dir, false, true, &a, &et), 0);
	disk_real_close(&a);
}
END_TEST

static int
collect(void *arg, const char *name)
{
	char *s = arg;

	strcat(s, name);
	strcat(s, " ");
	return 0;
}

START_TEST(test_list_is_in_byte_order)
{
	const char *names[] = {"b", "a", "C", "ab"};
	char all[64] = "";
	struct disk_file *f;

	for (int i = 0; i < 4; i++) {
		ck_assert_int_eq(disk.ops->open(disk.ctx, names[i],
				     DISK_WRITE | DISK_CREATE, &f),
		    0);
		disk.ops->close(disk.ctx, f);
	}
	ck_assert_int_eq(disk.ops->list(disk.ctx, ".", collect, all), 0);
	ck_assert_str_eq(all, "C a ab b ");
}
END_TEST

START_TEST(test_replace_leaves_old_or_new)
{
	struct disk_file *f;
	uint8_t *data;
	size_t len;

	ck_assert_int_eq(disk.ops->mkdir(disk.ctx, "sub"), 0);
	ck_assert_int_eq(disk.ops->mkdir(disk.ctx, "sub"), -EEXIST);
	ck_assert_int_eq(disk_replace(&disk, "sub/x", "old", 3), 0);
	/* What a crash left behind is in nobody's way. */
	ck_assert_int_eq(
	    disk.ops->open(disk.ctx, "sub/x.tmp", DISK_WRITE | DISK_CREATE, &f),
	    0);
	disk.ops->close(disk.ctx, f);
	ck_assert_int_eq(disk_replace(&disk, "sub/x", "newer", 5), 0);
	ck_assert_int_eq(disk_slurp(&disk, "sub/x", 5, &data, &len), 0);
	ck_assert_uint_eq(len, 5);
	ck_assert_mem_eq(data, "newer", 5);
	free(data);
	ck_assert_int_eq(disk_slurp(&disk, "sub/x", 4, &data, &len), -EFBIG);
	ck_assert_int_eq(
	    disk_slurp(&disk, "sub/none", 4, &data, &len), -ENOENT);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("disk");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_written_bytes_read_back_at_any_alignment);
	tcase_add_test(t, test_create_refuses_what_exists);
	tcase_add_test(t, test_truncate_grows_with_written_zeroes);
	tcase_add_test(t, test_second_process_finds_the_lock_taken);
	tcase_add_test(t, test_list_is_in_byte_order);
	tcase_add_test(t, test_replace_leaves_old_or_new);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
