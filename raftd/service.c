/*
 * service.c - the clients: listeners, connections, requests, answers.
 */
#include "raftd/service.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdarg.h>
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

#define SERVICE_ACCEPT_MAX 64 /* in one turn, of one listener */
/* Without descriptors, how long until accepting is tried again. */
#define SERVICE_ACCEPT_RETRY_NS 100000000ull

enum conn_state {
	CONN_OPEN,
	CONN_ENDED,   /* it sends no more; its answers still go out */
	CONN_REFUSED, /* malformed: closed when the error has gone out */
	CONN_LINGER,  /* the error has gone out; what comes is dropped */
	CONN_DEAD,    /* freed at the next flush */
};

struct conn {
	struct service *service;
	uint64_t id; /* number << 32 | slot */
	int fd;
	enum conn_state state;
	unsigned pause; /* PAUSE_CONN_* */
	uint32_t requests;
	bool errors_as_map;
	bool is_dirty, is_paused, is_writing; /* on which list, armed */
	struct frame_reader reader;
	size_t held; /* its reader's memory, as counted in input_bytes */
	struct outq out;
	struct event read_ev, write_ev;
	uint64_t linger_ns;
	size_t linger_bytes;
	TAILQ_ENTRY(conn) dirty, paused, linger;
};
TAILQ_HEAD(conn_list, conn);

struct listening {
	struct service *service;
	struct net_listener listener;
	struct event *event;
};

struct service {
	struct event_base *base;
	struct host *host;
	struct service_options opt;
	struct listening listening[SERVICE_LISTENERS_MAX];
	unsigned listeners;
	bool accepting;
	uint64_t accept_retry_ns; /* 0: not waiting */
	struct conn **slot;
	uint32_t slots;	 /* allocated */
	uint32_t *spare; /* free slots, a stack */
	uint32_t spares;
	uint32_t number; /* of connections so far */
	uint32_t open;
	struct conn_list dirty, paused, linger;
	struct frame_reader shared; /* its buffer is lent to who reads */
	size_t output_bytes;	    /* sums over all connections */
	size_t input_bytes;
	struct service_stat stat;
};

/* ---- slots ------------------------------------------------------------- */

static int
slots_grow(struct service *s)
{
	uint32_t n = s->slots == 0 ? 64 : s->slots * 2, i;
	struct conn **slot;
	uint32_t *spare;

	slot = realloc(s->slot, n * sizeof(*slot));
	if (slot == NULL)
		return -ENOMEM;
	s->slot = slot;
	spare = realloc(s->spare, n * sizeof(*spare));
	if (spare == NULL)
		return -ENOMEM;
	s->spare = spare;
	for (i = n; i > s->slots; i--) {
		s->slot[i - 1] = NULL;
		s->spare[s->spares++] = i - 1;
	}
	s->slots = n;
	return 0;
}

static struct conn *
conn_by_id(const struct service *s, uint64_t id)
{
	uint32_t i = (uint32_t)id;

	if (i >= s->slots || s->slot[i] == NULL || s->slot[i]->id != id)
		return NULL;
	return s->slot[i];
}

/* ---- states ------------------------------------------------------------ */

static void
mark_dirty(struct conn *c)
{
	if (c->is_dirty)
		return;
	c->is_dirty = true;
	TAILQ_INSERT_TAIL(&c->service->dirty, c, dirty);
}

/* Frees nothing: whoever is working on it still holds it. */
static void
conn_kill(struct conn *c)
{
	if (c->state == CONN_DEAD)
		return;
	if (c->state == CONN_LINGER)
		TAILQ_REMOVE(&c->service->linger, c, linger);
	c->state = CONN_DEAD;
	(void)event_del(&c->read_ev);
	mark_dirty(c);
}

static void
conn_free(struct conn *c)
{
	struct service *s = c->service;
	uint32_t i = (uint32_t)c->id;

	host_client_gone(s->host, c->id);
	(void)event_del(&c->read_ev);
	(void)event_del(&c->write_ev);
	if (c->is_dirty)
		TAILQ_REMOVE(&s->dirty, c, dirty);
	if (c->is_paused)
		TAILQ_REMOVE(&s->paused, c, paused);
	if (c->state == CONN_LINGER)
		TAILQ_REMOVE(&s->linger, c, linger);
	s->output_bytes -= c->out.bytes;
	s->input_bytes -= c->held;
	outq_release(&c->out);
	frame_reader_release(&c->reader);
	(void)close(c->fd);
	s->slot[i] = NULL;
	s->spare[s->spares++] = i;
	s->open--;
	free(c);
}

static void
conn_pause(struct conn *c, unsigned bits)
{
	c->pause |= bits;
	if (c->is_paused)
		return;
	c->is_paused = true;
	TAILQ_INSERT_TAIL(&c->service->paused, c, paused);
	if (c->state == CONN_OPEN)
		(void)event_del(&c->read_ev);
}

/* ---- answers ----------------------------------------------------------- */

static void
queue_answer(struct conn *c, const struct piece *piece, unsigned count)
{
	struct service *s = c->service;
	size_t before = c->out.bytes;

	if (c->state == CONN_LINGER || c->state == CONN_DEAD)
		return;
	outq_add(&c->out, piece, count);
	s->output_bytes += c->out.bytes - before;
	mark_dirty(c);
	if (c->out.failed || c->out.bytes > s->opt.output_bytes_max ||
	    s->output_bytes > SERVICE_OUTPUT_TOTAL_MAX) {
		s->stat.slow++;
		log_event(HOST_WARN, "event=client.slow client=%llu unread=%zu",
		    (unsigned long long)c->id, c->out.bytes);
		conn_kill(c);
	} else if (c->out.bytes > s->opt.output_bytes_max / 16)
		conn_pause(c, PAUSE_CONN_OUTPUT);
}

void
service_send(struct service *s, uint64_t client, const struct piece *piece,
    unsigned count)
{
	struct conn *c = conn_by_id(s, client);
	const uint8_t *p;

	if (c == NULL || count == 0)
		return;
	/* [1, ...: an answer ends a request, a notification does not. */
	p = piece[0].p;
	if (piece[0].len >= 2 && p[0] == 0x94 && p[1] == FRAME_RESPONSE &&
	    c->requests > 0)
		c->requests--;
	queue_answer(c, piece, count);
	if (c->state == CONN_ENDED)
		mark_dirty(c);
}

size_t
service_backlog(const struct service *s, uint64_t client)
{
	struct conn *c;

	if (client == 0)
		return s->output_bytes;
	c = conn_by_id(s, client);
	return c != NULL ? c->out.bytes : 0;
}

static void
answer_buf(struct conn *c, struct mp_buf *b)
{
	struct piece piece = {.p = b->data, .len = b->len};

	if (b->failed)
		conn_kill(c);
	else
		queue_answer(c, &piece, 1);
	mp_buf_release(b);
}

static void __attribute__((format(printf, 4, 5))) answer_error(struct conn *c,
    uint64_t msgid, enum wire_status status, const char *fmt, ...)
{
	struct wire_error e = {.status = status};
	struct mp_buf b;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(e.message, sizeof(e.message), fmt, ap);
	va_end(ap);
	mp_buf_init(&b);
	frame_put_error(&b, msgid);
	wire_put_error(&b, &e, c->errors_as_map);
	mp_put_nil(&b);
	answer_buf(c, &b);
}

/* ---- requests ---------------------------------------------------------- */

static void
hello_answer(struct conn *c, uint64_t msgid)
{
	const struct identity *id = host_identity(c->service->host);
	char cluster[2 * IDENTITY_ID_LEN + 1];
	struct mp_buf b;
	size_t i;

	for (i = 0; i < IDENTITY_ID_LEN; i++)
		(void)snprintf(cluster + 2 * i, 3, "%02x", id->cluster[i]);
	mp_buf_init(&b);
	frame_put_ok(&b, msgid);
	mp_put_map(&b, 5);
	mp_put_kv_u64(&b, "protocol", WIRE_PROTOCOL);
	mp_put_kv_str(&b, "version", RAFTKIT_VERSION);
	mp_put_kv_str(&b, "cluster", cluster);
	mp_put_kv_u64(&b, "id", id->id);
	mp_put_kv_u64(&b, "time", host_replicated_ms(c->service->host));
	answer_buf(c, &b);
}

/* hello [{"errors": "map"|"text", "protocol": N}] */
static void
hello(struct conn *c, const struct frame *f)
{
	struct mp_cur cur = mp_cur_span(f->params);
	struct mp_span errors = {0};
	uint64_t protocol = WIRE_PROTOCOL;
	struct mp_map map;
	uint32_t count;

	if (mp_read_array(&cur, &count) < 0 || count > 1) {
		answer_error(
		    c, f->msgid, WIRE_USAGE, "hello takes one map of options");
		return;
	}
	if (count == 1 && (mp_read_mapping(&cur, &map) < 0 ||
			      mp_opt_bytes(&map, "errors", &errors, 16) < 0 ||
			      mp_opt_u64(&map, "protocol", &protocol) < 0)) {
		answer_error(c, f->msgid, WIRE_USAGE,
		    "hello takes a map with errors and protocol");
		return;
	}
	if (protocol < WIRE_PROTOCOL_MIN || protocol > WIRE_PROTOCOL) {
		answer_error(c, f->msgid, WIRE_PROTOCOL_ERROR,
		    "protocol %llu is not spoken here, %d to %d are",
		    (unsigned long long)protocol, WIRE_PROTOCOL_MIN,
		    WIRE_PROTOCOL);
		return;
	}
	if (errors.p != NULL && !mp_span_eq(errors, "map") &&
	    !mp_span_eq(errors, "text")) {
		answer_error(
		    c, f->msgid, WIRE_USAGE, "errors is \"map\" or \"text\"");
		return;
	}
	if (errors.p != NULL)
		c->errors_as_map = mp_span_eq(errors, "map");
	hello_answer(c, f->msgid);
}

/*
 * Not reading on is answer enough for who sends faster than it is answered.
 * But when those that came before wait for long already, more than can be
 * done is asked for, and all that would do is to move the queue to where
 * nobody can tell it from a lost request.
 */
static bool
is_flood(const struct conn *c)
{
	const struct service *s = c->service;

	return (c->requests >= s->opt.requests_max ||
		   host_pause(s->host) != 0) &&
	       host_overdue(s->host);
}

static void
take_frame(struct conn *c, const struct frame *f)
{
	struct service *s = c->service;

	if (f->type == FRAME_RESPONSE)
		return; /* we ask clients nothing: stray, ignored */
	s->stat.requests++;
	if (f->type == FRAME_REQUEST && mp_span_eq(f->method, "hello")) {
		hello(c, f);
		return;
	}
	if (is_flood(c)) {
		s->stat.flooded++;
		if (f->type == FRAME_REQUEST)
			answer_error(c, f->msgid, WIRE_BUSY,
			    "more is asked for than can be done");
		return;
	}
	if (f->type == FRAME_REQUEST && ++c->requests >= s->opt.requests_max)
		conn_pause(c, PAUSE_CONN_REQUESTS);
	host_client_request(s->host, c->id, f, c->errors_as_map);
}

/* The number of the request that stands unfinished in the buffer, or 0. */
static uint64_t
unfinished_msgid(const struct frame_reader *r)
{
	struct mp_cur cur = mp_cur(r->data + r->start, r->end - r->start);
	uint64_t type, msgid;
	uint32_t count;

	if (mp_read_array(&cur, &count) < 0 || count != 4 ||
	    mp_read_u64(&cur, &type) < 0 || type != FRAME_REQUEST ||
	    mp_read_u64(&cur, &msgid) < 0)
		return 0;
	return msgid;
}

/* Nothing more is read from it; it is closed once it has its answer. */
static void
end_stream(struct conn *c)
{
	if (c->state == CONN_DEAD)
		return;
	c->state = CONN_REFUSED;
	(void)event_del(&c->read_ev);
}

static void
refuse_stream(struct conn *c, int err)
{
	c->service->stat.malformed++;
	log_event(HOST_DEBUG, "event=client.malformed client=%llu",
	    (unsigned long long)c->id);
	if (err == -E2BIG)
		answer_error(c, unfinished_msgid(&c->reader), WIRE_TOO_LARGE,
		    "a message is limited to %zu bytes, %d objects and %d "
		    "levels",
		    c->service->opt.frame_len_max, MP_OBJECTS_MAX,
		    MP_DEPTH_MAX);
	else
		answer_error(
		    c, 0, WIRE_PROTOCOL_ERROR, "not a MessagePack-RPC message");
	if (c->state == CONN_DEAD)
		return;
	c->state = CONN_REFUSED;
	(void)event_del(&c->read_ev);
}

/* Everything whole that stands in the buffer, as long as it may be taken. */
static void
read_frames(struct conn *c)
{
	struct frame f;
	int ret;

	while (c->state == CONN_OPEN && c->pause == 0) {
		if (host_pause(c->service->host) != 0 && !is_flood(c)) {
			conn_pause(c, PAUSE_CONN_HOST);
			return;
		}
		ret = frame_next(&c->reader, &f);
		if (ret < 0)
			refuse_stream(c, ret);
		if (ret <= 0)
			return;
		take_frame(c, &f);
	}
}

/* ---- reading: the shared buffer ---------------------------------------- */

static void
lend_buffer(struct conn *c)
{
	struct frame_reader *r = &c->reader, *shared = &c->service->shared;
	size_t len = r->end - r->start;

	if (len > SERVICE_STASH_MAX || shared->cap < SERVICE_STASH_MAX)
		return;
	if (len > 0)
		memcpy(shared->data, r->data + r->start, len);
	free(r->data);
	r->data = shared->data;
	r->cap = shared->cap;
	r->start = 0;
	r->end = len;
	shared->data = NULL;
	shared->cap = 0;
}

/* An unfinished message stays: copied if it is short, else with the buffer. */
static void
return_buffer(struct conn *c)
{
	struct frame_reader *r = &c->reader, *shared = &c->service->shared;
	size_t len = r->end - r->start;
	uint8_t *stash = NULL;

	if (shared->data != NULL || r->cap <= SERVICE_STASH_MAX ||
	    len > SERVICE_STASH_MAX)
		return;
	if (len > 0) {
		stash = malloc(len);
		if (stash == NULL)
			return;
		memcpy(stash, r->data + r->start, len);
	}
	shared->data = r->data;
	shared->cap = r->cap;
	r->data = stash;
	r->cap = r->end = len;
	r->start = 0;
}

static void
count_held(struct conn *c)
{
	struct service *s = c->service;

	s->input_bytes += c->reader.cap - c->held;
	c->held = c->reader.cap;
	if (s->input_bytes <= SERVICE_INPUT_TOTAL_MAX ||
	    c->held <= SERVICE_STASH_MAX || c->state != CONN_OPEN)
		return;
	answer_error(c, unfinished_msgid(&c->reader), WIRE_BUSY,
	    "too many unfinished messages");
	end_stream(c);
}

static void
read_end(struct conn *c, int err)
{
	if (err == 0 && (c->requests > 0 || c->out.bytes > 0)) {
		/* It may still listen, as in `printf ... | nc -N`. */
		c->state = CONN_ENDED;
		(void)event_del(&c->read_ev);
		mark_dirty(c);
		return;
	}
	conn_kill(c);
}

static void
read_linger(struct conn *c)
{
	uint8_t junk[16384];
	ssize_t n = read(c->fd, junk, sizeof(junk));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && (size_t)n < c->linger_bytes)
		c->linger_bytes -= (size_t)n;
	else
		conn_kill(c);
}

static void
read_cb(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	uint8_t *p;
	size_t room;
	ssize_t n;

	(void)what;
	if (c->state == CONN_LINGER) {
		read_linger(c);
		return;
	}
	if (c->state != CONN_OPEN)
		return;
	if (host_pause(c->service->host) != 0) {
		conn_pause(c, PAUSE_CONN_HOST);
		return;
	}
	lend_buffer(c);
	p = frame_room(&c->reader, &room);
	if (p == NULL) {
		conn_kill(c);
		return;
	}
	n = read(fd, p, room);
	if (n > 0) {
		frame_filled(&c->reader, (size_t)n);
		read_frames(c);
	} else if (n == 0)
		read_end(c, 0);
	else if (errno != EAGAIN && errno != EINTR)
		read_end(c, -errno);
	return_buffer(c);
	count_held(c);
}

/* ---- the flush --------------------------------------------------------- */

static void
begin_linger(struct conn *c)
{
	if (shutdown(c->fd, SHUT_WR) < 0) {
		conn_kill(c);
		return;
	}
	c->state = CONN_LINGER;
	c->linger_ns = now().mono_ns + SERVICE_LINGER_NS;
	c->linger_bytes = SERVICE_LINGER_BYTES;
	TAILQ_INSERT_TAIL(&c->service->linger, c, linger);
	frame_reader_release(&c->reader);
	count_held(c);
	if (event_add(&c->read_ev, NULL) < 0)
		conn_kill(c);
}

static void
conn_flush(struct conn *c)
{
	size_t before = c->out.bytes;
	int ret;

	ret = outq_flush(&c->out, c->fd);
	c->service->output_bytes -= before - c->out.bytes;
	if (ret < 0) {
		conn_kill(c);
		return;
	}
	if (ret > 0) {
		if (!c->is_writing && event_add(&c->write_ev, NULL) == 0)
			c->is_writing = true;
		return;
	}
	if (c->is_writing) {
		(void)event_del(&c->write_ev);
		c->is_writing = false;
	}
	if (c->state == CONN_REFUSED)
		begin_linger(c);
	else if (c->state == CONN_ENDED && c->requests == 0)
		conn_kill(c);
}

static void
write_cb(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	(void)what;
	mark_dirty(c);
}

/* Read on where every reason to pause has gone. */
static void
resume_paused(struct service *s)
{
	struct conn *c, *next;
	bool flooded;

	if (TAILQ_EMPTY(&s->paused))
		return;
	flooded = host_overdue(s->host);
	if (host_pause(s->host) != 0 && !flooded)
		return;
	for (c = TAILQ_FIRST(&s->paused); c != NULL; c = next) {
		next = TAILQ_NEXT(c, paused);
		c->pause &= ~(unsigned)PAUSE_CONN_HOST;
		/* Half way down, so that pausing is not one by one. */
		if (c->requests <= s->opt.requests_max / 2 || flooded)
			c->pause &= ~(unsigned)PAUSE_CONN_REQUESTS;
		if (c->out.bytes <= s->opt.output_bytes_max / 32)
			c->pause &= ~(unsigned)PAUSE_CONN_OUTPUT;
		if (c->pause != 0)
			continue;
		TAILQ_REMOVE(&s->paused, c, paused);
		c->is_paused = false;
		if (c->state != CONN_OPEN)
			continue;
		/* It may go back to the end of the list. */
		read_frames(c);
		return_buffer(c);
		count_held(c);
		if (c->state == CONN_OPEN && c->pause == 0 &&
		    event_add(&c->read_ev, NULL) < 0)
			conn_kill(c);
		if (host_pause(s->host) != 0 && !flooded)
			return;
	}
}

/* `last` was the end of the list: what joins it now waits for a turn. */
static void
flush_dirty(struct service *s)
{
	struct conn *c, *last = TAILQ_LAST(&s->dirty, conn_list);
	bool more = last != NULL;

	while (more) {
		c = TAILQ_FIRST(&s->dirty);
		more = c != last;
		TAILQ_REMOVE(&s->dirty, c, dirty);
		c->is_dirty = false;
		if (c->state != CONN_DEAD)
			conn_flush(c);
		if (c->state == CONN_DEAD)
			conn_free(c);
	}
}

void
service_flush(struct service *s)
{
	flush_dirty(s);
	resume_paused(s);
	/* What was read on may have been answered at once. */
	flush_dirty(s);
}

/* ---- accepting --------------------------------------------------------- */

/* Best effort: the socket's buffer is empty, so it goes out or is lost. */
static void
refuse_connection(struct service *s, int fd)
{
	struct wire_error e = {
	    .status = WIRE_BUSY,
	    .message = "too many connections",
	};
	struct mp_buf b;

	s->stat.refused++;
	mp_buf_init(&b);
	frame_put_error(&b, 0);
	wire_put_error(&b, &e, false);
	mp_put_nil(&b);
	if (!b.failed)
		(void)!write(fd, b.data, b.len);
	mp_buf_release(&b);
	(void)close(fd);
}

static int
conn_new(struct service *s, int fd)
{
	struct conn *c;
	uint32_t i;

	if (s->spares == 0 && slots_grow(s) < 0)
		return -ENOMEM;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	c->service = s;
	c->fd = fd;
	frame_reader_init(&c->reader, s->opt.frame_len_max);
	outq_init(&c->out);
	if (event_assign(&c->read_ev, s->base, fd, EV_READ | EV_PERSIST,
		read_cb, c) < 0 ||
	    event_assign(&c->write_ev, s->base, fd, EV_WRITE | EV_PERSIST,
		write_cb, c) < 0 ||
	    event_add(&c->read_ev, NULL) < 0) {
		free(c);
		return -ENOMEM;
	}
	i = s->spare[--s->spares];
	/* Never 0, and not again before four billion others. */
	if (++s->number == 0)
		s->number = 1;
	c->id = (uint64_t)s->number << 32 | i;
	s->slot[i] = c;
	s->open++;
	s->stat.accepted++;
	return 0;
}

static void
accept_pause(struct service *s, int err)
{
	unsigned i;

	log_event(
	    HOST_ERROR, "event=client.accept error=\"%s\"", strerror(-err));
	for (i = 0; i < s->listeners; i++)
		(void)event_del(s->listening[i].event);
	s->accept_retry_ns = now().mono_ns + SERVICE_ACCEPT_RETRY_NS;
}

static void
accept_cb(evutil_socket_t lfd, short what, void *arg)
{
	struct listening *l = arg;
	struct service *s = l->service;
	int i, fd;

	(void)lfd;
	(void)what;
	for (i = 0; i < SERVICE_ACCEPT_MAX; i++) {
		fd = net_accept(&l->listener);
		if (fd == -EAGAIN)
			return;
		if (fd == -EMFILE || fd == -ENFILE || fd == -ENOBUFS ||
		    fd == -ENOMEM) {
			accept_pause(s, fd);
			return;
		}
		if (fd < 0)
			continue; /* that one is gone already */
		if (s->open >= s->opt.connections_max || conn_new(s, fd) < 0)
			refuse_connection(s, fd);
	}
}

/* ---- the whole --------------------------------------------------------- */

int
service_new(struct event_base *base, struct host *host,
    const struct service_options *opt, struct net_listener *listener,
    unsigned count, struct service **out)
{
	struct service *s = calloc(1, sizeof(*s));
	struct listening *l;
	unsigned i;

	assert(count <= SERVICE_LISTENERS_MAX);
	if (s == NULL) {
		for (i = 0; i < count; i++)
			net_listener_close(&listener[i]);
		return -ENOMEM;
	}
	s->base = base;
	s->host = host;
	s->opt = *opt;
	TAILQ_INIT(&s->dirty);
	TAILQ_INIT(&s->paused);
	TAILQ_INIT(&s->linger);
	s->accepting = true;
	for (i = 0; i < count; i++) {
		s->listening[i].service = s;
		s->listening[i].listener = listener[i];
	}
	s->listeners = count;
	for (i = 0; i < count; i++) {
		l = &s->listening[i];
		l->event = event_new(
		    base, l->listener.fd, EV_READ | EV_PERSIST, accept_cb, l);
		if (l->event == NULL || event_add(l->event, NULL) < 0) {
			service_free(s);
			return -ENOMEM;
		}
	}
	*out = s;
	return 0;
}

void
service_stop_listening(struct service *s)
{
	unsigned i;

	s->accepting = false;
	s->accept_retry_ns = 0;
	for (i = 0; i < s->listeners; i++) {
		if (s->listening[i].event != NULL)
			event_free(s->listening[i].event);
		s->listening[i].event = NULL;
		net_listener_close(&s->listening[i].listener);
	}
}

void
service_free(struct service *s)
{
	uint32_t i;

	if (s == NULL)
		return;
	service_stop_listening(s);
	for (i = 0; i < s->slots; i++)
		if (s->slot[i] != NULL)
			conn_free(s->slot[i]);
	frame_reader_release(&s->shared);
	free(s->slot);
	free(s->spare);
	free(s);
}

void
service_options_set(struct service *s, const struct service_options *opt)
{
	/* Readers know the length limit from their beginning. */
	assert(opt->frame_len_max == s->opt.frame_len_max);
	s->opt = *opt;
}

uint64_t
service_tick(struct service *s, struct host_time t)
{
	uint64_t next = UINT64_MAX;
	struct conn *c, *following;
	unsigned i;

	if (s->accept_retry_ns != 0 && t.mono_ns >= s->accept_retry_ns) {
		s->accept_retry_ns = 0;
		for (i = 0; i < s->listeners; i++)
			(void)event_add(s->listening[i].event, NULL);
	}
	if (s->accept_retry_ns != 0)
		next = s->accept_retry_ns;
	/* In the order in which they began, so in that of their ends. */
	for (c = TAILQ_FIRST(&s->linger); c != NULL; c = following) {
		following = TAILQ_NEXT(c, linger);
		if (c->linger_ns > t.mono_ns) {
			if (c->linger_ns < next)
				next = c->linger_ns;
			break;
		}
		conn_kill(c);
	}
	return next;
}

void
service_addresses(const struct service *s, char *buf, size_t size)
{
	size_t len = 0;
	unsigned i;

	buf[0] = '\0';
	for (i = 0; i < s->listeners && len < size; i++)
		len += (size_t)snprintf(buf + len, size - len, "%s%s",
		    i > 0 ? "," : "", s->listening[i].listener.addr.text);
}

bool
service_flushed(const struct service *s)
{
	return s->output_bytes == 0;
}

void
service_stat(const struct service *s, struct service_stat *out)
{
	*out = s->stat;
	out->connections = s->open;
	out->output_bytes = s->output_bytes;
	out->input_bytes = s->input_bytes;
}
