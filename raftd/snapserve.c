/*
 * snapserve.c - snapshots to clients, in pieces: raftsnap save -s.
 *
 * A client asks for a snapshot, is told its hash, and then asks for one piece
 * after the other.  What was read lately is kept, so that newer snapshots do
 * not take it away from under a client that is slow.
 */
#include <stdio.h>
#include <string.h>

#include "raftd/snapshot.h"
#include "raftwal/crc32c.h"

#define JOBS_SPARE (STORE_JOBS_MAX / 2) /* the log goes first */

static void
put_id(struct mp_buf *b, const char *key, const uint8_t *id)
{
	char hex[2 * SNAP_ID_LEN + 1];

	for (int i = 0; i < SNAP_ID_LEN; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", id[i]);
	mp_put_kv_str(b, key, hex);
}

static int
digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
read_id(struct mp_span text, uint8_t *id)
{
	if (text.len != 2 * SNAP_ID_LEN)
		return false;
	for (int i = 0; i < SNAP_ID_LEN; i++) {
		int hi = digit(text.p[2 * i]), lo = digit(text.p[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		id[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

/* Every key of the map is one of the two. */
static bool
known_only(const struct mp_map *m, const char *a, const char *b)
{
	struct mp_cur cur = m->body;
	struct mp_span key;

	for (uint32_t i = 0; i < m->count; i++)
		if (mp_read_bytes(&cur, &key) < 0 || mp_skip(&cur) < 0 ||
		    (!mp_span_eq(key, a) && !mp_span_eq(key, b)))
			return false;
	return true;
}

bool
snapserve_options(struct mp_span params, bool *newest)
{
	struct mp_cur cur = mp_cur_span(params);
	struct mp_map opts;
	uint32_t count;

	*newest = false;
	if (mp_read_array(&cur, &count) < 0 || count > 1)
		return false;
	if (count == 0)
		return true;
	return mp_read_mapping(&cur, &opts) == 0 &&
	       known_only(&opts, "newest", "group") &&
	       mp_opt_bool(&opts, "newest", newest) == 0;
}

bool
snapserve_holds(const struct group *g, const struct snap_held *held)
{
	return held->read_ns != 0 &&
	       g->host->now.mono_ns - held->read_ns < SNAP_READ_KEEP_NS;
}

void
snapserve_put(struct group *g, struct mp_buf *b)
{
	put_id(b, "hash", g->snap->held[0].sum.id);
}

static struct snap_held *
find(struct group *g, const uint8_t *id)
{
	struct snapshots *s = g->snap;

	for (unsigned i = 0; i < s->count; i++)
		if (memcmp(s->held[i].sum.id, id, SNAP_ID_LEN) == 0)
			return &s->held[i];
	return NULL;
}

static bool
read_params(struct request *r, uint8_t *id, uint64_t *offset, uint64_t *limit)
{
	struct mp_cur cur = mp_cur_span(r->params);
	struct mp_span text;
	struct mp_map opts;
	uint32_t count;

	*limit = CHUNK_LEN_MAX;
	if (mp_read_array(&cur, &count) < 0 || count < 2 || count > 3 ||
	    mp_read_bytes(&cur, &text) < 0 || !read_id(text, id) ||
	    mp_read_u64(&cur, offset) < 0)
		return false;
	if (count == 3 && (mp_read_mapping(&cur, &opts) < 0 ||
			      !known_only(&opts, "limit", "group") ||
			      mp_opt_u64(&opts, "limit", limit) < 0))
		return false;
	return *limit > 0;
}

void
snapserve_request(struct group *g, struct request *r)
{
	struct host *h = g->host;
	struct snap_held *held;
	struct store_job *j;
	uint8_t id[SNAP_ID_LEN];
	uint64_t offset, limit, left;

	if (!read_params(r, id, &offset, &limit)) {
		answer_error(
		    g, r, WIRE_USAGE, "parameters are [hash, offset, {limit}]");
		return;
	}
	held = find(g, id);
	if (held == NULL || offset > held->sum.file_len) {
		answer_error(g, r, held == NULL ? WIRE_ABSENT : WIRE_USAGE,
		    held == NULL ? "this server has no such snapshot any more"
				 : "the offset is behind its end");
		return;
	}
	held->read_ns = h->now.mono_ns;
	left = held->sum.file_len - offset;
	limit = limit < CHUNK_LEN_MAX ? limit : CHUNK_LEN_MAX;
	j = h->jobs_out < JOBS_SPARE ? host_job(h) : NULL;
	if (j != NULL)
		j->out = blob_new((size_t)(left < limit ? left : limit));
	if (j == NULL || j->out == NULL) {
		if (j != NULL)
			STAILQ_INSERT_HEAD(&h->idle, j, link);
		answer_error(g, r, WIRE_BUSY, "storage is behind");
		return;
	}
	j->kind = STORE_SNAP_READ;
	j->group = g->id;
	j->disk = h->disk;
	memcpy(j->path, held->file.path, sizeof(j->path));
	j->sum = held->sum;
	j->from = offset;
	j->request = r->name;
	r->index = UINT64_MAX; /* answered when it was read */
	dispatch_move(g, r, REQUEST_READY);
	host_submit(h, j);
}

void
snapserve_done(struct group *g, struct store_job *j)
{
	struct request *r = request_by_name(&g->host->pool, j->request);
	struct mp_buf *b;

	/* The client may have gone. */
	if (r != NULL && r->kind == REQUEST_SNAPSHOT_READ) {
		if (j->error < 0) {
			answer_error(g, r, WIRE_ABSENT,
			    "the snapshot cannot be read: %s",
			    strerror(-j->error));
		} else {
			b = answer_begin(g->host, r);
			mp_put_map(b, 5);
			put_id(b, "hash", j->sum.id);
			mp_put_kv_u64(b, "offset", j->from);
			mp_put_kv_u64(b, "total", j->sum.file_len);
			mp_put_kv_u64(
			    b, "check", crc32c(0, j->out->data, j->out->len));
			mp_put_kv_bin(b, "data", j->out->data, j->out->len);
			answer_ok(g, r);
		}
	}
	blob_unref(j->out);
	j->out = NULL;
}
