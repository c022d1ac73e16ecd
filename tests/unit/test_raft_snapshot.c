/*
 * test_raft_snapshot.c - the core and snapshots: who needs one, which one is
 * wanted, what of the log is left.  Numbers are those of the collection of
 * other implementations' bugs.
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

static void
saved(uint64_t index)
{
	core_step(&c, (struct raft_event){.type = RAFT_EV_SNAPSHOT_SAVED,
			  .u.snapshot.index = index});
}

static void
received(uint64_t index, uint64_t term)
{
	struct raft_event ev = {.type = RAFT_EV_SNAPSHOT_RECEIVED};

	ev.u.snapshot.index = index;
	ev.u.snapshot.term = term;
	ev.u.snapshot.config_index = index / 2;
	ev.u.snapshot.config = c.config;
	core_step(&c, ev);
}

static void
piece(uint64_t from, uint64_t term, uint64_t index, uint64_t log_term)
{
	struct raft_msg m = {.type = RAFT_SNAPSHOT, .from = from, .term = term};

	m.u.snapshot.index = index;
	m.u.snapshot.log_term = log_term;
	core_message(&c, m);
}

static void
applied(uint64_t index)
{
	core_step(&c, (struct raft_event){
			  .type = RAFT_EV_APPLIED, .u.applied.index = index});
}

/* Follower of server 2 in term 5 with entries 1..10 of term 2, all known to
 * be committed but the last three. */
static void
follow(void)
{
	core_log(&c, 2, 10);
	c.boot.commit = 7;
	core_start(&c);
	core_heartbeat(&c, 2, 5, 7);
	applied(7);
}

START_TEST(test_wanted_only_above_what_is_committed)
{
	follow();
	piece(2, 5, 20, 4);
	ck_assert(c.out.snapshot_wanted);
	ck_assert_uint_eq(c.out.msg_count, 0);
	/* 56: one that is behind changes nothing, and its sender learns. */
	piece(2, 5, 7, 2);
	ck_assert(!c.out.snapshot_wanted);
	ck_assert(core_sent(&c, RAFT_SNAPSHOT_REPLY, 0)->u.snapshot_reply.ok);
	ck_assert(!c.out.snapshot_installed);
	ck_assert_uint_eq(core_status(&c).last, 10);
}
END_TEST

START_TEST(test_old_leader_and_nonsense_are_not_wanted)
{
	follow();
	piece(3, 4, 20, 4);
	ck_assert(!c.out.snapshot_wanted);
	piece(2, 5, 20, 6);
	ck_assert(!c.out.snapshot_wanted);
	piece(2, 5, 0, 0);
	ck_assert(!c.out.snapshot_wanted);
}
END_TEST

START_TEST(test_received_replaces_the_log)
{
	struct raft_status s;

	follow();
	received(20, 4);
	ck_assert(c.out.snapshot_installed);
	s = core_status(&c);
	ck_assert_uint_eq(s.first, 21);
	ck_assert_uint_eq(s.last, 20);
	ck_assert_uint_eq(s.last_term, 4);
	ck_assert_uint_eq(s.commit, 20);
	ck_assert_uint_eq(s.applied, 20);
	ck_assert_uint_eq(s.config_index, 10);
	ck_assert_uint_eq(
	    core_sent(&c, RAFT_SNAPSHOT_REPLY, 0)->u.snapshot_reply.index, 20);
	/* The log goes on behind it. */
	core_append(&c, 2, 5, 20, 4, 23, 5, 23);
	ck_assert_uint_eq(c.out.persist_first, 21);
	core_persist(&c);
	ck_assert_uint_eq(core_status(&c).commit, 23);
}
END_TEST

/* 52: a suffix of another term that reaches past it does not survive. */
START_TEST(test_conflicting_suffix_goes)
{
	follow();
	received(9, 4);
	ck_assert(c.out.snapshot_installed);
	ck_assert_uint_eq(core_status(&c).last, 9);
	ck_assert_uint_eq(core_status(&c).durable, 9);
}
END_TEST

/* 56: a matching suffix is kept: its entries may be acknowledged. */
START_TEST(test_matching_suffix_stays)
{
	follow();
	received(9, 2);
	ck_assert(!c.out.snapshot_installed);
	ck_assert_uint_eq(core_status(&c).first, 1);
	ck_assert_uint_eq(core_status(&c).last, 10);
	ck_assert_uint_eq(core_status(&c).commit, 9);
	received(3, 2);
	ck_assert(!c.out.snapshot_installed);
	ck_assert_uint_eq(core_status(&c).commit, 9);
}
END_TEST

/* A write that was under way when the log was replaced says nothing. */
START_TEST(test_late_completion_does_not_count)
{
	struct raft_event ev = {.type = RAFT_EV_PERSISTED};

	follow();
	core_append(&c, 2, 5, 10, 2, 30, 5, 7);
	received(20, 4);
	ck_assert(c.out.snapshot_installed);
	ev.u.persisted.index = 30;
	ev.u.persisted.term = 5;
	ev.u.persisted.hard = (struct raft_hard){5, RAFT_NONE};
	core_step(&c, ev);
	ck_assert_uint_eq(core_status(&c).durable, 20);
}
END_TEST

START_TEST(test_received_is_nothing_to_a_leader)
{
	core_log(&c, 2, 10);
	core_start(&c);
	core_ready(&c);
	received(30, 2);
	ck_assert(!c.out.snapshot_installed);
	ck_assert_int_eq(core_status(&c).role, RAFT_LEADER);
}
END_TEST

/* 61: after a snapshot and with an empty log an election is won as before. */
START_TEST(test_empty_log_has_a_last_term)
{
	follow();
	received(20, 4);
	core_ask(&c, RAFT_PREVOTE, 3, 5, 19, 4);
	core_tick(&c, 3 * ELECTION_NS);
	ck_assert_uint_eq(
	    core_sent(&c, RAFT_PREVOTE, 0)->u.vote.last_index, 20);
	ck_assert_uint_eq(core_sent(&c, RAFT_PREVOTE, 0)->u.vote.last_term, 4);
}
END_TEST

START_TEST(test_saved_cuts_what_is_applied_only)
{
	follow();
	saved(8);
	ck_assert_uint_eq(core_status(&c).first, 1);
	saved(5);
	ck_assert_uint_eq(core_status(&c).first, 6);
	ck_assert_uint_eq(raft_term_at(c.raft, 5), 2);
	ck_assert_uint_eq(raft_term_at(c.raft, 4), 0);
	saved(3);
	ck_assert_uint_eq(core_status(&c).first, 6);
	/* 24, 29: appends that begin before the cut are still understood. */
	core_append(&c, 2, 5, 3, 2, 12, 2, 12);
	ck_assert_uint_eq(core_status(&c).last, 12);
	ck_assert_uint_eq(c.out.persist_first, 11);
}
END_TEST

/* 57: a leader that has nothing but its snapshot sends it. */
START_TEST(test_leader_cut_to_its_end_sends_a_snapshot)
{
	struct raft_msg m = {.type = RAFT_APPEND_REPLY, .from = 3, .term = 3};
	struct raft_peer_status p;
	uint64_t last;

	core_log(&c, 2, 10);
	core_start(&c);
	core_ready(&c);
	last = core_status(&c).last;
	applied(last);
	saved(last);
	ck_assert_uint_eq(core_status(&c).first, last + 1);
	core_peer(&c, RAFT_EV_PEER_DOWN, 3);
	ck_assert(core_pull(&c, 3, &m));
	m = (struct raft_msg){.type = RAFT_APPEND_REPLY, .from = 3, .term = 3};
	m.u.append_reply.prev_index = last;
	core_message(&c, m);
	ck_assert(!core_pull(&c, 3, &m));
	core_tick(&c, 1);
	ck_assert_uint_eq(c.out.snapshot_to, 3);
	ck_assert_int_eq(raft_peer_status(c.raft, 3, &p), 0);
	ck_assert_int_eq(p.state, RAFT_SNAPSHOTTING);
	/* 58: it went away in between: asked for again. */
	core_peer(&c, RAFT_EV_PEER_DOWN, 3);
	ck_assert(!core_pull(&c, 3, &m));
	core_tick(&c, 1);
	ck_assert_uint_eq(c.out.snapshot_to, 3);
}
END_TEST

/* 57: the log was cut behind what is lost on its way to a follower whose
 * window is full: no question in front of it can be asked any more. */
START_TEST(test_full_window_behind_the_cut_gets_a_snapshot)
{
	struct raft_msg m = {.type = RAFT_HEARTBEAT_REPLY, .from = 3};
	struct raft_peer_status p;
	uint64_t first, last;

	core_log(&c, 2, 10);
	c.opt.inflight_bytes_max = 20;
	core_start(&c);
	core_ready(&c);
	first = core_status(&c).last + 1;
	for (int i = 0; i < 6; i++) {
		core_propose(&c, 1, 10);
		core_persist(&c);
		while (core_pull(&c, 2, &m))
			;
		(void)core_pull(&c, 3, &m);
		last = core_status(&c).last;
		core_ack(&c, 2, core_status(&c).hard.term, last);
	}
	ck_assert_int_eq(raft_peer_status(c.raft, 3, &p), 0);
	ck_assert_uint_lt(p.match, first);
	ck_assert_uint_lt(p.next, last);
	applied(last);
	saved(last);
	core_tick(&c, 2 * HEARTBEAT_NS);
	m = (struct raft_msg){.type = RAFT_HEARTBEAT_REPLY, .from = 3};
	m.term = core_status(&c).hard.term;
	m.u.heartbeat_reply.last = p.match;
	core_message(&c, m);
	ck_assert(!core_pull(&c, 3, &m));
	core_tick(&c, 1);
	ck_assert_uint_eq(c.out.snapshot_to, 3);
}
END_TEST

START_TEST(test_trail_is_cut_within_and_between_runs)
{
	core_log(&c, 1, 4);
	core_log(&c, 2, 4);
	core_log(&c, 3, 4);
	c.boot.commit = 12;
	core_start(&c);
	applied(12);
	saved(4);
	ck_assert_uint_eq(raft_term_at(c.raft, 4), 1);
	ck_assert_uint_eq(raft_term_at(c.raft, 5), 2);
	saved(6);
	ck_assert_uint_eq(raft_term_at(c.raft, 6), 2);
	ck_assert_uint_eq(raft_term_at(c.raft, 7), 2);
	ck_assert_uint_eq(raft_term_at(c.raft, 9), 3);
	saved(12);
	ck_assert_uint_eq(raft_term_at(c.raft, 12), 3);
	ck_assert_uint_eq(core_status(&c).last, 12);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("raft_snapshot");
	TCase *t = tcase_create("snapshot");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_wanted_only_above_what_is_committed);
	tcase_add_test(t, test_old_leader_and_nonsense_are_not_wanted);
	tcase_add_test(t, test_received_replaces_the_log);
	tcase_add_test(t, test_conflicting_suffix_goes);
	tcase_add_test(t, test_matching_suffix_stays);
	tcase_add_test(t, test_late_completion_does_not_count);
	tcase_add_test(t, test_received_is_nothing_to_a_leader);
	tcase_add_test(t, test_empty_log_has_a_last_term);
	tcase_add_test(t, test_saved_cuts_what_is_applied_only);
	tcase_add_test(t, test_leader_cut_to_its_end_sends_a_snapshot);
	tcase_add_test(t, test_full_window_behind_the_cut_gets_a_snapshot);
	tcase_add_test(t, test_trail_is_cut_within_and_between_runs);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
