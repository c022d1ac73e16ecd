/*
 * show.c - records for people and for scripts.
 */
#include "raftwal/show.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raftctl/mp.h"

#include "raftwal/bytes.h"

#define JSON_INT_MAX (UINT64_C(1) << 53) /* what jq keeps exact */
#define WORD_LEN_MAX 40			 /* of a key or value in a line */

const char *
show_kind(enum record_kind kind)
{
	switch (kind) {
	case RECORD_NOOP:
		return "noop";
	case RECORD_COMMAND:
		return "entry";
	case RECORD_CONFIG:
		return "config";
	case RECORD_STATE:
		return "state";
	case RECORD_PEER:
		return "peer";
	case RECORD_DAMAGE:
		return "damage";
	case RECORD_COMMIT:
		return "commit";
	case RECORD_START:
		return "start";
	case RECORD_RESET:
		return "reset";
	case RECORD_INVALID:
		break;
	}
	return "unknown";
}

/* ---- JSON -------------------------------------------------------------- */

static json_t *
base64(const uint8_t *p, size_t len)
{
	static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t size = (len + 2) / 3 * 4, at = 0;
	char *out = malloc(size + 1);
	json_t *s;

	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < len; i += 3) {
		uint32_t w = (uint32_t)p[i] << 16;

		if (i + 1 < len)
			w |= (uint32_t)p[i + 1] << 8;
		if (i + 2 < len)
			w |= p[i + 2];
		out[at++] = digit[w >> 18];
		out[at++] = digit[w >> 12 & 63];
		out[at++] = i + 1 < len ? digit[w >> 6 & 63] : '=';
		out[at++] = i + 2 < len ? digit[w & 63] : '=';
	}
	s = json_stringn(out, at);
	free(out);
	return s;
}

static json_t *
hex(const uint8_t *p, size_t len)
{
	static const char digit[] = "0123456789abcdef";
	char *out = malloc(len * 2 + 1);
	json_t *s;

	if (out == NULL)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digit[p[i] >> 4];
		out[2 * i + 1] = digit[p[i] & 15];
	}
	s = json_stringn(out, len * 2);
	free(out);
	return s;
}

/* The suffix of the key that goes with the form. */
static json_t *
encode(
    const uint8_t *p, size_t len, enum show_encoding how, const char **suffix)
{
	json_t *s;

	*suffix = "";
	if (how == SHOW_AUTO) {
		/* NULL if it is not UTF-8. */
		s = json_stringn(p == NULL ? "" : (const char *)p, len);
		if (s != NULL)
			return s;
	}
	*suffix = how == SHOW_HEX ? "_hex" : "_b64";
	return how == SHOW_HEX ? hex(p, len) : base64(p, len);
}

int
show_bytes(json_t *object, const char *key, const uint8_t *p, size_t len,
    enum show_encoding how)
{
	const char *suffix;
	char name[64];
	json_t *s = encode(p, len, how, &suffix);

	(void)snprintf(name, sizeof(name), "%s%s", key, suffix);
	return json_object_set_new(object, name, s);
}

static json_t *
number(uint64_t n)
{
	char text[24];

	if (n <= JSON_INT_MAX)
		return json_integer((json_int_t)n);
	(void)snprintf(text, sizeof(text), "%" PRIu64, n);
	return json_string(text);
}

static json_t *value_json(struct mp_cur *, enum show_encoding);

/* Bytes where no key can carry the form: {"b64": ...} if need be. */
static json_t *
bytes_json(struct mp_span b, enum show_encoding how)
{
	const char *suffix;
	json_t *s = encode(b.p, b.len, how, &suffix);

	return *suffix == '\0' ? s : json_pack("{s:o}", suffix + 1, s);
}

static json_t *
array_json(struct mp_cur *c, enum show_encoding how)
{
	json_t *a = json_array();
	uint32_t n;

	if (mp_read_array(c, &n) < 0)
		n = 0;
	for (uint32_t i = 0; i < n && a != NULL; i++)
		if (json_array_append_new(a, value_json(c, how)) < 0) {
			json_decref(a);
			return NULL;
		}
	return a;
}

static json_t *
map_json(struct mp_cur *c, enum show_encoding how)
{
	json_t *o = json_object();
	uint32_t n;

	if (mp_read_map(c, &n) < 0)
		n = 0;
	for (uint32_t i = 0; i < n && o != NULL; i++) {
		struct mp_span k = {0};
		char key[128] = "";

		if (mp_read_bytes(c, &k) < 0)
			(void)mp_skip(c);
		/* Keys of ours are short words; others are cut. */
		for (size_t x = 0; x < k.len && x < sizeof(key) - 1; x++)
			key[x] =
			    k.p[x] >= ' ' && k.p[x] < 127 ? (char)k.p[x] : '?';
		if (json_object_set_new(o, key, value_json(c, how)) < 0) {
			json_decref(o);
			return NULL;
		}
	}
	return o;
}

/* Any value; the bytes were scanned, so that nesting is bounded. */
static json_t *
value_json(struct mp_cur *c, enum show_encoding how)
{
	struct mp_span b;
	uint64_t u;
	int64_t i;
	double d;
	bool truth;

	switch (mp_peek(c)) {
	case MP_BOOL:
		return mp_read_bool(c, &truth) < 0 ? NULL : json_boolean(truth);
	case MP_UINT:
		return mp_read_u64(c, &u) < 0 ? NULL : number(u);
	case MP_INT:
		return mp_read_i64(c, &i) < 0 ? NULL : json_integer(i);
	case MP_FLOAT:
		if (mp_read_double(c, &d) < 0)
			return NULL;
		return d - d == 0 ? json_real(d) : json_null();
	case MP_STR:
	case MP_BIN:
		return mp_read_bytes(c, &b) < 0 ? NULL : bytes_json(b, how);
	case MP_ARRAY:
		return array_json(c, how);
	case MP_MAP:
		return map_json(c, how);
	default:
		(void)mp_skip(c);
		return json_null();
	}
}

json_t *
show_value(struct mp_cur *c, enum show_encoding how)
{
	return value_json(c, how);
}

/* ---- operations -------------------------------------------------------- */

struct command {
	struct mp_span method;
	struct mp_span params; /* one scanned value */
};

static int
command_read(const struct record *r, struct command *out)
{
	struct mp_cur c = mp_cur(r->payload, r->len);
	struct command cmd;

	if (mp_read_bytes(&c, &cmd.method) < 0 ||
	    mp_read_raw(&c, &cmd.params) < 0 ||
	    mp_scan(cmd.params.p, cmd.params.len) < 0)
		return -EPROTO;
	*out = cmd;
	return 0;
}

/* Operations on a key say so in words of their own. */
static json_t *
command_json(const struct command *cmd, enum show_encoding how)
{
	struct mp_cur c = mp_cur_span(cmd->params);
	json_t *op = json_object();
	struct mp_span b;
	uint32_t n = 0;
	bool put = mp_span_eq(cmd->method, "put");

	show_bytes(op, "method", cmd->method.p, cmd->method.len, SHOW_AUTO);
	if ((!put && !mp_span_eq(cmd->method, "delete")) ||
	    mp_read_array(&c, &n) < 0 || n < (put ? 2 : 1) ||
	    mp_read_bytes(&c, &b) < 0) {
		c = mp_cur_span(cmd->params);
		json_object_set_new(op, "params", value_json(&c, how));
		return op;
	}
	show_bytes(op, "key", b.p, b.len, how);
	n--;
	if (put) {
		if (mp_read_bytes(&c, &b) == 0)
			show_bytes(op, "value", b.p, b.len, how);
		else
			json_object_set_new(op, "value", value_json(&c, how));
		n--;
	}
	if (n > 0)
		json_object_set_new(op, "options", value_json(&c, how));
	return op;
}

static json_t *
peer_json(const struct record *r)
{
	json_t *op = json_pack("{s:o,s:o,s:o}", "id",
	    number(get_le64(r->payload)), "boot",
	    number(get_le64(r->payload + 8)), "uuid", hex(r->payload + 16, 16));

	if (r->len < 56)
		return op;
	(void)json_object_set_new(
	    op, "nonce", number(get_le64(r->payload + 32)));
	(void)json_object_set_new(
	    op, "acked_term", number(get_le64(r->payload + 40)));
	(void)json_object_set_new(
	    op, "acked", number(get_le64(r->payload + 48)));
	return op;
}

static json_t *
config_json(const struct record *r, enum show_encoding how)
{
	struct mp_cur c = mp_cur(r->payload, r->len);

	if (mp_scan(r->payload, r->len) < 0)
		return NULL;
	return json_pack("{s:o}", "config", value_json(&c, how));
}

json_t *
show_op(const struct record *r, enum show_encoding how)
{
	struct command cmd;
	json_t *op = NULL;
	uint64_t n;

	if (r->payload == NULL)
		return json_null();
	n = r->len == 8 ? get_le64(r->payload) : 0;
	switch (r->kind) {
	case RECORD_NOOP:
		op = json_object();
		break;
	case RECORD_COMMAND:
		if (command_read(r, &cmd) == 0)
			op = command_json(&cmd, how);
		break;
	case RECORD_CONFIG:
		op = config_json(r, how);
		break;
	case RECORD_STATE:
		if (r->len == 8)
			op = json_pack(
			    "{s:o}", "vote", n == 0 ? json_null() : number(n));
		break;
	case RECORD_COMMIT:
		if (r->len == 8)
			op = json_pack("{s:o}", "commit", number(n));
		break;
	case RECORD_START:
	case RECORD_RESET:
		if (r->len >= 8)
			op = json_pack(
			    "{s:o}", "prev", number(get_le64(r->payload)));
		break;
	case RECORD_DAMAGE:
		if (r->len == 8)
			op = json_pack("{s:o}", "last_known",
			    n == UINT64_MAX ? json_null() : number(n));
		break;
	case RECORD_PEER:
		if (r->len == 32 || r->len == 56)
			op = peer_json(r);
		break;
	case RECORD_INVALID:
		break;
	}
	if (op == NULL) {
		op = json_object();
		show_bytes(op, "payload", r->payload, r->len,
		    how == SHOW_AUTO ? SHOW_BASE64 : how);
	}
	return op;
}

json_t *
show_record(
    const struct wal_place *p, const struct record *r, enum show_encoding how)
{
	return json_pack("{s:s,s:o,s:o,s:o,s:s,s:o,s:o,s:o,s:s,s:b,s:o}",
	    "file", p->file, "offset", number(p->offset), "len", number(p->len),
	    "group", number(r->group), "kind", show_kind(r->kind), "index",
	    number(r->index), "term", number(r->term), "stamp",
	    number(r->stamp), "checksum", p->checksum_ok ? "ok" : "bad",
	    "hidden", p->hidden, "op", show_op(r, how));
}

/* ---- one line ---------------------------------------------------------- */

struct line {
	char *buf;
	size_t size, len;
};

static void
line_add(struct line *l, const char *text, size_t len)
{
	for (size_t i = 0; i < len && l->len + 1 < l->size; i++)
		l->buf[l->len++] =
		    text[i] >= ' ' && text[i] < 127 ? text[i] : '.';
	l->buf[l->len] = '\0';
}

static void
line_word(struct line *l, struct mp_span b)
{
	char head[WORD_LEN_MAX];
	size_t n = b.len < sizeof(head) ? b.len : sizeof(head);

	memcpy(head, b.len == 0 ? (const void *)"" : b.p, n);
	line_add(l, " ", 1);
	line_add(l, b.len == 0 ? "''" : head, b.len == 0 ? 2 : n);
	if (b.len > n) {
		char more[32];
		int k = snprintf(more, sizeof(more), "...(%zu)", b.len);

		line_add(l, more, (size_t)k);
	}
}

void
show_op_line(const struct record *r, char *buf, size_t size)
{
	struct line l = {buf, size, 0};
	struct command cmd;
	char text[64];
	struct mp_cur c;
	struct mp_span b;
	uint32_t n;
	int k = 0;

	buf[0] = '\0';
	if (r->payload == NULL || size < 2)
		return;
	if (r->kind == RECORD_COMMAND && command_read(r, &cmd) == 0) {
		line_add(&l, (const char *)cmd.method.p, cmd.method.len);
		c = mp_cur_span(cmd.params);
		if (mp_read_array(&c, &n) < 0)
			return;
		for (uint32_t i = 0; i < n && mp_read_bytes(&c, &b) == 0; i++)
			line_word(&l, b);
		return;
	}
	if ((r->len == 8 && r->kind != RECORD_COMMAND) ||
	    (r->len > 8 && record_has_number(r->kind)))
		k = snprintf(text, sizeof(text), "%s %" PRIu64,
		    r->kind == RECORD_STATE ? "vote" : "index",
		    get_le64(r->payload));
	else
		k = snprintf(text, sizeof(text), "%" PRIu32 " bytes", r->len);
	line_add(&l, text, (size_t)k);
}
