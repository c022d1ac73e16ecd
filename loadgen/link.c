/*
 * link.c - one connection that many clients of a load share.
 */
#include "loadgen/link.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "raftctl/wire.h"

void
link_init(struct link *l, struct link_set *set, unsigned index)
{
	memset(l, 0, sizeof(*l));
	l->set = set;
	l->index = index;
	l->fd = -1;
	l->endpoint = index % set->count;
	frame_reader_init(&l->in, WIRE_VALUE_LEN_MAX + WIRE_OVERHEAD_MAX);
	mp_buf_init(&l->out);
}

static void
disconnect(struct link *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	l->wants_write = false;
	frame_reader_release(&l->in);
	frame_reader_init(&l->in, WIRE_VALUE_LEN_MAX + WIRE_OVERHEAD_MAX);
	mp_buf_reset(&l->out);
	l->out_sent = 0;
}

void
link_release(struct link *l)
{
	disconnect(l);
	frame_reader_release(&l->in);
	mp_buf_release(&l->out);
}

/* On to the next address: at once, but for a pause after each round. */
static void
go_on(struct link *l, const char *why)
{
	struct link_set *set = l->set;
	bool was_up = l->state == LINK_UP;

	(void)snprintf(l->why, sizeof(l->why), "%.64s: %.60s",
	    set->endpoints[l->endpoint].text, why);
	disconnect(l);
	l->state = LINK_CLOSED;
	l->endpoint = (l->endpoint + 1) % set->count;
	l->failures++;
	l->retry_ns =
	    set->now_cb() + (l->failures % set->count == 0 ? LINK_RETRY_NS : 0);
	if (was_up)
		set->down_cb(l, l->why);
}

void
link_fail(struct link *l, const char *why)
{
	if (l->state != LINK_CLOSED)
		go_on(l, why);
}

static int
watch(struct link *l, int op, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = l};

	return epoll_ctl(l->set->epoll, op, l->fd, &ev) < 0 ? -errno : 0;
}

static int
start_connect(struct link *l, struct endpoint *e)
{
	const struct endpoint_addr *a = &e->addr[l->failures % e->count];
	int one = 1;

	l->fd = socket(
	    a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return -errno;
	if (a->sa.ss_family != AF_UNIX)
		(void)setsockopt(
		    l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(l->fd, (const struct sockaddr *)&a->sa, a->len) < 0 &&
	    errno != EINPROGRESS)
		return -errno;
	return watch(l, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

static void
connect_next(struct link *l)
{
	struct endpoint *e = &l->set->endpoints[l->endpoint];
	struct errtext et;
	int r;

	if (endpoint_resolve(e, &et) < 0) {
		go_on(l, et.text);
		return;
	}
	l->state = LINK_CONNECTING;
	l->retry_ns = l->set->now_cb() + LINK_CONNECT_NS;
	r = start_connect(l, e);
	if (r < 0)
		go_on(l, strerror(-r));
}

void
link_tick(struct link *l, uint64_t now_ns)
{
	if (l->state == LINK_UP || now_ns < l->retry_ns)
		return;
	if (l->state == LINK_CLOSED)
		connect_next(l);
	else
		go_on(l, "no answer");
}

static void
set_up(struct link *l)
{
	l->state = LINK_UP;
	l->failures = 0;
	l->set->up_cb(l);
}

static void
connected(struct link *l)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (err == 0 && watch(l, EPOLL_CTL_MOD, EPOLLIN) < 0)
		err = errno;
	if (err != 0) {
		go_on(l, strerror(err));
		return;
	}
	if (!l->set->leader_only) {
		set_up(l);
		return;
	}
	l->state = LINK_ASKING;
	frame_put_request(&l->out, LINK_MSGID_OWN, "status");
	mp_put_array(&l->out, 0);
	link_flush(l);
}

/* The answer to status. */
static void
judge_role(struct link *l, const struct frame *f)
{
	struct mp_cur c = mp_cur_span(f->result);
	struct mp_span role;
	struct mp_map m;

	if (mp_read_mapping(&c, &m) == 0 &&
	    mp_get_bytes(&m, "role", &role, 64) == 0 &&
	    mp_span_eq(role, "leader"))
		set_up(l);
	else
		go_on(l, "not the leader");
}

static void
answers(struct link *l, uint64_t now_ns)
{
	struct frame f;
	int r;

	while ((r = frame_next(&l->in, &f)) == 1) {
		if (f.type != FRAME_RESPONSE)
			continue; /* a notification is none of ours */
		if (l->state == LINK_ASKING) {
			if (f.msgid == LINK_MSGID_OWN)
				judge_role(l, &f);
		} else {
			l->set->answer_cb(l, &f, now_ns);
		}
		if (l->fd < 0)
			return;
	}
	if (r < 0)
		go_on(l, "not our protocol");
}

static void
readable(struct link *l)
{
	size_t room;
	uint8_t *p;
	ssize_t n;
	unsigned i;

	for (i = 0; i < LINK_READS_MAX && l->fd >= 0; i++) {
		p = frame_room(&l->in, &room);
		if (p == NULL) {
			go_on(l, "an answer is too long");
			return;
		}
		n = recv(l->fd, p, room, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			go_on(l, n == 0 ? "closed" : strerror(errno));
			return;
		}
		frame_filled(&l->in, (size_t)n);
		answers(l, l->set->now_cb());
		if ((size_t)n < room)
			return;
	}
}

void
link_event(struct link *l, uint32_t events)
{
	if (l->state == LINK_CONNECTING &&
	    (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
		connected(l);
		return;
	}
	if (l->fd >= 0 && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
		readable(l);
	if (l->fd >= 0 && (events & EPOLLOUT) != 0) {
		if (watch(l, EPOLL_CTL_MOD, EPOLLIN) < 0) {
			go_on(l, strerror(errno));
			return;
		}
		l->wants_write = false;
		link_flush(l);
	}
}

void
link_flush(struct link *l)
{
	ssize_t n;

	if (l->out.failed) {
		go_on(l, "out of memory");
		return;
	}
	if (l->fd < 0 || l->wants_write)
		return;
	while (l->out_sent < l->out.len) {
		n = send(l->fd, l->out.data + l->out_sent,
		    l->out.len - l->out_sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			l->wants_write = true;
			if (watch(l, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT) < 0)
				go_on(l, strerror(errno));
			return;
		}
		if (n < 0) {
			go_on(l, strerror(errno));
			return;
		}
		l->out_sent += (size_t)n;
	}
	mp_buf_reset(&l->out);
	l->out_sent = 0;
}
