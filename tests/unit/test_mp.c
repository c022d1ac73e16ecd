/*
 * test_mp.c - the gate for bytes from outside, the cursor, the packer.
 */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/mp.h"

#define SCAN(...)                               \
	mp_scan((const uint8_t[]){__VA_ARGS__}, \
	    sizeof((const uint8_t[]){__VA_ARGS__}))

/* One value of each kind of head, nested. */
static void
put_everything(struct mp_buf *b)
{
	static uint8_t big[70000];

	mp_put_array(b, 24);
	mp_put_nil(b);
	mp_put_bool(b, true);
	mp_put_bool(b, false);
	mp_put_u64(b, 127);
	mp_put_u64(b, 255);
	mp_put_u64(b, 65535);
	mp_put_u64(b, UINT32_MAX);
	mp_put_u64(b, UINT64_MAX);
	mp_put_i64(b, -32);
	mp_put_i64(b, -128);
	mp_put_i64(b, INT16_MIN);
	mp_put_i64(b, INT32_MIN);
	mp_put_i64(b, INT64_MIN);
	mp_put_double(b, 1.5);
	mp_put_str(b, "");
	mp_put_strn(b, big, 31);
	mp_put_strn(b, big, 255);
	mp_put_strn(b, big, 65535);
	mp_put_strn(b, big, 65536);
	mp_put_bin(b, big, 200);
	mp_put_bin(b, big, 300);
	mp_put_bin(b, big, 70000);
	mp_put_map(b, 20);
	for (int i = 0; i < 20; i++) {
		mp_put_u64(b, (uint64_t)i);
		mp_put_array(b, 17);
		for (int j = 0; j < 17; j++)
			mp_put_array(b, 0);
	}
	mp_put_map(b, 0);
}

START_TEST(test_scan_takes_what_the_packer_makes)
{
	struct mp_buf b;

	mp_buf_init(&b);
	put_everything(&b);
	ck_assert(!b.failed);
	ck_assert_int_eq(mp_scan(b.data, b.len), 0);
	mp_buf_release(&b);
}
END_TEST

START_TEST(test_scan_in_pieces_is_scan_of_the_whole)
{
	static const size_t steps[] = {1, 2, 3, 7, 4096};
	struct mp_buf b;
	struct mp_scan s;
	size_t len, got;
	int r;

	mp_buf_init(&b);
	put_everything(&b);
	mp_put_nil(&b); /* the value ends before the bytes do */
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		mp_scan_init(&s, b.len, 0);
		r = 0;
		for (len = 0; r == 0; len += steps[i]) {
			if (len > b.len)
				len = b.len;
			r = mp_scan_feed(&s, b.data, len, &got);
			ck_assert(r == 0 || len >= b.len - 1);
		}
		ck_assert_int_eq(r, 1);
		ck_assert_uint_eq(got, b.len - 1);
	}
	mp_buf_release(&b);
}
END_TEST

START_TEST(test_scan_refuses_a_value_cut_anywhere)
{
	struct mp_buf b;

	mp_buf_init(&b);
	put_everything(&b);
	for (size_t len = 0; len < b.len; len += len < 100 ? 1 : 997)
		ck_assert_int_eq(mp_scan(b.data, len), -EPROTO);
	mp_buf_release(&b);
}
END_TEST

START_TEST(test_scan_refuses_trailing_bytes)
{
	ck_assert_int_eq(SCAN(0xc0), 0);
	ck_assert_int_eq(SCAN(0xc0, 0xc0), -EPROTO);
}
END_TEST

START_TEST(test_scan_refuses_ext_and_the_reserved_byte)
{
	static const uint8_t bad[] = {
	    0xc1, 0xc7, 0xc8, 0xc9, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8};
	uint8_t data[32] = {0};

	for (size_t i = 0; i < sizeof(bad); i++) {
		data[0] = 0x91;
		data[1] = bad[i];
		ck_assert_int_eq(mp_scan(data, sizeof(data)), -EPROTO);
	}
}
END_TEST

START_TEST(test_scan_bounds_counts_by_the_bytes_left)
{
	struct mp_scan s;
	size_t got;
	static const uint8_t array[] = {0xdd, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t map[] = {0xdf, 0x80, 0x00, 0x00, 0x00};
	static const uint8_t bin[] = {0xc6, 0xff, 0xff, 0xff, 0xff};

	ck_assert_int_eq(mp_scan(array, 5), -EPROTO);
	ck_assert_int_eq(mp_scan(map, 5), -EPROTO);
	ck_assert_int_eq(mp_scan(bin, 5), -EPROTO);
	mp_scan_init(&s, 1000, 0);
	ck_assert_int_eq(mp_scan_feed(&s, array, 5, &got), -E2BIG);
	mp_scan_init(&s, 1000, 0);
	ck_assert_int_eq(mp_scan_feed(&s, map, 5, &got), -E2BIG);
	mp_scan_init(&s, 1000, 0);
	ck_assert_int_eq(mp_scan_feed(&s, bin, 5, &got), -E2BIG);
}
END_TEST

START_TEST(test_scan_bounds_depth)
{
	uint8_t data[64];

	memset(data, 0x91, sizeof(data));
	data[MP_DEPTH_MAX] = 0xc0;
	ck_assert_int_eq(mp_scan(data, MP_DEPTH_MAX + 1), 0);
	memset(data, 0x91, sizeof(data));
	data[MP_DEPTH_MAX + 1] = 0xc0;
	ck_assert_int_eq(mp_scan(data, MP_DEPTH_MAX + 2), -E2BIG);
	data[MP_DEPTH_MAX] = 0x90; /* an empty one is a level too */
	ck_assert_int_eq(mp_scan(data, MP_DEPTH_MAX + 1), -E2BIG);
	ck_assert_int_eq(mp_scan(data, sizeof(data)), -E2BIG);
}
END_TEST

START_TEST(test_scan_bounds_objects)
{
	struct mp_scan s;
	struct mp_buf b;
	size_t got;

	mp_buf_init(&b);
	mp_put_array(&b, 10);
	for (int i = 0; i < 10; i++)
		mp_put_nil(&b);
	mp_scan_init(&s, SIZE_MAX, 11);
	ck_assert_int_eq(mp_scan_feed(&s, b.data, b.len, &got), 1);
	mp_scan_init(&s, SIZE_MAX, 10);
	ck_assert_int_eq(mp_scan_feed(&s, b.data, b.len, &got), -E2BIG);
	mp_buf_reset(&b);
	mp_put_array(&b, MP_OBJECTS_MAX);
	for (int i = 0; i < MP_OBJECTS_MAX; i++)
		mp_put_nil(&b);
	ck_assert_int_eq(mp_scan(b.data, b.len), -E2BIG);
	mp_buf_release(&b);
}
END_TEST

START_TEST(test_scan_bounds_length)
{
	struct mp_scan s;
	size_t got;
	static const uint8_t head[] = {0xda, 0x03, 0xe8}; /* 1000 bytes */

	mp_scan_init(&s, 1003, 0);
	ck_assert_int_eq(mp_scan_feed(&s, head, 3, &got), 0);
	mp_scan_init(&s, 1002, 0);
	ck_assert_int_eq(mp_scan_feed(&s, head, 3, &got), -E2BIG);
	/* what stands behind the limit does not matter */
	mp_scan_init(&s, 1, 0);
	ck_assert_int_eq(
	    mp_scan_feed(&s, (const uint8_t[]){0x91, 0xc1}, 2, &got), -E2BIG);
	/* not even the head of an integer may cross the limit */
	mp_scan_init(&s, 2, 0);
	ck_assert_int_eq(
	    mp_scan_feed(&s, (const uint8_t[]){0xcd, 1}, 2, &got), -E2BIG);
}
END_TEST

START_TEST(test_integers_are_read_in_any_width)
{
	static const uint8_t wide[] = {0xcf, 0, 0, 0, 0, 0, 0, 0, 7, /* u64 */
	    0xd3, 0, 0, 0, 0, 0, 0, 0, 7, /* i64, yet not negative */
	    0xd0, 7, 0xd1, 0, 7, 0xd2, 0, 0, 0, 7, 0xcc, 7, 0xcd, 0, 7, 0xce, 0,
	    0, 0, 7, 7};
	static const uint8_t minus[] = {0xff, 0xd0, 0xff, 0xd1, 0xff, 0xff,
	    0xd2, 0xff, 0xff, 0xff, 0xff, 0xd3, 0xff, 0xff, 0xff, 0xff, 0xff,
	    0xff, 0xff, 0xff};
	struct mp_cur c = mp_cur(wide, sizeof(wide));
	uint64_t u;
	int64_t i;
	int n;

	for (n = 0; !mp_done(&c); n++) {
		ck_assert_int_eq(mp_peek(&c), MP_UINT);
		ck_assert_int_eq(mp_read_u64(&c, &u), 0);
		ck_assert_uint_eq(u, 7);
	}
	ck_assert_int_eq(n, 9);
	c = mp_cur(minus, sizeof(minus));
	for (n = 0; !mp_done(&c); n++) {
		u = 99;
		ck_assert_int_eq(mp_peek(&c), MP_INT);
		ck_assert_int_eq(mp_read_u64(&c, &u), -EPROTO);
		ck_assert_uint_eq(u, 99);
		ck_assert_int_eq(mp_read_i64(&c, &i), 0);
		ck_assert_int_eq(i, -1);
	}
	ck_assert_int_eq(n, 5);
}
END_TEST

START_TEST(test_integer_out_of_range_is_refused)
{
	struct mp_buf b;
	struct mp_cur c;
	int64_t i = 5;
	double d;

	mp_buf_init(&b);
	mp_put_u64(&b, (uint64_t)INT64_MAX + 1);
	c = mp_cur(b.data, b.len);
	ck_assert_int_eq(mp_read_i64(&c, &i), -EPROTO);
	ck_assert_int_eq(i, 5);
	ck_assert_int_eq(mp_read_double(&c, &d), 0);
	ck_assert(fabs(d - 9223372036854775808.0) < 1);
	mp_buf_release(&b);
}
END_TEST

START_TEST(test_doubles_are_read_from_both_widths_and_integers)
{
	static const uint8_t data[] = {
	    0xca, 0x3f, 0xc0, 0, 0, 0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xff};
	struct mp_cur c = mp_cur(data, sizeof(data));
	double d;

	ck_assert_int_eq(mp_read_double(&c, &d), 0);
	ck_assert(fabs(d - 1.5) < 1e-9);
	ck_assert_int_eq(mp_read_double(&c, &d), 0);
	ck_assert(fabs(d - 1.5) < 1e-9);
	ck_assert_int_eq(mp_read_double(&c, &d), 0);
	ck_assert(fabs(d + 1) < 1e-9);
	ck_assert(mp_done(&c));
	ck_assert_int_eq(mp_read_double(&c, &d), -EPROTO);
}
END_TEST

START_TEST(test_bytes_are_read_from_str_and_bin)
{
	struct mp_buf b;
	struct mp_cur c;
	struct mp_span s;

	mp_buf_init(&b);
	mp_put_str(&b, "key");
	mp_put_bin(&b, "key", 3);
	mp_put_u64(&b, 1);
	c = mp_cur(b.data, b.len);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(mp_read_bytes(&c, &s), 0);
		ck_assert(mp_span_eq(s, "key"));
		ck_assert(!mp_span_eq(s, "ke"));
		ck_assert(!mp_span_eq(s, "kez"));
	}
	ck_assert_int_eq(mp_read_bytes(&c, &s), -EPROTO);
	mp_buf_release(&b);
}
END_TEST

START_TEST(test_cursor_stays_inside_bytes_that_were_never_scanned)
{
	static const uint8_t bad[][6] = {
	    {0xdd, 0xff, 0xff, 0xff, 0xff, 0xc0},
	    {0xdf, 0xff, 0xff, 0xff, 0xff, 0xc0},
	    {0xc6, 0xff, 0xff, 0xff, 0xff, 0xc0},
	    {0xdb, 0, 0, 0, 2, 0xc0},
	    {0xcf, 1, 1, 1, 1, 1},
	    {0xc1, 1, 1, 1, 1, 1},
	    {0x96, 0x96, 0x96, 0x96, 0x96, 0x96},
	};
	struct mp_cur c;
	struct mp_span s;
	struct mp_map m;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		c = mp_cur(bad[i], 6);
		ck_assert_int_eq(mp_skip(&c), -EPROTO);
		ck_assert_int_eq(mp_read_raw(&c, &s), -EPROTO);
		ck_assert_int_eq(mp_read_mapping(&c, &m), -EPROTO);
		ck_assert_ptr_eq(c.p, bad[i]);
	}
	c = mp_cur(NULL, 0);
	ck_assert_int_eq(mp_skip(&c), -EPROTO);
	ck_assert_int_eq(mp_peek(&c), MP_INVALID);
}
END_TEST

START_TEST(test_raw_is_the_values_own_bytes)
{
	struct mp_buf b;
	struct mp_cur c;
	struct mp_span s;

	mp_buf_init(&b);
	put_everything(&b);
	mp_put_u64(&b, 5);
	c = mp_cur(b.data, b.len);
	ck_assert_int_eq(mp_read_raw(&c, &s), 0);
	ck_assert_ptr_eq(s.p, b.data);
	ck_assert_uint_eq(s.len, b.len - 1);
	ck_assert_int_eq(mp_read_raw(&c, &s), 0);
	ck_assert_uint_eq(s.len, 1);
	ck_assert(mp_done(&c));
	mp_buf_release(&b);
}
END_TEST

static void
read_test_map(struct mp_buf *b, struct mp_map *m)
{
	struct mp_cur c;

	mp_put_map(b, 7);
	mp_put_kv_u64(b, "term", 7);
	mp_put_bin(b, "data", 4); /* a key as bin */
	mp_put_bin(b, "\0\1", 2);
	mp_put_u64(b, 5); /* a key that is neither: ignored */
	mp_put_array(b, 0);
	mp_put_kv_bool(b, "yes", true);
	mp_put_kv_nil(b, "none");
	mp_put_kv_str(b, "twice", "a");
	mp_put_kv_str(b, "twice", "b");
	c = mp_cur(b->data, b->len);
	ck_assert_int_eq(mp_read_mapping(&c, m), 0);
	ck_assert(mp_done(&c));
}

START_TEST(test_map_is_read_by_key)
{
	struct mp_buf b;
	struct mp_map m;
	struct mp_span s;
	uint64_t u = 0;
	bool yes = false;

	mp_buf_init(&b);
	read_test_map(&b, &m);
	ck_assert_int_eq(mp_get_u64(&m, "term", &u), 0);
	ck_assert_uint_eq(u, 7);
	ck_assert_int_eq(mp_get_bool(&m, "yes", &yes), 0);
	ck_assert(yes);
	ck_assert_int_eq(mp_get_bytes(&m, "data", &s, 2), 0);
	ck_assert_uint_eq(s.len, 2);
	ck_assert_int_eq(mp_get_bytes(&m, "data", &s, 1), -E2BIG);
	ck_assert_int_eq(mp_get_bytes(&m, "term", &s, 9), -EPROTO);
	ck_assert_int_eq(mp_get_u64(&m, "data", &u), -EPROTO);
	ck_assert_int_eq(mp_get_u64(&m, "missing", &u), -ENOENT);
	ck_assert_int_eq(mp_get_bytes(&m, "twice", &s, 9), -EPROTO);
	ck_assert_uint_eq(u, 7);
	mp_buf_release(&b);
}
END_TEST

START_TEST(test_optional_keys_keep_their_default)
{
	struct mp_buf b;
	struct mp_map m;
	struct mp_span s = {NULL, 0};
	uint64_t u = 42;
	bool yes = false;

	mp_buf_init(&b);
	read_test_map(&b, &m);
	ck_assert_int_eq(mp_opt_u64(&m, "missing", &u), 0);
	ck_assert_int_eq(mp_opt_u64(&m, "none", &u), 0);
	ck_assert_uint_eq(u, 42);
	ck_assert_int_eq(mp_opt_u64(&m, "term", &u), 0);
	ck_assert_uint_eq(u, 7);
	ck_assert_int_eq(mp_opt_u64(&m, "yes", &u), -EPROTO);
	ck_assert_int_eq(mp_opt_bool(&m, "yes", &yes), 0);
	ck_assert(yes);
	ck_assert_int_eq(mp_opt_bool(&m, "term", &yes), -EPROTO);
	ck_assert_int_eq(mp_opt_bytes(&m, "missing", &s, 1), 0);
	ck_assert_ptr_null(s.p);
	ck_assert_int_eq(mp_opt_bytes(&m, "data", &s, 1), -E2BIG);
	ck_assert_int_eq(mp_opt_bytes(&m, "twice", &s, 1), -EPROTO);
	mp_buf_release(&b);
}
END_TEST

START_TEST(test_tree_is_given_only_what_was_scanned)
{
	static const uint8_t bomb[] = {0xdd, 0xff, 0xff, 0xff, 0xff};
	msgpack_zone zone;
	msgpack_object o;
	struct mp_buf b;

	ck_assert(msgpack_zone_init(&zone, 2048));
	mp_buf_init(&b);
	put_everything(&b);
	ck_assert_int_eq(mp_tree(b.data, b.len, &zone, &o), 0);
	ck_assert_int_eq(o.type, MSGPACK_OBJECT_ARRAY);
	ck_assert_uint_eq(o.via.array.size, 24);
	ck_assert_int_eq(mp_tree(bomb, sizeof(bomb), &zone, &o), -EPROTO);
	msgpack_zone_destroy(&zone);
	mp_buf_release(&b);
}
END_TEST

START_TEST(test_buffer_remembers_that_it_failed)
{
	struct mp_buf b;

	mp_buf_init(&b);
	mp_put_nil(&b);
	ck_assert_ptr_null(mp_buf_reserve(&b, SIZE_MAX));
	ck_assert(b.failed);
	mp_put_nil(&b);
	ck_assert_uint_eq(b.len, 1);
	mp_buf_reset(&b);
	mp_put_bin(&b, "", (size_t)UINT32_MAX + 1);
	ck_assert(b.failed);
	mp_buf_release(&b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("mp");
	TCase *t = tcase_create("mp");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_scan_takes_what_the_packer_makes);
	tcase_add_test(t, test_scan_in_pieces_is_scan_of_the_whole);
	tcase_add_test(t, test_scan_refuses_a_value_cut_anywhere);
	tcase_add_test(t, test_scan_refuses_trailing_bytes);
	tcase_add_test(t, test_scan_refuses_ext_and_the_reserved_byte);
	tcase_add_test(t, test_scan_bounds_counts_by_the_bytes_left);
	tcase_add_test(t, test_scan_bounds_depth);
	tcase_add_test(t, test_scan_bounds_objects);
	tcase_add_test(t, test_scan_bounds_length);
	tcase_add_test(t, test_integers_are_read_in_any_width);
	tcase_add_test(t, test_integer_out_of_range_is_refused);
	tcase_add_test(t, test_doubles_are_read_from_both_widths_and_integers);
	tcase_add_test(t, test_bytes_are_read_from_str_and_bin);
	tcase_add_test(
	    t, test_cursor_stays_inside_bytes_that_were_never_scanned);
	tcase_add_test(t, test_raw_is_the_values_own_bytes);
	tcase_add_test(t, test_map_is_read_by_key);
	tcase_add_test(t, test_optional_keys_keep_their_default);
	tcase_add_test(t, test_tree_is_given_only_what_was_scanned);
	tcase_add_test(t, test_buffer_remembers_that_it_failed);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
