/*
 * test_endpoint.c - addresses as people write them.
 */
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/deadline.h"
#include "raftctl/endpoint.h"

static int
parse(const char *text, struct endpoint *e, struct errtext *et)
{
	return endpoint_parse(text, strlen(text), e, et);
}

START_TEST(test_paths_need_no_resolver)
{
	struct endpoint e;

	ck_assert_int_eq(parse("unix:/run/a", &e, NULL), 0);
	ck_assert_str_eq(e.text, "unix:/run/a");
	ck_assert_str_eq(e.host, "/run/a");
	ck_assert_uint_eq(e.count, 1);
	ck_assert_int_eq(e.addr[0].sa.ss_family, AF_UNIX);
	ck_assert_int_eq(parse("/run/a", &e, NULL), 0);
	ck_assert_str_eq(e.host, "/run/a");
	ck_assert_int_eq(parse("unix:a.sock", &e, NULL), 0);
}
END_TEST

START_TEST(test_hosts_and_ports)
{
	struct endpoint e;

	ck_assert_int_eq(parse("127.0.0.1:7001", &e, NULL), 0);
	ck_assert_str_eq(e.host, "127.0.0.1");
	ck_assert_str_eq(e.port, "7001");
	ck_assert_uint_eq(e.count, 0);
	ck_assert_int_eq(endpoint_resolve(&e, NULL), 0);
	ck_assert_uint_eq(e.count, 1);
	ck_assert_int_eq(e.addr[0].sa.ss_family, AF_INET);
	ck_assert_int_eq(parse("[::1]:65535", &e, NULL), 0);
	ck_assert_str_eq(e.host, "::1");
	ck_assert_int_eq(endpoint_resolve(&e, NULL), 0);
	ck_assert_int_eq(e.addr[0].sa.ss_family, AF_INET6);
}
END_TEST

START_TEST(test_what_is_no_address_is_refused_with_a_reason)
{
	static const char *const bad[] = {"", "host", "host:", ":1",
	    "unix:", "host:0", "host:65536", "host:1x", "host:123456",
	    "::1:7001", "[::1]", "[::1]7001", "[::1", "[]:1",
	    "srv:_raft._tcp.example.org"};
	struct endpoint e = {.text = "untouched"};
	struct errtext et;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		et.text[0] = '\0';
		ck_assert_msg(
		    parse(bad[i], &e, &et) == -EINVAL, "'%s'", bad[i]);
		ck_assert_str_ne(et.text, "");
		ck_assert_str_eq(e.text, "untouched");
	}
	ck_assert_ptr_nonnull(strstr(et.text, "srv:"));
}
END_TEST

START_TEST(test_too_long_is_refused)
{
	char text[400];
	struct endpoint e;

	memset(text, 'a', sizeof(text));
	text[0] = '/';
	ck_assert_int_eq(endpoint_parse(text, 107, &e, NULL), 0);
	ck_assert_int_eq(endpoint_parse(text, 108, &e, NULL), -EINVAL);
	ck_assert_int_eq(endpoint_parse(text, 400, &e, NULL), -EINVAL);
	ck_assert_int_eq(endpoint_parse("a\0b:1", 5, &e, NULL), -EINVAL);
}
END_TEST

START_TEST(test_lists_are_separated_by_commas)
{
	struct endpoint *v;
	unsigned n;
	char many[ENDPOINTS_MAX * 3 + 4] = "";

	ck_assert_int_eq(
	    endpoint_parse_list("/a,b:1,unix:/c", &v, &n, NULL), 0);
	ck_assert_uint_eq(n, 3);
	ck_assert_str_eq(v[1].host, "b");
	free(v);
	ck_assert_int_eq(endpoint_parse_list("", &v, &n, NULL), -EINVAL);
	ck_assert_int_eq(endpoint_parse_list("/a,", &v, &n, NULL), -EINVAL);
	for (int i = 0; i <= ENDPOINTS_MAX; i++)
		strcat(many, i == 0 ? "/a" : ",/a");
	ck_assert_int_eq(endpoint_parse_list(many, &v, &n, NULL), -EINVAL);
}
END_TEST

START_TEST(test_deadlines_come_in_order)
{
	struct deadlines ds = {0};
	struct deadline d[500] = {0}, *first;
	uint64_t rng = 88172645463325252u, last = 0;
	size_t count = 0;

	ck_assert_int_eq(deadlines_reserve(&ds, 500), 0);
	for (int round = 0; round < 4; round++)
		for (int i = 0; i < 500; i++) {
			rng ^= rng << 13;
			rng ^= rng >> 7;
			rng ^= rng << 17;
			if (rng % 5 == 0)
				deadline_cancel(&ds, &d[i]);
			else
				deadline_set(&ds, &d[i], rng % 1000);
		}
	for (int i = 0; i < 500; i++)
		count += d[i].place != 0;
	ck_assert_uint_eq(ds.count, count);
	while ((first = deadline_first(&ds)) != NULL) {
		ck_assert_uint_ge(first->at_ns, last);
		last = first->at_ns;
		deadline_cancel(&ds, first);
		count--;
	}
	ck_assert_uint_eq(count, 0);
	deadlines_release(&ds);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("endpoint");
	TCase *t = tcase_create("endpoint");
	SRunner *r;
	int failed;

	tcase_add_test(t, test_paths_need_no_resolver);
	tcase_add_test(t, test_hosts_and_ports);
	tcase_add_test(t, test_what_is_no_address_is_refused_with_a_reason);
	tcase_add_test(t, test_too_long_is_refused);
	tcase_add_test(t, test_lists_are_separated_by_commas);
	tcase_add_test(t, test_deadlines_come_in_order);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
