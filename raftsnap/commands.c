/*
 * commands.c - raftsnap: verify, info, ls, cat, export, diff.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "raftsnap/tool.h"

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
		json_put_bytes(o, "address", address.p, address.len);
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
	status = snaptool_open(name, &s->in);
	if (status != TOOL_OK)
		return status;
	progress_begin(snaptool.command, s->in.total);
	error = snap_reader_new(snaptool_get, &s->in, &s->reader, &s->et);
	if (error == 0 && image) {
		error = image_open(&s->image, s->reader);
		if (error < 0)
			(void)errtext(&s->et, error,
			    "its state is none of a key-value store");
	}
	return error < 0 ? snaptool_input_fail(&s->in, error, s->et.text)
			 : TOOL_OK;
}

static void
source_close(struct source *s)
{
	progress_end();
	image_close(&s->image);
	snap_reader_free(s->reader);
	snaptool_close(&s->in);
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

	return error < 0 ? snaptool_input_fail(&s->in, error, s->et.text)
			 : TOOL_OK;
}

/* Takes the first operand, unless an option stands for it: then NULL.  What
 * is left must be min..max; false: it is not. */
static bool
operands(int *argc, char ***argv, int min, int max, const char **file)
{
	*file = NULL;
	if (!snaptool_has_source()) {
		if (*argc < 1)
			return false;
		*file = (*argv)[0];
		(*argc)--;
		(*argv)++;
	}
	return *argc >= min && *argc <= max;
}

/* ---- commands ---------------------------------------------------------- */

int
snapcmd_verify(int argc, char **argv)
{
	struct source s;
	const char *file;
	int status;

	if (!operands(&argc, &argv, 0, 0, &file))
		return TOOL_USAGE;
	status = source_open(&s, file, false);
	if (status == TOOL_OK)
		status = source_finish(&s, NULL);
	source_close(&s);
	return status;
}

/* For a terminal: a line for each. */
static void
print_lines(json_t *o)
{
	const char *name;
	json_t *value;

	json_object_foreach(o, name, value)
	{
		char *text =
		    json_is_string(value)
			? NULL
			: json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

		printf("%-17s%s\n", name,
		    json_is_string(value) ? json_string_value(value)
		    : text != NULL	  ? text
					  : "");
		free(text);
	}
	json_decref(o);
}

int
snapcmd_info(int argc, char **argv)
{
	const struct snap_meta *m;
	struct snap_sum sum;
	struct source s;
	const char *file;
	json_t *o;
	int status;

	if (!operands(&argc, &argv, 0, 0, &file))
		return TOOL_USAGE;
	status = source_open(&s, file, true);
	while (status == TOOL_OK && source_next(&s) == 1)
		;
	if (status == TOOL_OK)
		status = source_finish(&s, &sum);
	if (status == TOOL_OK) {
		m = snap_reader_meta(s.reader);
		o = json_pack(
		    "{s:s,s:I,s:I,s:I,s:o,s:o,s:I,s:I,s:I,s:I,s:I,s:o,s:I,s:i,"
		    "s:o,s:b}",
		    "file", s.in.name, "group", (json_int_t)m->group, "index",
		    (json_int_t)m->index, "term", (json_int_t)m->term,
		    "cluster", json_hex(m->cluster, SNAP_ID_LEN), "members",
		    members_json(m), "keys", (json_int_t)s.image.keys, "rev",
		    (json_int_t)m->rev, "stamp", (json_int_t)m->stamp, "bytes",
		    (json_int_t)sum.plain_len, "compressed_bytes",
		    (json_int_t)sum.file_len, "digest",
		    json_hex(m->digest, sizeof(m->digest)), "created",
		    (json_int_t)m->created_ms, "format", SNAP_FORMAT, "id",
		    json_hex(sum.id, SNAP_ID_LEN), "ok", 1);
		for (int i = 0; i < IMAGE_TABLES; i++)
			(void)json_object_set_new(o, image_table_name[i],
			    json_integer((json_int_t)s.image.table[i].items));
		if (isatty(STDOUT_FILENO) == 1 && !snaptool.json)
			print_lines(o);
		else
			json_print(o);
	}
	source_close(&s);
	return status;
}

/* Calls what for each record. */
static int
each(const char *name, void (*what)(const struct image_record *, void *),
    void *ctx)
{
	struct source s;
	int status = source_open(&s, name, true);

	while (status == TOOL_OK && source_next(&s) == 1)
		what(&s.rec, ctx);
	if (status == TOOL_OK)
		status = source_finish(&s, NULL);
	source_close(&s);
	return status;
}

static void
ls_one(const struct image_record *r, void *ctx)
{
	const char *prefix = ctx;
	size_t len = strlen(prefix);

	if (r->key_len < len || memcmp(r->key, prefix, len) != 0)
		return;
	if (snaptool.json) {
		json_print(json_record(r));
		return;
	}
	(void)fwrite(r->key, 1, r->key_len, stdout);
	(void)putchar(snaptool.zero ? '\0' : '\n');
}

int
snapcmd_ls(int argc, char **argv)
{
	char none[] = "";
	const char *file;

	if (!operands(&argc, &argv, 0, 1, &file))
		return TOOL_USAGE;
	return each(file, ls_one, argc == 1 ? argv[0] : none);
}

struct wanted {
	const char *key;
	uint8_t *value;
	size_t len;
	bool found;
};

static void
cat_one(const struct image_record *r, void *ctx)
{
	struct wanted *w = ctx;

	if (r->key_len != strlen(w->key) ||
	    memcmp(r->key, w->key, r->key_len) != 0)
		return;
	w->found = true;
	w->value = malloc(r->value_len + 1);
	if (w->value != NULL)
		memcpy(w->value, r->value, r->value_len);
	w->len = r->value_len;
}

/* Written only once the whole was found valid. */
int
snapcmd_cat(int argc, char **argv)
{
	struct wanted w = {0};
	const char *file;
	int status;

	if (!operands(&argc, &argv, 1, 1, &file))
		return TOOL_USAGE;
	w.key = argv[0];
	status = each(file, cat_one, &w);
	if (status == TOOL_OK && w.found && w.value == NULL)
		status = snaptool_fail(-ENOMEM, w.key, NULL);
	else if (status == TOOL_OK && !w.found)
		status = TOOL_NO;
	else if (status == TOOL_OK)
		(void)fwrite(w.value, 1, w.len, stdout);
	free(w.value);
	return status;
}

static void
export_one(const struct image_record *r, void *ctx)
{
	(void)ctx;
	json_print(json_record(r));
}

int
snapcmd_export(int argc, char **argv)
{
	const char *file;

	if (!operands(&argc, &argv, 0, 0, &file))
		return TOOL_USAGE;
	return each(file, export_one, NULL);
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

	json_put_bytes(o, "key", r->key, r->key_len);
	json_print(o);
}

/* The records of two that are open; true if any differs. */
static bool
differ_in_records(struct source *a, struct source *b)
{
	bool differ = false;

	(void)source_next(a);
	(void)source_next(b);
	while (a->state >= 0 && b->state >= 0 &&
	       (a->state == 1 || b->state == 1)) {
		int c = compare(a, b);
		bool equal = c == 0 && same(&a->rec, &b->rec);

		differ |= !equal;
		if (!equal)
			tell(c < 0   ? "removed"
			     : c > 0 ? "added"
				     : "changed",
			    c > 0 ? &b->rec : &a->rec);
		if (c <= 0)
			(void)source_next(a);
		if (c >= 0)
			(void)source_next(b);
	}
	return differ;
}

static bool
differ_in_tables(const struct image *a, const struct image *b)
{
	bool differ = false;

	for (int i = 0; i < IMAGE_TABLES; i++) {
		if (a->table[i].items == 0 && b->table[i].items == 0)
			continue;
		if (memcmp(a->table[i].hash, b->table[i].hash,
			sizeof(a->table[i].hash)) == 0)
			continue;
		json_print(json_pack("{s:s,s:s}", "change", "changed", "table",
		    image_table_name[i]));
		differ = true;
	}
	return differ;
}

int
snapcmd_diff(int argc, char **argv)
{
	struct source *s;
	const char *file;
	bool differ = false;
	int status;

	if (!operands(&argc, &argv, 1, 1, &file))
		return TOOL_USAGE;
	s = calloc(2, sizeof(*s));
	if (s == NULL)
		return TOOL_OS;
	s[1].in.fd = -1;
	status = source_open(&s[0], file, true);
	if (status == TOOL_OK)
		status = source_open(&s[1], argv[0], true);
	if (status == TOOL_OK)
		differ = differ_in_records(&s[0], &s[1]);
	if (status == TOOL_OK)
		status = source_finish(&s[0], NULL);
	if (status == TOOL_OK)
		status = source_finish(&s[1], NULL);
	if (status == TOOL_OK && !MUTANT(164))
		differ |= differ_in_tables(&s[0].image, &s[1].image);
	source_close(&s[0]);
	source_close(&s[1]);
	free(s);
	return status == TOOL_OK && differ ? TOOL_NO : status;
}
