/*
 * facts.c - what a data directory tells of its server and its groups.
 */
#include "raftwal/facts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "raftwal/bytes.h"

#define MEMBERS_MAX 64 /* of a configuration, more than raftd takes */
#define TEXT_MAX 256
#define JSON_INT_MAX (UINT64_C(1) << 53)

/* ---- configurations ---------------------------------------------------- */

static int
set_text(json_t *o, const struct mp_map *m, const char *key)
{
	struct mp_span s = mp_span("", 0);
	json_t *text;

	if (mp_opt_bytes(m, key, &s, TEXT_MAX) < 0)
		return -EPROTO;
	text = json_stringn((const char *)s.p, s.len);
	return text == NULL ? -EPROTO : json_object_set_new(o, key, text);
}

static int
set_number(json_t *o, const struct mp_map *m, const char *key)
{
	uint64_t n = 0;

	if (mp_opt_u64(m, key, &n) < 0 || n > JSON_INT_MAX)
		return -EPROTO;
	return json_object_set_new(o, key, json_integer((json_int_t)n));
}

static int
set_bool(json_t *o, const struct mp_map *m, const char *key)
{
	bool b = false;

	if (mp_opt_bool(m, key, &b) < 0)
		return -EPROTO;
	return json_object_set_new(o, key, json_boolean(b));
}

static int
member_read(struct mp_cur *cur, json_t *list)
{
	json_t *o = json_object();
	struct mp_map m;

	if (mp_read_mapping(cur, &m) < 0 || set_number(o, &m, "id") < 0 ||
	    set_number(o, &m, "voter") < 0 || set_text(o, &m, "address") < 0 ||
	    set_text(o, &m, "name") < 0 || set_text(o, &m, "zone") < 0 ||
	    set_number(o, &m, "priority") < 0 ||
	    set_bool(o, &m, "promote") < 0 || set_bool(o, &m, "leaving") < 0) {
		json_decref(o);
		return -EPROTO;
	}
	return json_array_append_new(list, o);
}

static int
members_read(const struct mp_map *m, json_t *o)
{
	json_t *list = json_array();
	struct mp_cur cur;
	uint32_t count;

	if (json_object_set_new(o, "members", list) < 0 ||
	    mp_get(m, "members", &cur) < 0 || mp_read_array(&cur, &count) < 0 ||
	    count > MEMBERS_MAX)
		return -EPROTO;
	for (uint32_t i = 0; i < count; i++)
		if (member_read(&cur, list) < 0)
			return -EPROTO;
	return 0;
}

static int
removed_read(const struct mp_map *m, json_t *o)
{
	json_t *list = json_array();
	struct mp_cur cur;
	uint32_t count;
	uint64_t id;
	int error;

	if (json_object_set_new(o, "removed", list) < 0)
		return -EPROTO;
	error = mp_get(m, "removed", &cur);
	if (error == -ENOENT)
		return 0;
	if (error < 0 || mp_read_array(&cur, &count) < 0 || count > MEMBERS_MAX)
		return -EPROTO;
	for (uint32_t i = 0; i < count; i++)
		if (mp_read_u64(&cur, &id) < 0 || id > JSON_INT_MAX ||
		    json_array_append_new(list, json_integer((json_int_t)id)))
			return -EPROTO;
	return 0;
}

json_t *
facts_config(struct mp_span payload)
{
	struct mp_cur cur = mp_cur_span(payload);
	json_t *o = json_object();
	struct mp_map m;

	if (mp_scan(payload.p, payload.len) == 0 &&
	    mp_read_mapping(&cur, &m) == 0 && set_bool(o, &m, "joint") == 0 &&
	    members_read(&m, o) == 0 && removed_read(&m, o) == 0 &&
	    set_number(o, &m, "removed_floor") == 0)
		return o;
	json_decref(o);
	return NULL;
}

/* ---- the log ----------------------------------------------------------- */

static struct group_facts *
group_get(struct facts *f, uint32_t group)
{
	struct group_facts *more;

	for (size_t i = 0; i < f->count; i++)
		if (f->group[i].log.group == group)
			return &f->group[i];
	more = reallocarray(f->group, f->count + 1, sizeof(*more));
	if (more == NULL)
		return NULL;
	f->group = more;
	more = &f->group[f->count++];
	memset(more, 0, sizeof(*more));
	more->log.group = group;
	return more;
}

static void
config_take(struct group_facts *g, uint64_t index, struct mp_span payload)
{
	json_t *config = facts_config(payload);

	if (config == NULL || (g->config != NULL && index < g->config_index)) {
		json_decref(config);
		return;
	}
	json_decref(g->config);
	g->config = config;
	g->config_index = index;
	(void)json_object_set_new(
	    config, "index", json_integer((json_int_t)index));
}

static void
peer_take(struct facts *f, uint64_t id)
{
	for (size_t i = 0; i < f->peer_count; i++)
		if (f->peer[i] == id)
			return;
	if (f->peer_count < FACTS_PEERS_MAX)
		f->peer[f->peer_count++] = id;
}

static int
take(const struct record *r, void *ctx)
{
	struct facts *f = ctx;
	struct group_facts *g = group_get(f, r->group);
	const uint8_t *p = r->payload;

	if (g == NULL)
		return -ENOMEM;
	if (record_is_entry(r->kind))
		g->last_term = r->term;
	if (r->kind == RECORD_CONFIG)
		config_take(g, r->index, mp_span(p, r->len));
	if ((r->kind == RECORD_START || r->kind == RECORD_RESET) && r->len > 16)
		config_take(g, get_le64(p + 8), mp_span(p + 16, r->len - 16));
	if (r->kind == RECORD_COMMIT && r->len >= 8 && get_le64(p) > g->commit)
		g->commit = get_le64(p);
	if (r->kind == RECORD_PEER && r->len >= 8)
		peer_take(f, get_le64(p));
	return 0;
}

int
facts_read(struct disk *disk, struct facts *f, struct errtext *et)
{
	const struct wal_options opt = {.read_only = true};
	const struct wal_group *list;
	struct wal *wal;
	size_t n;
	int error;

	memset(f, 0, sizeof(*f));
	f->has_identity =
	    identity_read(disk, &f->identity, &f->identity_error) == 0;
	error = wal_open(disk, &opt, take, f, &wal, &f->report, et);
	if (error != 0) {
		facts_release(f);
		return error;
	}
	n = wal_groups(wal, &list);
	for (size_t i = 0; i < n && error == 0; i++) {
		struct group_facts *g = group_get(f, list[i].group);

		if (g == NULL) {
			error = -ENOMEM;
			break;
		}
		g->log = list[i];
		if (g->log.last + 1 == g->log.first)
			g->last_term = g->log.prev_term;
		if (g->commit > g->log.last)
			g->commit = g->log.last;
	}
	wal_close(wal);
	if (error != 0)
		facts_release(f);
	return error;
}

void
facts_release(struct facts *f)
{
	for (size_t i = 0; i < f->count; i++)
		json_decref(f->group[i].config);
	free(f->group);
	memset(f, 0, sizeof(*f));
}

const struct group_facts *
facts_group(const struct facts *f, uint32_t group)
{
	for (size_t i = 0; i < f->count; i++)
		if (f->group[i].log.group == group)
			return &f->group[i];
	return NULL;
}
