/*
 * client_session.c - the session of a client: writes that may be sent again.
 *
 * A session is a name that nobody else uses, the replicated time at which it
 * began, as the answer to hello tells it, and numbers.  A call gets its
 * number when it is sent first and keeps it.  When the servers have forgotten
 * the session, the client begins another one, whose name ends in the next
 * epoch.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "raftctl/client_impl.h"

#define OPTIONS 4 /* session, seq, ack, since */

void
session_init(struct client *cl)
{
	uint64_t random = client_now() ^ (uintptr_t)cl;

	(void)getrandom(&random, sizeof(random), GRND_NONBLOCK);
	(void)snprintf(cl->session_base, sizeof(cl->session_base), "%016llx",
	    (unsigned long long)random);
	TAILQ_INIT(&cl->session_calls);
}

void
session_hello(struct client *cl, struct mp_span result)
{
	struct mp_cur c = mp_cur_span(result);
	struct mp_map m;

	if (cl->session_state == SESSION_READY)
		return;
	cl->session_state = mp_read_mapping(&c, &m) == 0 &&
				    mp_get_u64(&m, "time", &cl->since) == 0
				? SESSION_READY
				: SESSION_NONE;
	client_kick(cl);
}

bool
session_admit(struct client *cl, struct call *call)
{
	if ((call->flags & CLIENT_SESSION) == 0 || call->seq != 0 ||
	    cl->session_state == SESSION_NONE)
		return true;
	if (cl->session_state == SESSION_WANTED)
		return false;
	call->seq = ++cl->last_seq;
	call->epoch = cl->epoch;
	call->since = cl->since;
	TAILQ_INSERT_TAIL(&cl->session_calls, call, session_link);
	return true;
}

void
session_leave(struct call *call)
{
	if (call->seq == 0)
		return;
	TAILQ_REMOVE(&call->client->session_calls, call, session_link);
	call->seq = 0;
}

void
session_lost(struct client *cl, struct call *call)
{
	struct conn *c = &cl->conns[cl->current];

	if (call->epoch == cl->epoch) {
		cl->epoch++;
		cl->last_seq = 0;
		cl->session_state = SESSION_WANTED;
		if (c->state == CONN_OPEN)
			conn_hello(c);
	}
	session_leave(call);
}

static uint64_t
lowest_open(const struct call *call)
{
	const struct call *c;

	TAILQ_FOREACH (c, &call->client->session_calls, session_link)
		if (c->epoch == call->epoch)
			return c->seq;
	return call->seq;
}

static void
put_session(struct mp_buf *b, const struct call *call)
{
	char id[32];

	(void)snprintf(
	    id, sizeof(id), "%s.%u", call->client->session_base, call->epoch);
	mp_put_kv_str(b, "session", id);
	mp_put_kv_u64(b, "seq", call->seq);
	mp_put_kv_u64(b, "ack", lowest_open(call));
	mp_put_kv_u64(b, "since", call->since);
}

void
session_put_call(struct mp_buf *b, struct call *call)
{
	struct mp_cur c = mp_cur(call->data, call->len);
	struct mp_span raw;
	uint32_t params = 0, pairs = 0;
	int r;

	if (mp_read_raw(&c, &raw) < 0)
		return;
	mp_put_raw(b, raw.p, raw.len);
	r = mp_read_array(&c, &params);
	assert(r == 0 && params > 0);
	mp_put_array(b, params);
	while (params-- > 1 && mp_read_raw(&c, &raw) == 0)
		mp_put_raw(b, raw.p, raw.len);
	r = mp_read_map(&c, &pairs);
	assert(r == 0);
	mp_put_map(b, pairs + OPTIONS);
	mp_put_raw(b, c.p, (size_t)(c.end - c.p));
	put_session(b, call);
}

bool
call_is_repeatable(const struct call *call)
{
	return (call->flags & (CLIENT_READ | CLIENT_IDEMPOTENT)) != 0 ||
	       call->seq != 0;
}
