/*
 * client_sync.c - one call after the other, for commands.
 */
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "raftctl/client.h"

struct kept {
	STAILQ_ENTRY(kept) link;
	struct client_notice notice;
};

/* NOTE: what is kept is what one turn of the loop brings, and the loop runs
 * only when nothing is kept or during a call: a socket that is not read holds
 * back its server. */
struct client_sync {
	struct event_base *base;
	struct client_set *set;
	struct client *client;
	STAILQ_HEAD(, kept) kept;
	bool lost;   /* a connection has gone */
	bool failed; /* no memory */
};

struct waiter {
	struct client_answer *answer;
	bool done;
};

static void
drop_kept(struct client_sync *s)
{
	struct kept *k;

	while ((k = STAILQ_FIRST(&s->kept)) != NULL) {
		STAILQ_REMOVE_HEAD(&s->kept, link);
		mp_buf_release(&k->notice.method);
		mp_buf_release(&k->notice.params);
		free(k);
	}
}

static void
notify_cb(const struct frame *f, void *ctx)
{
	struct client_sync *s = ctx;
	struct kept *k;

	if (f == NULL) {
		s->lost = true;
		return;
	}
	if (s->failed)
		return;
	k = calloc(1, sizeof(*k));
	if (k == NULL) {
		s->failed = true;
		return;
	}
	mp_put_raw(&k->notice.method, f->method.p, f->method.len);
	mp_put_raw(&k->notice.params, f->params.p, f->params.len);
	s->failed = k->notice.method.failed || k->notice.params.failed;
	STAILQ_INSERT_TAIL(&s->kept, k, link);
}

int
client_sync_open(const struct client_config *config, struct client_sync **out,
    struct errtext *et)
{
	struct client_sync *s;
	int r = -ENOMEM;

	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
	STAILQ_INIT(&s->kept);
	s->base = event_base_new();
	if (s->base == NULL)
		goto fail;
	r = client_set_new(s->base, config, &s->set, et);
	if (r < 0)
		goto fail;
	r = -ENOMEM;
	s->client = client_new(s->set, 0);
	if (s->client == NULL)
		goto fail;
	client_on_notify(s->client, notify_cb, s);
	*out = s;
	return 0;
fail:
	client_sync_close(s);
	return r;
}

void
client_sync_close(struct client_sync *s)
{
	if (s == NULL)
		return;
	client_free(s->client);
	drop_kept(s);
	client_set_free(s->set);
	if (s->base != NULL)
		event_base_free(s->base);
	free(s);
}

static void
done_cb(const struct client_reply *reply, void *ctx)
{
	struct waiter *w = ctx;
	struct client_answer *a = w->answer;

	w->done = true;
	a->status = reply->status;
	if (reply->error != NULL)
		a->error = *reply->error;
	mp_put_raw(&a->result, reply->result.p, reply->result.len);
	if (a->result.failed) {
		a->status = a->error.status = WIRE_BUG;
		(void)snprintf(a->error.message, sizeof(a->error.message),
		    "no memory for an answer of %zu bytes", reply->result.len);
	}
	if (reply->endpoint != NULL)
		(void)snprintf(
		    a->endpoint, sizeof(a->endpoint), "%s", reply->endpoint);
}

enum wire_status
client_sync_call(struct client_sync *s, const char *method,
    struct mp_span params, unsigned flags, uint32_t timeout_ms,
    struct client_answer *a)
{
	struct waiter w = {a, false};

	memset(a, 0, sizeof(*a));
	mp_buf_init(&a->result);
	if (client_call(s->client, method, params, flags, timeout_ms, done_cb,
		&w) < 0) {
		a->status = a->error.status = WIRE_BUG;
		(void)snprintf(
		    a->error.message, sizeof(a->error.message), "no memory");
		return a->status;
	}
	while (!w.done)
		if (event_base_loop(s->base, EVLOOP_ONCE) != 0 && !w.done)
			abort(); /* a call has a deadline, so an event */
	return a->status;
}

static void
expired_cb(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	*(bool *)ctx = true;
}

int
client_sync_next(
    struct client_sync *s, uint64_t wait_ms, struct client_notice *notice)
{
	struct timeval tv = {
	    (time_t)(wait_ms / 1000), (suseconds_t)(wait_ms % 1000 * 1000)};
	struct event timer;
	bool late = false;
	struct kept *k;

	evtimer_assign(&timer, s->base, expired_cb, &late);
	evtimer_add(&timer, &tv);
	while (STAILQ_EMPTY(&s->kept) && !s->lost && !s->failed && !late)
		if (event_base_loop(s->base, EVLOOP_ONCE) != 0)
			break;
	evtimer_del(&timer);
	k = STAILQ_FIRST(&s->kept);
	if (k != NULL) {
		STAILQ_REMOVE_HEAD(&s->kept, link);
		*notice = k->notice;
		free(k);
		return 1;
	}
	if (!s->lost && !s->failed)
		return 0;
	s->lost = s->failed = false;
	return -EPIPE;
}

void
client_sync_found(struct client_sync *s)
{
	s->lost = false;
}

void
client_sync_leave(struct client_sync *s)
{
	client_leave(s->client);
}
