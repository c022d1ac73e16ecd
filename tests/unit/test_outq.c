/*
 * test_outq.c - what comes out is what went in, however the kernel takes it.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "raftd/outq.h"

#define LEN_MAX (4 << 20)

static int fds[2];
static uint8_t *want, *got;
static size_t want_len, got_len;

static void
setup(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(
	    socketpair(
		AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
	    0);
	want = malloc(LEN_MAX);
	got = malloc(LEN_MAX);
	want_len = got_len = 0;
}

static void
teardown(void)
{
	(void)close(fds[0]);
	if (fds[1] >= 0)
		(void)close(fds[1]);
	free(want);
	free(got);
}

static void
drain(size_t len)
{
	ssize_t n = read(fds[1], got + got_len, len);

	if (n > 0)
		got_len += (size_t)n;
}

static void
expect(const void *p, size_t len)
{
	ck_assert_uint_le(want_len + len, LEN_MAX);
	memcpy(want + want_len, p, len);
	want_len += len;
}

static uint32_t
next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* Pieces of all sizes, read in bits of all sizes: _i is the seed. */
START_TEST(test_bytes_keep_their_order)
{
	uint32_t seed = (uint32_t)_i + 1;
	struct blob *b = blob_new(70000);
	struct piece piece[3];
	struct outq q;
	int ret;

	for (size_t i = 0; i < 70000; i++)
		b->data[i] = (uint8_t)next(&seed);
	outq_init(&q);
	for (int round = 0; round < 400 && want_len < LEN_MAX / 2; round++) {
		unsigned count = 1 + next(&seed) % 3;

		for (unsigned i = 0; i < count; i++) {
			size_t len = next(&seed) % 4 == 0 ? next(&seed) % 60000
							  : next(&seed) % 900;
			size_t at = next(&seed) % (70000 - len);

			piece[i] = (struct piece){
			    .blob = next(&seed) % 2 == 0 ? b : NULL,
			    .p = b->data + at,
			    .len = len,
			};
			expect(b->data + at, len);
		}
		outq_add(&q, piece, count);
		if (next(&seed) % 3 == 0) {
			ret = outq_flush(&q, fds[0]);
			ck_assert_int_ge(ret, 0);
			ck_assert_int_eq(ret == 0, q.bytes == 0);
		}
		drain(next(&seed) % 30000);
	}
	while (q.bytes > 0 || got_len < want_len) {
		ck_assert_int_ge(outq_flush(&q, fds[0]), 0);
		drain(100000);
	}
	ck_assert_uint_eq(got_len, want_len);
	ck_assert_mem_eq(got, want, want_len);
	ck_assert_uint_eq(b->refs, 1);
	outq_release(&q);
	blob_unref(b);
}
END_TEST

START_TEST(test_copied_bytes_of_neighbours_are_one_item)
{
	struct outq q;

	outq_init(&q);
	for (int i = 0; i < 1000; i++)
		outq_copy(&q, "0123456789", 10);
	ck_assert_uint_eq(q.end - q.head, 1);
	ck_assert_uint_eq(q.bytes, 10000);
	ck_assert_int_eq(outq_flush(&q, fds[0]), 0);
	ck_assert_uint_eq(q.bytes, 0);
	outq_release(&q);
}
END_TEST

/* A reader that is always a little behind must not cost ever more. */
START_TEST(test_queue_that_never_empties_does_not_grow)
{
	uint8_t bytes[1000] = {0};
	struct outq q;
	ssize_t n;

	outq_init(&q);
	do
		n = write(fds[0], bytes, sizeof(bytes)); /* full from now on */
	while (n > 0);
	for (int i = 0; i < 20; i++)
		outq_copy(&q, bytes, sizeof(bytes));
	for (int i = 0; i < 20000; i++) {
		got_len = 0;
		drain(1000);
		outq_copy(&q, bytes, sizeof(bytes));
		ck_assert_int_ge(outq_flush(&q, fds[0]), 0);
	}
	ck_assert_uint_lt(q.copy_cap, 1 << 20);
	ck_assert_uint_lt(q.cap, 1024);
	outq_release(&q);
}
END_TEST

START_TEST(test_reader_that_went_away_is_an_error)
{
	struct blob *b = blob_new(2000);
	struct piece piece = {.blob = b, .p = b->data, .len = 2000};
	struct outq q;

	memset(b->data, 0, 2000);
	outq_init(&q);
	outq_add(&q, &piece, 1);
	(void)close(fds[1]);
	fds[1] = -1;
	ck_assert_int_eq(outq_flush(&q, fds[0]), -EPIPE);
	ck_assert_uint_eq(b->refs, 2);
	outq_release(&q);
	ck_assert_uint_eq(b->refs, 1);
	blob_unref(b);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("outq");
	TCase *t = tcase_create("outq");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, test_bytes_keep_their_order, 0, 20);
	tcase_add_test(t, test_copied_bytes_of_neighbours_are_one_item);
	tcase_add_test(t, test_queue_that_never_empties_does_not_grow);
	tcase_add_test(t, test_reader_that_went_away_is_an_error);
	suite_add_tcase(s, t);
	return s;
}

int
main(void)
{
	SRunner *r = srunner_create(suite());
	int failed;

	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
