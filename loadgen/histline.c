/*
 * histline.c - one line of a history file taken apart.
 */
#include "loadgen/histline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct cursor {
	const char *p, *end;
	uint8_t *out; /* the next free byte of the scratch area */
	struct errtext *et;
};

struct span {
	const char *data;
	size_t len;
};

static const struct {
	const char *name;
	enum histline_field field;
	bool is_b64;
} fields[] = {
    {"index", HISTLINE_INDEX, false},
    {"time", HISTLINE_TIME, false},
    {"process", HISTLINE_PROCESS, false},
    {"type", HISTLINE_TYPE, false},
    {"f", HISTLINE_F, false},
    {"key", HISTLINE_KEY, false},
    {"key_b64", HISTLINE_KEY, true},
    {"value", HISTLINE_VALUE, false},
    {"value_b64", HISTLINE_VALUE, true},
    {"swapped", HISTLINE_SWAPPED, false},
    {"rev", HISTLINE_REV, false},
    {"group", HISTLINE_GROUP, false},
};
#define FIELDS_N (sizeof(fields) / sizeof(fields[0]))

static const char *const type_names[] = {"invoke", "ok", "fail", "info"};

static int
bad(struct cursor *c, const char *what)
{
	return errtext(c->et, -EBADMSG, "%s", what);
}

static void
skip_space(struct cursor *c)
{
	while (
	    c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\r'))
		c->p++;
}

static bool
take(struct cursor *c, char ch)
{
	skip_space(c);
	if (c->p == c->end || *c->p != ch)
		return false;
	c->p++;
	return true;
}

static bool
take_word(struct cursor *c, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(c->end - c->p) < len || memcmp(c->p, word, len) != 0)
		return false;
	c->p += len;
	return true;
}

/* The length of the UTF-8 sequence at p, 0 when it is none. */
static size_t
utf8_len(const uint8_t *p, size_t left)
{
	static const uint32_t min[5] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t cp;
	size_t n, i;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] < 0xe0)
		n = 2;
	else if (p[0] >= 0xe0 && p[0] < 0xf0)
		n = 3;
	else if (p[0] >= 0xf0 && p[0] < 0xf5)
		n = 4;
	else
		return 0;
	if (left < n)
		return 0;
	cp = p[0] & (0x7fu >> n);
	for (i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (p[i] & 0x3fu);
	}
	if (cp < min[n] || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
		return 0;
	return n;
}

static uint8_t *
utf8_put(uint8_t *out, uint32_t cp)
{
	if (cp < 0x80) {
		*out++ = (uint8_t)cp;
	} else if (cp < 0x800) {
		*out++ = (uint8_t)(0xc0 | cp >> 6);
		*out++ = (uint8_t)(0x80 | (cp & 0x3f));
	} else if (cp < 0x10000) {
		*out++ = (uint8_t)(0xe0 | cp >> 12);
		*out++ = (uint8_t)(0x80 | (cp >> 6 & 0x3f));
		*out++ = (uint8_t)(0x80 | (cp & 0x3f));
	} else {
		*out++ = (uint8_t)(0xf0 | cp >> 18);
		*out++ = (uint8_t)(0x80 | (cp >> 12 & 0x3f));
		*out++ = (uint8_t)(0x80 | (cp >> 6 & 0x3f));
		*out++ = (uint8_t)(0x80 | (cp & 0x3f));
	}
	return out;
}

static int
take_hex4(struct cursor *c, uint32_t *cp)
{
	uint32_t v = 0;
	int i;
	char ch;

	if (c->end - c->p < 4)
		return bad(c, "bad \\u escape");
	for (i = 0; i < 4; i++) {
		ch = *c->p++;
		v <<= 4;
		if (ch >= '0' && ch <= '9')
			v |= (uint32_t)(ch - '0');
		else if (ch >= 'a' && ch <= 'f')
			v |= (uint32_t)(ch - 'a' + 10);
		else if (ch >= 'A' && ch <= 'F')
			v |= (uint32_t)(ch - 'A' + 10);
		else
			return bad(c, "bad \\u escape");
	}
	*cp = v;
	return 0;
}

static int
take_escape(struct cursor *c)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	uint32_t cp, low;
	const char *at;

	if (c->p == c->end)
		return bad(c, "string without end");
	if (*c->p != 'u') {
		at = memchr(from, *c->p, sizeof(from) - 1);
		if (at == NULL)
			return bad(c, "unknown escape in a string");
		*c->out++ = (uint8_t)to[at - from];
		c->p++;
		return 0;
	}
	c->p++;
	if (take_hex4(c, &cp) < 0)
		return -EBADMSG;
	if (cp >= 0xd800 && cp < 0xdc00) {
		if (!take_word(c, "\\u") || take_hex4(c, &low) < 0 ||
		    low < 0xdc00 || low > 0xdfff)
			return bad(c, "unpaired surrogate in a string");
		cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
	} else if (cp >= 0xdc00 && cp < 0xe000) {
		return bad(c, "unpaired surrogate in a string");
	}
	c->out = utf8_put(c->out, cp);
	return 0;
}

static inline bool
is_plain(char ch)
{
	return ch >= 0x20 && ch < 0x7f && ch != '"' && ch != '\\';
}

/* The string after its opening quote.  An escape never decodes to more bytes
 * than it has, so a scratch area as long as the line is enough. */
static int
take_string_rest(struct cursor *c, struct span *s)
{
	const char *start = c->p;
	uint8_t *out = NULL;
	size_t n;

	while (c->p < c->end && *c->p != '"') {
		if (out == NULL && is_plain(*c->p)) {
			c->p++;
			continue;
		}
		if (*c->p == '\\') {
			if (out == NULL) {
				out = c->out;
				n = (size_t)(c->p - start);
				memcpy(c->out, start, n);
				c->out += n;
			}
			c->p++;
			if (take_escape(c) < 0)
				return -EBADMSG;
			continue;
		}
		if ((uint8_t)*c->p < 0x20)
			return bad(c, "control character in a string");
		n = utf8_len((const uint8_t *)c->p, (size_t)(c->end - c->p));
		if (n == 0)
			return bad(c, "a string that is not UTF-8");
		if (out != NULL) {
			memcpy(c->out, c->p, n);
			c->out += n;
		}
		c->p += n;
	}
	if (c->p == c->end)
		return bad(c, "string without end");
	s->data = out != NULL ? (const char *)out : start;
	s->len = (size_t)(out != NULL ? c->out - out : c->p - start);
	c->p++;
	return 0;
}

static int
take_string(struct cursor *c, struct span *s)
{
	if (!take(c, '"'))
		return bad(c, "a string was expected");
	return take_string_rest(c, s);
}

static int
b64_digit(char ch)
{
	if (ch >= 'A' && ch <= 'Z')
		return ch - 'A';
	if (ch >= 'a' && ch <= 'z')
		return ch - 'a' + 26;
	if (ch >= '0' && ch <= '9')
		return ch - '0' + 52;
	if (ch == '+')
		return 62;
	return ch == '/' ? 63 : -1;
}

/* RFC 4648 with its padding; leftover bits must be zero. */
static int
b64_decode(struct cursor *c, const struct span *s, struct history_bytes *b)
{
	uint8_t *start = c->out;
	uint32_t acc = 0;
	size_t i, len = s->len;
	int bits = 0, d;

	if (len % 4 != 0)
		return bad(c, "bad base64");
	if (len > 0 && s->data[len - 1] == '=')
		len -= s->data[len - 2] == '=' ? 2 : 1;
	for (i = 0; i < len; i++) {
		d = b64_digit(s->data[i]);
		if (d < 0)
			return bad(c, "bad base64");
		acc = acc << 6 | (uint32_t)d;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			*c->out++ = (uint8_t)(acc >> bits);
			acc &= (1u << bits) - 1;
		}
	}
	if (acc != 0)
		return bad(c, "bad base64");
	b->data = start;
	b->len = (size_t)(c->out - start);
	return 0;
}

static int
take_bytes(struct cursor *c, bool is_b64, struct history_bytes *b)
{
	struct span s;

	if (take_string(c, &s) < 0)
		return -EBADMSG;
	if (is_b64)
		return b64_decode(c, &s, b);
	b->data = s.data;
	b->len = s.len;
	return 0;
}

static int
take_value(struct cursor *c, bool is_b64, struct history_bytes *b)
{
	skip_space(c);
	if (take_word(c, "null")) {
		b->data = NULL;
		b->len = 0;
		return 0;
	}
	return take_bytes(c, is_b64, b);
}

static int
take_values(struct cursor *c, bool is_b64, struct histline *l)
{
	l->values_n = 1;
	if (!take(c, '['))
		return take_value(c, is_b64, &l->values[0]);
	l->values_n = 2;
	if (take_value(c, is_b64, &l->values[0]) < 0)
		return -EBADMSG;
	if (!take(c, ','))
		return bad(c, "a pair of values was expected");
	if (take_value(c, is_b64, &l->values[1]) < 0)
		return -EBADMSG;
	if (!take(c, ']'))
		return bad(c, "a pair of values was expected");
	return 0;
}

static int
take_number(struct cursor *c, uint64_t *out)
{
	uint64_t v = 0;
	const char *start;

	skip_space(c);
	start = c->p;
	while (c->p < c->end && *c->p >= '0' && *c->p <= '9') {
		v = v * 10 + (uint64_t)(*c->p++ - '0');
		if (v > HISTLINE_NUMBER_MAX)
			return bad(c, "number too large");
	}
	if (c->p == start || (*start == '0' && c->p - start > 1) ||
	    (c->p < c->end && (*c->p == '.' || *c->p == 'e' || *c->p == 'E')))
		return bad(c, "a whole number, not negative, was expected");
	*out = v;
	return 0;
}

static int
take_bool(struct cursor *c, bool *out)
{
	skip_space(c);
	if (take_word(c, "true"))
		*out = true;
	else if (take_word(c, "false"))
		*out = false;
	else
		return bad(c, "true or false was expected");
	return 0;
}

static int
take_name(struct cursor *c, const char *const *names, unsigned n, unsigned *out)
{
	struct span s;
	unsigned i;

	if (take_string(c, &s) < 0)
		return -EBADMSG;
	for (i = 0; i < n; i++) {
		if (strlen(names[i]) == s.len &&
		    memcmp(names[i], s.data, s.len) == 0) {
			*out = i;
			return 0;
		}
	}
	return bad(c, "unknown \"type\" or \"f\"");
}

static int
skip_number(struct cursor *c)
{
	const char *start;
	int part;

	if (c->p < c->end && *c->p == '-')
		c->p++;
	for (part = 0; part < 3; part++) {
		if (part == 1) {
			if (c->p == c->end || *c->p != '.')
				continue;
			c->p++;
		} else if (part == 2) {
			if (c->p == c->end || (*c->p != 'e' && *c->p != 'E'))
				continue;
			c->p++;
			if (c->p < c->end && (*c->p == '+' || *c->p == '-'))
				c->p++;
		}
		start = c->p;
		while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
			c->p++;
		if (c->p == start ||
		    (part == 0 && *start == '0' && c->p - start > 1))
			return bad(c, "not JSON");
	}
	return 0;
}

/* Any JSON value, unused.  Iterative: closers holds what each open array or
 * object ends with. */
static int
skip_value(struct cursor *c)
{
	char closers[HISTLINE_DEPTH_MAX];
	unsigned depth = 0;
	struct span s;

	for (;;) {
		skip_space(c);
		if (c->p == c->end)
			return bad(c, "not JSON");
		if (*c->p == '{' || *c->p == '[') {
			if (depth == HISTLINE_DEPTH_MAX)
				return bad(c, "nested too deeply");
			closers[depth++] = *c->p++ == '{' ? '}' : ']';
			if (!take(c, closers[depth - 1])) {
				if (closers[depth - 1] == ']')
					continue;
				if (take_string(c, &s) < 0 || !take(c, ':'))
					return bad(c, "not JSON");
				continue;
			}
			depth--;
		} else if (*c->p == '"') {
			if (take_string(c, &s) < 0)
				return -EBADMSG;
		} else if (!take_word(c, "null") && !take_word(c, "true") &&
			   !take_word(c, "false")) {
			if (skip_number(c) < 0)
				return -EBADMSG;
		}
		while (depth > 0 && take(c, closers[depth - 1]))
			depth--;
		if (depth == 0)
			return 0;
		if (!take(c, ','))
			return bad(c, "not JSON");
		if (closers[depth - 1] == '}' &&
		    (take_string(c, &s) < 0 || !take(c, ':')))
			return bad(c, "not JSON");
	}
}

static int
take_field(struct cursor *c, enum histline_field field, bool is_b64,
    struct histline *l)
{
	static const char *const f_names[] = {
	    "get", "put", "append", "delete", "cas"};
	unsigned n;

	switch (field) {
	case HISTLINE_INDEX:
		return take_number(c, &l->index);
	case HISTLINE_TIME:
		return take_number(c, &l->time_ns);
	case HISTLINE_PROCESS:
		return take_number(c, &l->process);
	case HISTLINE_REV:
		return take_number(c, &l->rev);
	case HISTLINE_GROUP:
		return take_number(c, &l->group);
	case HISTLINE_TYPE:
		if (take_name(c, type_names, 4, &n) < 0)
			return -EBADMSG;
		l->type = (enum histline_type)n;
		return 0;
	case HISTLINE_F:
		if (take_name(c, f_names, HISTORY_F_N, &n) < 0)
			return -EBADMSG;
		l->f = (enum history_f)n;
		return 0;
	case HISTLINE_KEY:
		return take_bytes(c, is_b64, &l->key);
	case HISTLINE_VALUE:
		return take_values(c, is_b64, l);
	case HISTLINE_SWAPPED:
		return take_bool(c, &l->swapped);
	}
	return bad(c, "not JSON");
}

static int
take_member(struct cursor *c, struct histline *l)
{
	struct span s;
	size_t i;

	if (take_string(c, &s) < 0)
		return -EBADMSG;
	if (!take(c, ':'))
		return bad(c, "':' was expected");
	for (i = 0; i < FIELDS_N; i++)
		if (strlen(fields[i].name) == s.len &&
		    memcmp(fields[i].name, s.data, s.len) == 0)
			break;
	if (i == FIELDS_N)
		return skip_value(c);
	if (l->seen & fields[i].field)
		return errtext(
		    c->et, -EBADMSG, "'%s' given twice", fields[i].name);
	l->seen |= fields[i].field;
	return take_field(c, fields[i].field, fields[i].is_b64, l);
}

int
histline_parse(const char *line, size_t len, struct histline_scratch *scratch,
    struct histline *l, struct errtext *et)
{
	struct cursor c;
	uint8_t *p;

	/* Twice: a base64 string with escapes is decoded two times. */
	if (scratch->cap < len * 2 + 1) {
		p = realloc(scratch->data, len * 4 + 1);
		if (p == NULL)
			return -ENOMEM;
		scratch->data = p;
		scratch->cap = len * 4 + 1;
	}
	c.p = line;
	c.end = line + len;
	c.out = scratch->data;
	c.et = et;
	memset(l, 0, sizeof(*l));
	if (!take(&c, '{'))
		return bad(&c, "not a JSON object");
	if (!take(&c, '}')) {
		do {
			if (take_member(&c, l) < 0)
				return -EBADMSG;
		} while (take(&c, ','));
		if (!take(&c, '}'))
			return bad(&c, "'}' was expected");
	}
	skip_space(&c);
	if (c.p != c.end)
		return bad(&c, "something follows the object");
	return 0;
}

void
histline_scratch_release(struct histline_scratch *scratch)
{
	free(scratch->data);
	scratch->data = NULL;
	scratch->cap = 0;
}
