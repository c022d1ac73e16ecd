/*
 * test_peer.c - the links between servers, around hosts that take notes.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "raftctl/wire.h"
#include "raftd/now.h"
#include "raftd/peer.h"

#define TURNS_MAX 3000
#define ELECTION_NS 40000000ull

/* ---- hosts -------------------------------------------------------------- */

struct host {
	uint64_t id, boot, nonce;
	const char *refusal; /* what it judges */
	unsigned up, down, failed, gone, linked, messages;
	size_t bytes;
	bool reject; /* a message is malformed */
};

void
host_hello_self(const struct host *h, uint64_t to, struct host_hello *hello)
{
	memset(hello, 0, sizeof(*hello));
	hello->id = h->id;
	hello->to = to;
	hello->boot = h->boot;
	hello->nonce = h->nonce;
}

const char *
host_hello_judge(
    struct host *h, const struct host_hello *hello, struct host_time t)
{
	(void)t;
	if (hello->to != h->id)
		return "not the server that was meant";
	return h->refusal;
}

void
host_hello_put(struct mp_buf *b, const struct host_hello *h)
{
	mp_put_map(b, 4);
	mp_put_kv_u64(b, "id", h->id);
	mp_put_kv_u64(b, "to", h->to);
	mp_put_kv_u64(b, "boot", h->boot);
	mp_put_kv_u64(b, "nonce", h->nonce);
}

int
host_hello_read(struct mp_span map, struct host_hello *out)
{
	struct mp_cur cur = mp_cur_span(map);
	struct mp_map m;

	memset(out, 0, sizeof(*out));
	if (mp_read_mapping(&cur, &m) < 0 ||
	    mp_get_u64(&m, "id", &out->id) < 0 ||
	    mp_get_u64(&m, "to", &out->to) < 0 ||
	    mp_get_u64(&m, "boot", &out->boot) < 0 ||
	    mp_get_u64(&m, "nonce", &out->nonce) < 0)
		return -EPROTO;
	return 0;
}

void
host_link_up(struct host *h, uint64_t peer)
{
	(void)peer;
	h->up++;
}

void
host_link_down(struct host *h, uint64_t peer)
{
	(void)peer;
	h->down++;
}

void
host_link_failed(struct host *h, uint64_t peer, const char *cause)
{
	(void)peer;
	(void)cause;
	h->failed++;
}

void
host_peer_linked(struct host *h, uint64_t peer, struct host_time t)
{
	(void)peer;
	(void)t;
	h->linked++;
}

void
host_peer_gone(struct host *h, uint64_t peer, struct host_time t)
{
	(void)peer;
	(void)t;
	h->gone++;
}

int
host_peer_message(struct host *h, uint64_t peer, const struct frame *f)
{
	(void)peer;
	h->messages++;
	h->bytes += f->params.len;
	return h->reject ? -EPROTO : 0;
}

/* ---- two servers in one loop -------------------------------------------- */

static struct event_base *base;
static struct host host[3]; /* 1 and 2 */
static struct peers *peers[3];
static char dir[64], address[3][HOST_ADDR_MAX];
static size_t backlog_max;

static void
start(int i)
{
	struct peers_options opt = {
	    .id = (uint64_t)i,
	    .election_ns = ELECTION_NS,
	    .frame_len_max = 4 << 20,
	    .backlog_bytes_max = backlog_max,
	};
	struct host_member m[2] = {{.id = 1}, {.id = 2}};
	struct net_listener l;
	struct net_addr addr;

	host[i].id = (uint64_t)i;
	host[i].boot++;
	host[i].nonce = host[i].boot * 1000;
	ck_assert_int_eq(net_addr_parse(address[i], &addr, NULL), 0);
	ck_assert_int_eq(net_listen(&addr, &l, NULL), 0);
	memcpy(address[i], l.addr.text, sizeof(address[i]));
	memcpy(m[0].address, address[1], HOST_ADDR_MAX);
	memcpy(m[1].address, address[2], HOST_ADDR_MAX);
	ck_assert_int_eq(peers_new(base, &opt, &l, &peers[i]), 0);
	peers_set(peers[i], m, 2);
	ck_assert_int_eq(peers_start(peers[i], &host[i]), 0);
}

static void
halt(int i)
{
	peers_free(peers[i]);
	peers[i] = NULL;
}

static void
turn(void)
{
	struct timeval ms = {.tv_usec = 1000};

	(void)event_base_loopexit(base, &ms);
	(void)event_base_loop(base, EVLOOP_ONCE);
	for (int i = 1; i <= 2; i++)
		if (peers[i] != NULL) {
			(void)peers_tick(peers[i], now());
			peers_flush(peers[i]);
		}
}

#define UNTIL(condition)                                               \
	do {                                                           \
		for (int n_ = 0; n_ < TURNS_MAX && !(condition); n_++) \
			turn();                                        \
		ck_assert(condition);                                  \
	} while (0)

static void
setup(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	memset(host, 0, sizeof(host));
	memset(peers, 0, sizeof(peers));
	backlog_max = 8 << 20;
	(void)snprintf(dir, sizeof(dir), "/tmp/test_peer.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	(void)snprintf(address[1], HOST_ADDR_MAX, "unix:%s/1", dir);
	(void)snprintf(address[2], HOST_ADDR_MAX, "%s/2", dir);
	base = event_base_new();
}

static void
teardown(void)
{
	halt(1);
	halt(2);
	event_base_free(base);
	ck_assert_int_eq(rmdir(dir), 0);
}

static void
both_up(void)
{
	start(1);
	start(2);
	UNTIL(host[1].up == 1 && host[2].up == 1 && host[1].linked == 1 &&
	      host[2].linked == 1);
}

static int
stranger(int i)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	const char *path = address[i];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strncmp(path, "unix:", 5) == 0)
		path += 5;
	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%.100s", path);
	ck_assert_int_eq(
	    connect(fd, (const struct sockaddr *)&un, sizeof(un)), 0);
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	turn();
	return fd;
}

/* What it answers until it closes. */
static size_t
read_to_end(int fd, uint8_t *buf, size_t size)
{
	size_t len = 0;

	for (int i = 0; i < TURNS_MAX; i++) {
		ssize_t n = read(fd, buf + len, size - len);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			return len;
		if (n > 0)
			len += (size_t)n;
		turn();
	}
	ck_abort_msg("it was not closed");
	return 0;
}

/* ---- tests -------------------------------------------------------------- */

START_TEST(test_both_link_up_and_messages_arrive)
{
	static const uint8_t note[] = {0x93, 2, 0xa1, 'm', 0x91, 0x07};
	struct piece piece = {.p = note, .len = sizeof(note)};

	both_up();
	ck_assert_uint_eq(peers_backlog(peers[1], 2), 0);
	peers_send(peers[1], 2, &piece, 1);
	peers_send(peers[1], 2, &piece, 1);
	UNTIL(host[2].messages == 2);
	ck_assert_uint_eq(host[1].messages, 0);
}
END_TEST

START_TEST(test_links_work_over_tcp)
{
	(void)snprintf(address[1], HOST_ADDR_MAX, "127.0.0.1:0");
	(void)snprintf(address[2], HOST_ADDR_MAX, "127.0.0.2:0");
	start(1);
	start(2); /* knows where 1 is; 1 does not know 2 */
	UNTIL(host[2].up == 1 && host[1].linked == 1);
	halt(1);
	UNTIL(host[2].down == 1);
}
END_TEST

START_TEST(test_death_of_a_peer_is_noticed_without_a_timeout)
{
	both_up();
	halt(2);
	turn();
	turn();
	ck_assert_uint_eq(host[1].gone, 1);
	ck_assert_uint_eq(host[1].down, 1);
	ck_assert_uint_eq(peers_backlog(peers[1], 2), SIZE_MAX);
}
END_TEST

START_TEST(test_peer_that_comes_back_is_linked_again)
{
	both_up();
	halt(2);
	UNTIL(host[1].gone == 1);
	for (int i = 0; i < 50; i++)
		turn();
	start(2);
	UNTIL(host[1].up == 2 && host[1].linked == 2 && host[2].up == 2);
}
END_TEST

START_TEST(test_dialling_slows_down_to_a_quarter_of_the_election_timeout)
{
	struct peers_stat st;
	struct host_time t = now();
	uint64_t next;

	start(1);
	for (int i = 0; i < 40; i++) {
		next = peers_tick(peers[1], t);
		ck_assert_uint_ne(next, UINT64_MAX);
		t = now();
		while (t.mono_ns < next)
			t = now();
	}
	peers_stat(peers[1], &st);
	ck_assert_uint_ge(st.dials, 10);
	/* The last wait was the longest there is. */
	next = peers_tick(peers[1], now());
	ck_assert_uint_le(next, now().mono_ns + ELECTION_NS / 4);
}
END_TEST

START_TEST(test_refusal_by_the_accepting_side)
{
	host[2].refusal = "another cluster";
	start(1);
	start(2);
	for (int i = 0; i < 50; i++)
		turn();
	ck_assert_uint_eq(host[1].up, 0);
	ck_assert_uint_eq(host[2].linked, 0);
	ck_assert_uint_eq(host[2].gone, 0);
	host[2].refusal = NULL;
	UNTIL(host[1].up == 1 && host[2].up == 1);
}
END_TEST

START_TEST(test_another_server_at_the_address_is_not_linked)
{
	start(2);
	host[2].id = 3; /* it answers as somebody else */
	start(1);
	for (int i = 0; i < 50; i++)
		turn();
	ck_assert_uint_eq(host[1].up, 0);
}
END_TEST

/* Index into garbage[]. */
static const struct {
	const char *bytes;
	size_t len;
} garbage[] = {
    {"GET / HTTP/1.1\r\n\r\n", 18},
    {"\xdd\xff\xff\xff\xff", 5},
    {"\x94\x00\x00\xa5hello\x90", 10},
    {"\x94\x00\x00\xa5hello\x91\x80", 11},
    {"\x93\x02\xa4raft\x90", 8},
    {"\x94\x00\x00\xa3get\x91\xa1k", 10},
    {"\x94\x00\x00\xa5hello\xc6\x00\x10\x00\x00", 14},
};

START_TEST(test_garbage_of_a_stranger_is_refused)
{
	uint8_t buf[1024];
	struct frame f;
	int fd;

	both_up();
	fd = stranger(1);
	ck_assert_int_eq(write(fd, garbage[_i].bytes, garbage[_i].len),
	    (ssize_t)garbage[_i].len);
	ck_assert_int_eq(
	    frame_parse(buf, read_to_end(fd, buf, sizeof(buf)), &f), 0);
	ck_assert_int_eq(f.type, FRAME_RESPONSE);
	ck_assert_uint_ne(f.error.p[0], 0xc0);
	close(fd);
	ck_assert_uint_eq(host[1].messages, 0);
	ck_assert_uint_eq(host[1].gone, 0);
	ck_assert_uint_ne(peers_backlog(peers[1], 2), SIZE_MAX);
}
END_TEST

START_TEST(test_silent_strangers_are_closed_and_make_room)
{
	enum { MANY = PEER_STRANGERS_MAX + 10 };
	struct host_time t;
	uint8_t buf[16];
	int fd[MANY];

	start(1);
	for (int i = 0; i < MANY; i++)
		fd[i] = stranger(1);
	turn();
	/* The oldest had to go for the newest. */
	ck_assert_uint_eq(read_to_end(fd[0], buf, sizeof(buf)), 0);
	ck_assert_int_eq(read(fd[MANY - 1], buf, sizeof(buf)), -1);
	ck_assert_int_eq(errno, EAGAIN);
	/* A real peer gets through all the same. */
	start(2);
	UNTIL(host[2].up == 1 && host[1].linked == 1);
	t = now();
	t.mono_ns += 2 * PEER_HANDSHAKE_MIN_NS;
	(void)peers_tick(peers[1], t);
	ck_assert_uint_eq(read_to_end(fd[MANY - 1], buf, sizeof(buf)), 0);
	for (int i = 0; i < MANY; i++)
		close(fd[i]);
}
END_TEST

START_TEST(test_malformed_message_of_a_peer_ends_its_link)
{
	static const uint8_t note[] = {0x93, 2, 0xa1, 'm', 0x90};
	struct piece piece = {.p = note, .len = sizeof(note)};

	both_up();
	host[2].reject = true;
	peers_send(peers[1], 2, &piece, 1);
	UNTIL(host[2].gone == 1);
	/* Dialled again, and linked again. */
	UNTIL(host[2].linked == 2);
}
END_TEST

START_TEST(test_large_messages_arrive_by_reference)
{
	enum { LEN = 3 << 20 };
	uint8_t head[] = {0x93, 2, 0xa1, 'm', 0x91, 0xc6, 0, 0, 0, 0};
	struct blob *b = blob_new(LEN);
	struct piece piece[2];

	for (int i = 0; i < 4; i++)
		head[6 + i] = (uint8_t)(LEN >> (24 - 8 * i));
	memset(b->data, 7, LEN);
	piece[0] = (struct piece){.p = head, .len = sizeof(head)};
	piece[1] = (struct piece){.blob = b, .p = b->data, .len = LEN};
	both_up();
	peers_send(peers[1], 2, piece, 2);
	peers_send(peers[1], 2, piece, 2);
	ck_assert_uint_eq(b->refs, 3);
	ck_assert_uint_eq(peers_backlog(peers[1], 2), 2 * (LEN + 10));
	UNTIL(host[2].messages == 2);
	ck_assert_uint_eq(host[2].bytes, 2 * (LEN + 6));
	ck_assert_uint_eq(b->refs, 1);
	blob_unref(b);
}
END_TEST

START_TEST(test_peer_that_takes_nothing_loses_its_link)
{
	struct blob *b = blob_new(1 << 20);
	struct piece piece = {.blob = b, .p = b->data, .len = 1 << 20};

	memset(b->data, 0, 1 << 20);
	backlog_max = 2 << 20;
	both_up();
	for (int i = 0; i < 6; i++)
		peers_send(peers[1], 2, &piece, 1);
	peers_flush(peers[1]);
	ck_assert_uint_eq(host[1].down, 1);
	ck_assert_uint_eq(b->refs, 1);
	blob_unref(b);
}
END_TEST

START_TEST(test_member_that_was_dropped_is_not_dialled)
{
	struct host_member self = {.id = 1};

	both_up();
	memcpy(self.address, address[1], HOST_ADDR_MAX);
	peers_set(peers[1], &self, 1);
	ck_assert_uint_eq(peers_backlog(peers[1], 2), SIZE_MAX);
	UNTIL(host[2].gone == 1);
	for (int i = 0; i < 50; i++)
		turn();
	ck_assert_uint_eq(host[1].up, 1);
}
END_TEST

static Suite *
suite(void)
{
	Suite *s = suite_create("peer");
	TCase *t = tcase_create("peer");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_both_link_up_and_messages_arrive);
	tcase_add_test(t, test_links_work_over_tcp);
	tcase_add_test(t, test_death_of_a_peer_is_noticed_without_a_timeout);
	tcase_add_test(t, test_peer_that_comes_back_is_linked_again);
	tcase_add_test(
	    t, test_dialling_slows_down_to_a_quarter_of_the_election_timeout);
	tcase_add_test(t, test_refusal_by_the_accepting_side);
	tcase_add_test(t, test_another_server_at_the_address_is_not_linked);
	tcase_add_loop_test(t, test_garbage_of_a_stranger_is_refused, 0,
	    (int)(sizeof(garbage) / sizeof(garbage[0])));
	tcase_add_test(t, test_silent_strangers_are_closed_and_make_room);
	tcase_add_test(t, test_malformed_message_of_a_peer_ends_its_link);
	tcase_add_test(t, test_large_messages_arrive_by_reference);
	tcase_add_test(t, test_peer_that_takes_nothing_loses_its_link);
	tcase_add_test(t, test_member_that_was_dropped_is_not_dialled);
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
