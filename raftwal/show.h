/*
 * show.h - records for people and for scripts: the words and the JSON of
 * raftwal(8).
 */
#ifndef RAFTWAL_SHOW_H
#define RAFTWAL_SHOW_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "raftctl/mp.h"
#include "raftwal/wal.h"

enum show_encoding {
	SHOW_AUTO, /* UTF-8 as it is, anything else base64 */
	SHOW_BASE64,
	SHOW_HEX,
};

/* "entry", "noop", "config", "state", ... */
const char *show_kind(enum record_kind);

/* Sets key, or key_b64, or key_hex.  -1 without memory. */
int show_bytes(json_t *object, const char *key, const uint8_t *, size_t len,
    enum show_encoding);
/* Any value; its bytes were scanned. */
json_t *show_value(struct mp_cur *, enum show_encoding);
/* What the record does; NULL if only its copy is left. */
json_t *show_op(const struct record *, enum show_encoding);
/* The dump record of raftwal(8). */
json_t *show_record(
    const struct wal_place *, const struct record *, enum show_encoding);
/* The operation in one short line without control characters. */
void show_op_line(const struct record *, char *buf, size_t size);

#endif
