/*
 * test_raft_log.c - appends, acknowledgements, commit, reads, members,
 * transfer: one core.
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

static const struct raft_msg *
answer(void)
{
	const struct raft_msg *m = core_sent(&c, RAFT_APPEND_REPLY, 0);

	ck_assert_ptr_nonnull(m);
	return m;
}

static uint64_t
commit(void)
{
	return core_status(&c).commit;
}

static void
beat_reply(uint64_t from, uint64_t term, uint64_t round, uint64_t last)
{
	struct raft_msg m = {
	    .type = RAFT_HEARTBEAT_REPLY, .from = from, .term = term};

	m.u.heartbeat_reply.round = round;
	m.u.heartbeat_reply.last = last;
	core_message(&c, m);
}

static uint64_t
round_sent(void)
{
	const struct raft_msg *m = core_sent(&c, RAFT_HEARTBEAT, 0);

	ck_assert_ptr_nonnull(m);
	return m->u.heartbeat.round;
}

static struct raft_config
members(uint32_t n, const uint8_t *voter)
{
	struct raft_config g = {.count = n};
	uint32_t i;

	for (i = 0; i < n; i++) {
		g.member[i].id = i + 1;
		g.member[i].voter = voter[i];
		g.joint = g.joint || (voter[i] & RAFT_VOTER_OLD) != 0;
	}
	return g;
}

static void
change(const struct raft_config *g)
{
	core_step(
	    &c, (struct raft_event){.type = RAFT_EV_CHANGE, .u.config = *g});
}

/* ---- follower ---------------------------------------------------------- */

START_TEST(test_append_is_acknowledged_when_durable)
{
	core_start(&c);
	core_append(&c, 2, 1, 0, 0, 3, 1, 0);
	ck_assert_ptr_null(core_sent(&c, RAFT_APPEND_REPLY, 0));
	ck_assert_uint_eq(c.out.persist_first, 1);
	ck_assert_uint_eq(c.out.persist_last, 3);
	core_persist(&c);
	ck_assert(answer()->u.append_reply.ok);
	ck_assert_uint_eq(answer()->u.append_reply.match, 3);
	ck_assert(!answer()->wait);
}
END_TEST

START_TEST(test_several_appends_share_one_acknowledgement)
{
	core_start(&c);
	core_append(&c, 2, 1, 0, 0, 3, 1, 0);
	core_append(&c, 2, 1, 3, 1, 5, 1, 0);
	core_append(&c, 2, 1, 5, 1, 6, 1, 0);
	core_persist(&c);
	ck_assert_uint_eq(c.out.msg_count, 1);
	ck_assert_uint_eq(answer()->u.append_reply.match, 6);
	core_persist(&c);
	ck_assert_uint_eq(c.out.msg_count, 0);
}
END_TEST

START_TEST(test_known_append_is_acknowledged_at_once)
{
	core_log(&c, 1, 5);
	core_start(&c);
	core_heartbeat(&c, 2, 2, 0);
	core_persist(&c);
	core_append(&c, 2, 2, 2, 1, 4, 1, 0);
	ck_assert_uint_eq(answer()->u.append_reply.match, 4);
	ck_assert_uint_lt(c.out.persist_last, c.out.persist_first);
}
END_TEST

START_TEST(test_acknowledgement_waits_for_the_term)
{
	core_log(&c, 1, 5);
	core_start(&c);
	core_append(&c, 2, 2, 5, 1, 5, 1, 0);
	ck_assert(answer()->wait);
}
END_TEST

START_TEST(test_unverified_tail_is_not_acknowledged)
{
	core_log(&c, 1, 5);
	core_start(&c);
	core_append(&c, 2, 2, 2, 1, 3, 1, 0);
	ck_assert_uint_eq(answer()->u.append_reply.match, 3);
}
END_TEST

START_TEST(test_gap_is_refused_with_a_hint)
{
	core_log(&c, 1, 5);
	core_start(&c);
	core_append(&c, 2, 2, 9, 1, 10, 2, 0);
	ck_assert(!answer()->u.append_reply.ok);
	ck_assert_uint_eq(answer()->u.append_reply.prev_index, 9);
	ck_assert_uint_eq(answer()->u.append_reply.hint_index, 5);
	ck_assert_uint_eq(answer()->u.append_reply.hint_term, 1);
}
END_TEST

START_TEST(test_refusal_skips_terms_that_cannot_fit)
{
	core_log(&c, 1, 5);
	core_log(&c, 4, 100);
	core_log(&c, 5, 100);
	core_start(&c);
	core_append(&c, 2, 6, 150, 3, 151, 6, 0);
	ck_assert(!answer()->u.append_reply.ok);
	ck_assert_uint_eq(answer()->u.append_reply.hint_index, 5);
	ck_assert_uint_eq(answer()->u.append_reply.hint_term, 1);
}
END_TEST

START_TEST(test_conflict_replaces_the_suffix)
{
	core_log(&c, 1, 2);
	core_log(&c, 2, 4);
	core_start(&c);
	core_append(&c, 2, 3, 2, 1, 3, 3, 0);
	ck_assert_uint_eq(c.out.persist_first, 3);
	ck_assert_uint_eq(c.out.persist_last, 3);
	ck_assert_uint_eq(core_status(&c).last, 3);
	ck_assert_uint_eq(core_status(&c).durable, 2);
	ck_assert_uint_eq(raft_term_at(c.raft, 3), 3);
}
END_TEST

START_TEST(test_matching_entries_are_never_cut_off)
{
	core_log(&c, 1, 6);
	core_start(&c);
	core_append(&c, 2, 1, 2, 1, 3, 1, 0);
	ck_assert_uint_eq(core_status(&c).last, 6);
	core_append(&c, 2, 1, 0, 0, 0, 0, 0);
	ck_assert_uint_eq(core_status(&c).last, 6);
}
END_TEST

START_TEST(test_committed_entries_are_never_replaced)
{
	core_log(&c, 1, 4);
	c.boot.commit = 4;
	core_start(&c);
	core_append(&c, 2, 5, 2, 1, 3, 5, 0);
	ck_assert_uint_eq(core_status(&c).last, 4);
	ck_assert_uint_eq(raft_term_at(c.raft, 3), 1);
	ck_assert_uint_lt(c.out.persist_last, c.out.persist_first);
}
END_TEST

START_TEST(test_commit_goes_only_as_far_as_verified)
{
	core_log(&c, 1, 6);
	core_start(&c);
	core_append(&c, 2, 2, 3, 1, 3, 1, 6);
	ck_assert_uint_eq(commit(), 3);
	core_heartbeat(&c, 2, 2, 6);
	ck_assert_uint_eq(commit(), 3);
	core_append(&c, 2, 2, 3, 1, 5, 1, 5);
	ck_assert_uint_eq(commit(), 5);
}
END_TEST

START_TEST(test_commit_never_falls)
{
	core_log(&c, 1, 6);
	core_start(&c);
	core_append(&c, 2, 2, 6, 1, 6, 1, 6);
	core_append(&c, 2, 2, 6, 1, 6, 1, 2);
	core_heartbeat(&c, 2, 2, 1);
	ck_assert_uint_eq(commit(), 6);
}
END_TEST

/* Bugs 24, 29. */
START_TEST(test_append_from_before_the_first_entry_is_harmless)
{
	core_log(&c, 2, 0);
	c.boot.run_count = 0;
	c.boot.first = 11;
	c.boot.prev_term = 2;
	core_log(&c, 2, 0);
	c.boot.run_count = 0;
	c.boot.last = 10;
	core_start(&c);
	core_append(&c, 2, 3, 0, 0, 5, 1, 0);
	ck_assert_uint_lt(c.out.persist_last, c.out.persist_first);
	core_append(&c, 2, 3, 8, 1, 12, 2, 0);
	ck_assert_uint_eq(c.out.persist_first, 11);
	ck_assert_uint_eq(c.out.persist_last, 12);
	ck_assert_uint_eq(core_status(&c).last, 12);
}
END_TEST

START_TEST(test_late_completion_of_a_replaced_write_counts_nothing)
{
	struct raft_event late = {.type = RAFT_EV_PERSISTED};

	core_start(&c);
	core_append(&c, 2, 1, 0, 0, 2, 1, 0);
	core_append(&c, 3, 2, 0, 0, 2, 2, 0);
	core_append(&c, 2, 3, 0, 0, 2, 1, 0);
	late.u.persisted.index = 2;
	late.u.persisted.term = 1;
	late.u.persisted.hard.term = 1;
	core_step(&c, late);
	ck_assert_uint_eq(core_status(&c).durable, 0);
	late.u.persisted.hard.term = 3;
	core_step(&c, late);
	ck_assert_uint_eq(core_status(&c).durable, 2);
}
END_TEST

START_TEST(test_completion_of_another_term_counts_nothing)
{
	struct raft_event ev = {.type = RAFT_EV_PERSISTED};

	core_start(&c);
	core_append(&c, 2, 2, 0, 0, 2, 2, 0);
	ev.u.persisted.index = 2;
	ev.u.persisted.term = 1;
	ev.u.persisted.hard.term = 2;
	core_step(&c, ev);
	ck_assert_uint_eq(core_status(&c).durable, 0);
	ev.u.persisted.index = 9;
	ev.u.persisted.term = 2;
	core_step(&c, ev);
	ck_assert_uint_eq(core_status(&c).durable, 0);
}
END_TEST

START_TEST(test_notice_of_commit_is_not_answered)
{
	struct raft_msg m = {.type = RAFT_APPEND, .from = 2, .term = 1};

	core_start(&c);
	core_append(&c, 2, 1, 0, 0, 3, 1, 0);
	core_persist(&c);
	m.u.append.prev_index = m.u.append.last = 3;
	m.u.append.prev_term = 1;
	m.u.append.commit = 3;
	core_message(&c, m);
	ck_assert_uint_eq(c.out.msg_count, 0);
	ck_assert_uint_eq(commit(), 3);
}
END_TEST

START_TEST(test_many_runs_are_compared_by_their_ends)
{
	struct raft_msg m = {.type = RAFT_APPEND, .from = 2, .term = 9};
	uint32_t i;

	core_log(&c, 1, 2);
	core_log(&c, 2, 2);
	core_log(&c, 4, 2);
	core_start(&c);
	/* Equal up to 4; there ours goes on with 4, theirs with 3. */
	m.u.append.last = 8;
	m.u.append.round = 1;
	m.u.append.run_count = 4;
	for (i = 0; i < 4; i++) {
		m.u.append.run[i].first = 1 + 2 * i;
		m.u.append.run[i].term = i + 1;
	}
	core_message(&c, m);
	ck_assert_uint_eq(c.out.persist_first, 5);
	ck_assert_uint_eq(c.out.persist_last, 8);
	for (i = 1; i <= 8; i++)
		ck_assert_uint_eq(raft_term_at(c.raft, i), (i + 1) / 2);
}
END_TEST

/* ---- leader ------------------------------------------------------------ */

START_TEST(test_leader_begins_with_a_noop_and_probes)
{
	struct raft_peer_status p;
	struct raft_msg m;

	core_log(&c, 1, 3);
	core_start(&c);
	core_lead(&c);
	ck_assert_uint_eq(core_status(&c).term_start, 4);
	ck_assert_int_eq(raft_peer_status(c.raft, 2, &p), 0);
	ck_assert_int_eq(p.state, RAFT_PROBE);
	ck_assert(core_pull(&c, 2, &m));
	ck_assert_uint_eq(m.u.append.prev_index, 3);
	ck_assert_uint_eq(m.u.append.prev_term, 1);
	ck_assert_uint_eq(m.u.append.last, 4);
	ck_assert(!core_pull(&c, 2, &m));
}
END_TEST

/* 5.4.2 */
START_TEST(test_older_term_commits_only_through_the_own)
{
	core_log(&c, 1, 3);
	core_start(&c);
	core_lead(&c);
	core_persist(&c);
	core_ack(&c, 2, 2, 3);
	ck_assert_uint_eq(commit(), 0);
	core_ack(&c, 2, 2, 4);
	ck_assert_uint_eq(commit(), 4);
}
END_TEST

START_TEST(test_leader_counts_itself_when_durable)
{
	core_start(&c);
	core_lead(&c);
	core_ack(&c, 2, 1, 1);
	ck_assert_uint_eq(commit(), 0);
	core_persist(&c);
	ck_assert_uint_eq(commit(), 1);
}
END_TEST

START_TEST(test_two_followers_commit_before_the_leaders_disk)
{
	core_start(&c);
	core_lead(&c);
	core_ack(&c, 2, 1, 1);
	core_ack(&c, 3, 1, 1);
	ck_assert_uint_eq(commit(), 1);
	ck_assert_uint_eq(core_status(&c).durable, 0);
}
END_TEST

START_TEST(test_repeated_and_late_acknowledgements_change_nothing)
{
	struct raft_peer_status p;

	core_start(&c);
	core_ready(&c);
	core_propose(&c, 5, 50);
	core_persist(&c);
	core_ack(&c, 2, 1, 4);
	core_ack(&c, 2, 1, 2);
	core_ack(&c, 2, 1, 4);
	ck_assert_int_eq(raft_peer_status(c.raft, 2, &p), 0);
	ck_assert_uint_eq(p.match, 4);
	ck_assert_uint_eq(commit(), 4);
}
END_TEST

START_TEST(test_acknowledgement_beyond_the_log_is_nonsense)
{
	core_start(&c);
	core_ready(&c);
	core_ack(&c, 2, 1, 100);
	ck_assert_uint_eq(commit(), 1);
}
END_TEST

START_TEST(test_appends_are_pipelined_up_to_the_window)
{
	struct raft_peer_status p;
	struct raft_msg m;
	unsigned n = 0;

	c.opt.inflight_bytes_max = 50;
	c.opt.append_entries_max = 2;
	core_start(&c);
	core_ready(&c);
	core_propose(&c, 20, 200);
	while (core_pull(&c, 2, &m))
		n++;
	/* Two entries of ten bytes each; the third fills the window. */
	ck_assert_uint_eq(n, 3);
	raft_peer_status(c.raft, 2, &p);
	ck_assert_uint_eq(p.inflight_bytes, 60);
	ck_assert_uint_eq(p.inflight_count, 3);
	core_ack(&c, 2, 1, 3);
	raft_peer_status(c.raft, 2, &p);
	ck_assert_uint_eq(p.inflight_bytes, 40);
	ck_assert(core_pull(&c, 2, &m));
	ck_assert_uint_eq(m.u.append.prev_index, 7);
}
END_TEST

START_TEST(test_commit_is_told_at_once_when_idle)
{
	struct raft_msg m;

	core_start(&c);
	core_ready(&c);
	core_propose(&c, 1, 10);
	core_persist(&c);
	ck_assert(core_pull(&c, 2, &m));
	ck_assert(core_pull(&c, 3, &m));
	core_ack(&c, 2, 1, 2);
	ck_assert(core_pull(&c, 2, &m));
	ck_assert_uint_eq(m.u.append.last, m.u.append.prev_index);
	ck_assert_uint_eq(m.u.append.commit, 2);
	ck_assert_uint_eq(m.u.append.round, 0);
	ck_assert(!core_pull(&c, 2, &m));
	/* The other's append is still on the way: before it. */
	ck_assert(core_pull(&c, 3, &m));
	ck_assert_uint_eq(m.u.append.prev_index, 1);
	ck_assert_uint_eq(m.u.append.commit, 2);
}
END_TEST

START_TEST(test_commit_rides_on_the_next_append)
{
	struct raft_msg m;

	core_start(&c);
	core_ready(&c);
	core_propose(&c, 1, 10);
	core_persist(&c);
	ck_assert(core_pull(&c, 2, &m));
	core_ack(&c, 2, 1, 2);
	core_propose(&c, 1, 10);
	ck_assert(core_pull(&c, 2, &m));
	ck_assert_uint_eq(m.u.append.last, 3);
	ck_assert_uint_eq(m.u.append.commit, 2);
	ck_assert(!core_pull(&c, 2, &m));
}
END_TEST

START_TEST(test_no_heartbeat_to_whom_an_append_just_went)
{
	struct raft_msg m;

	core_start(&c);
	core_ready(&c);
	core_tick(&c, HEARTBEAT_NS);
	ck_assert_uint_eq(c.out.msg_count, 2);
	c.now.ns += HEARTBEAT_NS / 2;
	core_propose(&c, 1, 10);
	ck_assert(core_pull(&c, 2, &m));
	core_tick(&c, HEARTBEAT_NS / 2);
	ck_assert_uint_eq(c.out.msg_count, 1);
	ck_assert_uint_eq(c.out.msg[0].to, 3);
	core_tick(&c, HEARTBEAT_NS / 2);
	ck_assert_uint_eq(c.out.msg_count, 1);
	ck_assert_uint_eq(c.out.msg[0].to, 2);
}
END_TEST

START_TEST(test_heartbeat_names_no_more_than_the_peer_holds)
{
	core_start(&c);
	core_ready(&c);
	core_propose(&c, 3, 30);
	core_persist(&c);
	core_ack(&c, 2, 1, 4);
	ck_assert_uint_eq(commit(), 4);
	core_tick(&c, HEARTBEAT_NS);
	ck_assert_uint_eq(core_sent(&c, RAFT_HEARTBEAT, 0)->to, 2);
	ck_assert_uint_eq(
	    core_sent(&c, RAFT_HEARTBEAT, 0)->u.heartbeat.commit, 4);
	ck_assert_uint_eq(
	    core_sent(&c, RAFT_HEARTBEAT, 1)->u.heartbeat.commit, 1);
}
END_TEST

START_TEST(test_silence_after_an_append_is_asked_about)
{
	struct raft_msg m;

	core_start(&c);
	core_ready(&c);
	core_propose(&c, 1, 10);
	ck_assert(core_pull(&c, 2, &m));
	ck_assert(!core_pull(&c, 2, &m));
	core_tick(&c, HEARTBEAT_NS);
	beat_reply(2, 1, 0, 1);
	ck_assert(core_pull(&c, 2, &m));
	ck_assert_uint_eq(m.u.append.prev_index, 2);
	ck_assert_uint_eq(m.u.append.last, 2);
	ck_assert_uint_ne(m.u.append.round, 0);
	ck_assert(!core_pull(&c, 2, &m));
}
END_TEST

START_TEST(test_closed_connection_makes_the_peer_prove_its_log_again)
{
	struct raft_peer_status p;
	struct raft_msg m;

	core_start(&c);
	core_ready(&c);
	core_propose(&c, 4, 40);
	ck_assert(core_pull(&c, 2, &m));
	core_peer(&c, RAFT_EV_PEER_DOWN, 2);
	raft_peer_status(c.raft, 2, &p);
	ck_assert_int_eq(p.state, RAFT_PROBE);
	ck_assert_uint_eq(p.match, 0);
	ck_assert_uint_eq(p.inflight_bytes, 0);
	/* It has lost what it acknowledged: the search goes below. */
	ck_assert(core_pull(&c, 2, &m));
	m = (struct raft_msg){.type = RAFT_APPEND_REPLY, .from = 2, .term = 1};
	m.u.append_reply.prev_index = p.next - 1;
	core_message(&c, m);
	ck_assert(core_pull(&c, 2, &m));
	ck_assert_uint_eq(m.u.append.prev_index, 0);
	ck_assert_uint_eq(m.u.append.last, 5);
}
END_TEST

START_TEST(test_new_connection_is_probed_at_once)
{
	struct raft_msg m;

	core_start(&c);
	core_lead(&c);
	ck_assert(core_pull(&c, 2, &m));
	ck_assert(!core_pull(&c, 2, &m));
	core_peer(&c, RAFT_EV_PEER_UP, 2);
	ck_assert(core_pull(&c, 2, &m));
}
END_TEST

START_TEST(test_leader_left_out_leads_until_that_commits)
{
	struct raft_config g = members(3, (const uint8_t[]){2, 3, 3});

	core_start(&c);
	core_ready(&c);
	change(&g);
	core_persist(&c);
	core_ack(&c, 2, 1, 2);
	core_ack(&c, 3, 1, 2);
	g = (struct raft_config){.count = 2, .member = {{2, 1}, {3, 1}}};
	change(&g);
	ck_assert(!c.out.rejected);
	core_persist(&c);
	core_ack(&c, 2, 1, 3);
	ck_assert_int_eq(core_status(&c).role, RAFT_LEADER);
	ck_assert(!core_status(&c).member);
	core_ack(&c, 3, 1, 3);
	ck_assert_uint_eq(commit(), 3);
	ck_assert_int_eq(core_status(&c).role, RAFT_FOLLOWER);
	ck_assert_uint_eq(
	    core_sent(&c, RAFT_HEARTBEAT, 1)->u.heartbeat.commit, 3);
	ck_assert_ptr_nonnull(core_sent(&c, RAFT_TIMEOUT_NOW, 0));
	core_tick(&c, 10 * ELECTION_NS);
	ck_assert_uint_eq(c.out.msg_count, 0);
}
END_TEST

START_TEST(test_peer_behind_the_log_needs_a_snapshot)
{
	struct raft_msg m = {.type = RAFT_APPEND_REPLY, .from = 2, .term = 3};
	struct raft_peer_status p;

	c.boot.first = 11;
	c.boot.prev_term = 2;
	c.boot.hard.term = 2;
	c.boot.last = 10;
	core_start(&c);
	core_lead(&c);
	ck_assert(core_pull(&c, 2, &m));
	m = (struct raft_msg){.type = RAFT_APPEND_REPLY, .from = 2, .term = 3};
	m.u.append_reply.prev_index = 10;
	m.u.append_reply.hint_index = 4;
	m.u.append_reply.hint_term = 1;
	core_message(&c, m);
	ck_assert(!core_pull(&c, 2, &m));
	raft_peer_status(c.raft, 2, &p);
	ck_assert_int_eq(p.state, RAFT_SNAPSHOTTING);
	core_tick(&c, 1);
	ck_assert_uint_eq(c.out.snapshot_to, 2);
	m = (struct raft_msg){
	    .type = RAFT_SNAPSHOT_REPLY, .from = 2, .term = 3};
	m.u.snapshot_reply.ok = true;
	m.u.snapshot_reply.index = 10;
	core_message(&c, m);
	ck_assert(core_pull(&c, 2, &m));
	ck_assert_uint_eq(m.u.append.prev_index, 10);
}
END_TEST

START_TEST(test_proposals_beyond_the_budget_are_refused)
{
	core_start(&c);
	core_ready(&c);
	core_propose(&c, 1, 900);
	ck_assert(!c.out.rejected);
	core_propose(&c, 1, 101);
	ck_assert(c.out.rejected);
	ck_assert_uint_eq(core_status(&c).last, 2);
	core_propose(&c, 1, 100);
	ck_assert(!c.out.rejected);
	ck_assert_uint_eq(core_status(&c).uncommitted_bytes, 1000);
	core_persist(&c);
	core_ack(&c, 2, 1, 2);
	ck_assert_uint_eq(core_status(&c).uncommitted_bytes, 100);
	core_ack(&c, 2, 1, 3);
	ck_assert_uint_eq(core_status(&c).uncommitted_bytes, 0);
	/* One that is larger than the budget goes alone. */
	core_propose(&c, 1, 5000);
	ck_assert(!c.out.rejected);
}
END_TEST

START_TEST(test_budget_is_given_back_after_many_small_proposals)
{
	uint64_t i;

	c.opt.uncommitted_bytes_max = 100000;
	core_start(&c);
	core_ready(&c);
	for (i = 0; i < 1000; i++)
		core_propose(&c, 1, 3);
	ck_assert_uint_eq(core_status(&c).uncommitted_bytes, 3000);
	core_persist(&c);
	core_ack(&c, 2, 1, 1001);
	ck_assert_uint_eq(core_status(&c).uncommitted_bytes, 0);
}
END_TEST

START_TEST(test_follower_refuses_proposals)
{
	core_start(&c);
	core_propose(&c, 1, 1);
	ck_assert(c.out.rejected);
	ck_assert_uint_eq(core_status(&c).last, 0);
}
END_TEST

/* ---- reads ------------------------------------------------------------- */

START_TEST(test_read_waits_for_a_commit_of_the_own_term)
{
	core_log(&c, 1, 3);
	c.boot.commit = 2;
	core_start(&c);
	core_lead(&c);
	core_read(&c, 1);
	ck_assert_uint_eq(c.out.msg_count, 0);
	core_persist(&c);
	core_ack(&c, 2, 2, 4);
	beat_reply(2, 2, round_sent(), 4);
	ck_assert_uint_eq(c.out.read_count, 1);
	ck_assert(c.out.read[0].ok);
	ck_assert_uint_eq(c.out.read[0].index, 4);
}
END_TEST

START_TEST(test_reads_during_a_round_share_the_next)
{
	uint64_t first, second;

	core_start(&c);
	core_ready(&c);
	core_read(&c, 1);
	first = round_sent();
	core_read(&c, 2);
	ck_assert_uint_eq(c.out.msg_count, 0);
	core_read(&c, 7);
	beat_reply(2, 1, first, 1);
	ck_assert_uint_eq(c.out.read_count, 1);
	ck_assert_uint_eq(c.out.read[0].id, 1);
	second = round_sent();
	ck_assert_uint_ne(second, first);
	beat_reply(3, 1, first, 1);
	ck_assert_uint_eq(c.out.read_count, 0);
	beat_reply(3, 1, second, 1);
	ck_assert_uint_eq(c.out.read_count, 1);
	ck_assert_uint_eq(c.out.read[0].id, 7);
}
END_TEST

START_TEST(test_rounds_differ_between_boots)
{
	uint64_t one;

	core_start(&c);
	core_ready(&c);
	core_read(&c, 1);
	one = round_sent();
	core_stop(&c);
	core_init(&c, 3);
	c.opt.boot++;
	core_start(&c);
	core_ready(&c);
	core_read(&c, 1);
	ck_assert_uint_ne(round_sent(), one);
}
END_TEST

START_TEST(test_reads_fail_when_leadership_ends)
{
	core_start(&c);
	core_ready(&c);
	core_read(&c, 1);
	core_read(&c, 2);
	core_heartbeat(&c, 3, 2, 0);
	ck_assert_uint_eq(c.out.read_count, 1);
	ck_assert_uint_eq(c.out.read[0].id, 2);
	ck_assert(!c.out.read[0].ok);
}
END_TEST

START_TEST(test_learners_do_not_confirm_reads)
{
	core_stop(&c);
	core_init(&c, 4);
	c.config.member[3].voter = 0;
	core_start(&c);
	core_ready(&c);
	core_read(&c, 1);
	beat_reply(4, 1, round_sent(), 1);
	ck_assert_uint_eq(c.out.read_count, 0);
}
END_TEST

START_TEST(test_follower_asks_its_leader)
{
	struct raft_msg m = {
	    .type = RAFT_READ_INDEX_REPLY, .from = 2, .term = 1};
	const struct raft_msg *q;

	core_start(&c);
	core_read(&c, 1);
	ck_assert(c.out.rejected);
	core_heartbeat(&c, 2, 1, 0);
	core_read(&c, 1);
	ck_assert_ptr_nonnull(q = core_sent(&c, RAFT_READ_INDEX, 0));
	ck_assert_uint_eq(q->to, 2);
	ck_assert_uint_eq(q->u.read.boot, c.opt.boot);
	core_read(&c, 5);
	ck_assert_uint_eq(c.out.msg_count, 0);
	m.u.read.boot = c.opt.boot - 1;
	m.u.read.id = 1;
	m.u.read.index = 8;
	m.u.read.ok = true;
	core_message(&c, m);
	ck_assert_uint_eq(c.out.read_count, 0);
	m.u.read.boot = c.opt.boot;
	core_message(&c, m);
	ck_assert_uint_eq(c.out.read_count, 1);
	ck_assert_uint_eq(c.out.read[0].index, 8);
	ck_assert_uint_eq(core_sent(&c, RAFT_READ_INDEX, 0)->u.read.id, 5);
}
END_TEST

/* ---- members, transfer ------------------------------------------------- */

START_TEST(test_change_is_in_force_when_appended)
{
	struct raft_config g = members(4, (const uint8_t[]){3, 3, 3, 1});

	core_start(&c);
	core_ready(&c);
	change(&g);
	ck_assert(!c.out.rejected);
	ck_assert_uint_eq(c.out.persist_last, 2);
	ck_assert_uint_eq(core_status(&c).config_index, 2);
	ck_assert_uint_eq(core_status(&c).config.count, 4);
}
END_TEST

START_TEST(test_joint_commits_with_both_halves)
{
	/* Old: 1 2 3, new: 1 4 5. */
	struct raft_config g = members(5, (const uint8_t[]){3, 2, 2, 1, 1});

	core_start(&c);
	core_ready(&c);
	change(&g);
	core_persist(&c);
	core_ack(&c, 4, 1, 2);
	core_ack(&c, 5, 1, 2);
	ck_assert_uint_eq(commit(), 1);
	core_ack(&c, 2, 1, 2);
	ck_assert_uint_eq(commit(), 2);
}
END_TEST

START_TEST(test_second_change_in_flight_is_refused)
{
	struct raft_config g = members(4, (const uint8_t[]){3, 3, 3, 1});

	core_start(&c);
	core_ready(&c);
	change(&g);
	g = members(4, (const uint8_t[]){1, 1, 1, 1});
	change(&g);
	ck_assert(c.out.rejected);
	ck_assert_str_eq(raft_change_refusal(c.raft), "a change is in flight");
}
END_TEST

START_TEST(test_change_before_the_own_term_commits_is_refused)
{
	struct raft_config g = members(4, (const uint8_t[]){3, 3, 3, 1});

	core_start(&c);
	core_lead(&c);
	change(&g);
	ck_assert(c.out.rejected);
	ck_assert_str_eq(raft_change_refusal(c.raft),
	    "nothing of this term is committed yet");
}
END_TEST

START_TEST(test_configuration_is_rolled_back_with_its_entry)
{
	struct raft_msg m = {.type = RAFT_APPEND, .from = 2, .term = 1};

	core_start(&c);
	m.u.append.last = 2;
	m.u.append.round = 1;
	m.u.append.run_count = 1;
	m.u.append.run[0] = (struct raft_run){1, 1};
	m.u.append.config_count = 1;
	m.u.append.config_index[0] = 2;
	m.u.append.config[0] = members(4, (const uint8_t[]){3, 3, 3, 1});
	core_message(&c, m);
	ck_assert_uint_eq(core_status(&c).config_index, 2);
	core_append(&c, 3, 2, 1, 1, 2, 2, 0);
	ck_assert_uint_eq(core_status(&c).config_index, 0);
	ck_assert_uint_eq(core_status(&c).config.count, 3);
}
END_TEST

START_TEST(test_configurations_in_the_log_are_in_force_after_a_start)
{
	struct raft_config both[2];
	uint64_t index[2] = {0, 2};

	core_log(&c, 1, 3);
	both[0] = c.config;
	both[1] = members(4, (const uint8_t[]){3, 3, 3, 1});
	c.boot.config = both;
	c.boot.config_index = index;
	c.boot.config_count = 2;
	core_start(&c);
	ck_assert_uint_eq(core_status(&c).config_index, 2);
	core_append(&c, 3, 2, 1, 1, 2, 2, 0);
	ck_assert_uint_eq(core_status(&c).config_index, 0);
}
END_TEST

START_TEST(test_transfer_invites_whoever_has_everything)
{
	core_start(&c);
	core_ready(&c);
	core_propose(&c, 1, 1);
	core_peer(&c, RAFT_EV_TRANSFER, 2);
	ck_assert(!c.out.rejected);
	ck_assert_ptr_null(core_sent(&c, RAFT_TIMEOUT_NOW, 0));
	ck_assert_uint_eq(core_status(&c).transfer_to, 2);
	core_propose(&c, 1, 1);
	ck_assert(c.out.rejected);
	core_ack(&c, 2, 1, 2);
	ck_assert_ptr_nonnull(core_sent(&c, RAFT_TIMEOUT_NOW, 0));
}
END_TEST

START_TEST(test_transfer_ends_after_an_election_timeout)
{
	unsigned i;

	core_start(&c);
	core_ready(&c);
	core_peer(&c, RAFT_EV_TRANSFER, 2);
	for (i = 0; i < 10; i++) {
		core_tick(&c, HEARTBEAT_NS);
		beat_reply(2, 1, 0, 1);
	}
	ck_assert_uint_eq(core_status(&c).transfer_to, RAFT_NONE);
	core_propose(&c, 1, 1);
	ck_assert(!c.out.rejected);
}
END_TEST

START_TEST(test_invited_follower_campaigns_without_prevote)
{
	struct raft_msg m = {.type = RAFT_TIMEOUT_NOW, .from = 2, .term = 1};

	core_start(&c);
	core_heartbeat(&c, 2, 1, 0);
	core_persist(&c);
	core_message(&c, m);
	ck_assert_int_eq(core_status(&c).role, RAFT_CANDIDATE);
	ck_assert(core_sent(&c, RAFT_VOTE, 0)->u.vote.transfer);
	ck_assert(core_sent(&c, RAFT_VOTE, 0)->wait);
}
END_TEST

/* ---- memory ------------------------------------------------------------ */

START_TEST(test_runs_are_lent_anew)
{
	static struct raft_run more[4096];

	core_log(&c, 1, 3);
	core_start(&c);
	ck_assert(!raft_runs_low(c.raft));
	ck_assert_ptr_eq(raft_runs_give(c.raft, more, 4096), c.run);
	memset(c.run, 0xff, sizeof(c.run));
	ck_assert_ptr_null(raft_check(c.raft));
	ck_assert_uint_eq(raft_term_at(c.raft, 2), 1);
}
END_TEST

START_TEST(test_full_trail_takes_no_new_terms_and_breaks_nothing)
{
	uint64_t i;

	core_start(&c);
	for (i = 0; i < 1100; i++)
		core_append(&c, 2, i + 1, i, i, i + 1, i + 1, 0);
	ck_assert(raft_runs_low(c.raft));
	ck_assert_uint_eq(core_status(&c).last, 1024);
	core_tick(&c, 10 * ELECTION_NS);
	ck_assert_int_eq(core_status(&c).role, RAFT_FOLLOWER);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("raft_log");
	TCase *t = tcase_create("log");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_append_is_acknowledged_when_durable);
	tcase_add_test(t, test_several_appends_share_one_acknowledgement);
	tcase_add_test(t, test_known_append_is_acknowledged_at_once);
	tcase_add_test(t, test_acknowledgement_waits_for_the_term);
	tcase_add_test(t, test_unverified_tail_is_not_acknowledged);
	tcase_add_test(t, test_gap_is_refused_with_a_hint);
	tcase_add_test(t, test_refusal_skips_terms_that_cannot_fit);
	tcase_add_test(t, test_conflict_replaces_the_suffix);
	tcase_add_test(t, test_matching_entries_are_never_cut_off);
	tcase_add_test(t, test_committed_entries_are_never_replaced);
	tcase_add_test(t, test_commit_goes_only_as_far_as_verified);
	tcase_add_test(t, test_commit_never_falls);
	tcase_add_test(t, test_append_from_before_the_first_entry_is_harmless);
	tcase_add_test(
	    t, test_late_completion_of_a_replaced_write_counts_nothing);
	tcase_add_test(t, test_completion_of_another_term_counts_nothing);
	tcase_add_test(t, test_notice_of_commit_is_not_answered);
	tcase_add_test(t, test_many_runs_are_compared_by_their_ends);
	tcase_add_test(t, test_leader_begins_with_a_noop_and_probes);
	tcase_add_test(t, test_older_term_commits_only_through_the_own);
	tcase_add_test(t, test_leader_counts_itself_when_durable);
	tcase_add_test(t, test_two_followers_commit_before_the_leaders_disk);
	tcase_add_test(
	    t, test_repeated_and_late_acknowledgements_change_nothing);
	tcase_add_test(t, test_acknowledgement_beyond_the_log_is_nonsense);
	tcase_add_test(t, test_appends_are_pipelined_up_to_the_window);
	tcase_add_test(t, test_commit_is_told_at_once_when_idle);
	tcase_add_test(t, test_commit_rides_on_the_next_append);
	tcase_add_test(t, test_no_heartbeat_to_whom_an_append_just_went);
	tcase_add_test(t, test_heartbeat_names_no_more_than_the_peer_holds);
	tcase_add_test(t, test_silence_after_an_append_is_asked_about);
	tcase_add_test(
	    t, test_closed_connection_makes_the_peer_prove_its_log_again);
	tcase_add_test(t, test_new_connection_is_probed_at_once);
	tcase_add_test(t, test_leader_left_out_leads_until_that_commits);
	tcase_add_test(t, test_peer_behind_the_log_needs_a_snapshot);
	tcase_add_test(t, test_proposals_beyond_the_budget_are_refused);
	tcase_add_test(t, test_budget_is_given_back_after_many_small_proposals);
	tcase_add_test(t, test_follower_refuses_proposals);
	tcase_add_test(t, test_read_waits_for_a_commit_of_the_own_term);
	tcase_add_test(t, test_reads_during_a_round_share_the_next);
	tcase_add_test(t, test_rounds_differ_between_boots);
	tcase_add_test(t, test_reads_fail_when_leadership_ends);
	tcase_add_test(t, test_learners_do_not_confirm_reads);
	tcase_add_test(t, test_follower_asks_its_leader);
	tcase_add_test(t, test_change_is_in_force_when_appended);
	tcase_add_test(t, test_joint_commits_with_both_halves);
	tcase_add_test(t, test_second_change_in_flight_is_refused);
	tcase_add_test(t, test_change_before_the_own_term_commits_is_refused);
	tcase_add_test(t, test_configuration_is_rolled_back_with_its_entry);
	tcase_add_test(
	    t, test_configurations_in_the_log_are_in_force_after_a_start);
	tcase_add_test(t, test_transfer_invites_whoever_has_everything);
	tcase_add_test(t, test_transfer_ends_after_an_election_timeout);
	tcase_add_test(t, test_invited_follower_campaigns_without_prevote);
	tcase_add_test(t, test_runs_are_lent_anew);
	tcase_add_test(
	    t, test_full_trail_takes_no_new_terms_and_breaks_nothing);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? 0 : 1;
}
