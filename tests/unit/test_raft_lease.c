/*
 * test_raft_lease.c - leases for reads: what a leader may count on, and what
 * a follower keeps: one core.
 */
#include "tests/unit/corehelp.h"

#define PROMISE ELECTION_NS
#define DRIFT_PPM 10000 /* one in a hundred */

static struct core c;

static void
setup(void)
{
	core_init(&c, 3);
	c.opt.lease = true;
	c.opt.drift_ppm = DRIFT_PPM;
}

static void
teardown(void)
{
	core_stop(&c);
}

static bool
holds_in(uint64_t ns)
{
	return raft_lease(c.raft, (struct raft_time){c.now.ns + ns});
}

static void
beat_reply(uint64_t from, uint64_t round, uint64_t promise_ns)
{
	struct raft_msg m = {.type = RAFT_HEARTBEAT_REPLY,
	    .from = from,
	    .term = core_status(&c).hard.term};

	m.u.heartbeat_reply.round = round;
	m.u.heartbeat_reply.last = 1;
	m.u.heartbeat_reply.promise_ns = promise_ns;
	core_message(&c, m);
}

/* The next round of heartbeats, by its number. */
static uint64_t
beat(void)
{
	core_tick(&c, HEARTBEAT_NS);
	ck_assert_ptr_nonnull(core_sent(&c, RAFT_HEARTBEAT, 0));
	return core_sent(&c, RAFT_HEARTBEAT, 0)->u.heartbeat.round;
}

/* Leading, with an own entry committed. */
static void
lead(void)
{
	core_start(&c);
	core_lead(&c);
	core_persist(&c);
	core_ack(&c, 2, 1, 1);
	ck_assert(core_status(&c).ready);
}

START_TEST(test_a_majority_of_promises_is_a_lease)
{
	uint64_t round;

	lead();
	ck_assert(!holds_in(0));
	round = beat();
	ck_assert_uint_ne(round, 0);
	ck_assert(!holds_in(0));
	beat_reply(3, round, PROMISE);
	ck_assert(holds_in(0));
	/* Two clocks that differ by one in a hundred each. */
	ck_assert(holds_in(PROMISE / 100 * 97));
	ck_assert(!holds_in(PROMISE / 100 * 98));
}
END_TEST

START_TEST(test_a_promise_counts_from_when_it_was_asked_for)
{
	uint64_t round;

	lead();
	round = beat();
	c.now.ns += PROMISE / 2;
	beat_reply(2, round, PROMISE);
	ck_assert(holds_in(0));
	ck_assert(!holds_in(PROMISE / 2));
	c.now.ns += PROMISE / 2;
	beat_reply(3, round, PROMISE);
	ck_assert(!holds_in(0));
}
END_TEST

START_TEST(test_answers_without_a_promise_are_none)
{
	uint64_t round;

	lead();
	round = beat();
	beat_reply(2, round, 0);
	beat_reply(3, round + 1, PROMISE); /* never asked */
	beat_reply(3, 0, PROMISE);
	ck_assert(!holds_in(0));
}
END_TEST

START_TEST(test_an_answer_to_an_older_round_shortens_nothing)
{
	uint64_t first, second;

	lead();
	first = beat();
	second = beat();
	ck_assert_uint_ne(first, second);
	beat_reply(2, second, PROMISE);
	beat_reply(2, first, PROMISE);
	ck_assert(holds_in(PROMISE / 100 * 97));
}
END_TEST

START_TEST(test_no_lease_before_an_entry_of_the_own_term_is_committed)
{
	core_start(&c);
	core_lead(&c);
	core_persist(&c);
	beat_reply(2, beat(), PROMISE);
	beat_reply(3, beat(), PROMISE);
	ck_assert(!holds_in(0));
	core_ack(&c, 2, 1, 1);
	ck_assert(holds_in(0));
}
END_TEST

START_TEST(test_no_lease_from_the_beginning_of_a_transfer)
{
	lead();
	beat_reply(2, beat(), PROMISE);
	beat_reply(3, beat(), PROMISE);
	core_propose(&c, 1, 10);
	core_peer(&c, RAFT_EV_TRANSFER, 2);
	ck_assert(!c.out.rejected);
	ck_assert(!holds_in(0));
	/* The target had it all: it may come at any time. */
	core_ack(&c, 2, 1, 2);
	ck_assert_ptr_nonnull(core_sent(&c, RAFT_TIMEOUT_NOW, 0));
	for (int i = 0; i < 12; i++) {
		uint64_t round = beat();

		beat_reply(2, round, PROMISE);
		beat_reply(3, round, PROMISE);
	}
	ck_assert_uint_eq(core_status(&c).transfer_to, RAFT_NONE);
	ck_assert(!holds_in(0));
}
END_TEST

START_TEST(test_a_transfer_that_invited_nobody_leaves_the_lease)
{
	lead();
	core_propose(&c, 1, 10);
	core_peer(&c, RAFT_EV_TRANSFER, 2);
	for (int i = 0; i < 12; i++)
		beat_reply(3, beat(), PROMISE);
	ck_assert_uint_eq(core_status(&c).transfer_to, RAFT_NONE);
	ck_assert(holds_in(0));
}
END_TEST

START_TEST(test_learners_hold_no_lease)
{
	uint64_t round;

	core_stop(&c);
	core_init(&c, 4);
	c.config.member[3].voter = 0;
	c.opt.lease = true;
	lead();
	round = beat();
	beat_reply(4, round, PROMISE);
	ck_assert(!holds_in(0));
	beat_reply(3, round, PROMISE);
	ck_assert(holds_in(0));
}
END_TEST

START_TEST(test_alone_it_always_holds)
{
	core_stop(&c);
	core_init(&c, 1);
	c.opt.lease = true;
	core_log(&c, 1, 3);
	core_start(&c);
	core_tick(&c, 0);
	core_persist(&c);
	core_persist(&c);
	ck_assert_int_eq(core_status(&c).role, RAFT_LEADER);
	ck_assert(holds_in(10 * ELECTION_NS));
}
END_TEST

START_TEST(test_follower_promises_with_each_answer)
{
	core_start(&c);
	core_heartbeat(&c, 2, 1, 0);
	ck_assert_uint_eq(core_sent(&c, RAFT_HEARTBEAT_REPLY, 0)
			      ->u.heartbeat_reply.promise_ns,
	    ELECTION_NS);
	core_append(&c, 2, 1, 0, 0, 2, 1, 0);
	core_persist(&c);
	ck_assert_uint_eq(
	    core_sent(&c, RAFT_APPEND_REPLY, 0)->u.append_reply.promise_ns,
	    ELECTION_NS);
}
END_TEST

START_TEST(test_a_closed_connection_does_not_end_the_promise)
{
	core_start(&c);
	core_heartbeat(&c, 2, 1, 0);
	core_peer(&c, RAFT_EV_PEER_DOWN, 2);
	c.now.ns += ELECTION_NS / 2;
	core_ask(&c, RAFT_PREVOTE, 3, 1, 9, 1);
	ck_assert(!core_sent(&c, RAFT_PREVOTE_REPLY, 0)->u.vote_reply.granted);
	core_ask(&c, RAFT_VOTE, 3, 2, 9, 1);
	ck_assert_ptr_null(core_sent(&c, RAFT_VOTE_REPLY, 0));
	/* Nor do we stand ourselves. */
	core_tick(&c, ELECTION_NS / 2 - 2);
	ck_assert_int_eq(core_status(&c).role, RAFT_FOLLOWER);
	/* But then at once. */
	core_tick(&c, ELECTION_NS / 4);
	ck_assert_int_eq(core_status(&c).role, RAFT_PRECANDIDATE);
	core_ask(&c, RAFT_VOTE, 3, 2, 9, 1);
	ck_assert(core_sent(&c, RAFT_VOTE_REPLY, 0)->u.vote_reply.granted);
}
END_TEST

START_TEST(test_a_vote_in_a_term_that_is_known_is_refused_as_well)
{
	struct raft_msg m = {.type = RAFT_PREVOTE_REPLY, .from = 3, .term = 5};

	core_start(&c);
	core_heartbeat(&c, 2, 1, 0);
	core_peer(&c, RAFT_EV_PEER_DOWN, 2);
	m.u.vote_reply.term = 2;
	core_message(&c, m); /* teaches term 5 */
	ck_assert_uint_eq(core_status(&c).hard.term, 5);
	core_ask(&c, RAFT_VOTE, 3, 5, 9, 1);
	ck_assert_ptr_null(core_sent(&c, RAFT_VOTE_REPLY, 0));
}
END_TEST

START_TEST(test_a_start_takes_it_that_a_promise_was_given)
{
	core_log(&c, 4, 3);
	core_start(&c);
	core_ask(&c, RAFT_PREVOTE, 3, 4, 9, 4);
	ck_assert(!core_sent(&c, RAFT_PREVOTE_REPLY, 0)->u.vote_reply.granted);
	core_tick(&c, ELECTION_NS - 1);
	ck_assert_int_eq(core_status(&c).role, RAFT_FOLLOWER);
	core_tick(&c, ELECTION_NS);
	ck_assert_int_eq(core_status(&c).role, RAFT_PRECANDIDATE);
}
END_TEST

START_TEST(test_whom_the_leader_invited_gets_the_vote)
{
	struct raft_msg m = {.type = RAFT_VOTE, .from = 3, .term = 2};

	core_start(&c);
	core_heartbeat(&c, 2, 1, 0);
	m.u.vote.term = 2;
	m.u.vote.last_index = 9;
	m.u.vote.last_term = 1;
	m.u.vote.transfer = true;
	core_message(&c, m);
	ck_assert(core_sent(&c, RAFT_VOTE_REPLY, 0)->u.vote_reply.granted);
}
END_TEST

START_TEST(test_without_leases_nothing_is_promised)
{
	core_stop(&c);
	core_init(&c, 3);
	lead();
	core_tick(&c, HEARTBEAT_NS);
	ck_assert_uint_eq(
	    core_sent(&c, RAFT_HEARTBEAT, 0)->u.heartbeat.round, 0);
	ck_assert(!holds_in(0));
	core_heartbeat(&c, 2, 2, 0);
	ck_assert_uint_eq(core_sent(&c, RAFT_HEARTBEAT_REPLY, 0)
			      ->u.heartbeat_reply.promise_ns,
	    0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("lease");
	TCase *t = tcase_create("lease");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_a_majority_of_promises_is_a_lease);
	tcase_add_test(t, test_a_promise_counts_from_when_it_was_asked_for);
	tcase_add_test(t, test_answers_without_a_promise_are_none);
	tcase_add_test(t, test_an_answer_to_an_older_round_shortens_nothing);
	tcase_add_test(
	    t, test_no_lease_before_an_entry_of_the_own_term_is_committed);
	tcase_add_test(t, test_no_lease_from_the_beginning_of_a_transfer);
	tcase_add_test(t, test_a_transfer_that_invited_nobody_leaves_the_lease);
	tcase_add_test(t, test_learners_hold_no_lease);
	tcase_add_test(t, test_alone_it_always_holds);
	tcase_add_test(t, test_follower_promises_with_each_answer);
	tcase_add_test(t, test_a_closed_connection_does_not_end_the_promise);
	tcase_add_test(
	    t, test_a_vote_in_a_term_that_is_known_is_refused_as_well);
	tcase_add_test(t, test_a_start_takes_it_that_a_promise_was_given);
	tcase_add_test(t, test_whom_the_leader_invited_gets_the_vote);
	tcase_add_test(t, test_without_leases_nothing_is_promised);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
