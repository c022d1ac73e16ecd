/*
 * remote.c - what raftwal asks of servers that run.
 */
#include "raftwal/remote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "raftctl/client.h"

struct remote {
	struct client_sync *sync;
	struct client_answer answer;
	bool answered;
};

int
remote_open(const char *endpoints, struct remote **out, struct errtext *et)
{
	const struct client_config config = {.endpoints = endpoints};
	struct remote *r = calloc(1, sizeof(*r));
	int error;

	if (r == NULL)
		return errtext(et, -ENOMEM, "out of memory");
	error = client_sync_open(&config, &r->sync, et);
	if (error < 0) {
		free(r);
		return error;
	}
	*out = r;
	return 0;
}

static void
forget(struct remote *r)
{
	if (r->answered)
		mp_buf_release(&r->answer.result);
	r->answered = false;
}

void
remote_close(struct remote *r)
{
	if (r == NULL)
		return;
	forget(r);
	client_sync_close(r->sync);
	free(r);
}

static enum wire_status
call(struct remote *r, const char *method, struct mp_span params,
    struct mp_span *result, struct errtext *et)
{
	enum wire_status status;

	forget(r);
	status = client_sync_call(r->sync, method, params, CLIENT_READ,
	    REMOTE_TIMEOUT_MS, &r->answer);
	if (status != WIRE_OK) {
		(void)errtext(et, -EIO, "%s: %s%s%s", r->answer.endpoint,
		    r->answer.error.message,
		    r->answer.error.cause[0] != '\0' ? ": " : "",
		    r->answer.error.cause);
		return status;
	}
	r->answered = true;
	*result = mp_span(r->answer.result.data, r->answer.result.len);
	return WIRE_OK;
}

int
remote_call(struct remote *r, const char *method, struct mp_span *result,
    int *status, struct errtext *et)
{
	enum wire_status st = call(r, method, mp_span("", 0), result, et);

	*status = wire_status_info(st)->exit;
	return st == WIRE_OK ? 0 : -EIO;
}

int
remote_cluster(struct remote *r, char text[33], int *status, struct errtext *et)
{
	struct mp_span result, cluster;
	struct mp_cur cur;
	struct mp_map m;
	int error = remote_call(r, "hello", &result, status, et);

	if (error < 0)
		return error;
	cur = mp_cur_span(result);
	if (mp_scan(result.p, result.len) < 0 ||
	    mp_read_mapping(&cur, &m) < 0 ||
	    mp_get_bytes(&m, "cluster", &cluster, 32) < 0 ||
	    cluster.len != 32) {
		*status = EX_PROTOCOL;
		return errtext(et, -EPROTO, "%s: not an answer to hello",
		    r->answer.endpoint);
	}
	memcpy(text, cluster.p, 32);
	text[32] = '\0';
	return 0;
}

static int
read_entries(struct mp_span result, uint32_t group, struct repair_entries *e)
{
	struct mp_cur cur = mp_cur_span(result);
	struct mp_span records;
	struct mp_map m;
	uint64_t n;

	if (mp_scan(result.p, result.len) < 0 ||
	    mp_read_mapping(&cur, &m) < 0 || mp_get_u64(&m, "group", &n) < 0 ||
	    n != group || mp_get_u64(&m, "from", &e->from) < 0 ||
	    mp_get_u64(&m, "to", &e->to) < 0 ||
	    mp_get_u64(&m, "prev_term", &e->prev_term) < 0 ||
	    mp_get_u64(&m, "commit", &e->commit) < 0 ||
	    mp_get_bytes(&m, "records", &records, result.len) < 0)
		return -EPROTO;
	e->records = records.p;
	e->len = records.len;
	return 0;
}

int
remote_fetch(void *ctx, uint32_t group, uint64_t from, uint64_t to,
    struct repair_entries *e, struct errtext *et)
{
	struct remote *r = ctx;
	struct mp_span result;
	enum wire_status status;
	struct mp_buf b;

	mp_buf_init(&b);
	mp_put_array(&b, 3);
	mp_put_u64(&b, from);
	mp_put_u64(&b, to);
	mp_put_map(&b, 1);
	mp_put_kv_u64(&b, "group", group);
	status = b.failed
		     ? WIRE_BUSY
		     : call(r, "log.read", mp_span(b.data, b.len), &result, et);
	mp_buf_release(&b);
	if (status == WIRE_ABSENT)
		return -ENOENT;
	if (status != WIRE_OK)
		return -EHOSTUNREACH;
	if (read_entries(result, group, e) < 0 || e->from != from)
		return errtext(et, -EPROTO, "%s: not an answer to log.read",
		    r->answer.endpoint);
	return 0;
}
