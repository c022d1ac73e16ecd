/*
 * test_quorum.c - majorities, against plain counting over every subset.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/core/quorum.h"

/* By the definition: more than half of those who have a vote in the half. */
static bool
naive_half(const struct raft_config *c, unsigned half, uint32_t yes)
{
	unsigned have = 0, all = 0;
	uint32_t i;

	for (i = 0; i < c->count; i++) {
		if ((c->member[i].voter & half) == 0)
			continue;
		all++;
		have += yes >> i & 1;
	}
	return all > 0 && 2 * have > all;
}

static bool
naive_reached(const struct raft_config *c, uint32_t yes)
{
	return naive_half(c, RAFT_VOTER_NEW, yes) &&
	       (!c->joint || naive_half(c, RAFT_VOTER_OLD, yes));
}

/* The largest value such that those who have it are a quorum. */
static uint64_t
naive_index(const struct raft_config *c, const uint64_t *value)
{
	uint64_t best = 0;
	uint32_t i, k, yes;

	for (i = 0; i < c->count; i++) {
		yes = 0;
		for (k = 0; k < c->count; k++)
			if (value[k] >= value[i])
				yes |= UINT32_C(1) << k;
		if (value[i] > best && naive_reached(c, yes))
			best = value[i];
	}
	return best;
}

static enum quorum_vote
naive_vote(const struct raft_config *c, uint32_t yes, uint32_t no)
{
	uint32_t all = (UINT32_C(1) << c->count) - 1;

	if (naive_reached(c, yes))
		return QUORUM_WON;
	return naive_reached(c, all & ~no) ? QUORUM_PENDING : QUORUM_LOST;
}

/* Member i's role is the ith base-4 digit: learner, new, old, both. */
static struct raft_config
config_of(uint32_t count, uint32_t roles)
{
	struct raft_config c = {.count = count};
	uint32_t i;

	for (i = 0; i < count; i++) {
		c.member[i].id = i + 1;
		c.member[i].voter = (uint8_t)(roles >> 2 * i & 3);
		c.joint = c.joint || (c.member[i].voter & RAFT_VOTER_OLD) != 0;
	}
	return c;
}

static struct raft_config
plain(uint32_t count)
{
	return config_of(count, UINT32_C(0x55555555));
}

START_TEST(test_majority_of_one_to_nine)
{
	uint32_t n = (uint32_t)_i, yes;
	struct raft_config c = plain(n);

	for (yes = 0; yes < UINT32_C(1) << n; yes++)
		ck_assert_int_eq(
		    quorum_reached(&c, yes), naive_reached(&c, yes));
}
END_TEST

START_TEST(test_two_quorums_always_meet)
{
	uint32_t n = (uint32_t)_i, a, b;
	struct raft_config c = plain(n);

	for (a = 0; a < UINT32_C(1) << n; a++)
		for (b = 0; b < a; b++)
			if (quorum_reached(&c, a) && quorum_reached(&c, b))
				ck_assert_uint_ne(a & b, 0);
}
END_TEST

START_TEST(test_vote_is_won_lost_or_pending)
{
	uint32_t n = (uint32_t)_i, yes, no;
	struct raft_config c = plain(n);

	for (yes = 0; yes < UINT32_C(1) << n; yes++)
		for (no = 0; no < UINT32_C(1) << n; no++)
			if ((yes & no) == 0)
				ck_assert_int_eq(quorum_vote(&c, yes, no),
				    naive_vote(&c, yes, no));
}
END_TEST

START_TEST(test_joint_needs_both_halves)
{
	uint32_t n = (uint32_t)_i, roles, yes, no;
	struct raft_config c;

	/* Every assignment of roles to up to five members. */
	for (roles = 0; roles < UINT32_C(1) << 2 * n; roles++) {
		c = config_of(n, roles);
		for (yes = 0; yes < UINT32_C(1) << n; yes++) {
			no = ((UINT32_C(1) << n) - 1) & ~yes;
			ck_assert_int_eq(
			    quorum_reached(&c, yes), naive_reached(&c, yes));
			ck_assert_int_eq(quorum_vote(&c, yes, no & roles),
			    naive_vote(&c, yes, no & roles));
		}
	}
}
END_TEST

START_TEST(test_joint_quorums_meet_those_of_old_and_new)
{
	/* C_old = {1,2,3}, C_new = {2,3,4,5}. */
	struct raft_config joint =
	    config_of(5, 2 | 3 << 2 | 3 << 4 | 1 << 6 | 1 << 8);
	struct raft_config old = config_of(5, 1 | 1 << 2 | 1 << 4);
	struct raft_config new =
	    config_of(5, 1 << 2 | 1 << 4 | 1 << 6 | 1 << 8);
	uint32_t a, b;

	for (a = 0; a < 32; a++)
		for (b = 0; b < 32; b++)
			if (quorum_reached(&joint, a) &&
			    (quorum_reached(&old, b) ||
				quorum_reached(&new, b)))
				ck_assert_uint_ne(a & b, 0);
}
END_TEST

START_TEST(test_index_of_all_small_values)
{
	/* Every assignment of four values to up to five members. */
	uint32_t n = (uint32_t)_i, x, i;
	struct raft_config c = plain(n);
	uint64_t value[RAFT_MEMBERS_MAX];

	for (x = 0; x < UINT32_C(1) << 2 * n; x++) {
		for (i = 0; i < n; i++)
			value[i] = x >> 2 * i & 3;
		ck_assert_uint_eq(
		    quorum_index(&c, value), naive_index(&c, value));
	}
}
END_TEST

START_TEST(test_index_of_random_joint_configurations)
{
	uint64_t value[RAFT_MEMBERS_MAX];
	struct raft_config c;
	unsigned round;
	uint32_t i, n;

	srandom(7);
	for (round = 0; round < 200000; round++) {
		n = 1 + (uint32_t)random() % 9;
		c = config_of(n, (uint32_t)random());
		for (i = 0; i < n; i++)
			value[i] = (uint64_t)random() %
				   (random() % 2 != 0 ? 4 : 1000000);
		ck_assert_uint_eq(
		    quorum_index(&c, value), naive_index(&c, value));
	}
}
END_TEST

START_TEST(test_no_voters_decide_nothing)
{
	struct raft_config none = {.count = 0}, learners = config_of(3, 0);
	uint64_t value[RAFT_MEMBERS_MAX] = {5, 5, 5};

	ck_assert(!quorum_reached(&none, ~UINT32_C(0)));
	ck_assert(!quorum_reached(&learners, ~UINT32_C(0)));
	ck_assert_uint_eq(quorum_index(&none, value), 0);
	ck_assert_uint_eq(quorum_index(&learners, value), 0);
	ck_assert_int_eq(quorum_vote(&learners, 7, 0), QUORUM_LOST);
}
END_TEST

START_TEST(test_learners_do_not_count)
{
	/* 1 and 2 vote, 3 to 5 learn. */
	struct raft_config c = config_of(5, 1 | 1 << 2);
	uint64_t value[RAFT_MEMBERS_MAX] = {3, 2, 9, 9, 9};

	ck_assert(!quorum_reached(&c, 1 | 4 | 8 | 16));
	ck_assert(quorum_reached(&c, 3));
	ck_assert_uint_eq(quorum_index(&c, value), 2);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("quorum");
	TCase *t = tcase_create("quorum");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_majority_of_one_to_nine, 1, 10);
	tcase_add_loop_test(t, test_two_quorums_always_meet, 1, 10);
	tcase_add_loop_test(t, test_vote_is_won_lost_or_pending, 1, 10);
	tcase_add_loop_test(t, test_joint_needs_both_halves, 1, 6);
	tcase_add_test(t, test_joint_quorums_meet_those_of_old_and_new);
	tcase_add_loop_test(t, test_index_of_all_small_values, 1, 6);
	tcase_add_test(t, test_index_of_random_joint_configurations);
	tcase_add_test(t, test_no_voters_decide_nothing);
	tcase_add_test(t, test_learners_do_not_count);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
