/*
 * test_tail.c - the recent entries of a group, against a plain array.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/tail.h"

#define ENTRY 16

static struct blob *
filled(size_t entries)
{
	struct blob *b = blob_new(entries * ENTRY);

	ck_assert_ptr_nonnull(b);
	for (size_t i = 0; i < entries * ENTRY; i++)
		b->data[i] = (uint8_t)(i / ENTRY);
	b->len = entries * ENTRY;
	return b;
}

static void
append(struct tail *t, uint64_t index, struct blob *b, size_t at)
{
	ck_assert_int_eq(tail_append(t, index, b, at * ENTRY, ENTRY), 0);
}

START_TEST(test_neighbours_are_one_piece)
{
	struct tail t;
	struct blob *b = filled(8), *c = filled(8);
	struct piece piece[4];
	unsigned count;
	size_t bytes;

	ck_assert_int_eq(tail_init(&t, 1), 0);
	for (uint64_t i = 1; i <= 4; i++)
		append(&t, i, b, i - 1);
	append(&t, 5, c, 0);
	append(&t, 6, c, 2); /* a gap in the blob */
	ck_assert_uint_eq(
	    tail_pieces(&t, 2, 6, 1000, piece, 4, &count, &bytes), 6);
	ck_assert_uint_eq(count, 3);
	ck_assert_uint_eq(bytes, 5 * ENTRY);
	ck_assert_ptr_eq(piece[0].p, b->data + ENTRY);
	ck_assert_uint_eq(piece[0].len, 3 * ENTRY);
	ck_assert_ptr_eq(piece[1].p, c->data);
	ck_assert_ptr_eq(piece[2].p, c->data + 2 * ENTRY);
	tail_release(&t);
	ck_assert_uint_eq(b->refs, 1);
	ck_assert_uint_eq(c->refs, 1);
	blob_unref(b);
	blob_unref(c);
}
END_TEST

START_TEST(test_pieces_stop_at_their_limits_but_hold_one_entry)
{
	struct tail t;
	struct blob *b = filled(8);
	struct piece piece[2];
	unsigned count;
	size_t bytes;

	ck_assert_int_eq(tail_init(&t, 1), 0);
	for (uint64_t i = 1; i <= 4; i++)
		append(&t, i, b, 2 * (i - 1)); /* no two are neighbours */
	ck_assert_uint_eq(
	    tail_pieces(&t, 1, 4, 1, piece, 2, &count, &bytes), 1);
	ck_assert_uint_eq(bytes, ENTRY);
	ck_assert_uint_eq(
	    tail_pieces(&t, 1, 4, 1000, piece, 2, &count, &bytes), 2);
	ck_assert_uint_eq(count, 2);
	ck_assert_uint_eq(
	    tail_pieces(&t, 1, 4, 2 * ENTRY, piece, 2, &count, &bytes), 2);
	tail_release(&t);
	blob_unref(b);
}
END_TEST

START_TEST(test_a_replaced_suffix_is_dropped)
{
	struct tail t;
	struct blob *b = filled(8), *c = filled(8);

	ck_assert_int_eq(tail_init(&t, 1), 0);
	for (uint64_t i = 1; i <= 6; i++)
		append(&t, i, b, i - 1);
	append(&t, 3, c, 0);
	ck_assert_uint_eq(t.last, 3);
	ck_assert_ptr_null(tail_at(&t, 4));
	ck_assert_ptr_eq(tail_at(&t, 3)->blob, c);
	ck_assert_uint_eq(tail_at(&t, 3)->total, 3 * ENTRY);
	ck_assert_uint_eq(t.bytes, 3 * ENTRY);
	ck_assert_uint_eq(b->refs, 3);
	tail_release(&t);
	blob_unref(b);
	blob_unref(c);
}
END_TEST

START_TEST(test_trim_never_takes_what_is_needed)
{
	struct tail t;
	struct blob *b = filled(8);

	ck_assert_int_eq(tail_init(&t, 1), 0);
	for (uint64_t i = 1; i <= 8; i++)
		append(&t, i, b, i - 1);
	tail_trim(&t, 0, 5);
	ck_assert_uint_eq(t.first, 6);
	ck_assert_uint_eq(t.base_bytes, 5 * ENTRY);
	ck_assert_uint_eq(tail_at(&t, 8)->total, 8 * ENTRY);
	tail_trim(&t, 2 * ENTRY, 8);
	ck_assert_uint_eq(t.first, 7);
	tail_trim(&t, 0, 100);
	ck_assert_uint_eq(t.first, 9);
	ck_assert_uint_eq(t.last, 8);
	append(&t, 9, b, 0);
	ck_assert_uint_eq(tail_at(&t, 9)->total, 9 * ENTRY);
	tail_release(&t);
	blob_unref(b);
}
END_TEST

START_TEST(test_like_an_array_under_random_work)
{
	static uint64_t model[4096]; /* which append put it there */
	struct tail t;
	struct blob *b = filled(4096);
	uint64_t first = 1, last = 0;
	unsigned seed = 7;

	ck_assert_int_eq(tail_init(&t, 1), 0);
	for (unsigned n = 0; n < 200000 && last < 4000; n++) {
		unsigned what = (unsigned)rand_r(&seed) % 16;
		uint64_t at = last + 1;

		if (what == 0 && last >= first)
			at = first +
			     (uint64_t)rand_r(&seed) % (last - first + 1);
		if (what == 1) {
			uint64_t keep = first + (uint64_t)rand_r(&seed) %
						    (last - first + 2);

			tail_trim(&t, 0, keep - 1);
			first = keep;
			continue;
		}
		append(&t, at, b, n % 4096);
		last = at;
		model[at] = n % 4096;
		ck_assert_uint_eq(t.first, first);
		ck_assert_uint_eq(t.last, last);
	}
	for (uint64_t i = first; i <= last; i++)
		ck_assert_uint_eq(tail_at(&t, i)->offset, model[i] * ENTRY);
	ck_assert_uint_eq(b->refs, 1 + last - first + 1);
	tail_release(&t);
	ck_assert_uint_eq(b->refs, 1);
	blob_unref(b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("tail");
	TCase *t = tcase_create("tail");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_neighbours_are_one_piece);
	tcase_add_test(t, test_pieces_stop_at_their_limits_but_hold_one_entry);
	tcase_add_test(t, test_a_replaced_suffix_is_dropped);
	tcase_add_test(t, test_trim_never_takes_what_is_needed);
	tcase_add_test(t, test_like_an_array_under_random_work);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
