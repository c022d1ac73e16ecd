/*
 * output.c - bytes, tables, JSON lines, fields.
 */
#include "raftctl/output.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_MAX_LEN 64 /* of a key of ours; its twin's suffix included */
#define CELL_MAX 256	/* bytes of one cell of a table */
#define DUMP_FLAGS (JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6))

static int write_errno; /* the first failure of stdout */

/* ---- names ------------------------------------------------------------ */

static int
by_name(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -EINVAL;
}

int
output_format_by_name(const char *name, enum output_format *format)
{
	static const char *const names[] = {"text", "json", "raw", "fields"};
	int i = by_name(names, 4, name);

	if (i < 0)
		return i;
	*format = (enum output_format)(OUTPUT_TEXT + i);
	return 0;
}

int
output_encoding_by_name(const char *name, enum output_encoding *encoding)
{
	static const char *const names[] = {"auto", "base64", "hex"};
	int i = by_name(names, 3, name);

	if (i < 0)
		return i;
	*encoding = (enum output_encoding)i;
	return 0;
}

/* ---- bytes to JSON ---------------------------------------------------- */

static json_t *
hex_of(struct mp_span s)
{
	static const char digit[] = "0123456789abcdef";
	char *text;
	json_t *j;

	text = malloc(s.len * 2 + 1);
	if (text == NULL)
		return NULL;
	for (size_t i = 0; i < s.len; i++) {
		text[2 * i] = digit[s.p[i] >> 4];
		text[2 * i + 1] = digit[s.p[i] & 15];
	}
	j = json_stringn(text, s.len * 2);
	free(text);
	return j;
}

static json_t *
base64_of(struct mp_span s)
{
	static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len = (s.len + 2) / 3 * 4, at = 0;
	char *text;
	json_t *j;

	text = malloc(len + 1);
	if (text == NULL)
		return NULL;
	for (size_t i = 0; i < s.len; i += 3) {
		size_t left = s.len - i;
		uint32_t v = (uint32_t)s.p[i] << 16;

		if (left > 1)
			v |= (uint32_t)s.p[i + 1] << 8;
		if (left > 2)
			v |= s.p[i + 2];
		text[at++] = digit[v >> 18];
		text[at++] = digit[v >> 12 & 63];
		text[at++] = left > 1 ? digit[v >> 6 & 63] : '=';
		text[at++] = left > 2 ? digit[v & 63] : '=';
	}
	j = json_stringn(text, len);
	free(text);
	return j;
}

int
output_set_bytes(json_t *object, const char *name, struct mp_span s,
    enum output_encoding encoding)
{
	char twin[NAME_MAX_LEN];
	json_t *j = NULL;
	const char *suffix = "";

	/* jansson refuses what is not UTF-8 */
	if (encoding == OUTPUT_AUTO)
		j = json_stringn(s.len == 0 ? "" : (const char *)s.p, s.len);
	if (j == NULL) {
		suffix = encoding == OUTPUT_HEX ? "_hex" : "_b64";
		j = encoding == OUTPUT_HEX ? hex_of(s) : base64_of(s);
	}
	if (j == NULL)
		return -ENOMEM;
	(void)snprintf(twin, sizeof(twin), "%s%s", name, suffix);
	return json_object_set_new(object, twin, j) == 0 ? 0 : -ENOMEM;
}

static json_t *from_wire(struct mp_cur *, enum output_encoding);

/* Text, and bytes that stand where no name can tell their form. */
static json_t *
string_of(struct mp_span s)
{
	json_t *j = json_stringn(s.len == 0 ? "" : (const char *)s.p, s.len);

	return j != NULL ? j : base64_of(s);
}

static json_t *
array_of(struct mp_cur *c, enum output_encoding encoding)
{
	json_t *a = json_array();
	uint32_t count;

	if (mp_read_array(c, &count) < 0)
		goto fail;
	for (uint32_t i = 0; i < count; i++)
		if (json_array_append_new(a, from_wire(c, encoding)) < 0)
			goto fail;
	return a;
fail:
	json_decref(a);
	return NULL;
}

static int
pair_of(struct mp_cur *c, json_t *object, enum output_encoding encoding)
{
	char name[NAME_MAX_LEN - 4]; /* "_b64" */
	struct mp_span key, bytes;

	if (mp_read_bytes(c, &key) < 0 || key.len >= sizeof(name))
		return -EPROTO;
	memcpy(name, key.p, key.len);
	name[key.len] = '\0';
	if (mp_peek(c) == MP_BIN) {
		if (mp_read_bytes(c, &bytes) < 0)
			return -EPROTO;
		return output_set_bytes(object, name, bytes, encoding);
	}
	return json_object_set_new(object, name, from_wire(c, encoding));
}

static json_t *
object_of(struct mp_cur *c, enum output_encoding encoding)
{
	json_t *o = json_object();
	uint32_t count;

	if (mp_read_map(c, &count) < 0)
		goto fail;
	for (uint32_t i = 0; i < count; i++)
		if (pair_of(c, o, encoding) < 0)
			goto fail;
	return o;
fail:
	json_decref(o);
	return NULL;
}

/* Nesting is bounded by mp_scan(), through which every answer went. */
static json_t *
from_wire(struct mp_cur *c, enum output_encoding encoding)
{
	struct mp_span s;
	uint64_t u;
	int64_t i;
	double d;
	bool b;

	switch (mp_peek(c)) {
	case MP_NIL:
		return mp_read_nil(c) < 0 ? NULL : json_null();
	case MP_BOOL:
		return mp_read_bool(c, &b) < 0 ? NULL : json_boolean(b);
	case MP_UINT:
		if (mp_read_u64(c, &u) < 0)
			return NULL;
		return u <= INT64_MAX
			   ? json_integer((json_int_t)u)
			   : json_sprintf("%llu", (unsigned long long)u);
	case MP_INT:
		return mp_read_i64(c, &i) < 0 ? NULL : json_integer(i);
	case MP_FLOAT:
		return mp_read_double(c, &d) < 0 ? NULL : json_real(d);
	case MP_STR:
	case MP_BIN:
		return mp_read_bytes(c, &s) < 0 ? NULL : string_of(s);
	case MP_ARRAY:
		return array_of(c, encoding);
	case MP_MAP:
		return object_of(c, encoding);
	case MP_INVALID:
		break;
	}
	return NULL;
}

json_t *
output_json(struct mp_span raw, enum output_encoding encoding)
{
	struct mp_cur c = mp_cur_span(raw);

	return from_wire(&c, encoding);
}

json_t *
output_text_json(const char *text)
{
	json_t *j = json_string(text);
	char *clean;

	if (j != NULL || (clean = strdup(text)) == NULL)
		return j;
	for (char *p = clean; *p != '\0'; p++)
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	j = json_string(clean);
	free(clean);
	return j;
}

json_t *
output_error(const struct wire_error *e)
{
	const struct wire_status_info *info = wire_status_info(e->status);

	return json_pack("{s:s, s:i, s:b, s:o, s:o}", "code", info->name,
	    "exit", info->exit, "retry", info->retry, "message",
	    output_text_json(e->message), "cause",
	    e->cause[0] == '\0' ? json_null() : output_text_json(e->cause));
}

/* ---- stdout ----------------------------------------------------------- */

static void
note_failure(void)
{
	if (write_errno == 0)
		write_errno = errno == 0 ? EIO : errno;
}

void
output_bytes(const void *p, size_t len)
{
	if (len > 0 && output_ok() && fwrite(p, 1, len, stdout) != len)
		note_failure();
}

static void
output_text(const char *s)
{
	output_bytes(s, strlen(s));
}

bool
output_ok(void)
{
	return write_errno == 0;
}

int
output_close(void)
{
	if (fflush(stdout) != 0)
		note_failure();
	if (write_errno == 0 || write_errno == EPIPE)
		return 0;
	fprintf(stderr, "raftctl: cannot write: %s\n", strerror(write_errno));
	return 74;
}

static int
dump_cb(const char *p, size_t len, void *ctx)
{
	(void)ctx;
	output_bytes(p, len);
	return output_ok() ? 0 : -1;
}

static void
dump_line(const json_t *j)
{
	(void)json_dump_callback(j, dump_cb, NULL, DUMP_FLAGS);
	output_text("\n");
}

/* ---- fields ----------------------------------------------------------- */

/* A string as it is, but for what would break the line. */
static void
print_escaped(const char *s, size_t len)
{
	char buf[8];

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '\\')
			output_text("\\\\");
		else if (c == '\n')
			output_text("\\n");
		else if (c < 0x20 || c == 0x7f) {
			(void)snprintf(buf, sizeof(buf), "\\x%02x", c);
			output_text(buf);
		} else
			output_bytes(&s[i], 1);
	}
}

static void
print_fields(json_t *record)
{
	const char *name;
	json_t *v;

	json_object_foreach(record, name, v)
	{
		output_text(name);
		output_text("=");
		if (json_is_string(v))
			print_escaped(
			    json_string_value(v), json_string_length(v));
		else if (!json_is_null(v))
			(void)json_dump_callback(v, dump_cb, NULL, DUMP_FLAGS);
		output_text("\n");
	}
}

/* ---- tables ----------------------------------------------------------- */

static json_t *
cell_at(json_t *row, const char *path)
{
	char name[NAME_MAX_LEN];
	const char *dot;
	size_t len;

	for (;;) {
		dot = strchrnul(path, '.');
		len = (size_t)(dot - path);
		assert(len < sizeof(name));
		memcpy(name, path, len);
		name[len] = '\0';
		row = json_object_get(row, name);
		if (row == NULL || *dot == '\0')
			return row;
		path = dot + 1;
	}
}

/* Text of a cell, cut to what a table can show. */
static void
cell_text(json_t *v, char *buf)
{
	char *dump;
	size_t used = 0;

	if (v == NULL || json_is_null(v) ||
	    (json_is_array(v) && json_array_size(v) == 0))
		(void)snprintf(buf, CELL_MAX, "-");
	else if (json_is_boolean(v))
		(void)snprintf(
		    buf, CELL_MAX, "%s", json_is_true(v) ? "yes" : "no");
	else if (json_is_string(v))
		(void)snprintf(buf, CELL_MAX, "%s", json_string_value(v));
	else if (json_is_array(v) && json_array_size(v) > 0 &&
		 json_is_string(json_array_get(v, 0))) {
		for (size_t i = 0; i < json_array_size(v); i++)
			if (used < CELL_MAX)
				used += (size_t)snprintf(buf + used,
				    CELL_MAX - used, "%s%s", i > 0 ? "," : "",
				    json_string_value(json_array_get(v, i)));
	} else {
		dump = json_dumps(v, DUMP_FLAGS);
		(void)snprintf(buf, CELL_MAX, "%s", dump == NULL ? "?" : dump);
		free(dump);
	}
	for (char *p = buf; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	if (buf[0] == '\0')
		(void)snprintf(buf, CELL_MAX, "-");
}

/* Columns of a terminal, as far as counting characters goes. */
static size_t
width_of(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

/* The width of a column, 0 if no row has it. */
static size_t
column_width(json_t *rows, const struct output_column *col)
{
	char buf[CELL_MAX];
	size_t width = 0, w, i;
	json_t *row, *v;

	json_array_foreach(rows, i, row)
	{
		v = cell_at(row, col->path);
		cell_text(v, buf);
		w = width_of(buf);
		if (v != NULL && w > width)
			width = w;
	}
	w = strlen(col->title);
	return width > 0 && w > width ? w : width;
}

static void
print_cell(const char *text, size_t width, bool first, bool last)
{
	if (!first)
		output_text("  ");
	output_text(text);
	for (size_t w = width_of(text); !last && w < width; w++)
		output_text(" ");
}

/* One line of a table; row NULL: the titles. */
static void
print_row(const struct output_table *t, json_t *row, const size_t *widths,
    size_t count)
{
	char buf[CELL_MAX];
	size_t last = 0;
	bool first = true;

	for (size_t i = 0; i < count; i++)
		if (widths[i] > 0)
			last = i;
	for (size_t i = 0; i < count; i++) {
		if (widths[i] == 0)
			continue;
		if (row == NULL)
			(void)snprintf(
			    buf, sizeof(buf), "%s", t->columns[i].title);
		else
			cell_text(cell_at(row, t->columns[i].path), buf);
		if (t->format == OUTPUT_RAW) {
			if (!first)
				output_text("\t");
			output_text(buf);
		} else
			print_cell(buf, widths[i], first, i == last);
		first = false;
	}
	output_text("\n");
}

#define COLUMNS_MAX 24

static void
print_table(const struct output_table *t)
{
	size_t widths[COLUMNS_MAX] = {0}, count = 0, i;
	json_t *row;

	for (; t->columns[count].title != NULL; count++) {
		assert(count < COLUMNS_MAX);
		widths[count] = column_width(t->rows, &t->columns[count]);
		/* raw is for scripts: there every column stays */
		if (t->format == OUTPUT_RAW && widths[count] == 0)
			widths[count] = 1;
	}
	if (t->format != OUTPUT_RAW && json_array_size(t->rows) > 0)
		print_row(t, NULL, widths, count);
	json_array_foreach(t->rows, i, row) print_row(t, row, widths, count);
}

void
output_begin(struct output_table *t, enum output_format format,
    const struct output_column *columns)
{
	if (format == OUTPUT_DEFAULT)
		format = isatty(STDOUT_FILENO) ? OUTPUT_TEXT : OUTPUT_JSON;
	*t = (struct output_table){format, columns, json_array(), false};
}

void
output_record(struct output_table *t, json_t *record)
{
	if (t->format == OUTPUT_JSON)
		dump_line(record);
	else if (t->format == OUTPUT_FIELDS) {
		if (t->any)
			output_text("\n");
		print_fields(record);
	} else
		(void)json_array_append(t->rows, record);
	t->any = true;
	json_decref(record);
}

void
output_end(struct output_table *t)
{
	if (t->format == OUTPUT_TEXT || t->format == OUTPUT_RAW)
		print_table(t);
	json_decref(t->rows);
}

void
output_drop(struct output_table *t)
{
	json_decref(t->rows);
}
