/*
 * cluster.c - cores in memory, and what they promised.
 */
#include "tests/script/cluster.h"

#include <err.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void broken(struct cluster *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
broken(struct cluster *c, const char *fmt, ...)
{
	va_list ap;

	if (c->broken[0] != '\0')
		return;
	va_start(ap, fmt);
	(void)vsnprintf(c->broken, sizeof(c->broken), fmt, ap);
	va_end(ap);
	if (c->trace != NULL)
		fprintf(c->trace, "BROKEN: %s\n", c->broken);
}

static void *
need(void *p)
{
	if (p == NULL)
		err(71, "cannot allocate");
	return p;
}

/* ---- printing ---------------------------------------------------------- */

static const char *const msg_name[RAFT_MSG_TYPE_COUNT] = {
    [RAFT_PREVOTE] = "prevote",
    [RAFT_PREVOTE_REPLY] = "prevote-reply",
    [RAFT_VOTE] = "vote",
    [RAFT_VOTE_REPLY] = "vote-reply",
    [RAFT_APPEND] = "append",
    [RAFT_APPEND_REPLY] = "append-reply",
    [RAFT_HEARTBEAT] = "heartbeat",
    [RAFT_HEARTBEAT_REPLY] = "heartbeat-reply",
    [RAFT_READ_INDEX] = "read-index",
    [RAFT_READ_INDEX_REPLY] = "read-index-reply",
    [RAFT_TIMEOUT_NOW] = "timeout-now",
    [RAFT_SNAPSHOT] = "snapshot",
    [RAFT_SNAPSHOT_REPLY] = "snapshot-reply",
};

const char *
cluster_msg_name(enum raft_msg_type type)
{
	return type > 0 && type < RAFT_MSG_TYPE_COUNT ? msg_name[type] : "?";
}

#define P(x) ((unsigned long long)(x))

static void
print_append(FILE *f, const struct raft_msg *m)
{
	uint32_t i;

	fprintf(f, " prev=%llu.%llu", P(m->u.append.prev_index),
	    P(m->u.append.prev_term));
	for (i = 0; i < m->u.append.run_count; i++)
		fprintf(f, "%s%llu.%llu", i == 0 ? " entries=" : ",",
		    P(m->u.append.run[i].first), P(m->u.append.run[i].term));
	if (m->u.append.run_count > 0)
		fprintf(f, "..%llu", P(m->u.append.last));
	fprintf(f, " commit=%llu", P(m->u.append.commit));
	if (m->u.append.round == 0)
		fputs(" notice", f);
}

void
cluster_print_msg(FILE *f, const struct raft_msg *m)
{
	fprintf(f, "%llu->%llu %s term=%llu", P(m->from), P(m->to),
	    cluster_msg_name(m->type), P(m->term));
	switch (m->type) {
	case RAFT_PREVOTE:
	case RAFT_VOTE:
		fprintf(f, " for=%llu last=%llu.%llu%s", P(m->u.vote.term),
		    P(m->u.vote.last_index), P(m->u.vote.last_term),
		    m->u.vote.transfer ? " transfer" : "");
		break;
	case RAFT_PREVOTE_REPLY:
	case RAFT_VOTE_REPLY:
		fprintf(f, " for=%llu %s", P(m->u.vote_reply.term),
		    m->u.vote_reply.granted ? "granted" : "refused");
		break;
	case RAFT_APPEND:
		print_append(f, m);
		break;
	case RAFT_APPEND_REPLY:
		if (m->u.append_reply.ok)
			fprintf(f, " match=%llu", P(m->u.append_reply.match));
		else
			fprintf(f, " refused=%llu hint=%llu.%llu",
			    P(m->u.append_reply.prev_index),
			    P(m->u.append_reply.hint_index),
			    P(m->u.append_reply.hint_term));
		break;
	case RAFT_HEARTBEAT:
		fprintf(f, " commit=%llu%s", P(m->u.heartbeat.commit),
		    m->u.heartbeat.round != 0 ? " round" : "");
		break;
	case RAFT_HEARTBEAT_REPLY:
		fprintf(f, " last=%llu%s", P(m->u.heartbeat_reply.last),
		    m->u.heartbeat_reply.round != 0 ? " round" : "");
		break;
	case RAFT_READ_INDEX:
		fprintf(f, " id=%llu", P(m->u.read.id));
		break;
	case RAFT_READ_INDEX_REPLY:
		fprintf(f, " id=%llu", P(m->u.read.id));
		if (m->u.read.ok)
			fprintf(f, " index=%llu", P(m->u.read.index));
		else
			fputs(" refused", f);
		break;
	default:
		break;
	}
	if (m->wait)
		fputs(" wait", f);
}

/* ---- what was promised ------------------------------------------------- */

static bool
same_entry(const struct cluster_entry *a, const struct cluster_entry *b)
{
	return a->term == b->term && a->tag == b->tag;
}

/* A majority of each half that counts, by plain counting. */
static bool
counted(const struct cluster *c, const struct raft_config *g, uint64_t index,
    const struct cluster_entry *e)
{
	unsigned half, have, all;
	const struct cluster_node *n;
	uint32_t i;

	for (half = RAFT_VOTER_NEW; half <= RAFT_VOTER_OLD; half++) {
		if (half == RAFT_VOTER_OLD && !g->joint)
			continue;
		have = all = 0;
		for (i = 0; i < g->count; i++) {
			if ((g->member[i].voter & half) == 0)
				continue;
			all++;
			n = c->node[g->member[i].id];
			have += n != NULL && n->disk.last >= index &&
				same_entry(&n->disk.entry[index], e);
		}
		if (have * 2 <= all)
			return false;
	}
	return true;
}

static void
check_commit(struct cluster *c, unsigned id, const struct raft_status *s)
{
	struct cluster_node *n = c->node[id];
	uint64_t i;

	if (s->commit < n->commit)
		broken(c, "%u: commit fell from %llu to %llu", id, P(n->commit),
		    P(s->commit));
	for (i = n->commit + 1; i <= s->commit; i++) {
		if (i > n->last) {
			broken(
			    c, "%u: committed %llu beyond its log", id, P(i));
			break;
		}
		if (i <= c->committed) {
			if (!same_entry(&n->entry[i], &c->commit_entry[i]))
				broken(c,
				    "%u: another entry is committed at"
				    " %llu",
				    id, P(i));
			continue;
		}
		c->commit_entry[i] = n->entry[i];
		c->commit_term[i] = s->hard.term;
		c->committed = i;
	}
	if (s->commit > n->commit && s->role == RAFT_LEADER &&
	    s->commit <= n->last &&
	    !counted(c, &s->config, s->commit, &n->entry[s->commit]))
		broken(c, "%u: committed %llu without a durable majority", id,
		    P(s->commit));
	n->commit = s->commit;
}

static void
check_leader(struct cluster *c, unsigned id, const struct raft_status *s)
{
	struct cluster_node *n = c->node[id];
	uint64_t i;

	if (s->hard.term >= CLUSTER_TERMS_MAX)
		errx(70, "more terms than the tests expect");
	if (c->leader_of[s->hard.term] == id)
		return;
	if (c->leader_of[s->hard.term] != 0)
		broken(c, "term %llu has two leaders, %llu and %u",
		    P(s->hard.term), P(c->leader_of[s->hard.term]), id);
	c->leader_of[s->hard.term] = id;
	for (i = 1; i <= c->committed; i++) {
		if (c->commit_term[i] >= s->hard.term)
			continue;
		if (i > n->last ||
		    !same_entry(&n->entry[i], &c->commit_entry[i]))
			broken(c, "%u leads without the committed entry %llu",
			    id, P(i));
	}
}

static void
check_sent(struct cluster *c, const struct cluster_msg *x)
{
	const struct cluster_node *n = c->node[x->m.from];
	uint64_t match;

	switch (x->m.type) {
	case RAFT_VOTE_REPLY:
		if (x->m.u.vote_reply.granted &&
		    (n->disk.hard.term < x->m.term ||
			(n->disk.hard.term == x->m.term &&
			    n->disk.hard.vote != x->m.to)))
			broken(c, "%llu: a vote left before it was durable",
			    P(x->m.from));
		break;
	case RAFT_APPEND_REPLY:
		match = x->m.u.append_reply.match;
		if (!x->m.u.append_reply.ok)
			break;
		if (match > n->disk.last)
			broken(c,
			    "%llu: acknowledged %llu before it was"
			    " durable",
			    P(x->m.from), P(match));
		else if (match > 0 && match <= n->last &&
			 !same_entry(&n->disk.entry[match], &n->entry[match]) &&
			 n->disk.hard.term >= x->m.term)
			broken(c,
			    "%llu: acknowledged %llu, and the disk has"
			    " another",
			    P(x->m.from), P(match));
		/* FALLTHROUGH */
	case RAFT_HEARTBEAT_REPLY:
		if (n->disk.hard.term < x->m.term)
			broken(c,
			    "%llu: answered in a term that is not"
			    " durable",
			    P(x->m.from));
		break;
	default:
		break;
	}
}

static void
check_node(struct cluster *c, unsigned id)
{
	struct cluster_node *n = c->node[id];
	struct raft_status s;
	const char *why;

	if ((why = raft_check(n->raft)) != NULL)
		broken(c, "%u: %s", id, why);
	raft_status(n->raft, &s);
	if (s.last != n->last)
		broken(c, "%u: the core's log ends at %llu, the host's at %llu",
		    id, P(s.last), P(n->last));
	if (s.role == RAFT_LEADER)
		check_leader(c, id, &s);
	check_commit(c, id, &s);
}

/* ---- carrying out ------------------------------------------------------ */

static void
msg_release(struct cluster_msg *x)
{
	free(x->entry);
	x->entry = NULL;
}

static void
net_send(struct cluster *c, struct cluster_msg x)
{
	check_sent(c, &x);
	if (x.m.to > CLUSTER_NODES_MAX || c->cut[x.m.from][x.m.to] ||
	    c->net_count == CLUSTER_NET_MAX) {
		msg_release(&x);
		return;
	}
	c->net[c->net_count++] = x;
}

static void
node_send(struct cluster *c, struct cluster_node *n, struct cluster_msg x)
{
	struct cluster_batch *b;
	unsigned i;

	if (c->trace != NULL) {
		fputs("  ", c->trace);
		cluster_print_msg(c->trace, &x.m);
		fputc('\n', c->trace);
	}
	for (i = n->batch_count; x.m.wait && i-- > 0;) {
		b = &n->batch[i];
		if (b->durable)
			continue;
		b->wait = need(
		    reallocarray(b->wait, b->wait_count + 1, sizeof(*b->wait)));
		b->wait[b->wait_count++] = x;
		return;
	}
	net_send(c, x);
}

/* The step's entries and hard state go to memory and on their way to disk. */
static void
node_write(struct cluster *c, struct cluster_node *n,
    const struct raft_event *ev, const struct cluster_msg *x)
{
	const struct raft_output *out = &c->out;
	struct cluster_batch *b;
	struct cluster_entry *e;
	uint64_t i, count;

	if (out->persist_last < out->persist_first && !out->hard_changed)
		return;
	if (n->batch_count == CLUSTER_BATCHES_MAX)
		errx(70, "too many writes on the way");
	b = &n->batch[n->batch_count++];
	memset(b, 0, sizeof(*b));
	b->hard = out->hard;
	b->first = out->persist_first;
	b->last = out->persist_last;
	if (b->last < b->first)
		return;
	count = b->last - b->first + 1;
	if (b->last > CLUSTER_LOG_MAX)
		errx(70, "a log longer than the tests expect");
	b->entry = need(calloc(count, sizeof(*b->entry)));
	for (i = 0; i < count; i++) {
		e = &b->entry[i];
		if (ev->type == RAFT_EV_MESSAGE && !out->noop) {
			*e = x->entry[b->first + i - x->m.u.append.prev_index -
				      1];
		} else {
			e->term = out->hard.term;
			e->tag = ++c->tags;
			if (ev->type == RAFT_EV_CHANGE) {
				c->config[c->config_count] = ev->u.config;
				e->config = c->config_count++;
			}
		}
		n->entry[b->first + i] = *e;
	}
	n->last = b->last;
	b->report_index = b->last;
	b->report_term = b->entry[count - 1].term;
}

static void
print_change(struct cluster *c, unsigned id, const struct raft_status *a,
    const struct raft_status *b)
{
	if (c->trace == NULL)
		return;
	if (a->role != b->role || a->leader != b->leader ||
	    a->hard.term != b->hard.term || a->hard.vote != b->hard.vote)
		fprintf(c->trace, "  %u: %s term=%llu vote=%llu leader=%llu\n",
		    id, raft_role_name(b->role), P(b->hard.term),
		    P(b->hard.vote), P(b->leader));
	if (a->last != b->last || a->last_term != b->last_term)
		fprintf(c->trace, "  %u: last=%llu.%llu\n", id, P(b->last),
		    P(b->last_term));
	if (a->commit != b->commit)
		fprintf(c->trace, "  %u: commit=%llu\n", id, P(b->commit));
}

static void
take_reads(struct cluster *c, unsigned id)
{
	struct cluster_node *n = c->node[id];
	const struct raft_read_done *d;
	uint32_t i;

	for (i = 0; i < c->out.read_count; i++) {
		d = &c->out.read[i];
		if (c->trace != NULL && d->ok)
			fprintf(c->trace, "  %u: reads to %llu at index %llu\n",
			    id, P(d->id), P(d->index));
		else if (c->trace != NULL)
			fprintf(c->trace, "  %u: reads to %llu refused\n", id,
			    P(d->id));
		if (d->id >= 256)
			errx(70, "more reads than the tests expect");
		if (d->ok && d->index < n->read_floor[d->id])
			broken(c, "%u: read %llu at %llu, committed was %llu",
			    id, P(d->id), P(d->index), P(n->read_floor[d->id]));
		n->read_index[d->id] = d->ok ? d->index + 1 : UINT64_MAX;
	}
}

/* As a host does at the end of a turn. */
static void
pull(struct cluster *c, unsigned id)
{
	struct cluster_node *n = c->node[id];
	struct raft_want w;
	struct cluster_msg x;
	uint64_t last, bytes, i;
	unsigned peer, turns, configs;

	for (peer = 1; peer <= c->count; peer++) {
		for (turns = 0; turns < 64; turns++) {
			if (!raft_append_wanted(
				n->raft, peer, n->now, &w, &x.m))
				break;
			bytes = configs = 0;
			last = w.first - 1;
			while (last < w.last &&
			       (bytes == 0 || bytes + CLUSTER_ENTRY_BYTES <=
						  w.bytes_max)) {
				if (n->entry[last + 1].config != 0 &&
				    configs == RAFT_APPEND_CONFIGS_MAX)
					break;
				last++;
				bytes += CLUSTER_ENTRY_BYTES;
				if (n->entry[last].config == 0)
					continue;
				x.m.u.append.config_index[configs] = last;
				x.m.u.append.config[configs++] =
				    c->config[n->entry[last].config];
			}
			raft_appended(n->raft, &x.m, last, bytes);
			x.m.u.append.config_count = configs;
			x.entry = NULL;
			if (last >= w.first)
				x.entry = need(calloc(
				    last - w.first + 1, sizeof(*x.entry)));
			for (i = w.first; i <= last; i++)
				x.entry[i - w.first] = n->entry[i];
			node_send(c, n, x);
		}
	}
}

static void
step(struct cluster *c, unsigned id, struct raft_event *ev,
    const struct cluster_msg *x)
{
	struct cluster_node *n = c->node[id];
	struct raft_status before, after;
	struct cluster_msg y;
	uint32_t i;

	if (!n->alive)
		return;
	if (raft_runs_low(n->raft)) {
		n->runs_cap *= 2;
		n->runs = need(calloc(n->runs_cap, sizeof(*n->runs)));
		free(raft_runs_give(n->raft, n->runs, n->runs_cap));
	}
	ev->now = n->now;
	raft_status(n->raft, &before);
	raft_step(n->raft, ev, &c->out);
	raft_status(n->raft, &after);
	n->deadline = c->out.deadline;
	if (c->out.rejected) {
		c->rejected++;
		if (c->trace != NULL)
			fprintf(c->trace, "  %u: rejected%s%s\n", id,
			    ev->type == RAFT_EV_CHANGE ? ": " : "",
			    ev->type == RAFT_EV_CHANGE
				? raft_change_refusal(n->raft)
				: "");
	}
	print_change(c, id, &before, &after);
	node_write(c, n, ev, x);
	take_reads(c, id);
	for (i = 0; i < c->out.msg_count; i++) {
		y.m = c->out.msg[i];
		y.entry = NULL;
		node_send(c, n, y);
	}
	pull(c, id);
	check_node(c, id);
	while (!n->manual && n->batch_count > 0 && c->broken[0] == '\0')
		cluster_persist(c, id, 1);
}

void
cluster_step(struct cluster *c, unsigned id, struct raft_event *ev)
{
	step(c, id, ev, NULL);
}

/* ---- disks ------------------------------------------------------------- */

static void
batch_release(struct cluster_batch *b)
{
	unsigned i;

	for (i = 0; i < b->wait_count; i++)
		msg_release(&b->wait[i]);
	free(b->wait);
	free(b->entry);
}

static void
batch_to_disk(
    struct cluster *c, struct cluster_node *n, struct cluster_batch *b)
{
	struct cluster_msg *wait = b->wait;
	unsigned i, count = b->wait_count;
	uint64_t k;

	b->durable = true;
	n->disk.hard = b->hard;
	for (k = b->first; k <= b->last; k++)
		n->disk.entry[k] = b->entry[k - b->first];
	if (b->last >= b->first)
		n->disk.last = b->last;
	b->wait = NULL;
	b->wait_count = 0;
	for (i = 0; i < count; i++)
		net_send(c, wait[i]);
	free(wait);
}

void
cluster_persist(struct cluster *c, unsigned id, unsigned nth)
{
	struct cluster_node *n = c->node[id];
	struct cluster_batch b;
	struct raft_event ev = {.type = RAFT_EV_PERSISTED};
	unsigned i;

	if (nth == 0 || nth > n->batch_count)
		return;
	for (i = 0; i < nth; i++)
		if (!n->batch[i].durable)
			batch_to_disk(c, n, &n->batch[i]);
	b = n->batch[nth - 1];
	memmove(&n->batch[nth - 1], &n->batch[nth],
	    (n->batch_count - nth) * sizeof(b));
	n->batch_count--;
	ev.u.persisted.index = b.report_index;
	ev.u.persisted.term = b.report_term;
	ev.u.persisted.hard = b.hard;
	batch_release(&b);
	step(c, id, &ev, NULL);
}

/* ---- start and stop ---------------------------------------------------- */

static void
node_boot(struct cluster *c, unsigned id, bool damaged)
{
	struct cluster_node *n = c->node[id];
	static struct raft_config config[CLUSTER_CONFIGS_MAX];
	static uint64_t config_index[CLUSTER_CONFIGS_MAX];
	struct raft_boot b = {.first = 1, .damaged = damaged};
	struct raft_run *run;
	uint64_t i;

	n->last = n->disk.last;
	memcpy(n->entry, n->disk.entry, sizeof(n->entry));
	run = need(calloc(n->last + 1, sizeof(*run)));
	config[0] = c->config[0];
	config_index[0] = 0;
	b.config_count = 1;
	for (i = 1; i <= n->last; i++) {
		if (i == 1 || n->entry[i].term != n->entry[i - 1].term) {
			run[b.run_count].first = i;
			run[b.run_count++].term = n->entry[i].term;
		}
		if (n->entry[i].config != 0) {
			config[b.config_count] = c->config[n->entry[i].config];
			config_index[b.config_count++] = i;
		}
	}
	b.hard = n->disk.hard;
	b.last = n->last;
	b.run = run;
	b.config = config;
	b.config_index = config_index;
	n->runs_cap = b.run_count + 2 * RAFT_RUNS_MAX;
	free(n->runs);
	n->runs = need(calloc(n->runs_cap, sizeof(*n->runs)));
	n->opt.boot++;
	if (raft_init(n->raft, &n->opt, &b, n->runs, n->runs_cap, n->now) < 0)
		errx(70, "server %u does not start", id);
	free(run);
	n->commit = 0;
	n->alive = true;
}

struct cluster *
cluster_new(const struct cluster_options *o, FILE *trace)
{
	struct cluster *c = need(calloc(1, sizeof(*c)));
	struct raft_event ev = {.type = RAFT_EV_TICK};
	struct cluster_node *n;
	unsigned id;

	c->trace = NULL;
	c->count = o->count;
	c->config[0].count = o->members != 0 ? o->members : o->voters;
	for (id = 1; id <= c->config[0].count; id++) {
		c->config[0].member[id - 1].id = id;
		c->config[0].member[id - 1].voter =
		    id <= o->voters ? RAFT_VOTER_NEW : 0;
	}
	c->config_count = 1;
	for (id = 1; id <= o->count; id++) {
		n = c->node[id] = need(calloc(1, sizeof(*n)));
		n->raft = need(calloc(1, raft_sizeof()));
		n->opt.id = id;
		n->opt.seed = o->seed;
		n->opt.heartbeat.ns = MS(100);
		n->opt.election.ns = MS(1000);
		n->opt.inflight_bytes_max =
		    o->inflight_bytes_max != 0 ? o->inflight_bytes_max : 100000;
		n->opt.uncommitted_bytes_max = o->uncommitted_bytes_max != 0
						   ? o->uncommitted_bytes_max
						   : 100000;
		n->opt.append_entries_max =
		    o->append_entries_max != 0 ? o->append_entries_max : 64;
		n->opt.pre_vote = !o->no_pre_vote;
		n->opt.check_quorum = !o->no_check_quorum;
		n->now.ns = o->start_ns;
		node_boot(c, id, false);
		cluster_step(c, id, &ev);
	}
	c->trace = trace;
	return c;
}

static void
node_drop_writes(struct cluster_node *n)
{
	unsigned i;

	for (i = 0; i < n->batch_count; i++)
		batch_release(&n->batch[i]);
	n->batch_count = 0;
}

void
cluster_free(struct cluster *c)
{
	unsigned id, i;

	if (c == NULL)
		return;
	for (id = 1; id <= c->count; id++) {
		node_drop_writes(c->node[id]);
		free(c->node[id]->runs);
		free(c->node[id]->raft);
		free(c->node[id]);
	}
	for (i = 0; i < c->net_count; i++)
		msg_release(&c->net[i]);
	for (i = 0; i < c->held_count; i++)
		msg_release(&c->held[i]);
	free(c);
}

void
cluster_crash(struct cluster *c, unsigned id)
{
	c->node[id]->alive = false;
	node_drop_writes(c->node[id]);
	memset(c->node[id]->read_floor, 0, sizeof(c->node[id]->read_floor));
}

void
cluster_restart(struct cluster *c, unsigned id, bool damaged)
{
	struct raft_event ev = {.type = RAFT_EV_TICK};

	node_boot(c, id, damaged);
	cluster_step(c, id, &ev);
}

void
cluster_lose(struct cluster *c, unsigned id, uint64_t last)
{
	if (!c->node[id]->alive && last < c->node[id]->disk.last)
		c->node[id]->disk.last = last;
}

void
cluster_write(struct cluster *c, unsigned id, uint64_t term, uint64_t count)
{
	struct cluster_disk *d = &c->node[id]->disk;

	for (; count > 0 && d->last < CLUSTER_LOG_MAX; count--) {
		d->last++;
		d->entry[d->last].term = term;
		/* Written by the leader of that term: equal on all servers
		 * that have it at this index. */
		d->entry[d->last].tag =
		    UINT64_C(1) << 63 | term << 32 | d->last;
		d->entry[d->last].config = 0;
	}
	if (d->hard.term < term)
		d->hard = (struct raft_hard){term, 0};
}

void
cluster_hard(struct cluster *c, unsigned id, uint64_t term, uint64_t vote)
{
	c->node[id]->disk.hard = (struct raft_hard){term, vote};
}

/* ---- events ------------------------------------------------------------ */

void
cluster_tick(struct cluster *c, unsigned id, uint64_t ns)
{
	struct raft_event ev = {.type = RAFT_EV_TICK};

	c->node[id]->now.ns += ns;
	cluster_step(c, id, &ev);
}

void
cluster_timeout(struct cluster *c, unsigned id)
{
	struct cluster_node *n = c->node[id];

	cluster_tick(c, id,
	    (int64_t)(n->deadline.ns - n->now.ns) > 0
		? n->deadline.ns - n->now.ns
		: 0);
}

void
cluster_propose(struct cluster *c, unsigned id, uint32_t count)
{
	struct raft_event ev = {.type = RAFT_EV_PROPOSE};

	ev.u.propose.count = count;
	ev.u.propose.bytes = (uint64_t)count * CLUSTER_ENTRY_BYTES;
	cluster_step(c, id, &ev);
}

void
cluster_read(struct cluster *c, unsigned id, uint64_t read)
{
	struct raft_event ev = {.type = RAFT_EV_READ};
	uint64_t i;

	if (read >= 256)
		errx(70, "more reads than the tests expect");
	/* An answer to a later id answers the earlier ones, too. */
	for (i = read; i < 256; i++)
		c->node[id]->read_floor[i] = c->committed;
	ev.u.read.id = read;
	cluster_step(c, id, &ev);
}

void
cluster_peer(
    struct cluster *c, unsigned id, enum raft_event_type type, uint64_t peer)
{
	struct raft_event ev = {.type = type};

	ev.u.peer.id = peer;
	cluster_step(c, id, &ev);
}

void
cluster_change(struct cluster *c, unsigned id, const struct raft_config *config)
{
	struct raft_event ev = {.type = RAFT_EV_CHANGE};

	if (c->config_count == CLUSTER_CONFIGS_MAX)
		errx(70, "more configurations than the tests expect");
	ev.u.config = *config;
	cluster_step(c, id, &ev);
}

/* ---- the network ------------------------------------------------------- */

static bool
matches(const struct cluster_match *f, const struct raft_msg *m)
{
	return (f->from == 0 || f->from == m->from) &&
	       (f->to == 0 || f->to == m->to) &&
	       (f->type == 0 || f->type == (int)m->type);
}

static struct cluster_msg
net_take(struct cluster *c, unsigned i)
{
	struct cluster_msg x = c->net[i];

	memmove(&c->net[i], &c->net[i + 1], (c->net_count - i - 1) * sizeof(x));
	c->net_count--;
	return x;
}

static void
deliver(struct cluster *c, struct cluster_msg *x)
{
	struct raft_event ev = {.type = RAFT_EV_MESSAGE};

	if (x->m.to >= 1 && x->m.to <= c->count && c->node[x->m.to]->alive &&
	    !c->cut[x->m.from][x->m.to]) {
		if (c->trace != NULL) {
			fputs("> ", c->trace);
			cluster_print_msg(c->trace, &x->m);
			fputc('\n', c->trace);
		}
		ev.u.msg = &x->m;
		step(c, (unsigned)x->m.to, &ev, x);
	}
	msg_release(x);
}

/* Only what is on its way now, not what the deliveries cause. */
unsigned
cluster_deliver(struct cluster *c, const struct cluster_match *f)
{
	static struct cluster_msg due[CLUSTER_NET_MAX];
	unsigned i, k, n = 0, seen = 0;

	for (i = 0; i < c->net_count;) {
		if (!matches(f, &c->net[i].m) ||
		    (++seen != f->nth && f->nth != 0)) {
			i++;
			continue;
		}
		due[n++] = net_take(c, i);
	}
	for (k = 0; k < n; k++)
		deliver(c, &due[k]);
	return n;
}

unsigned
cluster_hold(struct cluster *c, const struct cluster_match *f)
{
	unsigned i, n = 0, seen = 0;

	for (i = 0; i < c->net_count;) {
		if (!matches(f, &c->net[i].m) ||
		    (++seen != f->nth && f->nth != 0)) {
			i++;
			continue;
		}
		if (c->held_count == CLUSTER_NET_MAX)
			errx(70, "more late messages than the tests expect");
		c->held[c->held_count++] = net_take(c, i);
		n++;
	}
	return n;
}

void
cluster_release(struct cluster *c)
{
	unsigned i;

	for (i = 0; i < c->held_count; i++) {
		if (c->net_count == CLUSTER_NET_MAX)
			errx(70, "more messages than the tests expect");
		c->net[c->net_count++] = c->held[i];
	}
	c->held_count = 0;
}

unsigned
cluster_drop(struct cluster *c, const struct cluster_match *f)
{
	unsigned before = c->held_count, n = cluster_hold(c, f);

	while (c->held_count > before)
		msg_release(&c->held[--c->held_count]);
	return n;
}

unsigned
cluster_repeat(struct cluster *c, const struct cluster_match *f)
{
	unsigned i, n = 0, seen = 0, count = c->net_count;
	struct cluster_msg x;
	size_t len;

	for (i = 0; i < count && c->net_count < CLUSTER_NET_MAX; i++) {
		if (!matches(f, &c->net[i].m) ||
		    (++seen != f->nth && f->nth != 0))
			continue;
		x = c->net[i];
		if (x.entry != NULL) {
			len = x.m.u.append.last - x.m.u.append.prev_index;
			x.entry = need(calloc(len, sizeof(*x.entry)));
			memcpy(
			    x.entry, c->net[i].entry, len * sizeof(*x.entry));
		}
		c->net[c->net_count++] = x;
		n++;
	}
	return n;
}

bool
cluster_settle(struct cluster *c)
{
	unsigned turns, id, did;
	struct cluster_msg x;

	for (turns = 0; turns < 100000 && c->broken[0] == '\0'; turns++) {
		did = 0;
		if (c->net_count > 0) {
			x = net_take(c, 0);
			deliver(c, &x);
			did = 1;
		}
		for (id = 1; id <= c->count; id++)
			if (c->node[id]->batch_count > 0 &&
			    !c->node[id]->manual) {
				cluster_persist(c, id, 1);
				did = 1;
			}
		if (!did)
			return true;
	}
	return false;
}

void
cluster_run(struct cluster *c, uint64_t ns, uint64_t step_ns)
{
	uint64_t t;
	unsigned id;

	for (t = 0; t < ns && c->broken[0] == '\0'; t += step_ns) {
		for (id = 1; id <= c->count; id++) {
			c->node[id]->now.ns += step_ns;
			if (c->node[id]->alive &&
			    (int64_t)(c->node[id]->now.ns -
				      c->node[id]->deadline.ns) >= 0)
				cluster_tick(c, id, 0);
		}
		cluster_settle(c);
	}
}

void
cluster_cut(struct cluster *c, unsigned from, unsigned to, bool cut)
{
	c->cut[from][to] = cut;
}

/* ---- looking ----------------------------------------------------------- */

void
cluster_status(const struct cluster *c, unsigned id, struct raft_status *s)
{
	raft_status(c->node[id]->raft, s);
}

unsigned
cluster_leader(const struct cluster *c)
{
	struct raft_status s;
	uint64_t term = 0;
	unsigned id, leader = 0;

	for (id = 1; id <= c->count; id++) {
		if (!c->node[id]->alive)
			continue;
		raft_status(c->node[id]->raft, &s);
		if (s.role == RAFT_LEADER && s.hard.term > term) {
			leader = id;
			term = s.hard.term;
		}
	}
	return leader;
}
