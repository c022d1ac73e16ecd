/*
 * test_crc32c.c - the checksum against published values, the instruction
 * against the tables.
 */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "raftwal/crc32c.h"

/* RFC 3720, appendix B.4. */
START_TEST(test_published_values)
{
	uint8_t buf[32];

	memset(buf, 0, sizeof(buf));
	ck_assert_uint_eq(crc32c(0, buf, sizeof(buf)), 0x8a9136aau);
	memset(buf, 0xff, sizeof(buf));
	ck_assert_uint_eq(crc32c(0, buf, sizeof(buf)), 0x62a8ab43u);
	for (int i = 0; i < 32; i++)
		buf[i] = (uint8_t)i;
	ck_assert_uint_eq(crc32c(0, buf, sizeof(buf)), 0x46dd794eu);
	for (int i = 0; i < 32; i++)
		buf[i] = (uint8_t)(31 - i);
	ck_assert_uint_eq(crc32c(0, buf, sizeof(buf)), 0x113fdb5cu);
	ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283u);
	ck_assert_uint_eq(crc32c(0, "", 0), 0);
}
END_TEST

START_TEST(test_instruction_and_tables_agree)
{
	uint8_t buf[1400]; /* blocks of both kinds, and more than one */
	uint32_t x = 1;

	for (size_t i = 0; i < sizeof(buf); i++) {
		x = x * 1664525 + 1013904223;
		buf[i] = (uint8_t)(x >> 24);
	}
	for (size_t off = 0; off < 9; off++)
		for (size_t len = 0; len + off <= sizeof(buf); len++)
			ck_assert_uint_eq(crc32c((uint32_t)len, buf + off, len),
			    crc32c_portable((uint32_t)len, buf + off, len));
}
END_TEST

START_TEST(test_pieces_give_the_whole)
{
	uint8_t buf[100];

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)(i * 7);
	for (size_t cut = 0; cut <= sizeof(buf); cut++)
		ck_assert_uint_eq(
		    crc32c(crc32c(0, buf, cut), buf + cut, sizeof(buf) - cut),
		    crc32c(0, buf, sizeof(buf)));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("crc32c");
	TCase *t = tcase_create("all");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_published_values);
	tcase_add_test(t, test_instruction_and_tables_agree);
	tcase_add_test(t, test_pieces_give_the_whole);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
