/*
 * compact.c - cut the log of a server that has stopped behind a snapshot.
 */
#include "raftwal/compact.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/mp.h"

#include "raftwal/bytes.h"

#define PEERS_MAX 64

/* What has to outlive the segments that go. */
struct gather {
	uint32_t group;
	uint64_t index, term; /* the snapshot's */
	uint64_t term_found;  /* of that entry */
	uint64_t config_index;
	struct mp_buf config; /* in force at index */
	uint64_t commit;
	struct mp_buf peer[PEERS_MAX]; /* the last record of each, sealed */
	uint64_t peer_id[PEERS_MAX];
	unsigned peers;
	uint64_t keep;	       /* segment of the entry behind index, 0 none */
	uint64_t lowest, used; /* segments: the first, the last with batches */
};

static void
put_record(struct mp_buf *b, const struct record *r)
{
	size_t size = record_size(r->len);
	uint8_t *p = mp_buf_reserve(b, size);

	if (p == NULL)
		return;
	if (r->len > 0)
		memcpy(p + RECORD_HEADER_LEN, r->payload, r->len);
	record_seal(p, r);
	b->len += size;
}

static void
config_take(struct gather *g, uint64_t index, const uint8_t *p, size_t len)
{
	if (index > g->index || index < g->config_index)
		return;
	g->config_index = index;
	mp_buf_reset(&g->config);
	mp_put_raw(&g->config, p, len);
}

static int
peer_take(struct gather *g, const struct record *r)
{
	uint64_t id = get_le64(r->payload);
	unsigned i = 0;

	while (i < g->peers && g->peer_id[i] != id)
		i++;
	if (i == PEERS_MAX)
		return -EBADMSG;
	if (i == g->peers) {
		g->peer_id[g->peers++] = id;
		mp_buf_init(&g->peer[i]);
	}
	mp_buf_reset(&g->peer[i]);
	put_record(&g->peer[i], r);
	return g->peer[i].failed ? -ENOMEM : 0;
}

static int
gather_record(const struct record *r, void *ctx)
{
	struct gather *g = ctx;
	const uint8_t *p = r->payload;

	if (r->kind == RECORD_PEER && r->len >= 8)
		return peer_take(g, r);
	if (r->group != g->group)
		return 0;
	if (record_is_entry(r->kind) && r->index == g->index)
		g->term_found = r->term;
	if (r->kind == RECORD_CONFIG)
		config_take(g, r->index, p, r->len);
	if ((r->kind == RECORD_START || r->kind == RECORD_RESET) && r->len > 16)
		config_take(g, get_le64(p + 8), p + 16, r->len - 16);
	if (r->kind == RECORD_COMMIT && r->len >= 8 && get_le64(p) > g->commit)
		g->commit = get_le64(p);
	return 0;
}

static int
gather_place(const struct wal_place *p, const struct record *r, void *ctx)
{
	struct gather *g = ctx;

	if (g->lowest == 0)
		g->lowest = strtoull(p->file + 4, NULL, 16);
	if (strcmp(p->what, "batch") == 0)
		g->used = strtoull(p->file + 4, NULL, 16);
	if (r != NULL && !p->hidden && record_is_entry(r->kind) &&
	    r->group == g->group && r->index == g->index + 1 && g->keep == 0)
		g->keep = strtoull(p->file + 4, NULL, 16);
	return 0;
}

static const struct wal_group *
find_group(const struct wal *wal, uint32_t group)
{
	const struct wal_group *list;
	size_t n = wal_groups(wal, &list);

	for (size_t i = 0; i < n; i++)
		if (list[i].group == group)
			return &list[i];
	return NULL;
}

static int
judge(struct gather *g, const struct wal_group *log, struct errtext *et)
{
	uint64_t term = g->term_found;

	if (log == NULL)
		return errtext(et, -EBADMSG, "the log has no such group");
	if (log->damaged)
		return errtext(
		    et, -EBADMSG, "entries are missing: repair comes first");
	if (g->index + 1 == log->first)
		term = log->prev_term;
	if (g->index + 1 < log->first || g->index > log->last ||
	    (term != g->term && !MUTANT(161)))
		return errtext(et, -EBADMSG,
		    "the snapshot ends with index %" PRIu64 " of term %" PRIu64
		    ", which is not in the log",
		    g->index, g->term);
	if (g->config.len == 0)
		return errtext(et, -EBADMSG,
		    "nothing tells the members at index %" PRIu64, g->index);
	return 0;
}

static int
put_start(struct mp_buf *b, const struct gather *g, const struct wal_group *log)
{
	struct record r = {.group = g->group, .kind = RECORD_START};
	struct mp_buf payload;
	uint8_t eight[8];

	mp_buf_init(&payload);
	put_le64(eight, g->index);
	mp_put_raw(&payload, eight, sizeof(eight));
	put_le64(eight, g->config_index);
	mp_put_raw(&payload, eight, sizeof(eight));
	mp_put_raw(&payload, g->config.data, g->config.len);
	r.term = g->term;
	r.payload = payload.data;
	r.len = (uint32_t)payload.len;
	if (!payload.failed)
		put_record(b, &r);
	b->failed |= payload.failed;
	mp_buf_release(&payload);
	put_le64(eight, log->vote);
	r = (struct record){.group = g->group,
	    .kind = RECORD_STATE,
	    .term = log->term,
	    .payload = eight,
	    .len = sizeof(eight)};
	if (!MUTANT(162))
		put_record(b, &r);
	put_le64(eight, g->commit > g->index ? g->commit : g->index);
	r.kind = RECORD_COMMIT;
	r.term = 0;
	put_record(b, &r);
	for (unsigned i = 0; i < g->peers && !MUTANT(163); i++)
		mp_put_raw(b, g->peer[i].data, g->peer[i].len);
	return b->failed ? -ENOMEM : 0;
}

static int
cut(struct wal *wal, const struct gather *g, struct compact_result *result)
{
	const struct wal_group *log = find_group(wal, g->group);
	struct mp_buf b;
	struct iovec iov;
	uint64_t dropped = 0;
	int error;

	mp_buf_init(&b);
	error = put_start(&b, g, log);
	if (error == 0) {
		iov = (struct iovec){b.data, b.len};
		error = wal_write(wal, &iov, 1);
	}
	mp_buf_release(&b);
	if (error == 0)
		error = wal_sync(wal);
	do {
		if (error == 0)
			error = wal_compact(wal, &dropped);
		result->segments += error == 0 ? dropped : 0;
	} while (error == 0 && dropped > 0);
	return error;
}

int
compact_run(struct disk *disk, const struct wal_options *options,
    uint32_t group, uint64_t index, uint64_t term, bool write,
    struct compact_result *result, struct errtext *et)
{
	struct gather g = {.group = group, .index = index, .term = term};
	struct wal_options opt = *options;
	struct wal *wal = NULL;
	int error;

	memset(result, 0, sizeof(*result));
	mp_buf_init(&g.config);
	opt.read_only = !write;
	error = wal_walk(disk, gather_place, &g, et);
	if (error == 0)
		error = wal_open(disk, &opt, gather_record, &g, &wal, NULL, et);
	if (error == 0)
		error = judge(&g, find_group(wal, group), et);
	if (error == 0) {
		result->first = index + 1;
		if (write)
			error = cut(wal, &g, result);
		else
			result->segments =
			    (g.keep == 0 ? g.used : g.keep) - g.lowest;
		if (error < 0)
			(void)errtext(et, error, "cannot cut the log: %s",
			    strerror(-error));
	}
	wal_close(wal);
	mp_buf_release(&g.config);
	for (unsigned i = 0; i < g.peers; i++)
		mp_buf_release(&g.peer[i]);
	return error;
}
