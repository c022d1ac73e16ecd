/*
 * test_log.c - the lines of raftd's log.
 */
#include <check.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "raftd/log.h"

START_TEST(test_line_has_time_level_and_fields)
{
	char line[LOG_LINE_MAX];
	size_t len;

	len = log_format(
	    line, sizeof(line), 1927627200123, HOST_WARN, "event=x term=7");
	ck_assert_str_eq(
	    line, "ts=2031-01-31T12:00:00.123Z level=warn event=x term=7\n");
	ck_assert_uint_eq(len, strlen(line));
}
END_TEST

START_TEST(test_line_that_is_cut_still_ends)
{
	char line[48], fields[200];
	size_t len;

	memset(fields, 'x', sizeof(fields) - 1);
	fields[sizeof(fields) - 1] = '\0';
	len = log_format(line, sizeof(line), 0, HOST_INFO, fields);
	ck_assert_uint_eq(len, sizeof(line) - 1);
	ck_assert_int_eq(line[len - 1], '\n');
}
END_TEST

static const struct {
	const char *value, *want;
} quotes[] = {
    {"plain", "plain"},
    {"unix:/a/b", "unix:/a/b"},
    {"", "\"\""},
    {"two words", "\"two words\""},
    {"a=b", "\"a=b\""},
    {"say \"hi\"", "\"say \\\"hi\\\"\""},
    {"back\\slash", "\"back\\\\slash\""},
    {"line\nline", "\"line\\nline\""},
    {"\x1b[31m", "\"\\x1b[31m\""},
    {"gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\""},
};

START_TEST(test_values_are_quoted_where_they_must)
{
	char buf[64];

	ck_assert_str_eq(
	    log_quote(buf, sizeof(buf), quotes[_i].value), quotes[_i].want);
}
END_TEST

START_TEST(test_quoted_value_never_exceeds_its_buffer)
{
	char buf[32];

	for (size_t size = 1; size <= sizeof(buf); size++) {
		memset(buf, 'Z', sizeof(buf));
		(void)log_quote(
		    buf, size, "\x01\x02\x03\x04\x05\x06\x07\x01\x01\x01");
		ck_assert_uint_lt(strlen(buf), size);
		for (size_t i = size; i < sizeof(buf); i++)
			ck_assert_int_eq(buf[i], 'Z');
	}
}
END_TEST

START_TEST(test_reader_that_stopped_costs_lines_and_is_told_how_many)
{
	char text[LOG_LINE_MAX], junk[4096];
	int fds[2], saved = dup(STDERR_FILENO);
	ssize_t n;
	long lost = 0;

	memset(text, 'x', 1000);
	text[1000] = '\0';
	ck_assert_int_eq(pipe(fds), 0);
	(void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
	ck_assert_int_ge(dup2(fds[1], STDERR_FILENO), 0);
	log_level_set(HOST_INFO);
	/* A pipe takes 64 KiB; this must return all the same. */
	for (int i = 0; i < 100; i++)
		log_fields(HOST_INFO, text);
	log_fields(HOST_DEBUG, "event=unseen");
	while (read(fds[0], junk, sizeof(junk)) > 0)
		continue;
	log_fields(HOST_INFO, "event=after");
	n = read(fds[0], junk, sizeof(junk) - 1);
	(void)dup2(saved, STDERR_FILENO);
	(void)close(saved);
	(void)close(fds[0]);
	(void)close(fds[1]);
	ck_assert_int_gt(n, 0);
	junk[n] = '\0';
	ck_assert_ptr_nonnull(strstr(junk, "event=log.lost lines="));
	lost = strtol(strstr(junk, "lines=") + 6, NULL, 10);
	ck_assert_int_gt(lost, 10);
	ck_assert_int_lt(lost, 100);
	ck_assert_ptr_nonnull(strstr(junk, "event=after"));
	ck_assert_ptr_null(strstr(junk, "unseen"));
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("log");
	TCase *t = tcase_create("log");

	tcase_add_test(t, test_line_has_time_level_and_fields);
	tcase_add_test(t, test_line_that_is_cut_still_ends);
	tcase_add_loop_test(t, test_values_are_quoted_where_they_must, 0,
	    (int)(sizeof(quotes) / sizeof(quotes[0])));
	tcase_add_test(t, test_quoted_value_never_exceeds_its_buffer);
	tcase_add_test(
	    t, test_reader_that_stopped_costs_lines_and_is_told_how_many);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	SRunner *r = srunner_create(suite());
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
