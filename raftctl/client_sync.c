/*
 * client_sync.c - one call after the other, for commands.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/client.h"

struct client_sync {
	struct event_base *base;
	struct client_set *set;
	struct client *client;
};

struct waiter {
	struct client_answer *answer;
	bool done;
};

int
client_sync_open(const struct client_config *config, struct client_sync **out,
    struct errtext *et)
{
	struct client_sync *s;
	int r = -ENOMEM;

	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return -ENOMEM;
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
