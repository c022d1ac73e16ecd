/*
 * recover_plan.c - the plan of a recovery, read: raftkit-recover(5).
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "raftwal/recover.h"

static int
bad(struct errtext *et, const char *key)
{
	return errtext(et, -EBADMSG, "the plan: '%s' is missing or wrong", key);
}

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int
get_id(const json_t *o, const char *key, uint8_t *out, struct errtext *et)
{
	const char *text = json_string_value(json_object_get(o, key));

	if (text == NULL || strlen(text) != 2 * IDENTITY_ID_LEN)
		return bad(et, key);
	for (unsigned i = 0; i < IDENTITY_ID_LEN; i++) {
		int hi = digit(text[2 * i]), lo = digit(text[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return bad(et, key);
		out[i] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}

static int
get_number(const json_t *o, const char *key, uint64_t min, uint64_t *out,
    struct errtext *et)
{
	const json_t *n = json_object_get(o, key);

	if (!json_is_integer(n) || json_integer_value(n) < (json_int_t)min)
		return bad(et, key);
	*out = (uint64_t)json_integer_value(n);
	return 0;
}

/* A text; absent is empty unless it is needed. */
static int
get_text(const json_t *o, const char *key, bool needed, char *out, size_t size,
    struct errtext *et)
{
	const json_t *t = json_object_get(o, key);
	size_t len = json_string_length(t);

	out[0] = '\0';
	if (t == NULL && !needed)
		return 0;
	if (!json_is_string(t) || len >= size || (needed && len == 0))
		return bad(et, key);
	memcpy(out, json_string_value(t), len + 1);
	return strlen(out) == len ? 0 : bad(et, key);
}

static int
get_donor(const json_t *o, struct recover_plan *p, struct errtext *et)
{
	const json_t *donor = json_object_get(o, "donor");
	const json_t *uuid = json_object_get(donor, "uuid");

	if (!json_is_object(donor) ||
	    get_number(donor, "id", 1, &p->donor, et) < 0 ||
	    get_number(donor, "last", 0, &p->donor_last, et) < 0 ||
	    get_number(donor, "last_term", 0, &p->donor_last_term, et) < 0)
		return bad(et, "donor");
	p->has_uuid = uuid != NULL && !json_is_null(uuid);
	return p->has_uuid ? get_id(donor, "uuid", p->donor_uuid, et) : 0;
}

static int
get_members(const json_t *o, struct recover_plan *p, struct errtext *et)
{
	const json_t *list = json_object_get(o, "members"), *j;
	size_t n = json_array_size(list);
	bool donor = false;

	if (n == 0 || n > RECOVER_MEMBERS_MAX)
		return bad(et, "members");
	for (size_t i = 0; i < n; i++) {
		struct recover_member *m = &p->member[i];

		j = json_array_get(list, i);
		if (get_number(j, "id", 1, &m->id, et) < 0 ||
		    get_text(j, "address", true, m->address, sizeof(m->address),
			et) < 0 ||
		    get_text(j, "name", false, m->name, sizeof(m->name), et) <
			0 ||
		    get_text(j, "zone", false, m->zone, sizeof(m->zone), et) <
			0 ||
		    (json_object_get(j, "priority") != NULL &&
			get_number(j, "priority", 0, &m->priority, et) < 0))
			return -EBADMSG;
		if (i > 0 && m->id <= m[-1].id)
			return bad(et, "members");
		donor |= m->id == p->donor;
	}
	p->members = (unsigned)n;
	return donor ? 0 : bad(et, "donor");
}

static bool
is_member(const struct recover_plan *p, uint64_t id)
{
	for (unsigned i = 0; i < p->members; i++)
		if (p->member[i].id == id)
			return true;
	return false;
}

static int
get_removed(const json_t *o, struct recover_plan *p, struct errtext *et)
{
	const json_t *list = json_object_get(o, "removed");
	size_t n = json_array_size(list);

	if (!json_is_array(list) || n > RECOVER_REMOVED_MAX)
		return bad(et, "removed");
	for (size_t i = 0; i < n; i++) {
		const json_t *id = json_array_get(list, i);

		if (!json_is_integer(id) || json_integer_value(id) < 1)
			return bad(et, "removed");
		p->removed[i] = (uint64_t)json_integer_value(id);
		if ((i > 0 && p->removed[i] <= p->removed[i - 1]) ||
		    is_member(p, p->removed[i]))
			return bad(et, "removed");
	}
	p->removed_count = (unsigned)n;
	return 0;
}

static int
plan_get(const json_t *o, struct recover_plan *p, struct errtext *et)
{
	uint64_t n;
	int error = get_number(o, "format", 1, &n, et);

	if (error == 0 && n > RECOVER_FORMAT)
		error = errtext(et, -EBADMSG,
		    "the plan has format %llu, this program knows %d",
		    (unsigned long long)n, RECOVER_FORMAT);
	if (error == 0)
		error = get_id(o, "cluster", p->cluster, et);
	if (error == 0)
		error = get_id(o, "new_cluster", p->renewed, et);
	if (error == 0 &&
	    memcmp(p->cluster, p->renewed, sizeof(p->cluster)) == 0)
		error = bad(et, "new_cluster");
	if (error == 0)
		error = get_number(o, "epoch", 1, &p->epoch, et);
	if (error == 0)
		error = get_number(o, "term", 1, &p->term, et);
	if (error == 0)
		error = get_number(o, "group", 1, &n, et);
	if (error == 0)
		error = n > UINT32_MAX ? bad(et, "group") : 0;
	p->group = (uint32_t)n;
	if (error == 0)
		error = get_donor(o, p, et);
	if (error == 0 && p->term <= p->donor_last_term)
		error = bad(et, "term");
	if (error == 0)
		error = get_members(o, p, et);
	return error == 0 ? get_removed(o, p, et) : error;
}

int
recover_plan_read(
    const char *text, size_t len, struct recover_plan *p, struct errtext *et)
{
	json_error_t why;
	json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	int error;

	memset(p, 0, sizeof(*p));
	if (o == NULL)
		return errtext(et, -EBADMSG, "the plan is no JSON: line %d: %s",
		    why.line, why.text);
	error = plan_get(o, p, et);
	json_decref(o);
	p->text = text;
	p->len = len;
	return error;
}
