/*
 * members.c - changes of members, as the leader carries them out, and who
 * should lead.
 *
 * One change at a time.  What is asked for is judged against the committed
 * configuration, by what the leader sees of everybody; a new server must have
 * answered before anything is written of it.  The step out of a joint
 * configuration and the promotion of learners that have caught up rest on
 * nothing but the log, so whoever leads next goes on with them.
 */
#include <stdio.h>
#include <string.h>

#include "raftd/inside.h"
#include "raftd/strain.h"

#define ULL(n) ((unsigned long long)(n))
/* A learner so far behind is as good as up to date. */
#define CATCH_UP_ENTRIES 256
#define LINK_NS (2ull * 1000 * 1000 * 1000)
/* Elections between two attempts to hand over to a better server. */
#define PREFER_EVERY 8

/* ---- looking ----------------------------------------------------------- */

static bool
in_reach(struct group *g, uint64_t id)
{
	const struct host *h = g->host;
	struct raft_peer_status ps;

	if (id == h->opt.id)
		return true;
	return raft_peer_status(g->raft, id, &ps) == 0 && ps.heard.ns != 0 &&
	       !ps.untrusted &&
	       h->now.mono_ns - ps.heard.ns < h->opt.election_ns;
}

/* May a learner be given a vote before it has caught up? */
static bool
may_vote_early(const struct group *g, const struct change *c)
{
	return g->host->opt.early_vote && c->mode != CHANGE_SAFE;
}

/* Do voters change at once? */
static bool
is_at_once(const struct group *g, const struct change *c)
{
	return g->host->opt.no_joint && c->mode != CHANGE_SAFE;
}

/* An unsafe way is for servers that were started for it. */
static enum wire_status
judge_mode(
    const struct group *g, const struct change *c, struct wire_error *err)
{
	const struct host_options *o = &g->host->opt;
	const char *option =
	    c->mode == CHANGE_EARLY_VOTE && !o->early_vote ? "early-vote"
	    : c->mode == CHANGE_NO_JOINT && !o->no_joint   ? "no-joint"
							   : NULL;

	if (option == NULL)
		return WIRE_OK;
	err->status = WIRE_CONDITION;
	(void)snprintf(err->message, sizeof(err->message),
	    "unsafe: the leader was not started with --unsafe-%s", option);
	return err->status;
}

static uint64_t
lag_of(struct group *g, uint64_t id)
{
	struct raft_peer_status ps;

	if (id == g->host->opt.id)
		return 0;
	if (raft_peer_status(g->raft, id, &ps) < 0)
		return g->st.last;
	return g->st.last > ps.match ? g->st.last - ps.match : 0;
}

bool
members_in_sync(struct group *g, uint64_t id, uint64_t lag_max)
{
	return in_reach(g, id) && lag_of(g, id) <= lag_max;
}

uint64_t
members_lag_bytes(const struct group *g, uint64_t match)
{
	const struct tail_slot *last = tail_at(&g->tail, g->tail.last);
	const struct tail_slot *at = tail_at(&g->tail, match);

	if (last == NULL || match >= g->tail.last)
		return 0;
	/* What memory has no more counts from where memory begins. */
	return last->total - (at != NULL ? at->total : g->tail.base_bytes);
}

uint64_t
members_lag_ms(const struct group *g, uint64_t match)
{
	uint64_t index = match + 1;
	const struct tail_slot *s;
	struct record r;

	if (match >= g->tail.last)
		return 0;
	/* At least so long, if memory has it no more. */
	if (index < g->tail.first)
		index = g->tail.first;
	s = tail_at(&g->tail, index);
	if (s == NULL ||
	    record_read(s->blob->data + s->offset, s->size, &r) == 0 ||
	    g->host->now.wall_ms < r.stamp)
		return 0;
	return g->host->now.wall_ms - r.stamp;
}

bool
members_keeps_up(struct group *g, uint64_t id)
{
	const struct host_options *o = &g->host->opt;
	struct raft_peer_status ps;

	if (id == o->id)
		return true;
	if (!members_in_sync(g, id,
		o->in_sync_entries != 0 ? o->in_sync_entries
					: IN_SYNC_ENTRIES) ||
	    raft_peer_status(g->raft, id, &ps) < 0)
		return false;
	return (o->in_sync_bytes == 0 ||
		   members_lag_bytes(g, ps.match) <= o->in_sync_bytes) &&
	       (o->in_sync_ms == 0 ||
		   members_lag_ms(g, ps.match) <= o->in_sync_ms);
}

bool
members_enough(struct group *g)
{
	const struct config_entry *e = group_config(g);
	uint64_t n = 0;

	if (g->host->opt.min_insync == 0)
		return true;
	for (uint32_t i = 0; i < e->config.count; i++)
		n += e->config.member[i].voter != 0 &&
		     members_keeps_up(g, e->config.member[i].id);
	return n >= g->host->opt.min_insync;
}

/* What the configuration says, else what the server says of itself. */
uint64_t
members_priority(const struct group *g, uint32_t at)
{
	const struct config_entry *e = group_config(g);
	uint64_t id = e->config.member[at].id;
	const struct peer *p = host_peer(g->host, id);

	if (e->info[at].priority != 0)
		return e->info[at].priority;
	if (id == g->host->opt.id)
		return g->host->opt.priority;
	return p != NULL ? p->priority : 0;
}

/* ---- leaving ----------------------------------------------------------- */

/*
 * What it forwarded is still answered: its link stays for a while.  The
 * leader tells it, and it ends when it has nothing open any more.
 */
void
members_part(struct group *g, const struct config_entry *e)
{
	struct host *h = g->host;
	struct piece piece;
	struct peer *p;

	for (uint32_t i = 0; i < e->config.count; i++) {
		p = host_peer(h, e->config.member[i].id);
		if (p == NULL || config_find(&g->config[1].e, p->id) >= 0 ||
		    !config_removed(&g->config[1].e, p->id))
			continue;
		p->linger_ns = h->now.mono_ns + 2 * h->opt.election_ns;
		memcpy(p->address, e->address[i], HOST_ADDR_MAX);
		g->linger_ns = p->linger_ns;
		if (g->raft == NULL || g->st.role != RAFT_LEADER)
			continue;
		mp_buf_reset(&h->wire);
		removed_put(&h->wire, g->id);
		piece = (struct piece){NULL, h->wire.data, h->wire.len};
		if (!h->wire.failed)
			h->env.peer_send(h->env.ctx, p->id, &piece, 1);
	}
}

void
members_removed(struct group *g, uint64_t by)
{
	if (g->removed)
		return;
	g->removed = true;
	g->linger_ns = g->host->now.mono_ns + 2 * g->host->opt.election_ns;
	host_log(g->host, HOST_WARN,
	    "event=removed group=%u text=\"server %llu says that this server "
	    "was removed from the cluster\"",
	    g->id, ULL(by));
}

/* Nobody answers our reads any more, nor sends what they wait for. */
static void
end_reads(struct group *g)
{
	struct request *r, *tmp;

	while ((r = TAILQ_FIRST(&g->queue[REQUEST_READING])) != NULL)
		dispatch_move(g, r, REQUEST_WAITING);
	TAILQ_FOREACH_SAFE (r, &g->queue[REQUEST_READY], link, tmp)
		if (r->index > g->commit)
			answer_error(g, r, WIRE_NO_LEADER,
			    "this server was removed from the cluster");
}

static void
look_for_ends(struct group *g)
{
	const struct host *h = g->host;

	if (!g->removed && g->config[g->config_count - 1].index <= g->commit &&
	    config_removed(group_config(g), h->opt.id))
		members_removed(g, h->opt.id);
	if (g->removed)
		end_reads(g);
	if (g->linger_ns == 0 || h->now.mono_ns < g->linger_ns)
		return;
	g->linger_ns = 0;
	g->links_stale = true;
}

/* ---- quorums ----------------------------------------------------------- */

struct half {
	uint64_t id[RAFT_MEMBERS_MAX];
	unsigned count, quorum, reach;
};

static void
count_half(struct group *g, const struct config_entry *e, struct half *out)
{
	out->count = out->reach = 0;
	for (uint32_t i = 0; i < e->config.count; i++) {
		if ((e->config.member[i].voter & RAFT_VOTER_NEW) == 0)
			continue;
		out->id[out->count++] = e->config.member[i].id;
		out->reach += in_reach(g, e->config.member[i].id);
	}
	out->quorum = out->count / 2 + 1;
}

static void
put_half(struct mp_buf *b, const struct half *q)
{
	mp_put_map(b, 3);
	mp_put_str(b, "voters");
	mp_put_array(b, q->count);
	for (unsigned i = 0; i < q->count; i++)
		mp_put_u64(b, q->id[i]);
	mp_put_kv_u64(b, "quorum", q->quorum);
	mp_put_kv_u64(b, "reach", q->reach);
}

static bool
same_half(const struct half *a, const struct half *b)
{
	return a->count == b->count &&
	       memcmp(a->id, b->id, a->count * sizeof(a->id[0])) == 0;
}

void
members_put_plan(struct mp_buf *b, struct group *g,
    const struct config_entry *now, const struct config_entry *target,
    bool at_once)
{
	struct half before, after;
	bool joint;

	count_half(g, now, &before);
	count_half(g, target, &after);
	joint = !same_half(&before, &after) && !at_once;
	mp_put_map(b, 3);
	mp_put_str(b, "before");
	put_half(b, &before);
	mp_put_str(b, "during");
	mp_put_array(b, joint ? 2 : 0);
	if (joint) {
		put_half(b, &before);
		put_half(b, &after);
	}
	mp_put_str(b, "after");
	put_half(b, &after);
}

static void
print_ids(char *out, size_t size, const struct half *q)
{
	size_t at = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < q->count && at < size; i++)
		at += (size_t)snprintf(out + at, size - at, "%s%llu",
		    i > 0 ? "," : "", ULL(q->id[i]));
}

/* Would both majorities be there?  Who has just been given a vote must be
 * able to use it. */
static enum wire_status
judge_safe(struct group *g, const struct change *c,
    const struct config_entry *target, struct wire_error *err)
{
	const struct config_entry *now = group_config(g);
	struct half before, after;
	char old[48], new[48];

	count_half(g, now, &before);
	count_half(g, target, &after);
	if (same_half(&before, &after))
		return WIRE_OK;
	for (unsigned i = 0; i < after.count; i++) {
		int at = config_find(now, after.id[i]);

		if (at >= 0 && now->config.member[at].voter == 0 &&
		    !may_vote_early(g, c) &&
		    !members_in_sync(g, after.id[i], CATCH_UP_ENTRIES)) {
			err->status = WIRE_CONDITION;
			(void)snprintf(err->message, sizeof(err->message),
			    "unsafe: member %llu has not caught up: it is "
			    "%llu entries behind%s",
			    ULL(after.id[i]), ULL(lag_of(g, after.id[i])),
			    in_reach(g, after.id[i]) ? ""
						     : " and out of reach");
			return err->status;
		}
	}
	if ((before.reach >= before.quorum && after.reach >= after.quorum) ||
	    MUTANT(81))
		return WIRE_OK;
	print_ids(old, sizeof(old), &before);
	print_ids(new, sizeof(new), &after);
	err->status = WIRE_CONDITION;
	(void)snprintf(err->message, sizeof(err->message),
	    "unsafe: voters %.40s to %.40s; quorum before %u of %u (in reach "
	    "%u), "
	    "during %u of %u and %u of %u, after %u of %u (in reach %u)",
	    old, new, before.quorum, before.count, before.reach, before.quorum,
	    before.count, after.quorum, after.count, after.quorum, after.count,
	    after.reach);
	return err->status;
}

/* ---- proposals --------------------------------------------------------- */

static void
log_step(struct group *g, const struct config_entry *e, const char *step)
{
	struct half q;
	char ids[128];

	count_half(g, e, &q);
	print_ids(ids, sizeof(ids), &q);
	host_log(g->host, HOST_INFO,
	    "event=change group=%u step=%s index=%llu term=%llu members=%u "
	    "voters=%s",
	    g->id, step, ULL(g->log_last), ULL(g->hard.term), e->config.count,
	    ids);
}

static enum wire_status
propose(struct group *g, const struct config_entry *e, struct wire_error *err)
{
	const char *why = group_change(g, e);

	if (why != NULL) {
		err->status = WIRE_BUSY;
		(void)snprintf(err->message, sizeof(err->message), "%s", why);
		return err->status;
	}
	log_step(g, e, e->config.joint ? "enter" : "change");
	g->change.index = g->log_last;
	g->change.term = g->log_last_term;
	group_refresh(g);
	return WIRE_OK;
}

static enum wire_status
begin(struct group *g, const struct change *c, struct wire_error *err)
{
	const struct config_entry *now = group_config(g);
	struct config_entry target, step;
	enum wire_status status = plan_target(now, c, &target, err);

	if (status == WIRE_OK)
		status = judge_safe(g, c, &target, err);
	if (status != WIRE_OK)
		return status;
	if (is_at_once(g, c)) {
		step = target;
		host_log(g->host, HOST_WARN,
		    "event=unsafe group=%u text=\"voters change without a "
		    "joint configuration\"",
		    g->id);
	} else if (plan_enter(now, &target, &step) < 0) {
		err->status = WIRE_CONDITION;
		(void)snprintf(err->message, sizeof(err->message),
		    "%d members are the most, in both halves together",
		    RAFT_MEMBERS_MAX);
		return err->status;
	}
	return propose(g, &step, err);
}

/* ---- answers ----------------------------------------------------------- */

static void
answer_change(struct group *g, struct request *r, uint64_t index,
    const struct config_entry *now, const struct config_entry *target)
{
	struct mp_buf *b = answer_begin(g->host, r);

	mp_put_map(b, 4);
	mp_put_kv_u64(b, "index", index);
	mp_put_kv_bool(b, "dry_run", index == 0);
	mp_put_kv_u64(b, "members", target->config.count);
	mp_put_str(b, "plan");
	members_put_plan(b, g, now, target, is_at_once(g, &g->change.change));
	answer_ok(g, r);
}

void
members_forget(struct group *g, const struct request *r)
{
	if (g->change.request == r)
		g->change.request = NULL;
	if (g->transfer.request == r)
		g->transfer.request = NULL;
}

static void
stop_linking(struct group *g)
{
	if (!g->change.linking)
		return;
	g->change.linking = false;
	g->links_stale = true;
}

/* ---- what was asked for ------------------------------------------------ */

static void
go_on(struct group *g, struct request *r)
{
	struct wire_error err = {0};

	stop_linking(g);
	if (begin(g, &g->change.change, &err) != WIRE_OK)
		answer_failed(g, r, &err);
	else if (g->change.change.entered)
		answer_change(
		    g, r, g->change.index, group_config(g), group_config(g));
}

/* Nothing stands in the log of a server that does not answer. */
static void
wait_for_link(struct group *g, struct request *r)
{
	struct host *h = g->host;
	struct peer *p = host_peer(h, g->change.change.id);
	bool refused = p != NULL && strncmp(p->cause, "refused: ", 9) == 0;

	if (p != NULL && p->link_up) {
		go_on(g, r);
		return;
	}
	if (p != NULL && strcmp(p->cause, "another cluster") == 0)
		refused = true;
	if (!refused && h->now.mono_ns < g->change.until_ns)
		return;
	stop_linking(g);
	answer_error(g, r, refused ? WIRE_CONDITION : WIRE_UNREACHABLE,
	    "server %llu at %s cannot be added: %s", ULL(g->change.change.id),
	    g->change.change.address,
	    p == NULL		  ? "too many servers"
	    : p->cause[0] != '\0' ? p->cause
				  : "no answer");
}

/*
 * A leader that is to go lets one that stays carry it out: what it has
 * accepted is then answered as ever.  Tried once; a leader can also end its
 * own membership (diss. 4.2.2).
 */
static bool
hand_over(struct group *g, const struct config_entry *target)
{
	struct host *h = g->host;
	int self = config_find(target, h->opt.id);
	uint64_t to = RAFT_NONE;

	if (self >= 0 && target->config.member[self].voter != 0)
		return false;
	if (g->change.handed_ns != 0 &&
	    h->now.mono_ns - g->change.handed_ns < 4 * h->opt.election_ns)
		return false;
	for (uint32_t i = 0; i < target->config.count; i++) {
		uint64_t id = target->config.member[i].id;
		int at = config_find(group_config(g), id);

		if (target->config.member[i].voter != 0 && at >= 0 &&
		    group_config(g)->config.member[at].voter != 0 &&
		    members_in_sync(g, id, CATCH_UP_ENTRIES))
			to = id;
	}
	if (to == RAFT_NONE || !group_transfer(g, to))
		return false;
	g->change.handed_ns = h->now.mono_ns;
	group_refresh(g);
	return true;
}

static void
take_change(struct group *g, struct request *r)
{
	struct host *h = g->host;
	struct config_entry target;
	struct wire_error err = {0};
	struct change *c = &g->change.change;
	struct peer *p;

	if (change_read(r->params, c, &err) != WIRE_OK ||
	    judge_mode(g, c, &err) != WIRE_OK ||
	    plan_target(group_config(g), c, &target, &err) != WIRE_OK ||
	    judge_safe(g, c, &target, &err) != WIRE_OK) {
		answer_failed(g, r, &err);
		return;
	}
	if (c->dry_run) {
		answer_change(g, r, 0, group_config(g), &target);
		return;
	}
	/* Asked once more, by whoever did not hear the answer. */
	if (memcmp(&target, group_config(g), sizeof(target)) == 0) {
		answer_change(g, r, g->config[g->config_count - 1].index,
		    group_config(g), &target);
		return;
	}
	if (hand_over(g, &target))
		return;
	g->change.index = 0;
	g->change.request = r;
	dispatch_move(g, r, REQUEST_CHANGING);
	if (c->op != CHANGE_ADD) {
		go_on(g, r);
		return;
	}
	g->change.linking = true;
	g->change.until_ns =
	    h->now.mono_ns + (h->opt.request_timeout_ns / 2 < LINK_NS
				     ? h->opt.request_timeout_ns / 2
				     : LINK_NS);
	p = host_peer_make(h, c->id);
	if (p != NULL)
		p->cause[0] = '\0';
	group_peers_changed(g);
	wait_for_link(g, r);
}

static void
next_change(struct group *g)
{
	struct request *r, *tmp;

	TAILQ_FOREACH_SAFE (r, &g->queue[REQUEST_WAITING], link, tmp) {
		if (r->kind != REQUEST_CHANGE)
			continue;
		take_change(g, r);
		if (g->change.request != NULL ||
		    g->config[g->config_count - 1].index > g->commit ||
		    g->st.transfer_to != RAFT_NONE || g->st.role != RAFT_LEADER)
			return;
	}
}

/* A learner that shall vote and can. */
static void
promote_ready(struct group *g)
{
	const struct config_entry *e = group_config(g);
	struct wire_error err = {0};

	for (uint32_t i = 0; i < e->config.count; i++) {
		uint64_t id = e->config.member[i].id;
		struct change c = {.op = CHANGE_PROMOTE, .id = id};

		if (!e->info[i].promote || e->config.member[i].voter != 0)
			continue;
		if (!may_vote_early(g, &c) &&
		    !members_in_sync(g, id, CATCH_UP_ENTRIES))
			continue;
		if (begin(g, &c, &err) == WIRE_OK)
			return;
	}
}

/* The leader's whole business with configurations: one look a turn. */
static void
lead_changes(struct group *g)
{
	struct config_entry step;
	struct wire_error err = {0};
	uint64_t index = g->config[g->config_count - 1].index;
	struct request *r = g->change.request;

	if (!g->st.ready || g->st.transfer_to != RAFT_NONE)
		return;
	if (r != NULL && g->change.linking) {
		wait_for_link(g, r);
		return;
	}
	/* Asked and given up: the link was for nothing. */
	if (r == NULL)
		stop_linking(g);
	if (index > g->commit)
		return;
	if (group_config(g)->config.joint) {
		plan_leave(group_config(g), &step);
		if (!MUTANT(83))
			(void)propose(g, &step, &err);
		return;
	}
	if (r != NULL) {
		answer_change(g, r, index, group_config(g), group_config(g));
		return;
	}
	next_change(g);
	if (g->change.request == NULL && g->st.role == RAFT_LEADER &&
	    g->st.transfer_to == RAFT_NONE &&
	    g->config[g->config_count - 1].index <= g->commit)
		promote_ready(g);
}

/* What has begun may yet be completed by whoever leads next. */
static void
lost_changes(struct group *g)
{
	struct request *r = g->change.request;
	bool proposed = g->change.index != 0;

	stop_linking(g);
	if (r == NULL)
		return;
	g->change.request = NULL;
	if (!proposed)
		dispatch_move(g, r, REQUEST_WAITING);
	else if (g->config[g->config_count - 1].index <= g->commit &&
		 !group_config(g)->config.joint &&
		 g->config[g->config_count - 1].index >= g->change.index)
		/* A leader that removed itself leads no more, and knows. */
		answer_change(g, r, g->config[g->config_count - 1].index,
		    group_config(g), group_config(g));
	else
		answer_error(g, r, WIRE_UNKNOWN,
		    "leadership was lost before the change was complete");
}

/* ---- who leads --------------------------------------------------------- */

/* The best voter that could take over; RAFT_NONE if nobody is better than
 * we.  any: better or not. */
static uint64_t
preferred(struct group *g, bool any)
{
	const struct config_entry *e = group_config(g);
	uint64_t best = 0, lag = 0, to = RAFT_NONE;
	int self = config_find(e, g->host->opt.id);

	if (!any && self >= 0)
		best = members_priority(g, (uint32_t)self);
	for (uint32_t i = 0; i < e->config.count; i++) {
		uint64_t id = e->config.member[i].id;
		uint64_t priority = members_priority(g, i);

		if (id == g->host->opt.id ||
		    (e->config.member[i].voter & RAFT_VOTER_NEW) == 0 ||
		    strain_is_full(g, id) ||
		    !members_in_sync(g, id, CATCH_UP_ENTRIES))
			continue;
		if (priority > best ||
		    (any && (to == RAFT_NONE ||
				(priority == best && lag_of(g, id) < lag)))) {
			best = priority;
			lag = lag_of(g, id);
			to = id;
		}
	}
	return to;
}

static void
answer_leader(struct group *g, struct request *r, uint64_t leader)
{
	struct mp_buf *b = answer_begin(g->host, r);

	mp_put_map(b, 2);
	mp_put_kv_u64(b, "leader", leader);
	mp_put_kv_u64(b, "term", g->st.hard.term);
	answer_ok(g, r);
}

static int
read_transfer(struct mp_span params, uint64_t *id)
{
	struct mp_cur cur = mp_cur_span(params);
	uint32_t count;

	*id = RAFT_NONE;
	if (mp_read_array(&cur, &count) < 0 || count > 1)
		return -1;
	return count == 0 || mp_read_u64(&cur, id) == 0 ? 0 : -1;
}

static void
take_transfer(struct group *g, struct request *r)
{
	const struct config_entry *e = group_config(g);
	uint64_t to;
	int at;

	if (read_transfer(r->params, &to) < 0) {
		answer_error(g, r, WIRE_USAGE, "expected the id of a member");
		return;
	}
	if (to == g->host->opt.id) {
		answer_leader(g, r, to);
		return;
	}
	at = config_find(e, to);
	if (to != RAFT_NONE && (at < 0 || e->config.member[at].voter == 0)) {
		answer_error(
		    g, r, WIRE_CONDITION, "%llu is not a voter", ULL(to));
		return;
	}
	if (to != RAFT_NONE && !in_reach(g, to)) {
		answer_error(g, r, WIRE_CONDITION,
		    "member %llu is out of reach", ULL(to));
		return;
	}
	if (to == RAFT_NONE)
		to = preferred(g, true);
	if (!group_transfer(g, to)) {
		answer_error(g, r, WIRE_CONDITION,
		    "no voter is in reach that could take over");
		return;
	}
	g->transfer.request = r;
	g->transfer.to = to;
	g->transfer.term = g->st.hard.term;
	dispatch_move(g, r, REQUEST_CHANGING);
	group_refresh(g);
}

static void
watch_transfer(struct group *g)
{
	struct request *r = g->transfer.request;
	uint64_t to = g->transfer.to, leader = g->st.leader;

	if (r == NULL)
		return;
	if (g->st.role == RAFT_LEADER && g->st.hard.term == g->transfer.term) {
		if (g->st.transfer_to == RAFT_NONE)
			answer_error(g, r, WIRE_BUSY,
			    "server %llu did not take over in time", ULL(to));
	} else if (leader != RAFT_NONE) {
		if (to == RAFT_NONE || leader == to)
			answer_leader(g, r, leader);
		else
			answer_error(g, r, WIRE_BUSY,
			    "server %llu leads instead", ULL(leader));
	}
}

static void
lead_transfers(struct group *g)
{
	struct host *h = g->host;
	struct request *r, *tmp;
	uint64_t to, every = PREFER_EVERY * h->opt.election_ns;

	TAILQ_FOREACH_SAFE (r, &g->queue[REQUEST_WAITING], link, tmp) {
		if (g->transfer.request != NULL || g->st.role != RAFT_LEADER ||
		    !g->st.ready)
			return;
		if (r->kind == REQUEST_TRANSFER)
			take_transfer(g, r);
	}
	/* Somebody with a higher priority has caught up. */
	if (!g->st.ready || g->st.transfer_to != RAFT_NONE || h->stopping ||
	    h->now.mono_ns - g->leads_ns < 2 * h->opt.election_ns ||
	    h->now.mono_ns - g->transfer.tried_ns < every)
		return;
	g->transfer.tried_ns = h->now.mono_ns;
	to = preferred(g, false);
	if (to == RAFT_NONE)
		return;
	host_log(h, HOST_INFO, "event=prefer group=%u to=%llu", g->id, ULL(to));
	(void)group_transfer(g, to);
	group_refresh(g);
}

void
members_turn(struct group *g)
{
	if (g->host->broken)
		return;
	quarantine_turn(g);
	look_for_ends(g);
	watch_transfer(g);
	if (g->st.role == RAFT_LEADER) {
		if (g->leads_ns == 0) {
			g->leads_ns = g->host->now.mono_ns;
			g->transfer.tried_ns = 0;
		}
		lead_changes(g);
		if (g->st.role == RAFT_LEADER)
			lead_transfers(g);
	} else {
		g->leads_ns = 0;
		lost_changes(g);
	}
	if (g->links_stale)
		group_peers_changed(g);
}
