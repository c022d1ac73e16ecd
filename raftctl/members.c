/*
 * members.c - the members of a cluster, and changes of them.
 */
#include "raftctl/members.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define ASK_MS_MAX 1000
#define RETRY_MS 50

/* ---- looking ----------------------------------------------------------- */

static void
take_text(char *out, size_t size, json_t *row, const char *key)
{
	const char *s = json_string_value(json_object_get(row, key));

	(void)snprintf(out, size, "%s", s != NULL ? s : "");
}

static uint64_t
number(json_t *row, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(row, key));
}

static void
take_member(json_t *row, struct member *m)
{
	const char *role = json_string_value(json_object_get(row, "role"));

	m->id = number(row, "id");
	m->lag = number(row, "lag_entries");
	m->priority = number(row, "priority");
	take_text(m->address, sizeof(m->address), row, "address");
	take_text(m->name, sizeof(m->name), row, "name");
	take_text(m->zone, sizeof(m->zone), row, "zone");
	m->voter = json_is_true(json_object_get(row, "voter"));
	m->in_sync = json_is_true(json_object_get(row, "in_sync"));
	m->leaving = json_is_true(json_object_get(row, "leaving"));
	m->leader = role != NULL && strcmp(role, "leader") == 0;
}

static void
take_config(json_t *row, struct members *m)
{
	json_t *age = json_object_get(row, "config_age_ms");

	m->joint = json_is_true(json_object_get(row, "joint"));
	m->config_index = number(row, "config_index");
	m->config_committed =
	    !json_is_false(json_object_get(row, "config_committed"));
	m->config_age_ms = json_is_integer(age)
			       ? (uint64_t)json_integer_value(age)
			       : UINT64_MAX;
}

enum wire_status
members_ask(struct cli *cli, struct members *out, struct wire_error *e)
{
	struct client_answer answer;
	json_t *list, *row;
	size_t i;

	memset(out, 0, sizeof(*out));
	if (cli_ask(cli, "members", NULL, CLIENT_READ, ASK_MS_MAX, &answer) !=
	    WIRE_OK) {
		*e = answer.error;
		return e->status;
	}
	list = output_json(
	    mp_span(answer.result.data, answer.result.len), OUTPUT_AUTO);
	mp_buf_release(&answer.result);
	json_array_foreach(list, i, row)
	{
		if (out->count == MEMBERS_MAX)
			break;
		take_config(row, out);
		take_member(row, &out->member[out->count++]);
	}
	json_decref(list);
	if (out->count > 0)
		return WIRE_OK;
	e->status = WIRE_PROTOCOL_ERROR;
	(void)snprintf(
	    e->message, sizeof(e->message), "the list of members is damaged");
	return e->status;
}

const struct member *
members_by_id(const struct members *m, uint64_t id)
{
	for (unsigned i = 0; i < m->count; i++)
		if (m->member[i].id == id)
			return &m->member[i];
	return NULL;
}

/* ---- changes ----------------------------------------------------------- */

static void
put_value(struct mp_buf *b, const json_t *v)
{
	json_t *item;
	size_t i;

	if (json_is_integer(v)) {
		mp_put_u64(b, (uint64_t)json_integer_value(v));
	} else if (json_is_boolean(v)) {
		mp_put_bool(b, json_is_true(v));
	} else if (json_is_array(v)) {
		mp_put_array(b, (uint32_t)json_array_size(v));
		json_array_foreach(v, i, item)
		    mp_put_u64(b, (uint64_t)json_integer_value(item));
	} else {
		mp_put_strn(b, json_string_value(v), json_string_length(v));
	}
}

static bool
may_repeat(const struct client_answer *a)
{
	return wire_status_info(a->status)->retry &&
	       strncmp(a->error.message, "server ", 7) != 0;
}

enum wire_status
members_try(
    struct cli *cli, const json_t *change, json_t **out, struct wire_error *e)
{
	struct client_answer answer;
	struct mp_buf params;
	const struct timespec nap = {0, RETRY_MS * 1000000};
	enum wire_status status;
	const char *key;
	void *at;

	mp_buf_init(&params);
	mp_put_array(&params, 1);
	mp_put_map(&params, (uint32_t)json_object_size(change));
	/* Iterating changes nothing, but the library's prototype says so. */
	union {
		const json_t *in;
		json_t *out;
	} object = {.in = change};
	for (at = json_object_iter(object.out); at != NULL;
	     at = json_object_iter_next(object.out, at)) {
		key = json_object_iter_key(at);
		mp_put_str(&params, key);
		put_value(&params, json_object_iter_value(at));
	}
	/* A new server that does not answer is the cluster's answer, not a
	 * reason to ask again. */
	for (;;) {
		status = cli_ask(cli, "member.change", &params, CLIENT_ONCE,
		    UINT32_MAX, &answer);
		if (!may_repeat(&answer) || cli_is_late(cli))
			break;
		(void)nanosleep(&nap, NULL);
	}
	mp_buf_release(&params);
	if (status != WIRE_OK) {
		*e = answer.error;
		return status;
	}
	*out = output_json(
	    mp_span(answer.result.data, answer.result.len), OUTPUT_AUTO);
	mp_buf_release(&answer.result);
	return WIRE_OK;
}

int
change_members(struct cli *cli, const json_t *change, json_t **answer)
{
	struct wire_error e = {0};

	return members_try(cli, change, answer, &e) == WIRE_OK
		   ? 0
		   : cli_error(cli, &e);
}
