/*
 * test_ordercheck.c - the order that servers claim, against what was
 * answered.
 */
#include "loadgen/historygen.h"
#include "loadgen/ordercheck.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct membudget budget;
static struct history h;
static struct ordercheck_result res;

static void
setup(void)
{
	budget.used = 0;
	budget.max = (size_t)256 * 1024 * 1024;
	history_init(&h, &budget);
}

static void
teardown(void)
{
	history_release(&h);
	ck_assert_uint_eq(budget.used, 0);
}

static void
call_on(const char *key, uint64_t process, enum history_f f, const char *a,
    const char *b)
{
	struct history_call c;

	memset(&c, 0, sizeof(c));
	c.process = process;
	c.f = f;
	c.key = (struct history_bytes){key, strlen(key)};
	c.arg = (struct history_bytes){a, a != NULL ? strlen(a) : 0};
	c.arg2 = (struct history_bytes){b, b != NULL ? strlen(b) : 0};
	ck_assert_int_eq(history_invoke(&h, &c, NULL), 0);
}

static void
call(uint64_t process, enum history_f f, const char *a, const char *b)
{
	call_on("k", process, f, a, b);
}

/* rev 0: none is claimed */
static void
done(uint64_t process, const char *out, bool swapped, uint64_t rev)
{
	struct history_done d;

	memset(&d, 0, sizeof(d));
	d.process = process;
	d.result = HISTORY_OK;
	d.out = (struct history_bytes){out, out != NULL ? strlen(out) : 0};
	d.swapped = swapped;
	d.has_rev = rev != 0;
	d.rev = rev;
	ck_assert_int_eq(history_complete(&h, &d, NULL), 0);
}

static void
put(const char *v, uint64_t rev)
{
	call(1, HISTORY_PUT, v, NULL);
	done(1, NULL, false, rev);
}

static void
get(const char *v, uint64_t rev)
{
	call(1, HISTORY_GET, NULL, NULL);
	done(1, v, false, rev);
}

static void
cas(const char *a, const char *b, bool swapped, uint64_t rev)
{
	call(1, HISTORY_CAS, a, b);
	done(1, NULL, swapped, rev);
}

static enum lincheck_verdict
verdict(void)
{
	ck_assert_int_eq(ordercheck(&h, &res), 0);
	return res.verdict;
}

START_TEST(test_generated_orders_pass)
{
	struct historygen_opts o;
	uint64_t seed;
	unsigned ok = 0;

	for (seed = 1; seed <= 200; seed++) {
		historygen_defaults(&o);
		o.seed = seed;
		o.ops = 500;
		o.keys = 1 + (uint32_t)(seed % 7);
		o.clients = 2 + (uint32_t)(seed % 9);
		o.unknown_permille = (uint32_t)(seed % 5) * 20;
		o.with_rev = true;
		ck_assert_int_eq(historygen_run(&h, &o), 0);
		ck_assert_msg(verdict() != LINCHECK_VIOLATION, "seed %u: %s",
		    (unsigned)seed, res.why);
		ck_assert_uint_gt(res.with_rev, 0);
		ok += res.verdict == LINCHECK_OK;
		history_release(&h);
	}
	/* Doubt stays the exception. */
	ck_assert_uint_gt(ok, 150);
}
END_TEST

START_TEST(test_planted_stale_reads_are_found)
{
	struct historygen_opts o;
	uint64_t seed;
	unsigned found = 0, planted = 0;

	for (seed = 1; seed <= 100; seed++) {
		historygen_defaults(&o);
		o.seed = seed;
		o.ops = 500;
		o.keys = 3;
		o.unknown_permille = 20;
		o.with_rev = true;
		o.anomaly =
		    seed % 2 ? HISTORYGEN_STALE_READ : HISTORYGEN_NEVER_WRITTEN;
		if (historygen_run(&h, &o) == 0) {
			planted++;
			/* Of reads without revision little is held. */
			found += verdict() == LINCHECK_VIOLATION;
		}
		history_release(&h);
	}
	ck_assert_uint_gt(planted, 90);
	ck_assert_uint_gt(found, planted * 3 / 4);
}
END_TEST

START_TEST(test_two_writes_of_one_revision)
{
	put("a", 5);
	put("b", 5);
	ck_assert_int_eq(verdict(), LINCHECK_VIOLATION);
	ck_assert_uint_eq(res.window_n, 2);
}
END_TEST

START_TEST(test_groups_have_revisions_of_their_own)
{
	put("a", 5);
	call_on("other", 1, HISTORY_PUT, "b", NULL);
	done(1, NULL, false, 5);
	h.ops[1].group = 1;
	ck_assert_int_eq(verdict(), LINCHECK_OK);
}
END_TEST

START_TEST(test_write_before_what_was_answered)
{
	put("a", 5);
	put("b", 4);
	ck_assert_int_eq(verdict(), LINCHECK_VIOLATION);
}
END_TEST

START_TEST(test_concurrent_writes_in_any_order)
{
	call(1, HISTORY_PUT, "a", NULL);
	call(2, HISTORY_PUT, "b", NULL);
	done(1, NULL, false, 5);
	done(2, NULL, false, 4);
	get("a", 5);
	ck_assert_int_eq(verdict(), LINCHECK_OK);
	get("b", 5);
	ck_assert_int_eq(verdict(), LINCHECK_VIOLATION);
}
END_TEST

START_TEST(test_read_older_than_what_was_answered)
{
	put("a", 5);
	put("b", 6);
	get("a", 5);
	ck_assert_int_eq(verdict(), LINCHECK_VIOLATION);
}
END_TEST

START_TEST(test_read_without_revision_fits_between)
{
	put("a", 5);
	call(2, HISTORY_GET, NULL, NULL);
	call(1, HISTORY_DELETE, NULL, NULL);
	done(1, NULL, false, 6);
	put("b", 7);
	done(2, NULL, false, 0);
	ck_assert_int_eq(verdict(), LINCHECK_OK);
	get(NULL, 0);
	ck_assert_int_eq(verdict(), LINCHECK_VIOLATION);
}
END_TEST

START_TEST(test_refused_cas_is_a_read)
{
	put("a", 5);
	cas("b", "c", false, 5);
	ck_assert_int_eq(verdict(), LINCHECK_OK);
	cas("a", "c", false, 5);
	ck_assert_int_eq(verdict(), LINCHECK_VIOLATION);
}
END_TEST

START_TEST(test_swap_needs_what_stands_there)
{
	put("a", 5);
	cas("a", "b", true, 6);
	get("b", 6);
	ck_assert_int_eq(verdict(), LINCHECK_OK);
	cas("a", "c", true, 7);
	ck_assert_int_eq(verdict(), LINCHECK_VIOLATION);
}
END_TEST

START_TEST(test_delete_of_nothing_takes_no_revision)
{
	call_on("other", 1, HISTORY_PUT, "x", NULL);
	done(1, NULL, false, 5);
	call(1, HISTORY_DELETE, NULL, NULL);
	done(1, NULL, false, 5);
	put("a", 6);
	ck_assert_int_eq(verdict(), LINCHECK_OK);
	call_on("other", 1, HISTORY_PUT, "y", NULL);
	done(1, NULL, false, 7);
	call(1, HISTORY_DELETE, NULL, NULL);
	done(1, NULL, false, 7);
	ck_assert_int_eq(verdict(), LINCHECK_VIOLATION);
}
END_TEST

START_TEST(test_unknown_write_explains_a_read)
{
	put("a", 5);
	call(2, HISTORY_APPEND, "b", NULL);
	call(3, HISTORY_APPEND, "c", NULL);
	get("acb", 7);
	ck_assert_int_eq(verdict(), LINCHECK_OK);
	get("a", 8);
	ck_assert_int_eq(verdict(), LINCHECK_VIOLATION);
}
END_TEST

START_TEST(test_unknown_write_needs_a_free_revision)
{
	put("a", 5);
	call(2, HISTORY_PUT, "b", NULL);
	call_on("other", 1, HISTORY_PUT, "x", NULL);
	done(1, NULL, false, 6);
	get("b", 6);
	ck_assert_int_eq(verdict(), LINCHECK_VIOLATION);
}
END_TEST

START_TEST(test_nothing_claimed_is_undecided)
{
	put("a", 0);
	get("a", 0);
	ck_assert_int_eq(verdict(), LINCHECK_UNDECIDED);
	ck_assert_uint_eq(res.with_rev, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ordercheck");
	TCase *tc = tcase_create("ordercheck");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_generated_orders_pass);
	tcase_add_test(tc, test_planted_stale_reads_are_found);
	tcase_add_test(tc, test_two_writes_of_one_revision);
	tcase_add_test(tc, test_groups_have_revisions_of_their_own);
	tcase_add_test(tc, test_write_before_what_was_answered);
	tcase_add_test(tc, test_concurrent_writes_in_any_order);
	tcase_add_test(tc, test_read_older_than_what_was_answered);
	tcase_add_test(tc, test_read_without_revision_fits_between);
	tcase_add_test(tc, test_refused_cas_is_a_read);
	tcase_add_test(tc, test_swap_needs_what_stands_there);
	tcase_add_test(tc, test_delete_of_nothing_takes_no_revision);
	tcase_add_test(tc, test_unknown_write_explains_a_read);
	tcase_add_test(tc, test_unknown_write_needs_a_free_revision);
	tcase_add_test(tc, test_nothing_claimed_is_undecided);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
