/*
 * log.h - raftd's log: one event a line on stderr, key=value.
 *
 *	ts=2031-01-31T12:00:00.123Z level=info event=leader group=1 term=7
 *
 * A line is one write of at most LOG_LINE_MAX bytes, made only when it
 * cannot block: a reader that stopped reading costs lines, never the event
 * thread.  Lost lines are counted and reported once the reader is back.
 *
 * Threads: all of it belongs to the event thread.
 */
#ifndef RAFTD_LOG_H
#define RAFTD_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "raftd/host.h"

/* What poll(2) promises a pipe takes without blocking (PIPE_BUF). */
#define LOG_LINE_MAX 4096

void log_level_set(enum host_log_level);
enum host_log_level log_level(void);
/* Is a line of this level printed at all? */
bool log_wants(enum host_log_level);

/* fields: "event=... key=value", without ts and level. */
void log_fields(enum host_log_level, const char *fields);
void log_event(enum host_log_level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * A value for a field: as it stands if it is one plain word, else quoted,
 * with \" \\ \n and \xHH.  Returns buf; cut to size if need be.
 */
const char *log_quote(char *buf, size_t size, const char *value);

/* A line without the write, for tests: its length, with the newline. */
size_t log_format(char *buf, size_t size, uint64_t wall_ms, enum host_log_level,
    const char *fields);

#endif
