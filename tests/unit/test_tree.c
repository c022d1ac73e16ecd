/*
 * test_tree.c - the ordered map of records against a sorted array.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/fsm/tree.h"

#define RECORDS_MAX 20000

static struct record *model[RECORDS_MAX];
static size_t model_count;
static uint64_t rng;

static uint64_t
rand_u64(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static struct record *
record_new(const uint8_t *key, size_t len)
{
	struct record *r = calloc(1, sizeof(*r) + len);

	ck_assert_ptr_nonnull(r);
	r->key_len = (uint16_t)len;
	memcpy(r->bytes, key, len);
	return r;
}

/* Where a key is in the model, or would be. */
static size_t
model_find(const uint8_t *key, size_t len, bool *found)
{
	size_t lo = 0, hi = model_count, mid;
	int c;

	*found = false;
	while (lo < hi) {
		mid = (lo + hi) / 2;
		c = tree_compare(
		    model[mid]->bytes, model[mid]->key_len, key, len);
		if (c == 0) {
			*found = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

enum shape { SHORT_BINARY, LONG_SHARED, NUMBERS, NESTED, SHAPES };

static size_t
make_key(enum shape shape, uint64_t n, uint8_t *key)
{
	size_t i, len;

	switch (shape) {
	case SHORT_BINARY: /* few bytes, many zeros and 0xff */
		len = 1 + n % 5;
		for (i = 0; i < len; i++, n /= 7)
			key[i] = (uint8_t) "\0\0\0\xff\x01\x7f\x80"[n % 7];
		return len;
	case LONG_SHARED: /* differ behind 300 equal bytes */
		memset(key, 'p', 300);
		return 300 + (size_t)snprintf((char *)key + 300, 32, "%llu",
				 (unsigned long long)n);
	case NUMBERS:
		return (size_t)snprintf(
		    (char *)key, 32, "user:%08llu", (unsigned long long)n);
	default: /* each key a prefix of others */
		len = 1 + n % 40;
		memset(key, 0, len);
		key[len - 1] = (uint8_t)(n / 40 % 3);
		return len;
	}
}

static void
step(struct tree *t, enum shape shape, uint64_t space, unsigned insert_of_8)
{
	uint8_t key[512];
	size_t len = make_key(shape, rand_u64() % space, key), at;
	struct tree_path path;
	struct record *r;
	bool found;

	at = model_find(key, len, &found);
	tree_find(t, key, len, &path);
	ck_assert_int_eq(path.found, found);
	if (rand_u64() % 8 >= insert_of_8) {
		if (!found)
			return;
		r = tree_record(t, &path);
		ck_assert_ptr_eq(r, model[at]);
		tree_remove(t, &path);
		free(r);
		model_count--;
		memmove(model + at, model + at + 1,
		    (model_count - at) * sizeof(model[0]));
		return;
	}
	if (!found && model_count == RECORDS_MAX)
		return;
	r = record_new(key, len);
	if (found) {
		tree_replace(t, &path, r);
		free(model[at]);
	} else {
		ck_assert_int_eq(tree_insert(t, &path, r), 0);
		memmove(model + at + 1, model + at,
		    (model_count - at) * sizeof(model[0]));
		model_count++;
	}
	model[at] = r;
}

static void
compare_all(const struct tree *t)
{
	struct tree_pos pos = tree_seek(t, NULL, 0);
	size_t i;

	ck_assert(tree_check(t));
	ck_assert_uint_eq(t->count, model_count);
	for (i = 0; i < model_count; i++)
		ck_assert_ptr_eq(tree_next(&pos), model[i]);
	ck_assert_ptr_null(tree_next(&pos));
	pos = tree_end(t);
	for (i = model_count; i > 0; i--)
		ck_assert_ptr_eq(tree_prev(&pos), model[i - 1]);
	ck_assert_ptr_null(tree_prev(&pos));
}

static void
compare_seek(const struct tree *t, enum shape shape, uint64_t space)
{
	uint8_t key[512];
	size_t len = make_key(shape, rand_u64() % space, key), at;
	struct tree_pos pos = tree_seek(t, key, len), back = pos;
	bool found;

	at = model_find(key, len, &found);
	ck_assert_ptr_eq(tree_next(&pos), at < model_count ? model[at] : NULL);
	ck_assert_ptr_eq(tree_prev(&back), at > 0 ? model[at - 1] : NULL);
}

static void
drop(struct tree *t)
{
	while (model_count > 0)
		free(model[--model_count]);
	tree_release(t);
}

START_TEST(test_random_changes_equal_sorted_array)
{
	enum shape shape = (enum shape)_i;
	uint64_t space = shape == NESTED ? 120 : 6000;
	struct tree t;
	unsigned i;

	rng = 88172645463325252u + (uint64_t)_i;
	tree_init(&t);
	for (i = 0; i < 60000; i++) {
		/* grow, then shrink, then hover */
		step(&t, shape, space, i < 20000 ? 7 : i < 40000 ? 1 : 4);
		compare_seek(&t, shape, space);
		if (i % 1000 == 0)
			compare_all(&t);
	}
	compare_all(&t);
	drop(&t);
}
END_TEST

static void
insert_number(struct tree *t, uint64_t n)
{
	struct tree_path path;
	uint8_t key[64];
	size_t len = make_key(NUMBERS, n, key);

	tree_find(t, key, len, &path);
	ck_assert(!path.found);
	model[model_count] = record_new(key, len);
	ck_assert_int_eq(tree_insert(t, &path, model[model_count++]), 0);
}

START_TEST(test_ascending_keys_fill_their_leaves)
{
	struct tree t;
	uint64_t i;

	tree_init(&t);
	for (i = 0; i < RECORDS_MAX; i++)
		insert_number(&t, i);
	compare_all(&t);
	ck_assert_uint_lt(t.nodes, RECORDS_MAX / TREE_FANOUT + 10);
	drop(&t);
}
END_TEST

START_TEST(test_descending_keys_are_ordered)
{
	struct tree t;
	uint64_t i;

	tree_init(&t);
	for (i = RECORDS_MAX; i > 0; i--)
		insert_number(&t, i);
	ck_assert(tree_check(&t));
	ck_assert_uint_eq(t.count, RECORDS_MAX);
	drop(&t);
}
END_TEST

/* One survivor in each hundred keys must not hold a whole leaf. */
START_TEST(test_sparse_leaves_are_joined)
{
	struct tree_path path;
	struct tree t;
	uint8_t key[64];
	uint64_t i;
	size_t len;

	tree_init(&t);
	for (i = 0; i < RECORDS_MAX; i++)
		insert_number(&t, i);
	for (i = 0; i < RECORDS_MAX; i++) {
		if (i % 100 == 0)
			continue;
		len = make_key(NUMBERS, i, key);
		tree_find(&t, key, len, &path);
		ck_assert(path.found);
		tree_remove(&t, &path);
	}
	ck_assert(tree_check(&t));
	ck_assert_uint_eq(t.count, RECORDS_MAX / 100);
	ck_assert_uint_lt(t.nodes, 4 * RECORDS_MAX / 100 / (TREE_FANOUT / 4));
	drop(&t);
}
END_TEST

START_TEST(test_empty_tree_has_no_ends)
{
	struct tree_pos pos;
	struct tree t;

	tree_init(&t);
	pos = tree_seek(&t, NULL, 0);
	ck_assert_ptr_null(tree_next(&pos));
	pos = tree_end(&t);
	ck_assert_ptr_null(tree_prev(&pos));
	insert_number(&t, 1);
	ck_assert(tree_check(&t));
	drop(&t);
	ck_assert(tree_check(&t));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("tree");
	TCase *tc = tcase_create("tree");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(
	    tc, test_random_changes_equal_sorted_array, 0, SHAPES);
	tcase_add_test(tc, test_ascending_keys_fill_their_leaves);
	tcase_add_test(tc, test_descending_keys_are_ordered);
	tcase_add_test(tc, test_sparse_leaves_are_joined);
	tcase_add_test(tc, test_empty_tree_has_no_ends);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
