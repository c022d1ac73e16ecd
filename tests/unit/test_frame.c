/*
 * test_frame.c - messages cut out of a byte stream, and envelopes.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/frame.h"

static void
feed(struct frame_reader *r, const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t room, n;
	uint8_t *dst;

	while (len > 0) {
		dst = frame_room(r, &room);
		ck_assert_ptr_nonnull(dst);
		n = len < room ? len : room;
		memcpy(dst, p, n);
		frame_filled(r, n);
		p += n;
		len -= n;
	}
}

static void
put_request(struct mp_buf *b, uint32_t msgid, const void *value, size_t len)
{
	frame_put_request(b, msgid, "put");
	mp_put_array(b, 2);
	mp_put_bin(b, "k", 1);
	mp_put_bin(b, value, len);
}

START_TEST(test_request_comes_out_as_it_went_in)
{
	struct frame_reader r;
	struct mp_buf b;
	struct frame f;
	struct mp_cur c;
	uint32_t count;

	mp_buf_init(&b);
	put_request(&b, 4000000000u, "value", 5);
	frame_reader_init(&r, 1000);
	feed(&r, b.data, b.len);
	ck_assert_int_eq(frame_next(&r, &f), 1);
	ck_assert_int_eq(f.type, FRAME_REQUEST);
	ck_assert_uint_eq(f.msgid, 4000000000u);
	ck_assert(mp_span_eq(f.method, "put"));
	c = mp_cur_span(f.params);
	ck_assert_int_eq(mp_read_array(&c, &count), 0);
	ck_assert_uint_eq(count, 2);
	/* call is method and params as they stand */
	ck_assert_ptr_eq(f.call.p + f.call.len, f.params.p + f.params.len);
	ck_assert_ptr_eq(f.call.p + 1, f.method.p);
	ck_assert_int_eq(frame_next(&r, &f), 0);
	frame_reader_release(&r);
	mp_buf_release(&b);
}
END_TEST

START_TEST(test_responses_and_notifications)
{
	struct frame_reader r;
	struct mp_buf b;
	struct frame f;

	mp_buf_init(&b);
	frame_put_ok(&b, 7);
	mp_put_u64(&b, 99);
	frame_put_error(&b, 8);
	mp_put_str(&b, "BUSY: full");
	mp_put_nil(&b);
	frame_put_notify(&b, "note");
	mp_put_array(&b, 0);
	frame_reader_init(&r, 1000);
	feed(&r, b.data, b.len);
	ck_assert_int_eq(frame_next(&r, &f), 1);
	ck_assert_int_eq(f.type, FRAME_RESPONSE);
	ck_assert_uint_eq(f.msgid, 7);
	ck_assert(f.error.len == 1 && f.error.p[0] == 0xc0);
	ck_assert(f.result.len == 1 && f.result.p[0] == 99);
	ck_assert_int_eq(frame_next(&r, &f), 1);
	ck_assert_uint_eq(f.msgid, 8);
	ck_assert_uint_eq(f.error.len, 11);
	ck_assert_int_eq(frame_next(&r, &f), 1);
	ck_assert_int_eq(f.type, FRAME_NOTIFY);
	ck_assert(mp_span_eq(f.method, "note"));
	ck_assert_int_eq(frame_next(&r, &f), 0);
	frame_reader_release(&r);
	mp_buf_release(&b);
}
END_TEST

START_TEST(test_messages_survive_any_cutting)
{
	static uint8_t value[3000];
	struct frame_reader r;
	struct mp_buf b;
	struct frame f;
	uint64_t next;
	int ret;

	mp_buf_init(&b);
	for (uint32_t i = 0; i < 200; i++) {
		memset(value, (int)i, sizeof(value));
		put_request(&b, i, value, i * 15);
	}
	for (size_t step = 1; step < 70000; step = step * 7 + 1) {
		frame_reader_init(&r, 4000);
		next = 0;
		for (size_t at = 0; at < b.len; at += step) {
			feed(&r, b.data + at,
			    b.len - at < step ? b.len - at : step);
			while ((ret = frame_next(&r, &f)) == 1) {
				ck_assert_uint_eq(f.msgid, next);
				if (next > 0)
					ck_assert_int_eq(
					    f.params.p[f.params.len - 1],
					    (uint8_t)next);
				next++;
			}
			ck_assert_int_eq(ret, 0);
		}
		ck_assert_uint_eq(next, 200);
		ck_assert_uint_le(r.cap, 4000 + FRAME_READ_SIZE);
		frame_reader_release(&r);
	}
	mp_buf_release(&b);
}
END_TEST

START_TEST(test_long_message_fits_up_to_the_limit_only)
{
	size_t len = 3 * 1024 * 1024;
	uint8_t *value = calloc(1, len);
	struct frame_reader r;
	struct mp_buf b;
	struct frame f;

	ck_assert_ptr_nonnull(value);
	mp_buf_init(&b);
	put_request(&b, 1, value, len);
	frame_reader_init(&r, b.len);
	feed(&r, b.data, b.len);
	ck_assert_int_eq(frame_next(&r, &f), 1);
	/* the memory of a large message is not kept */
	feed(&r, b.data, 1);
	ck_assert_uint_eq(r.cap, FRAME_READ_SIZE);
	frame_reader_release(&r);
	frame_reader_init(&r, b.len - 1);
	feed(&r, b.data, 100); /* known from the head of the value */
	ck_assert_int_eq(frame_next(&r, &f), -E2BIG);
	frame_reader_release(&r);
	mp_buf_release(&b);
	free(value);
}
END_TEST

START_TEST(test_reader_never_takes_more_than_its_limit)
{
	static const uint8_t head[] = {0x94, 0, 1, 0xa3, 'p', 'u', 't', 0x91,
	    0xc6, 0, 1, 0, 0}; /* 64 KiB to come */
	struct frame_reader r;
	struct frame f;
	size_t room, total = 0;

	frame_reader_init(&r, 100000);
	feed(&r, head, sizeof(head));
	ck_assert_int_eq(frame_next(&r, &f), 0);
	/* one who never asks for messages runs into the wall */
	while (frame_room(&r, &room) != NULL) {
		memset(r.data + r.end, 0, room);
		frame_filled(&r, room);
		total += room;
		ck_assert_uint_le(total, 100000 + FRAME_READ_SIZE);
	}
	ck_assert_int_eq(frame_next(&r, &f), 1);
	ck_assert_int_eq(frame_next(&r, &f), -EPROTO);
	frame_reader_release(&r);
}
END_TEST

START_TEST(test_what_is_no_message_is_refused)
{
	static const struct {
		size_t len;
		uint8_t data[16];
	} bad[] = {
	    {4, "GET "}, {1, {0xc6}},		      /* bin: at once */
	    {1, {0x80}},			      /* map */
	    {1, {0x90}},			      /* nothing in it */
	    {4, {0x93, 0, 1, 0x90}},		      /* request of 3 */
	    {5, {0x94, 0, 1, 0xa1, 'm'}},	      /* cut: see below */
	    {6, {0x94, 0, 1, 0xa1, 'm', 0xc0}},	      /* params nil */
	    {6, {0x94, 0, 1, 0xa1, 'm', 0x80}},	      /* params a map */
	    {5, {0x94, 0, 1, 5, 0x90}},		      /* method 5 */
	    {6, {0x94, 0, 0xff, 0xa1, 'm', 0x90}},    /* msgid -1 */
	    {6, {0x94, 0, 0xc0, 0xa1, 'm', 0x90}},    /* msgid nil */
	    {6, {0x94, 2, 1, 0xa1, 'm', 0x90}},	      /* notify of 4 */
	    {6, {0x94, 3, 1, 0xa1, 'm', 0x90}},	      /* type 3 */
	    {6, {0x94, 0xc3, 1, 0xa1, 'm', 0x90}},    /* type true */
	    {7, {0x95, 0, 1, 0xa1, 'm', 0x90, 0xc0}}, /* of 5 */
	    {4, {0x93, 1, 1, 0xc0}},		      /* response of 3 */
	};
	struct frame_reader r;
	struct frame f;
	int expect;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		expect = bad[i].len == 5 && bad[i].data[4] == 'm' ? 0 : -EPROTO;
		frame_reader_init(&r, 1000);
		feed(&r, bad[i].data, bad[i].len);
		ck_assert_msg(frame_next(&r, &f) == expect, "case %zu", i);
		frame_reader_release(&r);
		ck_assert_int_eq(
		    frame_parse(bad[i].data, bad[i].len, &f), -EPROTO);
	}
}
END_TEST

START_TEST(test_liberal_encodings_are_taken)
{
	/* array 16, type as u64, msgid as i32, method as bin, array 32 */
	static const uint8_t wide[] = {0xdc, 0, 4, 0xcf, 0, 0, 0, 0, 0, 0, 0, 0,
	    0xd2, 0, 0, 1, 0, 0xc4, 3, 'g', 'e', 't', 0xdd, 0, 0, 0, 1, 0xd9, 1,
	    'k'};
	struct frame_reader r;
	struct frame f;

	frame_reader_init(&r, 1000);
	feed(&r, wide, sizeof(wide));
	ck_assert_int_eq(frame_next(&r, &f), 1);
	ck_assert_int_eq(f.type, FRAME_REQUEST);
	ck_assert_uint_eq(f.msgid, 256);
	ck_assert(mp_span_eq(f.method, "get"));
	ck_assert_uint_eq(f.params.len, 8);
	frame_reader_release(&r);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("frame");
	TCase *t = tcase_create("frame");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_request_comes_out_as_it_went_in);
	tcase_add_test(t, test_responses_and_notifications);
	tcase_add_test(t, test_messages_survive_any_cutting);
	tcase_add_test(t, test_long_message_fits_up_to_the_limit_only);
	tcase_add_test(t, test_reader_never_takes_more_than_its_limit);
	tcase_add_test(t, test_what_is_no_message_is_refused);
	tcase_add_test(t, test_liberal_encodings_are_taken);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
