/*
 * kvserver.c - a server of one for tests of clients.
 */
#include "tests/unit/kvserver.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raftctl/frame.h"
#include "raftd/fsm/kv.h"

#define CONNS_MAX 256

struct conn {
	struct frame_reader in;
	struct mp_buf out;
};

static struct conn conns[CONNS_MAX];
static struct pollfd polled[CONNS_MAX + 1]; /* the listener comes last */
static struct fsm *f;
static uint64_t entry, requests;
static struct kvserver_faults faults;
static struct mp_buf before; /* a record as it was some writes ago */

static void
fail(const char *what)
{
	perror(what);
	_exit(71);
}

static bool
is_nth(uint32_t n)
{
	return n > 0 && requests % n == n - 1;
}

static void
put_status(struct mp_buf *b)
{
	mp_put_map(b, 2);
	mp_put_kv_str(b, "role", faults.follower ? "follower" : "leader");
	mp_put_kv_bool(b, "ok", true);
}

/* For a stale read: remember a record as it was, for long enough that the
 * writes since then are no longer under way. */
static void
remember(struct mp_span params)
{
	struct mp_cur c = mp_cur_span(params);
	struct mp_buf ask;
	struct mp_span key;
	uint32_t n;

	if (faults.stale_every == 0 || entry % 64 != 0 ||
	    mp_read_array(&c, &n) < 0 || mp_read_bytes(&c, &key) < 0)
		return;
	mp_buf_init(&ask);
	mp_put_array(&ask, 1);
	mp_put_bin(&ask, key.p, key.len);
	mp_buf_reset(&before);
	(void)kv_ops.query(
	    f, mp_span("get", 3), mp_span(ask.data, ask.len), &before, NULL);
	mp_buf_release(&ask);
}

static enum wire_status
execute(const struct frame *q, struct mp_buf *reply, struct wire_error *err)
{
	struct fsm_command c = {.method = q->method, .params = q->params};

	if (mp_span_eq(q->method, "status")) {
		put_status(reply);
		return WIRE_OK;
	}
	if (mp_span_eq(q->method, "get") && is_nth(faults.stale_every) &&
	    before.len > 0) {
		mp_put_raw(reply, before.data, before.len);
		return WIRE_OK;
	}
	if (mp_span_eq(q->method, "get") || mp_span_eq(q->method, "list"))
		return kv_ops.query(f, q->method, q->params, reply, err);
	remember(q->params);
	c.index = ++entry;
	return kv_ops.apply(f, &c, reply, err);
}

/* false: the connection is to be closed. */
static bool
answer(struct conn *c, const struct frame *q)
{
	struct wire_error err = {.status = WIRE_BUSY};
	enum wire_status st = WIRE_BUSY;
	struct mp_buf reply;

	mp_buf_init(&reply);
	requests++;
	if (!is_nth(faults.refuse_every))
		st = execute(q, &reply, &err);
	if (is_nth(faults.drop_every)) {
		mp_buf_release(&reply);
		return false;
	}
	if (!is_nth(faults.mute_every)) {
		if (st == WIRE_OK) {
			frame_put_ok(&c->out, q->msgid);
			mp_put_raw(&c->out, reply.data, reply.len);
		} else {
			frame_put_error(&c->out, q->msgid);
			wire_put_error(&c->out, &err, false);
			mp_put_nil(&c->out);
		}
	}
	mp_buf_release(&reply);
	return true;
}

static bool
send_all(int fd, struct mp_buf *b)
{
	size_t done = 0;
	ssize_t n;

	while (done < b->len) {
		n = send(fd, b->data + done, b->len - done, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	mp_buf_reset(b);
	return true;
}

static bool
serve(struct conn *c, int fd)
{
	struct frame q;
	uint8_t *p;
	size_t room;
	ssize_t n;
	int r;

	p = frame_room(&c->in, &room);
	n = p == NULL ? -1 : recv(fd, p, room, 0);
	if (n <= 0)
		return false;
	frame_filled(&c->in, (size_t)n);
	while ((r = frame_next(&c->in, &q)) == 1)
		if (q.type == FRAME_REQUEST && !answer(c, &q))
			return false;
	return r == 0 && send_all(fd, &c->out);
}

static void
welcome(int listener)
{
	int fd = accept(listener, NULL, NULL), i;

	for (i = 0; fd >= 0 && i < CONNS_MAX; i++) {
		if (polled[i].fd >= 0)
			continue;
		polled[i].fd = fd;
		frame_reader_init(&conns[i].in, 1 << 26);
		mp_buf_init(&conns[i].out);
		return;
	}
	if (fd >= 0)
		close(fd);
}

static void
run(int listener)
{
	int i;

	f = kv_ops.new(1);
	mp_buf_init(&before);
	for (i = 0; i < CONNS_MAX; i++)
		polled[i] = (struct pollfd){.fd = -1, .events = POLLIN};
	polled[CONNS_MAX] = (struct pollfd){.fd = listener, .events = POLLIN};
	for (;;) {
		if (poll(polled, CONNS_MAX + 1, -1) < 0)
			fail("poll");
		for (i = 0; i < CONNS_MAX; i++) {
			if (polled[i].fd < 0 || polled[i].revents == 0 ||
			    serve(&conns[i], polled[i].fd))
				continue;
			close(polled[i].fd);
			polled[i].fd = -1;
			frame_reader_release(&conns[i].in);
			mp_buf_release(&conns[i].out);
		}
		if (polled[CONNS_MAX].revents != 0)
			welcome(listener);
	}
}

void
kvserver_start(struct kvserver *s, const struct kvserver_faults *wanted)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd;

	(void)snprintf(s->dir, sizeof(s->dir), "/tmp/kvserver.XXXXXX");
	if (mkdtemp(s->dir) == NULL)
		fail("mkdtemp");
	(void)snprintf(s->path, sizeof(s->path), "%s/sock", s->dir);
	(void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", s->path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    listen(fd, CONNS_MAX) < 0)
		fail("listen");
	s->pid = fork();
	if (s->pid < 0)
		fail("fork");
	if (s->pid == 0) {
		/* whoever forgets it does not leave it behind */
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (wanted != NULL)
			faults = *wanted;
		run(fd);
	}
	close(fd);
}

void
kvserver_stop(struct kvserver *s)
{
	if (s->pid > 0) {
		(void)kill(s->pid, SIGKILL);
		(void)waitpid(s->pid, NULL, 0);
	}
	s->pid = 0;
	(void)unlink(s->path);
	(void)rmdir(s->dir);
}
