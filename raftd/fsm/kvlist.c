/*
 * kvlist.c - records as MessagePack, alone and in pages.
 */
#include "raftd/fsm/kvlist.h"

#include <string.h>

void
kvlist_put_record(const struct fsm *f, struct mp_buf *b, const struct record *r,
    bool keys_only)
{
	if (r == NULL) {
		mp_put_nil(b);
		return;
	}
	mp_put_map(b, 7);
	mp_put_kv_bin(b, "key", r->bytes, r->key_len);
	if (keys_only)
		mp_put_kv_nil(b, "value");
	else
		mp_put_kv_bin(b, "value", record_value(r), r->value_len);
	mp_put_kv_u64(b, "create_rev", r->create_rev);
	mp_put_kv_u64(b, "mod_rev", r->mod_rev);
	mp_put_kv_u64(b, "version", r->version);
	mp_put_kv_u64(b, "lease", record_lease(r));
	mp_put_kv_u64(b, "group", f->group);
}

/* Keys from low (or behind it) to before high. */
struct range {
	struct mp_span low, high;
	bool low_strict;
	bool bounded; /* high counts */
	uint8_t prefix_end[WIRE_KEY_LEN_MAX];
};

static int
span_compare(struct mp_span a, struct mp_span b)
{
	return a.len == 0 || b.len == 0 ? (a.len > 0) - (b.len > 0)
					: tree_compare(a.p, a.len, b.p, b.len);
}

static int
record_compare(const struct record *r, struct mp_span s)
{
	return span_compare(mp_span(r->bytes, r->key_len), s);
}

static void
range_raise(struct range *g, struct mp_span low, bool strict)
{
	int c = span_compare(low, g->low);

	if (c < 0)
		return;
	g->low_strict = c == 0 ? g->low_strict || strict : strict;
	g->low = low;
}

static void
range_lower(struct range *g, struct mp_span high)
{
	if (g->bounded && span_compare(high, g->high) >= 0)
		return;
	g->high = high;
	g->bounded = true;
}

/* The first key behind all that begin with the prefix, if there is one. */
static void
range_prefix(struct range *g, struct mp_span prefix)
{
	size_t len = prefix.len;

	range_raise(g, prefix, false);
	while (len > 0 && prefix.p[len - 1] == 0xff)
		len--;
	if (len == 0)
		return;
	memcpy(g->prefix_end, prefix.p, len);
	g->prefix_end[len - 1]++;
	range_lower(g, mp_span(g->prefix_end, len));
}

static void
range_init(struct range *g, const struct kv_args *a)
{
	g->low = g->high = mp_span(NULL, 0);
	g->low_strict = g->bounded = false;
	range_prefix(g, a->key);
	if ((a->given & KV_FROM) != 0)
		range_raise(g, a->from, false);
	if ((a->given & KV_TO) != 0)
		range_lower(g, a->to);
	if ((a->given & KV_AFTER) == 0)
		return;
	if (a->reverse)
		range_lower(g, a->after);
	else
		range_raise(g, a->after, true);
}

static struct tree_pos
range_start(const struct fsm *f, const struct range *g, bool reverse)
{
	if (!reverse)
		return tree_seek(&f->tree, g->low.p, g->low.len);
	return g->bounded ? tree_seek(&f->tree, g->high.p, g->high.len)
			  : tree_end(&f->tree);
}

/* The next record of the range as it was at rev, or NULL at its end. */
static const struct record *
range_step(
    const struct range *g, struct tree_pos *pos, bool reverse, uint64_t rev)
{
	const struct record *r, *then;
	int c;

	while ((r = reverse ? tree_prev(pos) : tree_next(pos)) != NULL) {
		if (!reverse && g->bounded && record_compare(r, g->high) >= 0)
			return NULL;
		c = reverse || g->low_strict ? record_compare(r, g->low) : 1;
		if (c < 0)
			return NULL;
		if (c == 0 && g->low_strict)
			continue;
		then = kvstore_at(r, MUTANT(96) ? UINT64_MAX : rev);
		if (then != NULL)
			return then;
	}
	return NULL;
}

static uint64_t
count_all(const struct fsm *f, const struct kv_args *a, const struct range *g)
{
	struct tree_pos pos = range_start(f, g, false);
	uint64_t n = 0;

	if (a->rev == f->rev && g->low.len == 0 && !g->bounded)
		return f->keys;
	while (range_step(g, &pos, false, a->rev) != NULL)
		n++;
	return n;
}

/* The records of a page, and whether more follow; returns how many. */
static uint32_t
page_read(const struct fsm *f, const struct kv_args *a, const struct range *g,
    const struct record **page, bool *more)
{
	uint64_t limit =
	    (a->given & KV_LIMIT) != 0 ? a->limit : WIRE_LIST_LIMIT_MAX;
	struct tree_pos pos = range_start(f, g, a->reverse);
	const struct record *r;
	uint32_t count = 0;
	size_t bytes = 0;

	*more = false;
	while ((r = range_step(g, &pos, a->reverse, a->rev)) != NULL) {
		*more = count == limit || bytes >= WIRE_LIST_BYTES_MAX;
		if (*more)
			break;
		page[count++] = r;
		bytes += r->key_len + (a->keys_only ? 0 : (size_t)r->value_len);
	}
	return count;
}

static void
page_put(const struct fsm *f, struct mp_buf *b, const struct record **page,
    uint32_t count, bool keys_only)
{
	uint32_t i;

	mp_put_str(b, "records");
	mp_put_array(b, count);
	for (i = 0; i < count; i++)
		kvlist_put_record(f, b, page[i], keys_only);
}

void
kvlist_query(const struct fsm *f, const struct kv_args *a, struct mp_buf *reply)
{
	const struct record *page[WIRE_LIST_LIMIT_MAX];
	struct range g;
	uint32_t count = 0;
	uint64_t total = 0;
	bool more = false;

	range_init(&g, a);
	if (a->count) {
		total = count_all(f, a, &g);
	} else {
		count = page_read(f, a, &g, page, &more);
		total = count;
	}
	mp_put_map(reply, 5);
	mp_put_kv_u64(reply, "rev", a->rev);
	mp_put_kv_u64(reply, "group", f->group);
	mp_put_kv_bool(reply, "more", more);
	mp_put_kv_u64(reply, "count", total);
	page_put(f, reply, page, count, a->keys_only);
}

uint32_t
kvlist_range(const struct fsm *f, const struct kv_args *a, struct mp_buf *reply)
{
	const struct record *page[WIRE_LIST_LIMIT_MAX];
	struct range g;
	uint32_t count;
	bool more;

	range_init(&g, a);
	count = page_read(f, a, &g, page, &more);
	mp_put_map(reply, 2);
	page_put(f, reply, page, count, false);
	mp_put_kv_bool(reply, "more", more);
	return count;
}
