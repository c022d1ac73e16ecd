/*
 * peer.c - the links between servers.
 */
#include "raftd/peer.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "raftctl/frame.h"
#include "raftctl/wire.h"
#include "raftd/log.h"
#include "raftd/now.h"
#include "raftd/outq.h"

#define LOG_REFUSALS_MAX 10 /* lines a second about strangers */
/* Without descriptors, how long until accepting is tried again. */
#define PEER_ACCEPT_RETRY_NS 100000000ull

/* One socket, whichever side made it. */
struct chan {
	int fd; /* -1: none */
	struct frame_reader reader;
	struct outq out;
	struct event read_ev, write_ev;
	bool is_writing;
};

enum link_state {
	LINK_DOWN,	/* until redial_ns */
	LINK_RESOLVING, /* until deadline_ns, as the next two */
	LINK_DIALLING,
	LINK_HELLO,
	LINK_UP,
};

/* A member: our connection to it. */
struct peer {
	struct peers *peers;
	uint64_t id;
	struct net_addr addr;
	enum link_state state;
	struct chan chan;
	uint64_t redial_ns, deadline_ns, backoff_ns;
	uint64_t up_ns; /* since when it is LINK_UP */
	unsigned attempts;
	struct evdns_getaddrinfo_request *resolving;
	char cause[128];	 /* last reported cause of a failure */
	struct inbound *inbound; /* its connection to us, or NULL */
	bool is_dirty;
};

/* A connection that we accepted. */
struct inbound {
	struct peers *peers;
	struct chan chan;
	uint64_t id; /* 0: a stranger */
	uint64_t boot, nonce;
	uint64_t deadline_ns;
	bool closing; /* refused: until the answer is out */
	TAILQ_ENTRY(inbound) link;
};
TAILQ_HEAD(inbound_list, inbound);

struct peers {
	struct event_base *base;
	struct evdns_base *dns; /* made when a name has to be resolved */
	struct host *host;
	struct peers_options opt;
	struct net_listener listener;
	struct event *accept_ev;
	struct net_sock from; /* where we dial from, if has_from */
	bool has_from;
	struct peer *peer[HOST_MEMBERS_MAX];
	unsigned count;
	struct inbound_list strangers, linked;
	unsigned strangers_count;
	uint64_t refusals_ns; /* the second in which so many were logged */
	unsigned refusals_logged;
	uint64_t accept_retry_ns; /* 0: not waiting */
	bool is_set; /* since the last tick: links may have to go */
	struct peers_stat stat;
};

static void link_read_cb(evutil_socket_t, short, void *);
static void link_write_cb(evutil_socket_t, short, void *);
static void inbound_read_cb(evutil_socket_t, short, void *);
static void inbound_write_cb(evutil_socket_t, short, void *);

static uint64_t
handshake_ns(const struct peers *ps)
{
	if (ps->opt.election_ns < PEER_HANDSHAKE_MIN_NS)
		return PEER_HANDSHAKE_MIN_NS;
	if (ps->opt.election_ns > PEER_HANDSHAKE_MAX_NS)
		return PEER_HANDSHAKE_MAX_NS;
	return ps->opt.election_ns;
}

/* ---- sockets ----------------------------------------------------------- */

static int
chan_open(struct chan *w, struct event_base *base, int fd,
    event_callback_fn read_cb, event_callback_fn write_cb, void *arg)
{
	w->fd = fd;
	w->is_writing = false;
	frame_reader_init(&w->reader, PEER_HELLO_LEN_MAX);
	outq_init(&w->out);
	/* Neither can fail on a base that has its backend. */
	if (event_assign(&w->read_ev, base, fd, EV_READ | EV_PERSIST, read_cb,
		arg) < 0 ||
	    event_assign(&w->write_ev, base, fd, EV_WRITE | EV_PERSIST,
		write_cb, arg) < 0)
		return -EINVAL;
	return 0;
}

static void
chan_close(struct chan *w)
{
	if (w->fd < 0)
		return;
	(void)event_del(&w->read_ev);
	(void)event_del(&w->write_ev);
	frame_reader_release(&w->reader);
	outq_release(&w->out);
	(void)close(w->fd);
	w->fd = -1;
}

/* 0: all out.  1: the write event tells when to go on.  <0: broken. */
static int
chan_flush(struct chan *w)
{
	int ret = outq_flush(&w->out, w->fd);

	if (ret > 0 && !w->is_writing) {
		if (event_add(&w->write_ev, NULL) < 0)
			return -ENOMEM;
		w->is_writing = true;
	} else if (ret == 0 && w->is_writing) {
		(void)event_del(&w->write_ev);
		w->is_writing = false;
	}
	return ret;
}

/* The handshake is done: messages of full size from here on. */
static void
chan_trust(struct chan *w, size_t frame_len_max)
{
	w->reader.frame_len_max = frame_len_max;
	mp_scan_init(&w->reader.scan, frame_len_max, 0);
}

/* >0 bytes, 0 nothing now, <0 -errno, -ECONNRESET also at the end. */
static int
chan_read(struct chan *w, size_t *room)
{
	uint8_t *p = frame_room(&w->reader, room);
	ssize_t n;

	if (p == NULL)
		return -ENOMEM;
	if (*room > (1 << 20))
		*room = 1 << 20;
	n = read(w->fd, p, *room);
	if (n > 0) {
		frame_filled(&w->reader, (size_t)n);
		return (int)n;
	}
	if (n == 0)
		return -ECONNRESET;
	return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

static void
chan_put(struct chan *w, struct mp_buf *b)
{
	if (b->failed)
		w->out.failed = true;
	else
		outq_copy(&w->out, b->data, b->len);
	mp_buf_release(b);
}

/* ---- links: our connections to the others ------------------------------ */

static struct peer *
peer_by_id(struct peers *ps, uint64_t id)
{
	unsigned i;

	for (i = 0; i < ps->count; i++)
		if (ps->peer[i]->id == id)
			return ps->peer[i];
	return NULL;
}

/* A server that is down fails a hundred dials: one line, not a hundred. */
static void
report_failure(struct peer *p, const char *cause)
{
	enum host_log_level level = HOST_DEBUG;
	char quoted[300];

	if (p->state == LINK_UP || strcmp(p->cause, cause) != 0)
		level = HOST_INFO;
	log_event(level, "event=link.%s peer=%llu address=%s cause=%s",
	    p->state == LINK_UP ? "down" : "failed", (unsigned long long)p->id,
	    p->addr.text, log_quote(quoted, sizeof(quoted), cause));
	(void)snprintf(p->cause, sizeof(p->cause), "%s", cause);
	if (p->state != LINK_UP)
		host_link_failed(p->peers->host, p->id, cause);
}

static void
link_fail(struct peer *p, const char *cause)
{
	struct peers *ps = p->peers;
	bool was_up = p->state == LINK_UP;
	uint64_t t = now().mono_ns;

	/* At once, unless it breaks as fast as it is made. */
	if (was_up && t - p->up_ns >= ps->opt.election_ns)
		p->backoff_ns = 0;
	report_failure(p, cause);
	if (p->resolving != NULL) {
		evdns_getaddrinfo_cancel(p->resolving);
		p->resolving = NULL;
	}
	chan_close(&p->chan);
	p->state = LINK_DOWN;
	p->redial_ns = t + p->backoff_ns;
	p->backoff_ns =
	    p->backoff_ns == 0 ? PEER_BACKOFF_MIN_NS : p->backoff_ns * 2;
	if (p->backoff_ns > ps->opt.election_ns / 4)
		p->backoff_ns = ps->opt.election_ns / 4;
	if (was_up)
		host_link_down(ps->host, p->id);
}

static void
link_fail_errno(struct peer *p, int err)
{
	link_fail(p, strerror(-err));
}

static void
link_hello(struct peer *p)
{
	struct peers *ps = p->peers;
	struct host_hello h;
	struct mp_buf b;
	int ret;

	p->state = LINK_HELLO;
	host_hello_self(ps->host, p->id, &h);
	mp_buf_init(&b);
	frame_put_request(&b, 0, "hello");
	mp_put_array(&b, 1);
	host_hello_put(&b, &h);
	chan_put(&p->chan, &b);
	ret = chan_flush(&p->chan);
	if (ret >= 0 && event_add(&p->chan.read_ev, NULL) < 0)
		ret = -ENOMEM;
	if (ret < 0)
		link_fail_errno(p, ret);
}

static void
link_dial_sock(struct peer *p, const struct net_sock *to)
{
	struct peers *ps = p->peers;
	const struct net_sock *from = NULL;
	bool done;
	int fd;

	if (ps->has_from && to->sa.sa_family == AF_INET)
		from = &ps->from;
	fd = net_dial(to, from, &done);
	if (fd >= 0) {
		net_user_timeout(fd, handshake_ns(ps));
		if (chan_open(&p->chan, ps->base, fd, link_read_cb,
			link_write_cb, p) < 0) {
			(void)close(fd);
			p->chan.fd = -1;
			fd = -ENOMEM;
		}
	}
	if (fd < 0) {
		link_fail_errno(p, fd);
		return;
	}
	p->state = LINK_DIALLING;
	if (done)
		link_hello(p);
	else if (event_add(&p->chan.write_ev, NULL) < 0)
		link_fail_errno(p, -ENOMEM);
	else
		p->chan.is_writing = true;
}

static void
resolved_cb(int result, struct evutil_addrinfo *list, void *arg)
{
	struct peer *p = arg;
	struct evutil_addrinfo *ai = list;
	struct net_sock to;
	unsigned i, n = 0;

	/* Cancelled: p may be gone already. */
	if (result == EVUTIL_EAI_CANCEL)
		return;
	p->resolving = NULL;
	if (result != 0) {
		link_fail(p, evutil_gai_strerror(result));
		return;
	}
	for (ai = list; ai != NULL; ai = ai->ai_next)
		n++;
	/* Another of its addresses with each attempt. */
	ai = list;
	for (i = 0; n > 0 && i < p->attempts % n; i++)
		ai = ai->ai_next;
	if (ai != NULL && ai->ai_addrlen <= sizeof(struct sockaddr_in6)) {
		memset(&to, 0, sizeof(to));
		memcpy(&to.sa, ai->ai_addr, ai->ai_addrlen);
		to.len = ai->ai_addrlen;
		link_dial_sock(p, &to);
	} else
		link_fail(p, "name without address");
	evutil_freeaddrinfo(list);
}

static void
link_resolve(struct peer *p)
{
	struct peers *ps = p->peers;
	struct evutil_addrinfo hints = {
	    .ai_family = AF_UNSPEC,
	    .ai_socktype = SOCK_STREAM,
	    .ai_protocol = IPPROTO_TCP,
	};
	struct evdns_getaddrinfo_request *req;
	char port[8];

	if (ps->dns == NULL)
		ps->dns = evdns_base_new(
		    ps->base, EVDNS_BASE_INITIALIZE_NAMESERVERS |
				  EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (ps->dns == NULL) {
		link_fail(p, "no resolver");
		return;
	}
	(void)snprintf(port, sizeof(port), "%u", p->addr.port);
	/* It may call back before it returns, and then returns NULL. */
	req = evdns_getaddrinfo(
	    ps->dns, p->addr.host, port, &hints, resolved_cb, p);
	if (req != NULL)
		p->resolving = req;
}

static void
link_dial(struct peer *p, uint64_t now_ns)
{
	struct net_sock to;

	p->peers->stat.dials++;
	p->attempts++;
	p->deadline_ns = now_ns + handshake_ns(p->peers);
	if (net_addr_numeric(&p->addr, &to) == 0) {
		link_dial_sock(p, &to);
	} else {
		p->state = LINK_RESOLVING;
		link_resolve(p);
	}
}

static void
link_is_up(struct peer *p)
{
	p->state = LINK_UP;
	p->up_ns = now().mono_ns;
	p->cause[0] = '\0';
	p->peers->stat.links++;
	log_event(HOST_INFO, "event=link.up peer=%llu address=%s",
	    (unsigned long long)p->id, p->addr.text);
	host_link_up(p->peers->host, p->id);
}

/* The answer to our hello. */
static void
link_answer(struct peer *p, const struct frame *f)
{
	struct mp_cur error = mp_cur_span(f->error);
	struct wire_error e;
	struct host_hello h;
	const char *why;
	char cause[128];

	if (f->type != FRAME_RESPONSE) {
		link_fail(p, "not an answer to hello");
		return;
	}
	if (mp_read_nil(&error) < 0) {
		wire_read_error(f->error, &e);
		(void)snprintf(
		    cause, sizeof(cause), "refused: %.100s", e.message);
		p->backoff_ns = p->peers->opt.election_ns / 4;
		link_fail(p, cause);
		return;
	}
	if (host_hello_read(f->result, &h) < 0) {
		link_fail(p, "malformed hello");
		return;
	}
	why = h.id != p->id ? "another server answers there"
			    : host_hello_judge(p->peers->host, &h, now());
	if (why != NULL) {
		p->backoff_ns = p->peers->opt.election_ns / 4;
		link_fail(p, why);
		return;
	}
	link_is_up(p);
}

static void
link_read_cb(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;
	struct frame f;
	size_t room;
	int ret;

	(void)fd;
	(void)what;
	ret = chan_read(&p->chan, &room);
	if (ret == -ECONNRESET) {
		link_fail(p, "closed by peer");
		return;
	}
	if (ret < 0) {
		link_fail_errno(p, ret);
		return;
	}
	if (ret == 0)
		return;
	ret = frame_next(&p->chan.reader, &f);
	if (ret == 0)
		return;
	/* Whoever accepted answers hello and says nothing else. */
	if (ret < 0 || p->state != LINK_HELLO)
		link_fail(p, "protocol error");
	else
		link_answer(p, &f);
}

static void
link_write_cb(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;
	int ret;

	(void)what;
	if (p->state == LINK_DIALLING) {
		ret = net_dialled(fd);
		if (ret < 0)
			link_fail_errno(p, ret);
		else
			link_hello(p);
		return;
	}
	ret = chan_flush(&p->chan);
	if (ret < 0)
		link_fail_errno(p, ret);
}

static void
peer_free(struct peer *p)
{
	if (p->resolving != NULL)
		evdns_getaddrinfo_cancel(p->resolving);
	chan_close(&p->chan);
	free(p);
}

/* ---- inbound: their connections to us ---------------------------------- */

static void
inbound_free(struct inbound *in)
{
	struct peers *ps = in->peers;

	if (in->id == 0) {
		TAILQ_REMOVE(&ps->strangers, in, link);
		ps->strangers_count--;
	} else
		TAILQ_REMOVE(&ps->linked, in, link);
	chan_close(&in->chan);
	free(in);
}

/* A peer's connection to us has ended: the host hears of it at once. */
static void
inbound_end(struct inbound *in, const char *cause)
{
	struct peers *ps = in->peers;
	uint64_t id = in->id;
	struct peer *p;
	char quoted[300];

	p = id != 0 ? peer_by_id(ps, id) : NULL;
	if (p != NULL && p->inbound == in)
		p->inbound = NULL;
	inbound_free(in);
	if (id == 0)
		return;
	log_event(HOST_INFO, "event=link.gone peer=%llu cause=%s",
	    (unsigned long long)id, log_quote(quoted, sizeof(quoted), cause));
	host_peer_gone(ps->host, id, now());
	/* It is down, or back in a moment: find out now. */
	if (p != NULL && p->state == LINK_DOWN)
		p->redial_ns = 0;
}

static void
inbound_refuse(struct inbound *in, uint64_t from, uint64_t msgid,
    enum wire_status status, const char *why)
{
	struct peers *ps = in->peers;
	struct wire_error e = {.status = status};
	uint64_t t = now().mono_ns;
	char quoted[300];
	struct mp_buf b;

	ps->stat.refused++;
	if (t - ps->refusals_ns >= 1000000000) {
		ps->refusals_ns = t;
		ps->refusals_logged = 0;
	}
	if (ps->refusals_logged++ < LOG_REFUSALS_MAX)
		log_event(HOST_WARN, "event=link.refused peer=%llu cause=%s",
		    (unsigned long long)from,
		    log_quote(quoted, sizeof(quoted), why));
	(void)snprintf(e.message, sizeof(e.message), "%s", why);
	mp_buf_init(&b);
	frame_put_error(&b, msgid);
	wire_put_error(&b, &e, false);
	mp_put_nil(&b);
	chan_put(&in->chan, &b);
	in->closing = true;
	if (chan_flush(&in->chan) <= 0)
		inbound_free(in);
}

static void
inbound_accept(struct inbound *in, uint64_t msgid, const struct host_hello *h)
{
	struct peers *ps = in->peers;
	struct peer *p = peer_by_id(ps, h->id);
	struct inbound *old = p != NULL ? p->inbound : NULL;
	struct host_hello self;
	struct mp_buf b;
	bool is_same;

	TAILQ_REMOVE(&ps->strangers, in, link);
	ps->strangers_count--;
	in->id = h->id;
	in->boot = h->boot;
	in->nonce = h->nonce;
	TAILQ_INSERT_TAIL(&ps->linked, in, link);
	chan_trust(&in->chan, ps->opt.frame_len_max);
	if (old != NULL) {
		/* The same process dialled anew, or it was restarted before
		 * we saw its end. */
		is_same = old->boot == h->boot && old->nonce == h->nonce;
		inbound_free(old);
		if (!is_same)
			host_peer_gone(ps->host, h->id, now());
	}
	host_peer_linked(ps->host, h->id, now());
	p = peer_by_id(ps, h->id);
	if (p != NULL) {
		p->inbound = in;
		if (p->state == LINK_DOWN)
			p->redial_ns = 0; /* it lives */
	}
	host_hello_self(ps->host, h->id, &self);
	mp_buf_init(&b);
	frame_put_ok(&b, msgid);
	host_hello_put(&b, &self);
	chan_put(&in->chan, &b);
	if (chan_flush(&in->chan) < 0)
		inbound_end(in, "cannot answer");
}

/* 0: go on reading.  -1: in may be gone. */
static int
inbound_hello(struct inbound *in, const struct frame *f)
{
	struct mp_cur cur = mp_cur_span(f->params);
	struct mp_span map;
	struct host_hello h;
	const char *why;
	uint32_t count;

	if (f->type != FRAME_REQUEST || !mp_span_eq(f->method, "hello") ||
	    mp_read_array(&cur, &count) < 0 || count != 1 ||
	    mp_read_raw(&cur, &map) < 0 || host_hello_read(map, &h) < 0) {
		inbound_refuse(in, 0, f->msgid, WIRE_PROTOCOL_ERROR,
		    "expected the hello of a peer");
		return -1;
	}
	why = host_hello_judge(in->peers->host, &h, now());
	if (why != NULL) {
		inbound_refuse(in, h.id, f->msgid, WIRE_DENIED, why);
		return -1;
	}
	inbound_accept(in, f->msgid, &h);
	return -1;
}

/* Whole messages in the buffer: 0, or -1: in is gone. */
static int
inbound_frames(struct inbound *in)
{
	struct frame f;
	int ret;

	while ((ret = frame_next(&in->chan.reader, &f)) > 0) {
		if (in->id == 0)
			return inbound_hello(in, &f);
		in->peers->stat.messages++;
		if (host_peer_message(in->peers->host, in->id, &f) < 0) {
			inbound_end(in, "malformed message");
			return -1;
		}
	}
	if (ret == 0)
		return 0;
	if (in->id == 0)
		inbound_refuse(in, 0, 0, WIRE_PROTOCOL_ERROR,
		    "not a MessagePack-RPC message");
	else
		inbound_end(in, "malformed message");
	return -1;
}

static void
inbound_read_cb(evutil_socket_t fd, short what, void *arg)
{
	struct inbound *in = arg;
	size_t room;
	int ret, i;

	(void)fd;
	(void)what;
	for (i = 0; i < PEER_READS_MAX; i++) {
		ret = chan_read(&in->chan, &room);
		if (ret < 0) {
			inbound_end(
			    in, ret == -ECONNRESET ? "closed" : strerror(-ret));
			return;
		}
		if (ret == 0 || in->closing)
			return;
		if (inbound_frames(in) < 0 || (size_t)ret < room)
			return;
	}
}

static void
inbound_write_cb(evutil_socket_t fd, short what, void *arg)
{
	struct inbound *in = arg;
	int ret;

	(void)fd;
	(void)what;
	ret = chan_flush(&in->chan);
	if (ret < 0 || (ret == 0 && in->closing))
		inbound_end(in, "cannot write");
}

static void
accept_one(struct peers *ps, int fd)
{
	struct inbound *in = calloc(1, sizeof(*in));

	if (in == NULL) {
		(void)close(fd);
		return;
	}
	in->peers = ps;
	if (chan_open(&in->chan, ps->base, fd, inbound_read_cb,
		inbound_write_cb, in) < 0 ||
	    event_add(&in->chan.read_ev, NULL) < 0) {
		(void)close(fd);
		free(in);
		return;
	}
	net_user_timeout(fd, handshake_ns(ps));
	in->deadline_ns = now().mono_ns + handshake_ns(ps);
	/* A real peer is a stranger for a moment only. */
	if (ps->strangers_count == PEER_STRANGERS_MAX)
		inbound_free(TAILQ_FIRST(&ps->strangers));
	TAILQ_INSERT_TAIL(&ps->strangers, in, link);
	ps->strangers_count++;
	ps->stat.accepted++;
}

static void
accept_pause(struct peers *ps, int err)
{
	log_event(HOST_ERROR, "event=link.accept error=\"%s\"", strerror(-err));
	(void)event_del(ps->accept_ev);
	ps->accept_retry_ns = now().mono_ns + PEER_ACCEPT_RETRY_NS;
}

static void
accept_cb(evutil_socket_t lfd, short what, void *arg)
{
	struct peers *ps = arg;
	int i, fd;

	(void)lfd;
	(void)what;
	for (i = 0; i < PEER_STRANGERS_MAX; i++) {
		fd = net_accept(&ps->listener);
		if (fd == -EAGAIN)
			return;
		if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS ||
		    fd == -ENOMEM) {
			accept_pause(ps, fd);
			return;
		}
		if (fd >= 0)
			accept_one(ps, fd);
	}
}

/* ---- the whole --------------------------------------------------------- */

int
peers_new(struct event_base *base, const struct peers_options *opt,
    struct net_listener *listener, struct peers **out)
{
	struct peers *ps = calloc(1, sizeof(*ps));
	struct net_sock self;

	if (ps == NULL) {
		net_listener_close(listener);
		return -ENOMEM;
	}
	ps->base = base;
	ps->opt = *opt;
	ps->listener = *listener;
	TAILQ_INIT(&ps->strangers);
	TAILQ_INIT(&ps->linked);
	/*
	 * On one machine the servers may be told apart by 127.x addresses;
	 * then whoever filters packets should see ours on both directions.
	 */
	if (!listener->addr.is_unix &&
	    net_addr_numeric(&listener->addr, &self) == 0 &&
	    self.sa.sa_family == AF_INET &&
	    ntohl(self.in4.sin_addr.s_addr) >> 24 == 127) {
		self.in4.sin_port = 0;
		ps->from = self;
		ps->has_from = true;
	}
	*out = ps;
	return 0;
}

int
peers_start(struct peers *ps, struct host *host)
{
	ps->host = host;
	ps->accept_ev = event_new(
	    ps->base, ps->listener.fd, EV_READ | EV_PERSIST, accept_cb, ps);
	if (ps->accept_ev == NULL || event_add(ps->accept_ev, NULL) < 0)
		return -ENOMEM;
	return 0;
}

void
peers_free(struct peers *ps)
{
	struct inbound *in;
	unsigned i;

	if (ps == NULL)
		return;
	if (ps->accept_ev != NULL)
		event_free(ps->accept_ev);
	net_listener_close(&ps->listener);
	while ((in = TAILQ_FIRST(&ps->strangers)) != NULL)
		inbound_free(in);
	while ((in = TAILQ_FIRST(&ps->linked)) != NULL)
		inbound_free(in);
	for (i = 0; i < ps->count; i++)
		peer_free(ps->peer[i]);
	if (ps->dns != NULL)
		evdns_base_free(ps->dns, 0);
	free(ps);
}

void
peers_backlog_set(struct peers *ps, size_t backlog_bytes_max)
{
	ps->opt.backlog_bytes_max = backlog_bytes_max;
}

static const struct host_member *
member_by_id(const struct host_member *m, unsigned count, uint64_t id)
{
	unsigned i;

	for (i = 0; i < count; i++)
		if (m[i].id == id)
			return &m[i];
	return NULL;
}

static void
peer_add(struct peers *ps, const struct host_member *m)
{
	struct errtext et;
	struct inbound *in;
	struct peer *p;

	if (ps->count == HOST_MEMBERS_MAX)
		return;
	p = calloc(1, sizeof(*p));
	if (p == NULL || net_addr_parse(m->address, &p->addr, &et) < 0) {
		log_event(HOST_ERROR, "event=peer.address peer=%llu",
		    (unsigned long long)m->id);
		free(p);
		return;
	}
	p->peers = ps;
	p->id = m->id;
	p->chan.fd = -1;
	TAILQ_FOREACH (in, &ps->linked, link)
		if (in->id == m->id)
			p->inbound = in;
	ps->peer[ps->count++] = p;
}

void
peers_set(struct peers *ps, const struct host_member *m, unsigned count)
{
	const struct host_member *found;
	struct peer *p;
	unsigned i, kept = 0;

	/* The host knows what it dropped: no host_link_down() for these. */
	for (i = 0; i < ps->count; i++) {
		p = ps->peer[i];
		found = member_by_id(m, count, p->id);
		if (found != NULL &&
		    strcmp(found->address, p->addr.text) == 0) {
			ps->peer[kept++] = p;
			continue;
		}
		/* A last word, as of the change that it asked for. */
		if (p->state == LINK_UP)
			(void)outq_flush(&p->chan.out, p->chan.fd);
		peer_free(p);
	}
	ps->count = kept;
	ps->is_set = true;
	for (i = 0; i < count; i++)
		if (m[i].id != ps->opt.id && peer_by_id(ps, m[i].id) == NULL)
			peer_add(ps, &m[i]);
}

void
peers_send(
    struct peers *ps, uint64_t id, const struct piece *piece, unsigned count)
{
	struct peer *p = peer_by_id(ps, id);

	if (p == NULL || p->state != LINK_UP)
		return;
	outq_add(&p->chan.out, piece, count);
	p->is_dirty = true;
}

size_t
peers_backlog(struct peers *ps, uint64_t id)
{
	const struct peer *p = peer_by_id(ps, id);

	if (p == NULL || p->state != LINK_UP)
		return SIZE_MAX;
	return p->chan.out.bytes;
}

void
peers_flush(struct peers *ps)
{
	struct peer *p;
	unsigned i;
	int ret;

	for (i = 0; i < ps->count; i++) {
		p = ps->peer[i];
		if (!p->is_dirty)
			continue;
		p->is_dirty = false;
		if (p->state != LINK_UP)
			continue;
		/* The write event is waited for: no use in trying. */
		ret = p->chan.is_writing ? 1 : chan_flush(&p->chan);
		if (ret < 0 || p->chan.out.failed)
			link_fail_errno(p, ret < 0 ? ret : -ENOMEM);
		else if (p->chan.out.bytes > ps->opt.backlog_bytes_max)
			link_fail(p, "too much waits for it");
	}
}

uint64_t
peers_tick(struct peers *ps, struct host_time t)
{
	uint64_t next = UINT64_MAX, due;
	struct inbound *in, *following;
	struct peer *p;
	unsigned i;

	if (ps->accept_retry_ns != 0 && t.mono_ns >= ps->accept_retry_ns) {
		ps->accept_retry_ns = 0;
		(void)event_add(ps->accept_ev, NULL);
	}
	if (ps->accept_retry_ns != 0)
		next = ps->accept_retry_ns;
	for (i = 0; i < ps->count; i++) {
		p = ps->peer[i];
		if (p->state == LINK_DOWN && t.mono_ns >= p->redial_ns)
			link_dial(p, t.mono_ns);
		else if (p->state != LINK_DOWN && p->state != LINK_UP &&
			 t.mono_ns >= p->deadline_ns)
			link_fail(p, "no answer in time");
		due = p->state == LINK_DOWN ? p->redial_ns
		      : p->state == LINK_UP ? UINT64_MAX
					    : p->deadline_ns;
		if (due < next)
			next = due;
	}
	/* Those who are no peers any more find that out when they dial. */
	for (in = TAILQ_FIRST(&ps->linked); in != NULL && ps->is_set;
	     in = following) {
		following = TAILQ_NEXT(in, link);
		if (peer_by_id(ps, in->id) == NULL)
			inbound_end(in, "not a member any more");
	}
	ps->is_set = false;
	/* In the order in which they came, so in that of their ends. */
	for (in = TAILQ_FIRST(&ps->strangers); in != NULL; in = following) {
		following = TAILQ_NEXT(in, link);
		if (in->deadline_ns > t.mono_ns) {
			if (in->deadline_ns < next)
				next = in->deadline_ns;
			break;
		}
		inbound_free(in);
	}
	return next;
}

void
peers_stat(const struct peers *ps, struct peers_stat *out)
{
	*out = ps->stat;
}
