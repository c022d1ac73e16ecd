/*
 * test_plan.c - changes of members: where they lead and by which steps.
 */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "raftd/plan.h"

/* Voters 1..voters, then learners. */
static void
make(struct config_entry *e, unsigned voters, unsigned learners)
{
	memset(e, 0, sizeof(*e));
	for (unsigned i = 0; i < voters + learners; i++) {
		e->config.member[i].id = i + 1;
		e->config.member[i].voter = i < voters ? RAFT_VOTER_NEW : 0;
		(void)snprintf(e->address[i], HOST_ADDR_MAX, "unix:/%u", i + 1);
	}
	e->config.count = voters + learners;
}

static struct change
add(uint64_t id)
{
	struct change c = {.op = CHANGE_ADD, .id = id};

	(void)snprintf(
	    c.address, sizeof(c.address), "unix:/%llu", (unsigned long long)id);
	return c;
}

static enum wire_status
target(const struct config_entry *now, struct change c, struct config_entry *t)
{
	struct wire_error err = {0};
	enum wire_status status = plan_target(now, &c, t, &err);

	ck_assert(status == WIRE_OK || err.message[0] != '\0');
	return status;
}

static bool
votes(const struct config_entry *e, uint64_t id)
{
	int at = config_find(e, id);

	return at >= 0 && e->config.member[at].voter == RAFT_VOTER_NEW;
}

/* Whatever a change asks for, its two steps end exactly there. */
static void
steps_end_there(const struct config_entry *now, const struct config_entry *t)
{
	struct config_entry step, end;

	ck_assert_int_eq(plan_enter(now, t, &step), 0);
	end = step;
	if (step.config.joint)
		plan_leave(&step, &end);
	ck_assert_uint_eq(end.config.count, t->config.count);
	ck_assert(!end.config.joint);
	for (uint32_t i = 0; i < t->config.count; i++) {
		ck_assert_uint_eq(
		    end.config.member[i].id, t->config.member[i].id);
		ck_assert_uint_eq(
		    end.config.member[i].voter, t->config.member[i].voter);
		ck_assert_str_eq(end.address[i], t->address[i]);
		ck_assert(end.info[i].promote == t->info[i].promote);
		ck_assert(!end.info[i].leaving);
	}
	ck_assert_uint_eq(end.removed_count, t->removed_count);
	ck_assert_mem_eq(end.removed, t->removed, sizeof(end.removed));
}

START_TEST(test_add_is_a_learner_first)
{
	struct config_entry now, t, step;

	make(&now, 3, 0);
	ck_assert_int_eq(target(&now, add(4), &t), WIRE_OK);
	ck_assert_int_eq(config_find(&t, 4), 3);
	ck_assert_uint_eq(t.config.member[3].voter, 0);
	ck_assert(t.info[3].promote);
	ck_assert_int_eq(plan_enter(&now, &t, &step), 0);
	ck_assert(!step.config.joint);
	steps_end_there(&now, &t);
}
END_TEST

START_TEST(test_voters_change_through_a_joint_configuration)
{
	struct config_entry now, t, step;

	make(&now, 3, 1);
	ck_assert_int_eq(
	    target(&now, (struct change){.op = CHANGE_PROMOTE, .id = 4}, &t),
	    WIRE_OK);
	ck_assert_int_eq(plan_enter(&now, &t, &step), 0);
	ck_assert(step.config.joint);
	ck_assert_uint_eq(step.config.member[3].voter, RAFT_VOTER_NEW);
	ck_assert_uint_eq(
	    step.config.member[0].voter, RAFT_VOTER_NEW | RAFT_VOTER_OLD);
	steps_end_there(&now, &t);
}
END_TEST

START_TEST(test_removed_voter_stays_until_joint_is_left)
{
	struct config_entry now, t, step;

	make(&now, 3, 0);
	ck_assert_int_eq(
	    target(&now, (struct change){.op = CHANGE_REMOVE, .id = 1}, &t),
	    WIRE_OK);
	ck_assert_int_eq(plan_enter(&now, &t, &step), 0);
	ck_assert_int_eq(config_find(&step, 1), 0);
	ck_assert_uint_eq(step.config.member[0].voter, RAFT_VOTER_OLD);
	ck_assert(step.info[0].leaving);
	ck_assert(!config_removed(&step, 1));
	ck_assert(config_removed(&t, 1));
	steps_end_there(&now, &t);
}
END_TEST

START_TEST(test_demoted_voter_stays_as_a_learner)
{
	struct config_entry now, t;

	make(&now, 3, 0);
	ck_assert_int_eq(
	    target(&now, (struct change){.op = CHANGE_DEMOTE, .id = 2}, &t),
	    WIRE_OK);
	ck_assert_int_eq(config_find(&t, 2), 1);
	ck_assert(!votes(&t, 2));
	ck_assert(!t.info[1].promote);
	steps_end_there(&now, &t);
}
END_TEST

START_TEST(test_replace_and_set_are_one_change)
{
	struct config_entry now, t;
	struct change c = {.op = CHANGE_REPLACE, .id = 1, .with = 4};

	make(&now, 3, 2);
	ck_assert_int_eq(target(&now, c, &t), WIRE_OK);
	ck_assert(votes(&t, 4) && votes(&t, 2) && config_removed(&t, 1));
	ck_assert_int_eq(config_find(&t, 5), 3);
	steps_end_there(&now, &t);
	c = (struct change){.op = CHANGE_SET,
	    .ids = {2, 4},
	    .id_count = 2,
	    .keep = {5},
	    .keep_count = 1};
	ck_assert_int_eq(target(&now, c, &t), WIRE_OK);
	ck_assert_uint_eq(t.config.count, 3);
	ck_assert(votes(&t, 2) && votes(&t, 4) && !votes(&t, 5));
	ck_assert(config_removed(&t, 1) && config_removed(&t, 3));
	steps_end_there(&now, &t);
}
END_TEST

START_TEST(test_nonsense_is_refused)
{
	struct config_entry now, t;
	struct change c = add(2);

	make(&now, 1, 1);
	ck_assert_int_eq(target(&now, c, &t), WIRE_CONDITION);
	c = add(3);
	memcpy(c.address, "unix:/1", 8);
	ck_assert_int_eq(target(&now, c, &t), WIRE_CONDITION);
	c = (struct change){.op = CHANGE_REMOVE, .id = 1};
	ck_assert_int_eq(target(&now, c, &t), WIRE_CONDITION); /* the last */
	c.id = 7;
	ck_assert_int_eq(target(&now, c, &t), WIRE_CONDITION);
	c = (struct change){.op = CHANGE_PROMOTE, .id = 1};
	ck_assert_int_eq(target(&now, c, &t), WIRE_CONDITION);
	c = (struct change){.op = CHANGE_REPLACE, .id = 1, .with = 9};
	ck_assert_int_eq(target(&now, c, &t), WIRE_CONDITION);
}
END_TEST

START_TEST(test_ids_are_never_used_again)
{
	struct config_entry e, t;

	make(&e, 1, 0);
	/* Far more than are named one by one. */
	for (uint64_t id = 2; id < 300; id++) {
		ck_assert_int_eq(target(&e, add(id), &t), WIRE_OK);
		e = t;
		ck_assert_int_eq(
		    target(
			&e, (struct change){.op = CHANGE_REMOVE, .id = id}, &t),
		    WIRE_OK);
		e = t;
		for (uint64_t old = 2; old <= id; old++)
			ck_assert(config_removed(&e, old));
		ck_assert(!config_removed(&e, id + 1));
		ck_assert(!config_removed(&e, 1));
	}
	ck_assert_int_eq(target(&e, add(5), &t), WIRE_CONDITION);
	ck_assert_int_eq(target(&e, add(299), &t), WIRE_CONDITION);
	ck_assert_int_eq(target(&e, add(300), &t), WIRE_OK);
}
END_TEST

START_TEST(test_both_halves_have_to_fit)
{
	struct config_entry now, t, step;
	struct change c = {.op = CHANGE_SET, .id_count = 8};

	make(&now, 8, 8);
	for (unsigned i = 0; i < 8; i++)
		c.ids[i] = i + 9;
	ck_assert_int_eq(target(&now, c, &t), WIRE_OK);
	ck_assert_int_eq(plan_enter(&now, &t, &step), 0);
	ck_assert_uint_eq(step.config.count, 16);
	steps_end_there(&now, &t);
	ck_assert_int_eq(target(&now, add(17), &t), WIRE_CONDITION);
}
END_TEST

START_TEST(test_payload_keeps_everything)
{
	struct config_entry e, back;
	struct mp_buf a, b;

	make(&e, 2, 1);
	e.info[2].promote = true;
	e.info[1].leaving = true;
	e.info[0].priority = 7;
	memcpy(e.info[0].name, "one", 4);
	memcpy(e.info[2].zone, "north", 6);
	e.removed[0] = 9;
	e.removed[1] = 11;
	e.removed_count = 2;
	e.removed_floor = 5;
	mp_buf_init(&a);
	mp_buf_init(&b);
	config_put(&a, &e);
	ck_assert_int_eq(config_read(mp_span(a.data, a.len), &back), 0);
	ck_assert_mem_eq(&e, &back, sizeof(e));
	config_put(&b, &back);
	ck_assert_uint_eq(a.len, b.len);
	ck_assert_mem_eq(a.data, b.data, a.len);
	mp_buf_release(&a);
	mp_buf_release(&b);
}
END_TEST

/* [{"op": op, key: n}] */
static enum wire_status
read_op(const char *op, const char *key, uint64_t n, struct change *c)
{
	struct wire_error err = {0};
	enum wire_status status;
	struct mp_buf b;

	mp_buf_init(&b);
	mp_put_array(&b, 1);
	mp_put_map(&b, 2);
	mp_put_kv_str(&b, "op", op);
	mp_put_kv_u64(&b, key, n);
	status = change_read(mp_span(b.data, b.len), c, &err);
	mp_buf_release(&b);
	return status;
}

START_TEST(test_tune_keeps_the_role)
{
	struct change c = {.op = CHANGE_TUNE, .has_priority = true};
	struct config_entry now, t;

	c.info.priority = 5;
	make(&now, 2, 1);
	now.info[2].promote = true;
	for (uint64_t id = 1; id <= 3; id++) {
		c.id = id;
		ck_assert_int_eq(target(&now, c, &t), WIRE_OK);
		ck_assert_uint_eq(t.info[id - 1].priority, 5);
		ck_assert(votes(&t, 1) && votes(&t, 2) && !votes(&t, 3));
		ck_assert(t.info[2].promote);
	}
}
END_TEST

START_TEST(test_request_is_read)
{
	struct change c;

	ck_assert_int_eq(read_op("remove", "id", 3, &c), WIRE_OK);
	ck_assert_int_eq(c.op, CHANGE_REMOVE);
	ck_assert_uint_eq(c.id, 3);
	ck_assert_int_eq(read_op("remove", "id", 0, &c), WIRE_USAGE);
	ck_assert_int_eq(read_op("remove", "with", 3, &c), WIRE_USAGE);
	ck_assert_int_eq(read_op("replace", "id", 3, &c), WIRE_USAGE);
	ck_assert_int_eq(read_op("add", "id", 3, &c), WIRE_USAGE);
	ck_assert_int_eq(read_op("set", "id", 3, &c), WIRE_USAGE);
	ck_assert_int_eq(read_op("conquer", "id", 3, &c), WIRE_USAGE);
}
END_TEST

/* [{"op": "remove", "id": 3, key: word}] */
static enum wire_status
read_word(const char *key, const char *word, struct change *c)
{
	struct wire_error err = {0};
	enum wire_status status;
	struct mp_buf b;

	mp_buf_init(&b);
	mp_put_array(&b, 1);
	mp_put_map(&b, 3);
	mp_put_kv_str(&b, "op", "remove");
	mp_put_kv_u64(&b, "id", 3);
	mp_put_kv_str(&b, key, word);
	status = change_read(mp_span(b.data, b.len), c, &err);
	mp_buf_release(&b);
	return status;
}

START_TEST(test_manner_of_a_change_is_read)
{
	struct change c;

	ck_assert_int_eq(read_op("remove", "id", 3, &c), WIRE_OK);
	ck_assert_int_eq(c.mode, CHANGE_AS_STARTED);
	ck_assert(!c.entered);
	ck_assert_int_eq(read_word("mode", "safe", &c), WIRE_OK);
	ck_assert_int_eq(c.mode, CHANGE_SAFE);
	ck_assert_int_eq(read_word("mode", "early-vote", &c), WIRE_OK);
	ck_assert_int_eq(c.mode, CHANGE_EARLY_VOTE);
	ck_assert_int_eq(read_word("mode", "no-joint", &c), WIRE_OK);
	ck_assert_int_eq(c.mode, CHANGE_NO_JOINT);
	ck_assert_int_eq(read_word("mode", "swift", &c), WIRE_USAGE);
	ck_assert_int_eq(read_word("until", "entered", &c), WIRE_OK);
	ck_assert(c.entered);
	ck_assert_int_eq(read_word("until", "complete", &c), WIRE_OK);
	ck_assert(!c.entered);
	ck_assert_int_eq(read_word("until", "tomorrow", &c), WIRE_USAGE);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("plan");
	TCase *t = tcase_create("plan");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, test_add_is_a_learner_first);
	tcase_add_test(t, test_voters_change_through_a_joint_configuration);
	tcase_add_test(t, test_removed_voter_stays_until_joint_is_left);
	tcase_add_test(t, test_demoted_voter_stays_as_a_learner);
	tcase_add_test(t, test_replace_and_set_are_one_change);
	tcase_add_test(t, test_nonsense_is_refused);
	tcase_add_test(t, test_ids_are_never_used_again);
	tcase_add_test(t, test_both_halves_have_to_fit);
	tcase_add_test(t, test_payload_keeps_everything);
	tcase_add_test(t, test_tune_keeps_the_role);
	tcase_add_test(t, test_request_is_read);
	tcase_add_test(t, test_manner_of_a_change_is_read);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
