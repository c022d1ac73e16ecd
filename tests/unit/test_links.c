/*
 * test_links.c - which links the words of faults name.
 */
#include <check.h>
#include <errno.h>
#include <string.h>

#include "faults/links.h"

static struct links l;
static struct errtext et;

static const char *
text_of(void)
{
	static char text[LINKS_TEXT_MAX];

	links_text(&l, text);
	return text;
}

START_TEST(test_partition_cuts_between_groups_only)
{
	ck_assert_int_eq(links_partition(&l, 5, "1|2,3", &et), 0);
	ck_assert_str_eq(text_of(), "1>2,1>3,2>1,3>1");
	ck_assert_int_eq(links_partition(&l, 3, "1|2|3", &et), 0);
	ck_assert_str_eq(text_of(), "1>2,1>3,2>1,2>3,3>1,3>2");
}
END_TEST

START_TEST(test_bridge_keeps_the_middle)
{
	ck_assert_int_eq(links_bridge(&l, 5, "1,2|3|4,5", &et), 0);
	ck_assert_str_eq(text_of(), "1>4,1>5,2>4,2>5,4>1,4>2,5>1,5>2");
	ck_assert_int_eq(links_bridge(&l, 5, "1,2|3", &et), -EINVAL);
}
END_TEST

START_TEST(test_ring_keeps_two_neighbours)
{
	ck_assert_int_eq(links_ring(&l, 5, "1,2,3,4,5", &et), 0);
	for (unsigned i = 1; i <= 5; i++)
		ck_assert_int_eq(__builtin_popcount(l.to[i]), 2);
	ck_assert(links_has(&l, 1, 3) && links_has(&l, 1, 4));
	ck_assert(!links_has(&l, 1, 5) && !links_has(&l, 1, 2));
	ck_assert_int_eq(links_ring(&l, 5, "1,2,3", &et), -EINVAL);
	ck_assert_int_eq(links_ring(&l, 5, "1,2,3,", &et), -EINVAL);
	ck_assert_int_eq(links_ring(&l, 5, "1,2,3,3", &et), -EINVAL);
}
END_TEST

START_TEST(test_links_have_directions)
{
	ck_assert_int_eq(links_parse(&l, 3, "2>3", &et), 0);
	ck_assert_str_eq(text_of(), "2>3");
	ck_assert_int_eq(links_parse(&l, 3, "2", &et), 0);
	ck_assert_str_eq(text_of(), "2>1,2>3");
	ck_assert_int_eq(links_parse(&l, 3, "1|3", &et), 0);
	ck_assert_str_eq(text_of(), "1>3,3>1");
	links_isolate(&l, 3, 3);
	ck_assert_str_eq(text_of(), "1>3,2>3,3>1,3>2");
}
END_TEST

START_TEST(test_words_that_name_nothing_are_refused)
{
	static const char *const words[] = {"", "0", "4", "01", "x", "1>",
	    "1>1", "1>4", "1|", "|1", "1|1", "1,2", "1||2", "1|2 ", "-1",
	    "1>2>3", "99999999999999999999"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		ck_assert_int_eq(links_parse(&l, 3, words[i], &et), -EINVAL);
	ck_assert_int_eq(links_partition(&l, 3, "1,2,3", &et), -EINVAL);
}
END_TEST

START_TEST(test_text_reads_back)
{
	struct links all, back;

	memset(&all, 0, sizeof(all));
	for (unsigned i = 1; i <= 16; i++)
		for (unsigned j = 1; j <= 16; j++)
			links_add(&all, i, j);
	l = all;
	ck_assert_int_eq(links_from_text(&back, 16, text_of()), 0);
	ck_assert_int_eq(memcmp(&back, &all, sizeof(all)), 0);
	ck_assert_int_eq(links_from_text(&back, 16, ""), 0);
	ck_assert_int_eq(links_from_text(&back, 2, "1>3"), -EBADMSG);
	ck_assert_int_eq(links_from_text(&back, 3, "1>3;"), -EBADMSG);
	ck_assert_int_eq(links_from_text(&back, 3, "1"), -EBADMSG);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("links");
	TCase *tc = tcase_create("links");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_partition_cuts_between_groups_only);
	tcase_add_test(tc, test_bridge_keeps_the_middle);
	tcase_add_test(tc, test_ring_keeps_two_neighbours);
	tcase_add_test(tc, test_links_have_directions);
	tcase_add_test(tc, test_words_that_name_nothing_are_refused);
	tcase_add_test(tc, test_text_reads_back);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
