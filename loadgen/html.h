/*
 * html.h - text of others in pages of ours.
 */
#ifndef LOADGEN_HTML_H
#define LOADGEN_HTML_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Up to len_max bytes, then "..."; markup is escaped, and bytes that are no
 * printable ASCII are \xNN.  Good inside attributes with quotes, too. */
void html_text(FILE *, const uint8_t *, size_t len, size_t len_max);
void html_cstr(FILE *, const char *);

#endif
