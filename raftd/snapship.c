/*
 * snapship.c - snapshots on their way: to peers that the log cannot help, and
 * from the leader.
 *
 * The sender asks first what the receiver has (a chunk without data), so that
 * a transfer goes on after either of them restarted: the file's hash names
 * it.  Each chunk is answered; at most WINDOW bytes are on their way.  A
 * receiver that says nothing is asked again.
 *
 * A receiver that has a part of another one, begun by a leader of before,
 * answers the first offer with that: whoever leads now has the same file if
 * it wrote one at the same index, and then goes on with it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/snapshot.h"

#define WINDOW (4u * CHUNK_LEN_MAX)
#define ASK_AGAIN_NS UINT64_C(500000000)
#define GIVE_UP_NS \
	UINT64_C(10000000000) /* unheard for so long: room for
					    others */
#define RETRY_NS UINT64_C(1000000000)
#define JOBS_MAX 16 /* writes of one received, in storage */

/* ---- sending ----------------------------------------------------------- */

static struct snap_send *
send_to(struct group *g, uint64_t peer)
{
	for (unsigned i = 0; i < SNAP_SENDS_MAX; i++)
		if (g->snap->send[i].peer == peer)
			return &g->snap->send[i];
	return NULL;
}

bool
snapship_holds(const struct group *g, uint64_t index)
{
	for (unsigned i = 0; i < SNAP_SENDS_MAX; i++)
		if (g->snap->send[i].peer != 0 &&
		    g->snap->send[i].held.file.index == index)
			return true;
	return false;
}

bool
snapship_active(const struct group *g)
{
	for (unsigned i = 0; i < SNAP_SENDS_MAX; i++)
		if (g->snap->send[i].peer != 0)
			return true;
	return false;
}

void
snapship_put(const struct group *g, struct mp_buf *b, uint64_t peer)
{
	for (unsigned i = 0; i < SNAP_SENDS_MAX; i++) {
		const struct snap_send *w = &g->snap->send[i];

		if (peer == 0 || w->peer != peer)
			continue;
		mp_put_str(b, "snapshot");
		mp_put_map(b, 2);
		mp_put_kv_u64(b, "sent", w->acked);
		mp_put_kv_u64(b, "total", w->held.sum.file_len);
		return;
	}
	mp_put_kv_nil(b, "snapshot");
}

void
snapship_wanted(struct group *g, uint64_t peer)
{
	struct snapshots *s = g->snap;
	struct snap_send *w = send_to(g, peer);

	if (w != NULL)
		return;
	if (s->count == 0) {
		s->requested = true; /* nothing to send yet */
		return;
	}
	/* The others wait until one of these is done. */
	w = send_to(g, 0);
	if (w == NULL || !host_is_linked(g->host, peer))
		return;
	*w = (struct snap_send){
	    .peer = peer, .held = s->held[0], .heard_ns = g->host->now.mono_ns};
	host_log(g->host, HOST_INFO,
	    "event=snapshot_send group=%u peer=%llu index=%llu bytes=%llu",
	    g->id, (unsigned long long)peer,
	    (unsigned long long)w->held.file.index,
	    (unsigned long long)w->held.sum.file_len);
}

static void
send_chunk(struct group *g, struct snap_send *w, uint64_t offset,
    struct blob *b, size_t len)
{
	struct host *h = g->host;
	struct chunk c = {.group = g->id,
	    .term = g->hard.term,
	    .index = w->held.file.index,
	    .log_term = w->held.file.term,
	    .total = w->held.sum.file_len,
	    .offset = offset,
	    .data = mp_span("", len)};
	struct piece piece[2];

	memcpy(c.id, w->held.sum.id, sizeof(c.id));
	mp_buf_reset(&h->wire);
	chunk_put(&h->wire, &c);
	if (h->wire.failed)
		return;
	piece[0] = (struct piece){NULL, h->wire.data, h->wire.len};
	if (len > 0)
		piece[1] = (struct piece){b, b->data, len};
	h->env.peer_send(h->env.ctx, w->peer, piece, 1 + (len > 0));
	w->sent += len;
	g->snap->sent_bytes += len;
}

static bool
rate_allows(struct group *g, size_t len)
{
	struct snapshots *s = g->snap;
	uint64_t rate = g->host->opt.snapshot_rate, now = g->host->now.mono_ns;
	uint64_t passed = now - s->tokens_ns;

	if (rate == 0)
		return true;
	if (passed > 1000000000)
		passed = 1000000000;
	s->tokens += passed * (rate / 1000) / 1000000;
	if (s->tokens > rate && s->tokens > CHUNK_LEN_MAX)
		s->tokens = rate > CHUNK_LEN_MAX ? rate : CHUNK_LEN_MAX;
	s->tokens_ns = now;
	if (s->tokens < len)
		return false;
	s->tokens -= len;
	return true;
}

static void
read_piece(struct group *g, struct snap_send *w)
{
	struct host *h = g->host;
	uint64_t left = w->held.sum.file_len - w->next;
	size_t len = left < CHUNK_LEN_MAX ? (size_t)left : CHUNK_LEN_MAX;
	struct store_job *j;

	if (h->jobs_out >= STORE_JOBS_MAX || !rate_allows(g, len))
		return;
	j = host_job(h);
	if (j == NULL)
		return;
	j->out = blob_new(len);
	if (j->out == NULL) {
		STAILQ_INSERT_HEAD(&h->idle, j, link);
		return;
	}
	j->kind = STORE_SNAP_READ;
	j->group = g->id;
	j->disk = h->disk;
	memcpy(j->path, w->held.file.path, sizeof(j->path));
	memcpy(j->sum.id, w->held.sum.id, sizeof(j->sum.id));
	j->from = w->next;
	j->seq = w->peer; /* reads have no place among the writes */
	w->reading = true;
	host_submit(h, j);
}

static void
read_done(struct group *g, struct store_job *j)
{
	struct snap_send *w = send_to(g, j->seq);

	if (j->seq != 0 && w != NULL &&
	    memcmp(w->held.sum.id, j->sum.id, SNAP_ID_LEN) == 0) {
		w->reading = false;
		if (j->error < 0 || j->out->len == 0) {
			host_log(g->host, HOST_ERROR,
			    "event=snapshot_read group=%u file=%s error=\"%s\"",
			    g->id, j->path, strerror(-j->error));
			w->peer = 0; /* it asks again */
		} else if (w->known && j->from == w->next) {
			send_chunk(g, w, j->from, j->out, j->out->len);
			w->next += j->out->len;
		}
	}
	blob_unref(j->out);
	j->out = NULL;
}

/* The receiver has a part of this one: go on with it if it is ours too and
 * the log has what follows it.  In any case it is asked once more. */
static void
change_to(struct group *g, struct snap_send *w, const uint8_t *id)
{
	struct snapshots *s = g->snap;

	if (w->known)
		return; /* late: of a transfer before this one */
	for (unsigned i = 0; i < s->count; i++)
		if (memcmp(s->held[i].sum.id, id, SNAP_ID_LEN) == 0 &&
		    s->held[i].file.index + 1 >= g->st.first)
			w->held = s->held[i];
	w->heard_ns = g->host->now.mono_ns;
	w->offered_ns = 0;
}

void
snapship_ack(struct group *g, const struct chunk_ack *a, uint64_t peer)
{
	struct snap_send *w = send_to(g, peer);

	if (peer == 0 || w == NULL)
		return;
	if (memcmp(a->id, w->held.sum.id, SNAP_ID_LEN) != 0) {
		change_to(g, w, a->id);
		return;
	}
	if (a->offset > w->held.sum.file_len)
		return;
	w->heard_ns = g->host->now.mono_ns;
	/* A first answer, or what it had is gone: go on where it says. */
	if (!w->known || a->offset < w->acked) {
		w->known = true;
		w->next = a->offset;
	}
	w->acked = a->offset;
	if (w->next < w->acked)
		w->next = w->acked;
}

static void
send_turn(struct group *g, struct snap_send *w)
{
	struct host *h = g->host;
	uint64_t now = h->now.mono_ns;
	struct raft_peer_status ps;

	if (g->st.role != RAFT_LEADER || !host_is_linked(h, w->peer) ||
	    raft_peer_status(g->raft, w->peer, &ps) < 0 ||
	    ps.state != RAFT_SNAPSHOTTING || now - w->heard_ns > GIVE_UP_NS) {
		host_log(h, HOST_INFO,
		    "event=snapshot_sent group=%u peer=%llu index=%llu "
		    "sent=%llu acked=%llu total=%llu",
		    g->id, (unsigned long long)w->peer,
		    (unsigned long long)w->held.file.index,
		    (unsigned long long)w->sent, (unsigned long long)w->acked,
		    (unsigned long long)w->held.sum.file_len);
		w->peer = 0;
		return;
	}
	if (now - w->heard_ns >= ASK_AGAIN_NS || w->offered_ns == 0) {
		if (w->offered_ns != 0 && now - w->offered_ns < ASK_AGAIN_NS)
			return;
		w->offered_ns = now;
		w->known = false;
		send_chunk(g, w, 0, NULL, 0);
		return;
	}
	if (w->known && !w->reading && w->next < w->held.sum.file_len &&
	    w->next - w->acked < WINDOW &&
	    h->env.peer_backlog(h->env.ctx, w->peer) < PEER_BACKLOG_MAX)
		read_piece(g, w);
}

void
snapship_turn(struct group *g)
{
	for (unsigned i = 0; i < SNAP_SENDS_MAX; i++)
		if (g->snap->send[i].peer != 0)
			send_turn(g, &g->snap->send[i]);
}

/* ---- receiving --------------------------------------------------------- */

static void
send_ack(struct group *g, uint64_t peer, const struct chunk_ack *a)
{
	struct host *h = g->host;
	struct piece piece;

	mp_buf_reset(&h->wire);
	chunk_ack_put(&h->wire, a);
	piece = (struct piece){NULL, h->wire.data, h->wire.len};
	if (!h->wire.failed)
		h->env.peer_send(h->env.ctx, peer, &piece, 1);
}

static void
answer(struct group *g)
{
	struct snap_receive *r = &g->snap->receive;
	struct chunk_ack a = {
	    .group = g->id, .index = r->index, .offset = r->written};

	memcpy(a.id, r->id, sizeof(a.id));
	send_ack(g, r->peer, &a);
}

/* What is left of it from before a restart. */
static uint64_t
part_len(struct group *g, const char *path)
{
	struct disk *d = g->host->disk;
	struct disk_file *f;
	uint64_t size = 0;

	if (d->ops->open(d->ctx, path, DISK_READ, &f) < 0)
		return 0;
	if (d->ops->size(d->ctx, f, &size) < 0)
		size = 0;
	d->ops->close(d->ctx, f);
	return size;
}

static int
digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c - 'a' + 10;
}

struct part {
	uint32_t group;
	uint8_t id[SNAP_ID_LEN];
	char path[SNAP_PATH_LEN];
};

static void
part_path(uint32_t group, const uint8_t *id, char path[SNAP_PATH_LEN])
{
	int n = snprintf(path, SNAP_PATH_LEN, "snap/%" PRIu32 "-", group);

	for (int i = 0; i < SNAP_ID_LEN; i++)
		n += snprintf(
		    path + n, SNAP_PATH_LEN - (size_t)n, "%02x", id[i]);
	(void)snprintf(path + n, SNAP_PATH_LEN - (size_t)n, ".part");
}

/* A name as part_path() makes them, of this group. */
static int
find_part(void *arg, const char *name)
{
	struct part *p = arg;
	char want[SNAP_PATH_LEN];
	const char *hex = strchr(name, '-');
	uint8_t id[SNAP_ID_LEN];

	if (hex++ == NULL || strspn(hex, "0123456789abcdef") != 2 * SNAP_ID_LEN)
		return 0;
	for (int i = 0; i < SNAP_ID_LEN; i++)
		id[i] =
		    (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
	part_path(p->group, id, want);
	if (strcmp(want + 5, name) == 0) {
		memcpy(p->id, id, sizeof(id));
		memcpy(p->path, want, sizeof(p->path));
	}
	return 0;
}

/* Says that there is a part of another one; once for each that is offered. */
static bool
hint(struct group *g, const struct chunk *c, uint64_t peer)
{
	struct snap_receive *r = &g->snap->receive;
	struct disk *d = g->host->disk;
	struct part p = {.group = g->id};
	struct chunk_ack a = {.group = g->id};

	if (c->data.len > 0 || r->jobs > 0 || r->finishing ||
	    memcmp(r->hinted, c->id, SNAP_ID_LEN) == 0)
		return false;
	memcpy(r->hinted, c->id, SNAP_ID_LEN);
	if (d->ops->list(d->ctx, "snap", find_part, &p) < 0 ||
	    p.path[0] == '\0' || memcmp(p.id, c->id, SNAP_ID_LEN) == 0)
		return false;
	a.offset = part_len(g, p.path);
	memcpy(a.id, p.id, sizeof(a.id));
	send_ack(g, peer, &a);
	return true;
}

static bool
receive_begin(struct group *g, const struct chunk *c)
{
	struct snap_receive *r = &g->snap->receive;
	struct disk *d = g->host->disk;
	int error;

	if (r->jobs > 0 || r->finishing || g->host->now.mono_ns < r->retry_ns)
		return false;
	*r = (struct snap_receive){.active = true,
	    .index = c->index,
	    .term = c->log_term,
	    .total = c->total};
	memcpy(r->id, c->id, sizeof(r->id));
	memcpy(r->hinted, c->id, sizeof(r->hinted));
	part_path(g->id, r->id, r->path);
	error = d->ops->mkdir(d->ctx, "snap");
	if (error == 0)
		error = d->ops->sync_dir(d->ctx, ".");
	if (error < 0 && error != -EEXIST) {
		r->active = false;
		return false;
	}
	/* One at a time; a snapshot being taken has its own name. */
	if (!g->snap->running)
		(void)snap_tidy(d, r->path);
	r->have = part_len(g, r->path);
	if (r->have > r->total)
		r->have = 0;
	r->written = r->have;
	host_log(g->host, HOST_INFO,
	    "event=snapshot_receive group=%u index=%llu bytes=%llu have=%llu",
	    g->id, (unsigned long long)r->index, (unsigned long long)r->total,
	    (unsigned long long)r->have);
	return true;
}

static void
finish(struct group *g)
{
	struct snap_receive *r = &g->snap->receive;
	struct host *h = g->host;
	struct store_job *j = host_job(h);

	if (j == NULL)
		return;
	r->finishing = true;
	j->kind = STORE_SNAP_FINISH;
	j->group = g->id;
	j->disk = h->disk;
	memcpy(j->path, r->path, sizeof(j->path));
	memcpy(j->sum.id, r->id, sizeof(j->sum.id));
	host_submit(h, j);
}

static void
write_piece(struct group *g, const struct chunk *c, struct blob *b)
{
	struct snap_receive *r = &g->snap->receive;
	struct host *h = g->host;
	struct store_job *j;

	if (r->jobs >= JOBS_MAX || (j = host_job(h)) == NULL)
		return;
	j->kind = STORE_SNAP_WRITE;
	j->group = g->id;
	j->disk = h->disk;
	memcpy(j->path, r->path, sizeof(j->path));
	memcpy(j->sum.id, r->id, sizeof(j->sum.id));
	j->from = c->offset;
	j->blob[0] = blob_ref(b);
	j->iov[0].iov_base = b->data + (c->data.p - b->data);
	j->iov[0].iov_len = c->data.len;
	j->iovcnt = 1;
	j->bytes = c->data.len;
	r->have += c->data.len;
	r->jobs++;
	g->snap->received_bytes += c->data.len;
	host_submit(h, j);
}

void
snapship_chunk(struct group *g, const struct chunk *c, uint64_t peer,
    struct blob *b, bool wanted)
{
	struct snap_receive *r = &g->snap->receive;

	if (!wanted)
		return;
	if (!r->active || memcmp(r->id, c->id, SNAP_ID_LEN) != 0) {
		if (hint(g, c, peer) || !receive_begin(g, c))
			return;
	}
	r->peer = peer;
	if (r->finishing)
		return;
	if (c->data.len > 0 && c->offset == r->have)
		write_piece(g, c, b);
	else if (r->jobs == 0)
		answer(g);
	if (r->jobs == 0 && r->written == r->total)
		finish(g);
}

static void
receive_failed(struct group *g, const struct store_job *j, bool discard)
{
	struct snap_receive *r = &g->snap->receive;
	struct disk *d = g->host->disk;

	host_log(g->host, HOST_ERROR,
	    "event=snapshot_receive_failed group=%u index=%llu error=\"%s\"",
	    g->id, (unsigned long long)r->index, strerror(-j->error));
	if (discard)
		(void)d->ops->unlink(d->ctx, r->path);
	r->active = false;
	r->finishing = false;
	r->retry_ns = g->host->now.mono_ns + RETRY_NS;
}

static void
write_done(struct group *g, struct store_job *j)
{
	struct snap_receive *r = &g->snap->receive;

	if (r->jobs > 0)
		r->jobs--;
	if (!r->active) {
		/* It failed before this: nothing is to be built upon. */
		if (r->jobs == 0)
			(void)g->host->disk->ops->unlink(
			    g->host->disk->ctx, r->path);
		return;
	}
	if (j->error < 0) {
		/* A full disk: what is there makes room. */
		receive_failed(g, j, true);
		return;
	}
	r->written = j->from + j->bytes;
	answer(g);
	if (r->written == r->total && r->jobs == 0)
		finish(g);
}

static void
finish_done(struct group *g, struct store_job *j)
{
	struct snap_receive *r = &g->snap->receive;
	struct snap_held held = {.sum = j->sum,
	    .file = {
		.group = g->id, .term = j->meta.term, .index = j->meta.index}};
	int error;

	if (j->error == 0 &&
	    (j->meta.group != g->id || j->meta.index != r->index ||
		j->meta.term != r->term ||
		memcmp(j->meta.cluster, g->host->identity.cluster,
		    SNAP_ID_LEN) != 0))
		j->error = -EBADMSG;
	if (j->error < 0) {
		receive_failed(g, j, true);
		r->retry_ns = 0; /* the next offer begins anew */
		return;
	}
	snap_path(g->id, held.file.term, held.file.index, held.file.path);
	r->active = r->finishing = false;
	error = snapshot_install(g, held.file.path);
	if (error < 0) {
		(void)g->host->disk->ops->unlink(
		    g->host->disk->ctx, held.file.path);
		r->retry_ns = g->host->now.mono_ns + RETRY_NS;
		return;
	}
	snapshot_hold(g, &held);
}

void
snapship_put_receiving(const struct group *g, struct mp_buf *b)
{
	const struct snap_receive *r = &g->snap->receive;

	if (!r->active) {
		mp_put_kv_nil(b, "receiving");
		return;
	}
	mp_put_str(b, "receiving");
	mp_put_map(b, 3);
	mp_put_kv_u64(b, "index", r->index);
	mp_put_kv_u64(b, "have", r->written);
	mp_put_kv_u64(b, "total", r->total);
}

void
snapship_done(struct group *g, struct store_job *j)
{
	if (j->kind == STORE_SNAP_READ && j->request != 0)
		snapserve_done(g, j);
	else if (j->kind == STORE_SNAP_READ)
		read_done(g, j);
	else if (j->kind == STORE_SNAP_DROP)
		snapshot_dropped(g, j);
	else if (j->kind == STORE_SNAP_WRITE)
		write_done(g, j);
	else
		finish_done(g, j);
}
