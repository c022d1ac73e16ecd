/*
 * test_net.c - addresses and sockets.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "raftd/net.h"

static char dir[64], path[96];
static struct errtext et;

static void
setup(void)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/test_net.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/s", dir);
	et.text[0] = '\0';
}

static void
teardown(void)
{
	(void)unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
}

static struct net_addr
addr(const char *text)
{
	struct net_addr a;

	ck_assert_int_eq(net_addr_parse(text, &a, &et), 0);
	return a;
}

static const struct {
	const char *text;
	bool is_unix, is_local, is_numeric;
	const char *host; /* or path */
	unsigned port;
} good[] = {
    {"unix:/a/b", true, true, true, "/a/b", 0},
    {"unix:rel", true, true, true, "rel", 0},
    {"/a:b", true, true, true, "/a:b", 0},
    {"127.0.0.1:1", false, true, true, "127.0.0.1", 1},
    {"127.9.9.9:65535", false, true, true, "127.9.9.9", 65535},
    {"[::1]:7001", false, true, true, "::1", 7001},
    {"localhost:0", false, true, false, "localhost", 0},
    {"0.0.0.0:5", false, false, true, "0.0.0.0", 5},
    {"[::]:5", false, false, true, "::", 5},
    {"192.0.2.1:5", false, false, true, "192.0.2.1", 5},
    {"db.example.org:5", false, false, false, "db.example.org", 5},
    {"127.example.org:5", false, false, false, "127.example.org", 5},
};

START_TEST(test_addresses)
{
	struct net_addr a = addr(good[_i].text);
	struct net_sock s;

	ck_assert_int_eq(a.is_unix, good[_i].is_unix);
	ck_assert_str_eq(a.is_unix ? a.path : a.host, good[_i].host);
	ck_assert_uint_eq(a.port, good[_i].port);
	ck_assert_str_eq(a.text, good[_i].text);
	ck_assert_int_eq(net_addr_is_local(&a), good[_i].is_local);
	ck_assert_int_eq(net_addr_numeric(&a, &s) == 0, good[_i].is_numeric);
}
END_TEST

static const char *const bad[] = {"", "host", ":1", "host:", "host:x",
    "host:1x", "host:+1", "host: 1", "host:65536", "::1:5", "[]:5", "[::1]5",
    "[::1:5", "unix:", "1.2.3.4"};

START_TEST(test_addresses_that_are_none)
{
	struct net_addr a;

	memset(&a, 'Z', sizeof(a));
	ck_assert_int_eq(net_addr_parse(bad[_i], &a, &et), -EINVAL);
	ck_assert_str_ne(et.text, "");
	ck_assert_int_eq(a.text[0], 'Z'); /* untouched */
}
END_TEST

START_TEST(test_path_is_limited_by_what_a_socket_can_have)
{
	char text[HOST_ADDR_MAX + 8];
	struct net_addr a;

	memset(text, 'x', sizeof(text));
	text[0] = '/';
	text[107] = '\0';
	ck_assert_int_eq(net_addr_parse(text, &a, &et), 0);
	text[107] = 'x';
	text[108] = '\0';
	ck_assert_int_eq(net_addr_parse(text, &a, &et), -EINVAL);
	text[108] = 'x';
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_eq(net_addr_parse(text, &a, &et), -EINVAL);
}
END_TEST

START_TEST(test_socket_of_a_dead_server_is_replaced)
{
	struct net_addr a = addr(path);
	struct net_listener l, again;

	ck_assert_int_eq(net_listen(&a, &l, &et), 0);
	/* It dies: the file stays, nobody listens. */
	(void)close(l.fd);
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_int_eq(net_listen(&a, &again, &et), 0);
	net_listener_close(&again);
	ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(test_socket_of_a_living_server_is_not)
{
	struct net_addr a = addr(path);
	struct net_listener l, second;
	struct net_sock to;
	bool done;
	int fd;

	ck_assert_int_eq(net_listen(&a, &l, &et), 0);
	ck_assert_int_eq(net_listen(&a, &second, &et), -EADDRINUSE);
	ck_assert_ptr_nonnull(strstr(et.text, "another server"));
	ck_assert_int_eq(net_addr_numeric(&a, &to), 0);
	fd = net_dial(&to, NULL, &done);
	ck_assert_int_ge(fd, 0);
	ck_assert(done);
	(void)close(fd);
	net_listener_close(&l);
}
END_TEST

START_TEST(test_file_that_is_no_socket_is_never_removed)
{
	struct net_addr a = addr(path);
	struct net_listener l;
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	(void)close(fd);
	ck_assert_int_eq(net_listen(&a, &l, &et), -EADDRINUSE);
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(test_closing_leaves_the_socket_of_a_successor)
{
	struct net_addr a = addr(path);
	struct net_listener l, next;
	int fd;

	ck_assert_int_eq(net_listen(&a, &l, &et), 0);
	fd = l.fd;
	(void)unlink(path);
	ck_assert_int_eq(net_listen(&a, &next, &et), 0);
	net_listener_close(&l);
	ck_assert_int_eq(l.fd, -1);
	ck_assert_int_ne(fcntl(fd, F_GETFD), 0);
	ck_assert_int_eq(access(path, F_OK), 0);
	net_listener_close(&next);
	net_listener_close(&next); /* twice is nothing */
	ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(test_port_0_becomes_the_one_that_was_chosen)
{
	struct net_addr a = addr("127.0.0.1:0"), seen;
	struct net_listener l, second;
	struct net_sock to;
	bool done;
	int fd;

	ck_assert_int_eq(net_listen(&a, &l, &et), 0);
	ck_assert_uint_ne(l.addr.port, 0);
	seen = addr(l.addr.text);
	ck_assert_uint_eq(seen.port, l.addr.port);
	ck_assert_int_eq(net_listen(&seen, &second, &et), -EADDRINUSE);
	ck_assert_int_eq(net_addr_numeric(&seen, &to), 0);
	fd = net_dial(&to, NULL, &done);
	ck_assert_int_ge(fd, 0);
	(void)close(fd);
	net_listener_close(&l);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("net");
	TCase *t = tcase_create("net");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(
	    t, test_addresses, 0, (int)(sizeof(good) / sizeof(good[0])));
	tcase_add_loop_test(t, test_addresses_that_are_none, 0,
	    (int)(sizeof(bad) / sizeof(bad[0])));
	tcase_add_test(t, test_path_is_limited_by_what_a_socket_can_have);
	tcase_add_test(t, test_socket_of_a_dead_server_is_replaced);
	tcase_add_test(t, test_socket_of_a_living_server_is_not);
	tcase_add_test(t, test_file_that_is_no_socket_is_never_removed);
	tcase_add_test(t, test_closing_leaves_the_socket_of_a_successor);
	tcase_add_test(t, test_port_0_becomes_the_one_that_was_chosen);
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
