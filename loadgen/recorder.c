/*
 * recorder.c - writes a history, one JSON object a line.
 */
#include "loadgen/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct recorder {
	int fd;
	int error;
	uint64_t index;
	size_t len;
	char buffer[RECORDER_BUFFER];
};

static const char *const types[] = {"invoke", "ok", "fail", "info"};

int
recorder_open(const char *path, struct recorder **out)
{
	struct recorder *r = malloc(sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	r->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (r->fd < 0) {
		free(r);
		return -errno;
	}
	r->error = 0;
	r->index = 0;
	r->len = 0;
	*out = r;
	return 0;
}

static void
flush(struct recorder *r)
{
	size_t done = 0;
	ssize_t n;

	while (done < r->len && r->error == 0) {
		n = write(r->fd, r->buffer + done, r->len - done);
		if (n > 0)
			done += (size_t)n;
		else if (n < 0 && errno != EINTR)
			r->error = -errno;
	}
	r->len = 0;
}

static void
put(struct recorder *r, const void *data, size_t len)
{
	const char *p = data;
	size_t n;

	while (len > 0) {
		if (r->len == sizeof(r->buffer))
			flush(r);
		n = sizeof(r->buffer) - r->len;
		if (n > len)
			n = len;
		memcpy(r->buffer + r->len, p, n);
		r->len += n;
		p += n;
		len -= n;
	}
}

static void
put_text(struct recorder *r, const char *s)
{
	put(r, s, strlen(s));
}

static void
put_number(struct recorder *r, uint64_t v)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	put(r, digits + i, sizeof(digits) - i);
}

/* As JSON has it without any escape. */
static bool
is_plain(struct mp_span s)
{
	size_t i;

	for (i = 0; i < s.len; i++)
		if (s.p[i] < ' ' || s.p[i] > '~' || s.p[i] == '"' ||
		    s.p[i] == '\\')
			return false;
	return true;
}

static void
put_base64(struct recorder *r, struct mp_span s)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "abcdefghijklmnopqrstuvwxyz0123456789+/";
	char out[4];
	uint32_t v;
	size_t i, n, j;

	for (i = 0; i < s.len; i += 3) {
		n = s.len - i < 3 ? s.len - i : 3;
		v = 0;
		for (j = 0; j < 3; j++)
			v = v << 8 | (j < n ? s.p[i + j] : 0);
		for (j = 0; j < 4; j++)
			out[j] = j <= n ? set[v >> (18 - 6 * j) & 63] : '=';
		put(r, out, sizeof(out));
	}
}

static void
put_string(struct recorder *r, struct mp_span s, bool plain)
{
	put(r, "\"", 1);
	if (plain)
		put(r, s.p, s.len);
	else
		put_base64(r, s);
	put(r, "\"", 1);
}

static void
put_value(struct recorder *r, const struct record_line *l)
{
	bool plain = is_plain(l->value[0]);

	if (l->kind == RECORD_PAIR)
		plain = plain && is_plain(l->value[1]);
	put_text(r, plain ? ",\"value\":" : ",\"value_b64\":");
	if (l->kind == RECORD_PAIR)
		put(r, "[", 1);
	put_string(r, l->value[0], plain);
	if (l->kind == RECORD_PAIR) {
		put(r, ",", 1);
		put_string(r, l->value[1], plain);
		put(r, "]", 1);
	}
}

void
recorder_write(struct recorder *r, const struct record_line *l)
{
	put_text(r, "{\"index\":");
	put_number(r, r->index++);
	put_text(r, ",\"time\":");
	put_number(r, l->time_ns);
	put_text(r, ",\"process\":");
	put_number(r, l->process);
	put_text(r, ",\"type\":\"");
	put_text(r, types[l->type]);
	put_text(r, "\",\"f\":\"");
	put_text(r, l->f);
	put_text(r, "\",\"key\":\"");
	put_text(r, l->key);
	put(r, "\"", 1);
	if (l->kind == RECORD_NULL)
		put_text(r, ",\"value\":null");
	else if (l->kind != RECORD_NO_VALUE)
		put_value(r, l);
	if (l->not_swapped)
		put_text(r, ",\"swapped\":false");
	if (l->rev != 0) {
		put_text(r, ",\"rev\":");
		put_number(r, l->rev);
	}
	put(r, "}\n", 2);
}

int
recorder_close(struct recorder *r)
{
	int error;

	if (r == NULL)
		return 0;
	flush(r);
	error = r->error;
	if (close(r->fd) < 0 && error == 0)
		error = -errno;
	free(r);
	return error;
}
