/*
 * test_progress.c - the leader's view of one peer.
 */
#include <check.h>
#include <stdlib.h>

#include "raftd/core/progress.h"

static const struct raft_time zero;
static struct progress p;

static void
fresh(void)
{
	progress_init(&p, 2, 10, zero);
	ck_assert_ptr_null(progress_check(&p));
}

static void
replicating(uint64_t match)
{
	fresh();
	ck_assert(progress_acked(&p, match));
	ck_assert_int_eq(p.state, RAFT_REPLICATE);
}

START_TEST(test_starts_probing)
{
	fresh();
	ck_assert_int_eq(p.state, RAFT_PROBE);
	ck_assert_uint_eq(p.match, 0);
	ck_assert_uint_eq(p.next, 10);
}
END_TEST

START_TEST(test_probe_waits_for_an_answer)
{
	fresh();
	progress_sent(&p, 12, 300);
	ck_assert(p.waiting);
	ck_assert_uint_eq(p.next, 10);
	ck_assert_uint_eq(p.flight_count, 0);
	ck_assert(progress_acked(&p, 12));
	ck_assert_int_eq(p.state, RAFT_REPLICATE);
	ck_assert(!p.waiting);
	ck_assert_uint_eq(p.next, 13);
}
END_TEST

START_TEST(test_refused_probe_goes_back)
{
	fresh();
	ck_assert(progress_refused(&p, 9, 4));
	ck_assert_uint_eq(p.next, 4);
	/* Whatever the hint, it goes back. */
	ck_assert(progress_refused(&p, 3, 900));
	ck_assert_uint_eq(p.next, 3);
	ck_assert(progress_refused(&p, 2, 0));
	ck_assert_uint_eq(p.next, 1);
	ck_assert_ptr_null(progress_check(&p));
}
END_TEST

START_TEST(test_old_refusals_are_ignored)
{
	fresh();
	ck_assert(!progress_refused(&p, 5, 3));
	ck_assert_uint_eq(p.next, 10);
	replicating(9);
	ck_assert(!progress_refused(&p, 9, 3));
	ck_assert(!progress_refused(&p, 4, 3));
	ck_assert_int_eq(p.state, RAFT_REPLICATE);
}
END_TEST

START_TEST(test_refusal_while_replicating_probes_after_match)
{
	replicating(9);
	progress_sent(&p, 12, 100);
	progress_sent(&p, 15, 100);
	ck_assert(progress_refused(&p, 12, 3));
	ck_assert_int_eq(p.state, RAFT_PROBE);
	ck_assert_uint_eq(p.next, 10);
	ck_assert_uint_eq(p.flight_bytes, 0);
	ck_assert_ptr_null(progress_check(&p));
}
END_TEST

START_TEST(test_match_never_falls)
{
	replicating(20);
	ck_assert(!progress_acked(&p, 15));
	ck_assert_uint_eq(p.match, 20);
	ck_assert_uint_eq(p.next, 21);
}
END_TEST

START_TEST(test_ack_frees_what_it_covers)
{
	replicating(9);
	progress_sent(&p, 12, 100);
	progress_sent(&p, 15, 200);
	progress_sent(&p, 16, 400);
	ck_assert_uint_eq(p.flight_bytes, 700);
	ck_assert(progress_acked(&p, 14));
	ck_assert_uint_eq(p.flight_bytes, 600);
	ck_assert_uint_eq(p.flight_count, 2);
	ck_assert(progress_acked(&p, 16));
	ck_assert_uint_eq(p.flight_bytes, 0);
	ck_assert_ptr_null(progress_check(&p));
}
END_TEST

START_TEST(test_full_by_bytes_or_by_count)
{
	unsigned i;

	replicating(9);
	ck_assert(!progress_full(&p, 100));
	progress_sent(&p, 10, 100);
	ck_assert(progress_full(&p, 100));
	ck_assert(!progress_full(&p, 101));
	for (i = 1; i < RAFT_INFLIGHT_MAX; i++)
		progress_sent(&p, 10 + i, 1);
	ck_assert(progress_full(&p, UINT64_MAX));
	ck_assert(progress_acked(&p, 10));
	ck_assert(!progress_full(&p, UINT64_MAX));
	ck_assert_ptr_null(progress_check(&p));
}
END_TEST

START_TEST(test_empty_append_is_not_in_flight)
{
	replicating(9);
	p.poke = true;
	progress_sent(&p, 9, 0);
	ck_assert_uint_eq(p.flight_count, 0);
	ck_assert(!p.poke);
	ck_assert_uint_eq(p.next, 10);
}
END_TEST

START_TEST(test_snapshotting_ignores_refusals)
{
	fresh();
	progress_snapshot(&p);
	ck_assert(!progress_refused(&p, 9, 2));
	ck_assert_int_eq(p.state, RAFT_SNAPSHOTTING);
	progress_probe(&p, 31);
	ck_assert_int_eq(p.state, RAFT_PROBE);
	ck_assert_uint_eq(p.next, 31);
}
END_TEST

START_TEST(test_counters_equal_a_recount_under_random_traffic)
{
	uint64_t last = 9;
	unsigned i;

	srandom((unsigned)_i);
	replicating(9);
	for (i = 0; i < 20000; i++) {
		switch (random() % 6) {
		case 0:
		case 1:
		case 2:
			if (progress_full(&p, 5000) ||
			    p.state == RAFT_SNAPSHOTTING)
				break;
			last = p.next - 1 + (uint64_t)random() % 4;
			progress_sent(&p, last, (uint64_t)random() % 400);
			break;
		case 3:
		case 4:
			progress_acked(&p,
			    p.match + (uint64_t)random() % (p.next - p.match));
			break;
		default:
			if (random() % 20 == 0)
				progress_refused(&p, p.next - 1,
				    (uint64_t)random() % p.next);
			break;
		}
		ck_assert_ptr_null(progress_check(&p));
	}
}
END_TEST

START_TEST(test_check_finds_a_leak)
{
	replicating(9);
	progress_sent(&p, 12, 100);
	p.flight_bytes++;
	ck_assert_ptr_nonnull(progress_check(&p));
	p.flight_bytes--;
	p.next = p.match;
	ck_assert_ptr_nonnull(progress_check(&p));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("progress");
	TCase *t = tcase_create("progress");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_starts_probing);
	tcase_add_test(t, test_probe_waits_for_an_answer);
	tcase_add_test(t, test_refused_probe_goes_back);
	tcase_add_test(t, test_old_refusals_are_ignored);
	tcase_add_test(t, test_refusal_while_replicating_probes_after_match);
	tcase_add_test(t, test_match_never_falls);
	tcase_add_test(t, test_ack_frees_what_it_covers);
	tcase_add_test(t, test_full_by_bytes_or_by_count);
	tcase_add_test(t, test_empty_append_is_not_in_flight);
	tcase_add_test(t, test_snapshotting_ignores_refusals);
	tcase_add_loop_test(
	    t, test_counters_equal_a_recount_under_random_traffic, 1, 11);
	tcase_add_test(t, test_check_finds_a_leak);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
