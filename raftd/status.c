/*
 * status.c - what can be looked at: status, members, the list of methods.
 * The keys are those of raftctl(1).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/fsm/kv.h"
#include "raftd/snapshot.h"
#include "raftd/strain.h"

#define NS_PER_MS 1000000

static void
put_hex(struct mp_buf *b, const char *key, const uint8_t *id)
{
	char hex[2 * IDENTITY_ID_LEN + 1];

	for (int i = 0; i < IDENTITY_ID_LEN; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", id[i]);
	mp_put_kv_str(b, key, hex);
}

static const char *
role_name(const struct raft_status *st)
{
	if (st->role == RAFT_LEADER)
		return "leader";
	if (st->role == RAFT_CANDIDATE || st->role == RAFT_PRECANDIDATE)
		return "candidate";
	return st->learner ? "learner" : "follower";
}

static int
compare_u64(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return x < y ? -1 : x > y;
}

static void
put_fsync(const struct host *h, struct mp_buf *b)
{
	uint64_t sorted[FSYNC_SAMPLES];
	size_t n =
	    h->fsync_count < FSYNC_SAMPLES ? h->fsync_count : FSYNC_SAMPLES;

	mp_put_str(b, "fsync_ms");
	mp_put_map(b, 2);
	if (n == 0) {
		mp_put_kv_nil(b, "p50");
		mp_put_kv_nil(b, "p99");
		return;
	}
	memcpy(sorted, h->fsync_ns, n * sizeof(sorted[0]));
	qsort(sorted, n, sizeof(sorted[0]), compare_u64);
	mp_put_str(b, "p50");
	mp_put_double(b, (double)sorted[n / 2] / NS_PER_MS);
	mp_put_str(b, "p99");
	mp_put_double(b, (double)sorted[n * 99 / 100] / NS_PER_MS);
}

static void
put_digest(const struct group *g, struct mp_buf *b)
{
	struct fsm_digest d = g->ops->digest(g->fsm);
	char hex[33];

	(void)snprintf(hex, sizeof(hex), "%016llx%016llx",
	    (unsigned long long)d.hi, (unsigned long long)d.lo);
	mp_put_kv_str(b, "digest", hex);
}

static void
put_list(struct mp_buf *b, const char *key, const char *comma_separated)
{
	const char *p = comma_separated;
	uint32_t n = *p != '\0';

	for (const char *c = p; *c != '\0'; c++)
		n += *c == ',';
	mp_put_str(b, key);
	mp_put_array(b, n);
	for (uint32_t i = 0; i < n; i++) {
		size_t len = strcspn(p, ",");

		mp_put_strn(b, p, len);
		p += len + (p[len] == ',');
	}
}

static void
put_name(struct mp_buf *b, const struct host *h, uint64_t id)
{
	char name[32];

	if (id == h->opt.id && h->opt.name[0] != '\0') {
		mp_put_kv_str(b, "name", h->opt.name);
		return;
	}
	(void)snprintf(name, sizeof(name), "%llu", (unsigned long long)id);
	mp_put_kv_str(b, "name", name);
}

/* The configuration in force, as raftwal stat prints it. */
static void
put_config_now(const struct group *g, struct mp_buf *b)
{
	const struct config_at *c = &g->config[g->config_count - 1];
	const struct config_entry *e = &c->e;

	mp_put_str(b, "config");
	mp_put_map(b, 5);
	mp_put_kv_u64(b, "index", c->index);
	mp_put_kv_bool(b, "joint", e->config.joint);
	mp_put_str(b, "members");
	mp_put_array(b, e->config.count);
	for (uint32_t i = 0; i < e->config.count; i++) {
		mp_put_map(b, 6);
		mp_put_kv_u64(b, "id", e->config.member[i].id);
		mp_put_kv_u64(b, "voter", e->config.member[i].voter);
		mp_put_kv_str(b, "address", e->address[i]);
		mp_put_kv_str(b, "name", e->info[i].name);
		mp_put_kv_str(b, "zone", e->info[i].zone);
		mp_put_kv_u64(b, "priority", e->info[i].priority);
	}
	mp_put_str(b, "removed");
	mp_put_array(b, e->removed_count);
	for (uint32_t i = 0; i < e->removed_count; i++)
		mp_put_u64(b, e->removed[i]);
	mp_put_kv_u64(b, "removed_floor", e->removed_floor);
}

static void
put_log(struct group *g, struct mp_buf *b)
{
	struct raft_status *st = &g->st;

	mp_put_kv_str(b, "role", role_name(st));
	if (st->leader == RAFT_NONE)
		mp_put_kv_nil(b, "leader");
	else
		mp_put_kv_u64(b, "leader", st->leader);
	mp_put_kv_u64(b, "term", st->hard.term);
	mp_put_kv_u64(b, "first", st->first);
	mp_put_kv_u64(b, "last", st->last);
	mp_put_kv_u64(b, "commit", st->commit);
	mp_put_kv_u64(b, "applied", g->applied);
	mp_put_kv_u64(b, "rev", g->ops->rev(g->fsm));
	put_digest(g, b);
	mp_put_kv_u64(b, "members", st->config.count);
	mp_put_kv_bool(b, "ready",
	    st->role == RAFT_LEADER ? st->ready && st->quorum
				    : st->leader != RAFT_NONE);
}

void
status_put(struct group *g, struct mp_buf *b)
{
	struct host *h = g->host;
	struct host_hello self;

	raft_status(g->raft, &g->st);
	host_hello_self(h, 0, &self);
	mp_put_map(b, 33);
	mp_put_kv_u64(b, "id", h->opt.id);
	put_name(b, h, h->opt.id);
	mp_put_kv_str(b, "address", h->opt.address);
	put_list(b, "client", self.client);
	put_hex(b, "cluster", h->identity.cluster);
	mp_put_kv_str(b, "version", h->opt.version);
	mp_put_kv_u64(b, "protocol", WIRE_PROTOCOL);
	mp_put_kv_u64(b, "group", g->id);
	put_log(g, b); /* 11 */
	put_hex(b, "uuid", h->identity.uuid);
	mp_put_kv_u64(b, "boot", h->identity.boot);
	mp_put_kv_u64(b, "epoch", h->identity.epoch);
	mp_put_kv_u64(b, "last_term", g->st.last_term);
	mp_put_kv_bool(b, "damaged", g->st.damaged);
	put_config_now(g, b);
	put_fsync(h, b);
	mp_put_kv_u64(
	    b, "uptime_ms", (h->now.mono_ns - h->started_ns) / NS_PER_MS);
	mp_put_str(b, "unsafe");
	mp_put_array(b, h->opt.no_fsync + h->opt.early_vote + h->opt.no_joint);
	if (h->opt.no_fsync)
		mp_put_str(b, "no-fsync");
	if (h->opt.early_vote)
		mp_put_str(b, "early-vote");
	if (h->opt.no_joint)
		mp_put_str(b, "no-joint");
	mp_put_kv_bool(b, "removed", g->removed);
	mp_put_kv_str(b, "disk", strain_name(h));
	mp_put_kv_bool(b, "quarantined", g->untrusted);
	mp_put_str(b, "snapshots");
	snapshot_put_state(g, b);
	mp_put_kv_bool(b, "ok", true);
}

/* ---- members ----------------------------------------------------------- */

static void
put_progress(struct group *g, struct mp_buf *b, uint64_t id)
{
	struct host *h = g->host;
	struct raft_peer_status ps = {0};
	bool self = id == h->opt.id;
	uint64_t match = g->st.durable, lag;

	if (!self) {
		(void)raft_peer_status(g->raft, id, &ps);
		match = ps.match;
	}
	lag = g->st.last > match ? g->st.last - match : 0;
	mp_put_kv_u64(b, "match", match);
	mp_put_kv_u64(b, "lag_entries", lag);
	mp_put_kv_u64(b, "lag_bytes", members_lag_bytes(g, match));
	mp_put_kv_u64(b, "lag_ms", members_lag_ms(g, match));
	mp_put_kv_bool(b, "in_sync", members_keeps_up(g, id));
	if (self)
		mp_put_kv_u64(b, "contact_ms", 0);
	else if (ps.heard.ns == 0)
		mp_put_kv_nil(b, "contact_ms");
	else
		mp_put_kv_u64(b, "contact_ms",
		    (h->now.mono_ns - ps.heard.ns) / NS_PER_MS);
}

/* Where the newest configuration stands, and whether it can be undone. */
static void
put_config(const struct group *g, struct mp_buf *b)
{
	const struct config_at *c = &g->config[g->config_count - 1];
	uint64_t now = g->host->now.wall_ms;

	mp_put_kv_bool(b, "joint", c->e.config.joint);
	mp_put_kv_u64(b, "config_index", c->index);
	mp_put_kv_bool(b, "config_committed", c->index <= g->commit);
	if (c->stamp == 0)
		mp_put_kv_nil(b, "config_age_ms");
	else
		mp_put_kv_u64(
		    b, "config_age_ms", now > c->stamp ? now - c->stamp : 0);
}

static void
put_member(
    struct group *g, struct mp_buf *b, const struct config_entry *e, uint32_t i)
{
	struct host *h = g->host;
	uint64_t id = e->config.member[i].id;
	struct peer *p = host_peer(h, id);
	struct host_hello self;

	mp_put_map(b, 23);
	mp_put_kv_u64(b, "id", id);
	if (e->info[i].name[0] != '\0')
		mp_put_kv_str(b, "name", e->info[i].name);
	else
		put_name(b, h, id);
	mp_put_kv_str(b, "address", e->address[i]);
	host_hello_self(h, 0, &self);
	put_list(b, "client",
	    id == h->opt.id ? self.client
	    : p != NULL	    ? p->client
			    : "");
	mp_put_kv_str(b, "role",
	    id == g->st.leader		     ? "leader"
	    : e->config.member[i].voter != 0 ? "follower"
					     : "learner");
	mp_put_kv_bool(b, "voter", e->config.member[i].voter != 0);
	put_progress(g, b, id); /* 6 */
	snapship_put(g, b, id);
	mp_put_kv_str(b, "zone", e->info[i].zone);
	mp_put_kv_u64(b, "priority", members_priority(g, i));
	mp_put_kv_bool(b, "promote", e->info[i].promote);
	mp_put_kv_bool(b, "leaving", e->info[i].leaving);
	mp_put_kv_bool(b, "quarantined",
	    id == h->opt.id ? g->untrusted : p != NULL && p->untrusted);
	put_config(g, b); /* 4 */
	mp_put_kv_u64(b, "group", g->id);
}

void
members_put(struct group *g, struct mp_buf *b)
{
	const struct config_entry *e = &g->config[g->config_count - 1].e;

	raft_status(g->raft, &g->st);
	mp_put_array(b, e->config.count);
	for (uint32_t i = 0; i < e->config.count; i++)
		put_member(g, b, e, i);
}

/* ---- methods ----------------------------------------------------------- */

static void
put_method(
    struct mp_buf *b, const char *name, const char *params, const char *help)
{
	mp_put_map(b, 3);
	mp_put_kv_str(b, "name", name);
	mp_put_kv_str(b, "params", params);
	mp_put_kv_str(b, "help", help);
}

void
discover_put(struct mp_buf *b)
{
	uint32_t n = 0;

	for (const struct fsm_method *m = kv_methods; m->name != NULL; m++)
		n++;
	mp_put_array(b, n + 12);
	for (const struct fsm_method *m = kv_methods; m->name != NULL; m++)
		put_method(b, m->name, m->params, m->help);
	put_method(b, "hello", "{errors, protocol, client}",
	    "choose the style of errors; tells versions and identity");
	put_method(b, "status", "", "the state of the server asked");
	put_method(b, "members", "", "the members, as the leader sees them");
	put_method(b, "snapshot", "{newest}", "take a snapshot of this server");
	put_method(b, "compact", "", "the same, and cut its log behind it");
	put_method(b, "log.read", "from, to, {}", "entries of the log");
	put_method(b, "snapshot.read", "hash, offset, {limit}",
	    "a piece of a snapshot that is there");
	put_method(b, "member.change",
	    "{op, id, with, ids, address, learner, name, zone, priority, "
	    "dry_run, mode, until}",
	    "change the members; answered when it is committed");
	put_method(b, "transfer", "[id]", "hand leadership over");
	put_method(b, "watch", "key, {options}",
	    "an id, and from then on watch.event for each change; options "
	    "prefix, since, prev, progress");
	put_method(b, "watch.cancel", "id", "no more events under this id");
	put_method(b, "rpc.discover", "", "this list");
}

/* ---- in process -------------------------------------------------------- */

int
host_inspect(const struct host *h, uint32_t group, struct raft_status *st,
    struct fsm_digest *digest, uint64_t *applied)
{
	const struct group *g = h->group;

	if (group != g->id)
		return -ENOENT;
	raft_status(g->raft, st);
	*digest = g->ops->digest(g->fsm);
	*applied = g->applied;
	return 0;
}

const struct raft *
host_core(const struct host *h, uint32_t group)
{
	return group == h->group->id ? h->group->raft : NULL;
}

void
host_describe(const struct host *h, char *buf, size_t size)
{
	const struct group *g = h->group;
	struct raft_status st;

	raft_status(g->raft, &st);
	(void)snprintf(buf, size,
	    "{\"id\":%llu,\"group\":%u,\"role\":\"%s\",\"leader\":%llu,"
	    "\"term\":%llu,\"first\":%llu,\"last\":%llu,\"commit\":%llu,"
	    "\"applied\":%llu,\"waiting\":%u,\"pending\":%u,"
	    "\"forwarded\":%u,\"reading\":%u,\"jobs\":%u,"
	    "\"cache_bytes\":%zu,\"request_bytes\":%zu}",
	    (unsigned long long)h->opt.id, g->id, role_name(&st),
	    (unsigned long long)st.leader, (unsigned long long)st.hard.term,
	    (unsigned long long)st.first, (unsigned long long)st.last,
	    (unsigned long long)st.commit, (unsigned long long)g->applied,
	    g->queued[REQUEST_WAITING], g->queued[REQUEST_PENDING],
	    g->queued[REQUEST_FORWARDED], g->queued[REQUEST_READING],
	    h->jobs_out, g->tail.bytes, h->request_bytes);
}

uint64_t
host_replicated_ms(const struct host *h)
{
	return h->group->ops->time(h->group->fsm);
}
