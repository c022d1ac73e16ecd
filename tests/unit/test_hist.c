/*
 * test_hist.c - the latency histogram against sorted values.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "loadgen/hist.h"

#define VALUES 20000

static struct hist h;
static uint64_t value[VALUES];

static int
u64_compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void
assert_near(uint64_t got, uint64_t want)
{
	double off = fabs((double)got - (double)want) / (double)want;

	ck_assert_msg(off <= 1.0 / 256 || got == want, "%llu for %llu",
	    (unsigned long long)got, (unsigned long long)want);
}

START_TEST(test_an_empty_histogram_says_zero)
{
	hist_reset(&h);
	ck_assert_uint_eq(hist_quantile(&h, 0.5), 0);
	ck_assert(hist_mean(&h) == 0);
}
END_TEST

START_TEST(test_each_value_alone_is_its_own_quantiles)
{
	uint64_t v;

	for (v = 1; v < HIST_MAX; v = v * 5 / 4 + 1) {
		hist_reset(&h);
		hist_add(&h, v);
		ck_assert_uint_eq(hist_quantile(&h, 0), v);
		ck_assert_uint_eq(hist_quantile(&h, 0.99), v);
		ck_assert_uint_eq(h.max, v);
	}
}
END_TEST

/* Beside a larger and a smaller one, a value's bucket alone must tell it. */
START_TEST(test_a_bucket_is_off_by_less_than_one_percent)
{
	uint64_t v;

	for (v = 1; v < HIST_MAX / 2; v = v * 33 / 32 + 1) {
		hist_reset(&h);
		hist_add(&h, 0);
		hist_add(&h, v);
		hist_add(&h, HIST_MAX);
		assert_near(hist_quantile(&h, 0.5), v);
	}
}
END_TEST

START_TEST(test_quantiles_equal_those_of_sorted_values)
{
	static const double q[] = {0.01, 0.5, 0.9, 0.99, 0.999, 1};
	uint64_t rng = 42, rank;
	double sum = 0;
	unsigned i;

	hist_reset(&h);
	for (i = 0; i < VALUES; i++) {
		rng = rng * 6364136223846793005u + 1442695040888963407u;
		value[i] = (rng >> 33) >> (rng % 29);
		hist_add(&h, value[i]);
		sum += (double)value[i];
	}
	qsort(value, VALUES, sizeof(value[0]), u64_compare);
	for (i = 0; i < sizeof(q) / sizeof(q[0]); i++) {
		rank = (uint64_t)ceil(q[i] * VALUES);
		assert_near(hist_quantile(&h, q[i]), value[rank - 1]);
	}
	ck_assert_uint_eq(h.min, value[0]);
	ck_assert_uint_eq(h.max, value[VALUES - 1]);
	ck_assert(fabs(hist_mean(&h) - sum / VALUES) < 1e-6 * sum);
}
END_TEST

START_TEST(test_what_is_too_long_counts_as_the_longest)
{
	hist_reset(&h);
	hist_add(&h, UINT64_MAX / 4);
	hist_add(&h, 5);
	ck_assert_uint_eq(h.count, 2);
	ck_assert_uint_eq(h.bucket[HIST_BUCKETS - 1], 1);
	ck_assert_uint_eq(h.max, UINT64_MAX / 4);
}
END_TEST

START_TEST(test_merged_equals_added_to_one)
{
	static struct hist a, b;
	unsigned i;

	hist_reset(&h);
	hist_reset(&a);
	hist_reset(&b);
	for (i = 0; i < 1000; i++) {
		hist_add(&h, i * i);
		hist_add(i % 3 == 0 ? &a : &b, i * i);
	}
	hist_merge(&a, &b);
	ck_assert_mem_eq(&a, &h, sizeof(h));
	hist_reset(&b);
	hist_merge(&a, &b);
	ck_assert_mem_eq(&a, &h, sizeof(h));
}
END_TEST

START_TEST(test_steps_hold_every_value_once)
{
	static struct hist_step steps[HIST_STEPS_MAX];
	uint64_t v, sum = 0, below;
	unsigned i, n;

	hist_reset(&h);
	for (v = 0; v < 100000000; v = v + v / 7 + 1)
		hist_add(&h, v);
	n = hist_steps(&h, steps);
	for (i = 0; i < n; i++) {
		ck_assert_uint_lt(steps[i].from, steps[i].to);
		if (i > 0)
			ck_assert_uint_le(steps[i - 1].to, steps[i].from);
		below = 0;
		for (v = 0; v < 100000000; v = v + v / 7 + 1)
			below += v >= steps[i].from && v < steps[i].to;
		ck_assert_uint_eq(steps[i].count, below);
		sum += steps[i].count;
	}
	ck_assert_uint_eq(sum, h.count);
	ck_assert_uint_le(n, HIST_STEPS_MAX);
	hist_reset(&h);
	ck_assert_uint_eq(hist_steps(&h, steps), 0);
	hist_add(&h, UINT64_MAX);
	ck_assert_uint_eq(hist_steps(&h, steps), 1);
	ck_assert_uint_eq(steps[0].to, HIST_MAX + 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("hist");
	TCase *tc = tcase_create("hist");
	SRunner *sr;
	int failed;

	tcase_add_test(tc, test_an_empty_histogram_says_zero);
	tcase_add_test(tc, test_each_value_alone_is_its_own_quantiles);
	tcase_add_test(tc, test_a_bucket_is_off_by_less_than_one_percent);
	tcase_add_test(tc, test_quantiles_equal_those_of_sorted_values);
	tcase_add_test(tc, test_what_is_too_long_counts_as_the_longest);
	tcase_add_test(tc, test_merged_equals_added_to_one);
	tcase_add_test(tc, test_steps_hold_every_value_once);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
