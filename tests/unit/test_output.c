/*
 * test_output.c - values of the wire as JSON, and units as people write
 * them.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/output.h"
#include "raftctl/units.h"

static struct mp_buf b;

static void
setup(void)
{
	mp_buf_init(&b);
}

static void
teardown(void)
{
	mp_buf_release(&b);
}

/* The packed value as JSON text must be this. */
static void
expect(enum output_encoding encoding, const char *want)
{
	json_t *j = output_json(mp_span(b.data, b.len), encoding);
	char *text;

	ck_assert_ptr_nonnull(j);
	text = json_dumps(j, JSON_COMPACT | JSON_ENCODE_ANY);
	ck_assert_str_eq(text, want);
	free(text);
	json_decref(j);
	mp_buf_reset(&b);
}

START_TEST(test_scalars)
{
	mp_put_array(&b, 8);
	mp_put_nil(&b);
	mp_put_bool(&b, true);
	mp_put_bool(&b, false);
	mp_put_u64(&b, 9007199254740991u);
	mp_put_i64(&b, -1);
	mp_put_double(&b, 0.5);
	mp_put_str(&b, "a\"b\n");
	mp_put_map(&b, 0);
	expect(OUTPUT_AUTO,
	    "[null,true,false,9007199254740991,-1,0.5,\"a\\\"b\\n\",{}]");
}
END_TEST

START_TEST(test_integers_beyond_json_become_strings)
{
	mp_put_u64(&b, UINT64_MAX);
	expect(OUTPUT_AUTO, "\"18446744073709551615\"");
}
END_TEST

START_TEST(test_bytes_that_are_text_stay_text)
{
	mp_put_map(&b, 2);
	mp_put_kv_bin(&b, "key", "k\0\xc3\xa4", 4);
	mp_put_kv_bin(&b, "value", "", 0);
	expect(OUTPUT_AUTO, "{\"key\":\"k\\u0000\xc3\xa4\",\"value\":\"\"}");
}
END_TEST

START_TEST(test_other_bytes_are_base64_under_their_own_name)
{
	static const char *const want[] = {"{\"value_b64\":\"/w==\"}",
	    "{\"value_b64\":\"//4=\"}", "{\"value_b64\":\"//79\"}",
	    "{\"value_b64\":\"//79/A==\"}"};

	for (size_t len = 1; len <= 4; len++) {
		mp_put_map(&b, 1);
		mp_put_kv_bin(&b, "value", "\xff\xfe\xfd\xfc", len);
		expect(OUTPUT_AUTO, want[len - 1]);
	}
}
END_TEST

START_TEST(test_what_no_utf8_is_never_becomes_text)
{
	static const char *const bad[] = {"\x80", "\xc0\x80", "\xc1\xbf",
	    "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
	    "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "a\xc3"};
	json_t *j;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		mp_put_map(&b, 1);
		mp_put_kv_bin(&b, "value", bad[i], strlen(bad[i]));
		j = output_json(mp_span(b.data, b.len), OUTPUT_AUTO);
		ck_assert_ptr_nonnull(json_object_get(j, "value_b64"));
		ck_assert_ptr_null(json_object_get(j, "value"));
		json_decref(j);
		mp_buf_reset(&b);
	}
}
END_TEST

START_TEST(test_encoding_can_be_forced_for_bytes_not_for_text)
{
	for (int i = 0; i < 2; i++) {
		mp_put_map(&b, 2);
		mp_put_kv_bin(&b, "key", "ab", 2);
		mp_put_kv_str(&b, "role", "leader");
		expect(i == 0 ? OUTPUT_BASE64 : OUTPUT_HEX,
		    i == 0 ? "{\"key_b64\":\"YWI=\",\"role\":\"leader\"}"
			   : "{\"key_hex\":\"6162\",\"role\":\"leader\"}");
	}
}
END_TEST

START_TEST(test_damaged_bytes_give_nothing)
{
	static const uint8_t bad[][3] = {
	    {0xc1, 0, 0}, {0x92, 1, 0xc1}, {0x81, 1, 1}, {0x81, 0xa1, 'k'}};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_ptr_null(
		    output_json(mp_span(bad[i], 3), OUTPUT_AUTO));
	ck_assert_ptr_null(output_json(mp_span(NULL, 0), OUTPUT_AUTO));
}
END_TEST

START_TEST(test_error_has_all_its_keys)
{
	struct wire_error e = {WIRE_NO_LEADER, "none \xff", "", ""};
	json_t *j = output_error(&e);
	char *text = json_dumps(j, JSON_COMPACT);

	ck_assert_str_eq(text, "{\"code\":\"NO_LEADER\",\"exit\":69,"
			       "\"retry\":true,\"message\":\"none ?\","
			       "\"cause\":null}");
	free(text);
	json_decref(j);
}
END_TEST

START_TEST(test_names_of_formats_and_encodings)
{
	enum output_format f = OUTPUT_DEFAULT;
	enum output_encoding e = OUTPUT_AUTO;

	ck_assert_int_eq(output_format_by_name("fields", &f), 0);
	ck_assert_int_eq(f, OUTPUT_FIELDS);
	ck_assert_int_eq(output_format_by_name("yaml", &f), -EINVAL);
	ck_assert_int_eq(f, OUTPUT_FIELDS);
	ck_assert_int_eq(output_encoding_by_name("hex", &e), 0);
	ck_assert_int_eq(e, OUTPUT_HEX);
	ck_assert_int_eq(output_encoding_by_name("", &e), -EINVAL);
}
END_TEST

START_TEST(test_durations_have_a_unit)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} good[] = {{"250ms", 250}, {"5s", 5000}, {"2m", 120000},
	    {"1h", 3600000}, {"1d", 86400000}, {"0s", 0}};
	static const char *const bad[] = {"", "5", "s", "ms", "5 s", "5S",
	    "-5s", "5.5s", "5ss", "0x5s", "99999999999999999999s",
	    "18446744073709551615m"};
	uint64_t v = 77;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(
		    units_duration_ms(bad[i], &v) == -EINVAL, "%s", bad[i]);
	ck_assert_uint_eq(v, 77);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ck_assert_int_eq(units_duration_ms(good[i].text, &v), 0);
		ck_assert_uint_eq(v, good[i].ms);
	}
}
END_TEST

START_TEST(test_sizes_and_numbers)
{
	uint64_t v;

	ck_assert_int_eq(units_size("64K", &v), 0);
	ck_assert_uint_eq(v, 65536);
	ck_assert_int_eq(units_size("1G", &v), 0);
	ck_assert_uint_eq(v, 1u << 30);
	ck_assert_int_eq(units_size("12", &v), 0);
	ck_assert_uint_eq(v, 12);
	ck_assert_int_eq(units_size("12k", &v), -EINVAL);
	ck_assert_int_eq(units_u64("18446744073709551615", &v), 0);
	ck_assert_uint_eq(v, UINT64_MAX);
	ck_assert_int_eq(units_u64("18446744073709551616", &v), -EINVAL);
	ck_assert_int_eq(units_u64("+1", &v), -EINVAL);
	ck_assert_int_eq(units_u64(" 1", &v), -EINVAL);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("output");
	TCase *t = tcase_create("output");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_scalars);
	tcase_add_test(t, test_integers_beyond_json_become_strings);
	tcase_add_test(t, test_bytes_that_are_text_stay_text);
	tcase_add_test(t, test_other_bytes_are_base64_under_their_own_name);
	tcase_add_test(t, test_what_no_utf8_is_never_becomes_text);
	tcase_add_test(t, test_encoding_can_be_forced_for_bytes_not_for_text);
	tcase_add_test(t, test_damaged_bytes_give_nothing);
	tcase_add_test(t, test_error_has_all_its_keys);
	tcase_add_test(t, test_names_of_formats_and_encodings);
	tcase_add_test(t, test_durations_have_a_unit);
	tcase_add_test(t, test_sizes_and_numbers);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
