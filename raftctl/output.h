/*
 * output.h - what commands print: bytes, tables, JSON lines, fields.
 *
 * Data goes to stdout, everything else to stderr.  A reader that has gone
 * away is no error: output_ok() is then false and the command ends with 0.
 *
 * Bytes that are UTF-8 become the string "name", others "name_b64"; the
 * option --encoding forces "name_b64" or "name_hex".  Only bin values are
 * bytes in this sense: a str on the wire is text already.
 */
#ifndef RAFTCTL_OUTPUT_H
#define RAFTCTL_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "raftctl/mp.h"
#include "raftctl/wire.h"

enum output_format {
	OUTPUT_DEFAULT, /* the command's own choice */
	OUTPUT_TEXT,
	OUTPUT_JSON,
	OUTPUT_RAW,
	OUTPUT_FIELDS,
};

enum output_encoding {
	OUTPUT_AUTO,
	OUTPUT_BASE64,
	OUTPUT_HEX,
};

/* 0, or -EINVAL for a name that is none. */
int output_format_by_name(const char *, enum output_format *);
int output_encoding_by_name(const char *, enum output_encoding *);

/* One value of the wire as JSON; NULL if it is damaged or memory is out. */
json_t *output_json(struct mp_span raw, enum output_encoding);
/* object[name] or its twin = bytes; -ENOMEM. */
int output_set_bytes(
    json_t *object, const char *name, struct mp_span, enum output_encoding);
/* Text for people; what is not UTF-8 in it becomes '?'. */
json_t *output_text_json(const char *);
/* The error of an answer: code, exit, retry, message, cause. */
json_t *output_error(const struct wire_error *);

struct output_column {
	const char *title;
	const char *path; /* "role", "error.cause" */
};

/*
 * Records of one kind.  JSON and fields are printed as they come, the rows
 * of a table when it ends, so that columns are as wide as they need be.  A
 * column that no row has is left out.
 */
struct output_table {
	enum output_format format;
	const struct output_column *columns; /* ends with a NULL title */
	json_t *rows;
	bool any;
};

/* OUTPUT_DEFAULT: text on a terminal, JSON elsewhere. */
void output_begin(
    struct output_table *, enum output_format, const struct output_column *);
/* Takes the reference to the record. */
void output_record(struct output_table *, json_t *);
void output_end(struct output_table *);
void output_drop(struct output_table *); /* end without printing */

/* Bytes as they are. */
void output_bytes(const void *, size_t len);
/* False: nobody reads any more, or nothing can be written. */
bool output_ok(void);
/* Flush: 0, or the exit status that says why not all was written. */
int output_close(void);

#endif
