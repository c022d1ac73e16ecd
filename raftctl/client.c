/*
 * client.c - the life of a call: where it is tried, when again, how it ends.
 */
#include "raftctl/client.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "raftctl/client_impl.h"

#define MS 1000000ull
#define CONNECT_MS_DEFAULT 1000
#define STALL_MS_DEFAULT 1000
#define BACKOFF_MIN_NS (5 * MS)
#define BACKOFF_MAX_NS (250 * MS) /* well under an election */
#define FRAME_LEN_DEFAULT \
	((size_t)WIRE_VALUE_LEN_MAX + WIRE_LIST_BYTES_MAX + WIRE_OVERHEAD_MAX)

uint64_t
client_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- the timer and the turn ------------------------------------------- */

static void
timer_arm(struct client_set *set, uint64_t at_ns)
{
	uint64_t now = client_now(), us;
	struct timeval tv;

	/* the loop's clock is a coarse one: less than this would spin */
	us = at_ns > now + MS ? (at_ns - now + 999) / 1000 : 1000;
	tv.tv_sec = (time_t)(us / 1000000);
	tv.tv_usec = (suseconds_t)(us % 1000000);
	event_add(&set->timer, &tv);
	set->timer_ns = at_ns;
}

void
client_wake_at(struct client_set *set, struct deadline *d, uint64_t at_ns)
{
	deadline_set(&set->deadlines, d, at_ns);
	if (at_ns < set->timer_ns)
		timer_arm(set, at_ns);
}

static void
timer_cb(evutil_socket_t fd, short what, void *ctx)
{
	struct client_set *set = ctx;
	struct deadline *d;
	uint64_t now = client_now();

	(void)fd;
	(void)what;
	set->timer_ns = UINT64_MAX;
	while (
	    (d = deadline_first(&set->deadlines)) != NULL && d->at_ns <= now) {
		deadline_cancel(&set->deadlines, d);
		d->expired_cb(d);
	}
	if (d != NULL && d->at_ns < set->timer_ns)
		timer_arm(set, d->at_ns);
}

void
client_kick(struct client *cl)
{
	if (cl->kicked)
		return;
	cl->kicked = true;
	if (TAILQ_EMPTY(&cl->set->kicked))
		event_active(&cl->set->flush, EV_WRITE, 0);
	TAILQ_INSERT_TAIL(&cl->set->kicked, cl, kick_link);
}

static uint64_t
backoff(struct client_set *set, uint32_t tries)
{
	uint64_t ns = BACKOFF_MIN_NS << (tries > 8 ? 8 : tries);

	if (ns > BACKOFF_MAX_NS)
		ns = BACKOFF_MAX_NS;
	/* xorshift: enough to keep many clients from marching in step */
	set->rng ^= set->rng << 13;
	set->rng ^= set->rng >> 7;
	set->rng ^= set->rng << 17;
	return ns / 2 + set->rng % (ns / 2);
}

/* ---- what went wrong -------------------------------------------------- */

void
client_blame(struct client *cl, enum wire_status status, const char *fmt, ...)
{
	va_list ap;

	cl->last.status = status;
	cl->last.message[0] = '\0';
	cl->last.leader[0] = '\0';
	va_start(ap, fmt);
	(void)vsnprintf(cl->last.cause, sizeof(cl->last.cause), fmt, ap);
	va_end(ap);
}

static void
rotate(struct client *cl)
{
	cl->current = (cl->current + 1) % cl->set->endpoint_count;
	cl->moved = true;
	client_kick(cl);
}

/* ---- the end of a call ------------------------------------------------ */

static void
call_unlink(struct call *call)
{
	struct client *cl = call->client;

	switch ((enum call_place)call->place) {
	case CALL_QUEUED:
		TAILQ_REMOVE(&cl->queue, call, link);
		break;
	case CALL_WAITING:
		TAILQ_REMOVE(&cl->waiting, call, link);
		break;
	case CALL_SENT:
		conn_forget(call->conn, call);
		break;
	}
}

static void
call_free(struct call *call)
{
	struct client_set *set = call->client->set;

	session_leave(call);
	deadline_cancel(&set->deadlines, &call->wake);
	set->deadline_users--;
	call->client->pending--;
	free(call);
}

/* The call was unlinked. */
static void
call_end(struct call *call, struct client_reply *reply)
{
	client_cb *cb = call->cb;
	void *ctx = call->ctx;

	reply->attempts = call->attempts;
	call_free(call);
	cb(reply, ctx);
}

static void
call_fail(struct call *call, const struct wire_error *e, const char *endpoint)
{
	struct client_reply reply = {.status = e->status, .error = e};

	reply.endpoint = endpoint;
	call_end(call, &reply);
}

/* A write of which nobody knows.  c is where it was sent, or NULL. */
static void
call_unknown(struct call *call, const struct conn *c, const char *message)
{
	struct wire_error e = {.status = WIRE_UNKNOWN};

	(void)snprintf(e.message, sizeof(e.message), "%s", message);
	memcpy(e.cause, call->client->last.cause, sizeof(e.cause));
	if (e.cause[0] == '\0' && c != NULL)
		(void)snprintf(e.cause, sizeof(e.cause), "%.200s: no answer",
		    c->endpoint->text);
	call_fail(call, &e, c == NULL ? NULL : c->endpoint->text);
}

/* The last word on a call whose last attempt was certainly not applied. */
static void
call_give_up(struct call *call)
{
	struct client *cl = call->client;
	struct wire_error e = cl->last;
	enum wire_status status = (enum wire_status)call->last_status;

	if (call->doubt) {
		call_unknown(
		    call, NULL, "sent, and no server tells the outcome");
		return;
	}
	/* the server's answer to this very call tells more than what
	 * happened to a connection since */
	if (status != WIRE_OK && status != e.status) {
		e.status = status;
		e.message[0] = '\0';
		e.leader[0] = '\0';
	}
	if (e.status == WIRE_OK)
		e.status = WIRE_UNREACHABLE;
	if (e.message[0] == '\0')
		(void)snprintf(e.message, sizeof(e.message), "%s",
		    e.status == WIRE_UNREACHABLE ? "no server answers"
						 : "not applied");
	call_fail(call, &e, NULL);
}

/* ---- again ------------------------------------------------------------ */

static void
call_queue(struct call *call)
{
	struct client *cl = call->client;

	call->place = CALL_QUEUED;
	TAILQ_INSERT_TAIL(&cl->queue, call, link);
	client_wake_at(cl->set, &call->wake, call->limit_ns);
	client_kick(cl);
}

static void
call_wait(struct call *call, uint64_t until_ns)
{
	struct client *cl = call->client;

	call->place = CALL_WAITING;
	TAILQ_INSERT_TAIL(&cl->waiting, call, link);
	client_wake_at(cl->set, &call->wake,
	    until_ns < call->limit_ns ? until_ns : call->limit_ns);
}

/* The call was unlinked, and was not applied or is a read. */
static void
call_retry(struct call *call, enum wire_status status)
{
	call->last_status = (uint8_t)status;
	if (call->flags & CLIENT_ONCE)
		call_give_up(call);
	else if (status == WIRE_UNREACHABLE && call->attempts <= 1)
		call_queue(call);
	else
		call_wait(call,
		    client_now() + backoff(call->client->set, call->attempts));
}

static bool
helps_elsewhere(enum wire_status status)
{
	return status == WIRE_NO_LEADER || status == WIRE_NO_QUORUM ||
	       status == WIRE_STOPPING || status == WIRE_UNREACHABLE ||
	       status == WIRE_UNKNOWN;
}

/* An attempt may have been carried out, and the next one will tell. */
static void
call_doubt(struct call *call)
{
	call->doubt = (call->flags & CLIENT_READ) == 0;
}

/* What an error means for a call whose earlier attempt is in doubt. */
static void
judge_error(struct call *call, struct wire_error *e)
{
	if (e->status == WIRE_SESSION && call->seq != 0 && !call->doubt) {
		session_lost(call->client, call);
		e->status = WIRE_NOT_APPLIED;
	} else if (e->status == WIRE_SESSION ||
		   (e->status == WIRE_NOSPACE && call->doubt)) {
		e->status = WIRE_UNKNOWN;
		call->flags |= CLIENT_ONCE;
	}
}

void
call_answered(struct call *call, const struct frame *f)
{
	struct client *cl = call->client;
	struct conn *c = call->conn;
	struct client_reply reply = {.status = WIRE_OK, .result = f->result};
	struct wire_error e;
	bool again;

	call_unlink(call);
	if (f->error.len == 1 && f->error.p[0] == 0xc0) {
		cl->last.status = WIRE_OK;
		cl->last.message[0] = cl->last.cause[0] = '\0';
		reply.endpoint = c->endpoint->text;
		call_end(call, &reply);
		return;
	}
	wire_read_error(f->error, &e);
	if (e.cause[0] == '\0')
		(void)snprintf(e.cause, sizeof(e.cause), "%.100s: %.140s",
		    c->endpoint->text, e.message);
	judge_error(call, &e);
	/* a full disk does not empty itself while somebody waits */
	again = wire_status_info(e.status)->retry && e.status != WIRE_NOSPACE;
	if (e.status == WIRE_UNKNOWN && call_is_repeatable(call)) {
		call_doubt(call);
		again = true;
	}
	if (!again || (call->flags & CLIENT_ONCE)) {
		call_fail(call, &e, c->endpoint->text);
		return;
	}
	cl->last = e;
	if (helps_elsewhere(e.status) && c == &cl->conns[cl->current])
		rotate(cl);
	/* not a read's business whether the server knows what became of it */
	call_retry(
	    call, e.status == WIRE_UNKNOWN ? WIRE_UNREACHABLE : e.status);
}

/* ---- time ------------------------------------------------------------- */

static void
call_expired(struct call *call)
{
	struct conn *c = call->conn;

	call_unlink(call);
	if (call->place != CALL_SENT) {
		call_give_up(call);
	} else if (call->flags & CLIENT_READ) {
		call->last_status = WIRE_UNREACHABLE;
		client_blame(call->client, WIRE_UNREACHABLE,
		    "%s: no answer in time", c->endpoint->text);
		call_give_up(call);
	} else /* even if it only stands in our buffer, it may yet go out */
		call_unknown(call, c, "sent, but not answered in time");
}

/* A server that has been silent for long is left for the next one: its
 * reads go along, its writes stay to the end. */
static void
call_stalled(struct call *call, uint64_t now)
{
	struct client *cl = call->client;
	struct conn *c = call->conn;

	if (cl->set->endpoint_count > 1 &&
	    now - c->heard_ns >= cl->set->stall_ns) {
		client_blame(
		    cl, WIRE_UNREACHABLE, "%s: no answer", c->endpoint->text);
		if (c == &cl->conns[cl->current])
			rotate(cl);
		if (call_is_repeatable(call) &&
		    (call->flags & CLIENT_ONCE) == 0) {
			call_doubt(call);
			call_unlink(call);
			call_queue(call);
			return;
		}
	}
	now += cl->set->stall_ns;
	client_wake_at(
	    cl->set, &call->wake, now < call->limit_ns ? now : call->limit_ns);
}

static void
call_wake_cb(struct deadline *d)
{
	struct call *call =
	    (struct call *)((char *)d - offsetof(struct call, wake));
	uint64_t now = client_now();

	if (now >= call->limit_ns)
		call_expired(call);
	else if (call->place == CALL_SENT)
		call_stalled(call, now);
	else {
		call_unlink(call);
		call_queue(call);
	}
}

/* ---- what connections report ------------------------------------------ */

void
client_endpoint_failed(struct client *cl, struct conn *c)
{
	if (c != &cl->conns[cl->current])
		return;
	rotate(cl);
	if (++cl->failed < cl->set->endpoint_count)
		return;
	cl->failed = 0;
	cl->connect_after_ns = client_now() + backoff(cl->set, cl->rounds);
	if (cl->rounds < UINT16_MAX)
		cl->rounds++;
}

void
client_connection_lost(struct client *cl, struct conn *c)
{
	struct call *call;
	bool sent;

	if (c->answered && c == &cl->conns[cl->current])
		rotate(cl);
	while ((call = TAILQ_FIRST(&c->calls)) != NULL) {
		/* a server cannot have acted on half a message */
		sent = c->written_total >= call->out_end;
		call_unlink(call);
		if (sent && call_is_repeatable(call))
			call_doubt(call);
		if (!sent || call_is_repeatable(call))
			call_retry(call, WIRE_UNREACHABLE);
		else
			call_unknown(
			    call, c, "sent, then the connection broke");
	}
}

/* ---- the turn --------------------------------------------------------- */

static void
close_idle(struct client *cl)
{
	struct conn *c;

	cl->moved = false;
	for (unsigned i = 0; i < cl->set->endpoint_count; i++) {
		c = &cl->conns[i];
		if (i == cl->current || c->state == CONN_CLOSED)
			continue;
		if (TAILQ_EMPTY(&c->calls))
			conn_close(c);
		else
			cl->moved = true;
	}
}

/* All servers have just failed: nobody gets to try before the time. */
static void
hold_queue(struct client *cl)
{
	struct call *call;

	while ((call = TAILQ_FIRST(&cl->queue)) != NULL) {
		call_unlink(call);
		if (call->flags & CLIENT_ONCE)
			call_give_up(call);
		else
			call_wait(call, cl->connect_after_ns);
	}
}

static void
send_queue(struct client *cl, struct conn *c)
{
	struct call *call;
	uint64_t now = client_now(), wake = now + cl->set->stall_ns;
	unsigned count = 0;

	while ((call = TAILQ_FIRST(&cl->queue)) != NULL) {
		/* until hello was answered, which wakes us */
		if (!session_admit(cl, call))
			break;
		TAILQ_REMOVE(&cl->queue, call, link);
		if (!conn_send(c, call)) {
			TAILQ_INSERT_HEAD(&cl->queue, call, link);
			break;
		}
		call->place = CALL_SENT;
		call->attempts++;
		call->sent_ns = now;
		if (call->limit_ns > wake)
			client_wake_at(cl->set, &call->wake, wake);
		count++;
	}
	conn_flush(c);
	if (count > 0 && call != NULL && !c->write_armed)
		client_kick(cl);
}

static void
client_turn(struct client *cl)
{
	struct conn *c;

	if (cl->moved)
		close_idle(cl);
	if (TAILQ_EMPTY(&cl->queue))
		return;
	c = &cl->conns[cl->current];
	if (c->state == CONN_CLOSED) {
		if (client_now() < cl->connect_after_ns) {
			hold_queue(cl);
			return;
		}
		conn_open(c);
	}
	if (c == &cl->conns[cl->current] && c->state == CONN_OPEN)
		send_queue(cl, c);
}

static void
flush_cb(evutil_socket_t fd, short what, void *ctx)
{
	struct client_set *set = ctx;
	struct client_list list = TAILQ_HEAD_INITIALIZER(list);
	struct client *cl;

	(void)fd;
	(void)what;
	/* who is kicked from here on has the next turn */
	TAILQ_CONCAT(&list, &set->kicked, kick_link);
	while ((cl = TAILQ_FIRST(&list)) != NULL) {
		TAILQ_REMOVE(&list, cl, kick_link);
		cl->kicked = false;
		client_turn(cl);
	}
}

/* ---- public ----------------------------------------------------------- */

int
client_set_new(struct event_base *base, const struct client_config *config,
    struct client_set **out, struct errtext *et)
{
	struct client_set *set;
	int r;

	set = calloc(1, sizeof(*set));
	if (set == NULL)
		return -ENOMEM;
	r = endpoint_parse_list(
	    config->endpoints, &set->endpoints, &set->endpoint_count, et);
	if (r < 0) {
		free(set);
		return r;
	}
	set->base = base;
	set->connect_ns = MS * (config->connect_ms == 0 ? CONNECT_MS_DEFAULT
							: config->connect_ms);
	set->stall_ns =
	    MS * (config->stall_ms == 0 ? STALL_MS_DEFAULT : config->stall_ms);
	set->frame_len_max = config->frame_len_max == 0 ? FRAME_LEN_DEFAULT
							: config->frame_len_max;
	set->timer_ns = UINT64_MAX;
	set->rng = client_now() | 1;
	TAILQ_INIT(&set->kicked);
	event_assign(&set->timer, base, -1, EV_TIMEOUT, timer_cb, set);
	event_assign(&set->flush, base, -1, 0, flush_cb, set);
	*out = set;
	return 0;
}

void
client_set_free(struct client_set *set)
{
	if (set == NULL)
		return;
	assert(set->client_count == 0);
	event_del(&set->timer);
	event_del(&set->flush);
	deadlines_release(&set->deadlines);
	free(set->endpoints);
	free(set);
}

struct client *
client_new(struct client_set *set, unsigned first)
{
	unsigned n = set->endpoint_count;
	struct client *cl;

	if (deadlines_reserve(&set->deadlines, set->deadline_users + n) < 0)
		return NULL;
	cl = calloc(1, sizeof(*cl));
	if (cl == NULL)
		return NULL;
	cl->conns = calloc(n, sizeof(*cl->conns));
	if (cl->conns == NULL) {
		free(cl);
		return NULL;
	}
	cl->set = set;
	cl->current = first % n;
	TAILQ_INIT(&cl->queue);
	TAILQ_INIT(&cl->waiting);
	session_init(cl);
	for (unsigned i = 0; i < n; i++)
		conn_init(&cl->conns[i], cl, &set->endpoints[i]);
	set->deadline_users += n;
	set->client_count++;
	return cl;
}

static void
drop_calls(struct call_list *list)
{
	struct call *call;

	while ((call = TAILQ_FIRST(list)) != NULL) {
		call_unlink(call);
		call_free(call);
	}
}

void
client_free(struct client *cl)
{
	struct client_set *set;

	if (cl == NULL)
		return;
	set = cl->set;
	drop_calls(&cl->queue);
	drop_calls(&cl->waiting);
	for (unsigned i = 0; i < set->endpoint_count; i++) {
		drop_calls(&cl->conns[i].calls);
		conn_release(&cl->conns[i]);
	}
	assert(cl->pending == 0);
	if (cl->kicked)
		TAILQ_REMOVE(&set->kicked, cl, kick_link);
	set->deadline_users -= set->endpoint_count;
	set->client_count--;
	free(cl->conns);
	free(cl);
}

void
client_on_notify(struct client *cl, client_notify_cb *cb, void *ctx)
{
	cl->notify = cb;
	cl->notify_ctx = ctx;
}

void
client_leave(struct client *cl)
{
	rotate(cl);
}

size_t
client_pending(const struct client *cl)
{
	return cl->pending;
}

int
client_call(struct client *cl, const char *method, struct mp_span params,
    unsigned flags, uint32_t timeout_ms, client_cb *cb, void *ctx)
{
	struct client_set *set = cl->set;
	size_t method_len = strlen(method), head;
	struct call *call;

	/* a method's name is a fixstr, which needs no packer */
	assert(method_len < 32);
	if (deadlines_reserve(&set->deadlines, set->deadline_users + 1) < 0)
		return -ENOMEM;
	head = 1 + method_len;
	call = malloc(sizeof(*call) + head + (params.len > 0 ? params.len : 1));
	if (call == NULL)
		return -ENOMEM;
	memset(call, 0, sizeof(*call));
	call->data[0] = (uint8_t)(0xa0 | method_len);
	memcpy(call->data + 1, method, method_len);
	if (params.len > 0)
		memcpy(call->data + head, params.p, params.len);
	else
		call->data[head] = 0x90; /* [] */
	call->len = head + (params.len > 0 ? params.len : 1);
	call->client = cl;
	call->cb = cb;
	call->ctx = ctx;
	call->flags = (uint8_t)flags;
	call->wake.expired_cb = call_wake_cb;
	call->limit_ns = client_now() + timeout_ms * MS;
	set->deadline_users++;
	cl->pending++;
	call_queue(call);
	return 0;
}
