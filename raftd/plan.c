/*
 * plan.c - changes of the membership: what is asked for, where it leads.
 */
#include "raftd/plan.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 3, 4))) static enum wire_status
refuse(struct wire_error *err, enum wire_status status, const char *fmt, ...)
{
	va_list ap;

	err->status = status;
	va_start(ap, fmt);
	(void)vsnprintf(err->message, sizeof(err->message), fmt, ap);
	va_end(ap);
	return status;
}

#define ULL(n) ((unsigned long long)(n))

/* ---- looking ----------------------------------------------------------- */

int
config_find(const struct config_entry *e, uint64_t id)
{
	for (uint32_t i = 0; i < e->config.count; i++)
		if (e->config.member[i].id == id)
			return (int)i;
	return -1;
}

bool
config_removed(const struct config_entry *e, uint64_t id)
{
	if (config_find(e, id) >= 0)
		return false;
	if (id <= e->removed_floor)
		return true;
	for (uint32_t i = 0; i < e->removed_count; i++)
		if (e->removed[i] == id)
			return true;
	return false;
}

/* ---- editing ----------------------------------------------------------- */

static void
move(struct config_entry *e, uint32_t to, uint32_t from, uint32_t count)
{
	memmove(&e->config.member[to], &e->config.member[from],
	    count * sizeof(e->config.member[0]));
	memmove(
	    &e->address[to], &e->address[from], count * sizeof(e->address[0]));
	memmove(&e->info[to], &e->info[from], count * sizeof(e->info[0]));
}

/* Its place, in the order of ids; -1 without room. */
static int
insert(struct config_entry *e, uint64_t id)
{
	uint32_t at = 0;

	if (e->config.count == RAFT_MEMBERS_MAX)
		return -1;
	while (at < e->config.count && e->config.member[at].id < id)
		at++;
	move(e, at + 1, at, e->config.count - at);
	e->config.count++;
	memset(&e->config.member[at], 0, sizeof(e->config.member[at]));
	memset(&e->address[at], 0, sizeof(e->address[at]));
	memset(&e->info[at], 0, sizeof(e->info[at]));
	e->config.member[at].id = id;
	return (int)at;
}

static void
note_removed(struct config_entry *e, uint64_t id)
{
	uint32_t at = 0;

	if (MUTANT(80) || config_removed(e, id))
		return;
	/* Without room the smallest is remembered by the floor alone. */
	if (e->removed_count == CONFIG_REMOVED_MAX) {
		if (id < e->removed[0]) {
			e->removed_floor = id;
			return;
		}
		e->removed_floor = e->removed[0];
		e->removed_count--;
		memmove(&e->removed[0], &e->removed[1],
		    e->removed_count * sizeof(e->removed[0]));
	}
	while (at < e->removed_count && e->removed[at] < id)
		at++;
	memmove(&e->removed[at + 1], &e->removed[at],
	    (e->removed_count - at) * sizeof(e->removed[0]));
	e->removed[at] = id;
	e->removed_count++;
}

static void
drop(struct config_entry *e, uint64_t id)
{
	uint32_t at = (uint32_t)config_find(e, id);

	move(e, at, at + 1, e->config.count - at - 1);
	e->config.count--;
	note_removed(e, id);
}

static void
tune(struct member_info *to, const struct change *c)
{
	if (c->has_name)
		memcpy(to->name, c->info.name, sizeof(to->name));
	if (c->has_zone)
		memcpy(to->zone, c->info.zone, sizeof(to->zone));
	if (c->has_priority)
		to->priority = c->info.priority;
}

/* ---- targets ----------------------------------------------------------- */

static enum wire_status
target_add(
    struct config_entry *e, const struct change *c, struct wire_error *err)
{
	int at;

	if (config_removed(e, c->id))
		return refuse(err, WIRE_CONDITION,
		    "id %llu was used before: ids are never used again",
		    ULL(c->id));
	for (uint32_t i = 0; i < e->config.count; i++)
		if (strcmp(e->address[i], c->address) == 0)
			return refuse(err, WIRE_CONDITION,
			    "member %llu has the address %s",
			    ULL(e->config.member[i].id), c->address);
	at = insert(e, c->id);
	if (at < 0)
		return refuse(err, WIRE_CONDITION, "%d members are the most",
		    RAFT_MEMBERS_MAX);
	memcpy(e->address[at], c->address, HOST_ADDR_MAX);
	e->info[at].promote = !c->learner;
	tune(&e->info[at], c);
	return WIRE_OK;
}

static bool
is_listed(const uint64_t *ids, uint32_t count, uint64_t id)
{
	for (uint32_t i = 0; i < count; i++)
		if (ids[i] == id)
			return true;
	return false;
}

static enum wire_status
target_set(
    struct config_entry *e, const struct change *c, struct wire_error *err)
{
	uint32_t i = 0;

	for (uint32_t n = 0; n < c->id_count; n++)
		if (config_find(e, c->ids[n]) < 0)
			return refuse(err, WIRE_CONDITION,
			    "%llu is not a member", ULL(c->ids[n]));
	while (i < e->config.count) {
		uint64_t id = e->config.member[i].id;
		bool votes = is_listed(c->ids, c->id_count, id);

		if (!votes && !is_listed(c->keep, c->keep_count, id)) {
			drop(e, id);
			continue;
		}
		e->config.member[i].voter = votes ? RAFT_VOTER_NEW : 0;
		e->info[i++].promote = false;
	}
	return WIRE_OK;
}

static bool
has_voters(const struct config_entry *e)
{
	for (uint32_t i = 0; i < e->config.count; i++)
		if ((e->config.member[i].voter & RAFT_VOTER_NEW) != 0)
			return true;
	return false;
}

/* A change of one member that is there. */
static enum wire_status
target_member(struct config_entry *e, const struct change *c, int at,
    struct wire_error *err)
{
	bool votes = e->config.member[at].voter != 0;
	int with;

	switch (c->op) {
	case CHANGE_PROMOTE:
		if (votes)
			return refuse(err, WIRE_CONDITION,
			    "member %llu votes already", ULL(c->id));
		e->config.member[at].voter = RAFT_VOTER_NEW;
		e->info[at].promote = false;
		break;
	case CHANGE_DEMOTE:
		if (!votes && !e->info[at].promote)
			return refuse(err, WIRE_CONDITION,
			    "member %llu is a learner already", ULL(c->id));
		e->config.member[at].voter = 0;
		e->info[at].promote = false;
		break;
	case CHANGE_REPLACE:
		with = config_find(e, c->with);
		if (!votes || with < 0 || e->config.member[with].voter != 0)
			return refuse(err, WIRE_CONDITION,
			    "%llu must be a voter and %llu a learner",
			    ULL(c->id), ULL(c->with));
		e->config.member[with].voter = RAFT_VOTER_NEW;
		e->info[with].promote = false;
		drop(e, c->id);
		break;
	case CHANGE_REMOVE:
		drop(e, c->id);
		break;
	default:
		tune(&e->info[at], c);
		if (MUTANT(198))
			e->config.member[at].voter = RAFT_VOTER_NEW;
		break;
	}
	return WIRE_OK;
}

enum wire_status
plan_target(const struct config_entry *now, const struct change *c,
    struct config_entry *target, struct wire_error *err)
{
	enum wire_status status;
	int at = config_find(now, c->id);

	*target = *now;
	if (c->op == CHANGE_SET)
		status = target_set(target, c, err);
	else if (c->op == CHANGE_ADD && at >= 0)
		status = refuse(err, WIRE_CONDITION, "%llu is a member already",
		    ULL(c->id));
	else if (c->op == CHANGE_ADD)
		status = target_add(target, c, err);
	else if (at < 0)
		status = refuse(
		    err, WIRE_CONDITION, "%llu is not a member", ULL(c->id));
	else
		status = target_member(target, c, at, err);
	if (status == WIRE_OK && !has_voters(target))
		status = refuse(err, WIRE_CONDITION, "nobody would vote");
	return status;
}

/* ---- steps ------------------------------------------------------------- */

static bool
same_voters(const struct config_entry *a, const struct config_entry *b)
{
	int at;

	for (uint32_t i = 0; i < a->config.count; i++) {
		if (a->config.member[i].voter == 0)
			continue;
		at = config_find(b, a->config.member[i].id);
		if (at < 0 || b->config.member[at].voter == 0)
			return false;
	}
	return true;
}

int
plan_enter(const struct config_entry *now, const struct config_entry *target,
    struct config_entry *step)
{
	struct config_entry e = *target;

	if (same_voters(now, target) && same_voters(target, now)) {
		*step = e;
		return 0;
	}
	e.config.joint = true;
	memcpy(e.removed, now->removed, sizeof(e.removed));
	e.removed_count = now->removed_count;
	e.removed_floor = now->removed_floor;
	for (uint32_t i = 0; i < now->config.count; i++) {
		uint64_t id = now->config.member[i].id;
		int at = config_find(&e, id);

		if (at < 0) {
			at = insert(&e, id);
			if (at < 0)
				return -ENOBUFS;
			memcpy(e.address[at], now->address[i], HOST_ADDR_MAX);
			e.info[at] = now->info[i];
			e.info[at].promote = false;
			e.info[at].leaving = true;
		}
		if (now->config.member[i].voter != 0)
			e.config.member[at].voter |= RAFT_VOTER_OLD;
	}
	*step = e;
	return 0;
}

void
plan_leave(const struct config_entry *joint, struct config_entry *step)
{
	struct config_entry e = *joint;
	uint32_t i = 0;

	e.config.joint = false;
	while (i < e.config.count) {
		if (e.info[i].leaving) {
			drop(&e, e.config.member[i].id);
			continue;
		}
		e.config.member[i++].voter &= (uint8_t)~RAFT_VOTER_OLD;
	}
	*step = e;
}

/* ---- what is asked for ------------------------------------------------- */

static const struct op_name {
	const char *name;
	enum change_op op;
} op_names[] = {
    {"add", CHANGE_ADD},
    {"promote", CHANGE_PROMOTE},
    {"demote", CHANGE_DEMOTE},
    {"remove", CHANGE_REMOVE},
    {"replace", CHANGE_REPLACE},
    {"set", CHANGE_SET},
    {"tune", CHANGE_TUNE},
};

static int
read_op(const struct mp_map *m, struct change *c)
{
	struct mp_span s;

	if (mp_get_bytes(m, "op", &s, 16) < 0)
		return -EPROTO;
	for (size_t i = 0; i < sizeof(op_names) / sizeof(op_names[0]); i++) {
		if (!mp_span_eq(s, op_names[i].name))
			continue;
		c->op = op_names[i].op;
		return 0;
	}
	return -EPROTO;
}

static int
read_text(
    const struct mp_map *m, const char *key, char *out, size_t size, bool *has)
{
	struct mp_span s = {NULL, 0};

	if (mp_opt_bytes(m, key, &s, size - 1) < 0)
		return -EPROTO;
	*has = s.p != NULL;
	for (size_t i = 0; i < s.len; i++) {
		/* It is printed, and stands in logs. */
		if (s.p[i] < 0x20 || s.p[i] == 0x7f)
			return -EPROTO;
		out[i] = (char)s.p[i];
	}
	out[s.len] = '\0';
	return 0;
}

/* One of few words; absent: the first. */
static int
read_word(
    const struct mp_map *m, const char *key, const char *const *words, int *out)
{
	struct mp_span s = {NULL, 0};
	int i;

	if (mp_opt_bytes(m, key, &s, 16) < 0)
		return -EPROTO;
	*out = 0;
	if (s.p == NULL)
		return 0;
	for (i = 0; words[i] != NULL; i++)
		if (mp_span_eq(s, words[i])) {
			*out = i;
			return 0;
		}
	return -EPROTO;
}

static int
read_manner(const struct mp_map *m, struct change *c)
{
	static const char *const modes[] = {
	    [CHANGE_AS_STARTED] = "as-started",
	    [CHANGE_SAFE] = "safe",
	    [CHANGE_EARLY_VOTE] = "early-vote",
	    [CHANGE_NO_JOINT] = "no-joint",
	    NULL,
	};
	static const char *const ends[] = {"complete", "entered", NULL};
	int mode, end;

	if (read_word(m, "mode", modes, &mode) < 0 ||
	    read_word(m, "until", ends, &end) < 0)
		return -EPROTO;
	c->mode = (enum change_mode)mode;
	c->entered = end == 1;
	return 0;
}

/* Ascending, none twice.  Absent: none. */
static int
read_ids(
    const struct mp_map *m, const char *key, uint64_t *ids, uint32_t *count_out)
{
	struct mp_cur cur;
	uint32_t count, at;
	uint64_t id;
	int err = mp_get(m, key, &cur);

	*count_out = 0;
	if (err == -ENOENT)
		return 0;
	if (err < 0 || mp_read_array(&cur, &count) < 0 ||
	    count > RAFT_MEMBERS_MAX)
		return -EPROTO;
	for (uint32_t i = 0; i < count; i++) {
		if (mp_read_u64(&cur, &id) < 0 || id == RAFT_NONE)
			return -EPROTO;
		for (at = i; at > 0 && ids[at - 1] >= id; at--) {
			if (ids[at - 1] == id)
				return -EPROTO;
			ids[at] = ids[at - 1];
		}
		ids[at] = id;
	}
	*count_out = count;
	return 0;
}

static int
read_change(struct mp_span params, struct change *c)
{
	struct mp_cur cur = mp_cur_span(params);
	struct mp_map m;
	uint32_t count;
	bool has;

	if (mp_read_array(&cur, &count) < 0 || count != 1 ||
	    mp_read_mapping(&cur, &m) < 0 || read_op(&m, c) < 0 ||
	    read_manner(&m, c) < 0 ||
	    mp_opt_bool(&m, "dry_run", &c->dry_run) < 0 ||
	    mp_opt_bool(&m, "learner", &c->learner) < 0 ||
	    mp_opt_u64(&m, "priority", &c->info.priority) < 0 ||
	    read_text(&m, "name", c->info.name, sizeof(c->info.name),
		&c->has_name) < 0 ||
	    read_text(&m, "zone", c->info.zone, sizeof(c->info.zone),
		&c->has_zone) < 0 ||
	    read_text(&m, "address", c->address, sizeof(c->address), &has) < 0)
		return -EPROTO;
	c->has_priority = mp_get(&m, "priority", &cur) == 0;
	if (c->op == CHANGE_SET)
		return read_ids(&m, "ids", c->ids, &c->id_count) < 0 ||
			       c->id_count == 0 ||
			       read_ids(
				   &m, "learners", c->keep, &c->keep_count) < 0
			   ? -EPROTO
			   : 0;
	if (mp_get_u64(&m, "id", &c->id) < 0 || c->id == RAFT_NONE ||
	    c->id > INT64_MAX)
		return -EPROTO;
	if (c->op == CHANGE_REPLACE && mp_get_u64(&m, "with", &c->with) < 0)
		return -EPROTO;
	return c->op == CHANGE_ADD && c->address[0] == '\0' ? -EPROTO : 0;
}

enum wire_status
change_read(struct mp_span params, struct change *c, struct wire_error *err)
{
	struct change v = {.op = CHANGE_ADD};

	if (read_change(params, &v) < 0)
		return refuse(err, WIRE_USAGE,
		    "expected a change of members, as raftrpc(5) has it");
	*c = v;
	return WIRE_OK;
}
