/*
 * hello.c - the handshake of peers: who may be linked.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "raftd/inside.h"

#define PEER_PROTOCOL 1
#define PEER_PROTOCOL_MIN 1

static const struct host_member *
configured(const struct host *h, uint64_t id, struct host_member *m)
{
	const struct group *g = h->group;
	const struct config_entry *e = &g->config[g->config_count - 1].e;

	for (uint32_t i = 0; i < e->config.count; i++) {
		if (e->config.member[i].id != id)
			continue;
		m->id = id;
		memcpy(m->address, e->address[i], HOST_ADDR_MAX);
		return m;
	}
	return NULL;
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
	    .nonce = h->nonce};
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

static const char *
judge(const struct host *h, const struct host_hello *hello,
    const struct peer *p, struct host_time now)
{
	struct host_member m;

	if (hello->protocol_max < PEER_PROTOCOL_MIN ||
	    hello->protocol_min > PEER_PROTOCOL)
		return "no common version of the protocol";
	if (memcmp(hello->cluster, h->identity.cluster, IDENTITY_ID_LEN) != 0)
		return "another cluster";
	if (hello->to != h->opt.id)
		return "not the server that was meant";
	if (hello->id == h->opt.id)
		return "this server's own id: a clone";
	if (p == NULL || configured(h, hello->id, &m) == NULL)
		return "not a member";
	if (strcmp(m.address, hello->address) != 0)
		return "not the address that the configuration has";
	if (p->boot == 0)
		return NULL; /* never met */
	if (memcmp(p->uuid, hello->uuid, IDENTITY_ID_LEN) != 0)
		return "another data directory than before under this id";
	if (hello->boot < p->boot)
		return "an older boot than before: an old copy or a clone";
	if (p->nonce == 0)
		return NULL; /* not met in this run */
	if (hello->boot == p->boot && hello->nonce != p->nonce)
		return "the same boot from another process: a clone";
	if (hello->boot > p->boot && is_alive(h, p, now))
		return "the server is still linked: a clone, or it restarts";
	return NULL;
}

const char *
host_hello_judge(
    struct host *h, const struct host_hello *hello, struct host_time now)
{
	struct peer *p = host_peer(h, hello->id);
	const char *why = judge(h, hello, p, now);
	bool news;

	if (why != NULL)
		return why;
	news = p->boot != hello->boot ||
	       memcmp(p->uuid, hello->uuid, IDENTITY_ID_LEN) != 0;
	p->boot = hello->boot;
	p->nonce = hello->nonce;
	p->heard_ns = now.mono_ns;
	memcpy(p->uuid, hello->uuid, IDENTITY_ID_LEN);
	memcpy(p->client, hello->client, sizeof(p->client));
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
	p->linked_in = true;
	p->heard_ns = now.mono_ns;
}

void
host_hello_put(struct mp_buf *b, const struct host_hello *h)
{
	mp_put_map(b, 10);
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
	struct mp_map m;
	uint32_t count;

	if (mp_scan(params.p, params.len) < 0)
		return -EPROTO;
	/* A request carries an array of one map, an answer the bare map. */
	if (mp_peek(&cur) == MP_ARRAY &&
	    (mp_read_array(&cur, &count) < 0 || count != 1))
		return -EPROTO;
	if (mp_read_mapping(&cur, &m) < 0 ||
	    mp_get_u64(&m, "protocol_min", &h.protocol_min) < 0 ||
	    mp_get_u64(&m, "protocol_max", &h.protocol_max) < 0 ||
	    get_id(&m, "cluster", h.cluster) < 0 ||
	    get_id(&m, "uuid", h.uuid) < 0 || mp_get_u64(&m, "id", &h.id) < 0 ||
	    mp_get_u64(&m, "to", &h.to) < 0 ||
	    mp_get_u64(&m, "boot", &h.boot) < 0 ||
	    mp_get_u64(&m, "nonce", &h.nonce) < 0 ||
	    get_text(&m, "address", h.address, sizeof(h.address)) < 0 ||
	    get_text(&m, "client", h.client, sizeof(h.client)) < 0)
		return -EPROTO;
	*out = h;
	return 0;
}
