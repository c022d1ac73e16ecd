/*
 * test_trail.c - runs of (index, term), against one term for each entry.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/core/trail.h"

#define NAIVE_MAX 4000

struct naive {
	uint64_t prev, last;
	uint64_t term[NAIVE_MAX]; /* by index, of prev..last */
};

static struct raft_run runs[1024];

static uint64_t
naive_term(const struct naive *n, uint64_t index)
{
	return index < n->prev || index > n->last ? 0 : n->term[index];
}

static uint64_t
naive_floor(const struct naive *n, uint64_t index, uint64_t term)
{
	if (index > n->last)
		index = n->last;
	while (index > n->prev && n->term[index] > term)
		index--;
	return index < n->prev ? n->prev : index;
}

static void
compare(const struct trail *t, const struct naive *n)
{
	uint64_t i, term;

	ck_assert_ptr_null(trail_check(t));
	ck_assert_uint_eq(t->last, n->last);
	ck_assert_uint_eq(trail_last_term(t), n->term[n->last]);
	for (i = n->prev > 2 ? n->prev - 2 : 0; i <= n->last + 2; i++)
		ck_assert_uint_eq(trail_term(t, i), naive_term(n, i));
	for (i = 0; i < 20; i++) {
		uint64_t at = n->prev + (uint64_t)random() % 300;

		term = (uint64_t)random() % (n->term[n->last] + 2);
		ck_assert_uint_eq(
		    trail_floor(t, at, term), naive_floor(n, at, term));
	}
}

static void
compare_slice(const struct trail *t, const struct naive *n)
{
	struct raft_run out[8];
	uint64_t first, last, covered, i;
	uint32_t count, max, k;

	first = n->prev + 1 + (uint64_t)random() % 300;
	last = first + (uint64_t)random() % 200;
	max = 1 + (uint32_t)random() % 8;
	if (last > n->last || first > n->last)
		return;
	count = trail_slice(t, first, last, out, max, &covered);
	ck_assert_uint_ge(count, 1);
	ck_assert_uint_le(count, max);
	ck_assert_uint_eq(out[0].first, first);
	ck_assert(covered == last || count == max);
	for (i = first, k = 0; i <= covered; i++) {
		while (k + 1 < count && out[k + 1].first <= i)
			k++;
		ck_assert_uint_eq(out[k].term, n->term[i]);
	}
	if (covered < last)
		ck_assert_uint_ne(n->term[covered], n->term[covered + 1]);
	ck_assert_uint_eq(trail_slice(t, first, last, NULL, max, &i), count);
	ck_assert_uint_eq(i, covered);
}

START_TEST(test_random_operations_equal_the_naive_log)
{
	static struct naive n;
	struct trail t;
	uint64_t to, i, term;
	unsigned step;

	srandom((unsigned)_i);
	n.prev = (unsigned)_i % 2 == 0 ? 0 : 1 + (uint64_t)random() % 1000;
	n.last = n.prev;
	n.term[n.prev] = n.prev == 0 ? 0 : 1 + (uint64_t)random() % 3;
	trail_init(&t, runs, 1024, n.prev, n.term[n.prev]);
	for (step = 0; step < 400; step++) {
		if (random() % 4 != 0 && n.last < n.prev + 280) {
			to = n.last + 1 + (uint64_t)random() % 9;
			term = n.term[n.last] + (uint64_t)random() % 3;
			term = term == 0 ? 1 : term;
			for (i = n.last + 1; i <= to; i++)
				n.term[i] = term;
			n.last = to;
			trail_append(&t, to, term);
		} else {
			to =
			    n.prev + (uint64_t)random() % (n.last - n.prev + 2);
			trail_truncate(&t, to);
			if (to < n.last)
				n.last = to;
		}
		compare(&t, &n);
		compare_slice(&t, &n);
	}
}
END_TEST

START_TEST(test_empty_trail_knows_its_start_only)
{
	struct trail t;
	uint64_t covered;

	trail_init(&t, runs, 4, 7, 3);
	ck_assert_uint_eq(trail_term(&t, 7), 3);
	ck_assert_uint_eq(trail_term(&t, 6), 0);
	ck_assert_uint_eq(trail_term(&t, 8), 0);
	ck_assert_uint_eq(trail_last_term(&t), 3);
	ck_assert_uint_eq(trail_floor(&t, 100, 1), 7);
	ck_assert_uint_eq(trail_slice(&t, 8, 8, NULL, 4, &covered), 0);
	ck_assert_uint_eq(covered, 7);
	ck_assert_ptr_null(trail_check(&t));
}
END_TEST

START_TEST(test_same_term_takes_no_room)
{
	struct trail t;
	uint64_t i;

	trail_init(&t, runs, 1, 0, 0);
	for (i = 1; i <= 1000; i++)
		trail_append(&t, i, 5);
	ck_assert_uint_eq(t.count, 1);
	ck_assert(!trail_room(&t, 1));
	trail_truncate(&t, 0);
	ck_assert(trail_room(&t, 1));
	ck_assert_uint_eq(t.last, 0);
}
END_TEST

START_TEST(test_check_finds_damage)
{
	struct trail t;

	trail_init(&t, runs, 4, 0, 0);
	trail_append(&t, 5, 1);
	trail_append(&t, 9, 3);
	ck_assert_ptr_null(trail_check(&t));
	runs[1].term = 1;
	ck_assert_ptr_nonnull(trail_check(&t));
	runs[1].term = 3;
	runs[1].first = 10;
	ck_assert_ptr_nonnull(trail_check(&t));
	runs[1].first = 6;
	runs[0].first = 2;
	ck_assert_ptr_nonnull(trail_check(&t));
	runs[0].first = 1;
	t.last = 0;
	ck_assert_ptr_nonnull(trail_check(&t));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("trail");
	TCase *t = tcase_create("trail");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(
	    t, test_random_operations_equal_the_naive_log, 1, 41);
	tcase_add_test(t, test_empty_trail_knows_its_start_only);
	tcase_add_test(t, test_same_term_takes_no_room);
	tcase_add_test(t, test_check_finds_damage);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
