/*
 * test_client.c - the life of calls, against servers that misbehave.
 *
 * The servers run in the same event loop, on Unix sockets in a scratch
 * directory.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "raftctl/client.h"
#include "raftctl/frame.h"

#define SERVERS 3
#define CONNS_MAX 64

enum mode {
	ECHO,	    /* answer with the params, if short */
	FAIL,	    /* answer with .status, .times times, then echo */
	SILENT,	    /* take requests, never answer */
	HANG_UP,    /* close upon a request, .times times, then echo */
	GARBAGE,    /* answer something that is not MessagePack-RPC */
	REVERSE,    /* answer each ten requests, the last one first */
	DENY_HELLO, /* there is no use in talking */
};

struct server;
struct peer {
	struct server *server;
	struct event *ev;
	struct frame_reader reader;
	struct mp_buf out;
	uint64_t held[10];
	unsigned held_count;
	int fd;
};

struct server {
	char path[108];
	struct event *ev;
	struct peer peers[CONNS_MAX];
	enum mode mode;
	enum wire_status status;
	unsigned times;
	unsigned accepted, calls; /* counted */
	int fd;
};

static char dir[] = "/tmp/test_client.XXXXXX";
static char list[SERVERS * 120];
static struct event_base *base;
static struct server servers[SERVERS];
static bool has_sessions; /* servers tell the time in hello */
static struct {
	char id[64];
	uint64_t seq, ack, since;
	bool own; /* the call's own option is there */
} seen;
static struct client_set *set;
static struct client *client;

/* ---- servers ---------------------------------------------------------- */

static void
peer_close(struct peer *p)
{
	event_free(p->ev);
	close(p->fd);
	frame_reader_release(&p->reader);
	mp_buf_release(&p->out);
	memset(p, 0, sizeof(*p));
}

static void
put_fail(struct mp_buf *b, uint64_t msgid, enum wire_status status)
{
	struct wire_error e = {.status = status, .message = "told to"};

	frame_put_error(b, msgid);
	wire_put_error(b, &e, true);
	mp_put_nil(b);
}

/* What the last call said of its session. */
static void
note_session(const struct frame *f)
{
	struct mp_cur c = mp_cur_span(f->params);
	struct mp_span id;
	struct mp_map m;
	uint32_t count;

	memset(&seen, 0, sizeof(seen));
	if (mp_read_array(&c, &count) < 0 || count != 2 || mp_skip(&c) < 0 ||
	    mp_read_mapping(&c, &m) < 0 ||
	    mp_get_bytes(&m, "session", &id, sizeof(seen.id) - 1) < 0)
		return;
	memcpy(seen.id, id.p, id.len);
	ck_assert_int_eq(mp_get_u64(&m, "seq", &seen.seq), 0);
	ck_assert_int_eq(mp_get_u64(&m, "ack", &seen.ack), 0);
	ck_assert_int_eq(mp_get_u64(&m, "since", &seen.since), 0);
	ck_assert_int_eq(mp_get_bool(&m, "own", &seen.own), 0);
}

/* False: hang up. */
static bool
answer(struct peer *p, const struct frame *f)
{
	struct server *s = p->server;

	if (mp_span_eq(f->method, "hello")) {
		if (s->mode == DENY_HELLO) {
			put_fail(&p->out, f->msgid, WIRE_DENIED);
			return true;
		}
		frame_put_ok(&p->out, f->msgid);
		mp_put_map(&p->out, has_sessions ? 1 : 0);
		if (has_sessions)
			mp_put_kv_u64(&p->out, "time", 4711);
		return true;
	}
	s->calls++;
	note_session(f);
	if (s->mode == FAIL && s->times > 0) {
		s->times--;
		put_fail(&p->out, f->msgid, s->status);
		return true;
	}
	if (s->mode == HANG_UP && s->times > 0) {
		s->times--;
		return false;
	}
	if (s->mode == REVERSE) {
		p->held[p->held_count++] = f->msgid;
		if (p->held_count < 10)
			return true;
		while (p->held_count > 0) {
			p->held_count--;
			frame_put_ok(&p->out, p->held[p->held_count]);
			mp_put_u64(&p->out, p->held[p->held_count]);
		}
	} else if (s->mode == GARBAGE)
		mp_put_str(&p->out, "HTTP/1.1 400 Bad Request");
	else if (s->mode != SILENT) {
		frame_put_ok(&p->out, f->msgid);
		if (f->params.len < 1000)
			mp_put_raw(&p->out, f->params.p, f->params.len);
		else
			mp_put_nil(&p->out);
	}
	return true;
}

static void
peer_cb(evutil_socket_t fd, short what, void *ctx)
{
	struct peer *p = ctx;
	struct frame f;
	uint8_t *data;
	size_t room;
	ssize_t n;

	(void)what;
	data = frame_room(&p->reader, &room);
	ck_assert_ptr_nonnull(data);
	n = read(fd, data, room);
	if (n <= 0) {
		peer_close(p);
		return;
	}
	frame_filled(&p->reader, (size_t)n);
	while (frame_next(&p->reader, &f) == 1)
		if (!answer(p, &f)) {
			peer_close(p);
			return;
		}
	n = send(fd, p->out.data, p->out.len, MSG_NOSIGNAL);
	ck_assert(n == (ssize_t)p->out.len || errno == EPIPE);
	mp_buf_reset(&p->out);
}

static void
accept_cb(evutil_socket_t fd, short what, void *ctx)
{
	struct server *s = ctx;
	struct peer *p = s->peers;

	(void)what;
	while (p->server != NULL)
		p++;
	ck_assert(p < s->peers + CONNS_MAX);
	p->server = s;
	p->fd = accept(fd, NULL, NULL);
	ck_assert_int_ge(p->fd, 0);
	frame_reader_init(&p->reader, 1 << 20);
	p->ev = event_new(base, p->fd, EV_READ | EV_PERSIST, peer_cb, p);
	event_add(p->ev, NULL);
	s->accepted++;
}

static void
server_down(struct server *s)
{
	for (int i = 0; i < CONNS_MAX; i++)
		if (s->peers[i].server != NULL)
			peer_close(&s->peers[i]);
	if (s->ev == NULL)
		return;
	event_free(s->ev);
	close(s->fd);
	unlink(s->path);
	s->ev = NULL;
}

static void
server_up(struct server *s)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};

	memcpy(un.sun_path, s->path, sizeof(s->path));
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	ck_assert_int_ge(s->fd, 0);
	ck_assert_int_eq(bind(s->fd, (struct sockaddr *)&un, sizeof(un)), 0);
	ck_assert_int_eq(listen(s->fd, 64), 0);
	s->ev = event_new(base, s->fd, EV_READ | EV_PERSIST, accept_cb, s);
	event_add(s->ev, NULL);
}

static void
setup(void)
{
	struct client_config config = {.endpoints = list, .stall_ms = 50};

	ck_assert_ptr_nonnull(mkdtemp(dir));
	base = event_base_new();
	list[0] = '\0';
	for (int i = 0; i < SERVERS; i++) {
		(void)snprintf(
		    servers[i].path, sizeof(servers[i].path), "%s/%d", dir, i);
		server_up(&servers[i]);
		strcat(list, i == 0 ? "unix:" : ",");
		strcat(list, servers[i].path);
	}
	ck_assert_int_eq(client_set_new(base, &config, &set, NULL), 0);
	client = client_new(set, 0);
	ck_assert_ptr_nonnull(client);
}

static void
teardown(void)
{
	client_free(client);
	client_set_free(set);
	for (int i = 0; i < SERVERS; i++)
		server_down(&servers[i]);
	event_base_free(base);
	rmdir(dir);
}

/* ---- calls ------------------------------------------------------------ */

struct outcome {
	unsigned done;
	unsigned by_status[WIRE_STATUS_COUNT];
	enum wire_status status;
	uint32_t attempts;
	uint64_t number; /* result of REVERSE */
	struct wire_error error;
	char endpoint[256];
};

static void
done_cb(const struct client_reply *r, void *ctx)
{
	struct outcome *o = ctx;
	struct mp_cur c = mp_cur_span(r->result);

	o->done++;
	o->by_status[r->status]++;
	o->status = r->status;
	o->attempts = r->attempts;
	(void)mp_read_u64(&c, &o->number);
	ck_assert((r->error == NULL) == (r->status == WIRE_OK));
	if (r->error != NULL)
		o->error = *r->error;
	if (r->endpoint != NULL)
		(void)snprintf(
		    o->endpoint, sizeof(o->endpoint), "%s", r->endpoint);
}

static void
begin(struct outcome *o, unsigned flags, uint32_t timeout_ms)
{
	ck_assert_int_eq(
	    client_call(client, "test", mp_span("\x93\x01\x02\x03", 4), flags,
		timeout_ms, done_cb, o),
	    0);
}

static void
finish(void)
{
	while (client_pending(client) > 0)
		ck_assert_int_eq(event_base_loop(base, EVLOOP_ONCE), 0);
}

static struct outcome
call(unsigned flags, uint32_t timeout_ms)
{
	struct outcome o = {0};

	begin(&o, flags, timeout_ms);
	finish();
	ck_assert_uint_eq(o.done, 1);
	return o;
}

static unsigned
calls_seen(void)
{
	return servers[0].calls + servers[1].calls + servers[2].calls;
}

START_TEST(test_call_is_answered_by_the_first_server)
{
	struct outcome o = call(0, 5000);

	ck_assert_int_eq(o.status, WIRE_OK);
	ck_assert_uint_eq(o.attempts, 1);
	ck_assert_str_eq(o.endpoint + strlen("unix:"), servers[0].path);
	ck_assert_uint_eq(servers[0].calls, 1);
	ck_assert_uint_eq(servers[1].accepted + servers[2].accepted, 0);
}
END_TEST

START_TEST(test_many_calls_share_one_connection)
{
	struct outcome o = {0};

	for (int i = 0; i < 5000; i++)
		begin(&o, 0, 20000);
	finish();
	ck_assert_uint_eq(o.by_status[WIRE_OK], 5000);
	ck_assert_uint_eq(servers[0].accepted, 1);
	ck_assert_uint_eq(servers[0].calls, 5000);
}
END_TEST

START_TEST(test_answers_come_in_any_order)
{
	static struct outcome o[100];

	servers[0].mode = REVERSE;
	for (int i = 0; i < 100; i++)
		begin(&o[i], 0, 20000);
	finish();
	/* msgid 1 was hello's */
	for (uint64_t i = 0; i < 100; i++)
		ck_assert_uint_eq(o[i].number, i + 2);
}
END_TEST

START_TEST(test_dead_servers_are_passed_over_at_once)
{
	struct outcome o;

	server_down(&servers[0]);
	server_down(&servers[1]);
	o = call(0, 5000);
	ck_assert_int_eq(o.status, WIRE_OK);
	ck_assert_uint_eq(o.attempts, 1);
	ck_assert_str_eq(o.endpoint, servers[2].path);
}
END_TEST

START_TEST(test_nobody_there_is_unreachable_with_the_real_cause)
{
	struct outcome o;

	for (int i = 0; i < SERVERS; i++)
		server_down(&servers[i]);
	o = call(0, 60);
	ck_assert_int_eq(o.status, WIRE_UNREACHABLE);
	ck_assert_uint_eq(o.attempts, 0);
	ck_assert_ptr_nonnull(strstr(o.error.cause, "connect "));
	ck_assert_ptr_nonnull(
	    strstr(o.error.cause, ": no such file or directory"));
	o = call(CLIENT_ONCE, 60000);
	ck_assert_int_eq(o.status, WIRE_UNREACHABLE);
}
END_TEST

START_TEST(test_server_that_comes_back_is_found)
{
	struct outcome o = {0};

	for (int i = 0; i < SERVERS; i++)
		server_down(&servers[i]);
	begin(&o, 0, 20000);
	for (int i = 0; i < 5; i++)
		event_base_loop(base, EVLOOP_ONCE);
	ck_assert_uint_eq(o.done, 0);
	server_up(&servers[1]);
	finish();
	ck_assert_int_eq(o.status, WIRE_OK);
}
END_TEST

START_TEST(test_not_applied_is_tried_again_elsewhere)
{
	struct outcome o;

	servers[0].mode = servers[1].mode = FAIL;
	servers[0].status = servers[1].status = WIRE_NO_LEADER;
	servers[0].times = servers[1].times = 1000;
	o = call(0, 20000);
	ck_assert_int_eq(o.status, WIRE_OK);
	ck_assert_uint_eq(o.attempts, 3);
	ck_assert_str_eq(o.endpoint, servers[2].path);
}
END_TEST

START_TEST(test_busy_server_is_asked_again)
{
	struct outcome o;

	servers[0].mode = FAIL;
	servers[0].status = WIRE_BUSY;
	servers[0].times = 2;
	o = call(0, 20000);
	ck_assert_int_eq(o.status, WIRE_OK);
	ck_assert_uint_eq(o.attempts, 3);
	ck_assert_uint_eq(servers[0].calls, 3);
}
END_TEST

START_TEST(test_last_answer_is_told_at_the_deadline)
{
	struct outcome o;

	for (int i = 0; i < SERVERS; i++) {
		servers[i].mode = FAIL;
		servers[i].status = WIRE_NO_LEADER;
		servers[i].times = UINT32_MAX;
	}
	o = call(0, 80);
	ck_assert_int_eq(o.status, WIRE_NO_LEADER);
	ck_assert_str_eq(o.error.message, "told to");
	ck_assert_uint_gt(o.attempts, 2);
}
END_TEST

/* A write in the client's session: params are [1, {"own": true}]. */
static struct outcome
session_call(uint32_t timeout_ms)
{
	static const uint8_t params[] = {
	    0x92, 0x01, 0x81, 0xa3, 'o', 'w', 'n', 0xc3};

	struct outcome o = {0};

	ck_assert_int_eq(
	    client_call(client, "put", mp_span(params, sizeof(params)),
		CLIENT_SESSION, timeout_ms, done_cb, &o),
	    0);
	finish();
	ck_assert_uint_eq(o.done, 1);
	return o;
}

START_TEST(test_writes_of_a_session_are_numbered)
{
	char id[64];

	has_sessions = true;
	ck_assert_int_eq(session_call(5000).status, WIRE_OK);
	ck_assert_uint_eq(seen.seq, 1);
	ck_assert_uint_eq(seen.since, 4711);
	ck_assert(seen.own);
	memcpy(id, seen.id, sizeof(id));
	ck_assert_int_eq(session_call(5000).status, WIRE_OK);
	ck_assert_uint_eq(seen.seq, 2);
	ck_assert_uint_eq(seen.ack, 2);
	ck_assert_str_eq(seen.id, id);
}
END_TEST

START_TEST(test_write_of_a_session_is_sent_again_when_the_server_is_lost)
{
	struct outcome o;

	has_sessions = true;
	servers[0].mode = HANG_UP;
	servers[0].times = 1;
	o = session_call(20000);
	ck_assert_int_eq(o.status, WIRE_OK);
	ck_assert_uint_eq(o.attempts, 2);
	ck_assert_uint_eq(seen.seq, 1);
}
END_TEST

START_TEST(test_unknown_outcome_in_a_session_is_asked_for_again)
{
	struct outcome o;

	has_sessions = true;
	servers[0].mode = FAIL;
	servers[0].status = WIRE_UNKNOWN;
	servers[0].times = 1;
	o = session_call(20000);
	ck_assert_int_eq(o.status, WIRE_OK);
	ck_assert_uint_eq(o.attempts, 2);
	ck_assert_uint_eq(seen.seq, 1);
}
END_TEST

START_TEST(test_doubt_that_nobody_ends_is_unknown)
{
	struct outcome o;

	has_sessions = true;
	servers[0].mode = HANG_UP;
	servers[0].times = 1;
	for (int i = 1; i < SERVERS; i++) {
		servers[i].mode = FAIL;
		servers[i].status = WIRE_NO_LEADER;
		servers[i].times = UINT32_MAX;
	}
	servers[0].times = UINT32_MAX;
	o = session_call(300);
	ck_assert_int_eq(o.status, WIRE_UNKNOWN);
}
END_TEST

START_TEST(test_forgotten_session_is_replaced)
{
	struct outcome o;
	char id[64];

	has_sessions = true;
	ck_assert_int_eq(session_call(5000).status, WIRE_OK);
	memcpy(id, seen.id, sizeof(id));
	servers[0].mode = FAIL;
	servers[0].status = WIRE_SESSION;
	servers[0].times = 1;
	o = session_call(20000);
	ck_assert_int_eq(o.status, WIRE_OK);
	ck_assert_uint_eq(seen.seq, 1);
	ck_assert_str_ne(seen.id, id);
}
END_TEST

START_TEST(test_forgotten_session_after_doubt_is_unknown)
{
	struct outcome o;

	has_sessions = true;
	servers[0].mode = HANG_UP;
	servers[0].times = 1;
	for (int i = 1; i < SERVERS; i++) {
		servers[i].mode = FAIL;
		servers[i].status = WIRE_SESSION;
		servers[i].times = UINT32_MAX;
	}
	o = session_call(20000);
	ck_assert_int_eq(o.status, WIRE_UNKNOWN);
}
END_TEST

START_TEST(test_server_without_sessions_gets_plain_writes)
{
	struct outcome o;

	servers[0].mode = HANG_UP;
	servers[0].times = 1;
	o = session_call(20000);
	ck_assert_int_eq(o.status, WIRE_UNKNOWN);
	ck_assert_uint_eq(seen.seq, 0);
	ck_assert_uint_eq(o.attempts, 1);
}
END_TEST

START_TEST(test_final_errors_are_not_tried_again)
{
	static const enum wire_status final[] = {WIRE_USAGE, WIRE_UNKNOWN,
	    WIRE_TOO_LARGE, WIRE_COMPACTED, WIRE_NOSPACE, WIRE_METHOD};
	struct outcome o;

	servers[0].mode = FAIL;
	servers[0].times = UINT32_MAX;
	for (size_t i = 0; i < sizeof(final) / sizeof(final[0]); i++) {
		servers[0].status = final[i];
		o = call(0, 20000);
		ck_assert_int_eq(o.status, final[i]);
		ck_assert_uint_eq(o.attempts, 1);
	}
}
END_TEST

START_TEST(test_once_takes_the_first_failure)
{
	struct outcome o;

	servers[0].mode = FAIL;
	servers[0].status = WIRE_NO_LEADER;
	servers[0].times = 1;
	o = call(CLIENT_ONCE, 20000);
	ck_assert_int_eq(o.status, WIRE_NO_LEADER);
	ck_assert_uint_eq(calls_seen(), 1);
}
END_TEST

START_TEST(test_sent_write_is_unknown_when_the_connection_breaks)
{
	struct outcome o;

	servers[0].mode = HANG_UP;
	servers[0].times = 1;
	o = call(0, 20000);
	ck_assert_int_eq(o.status, WIRE_UNKNOWN);
	ck_assert_uint_eq(calls_seen(), 1);
	ck_assert_ptr_nonnull(strstr(o.error.cause, servers[0].path));
	/* and the next one goes elsewhere */
	o = call(0, 20000);
	ck_assert_int_eq(o.status, WIRE_OK);
}
END_TEST

START_TEST(test_sent_read_is_tried_again_when_the_connection_breaks)
{
	struct outcome o;

	for (int i = 0; i < SERVERS; i++) {
		servers[i].mode = HANG_UP;
		servers[i].times = 2;
	}
	o = call(CLIENT_READ, 20000);
	ck_assert_int_eq(o.status, WIRE_OK);
	ck_assert_uint_eq(o.attempts, 7);
}
END_TEST

START_TEST(test_write_is_unknown_at_its_deadline)
{
	struct outcome o;

	servers[0].mode = SILENT;
	o = call(0, 120);
	ck_assert_int_eq(o.status, WIRE_UNKNOWN);
	ck_assert_uint_eq(calls_seen(), 1);
	ck_assert_ptr_nonnull(strstr(o.error.cause, servers[0].path));
}
END_TEST

START_TEST(test_silent_server_is_left_by_reads_and_later_writes)
{
	struct outcome read = {0}, write = {0}, later;

	servers[0].mode = SILENT;
	begin(&write, 0, 400);
	begin(&read, CLIENT_READ, 20000);
	while (read.done == 0)
		event_base_loop(base, EVLOOP_ONCE);
	ck_assert_int_eq(read.status, WIRE_OK);
	ck_assert_uint_eq(write.done, 0);
	later.done = 0;
	memset(&later, 0, sizeof(later));
	begin(&later, 0, 20000);
	while (later.done == 0)
		event_base_loop(base, EVLOOP_ONCE);
	ck_assert_int_eq(later.status, WIRE_OK);
	ck_assert_str_eq(later.endpoint, servers[1].path);
	finish();
	ck_assert_int_eq(write.status, WIRE_UNKNOWN);
}
END_TEST

START_TEST(test_read_at_its_deadline_is_unreachable)
{
	struct outcome o;

	for (int i = 0; i < SERVERS; i++)
		servers[i].mode = SILENT;
	o = call(CLIENT_READ, 30);
	ck_assert_int_eq(o.status, WIRE_UNREACHABLE);
	ck_assert_ptr_nonnull(strstr(o.error.cause, "no answer"));
}
END_TEST

START_TEST(test_stray_answers_do_not_harm)
{
	struct outcome o = {0};

	/* answers of nine come after their deadline, with the tenth's */
	servers[0].mode = REVERSE;
	for (int i = 0; i < 9; i++)
		begin(&o, 0, 20);
	finish();
	ck_assert_uint_eq(o.by_status[WIRE_UNKNOWN], 9);
	o = call(0, 20000);
	ck_assert_int_eq(o.status, WIRE_OK);
	ck_assert_uint_eq(o.number, 11);
}
END_TEST

START_TEST(test_what_is_no_server_is_left)
{
	struct outcome o;

	servers[0].mode = GARBAGE;
	o = call(CLIENT_READ, 20000);
	ck_assert_int_eq(o.status, WIRE_OK);
	ck_assert_str_eq(o.endpoint, servers[1].path);
	servers[1].mode = servers[2].mode = GARBAGE;
	o = call(0, 20000);
	ck_assert_int_eq(o.status, WIRE_UNKNOWN);
	ck_assert_ptr_nonnull(strstr(o.error.cause, "not raftd"));
}
END_TEST

START_TEST(test_refused_hello_does_not_stop_calls)
{
	struct outcome o;

	servers[0].mode = DENY_HELLO;
	o = call(0, 20000);
	ck_assert_int_eq(o.status, WIRE_OK);
}
END_TEST

START_TEST(test_calls_of_a_freed_client_are_forgotten)
{
	struct outcome o = {0};

	servers[0].mode = SILENT;
	begin(&o, 0, 20000);
	while (servers[0].calls == 0)
		event_base_loop(base, EVLOOP_ONCE);
	begin(&o, 0, 20000);
	client_free(client);
	event_base_loop(base, EVLOOP_NONBLOCK);
	ck_assert_uint_eq(o.done, 0);
	client = client_new(set, 1);
	o = call(0, 20000);
	ck_assert_str_eq(o.endpoint, servers[1].path);
}
END_TEST

/* Each answer begins the next call, as a load generator does. */
static unsigned chain_left;

static void
chain_cb(const struct client_reply *r, void *ctx)
{
	ck_assert_int_eq(r->status, WIRE_OK);
	if (chain_left == 0)
		return;
	chain_left--;
	ck_assert_int_eq(
	    client_call(ctx, "test", mp_span(NULL, 0), 0, 20000, chain_cb, ctx),
	    0);
}

START_TEST(test_many_clients_call_from_their_callbacks)
{
	struct client_config config = {.endpoints = list, .stall_ms = 60000};
	struct client *many[60];

	/* A busy machine is silent for longer than the others' 50 ms, and
	 * servers that are left would be connected to again. */
	client_free(client);
	client_set_free(set);
	ck_assert_int_eq(client_set_new(base, &config, &set, NULL), 0);
	client = client_new(set, 0);
	ck_assert_ptr_nonnull(client);
	chain_left = 20000;
	for (unsigned i = 0; i < 60; i++) {
		many[i] = client_new(set, i);
		for (int j = 0; j < 4; j++)
			ck_assert_int_eq(
			    client_call(many[i], "test", mp_span(NULL, 0), 0,
				20000, chain_cb, many[i]),
			    0);
	}
	for (unsigned i = 0; i < 60; i++)
		while (client_pending(many[i]) > 0)
			event_base_loop(base, EVLOOP_ONCE);
	ck_assert_uint_eq(chain_left, 0);
	ck_assert_uint_eq(calls_seen(), 20240);
	for (int i = 0; i < SERVERS; i++)
		ck_assert_uint_eq(servers[i].accepted, 20);
	for (unsigned i = 0; i < 60; i++)
		client_free(many[i]);
}
END_TEST

START_TEST(test_writes_that_were_never_sent_survive_a_broken_connection)
{
	static uint8_t big[256 * 1024];
	struct outcome o = {0};
	struct mp_buf b;

	/* more than the socket takes at once: what the server never saw
	 * whole goes to the next one, the rest is unknown */
	mp_buf_init(&b);
	mp_put_array(&b, 1);
	mp_put_bin(&b, big, sizeof(big));
	servers[0].mode = HANG_UP;
	servers[0].times = 1000;
	for (int i = 0; i < 40; i++)
		ck_assert_int_eq(
		    client_call(client, "test", mp_span(b.data, b.len), 0,
			20000, done_cb, &o),
		    0);
	finish();
	ck_assert_uint_eq(o.done, 40);
	ck_assert_uint_ge(o.by_status[WIRE_UNKNOWN], 1);
	ck_assert_uint_ge(o.by_status[WIRE_OK], 30);
	ck_assert_uint_eq(o.by_status[WIRE_UNKNOWN] + o.by_status[WIRE_OK], 40);
	ck_assert_uint_eq(
	    servers[1].calls + servers[2].calls, o.by_status[WIRE_OK]);
	mp_buf_release(&b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("client");
	TCase *t = tcase_create("client");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_call_is_answered_by_the_first_server);
	tcase_add_test(t, test_many_calls_share_one_connection);
	tcase_add_test(t, test_answers_come_in_any_order);
	tcase_add_test(t, test_dead_servers_are_passed_over_at_once);
	tcase_add_test(t, test_nobody_there_is_unreachable_with_the_real_cause);
	tcase_add_test(t, test_server_that_comes_back_is_found);
	tcase_add_test(t, test_not_applied_is_tried_again_elsewhere);
	tcase_add_test(t, test_busy_server_is_asked_again);
	tcase_add_test(t, test_last_answer_is_told_at_the_deadline);
	tcase_add_test(t, test_writes_of_a_session_are_numbered);
	tcase_add_test(
	    t, test_write_of_a_session_is_sent_again_when_the_server_is_lost);
	tcase_add_test(t, test_unknown_outcome_in_a_session_is_asked_for_again);
	tcase_add_test(t, test_doubt_that_nobody_ends_is_unknown);
	tcase_add_test(t, test_forgotten_session_is_replaced);
	tcase_add_test(t, test_forgotten_session_after_doubt_is_unknown);
	tcase_add_test(t, test_server_without_sessions_gets_plain_writes);
	tcase_add_test(t, test_final_errors_are_not_tried_again);
	tcase_add_test(t, test_once_takes_the_first_failure);
	tcase_add_test(
	    t, test_sent_write_is_unknown_when_the_connection_breaks);
	tcase_add_test(
	    t, test_sent_read_is_tried_again_when_the_connection_breaks);
	tcase_add_test(t, test_write_is_unknown_at_its_deadline);
	tcase_add_test(t, test_silent_server_is_left_by_reads_and_later_writes);
	tcase_add_test(t, test_read_at_its_deadline_is_unreachable);
	tcase_add_test(t, test_stray_answers_do_not_harm);
	tcase_add_test(t, test_what_is_no_server_is_left);
	tcase_add_test(t, test_refused_hello_does_not_stop_calls);
	tcase_add_test(t, test_calls_of_a_freed_client_are_forgotten);
	tcase_add_test(t, test_many_clients_call_from_their_callbacks);
	tcase_add_test(
	    t, test_writes_that_were_never_sent_survive_a_broken_connection);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
