/*
 * survey.c - every member of a cluster, asked for its status at once.
 */
#include "raftctl/survey.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/client.h"
#include "raftctl/endpoint.h"

#define MEMBERS_MS_MAX 1000 /* then the leader is taken for lost */
#define STATUS_MS_MAX 1500  /* then a server is */
#define ROWS_MAX (ENDPOINTS_MAX + 64)
#define LIST_MAX 2048 /* addresses of one member, comma-separated */

/* One server being asked. */
struct probe {
	struct survey *survey;
	unsigned row;
	char list[LIST_MAX];
	struct client_set *set;
	struct client *client;
	bool pending;
};

static struct survey_row *
add_row(struct survey *s, struct probe *probes, uint64_t id, const char *list)
{
	struct survey_row *row;
	struct probe *p;

	if (s->count == ROWS_MAX)
		return NULL;
	row = &s->rows[s->count];
	p = &probes[s->count];
	row->id = id;
	p->survey = s;
	p->row = s->count++;
	(void)snprintf(p->list, sizeof(p->list), "%s", list);
	(void)snprintf(row->endpoint, sizeof(row->endpoint), "%.*s",
	    (int)strcspn(list, ","), list);
	return row;
}

/* ---- whom to ask ------------------------------------------------------ */

/* The addresses of a member where clients are served, comma-separated. */
static void
join_addresses(const struct mp_map *m, char *list)
{
	struct mp_cur c;
	struct mp_span s;
	uint32_t n;
	size_t used = 0;

	list[0] = '\0';
	if (mp_get(m, "client", &c) < 0 || mp_read_array(&c, &n) < 0)
		return;
	for (uint32_t i = 0; i < n; i++) {
		if (mp_read_bytes(&c, &s) < 0 || used + s.len + 2 >= LIST_MAX)
			return;
		if (used > 0)
			list[used++] = ',';
		memcpy(list + used, s.p, s.len);
		used += s.len;
		list[used] = '\0';
	}
}

static bool
add_members(struct survey *s, struct probe *probes, struct mp_span raw)
{
	struct mp_cur c = mp_cur_span(raw);
	struct mp_map m;
	char list[LIST_MAX];
	uint64_t id;
	uint32_t n;

	if (mp_read_array(&c, &n) < 0)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		if (mp_read_mapping(&c, &m) < 0 ||
		    mp_get_u64(&m, "id", &id) < 0)
			return false;
		join_addresses(&m, list);
		if (add_row(s, probes, id, list) == NULL)
			return false;
	}
	return n > 0;
}

static bool
is_listed(const struct probe *probes, unsigned count, const char *text)
{
	size_t len = strlen(text);
	const char *at;

	for (unsigned i = 0; i < count; i++)
		for (at = strstr(probes[i].list, text); at != NULL;
		     at = strstr(at + 1, text))
			if ((at == probes[i].list || at[-1] == ',') &&
			    (at[len] == '\0' || at[len] == ','))
				return true;
	return false;
}

/* The servers that the user named and no member is known by. */
static enum wire_status
add_named(struct cli *cli, struct survey *s, struct probe *probes)
{
	struct endpoint *v;
	unsigned n;

	if (endpoint_parse_list(cli->endpoints, &v, &n, NULL) < 0)
		return WIRE_USAGE;
	for (unsigned i = 0; i < n; i++)
		if (!is_listed(probes, s->count, v[i].text))
			(void)add_row(s, probes, 0, v[i].text);
	free(v);
	return WIRE_OK;
}

/* ---- asking ----------------------------------------------------------- */

static void
probe_cb(const struct client_reply *reply, void *ctx)
{
	struct probe *p = ctx;
	struct survey_row *row = &p->survey->rows[p->row];

	p->pending = false;
	if (reply->endpoint != NULL)
		(void)snprintf(row->endpoint, sizeof(row->endpoint), "%s",
		    reply->endpoint);
	if (reply->status == WIRE_OK)
		row->status = output_json(reply->result, OUTPUT_AUTO);
	if (reply->error != NULL)
		row->error = *reply->error;
	else if (!json_is_object(row->status)) {
		row->error.status = WIRE_PROTOCOL_ERROR;
		(void)snprintf(row->error.message, sizeof(row->error.message),
		    "the answer is no status");
		json_decref(row->status);
		row->status = NULL;
	}
}

static void
probe_begin(struct cli *cli, struct probe *p, struct event_base *base)
{
	struct client_config config = {.endpoints = p->list};
	struct survey_row *row = &p->survey->rows[p->row];
	uint32_t left = cli_left_ms(cli);
	struct errtext et = {""};

	row->error.status = WIRE_UNREACHABLE;
	if (p->list[0] == '\0') {
		(void)snprintf(row->error.message, sizeof(row->error.message),
		    "it is not known where it takes clients");
		return;
	}
	if (client_set_new(base, &config, &p->set, &et) < 0 ||
	    (p->client = client_new(p->set, 0)) == NULL ||
	    client_call(p->client, "status", mp_span(NULL, 0),
		CLIENT_READ | CLIENT_ONCE,
		left < STATUS_MS_MAX ? left : STATUS_MS_MAX, probe_cb, p) < 0) {
		(void)snprintf(row->error.message, sizeof(row->error.message),
		    "cannot ask it: %.200s", et.text);
		return;
	}
	p->pending = true;
}

static void
ask_all(struct cli *cli, struct survey *s, struct probe *probes,
    struct event_base *base)
{
	unsigned pending;

	for (unsigned i = 0; i < s->count; i++)
		probe_begin(cli, &probes[i], base);
	do {
		pending = 0;
		for (unsigned i = 0; i < s->count; i++)
			pending += probes[i].pending;
	} while (pending > 0 && event_base_loop(base, EVLOOP_ONCE) == 0);
	for (unsigned i = 0; i < s->count; i++) {
		client_free(probes[i].client);
		client_set_free(probes[i].set);
	}
}

/* ---- what came of it -------------------------------------------------- */

static uint64_t
row_id(const struct survey_row *row)
{
	return row->status == NULL ? row->id
				   : (uint64_t)json_integer_value(
					 json_object_get(row->status, "id"));
}

/* Move what was learnt under an address of the user's to the row of the
 * member; false: there is no such row before it. */
static bool
merge(struct survey *s, unsigned at)
{
	struct survey_row *row = &s->rows[at];

	for (unsigned i = 0; i < at; i++) {
		struct survey_row *other = &s->rows[i];

		if (row_id(row) == 0 || row_id(other) != row_id(row))
			continue;
		if (other->status == NULL) {
			uint64_t id = other->id;

			*other = *row;
			other->id = id;
			row->status = NULL;
		}
		return true;
	}
	return false;
}

/* One row for each member, or, if they are not known, for each server. */
static void
merge_rows(struct survey *s)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < s->count; i++) {
		struct survey_row *row = &s->rows[i];
		bool drop = merge(s, i);

		if (!drop && s->members_known && row->id == 0)
			drop = row->status == NULL;
		if (drop) {
			json_decref(row->status);
			row->status = NULL;
			continue;
		}
		if (kept != i) {
			s->rows[kept] = *row;
			row->status = NULL;
		}
		row = &s->rows[kept++];
		row->id = row_id(row);
	}
	s->count = kept;
}

enum wire_status
survey_run(struct cli *cli, struct survey *s, struct wire_error *e)
{
	struct event_base *base = event_base_new();
	struct probe *probes = calloc(ROWS_MAX, sizeof(*probes));
	struct client_answer answer;
	uint64_t limit = cli_left_ms(cli) / 2;
	enum wire_status status;

	memset(s, 0, sizeof(*s));
	memset(e, 0, sizeof(*e));
	s->rows = calloc(ROWS_MAX, sizeof(*s->rows));
	e->status = WIRE_BUG;
	if (base == NULL || probes == NULL || s->rows == NULL)
		goto out;
	status = cli_ask(cli, "members", NULL, CLIENT_READ,
	    limit < MEMBERS_MS_MAX ? limit : MEMBERS_MS_MAX, &answer);
	if (status == WIRE_USAGE) {
		*e = answer.error; /* the addresses are wrong */
		goto out;
	}
	s->members_error = answer.error;
	s->members_known = status == WIRE_OK &&
			   add_members(s, probes,
			       mp_span(answer.result.data, answer.result.len));
	mp_buf_release(&answer.result);
	e->status = add_named(cli, s, probes);
	ask_all(cli, s, probes, base);
	merge_rows(s);
out:
	if (base != NULL)
		event_base_free(base);
	free(probes);
	return e->status;
}

void
survey_release(struct survey *s)
{
	for (unsigned i = 0; i < s->count; i++)
		json_decref(s->rows[i].status);
	free(s->rows);
}

json_t *
survey_record(const struct survey_row *row)
{
	json_t *j;

	if (row->status != NULL) {
		j = json_copy(row->status);
		(void)json_object_set_new(
		    j, "endpoint", json_string(row->endpoint));
		return j;
	}
	j = json_pack("{s:s, s:b, s:o}", "endpoint", row->endpoint, "ok", 0,
	    "error", output_error(&row->error));
	if (row->id != 0)
		(void)json_object_set_new(
		    j, "id", json_integer((json_int_t)row->id));
	return j;
}
