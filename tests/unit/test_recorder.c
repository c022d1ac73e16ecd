/*
 * test_recorder.c - the lines of a recorded history, read back as JSON.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loadgen/recorder.h"

static char path[64];
static struct recorder *r;

static void
setup(void)
{
	int fd;

	(void)snprintf(path, sizeof(path), "/tmp/recorder.XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(recorder_open(path, &r), 0);
}

static void
teardown(void)
{
	(void)unlink(path);
}

/* The one line that was written must be exactly this. */
static void
assert_line(const struct record_line *l, const char *want)
{
	char got[512] = "";
	json_t *j;
	FILE *f;

	recorder_write(r, l);
	ck_assert_int_eq(recorder_close(r), 0);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(got, sizeof(got), f));
	ck_assert_int_eq(fgetc(f), EOF);
	fclose(f);
	ck_assert_str_eq(got, want);
	j = json_loads(got, JSON_REJECT_DUPLICATES, NULL);
	ck_assert_ptr_nonnull(j);
	json_decref(j);
}

START_TEST(test_an_invocation_without_a_value)
{
	struct record_line l = {
	    .time_ns = 12, .process = 3, .f = "get", .key = "k"};

	assert_line(&l,
	    "{\"index\":0,\"time\":12,\"process\":3,\"type\":\"invoke\","
	    "\"f\":\"get\",\"key\":\"k\"}\n");
}
END_TEST

START_TEST(test_nothing_was_read)
{
	struct record_line l = {
	    .type = RECORD_OK, .f = "get", .key = "k", .kind = RECORD_NULL};

	assert_line(&l, "{\"index\":0,\"time\":0,\"process\":0,\"type\":\"ok\","
			"\"f\":\"get\",\"key\":\"k\",\"value\":null}\n");
}
END_TEST

START_TEST(test_a_cas_that_met_another_value)
{
	struct record_line l = {.type = RECORD_OK,
	    .f = "cas",
	    .key = "k",
	    .not_swapped = true,
	    .rev = 77};

	assert_line(&l,
	    "{\"index\":0,\"time\":0,\"process\":0,\"type\":\"ok\","
	    "\"f\":\"cas\",\"key\":\"k\",\"swapped\":false,\"rev\":77}\n");
}
END_TEST

START_TEST(test_bytes_that_json_cannot_hold_are_base64)
{
	struct record_line l = {.type = RECORD_INVOKE,
	    .f = "cas",
	    .key = "k",
	    .kind = RECORD_PAIR,
	    .value = {
		{(const uint8_t *)"\0\xff", 2}, {(const uint8_t *)"plain", 5}}};

	assert_line(&l,
	    "{\"index\":0,\"time\":0,\"process\":0,\"type\":\"invoke\","
	    "\"f\":\"cas\",\"key\":\"k\","
	    "\"value_b64\":[\"AP8=\",\"cGxhaW4=\"]}\n");
}
END_TEST

START_TEST(test_quotes_and_backslashes_are_base64)
{
	static const char *const value[] = {"\"", "\\", "\n", "\x7f", "ab\""};
	static const char *const b64[] = {
	    "Ig==", "XA==", "Cg==", "fw==", "YWIi"};
	struct record_line l = {.type = RECORD_OK,
	    .f = "get",
	    .key = "k",
	    .kind = RECORD_ONE,
	    .value = {
		{(const uint8_t *)value[_i], strlen(value[_i])}, {NULL, 0}}};
	char want[256];

	(void)snprintf(want, sizeof(want),
	    "{\"index\":0,\"time\":0,\"process\":0,\"type\":\"ok\","
	    "\"f\":\"get\",\"key\":\"k\",\"value_b64\":\"%s\"}\n",
	    b64[_i]);
	assert_line(&l, want);
}
END_TEST

START_TEST(test_many_lines_pass_through_the_buffer)
{
	enum { LINES = 50000 };
	struct record_line l = {.f = "put",
	    .key = "k",
	    .kind = RECORD_ONE,
	    .value = {{(const uint8_t *)"v", 1}, {NULL, 0}}};
	char line[512];
	unsigned i;
	json_t *j;
	FILE *f;

	for (i = 0; i < LINES; i++)
		recorder_write(r, &l);
	ck_assert_int_eq(recorder_close(r), 0);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	for (i = 0; fgets(line, sizeof(line), f) != NULL; i++) {
		j = json_loads(line, 0, NULL);
		ck_assert_uint_eq(
		    (unsigned)json_integer_value(json_object_get(j, "index")),
		    i);
		json_decref(j);
	}
	ck_assert_uint_eq(i, LINES);
	fclose(f);
}
END_TEST

START_TEST(test_a_full_disk_is_told_at_the_end)
{
	struct record_line l = {.f = "get", .key = "k"};
	unsigned i;

	ck_assert_int_eq(recorder_close(r), 0);
	ck_assert_int_eq(recorder_open("/dev/full", &r), 0);
	for (i = 0; i < 50000; i++)
		recorder_write(r, &l);
	ck_assert_int_eq(recorder_close(r), -ENOSPC);
	ck_assert_int_eq(recorder_open("/nowhere/file", &r), -ENOENT);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("recorder");
	TCase *tc = tcase_create("recorder");
	SRunner *sr;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_an_invocation_without_a_value);
	tcase_add_test(tc, test_nothing_was_read);
	tcase_add_test(tc, test_a_cas_that_met_another_value);
	tcase_add_test(tc, test_bytes_that_json_cannot_hold_are_base64);
	tcase_add_loop_test(tc, test_quotes_and_backslashes_are_base64, 0, 5);
	tcase_add_test(tc, test_many_lines_pass_through_the_buffer);
	tcase_add_test(tc, test_a_full_disk_is_told_at_the_end);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
