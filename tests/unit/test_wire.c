/*
 * test_wire.c - status codes and error values, in both styles.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/wire.h"

static struct wire_error
through(const struct wire_error *e, bool as_map)
{
	struct wire_error out;
	struct mp_buf b;

	mp_buf_init(&b);
	wire_put_error(&b, e, as_map);
	ck_assert_int_eq(mp_scan(b.data, b.len), 0);
	memset(&out, 0x55, sizeof(out));
	wire_read_error(mp_span(b.data, b.len), &out);
	mp_buf_release(&b);
	return out;
}

START_TEST(test_each_status_has_one_name)
{
	const char *name;

	for (int i = 0; i < WIRE_STATUS_COUNT; i++) {
		name = wire_status_info((enum wire_status)i)->name;
		ck_assert_ptr_nonnull(name);
		ck_assert_int_eq(
		    (int)wire_status_by_name(mp_span(name, strlen(name))), i);
	}
	ck_assert_int_eq(wire_status_by_name(mp_span("NOPE", 4)), WIRE_BUG);
	ck_assert_int_eq(wire_status_by_name(mp_span("", 0)), WIRE_BUG);
	ck_assert_str_eq(wire_status_info((enum wire_status)1000)->name, "BUG");
}
END_TEST

START_TEST(test_unknown_outcome_is_never_safe_to_retry)
{
	ck_assert(!wire_status_info(WIRE_UNKNOWN)->retry);
	ck_assert_int_eq(wire_status_info(WIRE_UNKNOWN)->exit, 3);
	ck_assert(wire_status_info(WIRE_NO_LEADER)->retry);
	ck_assert(wire_status_info(WIRE_BUSY)->retry);
}
END_TEST

START_TEST(test_errors_come_back_as_they_went)
{
	struct wire_error e = {WIRE_NO_LEADER, "no leader known",
	    "unix:/run/raftd.sock", "connect 127.0.0.1:7001: refused"};
	struct wire_error out;

	for (int i = 1; i < WIRE_STATUS_COUNT; i++) {
		e.status = (enum wire_status)i;
		out = through(&e, true);
		ck_assert_int_eq((int)out.status, i);
		ck_assert_str_eq(out.message, e.message);
		ck_assert_str_eq(out.leader, e.leader);
		ck_assert_str_eq(out.cause, e.cause);
		out = through(&e, false);
		ck_assert_int_eq((int)out.status, i);
		ck_assert_str_eq(out.message, e.message);
		ck_assert_str_eq(out.leader, "");
	}
}
END_TEST

START_TEST(test_default_style_is_a_pair_with_a_line)
{
	struct wire_error e = {WIRE_BUSY, "queue full", "", ""};
	struct mp_buf b;

	mp_buf_init(&b);
	wire_put_error(&b, &e, false);
	ck_assert_uint_eq(b.len, 19);
	ck_assert(memcmp(b.data,
		      "\x92\x00\xb0"
		      "BUSY: queue full",
		      19) == 0);
	mp_buf_release(&b);
}
END_TEST

START_TEST(test_text_on_the_wire_is_utf8_without_controls)
{
	struct wire_error e = {
	    WIRE_USAGE, "a\xff\xc3\xa4\x1b[31m\xe2\x82", "", ""};
	struct wire_error out;

	out = through(&e, true);
	ck_assert_str_eq(out.message, "a?\xc3\xa4?[31m??");
	out = through(&e, false);
	ck_assert_str_eq(out.message, "a?\xc3\xa4?[31m??");
}
END_TEST

START_TEST(test_long_text_is_cut_between_characters)
{
	struct wire_error e = {WIRE_USAGE, "", "", ""};
	struct wire_error out;

	for (size_t i = 0; i + 3 < sizeof(e.message); i += 3)
		memcpy(e.message + i, "\xe2\x82\xac", 3);
	e.message[255] = '\0';
	out = through(&e, true);
	ck_assert_uint_eq(strlen(out.message), 255);
	memmove(e.message + 1, e.message, 255); /* not even ended */
	e.message[0] = 'x';
	out = through(&e, true);
	ck_assert_uint_eq(strlen(out.message), 253);
}
END_TEST

static enum wire_status
read_raw(const char *data, size_t len, struct wire_error *e)
{
	wire_read_error(mp_span(data, len), e);
	return e->status;
}

START_TEST(test_foreign_errors_become_bug_and_keep_their_words)
{
	struct wire_error e;

	ck_assert_int_eq(read_raw("\x92\x01\xa4oops", 7, &e), WIRE_BUG);
	ck_assert_str_eq(e.message, "oops");
	ck_assert_int_eq(read_raw("\xa4oops", 5, &e), WIRE_BUG);
	ck_assert_str_eq(e.message, "oops");
	ck_assert_int_eq(read_raw("\x07", 1, &e), WIRE_BUG);
	ck_assert_str_eq(e.message, "error of 1 bytes: 07");
	ck_assert_int_eq(read_raw("", 0, &e), WIRE_BUG);
	ck_assert_int_eq(read_raw("\x92\x01", 2, &e), WIRE_BUG);
	ck_assert_int_eq(read_raw("\x81\xa4"
				  "code\xa4"
				  "NOPE",
			     11, &e),
	    WIRE_BUG);
	ck_assert_str_eq(e.message, "NOPE");
	/* an error is not OK, whatever it says */
	ck_assert_int_eq(read_raw("\x92\x00\xa2OK", 5, &e), WIRE_BUG);
	ck_assert_int_eq(read_raw("\x92\x00\xa4"
				  "BUSY",
			     7, &e),
	    WIRE_BUSY);
	ck_assert_str_eq(e.message, "");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("wire");
	TCase *t = tcase_create("wire");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_each_status_has_one_name);
	tcase_add_test(t, test_unknown_outcome_is_never_safe_to_retry);
	tcase_add_test(t, test_errors_come_back_as_they_went);
	tcase_add_test(t, test_default_style_is_a_pair_with_a_line);
	tcase_add_test(t, test_text_on_the_wire_is_utf8_without_controls);
	tcase_add_test(t, test_long_text_is_cut_between_characters);
	tcase_add_test(t, test_foreign_errors_become_bug_and_keep_their_words);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
