/*
 * feed.c - entries to the peers: from memory, or from the log for those that
 * are far behind.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/mend.h"

#define FEED_MESSAGES_MAX 8 /* to one peer in one turn */

static struct catchup *
catchup_of(struct group *g, uint64_t peer)
{
	struct catchup *unused = NULL;

	for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++) {
		if (g->catchup[i].peer == peer)
			return &g->catchup[i];
		if (g->catchup[i].peer == 0 && unused == NULL)
			unused = &g->catchup[i];
	}
	if (unused != NULL)
		unused->peer = peer;
	return unused;
}

static void
drop_blob(struct catchup *c)
{
	blob_unref(c->blob);
	c->blob = NULL;
}

void
feed_release(struct group *g)
{
	for (unsigned i = 0; i < RAFT_MEMBERS_MAX; i++)
		drop_blob(&g->catchup[i]);
}

/* Ask storage for entries that memory has no more. */
static void
read_old(struct group *g, struct catchup *c, const struct raft_want *w)
{
	struct host *h = g->host;
	size_t cap =
	    record_size((uint32_t)(h->opt.value_len_max + h->opt.key_len_max +
				   WIRE_OVERHEAD_MAX));
	struct store_job *j;

	if (h->jobs_out >= STORE_JOBS_MAX)
		return;
	j = host_job(h);
	if (j == NULL)
		return;
	j->out = blob_new(cap > CATCHUP_READ_LEN ? cap : CATCHUP_READ_LEN);
	if (j->out == NULL) {
		free(j);
		return;
	}
	j->kind = STORE_READ;
	j->group = g->id;
	j->from = w->first;
	j->to = w->last < g->tail.first ? w->last : g->tail.first - 1;
	j->seq = c->peer; /* reads have no place among the writes */
	c->reading = true;
	host_submit(h, j);
}

void
feed_read_done(struct group *g, struct store_job *j)
{
	struct catchup *c = catchup_of(g, j->seq);

	if (c != NULL) {
		c->reading = false;
		drop_blob(c);
		if (j->error == 0) {
			c->blob = j->out;
			c->from = j->from;
			c->last = j->last;
			j->out = NULL;
		} else if (j->error != -ENOENT || j->from >= g->st.first) {
			/* Not what was cut in the meantime. */
			c->retry_ns =
			    g->host->now.mono_ns + g->host->opt.election_ns;
			/* What we have in memory is whole, and the peer gets
			 * a snapshot of it once the log is cut. */
			if (j->error == -EBADMSG && !MUTANT(88))
				mend_log(g->host);
			host_log(g->host, HOST_ERROR,
			    "event=log_read group=%u first=%llu last=%llu "
			    "error=\"%s\"",
			    g->id, (unsigned long long)j->from,
			    (unsigned long long)j->to, strerror(-j->error));
		}
	}
	blob_unref(j->out);
	j->out = NULL;
}

/*
 * A receiver refuses more than RAFT_APPEND_CONFIGS_MAX configurations in one
 * message: end before the one that is too many.
 */
static void
limit_configs(
    struct piece *piece, unsigned *count, size_t *bytes, uint64_t *last)
{
	unsigned configs = 0;
	size_t sum = 0;

	for (unsigned i = 0; i < *count; i++) {
		const uint8_t *p = piece[i].p;
		size_t off = 0;

		while (off < piece[i].len) {
			struct record r;
			size_t size =
			    record_read(p + off, piece[i].len - off, &r);

			if (size == 0)
				return; /* the receiver will say so */
			if (r.kind == RECORD_CONFIG &&
			    ++configs > RAFT_APPEND_CONFIGS_MAX) {
				piece[i].len = off;
				*count = off > 0 ? i + 1 : i;
				*bytes = sum + off;
				*last = r.index - 1;
				return;
			}
			off += size;
		}
		sum += off;
	}
}

static void
send_append(struct group *g, uint64_t peer, struct raft_msg *m, uint64_t last,
    struct piece *piece, unsigned count, size_t bytes)
{
	struct host *h = g->host;

	raft_appended(g->raft, m, last, bytes);
	mp_buf_reset(&h->wire);
	message_put_append(&h->wire, g->id, m, bytes);
	if (h->wire.failed)
		return;
	piece[0] = (struct piece){NULL, h->wire.data, h->wire.len};
	h->env.peer_send(h->env.ctx, peer, piece, count + 1);
}

/* One message to one peer; false: nothing can be sent now. */
static bool
feed_one(struct group *g, uint64_t peer)
{
	struct piece piece[1 + FEED_PIECES_MAX]; /* the first is the head */
	struct raft_want w;
	struct raft_msg *m = g->host->msg;
	struct catchup *c;
	uint64_t last;
	unsigned count = 0;
	size_t bytes = 0, bytes_max;

	if (!raft_append_wanted(
		g->raft, peer, (struct raft_time){g->host->now.mono_ns}, &w, m))
		return false;
	if (w.last < w.first) {
		send_append(g, peer, m, w.first - 1, piece, 0, 0);
		return true;
	}
	if (w.first >= g->tail.first) {
		bytes_max = w.bytes_max < FEED_BYTES_MAX ? (size_t)w.bytes_max
							 : FEED_BYTES_MAX;
		last = tail_pieces(&g->tail, w.first, w.last, bytes_max,
		    piece + 1, FEED_PIECES_MAX, &count, &bytes);
		if (g->config_count > 1 || w.first <= g->config[0].index)
			limit_configs(piece + 1, &count, &bytes, &last);
		send_append(g, peer, m, last, piece, count, bytes);
		return true;
	}
	c = catchup_of(g, peer);
	if (c == NULL || c->reading || c->retry_ns > g->host->now.mono_ns)
		return false;
	if (c->blob == NULL || c->from != w.first || c->last > w.last) {
		drop_blob(c);
		read_old(g, c, &w);
		return false;
	}
	piece[1] = (struct piece){c->blob, c->blob->data, c->blob->len};
	count = 1;
	bytes = c->blob->len;
	last = c->last;
	limit_configs(piece + 1, &count, &bytes, &last);
	send_append(g, peer, m, last, piece, count, bytes);
	drop_blob(c);
	return true;
}

void
feed_peers(struct group *g)
{
	struct host *h = g->host;

	group_refresh(g);
	if (g->st.role != RAFT_LEADER)
		return;
	for (uint32_t i = 0; i < g->st.config.count; i++) {
		uint64_t peer = g->st.config.member[i].id;

		if (peer == h->opt.id)
			continue;
		for (int n = 0; n < FEED_MESSAGES_MAX; n++) {
			if (h->env.peer_backlog(h->env.ctx, peer) >
			    PEER_BACKLOG_MAX)
				break;
			if (!feed_one(g, peer))
				break;
			g->dirty = true;
		}
	}
}
