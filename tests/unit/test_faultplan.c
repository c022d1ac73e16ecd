/*
 * test_faultplan.c - scenarios read and written, and drawn from a seed.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faults/plan.h"

static struct plan p, q;
static struct errtext et;

static int
read_text(struct plan *to, const char *text)
{
	char copy[8192];
	FILE *f;
	int ret;

	(void)snprintf(copy, sizeof(copy), "%s", text);
	f = fmemopen(copy, strlen(copy), "r");
	ck_assert_ptr_nonnull(f);
	ret = plan_read(to, f, &et);
	(void)fclose(f);
	return ret;
}

static char *
text_of(const struct plan *plan)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(f);
	plan_write(plan, f);
	(void)fclose(f);
	return text;
}

START_TEST(test_scenario_is_read_in_order_of_time)
{
	char *text;

	ck_assert_int_eq(read_text(&p, "# a comment\n\n"
				       "at 5s partition 1|2,3 for 10s\n"
				       "\tat 1s kill leader # now\n"
				       "at 1s heal\n"
				       "at 0 delay 1 100ms 10ms"),
	    0);
	text = text_of(&p);
	ck_assert_str_eq(text, "at 0ms delay 1 100ms 10ms\n"
			       "at 1000ms kill leader\n"
			       "at 1000ms heal\n"
			       "at 5000ms partition 1|2,3 for 10000ms\n");
	free(text);
}
END_TEST

START_TEST(test_bad_lines_are_told_by_number)
{
	static const char *const bad[] = {"kill 1", "at kill", "at x kill 1",
	    "at 5 kill 1", "at 5s", "at 5s kill 1 for x", "at 5s kill 1 for 0s",
	    "at 5s a b c d e f g", "on 5s kill 1"};
	char line[128];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(line, sizeof(line), "\n%s\n", bad[i]);
		ck_assert_int_eq(read_text(&p, line), -EBADMSG);
		ck_assert_int_eq(strncmp(et.text, "line 2: ", 8), 0);
	}
}
END_TEST

static void
draw(struct plan *to, uint64_t seed, unsigned servers, const char *words)
{
	const char *kinds[NEMESIS_KINDS_MAX];
	struct nemesis n = {seed, 600000, servers, kinds};

	ck_assert_int_eq(nemesis_kinds(words, kinds, &et), 0);
	nemesis_draw(to, &n);
}

START_TEST(test_same_seed_gives_same_plan)
{
	char *a, *b;

	draw(&p, 7, 5, "network,process,disk");
	draw(&q, 7, 5, "network,process,disk");
	a = text_of(&p);
	b = text_of(&q);
	ck_assert_uint_gt(p.count, 50);
	ck_assert_str_eq(a, b);
	free(b);
	draw(&q, 8, 5, "network,process,disk");
	b = text_of(&q);
	ck_assert_str_ne(a, b);
	free(b);
	/* what is drawn can be read */
	ck_assert_int_eq(read_text(&q, a), 0);
	ck_assert_uint_eq(q.count, p.count);
	free(a);
}
END_TEST

START_TEST(test_windows_end_before_the_next_and_in_time)
{
	draw(&p, 3, 3, "network,process");
	for (unsigned i = 0; i < p.count; i++) {
		const struct action *a = &p.action[i];

		ck_assert_uint_gt(a->for_ms, 0);
		ck_assert_uint_le(a->at_ms + a->for_ms, 600000);
		if (i + 1 < p.count)
			ck_assert_uint_le(
			    a->at_ms + a->for_ms, p.action[i + 1].at_ms);
		/* a ring of three cuts nothing */
		ck_assert_str_ne(a->word[0], "ring");
	}
}
END_TEST

START_TEST(test_kinds_are_names_or_groups)
{
	const char *kinds[NEMESIS_KINDS_MAX];

	ck_assert_int_eq(nemesis_kinds("kill,loss", kinds, &et), 0);
	ck_assert_str_eq(kinds[0], "kill");
	ck_assert_str_eq(kinds[1], "loss");
	ck_assert_ptr_null(kinds[2]);
	ck_assert_int_eq(nemesis_kinds("", kinds, &et), -EINVAL);
	ck_assert_int_eq(nemesis_kinds("kill,x", kinds, &et), -EINVAL);
	ck_assert_int_eq(nemesis_kinds(",", kinds, &et), -EINVAL);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("plan");
	TCase *tc = tcase_create("plan");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_scenario_is_read_in_order_of_time);
	tcase_add_test(tc, test_bad_lines_are_told_by_number);
	tcase_add_test(tc, test_same_seed_gives_same_plan);
	tcase_add_test(tc, test_windows_end_before_the_next_and_in_time);
	tcase_add_test(tc, test_kinds_are_names_or_groups);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
