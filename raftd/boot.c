/*
 * boot.c - opening a data directory: identity, bootstrap, replay.
 *
 * A new directory gets its first entry, the configuration that the command
 * line names, before its identity: a directory with an identity is whole,
 * one without is begun again.  The entry is the same on every server, byte
 * for byte, and counts as committed: nothing else can ever stand at index 1.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/fsm/kv.h"
#include "raftd/snapshot.h"
#include "raftd/watchers.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

#define BOOT_TERM 1

struct replay {
	struct host *host;
	struct raft_run *run;
	uint32_t run_count, run_cap;
	uint64_t entries;
	struct config_at start_config;
	bool has_start;
	struct config_at snapshot; /* the snapshot's, index 0 none */
	struct errtext *et;
};

static uint64_t
get_le64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

/* ---- replay ------------------------------------------------------------ */

static int
push_run(struct replay *rp, uint64_t index, uint64_t term)
{
	while (rp->run_count > 0 && rp->run[rp->run_count - 1].first >= index)
		rp->run_count--;
	if (rp->run_count > 0 && rp->run[rp->run_count - 1].term == term)
		return 0;
	if (rp->run_count == rp->run_cap) {
		uint32_t cap = rp->run_cap != 0 ? rp->run_cap * 2 : 64;
		struct raft_run *run = realloc(rp->run, cap * sizeof(*run));

		if (run == NULL)
			return -ENOMEM;
		rp->run = run;
		rp->run_cap = cap;
	}
	rp->run[rp->run_count++] = (struct raft_run){index, term};
	return 0;
}

static int
replay_commit(struct group *g, uint64_t commit, struct errtext *et)
{
	const struct tail_slot *s;
	struct record r;

	if (commit > g->tail.last)
		commit = g->tail.last; /* named by the batch that carries it */
	/* The entries behind the snapshot are not in the log: no use. */
	while (g->applied < commit && g->tail.first <= g->applied + 1) {
		s = tail_at(&g->tail, g->applied + 1);
		if (s == NULL ||
		    record_read(s->blob->data + s->offset, s->size, &r) == 0 ||
		    apply_entry(g, &r) < 0)
			return errtext(et, -ENOMEM,
			    "group %u index %llu: cannot apply", g->id,
			    (unsigned long long)g->applied + 1);
	}
	if (commit > g->commit)
		g->commit = commit;
	tail_trim(&g->tail, g->host->opt.cache_bytes_max, g->applied);
	return 0;
}

static int
replay_entry(struct replay *rp, struct group *g, const struct record *r)
{
	size_t size = record_size(r->len), offset;
	struct blob *b = arena_room(&rp->host->arena, size, &offset);
	struct config_entry e;

	if (b == NULL)
		return -ENOMEM;
	/* The log begins before or behind what the snapshot has. */
	if (rp->entries == 0)
		tail_reset(&g->tail, r->index);
	if (r->index > g->tail.last + 1)
		return errtext(rp->et, -EBADMSG,
		    "group %u: index %llu where %llu was expected", g->id,
		    (unsigned long long)r->index,
		    (unsigned long long)g->tail.last + 1);
	memcpy(b->data + offset + RECORD_HEADER_LEN, r->payload, r->len);
	record_seal(b->data + offset, r);
	b->len = offset + size;
	if (tail_append(&g->tail, r->index, b, offset, size) < 0 ||
	    push_run(rp, r->index, r->term) < 0)
		return -ENOMEM;
	g->log_last = r->index;
	g->log_last_term = r->term;
	due_heard(g, r->stamp);
	/* The snapshot's own is known by where it stands in the log. */
	while (g->config_count > 0 &&
	       g->config[g->config_count - 1].index >= r->index)
		g->config_count--;
	if (g->config_count == 0) {
		g->config[0] = (struct config_at){0};
		g->config_count = 1;
	}
	rp->entries++;
	if (r->kind != RECORD_CONFIG)
		return 0;
	if (config_read(mp_span(r->payload, r->len), &e) < 0)
		return errtext(rp->et, -EBADMSG,
		    "group %u index %llu: not a configuration", g->id,
		    (unsigned long long)r->index);
	if (group_config_push(g, r->index, &e) < 0)
		return -ENOBUFS;
	g->config[g->config_count - 1].stamp = r->stamp;
	return 0;
}

static int
replay_peer(struct host *h, const struct record *r)
{
	struct peer *p;
	uint64_t id;

	if (r->len < 16 + IDENTITY_ID_LEN)
		return -EBADMSG;
	id = get_le64(r->payload);
	if (id == h->identity.id) {
		h->group->untrusted = get_le64(r->payload + 8) != 0;
		return 0;
	}
	p = host_peer(h, id);
	if (p == NULL) {
		if (h->peer_count == HOST_MEMBERS_MAX)
			return 0;
		p = &h->peer[h->peer_count++];
		*p = (struct peer){.id = id};
	}
	p->boot = get_le64(r->payload + 8);
	memcpy(p->uuid, r->payload + 16, IDENTITY_ID_LEN);
	if (r->len >= PEER_RECORD_LEN) {
		p->nonce = get_le64(r->payload + 32);
		p->acked_term = get_le64(r->payload + 40);
		p->acked = get_le64(r->payload + 48);
	}
	return 0;
}

/* In force where the log begins, should nobody else know it. */
static int
replay_start(struct replay *rp, const struct record *r)
{
	struct config_entry e;

	if (r->len <= 16)
		return 0;
	if (config_read(mp_span(r->payload + 16, r->len - 16), &e) < 0)
		return errtext(
		    rp->et, -EBADMSG, "the log's start: not a configuration");
	rp->start_config.index = get_le64(r->payload + 8);
	rp->start_config.e = e;
	rp->has_start = true;
	return 0;
}

static int
replay_cb(const struct record *r, void *ctx)
{
	struct replay *rp = ctx;
	struct group *g = rp->host->group;

	if (r->group != g->id)
		return errtext(rp->et, -EBADMSG, "unknown group %u", r->group);
	if (record_is_entry(r->kind))
		return replay_entry(rp, g, r);
	if (r->kind == RECORD_PEER)
		return replay_peer(rp->host, r);
	if (r->kind == RECORD_DAMAGE)
		return 0; /* the log's own business */
	if (r->kind == RECORD_START || r->kind == RECORD_RESET)
		return replay_start(rp, r);
	if ((r->kind != RECORD_STATE && r->kind != RECORD_COMMIT) || r->len < 8)
		return errtext(
		    rp->et, -EBADMSG, "record of kind %d", (int)r->kind);
	if (r->kind == RECORD_COMMIT)
		return replay_commit(g, get_le64(r->payload), rp->et);
	g->hard.term = r->term;
	g->hard.vote = get_le64(r->payload);
	return 0;
}

/* ---- a new directory --------------------------------------------------- */

static int
compare_members(const void *a, const void *b)
{
	const struct host_member *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int
first_config(struct host *h, struct config_entry *e, struct errtext *et)
{
	struct host_member m[HOST_MEMBERS_MAX];
	unsigned n = h->opt.bootstrap_count;
	bool self = false;

	if (n == 0)
		return errtext(et, -EINVAL,
		    "the directory is empty: neither members nor whom to join "
		    "were given");
	memcpy(m, h->opt.bootstrap, n * sizeof(m[0]));
	qsort(m, n, sizeof(m[0]), compare_members);
	memset(e, 0, sizeof(*e));
	for (unsigned i = 0; i < n; i++) {
		if (i > 0 && m[i].id == m[i - 1].id)
			return errtext(et, -EINVAL, "member %llu twice",
			    (unsigned long long)m[i].id);
		e->config.member[i].id = m[i].id;
		e->config.member[i].voter = RAFT_VOTER_NEW;
		memcpy(e->address[i], m[i].address, HOST_ADDR_MAX);
		self |= m[i].id == h->opt.id &&
			strcmp(m[i].address, h->opt.address) == 0;
	}
	e->config.count = n;
	if (!self)
		return errtext(et, -EINVAL,
		    "member %llu at %s is not among those given",
		    (unsigned long long)h->opt.id, h->opt.address);
	return 0;
}

/* The same on every server that was given the same name and members. */
static void
cluster_id(const struct host *h, const struct mp_buf *config, uint8_t *id)
{
	const char *name = h->opt.cluster != NULL ? h->opt.cluster : "";
	XXH128_canonical_t out;
	XXH3_state_t *s = XXH3_createState();

	if (s == NULL)
		abort();
	(void)XXH3_128bits_reset(s);
	(void)XXH3_128bits_update(s, name, strlen(name) + 1);
	(void)XXH3_128bits_update(s, config->data, config->len);
	XXH128_canonicalFromHash(&out, XXH3_128bits_digest(s));
	(void)XXH3_freeState(s);
	memcpy(id, out.digest, IDENTITY_ID_LEN);
}

static void
random_id(const struct host *h, uint8_t *id)
{
	uint64_t in[3] = {h->opt.seed, h->now.wall_ms, h->opt.id};
	XXH128_canonical_t out;

	XXH128_canonicalFromHash(&out, XXH3_128bits(in, sizeof(in)));
	memcpy(id, out.digest, IDENTITY_ID_LEN);
}

static int
write_records(
    struct host *h, struct replay *rp, struct record *rec, size_t count)
{
	size_t size = 0, at = 0;
	struct iovec iov;
	uint8_t *buf;
	int err;

	for (size_t i = 0; i < count; i++)
		size += record_size(rec[i].len);
	buf = malloc(size);
	if (buf == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		rec[i].group = h->group->id;
		memcpy(
		    buf + at + RECORD_HEADER_LEN, rec[i].payload, rec[i].len);
		record_seal(buf + at, &rec[i]);
		at += record_size(rec[i].len);
	}
	iov = (struct iovec){buf, size};
	err = wal_write(h->wal, &iov, 1);
	if (err == 0)
		err = wal_sync(h->wal);
	for (size_t i = 0; i < count && err == 0; i++)
		err = replay_cb(&rec[i], rp);
	free(buf);
	return err;
}

/* Index 1, committed, and the state of a fresh server: durable. */
static int
write_first(struct host *h, struct replay *rp, const struct mp_buf *config)
{
	static const uint8_t nobody[8] = {0}, one[8] = {1};
	struct record rec[] = {
	    {.kind = RECORD_CONFIG,
		.index = 1,
		.term = BOOT_TERM,
		.payload = config->data,
		.len = (uint32_t)config->len},
	    {.kind = RECORD_STATE,
		.term = BOOT_TERM,
		.payload = nobody,
		.len = sizeof(nobody)},
	    {.kind = RECORD_COMMIT, .payload = one, .len = sizeof(one)},
	};

	return write_records(h, rp, rec, sizeof(rec) / sizeof(rec[0]));
}

/*
 * A server that joins begins with nothing.  Its first record says that this
 * is so: an empty log later on is one that was lost.
 */
static int
write_nothing(struct host *h, struct replay *rp)
{
	static const uint8_t nobody[8] = {0};
	struct record rec = {
	    .kind = RECORD_STATE, .payload = nobody, .len = sizeof(nobody)};

	return write_records(h, rp, &rec, 1);
}

/* An identity without a cluster: hello.c gives it one. */
static int
create_joining(struct host *h, struct replay *rp, struct errtext *et)
{
	struct group *g = h->group;

	random_id(h, h->identity.uuid);
	h->identity.id = h->opt.id;
	h->identity.format = IDENTITY_FORMAT;
	if (g->tail.last > 0 || g->hard.term > 0)
		return errtext(et, -EBADMSG, "there is a log but no identity");
	return write_nothing(h, rp);
}

static int
create(struct host *h, struct replay *rp, struct errtext *et)
{
	struct group *g = h->group;
	struct config_entry e;
	struct mp_buf b;
	int err;

	if (h->opt.join_count > 0)
		return create_joining(h, rp, et);
	err = first_config(h, &e, et);
	if (err < 0)
		return err;
	mp_buf_init(&b);
	config_put(&b, &e);
	if (b.failed)
		err = errtext(et, -ENOMEM, "out of memory");
	else
		cluster_id(h, &b, h->identity.cluster);
	random_id(h, h->identity.uuid);
	h->identity.id = h->opt.id;
	h->identity.format = IDENTITY_FORMAT;
	/* A crash after the log's first batch and before the identity. */
	if (err == 0 && g->tail.last == 0)
		err = write_first(h, rp, &b);
	else if (err == 0 && (g->tail.last > 1 ||
				 g->config[g->config_count - 1].index != 1))
		err = errtext(et, -EBADMSG, "there is a log but no identity");
	mp_buf_release(&b);
	return err;
}

/* ---- opening ----------------------------------------------------------- */

static int
new_group(struct host *h)
{
	struct group *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return -ENOMEM;
	h->group = g;
	g->host = h;
	g->id = HOST_GROUP_DEFAULT;
	g->ops = &kv_ops;
	g->watchers = watchers_new();
	g->snap = calloc(1, sizeof(*g->snap));
	if (g->snap == NULL || g->watchers == NULL)
		return -ENOMEM;
	/* None, until the log names one: a server that joins begins so. */
	g->config_count = 1;
	STAILQ_INIT(&g->held);
	for (int i = 0; i < REQUEST_STATE_COUNT; i++)
		TAILQ_INIT(&g->queue[i]);
	g->fsm = g->ops->new (g->id);
	if (g->fsm == NULL)
		return -ENOMEM;
	return tail_init(&g->tail, 1);
}

static int
open_log(struct host *h, struct replay *rp, struct wal_report *report,
    struct errtext *et)
{
	struct wal_options o = {.segment_size = h->opt.wal_segment_size,
	    .no_sync = h->opt.no_fsync,
	    .server_id = h->opt.id,
	    .nonce = h->opt.seed};
	int err;

	err = wal_open(h->disk, &o, replay_cb, rp, &h->wal, report, et);
	if (err < 0)
		return err;
	if (report->torn_bytes > 0)
		host_log(h, HOST_WARN, "event=torn_tail bytes=%llu",
		    (unsigned long long)report->torn_bytes);
	if (report->damaged > 0)
		host_log(h, HOST_ERROR,
		    "event=damaged_log problems=%llu text=\"%s\"",
		    (unsigned long long)report->damaged, report->text);
	return 0;
}

static int
start_group(struct host *h, const struct replay *rp, struct errtext *et)
{
	struct group *g = h->group;
	const struct wal_group *wg;
	struct raft_config config[GROUP_CONFIGS_MAX];
	uint64_t config_index[GROUP_CONFIGS_MAX];
	struct raft_boot boot = {.hard = g->hard,
	    .first = 1,
	    .commit = g->commit,
	    .run = rp->run,
	    .run_count = rp->run_count,
	    .last = g->tail.last,
	    .config = config,
	    .config_index = config_index,
	    .untrusted = g->untrusted,
	    .config_count = 0};
	size_t n = wal_groups(h->wal, &wg);
	bool reset;
	int err = snapboot_match(
	    g, &rp->snapshot, rp->run, rp->run_count, &reset, &boot, et);

	if (err < 0)
		return err;
	if (reset) {
		boot.run_count = 0;
		boot.last = boot.first - 1;
		boot.hard = g->hard;
	}
	if (boot.commit < boot.first - 1)
		boot.commit = boot.first - 1;
	if (boot.commit > boot.last)
		boot.commit = boot.last;
	g->commit = boot.commit;
	for (size_t i = 0; i < n; i++) {
		if (wg[i].group != g->id || !wg[i].damaged)
			continue;
		boot.damaged = true;
		host_log(h, HOST_ERROR,
		    "event=damaged_group group=%u first=%llu last=%llu "
		    "last_known=%llu",
		    g->id, (unsigned long long)wg[i].first,
		    (unsigned long long)wg[i].last,
		    (unsigned long long)wg[i].last_known);
	}
	for (unsigned i = 0; i < g->config_count; i++) {
		if (g->config[i].e.config.count == 0)
			continue;
		config[boot.config_count] = g->config[i].e.config;
		config_index[boot.config_count++] = g->config[i].index;
	}
	return group_start(g, &boot, et);
}

static int
judge_identity(struct host *h, bool fresh, struct errtext *et)
{
	if (!fresh && h->identity.id != h->opt.id)
		return errtext(et, -EINVAL,
		    "the directory belongs to server %llu, not %llu",
		    (unsigned long long)h->identity.id,
		    (unsigned long long)h->opt.id);
	return 0;
}

int
boot_open(struct host *h, struct errtext *et)
{
	struct wal_report report = {0};
	struct replay rp = {.host = h, .et = et};
	bool fresh;
	int err = identity_read(h->disk, &h->identity, et);

	fresh = err == -ENOENT;
	if (err < 0 && !fresh)
		return err;
	err = judge_identity(h, fresh, et);
	if (err == 0)
		err = new_group(h);
	if (err == 0 && !fresh)
		err = snapboot_load(h->group, et);
	if (err == 0) {
		rp.snapshot = h->group->config[0];
		h->group->applied_at_boot = h->group->applied;
		err = open_log(h, &rp, &report, et);
	}
	if (err == 0 && fresh)
		err = create(h, &rp, et);
	if (err == 0 && h->group->config_count == 1 &&
	    h->group->config[0].e.config.count == 0 && rp.has_start)
		h->group->config[0] = rp.start_config;
	if (err == 0 && !fresh && report.records == 0 &&
	    h->group->applied_at_boot == 0)
		err = errtext(et, -EBADMSG, "the log is gone");
	if (err == 0) {
		h->identity.boot += 1 + h->identity.boots_missed;
		h->nonce = XXH3_64bits_withSeed(
			       h->identity.uuid, IDENTITY_ID_LEN, h->opt.seed) |
			   1;
		err = identity_write(h->disk, &h->identity, et);
	}
	if (err == 0)
		err = start_group(h, &rp, et);
	free(rp.run);
	if (err < 0)
		return err;
	host_log(h, HOST_INFO,
	    "event=open group=%u term=%llu last=%llu applied=%llu "
	    "boot=%llu records=%llu",
	    h->group->id, (unsigned long long)h->group->hard.term,
	    (unsigned long long)h->group->tail.last,
	    (unsigned long long)h->group->applied,
	    (unsigned long long)h->identity.boot,
	    (unsigned long long)report.records);
	group_peers_changed(h->group);
	return 0;
}
