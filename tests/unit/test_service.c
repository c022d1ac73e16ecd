/*
 * test_service.c - the clients' side of raftd, around a host that echoes.
 */
#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "raftctl/wire.h"
#include "raftd/now.h"
#include "raftd/service.h"

#define TURNS_MAX 2000
#define OPEN_MAX 64

/* ---- a host that answers when it is told to ---------------------------- */

struct host {
	struct identity identity;
	unsigned pause;
	unsigned requests, notifications, gone;
	struct {
		uint64_t client, msgid;
	} open[OPEN_MAX];
	unsigned open_count;
	bool hold; /* do not answer */
	bool as_map;
	size_t result_len;
	struct blob *result;
};

static struct host fake;
static struct service *service;
static struct event_base *base;
static char dir[64], path[96];

static void
answer(uint64_t client, uint64_t msgid)
{
	struct piece piece[2];
	struct mp_buf b;

	mp_buf_init(&b);
	frame_put_ok(&b, msgid);
	if (fake.result_len == 0) {
		mp_put_str(&b, "done");
	} else {
		/* bin 32 by hand: the content follows as a blob */
		uint8_t *p = mp_buf_reserve(&b, 5);

		p[0] = 0xc6;
		p[1] = (uint8_t)(fake.result_len >> 24);
		p[2] = (uint8_t)(fake.result_len >> 16);
		p[3] = (uint8_t)(fake.result_len >> 8);
		p[4] = (uint8_t)fake.result_len;
		b.len += 5;
	}
	piece[0] = (struct piece){.p = b.data, .len = b.len};
	if (fake.result_len > 0)
		piece[1] = (struct piece){.blob = fake.result,
		    .p = fake.result->data,
		    .len = fake.result_len};
	service_send(service, client, piece, fake.result_len > 0 ? 2 : 1);
	mp_buf_release(&b);
}

void
host_client_request(
    struct host *h, uint64_t client, const struct frame *f, bool errors_as_map)
{
	h->as_map = errors_as_map;
	if (f->type == FRAME_NOTIFY) {
		h->notifications++;
		return;
	}
	h->requests++;
	if (!h->hold) {
		answer(client, f->msgid);
	} else if (h->open_count < OPEN_MAX) {
		h->open[h->open_count].client = client;
		h->open[h->open_count++].msgid = f->msgid;
	}
}

void
host_client_gone(struct host *h, uint64_t client)
{
	(void)client;
	h->gone++;
}

unsigned
host_pause(const struct host *h)
{
	return h->pause;
}

bool
host_overdue(const struct host *h)
{
	(void)h;
	return false;
}

const struct identity *
host_identity(const struct host *h)
{
	return &h->identity;
}

uint64_t
host_replicated_ms(const struct host *h)
{
	(void)h;
	return 1700000000123;
}

static void
answer_held(void)
{
	for (unsigned i = 0; i < fake.open_count; i++)
		answer(fake.open[i].client, fake.open[i].msgid);
	fake.open_count = 0;
}

/* ---- around it --------------------------------------------------------- */

static struct service_options
options(void)
{
	return (struct service_options){
	    .frame_len_max = 256 * 1024,
	    .connections_max = 8,
	    .requests_max = 4,
	    .output_bytes_max = 1024 * 1024,
	};
}

static void
setup(void)
{
	struct service_options opt = options();
	struct net_listener l;
	struct net_addr addr;

	(void)signal(SIGPIPE, SIG_IGN);
	memset(&fake, 0, sizeof(fake));
	fake.identity.id = 7;
	(void)snprintf(dir, sizeof(dir), "/tmp/test_service.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/s", dir);
	base = event_base_new();
	ck_assert_int_eq(net_addr_parse(path, &addr, NULL), 0);
	ck_assert_int_eq(net_listen(&addr, &l, NULL), 0);
	ck_assert_int_eq(service_new(base, &fake, &opt, &l, 1, &service), 0);
}

static void
teardown(void)
{
	service_free(service);
	service = NULL;
	event_base_free(base);
	ck_assert_int_ne(access(path, F_OK), 0); /* removed with it */
	ck_assert_int_eq(rmdir(dir), 0);
	blob_unref(fake.result);
}

static void
turn(void)
{
	(void)event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	service_flush(service);
}

static int
client(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(
	    connect(fd, (const struct sockaddr *)&un, sizeof(un)), 0);
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	turn();
	return fd;
}

static void
send_all(int fd, const void *p, size_t len)
{
	const uint8_t *from = p;

	for (int i = 0; i < TURNS_MAX && len > 0; i++) {
		ssize_t n = write(fd, from, len);

		if (n > 0) {
			from += n;
			len -= (size_t)n;
		}
		turn();
	}
	ck_assert_uint_eq(len, 0);
}

static void
send_get(int fd, uint32_t msgid)
{
	struct mp_buf b;

	mp_buf_init(&b);
	frame_put_request(&b, msgid, "get");
	mp_put_array(&b, 1);
	mp_put_str(&b, "k");
	send_all(fd, b.data, b.len);
	mp_buf_release(&b);
}

/* The next message: 1, 0 at the end of the stream, -EAGAIN if there is none
 * after many turns. */
static int
receive(int fd, struct frame_reader *r, struct frame *f)
{
	for (int i = 0; i < TURNS_MAX; i++) {
		uint8_t *p;
		size_t room;
		ssize_t n;

		if (frame_next(r, f) == 1)
			return 1;
		turn();
		p = frame_room(r, &room);
		n = read(fd, p, room);
		if (n == 0)
			return 0;
		if (n > 0)
			frame_filled(r, (size_t)n);
		else if (errno != EAGAIN)
			return -errno;
	}
	return -EAGAIN;
}

static struct service_stat
stat_now(void)
{
	struct service_stat st;

	service_stat(service, &st);
	return st;
}

/* ---- tests ------------------------------------------------------------- */

START_TEST(test_socket_is_for_its_owner_only)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0600);
}
END_TEST

START_TEST(test_request_is_answered)
{
	struct frame_reader r;
	struct frame f;
	int fd = client();

	frame_reader_init(&r, 1 << 20);
	send_get(fd, 41);
	ck_assert_int_eq(receive(fd, &r, &f), 1);
	ck_assert_int_eq(f.type, FRAME_RESPONSE);
	ck_assert_uint_eq(f.msgid, 41);
	ck_assert_uint_eq(fake.requests, 1);
	frame_reader_release(&r);
	close(fd);
	turn();
	ck_assert_uint_eq(fake.gone, 1);
	ck_assert_uint_eq(stat_now().connections, 0);
}
END_TEST

START_TEST(test_request_that_comes_byte_by_byte_is_answered)
{
	static const uint8_t get[] = {
	    0x94, 0, 9, 0xa3, 'g', 'e', 't', 0x91, 0xa1, 'k'};
	struct frame_reader r;
	struct frame f;
	int fd = client();

	frame_reader_init(&r, 1 << 20);
	for (size_t i = 0; i < sizeof(get); i++) {
		ck_assert_uint_eq(fake.requests, 0);
		send_all(fd, get + i, 1);
	}
	ck_assert_int_eq(receive(fd, &r, &f), 1);
	ck_assert_uint_eq(f.msgid, 9);
	frame_reader_release(&r);
	close(fd);
}
END_TEST

START_TEST(test_hello_tells_who_we_are_and_chooses_the_style)
{
	struct mp_span version;
	struct frame_reader r;
	struct mp_map map;
	struct mp_cur cur;
	struct mp_buf b;
	struct frame f;
	uint64_t id = 0;
	int fd = client();

	frame_reader_init(&r, 1 << 20);
	mp_buf_init(&b);
	frame_put_request(&b, 1, "hello");
	mp_put_array(&b, 1);
	mp_put_map(&b, 1);
	mp_put_kv_str(&b, "errors", "map");
	send_all(fd, b.data, b.len);
	mp_buf_release(&b);
	ck_assert_int_eq(receive(fd, &r, &f), 1);
	cur = mp_cur_span(f.error);
	ck_assert_int_eq(mp_read_nil(&cur), 0);
	cur = mp_cur_span(f.result);
	ck_assert_int_eq(mp_read_mapping(&cur, &map), 0);
	ck_assert_int_eq(mp_get_u64(&map, "id", &id), 0);
	ck_assert_uint_eq(id, 7);
	ck_assert_int_eq(mp_get_bytes(&map, "version", &version, 64), 0);
	ck_assert(mp_span_eq(version, RAFTKIT_VERSION));
	ck_assert_uint_eq(fake.requests, 0); /* the host never saw it */
	send_get(fd, 2);
	ck_assert(fake.as_map);
	frame_reader_release(&r);
	close(fd);
}
END_TEST

START_TEST(test_hello_with_nonsense_is_refused_and_the_stream_goes_on)
{
	static const uint8_t hello[] = {
	    0x94, 0, 1, 0xa5, 'h', 'e', 'l', 'l', 'o', 0x91, 0x2a};
	struct frame_reader r;
	struct wire_error e;
	struct frame f;
	int fd = client();

	frame_reader_init(&r, 1 << 20);
	send_all(fd, hello, sizeof(hello));
	ck_assert_int_eq(receive(fd, &r, &f), 1);
	wire_read_error(f.error, &e);
	ck_assert_int_eq(e.status, WIRE_USAGE);
	send_get(fd, 2);
	ck_assert_int_eq(receive(fd, &r, &f), 1);
	ck_assert_uint_eq(f.msgid, 2);
	frame_reader_release(&r);
	close(fd);
}
END_TEST

START_TEST(test_stray_response_and_notification_are_not_answered)
{
	static const uint8_t stray[] = {0x94, 1, 5, 0xc0, 0xc0};
	static const uint8_t note[] = {0x93, 2, 0xa1, 'x', 0x90};
	struct frame_reader r;
	struct frame f;
	int fd = client();

	frame_reader_init(&r, 1 << 20);
	send_all(fd, stray, sizeof(stray));
	send_all(fd, note, sizeof(note));
	send_get(fd, 3);
	ck_assert_int_eq(receive(fd, &r, &f), 1);
	ck_assert_uint_eq(f.msgid, 3);
	ck_assert_uint_eq(fake.notifications, 1);
	frame_reader_release(&r);
	close(fd);
}
END_TEST

/* Index into garbage[]: what is no message, in as many ways. */
static const struct {
	const char *bytes;
	size_t len;
	enum wire_status status;
} garbage[] = {
    {"GET / HTTP/1.1\r\n\r\n", 18, WIRE_PROTOCOL_ERROR},
    {"\x94\x00\x01\xc1\x90", 5, WIRE_PROTOCOL_ERROR},
    {"\x95\x00\x01\xa1x\x90\xc0", 7, WIRE_PROTOCOL_ERROR},
    {"\x94\x07\x01\xa1x\x90", 6, WIRE_PROTOCOL_ERROR},
    {"\xdd\xff\xff\xff\xff", 5, WIRE_TOO_LARGE}, /* the array bomb */
    {"\x94\x00\x01\xa1p\xc6\x7f\xff\xff\xff", 10, WIRE_TOO_LARGE},
    {"\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91", 10, WIRE_TOO_LARGE},
};

START_TEST(test_garbage_is_answered_and_the_connection_closed)
{
	struct frame_reader r;
	struct wire_error e;
	struct frame f;
	int other = client(), fd = client();

	frame_reader_init(&r, 1 << 20);
	send_all(fd, garbage[_i].bytes, garbage[_i].len);
	ck_assert_int_eq(receive(fd, &r, &f), 1);
	ck_assert_int_eq(f.type, FRAME_RESPONSE);
	wire_read_error(f.error, &e);
	ck_assert_int_eq(e.status, garbage[_i].status);
	ck_assert_int_eq(receive(fd, &r, &f), 0);
	close(fd);
	turn();
	ck_assert_uint_eq(stat_now().malformed, 1);
	/* Nothing else is disturbed. */
	frame_reader_release(&r);
	frame_reader_init(&r, 1 << 20);
	send_get(other, 1);
	ck_assert_int_eq(receive(other, &r, &f), 1);
	frame_reader_release(&r);
	close(other);
	turn();
	ck_assert_uint_eq(stat_now().connections, 0);
}
END_TEST

START_TEST(test_who_is_refused_may_not_linger_for_ever)
{
	struct host_time t = now();
	int fd = client();

	send_all(fd, "garbage", 7);
	turn();
	ck_assert_uint_eq(stat_now().connections, 1);
	ck_assert_uint_ne(service_tick(service, t), UINT64_MAX);
	t.mono_ns += 2 * SERVICE_LINGER_NS;
	ck_assert_uint_eq(service_tick(service, t), UINT64_MAX);
	turn();
	ck_assert_uint_eq(stat_now().connections, 0);
	close(fd);
}
END_TEST

START_TEST(test_reading_stops_at_the_limit_of_open_requests)
{
	int fd = client();

	fake.hold = true;
	for (uint32_t i = 1; i <= 10; i++)
		send_get(fd, i);
	ck_assert_uint_eq(fake.requests, 4);
	answer_held();
	for (int i = 0; i < 10; i++)
		turn();
	ck_assert_uint_eq(fake.requests, 8);
	answer_held();
	for (int i = 0; i < 10; i++)
		turn();
	ck_assert_uint_eq(fake.requests, 10);
	close(fd);
}
END_TEST

START_TEST(test_reading_stops_while_the_host_pauses)
{
	struct frame_reader r;
	struct frame f;
	int fd = client();

	frame_reader_init(&r, 1 << 20);
	fake.pause = PAUSE_STORE;
	send_get(fd, 1);
	send_get(fd, 2);
	ck_assert_uint_eq(fake.requests, 0);
	fake.pause = 0;
	ck_assert_int_eq(receive(fd, &r, &f), 1);
	ck_assert_int_eq(receive(fd, &r, &f), 1);
	ck_assert_uint_eq(fake.requests, 2);
	frame_reader_release(&r);
	close(fd);
}
END_TEST

START_TEST(test_large_answers_arrive_whole_and_release_their_blob)
{
	struct frame_reader r;
	struct mp_span bytes;
	struct mp_cur cur;
	struct frame f;
	int fd = client();

	fake.result_len = 200000;
	fake.result = blob_new(fake.result_len);
	for (size_t i = 0; i < fake.result_len; i++)
		fake.result->data[i] = (uint8_t)(i * 7);
	frame_reader_init(&r, 1 << 20);
	for (uint32_t i = 1; i <= 3; i++)
		send_get(fd, i);
	for (uint32_t i = 1; i <= 3; i++) {
		ck_assert_int_eq(receive(fd, &r, &f), 1);
		cur = mp_cur_span(f.result);
		ck_assert_int_eq(mp_read_bytes(&cur, &bytes), 0);
		ck_assert_uint_eq(bytes.len, fake.result_len);
		ck_assert_mem_eq(bytes.p, fake.result->data, bytes.len);
	}
	turn();
	ck_assert_uint_eq(fake.result->refs, 1);
	ck_assert_uint_eq(stat_now().output_bytes, 0);
	frame_reader_release(&r);
	close(fd);
}
END_TEST

START_TEST(test_client_that_does_not_read_is_paused_then_closed)
{
	struct service_options opt = options();
	int fd = client();

	opt.requests_max = 1000;
	service_options_set(service, &opt);
	fake.result_len = 300000;
	fake.result = blob_new(fake.result_len);
	memset(fake.result->data, 0, fake.result_len);
	/* Paused after the second: its kernel buffer takes about one. */
	for (uint32_t i = 1; i <= 20; i++)
		send_get(fd, i);
	ck_assert_uint_lt(fake.requests, 4);
	ck_assert_uint_eq(stat_now().slow, 0);
	ck_assert_uint_eq(stat_now().connections, 1);
	/* Answers that were open before go beyond the limit. */
	for (uint32_t i = 0; i < 5; i++)
		answer((uint64_t)1 << 32 | 0, 100 + i);
	turn();
	ck_assert_uint_eq(stat_now().slow, 1);
	ck_assert_uint_eq(stat_now().connections, 0);
	ck_assert_uint_eq(stat_now().output_bytes, 0);
	ck_assert_uint_eq(fake.result->refs, 1);
	close(fd);
}
END_TEST

START_TEST(test_one_connection_too_many_is_told_so)
{
	struct frame_reader r;
	struct wire_error e;
	struct frame f;
	int fd[9];

	for (int i = 0; i < 9; i++)
		fd[i] = client();
	frame_reader_init(&r, 1 << 20);
	ck_assert_int_eq(receive(fd[8], &r, &f), 1);
	wire_read_error(f.error, &e);
	ck_assert_int_eq(e.status, WIRE_BUSY);
	ck_assert_int_eq(receive(fd[8], &r, &f), 0);
	ck_assert_uint_eq(stat_now().connections, 8);
	ck_assert_uint_eq(stat_now().refused, 1);
	frame_reader_release(&r);
	for (int i = 0; i < 9; i++)
		close(fd[i]);
}
END_TEST

START_TEST(test_half_closed_client_still_gets_its_answers)
{
	struct frame_reader r;
	struct frame f;
	int fd = client();

	frame_reader_init(&r, 1 << 20);
	fake.hold = true;
	send_get(fd, 1);
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	for (int i = 0; i < 10; i++)
		turn();
	ck_assert_uint_eq(stat_now().connections, 1);
	answer_held();
	ck_assert_int_eq(receive(fd, &r, &f), 1);
	ck_assert_uint_eq(f.msgid, 1);
	ck_assert_int_eq(receive(fd, &r, &f), 0);
	ck_assert_uint_eq(stat_now().connections, 0);
	frame_reader_release(&r);
	close(fd);
}
END_TEST

START_TEST(test_answer_to_a_client_that_left_reaches_nobody_else)
{
	struct frame_reader r;
	struct frame f;
	int fd = client(), next;

	fake.hold = true;
	send_get(fd, 1);
	close(fd);
	/* It was reset, not half-closed: known when the answer is written. */
	for (int i = 0; i < 10; i++)
		turn();
	answer_held();
	turn();
	ck_assert_uint_eq(stat_now().connections, 0);
	next = client(); /* takes the same slot */
	fake.hold = false;
	answer((uint64_t)1 << 32 | 0, 77);
	send_get(next, 5);
	frame_reader_init(&r, 1 << 20);
	ck_assert_int_eq(receive(next, &r, &f), 1);
	ck_assert_uint_eq(f.msgid, 5);
	frame_reader_release(&r);
	close(next);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("service");
	TCase *t = tcase_create("service");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_socket_is_for_its_owner_only);
	tcase_add_test(t, test_request_is_answered);
	tcase_add_test(t, test_request_that_comes_byte_by_byte_is_answered);
	tcase_add_test(t, test_hello_tells_who_we_are_and_chooses_the_style);
	tcase_add_test(
	    t, test_hello_with_nonsense_is_refused_and_the_stream_goes_on);
	tcase_add_test(
	    t, test_stray_response_and_notification_are_not_answered);
	tcase_add_loop_test(t,
	    test_garbage_is_answered_and_the_connection_closed, 0,
	    (int)(sizeof(garbage) / sizeof(garbage[0])));
	tcase_add_test(t, test_who_is_refused_may_not_linger_for_ever);
	tcase_add_test(t, test_reading_stops_at_the_limit_of_open_requests);
	tcase_add_test(t, test_reading_stops_while_the_host_pauses);
	tcase_add_test(
	    t, test_large_answers_arrive_whole_and_release_their_blob);
	tcase_add_test(t, test_client_that_does_not_read_is_paused_then_closed);
	tcase_add_test(t, test_one_connection_too_many_is_told_so);
	tcase_add_test(t, test_half_closed_client_still_gets_its_answers);
	tcase_add_test(
	    t, test_answer_to_a_client_that_left_reaches_nobody_else);
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
