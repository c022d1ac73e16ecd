/*
 * message.c - what peers say to each other, in bytes.
 */
#include "raftd/message.h"

#include <errno.h>
#include <string.h>

#include "raftd/sum.h"
#include "raftwal/record.h"

static void
put_bin_header(struct mp_buf *b, size_t len)
{
	uint8_t h[5] = {0xc6, (uint8_t)(len >> 24), (uint8_t)(len >> 16),
	    (uint8_t)(len >> 8), (uint8_t)len};

	mp_put_raw(b, h, sizeof(h));
}

static size_t
put_raft_head(
    struct mp_buf *b, uint32_t group, const struct raft_msg *m, uint32_t fields)
{
	size_t start = sum_begin(b, "raft", 3 + fields);

	mp_put_u64(b, group);
	mp_put_u64(b, m->type);
	mp_put_u64(b, m->term);
	return start;
}

/* ---- configurations ---------------------------------------------------- */

static void
put_member(struct mp_buf *b, const struct raft_member *m, const char *address,
    const struct member_info *info)
{
	static const struct member_info nothing = {.name = ""};

	if (info == NULL)
		info = &nothing;
	mp_put_map(b, 3 + (info->name[0] != '\0') + (info->zone[0] != '\0') +
			  (info->priority != 0) + info->promote +
			  info->leaving);
	mp_put_kv_u64(b, "id", m->id);
	mp_put_kv_u64(b, "voter", m->voter);
	mp_put_kv_str(b, "address", address);
	if (info->name[0] != '\0')
		mp_put_kv_str(b, "name", info->name);
	if (info->zone[0] != '\0')
		mp_put_kv_str(b, "zone", info->zone);
	if (info->priority != 0)
		mp_put_kv_u64(b, "priority", info->priority);
	if (info->promote)
		mp_put_kv_bool(b, "promote", true);
	if (info->leaving)
		mp_put_kv_bool(b, "leaving", true);
}

/* e NULL: what the core knows, no more. */
static void
put_members(
    struct mp_buf *b, const struct raft_config *c, const struct config_entry *e)
{
	bool removed = e != NULL && e->removed_count > 0;
	bool floor = e != NULL && e->removed_floor > 0;

	mp_put_map(b, 2 + removed + floor);
	mp_put_kv_bool(b, "joint", c->joint);
	mp_put_str(b, "members");
	mp_put_array(b, c->count);
	for (uint32_t i = 0; i < c->count; i++)
		put_member(b, &c->member[i], e != NULL ? e->address[i] : "",
		    e != NULL ? &e->info[i] : NULL);
	if (removed) {
		mp_put_str(b, "removed");
		mp_put_array(b, e->removed_count);
		for (uint32_t i = 0; i < e->removed_count; i++)
			mp_put_u64(b, e->removed[i]);
	}
	if (floor)
		mp_put_kv_u64(b, "removed_floor", e->removed_floor);
}

void
config_put(struct mp_buf *b, const struct config_entry *e)
{
	put_members(b, &e->config, e);
}

/* A text that may be absent. */
static int
opt_text(const struct mp_map *m, const char *key, char *out, size_t size)
{
	struct mp_span s = mp_span("", 0);

	if (mp_opt_bytes(m, key, &s, size - 1) < 0 ||
	    (s.len > 0 && memchr(s.p, '\0', s.len) != NULL))
		return -EPROTO;
	if (s.len > 0)
		memcpy(out, s.p, s.len);
	out[s.len] = '\0';
	return 0;
}

static int
read_member(struct mp_cur *cur, struct raft_member *m, char *address,
    struct member_info *info)
{
	struct mp_map map;
	struct mp_span a;
	uint64_t id, voter;

	if (mp_read_mapping(cur, &map) < 0 || mp_get_u64(&map, "id", &id) < 0 ||
	    mp_get_u64(&map, "voter", &voter) < 0 ||
	    mp_get_bytes(&map, "address", &a, HOST_ADDR_MAX - 1) < 0)
		return -EPROTO;
	if (id == RAFT_NONE ||
	    (voter & ~(uint64_t)(RAFT_VOTER_NEW | RAFT_VOTER_OLD)) != 0 ||
	    memchr(a.p, '\0', a.len) != NULL)
		return -EPROTO;
	if (opt_text(&map, "name", info->name, sizeof(info->name)) < 0 ||
	    opt_text(&map, "zone", info->zone, sizeof(info->zone)) < 0 ||
	    mp_opt_u64(&map, "priority", &info->priority) < 0 ||
	    mp_opt_bool(&map, "promote", &info->promote) < 0 ||
	    mp_opt_bool(&map, "leaving", &info->leaving) < 0)
		return -EPROTO;
	m->id = id;
	m->voter = (uint8_t)voter;
	memcpy(address, a.p, a.len);
	address[a.len] = '\0';
	return 0;
}

static int
read_removed(const struct mp_map *map, struct config_entry *e)
{
	struct mp_cur cur;
	uint32_t count;
	int err = mp_get(map, "removed", &cur);

	if (mp_opt_u64(map, "removed_floor", &e->removed_floor) < 0)
		return -EPROTO;
	if (err == -ENOENT)
		return 0;
	if (err < 0 || mp_read_array(&cur, &count) < 0 ||
	    count > CONFIG_REMOVED_MAX)
		return -EPROTO;
	for (uint32_t i = 0; i < count; i++)
		if (mp_read_u64(&cur, &e->removed[i]) < 0 ||
		    e->removed[i] == RAFT_NONE ||
		    (i > 0 && e->removed[i] <= e->removed[i - 1]))
			return -EPROTO;
	e->removed_count = count;
	return 0;
}

int
config_read(struct mp_span payload, struct config_entry *out)
{
	struct config_entry e = {0};
	struct mp_cur cur = mp_cur_span(payload), members;
	struct mp_map map;
	uint32_t count, voters = 0;
	bool joint, any_old = false;

	if (mp_scan(payload.p, payload.len) < 0 ||
	    mp_read_mapping(&cur, &map) < 0 ||
	    mp_get_bool(&map, "joint", &joint) < 0 ||
	    mp_get(&map, "members", &members) < 0 ||
	    mp_read_array(&members, &count) < 0)
		return -EPROTO;
	if (count == 0 || count > RAFT_MEMBERS_MAX)
		return -EPROTO;
	for (uint32_t i = 0; i < count; i++) {
		struct raft_member *m = &e.config.member[i];

		if (read_member(&members, m, e.address[i], &e.info[i]) < 0)
			return -EPROTO;
		if (i > 0 && m->id <= e.config.member[i - 1].id)
			return -EPROTO;
		voters += (m->voter & RAFT_VOTER_NEW) != 0;
		any_old |= (m->voter & RAFT_VOTER_OLD) != 0;
	}
	if (voters == 0 || any_old != joint || read_removed(&map, &e) < 0)
		return -EPROTO;
	e.config.count = count;
	e.config.joint = joint;
	*out = e;
	return 0;
}

/* ---- encode ------------------------------------------------------------ */

void
message_put(struct mp_buf *b, uint32_t group, const struct raft_msg *m)
{
	size_t start = 0;

	switch (m->type) {
	case RAFT_PREVOTE:
	case RAFT_VOTE:
		start = put_raft_head(b, group, m, 4);
		mp_put_u64(b, m->u.vote.term);
		mp_put_u64(b, m->u.vote.last_index);
		mp_put_u64(b, m->u.vote.last_term);
		mp_put_bool(b, m->u.vote.transfer);
		break;
	case RAFT_PREVOTE_REPLY:
	case RAFT_VOTE_REPLY:
		start = put_raft_head(b, group, m, 2);
		mp_put_u64(b, m->u.vote_reply.term);
		mp_put_bool(b, m->u.vote_reply.granted);
		break;
	case RAFT_APPEND_REPLY:
		start = put_raft_head(b, group, m, 8);
		mp_put_bool(b, m->u.append_reply.ok);
		mp_put_u64(b, m->u.append_reply.match);
		mp_put_u64(b, m->u.append_reply.prev_index);
		mp_put_u64(b, m->u.append_reply.hint_index);
		mp_put_u64(b, m->u.append_reply.hint_term);
		mp_put_u64(b, m->u.append_reply.last);
		mp_put_u64(b, m->u.append_reply.round);
		mp_put_u64(b, m->u.append_reply.promise_ns);
		break;
	case RAFT_HEARTBEAT:
		start = put_raft_head(b, group, m, 2);
		mp_put_u64(b, m->u.heartbeat.commit);
		mp_put_u64(b, m->u.heartbeat.round);
		break;
	case RAFT_HEARTBEAT_REPLY:
		start = put_raft_head(b, group, m, 3);
		mp_put_u64(b, m->u.heartbeat_reply.round);
		mp_put_u64(b, m->u.heartbeat_reply.last);
		mp_put_u64(b, m->u.heartbeat_reply.promise_ns);
		break;
	case RAFT_READ_INDEX:
	case RAFT_READ_INDEX_REPLY:
		start = put_raft_head(b, group, m, 4);
		mp_put_u64(b, m->u.read.boot);
		mp_put_u64(b, m->u.read.id);
		mp_put_u64(b, m->u.read.index);
		mp_put_bool(b, m->u.read.ok);
		break;
	case RAFT_TIMEOUT_NOW:
		start = put_raft_head(b, group, m, 0);
		break;
	case RAFT_SNAPSHOT_REPLY:
		start = put_raft_head(b, group, m, 2);
		mp_put_bool(b, m->u.snapshot_reply.ok);
		mp_put_u64(b, m->u.snapshot_reply.index);
		break;
	case RAFT_APPEND:   /* message_put_append() */
	case RAFT_SNAPSHOT: /* chunk_put() */
	case RAFT_MSG_TYPE_COUNT:
		b->failed = true;
		break;
	}
	if (!b->failed)
		sum_put(b, start);
}

void
message_put_append(struct mp_buf *b, uint32_t group, const struct raft_msg *m,
    size_t records_len)
{
	size_t start = sum_begin(b, "append", 7);

	mp_put_u64(b, group);
	mp_put_u64(b, m->term);
	mp_put_u64(b, m->u.append.prev_index);
	mp_put_u64(b, m->u.append.prev_term);
	mp_put_u64(b, m->u.append.commit);
	mp_put_u64(b, m->u.append.round);
	sum_put(b, start);
	put_bin_header(b, records_len);
}

/* ---- decode ------------------------------------------------------------ */

/* One record of an append into its message. */
static int
take_record(struct raft_msg *m, uint32_t group, const struct record *r)
{
	uint32_t n = m->u.append.run_count;
	uint64_t last_term =
	    n > 0 ? m->u.append.run[n - 1].term : m->u.append.prev_term;

	if (!record_is_entry(r->kind) || r->group != group ||
	    r->index != m->u.append.last + 1 || r->term < last_term ||
	    r->term == 0 || r->term > m->term)
		return -EPROTO;
	m->u.append.last = r->index;
	if (n == 0 || r->term != last_term) {
		if (n == RAFT_RUNS_MAX)
			return -EPROTO;
		m->u.append.run[n].first = r->index;
		m->u.append.run[n].term = r->term;
		m->u.append.run_count++;
	}
	if (r->kind == RECORD_CONFIG) {
		uint32_t c = m->u.append.config_count;
		struct config_entry e;

		if (c == RAFT_APPEND_CONFIGS_MAX ||
		    config_read(mp_span(r->payload, r->len), &e) < 0)
			return -EPROTO;
		m->u.append.config_index[c] = r->index;
		m->u.append.config[c] = e.config;
		m->u.append.config_count++;
	}
	return 0;
}

static int
read_append(struct mp_cur *cur, const uint8_t *start, uint32_t group,
    struct raft_msg *m, struct mp_span *records)
{
	struct mp_span bytes;
	struct record r;
	size_t off = 0, size;

	if (mp_read_u64(cur, &m->u.append.prev_index) < 0 ||
	    mp_read_u64(cur, &m->u.append.prev_term) < 0 ||
	    mp_read_u64(cur, &m->u.append.commit) < 0 ||
	    mp_read_u64(cur, &m->u.append.round) < 0 ||
	    sum_read(cur, start) < 0 || mp_read_bytes(cur, &bytes) < 0)
		return -EPROTO;
	/* Indexes stay below 2^53 everywhere, so that sums cannot wrap. */
	if (m->u.append.prev_index >= (uint64_t)1 << 53)
		return -EPROTO;
	m->u.append.last = m->u.append.prev_index;
	m->u.append.run_count = 0;
	m->u.append.config_count = 0;
	while (off < bytes.len) {
		size = record_read(bytes.p + off, bytes.len - off, &r);
		if (size == 0 || take_record(m, group, &r) < 0)
			return -EPROTO;
		off += size;
	}
	m->u.append.bytes = bytes.len;
	*records = bytes;
	return 0;
}

static int
read_vote(struct mp_cur *cur, struct raft_msg *m)
{
	if (mp_read_u64(cur, &m->u.vote.term) < 0 ||
	    mp_read_u64(cur, &m->u.vote.last_index) < 0 ||
	    mp_read_u64(cur, &m->u.vote.last_term) < 0 ||
	    mp_read_bool(cur, &m->u.vote.transfer) < 0)
		return -EPROTO;
	return 0;
}

static int
read_append_reply(struct mp_cur *cur, struct raft_msg *m)
{
	if (mp_read_bool(cur, &m->u.append_reply.ok) < 0 ||
	    mp_read_u64(cur, &m->u.append_reply.match) < 0 ||
	    mp_read_u64(cur, &m->u.append_reply.prev_index) < 0 ||
	    mp_read_u64(cur, &m->u.append_reply.hint_index) < 0 ||
	    mp_read_u64(cur, &m->u.append_reply.hint_term) < 0 ||
	    mp_read_u64(cur, &m->u.append_reply.last) < 0 ||
	    mp_read_u64(cur, &m->u.append_reply.round) < 0 ||
	    mp_read_u64(cur, &m->u.append_reply.promise_ns) < 0)
		return -EPROTO;
	return 0;
}

static int
read_fields(struct mp_cur *cur, struct raft_msg *m)
{
	switch (m->type) {
	case RAFT_PREVOTE:
	case RAFT_VOTE:
		return read_vote(cur, m);
	case RAFT_PREVOTE_REPLY:
	case RAFT_VOTE_REPLY:
		if (mp_read_u64(cur, &m->u.vote_reply.term) < 0)
			return -EPROTO;
		return mp_read_bool(cur, &m->u.vote_reply.granted);
	case RAFT_APPEND_REPLY:
		return read_append_reply(cur, m);
	case RAFT_HEARTBEAT:
		if (mp_read_u64(cur, &m->u.heartbeat.commit) < 0)
			return -EPROTO;
		return mp_read_u64(cur, &m->u.heartbeat.round);
	case RAFT_HEARTBEAT_REPLY:
		if (mp_read_u64(cur, &m->u.heartbeat_reply.round) < 0 ||
		    mp_read_u64(cur, &m->u.heartbeat_reply.last) < 0)
			return -EPROTO;
		return mp_read_u64(cur, &m->u.heartbeat_reply.promise_ns);
	case RAFT_READ_INDEX:
	case RAFT_READ_INDEX_REPLY:
		if (mp_read_u64(cur, &m->u.read.boot) < 0 ||
		    mp_read_u64(cur, &m->u.read.id) < 0 ||
		    mp_read_u64(cur, &m->u.read.index) < 0)
			return -EPROTO;
		return mp_read_bool(cur, &m->u.read.ok);
	case RAFT_TIMEOUT_NOW:
		return 0;
	case RAFT_SNAPSHOT_REPLY:
		if (mp_read_bool(cur, &m->u.snapshot_reply.ok) < 0)
			return -EPROTO;
		return mp_read_u64(cur, &m->u.snapshot_reply.index);
	case RAFT_APPEND:
	case RAFT_SNAPSHOT:
	case RAFT_MSG_TYPE_COUNT:
		break;
	}
	return -EPROTO;
}

int
message_read(const struct frame *f, uint64_t from, uint64_t to,
    uint32_t *group_out, struct raft_msg *m, struct mp_span *records)
{
	struct mp_cur cur = mp_cur_span(f->params);
	bool is_append = mp_span_eq(f->method, "append");
	uint32_t fields;
	uint64_t group, type = RAFT_APPEND;

	if (!is_append && !mp_span_eq(f->method, "raft"))
		return -EPROTO;
	if (mp_read_array(&cur, &fields) < 0 || mp_read_u64(&cur, &group) < 0 ||
	    group > UINT32_MAX)
		return -EPROTO;
	if (!is_append && mp_read_u64(&cur, &type) < 0)
		return -EPROTO;
	if (type == 0 || type >= RAFT_MSG_TYPE_COUNT ||
	    mp_read_u64(&cur, &m->term) < 0)
		return -EPROTO;
	m->type = (enum raft_msg_type)type;
	m->from = from;
	m->to = to;
	m->wait = false;
	*records = mp_span(NULL, 0);
	*group_out = (uint32_t)group;
	if (is_append)
		return read_append(
		    &cur, f->params.p, (uint32_t)group, m, records);
	if (read_fields(&cur, m) < 0 || sum_read(&cur, f->params.p) < 0)
		return -EPROTO;
	return 0;
}

void
space_put(struct mp_buf *b, uint32_t group, bool full)
{
	size_t start = sum_begin(b, "space", 2);

	mp_put_u64(b, group);
	mp_put_bool(b, full);
	sum_put(b, start);
}

int
space_read(const struct frame *f, uint32_t *group_out, bool *full_out)
{
	struct mp_cur cur = mp_cur_span(f->params);
	uint32_t count;
	uint64_t group;
	bool full;

	if (mp_read_array(&cur, &count) < 0 || mp_read_u64(&cur, &group) < 0 ||
	    group > UINT32_MAX || mp_read_bool(&cur, &full) < 0 ||
	    sum_read(&cur, f->params.p) < 0)
		return -EPROTO;
	*group_out = (uint32_t)group;
	*full_out = full;
	return 0;
}

/* ---- forwarded requests ------------------------------------------------ */

void
removed_put(struct mp_buf *b, uint32_t group)
{
	size_t start = sum_begin(b, "removed", 1);

	mp_put_u64(b, group);
	sum_put(b, start);
}

int
removed_read(const struct frame *f, uint32_t *group_out)
{
	struct mp_cur cur = mp_cur_span(f->params);
	uint32_t count;
	uint64_t group;

	if (mp_read_array(&cur, &count) < 0 || mp_read_u64(&cur, &group) < 0 ||
	    group > UINT32_MAX || sum_read(&cur, f->params.p) < 0)
		return -EPROTO;
	*group_out = (uint32_t)group;
	return 0;
}

void
trust_put(struct mp_buf *b, const struct trust *t)
{
	size_t start = sum_begin(b, "trust", 3);

	mp_put_u64(b, t->group);
	mp_put_u64(b, t->term);
	mp_put_u64(b, t->id);
	sum_put(b, start);
}

int
trust_read(const struct frame *f, struct trust *out)
{
	struct mp_cur cur = mp_cur_span(f->params);
	uint64_t group;
	struct trust t;
	uint32_t count;

	if (mp_read_array(&cur, &count) < 0 || mp_read_u64(&cur, &group) < 0 ||
	    group > UINT32_MAX || mp_read_u64(&cur, &t.term) < 0 ||
	    mp_read_u64(&cur, &t.id) < 0 || sum_read(&cur, f->params.p) < 0)
		return -EPROTO;
	t.group = (uint32_t)group;
	*out = t;
	return 0;
}

void
forward_put(struct mp_buf *b, const struct forward *f)
{
	size_t start = sum_begin(b, "forward", 4);

	mp_put_u64(b, f->group);
	mp_put_u64(b, f->boot);
	mp_put_u64(b, f->id);
	mp_put_bin(b, f->call.p, f->call.len);
	sum_put(b, start);
}

int
forward_read(const struct frame *fr, struct forward *f)
{
	struct mp_cur cur = mp_cur_span(fr->params);
	struct forward v;
	uint64_t group;
	uint32_t fields;

	if (mp_read_array(&cur, &fields) < 0 || mp_read_u64(&cur, &group) < 0 ||
	    group > UINT32_MAX || mp_read_u64(&cur, &v.boot) < 0 ||
	    mp_read_u64(&cur, &v.id) < 0 || mp_read_bytes(&cur, &v.call) < 0 ||
	    sum_read(&cur, fr->params.p) < 0)
		return -EPROTO;
	v.group = (uint32_t)group;
	*f = v;
	return 0;
}

void
answer_put(struct mp_buf *b, const struct answer *a)
{
	size_t start = sum_begin(b, "answer", 6);

	mp_put_u64(b, a->group);
	mp_put_u64(b, a->boot);
	mp_put_u64(b, a->id);
	mp_put_str(b, wire_status_info(a->status)->name);
	mp_put_strn(b, a->text.p, a->text.len);
	mp_put_bin(b, a->result.p, a->result.len);
	sum_put(b, start);
}

int
answer_read(const struct frame *fr, struct answer *a)
{
	struct mp_cur cur = mp_cur_span(fr->params);
	struct answer v;
	struct mp_span name;
	uint64_t group;
	uint32_t fields;

	if (mp_read_array(&cur, &fields) < 0 || mp_read_u64(&cur, &group) < 0 ||
	    group > UINT32_MAX || mp_read_u64(&cur, &v.boot) < 0 ||
	    mp_read_u64(&cur, &v.id) < 0 || mp_read_bytes(&cur, &name) < 0 ||
	    mp_read_bytes(&cur, &v.text) < 0 ||
	    mp_read_bytes(&cur, &v.result) < 0 ||
	    sum_read(&cur, fr->params.p) < 0)
		return -EPROTO;
	v.group = (uint32_t)group;
	v.status = mp_span_eq(name, "OK") ? WIRE_OK : wire_status_by_name(name);
	if (v.status == WIRE_OK && mp_scan(v.result.p, v.result.len) < 0)
		return -EPROTO;
	*a = v;
	return 0;
}
