/*
 * wire.c - status codes and error values.
 */
#include "raftctl/wire.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static const struct wire_status_info infos[] = {
    [WIRE_OK] = {"OK", 0, false},
    [WIRE_ABSENT] = {"ABSENT", 1, false},
    [WIRE_CONDITION] = {"CONDITION", 1, false},
    [WIRE_UNKNOWN] = {"UNKNOWN", 3, false},
    [WIRE_SESSION] = {"SESSION", 3, false},
    [WIRE_USAGE] = {"USAGE", 64, false},
    [WIRE_TOO_LARGE] = {"TOO_LARGE", 64, false},
    [WIRE_DATA] = {"DATA", 65, false},
    [WIRE_NO_LEADER] = {"NO_LEADER", 69, true},
    [WIRE_NO_QUORUM] = {"NO_QUORUM", 69, true},
    [WIRE_UNREACHABLE] = {"UNREACHABLE", 69, true},
    [WIRE_BUG] = {"BUG", 70, false},
    [WIRE_BUSY] = {"BUSY", 75, true},
    [WIRE_NOSPACE] = {"NOSPACE", 75, true},
    [WIRE_STOPPING] = {"STOPPING", 75, true},
    /* the same request meets the same fate: only a new one helps */
    [WIRE_COMPACTED] = {"COMPACTED", 75, false},
    [WIRE_NOT_APPLIED] = {"NOT_APPLIED", 75, true},
    [WIRE_PROTOCOL_ERROR] = {"PROTOCOL", 76, false},
    [WIRE_METHOD] = {"METHOD", 76, false},
    [WIRE_DENIED] = {"DENIED", 77, false},
    [WIRE_TIMEOUT] = {"TIMEOUT", 124, false},
};
static_assert(sizeof(infos) / sizeof(infos[0]) == WIRE_STATUS_COUNT,
    "a row for each status");

const struct wire_status_info *
wire_status_info(enum wire_status status)
{
	if ((unsigned)status >= WIRE_STATUS_COUNT)
		status = WIRE_BUG;
	return &infos[status];
}

static bool
status_find(struct mp_span name, enum wire_status *status)
{
	for (unsigned i = 0; i < WIRE_STATUS_COUNT; i++)
		if (mp_span_eq(name, infos[i].name)) {
			*status = (enum wire_status)i;
			return true;
		}
	return false;
}

enum wire_status
wire_status_by_name(struct mp_span name)
{
	enum wire_status status = WIRE_BUG;

	(void)status_find(name, &status);
	return status;
}

/* The length of the UTF-8 sequence at p, 0 if there is none. */
static size_t
utf8_len(const uint8_t *p, size_t len)
{
	size_t n;
	uint32_t c;

	if (p[0] < 0x80)
		return 1;
	n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || n > len)
		return 0;
	c = p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3fu);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && c < 0x10000) || c > 0x10ffff ||
	    (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return n;
}

/*
 * Bytes as a C string of at most cap - 1 bytes: what is not UTF-8, NUL and
 * control characters become '?', so that strict clients can decode it and a
 * terminal is not driven by it; a sequence that does not fit is left out.
 */
static void
text_copy(char *dst, size_t cap, const uint8_t *p, size_t len)
{
	size_t n, used = 0;

	for (size_t i = 0; i < len; i += n) {
		n = utf8_len(p + i, len - i);
		if (used + (n == 0 ? 1 : n) >= cap)
			break;
		if (n == 0 || p[i] < 0x20 || p[i] == 0x7f) {
			dst[used++] = '?';
			n = 1;
		} else {
			memcpy(dst + used, p + i, n);
			used += n;
		}
	}
	dst[used] = '\0';
}

static void
put_text(struct mp_buf *b, const char *text, size_t cap, bool or_nil)
{
	char clean[256];

	static_assert(
	    sizeof(clean) >= sizeof(((struct wire_error *)0)->cause) &&
		sizeof(clean) >= sizeof(((struct wire_error *)0)->message),
	    "every text of an error fits");
	text_copy(
	    clean, sizeof(clean), (const uint8_t *)text, strnlen(text, cap));
	if (clean[0] == '\0' && or_nil)
		mp_put_nil(b);
	else
		mp_put_str(b, clean);
}

void
wire_put_error(struct mp_buf *b, const struct wire_error *e, bool as_map)
{
	const struct wire_status_info *info = wire_status_info(e->status);
	char line[sizeof(e->message) + 32], clean[sizeof(line)];

	if (as_map) {
		mp_put_map(b, 5);
		mp_put_kv_str(b, "code", info->name);
		mp_put_str(b, "message");
		put_text(b, e->message, sizeof(e->message), false);
		mp_put_kv_bool(b, "retry", info->retry);
		mp_put_str(b, "leader");
		put_text(b, e->leader, sizeof(e->leader), true);
		mp_put_str(b, "cause");
		put_text(b, e->cause, sizeof(e->cause), true);
		return;
	}
	(void)snprintf(line, sizeof(line), "%s: %.*s", info->name,
	    (int)strnlen(e->message, sizeof(e->message)), e->message);
	text_copy(clean, sizeof(clean), (const uint8_t *)line, strlen(line));
	mp_put_array(b, 2);
	mp_put_u64(b, 0);
	mp_put_str(b, clean);
}

/* [n, "CODE: text"] */
static bool
read_pair(struct mp_cur c, struct wire_error *e)
{
	struct mp_span text, name;
	const uint8_t *colon;
	size_t skip;
	uint32_t count;

	if (mp_read_array(&c, &count) < 0 || count != 2 || mp_skip(&c) < 0 ||
	    mp_read_bytes(&c, &text) < 0)
		return false;
	colon = text.len == 0 ? NULL : memchr(text.p, ':', text.len);
	name = colon == NULL ? text : mp_span(text.p, (size_t)(colon - text.p));
	if (!status_find(name, &e->status)) {
		/* another's server: its words as they are */
		text_copy(e->message, sizeof(e->message), text.p, text.len);
		return true;
	}
	skip = name.len;
	if (colon != NULL)
		skip++;
	if (skip < text.len && text.p[skip] == ' ')
		skip++;
	text_copy(
	    e->message, sizeof(e->message), text.p + skip, text.len - skip);
	return true;
}

static bool
read_map(struct mp_cur c, struct wire_error *e)
{
	struct mp_map m;
	struct mp_span code, message = {NULL, 0}, leader = {NULL, 0},
			     cause = {NULL, 0};

	if (mp_read_mapping(&c, &m) < 0 ||
	    mp_get_bytes(&m, "code", &code, SIZE_MAX) < 0 ||
	    mp_opt_bytes(&m, "message", &message, SIZE_MAX) < 0 ||
	    mp_opt_bytes(&m, "leader", &leader, SIZE_MAX) < 0 ||
	    mp_opt_bytes(&m, "cause", &cause, SIZE_MAX) < 0)
		return false;
	if (!status_find(code, &e->status) && message.len == 0)
		message = code;
	text_copy(e->message, sizeof(e->message), message.p, message.len);
	text_copy(e->leader, sizeof(e->leader), leader.p, leader.len);
	text_copy(e->cause, sizeof(e->cause), cause.p, cause.len);
	return true;
}

static void
describe(struct mp_span raw, struct wire_error *e)
{
	struct mp_cur c = mp_cur_span(raw);
	struct mp_span text;
	size_t used;

	if (mp_read_bytes(&c, &text) == 0) {
		text_copy(e->message, sizeof(e->message), text.p, text.len);
		return;
	}
	used = (size_t)snprintf(
	    e->message, sizeof(e->message), "error of %zu bytes:", raw.len);
	for (size_t i = 0; i < raw.len && i < 16; i++)
		used += (size_t)snprintf(e->message + used,
		    sizeof(e->message) - used, " %02x", raw.p[i]);
}

void
wire_read_error(struct mp_span raw, struct wire_error *e)
{
	struct wire_error out;

	memset(&out, 0, sizeof(out));
	out.status = WIRE_BUG;
	if (!read_pair(mp_cur_span(raw), &out) &&
	    !read_map(mp_cur_span(raw), &out))
		describe(raw, &out);
	/* an error that calls itself OK is none of ours */
	if (out.status == WIRE_OK)
		out.status = WIRE_BUG;
	*e = out;
}
