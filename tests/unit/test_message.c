/*
 * test_message.c - what peers say to each other, there and back.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/message.h"
#include "raftwal/record.h"

static int
reread(const struct mp_buf *b, uint32_t *group, struct raft_msg *m)
{
	struct mp_span records;
	struct frame f;

	ck_assert(!b->failed);
	ck_assert_int_eq(mp_scan(b->data, b->len), 0);
	ck_assert_int_eq(frame_parse(b->data, b->len, &f), 0);
	return message_read(&f, 7, 9, group, m, &records);
}

/* encode(decode(encode(x))) == encode(x) for every small message. */
START_TEST(test_every_message_survives_the_way)
{
	struct mp_buf b, again;

	mp_buf_init(&b);
	mp_buf_init(&again);
	for (int t = 1; t < RAFT_MSG_TYPE_COUNT; t++) {
		struct raft_msg m = {
		    .type = (enum raft_msg_type)t, .term = 1u << 20};
		struct raft_msg back = {0};
		uint32_t group;

		if (t == RAFT_APPEND || t == RAFT_SNAPSHOT)
			continue;
		memset(&m.u, 0, sizeof(m.u));
		switch (m.type) {
		case RAFT_PREVOTE:
		case RAFT_VOTE:
			m.u.vote.term = 5;
			m.u.vote.last_index = 6;
			m.u.vote.last_term = 4;
			m.u.vote.transfer = true;
			break;
		case RAFT_PREVOTE_REPLY:
		case RAFT_VOTE_REPLY:
			m.u.vote_reply.term = 5;
			m.u.vote_reply.granted = true;
			break;
		case RAFT_APPEND_REPLY:
			m.u.append_reply.ok = true;
			m.u.append_reply.match = 1;
			m.u.append_reply.prev_index = 2;
			m.u.append_reply.hint_index = 3;
			m.u.append_reply.hint_term = 4;
			m.u.append_reply.last = 5;
			m.u.append_reply.round = (uint64_t)1 << 60;
			m.u.append_reply.promise_ns = 500000000;
			break;
		case RAFT_HEARTBEAT:
			m.u.heartbeat.commit = 8;
			m.u.heartbeat.round = 9;
			break;
		case RAFT_HEARTBEAT_REPLY:
			m.u.heartbeat_reply.round = 9;
			m.u.heartbeat_reply.last = 8;
			m.u.heartbeat_reply.promise_ns = 7;
			break;
		case RAFT_READ_INDEX:
		case RAFT_READ_INDEX_REPLY:
			m.u.read.boot = 1;
			m.u.read.id = 2;
			m.u.read.index = 3;
			m.u.read.ok = true;
			break;
		case RAFT_SNAPSHOT_REPLY:
			m.u.snapshot_reply.ok = true;
			m.u.snapshot_reply.index = 3;
			break;
		default:
			break;
		}
		mp_buf_reset(&b);
		message_put(&b, 3, &m);
		ck_assert_int_eq(reread(&b, &group, &back), 0);
		ck_assert_uint_eq(group, 3);
		ck_assert_uint_eq(back.from, 7);
		ck_assert_uint_eq(back.to, 9);
		mp_buf_reset(&again);
		message_put(&again, group, &back);
		ck_assert_uint_eq(again.len, b.len);
		ck_assert_mem_eq(again.data, b.data, b.len);
	}
	mp_buf_release(&b);
	mp_buf_release(&again);
}
END_TEST

static void
put_record(struct mp_buf *b, enum record_kind kind, uint64_t index,
    uint64_t term, const void *payload, size_t len)
{
	struct record r = {.group = 1,
	    .kind = kind,
	    .index = index,
	    .term = term,
	    .len = (uint32_t)len};
	uint8_t *p = mp_buf_reserve(b, record_size(r.len));

	ck_assert_ptr_nonnull(p);
	memcpy(p + RECORD_HEADER_LEN, payload, len);
	record_seal(p, &r);
	b->len += record_size(r.len);
}

static int
append_of(struct mp_buf *records, uint64_t prev, struct raft_msg *out)
{
	struct raft_msg m = {.type = RAFT_APPEND, .term = 9};
	struct mp_buf b;
	uint32_t group;
	int rc;

	m.u.append.prev_index = prev;
	m.u.append.prev_term = 2;
	m.u.append.commit = 77;
	m.u.append.round = 5;
	mp_buf_init(&b);
	message_put_append(&b, 1, &m, records->len);
	mp_put_raw(&b, records->data, records->len);
	rc = reread(&b, &group, out);
	mp_buf_release(&b);
	return rc;
}

/* Any bit of what stands in b changed: not the same message any more. */
static void
assert_flips_are_seen(struct mp_buf *b, size_t len)
{
	struct raft_msg m;
	struct mp_span records;
	struct frame f;
	uint32_t group;

	for (size_t i = 0; i < len * 8; i++) {
		b->data[i / 8] ^= (uint8_t)(1 << i % 8);
		ck_assert(frame_parse(b->data, b->len, &f) < 0 ||
			  mp_scan(f.params.p, f.params.len) < 0 ||
			  message_read(&f, 7, 9, &group, &m, &records) < 0);
		b->data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
}

START_TEST(test_a_flipped_bit_in_a_message_is_refused)
{
	struct raft_msg m = {.term = 1u << 20}, back;
	struct mp_buf b;
	uint32_t group;

	mp_buf_init(&b);
	for (int t = 1; t < RAFT_MSG_TYPE_COUNT; t++) {
		m.type = (enum raft_msg_type)t;
		if (t == RAFT_APPEND || t == RAFT_SNAPSHOT)
			continue;
		mp_buf_reset(&b);
		message_put(&b, 3, &m);
		assert_flips_are_seen(&b, b.len);
	}
	/* The length of the records is known from the records. */
	m.type = RAFT_APPEND;
	m.u.append.prev_index = 70000;
	m.u.append.prev_term = 3;
	m.u.append.commit = 69999;
	mp_buf_reset(&b);
	message_put_append(&b, 3, &m, 0);
	ck_assert_int_eq(reread(&b, &group, &back), 0);
	assert_flips_are_seen(&b, b.len - 5);
	mp_buf_release(&b);
}
END_TEST

START_TEST(test_append_tells_its_runs_and_configurations)
{
	struct config_entry e = {.config = {.count = 2}};
	struct mp_buf records, config;
	struct raft_msg m;

	e.config.member[0] = (struct raft_member){1, RAFT_VOTER_NEW};
	e.config.member[1] = (struct raft_member){4, 0};
	strcpy(e.address[0], "unix:/a");
	mp_buf_init(&records);
	mp_buf_init(&config);
	config_put(&config, &e);
	put_record(&records, RECORD_COMMAND, 11, 3, "abc", 3);
	put_record(&records, RECORD_COMMAND, 12, 3, "", 0);
	put_record(&records, RECORD_CONFIG, 13, 5, config.data, config.len);
	ck_assert_int_eq(append_of(&records, 10, &m), 0);
	ck_assert_uint_eq(m.u.append.last, 13);
	ck_assert_uint_eq(m.u.append.commit, 77);
	ck_assert_uint_eq(m.u.append.run_count, 2);
	ck_assert_uint_eq(m.u.append.run[0].first, 11);
	ck_assert_uint_eq(m.u.append.run[1].first, 13);
	ck_assert_uint_eq(m.u.append.run[1].term, 5);
	ck_assert_uint_eq(m.u.append.config_count, 1);
	ck_assert_uint_eq(m.u.append.config_index[0], 13);
	ck_assert_uint_eq(m.u.append.config[0].member[1].id, 4);
	/* A gap, a falling term, a term above the message's own. */
	ck_assert_int_eq(append_of(&records, 9, &m), -EPROTO);
	put_record(&records, RECORD_COMMAND, 14, 4, "", 0);
	ck_assert_int_eq(append_of(&records, 10, &m), -EPROTO);
	mp_buf_reset(&records);
	put_record(&records, RECORD_COMMAND, 11, 10, "", 0);
	ck_assert_int_eq(append_of(&records, 10, &m), -EPROTO);
	/* Hard state is nobody's entry. */
	mp_buf_reset(&records);
	put_record(&records, RECORD_STATE, 11, 3, "12345678abcdefgh", 16);
	ck_assert_int_eq(append_of(&records, 10, &m), -EPROTO);
	mp_buf_release(&records);
	mp_buf_release(&config);
}
END_TEST

START_TEST(test_a_flipped_bit_in_an_entry_is_refused)
{
	struct mp_buf records;
	struct raft_msg m;

	mp_buf_init(&records);
	put_record(&records, RECORD_COMMAND, 11, 3, "abcdefgh", 8);
	for (size_t i = 0; i < records.len * 8; i++) {
		records.data[i / 8] ^= (uint8_t)(1 << i % 8);
		ck_assert_int_eq(append_of(&records, 10, &m), -EPROTO);
		records.data[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	ck_assert_int_eq(append_of(&records, 10, &m), 0);
	mp_buf_release(&records);
}
END_TEST

static int
reread_config(const struct config_entry *e)
{
	struct config_entry back;
	struct mp_buf b;
	int rc;

	mp_buf_init(&b);
	config_put(&b, e);
	rc = config_read(mp_span(b.data, b.len), &back);
	if (rc == 0)
		ck_assert_mem_eq(&back, e, sizeof(back));
	mp_buf_release(&b);
	return rc;
}

START_TEST(test_impossible_configurations_are_refused)
{
	static struct config_entry e;

	ck_assert_int_eq(reread_config(&e), -EPROTO); /* nobody */
	e.config.count = 2;
	e.config.member[0] = (struct raft_member){1, RAFT_VOTER_NEW};
	e.config.member[1] = (struct raft_member){2, RAFT_VOTER_NEW};
	ck_assert_int_eq(reread_config(&e), 0);
	e.config.joint = true; /* without an old half */
	ck_assert_int_eq(reread_config(&e), -EPROTO);
	e.config.member[1].voter = RAFT_VOTER_OLD;
	ck_assert_int_eq(reread_config(&e), 0);
	e.config.joint = false;
	ck_assert_int_eq(reread_config(&e), -EPROTO);
	e.config.member[1].voter = 0;
	ck_assert_int_eq(reread_config(&e), 0); /* a learner */
	e.config.member[0].voter = 0;
	ck_assert_int_eq(reread_config(&e), -EPROTO); /* no voter */
	e.config.member[0].voter = 4;
	ck_assert_int_eq(reread_config(&e), -EPROTO);
	e.config.member[0].voter = RAFT_VOTER_NEW;
	e.config.member[1].id = 1; /* twice */
	ck_assert_int_eq(reread_config(&e), -EPROTO);
}
END_TEST

START_TEST(test_word_of_trust_survives_the_way)
{
	struct trust t = {.group = 7, .term = 9, .id = (uint64_t)1 << 40};
	struct trust back = {0};
	struct frame fr;
	struct mp_buf b;

	mp_buf_init(&b);
	trust_put(&b, &t);
	ck_assert_int_eq(frame_parse(b.data, b.len, &fr), 0);
	ck_assert_int_eq(trust_read(&fr, &back), 0);
	ck_assert_uint_eq(back.group, 7);
	ck_assert_uint_eq(back.term, 9);
	ck_assert_uint_eq(back.id, t.id);
	for (size_t i = fr.params.p - b.data + 1; i < b.len; i++) {
		struct trust bad = {.id = 1};

		b.data[i] ^= 0x10;
		if (frame_parse(b.data, b.len, &fr) == 0) {
			ck_assert_int_lt(trust_read(&fr, &bad), 0);
			ck_assert_uint_eq(bad.id, 1);
		}
		b.data[i] ^= 0x10;
	}
	mp_buf_release(&b);
}
END_TEST

START_TEST(test_forward_and_answer_survive_the_way)
{
	struct forward f = {1, 2, 3, mp_span("call", 4)}, f2;
	struct answer a = {.group = 1,
			  .boot = 2,
			  .id = (uint64_t)1 << 63,
			  .status = WIRE_BUSY,
			  .text = mp_span("why", 3),
			  .result = mp_span("", 0)},
		      a2;
	struct frame fr;
	struct mp_buf b;
	uint32_t group;

	mp_buf_init(&b);
	removed_put(&b, 70000);
	ck_assert_int_eq(frame_parse(b.data, b.len, &fr), 0);
	ck_assert_int_eq(removed_read(&fr, &group), 0);
	ck_assert_uint_eq(group, 70000);
	b.data[b.len - 6] ^= 1;
	ck_assert_int_eq(removed_read(&fr, &group), -EPROTO);
	mp_buf_reset(&b);
	forward_put(&b, &f);
	ck_assert_int_eq(frame_parse(b.data, b.len, &fr), 0);
	ck_assert_int_eq(forward_read(&fr, &f2), 0);
	ck_assert_uint_eq(f2.boot, 2);
	ck_assert_uint_eq(f2.id, 3);
	ck_assert(mp_span_eq(f2.call, "call"));
	b.data[b.len - 6] ^= 1;
	ck_assert_int_eq(forward_read(&fr, &f2), -EPROTO);
	mp_buf_reset(&b);
	answer_put(&b, &a);
	ck_assert_int_eq(frame_parse(b.data, b.len, &fr), 0);
	ck_assert_int_eq(answer_read(&fr, &a2), 0);
	ck_assert_uint_eq(a2.id, a.id);
	ck_assert_int_eq(a2.status, WIRE_BUSY);
	ck_assert(mp_span_eq(a2.text, "why"));
	b.data[b.len - 6] ^= 1;
	ck_assert_int_eq(answer_read(&fr, &a2), -EPROTO);
	/* A result that is no MessagePack never reaches a client. */
	a.status = WIRE_OK;
	a.result = mp_span("\xc1", 1);
	mp_buf_reset(&b);
	answer_put(&b, &a);
	ck_assert_int_eq(frame_parse(b.data, b.len, &fr), 0);
	ck_assert_int_eq(answer_read(&fr, &a2), -EPROTO);
	mp_buf_release(&b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("message");
	TCase *t = tcase_create("message");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_every_message_survives_the_way);
	tcase_add_test(t, test_a_flipped_bit_in_a_message_is_refused);
	tcase_add_test(t, test_append_tells_its_runs_and_configurations);
	tcase_add_test(t, test_a_flipped_bit_in_an_entry_is_refused);
	tcase_add_test(t, test_impossible_configurations_are_refused);
	tcase_add_test(t, test_word_of_trust_survives_the_way);
	tcase_add_test(t, test_forward_and_answer_survive_the_way);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
