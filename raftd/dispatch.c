/*
 * dispatch.c - requests: what they are, where they wait, how they end.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "raftd/fsm/kv.h"
#include "raftd/snapshot.h"
#include "raftd/strain.h"
#include "raftd/watchers.h"

/* After "not I" from a server that we took for the leader. */
#define RETRY_NS (5u * 1000 * 1000)

/* ---- queues ------------------------------------------------------------ */

static bool
may_move(enum request_state from, enum request_state to)
{
	static const uint16_t allowed[REQUEST_STATE_COUNT] = {
	    [REQUEST_FREE] = 1 << REQUEST_WAITING | 1 << REQUEST_READY |
			     1 << REQUEST_WATCHING | 1 << REQUEST_AWAITING,
	    [REQUEST_WAITING] = 1 << REQUEST_PENDING | 1 << REQUEST_FORWARDED |
				1 << REQUEST_READING | 1 << REQUEST_READY |
				1 << REQUEST_CHANGING,
	    [REQUEST_CHANGING] = 1 << REQUEST_WAITING,
	    [REQUEST_PENDING] = 1 << REQUEST_WAITING,
	    [REQUEST_FORWARDED] = 1 << REQUEST_WAITING,
	    [REQUEST_READING] = 1 << REQUEST_READY | 1 << REQUEST_WAITING,
	    [REQUEST_READY] = 1 << REQUEST_WAITING,
	};

	return (allowed[from] >> to & 1) != 0;
}

static void
count_bytes(struct group *g, struct request *r, bool counted)
{
	if (r->kind != REQUEST_COMMAND || r->counted == counted)
		return;
	r->counted = counted;
	if (counted)
		g->host->request_bytes += r->len;
	else
		g->host->request_bytes -= r->len;
}

static void
unqueue(struct group *g, struct request *r)
{
	if (r->state == REQUEST_FREE)
		return;
	TAILQ_REMOVE(&g->queue[r->state], r, link);
	g->queued[r->state]--;
}

/* PENDING is sorted by index; a new one nearly always goes to the end. */
static void
insert_pending(struct group *g, struct request *r)
{
	struct request_queue *q = &g->queue[REQUEST_PENDING];
	struct request *at = TAILQ_LAST(q, request_queue);

	while (at != NULL && at->index > r->index)
		at = TAILQ_PREV(at, request_queue, link);
	if (at != NULL)
		TAILQ_INSERT_AFTER(q, at, r, link);
	else
		TAILQ_INSERT_HEAD(q, r, link);
}

void
dispatch_move(struct group *g, struct request *r, enum request_state to)
{
	assert(may_move(r->state, to));
	unqueue(g, r);
	r->state = to;
	g->queued[to]++;
	count_bytes(g, r, to == REQUEST_WAITING || to == REQUEST_FORWARDED);
	if (to == REQUEST_PENDING)
		insert_pending(g, r);
	else
		TAILQ_INSERT_TAIL(&g->queue[to], r, link);
}

/* ---- answers ----------------------------------------------------------- */

struct mp_buf *
answer_begin(struct host *h, const struct request *r)
{
	mp_buf_reset(&h->reply);
	if (r->client != 0)
		frame_put_ok(&h->reply, r->msgid);
	return &h->reply;
}

static void
finish(struct group *g, struct request *r)
{
	count_bytes(g, r, false);
	unqueue(g, r);
	members_forget(g, r);
	request_free(&g->host->pool, r);
}

static void
send_to_peer(struct host *h, const struct request *r, enum wire_status status,
    const char *text, const struct mp_buf *result)
{
	struct answer a = {.group = h->group->id,
	    .boot = r->peer_boot,
	    .id = r->msgid,
	    .status = status,
	    .text = mp_span(text, strlen(text)),
	    .result = result != NULL ? mp_span(result->data, result->len)
				     : mp_span("", 0)};
	struct piece piece;

	mp_buf_reset(&h->wire);
	answer_put(&h->wire, &a);
	piece = (struct piece){NULL, h->wire.data, h->wire.len};
	if (!h->wire.failed)
		h->env.peer_send(h->env.ctx, r->peer, &piece, 1);
}

void
answer_ok(struct group *g, struct request *r)
{
	struct host *h = g->host;
	struct piece piece = {NULL, h->reply.data, h->reply.len};

	if (h->reply.failed)
		host_fail(h, 71, "out of memory");
	else if (r->client == 0)
		send_to_peer(h, r, WIRE_OK, "", &h->reply);
	else if (!r->is_notify)
		h->env.client_send(h->env.ctx, r->client, &piece, 1);
	finish(g, r);
}

void
answer_send_error(
    struct host *h, const struct request *r, const struct wire_error *err)
{
	struct wire_error e = *err;
	struct peer *leader = host_peer(h, h->group->st.leader);
	struct piece piece;

	if (r->client == 0) {
		send_to_peer(h, r, e.status, e.message, NULL);
		return;
	}
	if (r->is_notify)
		return;
	if (e.leader[0] == '\0' && leader != NULL)
		(void)snprintf(e.leader, sizeof(e.leader), "%.*s",
		    (int)sizeof(e.leader) - 1, leader->client);
	mp_buf_reset(&h->wire);
	frame_put_error(&h->wire, r->msgid);
	wire_put_error(&h->wire, &e, r->as_map);
	mp_put_nil(&h->wire);
	piece = (struct piece){NULL, h->wire.data, h->wire.len};
	if (!h->wire.failed)
		h->env.client_send(h->env.ctx, r->client, &piece, 1);
}

void
answer_failed(struct group *g, struct request *r, const struct wire_error *err)
{
	struct wire_error e = *err;

	/* What holds for this copy may not hold for the one before. */
	if (r->doubt &&
	    (wire_status_info(e.status)->retry || e.status == WIRE_SESSION))
		e.status = WIRE_UNKNOWN;
	answer_send_error(g->host, r, &e);
	finish(g, r);
}

void
answer_error(struct group *g, struct request *r, enum wire_status status,
    const char *fmt, ...)
{
	struct wire_error err = {.status = status};
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(err.message, sizeof(err.message), fmt, ap);
	va_end(ap);
	answer_failed(g, r, &err);
}

/* ---- arrival ----------------------------------------------------------- */

static bool
classify(struct request *r)
{
	static const struct {
		const char *name;
		enum request_kind kind;
	} own[] = {
	    {"status", REQUEST_STATUS},
	    {"members", REQUEST_MEMBERS},
	    {"member.change", REQUEST_CHANGE},
	    {"transfer", REQUEST_TRANSFER},
	    {"rpc.discover", REQUEST_DISCOVER},
	    {"snapshot", REQUEST_SNAPSHOT},
	    {"watch", REQUEST_SUBSCRIBE},
	    {"watch.cancel", REQUEST_UNSUBSCRIBE},
	    {"compact", REQUEST_COMPACT},
	    {"snapshot.read", REQUEST_SNAPSHOT_READ},
	    {"log.read", REQUEST_LOG_READ},
	};

	for (const struct fsm_method *m = kv_methods; m->name != NULL; m++) {
		if (!mp_span_eq(r->method, m->name))
			continue;
		r->kind = m->kind == FSM_COMMAND ? REQUEST_COMMAND
			  : m->kind == FSM_WATCH ? REQUEST_WATCH
			  : m->kind == FSM_WAIT	 ? REQUEST_AWAIT
						 : REQUEST_QUERY;
		return true;
	}
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		if (!mp_span_eq(r->method, own[i].name))
			continue;
		r->kind = own[i].kind;
		return true;
	}
	return false;
}

/* The options `read` and `max_stale` of a query: NULL, or what is wrong. */
static const char *
read_mode(struct group *g, struct request *r)
{
	struct mp_cur cur = mp_cur_span(r->params);
	struct mp_span mode = mp_span("linearizable", 12);
	uint64_t now = g->host->now.mono_ns, max_ms = UINT64_MAX;
	struct mp_map opts;
	uint32_t count;

	if (mp_read_array(&cur, &count) < 0)
		return "parameters must be an array";
	if (count >= 2 && mp_skip(&cur) == 0 && mp_peek(&cur) == MP_MAP &&
	    (mp_read_mapping(&cur, &opts) < 0 ||
		mp_opt_bytes(&opts, "read", &mode, 32) < 0 ||
		mp_opt_u64(&opts, "max_stale", &max_ms) < 0))
		return "options: read is text, max_stale milliseconds";
	if (mp_span_eq(mode, "stale"))
		r->kind = REQUEST_STALE;
	else if (mp_span_eq(mode, "lease"))
		r->leased = true;
	else if (!mp_span_eq(mode, "linearizable"))
		return "options: read is linearizable, lease or stale";
	if (max_ms == UINT64_MAX)
		return NULL;
	if (r->kind != REQUEST_STALE)
		return "options: max_stale goes with stale reads";
	/* What is applied here was all that there was, so long ago.  Whoever
	 * cannot say so asks the leader, and can say it for a while. */
	if (g->fresh_ns == 0 || (now - g->fresh_ns) / 1000000 >= max_ms)
		r->kind = REQUEST_QUERY;
	return NULL;
}

/* The server's own limits, which may be below those of the protocol. */
static bool
fits(struct host *h, struct request *r, struct wire_error *err)
{
	struct mp_cur cur = mp_cur_span(r->params);
	size_t value_max = h->opt.value_len_max;
	struct mp_span key, value;
	uint32_t count;

	if (mp_read_array(&cur, &count) == 0 && count >= 2 &&
	    mp_read_bytes(&cur, &key) == 0 &&
	    mp_read_bytes(&cur, &value) == 0) {
		if (key.len > h->opt.key_len_max) {
			(void)snprintf(err->message, sizeof(err->message),
			    "key is %zu bytes, the limit is %zu", key.len,
			    h->opt.key_len_max);
			return false;
		}
		if (value.len > value_max) {
			(void)snprintf(err->message, sizeof(err->message),
			    "value is %zu bytes, the limit is %zu", value.len,
			    value_max);
			return false;
		}
	}
	if (r->len > value_max + WIRE_OVERHEAD_MAX) {
		(void)snprintf(err->message, sizeof(err->message),
		    "request is %u bytes, the limit is %zu", r->len,
		    value_max + WIRE_OVERHEAD_MAX);
		return false;
	}
	return true;
}

static enum wire_status
admit(struct group *g, struct request *r, struct wire_error *err)
{
	struct fsm_command c = {.method = r->method, .params = r->params};
	const char *why;

	if (r->kind == REQUEST_COMMAND) {
		if (!fits(g->host, r, err))
			return WIRE_TOO_LARGE;
		return g->ops->admit(&c, err);
	}
	why = r->kind == REQUEST_QUERY ? read_mode(g, r) : NULL;
	if (why != NULL) {
		(void)snprintf(err->message, sizeof(err->message), "%s", why);
		return WIRE_USAGE;
	}
	return WIRE_OK;
}

/* How long a watch may wait for its first event. */
static void
begin_watch(struct group *g, struct request *r)
{
	struct mp_cur cur = mp_cur_span(r->params);
	uint64_t wait_ms = WATCH_WAIT_DEFAULT_MS;
	struct mp_map opts;
	uint32_t count;

	if (mp_read_array(&cur, &count) == 0 && count >= 2 &&
	    mp_skip(&cur) == 0 && mp_read_mapping(&cur, &opts) == 0)
		(void)mp_opt_u64(&opts, "wait", &wait_ms);
	if (wait_ms > WATCH_WAIT_MAX_MS)
		wait_ms = WATCH_WAIT_MAX_MS;
	r->until_ns = g->host->now.mono_ns + wait_ms * 1000000;
	if (r->kind == REQUEST_AWAIT) {
		dispatch_move(g, r, REQUEST_AWAITING);
		g->waits = UINT64_MAX;
		return;
	}
	r->since = UINT64_MAX;
	dispatch_move(g, r, REQUEST_WATCHING);
	g->watch_rev = UINT64_MAX; /* it has to be looked at */
}

/* Copies the call behind room for a record's header. */
static int
keep_call(struct host *h, struct request *r, struct mp_span call)
{
	struct blob **arena =
	    r->kind == REQUEST_COMMAND ? &h->arena : &h->scratch;
	size_t room = record_size((uint32_t)call.len), offset = 0;
	struct mp_cur cur;
	struct blob *b;

	/* What stays for long must not keep an arena from being freed. */
	if (r->kind == REQUEST_WATCH || r->kind == REQUEST_AWAIT)
		r->blob = b = blob_new(room);
	else
		b = arena_room(arena, room, &offset);
	if (b == NULL)
		return -1;
	memcpy(b->data + offset + RECORD_HEADER_LEN, call.p, call.len);
	b->len = offset + room;
	if (r->blob == NULL)
		r->blob = blob_ref(b);
	r->offset = (uint32_t)(offset + RECORD_HEADER_LEN);
	cur = mp_cur(b->data + r->offset, call.len);
	return mp_read_bytes(&cur, &r->method) < 0 ||
		       mp_read_raw(&cur, &r->params) < 0
		   ? -1
		   : 0;
}

static bool
is_call(struct request *r, struct mp_span call)
{
	struct mp_cur cur = mp_cur_span(call);

	return call.len <= RECORD_PAYLOAD_MAX &&
	       mp_read_bytes(&cur, &r->method) == 0 &&
	       mp_scan(cur.p, (size_t)(cur.end - cur.p)) == 0 &&
	       mp_peek(&cur) == MP_ARRAY && mp_read_raw(&cur, &r->params) == 0;
}

void
dispatch_call(struct host *h, struct request *r, struct mp_span call)
{
	struct group *g = h->group;
	struct wire_error err = {0};

	r->arrived_ns = h->now.mono_ns;
	/* A peer's call is bytes that no frame reader has judged. */
	if (!is_call(r, call)) {
		answer_error(g, r, WIRE_USAGE, "not a method and parameters");
		return;
	}
	r->len = (uint32_t)call.len;
	if (!classify(r)) {
		answer_error(g, r, WIRE_METHOD, "no method '%.*s'",
		    (int)(r->method.len < 64 ? r->method.len : 64),
		    (const char *)r->method.p);
		return;
	}
	if (h->stopping && r->kind != REQUEST_STATUS) {
		answer_error(g, r, WIRE_STOPPING, "the server is stopping");
		return;
	}
	err.status = admit(g, r, &err);
	if (err.status != WIRE_OK) {
		answer_failed(g, r, &err);
		return;
	}
	if (keep_call(h, r, call) < 0) {
		answer_error(g, r, WIRE_BUSY, "out of memory");
		return;
	}
	switch (r->kind) {
	case REQUEST_COMMAND:
	case REQUEST_QUERY:
	case REQUEST_MEMBERS:
	case REQUEST_CHANGE:
	case REQUEST_TRANSFER:
		dispatch_move(g, r, REQUEST_WAITING);
		break;
	case REQUEST_SNAPSHOT:
	case REQUEST_COMPACT:
		snapshot_request(g, r);
		break;
	case REQUEST_SNAPSHOT_READ:
		snapserve_request(g, r);
		break;
	case REQUEST_LOG_READ:
		logserve_request(g, r);
		break;
	case REQUEST_STALE:
	case REQUEST_STATUS:
	case REQUEST_DISCOVER:
		dispatch_move(g, r, REQUEST_READY); /* at index 0 */
		break;
	case REQUEST_SUBSCRIBE:
	case REQUEST_UNSUBSCRIBE:
		watchers_request(g, r);
		break;
	case REQUEST_WATCH:
	case REQUEST_AWAIT:
		begin_watch(g, r);
		break;
	}
}

/* ---- the turn ---------------------------------------------------------- */

static void
forward_one(struct group *g, struct request *r, uint64_t leader)
{
	struct host *h = g->host;
	struct forward f = {.group = g->id,
	    .boot = h->identity.boot,
	    .id = r->name,
	    .call = mp_span(r->blob->data + r->offset, r->len)};
	struct piece piece;

	mp_buf_reset(&h->wire);
	forward_put(&h->wire, &f);
	if (h->wire.failed)
		return;
	piece = (struct piece){NULL, h->wire.data, h->wire.len};
	h->env.peer_send(h->env.ctx, leader, &piece, 1);
	r->sent_to = leader;
	dispatch_move(g, r, REQUEST_FORWARDED);
}

static void
forward_all(struct group *g)
{
	struct host *h = g->host;
	struct request *r, *tmp;

	TAILQ_FOREACH_SAFE (r, &g->queue[REQUEST_WAITING], link, tmp) {
		/* A read is served here if it may be, unless we cannot
		 * follow. */
		if (r->retry_ns > h->now.mono_ns ||
		    (r->kind == REQUEST_QUERY && !h->strain.is_short &&
			h->opt.follower_reads == FOLLOWER_READS_LOCAL))
			continue;
		if (r->client == 0) {
			/* One hop only: two servers that take each other
			 * for the leader must not play ball. */
			answer_error(g, r, WIRE_NO_LEADER, "not the leader");
			continue;
		}
		if (r->kind == REQUEST_QUERY &&
		    h->opt.follower_reads == FOLLOWER_READS_REFUSE) {
			answer_error(g, r, WIRE_NO_LEADER,
			    "this server reads only while it leads");
			continue;
		}
		if (h->env.peer_backlog(h->env.ctx, g->st.leader) >
		    PEER_BACKLOG_MAX)
			return;
		forward_one(g, r, g->st.leader);
	}
}

/* min_insync: a write that too few would keep is not taken at all. */
static void
refuse_writes(struct group *g)
{
	struct request *r, *tmp;

	TAILQ_FOREACH_SAFE (r, &g->queue[REQUEST_WAITING], link, tmp)
		if (r->kind == REQUEST_COMMAND)
			answer_error(g, r, WIRE_BUSY,
			    "fewer than %llu voters are in sync",
			    (unsigned long long)g->host->opt.min_insync);
}

static void
refuse_full(struct group *g)
{
	struct request *r, *tmp;

	TAILQ_FOREACH_SAFE (r, &g->queue[REQUEST_WAITING], link, tmp)
		if (r->kind == REQUEST_COMMAND)
			answer_error(g, r, WIRE_NOSPACE, "%s",
			    g->host->strain.is_short
				? "the leader's disk is full"
				: "the disks of a majority are full");
}

static void
lead(struct group *g)
{
	struct host *h = g->host;
	struct request *r, *tmp;
	enum strain_gate gate;

	TAILQ_FOREACH_SAFE (r, &g->queue[REQUEST_WAITING], link, tmp) {
		if (r->kind == REQUEST_MEMBERS) {
			r->index = 0;
			dispatch_move(g, r, REQUEST_READY);
		}
	}
	if (!members_enough(g))
		refuse_writes(g);
	gate = strain_gate(g);
	if (gate == STRAIN_REFUSE)
		refuse_full(g);
	if (gate == STRAIN_GO && strain_takes_jobs(h) &&
	    h->bytes_out < STORE_BYTES_MAX)
		group_propose(g);
	group_read(g);
	/* Refused although we lead: too much is waiting for a majority. */
	TAILQ_FOREACH_SAFE (r, &g->queue[REQUEST_WAITING], link, tmp) {
		raft_status(g->raft, &g->st);
		if (g->st.role != RAFT_LEADER ||
		    g->st.uncommitted_bytes + r->len <=
			h->opt.uncommitted_bytes_max)
			return;
		if (r->kind == REQUEST_COMMAND)
			answer_error(g, r, WIRE_BUSY,
			    "too much is waiting for a majority");
	}
}

/*
 * Nobody to ask.  An election takes up to two timeouts, and requests wait for
 * its end.  When it takes longer there is no quorum, and a client is better
 * told at once that nothing happened than left to guess when its patience
 * ends.
 */
static void
refuse_waiting(struct group *g)
{
	struct host *h = g->host;
	bool hopeless = h->now.mono_ns - g->served_ns > 2 * h->opt.election_ns;
	struct request *r, *tmp;

	TAILQ_FOREACH_SAFE (r, &g->queue[REQUEST_WAITING], link, tmp) {
		if (r->client == 0)
			answer_error(g, r, WIRE_NO_LEADER, "not the leader");
		else if (g->removed)
			answer_error(g, r, WIRE_NO_LEADER,
			    "this server was removed from the cluster");
		else if (hopeless)
			answer_error(
			    g, r, WIRE_NO_LEADER, "no leader is known");
	}
}

/* Whether a command may be sent once more although it may have been applied:
 * its session tells the state machine. */
static bool
has_session(const struct request *r)
{
	struct mp_cur c = mp_cur_span(r->params);
	struct mp_span session = {NULL, 0};
	struct mp_map m;
	uint32_t count = 0;

	if (r->client == 0 || r->kind != REQUEST_COMMAND ||
	    mp_read_array(&c, &count) < 0 || count == 0)
		return false;
	while (--count > 0)
		if (mp_skip(&c) < 0)
			return false;
	return mp_read_mapping(&c, &m) == 0 &&
	       mp_opt_bytes(&m, "session", &session, SIZE_MAX) == 0 &&
	       session.p != NULL;
}

/* Sent twice it might be done twice. */
static bool
changes_state(const struct request *r)
{
	return r->kind == REQUEST_COMMAND || r->kind == REQUEST_CHANGE ||
	       r->kind == REQUEST_TRANSFER;
}

static bool
may_repeat(const struct request *r)
{
	return !changes_state(r) || has_session(r) || MUTANT(72);
}

/*
 * Another one leads than whom it was sent to, whose answer may never come:
 * it is paused, or only what it sends is lost.
 */
static void
take_back(struct group *g)
{
	struct request *r, *tmp;

	g->asked = g->st.leader;
	TAILQ_FOREACH_SAFE (r, &g->queue[REQUEST_FORWARDED], link, tmp) {
		if (r->sent_to == g->asked || !may_repeat(r))
			continue;
		r->doubt = r->kind == REQUEST_COMMAND;
		dispatch_move(g, r, REQUEST_WAITING);
	}
}

void
dispatch_turn(struct group *g)
{
	struct host *h = g->host;
	bool leads = g->st.role == RAFT_LEADER;

	if (leads ||
	    (g->st.leader != RAFT_NONE && host_is_linked(h, g->st.leader)))
		g->served_ns = h->now.mono_ns;
	if (g->st.leader != RAFT_NONE && g->st.leader != g->asked)
		take_back(g);
	if (h->broken || TAILQ_EMPTY(&g->queue[REQUEST_WAITING]))
		return;
	if (leads) {
		lead(g);
		return;
	}
	if (g->served_ns != h->now.mono_ns || g->removed) {
		refuse_waiting(g);
		return;
	}
	forward_all(g);
	if (h->opt.follower_reads == FOLLOWER_READS_LOCAL)
		group_read(g);
}

void
dispatch_lost_peer(struct group *g, uint64_t peer)
{
	struct request *r, *tmp;

	TAILQ_FOREACH_SAFE (r, &g->queue[REQUEST_FORWARDED], link, tmp) {
		if (r->sent_to != peer)
			continue;
		if (!may_repeat(r)) {
			answer_error(g, r, WIRE_UNKNOWN,
			    "the leader was lost before it answered");
			continue;
		}
		r->doubt = r->kind == REQUEST_COMMAND;
		dispatch_move(g, r, REQUEST_WAITING);
	}
}

void
dispatch_answer(struct host *h, const struct answer *a, uint64_t peer)
{
	struct group *g = h->group;
	struct request *r;
	struct wire_error err = {.status = a->status};

	if (a->boot != h->identity.boot)
		return;
	r = request_by_name(&h->pool, a->id);
	if (r == NULL || r->state != REQUEST_FORWARDED || r->sent_to != peer)
		return;
	if (a->status == WIRE_OK) {
		struct mp_buf *reply = answer_begin(h, r);

		mp_put_raw(reply, a->result.p, a->result.len);
		answer_ok(g, r);
		return;
	}
	switch (a->status) {
	case WIRE_NO_LEADER:
	case WIRE_NOT_APPLIED:
	case WIRE_STOPPING:
		/* Certainly not applied: ask whoever leads next. */
		r->retry_ns = h->now.mono_ns + RETRY_NS;
		dispatch_move(g, r, REQUEST_WAITING);
		return;
	default:
		break;
	}
	(void)snprintf(err.message, sizeof(err.message), "%.*s",
	    (int)(a->text.len < sizeof(err.message) ? a->text.len
						    : sizeof(err.message) - 1),
	    (const char *)a->text.p);
	answer_failed(g, r, &err);
}

/* ---- time limits ------------------------------------------------------- */

static void
expire(struct group *g, struct request *r)
{
	bool leads = g->st.role == RAFT_LEADER;

	switch (r->state) {
	case REQUEST_PENDING:
		answer_error(g, r, MUTANT(73) ? WIRE_NOT_APPLIED : WIRE_UNKNOWN,
		    "in the log at index %llu, no majority confirmed it in "
		    "time",
		    (unsigned long long)r->index);
		break;
	case REQUEST_CHANGING:
		answer_error(g, r, WIRE_UNKNOWN,
		    "begun, and not seen to its end in time");
		break;
	case REQUEST_FORWARDED:
		if (changes_state(r))
			answer_error(g, r, WIRE_UNKNOWN,
			    "the leader did not answer in time");
		else
			answer_error(g, r, WIRE_NO_LEADER,
			    "the leader did not answer in time");
		break;
	case REQUEST_READY:
		if (r->kind == REQUEST_SNAPSHOT || r->kind == REQUEST_COMPACT) {
			answer_error(g, r, WIRE_UNKNOWN,
			    "the snapshot is still being written");
			break;
		}
		/* FALLTHROUGH */
	default:
		if (leads || g->st.leader != RAFT_NONE)
			answer_error(g, r, WIRE_NO_QUORUM,
			    "no majority confirmed it in time");
		else
			answer_error(
			    g, r, WIRE_NO_LEADER, "no leader is known");
		break;
	}
}

void
dispatch_sweep(struct group *g)
{
	struct host *h = g->host;
	struct request *r, *tmp;

	group_refresh(g);
	for (int s = REQUEST_FREE + 1; s < REQUEST_STATE_COUNT; s++) {
		if (s == REQUEST_WATCHING || s == REQUEST_AWAITING)
			continue; /* they have a time of their own */
		TAILQ_FOREACH_SAFE (r, &g->queue[s], link, tmp) {
			if (h->now.mono_ns - r->arrived_ns >
			    h->opt.request_timeout_ns)
				expire(g, r);
		}
	}
}
