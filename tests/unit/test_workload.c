/*
 * test_workload.c - mixes and distributions of keys.
 */
#include <check.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "loadgen/workload.h"

#define DRAWS 200000

static struct work w;
static struct work_options o;
static struct errtext et;

static void
setup(void)
{
	memset(&o, 0, sizeof(o));
	o.keys = 1000;
	o.seed = 7;
	o.share[WORK_GET] = 1;
}

static unsigned *
count_keys(uint64_t keys)
{
	unsigned *seen = calloc(keys, sizeof(*seen));
	uint64_t key;
	unsigned i;

	ck_assert_ptr_nonnull(seen);
	o.keys = keys;
	work_init(&w, &o);
	for (i = 0; i < DRAWS; i++) {
		work_next(&w, &key);
		ck_assert_uint_lt(key, keys);
		seen[key]++;
	}
	return seen;
}

START_TEST(test_shares_of_a_mix_are_kept)
{
	unsigned seen[WORK_OPS] = {0}, i;
	uint64_t key;

	ck_assert_int_eq(work_parse_mix("put=1,get=2,cas=1", &o, &et), 0);
	work_init(&w, &o);
	for (i = 0; i < DRAWS; i++)
		seen[work_next(&w, &key)]++;
	ck_assert_int_lt(abs((int)seen[WORK_PUT] - DRAWS / 4), DRAWS / 100);
	ck_assert_int_lt(abs((int)seen[WORK_GET] - DRAWS / 2), DRAWS / 100);
	ck_assert_int_lt(abs((int)seen[WORK_CAS] - DRAWS / 4), DRAWS / 100);
	ck_assert_uint_eq(seen[WORK_DELETE] + seen[WORK_APPEND], 0);
}
END_TEST

START_TEST(test_bad_mixes_are_refused)
{
	static const char *const bad[] = {"", "put", "put=", "put=x", "put=-1",
	    "put=1,", "put=1,,get=1", "puts=1", "put=0", "put=1 ",
	    "put=99999999999999999999", "=1"};
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(
		    work_parse_mix(bad[i], &o, &et) == -EINVAL, "'%s'", bad[i]);
	ck_assert_uint_eq(o.share[WORK_GET], 1); /* untouched */
	ck_assert_int_eq(work_parse_dist("zip", &o, &et), -EINVAL);
	ck_assert_int_eq(work_parse_preset("ycsb-g", &o, &et), -EINVAL);
}
END_TEST

START_TEST(test_presets_are_those_of_ycsb)
{
	ck_assert_int_eq(work_parse_preset("ycsb-a", &o, &et), 0);
	ck_assert_uint_eq(o.share[WORK_GET], 50);
	ck_assert_uint_eq(o.share[WORK_PUT], 50);
	ck_assert_int_eq(o.dist, WORK_ZIPF);
	ck_assert_int_eq(work_parse_preset("ycsb-c", &o, &et), 0);
	ck_assert_uint_eq(o.share[WORK_GET], 100);
	ck_assert_uint_eq(o.share[WORK_PUT], 0);
	ck_assert_int_eq(work_parse_preset("ycsb-d", &o, &et), 0);
	ck_assert_int_eq(o.dist, WORK_LATEST);
	ck_assert_uint_eq(o.share[WORK_INSERT], 5);
	ck_assert_int_eq(work_parse_preset("ycsb-e", &o, &et), 0);
	ck_assert_uint_eq(o.share[WORK_SCAN], 95);
	ck_assert_int_eq(work_parse_preset("ycsb-f", &o, &et), 0);
	ck_assert_uint_eq(o.share[WORK_RMW], 50);
}
END_TEST

START_TEST(test_uniform_keys_are_even)
{
	unsigned *seen = count_keys(100), i;

	for (i = 0; i < 100; i++)
		ck_assert_int_lt(abs((int)seen[i] - DRAWS / 100), DRAWS / 1000);
	free(seen);
}
END_TEST

START_TEST(test_sequential_keys_go_around)
{
	uint64_t key;
	unsigned i;

	o.dist = WORK_SEQ;
	o.keys = 7;
	work_init(&w, &o);
	for (i = 0; i < 30; i++) {
		work_next(&w, &key);
		ck_assert_uint_eq(key, i % 7);
	}
}
END_TEST

static int
descending(const void *a, const void *b)
{
	const unsigned *x = a, *y = b;

	return *x > *y ? -1 : *x < *y;
}

/* The hottest keys have the shares that the law gives, and are spread. */
START_TEST(test_zipf_follows_its_law)
{
	enum { KEYS = 1000 };
	unsigned *seen, i;
	double zetan = 0, want;

	o.dist = WORK_ZIPF;
	seen = count_keys(KEYS);
	for (i = 1; i <= KEYS; i++)
		zetan += pow(1.0 / i, WORK_ZIPF_THETA);
	ck_assert_uint_lt(seen[1], seen[0] / 2); /* not neighbours */
	qsort(seen, KEYS, sizeof(*seen), descending);
	for (i = 0; i < 2; i++) {
		want = DRAWS / zetan / pow(i + 1, WORK_ZIPF_THETA);
		ck_assert_double_lt(fabs(seen[i] - want), want / 20);
	}
	want = DRAWS / zetan / pow(100, WORK_ZIPF_THETA);
	ck_assert_double_lt(fabs(seen[99] - want), want / 4);
	free(seen);
}
END_TEST

START_TEST(test_zipf_works_for_any_number_of_keys)
{
	static const uint64_t keys[] = {1, 2, 3, 5000000};
	unsigned *seen, i;

	o.dist = WORK_ZIPF;
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		seen = count_keys(keys[i]);
		ck_assert_uint_gt(seen[0], 0);
		free(seen);
	}
}
END_TEST

START_TEST(test_spread_reaches_each_key_once)
{
	enum { KEYS = 4096 };
	unsigned *seen, hit = 0, i;

	o.dist = WORK_ZIPF;
	seen = count_keys(KEYS);
	for (i = 0; i < KEYS; i++)
		hit += seen[i] > 0;
	ck_assert_uint_gt(hit, KEYS * 9 / 10);
	free(seen);
}
END_TEST

START_TEST(test_inserts_are_new_and_latest_follows_them)
{
	uint64_t key, next = 1000, hot = 0;
	unsigned i, gets = 0;

	ck_assert_int_eq(work_parse_preset("ycsb-d", &o, &et), 0);
	work_init(&w, &o);
	for (i = 0; i < DRAWS; i++) {
		if (work_next(&w, &key) == WORK_INSERT) {
			ck_assert_uint_eq(key, next++);
			continue;
		}
		ck_assert_uint_lt(key, next);
		gets++;
		hot += next - key <= 100;
	}
	ck_assert_uint_gt(next, 1000 + DRAWS / 25);
	ck_assert_uint_gt(hot, gets / 2);
}
END_TEST

START_TEST(test_a_seed_repeats_its_sequence)
{
	uint64_t first[100], key;
	unsigned i, differ = 0;

	work_init(&w, &o);
	for (i = 0; i < 100; i++)
		work_next(&w, &first[i]);
	work_init(&w, &o);
	for (i = 0; i < 100; i++) {
		work_next(&w, &key);
		ck_assert_uint_eq(key, first[i]);
	}
	o.seed++;
	work_init(&w, &o);
	for (i = 0; i < 100; i++) {
		work_next(&w, &key);
		differ += key != first[i];
	}
	ck_assert_uint_gt(differ, 80);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("workload");
	TCase *tc = tcase_create("workload");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, test_shares_of_a_mix_are_kept);
	tcase_add_test(tc, test_bad_mixes_are_refused);
	tcase_add_test(tc, test_presets_are_those_of_ycsb);
	tcase_add_test(tc, test_uniform_keys_are_even);
	tcase_add_test(tc, test_sequential_keys_go_around);
	tcase_add_test(tc, test_zipf_follows_its_law);
	tcase_add_test(tc, test_zipf_works_for_any_number_of_keys);
	tcase_add_test(tc, test_spread_reaches_each_key_once);
	tcase_add_test(tc, test_inserts_are_new_and_latest_follows_them);
	tcase_add_test(tc, test_a_seed_repeats_its_sequence);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
