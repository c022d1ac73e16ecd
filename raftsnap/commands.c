/*
 * commands.c - raftsnap: verify, info, ls, cat, export, diff.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/mp.h"
#include "raftsnap/image.h"
#include "raftsnap/tool.h"

/* ---- JSON -------------------------------------------------------------- */

static json_t *
base64(const uint8_t *p, size_t len)
{
	static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijkl"
				    "mnopqrstuvwxyz0123456789+/";
	char *out = malloc((len + 2) / 3 * 4 + 1);
	size_t n = 0;
	json_t *j;

	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < len; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16;

		if (i + 1 < len)
			v |= (uint32_t)p[i + 1] << 8;
		if (i + 2 < len)
			v |= p[i + 2];
		out[n++] = digit[v >> 18];
		out[n++] = digit[v >> 12 & 63];
		out[n++] = i + 1 < len ? digit[v >> 6 & 63] : '=';
		out[n++] = i + 2 < len ? digit[v & 63] : '=';
	}
	j = json_stringn(out, n);
	free(out);
	return j;
}

/* "key" if the bytes are UTF-8, "key_b64" if not. */
static void
put_bytes(json_t *o, const char *name, const uint8_t *p, size_t len)
{
	json_t *j = json_stringn((const char *)p, len);
	char other[32];

	if (j != NULL) {
		(void)json_object_set_new(o, name, j);
		return;
	}
	(void)snprintf(other, sizeof(other), "%s_b64", name);
	(void)json_object_set_new(o, other, base64(p, len));
}

static void
print(json_t *o)
{
	(void)json_dumpf(o, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
	(void)putchar('\n');
	json_decref(o);
}

static json_t *
hex(const uint8_t *p)
{
	char text[2 * SNAP_ID_LEN + 1];

	for (int i = 0; i < SNAP_ID_LEN; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", p[i]);
	return json_string(text);
}

static json_t *
members_json(const struct snap_meta *m)
{
	struct mp_cur cur = mp_cur(m->config, m->config_len), list;
	struct mp_map map;
	uint32_t n = 0;
	json_t *a = json_array();

	if (mp_scan(m->config, m->config_len) < 0 ||
	    mp_read_mapping(&cur, &map) < 0 ||
	    mp_get(&map, "members", &list) < 0 || mp_read_array(&list, &n) < 0)
		return a;
	for (uint32_t i = 0; i < n; i++) {
		struct mp_span address;
		uint64_t id, voter;
		json_t *o;

		if (mp_read_mapping(&list, &map) < 0 ||
		    mp_get_u64(&map, "id", &id) < 0 ||
		    mp_get_u64(&map, "voter", &voter) < 0 ||
		    mp_get_bytes(&map, "address", &address, 256) < 0)
			break;
		o = json_pack(
		    "{s:I,s:b}", "id", (json_int_t)id, "voter", voter != 0);
		put_bytes(o, "address", address.p, address.len);
		(void)json_array_append_new(a, o);
	}
	return a;
}

/* ---- reading ----------------------------------------------------------- */

/* A snapshot that is being read, and its records. */
struct source {
	struct tool_input in;
	struct snap_reader *reader;
	struct image image;
	struct errtext et;
	uint8_t key[IMAGE_KEY_MAX];
	struct image_record rec;
	int state; /* of the last image_next() */
};

static int
source_open(struct source *s, const char *name, bool image)
{
	int status, error;

	memset(s, 0, sizeof(*s));
	status = tool_open(name, &s->in);
	if (status != TOOL_OK)
		return status;
	error = snap_reader_new(tool_get, &s->in, &s->reader, &s->et);
	if (error == 0 && image) {
		error = image_open(&s->image, s->reader);
		if (error < 0)
			(void)errtext(&s->et, error,
			    "its state is none of a key-value store");
	}
	return error < 0 ? tool_fail(error, name, s->et.text) : TOOL_OK;
}

static void
source_close(struct source *s)
{
	image_close(&s->image);
	snap_reader_free(s->reader);
	tool_close(&s->in);
}

static int
source_next(struct source *s)
{
	s->state = image_next(&s->image, &s->rec, s->key);
	return s->state;
}

/* Nothing of it is to be believed before this. */
static int
source_finish(struct source *s, struct snap_sum *sum)
{
	int error = s->state < 0 ? s->state
				 : snap_reader_finish(s->reader, sum, &s->et);

	return error < 0 ? tool_fail(error, s->in.name, s->et.text) : TOOL_OK;
}

/* ---- commands ---------------------------------------------------------- */

int
cmd_verify(int argc, char **argv)
{
	struct source s;
	int status;

	if (argc != 1)
		return TOOL_USAGE;
	status = source_open(&s, argv[0], false);
	if (status == TOOL_OK)
		status = source_finish(&s, NULL);
	source_close(&s);
	return status;
}

int
cmd_info(int argc, char **argv)
{
	const struct snap_meta *m;
	struct snap_sum sum;
	struct source s;
	int status;

	if (argc != 1)
		return TOOL_USAGE;
	status = source_open(&s, argv[0], true);
	if (status == TOOL_OK)
		status = source_finish(&s, &sum);
	if (status == TOOL_OK) {
		m = snap_reader_meta(s.reader);
		print(json_pack(
		    "{s:s,s:I,s:I,s:I,s:o,s:o,s:I,s:I,s:I,s:I,s:I,s:o,s:I,s:i,"
		    "s:o,s:b}",
		    "file", argv[0], "group", (json_int_t)m->group, "index",
		    (json_int_t)m->index, "term", (json_int_t)m->term,
		    "cluster", hex(m->cluster), "members", members_json(m),
		    "keys", (json_int_t)s.image.keys, "rev", (json_int_t)m->rev,
		    "stamp", (json_int_t)m->stamp, "bytes",
		    (json_int_t)sum.plain_len, "compressed_bytes",
		    (json_int_t)sum.file_len, "digest", hex(m->digest),
		    "created", (json_int_t)m->created_ms, "format", SNAP_FORMAT,
		    "id", hex(sum.id), "ok", 1));
	}
	source_close(&s);
	return status;
}

/* Calls what for each record until it says stop. */
static int
each(const char *name, bool (*what)(const struct image_record *, void *),
    void *ctx)
{
	struct source s;
	int status = source_open(&s, name, true);

	while (status == TOOL_OK && source_next(&s) == 1)
		if (!what(&s.rec, ctx))
			break;
	if (status == TOOL_OK)
		status = source_finish(&s, NULL);
	source_close(&s);
	return status;
}

static bool
ls_one(const struct image_record *r, void *ctx)
{
	const char *prefix = ctx;
	size_t len = strlen(prefix);

	if (r->key_len >= len && memcmp(r->key, prefix, len) == 0) {
		(void)fwrite(r->key, 1, r->key_len, stdout);
		(void)putchar('\n');
	}
	return true;
}

int
cmd_ls(int argc, char **argv)
{
	char none[] = "";

	if (argc < 1 || argc > 2)
		return TOOL_USAGE;
	return each(argv[0], ls_one, argc == 2 ? argv[1] : none);
}

struct wanted {
	const char *key;
	uint8_t *value;
	size_t len;
	bool found;
};

static bool
cat_one(const struct image_record *r, void *ctx)
{
	struct wanted *w = ctx;

	if (r->key_len != strlen(w->key) ||
	    memcmp(r->key, w->key, r->key_len) != 0)
		return true;
	w->value = malloc(r->value_len + 1);
	if (w->value != NULL)
		memcpy(w->value, r->value, r->value_len);
	w->len = r->value_len;
	w->found = w->value != NULL;
	return true;
}

/* Written only once the whole was found valid. */
int
cmd_cat(int argc, char **argv)
{
	struct wanted w = {0};
	int status;

	if (argc != 2)
		return TOOL_USAGE;
	w.key = argv[1];
	status = each(argv[0], cat_one, &w);
	if (status == TOOL_OK && w.found)
		(void)fwrite(w.value, 1, w.len, stdout);
	else if (status == TOOL_OK)
		status = TOOL_NO;
	free(w.value);
	return status;
}

static json_t *
record_json(const struct image_record *r)
{
	json_t *o = json_object();

	put_bytes(o, "key", r->key, r->key_len);
	put_bytes(o, "value", r->value, r->value_len);
	(void)json_object_set_new(
	    o, "create_rev", json_integer((json_int_t)r->create_rev));
	(void)json_object_set_new(
	    o, "mod_rev", json_integer((json_int_t)r->mod_rev));
	(void)json_object_set_new(
	    o, "version", json_integer((json_int_t)r->version));
	return o;
}

static bool
export_one(const struct image_record *r, void *ctx)
{
	(void)ctx;
	print(record_json(r));
	return true;
}

int
cmd_export(int argc, char **argv)
{
	return argc != 1 ? TOOL_USAGE : each(argv[0], export_one, NULL);
}

/* ---- diff -------------------------------------------------------------- */

static int
compare(const struct source *a, const struct source *b)
{
	size_t n =
	    a->rec.key_len < b->rec.key_len ? a->rec.key_len : b->rec.key_len;
	int c;

	if (a->state != 1 || b->state != 1)
		return b->state != 1 ? -1 : 1;
	c = memcmp(a->rec.key, b->rec.key, n);
	if (c != 0)
		return c;
	return a->rec.key_len < b->rec.key_len
		   ? -1
		   : a->rec.key_len > b->rec.key_len;
}

static bool
same(const struct image_record *a, const struct image_record *b)
{
	return a->value_len == b->value_len && a->mod_rev == b->mod_rev &&
	       a->create_rev == b->create_rev && a->version == b->version &&
	       memcmp(a->value, b->value, a->value_len) == 0;
}

static void
tell(const char *change, const struct image_record *r)
{
	json_t *o = json_pack("{s:s}", "change", change);

	put_bytes(o, "key", r->key, r->key_len);
	print(o);
}

int
cmd_diff(int argc, char **argv)
{
	struct source *s;
	bool differ = false;
	int status;

	if (argc != 2)
		return TOOL_USAGE;
	s = calloc(2, sizeof(*s));
	if (s == NULL)
		return TOOL_OS;
	status = source_open(&s[0], argv[0], true);
	if (status == TOOL_OK)
		status = source_open(&s[1], argv[1], true);
	if (status == TOOL_OK) {
		(void)source_next(&s[0]);
		(void)source_next(&s[1]);
	}
	while (status == TOOL_OK && s[0].state >= 0 && s[1].state >= 0 &&
	       (s[0].state == 1 || s[1].state == 1)) {
		int c = compare(&s[0], &s[1]);
		bool equal = c == 0 && same(&s[0].rec, &s[1].rec);

		differ |= !equal;
		if (!equal)
			tell(c < 0   ? "removed"
			     : c > 0 ? "added"
				     : "changed",
			    c > 0 ? &s[1].rec : &s[0].rec);
		if (c <= 0)
			(void)source_next(&s[0]);
		if (c >= 0)
			(void)source_next(&s[1]);
	}
	if (status == TOOL_OK)
		status = source_finish(&s[0], NULL);
	if (status == TOOL_OK)
		status = source_finish(&s[1], NULL);
	source_close(&s[0]);
	source_close(&s[1]);
	free(s);
	return status == TOOL_OK && differ ? TOOL_NO : status;
}
