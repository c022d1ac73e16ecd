/*
 * hello.c - the handshake of peers: who may be linked.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "raftd/inside.h"
#include "raftd/sum.h"

#define PEER_PROTOCOL 2
#define PEER_PROTOCOL_MIN 2

/* The address that a server must have, NULL: we know of none. */
static const char *
expected_address(const struct host *h, uint64_t id)
{
	const struct group *g = h->group;
	int at;

	for (unsigned c = g->config_count; c-- > 0;) {
		at = config_find(&g->config[c].e, id);
		if (at >= 0)
			return g->config[c].e.address[at];
	}
	if (g->change.linking && g->change.change.id == id)
		return g->change.change.address;
	return NULL;
}

static bool
is_unbound(const uint8_t *cluster)
{
	static const uint8_t none[IDENTITY_ID_LEN];

	return memcmp(cluster, none, IDENTITY_ID_LEN) == 0;
}

void
host_hello_self(const struct host *h, uint64_t to, struct host_hello *hello)
{
	size_t at = 0;

	*hello = (struct host_hello){.protocol_min = PEER_PROTOCOL_MIN,
	    .protocol_max = PEER_PROTOCOL,
	    .id = h->opt.id,
	    .to = to,
	    .boot = h->identity.boot,
	    .nonce = h->nonce,
	    .priority = h->opt.priority,
	    .untrusted = quarantine_is_noted(h->group)};
	quarantine_put_end(h->group, hello);
	memcpy(hello->cluster, h->identity.cluster, IDENTITY_ID_LEN);
	memcpy(hello->uuid, h->identity.uuid, IDENTITY_ID_LEN);
	memcpy(hello->address, h->opt.address, HOST_ADDR_MAX);
	for (unsigned i = 0; i < h->opt.client_count; i++)
		at += (size_t)snprintf(hello->client + at,
		    sizeof(hello->client) - at, "%s%s", i > 0 ? "," : "",
		    h->opt.client[i]);
}

/* Is the server that we know under this id still talking to us? */
static bool
is_alive(const struct host *h, const struct peer *p, struct host_time now)
{
	return p->linked_in &&
	       now.mono_ns - p->heard_ns < 2 * h->opt.election_ns;
}

/* Is this one of those that we were told to join? */
static bool
is_invited(const struct host *h, const struct host_hello *hello)
{
	for (unsigned i = 0; i < h->opt.join_count; i++)
		if (strcmp(h->opt.join[i], hello->address) == 0)
			return true;
	return false;
}

static const char *
judge_cluster(const struct host *h, const struct host_hello *hello)
{
	if (!is_unbound(h->identity.cluster)) {
		if (is_unbound(hello->cluster))
			return "it is in no cluster yet";
		if (identity_was(&h->identity, hello->cluster))
			return "a former life of this cluster: it was "
			       "recovered since";
		return memcmp(hello->cluster, h->identity.cluster,
			   IDENTITY_ID_LEN) != 0
			   ? "another cluster"
			   : NULL;
	}
	if (is_unbound(hello->cluster))
		return "neither is in a cluster yet";
	return is_invited(h, hello)
		   ? NULL
		   : "this server was told to join at other addresses";
}

/*
 * Whoever our configuration does not have may be in a later one, lead us, and
 * need our answers, or our vote (bug 17).  While we hear of another leader we
 * will be told.
 */
static bool
may_be_member(
    const struct group *g, const struct host_hello *hello, const struct peer *p)
{
	if (g->removed)
		return false;
	return g->st.leader == RAFT_NONE || g->st.leader == hello->id ||
	       group_config(g)->config.count == 0 ||
	       (p != NULL && p->linked_in);
}

static const char *
judge_member(
    const struct host *h, const struct host_hello *hello, const struct peer *p)
{
	const struct group *g = h->group;
	const char *address = expected_address(h, hello->id);

	if (address != NULL)
		return strcmp(address, hello->address) != 0
			   ? "not the address that the configuration has"
			   : NULL;
	/* The committed one only: another removal may yet be undone. */
	if (config_removed(&g->config[0].e, hello->id))
		return HELLO_REMOVED;
	return may_be_member(g, hello, p) ? NULL : "not a member";
}

/* Does it have all that we know it to have had? */
static bool
has_forgotten(const struct peer *p, const struct host_hello *hello)
{
	if (memcmp(p->uuid, hello->uuid, IDENTITY_ID_LEN) != 0 ||
	    hello->boot < p->boot)
		return true;
	/* Copied while it ran: then only its log tells. */
	if (hello->term != 0 && !MUTANT(194) &&
	    (hello->term < p->acked_term ||
		(hello->term == p->acked_term && hello->last < p->acked)))
		return true;
	return hello->boot == p->boot && p->nonce != 0 &&
	       hello->nonce != p->nonce;
}

static const char *
judge(const struct host *h, const struct host_hello *hello,
    const struct peer *p, struct host_time now)
{
	const char *why;

	if (hello->protocol_max < PEER_PROTOCOL_MIN ||
	    hello->protocol_min > PEER_PROTOCOL)
		return "no common version of the protocol";
	why = judge_cluster(h, hello);
	if (why != NULL)
		return why;
	if (hello->to != h->opt.id)
		return "not the server that was meant";
	if (hello->id == h->opt.id)
		return "this server's own id: a clone";
	why = judge_member(h, hello, p);
	if (why != NULL || p == NULL || p->boot == 0)
		return why; /* never met */
	if ((hello->boot != p->boot || hello->nonce != p->nonce) &&
	    is_alive(h, p, now))
		return "the server is still linked: a clone, or it restarts";
	/* It says so itself once it knows; then it does no harm. */
	return has_forgotten(p, hello) && !hello->untrusted && !MUTANT(195)
		   ? HELLO_FORGOT
		   : NULL;
}

/* The cluster that adds us: durable before we say that we are in it. */
static const char *
adopt_cluster(struct host *h, const struct host_hello *hello)
{
	struct identity id = h->identity;

	memcpy(id.cluster, hello->cluster, IDENTITY_ID_LEN);
	if (identity_write(h->disk, &id, NULL) < 0)
		return "the identity cannot be written";
	h->identity = id;
	host_log(h, HOST_INFO, "event=joined peer=%llu address=%s",
	    (unsigned long long)hello->id, hello->address);
	return NULL;
}

const char *
host_hello_judge(
    struct host *h, const struct host_hello *hello, struct host_time now)
{
	struct peer *p = host_peer(h, hello->id);
	const char *why = judge(h, hello, p, now);
	bool news;

	if (why == NULL && p == NULL &&
	    (p = host_peer_make(h, hello->id)) == NULL)
		why = "too many servers";
	if (why == NULL && is_unbound(h->identity.cluster))
		why = adopt_cluster(h, hello);
	if (why != NULL)
		return why;
	news = p->boot != hello->boot || p->nonce != hello->nonce ||
	       memcmp(p->uuid, hello->uuid, IDENTITY_ID_LEN) != 0;
	/* It begins anew: what it acknowledges from now on counts. */
	if (hello->untrusted)
		p->acked = p->acked_term = 0;
	quarantine_hello(h->group, p, hello->untrusted);
	p->boot = hello->boot;
	p->nonce = hello->nonce;
	p->heard_ns = now.mono_ns;
	memcpy(p->uuid, hello->uuid, IDENTITY_ID_LEN);
	memcpy(p->client, hello->client, sizeof(p->client));
	memcpy(p->address, hello->address, sizeof(p->address));
	p->priority = hello->priority;
	if (news)
		group_put_peer(h->group, p);
	return NULL;
}

void
host_peer_linked(struct host *h, uint64_t peer, struct host_time now)
{
	struct peer *p = host_peer(h, peer);

	if (p == NULL)
		return;
	if (expected_address(h, peer) == NULL)
		h->group->links_stale = true;
	p->linked_in = true;
	p->heard_ns = now.mono_ns;
}

void
host_hello_put(struct mp_buf *b, const struct host_hello *h)
{
	size_t start = b->len;

	mp_put_map(b, 13 + (h->priority != 0) + h->untrusted);
	mp_put_kv_u64(b, "protocol_min", h->protocol_min);
	mp_put_kv_u64(b, "protocol_max", h->protocol_max);
	mp_put_kv_bin(b, "cluster", h->cluster, IDENTITY_ID_LEN);
	mp_put_kv_bin(b, "uuid", h->uuid, IDENTITY_ID_LEN);
	mp_put_kv_u64(b, "id", h->id);
	mp_put_kv_u64(b, "to", h->to);
	mp_put_kv_u64(b, "boot", h->boot);
	mp_put_kv_u64(b, "nonce", h->nonce);
	mp_put_kv_str(b, "address", h->address);
	mp_put_kv_str(b, "client", h->client);
	mp_put_kv_u64(b, "last", h->last);
	mp_put_kv_u64(b, "term", h->term);
	if (h->priority != 0)
		mp_put_kv_u64(b, "priority", h->priority);
	if (h->untrusted)
		mp_put_kv_bool(b, "untrusted", true);
	mp_put_str(b, "sum");
	sum_put(b, start);
}

static int
get_text(const struct mp_map *m, const char *key, char *out, size_t size)
{
	struct mp_span s;

	if (mp_get_bytes(m, key, &s, size - 1) < 0 ||
	    memchr(s.p, '\0', s.len) != NULL)
		return -EPROTO;
	memcpy(out, s.p, s.len);
	out[s.len] = '\0';
	return 0;
}

static int
get_id(const struct mp_map *m, const char *key, uint8_t *out)
{
	struct mp_span s;

	if (mp_get_bytes(m, key, &s, IDENTITY_ID_LEN) < 0 ||
	    s.len != IDENTITY_ID_LEN)
		return -EPROTO;
	memcpy(out, s.p, IDENTITY_ID_LEN);
	return 0;
}

int
host_hello_read(struct mp_span params, struct host_hello *out)
{
	struct mp_cur cur = mp_cur_span(params);
	struct host_hello h = {0};
	const uint8_t *start;
	struct mp_map m;
	uint32_t count;

	if (mp_scan(params.p, params.len) < 0)
		return -EPROTO;
	/* A request carries an array of one map, an answer the bare map. */
	if (mp_peek(&cur) == MP_ARRAY &&
	    (mp_read_array(&cur, &count) < 0 || count != 1))
		return -EPROTO;
	start = cur.p;
	if (mp_read_mapping(&cur, &m) < 0 ||
	    mp_get_u64(&m, "protocol_min", &h.protocol_min) < 0 ||
	    mp_get_u64(&m, "protocol_max", &h.protocol_max) < 0 ||
	    get_id(&m, "cluster", h.cluster) < 0 ||
	    get_id(&m, "uuid", h.uuid) < 0 || mp_get_u64(&m, "id", &h.id) < 0 ||
	    mp_get_u64(&m, "to", &h.to) < 0 ||
	    mp_get_u64(&m, "boot", &h.boot) < 0 ||
	    mp_get_u64(&m, "nonce", &h.nonce) < 0 ||
	    get_text(&m, "address", h.address, sizeof(h.address)) < 0 ||
	    get_text(&m, "client", h.client, sizeof(h.client)) < 0 ||
	    mp_opt_u64(&m, "last", &h.last) < 0 ||
	    mp_opt_u64(&m, "term", &h.term) < 0 ||
	    mp_opt_bool(&m, "untrusted", &h.untrusted) < 0 ||
	    mp_opt_u64(&m, "priority", &h.priority) < 0)
		return -EPROTO;
	/* Version 1 had no sum; it is refused for what it is. */
	if (h.protocol_max >= 2 &&
	    sum_check(mp_span(start, (size_t)(cur.end - start))) < 0)
		return -EPROTO;
	*out = h;
	return 0;
}
