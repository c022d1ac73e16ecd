/*
 * host.c - one server without its sockets: input, the turn, storage jobs.
 */
#include "raftd/host.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/mend.h"
#include "raftd/snapshot.h"
#include "raftd/strain.h"
#include "raftd/watchers.h"

#define INBOX_MAX 65536 /* messages in one turn; links are bounded as well */

void
host_log(struct host *h, enum host_log_level level, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	h->env.log(h->env.ctx, level, line);
}

void
host_fail(struct host *h, int status, const char *cause)
{
	if (h->broken)
		return;
	h->broken = true;
	h->env.fatal(h->env.ctx, status, cause);
}

struct blob *
arena_room(struct blob **arena, size_t len, size_t *offset)
{
	struct blob *b = *arena;
	size_t at;

	if (b != NULL) {
		at = (b->len + RECORD_ALIGN - 1) & ~(size_t)(RECORD_ALIGN - 1);
		if (at <= b->cap && len <= b->cap - at) {
			b->len = at;
			*offset = at;
			return b;
		}
	}
	b = blob_new(len > ARENA_SIZE ? len : ARENA_SIZE);
	if (b == NULL)
		return NULL;
	blob_unref(*arena);
	*arena = b;
	*offset = 0;
	return b;
}

/* ---- peers ------------------------------------------------------------- */

struct peer *
host_peer(struct host *h, uint64_t id)
{
	for (unsigned i = 0; i < h->peer_count; i++)
		if (h->peer[i].id == id)
			return &h->peer[i];
	return NULL;
}

struct peer *
host_peer_make(struct host *h, uint64_t id)
{
	struct peer *p = host_peer(h, id);

	if (p != NULL)
		return p;
	if (h->peer_count < HOST_MEMBERS_MAX) {
		p = &h->peer[h->peer_count++];
	} else {
		/* In place of one that has left. */
		for (unsigned i = 0; i < h->peer_count && p == NULL; i++)
			if (config_find(group_config(h->group), h->peer[i].id) <
				0 &&
			    !h->peer[i].link_up && !h->peer[i].linked_in)
				p = &h->peer[i];
		if (p == NULL)
			return NULL;
	}
	*p = (struct peer){.id = id};
	return p;
}

bool
host_is_linked(const struct host *h, uint64_t peer)
{
	return h->env.peer_backlog(h->env.ctx, peer) != SIZE_MAX;
}

static struct inbound *
inbox_room(struct host *h)
{
	struct inbound *in;

	if (h->inbox_count == h->inbox_cap) {
		size_t cap = h->inbox_cap != 0 ? h->inbox_cap * 2 : 64;

		in = cap <= INBOX_MAX ? realloc(h->inbox, cap * sizeof(*in))
				      : NULL;
		if (in == NULL)
			return NULL;
		h->inbox = in;
		h->inbox_cap = cap;
	}
	return &h->inbox[h->inbox_count++];
}

void
host_put_event(struct host *h, enum raft_event_type type, uint64_t peer)
{
	struct inbound *in = inbox_room(h);

	if (in == NULL) {
		host_fail(h, 71, "out of memory");
		return;
	}
	*in = (struct inbound){.peer = peer, .event = type};
}

void
host_link_up(struct host *h, uint64_t peer)
{
	struct peer *p = host_peer(h, peer);

	if (p == NULL)
		return;
	p->link_up = true;
	p->cause[0] = '\0';
	host_put_event(h, RAFT_EV_PEER_UP, peer);
}

void
host_link_down(struct host *h, uint64_t peer)
{
	struct peer *p = host_peer(h, peer);

	if (p == NULL || !p->link_up)
		return;
	p->link_up = false;
	host_put_event(h, RAFT_EV_PEER_DOWN, peer);
}

void
host_peer_gone(struct host *h, uint64_t peer, struct host_time now)
{
	struct peer *p = host_peer(h, peer);

	(void)now;
	if (p == NULL || !p->linked_in)
		return;
	p->linked_in = false;
	h->group->links_stale = true;
	host_put_event(h, RAFT_EV_PEER_DOWN, peer);
}

/*
 * Those who know that this server was removed say so, and only the committed
 * configuration makes them.  Nobody wants to hear from it any more.
 */
void
host_link_failed(struct host *h, uint64_t peer, const char *cause)
{
	struct group *g = h->group;
	struct peer *p = host_peer(h, peer);

	if (p == NULL)
		return;
	(void)snprintf(p->cause, sizeof(p->cause), "%s", cause);
	/* Without the prefix it is what we say of the other one. */
	if (strcmp(cause, "refused: " HELLO_REMOVED) == 0)
		members_removed(g, peer);
	if (strcmp(cause, "refused: " HELLO_FORGOT) == 0)
		quarantine_lost(g, peer);
}

/* ---- input ------------------------------------------------------------- */

/* A forwarded request becomes a request of ours. */
static int
take_forward(struct host *h, uint64_t peer, const struct frame *f)
{
	struct forward fw;
	struct request *r;

	if (forward_read(f, &fw) < 0 || fw.group != h->group->id)
		return -EPROTO;
	r = request_new(&h->pool);
	if (r == NULL) {
		struct answer a = {.group = fw.group,
		    .boot = fw.boot,
		    .id = fw.id,
		    .status = WIRE_BUSY,
		    .text = mp_span("too many requests", 17),
		    .result = mp_span("", 0)};
		struct piece piece;

		mp_buf_reset(&h->wire);
		answer_put(&h->wire, &a);
		piece = (struct piece){NULL, h->wire.data, h->wire.len};
		if (!h->wire.failed)
			h->env.peer_send(h->env.ctx, peer, &piece, 1);
		return 0;
	}
	r->peer = peer;
	r->peer_boot = fw.boot;
	r->msgid = fw.id;
	dispatch_call(h, r, fw.call);
	return 0;
}

int
host_peer_message(struct host *h, uint64_t peer, const struct frame *f)
{
	struct peer *p = host_peer(h, peer);
	struct inbound *in;
	struct answer a;
	struct blob *b;
	size_t offset, len;
	struct trust t;
	uint32_t group;
	bool full;

	if (p == NULL || f->type != FRAME_NOTIFY)
		return -EPROTO;
	p->heard_ns = h->now.mono_ns;
	if (mp_span_eq(f->method, "forward"))
		return take_forward(h, peer, f);
	if (mp_span_eq(f->method, "answer")) {
		if (answer_read(f, &a) < 0)
			return -EPROTO;
		dispatch_answer(h, &a, peer);
		return 0;
	}
	if (mp_span_eq(f->method, "removed")) {
		if (removed_read(f, &group) < 0)
			return -EPROTO;
		if (group == h->group->id)
			members_removed(h->group, peer);
		return 0;
	}
	if (mp_span_eq(f->method, "space")) {
		if (space_read(f, &group, &full) < 0)
			return -EPROTO;
		if (group == h->group->id)
			strain_told(h->group, peer, full);
		return 0;
	}
	if (mp_span_eq(f->method, "trust")) {
		if (trust_read(f, &t) < 0)
			return -EPROTO;
		quarantine_message(h->group, peer, &t);
		return 0;
	}
	/* The one copy of what a leader sends: its entries stay in this blob
	 * for the log, the cache and apply. */
	len = f->call.len;
	b = arena_room(&h->scratch, len, &offset);
	if (b == NULL)
		return -EPROTO;
	memcpy(b->data + offset, f->call.p, len);
	b->len = offset + len;
	in = inbox_room(h);
	if (in == NULL)
		return -EPROTO;
	*in = (struct inbound){.peer = peer,
	    .blob = blob_ref(b),
	    .offset = (uint32_t)offset,
	    .len = (uint32_t)len};
	return 0;
}

void
host_client_request(
    struct host *h, uint64_t client, const struct frame *f, bool errors_as_map)
{
	struct wire_error err = {
	    .status = WIRE_BUSY, .message = "too many requests"};
	struct request *r, full = {0};

	if (f->type == FRAME_RESPONSE)
		return; /* stray; the public specification says ignore */
	r = request_new(&h->pool);
	if (r == NULL)
		r = &full;
	r->client = client;
	r->msgid = f->msgid;
	r->as_map = errors_as_map;
	r->is_notify = f->type == FRAME_NOTIFY;
	if (r == &full)
		answer_send_error(h, r, &err);
	else
		dispatch_call(h, r, f->call);
}

void
host_client_gone(struct host *h, uint64_t client)
{
	struct request_queue *q = &h->group->queue[REQUEST_WAITING];
	struct request *r, *tmp;

	watchers_gone(h->group, client);
	/* What has not begun need not begin; the rest is answered into the
	 * void. */
	TAILQ_FOREACH_SAFE (r, q, link, tmp) {
		if (r->client != client)
			continue;
		r->is_notify = true;
		answer_error(h->group, r, WIRE_NOT_APPLIED, "client gone");
	}
	q = &h->group->queue[REQUEST_WATCHING];
	TAILQ_FOREACH_SAFE (r, q, link, tmp) {
		if (r->client != client)
			continue;
		r->is_notify = true;
		answer_error(h->group, r, WIRE_NOT_APPLIED, "client gone");
	}
	q = &h->group->queue[REQUEST_AWAITING];
	TAILQ_FOREACH_SAFE (r, q, link, tmp) {
		if (r->client != client)
			continue;
		r->is_notify = true;
		answer_error(h->group, r, WIRE_NOT_APPLIED, "client gone");
	}
}

unsigned
host_pause(const struct host *h)
{
	unsigned bits = 0;

	if (h->pool.open >= HOST_REQUESTS_MAX / 4 * 3 ||
	    h->request_bytes >= HOST_REQUEST_BYTES_MAX)
		bits |= PAUSE_REQUESTS;
	if (h->jobs_out >= STORE_JOBS_MAX || h->bytes_out >= STORE_BYTES_MAX)
		bits |= PAUSE_STORE;
	return bits;
}

bool
host_overdue(const struct host *h)
{
	static const enum request_state waits[] = {
	    REQUEST_WAITING, REQUEST_PENDING, REQUEST_FORWARDED};
	const struct request *r;

	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
		r = TAILQ_FIRST(&h->group->queue[waits[i]]);
		if (r != NULL && h->now.mono_ns > r->arrived_ns &&
		    h->now.mono_ns - r->arrived_ns > HOST_OVERDUE_NS)
			return true;
	}
	return false;
}

/* ---- storage ----------------------------------------------------------- */

struct store_job *
host_job(struct host *h)
{
	struct store_job *j = STAILQ_FIRST(&h->idle);

	if (j != NULL)
		STAILQ_REMOVE_HEAD(&h->idle, link);
	else
		j = malloc(sizeof(*j));
	if (j == NULL)
		return NULL;
	/* The arrays are long and need no clearing. */
	j->error = 0;
	j->seq = 0;
	j->sync_ns = 0;
	j->again = j->is_short = false;
	j->group = 0;
	j->iovcnt = 0;
	j->bytes = 0;
	j->index = j->term = j->hard_term = j->hard_vote = 0;
	j->from = j->to = j->last = 0;
	j->out = NULL;
	j->request = 0;
	return j;
}

void
host_submit(struct host *h, struct store_job *j)
{
	if (j->kind == STORE_WRITE && strain_submit(h, j))
		return;
	h->jobs_out++;
	h->bytes_out += j->bytes;
	h->env.store_submit(h->env.ctx, j);
}

static void
submit_fill(struct host *h)
{
	struct store_job *j = h->fill;
	struct group *g = h->group;

	h->fill = NULL;
	j->group = g->id;
	j->index = g->log_last;
	j->term = g->log_last_term;
	j->hard_term = g->hard.term;
	j->hard_vote = g->hard.vote;
	j->seq = ++h->job_seq;
	host_submit(h, j);
}

void
host_put_record(
    struct host *h, struct group *g, struct blob *b, size_t offset, size_t size)
{
	const uint8_t *p = b->data + offset;
	struct store_job *j;
	struct iovec *v;

	(void)g;
	if (h->fill != NULL && h->fill->iovcnt == STORE_PIECES_MAX) {
		v = &h->fill->iov[STORE_PIECES_MAX - 1];
		if (h->fill->blob[STORE_PIECES_MAX - 1] != b ||
		    (const uint8_t *)v->iov_base + v->iov_len != p)
			submit_fill(h);
	}
	if (h->fill == NULL) {
		h->fill = host_job(h);
		if (h->fill == NULL) {
			host_fail(h, 71, "out of memory");
			return;
		}
		h->fill->kind = STORE_WRITE;
	}
	j = h->fill;
	j->bytes += size;
	if (j->iovcnt > 0) {
		v = &j->iov[j->iovcnt - 1];
		if (j->blob[j->iovcnt - 1] == b &&
		    (const uint8_t *)v->iov_base + v->iov_len == p) {
			v->iov_len += size;
			return;
		}
	}
	j->blob[j->iovcnt] = blob_ref(b);
	j->iov[j->iovcnt].iov_base = b->data + offset;
	j->iov[j->iovcnt].iov_len = size;
	j->iovcnt++;
}

void
host_stored(struct host *h, struct store_job *j)
{
	STAILQ_INSERT_TAIL(&h->stored, j, link);
}

static void
drop_pieces(struct store_job *j)
{
	for (int i = 0; i < j->iovcnt; i++)
		blob_unref(j->blob[i]);
	j->iovcnt = 0;
}

static void
take_stored(struct host *h)
{
	struct store_job *j;
	char cause[64];

	while ((j = STAILQ_FIRST(&h->stored)) != NULL) {
		STAILQ_REMOVE_HEAD(&h->stored, link);
		assert(h->jobs_out > 0 && h->bytes_out >= j->bytes);
		h->jobs_out--;
		h->bytes_out -= j->bytes;
		if (j->kind == STORE_WRITE && strain_stored(h, j))
			continue;
		if (j->kind == STORE_READ && j->request != 0) {
			logserve_done(h->group, j);
		} else if (j->kind == STORE_READ) {
			feed_read_done(h->group, j);
		} else if (j->kind == STORE_COMPACT) {
			if (j->error != 0)
				host_log(h, HOST_ERROR,
				    "event=compact_failed error=\"%s\"",
				    strerror(-j->error));
			else if (j->last > 0)
				h->group->snap->compacting = true;
			mend_compacted(h, j->from);
		} else if (j->kind == STORE_ROLL) {
			mend_rolled(h, j);
		} else if (j->kind == STORE_RETRY) {
			strain_retried(h, j);
		} else if (j->kind != STORE_WRITE) {
			snapship_done(h->group, j);
		} else if (j->error != 0) {
			(void)snprintf(cause, sizeof(cause),
			    "write of the log: %s", strerror(-j->error));
			host_fail(h, 74, cause);
		} else {
			h->stored_seq = j->seq;
			if (j->sync_ns != 0)
				h->fsync_ns[h->fsync_count++ % FSYNC_SAMPLES] =
				    j->sync_ns;
			group_stored(h->group, j);
		}
		drop_pieces(j);
		STAILQ_INSERT_HEAD(&h->idle, j, link);
	}
}

/* ---- the turn ---------------------------------------------------------- */

static void
take_event(struct host *h, const struct inbound *in)
{
	struct raft_event ev = {.type = in->event, .now = {h->now.mono_ns}};

	ev.u.peer.id = in->peer;
	if (ev.type == RAFT_EV_PEER_DOWN)
		quarantine_note_acked(h->group, in->peer);
	group_step(h->group, &ev);
	if (ev.type == RAFT_EV_PEER_DOWN)
		dispatch_lost_peer(h->group, in->peer);
}

/* A piece of a snapshot, or the answer to one. */
static int
take_chunk(struct host *h, const struct inbound *in, const struct frame *f)
{
	struct group *g = h->group;
	struct raft_msg m = {
	    .type = RAFT_SNAPSHOT, .from = in->peer, .to = h->opt.id};
	struct raft_event ev = {
	    .type = RAFT_EV_MESSAGE, .now = {h->now.mono_ns}, .u.msg = &m};
	struct chunk_ack a;
	struct chunk c;

	if (mp_span_eq(f->method, "snapshot.ack")) {
		if (chunk_ack_read(f, &a) < 0)
			return -EPROTO;
		if (a.group == g->id)
			snapship_ack(g, &a, in->peer);
		return 0;
	}
	if (chunk_read(f, &c) < 0)
		return -EPROTO;
	if (c.group != g->id)
		return 0;
	m.term = c.term;
	m.u.snapshot.index = c.index;
	m.u.snapshot.log_term = c.log_term;
	group_step(g, &ev);
	snapship_chunk(g, &c, in->peer, in->blob, h->out->snapshot_wanted);
	return 0;
}

static int
take_frame(struct host *h, const struct inbound *in, const struct frame *f)
{
	struct mp_span records;
	uint32_t group;

	if (mp_span_eq(f->method, "snapshot") ||
	    mp_span_eq(f->method, "snapshot.ack"))
		return take_chunk(h, in, f);
	if (message_read(f, in->peer, h->opt.id, &group, h->msg, &records) < 0)
		return -EPROTO;
	if (group == h->group->id)
		group_message(h->group, h->msg, in->blob, records.p);
	return 0;
}

static void
take_message(struct host *h, const struct inbound *in)
{
	struct mp_cur cur = mp_cur(in->blob->data + in->offset, in->len);
	struct frame f = {.type = FRAME_NOTIFY};

	if (mp_read_bytes(&cur, &f.method) < 0 ||
	    mp_read_raw(&cur, &f.params) < 0 || take_frame(h, in, &f) < 0)
		host_log(h, HOST_WARN, "event=bad_message peer=%llu",
		    (unsigned long long)in->peer);
}

static void
take_inbox(struct host *h)
{
	for (size_t i = 0; i < h->inbox_count; i++) {
		struct inbound *in = &h->inbox[i];

		if (in->blob == NULL)
			take_event(h, in);
		else if (!h->broken)
			take_message(h, in);
		blob_unref(in->blob);
	}
	h->inbox_count = 0;
}

uint64_t
host_turn(struct host *h, struct host_time now)
{
	struct group *g = h->group;
	struct raft_event tick = {.type = RAFT_EV_TICK};
	uint64_t next, watch_ns;
	int more;
	bool slept = now.mono_ns - h->now.mono_ns >= h->opt.election_ns;

	assert(now.mono_ns >= h->now.mono_ns);
	due_clock(h, now.mono_ns);
	h->now = now;
	/* What lies in the inbox was said before we were stopped: it is no
	 * proof that anybody follows us now. */
	if (slept && g->st.role == RAFT_LEADER && !MUTANT(181)) {
		tick.now.ns = now.mono_ns;
		group_step(g, &tick);
	}
	take_stored(h);
	take_inbox(h);
	if (now.mono_ns >= g->deadline_ns) {
		tick.now.ns = now.mono_ns;
		group_step(g, &tick);
	}
	group_refresh(g);
	strain_turn(g);
	members_turn(g);
	dispatch_turn(g);
	due_turn(g);
	/* Hand to storage before sending: the disk starts earlier.  What is
	 * committed rides along, so that replay need not ask anybody. */
	if (h->fill != NULL)
		group_put_commit(g);
	if (h->fill != NULL && strain_takes_jobs(h))
		submit_fill(h);
	feed_peers(g);
	more = apply_committed(g);
	if (more < 0)
		host_fail(h, 70, "the state machine cannot apply an entry");
	mend_turn(g);
	snapshot_turn(g);
	apply_reads(g);
	apply_watches(g, now.mono_ns >= h->sweep_ns);
	due_waits(g, now.mono_ns >= h->sweep_ns);
	if (now.mono_ns >= h->sweep_ns) {
		dispatch_sweep(g);
		h->sweep_ns = now.mono_ns + SWEEP_NS;
	}
	next = g->deadline_ns;
	if (snapshot_deadline(g) < next)
		next = snapshot_deadline(g);
	if (due_deadline(g) < next)
		next = due_deadline(g);
	if (mend_deadline(g) < next)
		next = mend_deadline(g);
	if (strain_deadline(g) < next)
		next = strain_deadline(g);
	watch_ns = watchers_turn(g);
	if (watch_ns < next)
		next = watch_ns;
	if (h->pool.open > 0 && h->sweep_ns < next)
		next = h->sweep_ns;
	return more > 0 || host_busy(h) ? now.mono_ns : next;
}

bool
host_busy(const struct host *h)
{
	return h->inbox_count > 0 || !STAILQ_EMPTY(&h->stored) ||
	       (h->fill != NULL && strain_takes_jobs(h)) ||
	       h->group->snap->done;
}

void
host_stop(struct host *h)
{
	struct raft_event ev = {
	    .type = RAFT_EV_TRANSFER, .now = {h->now.mono_ns}};

	if (h->stopping)
		return;
	h->stopping = true;
	group_refresh(h->group);
	if (h->group->st.role == RAFT_LEADER)
		group_step(h->group, &ev);
}

bool
host_removed(const struct host *h)
{
	return h->group->removed;
}

bool
host_drained(const struct host *h)
{
	return h->broken ||
	       (h->pool.open == 0 && h->jobs_out == 0 && strain_drained(h));
}

/* ---- life -------------------------------------------------------------- */

static void
free_jobs(struct store_queue *q)
{
	struct store_job *j;

	while ((j = STAILQ_FIRST(q)) != NULL) {
		STAILQ_REMOVE_HEAD(q, link);
		drop_pieces(j);
		blob_unref(j->out);
		free(j);
	}
}

/* Jobs that storage still holds are the caller's to bring back first. */
void
host_close(struct host *h)
{
	if (h == NULL)
		return;
	strain_release(h);
	free_jobs(&h->stored);
	if (h->fill != NULL) {
		drop_pieces(h->fill);
		free(h->fill);
	}
	free_jobs(&h->idle);
	for (size_t i = 0; i < h->inbox_count; i++)
		blob_unref(h->inbox[i].blob);
	free(h->inbox);
	group_free(h->group);
	request_pool_release(&h->pool);
	blob_unref(h->arena);
	blob_unref(h->scratch);
	mp_buf_release(&h->reply);
	mp_buf_release(&h->wire);
	free(h->out);
	free(h->msg);
	wal_close(h->wal);
	free(h);
}

int
host_open(const struct host_options *opt, struct disk *disk,
    const struct host_env *env, struct host_time now, struct host **out,
    struct errtext *et)
{
	struct host *h = calloc(1, sizeof(*h));
	int err;

	if (h == NULL)
		return errtext(et, -ENOMEM, "out of memory");
	h->opt = *opt;
	h->env = *env;
	h->disk = disk;
	h->now = now;
	h->started_ns = now.mono_ns;
	STAILQ_INIT(&h->stored);
	STAILQ_INIT(&h->strain.parked);
	h->strain.tell_ns = UINT64_MAX;
	STAILQ_INIT(&h->idle);
	mp_buf_init(&h->reply);
	mp_buf_init(&h->wire);
	h->out = malloc(sizeof(*h->out));
	h->msg = calloc(1, sizeof(*h->msg));
	err = h->out == NULL || h->msg == NULL
		  ? errtext(et, -ENOMEM, "out of memory")
		  : request_pool_init(&h->pool, HOST_REQUESTS_MAX);
	if (err == 0)
		err = boot_open(h, et);
	if (err < 0) {
		host_close(h);
		return err;
	}
	*out = h;
	return 0;
}

bool
host_fills(const struct host *h)
{
	return h->fill != NULL || !STAILQ_EMPTY(&h->strain.parked);
}

struct wal *
host_wal(struct host *h)
{
	return h->wal;
}

const struct identity *
host_identity(const struct host *h)
{
	return &h->identity;
}
