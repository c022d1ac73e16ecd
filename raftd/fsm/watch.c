/*
 * watch.c - what changed: events out of the history.
 */
#include "raftd/fsm/watch.h"

#include <string.h>

#include "raftd/fsm/kvargs.h"
#include "raftd/fsm/kvlist.h"

static bool
concerns(const struct kv_args *a, const struct record *r)
{
	if (a->prefix ? r->key_len < a->key.len : r->key_len != a->key.len)
		return false;
	return a->key.len == 0 || memcmp(r->bytes, a->key.p, a->key.len) == 0;
}

static void
put_event(
    const struct fsm *f, struct mp_buf *b, const struct record *r, bool prev)
{
	bool live = record_is_live(r);
	const struct record *older = prev ? record_older(r) : NULL;

	mp_put_map(b, 6);
	mp_put_kv_str(b, "type",
	    live			       ? "put"
	    : (r->flags & RECORD_EXPIRED) != 0 ? "expire"
					       : "delete");
	mp_put_kv_u64(b, "rev", r->mod_rev);
	mp_put_kv_u64(b, "group", f->group);
	mp_put_kv_bin(b, "key", r->bytes, r->key_len);
	if (live)
		mp_put_kv_bin(b, "value", record_value(r), r->value_len);
	else
		mp_put_kv_nil(b, "value");
	mp_put_str(b, "prev");
	kvlist_put_record(f, b, record_is_live(older) ? older : NULL, false);
}

/* Events of whole revisions from change i on, to before change *end; returns
 * how many concern us. */
static uint32_t
measure(const struct fsm *f, const struct kv_args *a, size_t i, size_t *end,
    uint64_t *rev)
{
	uint64_t limit =
	    (a->given & KV_LIMIT) != 0 ? a->limit : WIRE_LIST_LIMIT_MAX;
	const struct record *r;
	uint32_t count = 0;
	size_t bytes = 0;

	*rev = f->rev;
	for (; (r = kvstore_change(f, i)) != NULL; i++) {
		if ((count >= limit || bytes >= WIRE_LIST_BYTES_MAX) &&
		    (r->mod_rev != *rev || MUTANT(106)))
			break;
		*rev = r->mod_rev;
		if (!concerns(a, r))
			continue;
		count++;
		bytes += record_size(r);
	}
	if (r == NULL)
		*rev = f->rev;
	*end = i;
	return count;
}

enum wire_status
watch_args(
    struct mp_span params, struct fsm_watch *want, struct wire_error *err)
{
	struct kv_args a;
	enum wire_status st = kvargs_read(KV_WATCH, params, &a, err);

	if (st != WIRE_OK)
		return st;
	if ((a.given & (KV_WAIT | KV_LIMIT)) != 0)
		return kvargs_fail(
		    err, WIRE_USAGE, "wait and limit go with watch.next");
	want->key = a.key;
	want->prefix = a.prefix;
	want->prev = a.prev;
	want->since = (a.given & KV_SINCE) != 0 ? a.since : UINT64_MAX;
	want->progress_ms = a.progress;
	return WIRE_OK;
}

bool
watch_event(const struct fsm *f, size_t i, struct fsm_event *e)
{
	const struct record *r = kvstore_change(f, i);

	if (r == NULL)
		return false;
	e->rev = r->mod_rev;
	e->key = mp_span(r->bytes, r->key_len);
	return true;
}

void
watch_put_event(const struct fsm *f, size_t i, bool prev, struct mp_buf *b)
{
	put_event(f, b, kvstore_change(f, i), prev);
}

uint64_t
watch_floor(const struct fsm *f)
{
	return f->floor;
}

enum wire_status
watch_query(const struct fsm *f, struct mp_span params, uint64_t *since,
    bool now, struct mp_buf *reply, struct wire_error *err)
{
	struct kv_args a;
	enum wire_status st = kvargs_read(KV_WATCH, params, &a, err);
	uint64_t from = *since, rev;
	uint32_t count = 0;
	size_t i, end;

	if (st != WIRE_OK)
		return st;
	if ((a.given & KV_PROGRESS) != 0)
		return kvargs_fail(
		    err, WIRE_USAGE, "progress goes with watch alone");
	if (from == UINT64_MAX)
		from = (a.given & KV_SINCE) != 0 ? a.since : f->rev;
	now = now || (a.given & KV_SINCE) == 0;
	if (from < f->floor)
		return kvargs_fail(err, WIRE_COMPACTED,
		    "revision %llu is no longer kept, the oldest is %llu",
		    (unsigned long long)from, (unsigned long long)f->floor);
	i = end = kvstore_since(f, MUTANT(105) ? from + 1 : from);
	rev = from;
	if (from < f->rev)
		count = measure(f, &a, i, &end, &rev);
	*since = rev;
	if (count == 0 && !now)
		return WIRE_ABSENT;
	mp_put_map(reply, 3);
	mp_put_kv_u64(reply, "rev", rev);
	mp_put_kv_u64(reply, "group", f->group);
	mp_put_str(reply, "events");
	mp_put_array(reply, count);
	for (; i < end; i++)
		if (concerns(&a, kvstore_change(f, i)))
			put_event(f, reply, kvstore_change(f, i), a.prev);
	return WIRE_OK;
}
