/*
 * group.c - events to a core, outputs from it, records to the log.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftd/snapshot.h"
#include "raftd/strain.h"
#include "raftd/watchers.h"

#define RUNS_CAP_MIN 1024
#define HELD_BYTES_MAX (64u * 1024) /* of one held message: none is larger */
#define HELD_MAX 4096		    /* a disk that hangs holds no more */

/* ---- records ----------------------------------------------------------- */

/* A record whose payload is copied: the small ones. */
static void
put_small(struct group *g, struct record *r)
{
	struct host *h = g->host;
	size_t size = record_size(r->len), offset;
	struct blob *b = arena_room(&h->arena, size, &offset);

	if (b == NULL) {
		host_fail(h, 71, "out of memory");
		return;
	}
	memcpy(b->data + offset + RECORD_HEADER_LEN, r->payload, r->len);
	r->group = g->id;
	record_seal(b->data + offset, r);
	b->len = offset + size;
	host_put_record(h, g, b, offset, size);
	if (record_is_entry(r->kind)) {
		if (tail_append(&g->tail, r->index, b, offset, size) < 0)
			host_fail(h, 71, "out of memory");
		g->log_last = r->index;
		g->log_last_term = r->term;
	}
}

static void
put_le64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static void
put_number(struct group *g, enum record_kind kind, uint64_t term, uint64_t n)
{
	uint8_t payload[8];
	struct record r = {.kind = kind,
	    .term = term,
	    .payload = payload,
	    .len = sizeof(payload)};

	put_le64(payload, n);
	put_small(g, &r);
}

void
group_put(struct group *g, struct record *r)
{
	put_small(g, r);
}

void
group_put_commit(struct group *g)
{
	if (g->commit <= g->commit_logged)
		return;
	g->commit_logged = g->commit;
	put_number(g, RECORD_COMMIT, 0, g->commit);
}

void
group_put_peer(struct group *g, const struct peer *p)
{
	uint8_t payload[PEER_RECORD_LEN];
	struct record r = {
	    .kind = RECORD_PEER, .payload = payload, .len = sizeof(payload)};

	put_le64(payload, p->id);
	put_le64(payload + 8, p->boot);
	memcpy(payload + 16, p->uuid, IDENTITY_ID_LEN);
	put_le64(payload + 32, p->nonce);
	put_le64(payload + 40, p->acked_term);
	put_le64(payload + 48, p->acked);
	put_small(g, &r);
}

/* ---- configurations ---------------------------------------------------- */

const struct config_entry *
group_config(const struct group *g)
{
	return &g->config[g->config_count - 1].e;
}

/* Those before the committed one are history. */
static bool
settle_configs(struct group *g)
{
	bool any = false;

	while (g->config_count > 1 && g->config[1].index <= g->commit) {
		members_part(g, &g->config[0].e);
		memmove(g->config, g->config + 1,
		    (g->config_count - 1) * sizeof(g->config[0]));
		g->config_count--;
		any = true;
	}
	return any;
}

int
group_config_push(struct group *g, uint64_t index, const struct config_entry *e)
{
	while (g->config_count > 1 &&
	       g->config[g->config_count - 1].index >= index)
		g->config_count--;
	(void)settle_configs(g);
	if (g->config_count == GROUP_CONFIGS_MAX)
		return -ENOBUFS;
	g->config[g->config_count].index = index;
	g->config[g->config_count].e = *e;
	g->config[g->config_count].stamp = 0;
	g->config_count++;
	return 0;
}

/* Whom to link with, gathered. */
struct links {
	struct host_member m[HOST_MEMBERS_MAX];
	unsigned count;
};

static void
link_with(struct host *h, struct links *l, uint64_t id, const char *address)
{
	if (id == h->opt.id || l->count == HOST_MEMBERS_MAX)
		return;
	for (unsigned i = 0; i < l->count; i++)
		if (l->m[i].id == id)
			return;
	if (host_peer_make(h, id) == NULL)
		return;
	l->m[l->count].id = id;
	memcpy(l->m[l->count++].address, address, HOST_ADDR_MAX);
}

/*
 * The members of every configuration that may still come into force again,
 * the newest first; who may be added; and who links to us though we do not
 * know it: its configuration is newer than ours, and whoever leads us must
 * hear our answers.
 */
void
group_peers_changed(struct group *g)
{
	struct host *h = g->host;
	struct links l = {.count = 0};

	g->links_stale = false;
	for (unsigned c = g->removed ? 0 : g->config_count; c-- > 0;) {
		const struct config_entry *e = &g->config[c].e;

		for (uint32_t i = 0; i < e->config.count; i++)
			link_with(h, &l, e->config.member[i].id, e->address[i]);
	}
	if (g->change.linking)
		link_with(h, &l, g->change.change.id, g->change.change.address);
	for (unsigned i = 0; i < h->peer_count && !g->removed; i++)
		if (h->peer[i].linger_ns > h->now.mono_ns ||
		    (h->peer[i].linked_in &&
			!config_removed(&g->config[0].e, h->peer[i].id)))
			link_with(h, &l, h->peer[i].id, h->peer[i].address);
	h->env.peers_changed(h->env.ctx, l.m, l.count);
}

/* ---- messages out ------------------------------------------------------ */

static void
hold(struct group *g, uint64_t seq, uint64_t peer)
{
	struct host *h = g->host;
	struct held_msg *m = malloc(sizeof(*m) + h->wire.len);

	/* Dropping a message is what networks do. */
	if (m == NULL || h->wire.len > HELD_BYTES_MAX ||
	    g->held_count == HELD_MAX) {
		free(m);
		return;
	}
	m->seq = seq;
	m->peer = peer;
	m->len = h->wire.len;
	memcpy(m->data, h->wire.data, m->len);
	STAILQ_INSERT_TAIL(&g->held, m, link);
	g->held_count++;
}

static void
send_msg(struct group *g, const struct raft_msg *m)
{
	struct host *h = g->host;
	uint64_t seq = h->fill != NULL ? h->job_seq + 1 : h->job_seq;
	struct piece piece;

	mp_buf_reset(&h->wire);
	message_put(&h->wire, g->id, m);
	if (h->wire.failed)
		return;
	/* Contract 3 of the core: what it depends on is durable first. */
	if (m->wait && !MUTANT(70) && seq > h->stored_seq) {
		hold(g, seq, m->to);
		return;
	}
	piece = (struct piece){NULL, h->wire.data, h->wire.len};
	h->env.peer_send(h->env.ctx, m->to, &piece, 1);
}

void
group_flush_held(struct group *g)
{
	struct host *h = g->host;
	struct held_msg *m;
	struct piece piece;

	while (
	    (m = STAILQ_FIRST(&g->held)) != NULL && m->seq <= h->stored_seq) {
		STAILQ_REMOVE_HEAD(&g->held, link);
		g->held_count--;
		piece = (struct piece){NULL, m->data, m->len};
		h->env.peer_send(h->env.ctx, m->peer, &piece, 1);
		free(m);
	}
}

/* ---- outputs ----------------------------------------------------------- */

static void
take_reads(struct group *g, const struct raft_output *o)
{
	struct request_queue *q = &g->queue[REQUEST_READING];
	struct request *r;

	for (uint32_t i = 0; i < o->read_count; i++) {
		const struct raft_read_done *d = &o->read[i];

		while ((r = TAILQ_FIRST(q)) != NULL && r->read_id <= d->id) {
			r->index = d->index;
			dispatch_move(
			    g, r, d->ok ? REQUEST_READY : REQUEST_WAITING);
		}
	}
}

static void
log_role(struct group *g)
{
	enum raft_role was = g->st.role;
	uint64_t leader = g->st.leader;

	raft_status(g->raft, &g->st);
	if (g->st.role == was && g->st.leader == leader)
		return;
	host_log(g->host, HOST_INFO,
	    "event=role group=%u term=%llu role=%s leader=%llu last=%llu "
	    "commit=%llu",
	    g->id, (unsigned long long)g->st.hard.term,
	    raft_role_name(g->st.role), (unsigned long long)g->st.leader,
	    (unsigned long long)g->st.last, (unsigned long long)g->st.commit);
}

static void
put_noop(struct group *g, uint64_t index)
{
	struct record r = {.kind = RECORD_NOOP,
	    .index = index,
	    .term = g->hard.term,
	    .stamp = due_stamp(g),
	    .payload = (const uint8_t *)"",
	    .len = 0};

	put_small(g, &r);
}

/* Everything but the entries, which the callers know how to find. */
static void
take_output(struct group *g)
{
	struct raft_output *o = g->host->out;

	for (uint32_t i = 0; i < o->msg_count; i++)
		send_msg(g, &o->msg[i]);
	take_reads(g, o);
	assert(o->commit >= g->commit);
	g->commit = o->commit;
	/* Who was removed is linked until that is certain. */
	if (g->config_count > 1 && settle_configs(g))
		g->links_stale = true;
	g->deadline_ns = o->deadline.ns;
	if (o->leader_changed)
		log_role(g);
	if (o->snapshot_to != 0)
		snapship_wanted(g, o->snapshot_to);
}

static void
give_runs(struct group *g)
{
	struct raft_status st;
	struct raft_run *runs;
	size_t cap;

	if (!raft_runs_low(g->raft))
		return;
	raft_status(g->raft, &st);
	/* A run is a term, so the log cannot have more than it has terms. */
	cap = (size_t)(st.hard.term + 1) * 2 + RUNS_CAP_MIN;
	if (cap > st.last - st.first + 2 + RUNS_CAP_MIN)
		cap = (size_t)(st.last - st.first + 2) * 2 + RUNS_CAP_MIN;
	runs = calloc(cap, sizeof(*runs));
	if (runs == NULL) {
		host_fail(g->host, 71, "out of memory");
		return;
	}
	g->runs = runs;
	free(raft_runs_give(g->raft, runs, (uint32_t)cap));
}

/* Hard state goes to the log before the entries of the same step. */
static struct raft_output *
step(struct group *g, const struct raft_event *ev)
{
	struct raft_output *o = g->host->out;

	give_runs(g);
	raft_step(g->raft, ev, o);
	g->dirty = true;
	if (o->hard_changed) {
		/* The record first: a job that is full is handed over within,
		 * and does not vouch for what stands in the next one. */
		if (MUTANT(185))
			g->hard = o->hard;
		put_number(g, RECORD_STATE, o->hard.term, o->hard.vote);
		g->hard = o->hard;
	}
	return o;
}

void
group_step(struct group *g, const struct raft_event *ev)
{
	struct raft_output *o = step(g, ev);

	if (o->noop)
		put_noop(g, o->persist_first);
	else
		assert(o->persist_last < o->persist_first);
	take_output(g);
}

/* The tail of an append: the records from index first on go to the log. */
static void
adopt(struct group *g, uint64_t first, struct blob *b, const uint8_t *p,
    const struct raft_msg *m)
{
	const uint8_t *end = p + m->u.append.bytes;
	struct config_entry e;
	struct record r;
	size_t size;

	for (; p < end; p += size) {
		size_t offset = (size_t)(p - b->data);

		size = record_read(p, (size_t)(end - p), &r);
		assert(size != 0); /* message_read() let it through */
		if (r.index < first)
			continue;
		if (tail_append(&g->tail, r.index, b, offset, size) < 0)
			host_fail(g->host, 71, "out of memory");
		host_put_record(g->host, g, b, offset, size);
		g->log_last = r.index;
		g->log_last_term = r.term;
		due_heard(g, r.stamp);
		if (r.kind == RECORD_CONFIG &&
		    config_read(mp_span(r.payload, r.len), &e) == 0 &&
		    group_config_push(g, r.index, &e) < 0)
			host_fail(g->host, 70, "too many configurations");
		if (r.kind == RECORD_CONFIG)
			g->config[g->config_count - 1].stamp = r.stamp;
	}
}

bool
group_install(struct group *g, const struct raft_event *ev)
{
	struct raft_output *o = step(g, ev);
	bool installed = o->snapshot_installed;

	take_output(g);
	return installed;
}

/* Entries that cannot be kept were never sent; but the leader leads. */
static void
no_room(const struct group *g, struct raft_msg *m)
{
	uint64_t commit = m->u.append.commit, round = m->u.append.round;

	if (m->type != RAFT_APPEND ||
	    m->u.append.last <= m->u.append.prev_index ||
	    strain_takes_entries(g->host, m->u.append.bytes))
		return;
	m->type = RAFT_HEARTBEAT;
	m->u.heartbeat.commit = commit;
	m->u.heartbeat.round = round;
}

void
group_message(
    struct group *g, struct raft_msg *m, struct blob *b, const uint8_t *records)
{
	struct raft_event ev = {
	    .type = RAFT_EV_MESSAGE, .now = {g->host->now.mono_ns}, .u.msg = m};
	unsigned configs = g->config_count;
	uint64_t newest = g->config[configs - 1].index;
	struct raft_output *o;

	no_room(g, m);
	o = step(g, &ev);

	if (o->noop) {
		/* A vote reply that made us leader. */
		put_noop(g, o->persist_first);
	} else if (o->persist_last >= o->persist_first) {
		/* A configuration is rolled back with its entry. */
		while (g->config_count > 1 &&
		       g->config[g->config_count - 1].index >= o->persist_first)
			g->config_count--;
		adopt(g, o->persist_first, b, records, m);
		if (g->config_count != configs ||
		    g->config[g->config_count - 1].index != newest)
			group_peers_changed(g);
	}
	take_output(g);
}

void
group_stored(struct group *g, const struct store_job *j)
{
	struct raft_event ev = {
	    .type = RAFT_EV_PERSISTED, .now = {g->host->now.mono_ns}};

	ev.u.persisted.index = j->index;
	ev.u.persisted.term = j->term;
	ev.u.persisted.hard.term = j->hard_term;
	ev.u.persisted.hard.vote = j->hard_vote;
	group_flush_held(g);
	group_step(g, &ev);
}

void
group_refresh(struct group *g)
{
	if (g->dirty)
		raft_status(g->raft, &g->st);
	g->dirty = false;
	if (g->damaged && !g->st.damaged) {
		g->damaged = false;
		/* Without the note each start would follow only, until the
		 * log's own rule finds it whole. */
		put_number(g, RECORD_DAMAGE, g->hard.term, 0);
		host_log(g->host, HOST_INFO,
		    "event=repaired group=%u last=%llu", g->id,
		    (unsigned long long)g->st.last);
	}
}

/* ---- proposals --------------------------------------------------------- */

static void
seal(struct group *g, struct request *r, uint64_t index)
{
	size_t offset = r->offset - RECORD_HEADER_LEN;
	struct record rec = {.group = g->id,
	    .kind = RECORD_COMMAND,
	    .index = index,
	    .term = g->hard.term,
	    .stamp = g->stamp,
	    .len = r->len};

	record_seal(r->blob->data + offset, &rec);
	host_put_record(g->host, g, r->blob, offset, record_size(r->len));
	if (tail_append(&g->tail, index, r->blob, offset, record_size(r->len)) <
	    0)
		host_fail(g->host, 71, "out of memory");
	g->log_last = index;
	g->log_last_term = g->hard.term;
	r->index = index;
	r->term = g->hard.term;
	dispatch_move(g, r, REQUEST_PENDING);
}

/*
 * One proposal: up to PROPOSE_MAX waiting commands.  1: some were taken, 0:
 * there are none, <0: refused.
 */
static int
propose_some(struct group *g)
{
	struct raft_event ev = {
	    .type = RAFT_EV_PROPOSE, .now = {g->host->now.mono_ns}};
	struct request *r, *tmp, *some[PROPOSE_MAX];
	struct raft_output *o;
	uint32_t n = 0;

	TAILQ_FOREACH_SAFE (r, &g->queue[REQUEST_WAITING], link, tmp) {
		if (r->kind != REQUEST_COMMAND)
			continue;
		some[n++] = r;
		ev.u.propose.bytes += record_size(r->len);
		if (n == PROPOSE_MAX)
			break;
	}
	if (n == 0)
		return 0;
	ev.u.propose.count = n;
	o = step(g, &ev);
	if (!o->rejected) {
		assert(o->persist_last - o->persist_first + 1 == n);
		(void)due_stamp(g);
		for (uint32_t i = 0; i < n; i++)
			seal(g, some[i], o->persist_first + i);
	}
	take_output(g);
	return o->rejected ? -EBUSY : 1;
}

void
group_propose(struct group *g)
{
	int rc;

	do {
		rc = propose_some(g);
	} while (rc > 0 && !g->host->broken);
}

bool
group_lease(struct group *g)
{
	struct host *h = g->host;
	struct raft_time at = {h->env.clock(h->env.ctx)};

	return raft_lease(g->raft, at);
}

bool
group_tick(struct group *g)
{
	struct raft_event ev = {
	    .type = RAFT_EV_PROPOSE, .now = {g->host->now.mono_ns}};
	struct raft_output *o;
	struct mp_buf b;
	bool taken = false;

	mp_buf_init(&b);
	mp_put_str(&b, FSM_TICK);
	mp_put_array(&b, 0);
	if (b.failed) {
		mp_buf_release(&b);
		return false;
	}
	ev.u.propose.count = 1;
	ev.u.propose.bytes = record_size((uint32_t)b.len);
	o = step(g, &ev);
	taken = !o->rejected;
	if (taken) {
		struct record r = {.kind = RECORD_COMMAND,
		    .index = o->persist_first,
		    .term = g->hard.term,
		    .stamp = due_stamp(g),
		    .payload = b.data,
		    .len = (uint32_t)b.len};

		put_small(g, &r);
	}
	take_output(g);
	mp_buf_release(&b);
	return taken;
}

void
group_read(struct group *g)
{
	struct raft_event ev = {
	    .type = RAFT_EV_READ, .now = {g->host->now.mono_ns}};
	bool leased = raft_lease(g->raft, ev.now);
	struct request *r, *tmp;
	struct raft_output *o;
	uint64_t id = g->read_id + 1;
	bool any = false;

	/* All reads of this turn share one id, moved before the step: a lone
	 * server is answered in the same output. */
	TAILQ_FOREACH_SAFE (r, &g->queue[REQUEST_WAITING], link, tmp) {
		if (r->kind != REQUEST_QUERY)
			continue;
		r->asked_ns = ev.now.ns;
		/* Looked at once more when it was read. */
		if (r->leased && leased) {
			r->index = g->commit;
			dispatch_move(g, r, REQUEST_READY);
			continue;
		}
		r->leased = false;
		r->read_id = id;
		dispatch_move(g, r, REQUEST_READING);
		any = true;
	}
	if (!any)
		return;
	g->read_id = id;
	ev.u.read.id = id;
	o = step(g, &ev);
	if (o->rejected) {
		struct request_queue *q = &g->queue[REQUEST_READING];

		while ((r = TAILQ_LAST(q, request_queue)) != NULL &&
		       r->read_id == id)
			dispatch_move(g, r, REQUEST_WAITING);
	}
	take_output(g);
}

/* ---- members ----------------------------------------------------------- */

const char *
group_change(struct group *g, const struct config_entry *e)
{
	struct raft_event ev = {
	    .type = RAFT_EV_CHANGE, .now = {g->host->now.mono_ns}};
	struct raft_output *o;
	struct mp_buf b;
	bool taken;

	if (g->host->strain.is_short)
		return "the disk is full";
	mp_buf_init(&b);
	config_put(&b, e);
	if (b.failed) {
		mp_buf_release(&b);
		return "out of memory";
	}
	ev.u.config = e->config;
	o = step(g, &ev);
	taken = !o->rejected;
	if (taken) {
		struct record r = {.kind = RECORD_CONFIG,
		    .index = o->persist_first,
		    .term = g->hard.term,
		    .stamp = due_stamp(g),
		    .payload = b.data,
		    .len = (uint32_t)b.len};

		assert(o->persist_last == o->persist_first);
		put_small(g, &r);
		if (group_config_push(g, r.index, e) < 0)
			host_fail(g->host, 70, "too many configurations");
		g->config[g->config_count - 1].stamp = r.stamp;
		group_peers_changed(g);
	}
	take_output(g);
	mp_buf_release(&b);
	return taken ? NULL : raft_change_refusal(g->raft);
}

bool
group_transfer(struct group *g, uint64_t to)
{
	struct raft_event ev = {
	    .type = RAFT_EV_TRANSFER, .now = {g->host->now.mono_ns}};
	struct raft_output *o;
	bool taken;

	ev.u.peer.id = to;
	o = step(g, &ev);
	taken = !o->rejected;
	take_output(g);
	return taken;
}

/* ---- life -------------------------------------------------------------- */

int
group_start(struct group *g, const struct raft_boot *boot, struct errtext *et)
{
	const struct host_options *opt = &g->host->opt;
	struct raft_options o = {.id = opt->id,
	    .boot = g->host->identity.boot,
	    .seed = opt->seed ^ (opt->id * 0x9e3779b97f4a7c15u),
	    .heartbeat = {opt->heartbeat_ns},
	    .election = {opt->election_ns},
	    .inflight_bytes_max = opt->inflight_bytes_max,
	    .uncommitted_bytes_max = opt->uncommitted_bytes_max,
	    .append_entries_max = opt->append_entries_max,
	    .pre_vote = true,
	    .check_quorum = true,
	    .lease = opt->lease_drift_ppm != 0,
	    .drift_ppm = opt->lease_drift_ppm,
	    .unsafe_early_vote = opt->early_vote,
	    .unsafe_no_joint = opt->no_joint};
	struct raft_time now = {g->host->now.mono_ns};
	uint32_t cap = boot->run_count + RUNS_CAP_MIN;

	g->raft = malloc(raft_sizeof());
	g->runs = calloc(cap, sizeof(*g->runs));
	if (g->raft == NULL || g->runs == NULL)
		return errtext(et, -ENOMEM, "out of memory");
	if (raft_init(g->raft, &o, boot, g->runs, cap, now) < 0)
		return errtext(et, -EINVAL,
		    "group %u: options or log contradict themselves", g->id);
	raft_status(g->raft, &g->st);
	g->damaged = boot->damaged;
	g->hard = boot->hard;
	g->deadline_ns = now.ns;
	g->served_ns = now.ns;
	return 0;
}

void
group_free(struct group *g)
{
	struct held_msg *m;

	if (g == NULL)
		return;
	while ((m = STAILQ_FIRST(&g->held)) != NULL) {
		STAILQ_REMOVE_HEAD(&g->held, link);
		free(m);
	}
	feed_release(g);
	watchers_free(g->watchers);
	if (g->fsm != NULL)
		g->ops->free(g->fsm);
	tail_release(&g->tail);
	free(g->runs);
	free(g->raft);
	free(g->snap);
	free(g);
}
