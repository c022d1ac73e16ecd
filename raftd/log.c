/*
 * log.c - raftd's log: one event a line on stderr, key=value.
 */
#include "raftd/log.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "raftd/now.h"

static enum host_log_level level_max = HOST_INFO;
static uint64_t lost; /* lines that stderr would not take */

static const char *const level_name[] = {
    [HOST_ERROR] = "error",
    [HOST_WARN] = "warn",
    [HOST_INFO] = "info",
    [HOST_DEBUG] = "debug",
};

void
log_level_set(enum host_log_level level)
{
	level_max = level;
}

enum host_log_level
log_level(void)
{
	return level_max;
}

bool
log_wants(enum host_log_level level)
{
	return level <= level_max;
}

size_t
log_format(char *buf, size_t size, uint64_t wall_ms, enum host_log_level level,
    const char *fields)
{
	time_t s = (time_t)(wall_ms / 1000);
	struct tm tm;
	char ts[32];
	size_t len;
	int n;

	if (gmtime_r(&s, &tm) == NULL ||
	    strftime(ts, sizeof(ts), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		(void)snprintf(ts, sizeof(ts), "?");
	n = snprintf(buf, size, "ts=%s.%03uZ level=%s %s\n", ts,
	    (unsigned)(wall_ms % 1000), level_name[level], fields);
	len = n < 0 ? 0 : (size_t)n;
	if (len >= size)
		len = size - 1;
	/* A line stays a line, even when it was cut. */
	if (len > 0)
		buf[len - 1] = '\n';
	return len;
}

static bool
emit(const char *line, size_t len)
{
	struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (poll(&p, 1, 0) == 0)
		return false;
	/* Nobody can be told that the log itself fails. */
	return write(STDERR_FILENO, line, len) == (ssize_t)len;
}

void
log_fields(enum host_log_level level, const char *fields)
{
	uint64_t wall_ms = now().wall_ms;
	char line[LOG_LINE_MAX], note[64];

	if (!log_wants(level))
		return;
	if (lost > 0) {
		(void)snprintf(
		    note, sizeof(note), "event=log.lost lines=%" PRIu64, lost);
		if (emit(line, log_format(line, sizeof(line), wall_ms,
				   HOST_WARN, note)))
			lost = 0;
	}
	if (!emit(line, log_format(line, sizeof(line), wall_ms, level, fields)))
		lost++;
}

void
log_event(enum host_log_level level, const char *fmt, ...)
{
	char fields[LOG_LINE_MAX];
	va_list ap;

	if (!log_wants(level))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(fields, sizeof(fields), fmt, ap);
	va_end(ap);
	log_fields(level, fields);
}

static bool
is_plain(const char *value)
{
	const unsigned char *p;

	for (p = (const unsigned char *)value; *p != '\0'; p++)
		if (*p <= ' ' || *p >= 0x7f || *p == '"' || *p == '\\' ||
		    *p == '=')
			return false;
	return p != (const unsigned char *)value;
}

const char *
log_quote(char *buf, size_t size, const char *value)
{
	const unsigned char *p;
	size_t len = 0;

	if (size < 8) {
		if (size > 0)
			buf[0] = '\0';
		return buf;
	}
	if (is_plain(value) && strlen(value) < size) {
		memcpy(buf, value, strlen(value) + 1);
		return buf;
	}
	buf[len++] = '"';
	/* 4 for the longest escape, 2 for what closes. */
	for (p = (const unsigned char *)value; *p != '\0' && len + 6 <= size;
	     p++) {
		if (*p == '"' || *p == '\\') {
			buf[len++] = '\\';
			buf[len++] = (char)*p;
		} else if (*p == '\n') {
			buf[len++] = '\\';
			buf[len++] = 'n';
		} else if (*p < ' ' || *p == 0x7f) {
			len += (size_t)snprintf(
			    buf + len, size - len, "\\x%02x", *p);
		} else
			buf[len++] = (char)*p;
	}
	buf[len++] = '"';
	buf[len] = '\0';
	return buf;
}
