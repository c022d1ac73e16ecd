/*
 * test_session.c - writes that are carried out once, by sessions, and what a
 * store forgets of them.
 */
#include <check.h>
#include <errno.h>
#include <stdio.h>

#include "tests/unit/kvhelp.h"

#define NONE UINT64_MAX

static struct kvhelp h;

static void
setup(void)
{
	kvhelp_init(&h);
}

static void
teardown(void)
{
	ck_assert(kvstore_check(h.f));
	kvhelp_release(&h);
}

/* Appends to the key "k" in a session; since NONE: a lasting one. */
static enum wire_status
append(const char *session, uint64_t seq, uint64_t ack, uint64_t since,
    const char *value)
{
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 3);
	mp_put_str(&h.params, "k");
	mp_put_str(&h.params, value);
	mp_put_map(&h.params, since == NONE ? 4 : 5);
	mp_put_kv_bool(&h.params, "append", true);
	mp_put_kv_str(&h.params, "session", session);
	mp_put_kv_u64(&h.params, "seq", seq);
	mp_put_kv_u64(&h.params, "ack", ack);
	if (since != NONE)
		mp_put_kv_u64(&h.params, "since", since);
	return kvhelp_apply(&h, "put");
}

static bool
is_duplicate(void)
{
	struct mp_cur c = mp_cur(h.reply.data, h.reply.len);
	struct mp_map m;
	bool duplicate = false;

	ck_assert_int_eq(mp_scan(h.reply.data, h.reply.len), 0);
	ck_assert_int_eq(mp_read_mapping(&c, &m), 0);
	ck_assert_int_eq(mp_get_bool(&m, "duplicate", &duplicate), 0);
	return duplicate;
}

static void
assert_applied(const char *session, uint64_t seq, uint64_t ack, uint64_t since,
    const char *value)
{
	ck_assert_int_eq(append(session, seq, ack, since, value), WIRE_OK);
	ck_assert(!is_duplicate());
}

static void
assert_duplicate(const char *session, uint64_t seq, uint64_t ack,
    uint64_t since, const char *value)
{
	ck_assert_int_eq(append(session, seq, ack, since, value), WIRE_OK);
	ck_assert(is_duplicate());
}

static void
assert_value(const char *value)
{
	struct mp_cur c;
	struct mp_map m;
	struct mp_span s;

	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 1);
	mp_put_str(&h.params, "k");
	ck_assert_int_eq(kvhelp_query(&h, "get"), WIRE_OK);
	c = mp_cur(h.reply.data, h.reply.len);
	ck_assert_int_eq(mp_read_mapping(&c, &m), 0);
	ck_assert_int_eq(mp_get_bytes(&m, "value", &s, SIZE_MAX), 0);
	ck_assert_uint_eq(s.len, strlen(value));
	ck_assert_mem_eq(s.p, value, s.len);
}

static int
image_write(void *ctx, const void *data, size_t len)
{
	mp_put_raw(ctx, data, len);
	return 0;
}

static int
image_read(void *ctx, void *data, size_t len)
{
	struct mp_span *s = ctx;

	if (len > s->len)
		return -ENODATA;
	memcpy(data, s->p, len);
	s->p += len;
	s->len -= len;
	return 0;
}

/* The store is saved, and goes on as one that was loaded from that. */
static void
reload(void)
{
	struct fsm *f = kv_ops.new(1);
	struct fsm_digest a, b;
	struct mp_buf out, again;
	struct mp_span in;

	mp_buf_init(&out);
	mp_buf_init(&again);
	ck_assert_int_eq(kv_ops.save(h.f, image_write, &out), 0);
	in = mp_span(out.data, out.len);
	ck_assert_int_eq(kv_ops.load(f, image_read, &in), 0);
	ck_assert_uint_eq(in.len, 0);
	ck_assert_int_eq(kv_ops.save(f, image_write, &again), 0);
	ck_assert_uint_eq(out.len, again.len);
	ck_assert_mem_eq(out.data, again.data, out.len);
	a = kv_ops.digest(h.f);
	b = kv_ops.digest(f);
	ck_assert(a.hi == b.hi && a.lo == b.lo);
	kv_ops.free(h.f);
	h.f = f;
	mp_buf_release(&out);
	mp_buf_release(&again);
}

START_TEST(test_a_copy_gets_the_first_outcome)
{
	assert_applied("s", 1, 1, 0, "a");
	assert_applied("s", 2, 1, 0, "b");
	assert_duplicate("s", 1, 1, 0, "a");
	assert_duplicate("s", 2, 1, 0, "b");
	assert_value("ab");
	ck_assert_uint_eq(kv_ops.rev(h.f), 2);
}
END_TEST

START_TEST(test_sessions_do_not_mix)
{
	assert_applied("s", 1, 1, 0, "a");
	assert_applied("t", 1, 1, 0, "a");
	assert_applied("st", 1, 1, NONE, "a");
	assert_duplicate("t", 1, 1, 0, "a");
	assert_value("aaa");
}
END_TEST

START_TEST(test_a_failure_is_repeated_too)
{
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 2);
	mp_put_str(&h.params, "k");
	mp_put_str(&h.params, "word");
	ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_OK);
	for (int i = 0; i < 2; i++) {
		mp_buf_reset(&h.params);
		mp_put_array(&h.params, 3);
		mp_put_str(&h.params, "k");
		mp_put_u64(&h.params, 1);
		mp_put_map(&h.params, 2);
		mp_put_kv_str(&h.params, "session", "s");
		mp_put_kv_u64(&h.params, "seq", 1);
		ck_assert_int_eq(kvhelp_apply(&h, "incr"), WIRE_DATA);
		ck_assert(strstr(h.err.message, "decimal") != NULL);
		if (i == 0) {
			/* The second time it would succeed. */
			mp_buf_reset(&h.params);
			mp_put_array(&h.params, 2);
			mp_put_str(&h.params, "k");
			mp_put_str(&h.params, "7");
			ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_OK);
		}
	}
	assert_value("7");
}
END_TEST

START_TEST(test_numbers_may_come_out_of_order)
{
	assert_applied("s", 3, 1, 0, "c");
	assert_applied("s", 1, 1, 0, "a");
	assert_applied("s", 2, 1, 0, "b");
	assert_duplicate("s", 3, 1, 0, "c");
	assert_duplicate("s", 1, 1, 0, "a");
	assert_value("cab");
}
END_TEST

START_TEST(test_what_is_acknowledged_is_refused)
{
	assert_applied("s", 1, 1, 0, "a");
	assert_applied("s", 2, 2, 0, "b");
	ck_assert_int_eq(append("s", 1, 1, 0, "a"), WIRE_SESSION);
	assert_duplicate("s", 2, 2, 0, "b");
	assert_value("ab");
}
END_TEST

START_TEST(test_another_request_of_the_same_number_is_refused)
{
	assert_applied("s", 1, 1, 0, "a");
	ck_assert_int_eq(append("s", 1, 1, 0, "b"), WIRE_USAGE);
	assert_value("a");
}
END_TEST

START_TEST(test_an_idle_session_is_forgotten_and_never_begins_anew)
{
	uint64_t since = h.stamp;

	assert_applied("s", 1, 1, since, "a");
	h.stamp += SESSION_IDLE_MS - 1;
	assert_duplicate("s", 1, 1, since, "a");
	h.stamp += SESSION_IDLE_MS;
	ck_assert_int_eq(append("s", 1, 1, since, "a"), WIRE_SESSION);
	ck_assert_int_eq(append("s", 2, 2, since, "b"), WIRE_SESSION);
	assert_value("a");
	assert_applied("s2", 1, 1, since + 1, "b");
	assert_value("ab");
}
END_TEST

START_TEST(test_a_beginning_in_the_future_is_refused)
{
	ck_assert_int_eq(append("s", 1, 1, h.stamp + 1, "a"), WIRE_SESSION);
	ck_assert_uint_eq(kv_ops.rev(h.f), 0);
}
END_TEST

START_TEST(test_a_lasting_session_lasts_a_day)
{
	assert_applied("id:job", 1, 0, NONE, "a");
	h.stamp += SESSION_LASTING_MS - 1;
	assert_duplicate("id:job", 1, 0, NONE, "a");
	h.stamp += SESSION_LASTING_MS;
	assert_applied("id:job", 1, 0, NONE, "a");
	assert_value("aa");
}
END_TEST

START_TEST(test_the_longest_idle_session_goes_when_the_table_is_full)
{
	char name[16];
	unsigned i;

	for (i = 0; i < SESSION_COUNT_MAX; i++) {
		(void)snprintf(name, sizeof(name), "s%u", i);
		assert_applied(name, 1, 1, h.stamp, "");
	}
	assert_duplicate("s0", 1, 1, h.stamp, "");
	assert_applied("id:job", 1, 0, NONE, "");
	assert_applied("last", 1, 1, h.stamp, "");
	assert_duplicate("s0", 1, 1, h.stamp, "");
	/* s1 was forgotten: what began then can begin no more. */
	ck_assert_int_eq(append("s1", 1, 1, h.stamp, ""), WIRE_SESSION);
	ck_assert_int_eq(append("new", 1, 1, h.stamp, ""), WIRE_SESSION);
	h.stamp++;
	assert_applied("new", 1, 1, h.stamp, "");
	assert_duplicate("id:job", 1, 0, NONE, "");
	reload();
}
END_TEST

START_TEST(test_lasting_sessions_are_not_pushed_out)
{
	char name[16];
	unsigned i;

	for (i = 0; i < SESSION_COUNT_MAX; i++) {
		(void)snprintf(name, sizeof(name), "s%u", i);
		assert_applied(name, 1, 0, NONE, "");
	}
	ck_assert_int_eq(append("one more", 1, 0, NONE, ""), WIRE_BUSY);
	assert_duplicate("s0", 1, 0, NONE, "");
	assert_applied("timed", 1, 1, 0, "");
}
END_TEST

START_TEST(test_outcomes_of_a_session_are_bounded)
{
	uint64_t i;

	for (i = 1; i <= SESSION_OUTCOMES_MAX; i++)
		assert_applied("s", i, 1, 0, "");
	ck_assert_int_eq(append("s", i, 1, 0, ""), WIRE_BUSY);
	assert_applied("s", i, 2, 0, "");
	assert_duplicate("s", 2, 2, 0, "");
}
END_TEST

START_TEST(test_a_long_outcome_is_kept_without_its_long_parts)
{
	char value[4096];
	struct mp_cur c, prev;
	struct mp_map m;
	bool shortened = false;

	memset(value, 'v', sizeof(value));
	for (int i = 0; i < 3; i++) {
		mp_buf_reset(&h.params);
		mp_put_array(&h.params, 3);
		mp_put_str(&h.params, "k");
		mp_put_bin(&h.params, value, sizeof(value));
		mp_put_map(&h.params, 3);
		mp_put_kv_bool(&h.params, "prev", true);
		mp_put_kv_str(&h.params, "session", "s");
		mp_put_kv_u64(&h.params, "seq", i == 0 ? 1 : 2);
		ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_OK);
		ck_assert_int_eq(is_duplicate(), i == 2);
	}
	c = mp_cur(h.reply.data, h.reply.len);
	ck_assert_int_eq(mp_read_mapping(&c, &m), 0);
	ck_assert_int_eq(mp_get(&m, "prev", &prev), 0);
	ck_assert_int_eq(mp_peek(&prev), MP_NIL);
	ck_assert_int_eq(mp_get_bool(&m, "shortened", &shortened), 0);
	ck_assert(shortened);
	reload();
}
END_TEST

START_TEST(test_sessions_live_through_a_saved_state)
{
	assert_applied("s", 1, 1, 0, "a");
	assert_applied("id:job", 1, 0, NONE, "b");
	h.stamp += 5;
	assert_applied("s", 2, 1, 0, "c");
	assert_applied("t", 1, 1, 1000, "d");
	reload();
	assert_duplicate("s", 1, 1, 0, "a");
	assert_duplicate("id:job", 1, 0, NONE, "b");
	assert_duplicate("t", 1, 1, 1000, "d");
	assert_value("abcd");
	h.stamp += SESSION_IDLE_MS;
	ck_assert_int_eq(append("t", 1, 1, 1000, "d"), WIRE_SESSION);
	reload();
	ck_assert_int_eq(append("t", 1, 1, 1000, "d"), WIRE_SESSION);
	assert_value("abcd");
}
END_TEST

START_TEST(test_a_session_is_part_of_the_digest)
{
	struct fsm_digest a, b;

	assert_applied("s", 1, 1, 0, "");
	a = kv_ops.digest(h.f);
	assert_duplicate("s", 1, 1, 0, "");
	b = kv_ops.digest(h.f);
	ck_assert(a.hi == b.hi && a.lo == b.lo);
	ck_assert_int_eq(append("t", 1, 1, NONE, ""), WIRE_OK);
	b = kvstore_recount(h.f);
	ck_assert(a.hi != b.hi || a.lo != b.lo);
}
END_TEST

START_TEST(test_bad_options_are_refused)
{
	ck_assert_int_eq(append("", 1, 1, 0, "a"), WIRE_USAGE);
	ck_assert_int_eq(append("s", 0, 0, 0, "a"), WIRE_USAGE);
	ck_assert_int_eq(append("s", 1, 2, 0, "a"), WIRE_USAGE);
	mp_buf_reset(&h.params);
	mp_put_array(&h.params, 3);
	mp_put_str(&h.params, "k");
	mp_put_str(&h.params, "v");
	mp_put_map(&h.params, 1);
	mp_put_kv_u64(&h.params, "seq", 1);
	ck_assert_int_eq(kvhelp_apply(&h, "put"), WIRE_USAGE);
	ck_assert_uint_eq(kv_ops.rev(h.f), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("session");
	TCase *tc = tcase_create("session");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, test_a_copy_gets_the_first_outcome);
	tcase_add_test(tc, test_sessions_do_not_mix);
	tcase_add_test(tc, test_a_failure_is_repeated_too);
	tcase_add_test(tc, test_numbers_may_come_out_of_order);
	tcase_add_test(tc, test_what_is_acknowledged_is_refused);
	tcase_add_test(tc, test_another_request_of_the_same_number_is_refused);
	tcase_add_test(
	    tc, test_an_idle_session_is_forgotten_and_never_begins_anew);
	tcase_add_test(tc, test_a_beginning_in_the_future_is_refused);
	tcase_add_test(tc, test_a_lasting_session_lasts_a_day);
	tcase_add_test(
	    tc, test_the_longest_idle_session_goes_when_the_table_is_full);
	tcase_add_test(tc, test_lasting_sessions_are_not_pushed_out);
	tcase_add_test(tc, test_outcomes_of_a_session_are_bounded);
	tcase_add_test(tc, test_a_long_outcome_is_kept_without_its_long_parts);
	tcase_add_test(tc, test_sessions_live_through_a_saved_state);
	tcase_add_test(tc, test_a_session_is_part_of_the_digest);
	tcase_add_test(tc, test_bad_options_are_refused);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? 0 : 1;
}
