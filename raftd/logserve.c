/*
 * logserve.c - committed entries to clients: raftwal repair.
 */
#include <errno.h>
#include <string.h>

#include "raftd/inside.h"

#define LOG_READ_LEN (1u << 20)		/* of records in an answer, soft */
#define JOBS_SPARE (STORE_JOBS_MAX / 2) /* the log itself goes first */

static bool
read_params(struct request *r, uint64_t *from, uint64_t *to)
{
	struct mp_cur cur = mp_cur_span(r->params);
	struct mp_span key;
	struct mp_map opts;
	uint32_t count;

	if (mp_read_array(&cur, &count) < 0 || count < 2 || count > 3 ||
	    mp_read_u64(&cur, from) < 0 || mp_read_u64(&cur, to) < 0)
		return false;
	if (count == 3) {
		if (mp_read_mapping(&cur, &opts) < 0)
			return false;
		for (uint32_t i = 0; i < opts.count; i++)
			if (mp_read_bytes(&opts.body, &key) < 0 ||
			    mp_skip(&opts.body) < 0 ||
			    !mp_span_eq(key, "group"))
				return false;
	}
	return *from > 0 && *to >= *from;
}

void
logserve_request(struct group *g, struct request *r)
{
	struct host *h = g->host;
	/* The longest entry there can be, or all that are answered. */
	size_t cap =
	    record_size((uint32_t)(h->opt.value_len_max + h->opt.key_len_max +
				   WIRE_OVERHEAD_MAX));
	struct store_job *j;
	uint64_t from, to;

	if (!read_params(r, &from, &to)) {
		answer_error(g, r, WIRE_USAGE, "parameters are [from, to, {}]");
		return;
	}
	group_refresh(g);
	if (from < g->st.first || from > g->commit) {
		answer_error(g, r, WIRE_ABSENT,
		    "committed entries here are %llu to %llu",
		    (unsigned long long)g->st.first,
		    (unsigned long long)g->commit);
		return;
	}
	j = h->jobs_out < JOBS_SPARE ? host_job(h) : NULL;
	if (j != NULL)
		j->out = blob_new(cap > LOG_READ_LEN ? cap : LOG_READ_LEN);
	if (j == NULL || j->out == NULL) {
		if (j != NULL)
			STAILQ_INSERT_HEAD(&h->idle, j, link);
		answer_error(g, r, WIRE_BUSY, "storage is behind");
		return;
	}
	j->kind = STORE_READ;
	j->group = g->id;
	j->from = from;
	j->to = to < g->commit ? to : g->commit;
	j->request = r->name;
	r->index = UINT64_MAX; /* answered when it was read */
	dispatch_move(g, r, REQUEST_READY);
	host_submit(h, j);
}

void
logserve_done(struct group *g, struct store_job *j)
{
	struct request *r = request_by_name(&g->host->pool, j->request);
	struct mp_buf *b;

	/* The client may have gone. */
	if (r != NULL && r->kind == REQUEST_LOG_READ) {
		if (j->error < 0) {
			answer_error(g, r, WIRE_ABSENT,
			    "the entries cannot be read: %s",
			    strerror(-j->error));
		} else {
			b = answer_begin(g->host, r);
			mp_put_map(b, 7);
			mp_put_kv_u64(b, "group", g->id);
			mp_put_kv_u64(b, "first", g->st.first);
			mp_put_kv_u64(b, "commit", g->commit);
			mp_put_kv_u64(b, "from", j->from);
			mp_put_kv_u64(b, "to", j->last);
			mp_put_kv_u64(
			    b, "prev_term", raft_term_at(g->raft, j->from - 1));
			mp_put_kv_bin(b, "records", j->out->data, j->out->len);
			answer_ok(g, r);
		}
	}
	blob_unref(j->out);
	j->out = NULL;
}
