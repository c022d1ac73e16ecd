/*
 * test_record.c - records: what is sealed is read back, what is changed is
 * refused.
 */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "raftwal/crc32c.h"
#include "raftwal/record.h"

static size_t
sample(uint8_t *dst, uint32_t len)
{
	struct record r = {.group = 0x01020304,
	    .kind = RECORD_COMMAND,
	    .index = 0x1112131415161718,
	    .term = 7,
	    .stamp = 1700000000000,
	    .len = len};

	memset(dst, 0xa5, record_size(len));
	for (uint32_t i = 0; i < len; i++)
		dst[RECORD_HEADER_LEN + i] = (uint8_t)i;
	record_seal(dst, &r);
	return record_size(len);
}

START_TEST(test_sealed_record_reads_back)
{
	uint8_t buf[512];

	for (uint32_t len = 0; len < 300; len++) {
		struct record r;
		size_t size = sample(buf, len);

		ck_assert_uint_eq(size % RECORD_ALIGN, 0);
		ck_assert_uint_eq(record_read(buf, sizeof(buf), &r), size);
		ck_assert_uint_eq(record_read(buf, size, &r), size);
		ck_assert_uint_eq(r.group, 0x01020304);
		ck_assert_int_eq(r.kind, RECORD_COMMAND);
		ck_assert_uint_eq(r.index, 0x1112131415161718);
		ck_assert_uint_eq(r.term, 7);
		ck_assert_uint_eq(r.stamp, 1700000000000);
		ck_assert_uint_eq(r.len, len);
		ck_assert_ptr_eq(r.payload, buf + RECORD_HEADER_LEN);
	}
}
END_TEST

START_TEST(test_layout_is_the_documented_one)
{
	static const uint8_t want[] = {0, 0, 0, 0, /* crc: below */
	    3, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0,
	    0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 'a', 'b', 'c', 0, 0, 0, 0,
	    0};
	uint8_t buf[48];
	struct record r = {.group = 9,
	    .kind = RECORD_COMMAND,
	    .index = 5,
	    .term = 4,
	    .stamp = 8,
	    .len = 3};
	uint32_t crc;

	memset(buf, 0xff, sizeof(buf));
	memcpy(buf + RECORD_HEADER_LEN, "abc", 3);
	record_seal(buf, &r);
	ck_assert_int_eq(memcmp(buf + 4, want + 4, sizeof(want) - 4), 0);
	crc = crc32c(0, want + 4, 39);
	ck_assert_uint_eq(buf[0], crc & 0xff);
	ck_assert_uint_eq(buf[3], crc >> 24);
}
END_TEST

START_TEST(test_every_flipped_bit_is_noticed)
{
	uint8_t buf[80];
	struct record r;
	size_t size = sample(buf, 33);

	ck_assert_uint_le(size, sizeof(buf));
	for (size_t bit = 0; bit < size * 8; bit++) {
		buf[bit / 8] ^= (uint8_t)(1 << (bit % 8));
		ck_assert_uint_eq(record_read(buf, size, &r), 0);
		buf[bit / 8] ^= (uint8_t)(1 << (bit % 8));
	}
	ck_assert_uint_eq(record_read(buf, size, &r), size);
}
END_TEST

START_TEST(test_every_truncation_is_refused)
{
	uint8_t buf[80];
	struct record r;
	size_t size = sample(buf, 33);

	for (size_t len = 0; len < size; len++)
		ck_assert_uint_eq(record_read(buf, len, &r), 0);
}
END_TEST

/* raft-bugs 103: a length is believed only after it was compared. */
START_TEST(test_hostile_length_is_refused)
{
	uint8_t buf[80];
	struct record r;

	(void)sample(buf, 8);
	for (int i = 4; i < 8; i++)
		buf[i] = 0xff;
	ck_assert_uint_eq(record_read(buf, sizeof(buf), &r), 0);
	memset(buf, 0, sizeof(buf));
	ck_assert_uint_eq(record_read(buf, sizeof(buf), &r), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("record");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_sealed_record_reads_back);
	tcase_add_test(t, test_layout_is_the_documented_one);
	tcase_add_test(t, test_every_flipped_bit_is_noticed);
	tcase_add_test(t, test_every_truncation_is_refused);
	tcase_add_test(t, test_hostile_length_is_refused);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
