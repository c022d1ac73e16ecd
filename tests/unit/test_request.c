/*
 * test_request.c - the pool of requests.
 */
#include <check.h>
#include <stdlib.h>

#include "raftd/request.h"

START_TEST(test_a_name_never_finds_a_later_request)
{
	struct request_pool p;
	struct request *r, *s;
	uint64_t name;

	ck_assert_int_eq(request_pool_init(&p, 10), 0);
	r = request_new(&p);
	ck_assert_ptr_nonnull(r);
	name = r->name;
	/* Not yet in a queue: nobody knows it. */
	ck_assert_ptr_null(request_by_name(&p, name));
	r->state = REQUEST_FORWARDED;
	ck_assert_ptr_eq(request_by_name(&p, name), r);
	request_free(&p, r);
	ck_assert_ptr_null(request_by_name(&p, name));
	s = request_new(&p);
	ck_assert_ptr_eq(s, r); /* the same slot */
	s->state = REQUEST_FORWARDED;
	ck_assert_ptr_null(request_by_name(&p, name));
	ck_assert_ptr_eq(request_by_name(&p, s->name), s);
	ck_assert_ptr_null(request_by_name(&p, UINT64_MAX));
	request_free(&p, s);
	request_pool_release(&p);
}
END_TEST

START_TEST(test_the_pool_ends_and_comes_back)
{
	struct request_pool p;
	struct request *r[2048];

	ck_assert_int_eq(request_pool_init(&p, 2048), 0);
	for (int i = 0; i < 2048; i++) {
		r[i] = request_new(&p);
		ck_assert_ptr_nonnull(r[i]);
	}
	ck_assert_uint_eq(p.open, 2048);
	ck_assert_ptr_null(request_new(&p));
	request_free(&p, r[77]);
	ck_assert_ptr_eq(request_new(&p), r[77]);
	for (int i = 0; i < 2048; i++)
		request_free(&p, r[i]);
	ck_assert_uint_eq(p.open, 0);
	request_pool_release(&p);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("request");
	TCase *t = tcase_create("request");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_a_name_never_finds_a_later_request);
	tcase_add_test(t, test_the_pool_ends_and_comes_back);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
