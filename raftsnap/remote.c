/*
 * remote.c - a snapshot of a live server, in checked pieces: raftrpc(5).
 *
 * A linearizable read of the server comes first, so that it has applied all
 * that was acknowledged anywhere before; then it is asked for a snapshot that
 * holds what it had applied.  With --newest it is asked for one that it has,
 * which needs no leader.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/client.h"
#include "raftsnap/tool.h"
#include "raftwal/crc32c.h"

#define HASH_LEN 32
#define TAKE_MS 60000 /* a server may take long to write one */
#define TAKES_MAX 60

struct remote {
	struct client_sync *sync;
	char hash[HASH_LEN + 1];
	uint64_t total, offset;
	struct client_answer answer; /* the last piece, and what is left */
	struct mp_span data;
	int status;
	char why[sizeof(((struct wire_error *)0)->message) +
		 sizeof(((struct wire_error *)0)->cause) + 4];
};

static int
failed(struct remote *r, const struct wire_error *e)
{
	r->status = wire_status_info(e->status)->exit;
	(void)snprintf(r->why, sizeof(r->why), "%s%s%s", e->message,
	    e->message[0] != '\0' && e->cause[0] != '\0' ? ": " : "", e->cause);
	if (r->why[0] == '\0')
		(void)snprintf(r->why, sizeof(r->why), "%s",
		    wire_status_info(e->status)->name);
	return -EREMOTEIO;
}

static int
not_ours(struct remote *r, const char *what)
{
	struct wire_error e = {.status = WIRE_PROTOCOL_ERROR};

	(void)snprintf(e.message, sizeof(e.message), "%s", what);
	return failed(r, &e);
}

/* r->answer is that of the call from here to the next. */
static enum wire_status
call(struct remote *r, const char *method, struct mp_buf *params,
    uint64_t limit_ms)
{
	mp_buf_release(&r->answer.result);
	r->data = mp_span("", 0);
	return client_sync_call(r->sync, method,
	    mp_span(params->data, params->len), CLIENT_READ, (uint32_t)limit_ms,
	    &r->answer);
}

static int
answer_map(struct remote *r, struct mp_map *m)
{
	struct mp_cur cur = mp_cur(r->answer.result.data, r->answer.result.len);

	return mp_read_mapping(&cur, m);
}

/* All that was acknowledged is applied there from now on. */
static int
catch_up(struct remote *r, struct mp_buf *b)
{
	mp_put_array(b, 2);
	mp_put_bin(b, "", 0);
	mp_put_map(b, 2);
	mp_put_kv_u64(b, "limit", 1);
	mp_put_kv_bool(b, "keys_only", true);
	return call(r, "list", b, snaptool.timeout_ms) == WIRE_OK
		   ? 0
		   : failed(r, &r->answer.error);
}

static int
ask_applied(struct remote *r, struct mp_buf *b, uint64_t *applied)
{
	struct mp_map m;

	mp_buf_reset(b);
	mp_put_array(b, 0);
	if (call(r, "status", b, snaptool.timeout_ms) != WIRE_OK)
		return failed(r, &r->answer.error);
	if (answer_map(r, &m) < 0 || mp_get_u64(&m, "applied", applied) < 0)
		return not_ours(r, "an answer that is no status");
	return 0;
}

/* From here on that one server is asked. */
static int
stay(struct remote *r)
{
	const struct client_config c = {
	    .endpoints = r->answer.endpoint, .stall_ms = TAKE_MS};
	struct client_sync *sync;
	struct errtext et = {""};

	if (client_sync_open(&c, &sync, &et) < 0)
		return not_ours(r, et.text);
	client_sync_close(r->sync);
	r->sync = sync;
	return 0;
}

static int
read_taken(struct remote *r, uint64_t *index)
{
	struct mp_span hash;
	struct mp_map m;

	if (answer_map(r, &m) < 0 || mp_get_u64(&m, "index", index) < 0 ||
	    mp_get_u64(&m, "bytes", &r->total) < 0 ||
	    mp_get_bytes(&m, "hash", &hash, HASH_LEN) < 0 ||
	    hash.len != HASH_LEN)
		return not_ours(r, "an answer that is no snapshot");
	memcpy(r->hash, hash.p, HASH_LEN);
	return 0;
}

/* One with all of the log up to `from` in it. */
static int
take(struct remote *r, struct mp_buf *b, uint64_t from)
{
	mp_buf_reset(b);
	mp_put_array(b, 1);
	mp_put_map(b, 1);
	mp_put_kv_bool(b, "newest", snaptool.newest);
	for (unsigned i = 0; i < TAKES_MAX && snaptool_signal == 0; i++) {
		uint64_t index = 0;
		enum wire_status s = call(r, "snapshot", b,
		    snaptool.newest ? snaptool.timeout_ms : TAKE_MS);
		int error;

		if (s == WIRE_UNKNOWN)
			continue; /* it is still being written */
		if (s != WIRE_OK)
			return failed(r, &r->answer.error);
		error = read_taken(r, &index);
		if (error < 0 || index >= from)
			return error;
	}
	return not_ours(r, "the server writes no new snapshot");
}

static int
begin(struct remote *r, struct mp_buf *b)
{
	uint64_t from = 0;
	int error = 0;

	if (!snaptool.newest) {
		error = catch_up(r, b);
		if (error == 0)
			error = stay(r);
		if (error == 0)
			error = ask_applied(r, b, &from);
		return error == 0 ? take(r, b, from) : error;
	}
	error = take(r, b, 0);
	return error == 0 ? stay(r) : error;
}

int
remote_open(const char *endpoints, struct remote **out, uint64_t *total)
{
	const struct client_config c = {
	    .endpoints = endpoints, .stall_ms = TAKE_MS};
	struct remote *r = calloc(1, sizeof(*r));
	struct errtext et = {""};
	struct mp_buf b;
	int status = TOOL_OK;

	if (r == NULL)
		return snaptool_fail(-ENOMEM, endpoints, NULL);
	mp_buf_init(&r->answer.result);
	if (client_sync_open(&c, &r->sync, &et) < 0) {
		fprintf(stderr, "raftsnap: %s\n", et.text);
		free(r);
		return TOOL_USAGE;
	}
	mp_buf_init(&b);
	if (begin(r, &b) < 0) {
		status = r->status;
		fprintf(stderr, "raftsnap: '%s': %s\n", endpoints, r->why);
	}
	mp_buf_release(&b);
	if (status == TOOL_OK) {
		*total = r->total;
		*out = r;
	} else {
		remote_close(r);
	}
	return status;
}

/* The piece at r->offset. */
static int
fetch(struct remote *r)
{
	struct mp_buf b;
	struct mp_map m;
	uint64_t offset, total, check;
	enum wire_status s;

	mp_buf_init(&b);
	mp_put_array(&b, 2);
	mp_put_str(&b, r->hash);
	mp_put_u64(&b, r->offset);
	s = call(r, "snapshot.read", &b, snaptool.timeout_ms);
	mp_buf_release(&b);
	if (s != WIRE_OK)
		return failed(r, &r->answer.error);
	if (answer_map(r, &m) < 0 || mp_get_u64(&m, "offset", &offset) < 0 ||
	    mp_get_u64(&m, "total", &total) < 0 ||
	    mp_get_u64(&m, "check", &check) < 0 ||
	    mp_get_bytes(&m, "data", &r->data, SIZE_MAX) < 0 ||
	    offset != r->offset || total != r->total ||
	    r->data.len > total - offset ||
	    (r->data.len == 0 && offset < total))
		return not_ours(r, "an answer that is no piece of it");
	/* Nothing else judges bytes that a network has carried. */
	if (crc32c(0, r->data.p, r->data.len) != check)
		return not_ours(r, "a piece came damaged");
	r->offset += r->data.len;
	return 0;
}

int64_t
remote_get(struct remote *r, void *buf, size_t len)
{
	size_t n;

	if (r->data.len == 0 && r->offset < r->total) {
		int error = fetch(r);

		if (error < 0)
			return error;
	}
	n = r->data.len < len ? r->data.len : len;
	memcpy(buf, r->data.p, n);
	r->data.p += n;
	r->data.len -= n;
	return (int64_t)n;
}

int
remote_status(const struct remote *r)
{
	return r->status;
}

const char *
remote_why(const struct remote *r)
{
	return r->why;
}

void
remote_close(struct remote *r)
{
	if (r == NULL)
		return;
	mp_buf_release(&r->answer.result);
	client_sync_close(r->sync);
	free(r);
}
