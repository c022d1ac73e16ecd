/*
 * conditions.c - under which conditions a load ran, as JSON.
 */
#include "loadgen/conditions.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "raftctl/client.h"
#include "raftctl/endpoint.h"

#define STATUS_MS 1000

static json_t *
mix_json(const struct work_options *w)
{
	json_t *o = json_object();
	unsigned i;

	for (i = 0; i < WORK_OPS; i++)
		if (w->share[i] > 0)
			json_object_set_new(o, work_op_name((enum work_op)i),
			    json_integer(w->share[i]));
	return o;
}

static double
seconds(struct timeval tv)
{
	return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

json_t *
conditions_json(const struct run_options *o)
{
	struct rusage ru = {0};
	struct utsname un = {0};
	json_t *c;

	(void)getrusage(RUSAGE_SELF, &ru);
	(void)uname(&un);
	c = json_pack("{s:s,s:i,s:s,s:s,s:s,s:I,s:I,s:I,s:o,s:s,s:I,s:s,"
		      "s:I,s:s,s:b,s:o,s:f,s:f,s:I,s:I,s:b,s:f,s:f}",
	    "version", RAFTKIT_VERSION, "cores",
	    (int)sysconf(_SC_NPROCESSORS_ONLN), "kernel", un.release,
	    "endpoints", o->endpoints, "target", run_target_names[o->target],
	    "clients", (json_int_t)o->clients, "pipeline",
	    (json_int_t)o->pipeline, "connections", (json_int_t)o->connections,
	    "mix", mix_json(&o->work), "dist", work_dist_name(o->work.dist),
	    "keys", (json_int_t)o->work.keys, "prefix", o->prefix, "value_size",
	    (json_int_t)o->value_size, "read", run_read_names[o->read], "load",
	    (int)o->load, "rate",
	    o->rate > 0 ? json_real(o->rate) : json_null(), "warmup_s",
	    (double)o->warmup_ms / 1e3, "timeout_s",
	    (double)o->timeout_ms / 1e3, "limit_ops", (json_int_t)o->ops,
	    "seed", (json_int_t)(o->work.seed & INT64_MAX), "history",
	    (int)(o->history != NULL), "loadgen_user_s", seconds(ru.ru_utime),
	    "loadgen_sys_s", seconds(ru.ru_stime));
	if (c != NULL && o->ops == 0)
		json_object_set_new(
		    c, "time_s", json_real((double)o->time_ms / 1e3));
	return c;
}

/* MessagePack as JSON; depth is bounded, for the value was scanned. */
static json_t *
to_json(const msgpack_object *o)
{
	json_t *j = NULL;
	uint32_t i;

	switch (o->type) {
	case MSGPACK_OBJECT_BOOLEAN:
		return json_boolean(o->via.boolean);
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		return json_integer((json_int_t)o->via.i64);
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		return json_real(o->via.f64);
	case MSGPACK_OBJECT_STR:
		j = json_stringn(o->via.str.ptr, o->via.str.size);
		break;
	case MSGPACK_OBJECT_ARRAY:
		j = json_array();
		for (i = 0; i < o->via.array.size; i++)
			json_array_append_new(j, to_json(&o->via.array.ptr[i]));
		break;
	case MSGPACK_OBJECT_MAP:
		j = json_object();
		for (i = 0; i < o->via.map.size; i++) {
			const msgpack_object_kv *kv = &o->via.map.ptr[i];

			if (kv->key.type == MSGPACK_OBJECT_STR)
				json_object_setn_new(j, kv->key.via.str.ptr,
				    kv->key.via.str.size, to_json(&kv->val));
		}
		break;
	case MSGPACK_OBJECT_NIL:
	case MSGPACK_OBJECT_BIN:
	case MSGPACK_OBJECT_EXT:
		break;
	}
	return j != NULL ? j : json_null();
}

static json_t *
status_json(const char *endpoint)
{
	struct client_config config = {.endpoints = endpoint};
	struct client_answer a = {0};
	struct client_sync *c;
	msgpack_object tree;
	msgpack_zone zone;
	json_t *j = NULL;

	if (client_sync_open(&config, &c, NULL) < 0)
		return NULL;
	if (client_sync_call(c, "status", mp_span(NULL, 0),
		CLIENT_READ | CLIENT_ONCE, STATUS_MS, &a) == WIRE_OK &&
	    msgpack_zone_init(&zone, 1024)) {
		if (mp_tree(a.result.data, a.result.len, &zone, &tree) == 0)
			j = to_json(&tree);
		msgpack_zone_destroy(&zone);
	}
	mp_buf_release(&a.result);
	client_sync_close(c);
	return j;
}

json_t *
conditions_servers(const char *endpoints)
{
	json_t *all = json_array(), *j;
	struct endpoint *list;
	unsigned count, i;

	if (endpoint_parse_list(endpoints, &list, &count, NULL) < 0)
		return all;
	for (i = 0; i < count; i++) {
		j = status_json(list[i].text);
		if (!json_is_object(j)) {
			json_decref(j);
			j = json_pack("{s:b}", "ok", 0);
		}
		json_object_set_new(j, "endpoint", json_string(list[i].text));
		json_array_append_new(all, j);
	}
	free(list);
	return all;
}

json_t *
conditions_result(const struct run *r, bool interrupted)
{
	json_t *j = tally_json(&r->tally, run_seconds(r)),
	       *c = conditions_json(r->opt);

	if (j == NULL || c == NULL) {
		json_decref(j);
		json_decref(c);
		return NULL;
	}
	json_object_set_new(
	    j, "began_ms", json_integer((json_int_t)r->began_ms));
	json_object_set_new(
	    j, "absent", json_integer((json_int_t)r->ops.absent));
	json_object_set_new(
	    j, "not_swapped", json_integer((json_int_t)r->ops.not_swapped));
	json_object_set_new(j, "late", json_integer((json_int_t)run_late(r)));
	json_object_set_new(j, "interrupted", json_boolean(interrupted));
	json_object_set_new(
	    c, "servers", conditions_servers(r->opt->endpoints));
	json_object_set_new(j, "conditions", c);
	return j;
}
