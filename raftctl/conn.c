/*
 * conn.c - one connection of a client: connecting, bytes in, bytes out.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "raftctl/client_impl.h"

#define SLOTS_MIN 16

static_assert(sizeof(struct wire_error) <= 1024, "kept in each client");

static void connect_expired_cb(struct deadline *);
static void read_cb(evutil_socket_t, short, void *);
static void write_cb(evutil_socket_t, short, void *);

void
conn_init(struct conn *c, struct client *client, struct endpoint *endpoint)
{
	memset(c, 0, sizeof(*c));
	c->client = client;
	c->endpoint = endpoint;
	c->fd = -1;
	c->connect_limit.expired_cb = connect_expired_cb;
	frame_reader_init(&c->reader, client->set->frame_len_max);
	mp_buf_init(&c->out);
	TAILQ_INIT(&c->calls);
}

void
conn_close(struct conn *c)
{
	assert(TAILQ_EMPTY(&c->calls));
	if (c->state == CONN_CLOSED)
		return;
	if (c->state == CONN_OPEN && c->client->notify != NULL)
		c->client->notify(NULL, c->client->notify_ctx);
	deadline_cancel(&c->client->set->deadlines, &c->connect_limit);
	event_del(&c->on_read);
	event_del(&c->on_write);
	close(c->fd);
	c->fd = -1;
	c->state = CONN_CLOSED;
	c->write_armed = false;
	c->answered = c->complained = false;
	c->out_sent = 0;
	c->out_total = c->written_total = 0;
	frame_reader_release(&c->reader);
	mp_buf_release(&c->out);
}

void
conn_release(struct conn *c)
{
	conn_close(c);
	free(c->slots);
	c->slots = NULL;
}

/* What the errno of a socket says, in the words of a message. */
static const char *
reason(int err, char *buf, size_t len)
{
	switch (err) {
	case ECONNREFUSED:
		return "refused";
	case ECONNRESET:
	case EPIPE:
		return "connection reset";
	case ETIMEDOUT:
		return "timed out";
	case 0:
		return "closed by the server";
	default:
		(void)snprintf(buf, len, "%s", strerror(err));
		buf[0] = (char)tolower((unsigned char)buf[0]);
		return buf;
	}
}

/* ---- slots: msgid to call --------------------------------------------- */

static int
slots_grow(struct conn *c)
{
	uint32_t count = c->slot_count == 0 ? SLOTS_MIN : c->slot_count * 2;
	struct call **slots, *call;

	slots = calloc(count, sizeof(struct call *));
	if (slots == NULL)
		return -ENOMEM;
	/* distinct modulo the old count, so modulo twice that as well */
	TAILQ_FOREACH (call, &c->calls, link)
		slots[call->msgid & (count - 1)] = call;
	free(c->slots);
	c->slots = slots;
	c->slot_count = count;
	return 0;
}

/* Half of the slots stay free, so a free msgid is near. */
static int
slot_take(struct conn *c, struct call *call)
{
	if (c->slots_used >= c->slot_count / 2 && slots_grow(c) < 0)
		return -ENOMEM;
	while (c->slots[c->next_msgid & (c->slot_count - 1)] != NULL ||
	       c->next_msgid == 0) /* 0 is what a malformed request gets */
		c->next_msgid++;
	call->msgid = c->next_msgid++;
	c->slots[call->msgid & (c->slot_count - 1)] = call;
	c->slots_used++;
	return 0;
}

static struct call *
slot_find(const struct conn *c, uint64_t msgid)
{
	struct call *call;

	if (c->slot_count == 0)
		return NULL;
	call = c->slots[msgid & (c->slot_count - 1)];
	return call != NULL && call->msgid == msgid ? call : NULL;
}

void
conn_forget(struct conn *c, struct call *call)
{
	c->slots[call->msgid & (c->slot_count - 1)] = NULL;
	c->slots_used--;
	TAILQ_REMOVE(&c->calls, call, link);
	call->conn = NULL;
}

/* ---- the end of a connection ------------------------------------------ */

static void
conn_broke(struct conn *c, enum wire_status status, const char *why)
{
	bool answered = c->answered;

	if (!c->complained) /* its own words say more */
		client_blame(
		    c->client, status, "%s: %s", c->endpoint->text, why);
	client_connection_lost(c->client, c);
	conn_close(c);
	if (!answered)
		client_endpoint_failed(c->client, c);
	client_kick(c->client);
}

/* ---- connecting ------------------------------------------------------- */

static void conn_try(struct conn *);

/* This address did not answer: the endpoint's next one, or the next
 * endpoint. */
static void
connect_failed(struct conn *c, int err)
{
	char buf[64];

	client_blame(c->client, WIRE_UNREACHABLE, "connect %s: %s",
	    c->endpoint->text, reason(err, buf, sizeof(buf)));
	conn_close(c);
	c->addr++;
	if (c->addr < c->endpoint->count)
		conn_try(c);
	else
		client_endpoint_failed(c->client, c);
}

static void
connect_expired_cb(struct deadline *d)
{
	struct conn *c =
	    (struct conn *)((char *)d - offsetof(struct conn, connect_limit));

	connect_failed(c, ETIMEDOUT);
}

static void
put_hello(struct conn *c)
{
	c->hello_msgid = c->next_msgid++;
	frame_put_request(&c->out, c->hello_msgid, "hello");
	mp_put_array(&c->out, 1);
	mp_put_map(&c->out, 3);
	mp_put_kv_str(&c->out, "errors", "map");
	mp_put_kv_u64(&c->out, "protocol", WIRE_PROTOCOL);
	mp_put_kv_str(&c->out, "client", "raftctl/" RAFTKIT_VERSION);
}

static void
say_hello(struct conn *c)
{
	c->next_msgid = 1;
	put_hello(c);
	c->out_total = c->out.len;
}

void
conn_hello(struct conn *c)
{
	size_t len = c->out.len;

	put_hello(c);
	c->out_total += c->out.len - len;
	client_kick(c->client);
}

static void
connected(struct conn *c)
{
	deadline_cancel(&c->client->set->deadlines, &c->connect_limit);
	c->state = CONN_OPEN;
	c->heard_ns = client_now();
	event_add(&c->on_read, NULL);
	say_hello(c);
	client_kick(c->client);
}

static void
conn_try(struct conn *c)
{
	const struct endpoint_addr *a = &c->endpoint->addr[c->addr];
	struct client_set *set = c->client->set;
	int on = 1;

	c->fd = socket(
	    a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0) {
		connect_failed(c, errno);
		return;
	}
	if (a->sa.ss_family != AF_UNIX)
		(void)setsockopt(
		    c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	event_assign(
	    &c->on_read, set->base, c->fd, EV_READ | EV_PERSIST, read_cb, c);
	event_assign(&c->on_write, set->base, c->fd, EV_WRITE, write_cb, c);
	c->state = CONN_CONNECTING;
	if (connect(c->fd, (const struct sockaddr *)&a->sa, a->len) == 0) {
		connected(c);
		return;
	}
	if (errno != EINPROGRESS) {
		connect_failed(c, errno);
		return;
	}
	client_wake_at(set, &c->connect_limit, client_now() + set->connect_ns);
	event_add(&c->on_write, NULL);
}

void
conn_open(struct conn *c)
{
	struct errtext et;

	assert(c->state == CONN_CLOSED);
	c->addr = 0;
	if (endpoint_resolve(c->endpoint, &et) < 0) {
		client_blame(c->client, WIRE_UNREACHABLE, "%s", et.text);
		client_endpoint_failed(c->client, c);
		return;
	}
	conn_try(c);
}

/* ---- out -------------------------------------------------------------- */

bool
conn_send(struct conn *c, struct call *call)
{
	size_t len = c->out.len;

	if (len - c->out_sent > CLIENT_OUT_MAX || slot_take(c, call) < 0)
		return false;
	/* the envelope here, method and params as they were packed once */
	mp_put_array(&c->out, 4);
	mp_put_u64(&c->out, FRAME_REQUEST);
	mp_put_u64(&c->out, call->msgid);
	if (call->seq != 0)
		session_put_call(&c->out, call);
	else
		mp_put_raw(&c->out, call->data, call->len);
	call->conn = c;
	TAILQ_INSERT_TAIL(&c->calls, call, link);
	if (c->out.failed) {
		c->out.failed = false;
		c->out.len = len;
		conn_forget(c, call);
		return false;
	}
	c->out_total += c->out.len - len;
	call->out_end = c->out_total;
	return true;
}

void
conn_flush(struct conn *c)
{
	char buf[64];
	ssize_t n;

	if (c->state != CONN_OPEN || c->write_armed)
		return;
	while (c->out_sent < c->out.len) {
		n = send(c->fd, c->out.data + c->out_sent,
		    c->out.len - c->out_sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			c->write_armed = true;
			event_add(&c->on_write, NULL);
			break;
		}
		if (n < 0) {
			conn_broke(c, WIRE_UNREACHABLE,
			    reason(errno, buf, sizeof(buf)));
			return;
		}
		c->out_sent += (size_t)n;
		c->written_total += (uint64_t)n;
	}
	if (c->out_sent == c->out.len) {
		if (c->out.cap > CLIENT_OUT_MAX)
			mp_buf_release(&c->out);
		mp_buf_reset(&c->out);
		c->out_sent = 0;
	} else if (c->out_sent > c->out.len / 2) {
		memmove(c->out.data, c->out.data + c->out_sent,
		    c->out.len - c->out_sent);
		c->out.len -= c->out_sent;
		c->out_sent = 0;
	}
}

static void
write_cb(evutil_socket_t fd, short what, void *ctx)
{
	struct conn *c = ctx;
	socklen_t len = sizeof(int);
	int err = 0;

	(void)what;
	if (c->state == CONN_CONNECTING) {
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
			err = errno;
		if (err != 0)
			connect_failed(c, err);
		else
			connected(c);
		return;
	}
	c->write_armed = false;
	client_kick(c->client); /* more may be queued for the room */
	conn_flush(c);
}

/* ---- in --------------------------------------------------------------- */

static void
take_response(struct conn *c, const struct frame *f)
{
	struct wire_error e;
	struct call *call;

	call = slot_find(c, f->msgid);
	if (call != NULL) {
		c->answered = true;
		c->client->failed = 0;
		c->client->rounds = 0;
		call_answered(call, f);
		return;
	}
	if (f->msgid != c->hello_msgid && f->msgid != 0)
		return; /* stray */
	if (f->msgid == c->hello_msgid)
		session_hello(c->client, f->result);
	if (f->error.len == 1 && f->error.p[0] == 0xc0)
		return;
	/* A server that refuses hello has its say on each call as well; one
	 * that complains about a malformed request hangs up. */
	wire_read_error(f->error, &e);
	c->complained = f->msgid == 0;
	client_blame(c->client, e.status, "%s: %s: %s", c->endpoint->text,
	    wire_status_info(e.status)->name, e.message);
}

/* 0, or <0 when the connection is of no further use. */
static int
take_frames(struct conn *c)
{
	struct frame f;
	int r;

	while ((r = frame_next(&c->reader, &f)) == 1)
		if (f.type == FRAME_RESPONSE)
			take_response(c, &f);
		else if (f.type == FRAME_NOTIFY && c->client->notify != NULL)
			c->client->notify(&f, c->client->notify_ctx);
	return r;
}

static void
read_cb(evutil_socket_t fd, short what, void *ctx)
{
	struct conn *c = ctx;
	char buf[64];
	uint8_t *p;
	size_t room;
	ssize_t n;
	int r;

	(void)what;
	for (int i = 0; i < CLIENT_READS_MAX; i++) {
		p = frame_room(&c->reader, &room);
		if (p == NULL) {
			conn_broke(c, WIRE_UNREACHABLE, "out of memory");
			return;
		}
		n = read(fd, p, room);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			conn_broke(c, WIRE_UNREACHABLE,
			    reason(n < 0 ? errno : 0, buf, sizeof(buf)));
			return;
		}
		c->heard_ns = client_now();
		frame_filled(&c->reader, (size_t)n);
		r = take_frames(c);
		if (r < 0) {
			conn_broke(c, WIRE_PROTOCOL_ERROR,
			    r == -E2BIG ? "an answer beyond all limits"
					: "what answers is not raftd");
			return;
		}
		if ((size_t)n < room)
			return;
	}
}
