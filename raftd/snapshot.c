/*
 * snapshot.c - taking snapshots, keeping two, cutting the log behind them,
 * installing one that the leader sent.
 */
#include "raftd/snapshot.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_FIRST_NS UINT64_C(5000000000)
#define RETRY_DOUBLINGS_MAX 6
#define RUNNING_POLL_NS UINT64_C(50000000)

/* ---- what is in one ---------------------------------------------------- */

/* The configuration in force at an index; NULL when it is not known any
 * more, as what is applied lags behind what is committed. */
static const struct config_at *
config_at_index(const struct group *g, uint64_t index)
{
	const struct config_at *found = NULL;

	for (unsigned i = 0; i < g->config_count; i++)
		if (g->config[i].index <= index &&
		    g->config[i].e.config.count > 0)
			found = &g->config[i];
	return found;
}

static int
write_state(void *ctx, struct snap_writer *w)
{
	const struct group *g = ctx;

	return g->ops->save(g->fsm, snap_write, w);
}

/*
 * In a forked child, or in place: only looks at the host.  Nothing is in it
 * that another server would write otherwise, no clock either: those that
 * write one at the same index write the same bytes, and a transfer that one
 * began another one can end.
 */
int
host_snapshot_write(const struct host *h, struct disk *disk)
{
	struct group *g = h->group;
	const struct config_at *c = config_at_index(g, g->applied);
	struct fsm_digest d = g->ops->digest(g->fsm);
	struct snap_meta m = {.group = g->id,
	    .index = g->applied,
	    .term = raft_term_at(g->raft, g->applied),
	    .rev = g->ops->rev(g->fsm),
	    .stamp = g->applied_stamp,
	    .created_ms = g->applied_stamp};
	struct mp_buf b;
	int error;

	if (c == NULL || m.term == 0)
		return -EAGAIN;
	for (int i = 0; i < 8; i++) {
		m.digest[i] = (uint8_t)(d.hi >> (56 - 8 * i));
		m.digest[8 + i] = (uint8_t)(d.lo >> (56 - 8 * i));
	}
	memcpy(m.cluster, h->identity.cluster, sizeof(m.cluster));
	mp_buf_init(&b);
	config_put(&b, &c->e);
	m.config = b.data;
	m.config_len = (uint32_t)b.len;
	m.config_index = c->index;
	error =
	    b.failed ? -ENOMEM : snap_save(disk, &m, 0, write_state, g, NULL);
	mp_buf_release(&b);
	return error;
}

int
snapshot_use(void *ctx, struct snap_reader *r)
{
	struct snap_into *into = ctx;

	into->meta = *snap_reader_meta(r);
	if (config_read(mp_span(into->meta.config, into->meta.config_len),
		&into->config) < 0)
		return -EBADMSG;
	return into->ops->load(into->fsm, snap_read, r);
}

/* ---- keeping ----------------------------------------------------------- */

static void
drop_failed(struct group *g, const char *path, int error)
{
	if (error < 0 && error != -ENOENT)
		host_log(g->host, HOST_WARN,
		    "event=snapshot_unlink group=%u file=%s error=\"%s\"",
		    g->id, path, strerror(-error));
}

static bool
drop_step(struct group *g, const char *path)
{
	struct host *h = g->host;
	struct store_job *j = host_job(h);

	if (j == NULL)
		return false;
	j->kind = STORE_SNAP_DROP;
	j->group = g->id;
	j->disk = h->disk;
	(void)snprintf(j->path, sizeof(j->path), "%s", path);
	host_submit(h, j);
	return true;
}

/* At once it has a name by which nobody takes it for a snapshot, and which
 * is removed at the next start; storage does the rest. */
static void
drop_file(struct group *g, const char *path)
{
	struct disk *d = g->host->disk;
	char tmp[SNAP_PATH_LEN];
	int n = snprintf(tmp, sizeof(tmp), "%s.tmp", path);

	if (n > 0 && (size_t)n < sizeof(tmp) &&
	    d->ops->rename(d->ctx, path, tmp) == 0 && drop_step(g, tmp))
		return;
	drop_failed(g, path, d->ops->unlink(d->ctx, path));
}

void
snapshot_dropped(struct group *g, const struct store_job *j)
{
	char path[SNAP_PATH_LEN];

	memcpy(path, j->path, sizeof(path));
	if (j->error < 0)
		drop_failed(g, path, j->error);
	else if (j->last > 0)
		(void)drop_step(g, path);
}

void
snapshot_hold(struct group *g, const struct snap_held *held)
{
	struct snapshots *s = g->snap;
	unsigned at = 0;

	while (at < s->count && s->held[at].file.index > held->file.index)
		at++;
	if (at < s->count && s->held[at].file.index == held->file.index) {
		s->held[at] = *held;
		return;
	}
	if (s->count == SNAP_HELD_MAX) {
		drop_file(g, s->held[s->count - 1].file.path);
		s->count--;
		at = at > s->count ? s->count : at;
	}
	memmove(s->held + at + 1, s->held + at,
	    (s->count - at) * sizeof(s->held[0]));
	s->held[at] = *held;
	s->count++;
}

/* Those beyond the two go, unless a peer is being sent one. */
static void
prune(struct group *g)
{
	struct snapshots *s = g->snap;
	unsigned kept = 0;

	for (unsigned i = 0; i < s->count; i++) {
		if (i < SNAP_KEEP || snapship_holds(g, s->held[i].file.index) ||
		    snapserve_holds(g, &s->held[i]))
			s->held[kept++] = s->held[i];
		else
			drop_file(g, s->held[i].file.path);
	}
	s->count = kept;
}

/* ---- cutting the log --------------------------------------------------- */

static void
put_number(struct group *g, enum record_kind kind, uint64_t term, uint64_t n)
{
	uint8_t payload[8];
	struct record r = {.kind = kind,
	    .term = term,
	    .payload = payload,
	    .len = sizeof(payload)};

	for (int i = 0; i < 8; i++)
		payload[i] = (uint8_t)(n >> (8 * i));
	group_put(g, &r);
}

void
snapshot_put_start(struct group *g, enum record_kind kind)
{
	struct host *h = g->host;
	struct raft_status st;
	const struct config_at *c;
	struct record r = {.kind = kind};
	struct mp_buf b;
	uint64_t prev;

	raft_status(g->raft, &st);
	prev = st.first - 1;
	c = config_at_index(g, prev);
	/* Where the configuration in force there is gone, the oldest that is
	 * known is the best that can be said. */
	if (c == NULL)
		c = &g->config[0];
	mp_buf_init(&b);
	for (int i = 0; i < 16; i++) {
		uint8_t byte =
		    (uint8_t)((i < 8 ? prev : c->index) >> (8 * (i % 8)));

		mp_put_raw(&b, &byte, 1);
	}
	if (c->e.config.count > 0)
		config_put(&b, &c->e);
	if (b.failed) {
		host_fail(h, 71, "out of memory");
	} else {
		r.term = raft_term_at(g->raft, prev);
		r.payload = b.data;
		r.len = (uint32_t)b.len;
		group_put(g, &r);
		put_number(g, RECORD_STATE, g->hard.term, g->hard.vote);
		for (unsigned i = 0; i < h->peer_count; i++)
			if (h->peer[i].boot != 0)
				group_put_peer(g, &h->peer[i]);
		g->commit_logged = 0;
		group_put_commit(g);
	}
	mp_buf_release(&b);
	g->snap->compacting = true;
	g->snap->compact_seq = h->job_seq + (h->fill != NULL);
}

static void
cut(struct group *g, bool to_newest)
{
	struct snapshots *s = g->snap;
	struct raft_event ev = {
	    .type = RAFT_EV_SNAPSHOT_SAVED, .now = {g->host->now.mono_ns}};
	uint64_t to = 0, before = g->st.first;

	if (s->count > 0 && to_newest)
		to = s->held[0].file.index;
	else if (s->count > 1)
		to = s->held[1].file.index;
	for (unsigned i = 0; i < SNAP_SENDS_MAX; i++)
		if (s->send[i].peer != 0 && s->send[i].held.file.index < to)
			to = s->send[i].held.file.index;
	if (to + 1 <= before)
		return;
	ev.u.snapshot.index = to;
	group_step(g, &ev);
	group_refresh(g);
	if (g->st.first == before)
		return;
	host_log(g->host, HOST_INFO,
	    "event=log_cut group=%u first=%llu last=%llu", g->id,
	    (unsigned long long)g->st.first, (unsigned long long)g->st.last);
	snapshot_put_start(g, RECORD_START);
}

static void
compact_turn(struct group *g)
{
	struct snapshots *s = g->snap;
	struct host *h = g->host;
	struct store_job *j;

	if (!s->compacting || h->stored_seq < s->compact_seq)
		return;
	j = host_job(h);
	if (j == NULL)
		return;
	j->kind = STORE_COMPACT;
	j->group = g->id;
	s->compacting = false;
	host_submit(h, j);
}

/* ---- taking ------------------------------------------------------------ */

static void
answer_waiting(struct group *g, int error)
{
	struct request_queue *q = &g->queue[REQUEST_READY];
	struct request *r, *tmp;

	TAILQ_FOREACH_SAFE (r, q, link, tmp) {
		if (r->kind != REQUEST_SNAPSHOT && r->kind != REQUEST_COMPACT)
			continue;
		if (error == 0)
			r->index = 0; /* served in this turn */
		else
			answer_error(g, r,
			    error == -ENOSPC ? WIRE_NOSPACE : WIRE_NOT_APPLIED,
			    "the snapshot could not be written: %s",
			    strerror(-error));
	}
}

static void
failed(struct group *g, int error)
{
	struct snapshots *s = g->snap;
	uint64_t wait = RETRY_FIRST_NS;

	s->requested = s->cut_requested = false;
	if (s->failures < RETRY_DOUBLINGS_MAX)
		s->failures++;
	wait <<= s->failures - 1;
	s->retry_ns = g->host->now.mono_ns + wait;
	host_log(g->host, HOST_ERROR,
	    "event=snapshot_failed group=%u index=%llu error=\"%s\" "
	    "retry_ms=%llu",
	    g->id, (unsigned long long)s->index, strerror(-error),
	    (unsigned long long)(wait / 1000000));
	answer_waiting(g, error);
}

static void
finished(struct group *g)
{
	struct snapshots *s = g->snap;
	struct host *h = g->host;
	struct snap_held held = {
	    .file = {.group = g->id, .term = s->term, .index = s->index}};
	struct errtext et = {""};
	int error = s->result;

	s->running = s->done = false;
	snap_path(g->id, s->term, s->index, held.file.path);
	if (error == 0)
		error =
		    snap_peek(h->disk, held.file.path, NULL, &held.sum, &et);
	if (error < 0) {
		failed(g, error);
		return;
	}
	s->failures = 0;
	snapshot_hold(g, &held);
	host_log(h, HOST_INFO,
	    "event=snapshot group=%u index=%llu term=%llu bytes=%llu "
	    "file_bytes=%llu ms=%llu",
	    g->id, (unsigned long long)s->index, (unsigned long long)s->term,
	    (unsigned long long)held.sum.plain_len,
	    (unsigned long long)held.sum.file_len,
	    (unsigned long long)((h->now.mono_ns - s->started_ns) / 1000000));
	prune(g);
	cut(g, s->cut_requested);
	s->requested = s->cut_requested = false;
	answer_waiting(g, 0);
}

static bool
is_due(const struct group *g)
{
	const struct snapshots *s = g->snap;
	const struct host_options *o = &g->host->opt;
	uint64_t bytes = o->snapshot_bytes;

	if (g->host->env.snapshot_start == NULL || s->running ||
	    g->host->stopping || g->applied == 0 ||
	    (s->count > 0 && g->applied <= s->held[0].file.index))
		return false;
	if (s->requested)
		return true;
	if (g->host->now.mono_ns < s->retry_ns)
		return false;
	/* A state that is larger than that is not written anew each time: at
	 * most as much as the log. */
	if (s->count > 0 && s->held[0].sum.file_len > bytes)
		bytes = s->held[0].sum.file_len;
	return (o->snapshot_bytes != 0 &&
		   g->applied_bytes - s->bytes_at >= bytes) ||
	       (o->snapshot_entries != 0 &&
		   g->applied - s->index_at >= o->snapshot_entries);
}

static void
begin(struct group *g)
{
	struct snapshots *s = g->snap;
	struct host *h = g->host;
	int error;

	if (config_at_index(g, g->applied) == NULL)
		return; /* soon */
	s->index = g->applied;
	s->term = raft_term_at(g->raft, g->applied);
	s->started_ns = h->now.mono_ns;
	s->bytes_at = g->applied_bytes;
	s->index_at = g->applied;
	s->running = true;
	error = h->env.snapshot_start(h->env.ctx);
	if (error < 0) {
		s->running = false;
		failed(g, error);
	}
}

void
host_snapshot_done(struct host *h, int error)
{
	struct snapshots *s = h->group->snap;

	if (!s->running)
		return;
	s->done = true;
	s->result = error;
}

void
snapshot_turn(struct group *g)
{
	struct snapshots *s = g->snap;

	if (g->host->broken)
		return;
	group_refresh(g);
	/* What was cut before the start may still wait to be dropped. */
	if (!s->begun && g->st.first > 1)
		snapshot_put_start(g, RECORD_START);
	s->begun = true;
	if (s->done)
		finished(g);
	if (is_due(g))
		begin(g);
	compact_turn(g);
	snapship_turn(g);
}

uint64_t
snapshot_deadline(const struct group *g)
{
	const struct snapshots *s = g->snap;

	if (s->done || s->running || s->compacting || snapship_active(g))
		return g->host->now.mono_ns + RUNNING_POLL_NS;
	return UINT64_MAX;
}

/* ---- requests ---------------------------------------------------------- */

void
snapshot_request(struct group *g, struct request *r)
{
	struct snapshots *s = g->snap;
	bool compact = r->kind == REQUEST_COMPACT, newest;

	if (!snapserve_options(r->params, &newest)) {
		answer_error(g, r, WIRE_USAGE, "the one option is newest");
		return;
	}
	if (g->host->env.snapshot_start == NULL || g->applied == 0) {
		answer_error(g, r, WIRE_NOT_APPLIED, "nothing to snapshot");
		return;
	}
	r->index = UINT64_MAX;
	dispatch_move(g, r, REQUEST_READY);
	if (newest && s->count > 0) {
		r->index = 0;
		return;
	}
	if (s->running) {
		/* It began before this was asked for, and will do. */
		s->cut_requested |= compact;
		return;
	}
	if (s->count > 0 && g->applied <= s->held[0].file.index) {
		if (compact)
			cut(g, true);
		r->index = 0;
		return;
	}
	s->requested = true;
	s->cut_requested |= compact;
}

void
snapshot_answer(struct group *g, struct request *r, struct mp_buf *b)
{
	const struct snap_held *held = &g->snap->held[0];
	struct raft_status st;

	(void)r;
	raft_status(g->raft, &st);
	mp_put_map(b, 8);
	mp_put_kv_u64(b, "id", g->host->opt.id);
	mp_put_kv_u64(b, "group", g->id);
	mp_put_kv_u64(b, "index", held->file.index);
	mp_put_kv_u64(b, "term", held->file.term);
	mp_put_kv_u64(b, "bytes", held->sum.file_len);
	mp_put_kv_u64(b, "first", st.first);
	mp_put_kv_str(b, "file", held->file.path);
	snapserve_put(g, b);
}

void
snapshot_put_state(struct group *g, struct mp_buf *b)
{
	const struct snapshots *s = g->snap;

	mp_put_map(b, 7);
	mp_put_kv_u64(b, "count", s->count);
	if (s->count > 0) {
		mp_put_kv_u64(b, "index", s->held[0].file.index);
		mp_put_kv_u64(b, "bytes", s->held[0].sum.file_len);
	} else {
		mp_put_kv_nil(b, "index");
		mp_put_kv_nil(b, "bytes");
	}
	mp_put_kv_bool(b, "running", s->running);
	mp_put_kv_u64(b, "sent_bytes", s->sent_bytes);
	mp_put_kv_u64(b, "received_bytes", s->received_bytes);
	snapship_put_receiving(g, b);
}

void
snapshot_renew(struct group *g)
{
	struct snapshots *s = g->snap;

	if (s->count > 0 && g->applied <= s->held[0].file.index) {
		cut(g, true);
		/* It may begin there already, and then say so once more. */
		if (!s->compacting)
			snapshot_put_start(g, RECORD_START);
		return;
	}
	s->requested = s->cut_requested = true;
}

void
snapshot_rotted(struct group *g, const char *path)
{
	struct snapshots *s = g->snap;

	for (unsigned i = 0; i < s->count; i++) {
		if (strcmp(s->held[i].file.path, path) != 0)
			continue;
		host_log(g->host, HOST_ERROR,
		    "event=snapshot_damaged group=%u file=%s", g->id, path);
		snapshot_quarantine(g->host, &s->held[i].file);
		s->count--;
		memmove(s->held + i, s->held + i + 1,
		    (s->count - i) * sizeof(s->held[0]));
		/* Without one the log cannot be begun with. */
		s->requested = true;
		return;
	}
}

/* ---- installing -------------------------------------------------------- */

/* What was in our log and not answered: nothing tells any more. */
static void
forget_pending(struct group *g)
{
	struct request *r;

	while ((r = TAILQ_FIRST(&g->queue[REQUEST_PENDING])) != NULL)
		answer_error(g, r, WIRE_UNKNOWN,
		    "in the log at index %llu, which a snapshot has replaced",
		    (unsigned long long)r->index);
}

static void
take_over(struct group *g, const struct snap_into *into)
{
	const struct snap_meta *m = &into->meta;

	forget_pending(g);
	g->ops->free(g->fsm);
	g->fsm = into->fsm;
	g->applied = m->index;
	assert(g->commit == m->index);
	tail_reset(&g->tail, m->index + 1);
	g->log_last = m->index;
	g->log_last_term = m->term;
	g->applied_stamp = m->stamp;
	due_heard(g, m->stamp);
	g->config[0].index = m->config_index;
	g->config[0].e = into->config;
	g->config_count = 1;
	g->snap->bytes_at = g->applied_bytes;
	g->snap->index_at = g->applied;
	group_refresh(g);
	snapshot_put_start(g, RECORD_RESET);
	group_peers_changed(g);
}

int
snapshot_install(struct group *g, const char *path)
{
	struct host *h = g->host;
	struct raft_event ev = {
	    .type = RAFT_EV_SNAPSHOT_RECEIVED, .now = {h->now.mono_ns}};
	struct snap_into *into = calloc(1, sizeof(*into));
	struct errtext et = {""};
	bool installed;
	int error = -ENOMEM;

	if (into == NULL)
		return -ENOMEM;
	into->ops = g->ops;
	into->fsm = g->ops->new (g->id);
	if (into->fsm == NULL)
		goto out;
	error = snap_load_once(h->disk, path, snapshot_use, into, NULL, &et);
	if (error < 0) {
		host_log(h, HOST_ERROR,
		    "event=snapshot_load group=%u file=%s error=\"%s\"", g->id,
		    path, et.text);
		goto out;
	}
	ev.u.snapshot.index = into->meta.index;
	ev.u.snapshot.term = into->meta.term;
	ev.u.snapshot.config_index = into->meta.config_index;
	ev.u.snapshot.config = into->config.config;
	installed = group_install(g, &ev);
	host_log(h, HOST_INFO,
	    "event=snapshot_install group=%u index=%llu term=%llu used=%d",
	    g->id, (unsigned long long)into->meta.index,
	    (unsigned long long)into->meta.term, installed);
	error = !installed;
	if (installed) {
		take_over(g, into);
		into->fsm = NULL;
	}
out:
	if (into->fsm != NULL)
		g->ops->free(into->fsm);
	free(into);
	return error;
}
