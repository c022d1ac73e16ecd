/*
 * test_raft_election.c - timers, pre-votes, votes, leases: one core.
 */
#include "tests/unit/corehelp.h"

static struct core c;

static void
setup(void)
{
	core_init(&c, 3);
}

static void
teardown(void)
{
	core_stop(&c);
}

static bool
granted(enum raft_msg_type type)
{
	const struct raft_msg *m = core_sent(&c, type, 0);

	ck_assert_ptr_nonnull(m);
	return m->u.vote_reply.granted;
}

START_TEST(test_quiet_before_the_timeout)
{
	core_start(&c);
	core_heartbeat(&c, 2, 1, 0);
	core_tick(&c, ELECTION_NS - 1);
	ck_assert_uint_eq(c.out.msg_count, 0);
	ck_assert_int_eq(core_status(&c).role, RAFT_FOLLOWER);
}
END_TEST

START_TEST(test_start_asks_sooner_than_a_timeout)
{
	core_start(&c);
	core_tick(&c, ELECTION_NS / 8 - 1);
	ck_assert_uint_eq(c.out.msg_count, 0);
	core_tick(&c, ELECTION_NS / 2 + 1);
	ck_assert_int_eq(core_status(&c).role, RAFT_PRECANDIDATE);
	ck_assert_uint_eq(core_status(&c).hard.term, 0);
}
END_TEST

/* A disk that hangs: one term is waited for, however often it is tried. */
START_TEST(test_terms_do_not_run_ahead_of_the_disk)
{
	uint64_t term;

	core_start(&c);
	core_candidate(&c);
	term = core_status(&c).hard.term;
	for (int i = 0; i < 4; i++) {
		core_tick(&c, 2 * ELECTION_NS);
		ck_assert_int_eq(core_status(&c).role, RAFT_PRECANDIDATE);
		core_reply(&c, RAFT_PREVOTE_REPLY, 2, term, term + 1, true);
		core_reply(&c, RAFT_PREVOTE_REPLY, 3, term, term + 1, true);
		ck_assert_uint_eq(core_status(&c).hard.term, term);
	}
	core_persist(&c);
	ck_assert_int_eq(core_status(&c).role, RAFT_CANDIDATE);
	ck_assert_uint_eq(core_status(&c).hard.term, term + 1);
}
END_TEST

START_TEST(test_start_alone_does_not_wait)
{
	core_stop(&c);
	core_init(&c, 1);
	core_start(&c);
	core_tick(&c, 0);
	ck_assert_int_eq(core_status(&c).role, RAFT_CANDIDATE);
}
END_TEST

START_TEST(test_timeout_begins_with_prevotes_in_the_same_term)
{
	const struct raft_msg *m;

	core_log(&c, 4, 2);
	core_start(&c);
	core_tick(&c, 2 * ELECTION_NS);
	ck_assert_int_eq(core_status(&c).role, RAFT_PRECANDIDATE);
	ck_assert(!c.out.hard_changed);
	ck_assert_ptr_nonnull(m = core_sent(&c, RAFT_PREVOTE, 1));
	ck_assert_uint_eq(m->term, 4);
	ck_assert_uint_eq(m->u.vote.term, 5);
	ck_assert_uint_eq(m->u.vote.last_index, 2);
	ck_assert_uint_eq(m->u.vote.last_term, 4);
	ck_assert(!m->wait);
}
END_TEST

START_TEST(test_candidacy_waits_for_the_disk)
{
	const struct raft_msg *m;

	core_start(&c);
	core_candidate(&c);
	ck_assert(c.out.hard_changed);
	ck_assert_uint_eq(c.out.hard.term, 1);
	ck_assert_uint_eq(c.out.hard.vote, ME);
	ck_assert_ptr_nonnull(m = core_sent(&c, RAFT_VOTE, 0));
	ck_assert(m->wait);
}
END_TEST

START_TEST(test_own_vote_counts_only_when_durable)
{
	core_start(&c);
	core_candidate(&c);
	core_reply(&c, RAFT_VOTE_REPLY, 2, 1, 1, true);
	core_reply(&c, RAFT_VOTE_REPLY, 3, 1, 1, true);
	ck_assert_int_eq(core_status(&c).role, RAFT_CANDIDATE);
	core_persist(&c);
	ck_assert_int_eq(core_status(&c).role, RAFT_LEADER);
	ck_assert(c.out.noop);
	ck_assert_uint_eq(c.out.persist_first, 1);
	ck_assert_uint_eq(c.out.persist_last, 1);
}
END_TEST

START_TEST(test_repeated_votes_of_one_server_count_once)
{
	core_stop(&c);
	core_init(&c, 5);
	core_start(&c);
	core_candidate(&c);
	core_persist(&c);
	core_reply(&c, RAFT_VOTE_REPLY, 2, 1, 1, true);
	core_reply(&c, RAFT_VOTE_REPLY, 2, 1, 1, true);
	core_reply(&c, RAFT_VOTE_REPLY, 2, 1, 1, true);
	ck_assert_int_eq(core_status(&c).role, RAFT_CANDIDATE);
}
END_TEST

START_TEST(test_votes_of_strangers_do_not_count)
{
	core_start(&c);
	core_candidate(&c);
	core_persist(&c);
	core_reply(&c, RAFT_VOTE_REPLY, 9, 1, 1, true);
	ck_assert_int_eq(core_status(&c).role, RAFT_CANDIDATE);
}
END_TEST

START_TEST(test_votes_of_an_older_term_do_not_count)
{
	core_start(&c);
	core_candidate(&c);
	core_persist(&c);
	core_tick(&c, 2 * ELECTION_NS);
	core_reply(&c, RAFT_PREVOTE_REPLY, 2, 1, 2, true);
	core_persist(&c);
	ck_assert_uint_eq(core_status(&c).hard.term, 2);
	core_reply(&c, RAFT_VOTE_REPLY, 3, 1, 1, true);
	ck_assert_int_eq(core_status(&c).role, RAFT_CANDIDATE);
}
END_TEST

START_TEST(test_vote_waits_for_the_disk_and_is_given_once)
{
	core_start(&c);
	core_ask(&c, RAFT_VOTE, 2, 1, 0, 0);
	ck_assert(granted(RAFT_VOTE_REPLY));
	ck_assert(c.out.hard_changed);
	ck_assert(core_sent(&c, RAFT_VOTE_REPLY, 0)->wait);
	core_ask(&c, RAFT_VOTE, 3, 1, 9, 0);
	ck_assert(!granted(RAFT_VOTE_REPLY));
	core_persist(&c);
	core_ask(&c, RAFT_VOTE, 2, 1, 0, 0);
	ck_assert(granted(RAFT_VOTE_REPLY));
	ck_assert(!core_sent(&c, RAFT_VOTE_REPLY, 0)->wait);
}
END_TEST

START_TEST(test_vote_denied_if_log_is_shorter)
{
	core_log(&c, 2, 5);
	core_start(&c);
	core_ask(&c, RAFT_VOTE, 2, 3, 4, 2);
	ck_assert(!granted(RAFT_VOTE_REPLY));
	core_ask(&c, RAFT_VOTE, 2, 3, 5, 2);
	ck_assert(granted(RAFT_VOTE_REPLY));
}
END_TEST

START_TEST(test_vote_denied_if_last_term_is_older_though_log_is_longer)
{
	core_log(&c, 2, 5);
	core_start(&c);
	core_ask(&c, RAFT_VOTE, 2, 3, 50, 1);
	ck_assert(!granted(RAFT_VOTE_REPLY));
}
END_TEST

START_TEST(test_vote_granted_if_last_term_is_newer_though_log_is_shorter)
{
	core_log(&c, 2, 5);
	core_start(&c);
	core_ask(&c, RAFT_VOTE, 2, 4, 1, 3);
	ck_assert(granted(RAFT_VOTE_REPLY));
}
END_TEST

/* Bug 9: of two logs at least one is good enough for the other. */
START_TEST(test_up_to_date_is_a_total_order)
{
	uint64_t ti, tl, i, l;
	bool one, other;

	for (ti = 1; ti <= 3; ti++)
		for (tl = 1; tl <= 3; tl++)
			for (i = 1; i <= 3; i++)
				for (l = 1; l <= 3; l++) {
					core_init(&c, 3);
					core_log(&c, ti, i);
					core_start(&c);
					core_ask(&c, RAFT_VOTE, 2, 5, l, tl);
					one = granted(RAFT_VOTE_REPLY);
					core_stop(&c);
					core_init(&c, 3);
					core_log(&c, tl, l);
					core_start(&c);
					core_ask(&c, RAFT_VOTE, 2, 5, i, ti);
					other = granted(RAFT_VOTE_REPLY);
					core_stop(&c);
					ck_assert(one || other);
					ck_assert(!(one && other) ||
						  (i == l && ti == tl));
				}
	core_init(&c, 3);
	core_start(&c);
}
END_TEST

START_TEST(test_vote_survives_stepping_down_in_its_term)
{
	core_start(&c);
	core_ready(&c);
	core_peer(&c, RAFT_EV_STEP_DOWN, 0);
	ck_assert_uint_eq(core_status(&c).hard.vote, ME);
	core_ask(&c, RAFT_VOTE, 2, 1, 9, 0);
	ck_assert(!granted(RAFT_VOTE_REPLY));
}
END_TEST

START_TEST(test_lease_refuses_prevotes_and_votes)
{
	core_start(&c);
	core_heartbeat(&c, 2, 1, 0);
	c.now.ns += ELECTION_NS - 1;
	core_ask(&c, RAFT_PREVOTE, 3, 1, 9, 1);
	ck_assert(!granted(RAFT_PREVOTE_REPLY));
	core_ask(&c, RAFT_VOTE, 3, 7, 9, 1);
	ck_assert_uint_eq(c.out.msg_count, 0);
	ck_assert_uint_eq(core_status(&c).hard.term, 1);
}
END_TEST

START_TEST(test_lease_ends_after_an_election_timeout)
{
	core_start(&c);
	core_heartbeat(&c, 2, 1, 0);
	c.now.ns += ELECTION_NS;
	core_ask(&c, RAFT_PREVOTE, 3, 1, 9, 1);
	ck_assert(granted(RAFT_PREVOTE_REPLY));
}
END_TEST

START_TEST(test_lease_yields_to_an_invited_candidate)
{
	struct raft_msg m = {.type = RAFT_VOTE, .from = 3, .term = 2};

	core_start(&c);
	core_heartbeat(&c, 2, 1, 0);
	m.u.vote.term = 2;
	m.u.vote.last_index = 0;
	m.u.vote.last_term = 0;
	m.u.vote.transfer = true;
	core_message(&c, m);
	ck_assert(granted(RAFT_VOTE_REPLY));
}
END_TEST

START_TEST(test_closed_connection_of_the_leader_voids_its_lease)
{
	core_start(&c);
	core_heartbeat(&c, 2, 1, 0);
	core_peer(&c, RAFT_EV_PEER_DOWN, 3);
	core_ask(&c, RAFT_PREVOTE, 3, 1, 9, 1);
	ck_assert(!granted(RAFT_PREVOTE_REPLY));
	core_peer(&c, RAFT_EV_PEER_DOWN, 2);
	ck_assert_uint_eq(core_status(&c).leader, RAFT_NONE);
	core_ask(&c, RAFT_PREVOTE, 3, 1, 9, 1);
	ck_assert(granted(RAFT_PREVOTE_REPLY));
}
END_TEST

START_TEST(test_closed_connection_of_the_leader_brings_prevotes_soon)
{
	core_start(&c);
	core_heartbeat(&c, 2, 1, 0);
	core_peer(&c, RAFT_EV_PEER_DOWN, 2);
	ck_assert_uint_lt(c.out.deadline.ns - c.now.ns, ELECTION_NS / 50);
	core_tick(&c, ELECTION_NS / 50);
	ck_assert_ptr_nonnull(core_sent(&c, RAFT_PREVOTE, 0));
}
END_TEST

START_TEST(test_refused_rush_is_tried_again_shortly_and_tires)
{
	uint64_t gap = 0, first = 0;
	unsigned i;

	core_start(&c);
	core_heartbeat(&c, 2, 1, 0);
	core_peer(&c, RAFT_EV_PEER_DOWN, 2);
	for (i = 0; i < 5; i++) {
		gap = c.out.deadline.ns - c.now.ns;
		first = i == 0 ? gap : first;
		ck_assert_uint_lt(gap, ELECTION_NS);
		c.now = c.out.deadline;
		core_tick(&c, 0);
		ck_assert_ptr_nonnull(core_sent(&c, RAFT_PREVOTE, 0));
		core_reply(&c, RAFT_PREVOTE_REPLY, 3, 1, 2, false);
		ck_assert_int_eq(core_status(&c).role, RAFT_FOLLOWER);
	}
	ck_assert_uint_gt(gap, 4 * first);
	ck_assert_uint_eq(core_status(&c).hard.term, 1);
}
END_TEST

START_TEST(test_new_connection_is_asked_at_once)
{
	core_start(&c);
	core_tick(&c, 2 * ELECTION_NS);
	core_reply(&c, RAFT_PREVOTE_REPLY, 2, 0, 1, false);
	core_peer(&c, RAFT_EV_PEER_UP, 3);
	ck_assert_uint_eq(c.out.msg_count, 1);
	ck_assert_uint_eq(core_sent(&c, RAFT_PREVOTE, 0)->to, 3);
}
END_TEST

START_TEST(test_refused_prevote_teaches_the_higher_term)
{
	core_start(&c);
	core_tick(&c, 2 * ELECTION_NS);
	core_reply(&c, RAFT_PREVOTE_REPLY, 2, 8, 1, false);
	ck_assert_uint_eq(core_status(&c).hard.term, 8);
	ck_assert_int_eq(core_status(&c).role, RAFT_FOLLOWER);
}
END_TEST

START_TEST(test_prevote_granted_by_one_that_is_behind_counts)
{
	core_log(&c, 5, 1);
	core_start(&c);
	core_tick(&c, 2 * ELECTION_NS);
	core_reply(&c, RAFT_PREVOTE_REPLY, 2, 3, 6, true);
	ck_assert_int_eq(core_status(&c).role, RAFT_CANDIDATE);
}
END_TEST

START_TEST(test_prevote_changes_nothing_at_the_voter)
{
	core_start(&c);
	core_ask(&c, RAFT_PREVOTE, 2, 0, 0, 0);
	ck_assert(granted(RAFT_PREVOTE_REPLY));
	ck_assert(!c.out.hard_changed);
	core_ask(&c, RAFT_PREVOTE, 3, 0, 0, 0);
	ck_assert(granted(RAFT_PREVOTE_REPLY));
}
END_TEST

START_TEST(test_learner_never_campaigns_and_still_votes)
{
	c.config.member[0].voter = 0;
	core_start(&c);
	core_tick(&c, 10 * ELECTION_NS);
	ck_assert_uint_eq(c.out.msg_count, 0);
	core_ask(&c, RAFT_VOTE, 2, 4, 0, 0);
	ck_assert(granted(RAFT_VOTE_REPLY));
}
END_TEST

START_TEST(test_server_without_configuration_waits)
{
	c.boot.config_count = 0;
	core_start(&c);
	core_tick(&c, 10 * ELECTION_NS);
	ck_assert_uint_eq(c.out.msg_count, 0);
	core_ask(&c, RAFT_VOTE, 7, 4, 0, 0);
	ck_assert(granted(RAFT_VOTE_REPLY));
}
END_TEST

START_TEST(test_candidate_outside_our_configuration_is_heard)
{
	core_start(&c);
	core_ask(&c, RAFT_VOTE, 9, 4, 3, 2);
	ck_assert(granted(RAFT_VOTE_REPLY));
}
END_TEST

START_TEST(test_replies_of_strangers_teach_no_term)
{
	core_start(&c);
	core_ready(&c);
	core_reply(&c, RAFT_VOTE_REPLY, 9, 50, 50, false);
	core_ack(&c, 9, 50, 1);
	ck_assert_uint_eq(core_status(&c).hard.term, 1);
	ck_assert_int_eq(core_status(&c).role, RAFT_LEADER);
}
END_TEST

START_TEST(test_damaged_log_neither_votes_nor_campaigns)
{
	core_log(&c, 1, 3);
	c.boot.damaged = true;
	core_start(&c);
	core_tick(&c, 10 * ELECTION_NS);
	ck_assert_uint_eq(c.out.msg_count, 0);
	core_ask(&c, RAFT_PREVOTE, 2, 5, 9, 4);
	ck_assert(!granted(RAFT_PREVOTE_REPLY));
	core_ask(&c, RAFT_VOTE, 2, 6, 9, 4);
	ck_assert(!granted(RAFT_VOTE_REPLY));
}
END_TEST

START_TEST(test_damaged_log_is_sound_again_when_caught_up)
{
	core_log(&c, 1, 3);
	c.boot.damaged = true;
	core_start(&c);
	core_append(&c, 2, 2, 3, 1, 6, 2, 0);
	core_persist(&c);
	ck_assert(core_status(&c).damaged);
	/* The leader has committed more than we hold. */
	core_append(&c, 2, 2, 6, 2, 8, 2, 9);
	core_persist(&c);
	ck_assert(core_status(&c).damaged);
	core_append(&c, 2, 2, 8, 2, 9, 2, 9);
	ck_assert(core_status(&c).damaged);
	core_persist(&c);
	ck_assert(!core_status(&c).damaged);
}
END_TEST

START_TEST(test_leader_without_quorum_steps_down_in_an_election_timeout)
{
	core_start(&c);
	core_ready(&c);
	core_tick(&c, ELECTION_NS - 1);
	ck_assert_int_eq(core_status(&c).role, RAFT_LEADER);
	core_tick(&c, 1);
	ck_assert_int_eq(core_status(&c).role, RAFT_FOLLOWER);
	ck_assert(c.out.leader_changed);
	ck_assert_uint_eq(core_status(&c).hard.term, 1);
}
END_TEST

START_TEST(test_leader_that_hears_one_of_two_stays)
{
	struct raft_msg m = {
	    .type = RAFT_HEARTBEAT_REPLY, .from = 3, .term = 1};
	unsigned i;

	core_start(&c);
	core_ready(&c);
	for (i = 0; i < 50; i++) {
		core_tick(&c, HEARTBEAT_NS);
		core_message(&c, m);
	}
	ck_assert_int_eq(core_status(&c).role, RAFT_LEADER);
}
END_TEST

START_TEST(test_leader_follows_a_higher_term)
{
	core_start(&c);
	core_ready(&c);
	core_heartbeat(&c, 3, 2, 0);
	ck_assert_int_eq(core_status(&c).role, RAFT_FOLLOWER);
	ck_assert_uint_eq(core_status(&c).leader, 3);
}
END_TEST

START_TEST(test_deposed_leader_is_told)
{
	const struct raft_msg *m;

	core_log(&c, 5, 1);
	core_start(&c);
	core_heartbeat(&c, 2, 4, 0);
	ck_assert_ptr_nonnull(m = core_sent(&c, RAFT_HEARTBEAT_REPLY, 0));
	ck_assert_uint_eq(m->term, 5);
	core_append(&c, 2, 4, 0, 0, 1, 4, 0);
	ck_assert_ptr_nonnull(m = core_sent(&c, RAFT_APPEND_REPLY, 0));
	ck_assert_uint_eq(m->term, 5);
	ck_assert(!m->u.append_reply.ok);
	ck_assert_uint_eq(core_status(&c).leader, RAFT_NONE);
}
END_TEST

START_TEST(test_timeouts_are_drawn_from_one_to_two)
{
	uint64_t ns, low = UINT64_MAX, high = 0;
	unsigned i;

	core_start(&c);
	for (i = 0; i < 1000; i++) {
		core_heartbeat(&c, 2, 1, 0);
		ns = c.out.deadline.ns - c.now.ns;
		low = ns < low ? ns : low;
		high = ns > high ? ns : high;
	}
	ck_assert_uint_ge(low, ELECTION_NS);
	ck_assert_uint_lt(high, 2 * ELECTION_NS);
	ck_assert_uint_gt(high - low, ELECTION_NS * 9 / 10);
}
END_TEST

START_TEST(test_timeouts_differ_between_servers_of_one_seed)
{
	uint64_t deadline[8];
	unsigned i, k, same = 0;

	for (i = 0; i < 8; i++) {
		core_stop(&c);
		core_init(&c, 3);
		c.opt.id = i + 1;
		core_start(&c);
		core_step(&c, (struct raft_event){.type = RAFT_EV_TICK});
		deadline[i] = c.out.deadline.ns;
		for (k = 0; k < i; k++)
			same += deadline[k] == deadline[i];
	}
	ck_assert_uint_eq(same, 0);
}
END_TEST

/* Bug 98: clocks may begin anywhere. */
START_TEST(test_time_may_wrap)
{
	static const uint64_t start[] = {UINT64_C(1) << 31,
	    (UINT64_C(1) << 32) - 5, (UINT64_C(1) << 63) - ELECTION_NS,
	    UINT64_MAX - ELECTION_NS, UINT64_MAX - 1};

	c.now.ns = start[_i];
	core_start(&c);
	core_heartbeat(&c, 2, 1, 0);
	core_tick(&c, ELECTION_NS - 1);
	ck_assert_int_eq(core_status(&c).role, RAFT_FOLLOWER);
	core_tick(&c, ELECTION_NS);
	ck_assert_int_eq(core_status(&c).role, RAFT_PRECANDIDATE);
	core_ready(&c);
	core_tick(&c, ELECTION_NS - 1);
	ck_assert_int_eq(core_status(&c).role, RAFT_LEADER);
	core_tick(&c, 1);
	ck_assert_int_eq(core_status(&c).role, RAFT_FOLLOWER);
}
END_TEST

START_TEST(test_time_that_goes_back_is_ignored)
{
	core_start(&c);
	core_heartbeat(&c, 2, 1, 0);
	c.now.ns = ELECTION_NS - 1;
	core_tick(&c, 0);
	c.now.ns = 5;
	core_tick(&c, 0);
	ck_assert_uint_eq(c.out.msg_count, 0);
	c.now.ns = 2 * ELECTION_NS;
	core_tick(&c, 0);
	ck_assert_int_eq(core_status(&c).role, RAFT_PRECANDIDATE);
}
END_TEST

START_TEST(test_alone_leads_at_once_and_commits_by_its_disk)
{
	core_stop(&c);
	core_init(&c, 1);
	core_start(&c);
	core_tick(&c, 2 * ELECTION_NS);
	ck_assert_int_eq(core_status(&c).role, RAFT_CANDIDATE);
	core_persist(&c);
	ck_assert_int_eq(core_status(&c).role, RAFT_LEADER);
	ck_assert_uint_eq(core_status(&c).commit, 0);
	core_persist(&c);
	ck_assert_uint_eq(core_status(&c).commit, 1);
}
END_TEST

START_TEST(test_unreasonable_terms_are_dropped)
{
	core_start(&c);
	core_heartbeat(&c, 2, UINT64_MAX, 0);
	core_ask(&c, RAFT_VOTE, 2, UINT64_MAX, 0, 0);
	core_ask(&c, RAFT_PREVOTE, 2, UINT64_MAX - 1, 0, 0);
	ck_assert_uint_eq(core_status(&c).hard.term, 0);
	ck_assert_uint_eq(c.out.msg_count, 0);
}
END_TEST

START_TEST(test_same_events_same_outputs)
{
	static struct core d;
	unsigned i;

	core_start(&c);
	core_init(&d, 3);
	core_start(&d);
	for (i = 0; i < 40; i++) {
		core_tick(&c, HEARTBEAT_NS * 3);
		core_tick(&d, HEARTBEAT_NS * 3);
		core_reply(&c, RAFT_PREVOTE_REPLY, 2, 0, i, true);
		core_reply(&d, RAFT_PREVOTE_REPLY, 2, 0, i, true);
		ck_assert_uint_eq(c.out.deadline.ns, d.out.deadline.ns);
		ck_assert_uint_eq(raft_hash(c.raft), raft_hash(d.raft));
	}
	core_stop(&d);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("raft_election");
	TCase *t = tcase_create("election");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_quiet_before_the_timeout);
	tcase_add_test(t, test_start_asks_sooner_than_a_timeout);
	tcase_add_test(t, test_terms_do_not_run_ahead_of_the_disk);
	tcase_add_test(t, test_start_alone_does_not_wait);
	tcase_add_test(t, test_timeout_begins_with_prevotes_in_the_same_term);
	tcase_add_test(t, test_candidacy_waits_for_the_disk);
	tcase_add_test(t, test_own_vote_counts_only_when_durable);
	tcase_add_test(t, test_repeated_votes_of_one_server_count_once);
	tcase_add_test(t, test_votes_of_strangers_do_not_count);
	tcase_add_test(t, test_votes_of_an_older_term_do_not_count);
	tcase_add_test(t, test_vote_waits_for_the_disk_and_is_given_once);
	tcase_add_test(t, test_vote_denied_if_log_is_shorter);
	tcase_add_test(
	    t, test_vote_denied_if_last_term_is_older_though_log_is_longer);
	tcase_add_test(
	    t, test_vote_granted_if_last_term_is_newer_though_log_is_shorter);
	tcase_add_test(t, test_up_to_date_is_a_total_order);
	tcase_add_test(t, test_vote_survives_stepping_down_in_its_term);
	tcase_add_test(t, test_lease_refuses_prevotes_and_votes);
	tcase_add_test(t, test_lease_ends_after_an_election_timeout);
	tcase_add_test(t, test_lease_yields_to_an_invited_candidate);
	tcase_add_test(t, test_closed_connection_of_the_leader_voids_its_lease);
	tcase_add_test(
	    t, test_closed_connection_of_the_leader_brings_prevotes_soon);
	tcase_add_test(t, test_refused_rush_is_tried_again_shortly_and_tires);
	tcase_add_test(t, test_new_connection_is_asked_at_once);
	tcase_add_test(t, test_refused_prevote_teaches_the_higher_term);
	tcase_add_test(t, test_prevote_granted_by_one_that_is_behind_counts);
	tcase_add_test(t, test_prevote_changes_nothing_at_the_voter);
	tcase_add_test(t, test_learner_never_campaigns_and_still_votes);
	tcase_add_test(t, test_server_without_configuration_waits);
	tcase_add_test(t, test_candidate_outside_our_configuration_is_heard);
	tcase_add_test(t, test_replies_of_strangers_teach_no_term);
	tcase_add_test(t, test_damaged_log_neither_votes_nor_campaigns);
	tcase_add_test(t, test_damaged_log_is_sound_again_when_caught_up);
	tcase_add_test(
	    t, test_leader_without_quorum_steps_down_in_an_election_timeout);
	tcase_add_test(t, test_leader_that_hears_one_of_two_stays);
	tcase_add_test(t, test_leader_follows_a_higher_term);
	tcase_add_test(t, test_deposed_leader_is_told);
	tcase_add_test(t, test_timeouts_are_drawn_from_one_to_two);
	tcase_add_test(t, test_timeouts_differ_between_servers_of_one_seed);
	tcase_add_loop_test(t, test_time_may_wrap, 0, 5);
	tcase_add_test(t, test_time_that_goes_back_is_ignored);
	tcase_add_test(t, test_alone_leads_at_once_and_commits_by_its_disk);
	tcase_add_test(t, test_unreasonable_terms_are_dropped);
	tcase_add_test(t, test_same_events_same_outputs);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
